//! Whether a record is still what it was.

use serde::{Deserialize, Serialize};

/// What is said about data that somebody holds against the ledger. What it cannot say: that the data was
/// true when it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It is what was recorded: the ledger has its hash.
    Valid,
    /// It is not what was recorded.
    Altered {
        /// Where it differs, as JSON pointers, if the recorded data was kept to compare.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fields: Vec<String>,
    },
    /// Nothing was recorded under this name.
    Unknown,
    /// Something was, and it is not for this caller.
    NotPermitted,
    /// It is on its way to the ledger, and not committed yet.
    Pending,
}

impl Verdict {
    /// The word for it, as it is written.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Altered { .. } => "altered",
            Self::Unknown => "unknown",
            Self::NotPermitted => "not_permitted",
            Self::Pending => "pending",
        }
    }
}
