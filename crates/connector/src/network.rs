//! A chain as it is configured, and what is asked of it.

use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::ReceiptEnvelope;
use alloy_primitives::{Address, B256, BlockHash, Bytes, TxHash, U64, U256};
use alloy_rpc_types_eth::{Block, FeeHistory, Log, TransactionReceipt};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::{NetworkError, OutboxError};
use crate::fees::{Fees, Market, Price};
use crate::limits::SENDING_PATIENCE_MS;
use crate::rpc::Rpc;
use crate::status::Place;
use crate::together::Together;

/// The codes of methods that a node does not know, by JSON-RPC and by EIP-1474.
const NO_SUCH_METHOD: [i64; 2] = [-32_601, -32_004];

/// When a block cannot be replaced any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finality {
    /// As soon as it is there: QBFT, IBFT 2, Raft, and ours.
    Immediate,
    /// When so many blocks end with it: Clique, proof of work. 1 means the newest block.
    Confirmations(u64),
    /// When the network says so, with the tag `finalized`: proof of stake.
    Tag,
}

/// What proves, to one who asks no node, that a transaction is in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The roots in the block's header.
    Header,
    /// The ledger's own receipt: networks of ours, whose headers have no such roots.
    Ledger,
}

/// How a transaction is handed to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// `eth_sendRawTransaction`: the node answers when it has it, and is asked later what became of it.
    Told,
    /// `eth_sendRawTransactionSync` (EIP-7966): the node answers with the receipt. For networks where a
    /// transaction is in a block in less time than a question takes.
    Awaited,
}

/// How much gas a call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gas {
    /// Beyond the node's estimate, in per cent of it.
    pub margin_percent: u64,
    /// No call gets more.
    pub max: u64,
}

/// How a network is reached, paid and believed.
#[derive(Clone)]
pub struct Profile {
    /// The node: `https`, or `http` on this machine.
    pub url: String,
    /// Which chain has to answer there.
    pub chain_id: u64,
    /// Certificates to trust instead of the public ones, PEM: a ledger's service certificate.
    pub trust: Option<String>,
    /// A bearer token to be let in.
    pub bearer: Option<String>,
    /// A client certificate to be let in: its private key and its chain, PEM, in one text.
    pub identity: Option<String>,
    /// How transactions are handed over.
    pub sending: Sending,
    /// What transactions offer.
    pub fees: Fees,
    /// When a block is final.
    pub finality: Finality,
    /// What proves a transaction offline.
    pub evidence: Evidence,
    /// How much gas a call may use.
    pub gas: Gas,
    /// Between two looks at a transaction.
    pub poll: Duration,
    /// After which what is in no block is sent again.
    pub resend_after: Duration,
    /// How long [`crate::Outbox::settle`] waits.
    pub patience: Duration,
}

/// Says nothing of the token, and of the address only what is no secret.
impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile")
            .field("chain_id", &self.chain_id)
            .field("fees", &self.fees)
            .field("finality", &self.finality)
            .finish_non_exhaustive()
    }
}

impl Profile {
    /// A network of a consortium: free, final at once (QBFT, IBFT 2, Raft).
    pub fn consortium(url: impl Into<String>, chain_id: u64) -> Self {
        Self {
            url: url.into(),
            chain_id,
            trust: None,
            bearer: None,
            identity: None,
            sending: Sending::Told,
            fees: Fees::Free,
            finality: Finality::Immediate,
            evidence: Evidence::Header,
            gas: Gas {
                margin_percent: 20,
                max: 16_000_000,
            },
            poll: Duration::from_millis(500),
            resend_after: Duration::from_secs(15),
            patience: Duration::from_secs(120),
        }
    }

    /// A ledger of ours: free, final at once, with receipts of its own.
    pub fn counterfoil(url: impl Into<String>, chain_id: u64) -> Self {
        Self {
            evidence: Evidence::Ledger,
            sending: Sending::Awaited,
            poll: Duration::from_millis(20),
            resend_after: Duration::from_secs(2),
            ..Self::consortium(url, chain_id)
        }
    }

    /// A public network with proof of stake, which costs what the market asks.
    pub fn public(url: impl Into<String>, chain_id: u64, market: Market) -> Self {
        Self {
            fees: Fees::Market(market),
            finality: Finality::Tag,
            poll: Duration::from_secs(4),
            resend_after: Duration::from_secs(60),
            // Finality takes a quarter of an hour where all is well.
            patience: Duration::from_secs(3600),
            ..Self::consortium(url, chain_id)
        }
    }
}

/// What a node says of a transaction in a block.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The transaction.
    pub transaction_hash: TxHash,
    /// Its place in the block.
    pub transaction_index: U64,
    /// The block.
    pub block_hash: BlockHash,
    /// The block's number.
    pub block_number: U64,
    /// 1 if it succeeded.
    #[serde(default)]
    pub status: Option<U64>,
    /// Who signed it.
    pub from: Address,
    /// Whom it called; nobody, if it made a contract.
    #[serde(default)]
    pub to: Option<Address>,
    /// Gas that it used.
    pub gas_used: U64,
    /// The contract that it made.
    #[serde(default)]
    pub contract_address: Option<Address>,
    /// What it left for others to see.
    pub logs: Vec<Log>,
}

impl Receipt {
    /// Whether it did what it should.
    pub fn succeeded(&self) -> bool {
        self.status == Some(U64::ONE)
    }

    /// The block.
    pub fn block(&self) -> Place {
        Place {
            number: self.block_number.to(),
            hash: self.block_hash,
        }
    }
}

/// A chain that was asked who it is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Network {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    rpc: Arc<Rpc>,
    /// Transactions whose receipts are awaited, and receipts of a ledger of ours.
    sends: Together,
    proofs: Together,
    profile: Profile,
    genesis: BlockHash,
}

#[derive(Deserialize)]
struct Head {
    number: U64,
    hash: BlockHash,
}

impl Network {
    /// Connects, and makes sure that the right chain answers.
    ///
    /// # Errors
    /// The profile cannot be used, nobody answers, or another chain does.
    pub async fn connect(profile: Profile) -> Result<Self, NetworkError> {
        let rpc = Rpc::new(
            &profile.url,
            profile.trust.as_deref(),
            profile.bearer.as_deref(),
            profile.identity.as_deref(),
        )?;
        let found: U64 = rpc.ask("eth_chainId", json!([])).await?;
        if found.to::<u64>() != profile.chain_id {
            return Err(NetworkError::WrongChain {
                url: rpc.shown(),
                configured: profile.chain_id,
                found: found.to(),
            });
        }
        let first: Option<Head> = rpc
            .ask("eth_getBlockByNumber", json!(["0x0", false]))
            .await?;
        // A chain that has no first block yet is told apart by its id alone.
        let genesis = first.map_or(B256::ZERO, |block| block.hash);
        let rpc = Arc::new(rpc);
        let shared = Arc::new(Shared {
            sends: Together::start(Arc::clone(&rpc), "eth_sendRawTransactionSync"),
            proofs: Together::start(Arc::clone(&rpc), "counterfoil_getReceipt"),
            rpc,
            profile,
            genesis,
        });
        Ok(Self { shared })
    }

    /// How it is reached, paid and believed.
    pub fn profile(&self) -> &Profile {
        &self.shared.profile
    }

    /// The hash of its first block: two chains may have one id.
    pub fn genesis(&self) -> BlockHash {
        self.shared.genesis
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<T, NetworkError> {
        self.shared.rpc.ask(method, params).await
    }

    /// What a contract answers when it is asked, without a transaction.
    ///
    /// # Errors
    /// The node refuses, or the contract does.
    pub async fn read(&self, to: Address, data: &Bytes) -> Result<Bytes, NetworkError> {
        let call = json!({"to": to, "data": data, "input": data});
        self.ask("eth_call", json!([call, "latest"])).await
    }

    /// A contract's code; empty where there is none.
    ///
    /// # Errors
    /// The node cannot be asked.
    pub async fn code(&self, address: Address) -> Result<Bytes, NetworkError> {
        self.ask("eth_getCode", json!([address, "latest"])).await
    }

    /// Whether the network runs some code: it is tried as that of a new contract, without a transaction.
    ///
    /// # Errors
    /// The node cannot be asked.
    pub async fn executes(&self, code: &Bytes) -> Result<bool, NetworkError> {
        let call = json!({"data": code, "input": code});
        match self.ask::<U64>("eth_estimateGas", json!([call])).await {
            Ok(_) => Ok(true),
            Err(NetworkError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the node tells all receipts of a block, of which proofs by headers are made.
    ///
    /// # Errors
    /// The node cannot be asked, or refuses for another reason.
    pub async fn knows_receipts(&self) -> Result<bool, NetworkError> {
        match self.receipts(0).await {
            Err(NetworkError::Refused { code, .. }) if NO_SUCH_METHOD.contains(&code) => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    /// What the node says of a transaction; `None` while it is in no block.
    ///
    /// # Errors
    /// The node cannot be asked, or answers about another transaction.
    pub async fn receipt(&self, hash: TxHash) -> Result<Option<Receipt>, NetworkError> {
        const METHOD: &str = "eth_getTransactionReceipt";
        let receipt: Option<Receipt> = self.ask(METHOD, json!([hash])).await?;
        match &receipt {
            Some(receipt) if receipt.transaction_hash != hash => {
                let why = "it is about another transaction".to_owned();
                Err(self.shared.rpc.answer(METHOD, why))
            }
            _ => Ok(receipt),
        }
    }

    /// The hash of the block that has this number now; `None` if none has. What is asked of a node
    /// that one trusts, or of several, is what an offline check begins with.
    ///
    /// # Errors
    /// The node cannot be asked.
    pub async fn block_hash(&self, number: u64) -> Result<Option<BlockHash>, NetworkError> {
        let params = json!([U64::from(number), false]);
        let head: Option<Head> = self.ask("eth_getBlockByNumber", params).await?;
        Ok(head.map(|head| head.hash))
    }

    /// The number of the newest block with this tag; `None` where there is none yet.
    async fn head(&self, tag: &str) -> Result<Option<u64>, NetworkError> {
        let head: Option<Head> = self
            .ask("eth_getBlockByNumber", json!([tag, false]))
            .await?;
        Ok(head.map(|head| head.number.to()))
    }

    /// The highest block that is final by the profile; `None` if none is.
    pub(crate) async fn final_block(&self) -> Result<Option<u64>, NetworkError> {
        match self.profile().finality {
            Finality::Immediate => self.head("latest").await,
            Finality::Confirmations(count) => {
                let head = self.head("latest").await?;
                Ok(head.and_then(|head| (head + 1).checked_sub(count.max(1))))
            }
            Finality::Tag => self.head("finalized").await,
        }
    }

    /// The receipt of a transaction, from the chain as it is now.
    pub(crate) async fn mined(&self, hash: TxHash) -> Result<Option<Receipt>, NetworkError> {
        let Some(receipt) = self.receipt(hash).await? else {
            return Ok(None);
        };
        let block = receipt.block();
        // Some nodes still have receipts of blocks that were replaced.
        let is_there = self.profile().finality == Finality::Immediate
            || self.block_hash(block.number).await? == Some(block.hash);
        Ok(is_there.then_some(receipt))
    }

    /// The same of any of these transactions with one number, the oldest first: the newest is asked about first.
    pub(crate) async fn mined_of(
        &self,
        hashes: impl DoubleEndedIterator<Item = TxHash> + Send,
    ) -> Result<Option<Receipt>, NetworkError> {
        for hash in hashes.rev() {
            if let Some(receipt) = self.mined(hash).await? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    /// Whether a block can be replaced no more.
    pub(crate) async fn is_final(&self, block: Place) -> Result<bool, NetworkError> {
        if self.profile().finality == Finality::Immediate {
            return Ok(true);
        }
        // The order matters: what is final now is asked for before the block's hash.
        let newest = self.final_block().await?;
        Ok(newest.is_some_and(|newest| newest >= block.number)
            && self.block_hash(block.number).await? == Some(block.hash))
    }

    /// Whether an account has used a number for good.
    pub(crate) async fn has_used(
        &self,
        account: Address,
        nonce: u64,
    ) -> Result<bool, NetworkError> {
        let Some(block) = self.final_block().await? else {
            return Ok(false);
        };
        Ok(self.count(account, &format!("0x{block:x}")).await? > nonce)
    }

    /// How many transactions the account has in blocks (`latest`), with those that wait (`pending`),
    /// or up to a block (its number in hex).
    pub(crate) async fn count(&self, account: Address, at: &str) -> Result<u64, NetworkError> {
        let count: U64 = self
            .ask("eth_getTransactionCount", json!([account, at]))
            .await?;
        Ok(count.to())
    }

    /// The gas for a call, with the profile's margin.
    pub(crate) async fn estimate(&self, call: &Value) -> Result<u64, OutboxError> {
        let estimate: U64 = self.ask("eth_estimateGas", json!([call])).await?;
        let Gas {
            margin_percent,
            max,
        } = self.profile().gas;
        let estimate: u64 = estimate.to();
        let more = u128::from(estimate) * u128::from(margin_percent) / 100;
        let needed = estimate.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        if estimate > max {
            return Err(OutboxError::Gas {
                needed,
                allowed: max,
            });
        }
        Ok(needed.min(max))
    }

    /// What a transaction offers now.
    pub(crate) async fn price(&self) -> Result<Price, OutboxError> {
        match &self.profile().fees {
            Fees::Free => Ok(Price::Legacy(0)),
            Fees::Legacy { price, .. } => Ok(Price::Legacy(*price)),
            Fees::Market(market) => {
                let params = json!(["0xa", "latest", [f64::from(market.percentile.min(100))]]);
                let history: FeeHistory = self.ask("eth_feeHistory", params).await?;
                Ok(market.bid(&history)?)
            }
        }
    }

    /// Hands a transaction over. The receipt comes back where the profile has it awaited.
    pub(crate) async fn send_raw(&self, raw: &Bytes) -> Result<Option<Receipt>, NetworkError> {
        match self.profile().sending {
            Sending::Told => {
                let _: TxHash = self.ask("eth_sendRawTransaction", json!([raw])).await?;
                Ok(None)
            }
            Sending::Awaited => {
                let params = json!([raw, SENDING_PATIENCE_MS]);
                self.shared.sends.ask(params).await
            }
        }
    }

    /// Runs a call again as it was in a block, to learn why it failed.
    pub(crate) async fn replay(&self, call: &Value, block: u64) -> Result<Bytes, NetworkError> {
        self.ask("eth_call", json!([call, U64::from(block)])).await
    }

    /// A block with all its transactions.
    pub(crate) async fn block(&self, hash: BlockHash) -> Result<Option<Block>, NetworkError> {
        self.ask("eth_getBlockByHash", json!([hash, true])).await
    }

    /// All receipts of a block.
    pub(crate) async fn receipts(
        &self,
        number: u64,
    ) -> Result<Option<Vec<TransactionReceipt<ReceiptEnvelope<Log>>>>, NetworkError> {
        let params = json!([U64::from(number)]);
        self.ask("eth_getBlockReceipts", params).await
    }

    /// The ledger's own receipt, on networks of ours.
    pub(crate) async fn ledger_receipt(&self, hash: TxHash) -> Result<Box<RawValue>, NetworkError> {
        self.shared.proofs.ask(json!([hash])).await
    }

    /// Logs of a contract with these first topics in one block.
    pub(crate) async fn logs(
        &self,
        contract: Address,
        topics: [B256; 2],
        block: u64,
    ) -> Result<Vec<Log>, NetworkError> {
        let block = U64::from(block);
        let filter = json!({
            "address": contract, "topics": topics, "fromBlock": block, "toBlock": block,
        });
        self.ask("eth_getLogs", json!([filter])).await
    }

    /// What an account has, in wei.
    ///
    /// # Errors
    /// The node cannot be asked.
    pub async fn balance(&self, account: Address) -> Result<U256, NetworkError> {
        self.ask("eth_getBalance", json!([account, "latest"])).await
    }
}
