//! The keys of GS1 and what makes them finer: their numbers, forms and check digits (GS1 General
//! Specifications section 3; names and order as in GS1 Digital Link 1.2 section 4).

use crate::charset::{is_digits, is_set_39, is_set_82};
use crate::digital_link::LinkError;

/// A primary key of GS1 (GS1 Digital Link 1.2 section 4.3; the values are those of the GS1 General
/// Specifications for the same application identifier).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// 00: a logistic unit.
    Sscc,
    /// 01: a trade item.
    Gtin,
    /// 253: a document.
    Gdti,
    /// 255: a coupon.
    Gcn,
    /// 401: a consignment.
    Ginc,
    /// 402: a shipment.
    Gsin,
    /// 414: a place.
    Gln,
    /// 417: a party.
    PartyGln,
    /// 8003: a returnable asset.
    Grai,
    /// 8004: an individual asset.
    Giai,
    /// 8006: a piece of a trade item.
    Itip,
    /// 8010: a component or part.
    Cpid,
    /// 8017: a provider of services.
    GsrnProvider,
    /// 8018: a recipient of services.
    GsrnRecipient,
}

/// What makes a key finer (GS1 Digital Link 1.2 section 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qualifier {
    /// 22: a consumer product variant, of 01 and 8006.
    Variant,
    /// 10: a batch or lot, of 01 and 8006.
    Lot,
    /// 21: a serial number, of 01 and 8006.
    Serial,
    /// 235: a serial number that a third party controls, of 01 alone.
    ThirdPartySerial,
    /// 254: an extension of a place's number, of 414.
    GlnExtension,
    /// 8011: the serial number of a component, of 8010.
    CpidSerial,
    /// 8019: an instance of a service relation, of 8017 and 8018.
    ServiceInstance,
}

const KEYS: [Key; 14] = [
    Key::Sscc,
    Key::Gtin,
    Key::Gdti,
    Key::Gcn,
    Key::Ginc,
    Key::Gsin,
    Key::Gln,
    Key::PartyGln,
    Key::Grai,
    Key::Giai,
    Key::Itip,
    Key::Cpid,
    Key::GsrnProvider,
    Key::GsrnRecipient,
];

/// How a value is built: so many digits, the last of the named ones a check digit, then characters.
struct Shape {
    ai: &'static str,
    /// The short name that Digital Link 1.1 had for it.
    alias: &'static str,
    digits: usize,
    /// How many digits the check digit ends; 0 for none.
    checked: usize,
    rest: std::ops::RangeInclusive<usize>,
    rest_is: fn(&str) -> bool,
    expected: &'static str,
}

impl Key {
    /// The application identifier, for example `01`.
    pub fn ai(self) -> &'static str {
        self.shape().ai
    }

    /// Its qualifiers in the order in which they stand in a path.
    pub fn qualifiers(self) -> &'static [Qualifier] {
        match self {
            Self::Gtin => &[
                Qualifier::Variant,
                Qualifier::Lot,
                Qualifier::Serial,
                Qualifier::ThirdPartySerial,
            ],
            Self::Itip => &[Qualifier::Variant, Qualifier::Lot, Qualifier::Serial],
            Self::Gln => &[Qualifier::GlnExtension],
            Self::Cpid => &[Qualifier::CpidSerial],
            Self::GsrnProvider | Self::GsrnRecipient => &[Qualifier::ServiceInstance],
            _ => &[],
        }
    }

    fn shape(self) -> Shape {
        let shape = |ai, alias, digits, checked, rest, rest_is, expected| Shape {
            ai,
            alias,
            digits,
            checked,
            rest,
            rest_is,
            expected,
        };
        type Rule = fn(&str) -> bool;
        let (none, set_82, set_39): (Rule, Rule, Rule) = (str::is_empty, is_set_82, is_set_39);
        match self {
            Self::Sscc => shape("00", "sscc", 18, 18, 0..=0, none, "18 digits"),
            Self::Gtin => shape("01", "gtin", 14, 14, 0..=0, none, "8, 12, 13 or 14 digits"),
            Self::Gdti => {
                let expected = "13 digits and at most 17 characters";
                shape("253", "gdti", 13, 13, 0..=17, set_82, expected)
            }
            Self::Gcn => {
                let digits: Rule = |rest| rest.is_empty() || is_digits(rest);
                shape("255", "gcn", 13, 13, 0..=12, digits, "13 to 25 digits")
            }
            Self::Ginc => {
                let expected = "at most 30 characters, the first 4 digits";
                shape("401", "ginc", 4, 0, 1..=26, set_82, expected)
            }
            Self::Gsin => shape("402", "gsin", 17, 17, 0..=0, none, "17 digits"),
            Self::Gln => shape("414", "gln", 13, 13, 0..=0, none, "13 digits"),
            Self::PartyGln => shape("417", "party", 13, 13, 0..=0, none, "13 digits"),
            Self::Grai => {
                let expected = "14 digits and at most 16 characters";
                shape("8003", "grai", 14, 14, 0..=16, set_82, expected)
            }
            Self::Giai => {
                let expected = "at most 30 characters, the first 4 digits";
                shape("8004", "giai", 4, 0, 1..=26, set_82, expected)
            }
            Self::Itip => shape("8006", "itip", 18, 14, 0..=0, none, "18 digits"),
            Self::Cpid => {
                let expected = "at most 30 capitals, digits, `#`, `-` and `/`, the first 4 digits";
                shape("8010", "cpid", 4, 0, 1..=26, set_39, expected)
            }
            Self::GsrnProvider => shape("8017", "gsrnp", 18, 18, 0..=0, none, "18 digits"),
            Self::GsrnRecipient => shape("8018", "gsrn", 18, 18, 0..=0, none, "18 digits"),
        }
    }

    pub(crate) fn named(segment: &str) -> Option<Self> {
        // Most segments of a path are none, and longer than any name of a key.
        if segment.len() > 5 {
            return None;
        }
        let named = |key: &&Self| {
            let shape = key.shape();
            segment == shape.ai || segment == shape.alias
        };
        KEYS.iter().find(named).copied()
    }

    /// The value as it is kept: a GTIN of 8, 12 or 13 digits is filled up to 14.
    pub(crate) fn value(self, value: &str, check: bool) -> Result<String, LinkError> {
        let shape = self.shape();
        let mut value = value.to_owned();
        if self == Self::Gtin && is_digits(&value) && matches!(value.len(), 8 | 12 | 13) {
            value = format!("{value:0>14}");
        }
        let fits = value.is_ascii()
            && value.len() >= shape.digits
            && is_digits(&value[..shape.digits])
            && shape.rest.contains(&(value.len() - shape.digits))
            && (shape.rest_is)(&value[shape.digits..]);
        if !fits {
            return Err(LinkError::Value {
                ai: shape.ai,
                value,
                expected: shape.expected,
            });
        }
        if check && shape.checked > 0 {
            let right = check_digit(&value[..shape.checked - 1]);
            if right != value[shape.checked - 1..].chars().next() {
                return Err(LinkError::CheckDigit {
                    ai: shape.ai,
                    value,
                    right: right.unwrap_or('0'),
                });
            }
        }
        Ok(value)
    }
}

impl Qualifier {
    /// The application identifier, for example `10`.
    pub fn ai(self) -> &'static str {
        match self {
            Self::Variant => "22",
            Self::Lot => "10",
            Self::Serial => "21",
            Self::ThirdPartySerial => "235",
            Self::GlnExtension => "254",
            Self::CpidSerial => "8011",
            Self::ServiceInstance => "8019",
        }
    }

    /// The short name that Digital Link 1.1 had for it.
    pub(crate) fn alias(self) -> &'static str {
        match self {
            Self::Variant => "cpv",
            Self::Lot => "lot",
            Self::Serial => "ser",
            Self::ThirdPartySerial => "tpx",
            Self::GlnExtension => "glnx",
            Self::CpidSerial => "cpsn",
            Self::ServiceInstance => "srin",
        }
    }

    pub(crate) fn value(self, value: &str) -> Result<String, LinkError> {
        let (longest, is, expected): (_, fn(&str) -> bool, _) = match self {
            Self::Variant | Self::Lot | Self::Serial | Self::GlnExtension => {
                (20, is_set_82, "1 to 20 characters of GS1 set 82")
            }
            Self::ThirdPartySerial => (28, is_set_82, "1 to 28 characters of GS1 set 82"),
            Self::CpidSerial => (12, is_digits, "1 to 12 digits"),
            Self::ServiceInstance => (10, is_digits, "1 to 10 digits"),
        };
        if value.is_empty() || value.len() > longest || !is(value) {
            return Err(LinkError::Value {
                ai: self.ai(),
                value: value.to_owned(),
                expected,
            });
        }
        Ok(value.to_owned())
    }
}

/// The digit that makes a number of GS1 right: weights 3 and 1 from the end, modulo 10 (GS1 General
/// Specifications section 7.9.1). `None` if there is something else than digits.
pub fn check_digit(digits: &str) -> Option<char> {
    if !is_digits(digits) {
        return None;
    }
    let weighted = digits.bytes().rev().zip([3, 1].into_iter().cycle());
    let sum: u32 = weighted
        .map(|(digit, weight)| u32::from(digit - b'0') * weight % 10)
        .fold(0, |sum, part| (sum + part) % 10);
    char::from_digit((10 - sum) % 10, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_digit_follows_from_the_others() {
        assert_eq!(check_digit("0952123454321"), Some('3'));
        assert_eq!(
            check_digit("952123451234567890"),
            check_digit("0952123451234567890")
        );
        assert_eq!((check_digit(""), check_digit("12a")), (None, None));
    }
}
