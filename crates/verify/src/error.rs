//! Why a receipt is not believed.

use crate::cert::CertError;
use crate::digest::Digest;
use crate::tx_id::TxId;

/// A receipt, or the claims shown with it, failed a rule. One variant per rule; nothing that failed
/// one proves anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The document was cut, or is no receipt. Fetch it again from any node.
    #[error("the receipt cannot be read: {0}")]
    Malformed(String),
    /// A part is larger than in any honest receipt. Whoever made it was not a ledger.
    #[error("the receipt has {what} above the limit of {limit}")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// The limit, in bytes or pieces.
        limit: usize,
    },
    /// The server has not loaded the receipt yet (`"state": "Loading"`). Ask again.
    #[error("the server is still preparing the receipt; ask for it again")]
    NotReady,
    /// A certificate in the receipt is damaged. Fetch the receipt again.
    #[error("{which} in the receipt is not usable: {reason}")]
    Cert {
        /// Which one.
        which: &'static str,
        /// What is wrong with it.
        #[source]
        reason: CertError,
    },
    /// The receipt is about other claims: the entry that is shown with it is not the entry that was
    /// recorded, or belongs to another receipt.
    #[error("the claims are not those of the receipt: recorded {recorded}, shown {shown}")]
    Claims {
        /// The claims digest in the leaf.
        recorded: Digest,
        /// The digest of the claims that were shown.
        shown: Digest,
    },
    /// No trusted service vouches for the node that signed: the receipt is from another ledger, or
    /// the service certificate at hand is not the one in force.
    #[error("the trusted service does not endorse {0}")]
    NotEndorsed(&'static str),
    /// The stated node is not the one whose certificate is shown. The receipt was altered.
    #[error("the receipt names node {stated}, but its certificate is that of {actual}")]
    NodeId {
        /// What the receipt says.
        stated: Digest,
        /// What the certificate says.
        actual: Digest,
    },
    /// The root that follows from leaf and path was not signed by that key: leaf, path or signature
    /// was altered. The transaction is not proven to be in the ledger.
    #[error("the root {root} that follows from the receipt was not signed by {signer}")]
    Signature {
        /// The root computed from the receipt.
        root: Digest,
        /// Digest of the key that should have signed.
        signer: Digest,
    },
    /// A redundant digest contradicts what follows from the rest. The receipt was altered.
    #[error("the receipt states the {which} {stated}, but {actual} follows from it")]
    Stated {
        /// `leaf` or `root`.
        which: &'static str,
        /// What the receipt says.
        stated: Digest,
        /// What was computed.
        actual: Digest,
    },
    /// The commit evidence names no transaction.
    #[error("the commit evidence in the receipt names no transaction")]
    Evidence,
    /// The answer names another transaction than the receipt proves: the server mixed them up, or
    /// someone swapped the receipt.
    #[error("the answer is about transaction {stated}, but the receipt proves {proven}")]
    TxId {
        /// The id beside the receipt.
        stated: TxId,
        /// The id in the commit evidence.
        proven: TxId,
    },
    /// It is the receipt of a signature transaction: it proves a root, not that anything else was
    /// recorded. Ask for the receipt of the transaction itself.
    #[error("this is the receipt of a signature transaction: it proves a root and no entry")]
    SignatureTransaction,
    /// The COSE receipt was made for another kind of proof than this ledger's.
    #[error("the COSE receipt is of another kind: {0}")]
    WrongKind(&'static str),
    /// The COSE receipt was signed with another key than the trusted service's: it is from another
    /// ledger, or the service was recovered since and has a new key.
    #[error("the COSE receipt names a key other than that of the trusted service")]
    OtherKey,
}
