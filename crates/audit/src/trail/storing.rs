//! Storing: from an act to an event that is committed.
//!
//! The event is in the database or its journal, synced, before the ledger sees it, and is sent until the ledger has it or
//! refuses it. So a caller who was answered finds it for ever; one who was not finds it by the name of the
//! request; and what a crash left on its way goes on: see `sending`.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use serde::Serialize;
use tokio::time::{sleep, timeout};
use verify::Digest;

use super::Trail;
use super::act::{Act, Enrolment, Given, Stored};
use super::log::{LogError, Outgoing, Recorded, Signer};
use super::ours::Ours;
use super::receipt::Receipt;
use super::store::{Committed, Pending, Row};
use super::writer::STOPPING;
use crate::Problem;
use crate::limits::{COMMIT_PATIENCE, IDEMPOTENCY_KEY_BYTES_MAX};
use crate::model::{
    Content, ContentHash, Event, Mention, Operation, RecordId, Salt, Text, Timestamp, What,
};
use crate::telemetry::{Kind, carried, timed};

/// How long after a failure an event is sent again; twice as long each time, up to the longest.
const AGAIN: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// The word for a record that somebody else changes now.
pub(crate) const CONCURRENT: &str = "Concurrent";

/// The word for a key that stands for another request.
pub(crate) const OTHER_REQUEST: &str = "OtherRequest";

/// A content that is ready to be recorded.
struct Bound {
    hash: ContentHash,
    salt: Option<Salt>,
    /// The data, where that was given: canonical JSON.
    canonical: Option<String>,
}

impl Trail {
    /// Records an act. When this answers, its event is committed and durable.
    ///
    /// # Errors
    /// It was refused, and nothing of it is kept; or (`Pending`) the ledger does not answer now, and the
    /// event is recorded as soon as it does.
    pub async fn store(&self, act: Act) -> Result<Stored, Problem> {
        let request = act
            .once
            .as_deref()
            .map(|once| name(&act, once))
            .transpose()?;
        // Acts on one record follow each other, so that its versions stand in the ledger in their order; and the
        // second of two that are the same finds the first.
        let _turn = match &act.record {
            Some(record) => Some(self.turns.of(record).await),
            None => None,
        };
        let (event, ours) = match self.reserve(&act, request.clone()).await {
            Ok(reserved) => reserved,
            // Mostly a request is new. What refuses it may be that it was done before.
            Err(problem) => return self.unless_known(request, &act, problem).await,
        };
        self.sent(event, ours).await
    }

    /// Sends an event that is where it is not lost, and waits for a while.
    pub(super) async fn sent(&self, event: Arc<Pending>, ours: Ours) -> Result<Stored, Problem> {
        let trail = self.clone();
        // To its end, whether the caller waits or not.
        let recording = tokio::spawn(carried(async move {
            let _ours = ours;
            trail.send(&event, false).await
        }));
        match timeout(COMMIT_PATIENCE, recording).await {
            Ok(Ok(stored)) => stored,
            // This service is stopping, or the ledger is slow: in both cases the event goes on.
            Ok(Err(_)) | Err(_) => Err(pending()),
        }
    }

    /// Makes an event of an act, and puts it where it is not lost.
    async fn reserve(
        &self,
        act: &Act,
        request: Option<String>,
    ) -> Result<(Arc<Pending>, Ours), Problem> {
        // A new record is usually new: only where its place is taken is looked what was before.
        let is_new = act.how == Operation::Create;
        let before = match &act.record {
            Some(record) if !is_new => self.store.newest_and_owner(record).await?,
            _ => None,
        };
        let made = self.make(act, before, request, Signer::Service).await?;
        self.keep(Arc::new(made)).await
    }

    /// Puts an event where it is not lost, unless its version is taken.
    pub(super) async fn keep(
        &self,
        pending: Arc<Pending>,
    ) -> Result<(Arc<Pending>, Ours), Problem> {
        let event = &pending.event;
        let taken = || {
            let detail = "somebody else was faster with this record; try again";
            Problem::conflict(CONCURRENT, detail)
        };
        let ours = self.sending.begin(event).ok_or_else(taken)?;
        let written = self.writer.insert(Arc::clone(&pending), ours);
        if let Some(ours) = timed("event.write", Kind::Internal, written).await? {
            return Ok((pending, ours));
        }
        match self.store.newest(&event.record).await? {
            Some(before) if event.how == Operation::Create && before.tx.is_some() => {
                Err(exists(&event.record))
            }
            _ => Err(taken()),
        }
    }

    /// Makes an event of an act.
    pub(super) async fn make(
        &self,
        act: &Act,
        before: Option<(Row, String)>,
        request: Option<String>,
        signer: Signer,
    ) -> Result<Pending, Problem> {
        if act.record.as_ref().is_some_and(is_reserved) && !act.ours {
            let detail =
                "names that begin with \"permission-\" are those of the services' own records";
            return Err(Problem::input(detail).at("/record"));
        }
        let (before, owner) = before.unzip();
        if before.as_ref().is_some_and(|row| row.tx.is_none()) {
            return Err(Problem::conflict(
                CONCURRENT,
                "the version before is on its way to the ledger; try again",
            ));
        }
        let salt = before.as_ref().and_then(|row| row.salt.parse().ok());
        let before = before.map(|row| Event::from_canonical(&row.event));
        let before = before.transpose().map_err(damaged)?;
        if let Some(owner) = owner {
            may_change(act, &owner)?;
        }
        let record = match (&act.record, act.how, &before) {
            (None, Operation::Create, _) => fresh(),
            (Some(record), Operation::Create, _) => record.clone(),
            (Some(record), _, Some(before)) => {
                may_follow(act, before)?;
                record.clone()
            }
            (Some(record), _, None) if act.adopt => record.clone(),
            (Some(record), _, None) => {
                return Err(Problem::not_found(format!("there is no record {record}")));
            }
            (None, ..) => {
                return Err(Problem::input(
                    "which record? only a new one gets a name here",
                ));
            }
        };
        let bound = bind(act, before.as_ref(), salt)?;
        let event = Event {
            record,
            version: before.as_ref().map_or(0, |before| before.version) + 1,
            how: act.how,
            who: act.who.clone(),
            what: What {
                about: about(act, before.as_ref()),
                did: act.did.clone(),
                hash: bound.hash,
            },
            when: now(),
            place: act.place.clone(),
            target: act.target.clone(),
        };
        event
            .check()
            .map_err(|error| Problem::input(error.to_string()).at("/about"))?;
        let log = self.log.log_of(act, signer).await;
        let log = log.map_err(refused)?;
        let enrol = act.enrol.as_ref().map(serde_json::to_string);
        let named = request.is_some();
        let request_hash = named.then(|| digest(act, bound.canonical.as_deref()));
        let row = Row {
            event: event.to_canonical(),
            salt: bound.salt.map(|salt| salt.to_string()).unwrap_or_default(),
            log,
            tx: None,
            receipt: None,
            request_hash,
            request,
            payload: bound.canonical.filter(|_| act.keep),
            enrol: enrol.transpose().map_err(damaged)?,
            after: self.sending.seen(),
            signed: None,
        };
        Ok(Pending { event, row })
    }

    /// Sends an event until the ledger has it, or it is known that it never will. `again`: it may have been sent before.
    pub(super) async fn send(&self, pending: &Pending, mut again: bool) -> Result<Stored, Problem> {
        let Pending { event, row } = pending;
        let mut wait = AGAIN;
        let enrol = enrolment(row)?;
        let sent = outgoing(event, row, enrol.as_ref());
        let recorded = loop {
            match self.send_once(sent, row.after.as_deref(), again).await {
                Ok(recorded) => break recorded,
                Err(error) if error.is_final(again) => return self.take_back(error, pending).await,
                Err(error) => {
                    let record = &event.record;
                    match error {
                        LogError::InDoubt(why) => {
                            tracing::warn!(why, %record, "an event is sent again");
                        }
                        error => {
                            tracing::error!(%error, %record, "an event is kept and sent again")
                        }
                    }
                    again = true;
                    sleep(wait).await;
                    wait = (2 * wait).min(AGAIN_MAX);
                }
            }
        };
        let committed = Committed {
            record: event.record.clone(),
            version: event.version,
            log: recorded.address.contract_address.clone(),
            tx: recorded.address.transaction_address.clone(),
            receipt: recorded.receipt.clone(),
        };
        self.sending.saw(&recorded.address.transaction_address);
        self.note(Arc::new(committed)).await?;
        Ok(Stored {
            salt: row.salt.parse().ok(),
            event: event.clone(),
            address: recorded.address,
            receipt: recorded.receipt,
        })
    }

    /// Forgets an event that the ledger will never have, so that its place and its request's name are free; and says
    /// so, unless another replica came further with it.
    async fn take_back(&self, refusal: LogError, of: &Pending) -> Result<Stored, Problem> {
        // What cannot be forgotten now will be sent again.
        let is_gone = self.writer.take_back(&of.event).await;
        if !is_gone.map_err(|_| pending())? {
            let left = self.store.take_back(of, self.sending.name()).await;
            if let Some(row) = left.map_err(|_| pending())? {
                return became(&row);
            }
        }
        Err(refused(refusal))
    }

    async fn send_once(
        &self,
        sent: Outgoing<'_>,
        after: Option<&str>,
        again: bool,
    ) -> Result<Recorded, LogError> {
        if again && let Some(found) = self.log.find(sent, after).await? {
            return Ok(found);
        }
        timed("ledger.record", Kind::Client, self.log.record(sent)).await
    }

    /// Tells the database of an event that is in the ledger, as soon as it listens.
    async fn note(&self, committed: Arc<Committed>) -> Result<(), Problem> {
        let mut wait = AGAIN;
        loop {
            let noted = self.writer.commit(Arc::clone(&committed));
            match timed("event.commit", Kind::Internal, noted).await {
                Ok(()) => return Ok(()),
                // The next start finds it in the ledger.
                Err(problem) if problem.kind == STOPPING => return Err(pending()),
                Err(problem) => {
                    let record = &committed.record;
                    tracing::warn!(%problem, %record, "a committed event is not noted yet");
                    sleep(wait).await;
                    wait = (2 * wait).min(AGAIN_MAX);
                }
            }
        }
    }

    /// What is in the way of a request, unless that is the request itself: sent twice at once, perhaps to two
    /// replicas.
    async fn unless_known(
        &self,
        request: Option<String>,
        act: &Act,
        problem: Problem,
    ) -> Result<Stored, Problem> {
        let Some(request) = request else {
            return Err(problem);
        };
        match self.store.request(&request).await {
            Ok(Some(row)) => self.known(row, act).await,
            // Where the database does not answer, it was what was in the way.
            Ok(None) | Err(_) => Err(problem),
        }
    }

    /// What became of a request that was sent before.
    async fn known(&self, row: Row, act: &Act) -> Result<Stored, Problem> {
        let content = match &act.content {
            Given::Data(data) => Content::of(data).ok(),
            _ => None,
        };
        let asked = digest(act, content.as_ref().map(Content::as_str));
        if row.request_hash.as_deref() != Some(&asked) {
            return Err(Problem::conflict(
                OTHER_REQUEST,
                "this Idempotency-Key stands for another request: choose a new one for a new request",
            ));
        }
        became(&row)
    }
}

/// Whom an event brings into the tree of participants.
pub(super) fn enrolment(row: &Row) -> Result<Option<Enrolment>, Problem> {
    let enrol = row.enrol.as_deref().map(serde_json::from_str);
    enrol.transpose().map_err(damaged)
}

/// An event as a log is told of it.
pub(super) fn outgoing<'a>(
    event: &'a Event,
    row: &'a Row,
    enrol: Option<&'a Enrolment>,
) -> Outgoing<'a> {
    Outgoing {
        log: &row.log,
        event,
        text: &row.event,
        enrol,
        signed: row.signed.as_deref(),
    }
}

/// What has become of an event.
///
/// # Errors
/// It is on its way.
pub(super) fn became(row: &Row) -> Result<Stored, Problem> {
    let (Some(address), Some(receipt)) = (row.address(), &row.receipt) else {
        return Err(pending());
    };
    Ok(Stored {
        event: Event::from_canonical(&row.event).map_err(damaged)?,
        salt: row.salt.parse().ok(),
        address,
        receipt: Receipt::parse(receipt.clone()).map_err(damaged)?,
    })
}

pub(super) fn exists(record: &RecordId) -> Problem {
    let detail = format!("the record {record} exists: update it, or choose another name");
    Problem::conflict("Exists", detail)
}

/// What the caller is told when a log does not take an event.
pub(super) fn refused(error: LogError) -> Problem {
    match error {
        LogError::Told(problem) => problem,
        LogError::InDoubt(why) => {
            tracing::warn!(why, "the ledger was asked in vain");
            Problem::unavailable(
                "LedgerUnavailable",
                "the ledger does not answer now: nothing was recorded, try again",
            )
        }
        error => {
            tracing::error!(%error, "the ledger takes no event");
            let detail = "the ledger refuses what this service sends; its operator has to look";
            Problem::unavailable("LedgerRefuses", detail)
        }
    }
}

/// Whether a record is about an operation in the dictionary, whose name everybody could take beforehand. Users
/// and sessions have names that nobody guesses.
fn is_reserved(record: &RecordId) -> bool {
    record.as_str().starts_with("permission-")
}

/// A record is changed by whoever made it. Others make records of their own about the same resource.
fn may_change(act: &Act, owner: &str) -> Result<(), Problem> {
    let changes = matches!(act.how, Operation::Update | Operation::Delete) && !act.ours;
    match &act.record {
        Some(record) if changes && owner != act.who.as_str() => {
            Err(Problem::not_permitted(format!(
                "the record {record} belongs to somebody else: make one of your own about the same \
                 resource"
            )))
        }
        _ => Ok(()),
    }
}

/// Whether an act may follow the version before.
fn may_follow(act: &Act, before: &Event) -> Result<(), Problem> {
    if before.how == Operation::Delete && act.how != Operation::Read {
        let detail = format!(
            "the record {} was deleted: nothing follows that",
            before.record
        );
        return Err(Problem::conflict("Deleted", detail));
    }
    Ok(())
}

/// The content after an act, with its hash.
fn bind(act: &Act, before: Option<&Event>, salt: Option<Salt>) -> Result<Bound, Problem> {
    match &act.content {
        Given::Data(data) => {
            let content = Content::of(data);
            let content = content.map_err(|e| Problem::input(e.to_string()).at("/data"))?;
            let mut bytes = [0; 32];
            rand::fill(&mut bytes).map_err(|e| Problem::internal("drawing a salt", &e))?;
            let salt = Salt(bytes);
            Ok(Bound {
                hash: content.hash(&salt),
                salt: Some(salt),
                canonical: Some(content.into_string()),
            })
        }
        Given::Hash(hash) if *hash == ContentHash([0; 32]) => {
            Err(Problem::input("a hash of nothing but zeros binds nothing").at("/hash"))
        }
        Given::Hash(hash) => Ok(Bound {
            hash: *hash,
            salt: None,
            canonical: None,
        }),
        Given::Same => match before {
            Some(before) => Ok(Bound {
                hash: before.what.hash,
                salt,
                canonical: None,
            }),
            None => Err(Problem::input("a new record has data, or a hash of it").at("/data")),
        },
    }
}

fn about(act: &Act, before: Option<&Event>) -> Vec<Mention> {
    match before {
        Some(before) if act.about.is_empty() => before.what.about.clone(),
        _ => act.about.clone(),
    }
}

/// The caller's name for a request, with the caller's own before it.
pub(super) fn name(act: &Act, once: &str) -> Result<String, Problem> {
    let printable = once.bytes().all(|byte| byte.is_ascii_graphic());
    if once.is_empty() || once.len() > IDEMPOTENCY_KEY_BYTES_MAX || !printable {
        return Err(Problem::input(format!(
            "an Idempotency-Key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} printable characters without blanks"
        )));
    }
    Ok(format!("{} {once}", act.who))
}

/// What was asked for, wherever it was asked from; data as canonical JSON.
fn digest(act: &Act, data: Option<&str>) -> String {
    #[derive(Serialize)]
    struct Asked<'a> {
        how: Operation,
        record: Option<&'a RecordId>,
        about: &'a [Mention],
        did: &'a Text,
        target: &'a Text,
        data: Option<&'a str>,
        hash: Option<&'a ContentHash>,
        keep: bool,
        adopt: bool,
        enrol: Option<&'a Enrolment>,
    }
    let asked = Asked {
        how: act.how,
        record: act.record.as_ref(),
        about: &act.about,
        did: &act.did,
        target: &act.target,
        data,
        hash: match &act.content {
            Given::Hash(hash) => Some(hash),
            Given::Data(_) | Given::Same => None,
        },
        keep: act.keep,
        adopt: act.adopt,
        enrol: act.enrol.as_ref(),
    };
    let asked = serde_json::to_vec(&asked).expect("what was asked is JSON");
    Digest::of(&asked).to_string()
}

pub(super) fn fresh() -> RecordId {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system gives random numbers");
    RecordId::parse(hex::encode(bytes)).expect("hexadecimal digits are a name")
}

/// The time by this machine's clock.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    let millis = i64::try_from(millis).unwrap_or(0);
    Timestamp::from_millis(millis).expect("it is a year of four digits")
}

fn pending() -> Problem {
    Problem::pending(
        "the ledger does not answer now. The event is kept and will be recorded: ask again with the same \
         Idempotency-Key, or for the record",
    )
}

pub(super) fn damaged(error: impl std::error::Error + 'static) -> Problem {
    Problem::internal("reading an event from the database", &error)
}
