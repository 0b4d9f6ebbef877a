//! Stories of small consortia, true and forged.

use serde_json::json;
use verify::Digest;

use super::words::short;
use super::*;
use crate::governance::testing::Consortium;
use crate::kv::Tx;
use crate::tables::{CONSTITUTION_SETTINGS, SERVICE_CONFIG};

fn tell(consortium: &Consortium) -> Vec<Event> {
    let mut story = Story::default();
    let written = consortium.written.iter();
    written
        .flat_map(|(id, writes)| story.read(*id, writes))
        .collect()
}

fn sentences(consortium: &Consortium) -> Vec<String> {
    tell(consortium).iter().map(Event::sentence).collect()
}

#[test]
fn a_story_names_who_proposed_voted_and_what_came_of_it() {
    let mut consortium = Consortium::of(&["Alice", "Bob", "Carol"]);
    let user = json!([{ "name": "set_user", "args": { "user_id": "u-1" } }]);
    let id = consortium.propose(0, user).unwrap();
    consortium.vote(0, id, true).unwrap();
    consortium.vote(1, id, false).unwrap();
    consortium.vote(2, id, true).unwrap();
    let short = short(&id);
    let told = sentences(&consortium);
    let expected = [
        format!("Alice proposed {short}: set_user (user_id=u-1)"),
        format!("Alice said yes to {short}"),
        format!("Bob said no to {short}"),
        format!("Carol said yes to {short}"),
    ];
    for sentence in &expected {
        assert!(told.contains(sentence), "{sentence}: {told:#?}");
    }
    let decided = told.iter().find(|text| text.contains("accepted")).unwrap();
    assert!(decided.ends_with("no: Bob)"), "{decided}");
    assert!(told.contains(&"user u-1 is Contributor".to_owned()));
    assert!(!told.iter().any(|text| text.contains("WRONG")), "{told:#?}");
}

#[test]
fn what_the_rules_do_not_give_is_told_as_wrong() {
    let mut consortium = Consortium::of(&["Alice", "Bob", "Carol"]);
    let user = json!([{ "name": "set_user", "args": { "user_id": "u-1" } }]);
    let id = consortium.propose(0, user).unwrap();
    consortium.vote(0, id, true).unwrap();
    // One of three said yes, and somebody with the ledger's keys writes the user anyway.
    let (_, last) = consortium.written.last_mut().unwrap();
    last.put(USERS, *b"mallory", *br#"{"roles":["Administrator"]}"#);
    let told = sentences(&consortium);
    let wrong = told.iter().find(|text| text.starts_with("WRONG")).unwrap();
    assert!(wrong.contains("something else"), "{wrong}");
}

#[test]
fn a_member_whom_nobody_voted_for_is_told_as_wrong() {
    let mut consortium = Consortium::of(&["Alice"]);
    let mallory = Digest::of(b"mallory").to_string();
    let row = br#"{"status":"Active"}"#;
    consortium
        .run(move |tx: &mut Tx<'_>| {
            tx.put(MEMBER_INFO, mallory.into_bytes(), *row);
            Ok(Digest::ZERO)
        })
        .unwrap();
    let told = sentences(&consortium);
    assert!(
        told.iter().any(|text| text.starts_with("WRONG")),
        "{told:#?}"
    );
    // What administrators do through the API is no member's.
    let mut consortium = Consortium::of(&["Alice"]);
    consortium
        .run(|tx: &mut Tx<'_>| {
            tx.put(USERS, *b"u", *br#"{"roles":["Reader"]}"#);
            Ok(Digest::ZERO)
        })
        .unwrap();
    let told = sentences(&consortium);
    assert!(
        !told.iter().any(|text| text.starts_with("WRONG")),
        "{told:#?}"
    );
}

#[test]
fn rows_that_cannot_be_read_are_told_as_wrong() {
    let mut consortium = Consortium::of(&["Alice"]);
    let id = consortium
        .propose(0, json!([{ "name": "trigger_snapshot" }]))
        .unwrap();
    for table in [
        USERS,
        MEMBER_INFO,
        PROPOSALS_INFO,
        CONSTITUTION_SETTINGS,
        SERVICE_CONFIG,
    ] {
        let (_, last) = consortium.written.last_mut().unwrap();
        last.put(table, id.to_string().into_bytes(), *b"{");
    }
    let told = sentences(&consortium);
    let wrong = told.iter().filter(|text| text.contains("cannot be read"));
    assert_eq!(wrong.count(), 5, "{told:#?}");
}

#[test]
fn a_proposal_that_nobody_signed_is_told_as_wrong() {
    let mut consortium = Consortium::of(&["Alice"]);
    let user = json!([{ "name": "set_user", "args": { "user_id": "u-1" } }]);
    consortium.decide(user);
    for (_, writes) in &mut consortium.written {
        let mut unsigned = WriteSet::default();
        for write in writes.iter().filter(|write| write.table != COSE_HISTORY) {
            unsigned.put(
                write.table.clone(),
                write.key.clone(),
                write.value.clone().unwrap(),
            );
        }
        *writes = unsigned;
    }
    let told = sentences(&consortium);
    assert!(
        told.iter().any(|text| text.contains("no member signed")),
        "{told:#?}"
    );
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// One of the actions that change who decides, and how, or something harmless.
fn any_action(dice: &mut Dice, consortium: &Consortium) -> Value {
    let member = &consortium.members[dice.roll(consortium.members.len())];
    let (id, cert) = (member.id().to_string(), member.cert.to_pem());
    let operator = json!({ "is_operator": dice.roll(2) == 0 });
    let user = format!("u{}", dice.roll(3));
    let quorum = ["majority", "two_thirds", "all"][dice.roll(3)];
    let (name, args) = match dice.roll(8) {
        0 => ("set_member", json!({ "cert": cert })),
        1 => (
            "set_member",
            json!({ "cert": cert, "member_data": operator }),
        ),
        2 => ("remove_member", json!({ "member_id": id })),
        3 => (
            "set_member_data",
            json!({ "member_id": id, "member_data": operator }),
        ),
        4 => ("set_constitution_settings", json!({ "quorum": quorum })),
        5 => ("set_user", json!({ "user_id": user })),
        6 => ("remove_user", json!({ "user_id": user })),
        _ => (
            "set_all_nodes_certificate_validity",
            json!({ "valid_from": "260131235959Z" }),
        ),
    };
    json!({ "name": name, "args": args })
}

#[test]
fn whatever_members_do_somebody_votes_and_the_story_finds_nothing_wrong() {
    for seed in 1..4 {
        let mut dice = Dice(seed);
        let mut consortium = Consortium::of(&["a", "b", "c"]);
        consortium
            .members
            .extend(["d", "e"].map(super::super::testing::Signer::new));
        let mut proposals = Vec::new();
        for _ in 0..150 {
            let member = dice.roll(5);
            match dice.roll(6) {
                0 | 1 => {
                    let actions: Vec<_> = (0..=dice.roll(2))
                        .map(|_| any_action(&mut dice, &consortium))
                        .collect();
                    proposals.extend(consortium.propose(member, json!(actions)).ok());
                }
                2..=4 if !proposals.is_empty() => {
                    let id = proposals[proposals.len() - 1 - dice.roll(proposals.len().min(3))];
                    // Many are refused, for one reason or another.
                    let _ = consortium.vote(member, id, dice.roll(4) > 0);
                }
                _ => {
                    let id = consortium.members[member].id();
                    if members::read(&consortium.state, &id).is_some() {
                        consortium.acknowledge(member).unwrap();
                    }
                }
            }
            let everybody = members::all(&consortium.state);
            assert!(
                everybody.values().any(members::Member::votes),
                "seed {seed}"
            );
        }
        let told = sentences(&consortium);
        assert!(!told.iter().any(|text| text.contains("WRONG")), "{told:#?}");
        assert!(
            told.iter().any(|text| text.contains("was accepted")),
            "{told:#?}"
        );
    }
}
