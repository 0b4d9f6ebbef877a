//! A member's request as a transaction.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use verify::{Cert, Digest};

use super::members::{self, MemberId, Status};
use super::message::{Message, MessageError, MessageType};
use super::refusal::Refusal;
use super::{json, proposals};
use crate::kv::{Rejection, Transaction, Tx};
use crate::tables::COSE_HISTORY;

/// A message whose signature was checked: it can be run.
///
/// That its signer still is a member, and may do this, is checked when it runs.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    message: Message,
    bytes: Vec<u8>,
}

impl SignedRequest {
    /// Reads a message and checks its signature. `cert_of` finds a member's certificate.
    ///
    /// # Errors
    /// The bytes are no message, or not one that its signer signed; a signer without a certificate
    /// is no member.
    pub fn verify(
        bytes: &[u8],
        cert_of: impl FnOnce(&MemberId) -> Option<Cert>,
    ) -> Result<Self, MessageError> {
        let message = Message::parse(bytes)?;
        let cert = cert_of(&message.signer).ok_or(MessageError::Stranger(message.signer))?;
        message.verify(&cert)?;
        Ok(Self {
            message,
            bytes: bytes.to_vec(),
        })
    }

    /// What was signed.
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// Who signed.
    pub const fn signer(&self) -> MemberId {
        self.message.signer
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.message.payload
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn act(&self, tx: &mut Tx<'_>) -> Result<(), Refusal> {
        let signer = self.signer();
        let member = members::read(tx, &signer).ok_or(Refusal::NotAMember(signer))?;
        let governs = || match member.status {
            Status::Active => Ok(()),
            Status::Accepted => Err(Refusal::NotActive(signer)),
        };
        match self.message.kind {
            MessageType::Proposal => governs().and_then(|()| proposals::create(tx, self)),
            MessageType::Ballot => governs().and_then(|()| proposals::vote(tx, self)),
            MessageType::Withdrawal => governs().and_then(|()| proposals::withdraw(tx, self)),
            MessageType::Ack => members::acknowledge(tx, self),
            MessageType::StateDigest => {
                members::update_state_digest(tx, self);
                Ok(())
            }
            MessageType::RecoveryShare | MessageType::EncryptedRecoveryShare => Err(
                Refusal::Unreadable("the ledger is not being recovered; it takes no shares"),
            ),
        }
    }
}

impl Transaction for SignedRequest {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        self.act(tx)?;
        // Each row is written over by the member's next message; the ledger keeps them all.
        let signed = json(&STANDARD.encode(&self.bytes));
        tx.put(COSE_HISTORY, self.signer().to_string().as_bytes(), signed);
        Ok(Digest::ZERO)
    }
}
