//! A node alone: what it has synced is committed.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ledger::LedgerSecrets;
use store::Store;
use tokio::sync::watch;
use verify::TxId;

use crate::committer::{Closed, Committer};
use crate::consensus::Standing;
use crate::duties::Duties;
use crate::node::Node;
use crate::parts::Parts;
use crate::snapshots::Snapshots;
use crate::start::{StartError, Starting, begin_view, write_first, write_service_cert};
use crate::thread::spawn;

/// How often a node alone looks whether members decided something that it has to do.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn start(
    starting: &Starting<'_>,
    store: Store,
    secrets: Arc<LedgerSecrets>,
) -> Result<Node, StartError> {
    let dir = &starting.config.dir;
    let reader = store.reader();
    let view = begin_view(dir, reader.committed().view)?;
    let plan = starting.plan(&*reader, reader.committed().seqno.0 == 0)?;
    let parts = Arc::new(Parts::new(starting, &store, secrets, &plan)?);
    let (_, standing) = watch::channel(Standing {
        view,
        leader: Some(starting.node_id.clone()),
        leads: true,
        deciding: vec![starting.node_id.clone()],
    });
    let snapshots = Arc::new(Snapshots::new(
        dir.clone(),
        Arc::clone(&reader),
        Arc::clone(&parts.queue),
        Arc::clone(&parts.secrets),
        standing.clone(),
    ));
    let duties = Duties::new(
        Arc::clone(&parts),
        dir,
        starting.node_id.clone(),
        starting.secrets.service_key.clone(),
        Arc::clone(&snapshots),
    );
    let (log, batches) = mpsc::channel();
    let (committed, seen) = watch::channel(reader.committed());
    let publisher = parts.publisher(committed);
    let log = Box::new(move |closed: Closed| log.send(closed).is_ok());
    let executor = parts.executor(view, store.frontier().clone(), log)?;
    let committer = Committer {
        store,
        batches,
        queue: Arc::clone(&parts.queue),
        publisher,
    };
    let failed = |source| StartError::Io {
        path: dir.clone(),
        source,
    };
    let until = seen.clone();
    let threads = vec![
        spawn("executor", move || executor.run()).map_err(failed)?,
        spawn("committer", move || committer.run()).map_err(failed)?,
        spawn("duties", move || attend(&duties, &until)).map_err(failed)?,
    ];
    let established = Arc::new(AtomicU64::new(view.0));
    let cosigning = parts.cosigning(starting, seen.clone(), None)?;
    let mut node = parts.node(starting, &plan, seen, standing, established, cosigning)?;
    node.threads = Mutex::new(threads);
    node.snapshots = Some(snapshots);
    write_first(&node.queue, plan.first_writes)?;
    write_service_cert(dir, &plan.service_cert)?;
    Ok(node)
}

/// Does a leader's duties until the committer has ended.
fn attend(duties: &Duties, committed: &watch::Receiver<TxId>) {
    while committed.has_changed().is_ok() {
        duties.look(&[]);
        std::thread::sleep(LOOKS_EVERY);
    }
}
