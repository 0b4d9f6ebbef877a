//! Who decided what, told from the public tables alone.
//!
//! A [`Story`] is given the public writes of all entries in their order, as an auditor finds them in
//! the ledger files. It checks each member's signature anew, and runs each request again on the
//! state before it: where what stands in the ledger is not what the rules give, the event says so.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use verify::TxId;

use super::members::{self, MemberId};
use super::message::{Message, MessageType};
use super::proposals::{self, ProposalId, ProposalState};
use super::request::SignedRequest;
use super::{Ballot, json, wishes};
use crate::kv::{MemoryState, State, Transaction, Tx};
use crate::service;
use crate::tables::{
    CA_CERT_BUNDLES, CONSTITUTION, CONSTITUTION_SETTINGS, COSE_HISTORY, FEATURES, GENESIS,
    JWT_ISSUERS, JWT_KEYS, MEMBER_ACKS, MEMBER_CERTS, MEMBER_ENCRYPTION_KEYS, MEMBER_INFO, NODES,
    PROPOSALS, PROPOSALS_INFO, RECENT, ROLES, SERVICE, SERVICE_CONFIG, SGX_POLICY, SINGLETON,
    SNP_HOST_DATA, SNP_MEASUREMENTS, SNP_TCB_VERSIONS, SNP_UVM_ENDORSEMENTS, TDX_POLICY, Table,
    USERS, VIRTUAL_HOST_DATA, VIRTUAL_MEASUREMENTS, WISHES,
};
use crate::write_set::{Write, WriteSet};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// In which transaction.
    pub transaction_id: TxId,
    /// Who signed for it; `None` where no member did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_id: Option<MemberId>,
    /// What that member is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_name: Option<String>,
    /// When, seconds since 1970, by that member's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum What {
    /// The ledger began.
    Founded {
        /// Its members, by name where they have one.
        members: Vec<String>,
    },
    /// The service's status changed.
    Service {
        /// What it is now.
        status: String,
    },
    /// A member proposed something.
    Proposed {
        /// The proposal.
        proposal_id: ProposalId,
        /// What it would do.
        actions: Value,
    },
    /// A member voted.
    Voted {
        /// The proposal.
        proposal_id: ProposalId,
        /// Whether it was a yes.
        yes: bool,
    },
    /// A member took a proposal back.
    Withdrew {
        /// The proposal.
        proposal_id: ProposalId,
    },
    /// A member acknowledged the state, and governs.
    Acknowledged,
    /// A member asked for the present state, to acknowledge it.
    AskedForDigest,
    /// A proposal was decided.
    Decided {
        /// The proposal.
        proposal_id: ProposalId,
        /// How.
        state: ProposalState,
        /// Who said yes, by name where they have one.
        yes: Vec<String>,
        /// Who said no.
        no: Vec<String>,
        /// Why its actions could not be done.
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
    /// A member was added, changed or removed.
    Member {
        /// Which.
        about: String,
        /// What it is now; `None` for removed.
        status: Option<members::Status>,
    },
    /// A user was added, changed or removed.
    User {
        /// Which.
        user_id: String,
        /// The roles; `None` for removed.
        roles: Option<Value>,
    },
    /// A custom role was defined or removed.
    Role {
        /// Which.
        role_name: String,
        /// What it allows; `None` for removed.
        actions: Option<Value>,
    },
    /// A node's row was written or removed.
    Node {
        /// Which.
        node_id: String,
        /// Its status; `None` for removed.
        status: Option<String>,
    },
    /// Something was decided that the nodes are to do.
    Wished {
        /// What.
        wish: String,
    },
    /// The nodes did it.
    Fulfilled {
        /// What.
        wish: String,
    },
    /// What stands in the ledger is not what the members' messages and the rules give.
    Wrong {
        /// What is wrong.
        why: String,
    },
}

/// The tale so far.
#[derive(Debug, Default)]
pub struct Story {
    /// Before the entry that is told, and after it. Two of them, so that neither is copied.
    before: MemoryState,
    after: MemoryState,
}

impl Story {
    /// What happened in this entry, given its public writes.
    pub fn read(&mut self, id: TxId, writes: &WriteSet) -> Vec<Event> {
        let mut governing = WriteSet::default();
        let mut unreadable = Vec::new();
        for write in writes.iter().filter(|write| is_governance(&write.table)) {
            match &write.value {
                Some(value) if is_readable(&write.table, value) => {
                    governing.put(write.table.clone(), write.key.clone(), value.clone());
                }
                Some(_) => unreadable.push(&write.table),
                None => governing.remove(write.table.clone(), write.key.clone()),
            }
        }
        let mut teller = Teller {
            id,
            before: &self.before,
            signer: None,
            events: Vec::new(),
        };
        for table in unreadable {
            teller.wrong(format!("a row of {table} cannot be read"));
        }
        if governing.is_empty() {
            return teller.events;
        }
        teller.signed(&governing);
        self.after.apply(&governing);
        teller.changes(&self.after, &governing);
        let events = teller.events;
        self.before.apply(&governing);
        events
    }
}

fn is_governance(table: &Table) -> bool {
    let name = table.name();
    name.starts_with("public:ccf.gov.") || name.starts_with("public:counterfoil.gov.")
}

/// Tables whose rows are JSON objects of any kind.
static OBJECTS: [Table; 6] = [
    JWT_KEYS,
    NODES,
    SERVICE_CONFIG,
    FEATURES,
    SNP_UVM_ENDORSEMENTS,
    SERVICE,
];

/// Tables that change by a member's message only, once the ledger is founded.
static OF_MEMBERS: [Table; 23] = [
    CA_CERT_BUNDLES,
    GENESIS,
    CONSTITUTION,
    CONSTITUTION_SETTINGS,
    MEMBER_CERTS,
    MEMBER_ENCRYPTION_KEYS,
    MEMBER_INFO,
    MEMBER_ACKS,
    PROPOSALS,
    PROPOSALS_INFO,
    RECENT,
    SERVICE_CONFIG,
    FEATURES,
    JWT_ISSUERS,
    JWT_KEYS,
    SNP_MEASUREMENTS,
    SNP_HOST_DATA,
    SNP_UVM_ENDORSEMENTS,
    SNP_TCB_VERSIONS,
    VIRTUAL_MEASUREMENTS,
    VIRTUAL_HOST_DATA,
    TDX_POLICY,
    SGX_POLICY,
];

/// Whether a row is what the rules read in this table: they take it for granted, an auditor cannot.
fn is_readable(table: &Table, value: &[u8]) -> bool {
    fn reads<T: DeserializeOwned>(value: &[u8]) -> bool {
        serde_json::from_slice::<T>(value).is_ok()
    }
    match table {
        table if *table == MEMBER_INFO => reads::<members::Member>(value),
        table if *table == MEMBER_ACKS => reads::<members::Acknowledgement>(value),
        table if *table == PROPOSALS_INFO => reads::<proposals::ProposalInfo>(value),
        table if *table == CONSTITUTION_SETTINGS => reads::<super::Settings>(value),
        table if *table == WISHES => reads::<wishes::Wish>(value),
        table if *table == JWT_ISSUERS => reads::<super::jwt::Issuer>(value),
        table if *table == CA_CERT_BUNDLES => reads::<String>(value),
        table if *table == USERS => reads::<crate::users::User>(value),
        table if *table == ROLES => reads::<crate::roles::Role>(value),
        table if OBJECTS.contains(table) => reads::<Map<String, Value>>(value),
        _ => true,
    }
}

struct Teller<'a> {
    id: TxId,
    before: &'a MemoryState,
    /// Who signed the message in this entry, and when.
    signer: Option<(MemberId, u64)>,
    events: Vec<Event>,
}

impl Teller<'_> {
    fn tell(&mut self, what: What) {
        let (member_id, created_at) = self.signer.unzip();
        self.events.push(Event {
            transaction_id: self.id,
            member_id,
            member_name: member_id.and_then(|id| name_of(self.before, &id)),
            created_at,
            what,
        });
    }

    fn wrong(&mut self, why: impl Into<String>) {
        self.tell(What::Wrong { why: why.into() });
    }

    /// The message that a member signed, if this entry has one: checked, and run again.
    fn signed(&mut self, writes: &WriteSet) {
        let mut rows = writes.iter().filter(|write| write.table == COSE_HISTORY);
        let Some(row) = rows.next() else {
            return self.unsigned(writes);
        };
        let Some(bytes) = row.value.as_deref().and_then(decode) else {
            return self.wrong("the signed message cannot be read");
        };
        let verified = SignedRequest::verify(&bytes, |id| members::cert(self.before, id));
        let request = match verified {
            Err(error) => return self.wrong(error.to_string()),
            Ok(Err(refusal)) => return self.wrong(refusal.to_string()),
            Ok(Ok(request)) => request,
        };
        let message = request.message().clone();
        self.signer = Some((message.signer, message.created_at));
        self.tell_message(&message);
        let mut tx = Tx::new(self.before, self.id, [0; 32]);
        match Box::new(request).run(&mut tx) {
            Err(rejection) => self.wrong(format!("by the rules it is refused: {rejection}")),
            Ok(_) if tx.into_writes() != *writes => {
                self.wrong("it did something else than the rules say");
            }
            Ok(_) => {}
        }
    }

    /// An entry for which no member signed: the founding, or something that nodes and
    /// administrators may do.
    fn unsigned(&mut self, writes: &WriteSet) {
        let founds = |state: &MemoryState| {
            let is_new = state.value(&GENESIS, &SINGLETON).is_none();
            is_new && writes.written(&GENESIS, &SINGLETON).is_some()
        };
        if founds(self.before) {
            return;
        }
        let of_members = |write: &&Write| OF_MEMBERS.contains(&write.table);
        if let Some(write) = writes.iter().find(of_members) {
            self.wrong(format!(
                "{} changed, but no member signed for it",
                write.table
            ));
        }
    }

    fn tell_message(&mut self, message: &Message) {
        let proposal_id = message.proposal.unwrap_or_default();
        match message.kind {
            MessageType::Proposal => {
                let text: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
                self.tell(What::Proposed {
                    proposal_id: message.digest(),
                    actions: text["actions"].clone(),
                });
            }
            MessageType::Ballot => match Ballot::parse(&message.payload) {
                Ok(Ballot { yes }) => self.tell(What::Voted { proposal_id, yes }),
                Err(refusal) => self.wrong(refusal.to_string()),
            },
            MessageType::Withdrawal => self.tell(What::Withdrew { proposal_id }),
            MessageType::Ack => self.tell(What::Acknowledged),
            MessageType::StateDigest => self.tell(What::AskedForDigest),
            MessageType::RecoveryShare | MessageType::EncryptedRecoveryShare => {}
        }
    }

    /// What became of it.
    fn changes(&mut self, after: &MemoryState, writes: &WriteSet) {
        let founded = writes.written(&GENESIS, &SINGLETON).is_some();
        if founded {
            let everybody = members::all(after).into_keys();
            let members = everybody.map(|id| called(after, &id)).collect();
            self.tell(What::Founded { members });
        }
        let decisions = writes.iter().filter(|write| write.table == PROPOSALS_INFO);
        for write in decisions {
            self.decision(after, write);
        }
        for write in writes.iter() {
            let key = || String::from_utf8_lossy(&write.key).into_owned();
            let row = || -> Option<Value> { serde_json::from_slice(write.value.as_ref()?).ok() };
            match &write.table {
                table if *table == SERVICE => {
                    if let Some(service) = service::service(after) {
                        let status = service.status;
                        self.tell(What::Service { status });
                    }
                }
                table if *table == MEMBER_INFO && !founded => self.member(after, &key()),
                table if *table == USERS => self.tell(What::User {
                    user_id: key(),
                    roles: row().map(|row| row["roles"].clone()),
                }),
                table if *table == ROLES => self.tell(What::Role {
                    role_name: key(),
                    actions: row().map(|row| row["actions"].clone()),
                }),
                table if *table == NODES => self.tell(What::Node {
                    node_id: key(),
                    status: row().and_then(|row| Some(row["status"].as_str()?.to_owned())),
                }),
                table if *table == WISHES => self.tell(match write.value {
                    Some(_) => What::Wished { wish: key() },
                    None => What::Fulfilled { wish: key() },
                }),
                _ => {}
            }
        }
    }

    fn decision(&mut self, after: &MemoryState, write: &Write) {
        let id = std::str::from_utf8(&write.key).ok();
        let Some(id) = id.and_then(|id| id.parse().ok()) else {
            return;
        };
        let was = proposals::info(self.before, &id).map(|info| info.state);
        let Some(info) = proposals::info(after, &id) else {
            return;
        };
        let news = info.state != ProposalState::Open && was != Some(info.state);
        if !news || info.state == ProposalState::Withdrawn {
            return;
        }
        let said = |wanted: bool| {
            let votes = info.votes().into_iter();
            votes
                .filter(|(_, yes)| *yes == wanted)
                .map(|(id, _)| called(self.before, &id))
                .collect()
        };
        let decided = What::Decided {
            proposal_id: id,
            state: info.state,
            yes: said(true),
            no: said(false),
            failure: info.failure.as_ref().map(|failure| failure.reason.clone()),
        };
        self.tell(decided);
    }

    fn member(&mut self, after: &MemoryState, key: &str) {
        let Ok(id) = key.parse() else { return };
        let now = members::read(after, &id);
        let known: &MemoryState = match &now {
            Some(_) => after,
            None => self.before,
        };
        let about = called(known, &id);
        let status = now.map(|member| member.status);
        self.tell(What::Member { about, status });
    }
}

/// A row of [`COSE_HISTORY`]: base64 as a JSON string.
fn decode(row: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine;
    let text: String = serde_json::from_slice(row).ok()?;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

fn name_of(state: &dyn State, id: &MemberId) -> Option<String> {
    let member = members::read(state, id)?;
    Some(member.name()?.to_owned())
}

/// A member's name, or the beginning of its id.
fn called(state: &dyn State, id: &MemberId) -> String {
    name_of(state, id).unwrap_or_else(|| id.to_string()[..8].to_owned())
}

/// The wishes that a state holds, by their keys, as the story names them.
pub fn open_wishes(story: &Story) -> Vec<String> {
    wishes::all(&story.after)
        .into_iter()
        .map(|(key, _)| key)
        .collect()
}

impl Event {
    /// The event as a sentence, without its transaction.
    pub fn sentence(&self) -> String {
        let who = match (&self.member_name, &self.member_id) {
            (Some(name), _) => name.clone(),
            (None, Some(id)) => format!("member {}", short(id)),
            (None, None) => "the service".to_owned(),
        };
        match &self.what {
            What::Founded { members } => format!("the ledger was founded by {}", list(members)),
            What::Service { status } => format!("the service is {status}"),
            What::Proposed {
                proposal_id,
                actions,
            } => {
                let actions: Vec<_> = actions.as_array().into_iter().flatten().collect();
                let actions: Vec<_> = actions.into_iter().map(action_in_words).collect();
                format!("{who} proposed {}: {}", short(proposal_id), list(&actions))
            }
            What::Voted { proposal_id, yes } => {
                let word = if *yes { "yes" } else { "no" };
                format!("{who} said {word} to {}", short(proposal_id))
            }
            What::Withdrew { proposal_id } => format!("{who} withdrew {}", short(proposal_id)),
            What::Acknowledged => format!("{who} acknowledged the state"),
            What::AskedForDigest => format!("{who} asked for the state to acknowledge"),
            What::Decided {
                proposal_id,
                state,
                yes,
                no,
                failure,
            } => {
                let mut text = format!("{} was {}", short(proposal_id), outcome(*state));
                text.push_str(&format!(" (yes: {}; no: {})", list(yes), list(no)));
                if let Some(failure) = failure {
                    text.push_str(&format!(": {failure}"));
                }
                text
            }
            What::Member { about, status } => match status {
                Some(status) => format!("{about} is a member, {status}"),
                None => format!("{about} is no member any more"),
            },
            What::User { user_id, roles } => match roles {
                Some(roles) => format!("user {user_id} is {}", list(&texts(roles))),
                None => format!("user {user_id} is no user any more"),
            },
            What::Role { role_name, actions } => match actions {
                Some(actions) => format!("role {role_name} allows {}", list(&texts(actions))),
                None => format!("role {role_name} is no more"),
            },
            What::Node { node_id, status } => match status {
                Some(status) => format!("node {} is {status}", cut(node_id)),
                None => format!("node {} is gone", cut(node_id)),
            },
            What::Wished { wish } => format!("the nodes are to do: {wish}"),
            What::Fulfilled { wish } => format!("the nodes did: {wish}"),
            What::Wrong { why } => format!("WRONG: {why}"),
        }
    }
}

fn outcome(state: ProposalState) -> &'static str {
    match state {
        ProposalState::Open => "opened",
        ProposalState::Accepted => "accepted",
        ProposalState::Rejected => "rejected",
        ProposalState::Withdrawn => "withdrawn",
        ProposalState::Failed => "accepted, but could not be done",
        ProposalState::Dropped => "dropped, as who votes or how has changed",
    }
}

fn action_in_words(action: &Value) -> String {
    let name = action["name"].as_str().unwrap_or_default();
    let args = action["args"].as_object().into_iter().flatten();
    let args: Vec<_> = args
        .map(|(name, value)| {
            let value = match value {
                Value::String(text) if text.starts_with("-----BEGIN") => "(PEM)".to_owned(),
                Value::String(text) => text.clone(),
                other => String::from_utf8_lossy(&json(other)).into_owned(),
            };
            let mut shown: String = value.chars().take(60).collect();
            if shown.len() < value.len() {
                shown.push('…');
            }
            format!("{name}={shown}")
        })
        .collect();
    match args.is_empty() {
        true => name.to_owned(),
        false => format!("{name} ({})", args.join(", ")),
    }
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| Some(item.as_str()?.to_owned()))
        .collect()
}

fn list(items: &[String]) -> String {
    match items.is_empty() {
        true => "nobody".to_owned(),
        false => items.join(", "),
    }
}

fn short(id: &verify::Digest) -> String {
    cut(&id.to_string())
}

fn cut(id: &str) -> String {
    id.chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use verify::Digest;

    use super::*;
    use crate::governance::testing::Consortium;

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
}
