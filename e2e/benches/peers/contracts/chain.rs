//! The contract on a server, and those who write to it.

use std::env;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex, keccak256};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::servers::Server;
use crate::http::{self, Ran};

const ADD_EVENT: [u8; 4] = hex!("aade690e");
const ADD_RECORD: [u8; 4] = hex!("5f2764eb");
const ALLOW: [u8; 4] = hex!("987c5ced");
const RECORD: [u8; 4] = hex!("2c16cd8a");
const RECORD_ADDED: &str =
    "RecordAdded(bytes32,address,uint256,string,string,string,string,string)";

/// What is written.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// An event of five strings.
    Event,
    /// The same strings and a hash, kept in storage, and an event.
    Record,
}

/// The contract, deployed on a server.
pub(crate) struct Chain {
    /// Where it is.
    pub(crate) server: Server,
    id: u64,
    contract: Address,
    wallets: Vec<Wallet>,
    /// Operations so far; no two write the same.
    written: u64,
    /// Hashes of the transactions that everybody wrote last.
    pub(crate) hashes: Vec<B256>,
}

struct Wallet {
    key: e2e::wallet::Wallet,
    address: Address,
    nonce: u64,
}

impl Chain {
    /// Deploys the contract and lets `writers` write to it.
    pub(crate) async fn on(server: Server, writers: usize) -> Result<Self> {
        let address = server.address;
        let id = http::call(address, "eth_chainId", json!([])).await?;
        let id = id
            .as_str()
            .context("a chain's id")?
            .trim_start_matches("0x");
        let mut chain = Self {
            id: u64::from_str_radix(id, 16)?,
            contract: Address::ZERO,
            wallets: (1..=writers).map(Wallet::new).collect::<Result<_>>()?,
            written: 0,
            hashes: Vec::new(),
            server,
        };
        if let Some(fund) = chain.server.fund {
            for wallet in &chain.wallets {
                let wealth = json!([wallet.address, "0xffffffffffffffffffff"]);
                http::call(address, fund, wealth).await?;
            }
        }
        let allowed = chain.wallets.iter().map(|wallet| wallet.address);
        let allowed: Vec<U256> = allowed
            .map(|who| U256::from_be_slice(who.as_slice()))
            .collect();
        let mut input = ALLOW.to_vec();
        for word in [U256::from(32), U256::from(allowed.len())]
            .iter()
            .chain(&allowed)
        {
            input.extend(word.to_be_bytes::<32>());
        }
        let made = chain.sign_first(TxKind::Create, bytecode()?)?;
        chain.contract = chain.wallets[0].address.create(0);
        let allows = chain.sign_first(chain.contract.into(), input.into())?;
        for raw in [made, allows] {
            let hash = http::call(address, "eth_sendRawTransaction", json!([raw])).await?;
            let receipt = chain.receipt(&hash).await?;
            ensure!(receipt["status"] == "0x1", "{receipt}");
        }
        Ok(chain)
    }

    /// Everybody writes: `each` requests of `calls` operations over a connection of their own.
    pub(crate) async fn write(&mut self, work: Work, each: usize, calls: usize) -> Result<Ran> {
        let signed = self.sign(work, each * calls);
        self.hashes = signed.iter().flatten().map(keccak256).collect();
        let requests = signed.iter().map(|all| {
            let params: Vec<Value> = all.iter().map(|raw| json!([raw])).collect();
            let method = "eth_sendRawTransaction";
            let requests = params.chunks(calls).map(|some| match some {
                [one] => http::request(method, one),
                some => http::batch(method, some),
            });
            requests.collect()
        });
        let requests = requests.collect();
        let Server { address, pid, .. } = self.server;
        http::load(address, pid, requests, calls, async || self.settled().await).await
    }

    /// One writes, one operation after the other, each with its receipt in hand.
    pub(crate) async fn write_one_by_one(&mut self, count: usize) -> Result<Ran> {
        let raws = self.wallets[0].sign(self.id, self.contract, Work::Event, self.written, count);
        self.written += count as u64;
        self.wallets[0].nonce += count as u64;
        let request = |raw: &Bytes| http::request("eth_sendRawTransactionSync", &json!([raw]));
        self.read(vec![raws.iter().map(request).collect()]).await
    }

    /// Each list of requests over a connection of its own.
    pub(crate) async fn read(&self, requests: Vec<Vec<Vec<u8>>>) -> Result<Ran> {
        let Server { address, pid, .. } = self.server;
        http::load(address, pid, requests, 1, async || Ok(())).await
    }

    /// A request that calls the view which reads a record.
    pub(crate) fn reads_record(&self, id: u64) -> Vec<u8> {
        let mut input = RECORD.to_vec();
        input.extend(U256::from(id).to_be_bytes::<32>());
        let call = json!({"to": self.contract, "input": Bytes::from(input)});
        http::request("eth_call", &json!([call, "latest"]))
    }

    /// A request for the one log of a record, by the kind of event and its hash, as clients ask.
    pub(crate) fn finds_record(&self, written: u64) -> Vec<u8> {
        let topics = [keccak256(RECORD_ADDED), content_hash(written)];
        let filter = json!({
            "address": self.contract, "topics": topics, "fromBlock": "earliest",
        });
        http::request("eth_getLogs", &json!([filter]))
    }

    /// Operations so far.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    async fn receipt(&self, hash: &Value) -> Result<Value> {
        for _ in 0..100 {
            let asked = http::call(
                self.server.address,
                "eth_getTransactionReceipt",
                json!([hash]),
            );
            let receipt = asked.await?;
            if !receipt.is_null() {
                return Ok(receipt);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("no receipt of {hash}");
    }

    /// Waits until what everybody sent is in blocks.
    async fn settled(&self) -> Result<()> {
        for wallet in &self.wallets {
            loop {
                let asked = json!([wallet.address, "latest"]);
                let nonce =
                    http::call(self.server.address, "eth_getTransactionCount", asked).await?;
                if nonce == json!(format!("{:#x}", wallet.nonce)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// What each wallet sends, in its order; signed on all cores.
    fn sign(&mut self, work: Work, each: usize) -> Vec<Vec<Bytes>> {
        let (id, contract) = (self.id, self.contract);
        let first = self.written;
        self.written += (each * self.wallets.len()) as u64;
        let mut signed = vec![Vec::new(); self.wallets.len()];
        let share = self.wallets.len().div_ceil(2);
        thread::scope(|scope| {
            let wallets = self.wallets.chunks_mut(share);
            let firsts = (first..).step_by(each * share);
            for ((wallets, all), first) in wallets.zip(signed.chunks_mut(share)).zip(firsts) {
                scope.spawn(move || {
                    for ((wallet, all), first) in
                        wallets.iter_mut().zip(all).zip((first..).step_by(each))
                    {
                        *all = wallet.sign(id, contract, work, first, each);
                        wallet.nonce += each as u64;
                    }
                });
            }
        });
        signed
    }

    fn sign_first(&mut self, to: TxKind, input: Bytes) -> Result<Bytes> {
        let wallet = self.wallets.first_mut().context("somebody writes")?;
        let raw = wallet.raw(self.id, wallet.nonce, to, input, 8_000_000);
        wallet.nonce += 1;
        Ok(raw)
    }
}

impl Wallet {
    fn new(number: usize) -> Result<Self> {
        let key = keccak256(format!("writer {number}"));
        let key = e2e::wallet::Wallet::new(key.0)?;
        Ok(Self {
            address: key.address(),
            key,
            nonce: 0,
        })
    }

    /// The next `count` transactions; does not count them.
    fn sign(&self, id: u64, contract: Address, work: Work, first: u64, count: usize) -> Vec<Bytes> {
        let numbers = self.nonce..self.nonce + count as u64;
        let numbered = numbers.zip(first..);
        let signed = numbered.map(|(nonce, number)| {
            let input = input(work, number);
            self.raw(id, nonce, contract.into(), input, 400_000)
        });
        signed.collect()
    }

    fn raw(&self, chain_id: u64, nonce: u64, to: TxKind, input: Bytes, gas_limit: u64) -> Bytes {
        let transaction = TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 0,
            to,
            input,
            ..TxEip1559::default()
        };
        self.key.sign(transaction).bytes
    }
}

/// Five strings of the lengths that the paper's service writes, in its order.
fn texts(number: u64) -> [String; 5] {
    [
        "PUT /lots".to_owned(),
        format!("10.1.{}.{}", number >> 8 & 255, number & 255),
        format!("lot-{number:09}"),
        format!("a81bc81b-dead-4e5d-abff-{number:012x}"),
        format!("harvest weighed and packed, pallet {number:010}"),
    ]
}

fn content_hash(number: u64) -> B256 {
    keccak256(number.to_be_bytes())
}

fn input(work: Work, number: u64) -> Bytes {
    let texts = texts(number);
    let (selector, hash) = match work {
        Work::Event => (ADD_EVENT, None),
        Work::Record => (ADD_RECORD, Some(content_hash(number))),
    };
    let mut input = selector.to_vec();
    // A structure whose parts have no fixed length stands behind its place.
    if hash.is_some() {
        input.extend(U256::from(32).to_be_bytes::<32>());
    }
    let mut place = 32 * (texts.len() + usize::from(hash.is_some()));
    for text in &texts {
        input.extend(U256::from(place).to_be_bytes::<32>());
        place += 32 + text.len().next_multiple_of(32);
    }
    input.extend(hash.iter().flatten());
    for text in &texts {
        input.extend(U256::from(text.len()).to_be_bytes::<32>());
        input.extend(text.as_bytes());
        let padding = text.len().next_multiple_of(32) - text.len();
        input.resize(input.len() + padding, 0);
    }
    input.into()
}

fn bytecode() -> Result<Bytes> {
    #[derive(Deserialize)]
    struct Artifact {
        bytecode: Bytes,
    }
    let here = env::var_os("CARGO_MANIFEST_DIR").context("run it with cargo")?;
    let path = Path::new(&here).join("../contracts-sol/artifacts/bench/Events.json");
    let artifact = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let artifact: Artifact = serde_json::from_slice(&artifact)?;
    Ok(artifact.bytecode)
}
