//! Reading an action's arguments: each is of a type, has a limit, and is named when it is wrong.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use aws_lc_rs::rsa::PublicEncryptingKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use verify::{Cert, Digest};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::limits::{
    ACTION_TEXT_BYTES_MAX, CERT_BUNDLE_BYTES_MAX, CERT_BUNDLE_CERTS_MAX, ENCRYPTION_KEY_BITS_MIN,
    FREE_DATA_BYTES_MAX, PEM_BYTES_MAX,
};

/// The arguments of one action. Each is taken once; what is left at the end is unknown.
pub(crate) struct Args<'a> {
    fields: Map<String, Value>,
    all: &'a Value,
}

impl<'a> Args<'a> {
    pub(super) fn new(args: &'a Value) -> Result<Self, String> {
        let fields = match args {
            Value::Null => Map::new(),
            Value::Object(fields) => fields.clone(),
            _ => return Err("args is no object".to_owned()),
        };
        Ok(Self { fields, all: args })
    }

    /// All arguments as they were written.
    pub(super) fn all(&self) -> Value {
        self.all.clone()
    }

    /// An argument that must be there.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<T, String> {
        self.optional(name, read)?
            .ok_or_else(|| format!("the argument {name:?} is missing"))
    }

    /// An argument that may be missing, or null.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        match self.fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(&value)
                .map(Some)
                .map_err(|why| format!("the argument {name:?} {why}")),
        }
    }

    /// All arguments together, as another type reads them.
    pub(super) fn rest(&mut self) -> Value {
        Value::Object(std::mem::take(&mut self.fields))
    }

    pub(super) fn finish(self) -> Result<(), String> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(unknown) => {
                let shown: String = unknown.chars().take(80).collect();
                Err(format!("there is no argument {shown:?}"))
            }
        }
    }
}

/// A text that is not empty, without control characters.
pub(super) fn text(value: &Value) -> Result<String, String> {
    let text = long_text(value, ACTION_TEXT_BYTES_MAX)?;
    if text.is_empty() {
        Err("is empty".to_owned())
    } else if text.chars().any(char::is_control) {
        Err("has control characters".to_owned())
    } else {
        Ok(text)
    }
}

fn long_text(value: &Value, limit: usize) -> Result<String, String> {
    let text = value.as_str().ok_or("is no text")?;
    if text.len() > limit {
        return Err(format!("has {} bytes; {limit} is the limit", text.len()));
    }
    Ok(text.to_owned())
}

/// A list of texts that is not empty; the order does not count.
pub(super) fn texts(value: &Value) -> Result<BTreeSet<String>, String> {
    let list = value.as_array().ok_or("is no list of texts")?;
    let texts: BTreeSet<_> = list
        .iter()
        .map(|item| text(item).map_err(|why| format!("has an item that {why}")))
        .collect::<Result<_, _>>()?;
    if texts.is_empty() {
        return Err("is an empty list".to_owned());
    }
    Ok(texts)
}

/// So many bytes in hex; given back in lower case.
pub(super) fn hex_of(bytes: usize) -> impl Fn(&Value) -> Result<String, String> {
    move |value| {
        let text = value.as_str().ok_or("is no text")?;
        if text.len() != 2 * bytes || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!(
                "is not {bytes} bytes in hex ({} digits)",
                2 * bytes
            ));
        }
        Ok(text.to_ascii_lowercase())
    }
}

/// The id of a member or a node: 32 bytes in hex.
pub(super) fn id(value: &Value) -> Result<Digest, String> {
    let text = hex_of(Digest::LEN)(value)?;
    text.parse().map_err(|_| "is no id".to_owned())
}

/// A number within bounds.
pub(super) fn number(range: RangeInclusive<u64>) -> impl Fn(&Value) -> Result<u64, String> {
    move |value| {
        let number = value.as_u64().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("is no number from {} to {}", range.start(), range.end()))
    }
}

/// True or false.
pub(super) fn flag(value: &Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| "is neither true nor false".to_owned())
}

/// Any JSON that is not too long.
pub(super) fn free_data(value: &Value) -> Result<Value, String> {
    check_member_data(value).map(|()| value.clone())
}

/// Refuses data about a member, user or node that is too long.
pub(in crate::governance) fn check_member_data(value: &Value) -> Result<(), String> {
    let length = value.to_string().len();
    if length > FREE_DATA_BYTES_MAX {
        return Err(format!(
            "has {length} bytes as JSON; {FREE_DATA_BYTES_MAX} is the limit"
        ));
    }
    Ok(())
}

/// An object that is not too long.
pub(super) fn object(value: &Value) -> Result<Value, String> {
    if !value.is_object() {
        return Err("is no object".to_owned());
    }
    free_data(value)
}

/// A member's certificate, PEM: of a key that can sign governance messages.
pub(super) fn member_cert(value: &Value) -> Result<Cert, String> {
    let pem = long_text(value, PEM_BYTES_MAX)?;
    Cert::from_pem(&pem).map_err(|error| format!("is no member's certificate (PEM): {error}"))
}

/// One certificate of whatever kind, PEM, and the same as DER.
pub(super) fn any_cert(value: &Value) -> Result<(String, Vec<u8>), String> {
    let pem = long_text(value, PEM_BYTES_MAX)?;
    let [der] = <[_; 1]>::try_from(certificates(&pem)?)
        .map_err(|found: Vec<_>| format!("holds {} certificates, not one", found.len()))?;
    Ok((pem, der))
}

/// One or more certificates, PEM.
pub(super) fn cert_bundle(value: &Value) -> Result<String, String> {
    let pem = long_text(value, CERT_BUNDLE_BYTES_MAX)?;
    let count = certificates(&pem)?.len();
    if count == 0 || count > CERT_BUNDLE_CERTS_MAX {
        return Err(format!(
            "holds {count} certificates; 1 to {CERT_BUNDLE_CERTS_MAX} are possible"
        ));
    }
    Ok(pem)
}

fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, String> {
    let blocks = pem_blocks(pem, "CERTIFICATE")?;
    for der in &blocks {
        let whole = X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty());
        if !whole {
            return Err("holds something that is no X.509 certificate".to_owned());
        }
    }
    Ok(blocks)
}

/// An RSA public key, PEM, to which a share can be encrypted.
pub(super) fn encryption_key(value: &Value) -> Result<String, String> {
    check_encryption_key(&long_text(value, PEM_BYTES_MAX)?)
}

/// Takes an RSA public key that is long enough.
pub(in crate::governance) fn check_encryption_key(pem: &str) -> Result<String, String> {
    let not_one = "is not one RSA public key (PEM, PUBLIC KEY)";
    let [der] = <[_; 1]>::try_from(pem_blocks(pem, "PUBLIC KEY")?).map_err(|_| not_one)?;
    let key = PublicEncryptingKey::from_der(&der).map_err(|_| not_one)?;
    let bits = key.key_size_bits();
    if bits < ENCRYPTION_KEY_BITS_MIN {
        return Err(format!(
            "is an RSA key of {bits} bits; {ENCRYPTION_KEY_BITS_MIN} is the least"
        ));
    }
    Ok(pem.to_owned())
}

/// The contents of PEM blocks of one type. Between them there is white space and nothing else.
fn pem_blocks(pem: &str, label: &str) -> Result<Vec<Vec<u8>>, String> {
    let (begin, end) = (
        format!("-----BEGIN {label}-----"),
        format!("-----END {label}-----"),
    );
    let mut blocks = Vec::new();
    let mut rest = pem.trim_ascii();
    while !rest.is_empty() {
        let parts = rest
            .strip_prefix(&begin)
            .and_then(|rest| rest.split_once(&end));
        let (body, after) = parts.ok_or_else(|| format!("is not PEM of type {label}"))?;
        let body: Vec<u8> = body
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let der = STANDARD.decode(body).map_err(|_| "is damaged PEM")?;
        blocks.push(der);
        rest = after.trim_ascii();
    }
    Ok(blocks)
}

/// When a certificate begins to be valid: CCF's `YYMMDDhhmmssZ`, or ISO 8601.
pub(super) fn moment(value: &Value) -> Result<String, String> {
    let wrong = "is no time like 260131235959Z or 2026-01-31T23:59:59Z";
    let text = value.as_str().ok_or(wrong)?;
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let short = text.len() == 13 && digits == 12 && text.ends_with('Z');
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let long = [
        "0000-00-00T00:00:00Z",
        "0000-00-00T00:00:00+00:00",
        "0000-00-00T00:00:00",
        "0000-00-00 00:00:00",
    ];
    if short || long.contains(&shape.as_str()) {
        Ok(text.to_owned())
    } else {
        Err(wrong.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::governance::testing::Signer;

    #[test]
    fn a_refusal_names_the_argument() {
        let all = json!({ "a": 1, "b": null });
        let mut args = Args::new(&all).unwrap();
        let wrong = args.required("a", text).unwrap_err();
        assert_eq!(wrong, "the argument \"a\" is no text");
        let missing = args.required("b", text).unwrap_err();
        assert_eq!(missing, "the argument \"b\" is missing");
        assert_eq!(args.optional("c", text), Ok(None));
        assert!(Args::new(&json!([])).is_err());
    }

    #[test]
    fn hex_has_a_length_and_one_spelling() {
        assert_eq!(hex_of(2)(&json!("aBc0")), Ok("abc0".to_owned()));
        for wrong in [json!("abc"), json!("abcde"), json!("abcg"), json!(1)] {
            assert!(hex_of(2)(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn texts_have_a_limit_and_no_control_characters() {
        assert!(text(&json!("ünïcode")).is_ok());
        for wrong in ["", "a\nb", &"x".repeat(ACTION_TEXT_BYTES_MAX + 1)] {
            assert!(text(&json!(wrong)).is_err());
        }
        assert_eq!(texts(&json!(["b", "a", "b"])).unwrap().len(), 2);
        assert!(texts(&json!([])).is_err());
        assert!(texts(&json!(["a", 1])).is_err());
    }

    #[test]
    fn times_are_ccfs_or_iso() {
        for right in [
            "260131235959Z",
            "2026-01-31T23:59:59Z",
            "2026-01-31T23:59:59+00:00",
            "2026-01-31 23:59:59",
        ] {
            assert!(moment(&json!(right)).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "now",
            "2601312359Z",
            "2026-01-31",
            "2026-01-31T23:59:59+1",
        ] {
            assert!(moment(&json!(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn data_has_a_limit() {
        assert!(free_data(&json!({ "a": [1, 2] })).is_ok());
        let long = "x".repeat(FREE_DATA_BYTES_MAX);
        assert!(free_data(&json!(long)).is_err());
        assert!(object(&json!([])).is_err());
    }

    #[test]
    fn certificates_are_read_one_by_one_or_as_a_bundle() {
        let (a, b) = (
            Signer::new("a").cert.to_pem(),
            Signer::new("b").cert.to_pem(),
        );
        let both = format!("{a}\n{b}");
        assert!(any_cert(&json!(a)).is_ok());
        assert!(any_cert(&json!(both)).is_err());
        assert!(cert_bundle(&json!(both)).is_ok());
        assert!(cert_bundle(&json!("")).is_err());
        assert!(cert_bundle(&json!(format!("{a}x{b}"))).is_err());
        let damaged = a.replacen("MII", "MIJ", 1);
        assert!(cert_bundle(&json!(damaged)).is_err());
    }

    #[test]
    fn an_encryption_key_is_rsa_and_long_enough() {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
        use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let pem = |der: &[u8]| {
            let body = STANDARD.encode(der);
            format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
        };
        assert!(encryption_key(&json!(pem(der.as_ref()))).is_ok());
        let ec = Signer::new("a").cert;
        assert!(encryption_key(&json!(pem(ec.spki_der()))).is_err());
        assert!(encryption_key(&json!(ec.to_pem())).is_err());
    }
}
