//! Which ledger a command talks to, and as whom: flags, then environment, then the profile.

use std::path::{Path, PathBuf};

use anyhow::Result;
use client::{Client, Credential};

use crate::profile::Profile;
use crate::report::Failure;

/// The environment variable with a bearer token. There is no flag: arguments are seen by every
/// user of a machine.
const TOKEN: &str = "COUNTERFOIL_TOKEN";

/// What to trust: enough to check something offline.
#[derive(clap::Args, Debug, Clone, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct TrustArgs {
    /// The folder of a ledger that `up` started on this machine: takes everything from there.
    #[arg(long, env = "COUNTERFOIL_LEDGER", value_name = "DIR")]
    ledger: Option<PathBuf>,
    /// A profile file, in place of ~/.config/counterfoil/profile.toml.
    #[arg(long, env = "COUNTERFOIL_PROFILE", value_name = "FILE")]
    profile: Option<PathBuf>,
    /// The service certificate (PEM), the only thing that is trusted.
    #[arg(long, env = "COUNTERFOIL_SERVICE_CERT", value_name = "FILE")]
    service_cert: Option<PathBuf>,
}

/// How to reach a ledger.
#[derive(clap::Args, Debug, Clone, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    #[command(flatten)]
    trust: TrustArgs,
    /// The ledger's address, https://host:port.
    #[arg(long, env = "COUNTERFOIL_URL")]
    url: Option<String>,
    /// A file with a bearer token (the token itself can be in COUNTERFOIL_TOKEN).
    #[arg(long, env = "COUNTERFOIL_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A client certificate (PEM), in place of a token.
    #[arg(
        long,
        env = "COUNTERFOIL_CLIENT_CERT",
        value_name = "FILE",
        requires = "client_key"
    )]
    client_cert: Option<PathBuf>,
    /// The private key (PEM) of the client certificate.
    #[arg(
        long,
        env = "COUNTERFOIL_CLIENT_KEY",
        value_name = "FILE",
        requires = "client_cert"
    )]
    client_key: Option<PathBuf>,
    /// Take receipts as the server sends them, without checking them.
    #[arg(long, env = "COUNTERFOIL_NO_VERIFY")]
    pub(crate) no_verify: bool,
}

/// Everything that is needed to connect, read from its files.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The ledger's address.
    pub(crate) url: String,
    /// The service certificate, PEM.
    pub(crate) service_cert: String,
    /// Who calls.
    pub(crate) credential: Credential,
}

impl ConnectionArgs {
    /// Reads everything that is needed to connect.
    pub(crate) fn read(&self) -> Result<Connection, Failure> {
        let profile = self.profile()?;
        let url = self.url.clone().or(profile.url.clone()).ok_or_else(|| {
            Failure::unreadable("no ledger was named").hint(
                "say --ledger DIR or --url and --service-cert; \
                 `counterfoil up --dev` starts a ledger in ./ledger",
            )
        })?;
        let service_cert = self.trust.read_service_cert(&profile)?;
        Ok(Connection {
            url,
            service_cert,
            credential: self.credential(&profile)?,
        })
    }

    /// The same, for the ledger at this address if there is one.
    pub(crate) fn at(mut self, url: Option<String>) -> Self {
        self.url = url.or(self.url);
        self
    }

    /// Makes a client.
    pub(crate) fn client(&self) -> Result<Client> {
        let Connection {
            url,
            service_cert,
            credential,
        } = self.read()?;
        let builder = Client::builder(url)
            .service_cert(service_cert)
            .credential(credential);
        let builder = if self.no_verify {
            builder.without_verification()
        } else {
            builder
        };
        Ok(builder.build()?)
    }

    /// The profile that is used where flags say nothing.
    pub(crate) fn profile(&self) -> Result<Profile, Failure> {
        self.trust.find_profile(!self.is_given())
    }

    /// Whether anything about the ledger or the caller is said. If so, a ledger that happens to be
    /// in the current folder must not get it.
    fn is_given(&self) -> bool {
        let files = [
            &self.trust.service_cert,
            &self.token_file,
            &self.client_cert,
        ];
        self.url.is_some() || token().is_some() || files.iter().any(|file| file.is_some())
    }

    /// A flag that says something about the ledger or the caller, by itself or by its variable in the environment.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let given = [
            ("--url", self.url.is_some()),
            ("--token-file", self.token_file.is_some()),
            (TOKEN, token().is_some()),
            ("--client-cert", self.client_cert.is_some()),
            ("--no-verify", self.no_verify),
        ];
        self.trust.given().or_else(|| first(&given))
    }

    fn credential(&self, profile: &Profile) -> Result<Credential, Failure> {
        if let (Some(cert), Some(key)) = (&self.client_cert, &self.client_key) {
            return certificate(cert, key);
        }
        if let Some(path) = &self.token_file {
            return Ok(Credential::bearer(read_text(path)?.trim()));
        }
        if let Some(token) = token() {
            return Ok(Credential::bearer(token.trim()));
        }
        match (
            &profile.client_cert,
            &profile.client_key,
            &profile.token_file,
        ) {
            (Some(cert), Some(key), _) => certificate(cert, key),
            (_, _, Some(path)) => Ok(Credential::bearer(read_text(path)?.trim())),
            _ => Ok(Credential::None),
        }
    }
}

impl TrustArgs {
    /// The service certificate, PEM.
    pub(crate) fn anchor(&self) -> Result<String, Failure> {
        self.read_service_cert(&self.find_profile(true)?)
    }

    /// A flag that says what to trust, by itself or by its variable in the environment.
    pub(crate) fn given(&self) -> Option<&'static str> {
        first(&[
            ("--ledger", self.ledger.is_some()),
            ("--profile", self.profile.is_some()),
            ("--service-cert", self.service_cert.is_some()),
        ])
    }

    fn find_profile(&self, look_beside: bool) -> Result<Profile, Failure> {
        Profile::find(self.ledger.as_deref(), self.profile.as_deref(), look_beside)
    }

    fn read_service_cert(&self, profile: &Profile) -> Result<String, Failure> {
        let path = self
            .service_cert
            .as_deref()
            .or(profile.service_cert.as_deref());
        let path = path.ok_or_else(|| {
            Failure::unreadable("a ledger is trusted by its service certificate: none was named")
                .hint("say --service-cert FILE; `counterfoil ledger identity URL` fetches one")
        })?;
        read_text(path)
    }
}

/// The name of the first that is given.
fn first(flags: &[(&'static str, bool)]) -> Option<&'static str> {
    let given = flags.iter().find(|(_, given)| *given);
    given.map(|(name, _)| *name)
}

fn token() -> Option<String> {
    std::env::var(TOKEN).ok().filter(|token| !token.is_empty())
}

fn certificate(cert: &Path, key: &Path) -> Result<Credential, Failure> {
    Ok(Credential::certificate(&read_text(key)?, &read_text(cert)?))
}

fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(Failure::reading(path))
}
