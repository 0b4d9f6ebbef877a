//! Rule: the shapes in all our OpenAPI documents are said in the same few words, and none says more than they can.
//!
//! Pure functions: no I/O, no clock, no randomness, no threads, no async.

use serde_json::{Map, Value, json};

/// The schema of an object by its fields, separated by blanks: those that are always there come before a `?`,
/// others after. `name` is text, `name:#` a number, `name:?` yes or no, `name:[]` a list of texts, `name:X` and
/// `name:[X]` are other schemas.
///
/// ```
/// let lot = openapi::object("id weight:# owner:User ? labels:[]");
/// assert_eq!(lot["required"], serde_json::json!(["id", "weight", "owner"]));
/// assert_eq!(lot["properties"]["owner"], openapi::reference("User"));
/// ```
pub fn object(fields: &str) -> Value {
    let mut words = fields.split_whitespace();
    let always: Vec<_> = words.by_ref().take_while(|word| *word != "?").collect();
    let required: Vec<_> = always.iter().map(|field| name(field)).collect();
    let properties: Map<_, _> = always
        .iter()
        .copied()
        .chain(words)
        .map(|field| (name(field).to_owned(), schema(field)))
        .collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

/// A schema by its name.
pub fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn name(field: &str) -> &str {
    field.split(':').next().unwrap_or(field)
}

fn schema(field: &str) -> Value {
    let list = |items: Value| json!({ "type": "array", "items": items });
    let text = || json!({ "type": "string" });
    match field.split_once(':').map(|(_, kind)| kind) {
        None => text(),
        Some("#") => json!({ "type": "integer", "minimum": 0 }),
        Some("?") => json!({ "type": "boolean" }),
        Some("[]") => list(text()),
        Some(kind) => match kind
            .strip_prefix('[')
            .and_then(|kind| kind.strip_suffix(']'))
        {
            Some(item) => list(reference(item)),
            None => reference(kind),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_a_schema_of_its_own() {
        let all = object("a b:# c:? d:[] ? e:X f:[X]");
        assert_eq!(all["type"], "object");
        assert_eq!(all["required"], json!(["a", "b", "c", "d"]));
        for (name, schema) in [
            ("a", json!({ "type": "string" })),
            ("b", json!({ "type": "integer", "minimum": 0 })),
            ("c", json!({ "type": "boolean" })),
            (
                "d",
                json!({ "type": "array", "items": { "type": "string" } }),
            ),
            ("e", json!({ "$ref": "#/components/schemas/X" })),
            (
                "f",
                json!({ "type": "array", "items": { "$ref": "#/components/schemas/X" } }),
            ),
        ] {
            assert_eq!(all["properties"][name], schema, "{name}");
        }
    }

    #[test]
    fn all_fields_or_none_may_be_missing() {
        assert_eq!(object("? a b")["required"], json!([]));
        assert_eq!(object("a b")["required"], json!(["a", "b"]));
    }
}
