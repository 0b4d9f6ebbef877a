//! Who else saw the same history: a receipt's entry in a checkpoint that others countersigned.
//!
//! The service's own signature says that an entry is committed; whoever stole the service's key, or
//! runs a compromised node, could still show one history here and another there. Cosigners each keep
//! the one history that they verified, so they cannot all be shown to have signed both. Which
//! cosigners there are is told by people, not by the service: see [`Cosigners`].

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::checkpoint::{Checkpoint, origin_of};
use crate::error::ReceiptError;
use crate::limits::MAX_COSIGNERS_BYTES;
use crate::merkle::InclusionProof;
use crate::note::{NoteError, NoteKey, Said, SignedNote, VerifierKey};
use crate::receipt::Receipt;
use crate::verifier::Verifier;

/// A countersigned checkpoint, and the path from a receipt's leaf to its root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosigned {
    /// The checkpoint, with all signatures on it.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub checkpoint: SignedNote,
    /// From the leaf to the checkpoint's root.
    pub proof: InclusionProof,
}

fn as_text<S: Serializer>(note: &SignedNote, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(note)
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SignedNote, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// The cosigners that somebody knows, by organisation.
///
/// ```text
/// # Fetched from each organisation's own node, and compared by telephone.
/// [Orchard]
/// counterfoil/node/5f...+0d6a9f3c+BE...
/// [Carrier]
/// counterfoil/node/91...+77b1c0de+BH...
/// ```
/// One key on a line, under the name of its organisation; `#` begins a line that says nothing. An
/// organisation counts once, however many of its keys have signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cosigners {
    keys: Vec<(String, VerifierKey)>,
}

/// A file of cosigners is not used: whoever wrote it should correct it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the known cosigners: {why}")]
pub struct BadCosigners {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub why: String,
}

impl Cosigners {
    /// All keys, each with its organisation.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &VerifierKey)> {
        self.keys.iter().map(|(whose, key)| (whose.as_str(), key))
    }

    /// How many organisations there are.
    pub fn organisations(&self) -> usize {
        let mut names: Vec<_> = self.keys().map(|(whose, _)| whose).collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    }
}

impl FromStr for Cosigners {
    type Err = BadCosigners;

    fn from_str(text: &str) -> Result<Self, BadCosigners> {
        let mut cosigners = Self::default();
        let mut organisation = None;
        let too_long = (text.len() > MAX_COSIGNERS_BYTES).then(|| BadCosigners {
            line: 1,
            why: format!("the file has more than {MAX_COSIGNERS_BYTES} bytes"),
        });
        too_long.map_or(Ok(()), Err)?;
        for (line, number) in text.lines().zip(1..) {
            let bad = |why: &str| BadCosigners {
                line: number,
                why: why.to_owned(),
            };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                let name = name.strip_suffix(']').map(str::trim);
                let name = name.filter(|name| !name.is_empty());
                organisation = Some(name.ok_or_else(|| bad("an organisation is [NAME]"))?);
                continue;
            }
            let key: VerifierKey = line
                .parse()
                .map_err(|error: NoteError| bad(&error.to_string()))?;
            if !matches!(key.key(), NoteKey::Cosignature(_)) {
                return Err(bad(
                    "it is not the key of a cosigner, but one that signs texts",
                ));
            }
            let whose = organisation.ok_or_else(|| bad("say first whose key it is: [NAME]"))?;
            if cosigners
                .keys
                .iter()
                .any(|(_, other)| other.key() == key.key())
            {
                return Err(bad("the same key stands there twice"));
            }
            cosigners.keys.push((whose.to_owned(), key));
        }
        Ok(cosigners)
    }
}

/// What a countersigned receipt proves besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// The checkpoint that has the entry below it.
    pub checkpoint: Checkpoint,
    /// The known organisations that countersigned it, each with the latest time at which it did, in
    /// seconds since 1970.
    pub organisations: BTreeMap<String, u64>,
}

/// Why it is not believed that enough others saw the same history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignError {
    /// The receipt itself does not hold.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// Nobody was asked. Ask for the receipt again, with cosignatures.
    #[error("the receipt carries no cosignatures; fetch it again, as JSON and with cosignatures")]
    None,
    /// The checkpoint in the receipt is damaged, or a cosignature on it was altered.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The checkpoint is another ledger's.
    #[error("the countersigned checkpoint is of {found:?}, not of the trusted service")]
    Origin {
        /// What it says.
        found: String,
    },
    /// The entry of the receipt is not in the countersigned history, or not at that place: **two
    /// histories exist**, or the receipt was altered. Keep it, and show it to the other organisations.
    #[error(
        "the entry is not at its place in the countersigned history of size {size}: the receipt was \
         altered, or the ledger has two histories"
    )]
    OtherHistory {
        /// The size of the countersigned tree.
        size: u64,
    },
    /// Too few organisations that are known here countersigned. Ask again when more nodes can be
    /// reached, or compare the known cosigners with those of the organisations.
    #[error("{found} of the {required} required organisations countersigned this history")]
    TooFew {
        /// How many did.
        found: usize,
        /// How many must.
        required: usize,
    },
}

impl Verifier {
    /// Checks the receipt of a transaction, and that at least `required` of the organisations that
    /// are known countersigned a history with the same entry at the same place.
    ///
    /// # Errors
    /// See [`CosignError`].
    pub fn verify_cosigned(
        &self,
        receipt: &Receipt,
        cosigners: &Cosigners,
        required: usize,
    ) -> Result<Witnessed, CosignError> {
        let verified = self.verify(receipt, None)?;
        let cosigned = receipt.cosigned.as_ref().ok_or(CosignError::None)?;
        let checkpoint = Checkpoint::parse(cosigned.checkpoint.text())?;
        // An earlier service that led to the trusted one is the same ledger before a recovery.
        let identity = self.identity();
        let services = std::iter::once(&identity.cert)
            .chain(&identity.previous)
            .chain(&receipt.service_endorsements);
        let mut origins = services.map(|service| origin_of(&service.key_digest()));
        if !origins.any(|origin| origin == checkpoint.origin) {
            let found = checkpoint.origin;
            return Err(CosignError::Origin { found });
        }
        let size = checkpoint.size;
        let components = receipt.leaf_components();
        let leaf = components.ok_or(ReceiptError::SignatureTransaction)?.leaf();
        let there = cosigned.proof.leaf_index(size) == Some(verified.tx_id.seqno.0)
            && cosigned.proof.root(leaf) == checkpoint.root;
        if !there {
            return Err(CosignError::OtherHistory { size });
        }
        let mut organisations = BTreeMap::new();
        for (organisation, key) in cosigners.keys() {
            if let Some(Said::Cosigned(time)) = cosigned.checkpoint.signed_by(key)? {
                let latest: &mut u64 = organisations.entry(organisation.to_owned()).or_default();
                *latest = time.max(*latest);
            }
        }
        let found = organisations.len();
        if found < required {
            return Err(CosignError::TooFew { found, required });
        }
        Ok(Witnessed {
            checkpoint,
            organisations,
        })
    }
}
