//! The characters that GS1 allows in identifiers, and how URIs escape them.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What is written as it is in a path segment: the unreserved characters of RFC 3986 and those
/// others that neither Table 7-1 of GS1 Digital Link 1.2 nor an EPC URN escapes.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'\'')
    .remove(b';')
    .remove(b'=');

/// Escapes a value for one segment of a GS1 Digital Link URI, with upper-case hexadecimal digits.
pub(crate) fn escape(value: &str) -> Cow<'_, str> {
    utf8_percent_encode(value, ESCAPED).into()
}

/// Undoes percent escapes; `None` if one is incomplete or the result is not UTF-8.
pub(crate) fn unescape(text: &str) -> Option<Cow<'_, str>> {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let hex = rest.as_bytes().get(at + 1..at + 3)?;
        if !hex.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        rest = &rest[at + 3..];
    }
    percent_decode_str(text).decode_utf8().ok()
}

/// GS1 AI encodable character set 82 (GS1 General Specifications, figure 7.11-1).
pub(crate) fn is_set_82(value: &str) -> bool {
    let other = b"!\"%&'()*+,-./:;<=>?_";
    value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || other.contains(&byte))
}

/// GS1 AI encodable character set 39 (GS1 General Specifications, figure 7.11-2).
pub(crate) fn is_set_39(value: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    value
        .bytes()
        .all(|byte| known(byte) || b"#-/".contains(&byte))
}

/// Whether the text is not empty and has digits only.
pub(crate) fn is_digits(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_digital_link() {
        let all = "!\"%&'()*+,-./:;<=>?_aZ9 #";
        let escaped = escape(all);
        assert_eq!(
            escaped,
            "%21%22%25%26'%28%29%2A%2B%2C-.%2F%3A;%3C=%3E%3F_aZ9%20%23"
        );
        assert_eq!(unescape(&escaped).as_deref(), Some(all));
    }

    #[test]
    fn broken_escapes_are_refused() {
        for text in ["%", "a%2", "%zz", "%ff", "%é1"] {
            assert_eq!(unescape(text), None, "{text}");
        }
        assert_eq!(unescape("a%2fb").as_deref(), Some("a/b"));
    }
}
