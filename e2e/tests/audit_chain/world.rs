//! A service that audits through contracts, in this process, and acts for it to record.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::U256;
use anyhow::{Context, Result, bail, ensure};
use audit::Problem;
use audit::database::Database;
use audit::model::{Mention, Operation, Part, RecordId, ResourceId, Text, Verdict};
use audit::trail::chain::{ChainSettings, MasterKey};
use audit::trail::log::EventLog;
use audit::trail::{Act, ChainLog, Enrolment, Given, Kind, Question, Stored, Trail};
use connector::Profile;
use e2e::{Ledger, rpc};
use serde_json::json;
use verify::Cert;
use verify::ethereum::Hex;

/// A ledger of ours, reached over TLS with a token.
pub(crate) async fn ours() -> Result<(Ledger, Profile, Cert)> {
    let ledger = Ledger::start_with(&["--rpc", "127.0.0.1:0"])?;
    let ready = ledger.ready();
    let plain = ready.rpc_url.clone().context("no address")?;
    let id: U256 = serde_json::from_value(rpc(&plain, "eth_chainId", json!([])).await?)?;
    let pem = std::fs::read_to_string(&ready.service_cert)?;
    let profile = Profile {
        trust: Some(pem.clone()),
        bearer: Some(ready.token.clone()),
        ..Profile::counterfoil(format!("{}/rpc", ready.url), id.to())
    };
    let cert = Cert::from_pem(&pem)?;
    Ok((ledger, profile, cert))
}

/// A service, and what it keeps.
pub(crate) struct World {
    pub(crate) trail: Trail,
    pub(crate) log: Arc<ChainLog>,
    pub(crate) database: Database,
}

/// With a database and outboxes in a folder.
pub(crate) async fn world(dir: &Path, profile: &Profile, cert: Option<&Cert>) -> Result<World> {
    let database = format!("sqlite:{}", dir.join("audit.db").display());
    replica(&database, dir, profile, cert).await
}

/// The same on any database.
pub(crate) async fn replica(
    database: &str,
    dir: &Path,
    profile: &Profile,
    cert: Option<&Cert>,
) -> Result<World> {
    let database = Database::open(database).await?;
    let settings = ChainSettings {
        profile: profile.clone(),
        service_cert: cert.cloned(),
        folder: dir.join("outboxes"),
        master: MasterKey::new(&[7; 32]),
        root: None,
    };
    let log = Arc::new(ChainLog::open(settings, database.clone()).await?);
    let trail = Trail::new(database.clone(), Arc::clone(&log) as Arc<dyn EventLog>);
    Ok(World {
        trail,
        log,
        database,
    })
}

pub(crate) fn text(text: &str) -> Text {
    Text::parse(text).expect("it is short")
}

pub(crate) fn act(who: &str, how: Operation, record: &str, content: Given) -> Act {
    Act {
        who: text(who),
        how,
        record: Some(RecordId::parse(record).expect("it is a name")),
        about: vec![Mention {
            id: ResourceId::parse("lot:7").expect("it is a name"),
            part: Part::About,
        }],
        did: text("harvest"),
        place: text("203.0.113.7"),
        target: text("field 3"),
        content,
        keep: true,
        once: None,
        adopt: false,
        ours: false,
        enrol: None,
    }
}

pub(crate) fn create(who: &str, record: &str) -> Act {
    act(
        who,
        Operation::Create,
        record,
        Given::Data(json!({"by": who, "kg": 20})),
    )
}

pub(crate) fn enrolling(by: &str, who: &str, kind: Kind) -> Act {
    let role = match kind {
        Kind::TUser => "producer",
        _ => "",
    };
    let enrol = Enrolment {
        participant: text(who),
        kind,
        role: role.to_owned(),
        parent: (kind != Kind::Root).then(|| text(by)),
        key: None,
    };
    Act {
        enrol: Some(enrol),
        ..create(by, &format!("participant:{who}"))
    }
}

/// The same for somebody who keeps the key of this account.
pub(crate) fn enrolling_owner(by: &str, who: &str, key: Hex<20>) -> Act {
    let mut act = enrolling(by, who, Kind::TUser);
    if let Some(enrol) = &mut act.enrol {
        enrol.key = Some(key);
    }
    act
}

/// A root, an administrator, and two users.
pub(crate) async fn tree(trail: &Trail) -> Result<Vec<Stored>> {
    let mut all = Vec::new();
    for (by, who, kind) in [
        ("root", "root", Kind::Root),
        ("root", "ada", Kind::Administrator),
        ("ada", "ana", Kind::TUser),
        ("ada", "ben", Kind::TUser),
    ] {
        let stored = trail.store(enrolling(by, who, kind)).await;
        all.push(stored.with_context(|| format!("enrolling {who}"))?);
    }
    Ok(all)
}

pub(crate) async fn refused(trail: &Trail, act: Act) -> Result<Problem> {
    match trail.store(act).await {
        Ok(stored) => bail!("it was stored: {stored:?}"),
        Err(problem) => Ok(problem),
    }
}

pub(crate) async fn is_valid(trail: &Trail, stored: &Stored) -> Result<()> {
    let asked = Question {
        record: Some(stored.event.record.clone()),
        version: Some(stored.event.version),
        ..Question::default()
    };
    let consulted = trail.consult(asked).await?;
    ensure!(consulted.verdict == Verdict::Valid, "{consulted:?}");
    ensure!(consulted.event.as_ref() == Some(&stored.event));
    ensure!(consulted.address.as_ref() == Some(&stored.address));
    Ok(())
}
