//! GS1 Digital Link URIs: a GS1 key in a web address (GS1 Digital Link, URI Syntax 1.2).
//!
//! `https://id.gs1.org/01/09521234543213/10/LOT-7?17=261231` names a lot of a trade item. The same
//! thing may be named under a brand's own domain, so two links are compared in canonical form.

use std::fmt;

use crate::charset::{escape, unescape};
use crate::key::{Key, Qualifier};
use crate::limits::MAX_URI_BYTES;

/// The beginning of a canonical GS1 Digital Link (GS1 Digital Link 1.2 section 4.11).
pub const CANONICAL_BASE: &str = "https://id.gs1.org";

/// A key with what makes it finer, read from or written as a web address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DigitalLink {
    key: Key,
    value: String,
    qualifiers: Vec<(Qualifier, String)>,
    attributes: Vec<(String, String)>,
}

/// Why a GS1 Digital Link was refused. Whoever wrote it mistyped it, or split a value wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It is no web address with a GS1 key in its path: use another kind of URI or add the key.
    #[error("`{0}` is not a GS1 Digital Link: expected https://domain/{{key}}/{{value}}")]
    NotALink(String),
    /// It is longer than any key needs.
    #[error("a GS1 Digital Link of {0} bytes is longer than {MAX_URI_BYTES}: shorten its path")]
    TooLong(usize),
    /// The value does not have the digits or characters of its key.
    #[error("`{value}` is not a value of ({ai}): {expected}")]
    Value {
        /// The application identifier.
        ai: &'static str,
        /// What was written, unescaped.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// The last digit does not fit the others: a digit is wrong somewhere.
    #[error("the check digit of ({ai}) `{value}` should be {right}: a digit was mistyped")]
    CheckDigit {
        /// The application identifier.
        ai: &'static str,
        /// What was written.
        value: String,
        /// The digit that would fit the others.
        right: char,
    },
    /// The key has no such qualifier, or it stands in the wrong place.
    #[error("({qualifier}) is not a qualifier of ({ai}) or stands after a finer one")]
    Qualifier {
        /// The application identifier of the key.
        ai: &'static str,
        /// That of the qualifier.
        qualifier: &'static str,
    },
}

impl DigitalLink {
    /// A link with a key alone. The check digit must be right.
    pub fn new(key: Key, value: &str) -> Result<Self, LinkError> {
        Ok(Self {
            key,
            value: key.value(value, true)?,
            qualifiers: Vec::new(),
            attributes: Vec::new(),
        })
    }

    /// Adds a qualifier, which must belong to the key and be finer than those before it.
    pub fn with(mut self, qualifier: Qualifier, value: &str) -> Result<Self, LinkError> {
        let order = self.key.qualifiers();
        let place = |wanted| order.iter().position(|known| *known == wanted);
        let last = self.qualifiers.last().map(|(last, _)| *last);
        // A third party's serial replaces the brand's lot and serial.
        let clashes = qualifier == Qualifier::ThirdPartySerial
            && matches!(last, Some(Qualifier::Lot | Qualifier::Serial));
        let after = place(qualifier) > last.and_then(place);
        if place(qualifier).is_none() || !after || clashes {
            return Err(LinkError::Qualifier {
                ai: self.key.ai(),
                qualifier: qualifier.ai(),
            });
        }
        self.qualifiers.push((qualifier, qualifier.value(value)?));
        Ok(self)
    }

    /// Reads a link on any domain. Short names such as `gtin` and `lot` are understood, a GTIN is
    /// filled up to 14 digits, and check digits must be right.
    ///
    /// ```
    /// use counterfoil_epcis::DigitalLink;
    /// let link = DigitalLink::parse("https://brand.example/p/gtin/9521234543213/lot/A%2F7?17=261231")?;
    /// assert_eq!(link.canonical(), "https://id.gs1.org/01/09521234543213/10/A%2F7?17=261231");
    /// assert_eq!(link.constrained(), "https://id.gs1.org/01/09521234543213/10/A%2F7");
    /// # Ok::<(), counterfoil_epcis::LinkError>(())
    /// ```
    pub fn parse(uri: &str) -> Result<Self, LinkError> {
        Self::read(uri, true)
    }

    /// [`parse`](Self::parse), and a wrong check digit is only refused if `check` says so.
    pub(crate) fn read(uri: &str, check: bool) -> Result<Self, LinkError> {
        if uri.len() > MAX_URI_BYTES {
            return Err(LinkError::TooLong(uri.len()));
        }
        let not_a_link = || LinkError::NotALink(uri.to_owned());
        let rest = uri
            .strip_prefix("https://")
            .or_else(|| uri.strip_prefix("http://"))
            .ok_or_else(not_a_link)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let segments: Vec<&str> = path.split('/').collect();
        let mut refused = None;
        // The first segment is the domain. A brand's path may have segments that look like a key.
        for at in 1..segments.len() {
            let Some(key) = Key::named(segments[at]) else {
                continue;
            };
            match Self::read_path(key, &segments[at + 1..], check) {
                Ok(mut link) => {
                    link.attributes = attributes(query).ok_or_else(not_a_link)?;
                    return Ok(link);
                }
                Err(error) => refused = refused.or(error),
            }
        }
        Err(refused.unwrap_or_else(not_a_link))
    }

    /// Reads what follows a key's segment; `None` if it does not have the form of a link.
    fn read_path(key: Key, segments: &[&str], check: bool) -> Result<Self, Option<LinkError>> {
        let (value, pairs) = segments.split_first().ok_or(None)?;
        if pairs.len() % 2 != 0 {
            return Err(None);
        }
        let mut link = Self {
            key,
            value: key.value(&unescape(value).ok_or(None)?, check)?,
            qualifiers: Vec::new(),
            attributes: Vec::new(),
        };
        for pair in pairs.chunks_exact(2) {
            let named = |known: &&Qualifier| pair[0] == known.ai() || pair[0] == known.alias();
            let qualifier = key.qualifiers().iter().find(named).ok_or(None)?;
            link = link.with(*qualifier, &unescape(pair[1]).ok_or(None)?)?;
        }
        Ok(link)
    }

    /// The key.
    pub fn key(&self) -> Key {
        self.key
    }

    /// The key's value, unescaped; a GTIN has 14 digits.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The value of a qualifier, unescaped.
    pub fn qualifier(&self, wanted: Qualifier) -> Option<&str> {
        let mut all = self.qualifiers.iter();
        all.find(|(qualifier, _)| *qualifier == wanted)
            .map(|(_, value)| value.as_str())
    }

    /// The attributes in the query string, for example `("17", "261231")` for an expiry date, in
    /// their order and unescaped.
    pub fn attributes(&self) -> &[(String, String)] {
        &self.attributes
    }

    /// The link under another domain and path, for example `https://brand.example/p`.
    pub fn under(&self, base: &str) -> String {
        let mut uri = base.trim_end_matches('/').to_owned();
        push(&mut uri, self.key.ai(), &self.value);
        for (qualifier, value) in &self.qualifiers {
            push(&mut uri, qualifier.ai(), value);
        }
        for (at, (name, value)) in self.attributes.iter().enumerate() {
            uri.push(if at == 0 { '?' } else { '&' });
            uri.push_str(&format!("{}={}", escape(name), escape(value)));
        }
        uri
    }

    /// The canonical form (GS1 Digital Link 1.2 section 4.11).
    pub fn canonical(&self) -> String {
        self.under(CANONICAL_BASE)
    }

    /// The canonical form without attributes, and with the finest qualifier alone: how CBV 2.0
    /// identifies things in an event hash, and how this crate compares them.
    pub fn constrained(&self) -> String {
        let mut uri = CANONICAL_BASE.to_owned();
        push(&mut uri, self.key.ai(), &self.value);
        let kept = |qualifier: &Qualifier| {
            !matches!(qualifier, Qualifier::Variant | Qualifier::ServiceInstance)
        };
        if let Some((qualifier, value)) = self.qualifiers.iter().rfind(|(q, _)| kept(q)) {
            push(&mut uri, qualifier.ai(), value);
        }
        uri
    }
}

impl fmt::Display for DigitalLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical())
    }
}

fn push(uri: &mut String, ai: &str, value: &str) {
    uri.push('/');
    uri.push_str(ai);
    uri.push('/');
    uri.push_str(&escape(value));
}

fn attributes(query: &str) -> Option<Vec<(String, String)>> {
    let pairs = query.split(['&', ';']).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescape(name)?.into_owned(), unescape(value)?.into_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOT: &str = "https://id.gs1.org/01/09521234543213/10/HASS-2022-000123";

    #[test]
    fn a_link_is_read_and_written_again() {
        let link = DigitalLink::parse(LOT).unwrap();
        assert_eq!((link.key(), link.value()), (Key::Gtin, "09521234543213"));
        assert_eq!(link.qualifier(Qualifier::Lot), Some("HASS-2022-000123"));
        assert_eq!(link.to_string(), LOT);
        let built = DigitalLink::new(Key::Gtin, "9521234543213").unwrap();
        assert_eq!(
            built.with(Qualifier::Lot, "HASS-2022-000123").unwrap(),
            link
        );
        assert_eq!(
            link.under("https://brand.example/id/"),
            "https://brand.example/id/01/09521234543213/10/HASS-2022-000123"
        );
    }

    #[test]
    fn only_the_finest_level_identifies() {
        for (uri, finest) in [
            (
                "/01/09521234543213/22/2A/10/AB/21/7",
                "/01/09521234543213/21/7",
            ),
            ("/01/09521234543213/22/2A", "/01/09521234543213"),
            ("/01/09521234543213/235/X", "/01/09521234543213/235/X"),
            (
                "/8018/952123451234567897/8019/1",
                "/8018/952123451234567897",
            ),
            (
                "/414/9521141111116/254/32a%2Fb",
                "/414/9521141111116/254/32a%2Fb",
            ),
        ] {
            let link = DigitalLink::read(&format!("http://a.example{uri}?x=1#y"), false).unwrap();
            assert_eq!(link.constrained(), format!("{CANONICAL_BASE}{finest}"));
        }
    }

    #[test]
    fn every_key_has_its_form() {
        for path in [
            "00/095212345678901234",
            "01/09521234543213",
            "253/9521141111116AB-1",
            "255/9521141111116123",
            "401/9521141ABC",
            "402/95211412345678908",
            "414/9521141111116",
            "417/9521141111116",
            "8003/09521141111116AX1",
            "8004/9521141A-7",
            "8006/095212345432130102",
            "8010/9521141A%23-%2F/8011/12",
            "8017/952123451234567897",
        ] {
            let uri = format!("{CANONICAL_BASE}/{path}");
            assert_eq!(DigitalLink::read(&uri, false).unwrap().canonical(), uri);
        }
    }

    #[test]
    fn a_wrong_digit_is_told_with_the_right_one() {
        let error = DigitalLink::parse("https://a.example/01/09521234543214").unwrap_err();
        assert!(matches!(error, LinkError::CheckDigit { right: '3', .. }));
        assert!(error.to_string().contains("should be 3"), "{error}");
    }

    #[test]
    fn what_is_no_link_is_refused() {
        for uri in [
            "",
            "https://",
            "urn:epc:id:sgtin:0614141.107346.2017",
            "https://a.example/po/123",
            "https://01/09521234543213",
            "https://a.example/01",
            "https://a.example/01/09521234543213/",
            "https://a.example/01/09521234543213/21/7/10/AB",
            "https://a.example/01/09521234543213/10/AB/235/7",
            "https://a.example/01/09521234543213/254/7",
            "https://a.example/01/09521234543213/21/%zz",
            "https://a.example/01/09521234543213/21/%C3%A9",
            "https://a.example/01/09521234543213/21/123456789012345678901",
            "https://a.example/414/952114111111",
        ] {
            assert!(DigitalLink::parse(uri).is_err(), "{uri}");
        }
        let long = format!("https://a.example/{}", "a".repeat(MAX_URI_BYTES));
        assert!(matches!(
            DigitalLink::parse(&long),
            Err(LinkError::TooLong(_))
        ));
    }

    #[test]
    fn a_path_that_looks_like_a_key_is_passed_over() {
        let uri = "https://a.example/01/shop/01/09521234543213/21/7";
        let link = DigitalLink::parse(uri).unwrap();
        assert_eq!(
            link.constrained(),
            "https://id.gs1.org/01/09521234543213/21/7"
        );
    }
}
