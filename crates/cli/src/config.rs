//! The configuration of `up`: one TOML file, whose fields are these. Flags win over it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{ApiConfig, JwksSource, JwtIssuer};
use ledger::entries::{EntryLimits, Visibility};
use ledger::governance::FoundingMember;
use ledger::users::UserId;
use node::{NodeConfig, PeerConfig, Timing};
use serde::Deserialize;

use crate::profile::{IN_LEDGER, Profile};
use crate::report::Failure;
use crate::user_id::user_id;

/// Where a ledger is put, and looked for, unless something else is said.
pub(crate) const DIR_DEFAULT: &str = "ledger";

/// Where a ledger listens unless something else is said: for this machine only.
const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8443);

/// A configuration file. Paths in it are relative to the file.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The folder that holds everything of this node. Default: `ledger`.
    pub(crate) dir: Option<PathBuf>,
    /// Where to listen, `ip:port`; port 0 takes a free one. Default: `127.0.0.1:8443`.
    pub(crate) listen: Option<SocketAddr>,
    /// Whether contents are in clear for whoever has the files. Fixed when the ledger is created.
    /// Default: false.
    #[serde(default)]
    pub(crate) public: bool,
    /// Names and addresses under which clients reach this node; they go into its certificate.
    /// Default: those of this machine's loopback, and the address to listen on.
    pub(crate) san: Option<Vec<String>>,
    /// Where clients reach this node, `host:port`. Default: the address to listen on.
    pub(crate) published_address: Option<String>,
    /// How other nodes reach this one. Default: it is alone.
    pub(crate) peers: Option<Peers>,
    /// Users who are administrators of a new ledger: certificates (PEM files), their fingerprints,
    /// or subjects of tokens. Default: none.
    #[serde(default)]
    pub(crate) administrators: Vec<String>,
    /// Members who govern a new ledger. Default: one, whose key is made and left in the folder.
    #[serde(default)]
    pub(crate) members: Vec<Founder>,
    /// What the ledger takes of entries.
    #[serde(default)]
    limits: Limits,
    /// What this node takes at a time.
    #[serde(default)]
    server: ServerLimits,
    /// Who may vouch for users by bearer tokens. Default: nobody.
    #[serde(default)]
    jwt: Vec<Issuer>,
}

/// `[[members]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Founder {
    /// The member's certificate, a PEM file.
    pub(crate) cert: PathBuf,
    /// The public key to which the member's recovery share is encrypted, a PEM file. Default: none.
    encryption_key: Option<PathBuf>,
    /// What the member is called. Default: what the certificate's file is called.
    name: Option<String>,
    /// Whether the member acknowledges the ledger before its ballots count. Default: false.
    #[serde(default)]
    acknowledges: bool,
}

impl Founder {
    /// A member with this certificate, called as its file is.
    pub(crate) const fn with_cert(cert: PathBuf) -> Self {
        Self {
            cert,
            encryption_key: None,
            name: None,
            acknowledges: false,
        }
    }

    fn read(&self) -> Result<FoundingMember, Failure> {
        let text = |path: &Path| std::fs::read_to_string(path).map_err(Failure::reading(path));
        let encryption_key = self.encryption_key.as_deref().map(text).transpose()?;
        let stem = self.cert.file_stem().unwrap_or_default().to_string_lossy();
        let name = self.name.as_deref();
        let name = name.unwrap_or_else(|| stem.trim_end_matches("_cert"));
        let data = serde_json::json!({ "name": name });
        let member = FoundingMember::active(&text(&self.cert)?, encryption_key, data);
        let member = member.map_err(|why| {
            Failure::unreadable(format!("{} cannot be a member's", self.cert.display()))
                .because(why)
        })?;
        Ok(match self.acknowledges {
            true => member.to_acknowledge(),
            false => member,
        })
    }
}

/// `[limits]`
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    /// Contents of one entry, UTF-8 bytes. Default: 1,048,576.
    contents_bytes: Option<usize>,
    /// Collections of the ledger. Default: 5,000.
    collections: Option<u64>,
    /// Tags of the ledger, counted for each collection. Default: 10,000.
    tags: Option<u64>,
}

/// `[peers]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peers {
    /// Where to listen for other nodes, `ip:port`; port 0 takes a free one at the first start.
    pub(crate) listen: SocketAddr,
    /// Where other nodes reach this one, `host:port`. Default: the address to listen on.
    pub(crate) published_address: Option<String>,
    /// Milliseconds after which a silent leader is replaced, and up to twice as many, by chance.
    /// Default: 400.
    pub(crate) election_ms: Option<u64>,
}

/// `[server]`
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerLimits {
    /// Entries that may wait for their turn; more are refused with 429. Default: 16,384.
    queue_entries: Option<usize>,
    /// Bytes after which a ledger file is closed. Default: 5,000,000.
    chunk_bytes: Option<u64>,
    /// Connections at a time. Default: 4,096.
    sessions: Option<usize>,
    /// Seconds after which a quiet connection is closed. Default: 60.
    idle_seconds: Option<u64>,
    /// Seconds that requests under way have when the node stops. Default: 20.
    drain_seconds: Option<u64>,
}

/// `[[jwt]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Issuer {
    /// The `iss` claim, exactly.
    issuer: String,
    /// The `aud` claims that mean this ledger.
    audiences: Vec<String>,
    /// Where the issuer's keys are. Default: found by OpenID Connect Discovery.
    jwks_url: Option<String>,
    /// A file with the issuer's keys, in place of fetching them.
    jwks_file: Option<PathBuf>,
    /// The claim that is the user id. Default: `oid`, else `sub`.
    user_claim: Option<String>,
    /// Certificates (PEM) that vouch for the issuer's web server, beside the well-known ones.
    tls_roots_file: Option<PathBuf>,
}

impl Config {
    /// What the file says that is named, or what is usual.
    pub(crate) fn named(path: Option<&Path>) -> Result<Self, Failure> {
        path.map_or_else(|| Ok(Self::default()), Self::read)
    }

    /// Reads a configuration file.
    fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(Failure::reading(path))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            Failure::unreadable(format!("{} is not a configuration", path.display())).because(error)
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        config.dir = config.dir.map(|dir| folder.join(dir));
        for issuer in &mut config.jwt {
            for file in [&mut issuer.jwks_file, &mut issuer.tls_roots_file]
                .into_iter()
                .flatten()
            {
                *file = folder.join(&*file);
            }
        }
        for founder in &mut config.members {
            founder.cert = folder.join(&founder.cert);
            if let Some(file) = &mut founder.encryption_key {
                *file = folder.join(&*file);
            }
        }
        for administrator in &mut config.administrators {
            if administrator.ends_with(".pem") {
                *administrator = folder.join(&*administrator).to_string_lossy().into_owned();
            }
        }
        Ok(config)
    }

    /// The folder of the ledger.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.as_deref().unwrap_or(Path::new(DIR_DEFAULT))
    }

    /// Chooses the port now where any will do: other nodes are told of it, and it stays the same at
    /// each start.
    pub(crate) fn fix_port(&mut self) -> Result<(), Failure> {
        let mut listen = self.listen();
        if self.peers.is_none() || listen.port() != 0 {
            return Ok(());
        }
        let profile = Profile::read(&self.dir().join(IN_LEDGER)).ok();
        let before = profile
            .and_then(|profile| profile.url)
            .and_then(|url| url.rsplit_once(':')?.1.parse().ok());
        listen = match before {
            Some(port) => SocketAddr::new(listen.ip(), port),
            None => std::net::TcpListener::bind(listen)
                .and_then(|listener| listener.local_addr())
                .map_err(|error| {
                    Failure::new(format!("no free port at {listen}")).because(error)
                })?,
        };
        self.listen = Some(listen);
        Ok(())
    }

    /// Where to listen.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen.unwrap_or(LISTEN_DEFAULT)
    }

    /// The node's part.
    pub(crate) fn node(&self) -> Result<NodeConfig, Failure> {
        let listen = self.listen();
        let mut node = NodeConfig::new(self.dir());
        if self.public {
            node.visibility = Visibility::Public;
        }
        match &self.san {
            Some(names) => node.subject_alt_names.clone_from(names),
            None if !listen.ip().is_unspecified() => {
                let ip = listen.ip().to_string();
                if !node.subject_alt_names.contains(&ip) {
                    node.subject_alt_names.push(ip);
                }
            }
            None => {}
        }
        // A free port is another one at each start: it would be renewed in the ledger each time.
        let own = if listen.port() == 0 {
            listen.ip().to_string()
        } else {
            listen.to_string()
        };
        node.published_address = self.published_address.clone().unwrap_or(own);
        node.peers = self.peers.as_ref().map(Peers::read);
        let limits = EntryLimits::default();
        node.limits = EntryLimits {
            contents_bytes: self.limits.contents_bytes.unwrap_or(limits.contents_bytes),
            collections: self.limits.collections.unwrap_or(limits.collections),
            tags: self.limits.tags.unwrap_or(limits.tags),
        };
        node.queue_entries = self.server.queue_entries.unwrap_or(node.queue_entries);
        node.chunk_bytes = self.server.chunk_bytes.unwrap_or(node.chunk_bytes);
        node.administrators = self
            .administrators
            .iter()
            .map(|text| {
                let id = user_id(text)?;
                UserId::parse(&id).map_err(|error| {
                    Failure::unreadable(format!("{text:?} is no administrator")).because(error)
                })
            })
            .collect::<Result<_, _>>()?;
        let members = self.members.iter().map(Founder::read);
        node.members = members.collect::<Result<_, _>>()?;
        Ok(node)
    }

    /// The HTTP front's part.
    pub(crate) fn api(&self) -> Result<ApiConfig, Failure> {
        let mut api = ApiConfig::new(self.listen());
        api.session_max = self.server.sessions.unwrap_or(api.session_max);
        let seconds = |given: Option<u64>, default| given.map_or(default, Duration::from_secs);
        api.idle_timeout = seconds(self.server.idle_seconds, api.idle_timeout);
        api.drain_timeout = seconds(self.server.drain_seconds, api.drain_timeout);
        api.jwt = self
            .jwt
            .iter()
            .map(Issuer::read)
            .collect::<Result<_, _>>()?;
        Ok(api)
    }
}

impl Peers {
    /// Listens there, and leaves everything else as it usually is.
    pub(crate) const fn on(listen: SocketAddr) -> Self {
        Self {
            listen,
            published_address: None,
            election_ms: None,
        }
    }

    fn read(&self) -> PeerConfig {
        let mut timing = Timing::default();
        if let Some(millis) = self.election_ms {
            timing.election = Duration::from_millis(millis);
            timing.heartbeat = timing.election / 5;
        }
        PeerConfig {
            listen: self.listen,
            published_address: self.published_address.clone(),
            timing,
            replay_entries: node::config::REPLAY_ENTRIES_DEFAULT,
        }
    }
}

impl Issuer {
    fn read(&self) -> Result<JwtIssuer, Failure> {
        let text = |path: &PathBuf| std::fs::read_to_string(path).map_err(Failure::reading(path));
        let jwks = match (&self.jwks_file, &self.jwks_url) {
            (Some(_), Some(_)) => {
                let what = format!("the issuer {} has both jwks_file and jwks_url", self.issuer);
                return Err(Failure::unreadable(what));
            }
            (Some(path), None) => JwksSource::Static(text(path)?),
            (None, Some(url)) => JwksSource::Url(url.clone()),
            (None, None) => JwksSource::Discovery,
        };
        Ok(JwtIssuer {
            issuer: self.issuer.clone(),
            audiences: self.audiences.clone(),
            jwks,
            user_claim: self.user_claim.clone(),
            tls_roots: self.tls_roots_file.as_ref().map(text).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("counterfoil.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path)
    }

    #[test]
    fn everything_has_a_default() {
        let config = read("").unwrap();
        assert_eq!(config.dir(), Path::new("ledger"));
        let node = config.node().unwrap();
        assert_eq!(node.visibility, Visibility::Private);
        assert_eq!(node.published_address, "127.0.0.1:8443");
        assert_eq!(config.api().unwrap().listen.to_string(), "127.0.0.1:8443");
    }

    #[test]
    fn members_are_read_from_files_beside_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let cert = rcgen::CertificateParams::default();
        let cert = cert.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("alice_cert.pem"), cert.pem()).unwrap();
        let path = dir.path().join("counterfoil.toml");
        let text = "[[members]]\ncert = 'alice_cert.pem'\nacknowledges = true\n";
        std::fs::write(&path, text).unwrap();
        let node = Config::read(&path).unwrap().node().unwrap();
        let [founder] = &node.members[..] else {
            panic!("one member founds it")
        };
        assert_eq!(founder.member.data["name"], "alice");
        assert_eq!(founder.status, ledger::governance::Status::Accepted);
        let missing = read("[[members]]\ncert = 'nobody.pem'\n").unwrap();
        assert!(missing.node().is_err());
    }

    #[test]
    fn what_is_written_is_what_is_served() {
        let config = read(
            "listen = '10.0.0.7:0'\npublic = true\nadministrators = ['someone']\n\
             [limits]\ncontents_bytes = 8192\n[server]\nsessions = 5\nidle_seconds = 9\n\
             [[jwt]]\nissuer = 'https://i'\naudiences = ['a']\n",
        );
        let config = config.unwrap();
        let node = config.node().unwrap();
        assert_eq!(node.visibility, Visibility::Public);
        assert_eq!(node.limits.contents_bytes, 8192);
        assert_eq!(node.published_address, "10.0.0.7");
        assert!(node.subject_alt_names.iter().any(|name| name == "10.0.0.7"));
        assert_eq!(node.administrators[0].as_str(), "someone");
        let api = config.api().unwrap();
        assert_eq!(
            (api.session_max, api.idle_timeout),
            (5, Duration::from_secs(9))
        );
        assert!(matches!(api.jwt[0].jwks, JwksSource::Discovery));
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        assert!(read("lissten = '127.0.0.1:1'").is_err());
        assert!(read("[limits]\ncontent_bytes = 1").is_err());
    }
}
