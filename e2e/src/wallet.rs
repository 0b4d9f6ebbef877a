//! Somebody with a key, who signs transactions for the ledger's contracts.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind};
use anyhow::{Context, Result, ensure};
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::{Value, json};

use crate::http::Http;

/// Adds one to slot 0 and logs the new value under topic 5.
pub const COUNTER: &[u8] = &[
    0x5f, 0x54, 0x60, 0x01, 0x01, 0x80, 0x5f, 0x55, 0x5f, 0x52, 0x60, 0x05, 0x60, 0x20, 0x5f, 0xa1,
    0x00,
];

/// What is enough for any transaction of the tests.
const GAS: u64 = 300_000;

/// Somebody with a key.
#[derive(Debug, Clone)]
pub struct Wallet(SecretKey);

/// A transaction as it is sent, and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// The bytes.
    pub bytes: Bytes,
    /// Their hash.
    pub hash: B256,
}

impl Wallet {
    /// The same key for the same bytes.
    ///
    /// # Errors
    /// When they are no key: all zeros.
    pub fn new(key: [u8; 32]) -> Result<Self> {
        Ok(Self(SecretKey::from_byte_array(key).context("a key")?))
    }

    /// The account.
    pub fn address(&self) -> Address {
        let key = self.0.public_key(SECP256K1).serialize_uncompressed();
        Address::from_raw_public_key(&key[1..])
    }

    /// What makes a contract of this code, which has up to 255 bytes.
    ///
    /// # Errors
    /// When it has more.
    pub fn deploying(&self, chain: u64, nonce: u64, code: &[u8]) -> Result<Raw> {
        let length = u8::try_from(code.len()).context("a short contract")?;
        // PUSH1 length, DUP1, PUSH1 11, PUSH1 0, CODECOPY, PUSH1 0, RETURN
        let head = [0x60, length, 0x80, 0x60, 11, 0x60, 0, 0x39, 0x60, 0, 0xf3];
        let input = [&head, code].concat();
        Ok(self.sign(transaction(chain, nonce, TxKind::Create, input)))
    }

    /// A call of a contract.
    pub fn calling(&self, chain: u64, nonce: u64, contract: Address) -> Raw {
        self.sign(transaction(chain, nonce, contract.into(), Vec::new()))
    }

    /// What a wallet sends.
    pub fn sign<T>(&self, transaction: T) -> Raw
    where
        T: SignableTransaction<Signature>,
        TxEnvelope: From<alloy_consensus::Signed<T>>,
    {
        let signature = self.signed(transaction.signature_hash());
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        Raw {
            bytes: envelope.encoded_2718().into(),
            hash: *envelope.tx_hash(),
        }
    }

    /// Signs a digest.
    pub fn signature(&self, digest: B256) -> Bytes {
        self.signed(digest).as_bytes().to_vec().into()
    }

    fn signed(&self, digest: B256) -> Signature {
        let message = Message::from_digest(digest.0);
        let signature = SECP256K1.sign_ecdsa_recoverable(message, &self.0);
        let (recovery, bytes) = signature.serialize_compact();
        Signature::from_bytes_and_parity(&bytes, i32::from(recovery) == 1)
    }
}

/// A transaction without a fee, to be signed.
fn transaction(chain: u64, nonce: u64, to: TxKind, input: Vec<u8>) -> TxEip1559 {
    TxEip1559 {
        chain_id: chain,
        nonce,
        gas_limit: GAS,
        to,
        input: input.into(),
        ..TxEip1559::default()
    }
}

/// What a node answered over JSON-RPC.
pub type Said = Result<Value, String>;

/// Calls a method at a node; the answer is its result, or the text of its error.
///
/// # Errors
/// When no answer comes, or another one than JSON-RPC's.
pub async fn call(node: &Http, method: &str, params: Value) -> Result<Said> {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer = node.post("/rpc", &request).await?;
    let said: Value = answer.json()?;
    if let Some(error) = said["error"]["message"].as_str() {
        return Ok(Err(error.to_owned()));
    }
    Ok(Ok(said["result"].clone()))
}

/// Reads what must be there.
///
/// # Errors
/// When no answer comes, or an error.
pub async fn ask(node: &Http, method: &str, params: Value) -> Result<Value> {
    let said = call(node, method, params).await?;
    said.map_err(|error| anyhow::anyhow!("{method}: {error}"))
}

/// A number as Ethereum's JSON-RPC writes it.
///
/// # Errors
/// When it is none.
pub fn quantity(value: &Value) -> Result<u64> {
    let text = value
        .as_str()
        .with_context(|| format!("{value} is no number"))?;
    let digits = text.strip_prefix("0x").unwrap_or_default();
    ensure!(!digits.is_empty(), "{value} is no number");
    // Of a word only the last digits can be other than zero here.
    let digits = digits
        .get(digits.len().saturating_sub(16)..)
        .unwrap_or(digits);
    Ok(u64::from_str_radix(digits, 16)?)
}
