//! The audit contracts' own tests, which are contracts too, on this machine: each test function in a
//! contract of its own, which is deployed, set up, and called. A test that reverts has failed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

use alloy_primitives::{Bytes, TxKind};
use serde::Deserialize;

use crate::outcome::Outcome;
use crate::testing::{Chain, Wallet, call};

/// What the tests need at the most is 12 M.
const GAS: u64 = 16_000_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    contract_name: String,
    bytecode: Bytes,
    method_identifiers: BTreeMap<String, String>,
}

fn artifacts() -> Vec<Artifact> {
    // Not where this was built: clones may share what they build.
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let folder = here.join("../../contracts-sol/artifacts/test");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    paths.iter().map(read).collect()
}

/// Runs a test; says what it left.
fn run(artifact: &Artifact, selector: &str) -> std::sync::Arc<Outcome> {
    let (mut chain, wallet) = (Chain::new(), Wallet::new(1));
    let mut nonce = 0;
    let mut send = |to: TxKind, input: Bytes| {
        let mut transaction = call(nonce, to, input);
        transaction.gas_limit = GAS;
        nonce += 1;
        chain.send(wallet.sign(transaction)).unwrap()
    };
    let deployed = send(TxKind::Create, artifact.bytecode.clone());
    let Some(test) = deployed.contract() else {
        return deployed;
    };
    let selected = |selector: &str| selector.parse::<Bytes>().unwrap();
    if let Some(set_up) = artifact.method_identifiers.get("setUp()") {
        let set_up = send(test.into(), selected(set_up));
        if !set_up.succeeded {
            return set_up;
        }
    }
    send(test.into(), selected(selector))
}

#[test]
fn the_audit_contracts_keep_their_own_rules() {
    let (mut passed, mut failed) = (0, Vec::new());
    for artifact in artifacts() {
        let methods = artifact.method_identifiers.iter();
        for (signature, selector) in methods.filter(|(name, _)| name.starts_with("test")) {
            let left = run(&artifact, selector);
            if left.succeeded {
                passed += 1;
            } else {
                let name = &artifact.contract_name;
                let said = String::from_utf8_lossy(&left.reason).into_owned();
                failed.push(format!("{name}.{signature}: {} gas, {said:?}", left.gas));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(passed > 50, "only {passed} tests were found");
}
