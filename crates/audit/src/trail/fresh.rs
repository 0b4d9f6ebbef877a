//! Events that a journal has, and the database not yet: what is asked about them is answered when it has.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, watch};

use super::act::Address;
use super::store::{Committed, Pending};
use crate::limits::{PUT_EVERY, PUT_PENDING_AFTER, PUT_TOGETHER};
use crate::model::RecordId;

/// A version of a record.
pub(super) type Key = (RecordId, u64);

/// What the database does not have yet.
#[derive(Debug)]
pub(super) struct Fresh {
    state: Mutex<State>,
    /// Somebody waits, or much has come.
    wake: Notify,
    put: watch::Sender<Put>,
}

/// How far the database is.
#[derive(Debug, Clone, Default)]
struct Put {
    /// It has all changes up to this one.
    number: u64,
    /// How often it did not take some, and why it did not at last.
    failures: u64,
    why: String,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the last change.
    last: u64,
    events: BTreeMap<u64, Held>,
    /// What became of events that the database has, or is getting.
    committed: BTreeMap<u64, Arc<Committed>>,
    /// Where each event is, and those that the database is getting.
    numbers: HashMap<Key, u64>,
    putting: HashMap<Key, u64>,
    /// The last change about each of these; some are done.
    records: HashMap<RecordId, u64>,
    requests: HashMap<String, u64>,
    places: HashMap<Address, u64>,
    ready: usize,
    is_wanted: bool,
    is_closed: bool,
}

#[derive(Debug, Clone)]
struct Held {
    since: Instant,
    pending: Arc<Pending>,
    committed: Option<Arc<Committed>>,
}

/// What somebody asks about.
#[derive(Debug, Clone, Copy)]
pub(super) enum About<'a> {
    All,
    Record(&'a RecordId),
    Request(&'a str),
    Place(&'a Address),
}

/// What the database gets in one transaction, by the numbers of the changes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    events: BTreeMap<u64, Held>,
    committed: BTreeMap<u64, Arc<Committed>>,
}

impl Batch {
    /// Events that are new, each with what became of it.
    pub(super) fn events(&self) -> impl Iterator<Item = (&Pending, Option<&Committed>)> {
        let held = self.events.values();
        held.map(|held| (&*held.pending, held.committed.as_deref()))
    }

    /// What became of others.
    pub(super) fn committed(&self) -> Vec<Arc<Committed>> {
        self.committed.values().cloned().collect()
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.committed.is_empty()
    }

    /// How much of it is what became of events.
    fn ready(&self) -> usize {
        self.events().filter(|(_, became)| became.is_some()).count() + self.committed.len()
    }
}

impl Fresh {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            wake: Notify::new(),
            put: watch::Sender::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nobody panics while holding it; if so, what is there is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a version, or a request's name, is taken by one of these.
    pub(super) fn has(&self, pending: &Pending) -> bool {
        let state = self.lock();
        let key = (pending.event.record.clone(), pending.event.version);
        let request = pending.row.request.as_ref();
        state.numbers.contains_key(&key)
            || state.putting.contains_key(&key)
            || request.is_some_and(|request| state.requests.contains_key(request))
    }

    /// How many the database does not have.
    pub(super) fn count(&self) -> usize {
        let state = self.lock();
        state.events.len() + state.putting.len()
    }

    /// Takes events that the journal has. Gives the number of the last change.
    pub(super) fn add(&self, events: Vec<Arc<Pending>>) -> u64 {
        let mut state = self.lock();
        let was_idle = state.is_idle();
        for pending in events {
            let number = state.count();
            let record = pending.event.record.clone();
            state.records.insert(record.clone(), number);
            if let Some(request) = &pending.row.request {
                state.requests.insert(request.clone(), number);
            }
            let key = (record, pending.event.version);
            state.numbers.insert(key, number);
            let held = Held {
                since: Instant::now(),
                pending,
                committed: None,
            };
            state.events.insert(number, held);
        }
        let last = state.last;
        drop(state);
        if was_idle {
            self.wake.notify_one();
        }
        last
    }

    /// An event is in the ledger.
    pub(super) fn commit(&self, committed: Arc<Committed>) {
        let key = (committed.record.clone(), committed.version);
        let mut state = self.lock();
        let was_idle = state.is_idle();
        let number = match state.numbers.get(&key).copied() {
            Some(number) => {
                if let Some(held) = state.events.get_mut(&number) {
                    held.committed = Some(Arc::clone(&committed));
                }
                number
            }
            // The database has it already, as one that is on its way.
            None => {
                let number = state.count();
                state.committed.insert(number, Arc::clone(&committed));
                state.records.insert(key.0, number);
                number
            }
        };
        state.places.insert(committed.address(), number);
        state.ready += 1;
        let is_due = was_idle || state.ready == PUT_TOGETHER;
        drop(state);
        if is_due {
            self.wake.notify_one();
        }
    }

    /// Forgets an event that the ledger refused; `false`: the database has it, or is getting it.
    pub(super) fn take_back(&self, key: &Key) -> bool {
        let mut state = self.lock();
        let Some(number) = state.numbers.remove(key) else {
            return false;
        };
        if let Some(held) = state.events.remove(&number)
            && let Some(request) = &held.pending.row.request
        {
            state.requests.remove(request);
        }
        true
    }

    /// Waits until the database has all that is known now about something.
    ///
    /// # Errors
    /// It does not take it.
    pub(super) async fn settled(&self, about: About<'_>) -> Result<(), sqlx::Error> {
        let mut put = self.put.subscribe();
        let failures = put.borrow().failures;
        let number = {
            let mut state = self.lock();
            let number = match about {
                About::All => Some(state.last),
                About::Record(record) => state.records.get(record).copied(),
                About::Request(request) => state.requests.get(request).copied(),
                About::Place(place) => state.places.get(place).copied(),
            };
            let Some(number) = number.filter(|number| *number > put.borrow().number) else {
                return Ok(());
            };
            state.is_wanted = true;
            number
        };
        self.wake.notify_one();
        let done = put.wait_for(|put| put.number >= number || put.failures > failures);
        match done.await {
            Ok(put) if put.number >= number => Ok(()),
            Ok(put) => Err(sqlx::Error::Protocol(format!(
                "events wait for the database: {}",
                put.why
            ))),
            // Nobody brings them there any more.
            Err(_) => Err(sqlx::Error::PoolClosed),
        }
    }

    /// Waits until there is something that the database should have; `None` when this is closed and all is
    /// there.
    pub(super) async fn due(&self) -> Option<Batch> {
        loop {
            let is_idle = self.lock().is_idle();
            let mut timed_out = false;
            if is_idle {
                if self.lock().is_closed {
                    return None;
                }
                self.wake.notified().await;
            } else {
                let woken = tokio::time::timeout(PUT_EVERY, self.wake.notified());
                timed_out = woken.await.is_err();
            }
            let mut state = self.lock();
            let all = std::mem::take(&mut state.is_wanted) || state.is_closed;
            if all || timed_out || state.ready >= PUT_TOGETHER {
                let batch = state.take(all);
                drop(state);
                if !batch.is_empty() {
                    return Some(batch);
                }
                // What was waited for came just before.
                if all {
                    self.progress();
                }
            }
        }
    }

    /// The database has these. Gives the number up to which it has all.
    pub(super) fn done(&self) -> u64 {
        self.lock().putting.clear();
        self.progress()
    }

    /// The database did not take these. Whether nothing more comes.
    pub(super) fn failed(&self, batch: Batch, why: &sqlx::Error) -> bool {
        let mut state = self.lock();
        state.putting.clear();
        state.ready += batch.ready();
        for (number, mut held) in batch.events {
            let key = (
                held.pending.event.record.clone(),
                held.pending.event.version,
            );
            // What came of it meanwhile stands among what became of those that the database has.
            let found = state.committed.iter().find_map(|(at, one)| {
                ((&one.record, one.version) == (&key.0, key.1)).then_some(*at)
            });
            if let Some(at) = found {
                held.committed = state.committed.remove(&at);
            }
            state.numbers.insert(key, number);
            state.events.insert(number, held);
        }
        state.committed.extend(batch.committed);
        let is_closed = state.is_closed;
        drop(state);
        self.put.send_modify(|put| {
            put.failures += 1;
            put.why = why.to_string();
        });
        is_closed
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_one();
    }

    fn progress(&self) -> u64 {
        let mut state = self.lock();
        let first = |number: Option<&u64>| number.map_or(u64::MAX, |number| number - 1);
        let done = state.last;
        let done = done.min(first(state.events.keys().next()));
        let done = done.min(first(state.committed.keys().next()));
        let done = done.min(
            state
                .putting
                .values()
                .min()
                .map_or(u64::MAX, |number| number - 1),
        );
        state.records.retain(|_, number| *number > done);
        state.requests.retain(|_, number| *number > done);
        state.places.retain(|_, number| *number > done);
        drop(state);
        self.put.send_modify(|put| put.number = done);
        done
    }
}

impl State {
    /// Whether nothing waits for the database.
    fn is_idle(&self) -> bool {
        self.events.is_empty() && self.committed.is_empty()
    }

    fn count(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// What the database gets now: all, or what is committed and what has been on its way for long.
    fn take(&mut self, all: bool) -> Batch {
        let is_old = |held: &Held| held.since.elapsed() >= PUT_PENDING_AFTER;
        let is_due = |held: &Held| all || held.committed.is_some() || is_old(held);
        let events: BTreeMap<_, _> = self.events.extract_if(.., |_, held| is_due(held)).collect();
        self.ready = 0;
        for (number, held) in &events {
            let event = &held.pending.event;
            let key = (event.record.clone(), event.version);
            self.numbers.remove(&key);
            self.putting.insert(key, *number);
        }
        Batch {
            events,
            committed: std::mem::take(&mut self.committed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentHash, Event, Operation, Text, Timestamp, What};
    use crate::trail::Receipt;
    use crate::trail::store::Row;

    fn pending(record: &str) -> Arc<Pending> {
        let event = Event {
            record: RecordId::parse(record).unwrap(),
            version: 1,
            how: Operation::Create,
            who: Text::default(),
            what: What {
                about: Vec::new(),
                did: Text::default(),
                hash: ContentHash([1; 32]),
            },
            when: Timestamp::from_millis(0).unwrap(),
            place: Text::default(),
            target: Text::default(),
        };
        let row = Row {
            event: event.to_canonical(),
            salt: String::new(),
            payload: None,
            log: "log".to_owned(),
            tx: None,
            receipt: None,
            request: Some(format!("request of {record}")),
            request_hash: None,
            enrol: None,
            after: None,
            signed: None,
        };
        Arc::new(Pending { event, row })
    }

    fn committed(record: &str) -> Arc<Committed> {
        Arc::new(Committed {
            record: RecordId::parse(record).unwrap(),
            version: 1,
            log: "log".to_owned(),
            tx: format!("tx of {record}"),
            receipt: Receipt::of(&"proof"),
        })
    }

    /// The events of a batch, with whether each is committed; and those that are there already.
    fn shown(batch: &Batch) -> (Vec<(&str, bool)>, Vec<&str>) {
        let events = batch.events();
        let events = events.map(|(one, became)| (one.event.record.as_str(), became.is_some()));
        let committed = batch.committed.values().map(|one| one.record.as_str());
        (events.collect(), committed.collect())
    }

    #[tokio::test]
    async fn an_event_goes_to_the_database_once_and_complete_unless_somebody_asks_before() {
        let fresh = Fresh::new();
        fresh.add(vec![pending("a"), pending("b")]);
        fresh.commit(committed("a"));
        let batch = fresh.due().await.unwrap();
        assert_eq!(shown(&batch), (vec![("a", true)], vec![]));
        // The one before it is not there yet.
        assert_eq!(fresh.done(), 1);
        let record = RecordId::parse("b").unwrap();
        let (settled, batch) = tokio::join!(fresh.settled(About::Record(&record)), async {
            let batch = fresh.due().await.unwrap();
            assert_eq!(shown(&batch), (vec![("b", false)], vec![]));
            // What comes meanwhile is the next.
            fresh.commit(committed("b"));
            assert_eq!(fresh.done(), 2);
            fresh.due().await.unwrap()
        });
        settled.unwrap();
        assert_eq!(shown(&batch), (vec![], vec!["b"]));
        assert_eq!(fresh.done(), 3);
        assert!(
            !fresh.has(&pending("b")),
            "the database is asked from now on"
        );
    }

    #[tokio::test]
    async fn what_became_of_an_event_that_the_database_has_comes_without_anybody_asking() {
        let fresh = Fresh::new();
        let (batch, ()) = tokio::join!(fresh.due(), async {
            // Somebody waits for it already.
            tokio::task::yield_now().await;
            fresh.commit(committed("a"));
        });
        assert_eq!(shown(&batch.unwrap()), (vec![], vec!["a"]));
    }

    #[tokio::test]
    async fn what_the_database_did_not_take_is_put_again_with_what_came_meanwhile() {
        let fresh = Fresh::new();
        fresh.add(vec![pending("a")]);
        let wanted = async {
            let batch = fresh.due().await.unwrap();
            fresh.commit(committed("a"));
            assert!(fresh.has(&pending("a")), "it is being put");
            assert!(!fresh.failed(batch, &sqlx::Error::PoolTimedOut));
        };
        let (asked, ()) = tokio::join!(fresh.settled(About::All), wanted);
        assert!(asked.is_err(), "whoever asks is told");
        fresh.close();
        let batch = fresh.due().await.unwrap();
        assert_eq!(shown(&batch), (vec![("a", true)], vec![]));
        fresh.done();
        fresh.settled(About::All).await.unwrap();
        assert!(fresh.due().await.is_none(), "nothing more comes");
    }

    #[tokio::test]
    async fn what_is_taken_back_leaves_its_names_free() {
        let fresh = Fresh::new();
        fresh.add(vec![pending("a")]);
        assert!(fresh.has(&pending("a")));
        assert!(fresh.take_back(&(RecordId::parse("a").unwrap(), 1)));
        assert!(!fresh.has(&pending("a")));
        fresh.close();
        assert!(fresh.due().await.is_none());
    }
}
