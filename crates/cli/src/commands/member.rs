//! `counterfoil member`: those who govern the ledger, and their keys.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use clap::{Args, Subcommand};
use client::GoverningMember;
use ledger::governance::MessageType;
use serde::Serialize;
use verify::Cert;

use super::block_on;
use super::share::RecoveryShare;
use crate::connection::ConnectionArgs;
use crate::out::{self, bold, faint, good, say, warning};
use crate::report::Failure;
use crate::signer::MemberArgs;

/// Members.
#[derive(Subcommand, Debug)]
pub(crate) enum Member {
    Keygen(Keygen),
    List(List),
    Ack(Ack),
    RecoveryShare(RecoveryShare),
}

impl Member {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Keygen(keygen) => keygen.run(),
            Self::List(list) => list.run(),
            Self::Ack(ack) => ack.run(),
            Self::RecoveryShare(share) => share.run(),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Make a member's keys: to sign with, and with --encryption to receive a recovery share.
///
/// The private keys stay with the member. The others get the certificate, and the public encryption
/// key, and propose `set_member`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil member keygen alice
  counterfoil member keygen alice --encryption --out /secure/keys")]
pub(crate) struct Keygen {
    /// What the files are called, and the certificate: NAME_cert.pem, NAME_privk.pem.
    name: String,
    /// Make a key pair for a recovery share too: NAME_enc_pubk.pem, NAME_enc_privk.pem.
    #[arg(long)]
    encryption: bool,
    /// The folder to write to.
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    out: PathBuf,
    /// Print what was made as one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made<'a> {
    member_id: String,
    certificate: &'a Path,
    private_key: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_key: Option<&'a Path>,
}

impl Keygen {
    fn run(self) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || !self.name.chars().all(plain) {
            let failure = Failure::unreadable(format!("{:?} cannot be a file's name", self.name));
            return Err(failure.hint("use letters, digits, '-', '_' and '.'").into());
        }
        std::fs::create_dir_all(&self.out).map_err(Failure::writing(&self.out))?;
        let pair = make_signing_pair(&self.name, &self.out)?;
        let (cert_file, key_file) = (pair.cert_file, pair.key_file);
        let mut encryption_file = None;
        if self.encryption {
            let (public, private) = encryption_pair()?;
            let public_file = self.file("enc_pubk.pem");
            write_new(&self.file("enc_privk.pem"), &private, 0o600)?;
            write_new(&public_file, &public, 0o644)?;
            encryption_file = Some(public_file);
        }
        let id = pair.cert.fingerprint().to_string();
        if self.json {
            out::write_json(&Made {
                member_id: id,
                certificate: &cert_file,
                private_key: &key_file,
                encryption_key: encryption_file.as_deref(),
            });
            return Ok(());
        }
        say!("{} {}", bold(&self.name), faint(&id));
        say!("  certificate  {}", cert_file.display());
        say!(
            "  private key  {} {}",
            key_file.display(),
            warning("keep it to yourself")
        );
        let mut propose = format!(
            "counterfoil proposal create set_member cert=@{}",
            cert_file.display()
        );
        if let Some(file) = &encryption_file {
            say!("  encryption   {}", file.display());
            propose.push_str(&format!(" encryption_pub_key=@{}", file.display()));
        }
        say!("A member proposes it with:");
        say!("  {propose} member_data='{{\"name\":\"{}\"}}'", self.name);
        Ok(())
    }

    fn file(&self, what: &str) -> PathBuf {
        file(&self.out, &self.name, what)
    }
}

fn file(folder: &Path, name: &str, what: &str) -> PathBuf {
    folder.join(format!("{name}_{what}"))
}

/// What a member signs with.
pub(super) struct SigningPair {
    cert: Cert,
    /// The certificate, PEM.
    pub(super) cert_file: PathBuf,
    /// The private key, PEM.
    pub(super) key_file: PathBuf,
}

/// Makes NAME_cert.pem and NAME_privk.pem in a folder, which must not be there yet.
pub(super) fn make_signing_pair(name: &str, folder: &Path) -> Result<SigningPair> {
    let (cert, key) = signing_pair(name)?;
    let pair = SigningPair {
        cert_file: file(folder, name, "cert.pem"),
        key_file: file(folder, name, "privk.pem"),
        cert,
    };
    write_new(&pair.key_file, &key, 0o600)?;
    write_new(&pair.cert_file, &pair.cert.to_pem(), 0o644)?;
    Ok(pair)
}

/// A certificate that stands for itself, and its private key, PEM.
fn signing_pair(name: &str) -> Result<(Cert, String)> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)?;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let cert = params.self_signed(&key)?;
    Ok((Cert::from_pem(&cert.pem())?, key.serialize_pem()))
}

/// An RSA key pair, PEM: the public one first.
fn encryption_pair() -> Result<(String, String)> {
    let failed = |_| Failure::new("no RSA key could be made");
    let key = PrivateDecryptingKey::generate(KeySize::Rsa3072).map_err(failed)?;
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(failed)?;
    let private: Pkcs8V1Der<'_> = key.as_der().map_err(failed)?;
    Ok((
        pem("PUBLIC KEY", public.as_ref()),
        pem("PRIVATE KEY", private.as_ref()),
    ))
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Never over a key that is there.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(Failure::writing(path))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(Failure::writing(path))
}

/// List the members: who they are, and whether their ballots count.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  counterfoil member list --json | jq -r .memberId")]
pub(crate) struct List {
    /// Print each member as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl List {
    fn run(self) -> Result<()> {
        let client = self.connection.client()?;
        let members = block_on(async { Ok(client.governing_members().await?) })?;
        for member in &members {
            match self.json {
                true => out::write_json(member),
                false => show(member),
            }
        }
        Ok(())
    }
}

fn show(member: &GoverningMember) {
    let mut about = member.status.clone();
    if member.recovery_role != "NonParticipant" {
        about.push_str(", takes part in recovery");
    }
    if member.member_data["is_operator"] == true {
        about.push_str(", operator");
    }
    say!(
        "{}  {about}  {}",
        bold(out::one_line(member.called(), 40)),
        faint(&member.member_id)
    );
}

/// Acknowledge the ledger's present state: a new member governs from then on.
///
/// Fetches a digest of who governs and by which rules, signs it, and sends it.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  counterfoil member ack --member-cert carol_cert.pem --member-key carol_privk.pem")]
pub(crate) struct Ack {
    #[command(flatten)]
    member: MemberArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print the acknowledged digest as one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Acknowledged<'a> {
    member_id: &'a str,
    state_digest: &'a str,
}

impl Ack {
    fn run(self) -> Result<()> {
        let client = self.connection.client()?;
        let signer = self.member.signer(&self.connection)?;
        let id = signer.member();
        let digest = block_on(async {
            let update = signer.message(MessageType::StateDigest, None, b"")?;
            let digest = client.update_state_digest(&id, update).await?;
            let payload = serde_json::json!({ "stateDigest": digest }).to_string();
            let ack = signer.message(MessageType::Ack, None, payload.as_bytes())?;
            client.acknowledge_state(&id, ack).await?;
            Ok(digest)
        })?;
        let (member_id, state_digest) = (&id.to_string(), &digest);
        match self.json {
            true => out::write_json(&Acknowledged {
                member_id,
                state_digest,
            }),
            false => {
                say!("{} member {member_id}", good("ACKNOWLEDGED"));
                say!("  state  {state_digest}");
            }
        }
        Ok(())
    }
}
