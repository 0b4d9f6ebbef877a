//! Friendly agents who consult, and unfriendly ones who show what was altered.

use serde_json::{Value, json};

use super::{Agent, Own};
use crate::agent::Told;
use crate::expect::{INPUT, OK};
use crate::invariant::Invariant;
use crate::wire::Ask;

pub(super) async fn read(agent: &mut Agent) {
    let Some(own) = kept(agent).await else { return };
    let told = agent
        .ask(Ask::get(format!("/v1/records/{}", own.name)), OK)
        .await;
    if let Some(answer) = told.done() {
        let same = answer["data"] == own.data && answer["event"]["version"] == own.version;
        agent.caller.check(Invariant::DataStays, same, || {
            format!("{} (version {}) is read as {answer}", own.name, own.version)
        });
    }
}

/// One of one's own records whose data the services have.
async fn kept(agent: &mut Agent) -> Option<Own> {
    let place = agent.own().await?;
    let own = agent.records[place].clone();
    if own.keep {
        Some(own)
    } else {
        agent.create().await
    }
}

async fn any(agent: &mut Agent) -> Option<Own> {
    let place = agent.own().await?;
    Some(agent.records[place].clone())
}

/// Asks whether data holds, and looks at whether the verdict is the right one.
async fn verdict(agent: &mut Agent, question: Value, expected: &str) -> Option<Value> {
    let ask = Ask::post("/v1/consult", &question);
    let told = match expected {
        "altered" => agent.ask_unfriendly(ask, OK).await,
        _ => agent.ask(ask, OK).await,
    };
    judged(agent, &told, &question, expected)
}

fn judged(agent: &mut Agent, told: &Told, question: &Value, expected: &str) -> Option<Value> {
    let answer = told.done()?;
    let right = answer["verdict"] == expected;
    agent.caller.check(Invariant::VerdictsHold, right, || {
        format!(
            "{question} is {}, and had to be {expected}",
            answer["verdict"]
        )
    });
    right.then_some(answer)
}

pub(super) async fn consult(agent: &mut Agent) {
    let Some(own) = any(agent).await else { return };
    let mut question = json!({"record": own.name, "version": own.version, "data": own.data});
    if agent.caller.random.bool() {
        question["salt"] = own.salt;
    }
    if let Some(answer) = verdict(agent, question, "valid").await {
        agent.caller.keep_proof(answer);
    }
}

pub(super) async fn consult_by_address(agent: &mut Agent) {
    let Some(own) = any(agent).await else { return };
    let question = json!({
        "transactionAddress": own.tx, "contractAddress": own.contract, "hash": own.hash,
    });
    verdict(agent, question, "valid").await;
}

pub(super) async fn consult_unknown(agent: &mut Agent) {
    let name = agent.fresh();
    let question = json!({"record": format!("never-{name}"), "data": {}});
    verdict(agent, question, "unknown").await;
}

pub(super) async fn bitacora(agent: &mut Agent) {
    let me = agent.me().id;
    let limit = agent.caller.random.u8(1..50);
    let told = agent
        .ask(Ask::get(format!("/v1/logs?who={me}&limit={limit}")), OK)
        .await;
    let Some(answer) = told.done() else { return };
    let logs = answer["logs"].as_array().cloned().unwrap_or_default();
    let own = logs.iter().all(|log| log["event"]["who"] == *me);
    let newest_first = logs
        .is_sorted_by(|one, next| one["event"]["when"].as_str() >= next["event"]["when"].as_str());
    let fits = logs.len() <= usize::from(limit);
    agent
        .caller
        .check(Invariant::DataStays, own && newest_first && fits, || {
            format!("the Bitacora of {me} has others' logs, too many, or in another order")
        });
}

pub(super) async fn trace(agent: &mut Agent) {
    let Some(own) = any(agent).await else { return };
    let told = agent
        .ask(
            Ask::get(format!("/v1/traces?resource={}", own.resource)),
            OK,
        )
        .await;
    let Some(answer) = told.done() else { return };
    let logs = answer["logs"].as_array().cloned().unwrap_or_default();
    let found = logs
        .iter()
        .any(|log| log["event"]["record"] == *own.name && log["event"]["version"] == own.version);
    agent.caller.check(Invariant::DataStays, found, || {
        format!(
            "the trace of {} misses {} (version {})",
            own.resource, own.name, own.version
        )
    });
}

/// Changes one field of what was recorded; each change is found, and where.
pub(super) async fn altered(agent: &mut Agent) {
    let Some(own) = any(agent).await else { return };
    let mut data = own.data.clone();
    let (field, value) = match agent.caller.random.u8(..5) {
        0 => ("kg", json!(own.data["kg"].as_u64().unwrap_or_default() + 1)),
        1 => ("grade", json!("D")),
        2 => ("ok", Value::Null),
        3 => (
            "note",
            json!(format!(
                "{} ",
                own.data["note"].as_str().unwrap_or_default()
            )),
        ),
        _ => ("new", json!({})),
    };
    data[field] = value;
    let question = json!({"record": own.name, "version": own.version, "data": data});
    let told = agent
        .ask_unfriendly(Ask::post("/v1/consult", &question), OK)
        .await;
    if let Some(answer) = judged(agent, &told, &question, "altered") {
        let fields = if own.keep {
            json!([format!("/{field}")])
        } else {
            Value::Null
        };
        agent
            .caller
            .check(Invariant::VerdictsHold, answer["fields"] == fields, || {
                format!(
                    "{field} of {} was altered, and found was {}",
                    own.name, answer["fields"]
                )
            });
    }
}

pub(super) async fn altered_hash(agent: &mut Agent) {
    let Some(own) = any(agent).await else { return };
    let other = format!("{:016x}", agent.caller.random.u64(..)).repeat(4);
    let question = match agent.caller.random.bool() {
        true => json!({"record": own.name, "version": own.version, "hash": other}),
        false => {
            json!({"record": own.name, "version": own.version, "data": own.data, "salt": other})
        }
    };
    verdict(agent, question, "altered").await;
}

/// A transaction of one record with the log of another, or that never was: nothing is found there.
pub(super) async fn other_address(agent: &mut Agent) {
    let Some(own) = any(agent).await else { return };
    let (tx, contract) = match agent.caller.random.u8(..3) {
        0 => (own.tx, format!("{}0", own.contract)),
        1 => ("1.1".to_owned(), own.contract),
        _ => (format!("{}' OR '1'='1", own.tx), own.contract),
    };
    let question = json!({"transactionAddress": tx, "contractAddress": contract, "hash": own.hash});
    let told = agent
        .ask_unfriendly(Ask::post("/v1/consult", &question), OK)
        .await;
    judged(agent, &told, &question, "unknown");
}

pub(super) async fn senseless(agent: &mut Agent) {
    let Some(own) = any(agent).await else { return };
    let question = match agent.caller.random.u8(..5) {
        0 => json!({}),
        1 => json!({"data": {}}),
        2 => json!({"record": own.name, "data": own.data, "hash": own.hash}),
        3 => json!({"transactionAddress": own.tx, "hash": own.hash}),
        _ => json!({"record": own.name, "hash": "0x12"}),
    };
    agent.ask(Ask::post("/v1/consult", &question), INPUT).await;
}
