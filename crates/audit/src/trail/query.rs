//! Which events somebody wants to see: a Bitacora, page by page.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{PAGE_DEFAULT, PAGE_MAX};
use crate::model::{Event, Operation, RecordId, ResourceId, Text, Timestamp};

/// Which events, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// By whom.
    pub who: Option<Text>,
    /// Of which record.
    pub record: Option<RecordId>,
    /// About which resource.
    pub resource: Option<ResourceId>,
    /// How.
    pub how: Option<Operation>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// Older than what this stands for: the end of the page before.
    pub after: Option<Cursor>,
    /// How many at the most.
    pub limit: u32,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            who: None,
            record: None,
            resource: None,
            how: None,
            from: None,
            to: None,
            after: None,
            limit: PAGE_DEFAULT,
        }
    }
}

impl Filter {
    /// The same, with no more on a page than one holds.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.limit = self.limit.clamp(1, PAGE_MAX);
        self
    }
}

/// A place among all events, in the order of time. Written as text that fits into a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) at: Timestamp,
    pub(crate) version: u64,
    pub(crate) record: RecordId,
}

impl Cursor {
    /// The place of an event.
    pub fn of(event: &Event) -> Self {
        Self {
            at: event.when,
            version: event.version,
            record: event.record.clone(),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.at.millis(), self.version, self.record)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a place in a list is what the page before gave";
        let mut parts = text.splitn(3, '_');
        let mut next = || parts.next().ok_or(wrong);
        Ok(Self {
            at: next()?
                .parse()
                .ok()
                .and_then(Timestamp::from_millis)
                .ok_or(wrong)?,
            version: next()?.parse().map_err(|_| wrong)?,
            record: RecordId::parse(next()?).map_err(|_| wrong)?,
        })
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back() {
        let cursor = Cursor {
            at: Timestamp::from_millis(1_700_000_000_123).unwrap(),
            version: 3,
            record: RecordId::parse("a_b_c").unwrap(),
        };
        assert_eq!(cursor.to_string(), "1700000000123_3_a_b_c");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "1", "1_2", "1_2_", "x_1_a", "1_-1_a"] {
            text.parse::<Cursor>().unwrap_err();
        }
    }
}
