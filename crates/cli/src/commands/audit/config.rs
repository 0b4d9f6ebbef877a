//! The configuration of `audit`: one TOML file, whose fields are these. Flags win over it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use audit::edge::{EdgeConfig, Limits, Origin};
use serde::Deserialize;

use super::chain::Chain;
use super::traces::Traces;
use crate::report::Failure;

/// A configuration file. Paths in it are relative to the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    /// The folder for what is not named otherwise. Default: `audit`.
    pub(super) dir: PathBuf,
    /// Where to listen, `ip:port`; port 0 takes a free one. Default: `127.0.0.1:8444`.
    pub(super) listen: SocketAddr,
    /// Names under which clients reach the services, for a certificate that is made here. Default:
    /// `localhost`, and the address to listen on.
    pub(super) names: Vec<String>,
    /// The certificate to show, a PEM file with its chain. Default: one is made in the folder.
    pub(super) certificate: Option<PathBuf>,
    /// Its key, a PEM file.
    pub(super) key: Option<PathBuf>,
    /// `postgres://USER@HOST/NAME`, or `sqlite:FILE`. Default: a SQLite file in the folder.
    pub(super) database: Option<String>,
    /// Where readers reach the pages, `https://host`: what printed labels lead to. Default: the address.
    pub(super) public_url: Option<String>,
    /// Where events go: into the ledger as entries, or through the verifiability contracts on its chain.
    /// Fixed once there are events. Default: `ledger`.
    pub(super) connector: Connector,
    /// A chain of others that has the contracts. Default: the ledger's own has them.
    pub(super) chain: Option<Chain>,
    /// The key that seals secrets in the database, a file of 64 hexadecimal digits. Replicas share it. Default:
    /// one is made in the folder.
    pub(super) master_key: Option<PathBuf>,
    /// The folder with the keys that sign tokens. Replicas of the users' service share it. Default:
    /// `token-keys` in the folder.
    pub(super) token_keys: Option<PathBuf>,
    /// What tokens name as who gave them, the same at each start. Default: `counterfoil-audit`.
    pub(super) issuer: Option<String>,
    /// Whether reading a record is an event. Default: false.
    pub(super) log_reads: bool,
    /// Whether logging in is an event. Default: true.
    pub(super) log_logins: bool,
    /// Whether visitors who did not sign in may trace and consult. Default: false.
    pub(super) open_to_visitors: bool,
    /// Whether consumers may register themselves. Default: false.
    pub(super) consumers_register: bool,
    /// How many requests one source and one caller may send.
    pub(super) limits: Limits,
    /// Other sites whose pages may ask, exactly as browsers write them: `https://shop.example`. Default: none.
    pub(super) allowed_origins: Vec<Origin>,
    /// Addresses of balancers that are believed about where a request came from. Default: none.
    pub(super) balancers: Vec<IpAddr>,
    /// Where numbers are served at `/metrics`, over HTTPS: keep it to this machine. Default: nowhere.
    pub(super) metrics_listen: Option<SocketAddr>,
    /// Where traces of the services go: an OpenTelemetry collector. Default: nowhere.
    pub(super) traces: Option<Traces>,
    /// An identity provider (OpenID Connect) by which people may sign in beside their passwords. Default: none.
    pub(super) oidc: Option<Oidc>,
    /// A system to stand in front of. Default: none.
    pub(super) proxy: Option<Proxy>,
    /// The services as processes of their own: one file serves all of them.
    pub(super) services: Alone,
}

/// `[services]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Alone {
    /// The folder with the certificates that services show each other: see `audit identity`. Default:
    /// `identity`.
    pub(super) identity: PathBuf,
    /// Where the users' service listens, `ip:port`. Default: `127.0.0.1:8445`.
    pub(super) users_listen: SocketAddr,
    /// Where the audit service listens, `ip:port`. Default: `127.0.0.1:8446`.
    pub(super) audit_listen: SocketAddr,
    /// Where the gateway finds the users' service: `https://host:port` of each replica. Default: this machine.
    pub(super) users: Vec<String>,
    /// Where the gateway and the users' service find the audit service. Default: this machine.
    pub(super) audit: Vec<String>,
}

impl Default for Alone {
    fn default() -> Self {
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            identity: PathBuf::from("identity"),
            users_listen: local(8445),
            audit_listen: local(8446),
            users: vec!["https://127.0.0.1:8445".to_owned()],
            audit: vec!["https://127.0.0.1:8446".to_owned()],
        }
    }
}

/// Where events go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Connector {
    /// Each is an entry of the ledger.
    #[default]
    Ledger,
    /// Each is a record of its participant's contract.
    Contracts,
}

/// `[oidc]`. What is registered at the provider as where to come back to is `public_url` and `/oidc`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Oidc {
    /// What the provider is called on the button.
    pub(super) name: String,
    /// The provider's own name, `https://login.example`, exactly as it writes it itself.
    pub(super) issuer: String,
    /// The services' name there.
    pub(super) client_id: String,
    /// A file with the secret by which it knows them, which only its owner may read.
    pub(super) client_secret_file: PathBuf,
    /// What it is asked for. Default: `openid`, `email`, `profile`.
    #[serde(default = "Oidc::usual_scopes")]
    pub(super) scopes: Vec<String>,
    /// Whether all administrators and users of the system are linked by their addresses, and not only those
    /// who were allowed. Default: false.
    #[serde(default)]
    pub(super) link_by_email: bool,
    /// How it must have found out who somebody is (`acr`): one of these. Default: as it likes.
    #[serde(default)]
    pub(super) acr: Vec<String>,
    /// Who may stand in its tokens' audience beside the services. Default: nobody.
    #[serde(default)]
    pub(super) audiences: Vec<String>,
}

impl Oidc {
    fn usual_scopes() -> Vec<String> {
        ["openid", "email", "profile"].map(str::to_owned).to_vec()
    }
}

/// `[proxy]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Proxy {
    /// Where to listen for the system's clients, `ip:port`; port 0 takes a free one.
    pub(super) listen: SocketAddr,
    /// The system's servers, `http://host:port`.
    pub(super) upstreams: Vec<String>,
    /// The id of the user whose events these are.
    pub(super) user: String,
    /// Whether changes that no rule fits are refused. Default: false, they pass.
    #[serde(default)]
    pub(super) audited_only: bool,
    /// What becomes an event.
    #[serde(default)]
    pub(super) rules: Vec<audit::proxy::RuleConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("audit"),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8444),
            names: Vec::new(),
            certificate: None,
            key: None,
            database: None,
            public_url: None,
            connector: Connector::default(),
            chain: None,
            issuer: None,
            log_reads: false,
            log_logins: true,
            open_to_visitors: false,
            consumers_register: false,
            limits: Limits::default(),
            allowed_origins: Vec::new(),
            balancers: Vec::new(),
            metrics_listen: None,
            traces: None,
            oidc: None,
            proxy: None,
            master_key: None,
            token_keys: None,
            services: Alone::default(),
        }
    }
}

impl Config {
    /// What is said about the edge.
    pub(super) fn edge(&self) -> EdgeConfig {
        EdgeConfig {
            limits: self.limits,
            allowed_origins: self.allowed_origins.clone(),
            balancers: self.balancers.clone(),
        }
    }

    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(Failure::reading(path))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            Failure::unreadable(format!("{} is no configuration of audit", path.display()))
                .because(error)
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let Self {
            dir,
            certificate,
            key,
            master_key,
            token_keys,
            connector,
            chain,
            traces,
            oidc,
            services,
            ..
        } = &mut config;
        if let Some(chain) = chain {
            chain.check(*connector)?;
        }
        let named = [certificate, key, master_key, token_keys];
        let always = [dir, &mut services.identity];
        let secret = oidc.as_mut().map(|oidc| &mut oidc.client_secret_file);
        let headers = traces
            .as_mut()
            .and_then(|traces| traces.headers_file.as_mut());
        let of_chain = chain.as_mut().into_iter().flat_map(Chain::paths);
        let named = named.into_iter().flatten().chain(secret).chain(headers);
        let named = named.chain(of_chain);
        for path in named.chain(always) {
            *path = folder.join(&*path);
        }
        Ok(config)
    }

    /// The key that seals secrets.
    pub(super) fn master_key(&self) -> PathBuf {
        let named = self.master_key.clone();
        named.unwrap_or_else(|| self.dir.join("master.key"))
    }

    /// The keys that sign tokens.
    pub(super) fn token_keys(&self) -> PathBuf {
        let named = self.token_keys.clone();
        named.unwrap_or_else(|| self.dir.join("token-keys"))
    }

    /// The database.
    pub(super) fn database(&self) -> String {
        let file = || format!("sqlite:{}", self.dir.join("audit.db").display());
        self.database.clone().unwrap_or_else(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_field_is_refused() {
        let refused = toml::from_str::<Config>("open_to_visitor = true").unwrap_err();
        assert!(refused.to_string().contains("open_to_visitor"), "{refused}");
    }

    #[test]
    fn origins_that_no_browser_writes_are_refused() {
        for origin in ["*", "https://shop.example/"] {
            let text = format!("allowed_origins = [\"{origin}\"]");
            let refused = toml::from_str::<Config>(&text).unwrap_err();
            assert!(refused.to_string().contains("as browsers write it"));
        }
        toml::from_str::<Config>("[limits]\nrequests_per_second = 5\nburst = 9").unwrap();
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.toml");
        let rule = "methods = [\"POST\"]\npath = \"/a\"\nrecord = \"x\"\nabout = [\"y\"]";
        let proxy = "[proxy]\nlisten = \"127.0.0.1:0\"\nupstreams = [\"http://a\"]\nuser = \"u\"";
        let text = format!("dir = \"d\"\nkey = \"k.pem\"\n{proxy}\n[[proxy.rules]]\n{rule}");
        std::fs::write(&path, text).unwrap();
        let config = Config::read(&path).unwrap();
        assert_eq!(config.dir, dir.path().join("d"));
        assert_eq!(config.key, Some(dir.path().join("k.pem")));
        assert_eq!(config.proxy.unwrap().rules.len(), 1);
    }

    #[test]
    fn a_provider_is_asked_for_addresses_and_links_nobody_unless_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.toml");
        let text = "[oidc]\nname = \"Acme\"\nissuer = \"https://login.example\"\nclient_id = \"a\"\n\
                    client_secret_file = \"secret\"\n";
        std::fs::write(&path, text).unwrap();
        let oidc = Config::read(&path).unwrap().oidc.unwrap();
        assert_eq!(oidc.client_secret_file, dir.path().join("secret"));
        assert_eq!(oidc.scopes, ["openid", "email", "profile"]);
        assert!(!oidc.link_by_email && oidc.acr.is_empty() && oidc.audiences.is_empty());
        let inline = format!("{text}client_secret = \"hush\"");
        toml::from_str::<Config>(&inline).unwrap_err();
    }
}
