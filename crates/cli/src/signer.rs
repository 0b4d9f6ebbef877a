//! Members' keys: whatever can sign a governance message.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
};
use ledger::governance::message::Draft;
use ledger::governance::{MemberId, MessageType, ProposalId};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use verify::{Cert, CoseAlgorithm};

use crate::connection::ConnectionArgs;
use crate::device::{self, DeviceUri};
use crate::report::Failure;

/// Something that signs in a member's name: a key in a file, or in a device that keeps it.
pub(crate) trait Signer {
    /// The member's certificate.
    fn certificate(&self) -> &Cert;

    /// Signs with the algorithm of the certificate's key; `r || s`, each as long as the curve.
    ///
    /// # Errors
    /// The key cannot be used.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failure>;
}

impl dyn Signer + '_ {
    /// The member.
    pub(crate) fn member(&self) -> MemberId {
        self.certificate().fingerprint()
    }

    /// A governance message, created now.
    pub(crate) fn message(
        &self,
        kind: MessageType,
        proposal: Option<ProposalId>,
        payload: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let algorithm = self.certificate().public_key().cose_algorithm();
        let draft = Draft::new(self.member(), algorithm, kind, now(), proposal, payload);
        Ok(draft.signed(&self.sign(&draft.to_be_signed())?))
    }
}

/// Who signs.
#[derive(clap::Args, Debug, Clone, Default)]
#[command(next_help_heading = "Member")]
pub(crate) struct MemberArgs {
    /// The member's certificate (PEM).
    #[arg(
        long,
        env = "COUNTERFOIL_MEMBER_CERT",
        value_name = "FILE",
        requires = "member_key"
    )]
    member_cert: Option<PathBuf>,
    /// The member's private key (PEM); or where a device keeps it, as
    /// `pkcs11:token=T;object=KEY?module-path=LIBRARY`.
    #[arg(
        long,
        env = "COUNTERFOIL_MEMBER_KEY",
        value_name = "FILE|URI",
        requires = "member_cert"
    )]
    member_key: Option<PathBuf>,
}

impl MemberArgs {
    /// The key that was named, or that of the profile.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(crate) fn signer(&self, connection: &ConnectionArgs) -> Result<Box<dyn Signer>, Failure> {
        let profile = connection.profile()?;
        let cert = self.member_cert.as_ref().or(profile.member_cert.as_ref());
        let key = self.member_key.as_ref().or(profile.member_key.as_ref());
        match (cert, key) {
            (Some(cert), Some(key)) => match device::uri(key) {
                Some(uri) => device_key(uri)?.open(cert),
                None => key_file(cert, key),
            },
            _ => Err(Failure::unreadable("no member was named, who signs this").hint(
                "say --member-cert and --member-key; `counterfoil member keygen NAME` makes them",
            )),
        }
    }
}

fn device_key(uri: &str) -> Result<DeviceUri, Failure> {
    uri.parse().map_err(|why: String| {
        Failure::unreadable(format!("the key's URI cannot be used: {why}")).hint(
            "pkcs11:token=LABEL;object=KEY?module-path=/path/to/library.so&pin-source=file:/path",
        )
    })
}

/// The member's certificate.
///
/// # Errors
/// The file cannot be read, or is none.
pub(crate) fn certificate(file: &Path) -> Result<Cert, Failure> {
    let pem = std::fs::read_to_string(file).map_err(Failure::reading(file))?;
    Cert::from_pem(&pem).map_err(|error| {
        Failure::unreadable(format!("{} cannot sign", file.display())).because(error)
    })
}

/// The key in a file.
///
/// # Errors
/// A file cannot be read, or the key is not that of the certificate.
pub(crate) fn key_file(cert: &Path, key: &Path) -> Result<Box<dyn Signer>, Failure> {
    Ok(Box::new(KeyFile::read(cert, key)?))
}

/// A key in a file.
struct KeyFile {
    cert: Cert,
    key: EcdsaKeyPair,
}

impl KeyFile {
    fn read(cert_file: &Path, key_file: &Path) -> Result<Self, Failure> {
        let cert = certificate(cert_file)?;
        let not_a_key = || {
            let what = format!(
                "{} is no private key (PEM) of P-256 or P-384",
                key_file.display()
            );
            Failure::unreadable(what)
        };
        let pem = std::fs::read(key_file).map_err(Failure::reading(key_file))?;
        let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| not_a_key())?;
        let algorithm = match cert.public_key().cose_algorithm() {
            CoseAlgorithm::Es256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            CoseAlgorithm::Es384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        };
        let key = EcdsaKeyPair::from_private_key_der(algorithm, der.secret_der())
            .map_err(|_| not_a_key())?;
        let public = key.public_key().as_der().map_err(|_| not_a_key())?;
        if public.as_ref() != cert.spki_der() {
            let (key, cert) = (key_file.display(), cert_file.display());
            let what = format!("{key} is not the key of {cert}");
            return Err(Failure::unreadable(what));
        }
        Ok(Self { cert, key })
    }
}

impl Signer for KeyFile {
    fn certificate(&self) -> &Cert {
        &self.cert
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let signature = self.key.sign(&SystemRandom::new(), message);
        let signature = signature.map_err(|_| Failure::new("the member's key cannot sign"))?;
        Ok(signature.as_ref().to_vec())
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use ledger::governance::Message;

    use super::*;

    fn write(dir: &Path, name: &str, algorithm: &'static rcgen::SignatureAlgorithm) -> KeyFile {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.self_signed(&key).unwrap();
        let (cert_file, key_file) = (
            dir.join(format!("{name}.pem")),
            dir.join(format!("{name}.key")),
        );
        std::fs::write(&cert_file, cert.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        KeyFile::read(&cert_file, &key_file).unwrap()
    }

    #[test]
    fn keys_of_both_curves_sign_messages_that_verify() {
        let dir = tempfile::tempdir().unwrap();
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
        ] {
            let key = write(dir.path(), "a", algorithm);
            let signer: &dyn Signer = &key;
            let bytes = signer.message(MessageType::Proposal, None, b"{}").unwrap();
            let message = Message::parse(&bytes).unwrap();
            message.verify(&key.cert).unwrap();
            assert!(message.created_at.abs_diff(now()) < 60);
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a", &rcgen::PKCS_ECDSA_P384_SHA384);
        write(dir.path(), "b", &rcgen::PKCS_ECDSA_P384_SHA384);
        let mixed = KeyFile::read(&dir.path().join("a.pem"), &dir.path().join("b.key"));
        assert!(mixed.err().unwrap().to_string().contains("not the key"));
        let swapped = KeyFile::read(&dir.path().join("a.pem"), &dir.path().join("a.pem"));
        assert!(
            swapped
                .err()
                .unwrap()
                .to_string()
                .contains("no private key")
        );
    }
}
