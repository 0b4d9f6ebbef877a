//! What a leader tells its followers, in fewer messages.
//!
//! A follower has to know which entries are committed, and the library tells it as soon as they are,
//! in a message of its own if there is no entry to tell it with. Each message costs both sides about
//! as much as the batch that went before it. Whoever writes writes again soon: so such a message waits
//! a moment for the next batch, which says the same and more.
//!
//! Nothing hangs on it but how soon followers show what is committed. Callers are answered by the
//! leader, and a leader that dies takes no commit with it. Where somebody does wait for a follower -
//! a client whose write came through it - no message waits ([`Hurry`]).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use openraft::raft::AppendEntriesRequest;
use tokio::time::{Instant, Sleep, sleep};

use super::types::Types;

/// How long word of a commit waits for a batch to go with. A lone writer's next one comes within a
/// millisecond or two; a reader of a follower does not notice.
const PATIENCE: Duration = Duration::from_millis(5);

/// A request that was passed on may be committed so much later, and the follower waits for it.
const PASSED_ON_LATELY: Duration = Duration::from_secs(1);

/// Whether somebody waits until a follower shows what is committed.
#[derive(Debug)]
pub(crate) struct Hurry {
    since: Instant,
    /// Milliseconds after `since`.
    until: AtomicU64,
}

impl Default for Hurry {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            until: AtomicU64::new(0),
        }
    }
}

impl Hurry {
    /// Somebody begins to wait.
    pub(crate) fn somebody_waits(&self) {
        let until = self.elapsed(Instant::now() + PASSED_ON_LATELY);
        self.until.fetch_max(until, Ordering::Release);
    }

    fn is_on(&self) -> bool {
        self.until.load(Ordering::Acquire) > self.elapsed(Instant::now())
    }

    fn elapsed(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.since).as_millis();
        u64::try_from(elapsed).unwrap_or(u64::MAX)
    }
}

type Message = AppendEntriesRequest<Types>;

/// The messages to one follower, without those that the next one makes superfluous.
///
/// The library asks for messages one after the other, and takes an answer to one for an answer to all
/// before it.
pub(crate) struct Gathered<S> {
    messages: S,
    hurry: Arc<Hurry>,
    /// Has no entries.
    held: Option<(Message, Pin<Box<Sleep>>)>,
    ended: bool,
}

impl<S> Gathered<S> {
    pub(crate) const fn new(messages: S, hurry: Arc<Hurry>) -> Self {
        Self {
            messages,
            hurry,
            held: None,
            ended: false,
        }
    }
}

impl<S: Stream<Item = Message> + Unpin> Stream for Gathered<S> {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        let this = &mut *self;
        while !this.ended {
            match this.messages.poll_next_unpin(context) {
                Poll::Ready(Some(message)) if !message.entries.is_empty() => {
                    this.held = None;
                    return Poll::Ready(Some(message));
                }
                // One that is held waits no longer because a newer one came.
                Poll::Ready(Some(message)) => match &mut this.held {
                    Some((held, _)) => *held = message,
                    None => this.held = Some((message, Box::pin(sleep(PATIENCE)))),
                },
                Poll::Ready(None) => this.ended = true,
                Poll::Pending => break,
            }
        }
        // What nothing follows is sent, and answered.
        if !this.ended && !this.hurry.is_on() {
            let Some((_, patience)) = &mut this.held else {
                return Poll::Pending;
            };
            ready!(patience.as_mut().poll(context));
        }
        if this.held.is_none() && !this.ended {
            return Poll::Pending;
        }
        Poll::Ready(this.held.take().map(|held| held.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::{Vote, log_entry, log_id};
    use super::*;
    use futures_util::FutureExt;
    use openraft::EntryPayload;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
    use verify::{Digest, View};

    /// Tells of `committed`, with this many entries after place 5.
    fn message(committed: u64, entries: u64) -> Message {
        let entries = (6..6 + entries).map(|at| log_entry(View(2), at, EntryPayload::Blank));
        Message {
            vote: Vote::new_committed(2, Digest([1; 32])),
            prev_log_id: Some(log_id(View(2), 5)),
            leader_commit: Some(log_id(View(2), committed)),
            entries: entries.collect(),
        }
    }

    fn committed(message: Option<Message>) -> Option<u64> {
        Some(message?.leader_commit?.index)
    }

    /// The messages as they are asked for, and as they are sent.
    fn gathered() -> (
        UnboundedSender<Message>,
        Gathered<impl Stream<Item = Message> + Unpin>,
        Arc<Hurry>,
    ) {
        let (sender, mut receiver) = unbounded_channel();
        let messages = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
        let hurry = Arc::<Hurry>::default();
        (sender, Gathered::new(messages, Arc::clone(&hurry)), hurry)
    }

    #[tokio::test(start_paused = true)]
    async fn word_of_a_commit_goes_with_the_next_batch() {
        let (sender, mut sent, _) = gathered();
        sender.send(message(4, 0)).unwrap();
        assert!(sent.next().now_or_never().is_none());
        sender.send(message(5, 1)).unwrap();
        let next = sent.next().now_or_never().unwrap().unwrap();
        assert_eq!((next.entries.len(), committed(Some(next))), (1, Some(5)));
        assert!(sent.next().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn word_of_a_commit_that_no_batch_follows_is_late_but_not_lost() {
        let (sender, mut sent, _) = gathered();
        let began = Instant::now();
        sender.send(message(4, 0)).unwrap();
        tokio::time::advance(PATIENCE / 2).await;
        assert!(sent.next().now_or_never().is_none());
        sender.send(message(5, 0)).unwrap();
        assert_eq!(committed(sent.next().await), Some(5));
        assert!(began.elapsed() <= 2 * PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_while_somebody_waits_for_a_follower() {
        let (sender, mut sent, hurry) = gathered();
        hurry.somebody_waits();
        sender.send(message(4, 0)).unwrap();
        assert_eq!(committed(sent.next().now_or_never().unwrap()), Some(4));
        tokio::time::advance(PASSED_ON_LATELY).await;
        sender.send(message(5, 0)).unwrap();
        assert!(sent.next().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_is_sent_at_once_because_nothing_follows_it() {
        let (sender, mut sent, _) = gathered();
        sender.send(message(4, 0)).unwrap();
        drop(sender);
        assert_eq!(committed(sent.next().now_or_never().unwrap()), Some(4));
        assert!(sent.next().await.is_none());
    }
}
