//! Sealing to one node: HPKE (RFC 9180), base mode, DHKEM(P-384, HKDF-SHA384), HKDF-SHA384, AES-256-GCM.

use std::fmt;

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use ledger::rekey::{NewSecret, OpensForNode, Sealed};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_P384_HKDF_SHA384_AES_256;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};
use verify::Digest;
use zeroize::Zeroizing;

use crate::identity::{self, IdentityError};

/// What a ledger secret is sealed for, and nothing else.
const SECRET: &[u8] = b"counterfoil ledger secret 1";
/// In front of the point in a SubjectPublicKeyInfo of a P-384 key (RFC 5480).
const P384_SPKI: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];

/// Seals to a public key, which is an uncompressed P-384 point, for the purpose `info`.
///
/// # Errors
/// The key is none.
pub(crate) fn seal(key: &[u8], info: &[u8], plaintext: &[u8]) -> Result<Sealed, &'static str> {
    let key = HpkePublicKey(key.to_vec());
    let (enc, ciphertext) = DH_KEM_P384_HKDF_SHA384_AES_256
        .seal(info, b"", plaintext, &key)
        .map_err(|_| "the encryption key is no P-384 public key")?;
    Ok(Sealed::new(&enc.0, &ciphertext))
}

/// Opens what was sealed for the purpose `info`; `None` where it was sealed to another key, for
/// another purpose, or was changed.
pub(crate) fn open(
    key: &HpkePrivateKey,
    info: &[u8],
    sealed: &Sealed,
) -> Option<Zeroizing<Vec<u8>>> {
    let (enc, ciphertext) = sealed.decoded()?;
    let opened =
        DH_KEM_P384_HKDF_SHA384_AES_256.open(&EncapsulatedSecret(enc), info, b"", &ciphertext, key);
    opened.map(Zeroizing::new).ok()
}

/// Seals a new ledger secret to a node's own key, which its evidence is about.
///
/// The key signs as well. That ECDSA and HPKE's encapsulation are safe together under one key on one
/// curve is shown by Degabriele et al., "On the Joint Security of Encryption and Signature in EMV",
/// 2012; the purposes are told apart by what is hashed.
///
/// # Errors
/// The key, a SubjectPublicKeyInfo in DER, is none.
pub(crate) fn seal_secret(node_key: &[u8], secret: &[u8; 32]) -> Result<Sealed, &'static str> {
    let point = node_key.strip_prefix(P384_SPKI);
    seal(point.ok_or("it is no P-384 public key")?, SECRET, secret)
}

/// A node's own key, which opens new ledger secrets.
pub(crate) struct NodeOpener {
    id: String,
    key: HpkePrivateKey,
}

impl NodeOpener {
    /// Opens with this key, PKCS#8.
    pub(crate) fn new(node_key: &[u8]) -> Result<Self, IdentityError> {
        let unusable = || IdentityError::Key { what: "node" };
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, node_key)
            .map_err(|_| unusable())?;
        let scalar = pair.private_key().as_be_bytes().map_err(|_| unusable())?;
        Ok(Self {
            id: Digest::of(&identity::public_key(node_key)?).to_string(),
            key: HpkePrivateKey::from(scalar.as_ref().to_vec()),
        })
    }
}

impl OpensForNode for NodeOpener {
    fn open(&self, row: &NewSecret) -> Option<Zeroizing<[u8; 32]>> {
        let sealed = row.encrypted_secrets.get(&self.id)?;
        let opened = open(&self.key, SECRET, sealed)?;
        Some(Zeroizing::new(opened.as_slice().try_into().ok()?))
    }
}

impl fmt::Debug for NodeOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeOpener({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_secret_opens_with_the_nodes_own_key_alone() {
        let [one, other] = [(); 2].map(|()| identity::draw_secrets().unwrap().node_key);
        let public = identity::public_key(&one).unwrap();
        let sealed = seal_secret(&public, &[7; 32]).unwrap();
        let row = |id: &str| NewSecret {
            version: 9,
            previous_version: 1,
            encrypted_secrets: [(id.to_owned(), sealed.clone())].into(),
        };
        let (one, other) = (
            NodeOpener::new(&one).unwrap(),
            NodeOpener::new(&other).unwrap(),
        );
        assert_eq!(one.id, Digest::of(&public).to_string());
        assert_eq!(*one.open(&row(&one.id)).unwrap(), [7; 32]);
        assert!(one.open(&row(&other.id)).is_none());
        assert!(other.open(&row(&other.id)).is_none());
        assert!(seal_secret(&public[1..], &[7; 32]).is_err());
    }
}
