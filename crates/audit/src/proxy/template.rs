//! Texts with places in them that a request and its answer fill: `lot-{id}`, `lot:{request:/lot/code}`.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Why a text is no template: whoever wrote the rules has to change it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace is alone.
    #[error("{0:?} has a brace without its counterpart")]
    Brace(String),
    /// It asks for something that there is not.
    #[error(
        "{{{0}}} is none of {{name of a part of the path}}, {{request:/pointer}}, {{response:/pointer}}, {{query:name}} and {{header:name}}"
    )]
    Place(String),
}

/// A text with places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Path(String),
    Request(String),
    Response(String),
    Query(String),
    Header(HeaderName),
}

/// What places are filled from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filling<'a> {
    /// The parts of the path that the rule names.
    pub(super) path: &'a [(String, String)],
    /// The query.
    pub(super) query: &'a [(String, String)],
    /// The request's headers.
    pub(super) headers: &'a HeaderMap,
    /// The request's JSON; null where it has none.
    pub(super) request: &'a Value,
    /// The answer's JSON; null where it has none.
    pub(super) response: &'a Value,
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let alone = || TemplateError::Brace(text.to_owned());
            let (literal, from) = rest.split_at(open);
            let inside = from.strip_prefix('{').ok_or_else(alone)?;
            let (place, after) = inside.split_once('}').ok_or_else(alone)?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            pieces.push(Piece::parse(place)?);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        Ok(Self { pieces })
    }

    /// The parts of the path that it asks for.
    pub(super) fn path_parts(&self) -> BTreeSet<&str> {
        let parts = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Path(name) => Some(name.as_str()),
            _ => None,
        });
        parts.collect()
    }

    /// Whether it has to see the answer's body.
    pub(super) fn needs_response(&self) -> bool {
        let is_response = |piece: &Piece| matches!(piece, Piece::Response(_));
        self.pieces.iter().any(is_response)
    }

    /// Fills it.
    ///
    /// # Errors
    /// The place that nothing was found for.
    pub(super) fn fill(&self, from: Filling<'_>) -> Result<String, String> {
        let mut text = String::new();
        for piece in &self.pieces {
            let (found, place) = match piece {
                Piece::Literal(literal) => (Some(literal.clone()), String::new()),
                Piece::Path(name) => (named(from.path, name), name.clone()),
                Piece::Query(name) => (named(from.query, name), format!("query:{name}")),
                Piece::Request(at) => (scalar(from.request, at), format!("request:{at}")),
                Piece::Response(at) => (scalar(from.response, at), format!("response:{at}")),
                Piece::Header(name) => {
                    let value = from.headers.get(name).and_then(|value| value.to_str().ok());
                    (value.map(str::to_owned), format!("header:{name}"))
                }
            };
            text.push_str(&found.ok_or(place)?);
        }
        Ok(text)
    }
}

impl Piece {
    fn parse(place: &str) -> Result<Self, TemplateError> {
        let wrong = || TemplateError::Place(place.to_owned());
        let pointer = |at: &str| (at.is_empty() || at.starts_with('/')).then(|| at.to_owned());
        match place.split_once(':') {
            None if is_name(place) => Ok(Self::Path(place.to_owned())),
            Some(("request", at)) => pointer(at).map(Self::Request).ok_or_else(wrong),
            Some(("response", at)) => pointer(at).map(Self::Response).ok_or_else(wrong),
            Some(("query", name)) if !name.is_empty() => Ok(Self::Query(name.to_owned())),
            Some(("header", name)) => name.parse().map(Self::Header).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

/// Whether it can name a part of a path.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn named(pairs: &[(String, String)], name: &str) -> Option<String> {
    pairs
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.clone())
}

/// A value that has one obvious spelling as text.
fn scalar(value: &Value, at: &str) -> Option<String> {
    match value.pointer(at)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_filled_from_path_query_headers_and_both_bodies() {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", "ana".parse().unwrap());
        let pairs = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let filling = Filling {
            path: &pairs("id", "7"),
            query: &pairs("year", "2026"),
            headers: &headers,
            request: &json!({"a": {"b/c": [true]}}),
            response: &json!({"n": 1.5}),
        };
        let text = "x{id}-{query:year}/{header:X-User}:{request:/a/b~1c/0} {response:/n}";
        let template = Template::parse(text).unwrap();
        assert_eq!(template.fill(filling).unwrap(), "x7-2026/ana:true 1.5");
        assert!(template.needs_response());
        let missing = Template::parse("{request:/a}").unwrap().fill(filling);
        assert_eq!(missing.unwrap_err(), "request:/a");
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in [
            "{",
            "}",
            "a{b",
            "a}b{",
            "{}",
            "{a b}",
            "{request:x}",
            "{header:ä}",
            "{body:/a}",
        ] {
            Template::parse(text).unwrap_err();
        }
        assert_eq!(Template::parse("").unwrap().pieces, []);
    }
}
