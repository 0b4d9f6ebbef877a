//! What prefixes mean: the part of a JSON-LD `@context` that events need (EPCIS 2.0 section 10.2).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{DocumentError, Problem};
use crate::limits::MAX_NAMESPACES;
use crate::words::{CBV, EPCIS, GS1};

/// Prefixes of the EPCIS 2.0.0 context itself, which every document has.
const STANDARD: [(&str, &str); 7] = [
    ("cbv", CBV),
    ("cbvmda", "urn:epcglobal:cbv:mda:"),
    ("dcterms", "http://purl.org/dc/terms/"),
    ("epcis", EPCIS),
    ("gs1", GS1),
    ("owl", "http://www.w3.org/2002/07/owl#"),
    ("rdfs", "http://www.w3.org/2000/01/rdf-schema#"),
];

/// The prefixes and terms that a document declares, and what they stand for.
///
/// The EPCIS context itself is known and never fetched; other contexts by address are ignored, so
/// that an event whose extensions need one is refused and not misread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    declared: BTreeMap<String, String>,
}

impl Namespaces {
    /// Declares a prefix, for example from the `GS1-Extensions` header of a request (EPCIS 2.0
    /// section 12.4). A later declaration replaces an earlier one.
    pub fn declare(&mut self, prefix: &str, namespace: &str) {
        self.declared
            .insert(prefix.to_owned(), namespace.to_owned());
    }

    /// What a prefix stands for.
    pub fn namespace(&self, prefix: &str) -> Option<&str> {
        let standard = || STANDARD.iter().find(|(known, _)| *known == prefix);
        let declared = self.declared.get(prefix).map(String::as_str);
        declared.or_else(|| standard().map(|(_, namespace)| *namespace))
    }

    /// These and those of a `@context`, which stands at `pointer`.
    pub(crate) fn and(&self, context: &Value, pointer: &str) -> Result<Self, DocumentError> {
        let mut all = self.clone();
        let parts = match context {
            Value::Array(parts) => parts.as_slice(),
            part => std::slice::from_ref(part),
        };
        for part in parts {
            match part {
                Value::String(_) | Value::Null => {}
                Value::Object(terms) => {
                    for (term, meaning) in terms {
                        let meaning = match meaning {
                            Value::Object(definition) => definition.get("@id"),
                            meaning => Some(meaning),
                        };
                        if let Some(Value::String(meaning)) = meaning {
                            all.declare(term, meaning);
                        }
                    }
                }
                _ => {
                    let problem = Problem::Expected("an address or an object of prefixes");
                    return Err(DocumentError::at(pointer, problem));
                }
            }
        }
        if all.declared.len() > MAX_NAMESPACES {
            let problem = Problem::TooMany {
                what: "prefixes",
                limit: MAX_NAMESPACES,
            };
            return Err(DocumentError::at(pointer, problem));
        }
        Ok(all)
    }

    /// Whether a field's name without a colon is a declared term.
    pub(crate) fn is_term(&self, name: &str) -> bool {
        self.declared.contains_key(name)
    }

    /// `prefix:name` as `{namespace}name`, how an event hash names extensions (CBV 2.0, Event Hash
    /// ID). `standard` says whether prefixes of the EPCIS context count too.
    pub(crate) fn expand_name<'a>(&self, name: &'a str, standard: bool) -> Cow<'a, str> {
        match self.resolve(name, standard) {
            Some((namespace, local)) => Cow::Owned(format!("{{{namespace}}}{local}")),
            None => Cow::Borrowed(name),
        }
    }

    /// `prefix:rest` as a whole URI; what has no declared prefix is given back unchanged.
    pub(crate) fn expand_value<'a>(&self, value: &'a str, standard: bool) -> Cow<'a, str> {
        match self.resolve(value, standard) {
            Some((namespace, local)) => Cow::Owned(format!("{namespace}{local}")),
            None => Cow::Borrowed(value),
        }
    }

    fn resolve<'a>(&self, text: &'a str, standard: bool) -> Option<(&str, &'a str)> {
        let (prefix, local) = text.split_once(':')?;
        let namespace = match standard {
            true => self.namespace(prefix)?,
            false => self.declared.get(prefix)?,
        };
        Some((namespace, local))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_every_form_of_context_are_known() {
        for text in [
            r#"{"ex":"https://ns.example.com/"}"#,
            r#"["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",{"ex":"https://ns.example.com/"}]"#,
            r#"[{"ex":{"@id":"https://ns.example.com/","@prefix":true}},null]"#,
        ] {
            let context = serde_json::from_str(text).unwrap();
            let names = Namespaces::default().and(&context, "").unwrap();
            assert_eq!(
                names.expand_name("ex:a", true),
                "{https://ns.example.com/}a"
            );
            assert_eq!(
                names.expand_value("ex:a:b", false),
                "https://ns.example.com/a:b"
            );
            assert_eq!(
                names.expand_value("gs1:Mass", true),
                "https://gs1.org/voc/Mass"
            );
            assert_eq!(names.expand_value("gs1:Mass", false), "gs1:Mass");
            assert_eq!(names.expand_value("urn:a:b", true), "urn:a:b");
        }
        assert!(
            Namespaces::default()
                .and(&Value::from(7), "/@context")
                .is_err()
        );
    }

    #[test]
    fn a_document_cannot_declare_without_end() {
        let many = (0..=MAX_NAMESPACES).map(|n| (format!("p{n}"), Value::from("urn:x:")));
        let context = Value::Object(many.collect());
        assert!(Namespaces::default().and(&context, "/@context").is_err());
    }
}
