//! `counterfoil audit identity`: certificates by which services know each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use audit::inside::Service;
use clap::ValueEnum;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use time::{Duration, OffsetDateTime};

use super::files::write_secret;
use crate::out::say;
use crate::report::Failure;

/// How long the authority signs.
const AUTHORITY_VALIDITY: Duration = Duration::days(3_650);
/// How long a service's certificate is valid.
const SERVICE_VALIDITY: Duration = Duration::days(730);
/// Certificates begin a little in the past: clocks differ.
const BACKDATED: Duration = Duration::hours(1);

/// Make certificates by which services that run alone know each other.
///
/// The folder gets an authority of one's own (ca.pem, ca_key.pem), if it has none, and a certificate with its
/// key for each service, new ones each time. A service needs ca.pem and its own two files; ca_key.pem signs
/// new ones, and is kept elsewhere.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil audit identity identity                   for all three, in ./identity
  counterfoil audit identity identity gateway           a new one for the gateway")]
pub(crate) struct Identity {
    /// The folder.
    #[arg(default_value = "identity")]
    dir: PathBuf,
    /// For which services; none named: for all.
    #[arg(value_enum)]
    services: Vec<Word>,
}

/// A service's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Word {
    /// The single entry.
    Gateway,
    /// Who takes part.
    Users,
    /// Stores and consults.
    Audit,
}

impl Word {
    const fn service(self) -> Service {
        match self {
            Self::Gateway => Service::Gateway,
            Self::Users => Service::Users,
            Self::Audit => Service::Audit,
        }
    }
}

impl Identity {
    pub(super) fn run(self) -> Result<ExitCode> {
        fs::create_dir_all(&self.dir).map_err(Failure::writing(&self.dir))?;
        let authority = authority(&self.dir)?;
        let all = self.services.is_empty();
        let wanted = Word::value_variants().iter();
        for word in wanted.filter(|word| all || self.services.contains(word)) {
            let path = make(&self.dir, word.service(), &authority)?;
            say!("{}", path.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn authority(dir: &Path) -> Result<Issuer<'static, KeyPair>> {
    let (certificate, key) = (dir.join("ca.pem"), dir.join("ca_key.pem"));
    if !certificate.exists() {
        let mut params = params(AUTHORITY_VALIDITY, "counterfoil audit services");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let made = params.self_signed(&pair)?;
        write_secret(&key, pair.serialize_pem().as_bytes())?;
        // Last: whoever finds it finds its key.
        fs::write(&certificate, made.pem()).map_err(Failure::writing(&certificate))?;
    }
    let read = |path: &Path| fs::read_to_string(path).map_err(Failure::reading(path));
    let pair = KeyPair::from_pem(&read(&key)?).context("the authority's key")?;
    let issuer = Issuer::from_ca_cert_pem(&read(&certificate)?, pair);
    issuer.context("the authority's certificate")
}

fn make(dir: &Path, service: Service, authority: &Issuer<'static, KeyPair>) -> Result<PathBuf> {
    let word = service.word();
    let mut params = params(SERVICE_VALIDITY, service.name());
    params.subject_alt_names = vec![rcgen::SanType::DnsName(service.name().try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let made = params.signed_by(&pair, authority)?;
    write_secret(
        &dir.join(format!("{word}_key.pem")),
        pair.serialize_pem().as_bytes(),
    )?;
    let path = dir.join(format!("{word}.pem"));
    fs::write(&path, made.pem()).map_err(Failure::writing(&path))?;
    Ok(path)
}

fn params(validity: Duration, name: &str) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.not_before = now - BACKDATED;
    params.not_after = now + validity;
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

#[cfg(test)]
mod tests {
    use audit::inside::Credentials;

    use super::*;

    #[test]
    fn each_service_gets_what_it_shows_and_a_second_run_keeps_the_authority() {
        let dir = tempfile::tempdir().unwrap();
        let identity = |services: Vec<Word>| Identity {
            dir: dir.path().to_owned(),
            services,
        };
        identity(Vec::new()).run().unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let before = ["ca.pem", "users.pem", "audit.pem"].map(read);
        identity(vec![Word::Users]).run().unwrap();
        let after = ["ca.pem", "users.pem", "audit.pem"].map(read);
        assert_eq!((&before[0], &before[2]), (&after[0], &after[2]));
        assert_ne!(before[1], after[1]);
        for service in Service::ALL {
            Credentials::read(service, dir.path())
                .unwrap()
                .serving()
                .unwrap();
        }
        // A certificate of one service is none of another.
        fs::copy(dir.path().join("users.pem"), dir.path().join("audit.pem")).unwrap();
        Credentials::read(Service::Audit, dir.path()).unwrap_err();
    }
}
