//! What can be wrong with a document, where it is, and who has to act.

use crate::digital_link::LinkError;
use crate::urn::UrnError;

/// Why a document was not read. Whoever wrote the document has to correct it; sending it again
/// unchanged gives the same answer.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The text is longer than this crate reads: the sender should capture it in several documents.
    #[error(
        "the document has {found} bytes and at most {limit} are read: send its events in several documents"
    )]
    TooLong {
        /// Its length in bytes.
        found: usize,
        /// [`crate::limits::MAX_DOCUMENT_BYTES`].
        limit: usize,
    },
    /// The text is not JSON: the sender's serializer is at fault. Only the JSON-LD binding of
    /// EPCIS 2.0 is read, XML is not.
    #[error("the document is not JSON: send the JSON-LD form of EPCIS 2.0, in UTF-8")]
    Json(#[source] serde_json::Error),
    /// The JSON is not an EPCIS document or event: the sender should correct the named place.
    #[error("at {}: {problem}", shown(.pointer))]
    Invalid {
        /// The place, as an RFC 6901 JSON pointer into what was sent. Empty for the whole.
        pointer: String,
        /// What is wrong there.
        problem: Problem,
    },
}

/// What is wrong at one place of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A field is absent that the standard requires: add it.
    #[error("`{0}` is required here and is missing")]
    Missing(&'static str),
    /// One of several fields must be there: add one of them.
    #[error("one of {0} is required here, and not empty")]
    MissingOneOf(&'static str),
    /// The value is of another kind of JSON.
    #[error("expected {0}")]
    Expected(&'static str),
    /// The `type` is none of EPCIS 2.0.
    #[error(
        "`{0}` is not a type of EPCIS 2.0: use ObjectEvent, AggregationEvent, AssociationEvent, TransactionEvent or TransformationEvent, or a document of them"
    )]
    UnknownType(String),
    /// The document is of another version of the standard.
    #[error("`{0}` is not a schemaVersion that is read here: convert the document to 2.0")]
    Version(String),
    /// The value is not one of the words that the standard allows there.
    #[error("`{word}` is not {expected}")]
    UnknownWord {
        /// What was written.
        word: String,
        /// What the standard allows.
        expected: &'static str,
    },
    /// A time is not an `xsd:dateTimeStamp`.
    #[error("`{0}` is not a time with an offset, such as 2026-07-15T09:30:00.000+02:00")]
    Time(String),
    /// A time zone offset is not of the form `+hh:mm`.
    #[error("`{0}` is not an offset from UTC between -14:00 and +14:00, such as +02:00")]
    Offset(String),
    /// A GS1 Digital Link is malformed or its check digit is wrong: it was mistyped.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// An EPC URN is malformed: it was mistyped, or split at the wrong company prefix.
    #[error(transparent)]
    Urn(#[from] UrnError),
    /// An identifier is not a URI: write the URN or the GS1 Digital Link.
    #[error("`{0}` is not a URI: identify it by an EPC URN, a GS1 Digital Link or another URI")]
    NotUri(String),
    /// The standard has this field, and not in this type of event: it would say nothing.
    #[error("`{field}` is not a field of {event}: remove it or use the type of event that has it")]
    Misplaced {
        /// The field.
        field: String,
        /// The type of the event.
        event: &'static str,
    },
    /// A field is neither of the standard nor of a declared namespace.
    #[error(
        "`{0}` is not a field of the standard: give extensions a prefix and declare it in @context"
    )]
    UnknownField(String),
    /// A prefix has no meaning, so that nobody can tell whose extension it is.
    #[error("the prefix of `{0}` is not declared: add it to @context")]
    UndeclaredPrefix(String),
    /// More than this crate reads: split it.
    #[error("more than {limit} {what}: split it")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
}

impl DocumentError {
    pub(crate) fn at(pointer: &str, problem: impl Into<Problem>) -> Self {
        Self::Invalid {
            pointer: pointer.to_owned(),
            problem: problem.into(),
        }
    }

    /// The JSON pointer of the place, where there is one.
    pub fn pointer(&self) -> Option<&str> {
        match self {
            Self::Invalid { pointer, .. } => Some(pointer),
            _ => None,
        }
    }
}

fn shown(pointer: &str) -> &str {
    if pointer.is_empty() {
        "the top of the document"
    } else {
        pointer
    }
}

/// The pointer of a member of what `pointer` points to.
pub(crate) fn below(pointer: &str, member: impl std::fmt::Display) -> String {
    let member = member.to_string().replace('~', "~0").replace('/', "~1");
    format!("{pointer}/{member}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_place_and_what_to_do() {
        let error = DocumentError::at("/epcisBody/eventList/3", Problem::Missing("action"));
        assert_eq!(
            error.to_string(),
            "at /epcisBody/eventList/3: `action` is required here and is missing"
        );
        let error = DocumentError::at("", Problem::Expected("an object"));
        assert_eq!(
            error.to_string(),
            "at the top of the document: expected an object"
        );
    }

    #[test]
    fn pointers_escape_what_rfc_6901_escapes() {
        assert_eq!(below("/a", "x/y~z"), "/a/x~1y~0z");
    }
}
