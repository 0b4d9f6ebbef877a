//! Where a transaction stands in the ledger.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The reign of one leader. Views count from 2 in CCF's ledgers and so in ours; each election, and
/// each restart of a lone node, begins a new one.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct View(pub u64);

impl View {
    /// The view in which a service is created.
    pub const FIRST: Self = Self(2);

    /// The view after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A place in the ledger, from 1; 0 stands for "before the first entry".
///
/// The entry at seqno `n` is leaf `n` of the Merkle tree, because leaf 0 is a constant. So a tree
/// of size `n` covers seqnos 1 to `n - 1`, and that is what a signature entry at seqno `n` signs.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seqno(pub u64);

impl Seqno {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);
    /// The first entry.
    pub const FIRST: Self = Self(1);

    /// The place after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seqno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Names one transaction for ever: `view.seqno`, for example `2.17`.
///
/// Two transactions may share a seqno only if at most one of them was ever committed; the view
/// tells them apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TxId {
    /// The view in which it was executed.
    pub view: View,
    /// Its place.
    pub seqno: Seqno,
}

impl TxId {
    /// The transaction at `seqno` in `view`.
    pub const fn new(view: View, seqno: Seqno) -> Self {
        Self { view, seqno }
    }
}

/// The text is not a transaction id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a transaction id is VIEW.SEQNO in decimal without leading zeros, for example 2.17")]
pub struct NotATxId;

impl FromStr for TxId {
    type Err = NotATxId;

    fn from_str(text: &str) -> Result<Self, NotATxId> {
        let (view, seqno) = text.split_once('.').ok_or(NotATxId)?;
        Ok(Self {
            view: View(decimal(view)?),
            seqno: Seqno(decimal(seqno)?),
        })
    }
}

fn decimal(text: &str) -> Result<u64, NotATxId> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits_only || (text.len() > 1 && text.starts_with('0')) {
        return Err(NotATxId);
    }
    text.parse().map_err(|_| NotATxId)
}

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.view.0, self.seqno.0)
    }
}

impl Serialize for TxId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TxId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What has become of a transaction (CCF's four states).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TxStatus {
    /// This node has never heard of it; it may yet appear.
    Unknown,
    /// It has a place, but can still be lost.
    Pending,
    /// It can no longer be lost.
    Committed,
    /// Another transaction was committed in its place: it never will be.
    Invalid,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_id_is_read_as_it_is_written() {
        let id = TxId::new(View(2), Seqno(17));
        assert_eq!(id.to_string(), "2.17");
        assert_eq!("2.17".parse(), Ok(id));
    }

    #[test]
    fn a_transaction_id_in_any_other_spelling_is_refused() {
        for text in [
            "",
            "2",
            "2.",
            ".17",
            "2.17.3",
            "02.17",
            "2.017",
            "+2.17",
            "2.-1",
            "2,17",
            " 2.17",
            "2.99999999999999999999",
        ] {
            assert_eq!(text.parse::<TxId>(), Err(NotATxId), "{text:?}");
        }
    }
}
