//! Members: who governs.
//!
//! A member is added as `Accepted` and becomes `Active`, with a ballot that counts, by signing a
//! digest of the state: it has seen what it joins.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use verify::{Cert, Digest};

use super::actions::args::{check_encryption_key, check_member_data};
use super::refusal::Refusal;
use super::request::SignedRequest;
use super::{json, row, wishes};
use crate::kv::{Rejection, State, Tx};
use crate::limits::MEMBERS_MAX;
use crate::tables::{
    self, MEMBER_ACKS, MEMBER_CERTS, MEMBER_ENCRYPTION_KEYS, MEMBER_INFO, SERVICE_CONFIG, SINGLETON,
};

/// Names a member: SHA-256 of its certificate.
pub type MemberId = Digest;

/// Where a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Added, but has not acknowledged a state yet: its ballots do not count.
    Accepted,
    /// Governs.
    Active,
}

/// What a member has to do with recovery after a disaster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RecoveryRole {
    /// Nothing.
    #[default]
    NonParticipant,
    /// Holds a share of the recovery key.
    Participant,
    /// Holds the whole recovery key.
    Owner,
}

/// A row of [`MEMBER_INFO`], in CCF's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where it stands.
    pub status: Status,
    /// What the others wrote about it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub member_data: Value,
    /// What it has to do with recovery.
    #[serde(default)]
    pub recovery_role: RecoveryRole,
}

impl Member {
    /// Operators run nodes and do not vote: `member_data.is_operator` says so. Who holds a share of
    /// the recovery key is none (CCF's rule).
    pub fn is_operator(&self) -> bool {
        self.recovery_role == RecoveryRole::NonParticipant
            && self.member_data["is_operator"] == Value::Bool(true)
    }

    /// Whether it is an operator who has acknowledged the state.
    pub fn is_active_operator(&self) -> bool {
        self.status == Status::Active && self.is_operator()
    }

    /// Whether its ballots count.
    pub fn votes(&self) -> bool {
        self.status == Status::Active && !self.is_operator()
    }

    /// What people call it: `member_data.name`, where there is one.
    pub fn name(&self) -> Option<&str> {
        self.member_data["name"].as_str()
    }
}

/// A member as it is added.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMember {
    /// Its certificate: with that key it signs.
    pub cert: Cert,
    /// Its RSA public key, PEM: to that key its recovery share is encrypted.
    pub encryption_key: Option<String>,
    /// What the others write about it.
    pub data: Value,
    /// What it has to do with recovery; [`RecoveryRole::Participant`] for one with a key.
    pub recovery_role: Option<RecoveryRole>,
}

impl NewMember {
    /// Its id.
    pub fn id(&self) -> MemberId {
        self.cert.fingerprint()
    }

    /// What it has to do with recovery.
    pub fn role(&self) -> RecoveryRole {
        self.recovery_role.unwrap_or(match self.encryption_key {
            Some(_) => RecoveryRole::Participant,
            None => RecoveryRole::NonParticipant,
        })
    }

    /// Writes its rows, in place of any that were there. Who is active stays so.
    pub(super) fn put(&self, tx: &mut Tx<'_>, status: Status) {
        let id = self.id().to_string();
        let before = read(tx, &self.id()).map(|member| member.status);
        let member = Member {
            status: before.unwrap_or(status),
            member_data: self.data.clone(),
            recovery_role: self.role(),
        };
        tx.put(MEMBER_CERTS, id.as_bytes(), self.cert.to_pem());
        tx.put(MEMBER_INFO, id.as_bytes(), json(&member));
        match &self.encryption_key {
            Some(key) => tx.put(MEMBER_ENCRYPTION_KEYS, id.as_bytes(), key.as_bytes()),
            None if tx.value(&MEMBER_ENCRYPTION_KEYS, id.as_bytes()).is_some() => {
                tx.remove(MEMBER_ENCRYPTION_KEYS, id.as_bytes());
            }
            None => {}
        }
    }
}

/// A member who is there from the beginning.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundingMember {
    /// The member.
    pub member: NewMember,
    /// Whether it governs at once, or must acknowledge the state first.
    pub status: Status,
}

impl FoundingMember {
    /// A founding member who governs at once.
    ///
    /// # Errors
    /// The certificate, the encryption key or the data cannot be; the text says which.
    pub fn active(
        cert_pem: &str,
        encryption_key: Option<String>,
        data: Value,
    ) -> Result<Self, String> {
        let cert = Cert::from_pem(cert_pem).map_err(|error| format!("the certificate: {error}"))?;
        let encryption_key = match encryption_key {
            Some(key) => Some(
                check_encryption_key(&key).map_err(|why| format!("the encryption key {why}"))?,
            ),
            None => None,
        };
        check_member_data(&data).map_err(|why| format!("the member's data {why}"))?;
        Ok(Self {
            member: NewMember {
                cert,
                encryption_key,
                data,
                recovery_role: None,
            },
            status: Status::Active,
        })
    }

    /// The same, but it must acknowledge the state before its ballots count.
    #[must_use]
    pub fn to_acknowledge(mut self) -> Self {
        self.status = Status::Accepted;
        self
    }
}

/// Writes the founding members and how many of them recover the ledger.
///
/// # Errors
/// Nobody of them could ever vote, or there are too many.
pub(crate) fn found(tx: &mut Tx<'_>, members: &[FoundingMember]) -> Result<(), Rejection> {
    if members.len() > MEMBERS_MAX {
        let message = format!("a ledger has {MEMBERS_MAX} members at the most");
        return Err(Rejection::InvalidInput(message));
    }
    for founding in members {
        founding.member.put(tx, founding.status);
        prepare_ack(tx, founding.member.id());
    }
    let everybody = all(tx);
    if everybody.len() != members.len() {
        let message = "two founding members have the same certificate".to_owned();
        return Err(Rejection::InvalidInput(message));
    }
    if everybody.values().all(Member::is_operator) {
        let message = "a ledger needs a founding member who is no operator".to_owned();
        return Err(Rejection::InvalidInput(message));
    }
    let participants = everybody
        .values()
        .filter(|member| member.recovery_role == RecoveryRole::Participant);
    // Until the members say otherwise, more than half of them.
    let count = participants.count() as u64;
    let recovery_threshold = if count == 0 { 0 } else { count / 2 + 1 };
    let config = serde_json::json!({ "recovery_threshold": recovery_threshold });
    tx.put(SERVICE_CONFIG, SINGLETON, json(&config));
    Ok(())
}

/// A member; `None` where there is none.
pub fn read(state: &dyn State, id: &MemberId) -> Option<Member> {
    row(state, &MEMBER_INFO, id.to_string().as_bytes())
}

/// All members, sorted by id.
pub fn all(state: &dyn State) -> BTreeMap<MemberId, Member> {
    let rows = state.values(&MEMBER_INFO).into_iter();
    rows.filter_map(|(key, _)| {
        let id: MemberId = std::str::from_utf8(&key).ok()?.parse().ok()?;
        Some((id, read(state, &id)?))
    })
    .collect()
}

/// A member's certificate; `None` where there is no such member.
pub fn cert(state: &dyn State, id: &MemberId) -> Option<Cert> {
    let pem = state.value(&MEMBER_CERTS, id.to_string().as_bytes())?;
    Cert::from_pem(std::str::from_utf8(&pem).ok()?).ok()
}

/// A member's encryption key, PEM; `None` where it has none.
pub fn encryption_key(state: &dyn State, id: &MemberId) -> Option<String> {
    let pem = state.value(&MEMBER_ENCRYPTION_KEYS, id.to_string().as_bytes())?;
    String::from_utf8(pem).ok()
}

/// The members who must agree that a ledger is recovered.
pub(super) fn recovery_members(state: &dyn State) -> usize {
    let everybody = all(state);
    let participants = everybody
        .values()
        .filter(|member| member.recovery_role == RecoveryRole::Participant);
    participants.count()
}

/// A row of [`MEMBER_ACKS`], in CCF's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The digest to acknowledge, or that was acknowledged.
    pub state_digest: String,
    /// The signed message, base64; `None` until it is acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cose_sign1_req: Option<String>,
}

/// What a member is to acknowledge, or has acknowledged; `None` where there is no such member.
pub fn acknowledgement(state: &dyn State, id: &MemberId) -> Option<Acknowledgement> {
    row(state, &MEMBER_ACKS, id.to_string().as_bytes())
}

/// Gives a member the present state to acknowledge.
pub(super) fn prepare_ack(tx: &mut Tx<'_>, id: MemberId) {
    let row = Acknowledgement {
        state_digest: state_digest(tx).to_string(),
        cose_sign1_req: None,
    };
    tx.put(MEMBER_ACKS, id.to_string().as_bytes(), json(&row));
}

/// A digest of who governs and by which rules: of every row of [`tables::GOVERNED`], each table's
/// rows sorted by key. Anybody who has the ledger files can compute it.
pub fn state_digest(state: &dyn State) -> Digest {
    let mut bytes = b"counterfoil state digest 1".to_vec();
    let mut put = |part: &[u8]| {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    };
    for table in &tables::GOVERNED {
        let rows = state.values(table);
        put(table.name().as_bytes());
        put(&(rows.len() as u64).to_le_bytes());
        for (key, value) in rows {
            put(&key);
            put(&value);
        }
    }
    Digest::of(&bytes)
}

/// Answers a `state_digest` message: the present state is to be acknowledged.
pub(super) fn update_state_digest(tx: &mut Tx<'_>, request: &SignedRequest) {
    prepare_ack(tx, request.signer());
}

/// Answers an `ack` message: the member has seen the state, and governs from now on.
pub(super) fn acknowledge(tx: &mut Tx<'_>, request: &SignedRequest) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        #[serde(alias = "state_digest")]
        state_digest: String,
    }
    let id = request.signer();
    let unreadable = Refusal::Unreadable("an ack is {\"stateDigest\": \"...\"}");
    let body: Body = serde_json::from_slice(request.payload()).map_err(|_| unreadable)?;
    let Acknowledgement { state_digest, .. } =
        acknowledgement(tx, &id).ok_or(Refusal::NoStateDigest(id))?;
    if body.state_digest != state_digest {
        return Err(Refusal::StateDigestMismatch {
            expected: state_digest,
            found: body.state_digest,
        });
    }
    let row = Acknowledgement {
        state_digest,
        cose_sign1_req: Some(STANDARD.encode(request.bytes())),
    };
    tx.put(MEMBER_ACKS, id.to_string().as_bytes(), json(&row));
    let member = read(tx, &id).ok_or(Refusal::NotAMember(id))?;
    if member.status == Status::Accepted {
        let participates = member.recovery_role != RecoveryRole::NonParticipant;
        let active = Member {
            status: Status::Active,
            ..member
        };
        tx.put(MEMBER_INFO, id.to_string().as_bytes(), json(&active));
        if participates {
            wishes::record(tx, wishes::REFRESH_SHARES, None, &Value::Null);
        }
    }
    Ok(())
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted => "Accepted",
            Self::Active => "Active",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{Consortium, Signer};
    use super::*;
    use crate::governance::actions::service::recovery_threshold;
    use crate::kv::MemoryState;

    fn founding(signer: &Signer, data: Value) -> FoundingMember {
        FoundingMember::active(&signer.cert.to_pem(), None, data).unwrap()
    }

    fn found_by(members: Vec<FoundingMember>) -> Result<MemoryState, Rejection> {
        let mut state = MemoryState::default();
        state.run(move |tx: &mut Tx<'_>| found(tx, &members).map(|()| Digest::ZERO))?;
        Ok(state)
    }

    #[test]
    fn a_founding_member_may_have_to_acknowledge_first() {
        let (a, b) = (Signer::new("a"), Signer::new("b"));
        let founders = vec![
            founding(&a, Value::Null),
            founding(&b, Value::Null).to_acknowledge(),
        ];
        let mut consortium = Consortium::of(&["x"]);
        consortium.state = found_by(founders).unwrap();
        consortium.members = vec![a, b];
        let status = |consortium: &Consortium, member: usize| {
            let id = consortium.members[member].id();
            read(&consortium.state, &id).unwrap().status
        };
        assert_eq!(status(&consortium, 0), Status::Active);
        assert_eq!(status(&consortium, 1), Status::Accepted);
        consortium.acknowledge(1).unwrap();
        assert_eq!(status(&consortium, 1), Status::Active);
    }

    #[test]
    fn founding_members_differ_and_one_of_them_votes() {
        let a = Signer::new("a");
        assert!(found_by(vec![founding(&a, Value::Null); 2]).is_err());
        let operator = json!({ "is_operator": true });
        assert!(found_by(vec![founding(&a, operator)]).is_err());
        let state = found_by(vec![founding(&a, json!({ "name": "A" }))]).unwrap();
        assert_eq!(recovery_threshold(&state), 0, "nobody could recover it");
        assert_eq!(read(&state, &a.id()).unwrap().name(), Some("A"));
        assert_eq!(cert(&state, &a.id()), Some(a.cert));
    }

    #[test]
    fn a_founding_member_that_cannot_be_is_refused_in_words() {
        let pem = Signer::new("a").cert.to_pem();
        let refusal = |cert: &str, key: Option<&str>| {
            let key = key.map(str::to_owned);
            FoundingMember::active(cert, key, Value::Null).unwrap_err()
        };
        assert!(refusal("x", None).contains("certificate"));
        assert!(refusal(&pem, Some(&pem)).contains("encryption key"));
        let long = Value::String("x".repeat(1 << 20));
        assert!(FoundingMember::active(&pem, None, long).is_err());
    }

    #[test]
    fn the_state_digest_is_about_governance_alone() {
        let a = Signer::new("a");
        let mut state = found_by(vec![founding(&a, Value::Null)]).unwrap();
        let before = state_digest(&state);
        let put = |state: &mut MemoryState, table: tables::Table| {
            state
                .run(move |tx: &mut Tx<'_>| {
                    tx.put(table, *b"key", *b"{}");
                    Ok(Digest::ZERO)
                })
                .unwrap();
        };
        put(&mut state, tables::USERS);
        put(&mut state, tables::PUBLIC_ENTRIES);
        assert_eq!(state_digest(&state), before);
        put(&mut state, tables::FEATURES);
        assert_ne!(state_digest(&state), before);
    }
}
