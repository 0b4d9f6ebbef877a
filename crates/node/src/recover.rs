//! Taking a ledger up after a disaster: all nodes were lost with their secrets, and a copy of the
//! ledger files was not.
//!
//! The files are checked as an auditor does, up to the last signed root; what follows it is cut. Then
//! a new service is written behind them, which endorses the one before it. It has one node, this one.
//! What is private stays sealed until members give their shares ([`crate::shares`]).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::LedgerSecrets;
use ledger::recovery::{EarlierService, EndorsementRow};
use ledger::service::ServiceRow;
use ledger::shares::RecoveryShares;
use ledger::tables::{RECOVERY_SHARES, SERVICE, SINGLETON};
use store::durable::write_atomically;
use store::{AuditError, AuditOptions, AuditReport, Store, StoreOptions, audit_each};
use time::OffsetDateTime;
use verify::{Cert, TxId, View, cose};

use crate::alone;
use crate::config::NodeConfig;
use crate::identity::{self, IdentityError, ServiceSigner};
use crate::join::ADMITTED_FILE;
use crate::platform::{self, Secrets, SecretsError};
use crate::start::{StartError, Starting, VIEW_FILE, node_id};

/// COSE algorithm ES384 (RFC 9053).
const ES384: i64 = -35;

/// In the folder of a recovered node: the certificate of the service before, which members name when
/// they accept the new one.
pub const PREVIOUS_SERVICE_CERT_FILE: &str = "previous_service_cert.pem";

/// What was found and begun.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The last transaction of the service before: compare it with what users and other copies know.
    pub last: TxId,
    /// Entries up to it.
    pub entries: u64,
    /// Bytes behind it that no root covers: cut.
    pub cut_bytes: u64,
    /// The service before.
    pub previous: Cert,
    /// The new service.
    pub service: Cert,
    /// How many shares open the ledger again.
    pub threshold: u64,
    /// How many members hold one.
    pub holders: usize,
}

/// Why a ledger is not recovered. Nothing was written to it.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// Copy the folder `ledger` of a lost node there.
    #[error("{dir} has no folder `ledger` with ledger files")]
    NoLedger {
        /// The node's folder.
        dir: PathBuf,
    },
    /// Start the node.
    #[error("{dir} holds the secrets of its ledger: there is nothing to recover, start the node")]
    NothingLost {
        /// The node's folder.
        dir: PathBuf,
    },
    /// Start the node: members have to go on.
    #[error("the ledger in {dir} was taken up before; start the node, and let members go on")]
    TakenUp {
        /// The node's folder.
        dir: PathBuf,
    },
    /// Take them away, or choose another folder.
    #[error("{dir} holds the secrets of another ledger; move {file} away", file = platform::SECRETS_FILE)]
    ForeignSecrets {
        /// The node's folder.
        dir: PathBuf,
    },
    /// Its private entries are lost, unless somebody has a node's secrets.
    #[error(
        "nobody holds recovery shares of this ledger, so nobody can open it again; find the secrets \
         of a node ({file})",
        file = platform::SECRETS_FILE
    )]
    NoShares,
    /// The files are damaged: take those of another node.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A file cannot be written.
    #[error("writing {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Secrets cannot be kept.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// Keys cannot be drawn.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The node does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Takes up the ledger in the folder of `config`, and leaves it for [`crate::Node::start`].
///
/// Reads and checks the whole ledger. If it is interrupted, run it again: it begins anew.
///
/// # Errors
/// See [`RecoverError`].
pub fn recover(
    config: &NodeConfig,
    progress: impl FnMut(store::Progress),
) -> Result<Recovered, RecoverError> {
    let dir = &config.dir;
    let found = Found::audit(dir, progress)?;
    refuse_known(dir, &found)?;
    let shares = found.shares.as_ref().ok_or(RecoverError::NoShares)?;
    let secrets = found.begin(dir)?;
    let now = OffsetDateTime::now_utc();
    let earlier = found.earlier(&secrets, now)?;
    let service = found.write(config, &secrets, earlier, now)?;
    Ok(Recovered {
        last: found.report.last,
        entries: found.report.entries,
        cut_bytes: found.report.unfinished_bytes,
        previous: found.report.service.clone(),
        service,
        threshold: shares.recovery_threshold,
        holders: shares.encrypted_shares.len(),
    })
}

/// What the ledger files say.
struct Found {
    report: AuditReport,
    service: ServiceRow,
    shares: Option<RecoveryShares>,
}

impl Found {
    fn audit(dir: &Path, progress: impl FnMut(store::Progress)) -> Result<Self, RecoverError> {
        let ledger = dir.join("ledger");
        let no_ledger = || RecoverError::NoLedger {
            dir: dir.to_owned(),
        };
        if !ledger.is_dir() {
            return Err(no_ledger());
        }
        // Where the node's own index survived too, it knows what was committed.
        let index = Some(dir.join("index")).filter(|index| index.is_dir());
        let options = AuditOptions {
            index,
            ..AuditOptions::default()
        };
        let (mut service, mut shares) = (None, None);
        let report = audit_each(&ledger, &options, progress, |_, writes| {
            if let Some(row) = writes.written(&SERVICE, &SINGLETON) {
                service = row.and_then(|row| serde_json::from_slice(row).ok());
            }
            if let Some(row) = writes.written(&RECOVERY_SHARES, &SINGLETON) {
                shares = row.and_then(|row| serde_json::from_slice(row).ok());
            }
        })?;
        let service = service.ok_or_else(no_ledger)?;
        Ok(Self {
            report,
            service,
            shares,
        })
    }

    /// Draws the secrets of the new service and of its node, and keeps them. What was derived from
    /// the ledger is removed, as it is sealed under a secret that is lost.
    ///
    /// Each attempt draws its own: a seqno that is written twice is never sealed twice under one key.
    fn begin(&self, dir: &Path) -> Result<Secrets, RecoverError> {
        let removed = |path: PathBuf, result: std::io::Result<()>| match result {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(RecoverError::Io { path, source })
            }
            _ => Ok(()),
        };
        for derived in ["state", "index", "consensus", "snapshots", "arriving"] {
            let path = dir.join(derived);
            let result = std::fs::remove_dir_all(&path);
            removed(path, result)?;
        }
        let path = dir.join(ADMITTED_FILE);
        let result = std::fs::remove_file(&path);
        removed(path, result)?;
        let mut secrets = identity::draw_secrets()?;
        secrets.ledger_secrets = vec![(self.report.last.seqno.next(), identity::draw_secret()?)];
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            write_atomically(&path, text.as_bytes(), 0o644)
                .map_err(|source| RecoverError::Io { path, source })
        };
        // A recovery advances the view by two: one for this, one more when the node begins it.
        let view = View(self.report.last.view.0 + 1);
        write(VIEW_FILE, &format!("{view}\n"))?;
        write(PREVIOUS_SERVICE_CERT_FILE, &self.report.service.to_pem())?;
        platform::save(dir, &secrets)?;
        Ok(secrets)
    }

    /// What the new service says about the one before it.
    fn earlier(
        &self,
        secrets: &Secrets,
        now: OffsetDateTime,
    ) -> Result<EarlierService, RecoverError> {
        let AuditReport {
            service,
            last,
            root,
            ..
        } = &self.report;
        let begin = self.service.current_service_create_txid.parse();
        let begin = begin.unwrap_or(*last);
        let earlier_key = service.spki_der();
        let issued_at = now.unix_timestamp();
        let protected = cose::endorsement_header(ES384, issued_at, begin, *last, root);
        let signer = ServiceSigner::new(&secrets.service_key)?;
        let signature = signer.sign(&cose::endorsement_to_be_signed(&protected, earlier_key));
        let message = cose::endorsement(&protected, earlier_key, &signature);
        Ok(EarlierService {
            cert: self.service.cert.clone(),
            endorsed_cert: identity::endorse_earlier_service(
                &secrets.service_key,
                earlier_key,
                now,
            )?,
            endorsement: EndorsementRow {
                endorsement: STANDARD.encode(message),
                endorsing_key: STANDARD.encode(identity::public_key(&secrets.service_key)?),
                root: root.to_string(),
                endorsement_epoch_begin: begin,
                endorsement_epoch_end: *last,
            },
        })
    }

    /// Writes the new service behind the ledger, and returns its certificate.
    fn write(
        &self,
        config: &NodeConfig,
        secrets: &Secrets,
        earlier: EarlierService,
        now: OffsetDateTime,
    ) -> Result<Cert, RecoverError> {
        let ledger_secrets = Arc::new(crate::start::ledger_secrets(secrets)?);
        let options = StoreOptions {
            chunk_bytes: config.chunk_bytes,
            ..StoreOptions::default()
        };
        let store = Store::open(
            &config.dir,
            crate::start::store_secrets(secrets, &ledger_secrets),
            options,
        );
        let starting = Starting {
            config,
            secrets,
            node_id: node_id(secrets, now)?,
            now,
            peer_address: None,
            recovers: Some(earlier),
        };
        let store = store.map_err(StartError::from)?;
        // Stops when it is dropped, with everything in the files.
        let node = alone::start(&starting, store, ledger_secrets)?;
        let service = Cert::from_pem(node.service_cert());
        Ok(service.map_err(|_| IdentityError::Key { what: "service" })?)
    }
}

/// Refuses a folder whose ledger needs no recovery, or was taken up before.
fn refuse_known(dir: &Path, found: &Found) -> Result<(), RecoverError> {
    let Some(secrets) = platform::load(dir)? else {
        return Ok(());
    };
    let complete = LedgerSecrets::new(&secrets.ledger_secrets).is_complete();
    let key = identity::public_key(&secrets.service_key)?;
    let dir = dir.to_owned();
    match (found.report.service.spki_der() == key, complete) {
        (true, true) => Err(RecoverError::NothingLost { dir }),
        (true, false) => Err(RecoverError::TakenUp { dir }),
        (false, true) => Err(RecoverError::ForeignSecrets { dir }),
        // Left by an attempt that was interrupted before it wrote anything.
        (false, false) => Ok(()),
    }
}
