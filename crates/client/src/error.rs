//! What can go wrong with a call, who is to blame, and what became of a write.

use verify::TxId;

/// Why a call gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The client cannot be made from what it was given. Correct the address, the certificate or
    /// the credential.
    #[error("{0}")]
    Setup(String),
    /// No connection: nothing was sent, so nothing was recorded. Check the address, that the
    /// ledger runs, and that the service certificate is the right one.
    #[error("could not connect to {url}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The connection ended before the answer was there. A write may have been recorded or not;
    /// look for it before writing again.
    #[error("the connection ended before {url} had answered")]
    Interrupted {
        /// What was asked.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The ledger said no.
    #[error(transparent)]
    Refused(Refusal),
    /// The answer is not what the API promises. The server, or something in between, is to blame.
    #[error("the answer of {url} cannot be understood: {why}")]
    Unexpected {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The ledger did not become ready to answer in time. Ask again later.
    #[error("{url} still loads; giving up after {seconds} s")]
    StillLoading {
        /// What was asked.
        url: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The receipt proves nothing. Do not rely on this ledger's word: keep the receipt and ask its
    /// operator.
    #[error("the receipt of {transaction} does not hold")]
    Receipt {
        /// The transaction that the receipt is for.
        transaction: TxId,
        /// The rule that it breaks.
        source: verify::ReceiptError,
    },
    /// The receipt holds, but for something else than what was written. Do not rely on this
    /// ledger's word: keep the receipt and ask its operator.
    #[error("the receipt of {transaction} is not about the entry that was written")]
    OtherEntry {
        /// The transaction that the receipt is for.
        transaction: TxId,
    },
}

impl ClientError {
    /// The code that the ledger gave (`NotAllowed`, `InvalidTransactionId`, ...); `None` where
    /// the ledger did not answer.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }

    /// Whether a write that failed so may nevertheless be in the ledger.
    ///
    /// ```no_run
    /// use counterfoil_client::{Client, NewEntry};
    ///
    /// # async fn example(ledger: Client) {
    /// match ledger.append(&NewEntry::new("lot 7")).await {
    ///     Ok(recorded) => println!("{} is committed", recorded.id),
    ///     Err(error) if error.may_be_recorded() => println!("look for it first: {error}"),
    ///     Err(error) => println!("it is not recorded, write it again: {error}"),
    /// }
    /// # }
    /// ```
    pub fn may_be_recorded(&self) -> bool {
        match self {
            Self::Setup(_) | Self::Unreachable { .. } => false,
            Self::Refused(refusal) => refusal.status >= 500 && refusal.code != ROLLED_BACK,
            _ => true,
        }
    }
}

/// The code of a write that was dropped for certain.
const ROLLED_BACK: &str = "TransactionRolledBack";

/// The ledger's no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code}, HTTP {status})")]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Error code on the wire; `HttpError` where the answer had none.
    pub code: String,
    /// What the ledger says about it.
    pub message: String,
}

impl Refusal {
    /// Reads `{"error": {"code", "message"}}`; any other body becomes the message.
    pub(crate) fn read(status: u16, body: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Body {
            error: crate::model::ErrorBody,
        }
        match serde_json::from_slice::<Body>(body) {
            Ok(Body { error }) => Self {
                status,
                code: error.code,
                message: error.message,
            },
            Err(_) => {
                let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)]);
                let message = match text.trim() {
                    "" => "the answer has no text".to_owned(),
                    text => text.to_owned(),
                };
                Self {
                    status,
                    code: "HttpError".to_owned(),
                    message,
                }
            }
        }
    }
}

/// How much of a body that is not ours goes into a message.
const SHOWN_BYTES: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_the_code_of_the_wire() {
        let body = br#"{"error":{"code":"NotAllowed","message":"no","details":[]}}"#;
        let refusal = Refusal::read(403, body);
        assert_eq!(refusal.code, "NotAllowed");
        assert_eq!(refusal.to_string(), "no (NotAllowed, HTTP 403)");
        assert_eq!(ClientError::Refused(refusal).code(), Some("NotAllowed"));
    }

    #[test]
    fn a_body_of_somebody_else_becomes_the_message() {
        assert_eq!(Refusal::read(502, b" bad gateway\n").message, "bad gateway");
        assert_eq!(Refusal::read(502, b"").message, "the answer has no text");
    }

    #[test]
    fn only_a_certain_refusal_means_that_nothing_was_recorded() {
        let refused = |status, code: &str| {
            let (code, message) = (code.to_owned(), String::new());
            ClientError::Refused(Refusal {
                status,
                code,
                message,
            })
        };
        assert!(!refused(400, "InvalidInput").may_be_recorded());
        assert!(!refused(503, "TransactionRolledBack").may_be_recorded());
        assert!(refused(500, "InternalError").may_be_recorded());
        assert!(!ClientError::Setup(String::new()).may_be_recorded());
    }
}
