//! Who decided what, told from the public tables alone.
//!
//! A [`Story`] is given the public writes of all entries in their order, as an auditor finds them in
//! the ledger files. It checks each member's signature anew, and runs each request again on the
//! state before it: where what stands in the ledger is not what the rules give, the event says so.

mod rows;
#[cfg(test)]
mod tests;
mod words;

use serde::Serialize;
use serde_json::Value;
use verify::TxId;

use self::rows::{OF_MEMBERS, is_governance, is_readable};

use super::members::{self, MemberId};
use super::message::{Message, MessageType};
use super::proposals::{self, ProposalId, ProposalState};
use super::request::SignedRequest;
use super::{Ballot, wishes};
use crate::kv::{MemoryState, State, Transaction, Tx};
use crate::service;
use crate::tables::{
    COSE_HISTORY, GENESIS, MEMBER_INFO, NODES, PROPOSALS_INFO, ROLES, SERVICE, SINGLETON, USERS,
    WISHES,
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
            Ok(request) => request,
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
