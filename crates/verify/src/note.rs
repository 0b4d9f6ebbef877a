//! Signed notes (c2sp.org/signed-note): a text, and lines with signatures of any number of keys.
//!
//! ```text
//! TEXT, whose last line ends with a newline
//!
//! — NAME BASE64(key id, 4 bytes || signature)
//! ```
//!
//! A key is written as `NAME+KEY ID IN HEX+BASE64(type || key)` (a *vkey*). Three types are read:
//! Ed25519 (1), ECDSA with SHA-256 (2), and Ed25519 cosignatures with a time
//! (4, c2sp.org/tlog-cosignature). Signatures of keys that one does not know say nothing.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::digest::Digest;
use crate::key::PublicKey;
use crate::limits::{MAX_NOTE_BYTES, MAX_NOTE_NAME_BYTES, MAX_NOTE_SIGNATURES};

/// What a line with a signature begins with: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// Bytes of an Ed25519 signature.
const ED25519_LEN: usize = 64;

/// A note, a signature on it or a key for it is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is no note, or was cut. Fetch it again.
    #[error("the note cannot be read: {0}")]
    Malformed(&'static str),
    /// It is larger than any honest note.
    #[error("the note has {what} above the limit of {limit}")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The text of a key is none. Copy it again from where it was published.
    #[error("the verifier key cannot be read: {0}")]
    Key(&'static str),
    /// A key that is known has not signed this text: the text or the signature was altered.
    #[error("the signature of {0} on the note is not its own: the note was altered")]
    Signature(String),
}

/// The name of a key: not empty, without spaces and plus signs.
fn is_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= MAX_NOTE_NAME_BYTES;
    fits && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// One signature on a note, not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: String,
    /// A short digest of name and key; it tells keys apart, and proves nothing.
    pub key_id: [u8; 4],
    /// What the key made of the text.
    pub signature: Vec<u8>,
}

impl FromStr for NoteSignature {
    type Err = NoteError;

    /// Reads a line, without the newline at its end.
    fn from_str(line: &str) -> Result<Self, NoteError> {
        let parts = line
            .strip_prefix(DASH)
            .and_then(|line| line.split_once(' '));
        let (name, text) = parts.ok_or(NoteError::Malformed("a line is no signature"))?;
        if !is_name(name) {
            return Err(NoteError::Malformed("a signature has no name of a key"));
        }
        let bytes = STANDARD
            .decode(text)
            .map_err(|_| NoteError::Malformed("a signature is not base64"))?;
        match bytes.split_first_chunk() {
            Some((key_id, signature)) if !signature.is_empty() => Ok(Self {
                name: name.to_owned(),
                key_id: *key_id,
                signature: signature.to_vec(),
            }),
            _ => Err(NoteError::Malformed("a signature is too short")),
        }
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id[..], &self.signature].concat();
        write!(f, "{DASH}{} {}", self.name, STANDARD.encode(bytes))
    }
}

/// A text and the signatures on it, not checked yet. Written as it was read, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// A note of this text, which ends with a newline.
    ///
    /// # Errors
    /// [`NoteError::Malformed`]: it would not be read as it was written.
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        let note = Self { text, signatures };
        if Self::from_str(&note.to_string())? == note {
            return Ok(note);
        }
        Err(NoteError::Malformed(
            "the text ends otherwise than a note's",
        ))
    }

    /// What is signed, with the newline at its end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signatures, known or not.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// What this key says about the text; `None` where it has not signed.
    ///
    /// # Errors
    /// [`NoteError::Signature`]: what is shown as its signature is not.
    pub fn signed_by(&self, key: &VerifierKey) -> Result<Option<Said>, NoteError> {
        let mut said = None;
        let own = self
            .signatures
            .iter()
            .filter(|line| line.key_id == key.id && line.name == key.name);
        for line in own {
            let one = key.check(&self.text, &line.signature);
            let one = one.ok_or_else(|| NoteError::Signature(key.name.clone()))?;
            said.get_or_insert(one);
        }
        Ok(said)
    }
}

impl FromStr for SignedNote {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLarge {
                what: "bytes",
                limit: MAX_NOTE_BYTES,
            });
        }
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::Malformed("it has control characters"));
        }
        let end = note
            .rfind("\n\n")
            .ok_or(NoteError::Malformed("no empty line ends its text"))?;
        let lines = note[end + 2..]
            .strip_suffix('\n')
            .ok_or(NoteError::Malformed("it has no signatures, or was cut"))?;
        if lines.split('\n').count() > MAX_NOTE_SIGNATURES {
            return Err(NoteError::TooLarge {
                what: "signatures",
                limit: MAX_NOTE_SIGNATURES,
            });
        }
        let signatures = lines.split('\n').map(str::parse);
        Ok(Self {
            text: note[..=end].to_owned(),
            signatures: signatures.collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// What a key says by its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It signed the text.
    Signed,
    /// It cosigned the text as a checkpoint, at this time in seconds since 1970.
    Cosigned(u64),
}

/// The key itself, by type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteKey {
    /// Ed25519 over the text.
    Ed25519([u8; 32]),
    /// ECDSA over SHA-256 of the text, DER.
    Ecdsa(PublicKey),
    /// Ed25519 over a time and the text of a checkpoint.
    Cosignature([u8; 32]),
}

impl NoteKey {
    const fn kind(&self) -> u8 {
        match self {
            Self::Ed25519(_) => 1,
            Self::Ecdsa(_) => 2,
            Self::Cosignature(_) => 4,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) | Self::Cosignature(key) => key,
            Self::Ecdsa(key) => key.spki_der(),
        }
    }

    fn id(&self, name: &str) -> [u8; 4] {
        let digest = match self {
            Self::Ecdsa(key) => key.key_digest(),
            _ => Digest::of_parts(&[name.as_bytes(), b"\n", &[self.kind()], self.bytes()]),
        };
        let [a, b, c, d, ..] = digest.0;
        [a, b, c, d]
    }
}

/// A key that signs notes, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: NoteKey,
}

impl VerifierKey {
    /// A key under a name.
    ///
    /// # Errors
    /// [`NoteError::Key`]: the name is empty, too long, or has spaces or plus signs.
    pub fn new(name: impl Into<String>, key: NoteKey) -> Result<Self, NoteError> {
        let name = name.into();
        if !is_name(&name) {
            return Err(NoteError::Key("its name cannot be one"));
        }
        let id = key.id(&name);
        Ok(Self { name, id, key })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key.
    pub const fn key(&self) -> &NoteKey {
        &self.key
    }

    /// The line for a note with a signature that this key made. For a cosignature: see
    /// [`timestamped`].
    pub fn line(&self, signature: Vec<u8>) -> NoteSignature {
        NoteSignature {
            name: self.name.clone(),
            key_id: self.id,
            signature,
        }
    }

    /// What the signature says about the text; `None` where this key has not made it.
    fn check(&self, text: &str, signature: &[u8]) -> Option<Said> {
        let ed25519 = |key: &[u8; 32], message: &str, signature: &[u8]| {
            let key = UnparsedPublicKey::new(&ED25519, key);
            key.verify(message.as_bytes(), signature).ok()
        };
        match &self.key {
            NoteKey::Ed25519(key) => ed25519(key, text, signature).map(|()| Said::Signed),
            NoteKey::Ecdsa(key) => key
                .verify_prehashed(&Digest::of(text.as_bytes()), signature)
                .is_ok()
                .then_some(Said::Signed),
            NoteKey::Cosignature(key) => {
                let (time, signature) = signature.split_first_chunk()?;
                let time = u64::from_be_bytes(*time);
                let possible = i64::try_from(time).is_ok() && signature.len() == ED25519_LEN;
                let message = possible.then(|| cosigned_message(time, text))?;
                ed25519(key, &message, signature).map(|()| Said::Cosigned(time))
            }
        }
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        if text.len() > MAX_NOTE_BYTES {
            return Err(NoteError::Key("it is too long"));
        }
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("it is not NAME+ID+KEY"));
        };
        let bytes = STANDARD
            .decode(key)
            .map_err(|_| NoteError::Key("its key is not base64"))?;
        let (kind, bytes) = bytes.split_first().ok_or(NoteError::Key("it is empty"))?;
        let ed25519 = || {
            bytes
                .try_into()
                .map_err(|_| NoteError::Key("32 bytes are an Ed25519 key"))
        };
        let key = match kind {
            1 => NoteKey::Ed25519(ed25519()?),
            2 => {
                let key = PublicKey::from_spki_der(bytes);
                NoteKey::Ecdsa(key.map_err(|_| NoteError::Key("it is no key of P-256 or P-384"))?)
            }
            4 => NoteKey::Cosignature(ed25519()?),
            _ => return Err(NoteError::Key("its type is not known here")),
        };
        let read = Self::new(name, key)?;
        if id.len() != 8 || hex::encode(read.id) != id.to_ascii_lowercase() {
            return Err(NoteError::Key("its id is that of another name or key"));
        }
        Ok(read)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.key.kind()], self.key.bytes()].concat();
        let (id, key) = (hex::encode(self.id), STANDARD.encode(key));
        write!(f, "{}+{id}+{key}", self.name)
    }
}

/// What a cosigner signs: that at this time, in seconds since 1970, the checkpoint was the newest that
/// it knew of that ledger.
pub fn cosigned_message(time: u64, checkpoint: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{checkpoint}")
}

/// A cosignature as it stands in a note: the time, then Ed25519 over [`cosigned_message`].
pub fn timestamped(time: u64, signature: &[u8; 64]) -> Vec<u8> {
    [&time.to_be_bytes()[..], signature].concat()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    /// The example in the specification of signed notes, and its key as Go's tests have it.
    const EXAMPLE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    const EXAMPLE_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    fn pair(seed: u8) -> (Ed25519KeyPair, [u8; 32]) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let key = pair.public_key().as_ref().try_into().unwrap();
        (pair, key)
    }

    fn cosigned(text: &str, seed: u8, time: u64) -> (SignedNote, VerifierKey) {
        let (pair, key) = pair(seed);
        let key = VerifierKey::new("w/1", NoteKey::Cosignature(key)).unwrap();
        let message = cosigned_message(time, text);
        let signature = pair.sign(message.as_bytes()).as_ref().try_into().unwrap();
        let line = key.line(timestamped(time, &signature));
        (SignedNote::new(text.to_owned(), vec![line]).unwrap(), key)
    }

    #[test]
    fn a_note_and_a_key_that_others_made_are_read_and_believed() {
        let note: SignedNote = EXAMPLE.parse().unwrap();
        let key: VerifierKey = EXAMPLE_KEY.parse().unwrap();
        assert_eq!(note.signed_by(&key), Ok(Some(Said::Signed)));
        assert_eq!(
            (note.to_string(), key.to_string()),
            (EXAMPLE.to_owned(), EXAMPLE_KEY.to_owned())
        );
    }

    #[test]
    fn an_altered_text_is_not_believed() {
        let note: SignedNote = EXAMPLE.replace("answer", "anchor").parse().unwrap();
        let refused = note.signed_by(&EXAMPLE_KEY.parse().unwrap());
        assert_eq!(
            refused,
            Err(NoteError::Signature("PeterNeumann".to_owned()))
        );
    }

    #[test]
    fn a_cosignature_counts_with_its_time_and_under_its_own_name_only() {
        let (note, key) = cosigned("a\n1\nb\n", 1, 1_679_315_147);
        assert_eq!(
            note.signed_by(&key),
            Ok(Some(Said::Cosigned(1_679_315_147)))
        );
        let other = VerifierKey::new("w/2", key.key().clone()).unwrap();
        assert_eq!(note.signed_by(&other), Ok(None));
        // The same key as one that signs texts: another type has another id.
        let NoteKey::Cosignature(bytes) = key.key().clone() else {
            panic!("it cosigns")
        };
        let plain = VerifierKey::new("w/1", NoteKey::Ed25519(bytes)).unwrap();
        assert_eq!(note.signed_by(&plain), Ok(None));
        let mut line = note.signatures()[0].clone();
        line.signature[7] ^= 1;
        let later = SignedNote::new(note.text().to_owned(), vec![line]).unwrap();
        assert!(later.signed_by(&key).is_err(), "the time is signed");
    }

    #[test]
    fn one_good_signature_does_not_excuse_a_bad_one_of_the_same_key() {
        let (note, key) = cosigned("a\n1\nb\n", 1, 7);
        let mut bad = note.signatures()[0].clone();
        bad.signature[20] ^= 1;
        let both = vec![note.signatures()[0].clone(), bad];
        let note = SignedNote::new(note.text().to_owned(), both).unwrap();
        assert!(note.signed_by(&key).is_err());
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let line = EXAMPLE.lines().last().unwrap();
        for note in [
            String::new(),
            "text\n".to_owned(),
            "text\n\n".to_owned(),
            format!("text\n\n{line}"),
            format!("text\n{line}\n"),
            format!("te\txt\n\n{line}\n"),
            format!("text\n\n{}\n", line.replace('\u{2014}', "-")),
            format!("text\n\n{}\n", line.replace("PeterNeumann ", "")),
            format!("text\n\n{}\n", line.replace("PeterNeumann", "a+b")),
            format!("text\n\n{}\n", line.replace('=', "")),
            format!("text\n\n{DASH}name AAAA\n"),
            format!("text\n\n{line}\n\n"),
            format!(
                "text\n\n{}",
                format!("{line}\n").repeat(MAX_NOTE_SIGNATURES + 1)
            ),
            format!("{}\n\n{line}\n", "x".repeat(MAX_NOTE_BYTES)),
        ] {
            assert!(note.parse::<SignedNote>().is_err(), "{note:?}");
        }
        let line: NoteSignature = line.parse().unwrap();
        for text in ["no newline", ""] {
            assert!(
                SignedNote::new(text.to_owned(), vec![line.clone()]).is_err(),
                "{text:?}"
            );
        }
        assert!(SignedNote::new("text\n".to_owned(), Vec::new()).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in [
            "",
            "PeterNeumann",
            &EXAMPLE_KEY.replace("PeterNeumann", "Peter Neumann"),
            &EXAMPLE_KEY.replace("PeterNeumann", "Peter"),
            &EXAMPLE_KEY.replace("c74f", "c74e"),
            &EXAMPLE_KEY.replace("c74f", ""),
            &EXAMPLE_KEY.replace("+AR", "+BR"),
            &EXAMPLE_KEY.replace("TW", ""),
            "a+00000000+",
        ] {
            assert!(text.parse::<VerifierKey>().is_err(), "{text:?}");
        }
        for (_, key) in [pair(3), pair(4)] {
            for key in [NoteKey::Ed25519(key), NoteKey::Cosignature(key)] {
                let key = VerifierKey::new("n", key).unwrap();
                assert_eq!(key.to_string().parse(), Ok(key));
            }
        }
    }
}
