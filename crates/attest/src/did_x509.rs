//! `did:x509`: the name of whoever holds a certificate under a given authority.
//!
//! Form: `did:x509:0:sha256:FINGERPRINT::POLICY:VALUE...`, where the fingerprint, in base64url, is
//! that of a certificate above the leaf, and each policy says something that the leaf must state.
//! Known policies are `eku` (a purpose, as an object identifier) and `subject` (fields of its name).

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use x509_parser::certificate::X509Certificate;
use x509_parser::x509::X509Name;

use crate::chain::Chain;

/// What a chain does not say, of what its name claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DidFault {
    /// The name is none, or has a policy that this code does not know.
    #[error("it is no did:x509 with the policies eku or subject")]
    Malformed,
    /// The authority is another one.
    #[error("no authority of the chain has that fingerprint")]
    Fingerprint,
    /// The leaf is for other purposes, or of somebody else.
    #[error("the leaf does not satisfy the policy {0}")]
    Policy(&'static str),
}

/// Checks that a chain that holds is the one that `did` names.
pub(crate) fn check(did: &str, chain: &Chain<'_>) -> Result<(), DidFault> {
    let mut parts = did.split("::");
    let prefix = parts.next().unwrap_or_default();
    let fingerprint = prefix
        .strip_prefix("did:x509:0:sha256:")
        .ok_or(DidFault::Malformed)?;
    let digests = chain.authorities().iter().map(|der| {
        let digest = digest::digest(&digest::SHA256, der);
        URL_SAFE_NO_PAD.encode(digest)
    });
    if !digests.into_iter().any(|digest| digest == fingerprint) {
        return Err(DidFault::Fingerprint);
    }
    let mut policies = 0;
    for policy in parts {
        check_policy(policy, chain.leaf())?;
        policies += 1;
    }
    if policies == 0 {
        return Err(DidFault::Malformed);
    }
    Ok(())
}

fn check_policy(policy: &str, leaf: &X509Certificate<'_>) -> Result<(), DidFault> {
    match policy.split_once(':') {
        Some(("eku", oid)) => match has_purpose(leaf, oid) {
            true => Ok(()),
            false => Err(DidFault::Policy("eku")),
        },
        Some(("subject", fields)) => check_subject(leaf.subject(), fields),
        _ => Err(DidFault::Malformed),
    }
}

fn has_purpose(leaf: &X509Certificate<'_>, oid: &str) -> bool {
    let Ok(Some(purposes)) = leaf.extended_key_usage() else {
        return false;
    };
    let mut others = purposes.value.other.iter();
    others.any(|purpose| purpose.to_id_string() == oid)
}

/// `KEY:VALUE` pairs, values percent-encoded.
fn check_subject(subject: &X509Name<'_>, fields: &str) -> Result<(), DidFault> {
    let fields: Vec<&str> = fields.split(':').collect();
    if !fields.len().is_multiple_of(2) {
        return Err(DidFault::Malformed);
    }
    for field in fields.chunks(2) {
        let oid = match field[0] {
            "CN" => "2.5.4.3",
            "L" => "2.5.4.7",
            "ST" => "2.5.4.8",
            "STREET" => "2.5.4.9",
            "O" => "2.5.4.10",
            "OU" => "2.5.4.11",
            "C" => "2.5.4.6",
            _ => return Err(DidFault::Malformed),
        };
        let wanted = percent_decoded(field[1]).ok_or(DidFault::Malformed)?;
        let states = subject.iter_attributes().any(|attribute| {
            attribute.attr_type().to_id_string() == oid
                && attribute.as_str().is_ok_and(|value| value == wanted)
        });
        if !states {
            return Err(DidFault::Policy("subject"));
        }
    }
    Ok(())
}

pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let mut byte = [0];
        hex::decode_to_slice(digits, &mut byte).ok()?;
        bytes.extend(byte);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_percent_encoded() {
        assert_eq!(percent_decoded("a%20b%3A"), Some("a b:".to_owned()));
        assert_eq!(percent_decoded(""), Some(String::new()));
        for bad in ["%", "%1", "%zz", "%ff"] {
            assert_eq!(percent_decoded(bad), None, "{bad}");
        }
    }
}
