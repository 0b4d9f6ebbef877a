//! Creates a ledger, or goes on with the one that is there, and sets the node going: [`crate::alone`]
//! or [`crate::among`] others.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::entries::Visibility;
use ledger::governance::{CONSTITUTION_TEXT, FoundingMember, actions};
use ledger::nodes::{self, NodeRow, NodeStatus, PutNode};
use ledger::recovery::{EarlierService, Recover};
use ledger::roles::ADMINISTRATOR;
use ledger::service::{Create, Genesis, Open};
use ledger::users::{Assign, AssignRoles};
use ledger::{LedgerSecret, LedgerSecrets, Rejection, State, Transaction, Tx, service};
use store::durable::write_atomically;
use store::order::Order;
use store::{Store, StoreOptions, StoreSecrets, Tail};
use time::{Duration, OffsetDateTime};
use verify::{Cert, Digest, View};

use crate::config::NodeConfig;
use crate::consensus::BeginError;
use crate::identity::{self, IdentityError, NODE_VALIDITY};
use crate::join::{Admitted, JoinFileError};
use crate::node::{Node, SERVICE_CERT_FILE};
use crate::peers::PeerTlsError;
use crate::platform::{self, Secrets, SecretsError};
use crate::sealing::NodeOpener;
use crate::submit::{Queue, Reply, Submission, SubmitError, Wait};
use crate::transfer::{self, FetchError};
use crate::{alone, among};

/// A node's certificate is renewed at a start within this time of its end.
const RENEW_BEFORE: Duration = Duration::days(60);

/// Holds the last view that was begun, so that none is ever begun twice.
pub(crate) const VIEW_FILE: &str = "view";

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
        "{dir} holds a ledger, but not its secrets ({file}); restore that file from a backup, or \
         where the secrets of all nodes are lost, recover the ledger with its members",
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
    /// The node was started without an address for other nodes, but is part of a network: alone it
    /// would begin a second history.
    #[error(
        "the node in {dir} is part of a network; start it with the address on which it listens for \
         the other nodes"
    )]
    PartOfNetwork {
        /// The node's folder.
        dir: PathBuf,
    },
    /// What the node was told when it joined cannot be read.
    #[error(transparent)]
    Joined(#[from] JoinFileError),
    /// The ledger did not come from the other nodes: the error says why.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The node cannot talk to others: the error says why.
    #[error(transparent)]
    Agreement(#[from] BeginError),
    /// The node's certificate or key do not do for TLS.
    #[error(transparent)]
    PeerTls(#[from] PeerTlsError),
    /// The first entries could not be agreed on.
    #[error("the first entries of the ledger were not recorded")]
    FirstWrites(#[source] SubmitError),
    /// The node stopped while it started: its log says why.
    #[error("the node stopped while it started")]
    Stopped,
}

/// What is the same in all steps of a start.
pub(crate) struct Starting<'a> {
    pub(crate) config: &'a NodeConfig,
    pub(crate) secrets: &'a Secrets,
    pub(crate) node_id: String,
    pub(crate) now: OffsetDateTime,
    /// Where other nodes reach this one.
    pub(crate) peer_address: Option<String>,
    /// The service that is followed by a new one after a disaster; `None` at any other start.
    pub(crate) recovers: Option<EarlierService>,
}

/// What a node starts with, and what it writes first.
pub(crate) struct Plan {
    pub(crate) visibility: Visibility,
    pub(crate) service_cert: String,
    pub(crate) node_cert: String,
    pub(crate) first_writes: Vec<Box<dyn Transaction>>,
}

pub(crate) fn start(config: &NodeConfig) -> Result<Node, StartError> {
    let dir = &config.dir;
    make_folder(dir)?;
    let secrets = secrets(dir)?;
    let ledger_secrets = Arc::new(ledger_secrets(&secrets)?);
    if let Some(admitted) = Admitted::read(dir)? {
        transfer::arrive(config, &admitted, &secrets)?;
    }
    let agreed = Order::exists(dir);
    if agreed && config.peers.is_none() {
        return Err(StartError::PartOfNetwork { dir: dir.clone() });
    }
    let options = StoreOptions {
        chunk_bytes: config.chunk_bytes,
        // What one node wrote alone is committed, even if it is not alone any more.
        tail: if agreed {
            Tail::Undecided
        } else {
            Tail::Committed
        },
        ..StoreOptions::default()
    };
    let store = Store::open(dir, store_secrets(&secrets, &ledger_secrets), options)?;
    let now = OffsetDateTime::now_utc();
    let starting = Starting {
        config,
        secrets: &secrets,
        node_id: node_id(&secrets, now)?,
        now,
        peer_address: None,
        recovers: None,
    };
    match &config.peers {
        None => alone::start(&starting, store, ledger_secrets),
        Some(peers) => among::start(starting, peers, store, ledger_secrets),
    }
}

impl Starting<'_> {
    /// What to begin or to go on with.
    pub(crate) fn plan(&self, state: &dyn State, empty: bool) -> Result<Plan, StartError> {
        let dir = &self.config.dir;
        if let Some(earlier) = &self.recovers {
            return self.recover(state, earlier.clone());
        }
        if let Some(row) = service::service(state) {
            return self.go_on(state, row.cert);
        }
        if let Some(admitted) = Admitted::read(dir)? {
            return Ok(Plan {
                visibility: admitted.visibility,
                service_cert: admitted.service_cert,
                node_cert: admitted.node_cert,
                first_writes: Vec::new(),
            });
        }
        if !empty {
            return Err(not_a_ledger(dir, "service row"));
        }
        self.create()
    }

    /// The first entries of a new ledger.
    fn create(&self) -> Result<Plan, StartError> {
        let service_cert = identity::service_cert(&self.secrets.service_key, self.now)?;
        let (node, node_cert) = self.new_node_row(&service_cert, None)?;
        let (program, settings) =
            platform::virtual_measurement().map_err(|source| StartError::Io {
                path: "/proc/self/exe".into(),
                source,
            })?;
        let virtual_nodes = (program.to_string(), settings.to_string());
        let create = Create {
            genesis: Genesis {
                visibility: self.config.visibility,
                created_at: u64::try_from(self.now.unix_timestamp()).unwrap_or(0),
            },
            service_cert: service_cert.clone(),
            node,
            members: self.founding_members()?,
            constitution: CONSTITUTION_TEXT.to_owned(),
            virtual_nodes: Some(virtual_nodes),
        };
        let create: Box<dyn Transaction> = match &self.config.founding_actions {
            Some(actions) => founding(create, actions)?,
            None => Box::new(create),
        };
        let mut first_writes: Vec<Box<dyn Transaction>> = vec![create, Box::new(Open)];
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

    /// A new service behind the one that was lost.
    fn recover(&self, state: &dyn State, earlier: EarlierService) -> Result<Plan, StartError> {
        let dir = &self.config.dir;
        let genesis = service::genesis(state).ok_or_else(|| not_a_ledger(dir, "genesis row"))?;
        let service_cert = identity::service_cert(&self.secrets.service_key, self.now)?;
        let (node, node_cert) = self.new_node_row(&service_cert, None)?;
        let recover = Recover {
            service_cert: service_cert.clone(),
            node,
            earlier,
        };
        Ok(Plan {
            visibility: genesis.visibility,
            service_cert,
            node_cert,
            first_writes: vec![Box::new(recover)],
        })
    }

    /// A restart: the same service, and a new node certificate only where it is needed.
    fn go_on(&self, state: &dyn State, service_cert: String) -> Result<Plan, StartError> {
        let dir = &self.config.dir;
        let genesis = service::genesis(state).ok_or_else(|| not_a_ledger(dir, "genesis row"))?;
        let service =
            Cert::from_pem(&service_cert).map_err(|_| not_a_ledger(dir, "service certificate"))?;
        let own = identity::service_cert(&self.secrets.service_key, self.now)?;
        let own = Cert::from_pem(&own).map_err(|_| not_a_ledger(dir, "service key"))?;
        if own.key_digest() != service.key_digest() {
            return Err(StartError::ForeignSecrets { dir: dir.clone() });
        }
        let row = nodes::node(state, &self.node_id);
        let right = row
            .as_ref()
            .filter(|row| self.still_right(row))
            .and_then(|row| row.cert.clone());
        let (node_cert, first_writes): (_, Vec<Box<dyn Transaction>>) = match right {
            Some(cert) => (cert, Vec::new()),
            None => {
                let (node, cert) = self.new_node_row(&service_cert, row)?;
                (cert, vec![Box::new(PutNode { node })])
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
            && row.peer_address == self.peer_address
            && row.cert_ends_at > (self.now + RENEW_BEFORE).unix_timestamp()
    }

    /// The row of this node, founder or known, with a new certificate.
    fn new_node_row(
        &self,
        service_cert: &str,
        known: Option<NodeRow>,
    ) -> Result<(NodeRow, String), StartError> {
        let names = &self.config.subject_alt_names;
        let cert = identity::node_cert(self.secrets, names, self.now)?;
        let key = Cert::from_pem(&cert).map_err(|_| IdentityError::Key { what: "node" })?;
        let (platform, evidence, nonce, data) = match known {
            Some(row) if !row.evidence.is_null() => {
                (row.platform, row.evidence, row.nonce, row.data)
            }
            known => {
                let service = Cert::from_pem(service_cert)
                    .map_err(|_| not_a_ledger(&self.config.dir, "service certificate"))?;
                let evidence = platform::founder_evidence(key.spki_der(), service.key_digest())
                    .map_err(|source| StartError::Io {
                        path: "/proc/self/exe".into(),
                        source,
                    })?;
                let data = known.map_or(serde_json::Value::Null, |row| row.data);
                (platform::VIRTUAL.to_owned(), evidence, String::new(), data)
            }
        };
        let node = NodeRow {
            id: self.node_id.clone(),
            status: NodeStatus::Trusted,
            public_key: STANDARD.encode(key.spki_der()),
            platform,
            evidence,
            nonce,
            address: self.config.published_address.clone(),
            peer_address: self.peer_address.clone(),
            subject_alt_names: names.clone(),
            cert: Some(cert.clone()),
            cert_ends_at: (self.now + NODE_VALIDITY).unix_timestamp(),
            data,
        };
        Ok((node, cert))
    }

    /// Those whom the operator names. Where nobody is named, one whose key is drawn here and stays
    /// with the operator.
    fn founding_members(&self) -> Result<Vec<FoundingMember>, StartError> {
        if !self.config.members.is_empty() {
            return Ok(self.config.members.clone());
        }
        let (cert, key) = identity::draw_member(self.now)?;
        for (name, text, mode) in [
            ("member0_privk.pem", &*key, 0o600),
            ("member0_cert.pem", &cert, 0o644),
        ] {
            let path = self.config.dir.join(name);
            write_atomically(&path, text.as_bytes(), mode)
                .map_err(|source| StartError::Io { path, source })?;
        }
        let data = serde_json::json!({ "name": "Founding member" });
        let member = FoundingMember::active(&cert, None, data)
            .map_err(|_| not_a_ledger(&self.config.dir, "member certificate"))?;
        Ok(vec![member])
    }
}

/// The creation of a ledger, with what is decided in the same entry.
fn founding(create: Create, proposal: &str) -> Result<Box<dyn Transaction>, Rejection> {
    let parse =
        |proposal: &str| actions::parse(proposal.as_bytes()).map_err(Rejection::InvalidInput);
    parse(proposal)?;
    let proposal = proposal.to_owned();
    Ok(Box::new(move |tx: &mut Tx<'_>| {
        Box::new(create).run(tx)?;
        parse(&proposal)?.apply(tx).map_err(Rejection::Conflict)?;
        Ok(Digest::ZERO)
    }))
}

/// Records what a node writes first, and waits until it is committed.
pub(crate) fn write_first(
    queue: &Queue,
    transactions: Vec<Box<dyn Transaction>>,
) -> Result<(), StartError> {
    if transactions.is_empty() {
        return Ok(());
    }
    let (sender, answers) = mpsc::channel();
    let reply = Reply::Blocking(sender);
    queue
        .submit(Submission {
            transactions,
            wait: Wait::Committed,
            reply,
        })
        .map_err(StartError::FirstWrites)?;
    let answers = answers.recv().map_err(|_| StartError::Stopped)?;
    for answer in answers.map_err(StartError::FirstWrites)? {
        answer?;
    }
    Ok(())
}

/// The ledger secrets that a node begins with; it learns of others from the ledger.
pub(crate) fn ledger_secrets(secrets: &Secrets) -> Result<LedgerSecrets, IdentityError> {
    let opener = NodeOpener::new(&secrets.node_key)?;
    Ok(LedgerSecrets::new(&secrets.ledger_secrets).opened_by(Box::new(opener)))
}

/// What the store needs of a node's secrets.
pub(crate) fn store_secrets(secrets: &Secrets, ledger: &Arc<LedgerSecrets>) -> StoreSecrets {
    StoreSecrets {
        ledger: Arc::clone(ledger),
        state: Arc::new(LedgerSecret::new(*secrets.state_secret)),
    }
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

/// The last view that was begun here by a node alone; the default if none was.
pub(crate) fn begun_view(dir: &Path) -> Result<View, StartError> {
    let path = dir.join(VIEW_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let damaged = || std::io::Error::new(ErrorKind::InvalidData, "not a number");
            let view = text.trim().parse().map_err(|_| damaged());
            Ok(View(
                view.map_err(|source| StartError::Io { path, source })?,
            ))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(View::default()),
        Err(source) => Err(StartError::Io { path, source }),
    }
}

/// Begins a view after all that were ever begun here, and makes that durable first: a seqno may be
/// given out again after a crash, but never in the same view, so no key and nonce meet twice.
pub(crate) fn begin_view(dir: &Path, committed: View) -> Result<View, StartError> {
    let begun = begun_view(dir)?;
    let view = View::FIRST.max(begun.max(committed).next());
    let path = dir.join(VIEW_FILE);
    write_atomically(&path, format!("{view}\n").as_bytes(), 0o600)
        .map_err(|source| StartError::Io { path, source })?;
    Ok(view)
}

pub(crate) fn node_id(secrets: &Secrets, now: OffsetDateTime) -> Result<String, StartError> {
    let cert = identity::node_cert(secrets, &[], now)?;
    let cert = Cert::from_pem(&cert).map_err(|_| IdentityError::Key { what: "node" })?;
    Ok(cert.key_digest().to_string())
}

pub(crate) fn write_service_cert(dir: &Path, cert: &str) -> Result<(), StartError> {
    let path = dir.join(SERVICE_CERT_FILE);
    write_atomically(&path, cert.as_bytes(), 0o644)
        .map_err(|source| StartError::Io { path, source })
}

pub(crate) fn not_a_ledger(dir: &Path, what: &'static str) -> StartError {
    StartError::NotALedger {
        dir: dir.to_owned(),
        what,
    }
}
