//! Proposals, from the first message to what became of them.
//!
//! A proposal's id is the SHA-256 of what its proposer signed ([`super::Message::digest`]): whoever
//! has the message knows the id, before it is sent.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use verify::Digest;

use super::actions::{self, Proposed};
use super::ballot::Ballot;
use super::members::{self, MemberId};
use super::refusal::Refusal;
use super::request::SignedRequest;
use super::resolve::{Decision, resolve};
use super::settings::Settings;
use super::{json, recent, row};
use crate::kv::{State, Tx};
use crate::limits::OPEN_PROPOSALS_PER_MEMBER_MAX;
use crate::tables::{PROPOSALS, PROPOSALS_INFO};

/// Names a proposal: SHA-256 of what its proposer signed.
pub type ProposalId = Digest;

/// What has become of a proposal, in CCF's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProposalState {
    /// Members vote.
    Open,
    /// Its actions are done.
    Accepted,
    /// It cannot get the votes that it needs.
    Rejected,
    /// Its proposer took it back.
    Withdrawn,
    /// It was accepted, but its actions cannot be done; none of them was.
    Failed,
    /// Who votes, or how, changed while it was open: whoever still wants it proposes it anew.
    Dropped,
}

impl fmt::Display for ProposalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Accepted => "Accepted",
            Self::Rejected => "Rejected",
            Self::Withdrawn => "Withdrawn",
            Self::Failed => "Failed",
            Self::Dropped => "Dropped",
        })
    }
}

/// A row of [`PROPOSALS_INFO`], in CCF's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalInfo {
    /// Who made it.
    pub proposer_id: String,
    /// What has become of it.
    pub state: ProposalState,
    /// Ballots as functions, by member.
    #[serde(default)]
    pub ballots: BTreeMap<String, String>,
    /// The votes that decided, by member; `None` while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_votes: Option<BTreeMap<String, bool>>,
    /// Why its actions cannot be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Why a proposal's actions cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// In words; it begins with the action's name.
    pub reason: String,
}

impl ProposalInfo {
    /// The votes so far.
    pub fn votes(&self) -> BTreeMap<MemberId, bool> {
        let ballots = self.ballots.iter();
        ballots
            .filter_map(|(id, text)| Some((id.parse().ok()?, Ballot::from_function(text)?.yes)))
            .collect()
    }
}

/// A proposal; `None` where there is none, or it was decided so long ago that only the ledger files
/// have it.
pub fn info(state: &dyn State, id: &ProposalId) -> Option<ProposalInfo> {
    row(state, &PROPOSALS_INFO, id.to_string().as_bytes())
}

/// All proposals that are open or were decided not long ago, sorted by id.
pub fn all(state: &dyn State) -> Vec<(ProposalId, ProposalInfo)> {
    let rows = state.values(&PROPOSALS_INFO).into_iter();
    rows.filter_map(|(key, _)| {
        let id: ProposalId = std::str::from_utf8(&key).ok()?.parse().ok()?;
        Some((id, info(state, &id)?))
    })
    .collect()
}

/// What was proposed, as it was signed: `{"actions": [...]}`.
pub fn text(state: &dyn State, id: &ProposalId) -> Option<Vec<u8>> {
    state.value(&PROPOSALS, id.to_string().as_bytes())
}

/// Makes a proposal. It may be decided at once.
pub(super) fn create(tx: &mut Tx<'_>, request: &SignedRequest) -> Result<(), Refusal> {
    let message = request.message();
    let (id, proposer) = (message.digest(), request.signer());
    recent::admit(tx, message.created_at, id)?;
    let proposed = actions::parse(request.payload()).map_err(Refusal::FailedToValidate)?;
    forget_old(tx);
    let own = |info: &ProposalInfo| {
        info.state == ProposalState::Open && info.proposer_id == proposer.to_string()
    };
    let open = all(tx).iter().filter(|(_, info)| own(info)).count();
    if open >= OPEN_PROPOSALS_PER_MEMBER_MAX {
        return Err(Refusal::TooManyOpen(proposer));
    }
    let info = ProposalInfo {
        proposer_id: proposer.to_string(),
        state: ProposalState::Open,
        ballots: BTreeMap::new(),
        final_votes: None,
        failure: None,
    };
    tx.put(PROPOSALS, id.to_string().as_bytes(), request.payload());
    decide(tx, id, info, &proposed);
    Ok(())
}

/// Counts a member's ballot.
pub(super) fn vote(tx: &mut Tx<'_>, request: &SignedRequest) -> Result<(), Refusal> {
    let (id, mut info) = open_proposal(tx, request)?;
    let voter = request.signer();
    let ballot = Ballot::parse(request.payload())?;
    if info.ballots.contains_key(&voter.to_string()) {
        return Err(Refusal::VoteAlreadyExists(voter));
    }
    info.ballots.insert(voter.to_string(), ballot.function());
    let text = text(tx, &id).ok_or(Refusal::ProposalNotFound(id))?;
    let proposed = actions::parse(&text).map_err(Refusal::FailedToValidate)?;
    decide(tx, id, info, &proposed);
    Ok(())
}

/// Takes a proposal back.
pub(super) fn withdraw(tx: &mut Tx<'_>, request: &SignedRequest) -> Result<(), Refusal> {
    let (id, info) = open_proposal(tx, request)?;
    if info.proposer_id != request.signer().to_string() {
        let proposer = info.proposer_id.parse().unwrap_or(Digest::ZERO);
        return Err(Refusal::NotTheProposer { proposer });
    }
    put(tx, id, &close(info, ProposalState::Withdrawn));
    Ok(())
}

fn open_proposal(
    tx: &Tx<'_>,
    request: &SignedRequest,
) -> Result<(ProposalId, ProposalInfo), Refusal> {
    let missing = Refusal::Unreadable("the header ccf.gov.msg.proposal_id is missing");
    let id = request.message().proposal.ok_or(missing)?;
    let info = info(tx, &id).ok_or(Refusal::ProposalNotFound(id))?;
    match info.state {
        ProposalState::Open => Ok((id, info)),
        state => Err(Refusal::ProposalNotOpen { id, state }),
    }
}

/// Counts, and does what was accepted: all of its actions or none.
fn decide(tx: &mut Tx<'_>, id: ProposalId, info: ProposalInfo, proposed: &Proposed) {
    let proposer = info.proposer_id.parse().unwrap_or(Digest::ZERO);
    let decision = resolve(
        &Settings::read(tx),
        proposed.names(),
        &proposer,
        &members::all(tx),
        &info.votes(),
    );
    let info = match decision {
        Decision::Open => info,
        Decision::Rejected => close(info, ProposalState::Rejected),
        Decision::Accepted => match proposed.apply(tx) {
            Ok(()) => close(info, ProposalState::Accepted),
            Err(reason) => ProposalInfo {
                failure: Some(Failure { reason }),
                ..close(info, ProposalState::Failed)
            },
        },
    };
    if info.state == ProposalState::Accepted && proposed.changes_the_vote() {
        drop_open(tx, id);
    }
    put(tx, id, &info);
}

fn close(info: ProposalInfo, state: ProposalState) -> ProposalInfo {
    let votes = info.votes().into_iter();
    let votes = votes.map(|(id, yes)| (id.to_string(), yes)).collect();
    ProposalInfo {
        state,
        final_votes: Some(votes),
        ..info
    }
}

/// Ballots were given under the rules, and among the members, of their time: a change of either
/// ends all that is open.
fn drop_open(tx: &mut Tx<'_>, except: ProposalId) {
    for (id, info) in all(tx) {
        if id != except && info.state == ProposalState::Open {
            put(tx, id, &close(info, ProposalState::Dropped));
        }
    }
}

/// Forgets what was decided and has left the window of replay protection, so that the tables do not
/// grow for ever.
fn forget_old(tx: &mut Tx<'_>) {
    let recent = recent::all(tx);
    for (id, info) in all(tx) {
        if info.state != ProposalState::Open && !recent.contains(&id) {
            tx.remove(PROPOSALS, id.to_string().as_bytes());
            tx.remove(PROPOSALS_INFO, id.to_string().as_bytes());
        }
    }
}

fn put(tx: &mut Tx<'_>, id: ProposalId, info: &ProposalInfo) {
    tx.put(PROPOSALS_INFO, id.to_string().as_bytes(), json(info));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::message::MessageType;
    use super::super::testing::{Consortium, Signer};
    use super::*;
    use crate::tables::COSE_HISTORY;
    use crate::users::{self, UserId};

    fn add_user(name: &str) -> Value {
        json!([{ "name": "set_user", "args": { "user_id": name } }])
    }

    fn is_user(consortium: &Consortium, name: &str) -> bool {
        users::read(&consortium.state, &UserId::parse(name).unwrap()).is_some()
    }

    #[test]
    fn two_of_three_decide() {
        let mut consortium = Consortium::of(&["a", "b", "c"]);
        let id = consortium.propose(0, add_user("u")).unwrap();
        assert_eq!(consortium.info(id).state, ProposalState::Open);
        assert_eq!(consortium.vote(2, id, true), Ok(ProposalState::Open));
        assert!(!is_user(&consortium, "u"));
        assert_eq!(consortium.vote(1, id, true), Ok(ProposalState::Accepted));
        assert!(is_user(&consortium, "u"));
        let votes = consortium.info(id).final_votes.unwrap();
        assert_eq!(votes.len(), 2);
        let late = consortium.vote(0, id, true);
        let state = ProposalState::Accepted;
        assert_eq!(late, Err(Refusal::ProposalNotOpen { id, state }));
    }

    #[test]
    fn two_of_three_refuse() {
        let mut consortium = Consortium::of(&["a", "b", "c"]);
        let id = consortium.propose(0, add_user("u")).unwrap();
        consortium.vote(1, id, false).unwrap();
        assert_eq!(consortium.vote(2, id, false), Ok(ProposalState::Rejected));
        assert!(!is_user(&consortium, "u"));
    }

    #[test]
    fn a_member_votes_once() {
        let mut consortium = Consortium::of(&["a", "b", "c"]);
        let id = consortium.propose(0, add_user("u")).unwrap();
        consortium.vote(1, id, false).unwrap();
        let again = consortium.vote(1, id, true);
        let voter = consortium.members[1].id();
        assert_eq!(again, Err(Refusal::VoteAlreadyExists(voter)));
    }

    #[test]
    fn only_the_proposer_withdraws() {
        let mut consortium = Consortium::of(&["a", "b", "c"]);
        let id = consortium.propose(0, add_user("u")).unwrap();
        let empty = Value::Null;
        let other = consortium.sign(1, MessageType::Withdrawal, Some(id), &empty);
        let proposer = consortium.members[0].id();
        assert_eq!(
            consortium.send(&other),
            Err(Refusal::NotTheProposer { proposer })
        );
        let own = consortium.sign(0, MessageType::Withdrawal, Some(id), &empty);
        consortium.send(&own).unwrap();
        assert_eq!(consortium.info(id).state, ProposalState::Withdrawn);
        assert!(consortium.vote(1, id, true).is_err());
    }

    #[test]
    fn a_proposal_that_does_not_exist_is_not_found() {
        let mut consortium = Consortium::of(&["a"]);
        let id = Digest::of(b"nothing");
        assert_eq!(
            consortium.vote(0, id, true),
            Err(Refusal::ProposalNotFound(id))
        );
        let bytes = consortium.sign(0, MessageType::Ballot, None, &json!({ "ballot": true }));
        assert!(matches!(
            consortium.send(&bytes),
            Err(Refusal::Unreadable(_))
        ));
    }

    #[test]
    fn a_message_that_is_sent_again_is_refused() {
        let mut consortium = Consortium::of(&["a"]);
        let payload = json!({ "actions": add_user("u") });
        let bytes = consortium.sign(0, MessageType::Proposal, None, &payload);
        consortium.send(&bytes).unwrap();
        let again = consortium.send(&bytes);
        assert!(
            matches!(again, Err(Refusal::ProposalReplay(_))),
            "{again:?}"
        );
        // Signing the same content again makes other bytes, but not another proposal.
        let text = payload.to_string();
        let resigned = consortium.members[0].message(
            MessageType::Proposal,
            consortium.now,
            None,
            text.as_bytes(),
        );
        assert_ne!(resigned, bytes);
        assert!(matches!(
            consortium.send(&resigned),
            Err(Refusal::ProposalReplay(_))
        ));
    }

    #[test]
    fn actions_that_cannot_be_done_are_all_left_undone() {
        let mut consortium = Consortium::of(&["a"]);
        let nobody = Digest::ZERO.to_string();
        let info = consortium.decide(json!([
            { "name": "set_user", "args": { "user_id": "u" } },
            { "name": "remove_member", "args": { "member_id": nobody } },
        ]));
        assert_eq!(info.state, ProposalState::Failed);
        let reason = info.failure.unwrap().reason;
        assert!(reason.starts_with("remove_member:"), "{reason}");
        assert!(!is_user(&consortium, "u"));
    }

    #[test]
    fn a_proposal_that_is_not_valid_is_refused_and_not_recorded() {
        let mut consortium = Consortium::of(&["a"]);
        let refused = consortium.propose(0, json!([{ "name": "set_user" }]));
        assert!(matches!(refused, Err(Refusal::FailedToValidate(_))));
        assert!(all(&consortium.state).is_empty());
    }

    #[test]
    fn a_new_member_acknowledges_before_its_ballot_counts() {
        let mut consortium = Consortium::of(&["a", "b"]);
        let carol = Signer::new("carol");
        let args = json!({ "cert": carol.cert.to_pem(), "member_data": { "name": "Carol" } });
        let info = consortium.decide(json!([{ "name": "set_member", "args": args }]));
        assert_eq!(info.state, ProposalState::Accepted);
        consortium.members.push(carol);
        let carol = consortium.members[2].id();
        let id = consortium.propose(0, add_user("u")).unwrap();
        assert_eq!(consortium.vote(2, id, true), Err(Refusal::NotActive(carol)));
        assert!(consortium.propose(2, add_user("v")).is_err());
        // What is not the digest that the ledger shows is not acknowledged.
        let wrong = json!({ "stateDigest": "00" });
        let wrong = consortium.sign(2, MessageType::Ack, None, &wrong);
        let refused = consortium.send(&wrong);
        assert!(matches!(refused, Err(Refusal::StateDigestMismatch { .. })));
        consortium.acknowledge(2).unwrap();
        assert_eq!(consortium.vote(2, id, true), Ok(ProposalState::Open));
        assert_eq!(consortium.vote(1, id, true), Ok(ProposalState::Accepted));
    }

    #[test]
    fn a_new_digest_takes_the_place_of_the_old_one() {
        let mut consortium = Consortium::of(&["a"]);
        let id = consortium.members[0].id();
        let shown = |it: &Consortium| members::acknowledgement(&it.state, &id).unwrap();
        let before = shown(&consortium);
        let settings = json!({ "veto": true });
        consortium.decide(json!([{ "name": "set_constitution_settings", "args": settings }]));
        assert_eq!(shown(&consortium), before);
        let update = consortium.sign(0, MessageType::StateDigest, None, &Value::Null);
        consortium.send(&update).unwrap();
        assert_ne!(shown(&consortium).state_digest, before.state_digest);
        consortium.acknowledge(0).unwrap();
        assert!(shown(&consortium).cose_sign1_req.is_some());
    }

    #[test]
    fn a_change_of_who_votes_drops_what_is_open() {
        let mut consortium = Consortium::of(&["a", "b", "c"]);
        let open = consortium.propose(1, add_user("u")).unwrap();
        let gone = consortium.members[2].id().to_string();
        let args = json!({ "member_id": gone });
        let info = consortium.decide(json!([{ "name": "remove_member", "args": args }]));
        assert_eq!(info.state, ProposalState::Accepted);
        assert_eq!(consortium.info(open).state, ProposalState::Dropped);
        let refused = consortium.propose(2, add_user("v"));
        assert_eq!(
            refused,
            Err(Refusal::NotAMember(consortium.members[2].id()))
        );
    }

    #[test]
    fn an_operator_does_routine_things_alone() {
        let mut consortium = Consortium::of(&["a", "b"]);
        let operator = Signer::new("op");
        let data = json!({ "is_operator": true });
        let args = json!({ "cert": operator.cert.to_pem(), "member_data": data });
        consortium.decide(json!([{ "name": "set_member", "args": args }]));
        consortium.members.push(operator);
        consortium.acknowledge(2).unwrap();
        let renew = json!({ "valid_from": "260131235959Z" });
        let renew = json!([{ "name": "set_all_nodes_certificate_validity", "args": renew }]);
        let id = consortium.propose(2, renew).unwrap();
        assert_eq!(consortium.info(id).state, ProposalState::Accepted);
        let id = consortium.propose(2, add_user("u")).unwrap();
        assert_eq!(consortium.info(id).state, ProposalState::Open);
    }

    #[test]
    fn nobody_fills_the_tables_alone() {
        let mut consortium = Consortium::of(&["a", "b"]);
        for count in 0..OPEN_PROPOSALS_PER_MEMBER_MAX {
            consortium.propose(0, add_user(&count.to_string())).unwrap();
        }
        let refused = consortium.propose(0, add_user("u"));
        let proposer = consortium.members[0].id();
        assert_eq!(refused, Err(Refusal::TooManyOpen(proposer)));
        consortium.propose(1, add_user("u")).unwrap();
    }

    #[test]
    fn what_was_decided_long_ago_is_forgotten_but_not_what_is_open() {
        let mut consortium = Consortium::of(&["a"]);
        let open = consortium.propose(0, add_user("open")).unwrap();
        let first = consortium.propose(0, add_user("first")).unwrap();
        consortium.vote(0, first, false).unwrap();
        for count in 0..120 {
            let id = consortium.propose(0, add_user(&count.to_string())).unwrap();
            consortium.vote(0, id, false).unwrap();
        }
        assert_eq!(info(&consortium.state, &first), None);
        assert_eq!(text(&consortium.state, &first), None);
        assert_eq!(consortium.info(open).state, ProposalState::Open);
        assert!(all(&consortium.state).len() <= 102);
    }

    #[test]
    fn every_message_is_kept_in_the_ledger() {
        let mut consortium = Consortium::of(&["a"]);
        let payload = json!({ "actions": add_user("u") });
        let bytes = consortium.sign(0, MessageType::Proposal, None, &payload);
        consortium.send(&bytes).unwrap();
        let (_, writes) = consortium.written.last().unwrap();
        let key = consortium.members[0].id().to_string();
        let row = writes.written(&COSE_HISTORY, key.as_bytes()).flatten();
        let base64 = {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.encode(&bytes)
        };
        assert_eq!(row, Some(format!("\"{base64}\"").as_bytes()));
    }
}
