//! Values as an event hash writes them (CBV 2.0, Event Hash ID: the rules on whitespace, numbers,
//! times, words and identifiers).

use std::borrow::Cow;

use crate::digital_link::DigitalLink;
use crate::event_hash::Rules;
use crate::key::Qualifier;
use crate::limits::MAX_EXPONENT;
use crate::timestamp::{Timestamp, format_millis};
use crate::urn;
use crate::words::expand_urn;

/// A value that is no time: trimmed, words and identifiers as URIs, numbers without needless zeros.
pub(crate) fn value(text: &str, rules: Rules) -> Cow<'_, str> {
    let text = text.trim();
    let number = match rules {
        Rules::Cbv2_0 => decimal(text),
        Rules::Generator1_9 => double(text),
    };
    if let Some(number) = number {
        return Cow::Owned(number);
    }
    match identifier(text, rules) {
        Some(uri) => Cow::Owned(uri),
        None => expand_urn(text),
    }
}

/// A time in UTC with milliseconds. What is no time is only trimmed.
pub(crate) fn time(text: &str, rules: Rules) -> Cow<'_, str> {
    let text = text.trim();
    match Timestamp::parse(text) {
        Some(at) => Cow::Owned(format_millis(match rules {
            Rules::Cbv2_0 => at.millis_half_up(),
            Rules::Generator1_9 => at.millis_half_even(),
        })),
        None => Cow::Borrowed(text),
    }
}

/// An EPC URN or GS1 Digital Link in its constrained canonical form.
pub(crate) fn identifier(text: &str, rules: Rules) -> Option<String> {
    if text.starts_with("urn:epc:") {
        return Some(urn::to_digital_link(text).ok()?.constrained());
    }
    if !text.starts_with("http") {
        return None;
    }
    // Names in an event hash are what was written: a wrong digit stays wrong, and visible.
    let link = DigitalLink::read(text, false).ok()?;
    let left = rules == Rules::Generator1_9 && generator_leaves(text, &link);
    (!left).then(|| link.constrained())
}

/// Links that release 1.9 of the generator does not recognise.
fn generator_leaves(text: &str, link: &DigitalLink) -> bool {
    let long_variant = || {
        let path = text.split('?').next().unwrap_or_default();
        let after = path.split_once("/22/").map_or("", |(_, after)| after);
        after.len() > 20
    };
    text.contains(['%', '#'])
        || link.qualifier(Qualifier::ServiceInstance).is_some()
        || (link.qualifier(Qualifier::Variant).is_some() && long_variant())
}

/// A decimal number, exactly, without exponent, sign of zero or needless zeros.
fn decimal(text: &str) -> Option<String> {
    if !is_numeric(text) {
        return None;
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty()
        || !all.bytes().all(|byte| byte.is_ascii_digit())
        || exponent.abs() > MAX_EXPONENT
    {
        return None;
    }
    let digits = all.trim_start_matches('0');
    // Where the point stands, counted from the first digit that is left.
    let leading = i32::try_from(all.len() - digits.len()).ok()?;
    let point = i32::try_from(whole.len()).ok()? + exponent - leading;
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    let length = i32::try_from(digits.len()).ok()?;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let number = if point <= 0 {
        format!("0.{}{digits}", zeros(-point))
    } else if point >= length {
        format!("{digits}{}", zeros(point - length))
    } else {
        let (whole, fraction) = digits.split_at(usize::try_from(point).ok()?);
        format!("{whole}.{fraction}")
    };
    Some(if negative {
        format!("-{number}")
    } else {
        number
    })
}

/// A number as release 1.9 of the generator writes it: through a double, so that only some sixteen
/// digits of it count, and with an exponent where it is small.
fn double(text: &str) -> Option<String> {
    if !is_numeric(text) {
        return None;
    }
    let number: f64 = text
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())?;
    if number == 0.0 {
        return Some("0".to_owned());
    }
    if number.fract() == 0.0 {
        return Some(format!("{number:.0}"));
    }
    if number.abs() >= 1e-4 {
        return Some(number.to_string());
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once("e-")?;
    Some(format!("{mantissa}e-{exponent:0>2}"))
}

/// Whether the text has no characters but those of numbers: most values are told apart by this.
fn is_numeric(text: &str) -> bool {
    let numeric = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    text.bytes().all(numeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_all_that_counts() {
        for (text, exact) in [
            ("1.0", "1"),
            ("0.3434000", "0.3434"),
            ("+007", "7"),
            ("-0.0", "0"),
            ("-12.50", "-12.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e-5", "0.00001"),
            ("1.5E3", "1500"),
            ("12345678901234567890", "12345678901234567890"),
        ] {
            assert_eq!(value(text, Rules::Cbv2_0), exact, "{text}");
        }
        for text in [
            "", ".", "-", "1e", "1e999", "0x1", "1_000", "inf", "NaN", "1.2.3", "١",
        ] {
            assert_eq!(value(text, Rules::Cbv2_0), text);
        }
    }

    #[test]
    fn the_generator_writes_numbers_through_a_double() {
        for (text, written) in [
            ("12345678901234567890", "12345678901234567168"),
            ("0.00001", "1e-05"),
            ("0.0001", "0.0001"),
            ("1.25e-7", "1.25e-07"),
            ("1e23", "99999999999999991611392"),
            ("26.10", "26.1"),
            ("-0.0", "0"),
        ] {
            assert_eq!(value(text, Rules::Generator1_9), written, "{text}");
        }
        assert_eq!(value("nan", Rules::Generator1_9), "nan");
    }

    #[test]
    fn identifiers_take_their_constrained_canonical_form() {
        let canonical = "https://id.gs1.org/01/04012345123456/10/99";
        for text in [
            "urn:epc:class:lgtin:4012345.012345.99",
            " https://brand.example/gtin/4012345123456/lot/99?17=261231 ",
            "https://id.gs1.org/01/04012345123456/22/2A/10/99",
        ] {
            for rules in [Rules::Cbv2_0, Rules::Generator1_9] {
                assert_eq!(value(text, rules), canonical);
            }
        }
        let escaped = "https://brand.example/01/04012345123456/10/9%2F9";
        assert_eq!(value(escaped, Rules::Generator1_9), escaped);
        assert!(value(escaped, Rules::Cbv2_0).starts_with("https://id.gs1.org/"));
    }
}
