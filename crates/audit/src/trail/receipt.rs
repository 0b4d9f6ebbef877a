//! A receipt as it is kept and handed on: JSON text that nobody has to read on the way.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A log's receipt, JSON. What it proves, [`EventLog::proven`](super::log::EventLog::proven) says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Receipt(Box<RawValue>);

impl Receipt {
    /// Text that is JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// A document as a receipt.
    ///
    /// # Panics
    /// It cannot be written as JSON: it has maps whose keys are no text.
    pub fn of(document: &impl Serialize) -> Self {
        Self(serde_json::value::to_raw_value(document).expect("a receipt is JSON"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Receipt {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Receipt {}
