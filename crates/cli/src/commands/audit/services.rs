//! The services, in one process or each alone.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use audit::database::Database;
use audit::edge::Edge;
use audit::gateway::{self, Gateway};
use audit::inside::{self, Credentials, Peers, Service, TrailAt, UsersAt};
use audit::metrics::Metrics;
use audit::model::Text;
use audit::proxy::{Proxy, Rules, Upstreams};
use audit::serve::{Identity, Listening, Served, serve};
use audit::telemetry::{Entry, Telemetry};
use audit::trail::log::EventLog;
use audit::trail::{ChainLog, LedgerLog, Recorder, Trail};
use audit::users::{self, MasterKey, Secret, SystemClock, Users};
use client::{Client, Credential};
use connector::Profile;
use tokio_util::sync::CancellationToken;
use verify::Cert;

use super::chain::{self, Chain};
use super::config::{Config, Connector};
use super::files::{self, Replica};
use super::traces;
use crate::connection::{Connection, ConnectionArgs};
use crate::report::Failure;

/// What runs.
pub(super) struct Services {
    /// Where it is reached.
    pub(super) url: String,
    /// The certificate that it shows; between services, that of their authority.
    pub(super) certificate: PathBuf,
    /// Where the proxy is.
    pub(super) proxy_url: Option<String>,
    /// Where its numbers are.
    pub(super) metrics_url: Option<String>,
    /// Where events go, if they go there from here.
    pub(super) onto: Option<Onto>,
    /// Whether there is a root, if that is known here.
    pub(super) has_root: Option<bool>,
    metrics: Metrics,
    telemetry: Telemetry,
    database: Option<Database>,
    trail: Option<Trail>,
    served: Vec<Served>,
    stop: CancellationToken,
    _replica: Option<Replica>,
}

/// Where events go.
#[derive(Debug)]
pub(super) enum Onto {
    /// Into a ledger, or through the contracts on its chain.
    Ledger(Connection),
    /// Through the contracts on another chain.
    Chain(Chain),
}

impl Onto {
    /// What the configuration says, or what is said beside it.
    pub(super) fn of(config: &Config, connection: &ConnectionArgs) -> Result<Self, Failure> {
        match &config.chain {
            None => Ok(Self::Ledger(connection.read()?)),
            Some(chain) => {
                no_ledger(connection.given())?;
                Ok(Self::Chain(chain.clone()))
            }
        }
    }
}

/// Refuses a flag about a ledger beside `[chain]`.
pub(super) fn no_ledger(given: Option<&str>) -> Result<(), Failure> {
    let Some(given) = given else {
        return Ok(());
    };
    let what =
        format!("{given} is about a ledger, and the configuration says [chain]: events go to one");
    let hint = "leave it out, in the environment too, or take [chain] out of the configuration";
    Err(Failure::unreadable(what).hint(hint))
}

impl Services {
    /// All three in this process.
    pub(super) async fn start(config: Config, onto: Onto) -> Result<Self> {
        let mut services = Self::begin(&config, "all")?;
        let database = services.open_database(&config).await?;
        let trail = services.open_trail(&config, &onto, &database).await?;
        let recorder = services.metrics.counting("users", Arc::new(trail.clone()));
        let users = services.open_users(&config, database, recorder).await?;
        let service_cert = match &onto {
            Onto::Ledger(ledger) => Some(ledger.service_cert.clone()),
            Onto::Chain(_) => None,
        };
        services.onto = Some(onto);
        let (trail, users) = (trail.into(), users.into());
        services
            .serve_gateway(config, service_cert, trail, users)
            .await?;
        Ok(services)
    }

    /// The gateway, which asks the others.
    pub(super) async fn gateway(config: Config, service_cert: Option<String>) -> Result<Self> {
        let mut services = Self::begin(&config, "gateway")?;
        let credentials = credentials(&config, Service::Gateway)?;
        let alone = &config.services;
        let trail = Peers::new(Service::Audit, &alone.audit, &credentials)?.into();
        let users = Peers::new(Service::Users, &alone.users, &credentials)?.into();
        services
            .serve_gateway(config, service_cert, trail, users)
            .await?;
        Ok(services)
    }

    /// The users' service, whose events the audit service records.
    pub(super) async fn users(config: Config) -> Result<Self> {
        let mut services = Self::begin(&config, "users")?;
        let credentials = credentials(&config, Service::Users)?;
        let alone = &config.services;
        let trail: TrailAt = Peers::new(Service::Audit, &alone.audit, &credentials)?.into();
        let database = services.open_database(&config).await?;
        let recorder = services.metrics.counting("users", Arc::new(trail));
        let users = services.open_users(&config, database, recorder);
        let routes = inside::users::routes(users.await?);
        let routes = services.telemetry.around(routes, Entry::Inside);
        let identity = credentials.serving()?;
        services.certificate = alone.identity.join("ca.pem");
        let listening = Listening::at(alone.users_listen).await?;
        services.serve(listening, identity, routes);
        Ok(services)
    }

    /// The audit service, which sends events where they go.
    pub(super) async fn audit(config: Config, onto: Onto) -> Result<Self> {
        let mut services = Self::begin(&config, "audit")?;
        let credentials = credentials(&config, Service::Audit)?;
        let alone = &config.services;
        let database = services.open_database(&config).await?;
        let trail = services.open_trail(&config, &onto, &database).await?;
        let routes = inside::trail::routes(trail);
        let routes = services.telemetry.around(routes, Entry::Inside);
        let identity = credentials.serving()?;
        services.certificate = alone.identity.join("ca.pem");
        services.onto = Some(onto);
        let listening = Listening::at(alone.audit_listen).await?;
        services.serve(listening, identity, routes);
        Ok(services)
    }

    /// Nothing yet, in a process of this name.
    fn begin(config: &Config, name: &str) -> Result<Self> {
        fs::create_dir_all(&config.dir).map_err(Failure::writing(&config.dir))?;
        let metrics = Metrics::new();
        Ok(Self {
            url: String::new(),
            certificate: PathBuf::new(),
            proxy_url: None,
            metrics_url: None,
            onto: None,
            has_root: None,
            telemetry: traces::telemetry(config, name, &metrics)?,
            metrics,
            database: None,
            trail: None,
            served: Vec::new(),
            stop: CancellationToken::new(),
            _replica: None,
        })
    }

    async fn open_database(&mut self, config: &Config) -> Result<Database> {
        let database = Database::open(&config.database()).await?;
        self.database = Some(database.clone());
        Ok(database)
    }

    async fn open_trail(
        &mut self,
        config: &Config,
        onto: &Onto,
        database: &Database,
    ) -> Result<Trail> {
        let replica = Replica::of(&config.dir)?;
        let log: Arc<dyn EventLog> = match (onto, config.connector) {
            (Onto::Chain(chain), _) => Arc::new(chain.log(config, database).await?),
            (Onto::Ledger(ledger), Connector::Ledger) => Arc::new(ledger_log(ledger)?),
            (Onto::Ledger(ledger), Connector::Contracts) => {
                Arc::new(chain_log(config, ledger, database).await?)
            }
        };
        let journal = config.dir.join("journal");
        let trail = Trail::by_journal(&replica.name, database.clone(), log, &journal).await?;
        self.trail = Some(trail.clone());
        self._replica = Some(replica);
        let resumed = trail.resume().await?;
        if resumed > 0 {
            tracing::info!(resumed, "events that were on their way go on");
        }
        let (kept, stopping) = (trail.clone(), self.stop.clone());
        tokio::spawn(async move { kept.keep_sending(stopping).await });
        Ok(trail)
    }

    async fn open_users(
        &mut self,
        config: &Config,
        database: Database,
        recorder: Arc<dyn Recorder>,
    ) -> Result<Arc<Users>> {
        let issuer = config.issuer.as_deref().unwrap_or("counterfoil-audit");
        let settings = users::Config {
            consumers_register: config.consumers_register,
            record_logins: config.log_logins,
            oidc: provider(config)?,
            ..users::Config::new(issuer, config.token_keys())
        };
        let master = MasterKey::new(*files::master_key(&config.master_key())?);
        let clock = Arc::new(SystemClock);
        let users = Arc::new(Users::open(database, recorder, settings, master, clock).await?);
        self.has_root = Some(users.has_root().await?);
        let (kept, stopping) = (Arc::clone(&users), self.stop.clone());
        tokio::spawn(async move { kept.keep_current(stopping).await });
        Ok(users)
    }

    async fn serve_gateway(
        &mut self,
        config: Config,
        service_cert: Option<String>,
        trail: TrailAt,
        users: UsersAt,
    ) -> Result<()> {
        let (certificate, key) = files::identity(&config)?;
        let identity = Identity::read(&certificate, &key)?;
        self.certificate = certificate;
        let edge = Edge::new(config.edge(), self.metrics.clone());
        let listening = Listening::at(config.listen).await?;
        let settings = gateway::Config {
            log_reads: config.log_reads,
            open_to_visitors: config.open_to_visitors,
            public_url: config
                .public_url
                .clone()
                .unwrap_or_else(|| address(listening.address)),
            service_cert,
            oidc: config.oidc.as_ref().map(|oidc| oidc.name.clone()),
            edge: edge.clone(),
        };
        let routes = Gateway::new(settings, trail.clone(), users).routes();
        let routes = self.telemetry.around(routes, Entry::Gateway);
        self.serve(listening, identity.clone(), routes);
        if let Some(listen) = config.metrics_listen {
            let routes = self.metrics.clone().routes(self.database.clone());
            let beside = serve(listen, identity.clone(), routes, self.stop.clone()).await?;
            self.metrics_url = Some(format!("https://{}/metrics", beside.address));
            self.served.push(beside);
        }
        if let Some(proxy) = config.proxy {
            let routes = Proxy::new(
                Rules::new(proxy.rules)?,
                Upstreams::new(&proxy.upstreams)?,
                self.metrics.counting("proxy", Arc::new(trail)),
                Text::parse(proxy.user)?,
            );
            let routes = routes.audited_only(proxy.audited_only).routes(&edge);
            let routes = self.telemetry.around(routes, Entry::Proxy);
            let front = serve(proxy.listen, identity, routes, self.stop.clone()).await?;
            self.proxy_url = Some(address(front.address));
            self.served.push(front);
        }
        Ok(())
    }

    fn serve(&mut self, listening: Listening, identity: Identity, routes: axum::Router) {
        self.url = address(listening.address);
        let front = listening.serve(identity, routes, self.stop.clone());
        self.served.push(front);
    }

    /// Answers what is under way, and ends.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        for served in self.served {
            served.finished().await;
        }
        self.telemetry.finish().await;
        let Some(database) = self.database else {
            return;
        };
        // Events that the ledger did not take yet are in the database, and go on at the next start.
        let closing = async {
            if let Some(trail) = self.trail
                && let Err(problem) = trail.settled().await
            {
                tracing::warn!(%problem, "the journal has events that the database does not");
            }
            database.close().await;
        };
        if tokio::time::timeout(Duration::from_secs(5), closing)
            .await
            .is_err()
        {
            tracing::warn!("the database was still in use");
        }
    }
}

fn credentials(config: &Config, service: Service) -> Result<Credentials> {
    let folder = &config.services.identity;
    let read = Credentials::read(service, folder).map_err(|error| {
        let what = format!("{} does not say who this service is", folder.display());
        let hint = "`counterfoil audit identity FOLDER` makes the certificates";
        Failure::unreadable(what).because(error).hint(hint)
    });
    Ok(read?)
}

/// The identity provider, as the users' service asks it.
fn provider(config: &Config) -> Result<Option<users::oidc::Config>> {
    let Some(oidc) = &config.oidc else {
        return Ok(None);
    };
    // It is registered there, so it is never guessed.
    let missing =
        || Failure::unreadable("[oidc] needs public_url: the provider sends browsers there");
    let public_url = config.public_url.as_deref().ok_or_else(missing)?;
    let secret = files::secret(&oidc.client_secret_file)?;
    Ok(Some(users::oidc::Config {
        issuer: oidc.issuer.clone(),
        client_id: oidc.client_id.clone(),
        client_secret: Secret::from(secret.as_str()),
        scopes: oidc.scopes.clone(),
        acr: oidc.acr.clone(),
        audiences: oidc.audiences.clone(),
        redirect_uri: format!("{}/oidc", public_url.trim_end_matches('/')),
        link_by_email: oidc.link_by_email,
    }))
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
async fn chain_log(config: &Config, ledger: &Connection, database: &Database) -> Result<ChainLog> {
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
    let settings = chain::settings(config, profile, Some(anchor(ledger)?))?;
    Ok(ChainLog::open(settings, database.clone()).await?)
}
