//! Events per second through the contracts of a ledger, by many participants at once.
//!
//! ```text
//! counterfoil up --dev --json --dir NEW --listen 127.0.0.1:0
//! cargo run --release -p audit --example chain -- URL SERVICE_CERT TOKEN CHAIN_ID PARTICIPANTS SECONDS
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool for people"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use audit::database::Database;
use audit::model::{
    ContentHash, Event, Mention, Operation, Part, RecordId, ResourceId, Text, Timestamp, What,
};
use audit::trail::chain::{ChainSettings, MasterKey};
use audit::trail::log::{EventLog, Outgoing};
use audit::trail::{ChainLog, Enrolment, Kind};
use connector::Profile;
use tokio::task::JoinSet;
use verify::Cert;

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, cert, token, chain, participants, seconds] = &args[..] else {
        panic!("URL SERVICE_CERT TOKEN CHAIN_ID PARTICIPANTS SECONDS");
    };
    let pem = std::fs::read_to_string(cert).unwrap();
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("audit.db");
    let database = Database::open(&format!("sqlite:{}", file.display()))
        .await
        .unwrap();
    let settings = ChainSettings {
        profile: Profile {
            trust: Some(pem.clone()),
            bearer: Some(token.clone()),
            ..Profile::counterfoil(format!("{url}/rpc"), chain.parse().unwrap())
        },
        service_cert: Some(Cert::from_pem(&pem).unwrap()),
        folder: dir.path().join("outboxes"),
        master: MasterKey::new(&[7; 32]),
        root: None,
    };
    let log = Arc::new(ChainLog::open(settings, database).await.unwrap());
    enrol(&log, "root", "root", Kind::Root).await;
    enrol(&log, "root", "ada", Kind::Administrator).await;
    let participants: u64 = participants.parse().unwrap();
    let begun = Instant::now();
    for number in 0..participants {
        enrol(&log, "ada", &format!("user-{number}"), Kind::TUser).await;
    }
    let each = begun.elapsed() / u32::try_from(participants).unwrap();
    println!("{participants} enrolments one after the other: {each:?} each");

    let until = Instant::now() + Duration::from_secs(seconds.parse().unwrap());
    let mut all = JoinSet::new();
    for number in 0..participants {
        all.spawn(act(Arc::clone(&log), format!("user-{number}"), until));
    }
    let mut times: Vec<Duration> = all.join_all().await.into_iter().flatten().collect();
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "{} events, {} a second; half within {:?}, 99 % within {:?}",
        times.len(),
        times.len() / seconds.parse::<usize>().unwrap(),
        at(50),
        at(99)
    );
}

async fn enrol(log: &ChainLog, by: &str, who: &str, kind: Kind) {
    let enrol = Enrolment {
        participant: text(who),
        kind,
        role: if kind == Kind::TUser {
            "producer".to_owned()
        } else {
            String::new()
        },
        parent: None,
        key: None,
    };
    record(log, &event(by, who, 1), Some(&enrol)).await;
}

async fn record(log: &ChainLog, event: &Event, enrol: Option<&Enrolment>) {
    let sent = Outgoing {
        log: "",
        event,
        text: &event.to_canonical(),
        enrol,
        signed: None,
    };
    log.record(sent).await.unwrap();
}

async fn act(log: Arc<ChainLog>, who: String, until: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    for version in 2.. {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        record(&log, &event(&who, &who, version), None).await;
        times.push(begun.elapsed());
    }
    times
}

fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

fn event(who: &str, record: &str, version: u64) -> Event {
    Event {
        record: RecordId::parse(record).unwrap(),
        version,
        how: if version == 1 {
            Operation::Create
        } else {
            Operation::Update
        },
        who: text(who),
        what: What {
            about: vec![Mention {
                id: ResourceId::parse("lot:7").unwrap(),
                part: Part::About,
            }],
            did: text("weigh"),
            hash: ContentHash([9; 32]),
        },
        when: Timestamp::from_millis(1_800_000_000_000).unwrap(),
        place: text("203.0.113.7"),
        target: Text::default(),
    }
}
