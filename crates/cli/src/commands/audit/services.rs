//! The three services in one process.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use audit::database::Database;
use audit::gateway::{self, Gateway};
use audit::model::Text;
use audit::proxy::{Proxy, Rules, Upstreams};
use audit::serve::{Identity, Served, serve};
use audit::trail::chain::{ChainSettings, MasterKey as ChainKey};
use audit::trail::log::EventLog;
use audit::trail::{ChainLog, LedgerLog, Recorder, Trail};
use audit::users::{self, MasterKey, SystemClock, Users};
use client::{Client, Credential};
use connector::Profile;
use tokio_util::sync::CancellationToken;
use verify::Cert;

use super::config::{Config, Connector};
use super::files;
use crate::connection::Connection;
use crate::report::Failure;

/// What runs.
pub(super) struct Services {
    /// Where the gateway is.
    pub(super) url: String,
    /// The certificate that it shows.
    pub(super) certificate: PathBuf,
    /// Where the proxy is.
    pub(super) proxy_url: Option<String>,
    /// The ledger that they are on.
    pub(super) ledger: String,
    /// Whether there is a root.
    pub(super) has_root: bool,
    database: Database,
    served: Vec<Served>,
    stop: CancellationToken,
}

impl Services {
    pub(super) async fn start(config: Config, ledger: Connection) -> Result<Self> {
        fs::create_dir_all(&config.dir).map_err(Failure::writing(&config.dir))?;
        let database = match &config.database {
            Some(address) => Database::open(address).await?,
            None => {
                Database::open(&format!("sqlite:{}", config.dir.join("audit.db").display())).await?
            }
        };
        let log: Arc<dyn EventLog> = match config.connector {
            Connector::Ledger => Arc::new(ledger_log(&ledger)?),
            Connector::Contracts => Arc::new(chain_log(&config.dir, &ledger, &database).await?),
        };
        let trail = Trail::new(database.clone(), log);
        let resumed = trail.resume().await?;
        if resumed > 0 {
            tracing::info!(resumed, "events that were on their way go on");
        }
        let (certificate, key) = files::identity(&config)?;
        let identity = Identity::read(&certificate, &key)?;
        let stop = CancellationToken::new();
        let users = open_users(&config, &database, &trail).await?;
        let has_root = users.has_root().await?;
        let kept = Arc::clone(&users);
        let stopping = stop.clone();
        tokio::spawn(async move { kept.keep_current(stopping).await });
        let settings = gateway::Config {
            log_reads: config.log_reads,
            open_to_visitors: config.open_to_visitors,
            public_url: config
                .public_url
                .clone()
                .unwrap_or_else(|| address(config.listen)),
            service_cert: ledger.service_cert,
        };
        let routes = Gateway::new(settings, trail.clone(), users).routes();
        let front = serve(config.listen, identity.clone(), routes, stop.clone()).await?;
        let url = format!("https://{}", front.address);
        let mut served = vec![front];
        let mut proxy_url = None;
        if let Some(proxy) = config.proxy {
            let routes = Proxy::new(
                Rules::new(proxy.rules)?,
                Upstreams::new(&proxy.upstreams)?,
                Arc::new(trail) as Arc<dyn Recorder>,
                Text::parse(proxy.user)?,
            );
            let front = serve(proxy.listen, identity, routes.routes(), stop.clone()).await?;
            proxy_url = Some(format!("https://{}", front.address));
            served.push(front);
        }
        Ok(Self {
            url,
            certificate,
            proxy_url,
            ledger: ledger.url,
            has_root,
            database,
            served,
            stop,
        })
    }

    /// Answers what is under way, and ends.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        for served in self.served {
            served.finished().await;
        }
        // Events that the ledger did not take yet are in the database, and go on at the next start.
        let closing = tokio::time::timeout(Duration::from_secs(5), self.database.close());
        if closing.await.is_err() {
            tracing::warn!("the database was still in use");
        }
    }
}

fn address(listen: SocketAddr) -> String {
    format!("https://{listen}")
}

fn ledger_log(ledger: &Connection) -> Result<LedgerLog> {
    Ok(LedgerLog::new(client_of(ledger)?, anchor(ledger)?))
}

fn client_of(ledger: &Connection) -> Result<Client> {
    let client = Client::builder(&ledger.url)
        .service_cert(&ledger.service_cert)
        .credential(ledger.credential.clone());
    Ok(client.build()?)
}

fn anchor(ledger: &Connection) -> Result<Cert> {
    Cert::from_pem(&ledger.service_cert).context("the ledger's service certificate")
}

/// The contracts on the ledger's own chain, reached as the ledger is.
async fn chain_log(dir: &Path, ledger: &Connection, database: &Database) -> Result<ChainLog> {
    let id = client_of(ledger)?
        .rpc("eth_chainId", serde_json::json!([]))
        .await?;
    let digits = id
        .as_str()
        .and_then(|id| id.strip_prefix("0x"))
        .context("the chain has no id")?;
    let id = u64::from_str_radix(digits, 16).context("the chain's id is no number")?;
    let rpc = format!("{}{}", ledger.url.trim_end_matches('/'), crate::chain::PATH);
    let (bearer, identity) = match &ledger.credential {
        Credential::None => (None, None),
        Credential::Bearer(token) => (Some(token.clone()), None),
        Credential::Certificate(pem) => (None, Some(pem.clone())),
    };
    let profile = Profile {
        trust: Some(ledger.service_cert.clone()),
        bearer,
        identity,
        ..Profile::counterfoil(rpc, id)
    };
    let settings = ChainSettings {
        profile,
        service_cert: Some(anchor(ledger)?),
        folder: dir.join("outboxes"),
        master: ChainKey::new(&*files::master_key(dir)?),
        root: None,
    };
    Ok(ChainLog::open(settings, database.clone()).await?)
}

async fn open_users(config: &Config, database: &Database, trail: &Trail) -> Result<Arc<Users>> {
    let issuer = config.issuer.as_deref().unwrap_or("counterfoil-audit");
    let keys = config.dir.join("token-keys");
    let settings = users::Config {
        consumers_register: config.consumers_register,
        record_logins: config.log_logins,
        ..users::Config::new(issuer, keys)
    };
    let master = MasterKey::new(*files::master_key(&config.dir)?);
    let recorder = Arc::new(trail.clone()) as Arc<dyn Recorder>;
    let clock = Arc::new(SystemClock);
    let users = Users::open(database.clone(), recorder, settings, master, clock).await?;
    Ok(Arc::new(users))
}
