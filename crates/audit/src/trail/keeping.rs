//! From the journal to the database: what comes while the disk is busy shares its next sync, and the database gets
//! many events at once, complete with what became of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::JournalError;
use super::fresh::{Fresh, Key};
use super::journal::{Before, Journal, Left, Lines};
use super::store::{Pending, Store};
use super::write::{Together, Write, given, tell};
use crate::Problem;
use crate::database::problem;
use crate::limits::{FRESH_MAX, PUT_TOGETHER, WRITES_TOGETHER_MAX};

/// How long after a failure the database is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// Brings what a journal has into the database, whatever of it is there.
pub(super) async fn bring_back(
    store: &Store,
    sender: &str,
    mut left: Left,
) -> Result<(), JournalError> {
    let events: Vec<_> = left.events.drain(..).map(Arc::new).collect();
    for events in events.chunks(PUT_TOGETHER) {
        let written = store.write(sender, events, &[]).await;
        written.map_err(sqlx::Error::from)?;
    }
    if !events.is_empty() {
        tracing::info!(
            count = events.len(),
            "events that the journal had are in the database"
        );
    }
    Ok(left.forget()?)
}

/// Takes events into the journal until nobody sends any more.
pub(super) async fn keep(
    store: Store,
    fresh: Arc<Fresh>,
    mut journal: Journal,
    mut queue: mpsc::Receiver<Write>,
) {
    let mut writes = Vec::with_capacity(WRITES_TOGETHER_MAX);
    while queue.recv_many(&mut writes, WRITES_TOGETHER_MAX).await > 0 {
        // What is committed comes by `Fresh`.
        let Together {
            events,
            places,
            to_events,
            taken_back,
            to_taken_back,
            ..
        } = writes.drain(..).collect();
        let kept = keep_these(&store, &fresh, &mut journal, events, &taken_back).await;
        let all_told = kept.as_ref().map(|_| vec![(); taken_back.len()]);
        tell(to_taken_back, all_told.map_err(Clone::clone));
        tell(to_events, kept.map(|are_in| given(places, are_in)));
    }
    journal.close();
    fresh.close();
}

/// Says of each event whether the journal has it: not if its version or its request's name is taken.
async fn keep_these(
    store: &Store,
    fresh: &Fresh,
    journal: &mut Journal,
    events: Vec<Arc<Pending>>,
    taken_back: &[Key],
) -> Result<Vec<bool>, Problem> {
    let new = are_new(store, fresh, &events).await?;
    let mut lines = Lines::default();
    let accepted = events.into_iter().zip(&new);
    let accepted: Vec<_> = accepted
        .filter_map(|(pending, new)| new.then_some(pending))
        .collect();
    for key in taken_back {
        lines.taken_back(key);
    }
    for pending in &accepted {
        lines.event(&pending.row);
    }
    if !lines.is_empty()
        && let Err(error) = journal.append(lines).await
    {
        tracing::error!(%error, "the journal takes no events");
        let detail = "the disk takes no more events now: nothing was recorded, try again";
        return Err(Problem::unavailable("JournalUnavailable", detail));
    }
    let last = fresh.add(accepted);
    journal.reached(last);
    Ok(new)
}

/// Of which the version and the request's name are free.
async fn are_new(
    store: &Store,
    fresh: &Fresh,
    events: &[Arc<Pending>],
) -> Result<Vec<bool>, Problem> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    if fresh.count() > FRESH_MAX {
        return Err(Problem::busy(
            "the database is behind: nothing was recorded, try again in a second",
        ));
    }
    // These first: what is not here any more is in the database.
    let (mut versions, mut requests) = (HashSet::new(), HashSet::new());
    let is_first = |one: &Arc<Pending>| {
        let version = (one.event.record.clone(), one.event.version);
        let request = one.row.request.clone();
        !fresh.has(one)
            && versions.insert(version)
            && request.is_none_or(|request| requests.insert(request))
    };
    let first: Vec<bool> = events.iter().map(is_first).collect();
    let taken = store.taken(events).await;
    let taken = taken.map_err(|error| problem(&error))?;
    Ok(first
        .iter()
        .zip(taken)
        .map(|(first, taken)| *first && !taken)
        .collect())
}

/// Brings events into the database until nothing more comes.
pub(super) async fn bring(store: Store, sender: Arc<str>, fresh: Arc<Fresh>, before: Arc<Before>) {
    while let Some(batch) = fresh.due().await {
        match store.put(&sender, &batch).await {
            Ok(()) => before.forget(fresh.done()),
            Err(error) => {
                tracing::warn!(%error, "events wait for the database");
                let is_over = fresh.failed(batch, &error);
                if is_over {
                    // The journal has them, for the next start.
                    return;
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
