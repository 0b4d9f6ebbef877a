//! What can go wrong, by whose fault, and what to do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_primitives::{Address, B256, TxHash};

use crate::fees::FeesError;
use crate::limits::{BATCH_RECORDS_MAX, DATA_BYTES_MAX, REFERENCE_BYTES_MAX, UNSETTLED_MAX};
use crate::signer::SignerError;

/// A node of the other chain was asked in vain.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NetworkError {
    /// The profile cannot be used: correct it.
    #[error("the profile cannot be used: {0}")]
    Setup(String),
    /// Nobody answers there: see whether the node runs, then try again.
    #[error("{url} cannot be reached")]
    Unreachable {
        /// The node.
        url: String,
        /// Why.
        source: Arc<reqwest::Error>,
    },
    /// The connection broke, or the answer took too long: try again.
    #[error("{url} did not answer {method}")]
    Interrupted {
        /// The node.
        url: String,
        /// What it was asked.
        method: String,
        /// Why.
        source: Arc<reqwest::Error>,
    },
    /// The answer is not what JSON-RPC says: this is no Ethereum node, or one that is overloaded.
    #[error("{url} answers {method} with something else: {why}")]
    Answer {
        /// The node.
        url: String,
        /// What it was asked.
        method: String,
        /// What is wrong with it.
        why: String,
    },
    /// The node understood and refuses.
    #[error("the node refuses {method}: {message} ({code})")]
    Refused {
        /// What it was asked.
        method: String,
        /// The error's number.
        code: i64,
        /// The node's own words.
        message: String,
        /// What a contract said that reverted.
        data: Option<String>,
    },
    /// Another chain answers there. Nothing was signed: correct the address or the chain id.
    #[error("{url} is chain {found}, and the profile says {configured}")]
    WrongChain {
        /// The node.
        url: String,
        /// What the profile says.
        configured: u64,
        /// What the node says.
        found: u64,
    },
}

/// A transaction could not be sent, or did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The node could not be asked. What was not given a ticket is not recorded.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The key cannot be used.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The network asks for more than the profile offers. Nothing was signed.
    #[error(transparent)]
    Fees(#[from] FeesError),
    /// The disk fails, or the folder is not ours. After a failed write nothing is sent any more until
    /// the outbox is opened again.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process uses this outbox. A key has one writer.
    #[error("another process uses {}: a key has one writer", dir.display())]
    Locked {
        /// The outbox.
        dir: PathBuf,
    },
    /// An earlier write failed, so the file's end is not known: open the outbox again.
    #[error("an earlier write to the outbox failed: open it again")]
    Stopped,
    /// The file was changed or damaged: restore it. If that cannot be done, begin a new folder after
    /// all transactions of the key are final.
    #[error("line {line} of {} is damaged: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The outbox belongs to another chain, key, or beginning of the chain: use another folder.
    #[error("{} belongs to {theirs}, not to {ours}: use another folder", path.display())]
    Another {
        /// The file.
        path: PathBuf,
        /// What stands in it.
        theirs: String,
        /// What it was opened for.
        ours: String,
    },
    /// Somebody else sends with this key, or the folder is an old copy. Find out who; when all is
    /// final, begin a new folder.
    #[error(
        "{address} has sent {chain} transactions, of which this outbox knows {ours}: the key is used \
         elsewhere, or this is an old copy of the outbox"
    )]
    KeyUsedElsewhere {
        /// The key's account.
        address: Address,
        /// What the chain counts.
        chain: u64,
        /// What was sent from here.
        ours: u64,
    },
    /// The chain has lost what the profile calls final: the profile is wrong, or the node is behind.
    #[error(
        "{address} has sent {ours} transactions that were final, and the node counts {chain}: it is \
         behind, or the chain lost what the profile calls final"
    )]
    LostFinal {
        /// The key's account.
        address: Address,
        /// What the chain counts.
        chain: u64,
        /// What was final.
        ours: u64,
    },
    /// Too long for a transaction.
    #[error("the call has {0} bytes of data, more than {DATA_BYTES_MAX}")]
    DataTooLong(usize),
    /// Not a name for a transaction.
    #[error("a reference has 1 to {REFERENCE_BYTES_MAX} bytes")]
    Reference,
    /// The same reference stands for another call.
    #[error("the reference {0:?} was given to another call")]
    ReferenceTaken(String),
    /// Too much is on its way: settle some of it first.
    #[error("{UNSETTLED_MAX} transactions are not final yet: settle some first")]
    Full,
    /// The call needs more gas than the profile allows.
    #[error("the call needs {needed} gas, and the profile allows {allowed}")]
    Gas {
        /// With the profile's margin.
        needed: u64,
        /// What the profile says.
        allowed: u64,
    },
    /// This outbox gave no such ticket.
    #[error("this outbox has no transaction number {0}")]
    NoSuchTicket(u64),
    /// It is final that the call failed.
    #[error("the transaction {hash} failed: {reason}")]
    Failed {
        /// The transaction.
        hash: TxHash,
        /// What is known of why.
        reason: String,
    },
    /// It is final that another transaction took the number.
    #[error("the number {nonce} was used by a transaction that this outbox did not sign")]
    Replaced {
        /// The number.
        nonce: u64,
    },
    /// Not final in the time that the profile gives. It stays in the outbox: settle it later.
    #[error("transaction number {nonce} is not final after {seconds} s: {last}")]
    Patience {
        /// The number.
        nonce: u64,
        /// How long it was waited for.
        seconds: u64,
        /// What is known of it.
        last: String,
    },
}

impl OutboxError {
    pub(crate) fn io<'a>(
        what: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}

/// Records could not be anchored.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// The root could not be sent, or is not final.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The node could not be asked.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// There is no anchor contract: deploy it, or correct its address.
    #[error("there is no anchor contract at {0}")]
    NoContract(Address),
    /// No tree, or too large a one.
    #[error("a batch has 1 to {BATCH_RECORDS_MAX} records, not {0}")]
    Size(usize),
    /// No batch with this root was submitted from this folder.
    #[error("there is no batch with the root {0} in this folder")]
    NoSuchBatch(B256),
    /// The file of a batch cannot be written or read.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of a batch is damaged: its records have to be anchored again.
    #[error("the batch {} is damaged: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The transaction is final, and its event is not there: the contract is not the anchor contract.
    #[error("{hash} is final, and has no event for the root: is {contract} the anchor contract?")]
    NoEvent {
        /// The transaction.
        hash: TxHash,
        /// The contract.
        contract: Address,
    },
    /// The block cannot be proven: the node's answers do not fit together, or the chain hashes its
    /// blocks in a way of its own.
    #[error("block {number} cannot be proven: {why}")]
    Block {
        /// The block.
        number: u64,
        /// What does not fit.
        why: String,
    },
    /// The proof that was made does not hold, so it is not handed out.
    #[error("the proof that was made does not hold")]
    Proof(#[from] BundleError),
    /// The collector has ended, or has too much to do: add the record again.
    #[error("the record was not anchored: {0}")]
    NotCollected(String),
}

impl AnchorError {
    pub(crate) fn io<'a>(
        what: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}

/// A proof proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not a proof of this kind and version, or larger than any is.
    #[error("this is not a proof of an anchored record: {0}")]
    Malformed(String),
    /// Another block than the one that is trusted.
    #[error("the proof is about block {stated}, and {trusted} is trusted")]
    Untrusted {
        /// What the proof says.
        stated: B256,
        /// What the verifier knows.
        trusted: B256,
    },
    /// The proof is of the other kind than what is trusted: a ledger is trusted by its service
    /// certificate, another chain by a block's hash.
    #[error("the proof needs {0} to be checked against")]
    OtherTrust(&'static str),
    /// Something does not lead to where it should.
    #[error("{0}")]
    Broken(&'static str),
    /// The ledger's receipt does not hold.
    #[error("the ledger's receipt does not hold")]
    Receipt(#[from] verify::ReceiptError),
}
