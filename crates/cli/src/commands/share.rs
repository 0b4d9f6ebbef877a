//! `counterfoil member recovery-share`: a member gives its share after a disaster.

use std::path::{Path, PathBuf};

use anyhow::Result;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use ledger::governance::MessageType;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::block_on;
use crate::connection::ConnectionArgs;
use crate::out::{self, good, say};
use crate::report::Failure;
use crate::signer::MemberArgs;

/// Give a member's recovery share, after the members accepted a recovered service.
///
/// Fetches the share that is encrypted to the member, decrypts it here, and sends it signed. When
/// enough members have done so, the ledger opens again. Make sure first that the service is the one
/// that the members accepted: whoever gets enough shares can read the ledger.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  counterfoil member recovery-share --encryption-key alice_enc_privk.pem \\
      --member-cert alice_cert.pem --member-key alice_privk.pem")]
pub(crate) struct RecoveryShare {
    /// The member's private encryption key (PEM).
    #[arg(long, env = "COUNTERFOIL_ENCRYPTION_KEY", value_name = "FILE")]
    encryption_key: PathBuf,
    #[command(flatten)]
    member: MemberArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print how far the recovery is as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl RecoveryShare {
    pub(super) fn run(self) -> Result<()> {
        let client = self.connection.client()?;
        let signer = self.member.signer(&self.connection)?;
        let key = decryption_key(&self.encryption_key)?;
        let id = signer.member();
        let given = block_on(async {
            let encrypted = client.encrypted_share(&id).await?;
            let share = decrypt(&key, &encrypted, &self.encryption_key)?;
            let payload = serde_json::json!({ "share": STANDARD.encode(share) }).to_string();
            let message = signer.message(MessageType::RecoveryShare, None, payload.as_bytes())?;
            Ok(client.submit_share(&id, message).await?)
        })?;
        match self.json {
            true => out::write_json(&given),
            false => {
                let lines = given.message.lines();
                say!("{} member {id}", good("SHARE GIVEN"));
                lines.for_each(|line| say!("  {line}"));
            }
        }
        Ok(())
    }
}

fn decryption_key(path: &Path) -> Result<OaepPrivateDecryptingKey, Failure> {
    let not_a_key = || {
        let what = format!("{} is no RSA private key (PEM, PKCS#8)", path.display());
        Failure::unreadable(what)
    };
    let pem = std::fs::read(path).map_err(Failure::reading(path))?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| not_a_key())?;
    let key = PrivateDecryptingKey::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| not_a_key())?;
    OaepPrivateDecryptingKey::new(key).map_err(|_| not_a_key())
}

fn decrypt(
    key: &OaepPrivateDecryptingKey,
    encrypted: &str,
    path: &Path,
) -> Result<Vec<u8>, Failure> {
    let other = || {
        let what = format!("{} does not decrypt the member's share", path.display());
        Failure::new(what)
            .hint("is it the private half of the encryption key that the members know?")
    };
    let encrypted = STANDARD.decode(encrypted).map_err(|_| other())?;
    let mut share = vec![0; key.min_output_size()];
    let share = key
        .decrypt(&OAEP_SHA256_MGF1SHA256, &encrypted, &mut share, None)
        .map_err(|_| other())?;
    Ok(share.to_vec())
}
