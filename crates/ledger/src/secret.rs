//! The ledger secret, and every key that is derived from it.
//!
//! Whoever holds it can read all private values and can make commit evidence. It never leaves the
//! attested nodes except as members' shares; on disk it is sealed to the platform.

use std::fmt::Write;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use verify::{Seqno, TxId, View};
use zeroize::Zeroizing;

/// Bytes of an authentication tag.
pub const TAG_LEN: usize = 16;
/// Bytes of an initialisation vector: seqno as u64, view as u32, both little-endian.
pub const IV_LEN: usize = 12;

/// 32 secret bytes and the keys derived from them.
///
/// Deriving costs a few hashes, so a node keeps one of these; it is cheap to share, not to clone.
pub struct LedgerSecret {
    bytes: Zeroizing<[u8; 32]>,
    entries: LessSafeKey,
    evidence: Key,
    claims: Key,
}

/// The bytes were sealed under another secret, or were changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes do not open: they were changed, or sealed under another ledger secret")]
pub struct DoesNotOpen;

impl LedgerSecret {
    /// The secret made of these bytes, which must be random.
    pub fn new(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self {
            entries: aead_key(&bytes),
            // CCF hands on the first eight bytes of its label "Commit Secret"; kept the same.
            evidence: Key::new(HMAC_SHA256, &*derive(&bytes, b"Commit S")),
            claims: Key::new(HMAC_SHA256, &*derive(&bytes, b"counterfoil claims")),
            bytes,
        }
    }

    /// The secret itself, to be sealed or split into shares.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// A key for another purpose, independent of all keys derived under other labels.
    pub fn derive(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        derive(&self.bytes, label)
    }

    /// Seals `plaintext` in place for the entry `id`; `public` is authenticated with it.
    ///
    /// A pair of seqno and view is sealed once only: views never come back, and a seqno is given
    /// out once in a view. That is what makes AES-GCM safe here.
    pub fn seal(&self, id: TxId, public: &[u8], plaintext: &mut [u8]) -> [u8; TAG_LEN] {
        let nonce = Nonce::assume_unique_for_key(iv(id));
        let tag = self
            .entries
            .seal_in_place_separate_tag(nonce, Aad::from(public), plaintext)
            .expect("an entry is far shorter than AES-GCM's limit of 64 GiB");
        tag.as_ref()
            .try_into()
            .expect("AES-256-GCM has tags of 16 bytes")
    }

    /// Opens what [`LedgerSecret::seal`] sealed.
    ///
    /// # Errors
    /// Tag, ciphertext or public part were changed, or this is another secret.
    pub fn open(
        &self,
        id: TxId,
        tag: &[u8; TAG_LEN],
        public: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(ciphertext.len() + TAG_LEN));
        bytes.extend_from_slice(ciphertext);
        bytes.extend_from_slice(tag);
        let nonce = Nonce::assume_unique_for_key(iv(id));
        let length = self
            .entries
            .open_in_place(nonce, Aad::from(public), &mut bytes)
            .map_err(|_| DoesNotOpen)?
            .len();
        bytes.truncate(length);
        Ok(bytes)
    }

    /// The commit evidence of a transaction: `ce:VIEW.SEQNO:NONCE`.
    ///
    /// Only its digest stands in the ledger, so whoever can show it was told so by a node that
    /// knows the secret, and nodes tell it only for what is committed.
    pub fn commit_evidence(&self, id: TxId) -> String {
        let mut evidence = String::with_capacity(EVIDENCE_LEN_MAX);
        write!(evidence, "ce:{id}:").expect("a string takes all that is written");
        let nonce = sign(&self.evidence, &evidence.as_bytes()[3..evidence.len() - 1]);
        let mut digits = [0; 64];
        hex::encode_to_slice(nonce.as_ref(), &mut digits).expect("32 bytes have 64 digits");
        evidence.push_str(std::str::from_utf8(&digits).expect("hex digits are ASCII"));
        evidence
    }

    /// The key that blinds the claims of one transaction. Nobody can guess claims from their digest
    /// without it, and it need not be stored.
    pub fn claims_key(&self, id: TxId) -> [u8; 32] {
        let mut place = [0; 16];
        place[..8].copy_from_slice(&id.view.0.to_le_bytes());
        place[8..].copy_from_slice(&id.seqno.0.to_le_bytes());
        let tag = sign(&self.claims, &place);
        tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    }
}

/// `ce:`, two numbers of 20 digits, two separators, 64 digits of the nonce.
const EVIDENCE_LEN_MAX: usize = 3 + 20 + 1 + 20 + 1 + 64;

impl std::fmt::Debug for LedgerSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LedgerSecret(..)")
    }
}

/// The initialisation vector of an entry, as CCF lays it out.
pub fn iv(id: TxId) -> [u8; IV_LEN] {
    let mut iv = [0; IV_LEN];
    iv[..8].copy_from_slice(&id.seqno.0.to_le_bytes());
    iv[8..].copy_from_slice(&(view_bits(id.view)).to_le_bytes());
    iv
}

/// The transaction that an initialisation vector belongs to, unless it is a snapshot's.
pub fn tx_id_of_iv(iv: [u8; IV_LEN]) -> Option<TxId> {
    let (seqno, view) = iv.split_at(8);
    let seqno = u64::from_le_bytes(seqno.try_into().expect("split at 8"));
    let view = u32::from_le_bytes(view.try_into().expect("4 are left"));
    let snapshot = view & SNAPSHOT_BIT != 0;
    (!snapshot).then(|| TxId::new(View(u64::from(view)), Seqno(seqno)))
}

const SNAPSHOT_BIT: u32 = 1 << 31;

fn view_bits(view: View) -> u32 {
    match u32::try_from(view.0) {
        Ok(bits) if bits < SNAPSHOT_BIT => bits,
        _ => panic!("view {view} does not fit the 31 bits that entries have for it"),
    }
}

fn aead_key(bytes: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("32 bytes are an AES-256 key"))
}

fn derive(bytes: &[u8; 32], label: &[u8]) -> Zeroizing<[u8; 32]> {
    let tag = sign(&Key::new(HMAC_SHA256, bytes), label);
    Zeroizing::new(tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TxId = TxId::new(View(2), Seqno(17));

    #[test]
    fn what_was_sealed_opens_only_unchanged_and_in_its_place() {
        let secret = LedgerSecret::new([7; 32]);
        let mut bytes = b"for us alone".to_vec();
        let tag = secret.seal(ID, b"public", &mut bytes);
        assert_ne!(bytes, b"for us alone");
        assert_eq!(
            &**secret.open(ID, &tag, b"public", &bytes).unwrap(),
            b"for us alone"
        );

        let elsewhere = TxId::new(View(3), Seqno(17));
        assert!(secret.open(elsewhere, &tag, b"public", &bytes).is_err());
        assert!(secret.open(ID, &tag, b"Public", &bytes).is_err());
        assert!(
            LedgerSecret::new([8; 32])
                .open(ID, &tag, b"public", &bytes)
                .is_err()
        );
        bytes[0] ^= 1;
        assert!(secret.open(ID, &tag, b"public", &bytes).is_err());
    }

    #[test]
    fn evidence_names_its_transaction_and_differs_for_each() {
        let secret = LedgerSecret::new([7; 32]);
        let evidence = secret.commit_evidence(ID);
        assert!(evidence.starts_with("ce:2.17:"));
        assert_eq!(evidence.len(), "ce:2.17:".len() + 64);
        let next = secret.commit_evidence(TxId::new(View(2), Seqno(18)));
        assert_ne!(evidence[8..], next[8..]);
    }

    #[test]
    fn an_iv_tells_its_transaction() {
        assert_eq!(tx_id_of_iv(iv(ID)), Some(ID));
        let mut snapshot = iv(ID);
        snapshot[11] |= 0x80;
        assert_eq!(tx_id_of_iv(snapshot), None);
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert_eq!(
            format!("{:?}", LedgerSecret::new([7; 32])),
            "LedgerSecret(..)"
        );
    }
}
