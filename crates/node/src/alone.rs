//! A node alone: what it has synced is committed.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, mpsc};

use ledger::LedgerSecret;
use store::Store;
use tokio::sync::watch;

use crate::committer::{Closed, Committer};
use crate::consensus::Standing;
use crate::node::Node;
use crate::parts::Parts;
use crate::start::{StartError, Starting, begin_view, write_first, write_service_cert};
use crate::thread::spawn;

pub(crate) fn start(
    starting: &Starting<'_>,
    store: Store,
    secret: Arc<LedgerSecret>,
) -> Result<Node, StartError> {
    let dir = &starting.config.dir;
    let reader = store.reader();
    let view = begin_view(dir, reader.committed().view)?;
    let plan = starting.plan(&*reader, reader.committed().seqno.0 == 0)?;
    let parts = Parts::new(starting, &store, secret, &plan)?;
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
    let threads = vec![
        spawn("executor", move || executor.run()).map_err(failed)?,
        spawn("committer", move || committer.run()).map_err(failed)?,
    ];
    let standing = Standing {
        view,
        leader: Some(starting.node_id.clone()),
        leads: true,
        deciding: vec![starting.node_id.clone()],
    };
    let established = Arc::new(AtomicU64::new(view.0));
    let (_, standing) = watch::channel(standing);
    let cosigning = parts.cosigning(starting, seen.clone(), None)?;
    let mut node = parts.node(starting, &plan, seen, standing, established, cosigning)?;
    node.threads = Mutex::new(threads);
    write_first(&node.queue, plan.first_writes)?;
    write_service_cert(dir, &plan.service_cert)?;
    Ok(node)
}
