//! Who waits for batches that are on their way to be agreed on.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use verify::{Seqno, View};

use crate::submit::{Answer, Reply, SubmitError};

/// How long a caller waits for a batch whose leader lost its reign, before it is told that nobody
/// knows yet: twice the time in which another leader is usually found.
const IN_DOUBT: Duration = Duration::from_secs(3);

/// Those who wait for one batch.
struct Waiting {
    view: View,
    callers: Vec<(Reply, Vec<Answer>)>,
    /// When its leader was seen to lead no more.
    doubted: Option<Instant>,
}

/// Batches that were proposed here and are not decided, by their last seqno.
#[derive(Default)]
pub(crate) struct Outstanding(Mutex<BTreeMap<Seqno, Waiting>>);

impl Outstanding {
    /// Somebody waits for the batch that ends with `last`.
    pub(crate) fn wait(&self, view: View, last: Seqno, callers: Vec<(Reply, Vec<Answer>)>) {
        let waiting = Waiting {
            view,
            callers,
            doubted: None,
        };
        self.all().insert(last, waiting);
    }

    /// The batch of `view` that ends with `last` is committed. Whoever waits for another batch up to
    /// there waits in vain: its place is taken.
    pub(crate) fn decided(&self, view: View, last: Seqno) {
        let mut all = self.all();
        let later = all.split_off(&last.next());
        let decided = std::mem::replace(&mut *all, later);
        drop(all);
        for (seqno, waiting) in decided {
            let committed = seqno == last && waiting.view == view;
            for (reply, answers) in waiting.callers {
                if committed {
                    reply.send(answers);
                } else {
                    reply.fail(SubmitError::Lost);
                }
            }
        }
    }

    /// The batch that ends with `last` was not taken: it is nowhere.
    pub(crate) fn refused(&self, view: View, last: Seqno) {
        let mut all = self.all();
        if all.get(&last).is_some_and(|waiting| waiting.view == view)
            && let Some(waiting) = all.remove(&last)
        {
            drop(all);
            for (reply, _) in waiting.callers {
                reply.fail(SubmitError::Lost);
            }
        }
    }

    /// Nothing of a view before `reigning` can be committed any more beyond what is.
    pub(crate) fn established(&self, reigning: View) {
        let mut all = self.all();
        let lost: Vec<Seqno> = all
            .iter()
            .filter(|(_, waiting)| waiting.view < reigning)
            .map(|(last, _)| *last)
            .collect();
        let lost: Vec<Waiting> = lost.iter().filter_map(|last| all.remove(last)).collect();
        drop(all);
        for (reply, _) in lost.into_iter().flat_map(|waiting| waiting.callers) {
            reply.fail(SubmitError::Lost);
        }
    }

    /// This node does not lead in `view` any more: its batches may or may not be committed by
    /// another. Callers are told so if that does not show soon. To be called again and again.
    pub(crate) fn doubt(&self, reigning: Option<View>, now: Instant) {
        let mut all = self.all();
        let mut unknown = Vec::new();
        all.retain(|_, waiting| {
            if Some(waiting.view) == reigning {
                return true;
            }
            let since = *waiting.doubted.get_or_insert(now);
            let over = now.saturating_duration_since(since) >= IN_DOUBT;
            if over {
                unknown.append(&mut waiting.callers);
            }
            !over
        });
        drop(all);
        for (reply, answers) in unknown {
            let first = answers.iter().find_map(|answer| answer.as_ref().ok());
            reply.fail(match first {
                Some(id) => SubmitError::InDoubt { id: *id },
                None => SubmitError::Lost,
            });
        }
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// The node stops: nobody will be told any more here.
    pub(crate) fn give_up(&self) {
        let all = std::mem::take(&mut *self.all());
        for (reply, answers) in all.into_values().flat_map(|waiting| waiting.callers) {
            let first = answers.iter().find_map(|answer| answer.as_ref().ok());
            reply.fail(match first {
                Some(id) => SubmitError::InDoubt { id: *id },
                None => SubmitError::Stopping,
            });
        }
    }

    /// A panic while the lock is held cannot leave the map half changed.
    fn all(&self) -> MutexGuard<'_, BTreeMap<Seqno, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use verify::TxId;

    use super::*;

    type Told = oneshot::Receiver<Result<Answer, SubmitError>>;

    fn waiting(outstanding: &Outstanding, view: u64, last: u64) -> Told {
        let (sender, told) = oneshot::channel();
        let answers = vec![Ok(TxId::new(View(view), Seqno(last - 1)))];
        outstanding.wait(View(view), Seqno(last), vec![(Reply::One(sender), answers)]);
        told
    }

    #[test]
    fn a_caller_is_told_committed_only_for_its_own_batch() {
        let outstanding = Outstanding::default();
        let mut one = waiting(&outstanding, 2, 5);
        let mut two = waiting(&outstanding, 2, 9);
        outstanding.decided(View(2), Seqno(5));
        assert!(matches!(one.try_recv().unwrap(), Ok(Ok(_))));
        assert!(two.try_recv().is_err(), "still waits");
        // Another leader put something else there.
        outstanding.decided(View(3), Seqno(9));
        assert_eq!(two.try_recv().unwrap(), Err(SubmitError::Lost));
    }

    #[test]
    fn a_batch_that_reaches_further_than_the_place_that_was_taken_is_lost_by_the_new_reign() {
        let outstanding = Outstanding::default();
        let mut one = waiting(&outstanding, 2, 9);
        outstanding.decided(View(3), Seqno(7));
        assert!(one.try_recv().is_err());
        outstanding.established(View(3));
        assert_eq!(one.try_recv().unwrap(), Err(SubmitError::Lost));
    }

    #[test]
    fn a_batch_in_doubt_is_answered_with_its_place_and_nothing_else() {
        let outstanding = Outstanding::default();
        let mut one = waiting(&outstanding, 2, 9);
        let now = Instant::now();
        outstanding.doubt(Some(View(2)), now);
        outstanding.doubt(Some(View(2)), now + IN_DOUBT);
        assert!(one.try_recv().is_err(), "its leader reigns");
        outstanding.doubt(None, now);
        assert!(one.try_recv().is_err());
        outstanding.doubt(None, now + IN_DOUBT);
        let id = TxId::new(View(2), Seqno(8));
        assert_eq!(one.try_recv().unwrap(), Err(SubmitError::InDoubt { id }));
    }
}
