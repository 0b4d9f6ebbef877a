//! One transaction as it stands in the ledger, byte for byte as CCF writes it.
//!
//! ```text
//! header 8    u8 version = 1 | u8 flags | u48 length of all that follows
//! gcm 28      tag 16 | iv 12 (u64 seqno, u32 view)
//! u64         length of the public domain
//! public      u8 type = 4 | i64 seqno | claims digest 32 | commit evidence digest 32
//!             | i64 reserved | maps in clear
//! private     maps, AES-256-GCM, the public domain as additional data
//! ```
//! All integers little-endian. The drawing with its reasons: `docs/formats/entry.md`.

use verify::{Digest, TxId};

use crate::limits::ENTRY_BYTES_MAX;
use crate::secret::{DoesNotOpen, IV_LEN, LedgerSecret, TAG_LEN, iv, tx_id_of_iv};
use crate::write_set::{DamagedWriteSet, Domain, WriteSet};

/// Bytes before the length of the public domain starts counting: the header.
pub const HEADER_LEN: usize = 8;
const GCM_LEN: usize = TAG_LEN + IV_LEN;
const PUBLIC_AT: usize = HEADER_LEN + GCM_LEN + 8;
const PUBLIC_FIXED_LEN: usize = 1 + 8 + Digest::LEN + Digest::LEN + 8;
const VERSION: u8 = 1;
const WRITE_SET_WITH_EVIDENCE_AND_CLAIMS: u8 = 4;

/// The shortest entry: no tables at all.
pub const ENTRY_BYTES_MIN: usize = PUBLIC_AT + PUBLIC_FIXED_LEN;

/// What an entry contributes to the Merkle tree (draft-ietf-scitt-receipts-ccf-profile, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafDigests {
    /// Digest of the whole encoded entry.
    pub write_set_digest: Digest,
    /// Digest of the commit evidence.
    pub commit_evidence_digest: Digest,
    /// What the application claims; zero where it claims nothing.
    pub claims_digest: Digest,
}

impl LeafDigests {
    /// The leaf.
    pub fn leaf(&self) -> Digest {
        Digest::of_parts(&[
            &self.write_set_digest.0,
            &self.commit_evidence_digest.0,
            &self.claims_digest.0,
        ])
    }
}

/// Appends the entry for `writes` to `out` and returns its leaf.
///
/// # Panics
/// The entry is longer than [`ENTRY_BYTES_MAX`]: the limits on requests must stop that before.
pub fn encode(
    out: &mut Vec<u8>,
    id: TxId,
    writes: &WriteSet,
    claims_digest: Digest,
    secret: &LedgerSecret,
) -> LeafDigests {
    let start = out.len();
    let commit_evidence_digest = Digest::of(secret.commit_evidence(id).as_bytes());
    out.extend_from_slice(&[0; PUBLIC_AT]);
    out.push(WRITE_SET_WITH_EVIDENCE_AND_CLAIMS);
    out.extend_from_slice(&id.seqno.0.to_le_bytes());
    out.extend_from_slice(&claims_digest.0);
    out.extend_from_slice(&commit_evidence_digest.0);
    out.extend_from_slice(&0i64.to_le_bytes());
    writes.encode(Domain::Public, out);
    let private_at = out.len();
    writes.encode(Domain::Private, out);
    let length = out.len() - start;
    assert!(length <= ENTRY_BYTES_MAX, "an entry of {length} bytes");

    let (head, private) = out.split_at_mut(private_at);
    let tag = secret.seal(id, &head[start + PUBLIC_AT..], private);
    let entry = &mut out[start..];
    entry[..HEADER_LEN].copy_from_slice(&header(length - HEADER_LEN));
    entry[HEADER_LEN..HEADER_LEN + TAG_LEN].copy_from_slice(&tag);
    entry[HEADER_LEN + TAG_LEN..HEADER_LEN + GCM_LEN].copy_from_slice(&iv(id));
    let public_length = (private_at - start - PUBLIC_AT) as u64;
    entry[HEADER_LEN + GCM_LEN..PUBLIC_AT].copy_from_slice(&public_length.to_le_bytes());
    LeafDigests {
        write_set_digest: Digest::of(entry),
        commit_evidence_digest,
        claims_digest,
    }
}

fn header(rest: usize) -> [u8; HEADER_LEN] {
    // The upper two bytes of a u64 are version and flags, moved to the front.
    let length = (rest as u64).to_le_bytes();
    let mut header = [0; HEADER_LEN];
    header[0] = VERSION;
    header[2..].copy_from_slice(&length[..6]);
    header
}

/// Length of the entry that starts with `header`, header included.
///
/// # Errors
/// The version is unknown or the length is out of bounds.
pub fn length_of(header: [u8; HEADER_LEN]) -> Result<usize, DamagedEntry> {
    if header[0] != VERSION {
        return Err(DamagedEntry::Version(header[0]));
    }
    let mut length = [0; 8];
    length[..6].copy_from_slice(&header[2..]);
    let length = u64::from_le_bytes(length).saturating_add(HEADER_LEN as u64);
    match usize::try_from(length) {
        Ok(length) if (ENTRY_BYTES_MIN..=ENTRY_BYTES_MAX).contains(&length) => Ok(length),
        _ => Err(DamagedEntry::Length(length)),
    }
}

/// Why bytes are not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DamagedEntry {
    /// Written by a version that is not known here.
    #[error("the entry has format version {0}, this program knows version 1")]
    Version(u8),
    /// The length cannot be.
    #[error("an entry cannot have {0} bytes")]
    Length(u64),
    /// Fewer or more bytes than the entry says.
    #[error("the entry says it has {said} bytes, but has {found}")]
    Cut {
        /// What its header says.
        said: usize,
        /// What is there.
        found: usize,
    },
    /// The public domain does not fit into the entry.
    #[error("the entry's public part is longer than the entry")]
    PublicLength,
    /// Not an entry with claims and commit evidence.
    #[error("the entry has type {0}, only type 4 is written and read")]
    Type(u8),
    /// A snapshot, or two places that say different seqnos.
    #[error("the entry's two seqnos differ")]
    TwoSeqnos,
    /// The tables cannot be read.
    #[error(transparent)]
    WriteSet(#[from] DamagedWriteSet),
    /// The private part does not open.
    #[error(transparent)]
    Sealed(#[from] DoesNotOpen),
}

/// An encoded entry, split into its parts without copying.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    bytes: &'a [u8],
    /// Which transaction.
    pub id: TxId,
    /// What the application claimed; zero where nothing.
    pub claims_digest: Digest,
    /// Digest of the commit evidence.
    pub commit_evidence_digest: Digest,
    public_maps: &'a [u8],
    private: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Splits exactly one encoded entry. Neither digests nor seals are checked here: compare
    /// [`Entry::leaf`] with the tree.
    ///
    /// # Errors
    /// See [`DamagedEntry`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DamagedEntry> {
        let cut = |said| DamagedEntry::Cut {
            said,
            found: bytes.len(),
        };
        let header = *bytes
            .first_chunk::<HEADER_LEN>()
            .ok_or_else(|| cut(HEADER_LEN))?;
        let length = length_of(header)?;
        if length != bytes.len() {
            return Err(cut(length));
        }
        let public_length = u64::from_le_bytes(array(bytes, HEADER_LEN + GCM_LEN));
        let public_length =
            usize::try_from(public_length).map_err(|_| DamagedEntry::PublicLength)?;
        if public_length < PUBLIC_FIXED_LEN || public_length > length - PUBLIC_AT {
            return Err(DamagedEntry::PublicLength);
        }
        let (public, private) = bytes[PUBLIC_AT..].split_at(public_length);
        if public[0] != WRITE_SET_WITH_EVIDENCE_AND_CLAIMS {
            return Err(DamagedEntry::Type(public[0]));
        }
        let id = tx_id_of_iv(array(bytes, HEADER_LEN + TAG_LEN))
            .filter(|id| id.seqno.0 == u64::from_le_bytes(array(public, 1)))
            .ok_or(DamagedEntry::TwoSeqnos)?;
        Ok(Self {
            bytes,
            id,
            claims_digest: Digest(array(public, 9)),
            commit_evidence_digest: Digest(array(public, 9 + Digest::LEN)),
            public_maps: &public[PUBLIC_FIXED_LEN..],
            private,
        })
    }

    /// What it contributes to the Merkle tree.
    pub fn leaf_digests(&self) -> LeafDigests {
        LeafDigests {
            write_set_digest: Digest::of(self.bytes),
            commit_evidence_digest: self.commit_evidence_digest,
            claims_digest: self.claims_digest,
        }
    }

    /// Its leaf.
    pub fn leaf(&self) -> Digest {
        self.leaf_digests().leaf()
    }

    /// Reads the tables that are in clear.
    ///
    /// # Errors
    /// They are damaged.
    pub fn public_writes(&self) -> Result<WriteSet, DamagedEntry> {
        let mut writes = WriteSet::default();
        writes.decode(Domain::Public, self.public_maps)?;
        Ok(writes)
    }

    /// Whether there is a private part at all.
    pub fn has_private_part(&self) -> bool {
        !self.private.is_empty()
    }

    /// Reads all tables, private ones too.
    ///
    /// # Errors
    /// They are damaged, or the secret is another one.
    pub fn writes(&self, secret: &LedgerSecret) -> Result<WriteSet, DamagedEntry> {
        let mut writes = self.public_writes()?;
        self.add_private_writes(&mut writes, secret)?;
        Ok(writes)
    }

    /// Adds the private tables to those that are in clear, which were read before.
    ///
    /// # Errors
    /// They are damaged, or the secret is another one.
    pub fn add_private_writes(
        &self,
        writes: &mut WriteSet,
        secret: &LedgerSecret,
    ) -> Result<(), DamagedEntry> {
        if self.has_private_part() {
            let public_end = self.bytes.len() - self.private.len();
            let public = &self.bytes[PUBLIC_AT..public_end];
            let tag = array(self.bytes, HEADER_LEN);
            let maps = secret.open(self.id, &tag, public, self.private)?;
            writes.decode(Domain::Private, &maps)?;
        }
        Ok(())
    }
}

/// `N` bytes at `at`, which the caller has made sure of.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has N bytes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use verify::{Seqno, View};

    use super::*;
    use crate::tables::{CONSTITUTION, PRIVATE_ENTRIES};

    const ID: TxId = TxId::new(View(2), Seqno(17));

    fn sample() -> (Vec<u8>, WriteSet, LedgerSecret, LeafDigests) {
        let secret = LedgerSecret::new([7; 32]);
        let mut writes = WriteSet::default();
        writes.put(PRIVATE_ENTRIES, b"subledger:0", b"Hello world");
        writes.put(CONSTITUTION, b"", b"we agree");
        let mut bytes = b"before".to_vec();
        let leaf = encode(&mut bytes, ID, &writes, Digest::of(b"claims"), &secret);
        (bytes.split_off(6), writes, secret, leaf)
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let (bytes, writes, secret, leaf) = sample();
        let entry = Entry::parse(&bytes).unwrap();
        assert_eq!(entry.id, ID);
        assert_eq!(entry.claims_digest, Digest::of(b"claims"));
        assert_eq!(entry.leaf_digests(), leaf);
        assert_eq!(entry.writes(&secret).unwrap(), writes);
        assert_eq!(entry.public_writes().unwrap().iter().count(), 1);
        assert_eq!(
            entry.commit_evidence_digest,
            Digest::of(secret.commit_evidence(ID).as_bytes())
        );
    }

    #[test]
    fn no_private_plaintext_is_in_the_bytes() {
        let (bytes, ..) = sample();
        let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!has(b"Hello"));
        assert!(!has(b"subledger"));
        assert!(has(b"we agree"));
    }

    #[test]
    fn every_flipped_bit_changes_the_leaf_or_is_refused() {
        let (bytes, .., leaf) = sample();
        for at in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            if let Ok(entry) = Entry::parse(&damaged) {
                assert_ne!(entry.leaf(), leaf.leaf(), "bit {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            mut bytes in prop::collection::vec(any::<u8>(), ENTRY_BYTES_MIN..400)
        ) {
            let head = header(bytes.len() - HEADER_LEN);
            bytes[..HEADER_LEN].copy_from_slice(&head);
            bytes[HEADER_LEN + GCM_LEN + 1..PUBLIC_AT].fill(0);
            bytes[PUBLIC_AT] = 4;
            if let Ok(entry) = Entry::parse(&bytes) {
                let _ = entry.public_writes();
            }
        }
    }
}
