//! Governance with the commands: keys, proposals, votes, and the story in the files.

use std::fs;
use std::path::Path;

use crate::common::{Ledger, Ran, counterfoil};
use serde_json::{Value, json};

/// A ledger that three members founded, and who signs.
struct Consortium {
    ledger: Ledger,
}

impl Consortium {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<_> = ["alice", "bob", "carol"]
            .map(|name| {
                keygen(folder.path(), name);
                folder.path().join(format!("{name}_cert.pem"))
            })
            .into();
        let mut args = vec!["--dev"];
        for cert in &keys {
            args.extend(["--member", cert.to_str().unwrap()]);
        }
        let ledger = Ledger::start(&args);
        for file in fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), ledger.path(file.file_name().to_str().unwrap())).unwrap();
        }
        Self { ledger }
    }

    fn run_as(&self, member: &str, args: &[&str]) -> Ran {
        let (cert, key) = (format!("{member}_cert.pem"), format!("{member}_privk.pem"));
        let signed = ["--member-cert", &cert, "--member-key", &key];
        self.ledger.run(&[args, &signed].concat())
    }
}

fn keygen(folder: &Path, name: &str) -> Value {
    let mut command = counterfoil(folder);
    let ran = command.args(["member", "keygen", name, "--json"]).output();
    Ran::from(ran.unwrap()).json()
}

#[test]
fn two_of_three_members_decide_with_one_command_each() {
    let consortium = Consortium::start();
    let create = [
        "proposal",
        "create",
        "set_user",
        "user_id=u-1",
        "roles=[\"Reader\"]",
    ];
    let proposed = consortium.run_as("alice", &[&create[..], &["--yes", "--json"]].concat());
    let proposed = proposed.json();
    assert_eq!(proposed["proposalState"], "Open");
    assert_eq!(proposed["ballotCount"], 1);
    let id = proposed["proposalId"].as_str().unwrap();

    let shown = consortium.ledger.run(&["proposal", "show", &id[..8]]).ok();
    for text in [
        id,
        "Open",
        "by     alice",
        "yes    alice",
        "set_user",
        "user_id",
        "u-1",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let listed = consortium
        .ledger
        .run(&["proposal", "list", "--open", "--json"]);
    assert_eq!(listed.json()["proposalId"], id);
    let again = consortium.run_as("alice", &["proposal", "vote", id, "no"]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("VoteAlreadyExists"), "{}", again.err);

    let decided = consortium
        .run_as("bob", &["proposal", "vote", &id[..6], "yes"])
        .ok();
    assert!(decided.starts_with("Accepted"), "{decided}");
    let user = consortium
        .ledger
        .run(&["user", "show", "u-1", "--json"])
        .json();
    assert_eq!(user["assignedRoles"], json!(["Reader"]));
    assert_eq!(
        consortium.ledger.run(&["proposal", "list", "--open"]).ok(),
        ""
    );
    let late = consortium.run_as("carol", &["proposal", "vote", id, "yes"]);
    assert!(late.err.contains("ProposalNotOpen"), "{}", late.err);

    let told = consortium
        .ledger
        .run(&["ledger", "governance", "ledger"])
        .ok();
    for sentence in [
        "the ledger was founded by",
        "alice proposed",
        "set_user (roles=[\"Reader\"], user_id=u-1)",
        "alice said yes to",
        "bob said yes to",
        "was accepted (yes: ",
        "user u-1 is Reader",
        "the service is Open",
    ] {
        assert!(told.contains(sentence), "{sentence}: {told}");
    }
    let told = consortium
        .ledger
        .run(&["ledger", "governance", "ledger", "--json"])
        .ok();
    let events: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let decided = events
        .iter()
        .find(|event| event["event"] == "decided")
        .unwrap();
    assert_eq!(decided["state"], "Accepted");
    assert_eq!(decided["proposalId"], id);
    assert_eq!(decided["memberName"], "bob");
}

#[test]
fn a_new_member_is_added_acknowledges_and_votes() {
    let consortium = Consortium::start();
    let dave = keygen(consortium.ledger.folder(), "dave");
    let create = [
        "proposal",
        "create",
        "set_member",
        "cert=@dave_cert.pem",
        "member_data={\"name\":\"Dave\"}",
        "--yes",
        "--json",
    ];
    let id = consortium.run_as("alice", &create).json();
    let id = id["proposalId"].as_str().unwrap();
    consortium
        .run_as("bob", &["proposal", "vote", id, "yes"])
        .ok();
    let members = consortium.ledger.run(&["member", "list"]).ok();
    assert!(members.contains("Dave  Accepted"), "{members}");

    let refused = consortium.run_as("dave", &["proposal", "create", "trigger_snapshot"]);
    assert!(refused.err.contains("acknowledge"), "{}", refused.err);
    let done = consortium
        .run_as("dave", &["member", "ack", "--json"])
        .json();
    assert_eq!(done["memberId"], dave["memberId"]);
    let members = consortium.ledger.run(&["member", "list"]).ok();
    assert!(members.contains("Dave  Active"), "{members}");
    let create = ["proposal", "create", "trigger_snapshot", "--json"];
    let id = consortium.run_as("dave", &create).json();
    let id = id["proposalId"].as_str().unwrap();
    let withdrawn = consortium
        .run_as("dave", &["proposal", "withdraw", id])
        .ok();
    assert!(withdrawn.starts_with("Withdrawn"), "{withdrawn}");
}

#[test]
fn what_cannot_be_proposed_is_refused_before_it_is_signed() {
    let consortium = Consortium::start();
    let refused = consortium.run_as("alice", &["proposal", "create", "set_user"]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.err.contains("set_user: either cert or user_id"),
        "{}",
        refused.err
    );
    let refused = consortium.run_as("alice", &["proposal", "create", "fly", "high=1"]);
    assert!(refused.err.contains("no action \"fly\""), "{}", refused.err);
    let actions = consortium.ledger.run(&["proposal", "actions"]).ok();
    assert!(actions.contains("set_constitution_settings"), "{actions}");
    let refused = consortium.run_as("mallory", &["member", "ack"]);
    assert_eq!(refused.code, 2);
    let unnamed = consortium
        .ledger
        .run(&["proposal", "create", "trigger_snapshot"]);
    assert!(
        unnamed.err.contains("no member was named"),
        "{}",
        unnamed.err
    );
    let missing = consortium.run_as("alice", &["proposal", "vote", "0000", "yes"]);
    assert!(
        missing.err.contains("no proposal's id begins"),
        "{}",
        missing.err
    );
}

#[test]
fn in_a_new_ledger_the_founding_member_signs_without_being_named() {
    let ledger = Ledger::start(&["--dev"]);
    let create = ["proposal", "create", "set_user", "user_id=u", "--yes"];
    let decided = ledger.run(&create).ok();
    assert!(decided.starts_with("Accepted"), "{decided}");
    fs::write(
        ledger.path("p.json"),
        r#"{"actions":[{"name":"remove_user","args":{"user_id":"u"}},{"name":"remove_user","args":{"user_id":"u"}}]}"#,
    )
    .unwrap();
    let failed = ledger
        .run(&["proposal", "create", "--file", "p.json", "--yes"])
        .ok();
    assert!(failed.starts_with("Failed"), "{failed}");
    assert!(
        failed.contains("because  remove_user: u is no user"),
        "{failed}"
    );
}

#[test]
fn keys_are_made_once_and_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let keygen = |args: &[&str]| {
        let mut command = counterfoil(folder.path());
        let ran = command.args(["member", "keygen"]).args(args).output();
        Ran::from(ran.unwrap())
    };
    let said = keygen(&["dora", "--encryption", "--out", "keys"]).ok();
    assert!(
        said.contains("set_member cert=@keys/dora_cert.pem"),
        "{said}"
    );
    for name in ["dora_privk.pem", "dora_enc_privk.pem"] {
        let file = folder.path().join("keys").join(name);
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(keygen(&["dora", "--out", "keys"]).code, 1);
    assert_eq!(keygen(&["../dora"]).code, 2);
}
