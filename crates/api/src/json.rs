//! Reading bodies: an object is an object.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::error::ApiError;

/// A JSON object with the fields of `T`.
///
/// Serde's own structs are read from lists too, field after field: `["text"]` would be an entry, and
/// a client that mixed up two shapes would have recorded what it did not mean.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// Reads an object. Fields that are not known are ignored, as Azure's service does.
///
/// # Errors
/// It is not JSON, or not of the shape that `T` has; `what` says which that is.
pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T, ApiError> {
    read(bytes, what).map(|Object(value)| value)
}

/// Reads a list of objects; otherwise like [`parse`].
///
/// # Errors
/// As there.
pub(crate) fn parse_list<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    what: &str,
) -> Result<Vec<T>, ApiError> {
    let objects: Vec<Object<T>> = read(bytes, what)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::input(format!("The body is not {what}: {error}.")))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        text: Cow<'a, str>,
    }

    #[test]
    fn a_list_is_not_taken_for_an_object() {
        assert!(parse::<Body<'_>>(br#"["a"]"#, "a body").is_err());
        assert!(parse_list::<Body<'_>>(br#"[["a"]]"#, "bodies").is_err());
        assert!(serde_json::from_str::<Object<Body<'_>>>(r#"["a"]"#).is_err());
    }

    #[test]
    fn an_object_is_read_without_copying_and_other_fields_are_ignored() {
        let body: Body<'_> = parse(br#" {"more": [1], "text": "a"} "#, "a body").unwrap();
        assert!(matches!(body.text, Cow::Borrowed("a")));
        let list: Vec<Body<'_>> = parse_list(br#"[{"text": "a"}]"#, "bodies").unwrap();
        assert_eq!(list[0].text, "a");
    }
}
