//! Who did what, where, when and how: the unit of auditing, and the bytes of it that the ledger has.
//!
//! In the ledger an event is canonical JSON (RFC 8785), so it is the same bytes whoever writes it:
//!
//! ```json
//! {"how":"update","record":"lot-7","target":"","type":"counterfoil.audit.event/1","version":2,
//!  "what":{"about":[{"id":"lot:7"}],"did":"weigh","hash":"…"},"when":"2026-11-30T08:00:00.000Z",
//!  "where":"203.0.113.7","who":"ana@farm.example"}
//! ```

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use super::content::ContentHash;
use super::operation::Operation;
use crate::limits::{MENTIONS_MAX, RECORD_ID_BYTES_MAX, RESOURCE_ID_BYTES_MAX, TEXT_BYTES_MAX};

/// The kind of document, and its version.
const TYPE: &str = "counterfoil.audit.event/1";

/// Why something is no part of an event: whoever sent it has to change it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// A record's id has other characters, or too many.
    #[error(
        "a record's id has 1 to {RECORD_ID_BYTES_MAX} letters, digits and characters of \"-._~:\", and begins with a letter or digit"
    )]
    RecordId,
    /// A resource's id has other characters, or too many.
    #[error(
        "a resource's id has 1 to {RESOURCE_ID_BYTES_MAX} bytes of printable text without blanks"
    )]
    ResourceId,
    /// A text has control characters, or too much.
    #[error("a text about an event has at most {TEXT_BYTES_MAX} bytes, and no control characters")]
    Text,
    /// It is about too many.
    #[error("an event is about 1 to {MENTIONS_MAX} resources")]
    Mentions,
    /// It is not what this version writes.
    #[error("this is no event of the kind {TYPE}: {0}")]
    Form(String),
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $error:expr, $fits:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks it.
            ///
            /// # Errors
            /// It is not of the form that the type's description says.
            pub fn parse(text: impl Into<String>) -> Result<Self, EventError> {
                let text = text.into();
                let fits: fn(&str) -> bool = $fits;
                if fits(&text) { Ok(Self(text)) } else { Err($error) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

checked_text!(
    /// The name of a record: what has versions. Fits into a path.
    RecordId,
    EventError::RecordId,
    |text| {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let all = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
        first && text.len() <= RECORD_ID_BYTES_MAX && text.bytes().all(all)
    }
);

checked_text!(
    /// The name of a thing that events are about: a lot, a shipment, a patient's file; often a URI.
    ResourceId,
    EventError::ResourceId,
    |text| {
        let strange = |c: char| c.is_control() || c.is_whitespace();
        (1..=RESOURCE_ID_BYTES_MAX).contains(&text.len()) && !text.contains(strange)
    }
);

checked_text!(
    /// A short text about an event; an empty one says nothing.
    #[derive(Default)]
    Text,
    EventError::Text,
    |text| text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control)
);

/// In which part a resource is in an event, as EPCIS tells them apart.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The event is about it.
    #[default]
    About,
    /// It went into what came out.
    Input,
    /// It came out of what went in.
    Output,
    /// It holds the children.
    Parent,
    /// It is held by the parent.
    Child,
}

impl Part {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::About => "about",
            Self::Input => "input",
            Self::Output => "output",
            Self::Parent => "parent",
            Self::Child => "child",
        }
    }

    /// The part that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::About,
            Self::Input,
            Self::Output,
            Self::Parent,
            Self::Child,
        ]
        .into_iter()
        .find(|part| part.word() == word)
    }

    const fn is_about(&self) -> bool {
        matches!(self, Self::About)
    }
}

/// A resource that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mention {
    /// Which.
    pub id: ResourceId,
    /// In which part.
    #[serde(default, skip_serializing_if = "Part::is_about")]
    pub part: Part,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct What {
    /// To which resources, in the order in which they were named.
    pub about: Vec<Mention>,
    /// In the words of whoever did it; may be empty.
    #[serde(default)]
    pub did: Text,
    /// The hash of the record's content after it.
    pub hash: ContentHash,
}

/// Who did what, where, when and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The record.
    pub record: RecordId,
    /// Which of its versions this is, from 1.
    pub version: u64,
    /// How: the operation.
    pub how: Operation,
    /// Who: the user's id.
    pub who: Text,
    /// What.
    pub what: What,
    /// When the gateway took it.
    pub when: Timestamp,
    /// Where the request came from: an address, unless whoever sent it says a better word.
    #[serde(rename = "where")]
    pub place: Text,
    /// What it was aimed at; may be empty.
    #[serde(default)]
    pub target: Text,
}

/// An event as a ledger has it. The fields stand in the order of RFC 8785, and so do those of [`What`] and
/// [`Mention`]: written in their order, they are canonical.
#[derive(Serialize)]
struct Written<'a> {
    how: Operation,
    record: &'a RecordId,
    target: &'a Text,
    r#type: &'static str,
    version: u64,
    what: &'a What,
    when: Timestamp,
    r#where: &'a Text,
    who: &'a Text,
}

impl Event {
    /// The bytes that the ledger has.
    pub fn to_canonical(&self) -> String {
        let written = Written {
            how: self.how,
            record: &self.record,
            target: &self.target,
            r#type: TYPE,
            version: self.version,
            what: &self.what,
            when: self.when,
            r#where: &self.place,
            who: &self.who,
        };
        serde_json::to_string(&written).expect("texts and small numbers are JSON")
    }

    /// Reads what a ledger has.
    ///
    /// # Errors
    /// It is no event, or not in its canonical form: then somebody else wrote it.
    pub fn from_canonical(text: &str) -> Result<Self, EventError> {
        #[derive(Deserialize)]
        struct Read {
            how: Operation,
            record: RecordId,
            target: Text,
            version: u64,
            what: What,
            when: Timestamp,
            r#where: Text,
            who: Text,
        }
        let form = |error: serde_json::Error| EventError::Form(error.to_string());
        let read: Read = serde_json::from_str(text).map_err(form)?;
        let event = Self {
            record: read.record,
            version: read.version,
            how: read.how,
            who: read.who,
            what: read.what,
            when: read.when,
            place: read.r#where,
            target: read.target,
        };
        // Another type, and fields that no event has, are found by this too.
        if event.to_canonical() != text {
            return Err(EventError::Form(
                "it says another type, has other fields, or is not in canonical form".to_owned(),
            ));
        }
        Ok(event)
    }

    /// What no field can say by itself.
    ///
    /// # Errors
    /// It is about nothing, or about too much.
    pub fn check(&self) -> Result<(), EventError> {
        if (1..=MENTIONS_MAX).contains(&self.what.about.len()) {
            Ok(())
        } else {
            Err(EventError::Mentions)
        }
    }
}

impl Text {
    /// As much of a text as fits, without what does not: for what others wrote without knowing our rules.
    pub fn fitting(text: &str) -> Self {
        let mut kept: String = text.chars().filter(|c| !c.is_control()).collect();
        while kept.len() > TEXT_BYTES_MAX {
            kept.pop();
        }
        Self(kept)
    }
}

/// A moment, to the millisecond, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// So many milliseconds after the beginning of 1970; `None` outside the years 0 to 9999.
    pub fn from_millis(millis: i64) -> Option<Self> {
        let nanos = i128::from(millis) * 1_000_000;
        let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
        (0..=9999).contains(&time.year()).then_some(Self(millis))
    }

    /// Milliseconds after the beginning of 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339, in any time zone.
    pub fn parse(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let millis = time.to_offset(UtcOffset::UTC).unix_timestamp_nanos() / 1_000_000;
        Self::from_millis(i64::try_from(millis).ok()?)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0) * 1_000_000;
        let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| fmt::Error)?;
        let (date, clock) = (time.date(), time.time());
        let (hour, minute, second, milli) = clock.as_hms_milli();
        write!(f, "{date}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("a time is written as RFC 3339 says"))
    }
}

/// Milliseconds of a span of time, to be added to those of a [`Timestamp`]; the greatest number for a longer one.
pub(crate) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            record: RecordId::parse("lot-7").unwrap(),
            version: 2,
            how: Operation::Update,
            who: Text::parse("ana@farm.example").unwrap(),
            what: What {
                about: vec![
                    Mention {
                        id: ResourceId::parse("lot:7").unwrap(),
                        part: Part::About,
                    },
                    Mention {
                        id: ResourceId::parse("pallet:1").unwrap(),
                        part: Part::Parent,
                    },
                ],
                did: Text::parse("weigh").unwrap(),
                hash: ContentHash([1; 32]),
            },
            when: Timestamp::parse("2026-11-30T09:00:00.5+01:00").unwrap(),
            place: Text::parse("203.0.113.7").unwrap(),
            target: Text::default(),
        }
    }

    #[test]
    fn an_event_has_one_form() {
        let text = event().to_canonical();
        let hash = "01".repeat(32);
        assert_eq!(
            text,
            format!(
                r#"{{"how":"update","record":"lot-7","target":"","type":"counterfoil.audit.event/1","version":2,"what":{{"about":[{{"id":"lot:7"}},{{"id":"pallet:1","part":"parent"}}],"did":"weigh","hash":"{hash}"}},"when":"2026-11-30T08:00:00.500Z","where":"203.0.113.7","who":"ana@farm.example"}}"#
            )
        );
        assert_eq!(Event::from_canonical(&text), Ok(event()));
    }

    #[test]
    fn the_form_is_that_of_rfc_8785_whatever_the_texts_are() {
        let mut event = event();
        event.what.did = Text::fitting("\"\\/ é\u{7f}\u{2028}\u{1f951}<&>");
        let text = event.to_canonical();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json_canonicalizer::to_string(&read).unwrap(), text);
        assert_eq!(Event::from_canonical(&text), Ok(event));
    }

    #[test]
    fn what_is_written_otherwise_is_no_event() {
        let text = event().to_canonical();
        for other in [
            text.replace("\"version\":2", "\"version\": 2"),
            text.replace("event/1", "event/2"),
            text.replace("\"target\":\"\"", "\"target\":\"\",\"tip\":1"),
            text.replace("\"target\":\"\",", ""),
            text.replace("update", "destroy"),
            text[..text.len() - 1].to_owned(),
        ] {
            Event::from_canonical(&other).unwrap_err();
        }
    }

    #[test]
    fn names_that_would_not_fit_are_refused() {
        for id in [
            "",
            "-a",
            "a/b",
            "a b",
            "ü",
            &"x".repeat(RECORD_ID_BYTES_MAX + 1),
        ] {
            RecordId::parse(id).unwrap_err();
        }
        RecordId::parse("urn:uuid:1.2~3_4").unwrap();
        for id in ["", "a b", "a\n", &"x".repeat(RESOURCE_ID_BYTES_MAX + 1)] {
            ResourceId::parse(id).unwrap_err();
        }
        ResourceId::parse("https://id.gs1.org/01/09521234543213/10/HASS-22").unwrap();
        Text::parse("\u{7}").unwrap_err();
        assert_eq!(Text::fitting(&"é".repeat(200)).as_str().len(), 254);
    }

    #[test]
    fn times_are_utc_to_the_millisecond() {
        let time = Timestamp::parse("2026-02-28T23:59:59.9996-02:00").unwrap();
        assert_eq!(time.to_string(), "2026-03-01T01:59:59.999Z");
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        assert_eq!(Timestamp::from_millis(i64::MAX), None);
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn an_event_is_about_something() {
        let mut event = event();
        event.check().unwrap();
        event.what.about.clear();
        assert_eq!(event.check(), Err(EventError::Mentions));
    }
}
