//! State tests as they are written down: in the layout of 2015, and in that of today.

use std::collections::BTreeMap;

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256, hex, keccak256};
use revm::context::TxEnv;
use revm::context_interface::either::Either;
use revm::primitives::hardfork::SpecId;
use secp256k1::{SECP256K1, SecretKey};
use serde_json::{Map, Value};

/// The names that tests have for forks. Constantinople itself was never used.
pub(super) const FORKS: [(&str, SpecId); 14] = [
    ("Frontier", SpecId::FRONTIER),
    ("Homestead", SpecId::HOMESTEAD),
    ("EIP150", SpecId::TANGERINE),
    ("EIP158", SpecId::SPURIOUS_DRAGON),
    ("Byzantium", SpecId::BYZANTIUM),
    ("ConstantinopleFix", SpecId::PETERSBURG),
    ("Istanbul", SpecId::ISTANBUL),
    ("Berlin", SpecId::BERLIN),
    ("London", SpecId::LONDON),
    ("Merge", SpecId::MERGE),
    ("Shanghai", SpecId::SHANGHAI),
    ("Cancun", SpecId::CANCUN),
    ("Prague", SpecId::PRAGUE),
    ("Osaka", SpecId::OSAKA),
];

/// One transaction in one world.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) coinbase: Address,
    pub(super) difficulty: U256,
    pub(super) randomness: B256,
    pub(super) gas_limit: u64,
    pub(super) number: u64,
    pub(super) time: u64,
    pub(super) base_fee: u64,
    pub(super) excess_blob_gas: u64,
    pub(super) pre: BTreeMap<Address, Pre>,
    pub(super) transaction: TxEnv,
}

/// An account before the transaction.
#[derive(Debug, Clone)]
pub(super) struct Pre {
    pub(super) nonce: u64,
    pub(super) balance: U256,
    pub(super) code: Bytes,
    pub(super) storage: BTreeMap<U256, U256>,
}

/// What has to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) root: B256,
    pub(super) logs: B256,
    /// Whether it cannot be run at all; `None` where the test does not say so.
    pub(super) refused: Option<bool>,
}

/// The fork that tests call so.
pub(super) fn fork(name: &str) -> Option<SpecId> {
    let known = match name {
        "Paris" => "Merge",
        known => known,
    };
    let found = FORKS.iter().find(|(name, _)| *name == known);
    found.map(|(_, spec)| *spec)
}

/// A test in the layout of 2015, and what it says of Frontier.
pub(super) fn of_2015(test: &Value) -> (Case, Expected) {
    let transaction = &test["transaction"];
    let env = &test["env"];
    let difficulty = number(&env["currentDifficulty"]);
    let case = Case {
        difficulty,
        randomness: difficulty.into(),
        base_fee: 0,
        excess_blob_gas: 0,
        ..around(
            env,
            &test["pre"],
            TxEnv {
                data: bytes(&transaction["data"]),
                gas_limit: long(&transaction["gasLimit"]),
                value: number(&transaction["value"]),
                ..sent(transaction)
            },
        )
    };
    let logs: Vec<Log> = list(&test["logs"]).iter().map(log).collect();
    let expected = Expected {
        root: word(&test["postStateRoot"]),
        logs: keccak256(alloy_rlp::encode(logs)),
        refused: None,
    };
    (case, expected)
}

/// A test in today's layout: all that it holds, by fork.
pub(super) fn of_today(test: &Value) -> Vec<(String, Case, Expected)> {
    let transaction = &test["transaction"];
    let mut all = Vec::new();
    for (fork, results) in object(&test["post"]) {
        for result in list(results) {
            let place = |what: &str| usize::try_from(long(&result["indexes"][what])).unwrap();
            let (data, gas, value) = (place("data"), place("gas"), place("value"));
            let lists = &transaction["accessLists"];
            let chosen = TxEnv {
                data: bytes(&transaction["data"][data]),
                gas_limit: long(&transaction["gasLimit"][gas]),
                value: number(&transaction["value"][value]),
                access_list: access_list(&lists[data]),
                ..sent(transaction)
            };
            let expected = Expected {
                root: word(&result["hash"]),
                logs: word(&result["logs"]),
                refused: Some(result.get("expectException").is_some()),
            };
            let case = around(&test["env"], &test["pre"], chosen);
            all.push((fork.clone(), case, expected));
        }
    }
    all
}

fn around(env: &Value, pre: &Value, transaction: TxEnv) -> Case {
    let account = |account: &Value| Pre {
        nonce: long(&account["nonce"]),
        balance: number(&account["balance"]),
        code: bytes(&account["code"]),
        storage: object(&account["storage"])
            .iter()
            .map(|(slot, value)| (number(&Value::String(slot.clone())), number(value)))
            .collect(),
    };
    Case {
        coinbase: address(&env["currentCoinbase"]),
        difficulty: number(&env["currentDifficulty"]),
        randomness: number(&env["currentRandom"]).into(),
        // Some blocks of 2015 had room for more than is counted today.
        gas_limit: long(&env["currentGasLimit"]).min(i64::MAX as u64),
        number: long(&env["currentNumber"]),
        time: long(&env["currentTimestamp"]),
        base_fee: long(&env["currentBaseFee"]),
        excess_blob_gas: long(&env["currentExcessBlobGas"]),
        pre: object(pre)
            .iter()
            .map(|(name, state)| (address(&Value::String(name.clone())), account(state)))
            .collect(),
        transaction,
    }
}

/// What does not depend on which data, gas and value are chosen.
fn sent(transaction: &Value) -> TxEnv {
    let has = |what: &str| transaction.get(what).is_some();
    let tx_type = match () {
        () if has("authorizationList") => 4,
        () if has("blobVersionedHashes") => 3,
        () if has("maxFeePerGas") => 2,
        () if has("accessLists") => 1,
        () => 0,
    };
    let kind = match bytes(&transaction["to"]) {
        nobody if nobody.is_empty() => TxKind::Create,
        somebody => TxKind::Call(Address::from_slice(&somebody)),
    };
    let price = if tx_type < 2 {
        &transaction["gasPrice"]
    } else {
        &transaction["maxFeePerGas"]
    };
    let hashes = list(&transaction["blobVersionedHashes"]);
    let authorizations = list(&transaction["authorizationList"]);
    TxEnv {
        tx_type,
        caller: sender(transaction),
        gas_price: number(price).saturating_to(),
        gas_priority_fee: (tx_type >= 2).then(|| number(&transaction["maxPriorityFeePerGas"]).to()),
        kind,
        nonce: long(&transaction["nonce"]),
        chain_id: (tx_type > 0).then_some(1),
        blob_hashes: hashes.iter().map(word).collect(),
        max_fee_per_blob_gas: number(&transaction["maxFeePerBlobGas"]).to(),
        authorization_list: authorizations
            .iter()
            .map(|signed| Either::Left(authorization(signed)))
            .collect(),
        ..super::super::free()
    }
}

fn sender(transaction: &Value) -> Address {
    if let Some(sender) = transaction.get("sender") {
        return address(sender);
    }
    let key = word(&transaction["secretKey"]);
    let key = SecretKey::from_byte_array(key.0).unwrap();
    Address::from_raw_public_key(&key.public_key(SECP256K1).serialize_uncompressed()[1..])
}

fn access_list(list_of: &Value) -> AccessList {
    let item = |item: &Value| AccessListItem {
        address: address(&item["address"]),
        storage_keys: list(&item["storageKeys"]).iter().map(word).collect(),
    };
    AccessList(list(list_of).iter().map(item).collect())
}

fn authorization(signed: &Value) -> SignedAuthorization {
    let authorization = Authorization {
        chain_id: number(&signed["chainId"]),
        address: address(&signed["address"]),
        nonce: long(&signed["nonce"]),
    };
    let parity = number(signed.get("yParity").unwrap_or(&signed["v"]));
    let (r, s) = (number(&signed["r"]), number(&signed["s"]));
    SignedAuthorization::new_unchecked(authorization, parity.to(), r, s)
}

fn log(log: &Value) -> Log {
    let topics = list(&log["topics"]).iter().map(word).collect();
    Log::new_unchecked(address(&log["address"]), topics, bytes(&log["data"]))
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("{value}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// In either base, with or without a prefix; nothing is zero.
fn number(value: &Value) -> U256 {
    let Some(text) = value.as_str() else {
        return U256::from(value.as_u64().unwrap_or_default());
    };
    match text.strip_prefix("0x") {
        Some("") => U256::ZERO,
        Some(digits) => U256::from_str_radix(digits, 16).unwrap(),
        None if text.is_empty() => U256::ZERO,
        None => U256::from_str_radix(text, 10).unwrap(),
    }
}

fn long(value: &Value) -> u64 {
    number(value).saturating_to()
}

fn bytes(value: &Value) -> Bytes {
    let text = value.as_str().unwrap_or_default();
    hex::decode(text).unwrap().into()
}

fn address(value: &Value) -> Address {
    Address::from_slice(&bytes(value))
}

fn word(value: &Value) -> B256 {
    B256::left_padding_from(&bytes(value))
}
