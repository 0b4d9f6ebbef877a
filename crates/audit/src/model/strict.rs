//! JSON that means the same to every reader (I-JSON, RFC 7493): no name twice in an object, no number that
//! a double does not hold. A hash over anything else would bind different data for different readers.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

/// The greatest integer up to which doubles hold all: 2^53.
const WHOLE_MAX: u64 = 1 << 53;

/// From here on the canonical form of a number has an exponent (RFC 8785, section 3.2.2.3). Below it is digits alone,
/// which some read as an integer and others as a double.
const EXPONENT_FROM: f64 = 1e21;

/// Reads JSON text strictly.
///
/// # Errors
/// It is no JSON, is nested too deep, repeats a name, or has a number that not all readers read alike.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Strict>(text).map(|Strict(value)| value)
}

/// A JSON value that was read strictly.
#[derive(Debug, Clone, PartialEq)]
pub struct Strict(pub Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading).map(Self)
    }
}

#[derive(Clone, Copy)]
struct Reading;

impl<'de> DeserializeSeed<'de> for Reading {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        if value > WHOLE_MAX {
            return Err(E::custom(format_args!(
                "the number {value} is greater than 2^53: write it as text"
            )));
        }
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > WHOLE_MAX {
            return Err(E::custom(format_args!(
                "the number {value} is less than -2^53: write it as text"
            )));
        }
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let size = value.abs();
        if size > WHOLE_MAX as f64 && size < EXPONENT_FROM {
            return Err(E::custom(format_args!(
                "the number {value} is beyond 2^53: write it as text"
            )));
        }
        let number = Number::from_f64(value);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self)?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!(
                    "the name {name:?} stands twice in one object"
                )));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_read_is_read_again_from_its_canonical_form() {
        for text in [
            "9007199254740992.0",
            "1e21",
            "-6.02214076e23",
            "5e-324",
            "0.1",
        ] {
            let canonical = serde_json_canonicalizer::to_string(&parse(text.as_bytes()).unwrap());
            let canonical = canonical.unwrap();
            let again = parse(canonical.as_bytes()).unwrap();
            assert_eq!(
                serde_json_canonicalizer::to_string(&again).unwrap(),
                canonical,
                "{text}"
            );
        }
        // Digits alone, in whose last ones readers differ.
        for text in [
            "741711143432423423.10",
            "-1e16",
            "9.9e20",
            "100000000000000000000",
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("beyond 2^53"), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        let error = parse(br#"{"a": [{"b": 1, "b": 2}]}"#).unwrap_err();
        assert!(error.to_string().contains("\"b\" stands twice"), "{error}");
    }

    #[test]
    fn numbers_that_readers_read_differently_are_refused() {
        for text in ["9007199254740993", "-9007199254740993"] {
            parse(text.as_bytes()).unwrap_err();
        }
        assert_eq!(parse(b"9007199254740992").unwrap(), 9007199254740992_u64);
        assert_eq!(parse(b"1.5e3").unwrap(), 1500.0);
    }

    #[test]
    fn other_values_are_what_they_are() {
        let text = r#"{"a":[1,-2,0.5,true,null,"x"],"b":{}}"#;
        let value = parse(text.as_bytes()).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
    }
}
