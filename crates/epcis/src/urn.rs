//! EPC URNs and the GS1 Digital Links that name the same things (GS1 EPC Tag Data Standard 2.0
//! section 6.3; conversion as CBV 2.0 and GS1 Digital Link 1.2 section 4.11 ask for it).
//!
//! A URN splits a number at the company prefix and leaves the check digit out; a link has the
//! number whole. So the way back needs the length of the prefix, which no link tells.

use crate::charset::{is_digits, unescape};
use crate::digital_link::{DigitalLink, LinkError};
use crate::key::{Key, Qualifier, check_digit};
use crate::limits::MAX_URI_BYTES;

/// Why an EPC URN was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrnError {
    /// It is no `urn:epc:id`, `class` or `idpat` of a scheme with a GS1 key.
    #[error("`{0}` is not an EPC URN of a GS1 key")]
    NotAKey(String),
    /// The scheme is known, and the rest does not have its form: it was mistyped or split at the
    /// wrong place.
    #[error("`{urn}` should be {form}, with a company prefix of 6 to 12 digits")]
    Form {
        /// What was written.
        urn: String,
        /// What is expected.
        form: &'static str,
    },
    /// A serial number or reference has characters that its key does not allow.
    #[error("`{urn}` is not a key of GS1")]
    Key {
        /// What was written.
        urn: String,
        /// Which part is wrong.
        #[source]
        source: LinkError,
    },
    /// A link has no URN, or not with a company prefix of this length.
    #[error("`{link}` has no EPC URN with a company prefix of {prefix} digits")]
    NoUrn {
        /// The link.
        link: String,
        /// The length that was asked for.
        prefix: usize,
    },
}

/// How a scheme's URN is built.
struct Scheme {
    /// `id`, `class` or `idpat`.
    kind: &'static str,
    name: &'static str,
    form: &'static str,
    key: Key,
    /// Digits of company prefix and reference together; 0 if the reference has other characters.
    digits: usize,
    /// Whether the reference's first digit stands before the company prefix in the number.
    leading: bool,
    /// What a number begins with that the URN does not have.
    zero: &'static str,
    tail: Tail,
}

/// What follows the reference.
enum Tail {
    /// Nothing.
    None,
    /// `.*` of a pattern: the class of all serial numbers.
    Wildcard,
    /// A serial number that belongs to the key's value.
    Serial,
    /// A serial number or lot in a qualifier.
    Qualifier(Qualifier),
    /// Piece and total, and then a serial number, or `*`.
    Pieces,
}

const SCHEMES: &[Scheme] = &[
    number("id", "sgtin", Key::Gtin, Tail::Qualifier(Qualifier::Serial)),
    number(
        "id",
        "upui",
        Key::Gtin,
        Tail::Qualifier(Qualifier::ThirdPartySerial),
    ),
    number("class", "lgtin", Key::Gtin, Tail::Qualifier(Qualifier::Lot)),
    number("idpat", "sgtin", Key::Gtin, Tail::Wildcard),
    number("idpat", "upui", Key::Gtin, Tail::Wildcard),
    number("id", "itip", Key::Itip, Tail::Pieces),
    number("idpat", "itip", Key::Itip, Tail::Pieces),
    number("id", "sscc", Key::Sscc, Tail::None),
    number(
        "id",
        "sgln",
        Key::Gln,
        Tail::Qualifier(Qualifier::GlnExtension),
    ),
    number("id", "pgln", Key::PartyGln, Tail::None),
    number("id", "grai", Key::Grai, Tail::Serial),
    number("idpat", "grai", Key::Grai, Tail::Wildcard),
    number("id", "gdti", Key::Gdti, Tail::Serial),
    number("idpat", "gdti", Key::Gdti, Tail::Wildcard),
    number("id", "sgcn", Key::Gcn, Tail::Serial),
    number("idpat", "sgcn", Key::Gcn, Tail::Wildcard),
    number("id", "gsin", Key::Gsin, Tail::None),
    number("id", "gsrn", Key::GsrnRecipient, Tail::None),
    number("id", "gsrnp", Key::GsrnProvider, Tail::None),
    number("id", "giai", Key::Giai, Tail::None),
    number("id", "ginc", Key::Ginc, Tail::None),
    number(
        "id",
        "cpi",
        Key::Cpid,
        Tail::Qualifier(Qualifier::CpidSerial),
    ),
    number("idpat", "cpi", Key::Cpid, Tail::Wildcard),
];

const fn number(kind: &'static str, name: &'static str, key: Key, tail: Tail) -> Scheme {
    let (digits, form) = match key {
        Key::Gtin => (13, "prefix.item.serial, 13 digits before the serial"),
        Key::Itip => (
            13,
            "prefix.item.piece.total.serial, 13 digits before the piece",
        ),
        Key::Sscc | Key::GsrnRecipient | Key::GsrnProvider => (17, "prefix.reference, 17 digits"),
        Key::Gsin => (16, "prefix.reference, 16 digits"),
        Key::PartyGln => (12, "prefix.reference, 12 digits"),
        Key::Gln => (
            12,
            "prefix.reference.extension, 12 digits before the extension",
        ),
        Key::Grai | Key::Gdti | Key::Gcn => {
            (12, "prefix.reference.serial, 12 digits before the serial")
        }
        Key::Giai | Key::Ginc => (0, "prefix.reference, 30 characters at most"),
        Key::Cpid => (0, "prefix.reference.serial"),
    };
    Scheme {
        kind,
        name,
        form,
        key,
        digits,
        leading: matches!(key, Key::Gtin | Key::Itip | Key::Sscc),
        zero: if matches!(key, Key::Grai) { "0" } else { "" },
        tail,
    }
}

/// The link that names what an EPC URN, a class URN or a pattern of one class names.
///
/// ```
/// use counterfoil_epcis::urn;
/// let link = urn::to_digital_link("urn:epc:id:sgln:9521141.11111.0")?;
/// assert_eq!(link.canonical(), "https://id.gs1.org/414/9521141111116");
/// # Ok::<(), counterfoil_epcis::UrnError>(())
/// ```
pub fn to_digital_link(urn: &str) -> Result<DigitalLink, UrnError> {
    let (scheme, body) = scheme_of(urn).ok_or_else(|| UrnError::NotAKey(shortened(urn)))?;
    let form = || UrnError::Form {
        urn: shortened(urn),
        form: scheme.form,
    };
    if urn.len() > MAX_URI_BYTES {
        return Err(form());
    }
    let (value, tail) = number_of(scheme, body).ok_or_else(form)?;
    build(scheme, value, tail)
        .ok_or_else(form)?
        .map_err(|source| UrnError::Key {
            urn: urn.to_owned(),
            source,
        })
}

/// Whether the text is a URN of a scheme that names a GS1 key, right or wrong.
pub fn is_gs1_urn(text: &str) -> bool {
    scheme_of(text).is_some()
}

/// The EPC URN of a link, for an owner whose company prefix has `prefix` digits (6 to 12).
///
/// A trade item without serial number or lot gives the pattern of its class.
pub fn from_digital_link(link: &DigitalLink, prefix: usize) -> Result<String, UrnError> {
    urn_of(link, prefix).ok_or_else(|| UrnError::NoUrn {
        link: link.canonical(),
        prefix,
    })
}

fn scheme_of(urn: &str) -> Option<(&'static Scheme, &str)> {
    let (kind, rest) = urn.strip_prefix("urn:epc:")?.split_once(':')?;
    let (name, body) = rest.split_once(':')?;
    let mut all = SCHEMES.iter();
    let scheme = all.find(|scheme| scheme.kind == kind && scheme.name == name)?;
    Some((scheme, body))
}

/// The key's number with its check digit, and what follows it in the URN.
fn number_of<'a>(scheme: &Scheme, body: &'a str) -> Option<(String, &'a str)> {
    let (prefix, rest) = body.split_once('.')?;
    if !is_digits(prefix) || !(6..=12).contains(&prefix.len()) {
        return None;
    }
    if scheme.digits == 0 {
        let (reference, tail) = match scheme.tail {
            Tail::None => (rest, ""),
            _ => rest.rsplit_once('.')?,
        };
        let reference = unescape(reference)?;
        return (!reference.is_empty()).then(|| (format!("{prefix}{reference}"), tail));
    }
    let (reference, tail) = match scheme.tail {
        Tail::None => (rest, ""),
        _ => rest.split_once('.')?,
    };
    let complete = prefix.len() + reference.len() == scheme.digits;
    if !complete || !reference.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let leading = usize::from(scheme.leading);
    let (first, reference) = reference.split_at_checked(leading)?;
    let number = format!("{}{first}{prefix}{reference}", scheme.zero);
    let check = check_digit(&number)?;
    Some((format!("{number}{check}"), tail))
}

fn build(scheme: &Scheme, value: String, tail: &str) -> Option<Result<DigitalLink, LinkError>> {
    let unescaped = unescape(tail)?;
    Some(match scheme.tail {
        Tail::None => DigitalLink::new(scheme.key, &value),
        Tail::Wildcard => {
            if tail != "*" {
                return None;
            }
            DigitalLink::new(scheme.key, &value)
        }
        Tail::Serial => {
            if tail.is_empty() {
                return None;
            }
            DigitalLink::new(scheme.key, &format!("{value}{unescaped}"))
        }
        // The extension 0 of a place means the place without one.
        Tail::Qualifier(Qualifier::GlnExtension) if tail == "0" => {
            DigitalLink::new(scheme.key, &value)
        }
        Tail::Qualifier(qualifier) => {
            DigitalLink::new(scheme.key, &value).and_then(|link| link.with(qualifier, &unescaped))
        }
        Tail::Pieces => {
            let mut parts = tail.splitn(3, '.');
            let (piece, total, serial) = (parts.next()?, parts.next()?, parts.next()?);
            if piece.len() != 2 || total.len() != 2 {
                return None;
            }
            let link = DigitalLink::new(scheme.key, &format!("{value}{piece}{total}"));
            if scheme.kind == "idpat" {
                return (serial == "*").then_some(link);
            }
            let serial = unescape(serial)?;
            link.and_then(|link| link.with(Qualifier::Serial, &serial))
        }
    })
}

fn urn_of(link: &DigitalLink, prefix: usize) -> Option<String> {
    let qualified = |qualifier| link.qualifier(qualifier);
    let fits = |scheme: &&Scheme| {
        scheme.key == link.key()
            && match scheme.tail {
                Tail::None => true,
                Tail::Qualifier(Qualifier::GlnExtension) => true,
                Tail::Qualifier(Qualifier::Lot) => {
                    qualified(Qualifier::Serial).is_none() && qualified(Qualifier::Lot).is_some()
                }
                Tail::Qualifier(qualifier) => qualified(qualifier).is_some(),
                Tail::Serial => link.value().len() > scheme.digits + 1 + scheme.zero.len(),
                Tail::Pieces => (scheme.kind == "id") == qualified(Qualifier::Serial).is_some(),
                Tail::Wildcard => true,
            }
    };
    let scheme = SCHEMES.iter().find(fits)?;
    if !(6..=12).contains(&prefix) {
        return None;
    }
    let start = format!("urn:epc:{}:{}:", scheme.kind, scheme.name);
    let value = link.value().strip_prefix(scheme.zero)?;
    if scheme.digits == 0 {
        let (company, reference) = value.split_at_checked(prefix)?;
        let tail = match scheme.tail {
            Tail::Qualifier(qualifier) => format!(".{}", qualified(qualifier)?),
            Tail::Wildcard => ".*".to_owned(),
            _ => String::new(),
        };
        let whole = is_digits(company) && !reference.is_empty();
        return whole.then(|| format!("{start}{company}.{}{tail}", escape_urn(reference)));
    }
    let (number, rest) = value.split_at_checked(scheme.digits)?;
    let after = rest.get(1..)?;
    let leading = usize::from(scheme.leading);
    let (first, number) = number.split_at(leading);
    let (company, reference) = number.split_at_checked(prefix)?;
    let tail = match scheme.tail {
        Tail::None => String::new(),
        Tail::Wildcard => ".*".to_owned(),
        Tail::Serial => format!(".{}", escape_urn(after)),
        Tail::Qualifier(qualifier) => {
            format!(".{}", escape_urn(qualified(qualifier).unwrap_or("0")))
        }
        Tail::Pieces => {
            let serial = qualified(Qualifier::Serial).map(escape_urn);
            let serial = serial.unwrap_or_else(|| "*".to_owned());
            format!(".{}.{}.{serial}", after.get(..2)?, after.get(2..4)?)
        }
    };
    Some(format!("{start}{company}.{first}{reference}{tail}"))
}

/// Escapes what a URN must (EPC Tag Data Standard 2.0, table A-1).
fn escape_urn(value: &str) -> String {
    let escaped = "\"%&/<>?#";
    let one = |c: char| match escaped.contains(c) {
        true => format!("%{:02X}", u32::from(c)),
        false => c.to_string(),
    };
    value.chars().map(one).collect()
}

/// Enough of a text to recognise it in an error.
fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIRS: &[(&str, &str)] = &[
        ("id:sgtin:0614141.107346.2017", "01/10614141073464/21/2017"),
        (
            "id:sgtin:0614141.107346.a%2Fb(1)",
            "01/10614141073464/21/a%2Fb%281%29",
        ),
        ("id:sgtin:061414110734.1.X", "01/10614141107343/21/X"),
        (
            "id:upui:9521141.089456.51qIgY)%3C%26Jp3",
            "01/09521141894569/235/51qIgY%29%3C%26Jp3",
        ),
        (
            "class:lgtin:4012345.012345.998877",
            "01/04012345123456/10/998877",
        ),
        ("idpat:sgtin:4012345.012345.*", "01/04012345123456"),
        ("id:sscc:4012345.0111111111", "00/040123451111111110"),
        ("id:sgln:4012345.00005.0", "414/4012345000054"),
        ("id:sgln:4012345.00005.12", "414/4012345000054/254/12"),
        ("id:sgln:952114111111..0", "414/9521141111116"),
        ("id:pgln:4012345.00225", "417/4012345002256"),
        ("id:grai:9521141.12345.400", "8003/09521141123454400"),
        ("idpat:grai:4012345.00001.*", "8003/04012345000016"),
        ("id:giai:4000001.111", "8004/4000001111"),
        ("id:gdti:0614141.00002.PO-123", "253/0614141000029PO-123"),
        ("idpat:gdti:0614141.00002.*", "253/0614141000029"),
        ("id:sgcn:4012345.67890.04711", "255/401234567890104711"),
        ("id:ginc:9521141.xyz3311cba", "401/9521141xyz3311cba"),
        ("id:gsin:9521141.123456789", "402/95211411234567892"),
        ("id:gsrn:9521141.1234567890", "8018/952114112345678906"),
        ("id:gsrnp:9521141.1234567890", "8017/952114112345678906"),
        (
            "id:itip:4012345.012345.01.02.987",
            "8006/040123451234560102/21/987",
        ),
        (
            "idpat:itip:4012345.012345.01.02.*",
            "8006/040123451234560102",
        ),
        (
            "id:cpi:9521141.5PQ7%2FZ43.12345",
            "8010/95211415PQ7%2FZ43/8011/12345",
        ),
        ("idpat:cpi:9521141.5PQ7.*", "8010/95211415PQ7"),
    ];

    #[test]
    fn every_scheme_converts_to_its_link() {
        for (urn, path) in PAIRS {
            let link = to_digital_link(&format!("urn:epc:{urn}")).unwrap();
            assert_eq!(link.canonical(), format!("https://id.gs1.org/{path}"));
        }
    }

    #[test]
    fn a_link_converts_back_when_the_prefix_is_known() {
        for (urn, _) in PAIRS {
            let urn = format!("urn:epc:{urn}");
            let link = to_digital_link(&urn).unwrap();
            let prefix = urn.split(['.', ':']).nth(4).unwrap().len();
            // A pattern of third-party serials is that of the item.
            assert_eq!(from_digital_link(&link, prefix).unwrap(), urn);
            assert!(from_digital_link(&link, 5).is_err());
        }
    }

    #[test]
    fn malformed_urns_are_refused() {
        for urn in [
            "",
            "urn:epc:id:sgtin:0614141.107346",
            "urn:epc:id:sgtin:0614141.1073466.1",
            "urn:epc:id:sgtin:06141.10734600.1",
            "urn:epc:id:sgtin:0614141.107346.",
            "urn:epc:id:sgtin:0614141.107346.123456789012345678901",
            "urn:epc:id:sgtin:0614141.107346.%2",
            "urn:epc:id:sgtin:061414é.10734.1",
            "urn:epc:id:sscc:4012345.011111111",
            "urn:epc:idpat:sgtin:0614141.107346.7",
            "urn:epc:id:itip:4012345.012345.1.02.987",
            "urn:epc:id:giai:4012345.",
            "urn:epc:id:gid:1.2.3",
        ] {
            assert!(to_digital_link(urn).is_err(), "{urn}");
        }
        assert!(is_gs1_urn("urn:epc:id:sgtin:wrong") && !is_gs1_urn("urn:epc:id:gid:1.2.3"));
    }
}
