//! Friendly agents who store.

use std::collections::BTreeSet;

use epcis::{EventHash, Namespaces, document::Document};
use serde_json::{Value, json};

use super::{Agent, Own};
use crate::expect::{CREATED, Expected, OK};
use crate::invariant::Invariant;
use crate::wire::Ask;

/// What one of two who come at once may be told.
const OVERTAKEN: &[crate::expect::Refusal] = &[(409, "Concurrent")];

pub(super) async fn store(agent: &mut Agent) {
    agent.create().await;
}

pub(super) async fn store_hash(agent: &mut Agent) {
    let draft = agent.draft();
    let hash = format!("{:016x}", agent.caller.random.u64(1..)).repeat(4);
    let mut body = draft.body();
    if let Some(body) = body.as_object_mut() {
        body.remove("data");
        body.insert("hash".to_owned(), json!(hash));
    }
    let told = agent.ask(Ask::post("/v1/records", &body), CREATED).await;
    agent.doubt(&told, "create", &draft);
    if let Some(answer) = told.done() {
        agent.stored("create", &draft, 1, &answer, Some(&hash));
    }
}

pub(super) async fn store_unkept(agent: &mut Agent) {
    let draft = agent.draft();
    let mut body = draft.body();
    body["keep"] = false.into();
    let told = agent.ask(Ask::post("/v1/records", &body), CREATED).await;
    agent.doubt(&told, "create", &draft);
    if let Some(answer) = told.done()
        && let Some(own) = agent.stored("create", &draft, 1, &answer, None)
    {
        agent.remember(Own { keep: false, ..own });
    }
}

pub(super) async fn update(agent: &mut Agent) {
    let Some(place) = agent.own().await else {
        return;
    };
    let own = agent.records[place].clone();
    let mut draft = agent.draft();
    draft.name = own.name;
    let path = format!("/v1/records/{}", draft.name);
    let told = agent.ask(Ask::put(path, &draft.body()), OK).await;
    agent.doubt(&told, "update", &draft);
    match told.done() {
        Some(answer) => {
            if let Some(own) = agent.stored("update", &draft, own.version + 1, &answer, None) {
                agent.records[place] = own;
            }
        }
        // Nobody knows which version it has now.
        None if told.is_in_doubt() => drop(agent.records.swap_remove(place)),
        None => {}
    }
}

pub(super) async fn delete(agent: &mut Agent) {
    let Some(place) = agent.own().await else {
        return;
    };
    let own = agent.records.swap_remove(place);
    delete_own(agent, &own).await;
}

/// Deletes a record of one's own that is remembered no more.
pub(super) async fn delete_own(agent: &mut Agent, own: &Own) -> bool {
    let path = format!("/v1/records/{}", own.name);
    let told = agent.ask(Ask::delete(path), OK).await;
    let who = agent.me().id;
    agent
        .caller
        .doubt(&told, (&who, "delete"), Some(&own.name), None);
    if let Some(answer) = told.done() {
        let place = (own.name.clone(), own.version + 1);
        let tx = answer["transactionAddress"].as_str();
        agent
            .caller
            .book(place, (&who, "delete"), tx, Some(&own.hash));
    }
    told.is_done()
}

/// The same request, one after the other.
pub(super) async fn repeat(agent: &mut Agent) {
    let draft = agent.draft();
    let ask = Ask::post("/v1/records", &draft.body()).once(&draft.name);
    let first = agent.ask(ask.clone(), CREATED).await;
    agent.doubt(&first, "create", &draft);
    let Some(answer) = first.done() else { return };
    agent.stored("create", &draft, 1, &answer, None);
    let again = agent.ask(ask, CREATED).await;
    if let Some(again) = again.done() {
        same(agent, &answer, &again);
    }
}

/// The same request, twice at once.
pub(super) async fn double_click(agent: &mut Agent) {
    let draft = agent.draft();
    let token = agent.token().await;
    let ask = Ask::post("/v1/records", &draft.body())
        .once(&draft.name)
        .bearer(&token);
    let told = agent
        .caller
        .ask_both([ask.clone(), ask], CREATED.or_refused(OVERTAKEN))
        .await;
    let answers: Vec<Value> = told.iter().filter_map(|told| told.done()).collect();
    match &answers[..] {
        [one, rest @ ..] => {
            agent.stored("create", &draft, 1, one, None);
            for other in rest {
                same(agent, one, other);
            }
        }
        [] => {
            for told in &told {
                agent.doubt(told, "create", &draft);
            }
        }
    }
}

fn same(agent: &mut Agent, one: &Value, other: &Value) {
    let facts = ["event", "salt", "transactionAddress", "contractAddress"];
    let same = facts.iter().all(|name| one[name] == other[name]);
    agent.caller.check(Invariant::OnceByKey, same, || {
        format!(
            "the second answer is about {}, the first about {}",
            other["event"], one["event"]
        )
    });
}

/// Two updates of one record at once: they follow each other, in whichever order.
pub(super) async fn two_hands(agent: &mut Agent) {
    let Some(place) = agent.own().await else {
        return;
    };
    let own = agent.records.swap_remove(place);
    let mut drafts = [agent.draft(), agent.draft()];
    let token = agent.token().await;
    let path = format!("/v1/records/{}", own.name);
    let asks = drafts.each_mut().map(|draft| {
        draft.name.clone_from(&own.name);
        Ask::put(path.clone(), &draft.body()).bearer(&token)
    });
    let told = agent.caller.ask_both(asks, OK.or_refused(OVERTAKEN)).await;
    let mut versions = BTreeSet::new();
    let mut newest = None;
    for (told, draft) in told.iter().zip(&drafts) {
        agent.doubt(told, "update", draft);
        let Some(answer) = told.done() else { continue };
        let version = answer["version"].as_u64().unwrap_or_default();
        versions.insert(version);
        let own = agent.stored("update", draft, version, &answer, None);
        newest = newest.filter(|one: &Own| one.version > version).or(own);
    }
    let done = told.iter().filter(|told| told.is_done()).count() as u64;
    let doubt = told.iter().any(|told| told.is_in_doubt());
    let follow = versions
        .iter()
        .copied()
        .eq(own.version + 1..=own.version + done);
    agent
        .caller
        .check(Invariant::VersionsFollow, doubt || follow, || {
            format!(
                "two updates of version {} of {} became {versions:?}",
                own.version, own.name
            )
        });
    if let Some(newest) = newest.filter(|_| !doubt) {
        agent.remember(newest);
    }
}

/// A document of one or two events, and what became of it.
pub(super) async fn capture(agent: &mut Agent) {
    let events: Vec<Value> = (0..agent.caller.random.usize(1..=2))
        .map(|_| harvest(agent))
        .collect();
    let document = json!({
        "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],
        "type": "EPCISDocument", "schemaVersion": "2.0",
        "creationDate": "2026-11-30T08:00:00Z",
        "epcisBody": {"eventList": events},
    });
    let told = agent
        .ask(Ask::post("/capture", &document), Expected::accepted(&[202]))
        .await;
    let who = agent.me().id;
    let Some(job) = told.done() else {
        for record in records(document) {
            agent
                .caller
                .doubt(&told, (&who, "create"), Some(&record), None);
        }
        return;
    };
    let whole = job["success"] == true;
    agent.caller.check(Invariant::AsExpected, whole, || {
        format!("a capture became {job}")
    });
    if whole {
        for record in records(document) {
            agent.caller.book((record, 1), (&who, "create"), None, None);
        }
    }
    let path = format!("/capture/{}", job["captureID"].as_str().unwrap_or_default());
    agent.ask(Ask::get(path), OK).await;
}

fn harvest(agent: &mut Agent) -> Value {
    let serial = agent.fresh();
    let minute = agent.caller.random.u8(..60);
    json!({
        "type": "ObjectEvent", "action": "ADD", "bizStep": "commissioning",
        "eventTime": format!("2026-11-30T07:{minute:02}:00.000Z"), "eventTimeZoneOffset": "-06:00",
        "epcList": [format!("urn:epc:id:sgtin:9521234.054321.{serial}")],
    })
}

/// The records that the events of a document become, by the standard's hash of each.
fn records(document: Value) -> Vec<String> {
    let Ok(document) = Document::from_json(document, Namespaces::default()) else {
        return Vec::new();
    };
    let hash = |event| {
        EventHash::of(event)
            .as_bytes()
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    };
    document
        .events()
        .iter()
        .map(|event| format!("epcis:{}", hash(event)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_captured_event_is_the_record_of_its_hash() {
        let event = json!({
            "type": "ObjectEvent", "action": "ADD", "bizStep": "commissioning",
            "eventTime": "2026-11-30T07:00:00.000Z", "eventTimeZoneOffset": "-06:00",
            "epcList": ["urn:epc:id:sgtin:9521234.054321.a0-1"],
        });
        let found = records(event);
        assert!(
            found.len() == 1 && found[0].len() == "epcis:".len() + 64,
            "{found:?}"
        );
    }
}
