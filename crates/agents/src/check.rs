//! In the end: everything is read, and compared with what was done.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use serde_json::{Value, json};
use verify::{Cert, Claim, ReceiptDocument, Verifier};

use crate::agent::Caller;
use crate::behaviours::{CHECK, Shared};
use crate::book::{Book, Log};
use crate::expect::OK;
use crate::invariant::{Held, Invariant};
use crate::wire::Ask;
use crate::world::{Standing, World};

/// What proves an event on a chain. Here the ledger's receipt is checked, and the event's text; not that the
/// transaction carries the hash of that text.
const CHAIN_EVENT: &str = "counterfoil.audit.chain-event/1";

/// What was read.
#[derive(Default)]
pub(crate) struct Checked {
    pub(crate) logs: Logs,
    pub(crate) users: usize,
    pub(crate) receipts: usize,
}

/// All logs, the newest first; `None` if they could not be read whole.
#[derive(Default)]
pub(crate) struct Logs(Option<Vec<Log>>);

impl Logs {
    pub(crate) fn count(&self) -> usize {
        self.0.as_ref().map_or(0, Vec::len)
    }

    pub(crate) fn compare(&self, book: &Book, held: &mut Held) {
        match &self.0 {
            Some(logs) => book.compare(logs, held),
            None => {
                held.check(Invariant::AcceptedAreLogged, CHECK, false, || {
                    "the logs could not be read whole".to_owned()
                });
            }
        }
    }
}

/// Reads all logs, users, operations and some records; and checks receipts offline.
pub(crate) async fn check(
    clerk: &mut Caller,
    world: &World,
    shared: &Shared,
    proofs: Vec<Value>,
    ledger: &str,
    doubts: usize,
) -> Checked {
    clerk.behaviour = CHECK;
    let logs = read_logs(clerk, world).await;
    if let Some(logs) = &logs {
        let root = format!("user-{}", world.root.person.id);
        let first = logs.last();
        let is_root = first.is_some_and(|first| {
            first.record == root && first.version == 1 && first.did == "createRoot"
        });
        clerk.check(Invariant::RootFirst, is_root, || {
            format!("the first log is {first:?}")
        });
    }
    let users = check_users(clerk, world, doubts).await;
    check_dictionary(clerk, world).await;
    check_records(clerk, world, shared).await;
    let receipts = proofs.len();
    let cert = ledger.to_owned();
    let held = tokio::task::spawn_blocking(move || check_receipts(&proofs, &cert)).await;
    clerk
        .notes
        .held
        .merge(held.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())));
    Checked {
        logs: Logs(logs),
        users,
        receipts,
    }
}

async fn read_logs(clerk: &mut Caller, world: &World) -> Option<Vec<Log>> {
    let mut logs = Vec::new();
    let mut path = "/v1/logs?limit=500".to_owned();
    loop {
        let token = world.root.token(clerk).await;
        let page = clerk.ask(Ask::get(path).bearer(&token), OK).await.done()?;
        for log in page["logs"].as_array()? {
            logs.push(Log::read(log)?);
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/logs?limit=500&after={next}"),
            None => return Some(logs),
        }
    }
}

/// Nobody is there whom no one made, and nobody holds a right that no one gave.
async fn check_users(clerk: &mut Caller, world: &World, doubts: usize) -> usize {
    let mut found: BTreeMap<String, Standing> = BTreeMap::new();
    let mut path = "/v1/users?limit=500".to_owned();
    loop {
        let token = world.root.token(clerk).await;
        let told = clerk.ask(Ask::get(path).bearer(&token), OK).await;
        let Some(page) = told.done() else { break };
        let users = page["users"].as_array().cloned().unwrap_or_default();
        found.extend(users.iter().filter_map(Standing::read));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/users?limit=500&after={next}"),
            None => break,
        }
    }
    let expected = world
        .standings
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    for (id, user) in &expected {
        let is = found.get(id);
        clerk.check(Invariant::UsersAreAsMade, is == Some(user), || {
            format!("{id} had to be {user:?}, and is {is:?}")
        });
    }
    for (id, user) in found.iter().filter(|(id, _)| !expected.contains_key(*id)) {
        clerk.check(Invariant::UsersAreAsMade, doubts > 0, || {
            format!("nobody was told of {id}: {user:?}")
        });
    }
    let roots = found.values().filter(|user| user.kind == "root").count();
    clerk.check(Invariant::OneRoot, roots == 1, || {
        format!("there are {roots} roots")
    });
    found.len()
}

async fn check_dictionary(clerk: &mut Caller, world: &World) {
    let token = world.root.token(clerk).await;
    let told = clerk
        .ask(Ask::get("/v1/permissions").bearer(&token), OK)
        .await;
    let Some(Value::Array(mut now)) = told.done() else {
        return;
    };
    let expected = world.dictionary.as_array().cloned().unwrap_or_default();
    for entry in &expected {
        let place = now.iter().position(|one| one == entry);
        let found = place.map(|place| now.swap_remove(place)).is_some();
        clerk.check(Invariant::DictionaryIsAsMade, found, || {
            format!("{} is not as it was", entry["nameOfOperation"])
        });
    }
    clerk.check(Invariant::DictionaryIsAsMade, now.is_empty(), || {
        format!("the dictionary has more than it had: {}", json!(now))
    });
}

/// Records that everybody was after and that nobody may change are what they were.
async fn check_records(clerk: &mut Caller, world: &World, shared: &Shared) {
    for own in shared.all() {
        let token = world.root.token(clerk).await;
        let ask = Ask::get(format!("/v1/records/{}", own.name)).bearer(&token);
        let Some(answer) = clerk.ask(ask, OK).await.done() else {
            continue;
        };
        let same = answer["data"] == own.data
            && answer["event"]["version"] == own.version
            && answer["transactionAddress"] == *own.tx;
        clerk.check(Invariant::DataStays, same, || {
            format!("{} was changed by somebody who may not: {answer}", own.name)
        });
    }
}

/// Checks receipts with nothing but the ledger's certificate.
fn check_receipts(proofs: &[Value], ledger: &str) -> Held {
    let mut held = Held::default();
    let verifier = Cert::from_pem(ledger).map(Verifier::new);
    for proof in proofs {
        let proven = match &verifier {
            Ok(verifier) => proven(proof, verifier),
            Err(error) => Err(format!("the ledger's certificate cannot be used: {error}")),
        };
        held.check(Invariant::ReceiptsHold, CHECK, proven.is_ok(), || {
            let why = proven.clone().err().unwrap_or_default();
            format!("the receipt of {}: {why}", proof["event"]["record"])
        });
    }
    held
}

/// Whether a receipt proves the event that was answered with it, at the address that was answered.
fn proven(proof: &Value, verifier: &Verifier) -> Result<(), String> {
    let receipt = &proof["receipt"];
    if receipt["type"] == CHAIN_EVENT {
        let inner = &receipt["proof"]["receipt"];
        let document = document(inner)?;
        verifier
            .verify_document(&document)
            .map_err(|error| error.to_string())?;
        return is_event(receipt["event"].as_str().unwrap_or_default(), proof);
    }
    let document = document(receipt)?;
    let verified = verifier
        .verify_document(&document)
        .map_err(|error| error.to_string())?;
    if proof["transactionAddress"] != verified.tx_id.to_string() {
        return Err(format!("it is about {}", verified.tx_id));
    }
    match document.claims.as_deref() {
        Some(
            [
                Claim::LedgerEntry {
                    collection_id,
                    contents,
                    ..
                },
            ],
        ) => {
            if proof["contractAddress"] != **collection_id {
                return Err(format!("it is about the log {collection_id}"));
            }
            is_event(contents, proof)
        }
        _ => Err("it shows no entry".to_owned()),
    }
}

fn document(receipt: &Value) -> Result<ReceiptDocument, String> {
    ReceiptDocument::from_json(receipt.to_string().as_bytes()).map_err(|error| error.to_string())
}

/// Whether the ledger's text is the event that was answered.
fn is_event(contents: &str, proof: &Value) -> Result<(), String> {
    let mut event: Value = serde_json::from_str(contents).map_err(|error| error.to_string())?;
    if let Some(event) = event.as_object_mut() {
        event.remove("type");
    }
    match event == proof["event"] {
        true => Ok(()),
        false => Err(format!("it proves another event: {event}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_the_ledger_does_not_have_is_not_proven() {
        let proof = json!({"event": {"record": "a", "version": 1}});
        is_event(r#"{"record":"a","type":"x","version":1}"#, &proof).unwrap();
        is_event(r#"{"record":"a","type":"x","version":2}"#, &proof).unwrap_err();
        is_event("", &proof).unwrap_err();
    }

    #[test]
    fn receipts_that_are_none_do_not_hold() {
        let held = check_receipts(&[json!({"receipt": {}})], "no certificate");
        assert_eq!(held.count(Invariant::ReceiptsHold), (1, 1));
    }
}
