//! Comparing identifiers, and the patterns of EPC URNs that queries match by.

use std::borrow::Cow;

use crate::canonical;
use crate::digital_link::DigitalLink;
use crate::event_hash::Rules;
use crate::urn::{self, UrnError};

/// An identifier in the form in which two are compared: an EPC URN and a GS1 Digital Link of the
/// same thing give the same text; any other identifier is given back unchanged.
pub fn canonical_epc(text: &str) -> Cow<'_, str> {
    match canonical::identifier(text, Rules::Cbv2_0) {
        Some(uri) => Cow::Owned(uri),
        None => Cow::Borrowed(text),
    }
}

/// What a `MATCH_` parameter of a query looks for: one identifier, or all that an EPC pattern
/// covers (EPCIS 2.0 section 8.2.7.1.1; patterns are those of the EPC Tag Data Standard).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpcPattern {
    canonical: String,
    parts: Option<Parts>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    /// For example `sgtin`.
    scheme: String,
    /// Between the dots; `None` stands for `*`.
    parts: Vec<Option<String>>,
}

impl EpcPattern {
    /// Reads an identifier or a pattern such as `urn:epc:idpat:sgtin:4012345.*.*`. A wildcard may
    /// only be followed by wildcards.
    pub fn parse(text: &str) -> Result<Self, UrnError> {
        let mut pattern = Self {
            canonical: canonical_epc(text).into_owned(),
            parts: None,
        };
        let Some((scheme, body)) = idpat(text) else {
            if urn::is_gs1_urn(text) {
                urn::to_digital_link(text)?;
            }
            return Ok(pattern);
        };
        let parts: Vec<_> = body.split('.').collect();
        let first = parts.iter().position(|part| *part == "*");
        let ordered = match first {
            Some(first) => parts[first..].iter().all(|part| *part == "*"),
            None => false,
        };
        if !ordered || parts.len() > 5 {
            return Err(UrnError::Form {
                urn: text.chars().take(120).collect(),
                form: "a pattern that ends with .*",
            });
        }
        let part = |part: &str| (part != "*").then(|| part.to_owned());
        pattern.parts = Some(Parts {
            scheme: scheme.to_owned(),
            parts: parts.into_iter().map(part).collect(),
        });
        Ok(pattern)
    }

    /// Whether an identifier is the one that is looked for, or one that the pattern covers.
    pub fn matches(&self, epc: &str) -> bool {
        if canonical_epc(epc) == self.canonical.as_str() {
            return true;
        }
        let Some(wanted) = &self.parts else {
            return false;
        };
        let Some(urn) = wanted.urn_of(epc) else {
            return false;
        };
        let Some((scheme, body)) = named(&urn) else {
            return false;
        };
        let mut found = body.splitn(wanted.parts.len(), '.');
        scheme == wanted.scheme
            && wanted.parts.iter().all(|part| match (part, found.next()) {
                (Some(part), Some(found)) => part == found,
                (None, Some(_)) => true,
                (_, None) => false,
            })
    }
}

impl Parts {
    /// The URN of an identifier, split at the company prefix that the pattern has.
    fn urn_of<'a>(&self, epc: &'a str) -> Option<Cow<'a, str>> {
        if epc.starts_with("urn:") {
            return Some(Cow::Borrowed(epc));
        }
        let link = DigitalLink::read(epc, false).ok()?;
        // Without a company prefix nothing behind it is compared, so any length does.
        let prefix = self.parts.first()?.as_ref().map_or(7, String::len);
        urn::from_digital_link(&link, prefix).ok().map(Cow::Owned)
    }
}

fn idpat(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("urn:epc:idpat:")?.split_once(':')
}

/// Scheme and body of an EPC URN of an instance or class.
fn named(urn: &str) -> Option<(&str, &str)> {
    let rest = urn.strip_prefix("urn:epc:")?;
    let (kind, rest) = rest.split_once(':')?;
    matches!(kind, "id" | "idpat" | "class").then_some(())?;
    rest.split_once(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, epc: &str) -> bool {
        EpcPattern::parse(pattern).unwrap().matches(epc)
    }

    #[test]
    fn spellings_of_the_same_thing_are_equal() {
        let urn = "urn:epc:id:sgtin:4012345.012345.987";
        for other in [
            urn,
            "https://id.gs1.org/01/04012345123456/21/987",
            "https://brand.example/gtin/4012345123456/lot/A/ser/987?17=261231",
        ] {
            assert_eq!(canonical_epc(other), canonical_epc(urn));
            assert!(matches(urn, other) && matches(other, urn));
        }
        assert!(!matches(urn, "urn:epc:id:sgtin:4012345.012345.986"));
        assert!(matches("urn:uuid:1", "urn:uuid:1"));
    }

    #[test]
    fn patterns_cover_what_begins_alike() {
        let link = "https://brand.example/01/04012345123456/21/98.7";
        for (pattern, covered) in [
            ("urn:epc:idpat:sgtin:4012345.012345.*", true),
            ("urn:epc:idpat:sgtin:4012345.*.*", true),
            ("urn:epc:idpat:sgtin:*.*.*", true),
            ("urn:epc:idpat:sgtin:4012346.*.*", false),
            ("urn:epc:idpat:sscc:4012345.*", false),
        ] {
            assert_eq!(matches(pattern, link), covered, "{pattern}");
            let urn = "urn:epc:id:sgtin:4012345.012345.98.7";
            assert_eq!(matches(pattern, urn), covered, "{pattern}");
        }
        // A link does not tell its company prefix; a URN does.
        assert!(matches("urn:epc:idpat:sgtin:401234.*.*", link));
        assert!(!matches(
            "urn:epc:idpat:sgtin:401234.*.*",
            "urn:epc:id:sgtin:4012345.012345.98.7"
        ));
        assert!(matches(
            "urn:epc:idpat:sgtin:4012345.012345.*",
            "https://id.gs1.org/01/04012345123456"
        ));
    }

    #[test]
    fn patterns_that_are_none_are_refused() {
        for text in [
            "urn:epc:idpat:sgtin:4012345.*.7",
            "urn:epc:idpat:sgtin:4012345.012345.7",
            "urn:epc:id:sgtin:4012345.012345",
        ] {
            assert!(EpcPattern::parse(text).is_err(), "{text}");
        }
    }
}
