//! Events whose transactions their participants sign.

use connector::{Presigned, PresignedError};
use http::StatusCode;

use super::abi::content_hash;
use super::document::{in_words, written_hash};
use super::{ChainLog, error};
use crate::Problem;
use crate::limits::SIGNED_DIGITS_MAX;
use crate::trail::log::{LogError, Outgoing, Recorded, ToSign};

impl ChainLog {
    /// The transaction that records an event, for its participant to sign.
    pub(super) async fn unsigned(&self, event: Outgoing<'_>) -> Result<ToSign, LogError> {
        let account = self.sending(event).await?.account;
        let call = self.call(event).await?;
        let to_sign = self.network.to_sign(account, &call).await;
        let to_sign = to_sign.map_err(error::of_outbox)?;
        Ok(ToSign {
            transaction: to_sign.fields(),
            unsigned: to_sign.encoded().to_string(),
            signing_hash: written_hash(to_sign.digest()),
            event_hash: written_hash(content_hash(event.text)),
        })
    }

    /// That what a participant signed records this event and nothing else, and can be sent now.
    pub(super) async fn may_be_sent(
        &self,
        sent: Outgoing<'_>,
        signed: &str,
    ) -> Result<(), LogError> {
        let presigned = self.presigned(sent, signed).await?;
        self.network.is_next(&presigned).await.map_err(refused)
    }

    /// Brings an event to the chain that is signed, and waits until it is final. `again`: it may be on its way.
    pub(super) async fn deliver(
        &self,
        sent: Outgoing<'_>,
        signed: &str,
        again: bool,
    ) -> Result<Recorded, LogError> {
        let presigned = self.presigned(sent, signed).await?;
        let settled = match again {
            true => self.network.deliver_again(&presigned).await,
            false => self.network.deliver(&presigned).await,
        };
        let receipt = settled.map_err(refused)?.receipt;
        self.recorded(sent.text, &receipt).await
    }

    /// Reads what somebody says a participant signed.
    async fn presigned(&self, sent: Outgoing<'_>, signed: &str) -> Result<Presigned, LogError> {
        let account = self.sending(sent).await?.account;
        let call = self.call(sent).await?;
        let bytes = bytes(signed).map_err(LogError::Told)?;
        let presigned = Presigned::decode(&bytes).map_err(refused)?;
        let chain = self.network.profile().chain_id;
        let checked = presigned.check(account, chain, &call);
        checked.map_err(refused)?;
        Ok(presigned)
    }
}

/// The bytes that somebody wrote as hexadecimal digits.
fn bytes(signed: &str) -> Result<Vec<u8>, Problem> {
    let no = || {
        let detail = format!(
            "send the signed transaction as 0x and at most {SIGNED_DIGITS_MAX} hexadecimal digits"
        );
        Problem::input(detail).at("/signed")
    };
    let digits = signed.strip_prefix("0x").ok_or_else(no)?;
    if digits.len() > SIGNED_DIGITS_MAX {
        return Err(no());
    }
    hex::decode(digits).map_err(|_| no())
}

/// What whoever signed is told, and what is to be tried again.
fn refused(error: PresignedError) -> LogError {
    use PresignedError as E;
    let why = in_words(&error);
    let problem = match error {
        E::TooLong(_) | E::Malformed(_) | E::Kind(_) | E::Signature => {
            Problem::input(why).at("/signed")
        }
        E::Altered(_) => {
            Problem::new(StatusCode::BAD_REQUEST, "AlteredTransaction", why).at("/signed")
        }
        E::Signer { .. } => Problem::new(StatusCode::FORBIDDEN, "WrongSigner", why).at("/signed"),
        E::NonceTooLow { .. } => Problem::conflict("NonceTooLow", why),
        E::NonceTooHigh { .. } => Problem::conflict("NonceTooHigh", why),
        E::Replaced(_) => Problem::conflict("NonceTooLow", format!("{why}: sign it again")),
        E::Refused(_) => Problem::conflict("TransactionRefused", why),
        E::Failed { hash, reason } => match error::refusal_in(&reason) {
            Some(problem) => problem,
            None => {
                let detail = format!(
                    "the transaction {hash} is on the chain and failed ({reason}): nothing was recorded. Sign it again \
                     with the next number, and with enough gas"
                );
                Problem::conflict("TransactionFailed", detail)
            }
        },
        E::Patience { .. } | E::Network(_) => return LogError::InDoubt(why),
    };
    LogError::Told(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: PresignedError) -> (u16, String) {
        match refused(error) {
            LogError::Told(problem) => (problem.status, problem.kind),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn digits_are_read_strictly_and_not_without_end() {
        assert_eq!(bytes("0x02ff").unwrap(), [2, 255]);
        let long = format!("0x{}", "0".repeat(SIGNED_DIGITS_MAX + 2));
        for wrong in ["", "02ff", "0x2", "0xzz", "0x02 ", &long] {
            let problem = bytes(wrong).unwrap_err();
            assert_eq!(problem.pointer.as_deref(), Some("/signed"), "{wrong:.9}");
        }
    }

    #[test]
    fn whoever_is_to_blame_is_told_and_a_chain_that_is_away_is_asked_again() {
        use PresignedError as E;
        let hash = alloy_primitives::B256::ZERO;
        let account = alloy_primitives::Address::ZERO;
        let failed = |reason: &str| E::Failed {
            hash,
            reason: reason.to_owned(),
        };
        let signer = E::Signer {
            found: account,
            wanted: account,
        };
        let not_owner = "execution reverted 0x245aecd3";
        for (error, status, kind) in [
            (E::Signature, 400, "InvalidInput"),
            (E::Altered("input"), 400, "AlteredTransaction"),
            (signer, 403, "WrongSigner"),
            (E::NonceTooLow { nonce: 1, next: 2 }, 409, "NonceTooLow"),
            (E::NonceTooHigh { nonce: 3, next: 2 }, 409, "NonceTooHigh"),
            (E::Replaced(1), 409, "NonceTooLow"),
            (failed("out of gas"), 409, "TransactionFailed"),
            (failed(not_owner), 403, "NotPermitted"),
        ] {
            assert_eq!(told(error), (status, kind.to_owned()));
        }
        let late = E::Patience {
            seconds: 1,
            last: String::new(),
        };
        assert!(matches!(refused(late), LogError::InDoubt(_)));
    }
}
