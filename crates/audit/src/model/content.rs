//! What a record holds, as a digest: canonical JSON (RFC 8785), a salt, SHA-256.
//!
//! ```text
//! hash = SHA-256("counterfoil.audit.content/1" || 00 || salt (32 bytes) || canonical JSON)
//! ```
//!
//! The salt keeps what can be guessed (a name, a birthday) from being found by its hash; whoever should be
//! able to check gets it with the answer. Forgetting data and salt leaves a hash that tells nothing.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use verify::Digest;

use crate::limits::{ALTERED_FIELDS_MAX, DATA_BYTES_MAX};

/// Separates these hashes from all others.
const DOMAIN: &[u8] = b"counterfoil.audit.content/1\0";

/// Why data cannot be a record's content: whoever sent it has to change it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// It is too much.
    #[error(
        "the data has {0} bytes as canonical JSON, more than {DATA_BYTES_MAX}: keep large data elsewhere and record its hash"
    )]
    TooLong(usize),
    /// It has no canonical form.
    #[error("the data has no canonical form: {0}")]
    Form(String),
}

/// Chance that belongs to one version of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 32]);

/// The digest of a record's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 32]);

/// A record's content in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content(String);

impl Content {
    /// The canonical form of some data.
    ///
    /// # Errors
    /// See [`ContentError`].
    pub fn of(data: &Value) -> Result<Self, ContentError> {
        let text = serde_json_canonicalizer::to_string(data);
        let text = text.map_err(|error| ContentError::Form(error.to_string()))?;
        if text.len() > DATA_BYTES_MAX {
            return Err(ContentError::TooLong(text.len()));
        }
        Ok(Self(text))
    }

    /// Its hash with a salt.
    pub fn hash(&self, salt: &Salt) -> ContentHash {
        let digest = Digest::of_parts(&[DOMAIN, &salt.0, self.0.as_bytes()]);
        ContentHash(digest.0)
    }

    /// The canonical JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, as a text of one's own.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Where two versions of data differ, as JSON pointers (RFC 6901) in the order of `kept`; an empty pointer
/// is the whole. No more than [`ALTERED_FIELDS_MAX`] are named.
pub fn altered(kept: &Value, given: &Value) -> Vec<String> {
    let mut fields = Vec::new();
    compare(Some(kept), Some(given), &mut String::new(), &mut fields);
    fields
}

/// What is missing is not null, which is a value like any other.
fn compare(kept: Option<&Value>, given: Option<&Value>, at: &mut String, fields: &mut Vec<String>) {
    if fields.len() >= ALTERED_FIELDS_MAX {
        return;
    }
    let length = at.len();
    let mut inside = |name: &str, kept: Option<&Value>, given: Option<&Value>| {
        at.push('/');
        at.push_str(&name.replace('~', "~0").replace('/', "~1"));
        compare(kept, given, at, fields);
        at.truncate(length);
    };
    match (kept, given) {
        (Some(Value::Object(kept)), Some(Value::Object(given))) => {
            for (name, value) in kept {
                inside(name, Some(value), given.get(name));
            }
            for (name, value) in given.iter().filter(|(name, _)| !kept.contains_key(*name)) {
                inside(name, None, Some(value));
            }
        }
        (Some(Value::Array(kept)), Some(Value::Array(given))) => {
            for index in 0..kept.len().max(given.len()) {
                inside(&index.to_string(), kept.get(index), given.get(index));
            }
        }
        (Some(kept), Some(given)) if same(kept, given) => {}
        _ => fields.push(at.clone()),
    }
}

/// As canonical JSON has it: `1` and `1.0` are one number.
fn same(one: &Value, other: &Value) -> bool {
    one == other
        || matches!((one, other), (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64())
}

/// Bytes that travel as `sha-256:` and hexadecimal digits, or as the digits alone.
impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

fn digits(text: &str) -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err("64 hexadecimal digits are needed".to_owned()),
    }
}

impl FromStr for ContentHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        digits(text).map(Self)
    }
}

impl FromStr for Salt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        digits(text).map(Self)
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}
as_text!(ContentHash);
as_text!(Salt);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SALT: Salt = Salt([7; 32]);

    fn hash(data: &Value) -> ContentHash {
        Content::of(data).unwrap().hash(&SALT)
    }

    #[test]
    fn the_order_of_names_and_the_spelling_of_numbers_do_not_count() {
        let one: Value = serde_json::from_str(r#"{"b": 1.0, "a": "\u00e9"}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a":"é","b":1}"#).unwrap();
        assert_eq!(Content::of(&one).unwrap().as_str(), r#"{"a":"é","b":1}"#);
        assert_eq!(hash(&one), hash(&other));
        assert!(altered(&one, &other).is_empty());
    }

    #[test]
    fn the_hash_is_what_the_page_says_it_is() {
        let expected = Digest::of_parts(&[
            b"counterfoil.audit.content/1",
            &[0],
            &[7; 32],
            br#"{"lot":7}"#,
        ]);
        assert_eq!(hash(&json!({"lot": 7})).0, expected.0);
    }

    #[test]
    fn another_salt_is_another_hash() {
        let content = Content::of(&json!(1)).unwrap();
        assert_ne!(content.hash(&SALT), content.hash(&Salt([8; 32])));
    }

    #[test]
    fn the_fields_that_differ_are_named() {
        let kept = json!({"a": 1, "b": {"c/d": [1, 2, 3], "e": null}, "f": "x"});
        let given = json!({"a": 1, "b": {"c/d": [1, 9], "g": 1}, "f": "y"});
        assert_eq!(
            altered(&kept, &given),
            ["/b/c~1d/1", "/b/c~1d/2", "/b/e", "/b/g", "/f"]
        );
        assert_eq!(altered(&json!(1), &json!([1])), [""]);
    }

    #[test]
    fn too_much_data_is_refused() {
        let much = json!("x".repeat(DATA_BYTES_MAX));
        let refused = Content::of(&much).unwrap_err();
        assert_eq!(refused, ContentError::TooLong(DATA_BYTES_MAX + 2));
    }

    #[test]
    fn no_more_fields_are_named_than_tell_something() {
        let kept: Value = (0..500).collect::<Vec<_>>().into();
        assert_eq!(altered(&kept, &json!([])).len(), ALTERED_FIELDS_MAX);
    }
}
