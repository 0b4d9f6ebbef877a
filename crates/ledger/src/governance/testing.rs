//! A consortium to try the rules on.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use verify::{Cert, CoseAlgorithm, Digest, Seqno, TxId, View};

use super::actions;
use super::members::{self, FoundingMember, MemberId};
use super::message::{Draft, MessageError, MessageType};
use super::proposals::{self, ProposalId, ProposalInfo, ProposalState};
use super::refusal::Refusal;
use super::request::SignedRequest;
use crate::kv::{MemoryState, Rejection, State, Transaction, Tx};
use crate::tables::{GENESIS, SINGLETON};
use crate::write_set::WriteSet;

/// Somebody with a key.
pub(crate) struct Signer {
    pub(crate) cert: Cert,
    key: EcdsaKeyPair,
}

impl Signer {
    pub(crate) fn new(name: &str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let cert = params.self_signed(&pair).unwrap();
        let algorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;
        Self {
            cert: Cert::from_pem(&cert.pem()).unwrap(),
            key: EcdsaKeyPair::from_pkcs8(algorithm, pair.serialized_der()).unwrap(),
        }
    }

    pub(crate) fn id(&self) -> MemberId {
        self.cert.fingerprint()
    }

    pub(crate) fn message(
        &self,
        kind: MessageType,
        created_at: u64,
        proposal: Option<ProposalId>,
        payload: &[u8],
    ) -> Vec<u8> {
        self.message_as(self.id(), kind, created_at, proposal, payload)
    }

    pub(crate) fn message_as(
        &self,
        signer: MemberId,
        kind: MessageType,
        created_at: u64,
        proposal: Option<ProposalId>,
        payload: &[u8],
    ) -> Vec<u8> {
        let algorithm = CoseAlgorithm::Es384;
        let draft = Draft::new(signer, algorithm, kind, created_at, proposal, payload);
        let signature = self.key.sign(&SystemRandom::new(), &draft.to_be_signed());
        draft.signed(signature.unwrap().as_ref())
    }
}

/// A ledger that is governed by a few.
pub(crate) struct Consortium {
    pub(crate) state: MemoryState,
    pub(crate) members: Vec<Signer>,
    /// Everything that was written, entry by entry.
    pub(crate) written: Vec<(TxId, WriteSet)>,
    pub(crate) now: u64,
}

impl Consortium {
    /// These founded it, all active.
    pub(crate) fn of(names: &[&str]) -> Self {
        let members: Vec<_> = names.iter().map(|name| Signer::new(name)).collect();
        let founders: Vec<_> = members
            .iter()
            .zip(names)
            .map(|(member, name)| {
                let data = json!({ "name": name });
                FoundingMember::active(&member.cert.to_pem(), None, data).unwrap()
            })
            .collect();
        let mut consortium = Self {
            state: MemoryState::default(),
            members,
            written: Vec::new(),
            now: 1_000,
        };
        consortium
            .run(move |tx: &mut Tx<'_>| {
                tx.put(GENESIS, SINGLETON, *b"{}");
                members::found(tx, &founders)?;
                Ok(Digest::ZERO)
            })
            .unwrap();
        consortium
    }

    pub(crate) fn run(&mut self, transaction: impl Transaction) -> Result<(), Rejection> {
        let id = TxId::new(View(2), Seqno(self.written.len() as u64 + 1));
        let mut tx = Tx::new(&self.state, id, [0; 32]);
        Box::new(transaction).run(&mut tx)?;
        let writes = tx.into_writes();
        self.state.apply(&writes);
        self.written.push((id, writes));
        Ok(())
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let request = match SignedRequest::verify(bytes, |id| members::cert(&self.state, id)) {
            Ok(request) => request,
            Err(MessageError::Stranger(id)) => return Err(Refusal::NotAMember(id)),
            Err(error) => panic!("{error}"),
        };
        match self.run(request) {
            Ok(()) => Ok(()),
            Err(Rejection::Governance(refusal)) => Err(refusal),
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) fn sign(
        &mut self,
        member: usize,
        kind: MessageType,
        proposal: Option<ProposalId>,
        payload: &Value,
    ) -> Vec<u8> {
        self.now += 1;
        let payload = payload.to_string();
        self.members[member].message(kind, self.now, proposal, payload.as_bytes())
    }

    pub(crate) fn propose(&mut self, member: usize, actions: Value) -> Result<ProposalId, Refusal> {
        let payload = json!({ "actions": actions });
        let bytes = self.sign(member, MessageType::Proposal, None, &payload);
        let id = super::Message::parse(&bytes).unwrap().digest();
        self.send(&bytes).map(|()| id)
    }

    pub(crate) fn vote(
        &mut self,
        member: usize,
        id: ProposalId,
        yes: bool,
    ) -> Result<ProposalState, Refusal> {
        let payload = json!({ "ballot": yes });
        let bytes = self.sign(member, MessageType::Ballot, Some(id), &payload);
        self.send(&bytes)?;
        Ok(self.info(id).state)
    }

    pub(crate) fn info(&self, id: ProposalId) -> ProposalInfo {
        proposals::info(&self.state, &id).unwrap()
    }

    /// Proposes and votes until it is decided.
    pub(crate) fn decide(&mut self, actions: Value) -> ProposalInfo {
        let id = self.propose(0, actions).unwrap();
        for member in 0..self.members.len() {
            if self.info(id).state == ProposalState::Open {
                self.vote(member, id, true).unwrap();
            }
        }
        self.info(id)
    }

    /// Signs the digest that the ledger shows.
    pub(crate) fn acknowledge(&mut self, member: usize) -> Result<(), Refusal> {
        let id = self.members[member].id();
        let shown = members::acknowledgement(&self.state, &id).unwrap();
        let payload = json!({ "stateDigest": shown.state_digest });
        let bytes = self.sign(member, MessageType::Ack, None, &payload);
        self.send(&bytes)
    }
}

/// Does one action, as if it were accepted, on this state.
pub(crate) fn act(state: &mut MemoryState, name: &str, args: Value) -> Result<(), String> {
    let proposal = json!({ "actions": [{ "name": name, "args": args }] });
    let proposed = actions::parse(proposal.to_string().as_bytes())?;
    let mut tx = Tx::new(state, TxId::new(View(2), Seqno(7)), [0; 32]);
    proposed.apply(&mut tx)?;
    let writes = tx.into_writes();
    state.apply(&writes);
    Ok(())
}

/// Why an action is refused before anybody votes on it.
pub(crate) fn invalid(name: &str, args: Value) -> String {
    let proposal = json!({ "actions": [{ "name": name, "args": args }] });
    match actions::parse(proposal.to_string().as_bytes()) {
        Err(why) => why,
        Ok(_) => panic!("{name} with {args} is valid"),
    }
}

/// A row, as text.
pub(crate) fn text(state: &dyn State, table: &crate::Table, key: &[u8]) -> Option<String> {
    state
        .value(table, key)
        .map(|value| String::from_utf8(value).unwrap())
}
