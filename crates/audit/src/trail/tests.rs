use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::log::{Asking, EventLog, LogError, Outgoing, Recorded, Signer, ToSign};
use super::*;
use crate::Problem;
use crate::model::{Event, Mention, Operation, Part, RecordId, ResourceId, Text, Verdict};

mod captures;
mod consulting;
mod journal;
mod prepared;
mod refusals;
mod replicas;

/// A log that keeps its events in memory, and fails when it is told to.
#[derive(Default)]
struct Log {
    entries: Mutex<Vec<(String, String)>>,
    keys: Mutex<HashMap<String, usize>>,
    /// So many answers are lost, after the event was recorded.
    lose: AtomicUsize,
    /// So many requests do not arrive.
    drop: AtomicUsize,
    refuses: AtomicUsize,
    /// So many questions are refused.
    says_nothing: AtomicUsize,
    /// So many proofs do not hold, of events that were recorded.
    disproves: AtomicUsize,
    /// This log takes nothing.
    stuck: Mutex<Option<String>>,
}

/// Zoe keeps her key.
fn signer_of(who: &Text) -> Signer {
    match who.as_str() {
        "zoe" => Signer::Participant,
        _ => Signer::Service,
    }
}

/// As if somebody had signed the transaction of this event.
fn signature(text: &str) -> String {
    verify::Digest::of(text.as_bytes()).to_string()
}

fn one_of(count: &AtomicUsize) -> bool {
    let less = |count: usize| count.checked_sub(1);
    count
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        .is_ok()
}

impl Log {
    fn at(&self, place: usize) -> Recorded {
        let (log, contents) = self.entries.lock().unwrap()[place].clone();
        Recorded {
            address: Address {
                transaction_address: format!("2.{place}"),
                contract_address: log,
            },
            receipt: Receipt::of(&json!({"place": place, "contents": contents})),
        }
    }

    fn count(&self) -> usize {
        self.entries.lock().unwrap().len()
    }
}

impl EventLog for Log {
    fn log_of<'a>(&'a self, act: &'a Act, signer: Signer) -> Asking<'a, String> {
        Box::pin(async move {
            match signer == signer_of(&act.who) || act.ours {
                true => Ok(format!("of:{}", act.who)),
                false => Err(LogError::Told(Problem::conflict(
                    "OtherSigner",
                    "the other way",
                ))),
            }
        })
    }

    fn to_sign<'a>(&'a self, unsigned: Outgoing<'a>) -> Asking<'a, ToSign> {
        Box::pin(async move {
            let Outgoing { event, text, .. } = unsigned;
            Ok(ToSign {
                transaction: json!({"to": format!("of:{}", event.who)}),
                unsigned: "0x".to_owned(),
                signing_hash: "0x".to_owned(),
                event_hash: signature(text),
            })
        })
    }

    fn check_signed<'a>(&'a self, sent: Outgoing<'a>, signed: &'a str) -> Asking<'a, ()> {
        Box::pin(async move {
            match signed == signature(sent.text) {
                true => Ok(()),
                false => Err(LogError::Told(
                    Problem::input("it is another").at("/signed"),
                )),
            }
        })
    }

    fn record<'a>(&'a self, sent: Outgoing<'a>) -> Asking<'a, Recorded> {
        Box::pin(async move {
            let lost = || LogError::InDoubt("no answer".to_owned());
            if one_of(&self.refuses) {
                return Err(LogError::Refused("no".to_owned()));
            }
            let is_stuck = self.stuck.lock().unwrap().as_deref() == Some(sent.log);
            if is_stuck || one_of(&self.drop) {
                return Err(lost());
            }
            if sent.signed.is_some() != (signer_of(&sent.event.who) == Signer::Participant) {
                return Err(LogError::Refused("another has to sign".to_owned()));
            }
            let (log, contents) = (sent.log, sent.text.to_owned());
            let place = {
                let (mut keys, mut entries) =
                    (self.keys.lock().unwrap(), self.entries.lock().unwrap());
                *keys.entry(contents.clone()).or_insert_with(|| {
                    entries.push((log.to_owned(), contents));
                    entries.len() - 1
                })
            };
            if one_of(&self.lose) {
                Err(lost())
            } else if one_of(&self.disproves) {
                Err(LogError::Proof("another node is behind".to_owned()))
            } else {
                Ok(self.at(place))
            }
        })
    }

    fn find<'a>(
        &'a self,
        sent: Outgoing<'a>,
        after: Option<&'a str>,
    ) -> Asking<'a, Option<Recorded>> {
        Box::pin(async move {
            if one_of(&self.says_nothing) {
                return Err(LogError::Refused("who asks?".to_owned()));
            }
            let after: usize = after.map_or(0, |after| after[2..].parse().unwrap());
            let wanted = (sent.log.to_owned(), sent.text.to_owned());
            let found = self
                .entries
                .lock()
                .unwrap()
                .iter()
                .skip(after)
                .position(|entry| *entry == wanted);
            Ok(found.map(|place| self.at(after + place)))
        })
    }

    fn fetch<'a>(&'a self, address: &'a Address) -> Asking<'a, Option<(Event, Receipt)>> {
        Box::pin(async move {
            let place: usize = address.transaction_address[2..].parse().unwrap();
            if place >= self.count() {
                return Ok(None);
            }
            let there = self.at(place);
            let event = self.proven(address, &there.receipt).await;
            Ok(event.ok().map(|event| (event, there.receipt)))
        })
    }

    fn proven<'a>(&'a self, address: &'a Address, receipt: &'a Receipt) -> Asking<'a, Event> {
        Box::pin(async move { self.checked(address, receipt) })
    }
}

impl Log {
    fn checked(&self, address: &Address, receipt: &Receipt) -> Result<Event, LogError> {
        let wrong = || LogError::Proof("it is not mine".to_owned());
        let shown: Value = serde_json::from_str(receipt.as_str()).map_err(|_| wrong())?;
        let place = shown["place"].as_u64().ok_or_else(wrong)?;
        let there = self.at(usize::try_from(place).unwrap());
        if there.receipt != *receipt || there.address != *address {
            return Err(wrong());
        }
        Event::from_canonical(shown["contents"].as_str().unwrap()).map_err(|_| wrong())
    }
}

struct World {
    trail: Trail,
    log: Arc<Log>,
    database: Database,
    dir: TempDir,
}

/// A trail as it runs: with a journal where the database is a file.
async fn world() -> World {
    world_of(true).await
}

async fn world_of(journal: bool) -> World {
    let dir = TempDir::new().unwrap();
    let database = open(&dir).await;
    let log = Arc::new(Log::default());
    let events = Arc::clone(&log) as Arc<dyn EventLog>;
    let trail = match journal {
        true => by_journal(&dir, &database, events).await,
        false => Trail::new(database.clone(), events),
    };
    World {
        trail,
        log,
        database,
        dir,
    }
}

async fn by_journal(dir: &TempDir, database: &Database, log: Arc<dyn EventLog>) -> Trail {
    let folder = dir.path().join("journal");
    let trail = Trail::by_journal("one", database.clone(), log, &folder).await;
    trail.unwrap()
}

async fn open(dir: &TempDir) -> Database {
    let address = crate::database::testing::address(dir.path()).await;
    Database::open(&address).await.unwrap()
}

fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

fn mention(id: &str, part: Part) -> Mention {
    Mention {
        id: ResourceId::parse(id).unwrap(),
        part,
    }
}

fn act(how: Operation, record: Option<&str>, content: Given) -> Act {
    Act {
        who: text("ana"),
        how,
        record: record.map(|record| RecordId::parse(record).unwrap()),
        about: vec![mention("lot:7", Part::About)],
        did: text("harvest"),
        place: text("203.0.113.7"),
        target: Text::default(),
        content,
        keep: true,
        once: None,
        adopt: false,
        ours: false,
        enrol: None,
    }
}

fn create(record: &str, data: Value) -> Act {
    act(Operation::Create, Some(record), Given::Data(data))
}

fn question(record: &str) -> Question {
    Question {
        record: Some(RecordId::parse(record).unwrap()),
        ..Question::default()
    }
}

/// Changes what the trail has in its database.
async fn execute(trail: &Trail, database: &Database, statement: &'static str) {
    trail.settled().await.unwrap();
    sqlx::query(statement)
        .execute(database.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn names_of_the_services_own_records_are_taken_by_nobody_else() {
    let world = world().await;
    let World { trail, log, .. } = &world;
    let theirs = create("permission-exportData", json!(1));
    let refused = trail.store(theirs.clone()).await.unwrap_err();
    assert_eq!((&*refused.kind, log.count()), ("InvalidInput", 0));
    trail
        .store(Act {
            ours: true,
            ..theirs
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn updating_and_deleting_append_and_nothing_follows_a_deletion() {
    let world = world().await;
    let World { trail, log, .. } = &world;
    trail.store(create("r1", json!(1))).await.unwrap();
    assert_eq!(
        trail.store(create("r1", json!(2))).await.unwrap_err().kind,
        "Exists"
    );
    let update = |data| act(Operation::Update, Some("r1"), Given::Data(data));
    trail.store(update(json!(2))).await.unwrap();
    let read = trail
        .store(act(Operation::Read, Some("r1"), Given::Same))
        .await
        .unwrap();
    assert_eq!(read.event.version, 3);
    trail
        .store(act(Operation::Delete, Some("r1"), Given::Same))
        .await
        .unwrap();
    assert_eq!(
        trail.store(update(json!(3))).await.unwrap_err().kind,
        "Deleted"
    );
    let missing = act(Operation::Update, Some("r2"), Given::Data(json!(1)));
    assert_eq!(trail.store(missing).await.unwrap_err().kind, "NotFound");
    assert_eq!(log.count(), 4);
    // Each version stays what it was.
    for (version, data) in [(1, 1), (2, 2), (4, 2)] {
        let asked = Question {
            version: Some(version),
            data: Some(json!(data)),
            ..question("r1")
        };
        assert_eq!(
            trail.consult(asked).await.unwrap().verdict,
            Verdict::Valid,
            "{version}"
        );
    }
    let (newest, data) = trail.newest(&RecordId::parse("r1").unwrap()).await.unwrap();
    assert_eq!(
        (newest.event.how, data),
        (Operation::Delete, Some(json!(2)))
    );
}

#[tokio::test]
async fn a_record_is_changed_by_its_owner_alone_and_read_by_others() {
    let world = world().await;
    let World { trail, log, .. } = &world;
    trail.store(create("r1", json!(1))).await.unwrap();
    let by_ben = |how, content| Act {
        who: text("ben"),
        ..act(how, Some("r1"), content)
    };
    for act in [
        by_ben(Operation::Update, Given::Data(json!(2))),
        by_ben(Operation::Delete, Given::Same),
    ] {
        assert_eq!(trail.store(act).await.unwrap_err().kind, "NotPermitted");
    }
    trail
        .store(by_ben(Operation::Read, Given::Same))
        .await
        .unwrap();
    trail
        .store(act(Operation::Update, Some("r1"), Given::Data(json!(2))))
        .await
        .unwrap();
    assert_eq!(log.count(), 3);
}

/// A user whom an administrator made changes their own password, and a root takes their grants away.
#[tokio::test]
async fn what_the_services_keep_is_changed_by_others_than_who_made_it() {
    let world = world().await;
    let trail = &world.trail;
    trail.store(create("user-ben", json!(1))).await.unwrap();
    let changed = Act {
        who: text("ben"),
        ours: true,
        ..act(Operation::Update, Some("user-ben"), Given::Data(json!(2)))
    };
    assert_eq!(trail.store(changed).await.unwrap().event.version, 2);
}

#[tokio::test]
async fn a_record_that_is_older_than_its_audit_begins_with_what_comes_first() {
    let world = world().await;
    let trail = &world.trail;
    let change = |adopt| Act {
        adopt,
        ..act(Operation::Update, Some("r1"), Given::Data(json!(1)))
    };
    assert_eq!(
        trail.store(change(false)).await.unwrap_err().kind,
        "NotFound"
    );
    let first = trail.store(change(true)).await.unwrap().event;
    assert_eq!((first.version, first.how), (1, Operation::Update));
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_recorded_once() {
    let world = world().await;
    let World { trail, log, .. } = &world;
    let once = |data: i32, place: &str| Act {
        record: None,
        once: Some("k1".to_owned()),
        place: text(place),
        ..create("x", json!(data))
    };
    let first = trail.store(once(1, "here")).await.unwrap();
    let again = trail.store(once(1, "there")).await.unwrap();
    assert_eq!((&first, log.count()), (&again, 1));
    let other = trail.store(once(2, "here")).await.unwrap_err();
    assert_eq!(other.kind, "OtherRequest");
    let somebody = Act {
        who: text("ben"),
        ..once(2, "here")
    };
    trail.store(somebody).await.unwrap();
    for key in ["", "a b", "ü"] {
        let key = Act {
            once: Some(key.to_owned()),
            ..once(1, "here")
        };
        assert_eq!(trail.store(key).await.unwrap_err().kind, "InvalidInput");
    }
}

#[tokio::test]
async fn lost_answers_and_lost_requests_record_each_event_once() {
    let world = world().await;
    let World { trail, log, .. } = &world;
    log.lose.store(2, Ordering::SeqCst);
    log.drop.store(2, Ordering::SeqCst);
    for record in ["r1", "r2", "r3"] {
        trail.store(create(record, json!(record))).await.unwrap();
    }
    assert_eq!(log.count(), 3);
}

#[tokio::test]
async fn what_the_ledger_refuses_leaves_nothing() {
    let world = world().await;
    let World { trail, log, .. } = &world;
    log.refuses.store(1, Ordering::SeqCst);
    let refused = trail.store(create("r1", json!(1))).await.unwrap_err();
    assert_eq!(refused.kind, "LedgerRefuses");
    assert!(trail.logs(Filter::default()).await.unwrap().logs.is_empty());
    trail.store(create("r1", json!(1))).await.unwrap();
}

#[tokio::test]
async fn what_a_crash_left_on_its_way_goes_on_and_is_recorded_once() {
    let World {
        trail,
        log,
        database,
        dir,
    } = world().await;
    for record in ["r1", "r2"] {
        trail.store(create(record, json!(record))).await.unwrap();
    }
    // As if the process had ended after the ledger had the first, and before it had the second.
    log.entries.lock().unwrap().pop();
    log.keys.lock().unwrap().clear();
    execute(
        &trail,
        &database,
        "UPDATE events SET tx = NULL, receipt = NULL",
    )
    .await;
    let verdict = trail.consult(question("r1")).await.unwrap().verdict;
    assert_eq!(verdict, Verdict::Pending);
    drop(trail);
    database.close().await;
    let trail = Trail::new(open(&dir).await, Arc::clone(&log) as Arc<dyn EventLog>);
    assert_eq!(trail.resume().await.unwrap(), 2);
    for record in ["r1", "r2"] {
        while trail.consult(question(record)).await.unwrap().verdict == Verdict::Pending {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            trail.consult(question(record)).await.unwrap().verdict,
            Verdict::Valid
        );
    }
    assert_eq!(log.count(), 2);
}

#[tokio::test]
async fn a_request_that_comes_twice_at_once_is_recorded_once_and_answered_twice() {
    let world = world().await;
    let World { trail, log, .. } = &world;
    let once = || Act {
        once: Some("k1".to_owned()),
        ..create("x", json!(1))
    };
    let (one, other) = tokio::join!(trail.store(once()), trail.store(once()));
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(log.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn acts_on_one_record_follow_each_other() {
    let world = world().await;
    let World { trail, log, .. } = &world;
    trail.store(create("r1", json!(0))).await.unwrap();
    let updates = (0..50).map(|number| {
        let trail = trail.clone();
        let update = act(Operation::Update, Some("r1"), Given::Data(json!(number)));
        tokio::spawn(async move { trail.store(update).await.unwrap().event.version })
    });
    let mut versions = Vec::new();
    for update in updates.collect::<Vec<_>>() {
        versions.push(update.await.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (2..=51).collect::<Vec<_>>());
    let entries = log.entries.lock().unwrap().clone();
    let order: Vec<u64> = entries
        .iter()
        .map(|(_, contents)| Event::from_canonical(contents).unwrap().version)
        .collect();
    assert_eq!(order, (1..=51).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_bitacora_is_read_page_by_page_and_by_what_one_looks_for() {
    let world = world().await;
    let World { trail, .. } = &world;
    for number in 0..25 {
        let mut act = create(&format!("r{number}"), json!(number));
        act.who = text(if number % 5 == 0 { "ben" } else { "ana" });
        act.about = vec![mention(&format!("lot:{}", number % 2), Part::About)];
        trail.store(act).await.unwrap();
    }
    let mut filter = Filter {
        who: Some(text("ana")),
        limit: 7,
        ..Filter::default()
    };
    let mut found = Vec::new();
    loop {
        let page = trail.logs(filter.clone()).await.unwrap();
        found.extend(page.logs.into_iter().map(|log| log.event));
        match page.next {
            Some(next) => filter.after = Some(next),
            None => break,
        }
    }
    assert_eq!(found.len(), 20);
    assert!(found.iter().all(|event| event.who == text("ana")));
    assert!(found.windows(2).all(|pair| pair[0].when >= pair[1].when));
    let even = Filter {
        resource: Some(ResourceId::parse("lot:0").unwrap()),
        limit: 1_000_000,
        ..Filter::default()
    };
    assert_eq!(trail.logs(even.clone()).await.unwrap().logs.len(), 13);
    let none = Filter {
        how: Some(Operation::Delete),
        ..even
    };
    assert!(trail.logs(none).await.unwrap().logs.is_empty());
}

#[tokio::test]
async fn a_resource_is_traced_through_what_it_became() {
    let world = world().await;
    let World { trail, .. } = &world;
    // Two lots are packed into a case, the case goes onto a pallet, the pallet is shipped.
    let events: [(&str, &[(&str, Part)]); 5] = [
        ("harvest-1", &[("lot:1", Part::About)]),
        ("harvest-2", &[("lot:2", Part::About)]),
        (
            "pack",
            &[
                ("lot:1", Part::Input),
                ("lot:2", Part::Input),
                ("case:1", Part::Output),
            ],
        ),
        (
            "stack",
            &[("pallet:1", Part::Parent), ("case:1", Part::Child)],
        ),
        ("ship", &[("pallet:1", Part::About)]),
    ];
    for (record, about) in events {
        let mut act = create(record, json!(record));
        act.about = about.iter().map(|(id, part)| mention(id, *part)).collect();
        trail.store(act).await.unwrap();
    }
    let trace = async |id: &str, way| {
        let trace = trail
            .trace(ResourceId::parse(id).unwrap(), way)
            .await
            .unwrap();
        let ids = |ids: &[ResourceId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        (ids(&trace.resources), trace.logs.len(), trace.links.len())
    };
    let (resources, logs, _) = trace("lot:1", Direction::Forward).await;
    assert_eq!(
        (resources, logs),
        (vec!["lot:1".into(), "case:1".into(), "pallet:1".into()], 4)
    );
    let (resources, logs, links) = trace("pallet:1", Direction::Back).await;
    assert_eq!(resources, ["pallet:1", "case:1", "lot:1", "lot:2"]);
    assert_eq!((logs, links), (5, 4));
    let (resources, ..) = trace("lot:2", Direction::Back).await;
    assert_eq!(resources, ["lot:2"]);
}

#[tokio::test]
async fn a_document_is_captured_once_however_often_it_is_sent_and_a_correction_follows() {
    const EVENT: &str = r#"{"type": "ObjectEvent", "action": "OBSERVE",
        "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],
        "eventTime": "2026-10-01T10:00:00Z", "eventTimeZoneOffset": "+00:00",
        "epcList": ["urn:epc:id:sgtin:9521234.054322.1"], "bizStep": "shipping"}"#;
    let world = world().await;
    let World { trail, log, .. } = &world;
    let capture = async |json: &str, who: &str| {
        let document = epcis::Document::parse(json.as_bytes()).unwrap();
        let events = document.events().iter();
        let events = events.map(|event| crate::model::capture::Captured::of(event, None).unwrap());
        let (who, place) = (text(who), text("here"));
        trail.capture(&who, &place, events.collect()).await.unwrap()
    };
    for _ in 0..2 {
        let job = capture(EVENT, "ana").await;
        assert!(job.success && !job.running, "{job:?}");
        assert_eq!(trail.capture_job(&text("ana"), &job.id).await.unwrap(), job);
        assert_eq!(
            trail
                .capture_job(&text("ben"), &job.id)
                .await
                .unwrap_err()
                .kind,
            "NotFound"
        );
    }
    assert_eq!(log.count(), 1);
    let wrong = r#""errorDeclaration": {"declarationTime": "2026-10-02T10:00:00Z"}, "bizStep""#;
    let correction = EVENT.replace("\"bizStep\"", wrong);
    // Only whoever said it says that it was wrong.
    let job = capture(&correction, "ben").await;
    assert_eq!(
        (job.success, job.errors[0].kind.as_str()),
        (false, "NotPermitted")
    );
    for _ in 0..2 {
        assert!(capture(&correction, "ana").await.success);
    }
    assert_eq!(log.count(), 2);
    let page = trail.captured(None, 10).await.unwrap();
    assert_eq!(page.len(), 2);
    assert_eq!(
        (
            page[0].0.event.version,
            page[0].1["errorDeclaration"].is_object()
        ),
        (2, true)
    );
}
