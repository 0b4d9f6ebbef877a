//! Contracts, while things go wrong: senders whose numbers must neither be left out nor used twice, and a
//! chain that must never have had another block.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256};
use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::load::Targets;
use super::witness::Witness;
use crate::http::Http;
use crate::random::Random;
use crate::wallet::{self, COUNTER, Raw, Wallet, ask, quantity};

/// Each with a contract of its own.
pub(crate) const SENDERS: usize = 3;
/// Blocks that are compared between the nodes in the end, the newest ones.
const COMPARED: u64 = 200;

/// What the senders know.
#[derive(Debug, Default)]
pub(crate) struct Chain(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    chain_id: Option<u64>,
    /// Transactions of each sender that it was told are committed, in the order of their numbers.
    committed: Vec<Vec<Raw>>,
    /// The hash of each block that anybody was told of.
    blocks: HashMap<u64, String>,
}

/// What came of it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sums {
    /// Transactions that senders were told are committed.
    pub(crate) committed: usize,
    /// Blocks that were the same at all nodes.
    pub(crate) blocks: u64,
}

impl Chain {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block that was once told of stays what it was.
    fn block(&self, witness: &Witness, number: u64, hash: &str, who: &str) {
        let mut known = self.known();
        let before = known
            .blocks
            .entry(number)
            .or_insert_with(|| hash.to_owned());
        if before != hash {
            let before = before.clone();
            drop(known);
            witness.violation(format!("{who}: block {number} is {hash}, and was {before}"));
        }
    }

    fn committed(&self, sender: usize) -> Vec<Raw> {
        let mut known = self.known();
        known.committed.resize(SENDERS, Vec::new());
        known.committed[sender].clone()
    }
}

/// A sender at work.
pub(crate) struct Sender {
    number: usize,
    wallet: Wallet,
    targets: Arc<Targets>,
    chain: Arc<Chain>,
    witness: Arc<Witness>,
    stop: Arc<AtomicBool>,
    random: Random,
}

impl Sender {
    pub(crate) fn new(
        number: usize,
        targets: &Arc<Targets>,
        chain: &Arc<Chain>,
        witness: &Arc<Witness>,
        stop: &Arc<AtomicBool>,
        random: Random,
    ) -> Result<Self> {
        Ok(Self {
            number,
            wallet: wallet_of(number)?,
            targets: Arc::clone(targets),
            chain: Arc::clone(chain),
            witness: Arc::clone(witness),
            stop: Arc::clone(stop),
            random,
        })
    }

    /// Sends one transaction after the other, each until it is committed, at whichever node; now and
    /// then the one after it first.
    pub(crate) async fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let Some(id) = self.chain_id().await else {
                self.pause().await;
                continue;
            };
            let next = self.chain.committed(self.number).len() as u64;
            let Ok(raw) = transaction(&self.wallet, id, next) else {
                return self.witness.violation("a wallet cannot sign".to_owned());
            };
            if next > 0 && self.random.below(6) == 0 {
                // It waits for the one before it, if the node knows what it is waiting for.
                if let Ok(later) = transaction(&self.wallet, id, next + 1) {
                    let node = self.any();
                    let params = json!([later.bytes]);
                    let _ = wallet::call(&node, "eth_sendRawTransaction", params).await;
                }
            }
            self.send(raw).await;
        }
    }

    /// Sends the same bytes until somebody says that they are committed. Its number is known to be the
    /// next one, so nothing but this transaction can have it.
    async fn send(&mut self, raw: Raw) {
        while !self.stop.load(Ordering::Relaxed) {
            let node = self.any();
            let sync = self.random.below(2) == 0;
            let method = if sync {
                "eth_sendRawTransactionSync"
            } else {
                "eth_sendRawTransaction"
            };
            match wallet::call(&node, method, json!([raw.bytes])).await {
                Ok(Ok(said)) => {
                    if sync {
                        self.look_at(&said, &raw);
                    }
                    return self.done(raw);
                }
                Ok(Err(error)) if error == "already known" => return self.done(raw),
                Ok(Err(error)) if error.starts_with("nonce too low") => {
                    let hash = raw.hash;
                    let sender = self.number;
                    return self.witness.violation(format!(
                        "sender {sender}: {hash} is refused, another one has its number: {error}"
                    ));
                }
                Ok(Err(error)) if error.starts_with("nonce too high") => {
                    let hash = raw.hash;
                    return self
                        .witness
                        .violation(format!("{hash}: what was committed is gone: {error}"));
                }
                // There is no leader, or it was lost, or the node is: the next one is asked.
                Ok(Err(_)) | Err(_) => self.pause().await,
            }
        }
    }

    fn look_at(&self, receipt: &Value, raw: &Raw) {
        let who = format!("the receipt of {}", raw.hash);
        if receipt["status"] != "0x1" {
            self.witness.violation(format!("{who}: {receipt}"));
        }
        if let (Ok(number), Some(hash)) = (
            quantity(&receipt["blockNumber"]),
            receipt["blockHash"].as_str(),
        ) {
            self.chain.block(&self.witness, number, hash, &who);
        }
    }

    fn done(&self, raw: Raw) {
        self.chain.known().committed[self.number].push(raw);
    }

    async fn chain_id(&mut self) -> Option<u64> {
        if let Some(id) = self.chain.known().chain_id {
            return Some(id);
        }
        let said = ask(&self.any(), "eth_chainId", json!([])).await.ok()?;
        let id = quantity(&said).ok()?;
        self.chain.known().chain_id = Some(id);
        Some(id)
    }

    fn any(&mut self) -> Http {
        let nodes = self.targets.serving();
        nodes[self.random.below(nodes.len())].passing().clone()
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.random.millis(5, 60)).await;
    }
}

fn wallet_of(number: usize) -> Result<Wallet> {
    Wallet::new([u8::try_from(number + 1)?; 32])
}

/// The first makes a counter, all others count.
fn transaction(wallet: &Wallet, chain: u64, nonce: u64) -> Result<Raw> {
    match nonce {
        0 => wallet.deploying(chain, 0, COUNTER),
        _ => Ok(wallet.calling(chain, nonce, wallet.address().create(0))),
    }
}

/// Compares what every node has with what senders were told. What does not fit is told to the witness.
pub(crate) async fn compare(
    nodes: &[(usize, Http)],
    chain: &Chain,
    witness: &Witness,
) -> Result<Sums> {
    let mut sums = Sums::default();
    for sender in 0..SENDERS {
        let committed = chain.committed(sender);
        sums.committed += committed.len();
        let wallet = wallet_of(sender)?;
        let mut counts = Vec::new();
        for (place, node) in nodes {
            let who = format!("node {place}, sender {sender}");
            counts.push(count(node, &wallet).await.context(who.clone())?);
            let (nonce, ..) = counts[counts.len() - 1];
            // One may have been on its way when its sender stopped.
            let told = committed.len() as u64;
            if nonce < told || nonce > told + 2 {
                witness.violation(format!("{who}: {nonce} are there, {told} were told"));
            }
            for wrong in one_by_one(node, &wallet, nonce).await? {
                witness.violation(format!("{who}: {wrong}"));
            }
            for raw in committed.iter().rev().take(5).chain(committed.first()) {
                let receipt = ask(node, "eth_getTransactionReceipt", json!([raw.hash])).await?;
                let hash = receipt["blockHash"].as_str().unwrap_or_default();
                match quantity(&receipt["blockNumber"]) {
                    Ok(number) => chain.block(witness, number, hash, &who),
                    Err(_) => witness.violation(format!("{who}: {} is lost", raw.hash)),
                }
            }
        }
        if counts.windows(2).any(|two| two[0] != two[1]) {
            witness.violation(format!("sender {sender}: the nodes differ: {counts:?}"));
        }
    }
    sums.blocks = blocks(nodes, chain, witness).await?;
    Ok(sums)
}

/// How many transactions a sender sent, and what its counter says.
async fn count(node: &Http, wallet: &Wallet) -> Result<(u64, u64)> {
    let address = wallet.address();
    let nonce = ask(node, "eth_getTransactionCount", json!([address, "latest"])).await?;
    let slot = json!([address.create(0), "0x0", "latest"]);
    let counter = ask(node, "eth_getStorageAt", slot).await?;
    Ok((quantity(&nonce)?, quantity(&counter)?))
}

/// The counter's logs say one, two, three, and so on, up to what it counted.
async fn one_by_one(node: &Http, wallet: &Wallet, nonce: u64) -> Result<Vec<String>> {
    let counter: Address = wallet.address().create(0);
    let filter = json!([{ "address": counter, "fromBlock": "0x0" }]);
    let logs = ask(node, "eth_getLogs", filter).await?;
    let logs = logs.as_array().context("logs are a list")?;
    let mut wrong = Vec::new();
    let calls = nonce.saturating_sub(1);
    if logs.len() as u64 != calls {
        wrong.push(format!("{calls} calls left {} logs", logs.len()));
    }
    for (expected, log) in (1u64..).zip(logs) {
        let said = quantity(&log["data"])?;
        if said != expected {
            wrong.push(format!("the log of call {expected} says {said}"));
        }
    }
    Ok(wrong)
}

/// The newest blocks are the same at all nodes, and those that anybody was told of.
async fn blocks(nodes: &[(usize, Http)], chain: &Chain, witness: &Witness) -> Result<u64> {
    let mut compared = 0;
    for (place, node) in nodes {
        let newest = quantity(&ask(node, "eth_blockNumber", json!([])).await?)?;
        let who = format!("node {place}");
        let mut child: Option<String> = None;
        for number in (newest.saturating_sub(COMPARED)..=newest).rev() {
            let asked = json!([format!("0x{number:x}"), false]);
            let block = ask(node, "eth_getBlockByNumber", asked).await?;
            let hash = block["hash"].as_str().context("a block has a hash")?;
            if hash == B256::ZERO.to_string() {
                witness.violation(format!("{who}: block {number} has no hash"));
            }
            if child.is_some_and(|parent| parent != hash) {
                witness.violation(format!(
                    "{who}: block {number} is not what the next one names"
                ));
            }
            child = block["parentHash"].as_str().map(str::to_owned);
            chain.block(witness, number, hash, &who);
            compared += 1;
        }
    }
    Ok(compared)
}
