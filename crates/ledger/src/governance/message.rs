//! Governance messages: COSE_Sign1 (RFC 9052) with CCF's headers, signed with a member's key.
//!
//! ```text
//! 18([ protected: << { 1: alg, 4: kid, "ccf.gov.msg.type": tstr, "ccf.gov.msg.created_at": uint,
//!                      ? "ccf.gov.msg.proposal_id": tstr } >>,
//!      unprotected: {}, payload: bstr, signature: bstr ])
//! ```
//!
//! `kid` is the lower-case hex SHA-256 of the member's certificate: the member's id. What this
//! module makes is byte for byte what `ccf_cose_sign1` of PyPI's `ccf` makes.

use std::convert::Infallible;

use minicbor::data::{Tag, Type};
use minicbor::decode::{Decoder, Error as CborError};
use minicbor::encode::{Encoder, Error as EncodeError};
use verify::cose::sig_structure;
use verify::{Cert, CoseAlgorithm, Digest};

use super::members::MemberId;
use super::proposals::ProposalId;
use crate::limits::GOVERNANCE_MESSAGE_BYTES_MAX;

const COSE_SIGN1: Tag = Tag::new(18);
const ALG: i64 = 1;
const CRIT: i64 = 2;
const KID: i64 = 4;
const TYPE: &str = "ccf.gov.msg.type";
const CREATED_AT: &str = "ccf.gov.msg.created_at";
const PROPOSAL_ID: &str = "ccf.gov.msg.proposal_id";

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// Proposes actions.
    Proposal,
    /// Says yes or no to a proposal.
    Ballot,
    /// Takes the signer's own proposal back.
    Withdrawal,
    /// Acknowledges a state digest.
    Ack,
    /// Asks for a new state digest to acknowledge.
    StateDigest,
    /// Hands in a share of the recovery key.
    RecoveryShare,
    /// Hands in an encrypted share of the recovery key.
    EncryptedRecoveryShare,
}

impl MessageType {
    /// All of them, with their names in the header.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Proposal, "proposal"),
        (Self::Ballot, "ballot"),
        (Self::Withdrawal, "withdrawal"),
        (Self::Ack, "ack"),
        (Self::StateDigest, "state_digest"),
        (Self::RecoveryShare, "recovery_share"),
        (Self::EncryptedRecoveryShare, "encrypted_recovery_share"),
    ];

    /// The name in the header.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(kind, _)| *kind == self);
        found.map_or("", |(_, name)| name)
    }

    fn parse(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name);
        found.map(|(kind, _)| *kind)
    }
}

/// The bytes are not a governance message, or not one that its signer signed. The sender is to
/// blame; `ccf_cose_sign1` and `counterfoil proposal` make good ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Send less.
    #[error("the message has more than {GOVERNANCE_MESSAGE_BYTES_MAX} bytes")]
    TooLong,
    /// It is damaged, or something else.
    #[error("the message is not a COSE_Sign1 with CCF's governance headers: {0}")]
    Malformed(String),
    /// Sign with a key of P-256 or P-384.
    #[error("the message is signed with algorithm {0}; ES256 (-7) and ES384 (-35) are understood")]
    Algorithm(i64),
    /// Ask the members to propose `set_member` with your certificate.
    #[error("nobody with the id {0} is a member of this ledger")]
    Stranger(MemberId),
    /// The signature was made with another key, or over other bytes.
    #[error("the signature was not made by the key of member {0}")]
    Signature(MemberId),
}

/// A message, read but not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who says to have signed it.
    pub signer: MemberId,
    /// What it is for.
    pub kind: MessageType,
    /// When, seconds since 1970, by the signer's clock.
    pub created_at: u64,
    /// Which proposal it is about. Ballots and withdrawals have one.
    pub proposal: Option<ProposalId>,
    /// What was signed, beside the header.
    pub payload: Vec<u8>,
    algorithm: CoseAlgorithm,
    to_be_signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Message {
    /// Reads one.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > GOVERNANCE_MESSAGE_BYTES_MAX {
            return Err(MessageError::TooLong);
        }
        let mut d = Decoder::new(bytes);
        if d.tag()? != COSE_SIGN1 || d.array()? != Some(4) {
            return Err(malformed("it is no tagged array of four"));
        }
        let protected = d.bytes()?;
        if d.datatype()? != Type::Map {
            return Err(malformed("its unprotected header is no map"));
        }
        d.skip()?;
        let payload = d.bytes()?;
        let signature = d.bytes()?;
        if d.position() != bytes.len() {
            return Err(malformed("bytes follow its end"));
        }
        let header = Header::parse(protected)?;
        Ok(Self {
            signer: header.kid,
            kind: header.kind,
            created_at: header.created_at,
            proposal: header.proposal,
            payload: payload.to_vec(),
            algorithm: header.algorithm,
            to_be_signed: sig_structure(protected, payload),
            signature: signature.to_vec(),
        })
    }

    /// Whether the holder of this certificate's key signed it.
    ///
    /// # Errors
    /// It is another member's certificate, or the signature is wrong.
    pub fn verify(&self, cert: &Cert) -> Result<(), MessageError> {
        let wrong = || MessageError::Signature(self.signer);
        if cert.fingerprint() != self.signer {
            return Err(wrong());
        }
        cert.public_key()
            .verify_cose(self.algorithm, &self.to_be_signed, &self.signature)
            .map_err(|_| wrong())
    }

    /// SHA-256 of what was signed: header and payload. Of a proposal it is the id. Neither the
    /// signature's form nor the unprotected header counts, so nobody but the signer can make a
    /// second message of the same meaning that has another digest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_be_signed)
    }
}

struct Header {
    algorithm: CoseAlgorithm,
    kid: MemberId,
    kind: MessageType,
    created_at: u64,
    proposal: Option<ProposalId>,
}

impl Header {
    fn parse(protected: &[u8]) -> Result<Self, MessageError> {
        let (mut alg, mut kid, mut kind) = (None, None, None);
        let (mut created_at, mut proposal) = (None, None);
        let mut d = Decoder::new(protected);
        let length = d.map()?.ok_or_else(|| malformed("its header is endless"))?;
        for _ in 0..length {
            match d.datatype()? {
                Type::String => match d.str()? {
                    TYPE => once(&mut kind, d.str()?)?,
                    CREATED_AT => once(&mut created_at, d.u64()?)?,
                    PROPOSAL_ID => once(&mut proposal, d.str()?)?,
                    _ => d.skip()?,
                },
                _ => match d.i64()? {
                    ALG => once(&mut alg, d.i64()?)?,
                    CRIT => return Err(malformed("it has critical headers")),
                    KID => once(&mut kid, d.bytes()?)?,
                    _ => d.skip()?,
                },
            }
        }
        if d.position() != protected.len() {
            return Err(malformed("bytes follow its header"));
        }
        let missing = |name: &str| malformed(&format!("the header {name} is missing"));
        let alg = alg.ok_or_else(|| missing("alg"))?;
        let kid = kid.ok_or_else(|| missing("kid"))?;
        let kind = kind.ok_or_else(|| missing(TYPE))?;
        Ok(Self {
            algorithm: CoseAlgorithm::from_label(alg).ok_or(MessageError::Algorithm(alg))?,
            kid: std::str::from_utf8(kid)
                .ok()
                .and_then(lower_hex)
                .ok_or_else(|| malformed("its kid is not the hex SHA-256 of a certificate"))?,
            kind: MessageType::parse(kind)
                .ok_or_else(|| malformed(&format!("{TYPE} is unknown: {kind:?}")))?,
            created_at: created_at.ok_or_else(|| missing(CREATED_AT))?,
            proposal: match proposal {
                None => None,
                Some(id) => Some(
                    lower_hex(id)
                        .ok_or_else(|| malformed(&format!("{PROPOSAL_ID} is no proposal's id")))?,
                ),
            },
        })
    }
}

/// Ids have one spelling.
fn lower_hex(text: &str) -> Option<Digest> {
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    text.parse().ok().filter(|_| lower)
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), MessageError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(malformed("a header comes twice")),
    }
}

fn malformed(why: &str) -> MessageError {
    MessageError::Malformed(why.to_owned())
}

impl From<CborError> for MessageError {
    fn from(error: CborError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// A message to be signed.
#[derive(Debug, Clone)]
pub struct Draft {
    protected: Vec<u8>,
    payload: Vec<u8>,
}

impl Draft {
    /// A message of this member, created at so many seconds since 1970.
    pub fn new(
        signer: MemberId,
        algorithm: CoseAlgorithm,
        kind: MessageType,
        created_at: u64,
        proposal: Option<ProposalId>,
        payload: &[u8],
    ) -> Self {
        // Keys in the order of their encoded bytes (RFC 8949, 4.2.1).
        let protected = encoded(|e| {
            e.map(if proposal.is_some() { 5 } else { 4 })?;
            e.i64(ALG)?.i64(algorithm.label())?;
            e.i64(KID)?.bytes(signer.to_string().as_bytes())?;
            e.str(TYPE)?.str(kind.name())?;
            e.str(CREATED_AT)?.u64(created_at)?;
            if let Some(id) = proposal {
                e.str(PROPOSAL_ID)?.str(&id.to_string())?;
            }
            Ok(())
        });
        Self {
            protected,
            payload: payload.to_vec(),
        }
    }

    /// What the member's key signs.
    pub fn to_be_signed(&self) -> Vec<u8> {
        sig_structure(&self.protected, &self.payload)
    }

    /// The message, given the signature (`r || s`).
    pub fn signed(&self, signature: &[u8]) -> Vec<u8> {
        encoded(|e| {
            e.tag(COSE_SIGN1)?.array(4)?.bytes(&self.protected)?;
            e.map(0)?.bytes(&self.payload)?.bytes(signature)?;
            Ok(())
        })
    }
}

fn encoded(
    write: impl FnOnce(&mut Encoder<Vec<u8>>) -> Result<(), EncodeError<Infallible>>,
) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    match write(&mut encoder) {
        Ok(()) => encoder.into_writer(),
        Err(error) => unreachable!("writing to memory cannot fail: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governance::testing::Signer;

    #[test]
    fn a_message_that_is_written_is_read_and_verified() {
        let alice = Signer::new("alice");
        let proposal = Digest::of(b"p");
        let bytes = alice.message(MessageType::Ballot, 17, Some(proposal), b"{}");
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.signer, alice.id());
        assert_eq!(message.kind, MessageType::Ballot);
        assert_eq!(message.created_at, 17);
        assert_eq!(message.proposal, Some(proposal));
        assert_eq!(message.payload, b"{}");
        message.verify(&alice.cert).unwrap();
    }

    /// Made with `ccf_cose_sign1` of PyPI's `ccf` 7.0.22 and keys of CCF's `keygenerator.sh`.
    #[test]
    fn what_ccfs_tool_made_is_verified_and_is_made_the_same_here() {
        macro_rules! file {
            ($name:literal) => {
                include_bytes!(concat!("../../testdata/governance/", $name))
            };
        }
        let proposal = Some(Digest([0xab; 32]));
        for (bytes, cert, kind, proposal) in [
            (
                &file!("p384_proposal.cose")[..],
                &file!("p384_cert.pem")[..],
                MessageType::Proposal,
                None,
            ),
            (
                file!("p256_ballot.cose"),
                file!("p256_cert.pem"),
                MessageType::Ballot,
                proposal,
            ),
        ] {
            let cert = Cert::from_pem(std::str::from_utf8(cert).unwrap()).unwrap();
            let message = Message::parse(bytes).unwrap();
            message.verify(&cert).unwrap();
            assert_eq!(message.kind, kind);
            assert_eq!(message.proposal, proposal);
            assert_eq!(message.created_at, 1_769_903_999);
            let draft = Draft::new(
                cert.fingerprint(),
                cert.public_key().cose_algorithm(),
                kind,
                message.created_at,
                proposal,
                &message.payload,
            );
            assert_eq!(draft.signed(&message.signature), bytes);
        }
    }

    #[test]
    fn another_members_certificate_does_not_verify_it() {
        let (alice, bob) = (Signer::new("alice"), Signer::new("bob"));
        let bytes = alice.message(MessageType::Proposal, 17, None, b"{}");
        let message = Message::parse(&bytes).unwrap();
        let refused = message.verify(&bob.cert);
        assert_eq!(refused, Err(MessageError::Signature(alice.id())));
        // Bob signs, but says that he is Alice.
        let forged = bob.message_as(alice.id(), MessageType::Proposal, 17, None, b"{}");
        let forged = Message::parse(&forged).unwrap();
        assert!(forged.verify(&alice.cert).is_err());
        assert!(forged.verify(&bob.cert).is_err());
    }

    #[test]
    fn no_changed_bit_leaves_a_message_that_verifies_with_another_meaning() {
        let alice = Signer::new("alice");
        let bytes = alice.message(MessageType::Withdrawal, 17, Some(Digest::ZERO), b"");
        let digest = Message::parse(&bytes).unwrap().digest();
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                let Ok(message) = Message::parse(&changed) else {
                    continue;
                };
                let same = message.digest() == digest;
                assert!(
                    message.verify(&alice.cert).is_err() || same,
                    "{place}.{bit}"
                );
            }
        }
    }

    #[test]
    fn a_header_that_is_missing_or_doubled_is_named() {
        let refused = |write: &dyn Fn(&mut Encoder<Vec<u8>>)| {
            let protected = encoded(|e| {
                write(e);
                Ok(())
            });
            let bytes = Draft {
                protected,
                payload: Vec::new(),
            }
            .signed(&[0; 96]);
            Message::parse(&bytes).unwrap_err().to_string()
        };
        let refusal = refused(&|e| {
            e.map(1).unwrap().i64(1).unwrap().i64(-35).unwrap();
        });
        assert!(refusal.contains("kid is missing"), "{refusal}");
        let refusal = refused(&|e| {
            e.map(2).unwrap().i64(1).unwrap().i64(-35).unwrap();
            e.i64(1).unwrap().i64(-35).unwrap();
        });
        assert!(refusal.contains("twice"), "{refusal}");
        let refusal = refused(&|e| {
            e.map(1).unwrap().i64(2).unwrap().array(0).unwrap();
        });
        assert!(refusal.contains("critical"), "{refusal}");
    }

    #[test]
    fn an_algorithm_that_is_not_ours_is_refused() {
        let bytes = {
            let protected = encoded(|e| {
                e.map(4)?.i64(1)?.i64(-36)?;
                e.i64(4)?.bytes(Digest::ZERO.to_string().as_bytes())?;
                e.str(TYPE)?.str("ack")?.str(CREATED_AT)?.u64(1)?;
                Ok(())
            });
            Draft {
                protected,
                payload: Vec::new(),
            }
            .signed(&[])
        };
        assert_eq!(Message::parse(&bytes), Err(MessageError::Algorithm(-36)));
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let bytes = vec![0; GOVERNANCE_MESSAGE_BYTES_MAX + 1];
        assert_eq!(Message::parse(&bytes), Err(MessageError::TooLong));
    }
}
