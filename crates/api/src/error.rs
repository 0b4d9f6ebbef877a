//! What can go wrong, in the words of the wire: `{"error":{"code":...,"message":...}}`.
//!
//! Azure's clients send a POST again after 500, 503 and 504. So none of these may follow a write
//! that could be durable; 503 says that it certainly is not.

use std::borrow::Cow;

use http::StatusCode;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use ledger::Rejection;
use ledger::governance::Refusal;
use ledger::governance::message::MessageError;
use node::{ReadError, ShareError, SubmitError};
use serde::Serialize;
use verify::TxId;

use crate::answer::{self, Answer};

/// An error's name on the wire. CCF's names and Azure Confidential Ledger's where they have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    ApiVersionRedirect,
    AuthorizationFailed,
    CollectionCapacityExceeded,
    CollectionIdTooLong,
    Conflict,
    EntrySizeCapacityExceeded,
    FrontendNotOpen,
    InternalError,
    InvalidNodeState,
    InvalidQuote,
    InvalidAuthenticationInfo,
    InvalidCreatedAt,
    InvalidInput,
    InvalidQueryParameterValue,
    InvalidResourceName,
    InvalidTransactionId,
    MissingApiVersionParameter,
    NodeAlreadyRecovering,
    NotAllowed,
    NotImplemented,
    ProposalCreatedTooLongAgo,
    ProposalFailedToValidate,
    ProposalNotFound,
    ProposalNotOpen,
    ProposalReplay,
    RequestBodyTooLarge,
    RequestTimeout,
    PrimaryNotFound,
    ResourceNotFound,
    ServiceNotWaitingForRecoveryShares,
    SessionCapExhausted,
    StateDigestMismatch,
    StoppingService,
    TagCapacityExceeded,
    TooManyPendingTransactions,
    TransactionInvalid,
    TransactionPendingOrUnknown,
    TransactionReplicationFailed,
    UnsupportedApiVersionValue,
    UnsupportedContentType,
    UnsupportedHttpVerb,
    VoteAlreadyExists,
    VoteNotFound,
}

impl Code {
    /// Its name and the status it comes with.
    pub(crate) const fn wire(self) -> (&'static str, StatusCode) {
        match self {
            Self::ApiVersionRedirect => ("ApiVersionRedirect", StatusCode::BAD_REQUEST),
            Self::AuthorizationFailed => ("AuthorizationFailed", StatusCode::FORBIDDEN),
            Self::CollectionCapacityExceeded => {
                ("CollectionCapacityExceeded", StatusCode::BAD_REQUEST)
            }
            Self::CollectionIdTooLong => ("CollectionIdTooLong", StatusCode::BAD_REQUEST),
            Self::Conflict => ("Conflict", StatusCode::CONFLICT),
            Self::EntrySizeCapacityExceeded => {
                ("EntrySizeCapacityExceeded", StatusCode::BAD_REQUEST)
            }
            Self::FrontendNotOpen => ("FrontendNotOpen", StatusCode::SERVICE_UNAVAILABLE),
            Self::NodeAlreadyRecovering => ("NodeAlreadyRecovering", StatusCode::FORBIDDEN),
            Self::ServiceNotWaitingForRecoveryShares => {
                ("ServiceNotWaitingForRecoveryShares", StatusCode::FORBIDDEN)
            }
            Self::InternalError => ("InternalError", StatusCode::INTERNAL_SERVER_ERROR),
            Self::InvalidAuthenticationInfo => {
                ("InvalidAuthenticationInfo", StatusCode::UNAUTHORIZED)
            }
            Self::InvalidCreatedAt => ("InvalidCreatedAt", StatusCode::BAD_REQUEST),
            Self::InvalidInput => ("InvalidInput", StatusCode::BAD_REQUEST),
            Self::InvalidQueryParameterValue => {
                ("InvalidQueryParameterValue", StatusCode::BAD_REQUEST)
            }
            Self::InvalidResourceName => ("InvalidResourceName", StatusCode::BAD_REQUEST),
            Self::InvalidTransactionId => ("InvalidTransactionId", StatusCode::BAD_REQUEST),
            Self::MissingApiVersionParameter => {
                ("MissingApiVersionParameter", StatusCode::BAD_REQUEST)
            }
            Self::NotAllowed => ("NotAllowed", StatusCode::FORBIDDEN),
            Self::NotImplemented => ("NotImplemented", StatusCode::BAD_REQUEST),
            Self::ProposalCreatedTooLongAgo => {
                ("ProposalCreatedTooLongAgo", StatusCode::BAD_REQUEST)
            }
            Self::ProposalFailedToValidate => ("ProposalFailedToValidate", StatusCode::BAD_REQUEST),
            Self::ProposalNotFound => ("ProposalNotFound", StatusCode::NOT_FOUND),
            Self::ProposalNotOpen => ("ProposalNotOpen", StatusCode::BAD_REQUEST),
            Self::ProposalReplay => ("ProposalReplay", StatusCode::BAD_REQUEST),
            Self::RequestBodyTooLarge => ("RequestBodyTooLarge", StatusCode::PAYLOAD_TOO_LARGE),
            Self::RequestTimeout => ("RequestTimeout", StatusCode::REQUEST_TIMEOUT),
            Self::InvalidNodeState => ("InvalidNodeState", StatusCode::BAD_REQUEST),
            Self::InvalidQuote => ("InvalidQuote", StatusCode::UNAUTHORIZED),
            Self::PrimaryNotFound => ("PrimaryNotFound", StatusCode::SERVICE_UNAVAILABLE),
            Self::TransactionReplicationFailed => {
                ("TransactionReplicationFailed", StatusCode::BAD_GATEWAY)
            }
            Self::ResourceNotFound => ("ResourceNotFound", StatusCode::NOT_FOUND),
            Self::SessionCapExhausted => ("SessionCapExhausted", StatusCode::SERVICE_UNAVAILABLE),
            Self::StateDigestMismatch => ("StateDigestMismatch", StatusCode::BAD_REQUEST),
            Self::StoppingService => ("StoppingService", StatusCode::SERVICE_UNAVAILABLE),
            Self::TagCapacityExceeded => ("TagCapacityExceeded", StatusCode::BAD_REQUEST),
            Self::TooManyPendingTransactions => {
                ("TooManyPendingTransactions", StatusCode::TOO_MANY_REQUESTS)
            }
            Self::TransactionInvalid => ("TransactionInvalid", StatusCode::NOT_FOUND),
            Self::TransactionPendingOrUnknown => {
                ("TransactionPendingOrUnknown", StatusCode::NOT_FOUND)
            }
            Self::UnsupportedApiVersionValue => {
                ("UnsupportedApiVersionValue", StatusCode::BAD_REQUEST)
            }
            Self::UnsupportedContentType => {
                ("UnsupportedContentType", StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::UnsupportedHttpVerb => ("UnsupportedHttpVerb", StatusCode::METHOD_NOT_ALLOWED),
            Self::VoteAlreadyExists => ("VoteAlreadyExists", StatusCode::BAD_REQUEST),
            Self::VoteNotFound => ("VoteNotFound", StatusCode::NOT_FOUND),
        }
    }
}

/// Why a request failed: who is to blame is in the status, what to do in the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    /// Its name.
    pub(crate) code: Code,
    /// In words.
    pub(crate) message: Cow<'static, str>,
    retry_after_secs: Option<u64>,
    allow: Option<String>,
    /// The transaction that it is about.
    transaction: Option<TxId>,
}

/// An error as it stands in a body, under `error`.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorBody<'a> {
    error: NamedError<'a>,
}

#[derive(Debug, Serialize)]
struct NamedError<'a> {
    code: &'static str,
    message: &'a str,
}

impl ApiError {
    /// An error and its words.
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after_secs: None,
            allow: None,
            transaction: None,
        }
    }

    /// The request's body cannot be.
    pub(crate) fn input(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidInput, message)
    }

    /// A query parameter cannot be.
    pub(crate) fn query(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidQueryParameterValue, message)
    }

    /// The ledger is being taken up after a disaster.
    pub(crate) fn recovering() -> Self {
        Self::new(
            Code::FrontendNotOpen,
            "The ledger is being recovered from a disaster: entries can be read and written when \
             enough members have given their recovery shares.",
        )
    }

    /// It is not there.
    pub(crate) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::ResourceNotFound, message)
    }

    /// We do not know who is calling.
    pub(crate) fn unauthenticated(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidAuthenticationInfo, message)
    }

    /// The path exists, but not with this method.
    pub(crate) fn wrong_method(allow: String) -> Self {
        let message = format!("This path takes {allow}.");
        Self {
            allow: Some(allow),
            ..Self::new(Code::UnsupportedHttpVerb, message)
        }
    }

    /// Nobody leads just now; nothing was recorded.
    pub(crate) fn no_leader() -> Self {
        Self {
            retry_after_secs: Some(1),
            ..Self::new(
                Code::PrimaryNotFound,
                "No node leads just now; nothing was recorded. Try again in a moment.",
            )
        }
    }

    /// A write was passed on to the leader, which did not answer.
    pub(crate) fn no_answer() -> Self {
        Self::new(
            Code::TransactionReplicationFailed,
            "The leader did not answer; whether this is recorded is not known. With the header \
             Idempotency-Key it could be sent again and be recorded once.",
        )
    }

    /// The bytes are damaged on our side. The details are for the operator only.
    pub(crate) fn internal(what: &'static str, source: &dyn std::error::Error) -> Self {
        tracing::error!(what, error = %chain(source), "a request failed on our side");
        Self::new(
            Code::InternalError,
            format!("{what} failed; the operator's log says why."),
        )
    }

    /// As it stands in a body.
    pub(crate) fn body(&self) -> ErrorBody<'_> {
        ErrorBody {
            error: NamedError {
                code: self.code.wire().0,
                message: &self.message,
            },
        }
    }

    /// The whole answer.
    pub(crate) fn into_answer(self) -> Answer {
        let mut answer = answer::json(&self.body());
        *answer.status_mut() = self.code.wire().1;
        let headers = answer.headers_mut();
        if let Some(seconds) = self.retry_after_secs {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(allow) = self
            .allow
            .and_then(|allow| HeaderValue::try_from(allow).ok())
        {
            headers.insert(ALLOW, allow);
        }
        if let Some(id) = self.transaction {
            answer = answer::with_transaction(answer, id);
        }
        let headers = answer.headers_mut();
        match self.code {
            Code::InvalidAuthenticationInfo => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Code::TransactionPendingOrUnknown => {
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            }
            Code::SessionCapExhausted => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        answer
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        let code = match rejection {
            Rejection::CollectionCapacityExceeded { .. } => Code::CollectionCapacityExceeded,
            Rejection::CollectionIdTooLong { .. } => Code::CollectionIdTooLong,
            Rejection::EntrySizeCapacityExceeded { .. } => Code::EntrySizeCapacityExceeded,
            Rejection::TagCapacityExceeded { .. } => Code::TagCapacityExceeded,
            Rejection::InvalidInput(_) => Code::InvalidInput,
            Rejection::NotFound(_) => Code::ResourceNotFound,
            Rejection::Conflict(_) | Rejection::Repeated(_) => Code::Conflict,
            Rejection::Governance(refusal) => return refusal.into(),
        };
        Self::new(code, rejection.to_string())
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::NotAMember(_) => Code::InvalidAuthenticationInfo,
            Refusal::NotActive(_) | Refusal::NotTheProposer { .. } | Refusal::NoStateDigest(_) => {
                Code::AuthorizationFailed
            }
            Refusal::ProposalNotFound(_) => Code::ProposalNotFound,
            Refusal::ProposalNotOpen { .. } => Code::ProposalNotOpen,
            Refusal::ProposalReplay(_) => Code::ProposalReplay,
            Refusal::CreatedTooLongAgo { .. } => Code::ProposalCreatedTooLongAgo,
            Refusal::InvalidCreatedAt(_) => Code::InvalidCreatedAt,
            Refusal::FailedToValidate(_) => Code::ProposalFailedToValidate,
            Refusal::TooManyOpen(_) => Code::Conflict,
            Refusal::VoteAlreadyExists(_) => Code::VoteAlreadyExists,
            Refusal::StateDigestMismatch { .. } => Code::StateDigestMismatch,
            Refusal::BallotUnreadable | Refusal::Unreadable(_) => Code::InvalidInput,
        };
        Self::new(code, sentence(&refusal))
    }
}

/// What a member sent is no message, or nobody signed it who is a member.
impl From<MessageError> for ApiError {
    fn from(error: MessageError) -> Self {
        let code = match error {
            MessageError::TooLong => Code::RequestBodyTooLarge,
            _ => Code::InvalidAuthenticationInfo,
        };
        Self::new(code, sentence(&error))
    }
}

/// The words of an error with a capital and a full stop, as all of ours have.
fn sentence(error: &dyn std::error::Error) -> String {
    let words = error.to_string();
    let mut characters = words.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).chain(['.']).collect()
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Busy { retry_after_secs } => Self {
                retry_after_secs: Some(retry_after_secs),
                ..Self::new(
                    Code::TooManyPendingTransactions,
                    "Too many writes are waiting; nothing was recorded. Try again later.",
                )
            },
            SubmitError::Stopping => Self {
                retry_after_secs: Some(1),
                ..Self::new(
                    Code::StoppingService,
                    "The node is stopping; nothing was recorded.",
                )
            },
            SubmitError::NotLeading | SubmitError::Lost => Self::no_leader(),
            SubmitError::InDoubt { id } => Self {
                transaction: Some(id),
                ..Self::new(
                    Code::TransactionReplicationFailed,
                    format!(
                        "The leader changed; whether transaction {id} is recorded is not known yet. \
                         Ask for its status until it is Committed or Invalid, and send it again only \
                         if it is Invalid."
                    ),
                )
            },
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unknown(id) | ReadError::Pending(id) => unknown(id),
            ReadError::Invalid(id) => invalid(id),
            ReadError::NotAnEntry(id) => {
                Self::not_found(format!("Transaction {id} has no entry of that collection."))
            }
            ReadError::NoSuchCollection(collection) => Self::not_found(format!(
                "There is no collection {collection:?} with entries."
            )),
            ReadError::NotRecovered(_) => Self::recovering(),
            damaged => Self::internal("Reading the ledger", &damaged),
        }
    }
}

impl From<ShareError> for ApiError {
    fn from(error: ShareError) -> Self {
        let message = error.to_string();
        match error {
            ShareError::NotWaiting => Self::new(Code::ServiceNotWaitingForRecoveryShares, message),
            ShareError::Recovering => Self::new(Code::NodeAlreadyRecovering, message),
            ShareError::NoShare(_) => Self::not_found(message),
            ShareError::WrongShare(_) => Self::new(Code::InvalidInput, message),
            ShareError::Submit(error) => error.into(),
            ShareError::Rejected(rejection) => rejection.into(),
        }
    }
}

/// Nobody here has heard of the transaction, or it is not committed yet.
pub(crate) fn unknown(id: TxId) -> ApiError {
    let message = format!("Transaction {id} is pending or unknown. Ask again later.");
    ApiError::new(Code::TransactionPendingOrUnknown, message)
}

/// The transaction will never be.
pub(crate) fn invalid(id: TxId) -> ApiError {
    let message = format!("Transaction {id} is invalid: another was committed in its place.");
    ApiError::new(Code::TransactionInvalid, message)
}

/// An error and what caused it, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_node_answers_429_with_the_time_to_wait() {
        let answer = ApiError::from(SubmitError::Busy {
            retry_after_secs: 3,
        })
        .into_answer();
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()[RETRY_AFTER], "3");
    }

    #[test]
    fn limits_are_named_as_azure_names_them() {
        let error = ApiError::from(Rejection::EntrySizeCapacityExceeded {
            length: 9000,
            limit: 8192,
        });
        assert_eq!(error.code.wire().0, "EntrySizeCapacityExceeded");
        assert_eq!(
            error.message,
            "Entry contents of 9000 bytes exceed the limit of 8192 bytes."
        );
        assert_eq!(error.into_answer().status(), 400);
    }
}
