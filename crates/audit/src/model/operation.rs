//! What was done to a record.

use std::fmt;

use http::Method;
use serde::{Deserialize, Serialize};

/// One of the four things that happen to records (the paper's *how*, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// A record begins: POST.
    Create,
    /// Somebody looked at it: GET.
    Read,
    /// It has a new version, and the old ones stay: PUT.
    Update,
    /// It counts no more. Nothing of its history goes: DELETE.
    Delete,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Create, Self::Read, Self::Update, Self::Delete];

    /// What a request with this method does, if it is one of the four.
    pub fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::POST => Some(Self::Create),
            Method::GET => Some(Self::Read),
            Method::PUT | Method::PATCH => Some(Self::Update),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }

    /// The word for it, as it is written everywhere.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// The operation that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.word() == word)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_the_four_operations() {
        assert_eq!(Operation::of(&Method::POST), Some(Operation::Create));
        assert_eq!(Operation::of(&Method::PATCH), Some(Operation::Update));
        assert_eq!(Operation::of(&Method::OPTIONS), None);
    }

    #[test]
    fn a_word_stands_for_one_operation() {
        for operation in Operation::ALL {
            assert_eq!(Operation::parse(operation.word()), Some(operation));
            let written = serde_json::to_string(&operation).unwrap();
            assert_eq!(written, format!("\"{operation}\""));
        }
        assert_eq!(Operation::parse("Create"), None);
    }
}
