//! How to see, without asking a node, what a transaction did.
//!
//! On other chains a block's header covers the transaction and its receipt; a ledger of ours claims both
//! in a receipt of its own. Whoever checks has one thing to trust: a block's hash, or the service
//! certificate.

use alloy_consensus::transaction::{SignerRecoverable, Transaction};
use alloy_consensus::{ReceiptEnvelope, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, BlockHash, Bytes, Log, TxHash, keccak256};
use alloy_rlp::Decodable;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use verify::ethereum::EthereumLog;
use verify::{Claim, ReceiptDocument, Verifier};

use crate::error::{AnchorError, BundleError};
use crate::header::preimage;
use crate::limits::{HEADER_BYTES_MAX, TRIE_NODES_MAX};
use crate::network::{Evidence, Network, Receipt};
use crate::trie;

/// How to see that a transaction is in the chain, and what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Proof {
    /// The block's header covers the transaction and its receipt.
    Header {
        /// The bytes whose Keccak-256 digest is the block's hash.
        header: Bytes,
        /// The place of the transaction and its receipt in the block.
        transaction_index: u64,
        /// The transaction, as it is in the block.
        transaction: Bytes,
        /// From the header's transactions root to the transaction.
        transaction_nodes: Vec<Bytes>,
        /// The receipt, as it is in the block.
        receipt: Bytes,
        /// From the header's receipts root to the receipt.
        receipt_nodes: Vec<Bytes>,
    },
    /// The ledger's receipt claims the transaction and its result.
    Ledger {
        /// The receipt, as `counterfoil_getReceipt` gives it.
        receipt: LedgerReceipt,
    },
}

/// A ledger's receipt, JSON that nobody has to read on the way.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct LedgerReceipt(Box<RawValue>);

impl PartialEq for LedgerReceipt {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for LedgerReceipt {}

/// Text cannot be had from inside a document whose kind is read first, so it is made anew.
impl<'de> Deserialize<'de> for LedgerReceipt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let receipt = Value::deserialize(deserializer)?;
        to_raw_value(&receipt).map(Self).map_err(D::Error::custom)
    }
}

/// What the one who checks believes.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// The block with this hash is final. Its number and all else follow.
    Block(BlockHash),
    /// This ledger's receipts.
    Service(&'a Verifier),
}

/// A transaction as a proof shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its hash.
    pub hash: TxHash,
    /// Who signed it.
    pub from: Address,
    /// Whom it called; nobody, if it made a contract.
    pub to: Option<Address>,
    /// The contract that it made.
    pub contract_address: Option<Address>,
    /// Whether it did what it should.
    pub succeeded: bool,
    /// What it left for others to see.
    pub logs: Vec<Log>,
    /// The block's hash; on a ledger of ours the root that the receipt's node signed.
    pub block_hash: BlockHash,
    /// What a header shows and a ledger's receipt does not.
    pub header: Option<InHeader>,
}

/// What a block's header and the transaction in it show beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InHeader {
    /// The block's number.
    pub number: u64,
    /// For which chain the transaction was signed, if it says so.
    pub chain_id: Option<u64>,
}

impl Proof {
    /// Makes the proof of a transaction that is in a final block, as the network's profile says.
    ///
    /// # Errors
    /// The node cannot be asked, or its answers do not fit together.
    pub async fn of(network: &Network, receipt: &Receipt) -> Result<Self, AnchorError> {
        match network.profile().evidence {
            Evidence::Header => by_header(network, receipt).await,
            Evidence::Ledger => Ok(Self::Ledger {
                receipt: LedgerReceipt(network.ledger_receipt(receipt.transaction_hash).await?),
            }),
        }
    }

    /// What the proof shows to one who trusts this.
    ///
    /// # Errors
    /// Something in it does not follow from what is trusted; the error says what.
    pub fn shows(&self, trust: Trust<'_>) -> Result<Shown, BundleError> {
        match (self, trust) {
            (
                Self::Header {
                    header,
                    transaction_index,
                    transaction,
                    transaction_nodes,
                    receipt,
                    receipt_nodes,
                },
                Trust::Block(trusted),
            ) => {
                let roots = trusted_roots(header, trusted)?;
                let in_block = |root, item: &Bytes, nodes: &[Bytes]| {
                    nodes.len() <= TRIE_NODES_MAX
                        && trie::proves(root, *transaction_index, item, nodes)
                };
                if !in_block(roots.transactions, transaction, transaction_nodes) {
                    return Err(BundleError::Broken("the transaction is not in the block"));
                }
                if !in_block(roots.receipts, receipt, receipt_nodes) {
                    return Err(BundleError::Broken("the receipt is not in the block"));
                }
                by_signature(transaction, receipt, roots.number, trusted)
            }
            (Self::Ledger { receipt }, Trust::Service(verifier)) => by_ledger(receipt, verifier),
            (Self::Header { .. }, _) => Err(BundleError::OtherTrust("a trusted block's hash")),
            (Self::Ledger { .. }, _) => Err(BundleError::OtherTrust("the service's certificate")),
        }
    }

    /// The block that a header is of: its hash, and its number. Whether that block is in the chain is
    /// for whoever trusts a node to ask.
    pub fn block(&self) -> Option<(BlockHash, u64)> {
        match self {
            Self::Header { header, .. } => Some((keccak256(header), Roots::of(header)?.number)),
            Self::Ledger { .. } => None,
        }
    }
}

fn trusted_roots(header: &Bytes, trusted: BlockHash) -> Result<Roots, BundleError> {
    if header.len() > HEADER_BYTES_MAX {
        return Err(BundleError::Broken("the header is longer than any is"));
    }
    let stated = keccak256(header);
    if stated != trusted {
        return Err(BundleError::Untrusted { stated, trusted });
    }
    Roots::of(header).ok_or(BundleError::Broken("the header cannot be read"))
}

/// A transaction and its receipt that are known to be in a block.
fn by_signature(
    transaction: &Bytes,
    receipt: &Bytes,
    number: u64,
    block_hash: BlockHash,
) -> Result<Shown, BundleError> {
    let broken = |what| BundleError::Broken(what);
    let sent = TxEnvelope::decode_2718_exact(transaction)
        .map_err(|_| broken("the transaction cannot be read"))?;
    let receipt = ReceiptEnvelope::<Log>::decode_2718_exact(receipt)
        .map_err(|_| broken("the receipt cannot be read"))?;
    let from = sent
        .recover_signer()
        .map_err(|_| broken("the transaction has no good signature"))?;
    let to = sent.to();
    Ok(Shown {
        hash: keccak256(transaction),
        from,
        to,
        contract_address: to.is_none().then(|| from.create(sent.nonce())),
        succeeded: receipt.status(),
        logs: receipt.logs().to_vec(),
        block_hash,
        header: Some(InHeader {
            number,
            chain_id: sent.chain_id(),
        }),
    })
}

fn by_ledger(
    LedgerReceipt(json): &LedgerReceipt,
    verifier: &Verifier,
) -> Result<Shown, BundleError> {
    let document = ReceiptDocument::from_json(json.get().as_bytes())?;
    let verified = verifier.verify_document(&document)?;
    let claims = document.claims.unwrap_or_default();
    let [Claim::EthereumTransaction(claimed)] = &claims[..] else {
        return Err(BundleError::Broken(
            "the receipt is not of a contract's transaction",
        ));
    };
    let log = |log: &EthereumLog| {
        let topics = log.topics.iter().map(|topic| B256::from(topic.0));
        Log::new_unchecked(
            log.address.0.into(),
            topics.collect(),
            log.data.clone().into(),
        )
    };
    Ok(Shown {
        hash: claimed.transaction_hash.0.into(),
        from: claimed.from.0.into(),
        to: claimed.to.map(|to| to.0.into()),
        contract_address: claimed.contract_address.map(|address| address.0.into()),
        succeeded: claimed.succeeded,
        logs: claimed.logs.iter().map(log).collect(),
        block_hash: verified.root.0.into(),
        header: None,
    })
}

/// The proof from the block's header, built from all transactions and receipts of the block.
async fn by_header(network: &Network, receipt: &Receipt) -> Result<Proof, AnchorError> {
    let place = receipt.block();
    let fault = |why: &str| AnchorError::Block {
        number: place.number,
        why: why.to_owned(),
    };
    let gone = || fault("the node does not have it any more");
    let block = network.block(place.hash).await?.ok_or_else(gone)?;
    let receipts = network.receipts(place.number).await?.ok_or_else(gone)?;
    let header = preimage(&block.header.inner, place.hash)
        .ok_or_else(|| fault("its hash is not made as Ethereum or a known consortium makes it"))?;
    let roots = Roots::of(&header).ok_or_else(|| fault("its header cannot be read"))?;
    let transactions = block
        .transactions
        .into_transactions()
        .map(|transaction| transaction.into_inner().encoded_2718());
    let transactions: Vec<_> = transactions.collect();
    let receipts = receipts
        .into_iter()
        .map(|receipt| receipt.into_primitives_receipt().inner.encoded_2718());
    let receipts: Vec<_> = receipts.collect();
    let index: u64 = receipt.transaction_index.to();
    let at = usize::try_from(index).unwrap_or(usize::MAX);
    let outside = || fault("the transaction is not in it");
    let (transactions_root, transaction_nodes) =
        trie::prove(&transactions, at).ok_or_else(outside)?;
    let (receipts_root, receipt_nodes) = trie::prove(&receipts, at).ok_or_else(outside)?;
    if transactions_root != roots.transactions {
        return Err(fault("its transactions are not those of its header"));
    }
    if receipts_root != roots.receipts {
        return Err(fault("its receipts are not those of its header"));
    }
    Ok(Proof::Header {
        header: header.into(),
        transaction_index: index,
        transaction: transactions[at].clone().into(),
        transaction_nodes,
        receipt: receipts[at].clone().into(),
        receipt_nodes,
    })
}

/// What of a header is looked at.
pub(crate) struct Roots {
    pub(crate) transactions: B256,
    pub(crate) receipts: B256,
    pub(crate) number: u64,
}

impl Roots {
    /// Reads them from a header's RLP, whatever newer fields stand at its end.
    pub(crate) fn of(header: &[u8]) -> Option<Self> {
        let mut rest = header;
        let list = alloy_rlp::Header::decode(&mut rest).ok()?;
        if !list.list || list.payload_length != rest.len() {
            return None;
        }
        for _ in ["parent", "ommers", "beneficiary", "state"] {
            skip(&mut rest)?;
        }
        let transactions = B256::decode(&mut rest).ok()?;
        let receipts = B256::decode(&mut rest).ok()?;
        for _ in ["bloom", "difficulty"] {
            skip(&mut rest)?;
        }
        let number = u64::decode(&mut rest).ok()?;
        Some(Self {
            transactions,
            receipts,
            number,
        })
    }
}

fn skip(rest: &mut &[u8]) -> Option<()> {
    let item = alloy_rlp::Header::decode(rest).ok()?;
    *rest = rest.get(item.payload_length..)?;
    Some(())
}
