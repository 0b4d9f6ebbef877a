//! What nodes prove about themselves, and about each other's history.

use std::fs;

use attest::UnixTime;
use attest::ear::{Ear, TrustTier};
use serde_json::{Value, json};
use verify::Cert;

use crate::common::Ledger;

#[test]
fn the_evidence_of_the_nodes_is_judged_by_ones_own_policy() {
    let ledger = Ledger::start(&["--dev"]);
    let attest = |policy: &Value, more: &[&str]| {
        fs::write(ledger.path("policy.json"), policy.to_string()).unwrap();
        let args = ["node", "attest", "--policy", "policy.json"];
        ledger.run(&[&args[..], more].concat())
    };
    // Nothing is accepted by default.
    let refused = attest(&json!({}), &[]);
    assert_eq!(refused.code, 1, "{}", refused.out);
    assert!(refused.out.contains("REFUSED"), "{}", refused.out);
    assert!(refused.out.contains("insecure-virtual"), "{}", refused.out);

    // Each refusal says what the node has and which check it is.
    let mut policy = json!({ "virtual": { "measurements": ["00".repeat(32)] } });
    for (check, list) in [
        ("FailedMeasurementNotFound", "measurements"),
        ("FailedInvalidHostData", "hostData"),
    ] {
        let refused = attest(&policy, &["--json"]);
        assert_eq!(refused.code, 1, "{}", refused.err);
        let said: Value = serde_json::from_str(&refused.out).unwrap();
        let node = &said["nodes"][0];
        assert_eq!(
            (&node["check"], &said["accepted"]),
            (&json!(check), &json!(false))
        );
        let why = node["appraisal"]["counterfoil_refusal"].as_str().unwrap();
        let shown = why.split(' ').find(|word| word.len() == 64).unwrap();
        policy["virtual"][list] = json!([shown]);
    }
    let accepted = attest(&policy, &[]).ok();
    assert!(accepted.contains("ACCEPTED, VIRTUAL"), "{accepted}");
    assert!(accepted.contains("only the node's own word"), "{accepted}");
    assert!(accepted.contains("contraindicated"), "{accepted}");

    // The same policy as TOML, and the result as a token that the auditor signs.
    let text = |list: &str| policy["virtual"][list].to_string();
    let (code, settings) = (text("measurements"), text("hostData"));
    let toml = format!("[virtual]\nmeasurements = {code}\nhostData = {settings}\n");
    fs::write(ledger.path("policy.toml"), toml).unwrap();
    ledger.run(&["member", "keygen", "auditor"]).ok();
    let token = ["--ear", "result.jwt", "--ear-key", "auditor_privk.pem"];
    let at = ["--at", "1800000000", "--json"];
    let args = ["node", "attest", "--policy", "policy.toml"];
    let said = ledger.run(&[&args[..], &token, &at].concat()).json();
    assert_eq!(
        (&said["accepted"], &said["hardware"]),
        (&json!(true), &json!(false))
    );
    let cert = fs::read_to_string(ledger.path("auditor_cert.pem")).unwrap();
    let key = Cert::from_pem(&cert).unwrap().public_key();
    let token = fs::read_to_string(ledger.path("result.jwt")).unwrap();
    let point = &key.spki_der()[key.spki_der().len() - 97..];
    let ear = Ear::from_jwt(&token, point, UnixTime(1_800_000_000)).unwrap();
    assert_eq!(ear.iat, UnixTime(1_800_000_000));
    let node = said["nodes"][0]["nodeId"].as_str().unwrap();
    assert_eq!(ear.submods[node].ear_status, TrustTier::Contraindicated);

    for (name, text) in [("a.json", "{\"snp\": 1}"), ("a.toml", "[vitrual]\n")] {
        fs::write(ledger.path(name), text).unwrap();
        let unreadable = ledger.run(&["node", "attest", "--policy", name]);
        assert_eq!(unreadable.code, 2, "{name}: {}", unreadable.err);
    }
}

#[test]
fn a_receipt_is_countersigned_by_those_whom_one_knows() {
    let ledger = Ledger::start(&["--dev"]);
    let written = ledger.run(&["entry", "write", "lot 7", "--json"]).json();
    let id = written["transactionId"].as_str().unwrap();
    ledger.run(&["node", "cosigners", "-o", "known"]).ok();
    let known = fs::read_to_string(ledger.path("known")).unwrap();
    assert!(known.contains("\n[node "), "{known}");
    ledger
        .run(&["receipt", "get", id, "--cosignatures", "-o", "r.json"])
        .ok();
    ledger.run(&["receipt", "get", id, "-o", "plain.json"]).ok();
    let verify = |receipt: &str, count: &str, known: &str| {
        let args = ["verify", receipt, "--require", count, "--cosigners", known];
        ledger.run(&args)
    };
    let verified = verify("r.json", "1", "known").ok();
    assert!(verified.contains("seen by  node "), "{verified}");
    let few = verify("r.json", "2", "known");
    assert_eq!(few.code, 1);
    assert!(few.out.contains("1 of the 2 required"), "{}", few.out);
    assert!(few.out.contains("NOT VALID"), "{}", few.out);
    let none = verify("plain.json", "1", "known");
    assert_eq!(none.code, 1);
    assert!(none.out.contains("no cosignatures"), "{}", none.out);
    let strangers = "[Somebody]\nw/1+";
    fs::write(ledger.path("bad"), strangers).unwrap();
    let bad = verify("r.json", "1", "bad");
    assert_eq!(bad.code, 2);
    assert!(bad.err.contains("line 2"), "{}", bad.err);

    // A checkpoint of a tree with another root, though the rest is as it was.
    let changed = fs::read_to_string(ledger.path("r.json")).unwrap();
    let at = changed.find("ccf-merkle/").unwrap();
    let line = changed[at..].find("\\n").unwrap() + at + 2;
    let size = &changed[line..line + changed[line..].find("\\n").unwrap()];
    let next: u64 = size.parse::<u64>().unwrap() + 1;
    let altered = format!(
        "{}{next}{}",
        &changed[..line],
        &changed[line + size.len()..]
    );
    fs::write(ledger.path("altered.json"), altered).unwrap();
    assert_eq!(verify("altered.json", "1", "known").code, 1);

    let note = ledger.run(&["node", "checkpoint"]).ok();
    assert!(note.starts_with("counterfoil/ccf-merkle/"), "{note}");
    let args = ["node", "checkpoint", "--cosigners", "known", "--require"];
    ledger.run(&[&args[..], &["1"]].concat()).ok();
    assert_eq!(ledger.run(&[&args[..], &["2"]].concat()).code, 1);
}

#[test]
fn a_node_counts_for_the_organisation_that_members_noted() {
    let ledger = Ledger::start(&["--dev"]);
    let listed = ledger.run(&["node", "cosigners", "--json"]).json();
    let id = listed[0]["nodeId"].as_str().unwrap();
    let args = [
        "proposal",
        "create",
        "set_node_data",
        &format!("node_id={id}"),
        "node_data={\"organisation\":\"Orchard\"}",
        "--yes",
    ];
    let signed = [
        "--member-cert",
        "ledger/member0_cert.pem",
        "--member-key",
        "ledger/member0_privk.pem",
    ];
    ledger.run(&[&args[..], &signed].concat()).ok();
    let known = ledger.run(&["node", "cosigners"]).ok();
    assert!(known.contains("\n[Orchard]\n"), "{known}");
}
