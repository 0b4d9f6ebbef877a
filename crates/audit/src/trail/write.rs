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
