//! Public keys of nodes and services, and the three ways in which they sign.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{Digest as ProviderDigest, SHA256};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA384_ASN1,
    ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED,
    EcdsaVerificationAlgorithm, ParsedPublicKey,
};

use crate::digest::Digest;

/// The curve of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384, what services use unless told otherwise.
    P384,
}

/// The signature algorithm of a COSE message: one per curve (RFC 9053, section 2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CoseAlgorithm {
    /// ECDSA with P-256 and SHA-256, -7.
    Es256,
    /// ECDSA with P-384 and SHA-384, -35.
    Es384,
}

impl CoseAlgorithm {
    /// The algorithm with this COSE label, if it is one of ours.
    pub const fn from_label(label: i64) -> Option<Self> {
        match label {
            -7 => Some(Self::Es256),
            -35 => Some(Self::Es384),
            _ => None,
        }
    }

    /// The COSE label.
    pub const fn label(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::Es384 => -35,
        }
    }

    const fn curve(self) -> Curve {
        match self {
            Self::Es256 => Curve::P256,
            Self::Es384 => Curve::P384,
        }
    }
}

/// The digest with which a certificate is signed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum CertDigest {
    Sha256,
    Sha384,
}

/// The bytes are not the public key of a node or service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a public key is a SubjectPublicKeyInfo with an uncompressed point of P-256 or P-384")]
pub struct NotAKey;

/// The signature is not one that this key made over this message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature was not made by this key over this message")]
pub struct BadSignature;

/// An ECDSA public key, parsed once; cheap to clone.
#[derive(Clone)]
pub struct PublicKey(Arc<Inner>);

struct Inner {
    curve: Curve,
    spki: Vec<u8>,
    key_digest: Digest,
    /// The algorithm that is used most: a prehashed root in a DER signature.
    prehashed: ParsedPublicKey,
}

/// A DER SubjectPublicKeyInfo up to the point's 0x04, for which there is one spelling per curve.
const P256_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
const P384_PREFIX: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04,
];

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo. Other keys, other curves, compressed points and points off
    /// the curve are refused; so each key has one spelling and one digest.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, NotAKey> {
        let (curve, algorithm) = match spki.len() {
            91 if spki.starts_with(P256_PREFIX) => (Curve::P256, &ECDSA_P256_SHA256_ASN1),
            120 if spki.starts_with(P384_PREFIX) => (Curve::P384, &ECDSA_P384_SHA256_ASN1),
            _ => return Err(NotAKey),
        };
        let prehashed = ParsedPublicKey::new(algorithm, spki).map_err(|_| NotAKey)?;
        let key_digest = Digest::of(spki);
        Ok(Self(Arc::new(Inner {
            curve,
            spki: spki.to_vec(),
            key_digest,
            prehashed,
        })))
    }

    /// The curve.
    pub fn curve(&self) -> Curve {
        self.0.curve
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.0.spki
    }

    /// SHA-256 of the SubjectPublicKeyInfo: in hex it is a node's id, and the `kid` of COSE
    /// receipts.
    pub fn key_digest(&self) -> Digest {
        self.0.key_digest
    }

    /// The algorithm with which this key signs COSE messages.
    pub fn cose_algorithm(&self) -> CoseAlgorithm {
        match self.0.curve {
            Curve::P256 => CoseAlgorithm::Es256,
            Curve::P384 => CoseAlgorithm::Es384,
        }
    }

    /// Checks a DER signature over a root. The 32 bytes of the root are what ECDSA signs, they are
    /// not hashed again, for P-384 keys neither.
    pub fn verify_prehashed(&self, root: &Digest, signature: &[u8]) -> Result<(), BadSignature> {
        let root = ProviderDigest::import_less_safe(root.as_bytes(), &SHA256)
            .expect("a digest is as long as SHA-256");
        self.0
            .prehashed
            .verify_digest_sig(&root, signature)
            .map_err(|_| BadSignature)
    }

    /// Checks a COSE signature (`r || s`, each as long as the curve) over `message`. The algorithm
    /// must be the curve's own.
    pub fn verify_cose(
        &self,
        algorithm: CoseAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        if algorithm.curve() != self.0.curve {
            return Err(BadSignature);
        }
        let algorithm = match algorithm {
            CoseAlgorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
            CoseAlgorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
        };
        self.verify_once(algorithm, message, signature)
    }

    /// Checks the DER signature in a certificate over its to-be-signed part.
    pub(crate) fn verify_cert(
        &self,
        digest: CertDigest,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let algorithm = match (self.0.curve, digest) {
            (Curve::P256, CertDigest::Sha256) => &ECDSA_P256_SHA256_ASN1,
            (Curve::P256, CertDigest::Sha384) => &ECDSA_P256_SHA384_ASN1,
            (Curve::P384, CertDigest::Sha256) => &ECDSA_P384_SHA256_ASN1,
            (Curve::P384, CertDigest::Sha384) => &ECDSA_P384_SHA384_ASN1,
        };
        self.verify_once(algorithm, message, signature)
    }

    fn verify_once(
        &self,
        algorithm: &'static EcdsaVerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let key = ParsedPublicKey::new(algorithm, &self.0.spki).map_err(|_| BadSignature)?;
        key.verify_sig(message, signature).map_err(|_| BadSignature)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.spki == other.0.spki
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?}, {})", self.0.curve, self.0.key_digest)
    }
}

/// A root as the SHA-384-sized digest that a P-384 key signs through interfaces that insist on that
/// length.
///
/// ECDSA reads a digest as a number and takes at most as many of its leading bits as the curve's
/// order has, 384. So 16 leading zero bytes change neither number nor signature:
/// [`PublicKey::verify_prehashed`], like every verifier of CCF receipts, accepts it for the 32-byte
/// root.
pub fn prehashed_for_p384(root: &Digest) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[16..].copy_from_slice(root.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::SHA384;
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
        ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, KeyPair,
    };

    use super::*;

    fn pair(algorithm: &'static EcdsaSigningAlgorithm) -> (EcdsaKeyPair, PublicKey) {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let spki = pair.public_key().as_der().unwrap();
        let key = PublicKey::from_spki_der(spki.as_ref()).unwrap();
        (pair, key)
    }

    #[test]
    fn a_padded_root_signed_by_p384_is_a_signature_over_the_root() {
        let (pair, key) = pair(&ECDSA_P384_SHA384_ASN1_SIGNING);
        for text in [&b"one"[..], b"two", b"three"] {
            let root = Digest::of(text);
            let padded =
                ProviderDigest::import_less_safe(&prehashed_for_p384(&root), &SHA384).unwrap();
            let signature = pair.sign_digest(&padded).unwrap();
            assert_eq!(key.verify_prehashed(&root, signature.as_ref()), Ok(()));
            let other = Digest::of(b"other");
            assert_eq!(
                key.verify_prehashed(&other, signature.as_ref()),
                Err(BadSignature)
            );
        }
    }

    #[test]
    fn a_root_signed_by_p256_is_verified() {
        let (pair, key) = pair(&ECDSA_P256_SHA256_ASN1_SIGNING);
        let root = Digest::of(b"root");
        let digest = ProviderDigest::import_less_safe(root.as_bytes(), &SHA256).unwrap();
        let signature = pair.sign_digest(&digest).unwrap();
        assert_eq!(key.verify_prehashed(&root, signature.as_ref()), Ok(()));
        assert_eq!(
            key.verify_prehashed(&Digest::ZERO, signature.as_ref()),
            Err(BadSignature)
        );
    }

    #[test]
    fn cose_signatures_are_checked_with_the_algorithm_of_the_curve_only() {
        let random = SystemRandom::new();
        for (signing, right, wrong) in [
            (
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                CoseAlgorithm::Es256,
                CoseAlgorithm::Es384,
            ),
            (
                &ECDSA_P384_SHA384_FIXED_SIGNING,
                CoseAlgorithm::Es384,
                CoseAlgorithm::Es256,
            ),
        ] {
            let (pair, key) = pair(signing);
            let signature = pair.sign(&random, b"message").unwrap();
            assert_eq!(key.cose_algorithm(), right);
            assert_eq!(
                key.verify_cose(right, b"message", signature.as_ref()),
                Ok(())
            );
            assert_eq!(
                key.verify_cose(right, b"massage", signature.as_ref()),
                Err(BadSignature)
            );
            assert_eq!(
                key.verify_cose(wrong, b"message", signature.as_ref()),
                Err(BadSignature)
            );
        }
    }

    #[test]
    fn anything_but_an_uncompressed_point_on_a_known_curve_is_refused() {
        let (_, key) = pair(&ECDSA_P384_SHA384_ASN1_SIGNING);
        let spki = key.spki_der();
        let mut off_curve = spki.to_vec();
        off_curve[119] ^= 1;
        let longer = [spki, &[0]].concat();
        for bytes in [&[][..], &spki[..119], &longer, &off_curve, &spki[23..]] {
            assert_eq!(PublicKey::from_spki_der(bytes), Err(NotAKey));
        }
    }
}
