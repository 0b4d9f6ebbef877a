//! Checkpoints (c2sp.org/tlog-checkpoint): the root of a ledger's tree at a size, as text to be signed.
//!
//! ```text
//! counterfoil/ccf-merkle/SERVICE     origin: hex digest of the service's public key
//! 117                                how many leaves the tree has
//! BASE64                             its root
//! ```
//! The tree is CCF's ([`crate::merkle`]), which hashes without the prefixes of RFC 6962: the origin
//! says so, because a tool that follows the log has to know.

use crate::digest::Digest;
use crate::note::NoteError;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a node's key signs so that its cosigning key is believed to be its own.
const BINDING: &[u8] = b"counterfoil cosigner 1";

/// The root of a ledger's tree at one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger: see [`origin_of`].
    pub origin: String,
    /// How many leaves the tree has: the seqno of the signature entry that signs this root.
    pub size: u64,
    /// Its root.
    pub root: Digest,
}

/// The origin of the checkpoints of the service whose key has this digest.
pub fn origin_of(service: &Digest) -> String {
    format!("counterfoil/ccf-merkle/{service}")
}

/// The name under which a node cosigns: its id is the digest of its key.
pub fn cosigner_name(node: &Digest) -> String {
    format!("counterfoil/node/{node}")
}

/// What a node signs with its own key, as a prehashed digest: that it cosigns with this Ed25519 key in
/// this service's network.
pub fn cosigner_binding(service: &Digest, cosigning_key: &[u8; 32]) -> Digest {
    Digest::of_parts(&[BINDING, &service.0, cosigning_key])
}

impl Checkpoint {
    /// A checkpoint of the service whose key has this digest.
    pub fn of_service(service: &Digest, size: u64, root: Digest) -> Self {
        Self {
            origin: origin_of(service),
            size,
            root,
        }
    }

    /// The text to sign.
    pub fn text(&self) -> String {
        let root = STANDARD.encode(self.root.0);
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// Reads the text of a note. Lines after the third are allowed and mean nothing here.
    ///
    /// # Errors
    /// [`NoteError::Malformed`]: it is no checkpoint.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let malformed = |what| Err(NoteError::Malformed(what));
        let lines = text.strip_suffix('\n').map(|text| text.split('\n'));
        let Some(mut lines) = lines else {
            return malformed("a checkpoint ends with a newline");
        };
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return malformed("a checkpoint has three lines");
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return malformed("a line of the checkpoint is empty");
        }
        let number: Option<u64> = size.parse().ok();
        let Some(number) = number.filter(|number| number.to_string() == size) else {
            return malformed("the size of the checkpoint is no number");
        };
        let root = STANDARD.decode(root).unwrap_or_default();
        let Ok(root) = Digest::try_from(&root[..]) else {
            return malformed("the root of the checkpoint is no digest in base64");
        };
        Ok(Self {
            origin: origin.to_owned(),
            size: number,
            root,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        let service = Digest::of(b"service");
        let checkpoint = Checkpoint::of_service(&service, 117, Digest::of(b"root"));
        let text = checkpoint.text();
        assert!(text.starts_with(&format!("counterfoil/ccf-merkle/{service}\n117\n")));
        assert_eq!(Checkpoint::parse(&text), Ok(checkpoint.clone()));
        assert_eq!(Checkpoint::parse(&format!("{text}more\n")), Ok(checkpoint));
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let good = "o\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert!(Checkpoint::parse(good).is_ok());
        for (from, to) in [
            ("o\n", "\n"),
            ("7\n", "07\n"),
            ("7\n", "+7\n"),
            ("7\n", "-7\n"),
            ("7\n", "99999999999999999999\n"),
            ("7\n", ""),
            ("Cs", ""),
            ("=\n", "="),
            ("=\n", "=\n\nmore\n"),
        ] {
            let text = good.replacen(from, to, 1);
            assert!(Checkpoint::parse(&text).is_err(), "{text:?}");
        }
    }
}
