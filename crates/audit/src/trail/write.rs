//! What is to be written, and who waits for it.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::fresh::Key;
use super::ours::Ours;
use super::store::{Committed, Pending};
use crate::Problem;

/// What somebody wants written, and where they wait.
#[derive(Debug)]
pub(super) enum Write {
    /// With its place, which nobody else has until it is written or is not, whoever still waits for that.
    Event(Arc<Pending>, Ours, Tell<Option<Ours>>),
    Committed(Arc<Committed>, Tell<()>),
    /// An event that the ledger will never have, for the journal.
    TakenBack(Key, Tell<()>),
}

/// What came together, each kind with those who wait for it in the same order.
#[derive(Debug, Default)]
pub(super) struct Together {
    pub(super) events: Vec<Arc<Pending>>,
    pub(super) places: Vec<Ours>,
    pub(super) to_events: Vec<Tell<Option<Ours>>>,
    pub(super) committed: Vec<Arc<Committed>>,
    pub(super) to_committed: Vec<Tell<()>>,
    pub(super) taken_back: Vec<Key>,
    pub(super) to_taken_back: Vec<Tell<()>>,
}

impl FromIterator<Write> for Together {
    fn from_iter<I: IntoIterator<Item = Write>>(writes: I) -> Self {
        let mut all = Self::default();
        for write in writes {
            match write {
                Write::Event(event, ours, tell) => {
                    all.events.push(event);
                    all.places.push(ours);
                    all.to_events.push(tell);
                }
                Write::Committed(one, tell) => {
                    all.committed.push(one);
                    all.to_committed.push(tell);
                }
                Write::TakenBack(key, tell) => {
                    all.taken_back.push(key);
                    all.to_taken_back.push(tell);
                }
            }
        }
        all
    }
}

pub(super) type Tell<A> = oneshot::Sender<Result<A, Problem>>;

/// The places of those events that are in.
pub(super) fn given(places: Vec<Ours>, are_in: Vec<bool>) -> Vec<Option<Ours>> {
    let each = places.into_iter().zip(are_in);
    each.map(|(ours, is_in)| is_in.then_some(ours)).collect()
}

/// Tells each what became of theirs. Whoever does not wait any more needs no answer.
pub(super) fn tell<A>(waiting: Vec<Tell<A>>, answers: Result<Vec<A>, Problem>) {
    match answers {
        Ok(answers) => {
            for (tell, answer) in waiting.into_iter().zip(answers) {
                let _ = tell.send(Ok(answer));
            }
        }
        // One error for all who wrote together.
        Err(problem) => {
            for tell in waiting {
                let _ = tell.send(Err(problem.clone()));
            }
        }
    }
}
