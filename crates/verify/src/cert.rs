//! Certificates of nodes and services: names for keys, and who vouches for them.
//!
//! A receipt may be read decades after it was made, so nothing here looks at a date, and nothing at
//! an extension: a certificate says "the holder of that key endorses this key", as the verifiers of
//! CCF and Azure read it.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::digest::Digest;
use crate::key::{CertDigest, PublicKey};
use crate::limits::MAX_CERT_BYTES;

/// Why some bytes are not the certificate of a node or service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertError {
    /// Nobody needs so long a certificate: it was not made by a ledger.
    #[error("the certificate is longer than {MAX_CERT_BYTES} bytes")]
    TooLong,
    /// The text is damaged, or not a certificate, or more than one.
    #[error("the text is not exactly one PEM block of type CERTIFICATE")]
    NotPem,
    /// The bytes are damaged, or not a certificate.
    #[error("the bytes are not one X.509 certificate in DER")]
    NotDer,
    /// It may be a user's certificate; nodes and services have keys of P-256 or P-384.
    #[error("the certificate's key is not an uncompressed point of P-256 or P-384")]
    UnsupportedKey,
    /// Nodes and services sign with ECDSA and SHA-256 or SHA-384.
    #[error("the certificate is not signed with ECDSA and SHA-256 or SHA-384")]
    UnsupportedSignature,
}

/// A certificate of a node or service, parsed once; cheap to clone.
#[derive(Clone)]
pub struct Cert(Arc<Inner>);

struct Inner {
    der: Vec<u8>,
    /// The to-be-signed part within `der`.
    tbs: std::ops::Range<usize>,
    signature: Vec<u8>,
    signed_with: CertDigest,
    key: PublicKey,
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

impl Cert {
    /// Reads PEM text that holds this certificate and nothing else but white space.
    ///
    /// Receipts come in rows that one node signed: the last text that a thread read is not read again.
    pub fn from_pem(pem: &str) -> Result<Self, CertError> {
        thread_local! {
            static LAST: RefCell<Option<(String, Cert)>> = const { RefCell::new(None) };
        }
        LAST.with_borrow_mut(|last| match last {
            Some((text, cert)) if text == pem => Ok(cert.clone()),
            _ => {
                let cert = Self::read_pem(pem)?;
                *last = Some((pem.to_owned(), cert.clone()));
                Ok(cert)
            }
        })
    }

    fn read_pem(pem: &str) -> Result<Self, CertError> {
        if pem.len() > MAX_CERT_BYTES {
            return Err(CertError::TooLong);
        }
        let body = pem
            .trim_ascii()
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.strip_suffix(END))
            .ok_or(CertError::NotPem)?;
        let body: Vec<u8> = body
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let der = STANDARD.decode(body).map_err(|_| CertError::NotPem)?;
        Self::from_der(&der)
    }

    /// Reads DER.
    pub fn from_der(der: &[u8]) -> Result<Self, CertError> {
        if der.len() > MAX_CERT_BYTES {
            return Err(CertError::TooLong);
        }
        let (rest, cert) = X509Certificate::from_der(der).map_err(|_| CertError::NotDer)?;
        let (algorithm, signed_with) =
            match cert.signature_algorithm.algorithm.to_id_string().as_str() {
                "1.2.840.10045.4.3.2" => (ECDSA_WITH_SHA256, CertDigest::Sha256),
                "1.2.840.10045.4.3.3" => (ECDSA_WITH_SHA384, CertDigest::Sha384),
                _ => return Err(CertError::UnsupportedSignature),
            };
        let tbs = cert.tbs_certificate.as_ref();
        let canonical = signed_certificate(tbs, algorithm, &cert.signature_value.data);
        if !rest.is_empty() || der != canonical {
            return Err(CertError::NotDer);
        }
        let key = PublicKey::from_spki_der(cert.tbs_certificate.subject_pki.raw)
            .map_err(|_| CertError::UnsupportedKey)?;
        let signature = cert.signature_value.data.to_vec();
        let start = tbs.as_ptr().addr() - der.as_ptr().addr();
        let tbs = start..start + tbs.len();
        Ok(Self(Arc::new(Inner {
            der: der.to_vec(),
            tbs,
            signature,
            signed_with,
            key,
        })))
    }

    /// The certificate as DER.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The certificate as PEM, ending in a line feed.
    pub fn to_pem(&self) -> String {
        let body = STANDARD.encode(self.der());
        let mut pem = String::with_capacity(body.len() + body.len() / 64 + 64);
        pem.push_str(BEGIN);
        pem.push('\n');
        let mut rest = body.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = more;
        }
        pem.push_str(END);
        pem.push('\n');
        pem
    }

    /// The key that this certificate is about.
    pub fn public_key(&self) -> PublicKey {
        self.0.key.clone()
    }

    /// The key as DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        self.0.key.spki_der()
    }

    /// SHA-256 of the key: a node's id and a COSE `kid` are this in hex.
    pub fn key_digest(&self) -> Digest {
        self.0.key.key_digest()
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(self.der())
    }

    /// [`fingerprint_text`] of this certificate.
    pub fn fingerprint_text(&self) -> String {
        fingerprint_text(self.der())
    }

    /// Whether `issuer`'s key signed this certificate. Names, dates and extensions play no part.
    pub fn is_signed_by(&self, issuer: &Self) -> bool {
        let tbs = &self.0.der[self.0.tbs.clone()];
        issuer
            .0
            .key
            .verify_cert(self.0.signed_with, tbs, &self.0.signature)
            .is_ok()
    }
}

const ECDSA_WITH_SHA256: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];
const ECDSA_WITH_SHA384: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03,
];

/// The one DER spelling of a certificate with these parts. What surrounds the to-be-signed part is
/// under no signature, so it is compared with this: nobody can make a second certificate that
/// differs only there.
fn signed_certificate(tbs: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    let signature = der_value(0x03, &[&[0], signature]);
    der_value(0x30, &[tbs, algorithm, &signature])
}

fn der_value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = vec![tag];
    let length_bytes = length.to_be_bytes();
    match length {
        0..=0x7f => bytes.push(length_bytes[length_bytes.len() - 1]),
        _ => {
            let zeros = length_bytes.iter().take_while(|byte| **byte == 0).count();
            let digits = &length_bytes[zeros..];
            bytes.push(0x80 | u8::try_from(digits.len()).expect("a length has at most 8 bytes"));
            bytes.extend(digits);
        }
    }
    for part in parts {
        bytes.extend(*part);
    }
    bytes
}

/// SHA-256 of any certificate in DER, as users are named: upper-case hex with a colon between the
/// bytes (95 characters).
pub fn fingerprint_text(der: &[u8]) -> String {
    let mut text = String::with_capacity(95);
    for (place, byte) in Digest::of(der).as_bytes().iter().enumerate() {
        if place > 0 {
            text.push(':');
        }
        text.push_str(&hex::encode_upper([*byte]));
    }
    text
}

impl PartialEq for Cert {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for Cert {}

impl fmt::Debug for Cert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cert({}, key {})", self.fingerprint(), self.key_digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Curve;

    const SERVICE: &str = include_str!("../testdata/azure-service-2023.pem");
    const NODE: &str = include_str!("../testdata/azure-node-2023.pem");

    #[test]
    fn a_certificate_is_written_as_it_was_read() {
        let cert = Cert::from_pem(SERVICE).unwrap();
        assert_eq!(cert.to_pem(), SERVICE);
        assert_eq!(Cert::from_der(cert.der()), Ok(cert.clone()));
        assert_eq!(cert.public_key().curve(), Curve::P384);
    }

    #[test]
    fn a_node_is_endorsed_by_its_service_and_not_the_reverse() {
        let service = Cert::from_pem(SERVICE).unwrap();
        let node = Cert::from_pem(NODE).unwrap();
        assert!(node.is_signed_by(&service));
        assert!(service.is_signed_by(&service));
        assert!(!service.is_signed_by(&node));
        assert!(!node.is_signed_by(&node));
    }

    #[test]
    fn the_digest_of_the_key_is_the_node_id() {
        assert_eq!(
            Cert::from_pem(NODE).unwrap().key_digest().to_string(),
            "0db9a22e9301d1167a2a81596fa234642ad24bc742451a415b8d653af056795c"
        );
    }

    #[test]
    fn a_fingerprint_is_upper_case_hex_with_colons() {
        let cert = Cert::from_pem(SERVICE).unwrap();
        let text = cert.fingerprint_text();
        assert_eq!(text.len(), 95);
        assert_eq!(
            text.replace(':', "").to_lowercase(),
            cert.fingerprint().to_string()
        );
        assert!(text.split(':').all(|byte| byte.len() == 2));
    }

    #[test]
    fn damaged_text_is_refused() {
        let der = Cert::from_pem(SERVICE).unwrap().der().to_vec();
        assert_eq!(Cert::from_pem(""), Err(CertError::NotPem));
        assert_eq!(Cert::from_pem(&SERVICE.repeat(2)), Err(CertError::NotPem));
        assert_eq!(
            Cert::from_pem(&SERVICE.replace("MII", "M")),
            Err(CertError::NotPem)
        );
        assert_eq!(
            Cert::from_pem(&" ".repeat(MAX_CERT_BYTES + 1)),
            Err(CertError::TooLong)
        );
        assert_eq!(
            Cert::from_der(&[&der[..], &[0]].concat()),
            Err(CertError::NotDer)
        );
        assert_eq!(
            Cert::from_der(&der[..der.len() - 1]),
            Err(CertError::NotDer)
        );
    }

    #[test]
    fn no_changed_byte_leaves_a_certificate_that_is_endorsed() {
        let service = Cert::from_pem(SERVICE).unwrap();
        let der = Cert::from_pem(NODE).unwrap().der().to_vec();
        for place in 0..der.len() {
            for bit in 0..8 {
                let mut changed = der.clone();
                changed[place] ^= 1 << bit;
                let endorsed = Cert::from_der(&changed).is_ok_and(|it| it.is_signed_by(&service));
                assert!(!endorsed, "byte {place}, bit {bit}");
            }
        }
    }
}
