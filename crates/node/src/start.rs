//! Creates a ledger, or recovers the one that is there, and sets the node going.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use ledger::entries::Visibility;
use ledger::roles::ADMINISTRATOR;
use ledger::service::{Create, Genesis, NodeRow, Open, RenewNode};
use ledger::users::{Assign, AssignRoles};
use ledger::{LedgerSecret, Rejection, Transaction, service};
use store::durable::write_atomically;
use store::{Store, StoreOptions};
use time::{Duration, OffsetDateTime};
use tokio::sync::watch;
use verify::{Cert, View};

use crate::committer::Committer;
use crate::config::NodeConfig;
use crate::executor::Executor;
use crate::identity::{self, IdentityError, NODE_VALIDITY, NodeSigner, ServiceSigner};
use crate::metrics::Metrics;
use crate::node::{Node, SERVICE_CERT_FILE};
use crate::pace::Pace;
use crate::platform::{self, Secrets, SecretsError};
use crate::receipts::CoseRoots;
use crate::signer::{RootSigner, Signer};
use crate::speculative::Speculative;
use crate::submit::{Queue, Reply, Submission, Wait};

/// A node's certificate is renewed at a start within this time of its end.
const RENEW_BEFORE: Duration = Duration::days(60);

/// Holds the last view that was begun, so that none is ever begun twice.
const VIEW_FILE: &str = "view";

const CONSTITUTION: &str = include_str!("../../ledger/src/constitution.txt");

/// Why a node does not start. Nothing was changed, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Check the folder's owner and mode, and the disk.
    #[error("preparing {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Restore the file, or correct its mode.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// Restore the secrets file from a backup; without it the private entries cannot be read.
    #[error(
        "{dir} holds a ledger, but not its secrets ({file}); restore that file from a backup",
        file = platform::SECRETS_FILE
    )]
    SecretsMissing {
        /// The node's folder.
        dir: PathBuf,
    },
    /// The secrets are those of another ledger: restore the right file.
    #[error("the secrets in {dir} belong to another ledger: the service's key does not match")]
    ForeignSecrets {
        /// The node's folder.
        dir: PathBuf,
    },
    /// Correct the names in the configuration, or the secrets file.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The ledger is damaged, or in use by another process: the error says where and what to do.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The ledger opens, but its first entries are not those of a ledger.
    #[error("the ledger in {dir} has no readable {what}")]
    NotALedger {
        /// The node's folder.
        dir: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// The configuration asks for a first entry that the rules refuse.
    #[error("the ledger's first entries are refused")]
    Genesis(#[from] Rejection),
    /// The node stopped while it started: its log says why.
    #[error("the node stopped while it started")]
    Stopped,
}

/// What is the same in all steps of a start.
struct Starting<'a> {
    config: &'a NodeConfig,
    secrets: &'a Secrets,
    node_id: String,
    now: OffsetDateTime,
}

pub(crate) fn start(config: NodeConfig) -> Result<Node, StartError> {
    make_folder(&config.dir)?;
    let secrets = secrets(&config.dir)?;
    let secret = Arc::new(LedgerSecret::new(*secrets.ledger_secret));
    let options = StoreOptions {
        chunk_bytes: config.chunk_bytes,
        ..StoreOptions::default()
    };
    let store = Store::open(&config.dir, Arc::clone(&secret), options)?;
    let reader = store.reader();
    let view = begin_view(&config.dir, reader.committed().view)?;

    let now = OffsetDateTime::now_utc();
    let node_id = node_id(&secrets, now)?;
    let starting = Starting {
        config: &config,
        secrets: &secrets,
        node_id,
        now,
    };
    let plan = match service::service(&*reader) {
        Some(row) => starting.go_on(&*reader, row.cert)?,
        None if reader.committed().seqno.0 == 0 => starting.create()?,
        None => return Err(not_a_ledger(&config.dir, "service row")),
    };
    let node = set_going(&starting, store, secret, view, &plan)?;
    blocking_submit(&node, plan.first_writes)?;
    write_service_cert(&config.dir, &plan.service_cert)?;
    Ok(node)
}

/// What a node starts with, and what it writes first.
struct Plan {
    visibility: Visibility,
    service_cert: String,
    node_cert: String,
    first_writes: Vec<Box<dyn Transaction>>,
}

impl Starting<'_> {
    /// The first entries of a new ledger.
    fn create(&self) -> Result<Plan, StartError> {
        let service_cert = identity::service_cert(&self.secrets.service_key, self.now)?;
        let node = self.new_node_row()?;
        let node_cert = node.cert.clone();
        let create = Create {
            genesis: Genesis {
                visibility: self.config.visibility,
                created_at: u64::try_from(self.now.unix_timestamp()).unwrap_or(0),
            },
            service_cert: service_cert.clone(),
            node,
            members: vec![self.founding_member()?],
            constitution: CONSTITUTION.to_owned(),
        };
        let mut first_writes: Vec<Box<dyn Transaction>> = vec![Box::new(create), Box::new(Open)];
        for user in &self.config.administrators {
            first_writes.push(Box::new(AssignRoles {
                user: user.clone(),
                roles: [ADMINISTRATOR.to_owned()].into(),
                assign: Assign::Add,
            }));
        }
        Ok(Plan {
            visibility: self.config.visibility,
            service_cert,
            node_cert,
            first_writes,
        })
    }

    /// A restart: the same service, and a new node certificate only where it is needed.
    fn go_on(&self, state: &dyn ledger::State, service_cert: String) -> Result<Plan, StartError> {
        let dir = &self.config.dir;
        let genesis = service::genesis(state).ok_or_else(|| not_a_ledger(dir, "genesis row"))?;
        let service =
            Cert::from_pem(&service_cert).map_err(|_| not_a_ledger(dir, "service certificate"))?;
        let own = identity::service_cert(&self.secrets.service_key, self.now)?;
        let own = Cert::from_pem(&own).map_err(|_| not_a_ledger(dir, "service key"))?;
        if own.key_digest() != service.key_digest() {
            return Err(StartError::ForeignSecrets { dir: dir.clone() });
        }
        let (node_cert, first_writes): (_, Vec<Box<dyn Transaction>>) =
            match service::node(state, &self.node_id).filter(|row| self.still_right(row)) {
                Some(row) => (row.cert, Vec::new()),
                None => {
                    let node = self.new_node_row()?;
                    (node.cert.clone(), vec![Box::new(RenewNode { node })])
                }
            };
        Ok(Plan {
            visibility: genesis.visibility,
            service_cert,
            node_cert,
            first_writes,
        })
    }

    fn still_right(&self, row: &NodeRow) -> bool {
        row.subject_alt_names == self.config.subject_alt_names
            && row.address == self.config.published_address
            && row.cert_ends_at > (self.now + RENEW_BEFORE).unix_timestamp()
    }

    fn new_node_row(&self) -> Result<NodeRow, StartError> {
        let names = &self.config.subject_alt_names;
        Ok(NodeRow {
            id: self.node_id.clone(),
            cert: identity::node_cert(self.secrets, names, self.now)?,
            platform: platform::VIRTUAL.to_owned(),
            address: self.config.published_address.clone(),
            subject_alt_names: names.clone(),
            cert_ends_at: (self.now + NODE_VALIDITY).unix_timestamp(),
        })
    }

    /// Draws the founding member's key, which stays with the operator, and returns id and certificate.
    fn founding_member(&self) -> Result<(String, String), StartError> {
        let (cert, key) = identity::draw_member(self.now)?;
        for (name, text, mode) in [
            ("member0_privk.pem", &*key, 0o600),
            ("member0_cert.pem", &cert, 0o644),
        ] {
            let path = self.config.dir.join(name);
            write_atomically(&path, text.as_bytes(), mode)
                .map_err(|source| StartError::Io { path, source })?;
        }
        let id = Cert::from_pem(&cert)
            .map_err(|_| not_a_ledger(&self.config.dir, "member certificate"))?
            .fingerprint()
            .to_string();
        Ok((id, cert))
    }
}

fn set_going(
    starting: &Starting<'_>,
    store: Store,
    secret: Arc<LedgerSecret>,
    view: View,
    plan: &Plan,
) -> Result<Node, StartError> {
    let dir = &starting.config.dir;
    let service =
        Cert::from_pem(&plan.service_cert).map_err(|_| not_a_ledger(dir, "service certificate"))?;
    let node_cert =
        Cert::from_pem(&plan.node_cert).map_err(|_| not_a_ledger(dir, "node certificate"))?;
    let service_signer = Arc::new(RootSigner {
        key_id: service.key_digest().to_string(),
        key: ServiceSigner::new(&starting.secrets.service_key)?,
    });
    let reader = store.reader();
    let metrics = Metrics::default();
    let (log, batches) = mpsc::channel();
    let (committed_sender, committed) = watch::channel(reader.committed());
    let limit = starting.config.queue_entries;
    let queue = Arc::new(Queue::new(limit, metrics.clone()));
    let executed = Arc::new(AtomicU64::new(reader.committed().seqno.0));
    let access_version = Arc::new(AtomicU64::new(0));
    let executor = Executor {
        view,
        secret: Arc::clone(&secret),
        state: Speculative::new(Arc::clone(&reader)),
        tree: store.frontier().clone(),
        signer: Signer {
            node_id: starting.node_id.clone(),
            node_cert: plan.node_cert.clone(),
            node: NodeSigner::new(&starting.secrets.node_key)?,
            service: Arc::clone(&service_signer),
            service_signed: None,
        },
        queue: Arc::clone(&queue),
        log,
        executed: Arc::clone(&executed),
        pace: Pace::default(),
        metrics: metrics.clone(),
    };
    let committer = Committer {
        store,
        batches,
        queue: Arc::clone(&queue),
        committed: committed_sender,
        access_version: Arc::clone(&access_version),
        metrics: metrics.clone(),
    };
    let threads = vec![
        spawn(dir, "executor", move || executor.run())?,
        spawn(dir, "committer", move || committer.run())?,
    ];
    Ok(Node {
        id: starting.node_id.clone(),
        view,
        visibility: plan.visibility,
        limits: starting.config.limits,
        service_cert: plan.service_cert.clone(),
        node_cert_pem: plan.node_cert.clone(),
        node_cert,
        tls_key: starting.secrets.node_key.clone(),
        secret,
        reader,
        queue,
        committed,
        executed,
        access_version,
        service_signer,
        cose_roots: CoseRoots::default(),
        metrics,
        threads: Mutex::new(threads),
    })
}

/// Starts a thread whose panic ends the process: a node without it would never answer again.
fn spawn(
    dir: &Path,
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    struct EndsWithUs;
    impl Drop for EndsWithUs {
        fn drop(&mut self) {
            if std::thread::panicking() {
                tracing::error!("a thread of the node panicked; the node stops");
                std::process::abort();
            }
        }
    }
    let work = move || {
        let _guard = EndsWithUs;
        work();
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|source| StartError::Io {
            path: dir.to_owned(),
            source,
        })
}

fn blocking_submit(node: &Node, transactions: Vec<Box<dyn Transaction>>) -> Result<(), StartError> {
    if transactions.is_empty() {
        return Ok(());
    }
    let (sender, answers) = mpsc::channel();
    let reply = Reply::Blocking(sender);
    node.queue
        .submit(Submission {
            transactions,
            wait: Wait::Committed,
            reply,
        })
        .map_err(|_| StartError::Stopped)?;
    for answer in answers.recv().map_err(|_| StartError::Stopped)? {
        answer?;
    }
    Ok(())
}

fn make_folder(dir: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| StartError::Io {
            path: dir.to_owned(),
            source,
        })
}

fn secrets(dir: &Path) -> Result<Secrets, StartError> {
    if let Some(secrets) = platform::load(dir)? {
        return Ok(secrets);
    }
    let ledger = dir.join("ledger");
    let holds_a_ledger = match std::fs::read_dir(&ledger) {
        Ok(mut files) => files.next().is_some(),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(source) => {
            return Err(StartError::Io {
                path: ledger,
                source,
            });
        }
    };
    if holds_a_ledger {
        return Err(StartError::SecretsMissing {
            dir: dir.to_owned(),
        });
    }
    let secrets = identity::draw_secrets()?;
    platform::save(dir, &secrets)?;
    Ok(secrets)
}

/// Begins a view after all that were ever begun here, and makes that durable first: a seqno may be
/// given out again after a crash, but never in the same view, so no key and nonce meet twice.
fn begin_view(dir: &Path, committed: View) -> Result<View, StartError> {
    let path = dir.join(VIEW_FILE);
    let begun = match std::fs::read_to_string(&path) {
        Ok(text) => {
            let damaged = || std::io::Error::new(ErrorKind::InvalidData, "not a number");
            let view = text.trim().parse().map_err(|_| damaged());
            View(view.map_err(|source| StartError::Io {
                path: path.clone(),
                source,
            })?)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => View::default(),
        Err(source) => return Err(StartError::Io { path, source }),
    };
    let view = View::FIRST.max(begun.max(committed).next());
    write_atomically(&path, format!("{view}\n").as_bytes(), 0o600)
        .map_err(|source| StartError::Io { path, source })?;
    Ok(view)
}

fn node_id(secrets: &Secrets, now: OffsetDateTime) -> Result<String, StartError> {
    let cert = identity::node_cert(secrets, &[], now)?;
    let cert = Cert::from_pem(&cert).map_err(|_| IdentityError::Key { what: "node" })?;
    Ok(cert.key_digest().to_string())
}

fn write_service_cert(dir: &Path, cert: &str) -> Result<(), StartError> {
    let path = dir.join(SERVICE_CERT_FILE);
    write_atomically(&path, cert.as_bytes(), 0o644)
        .map_err(|source| StartError::Io { path, source })
}

fn not_a_ledger(dir: &Path, what: &'static str) -> StartError {
    StartError::NotALedger {
        dir: dir.to_owned(),
        what,
    }
}
