//! Ethereum's state tests, through the ledger's tables: the accounts before are put into them, the
//! machine runs, its changes are written, and what is in the tables then is what has to be there.
//!
//! Where they are from is told in `docs/testing.md`.

mod cases;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::TrieAccount;
use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
use ledger::kv::MemoryState;
use ledger::tables::{EVM_ACCOUNTS, EVM_BLOCKS, EVM_STORAGE, Table};
use ledger::{State, Tx};
use revm::context::{BlockEnv, CfgEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::primitives::hardfork::SpecId;
use serde_json::Value;
use verify::{Digest, Seqno, TxId};

use super::{Codes, Invalid, Ran, machine};
use crate::accounts::{Account, put_code, put_storage};
use crate::chain::BlockStart;
use cases::{Case, Expected, fork, of_2015, of_today};

/// Code sees the hashes of so many blocks.
const HASHES: u64 = 256;

/// A ledger in memory. State tests agree that the hash of a block is that of its number in digits.
#[derive(Default)]
struct World(MemoryState);

impl State for World {
    fn value(&self, table: &Table, key: &[u8]) -> Option<Vec<u8>> {
        self.0.value(table, key)
    }

    fn values(&self, table: &Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.0.values(table)
    }

    fn signed_root(&self, seqno: Seqno) -> Option<Digest> {
        Some(Digest(keccak256(seqno.0.to_string()).0))
    }
}

impl World {
    fn of(case: &Case) -> Self {
        let mut world = Self::default();
        let mut tx = Tx::new(&world, TxId::default(), [0; 32]);
        for number in case.number.saturating_sub(HASHES)..case.number {
            let start = BlockStart {
                first: number,
                time: 0,
                randomness: B256::ZERO,
            };
            tx.put(EVM_BLOCKS, number.to_be_bytes(), alloy_rlp::encode(start));
        }
        for (address, pre) in &case.pre {
            let account = Account {
                nonce: pre.nonce,
                balance: pre.balance,
                code: keccak256(&pre.code),
            };
            account.put(&mut tx, address);
            if account.code != KECCAK256_EMPTY {
                put_code(&mut tx, &account.code, &pre.code);
            }
            for (slot, value) in &pre.storage {
                put_storage(&mut tx, address, slot, value);
            }
        }
        let writes = tx.into_writes();
        world.0.apply(&writes);
        world
    }

    /// Runs the transaction as the ledger would, but for what a block asks for its gas.
    fn run(&mut self, case: &Case, spec: SpecId) -> Result<Ran, Invalid> {
        let mut tx = Tx::new(&*self, TxId::default(), [0; 32]);
        let codes = Codes::default();
        let mut settings = CfgEnv::new_with_spec(spec);
        // A chain says how many; the ledger's has none. EIP-7691 gives nine to a block, and EIP-7594 six
        // to a transaction.
        settings.max_blobs_per_tx = Some(if spec == SpecId::PRAGUE { 9 } else { 6 });
        let ran = machine(
            &tx,
            &codes,
            settings,
            block(case, spec),
            case.transaction.clone(),
        )?;
        ran.put(&mut tx);
        if !spec.is_enabled_in(SpecId::SPURIOUS_DRAGON) {
            put_empty(&mut tx, &ran);
        }
        let writes = tx.into_writes();
        self.0.apply(&writes);
        Ok(ran)
    }

    /// The root over what is in the tables.
    fn root(&self) -> B256 {
        let mut storage: BTreeMap<Address, Vec<(B256, U256)>> = BTreeMap::new();
        for (key, value) in self.values(&EVM_STORAGE) {
            let (address, slot) = key.split_at(20);
            let of = storage.entry(Address::from_slice(address)).or_default();
            of.push((B256::from_slice(slot), U256::from_be_slice(&value)));
        }
        let accounts = self
            .values(&EVM_ACCOUNTS)
            .into_iter()
            .map(|(address, row)| {
                let address = Address::from_slice(&address);
                let account = Account::decode(&row).unwrap();
                let slots = storage.remove(&address).unwrap_or_default();
                let leaf = TrieAccount {
                    nonce: account.nonce,
                    balance: account.balance,
                    storage_root: storage_root_unhashed(slots),
                    code_hash: account.code,
                };
                (address, leaf)
            });
        state_root_unhashed(accounts)
    }

    /// What the tables promise: what is zero has no row, and no storage is left of what is gone.
    fn check(&self, case: &Case) {
        let mut there = BTreeSet::new();
        for (address, row) in self.values(&EVM_ACCOUNTS) {
            let address = Address::from_slice(&address);
            there.insert(address);
            let account = Account::decode(&row).unwrap();
            let empty = account == Account::default();
            assert!(
                !empty || case.pre.contains_key(&address),
                "{address} is empty"
            );
        }
        for (key, value) in self.values(&EVM_STORAGE) {
            let address = Address::from_slice(&key[..20]);
            assert!(there.contains(&address), "storage of {address} is left");
            assert_ne!(value.first(), Some(&0), "a value begins with zeros");
            assert!(!value.is_empty(), "a zero is kept");
        }
    }
}

/// Before EIP-161 an account that was touched was there, even with nothing in it. The ledger's forks are
/// later, and its tables have no row for such.
fn put_empty(tx: &mut Tx<'_>, ran: &Ran) {
    for (address, account) in &ran.changes {
        if account.is_touched() && account.is_empty() && !account.is_selfdestructed() {
            Account::default().put(tx, address);
        }
    }
}

fn block(case: &Case, spec: SpecId) -> BlockEnv {
    let excess = case.excess_blob_gas;
    BlockEnv {
        number: U256::from(case.number),
        beneficiary: case.coinbase,
        timestamp: U256::from(case.time),
        gas_limit: case.gas_limit,
        basefee: case.base_fee,
        difficulty: case.difficulty,
        prevrandao: Some(case.randomness),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice::new_with_spec(excess, spec)),
        slot_num: 0,
    }
}

/// Runs a case; says what is not as it has to be.
fn wrong(case: &Case, spec: SpecId, expected: &Expected) -> Option<String> {
    let mut world = World::of(case);
    let ran = world.run(case, spec);
    if let Err(Invalid::Damaged(damaged)) = &ran {
        return Some(damaged.to_string());
    }
    let logs = ran.as_ref().map_or(&[][..], |ran| &ran.logs);
    let logs = keccak256(alloy_rlp::encode(logs.to_vec()));
    let (root, refused) = (world.root(), ran.is_err());
    if spec.is_enabled_in(SpecId::CANCUN) {
        world.check(case);
    }
    let right = (root, logs) == (expected.root, expected.logs)
        && expected.refused.is_none_or(|expected| expected == refused);
    let end = ran.map(|ran| (ran.end, ran.gas));
    (!right).then(|| format!("root {root}, logs {logs}, {expected:?}, {end:?}"))
}

/// The files of a registry's package, which are not in this repository.
fn public() -> BTreeMap<(String, String), Value> {
    let folder = cache().join("statetests/node_modules/ethereum-tests/StateTests");
    let mut all = BTreeMap::new();
    for path in files(&folder) {
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for (name, test) in read(&path).as_object().unwrap() {
            all.insert((stem.clone(), name.clone()), test.clone());
        }
    }
    all
}

fn cache() -> PathBuf {
    std::env::var_os("COUNTERFOIL_CACHE").map_or_else(
        || std::env::home_dir().unwrap().join(".cache/counterfoil"),
        PathBuf::from,
    )
}

/// Not where this was built: clones may share what they build.
fn testdata() -> PathBuf {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    here.join("testdata/state_tests")
}

/// All that is written in JSON in a folder, and in folders in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| {
        let folder = folder.display();
        panic!("{folder}: {error}: `cargo xtask test light` installs Ethereum's state tests")
    });
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "json") {
            all.push(path);
        }
    }
    all
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// How many were right; panics with those that were not.
#[derive(Default)]
struct Tally {
    right: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn count(&mut self, name: &str, wrong: Option<String>) {
        match wrong {
            None => self.right += 1,
            Some(why) => self.wrong.push(format!("{name}: {why}")),
        }
    }

    fn all_right(self, expected: usize) {
        let (right, wrong) = (self.right, self.wrong.len());
        assert!(
            self.wrong.is_empty(),
            "{right} right, {wrong} wrong: {:#?}",
            self.wrong
        );
        assert_eq!(right, expected, "another number of tests than expected");
    }
}

/// Files of tests that get up to 882 billion gas, where a transaction here has 16.7 million at most, and
/// that the specification takes hours for. The specification refuses all of them since Osaka.
const TOO_LARGE: [&str; 2] = ["stMemoryStressTest", "stQuadraticComplexityTest"];

/// Asks for the hash of block zero, which is the ledger's own here: it stands for how the ledger began.
const OF_BLOCK_ZERO: (&str, &str) = ("stBlockHashTest", "blockhash0");

/// What the specification says of the public tests: file, test, what comes of it, and the forks.
fn specified() -> Vec<(String, String, Expected, Vec<String>)> {
    let text = fs::read_to_string(testdata().join("public.txt")).unwrap();
    let of_line = |line: &str| {
        let [file, name, root, logs, said, forks] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let expected = Expected {
            root: root.parse().unwrap(),
            logs: logs.parse().unwrap(),
            refused: Some(said == "refused"),
        };
        let forks = forks.split(',').map(str::to_owned).collect();
        (file.to_owned(), name.to_owned(), expected, forks)
    };
    text.lines().map(of_line).collect()
}

/// They were made in March 2015, before Ethereum began in July: where the specification of Frontier says
/// otherwise, the rules had changed, and it holds.
#[test]
fn the_public_tests_that_are_of_frontier_pass() {
    let public = public();
    assert_eq!(public.len(), 385, "another number of tests than expected");
    let (mut tally, mut older) = (Tally::default(), 0);
    for (file, name, specified, forks) in specified() {
        if !forks.iter().any(|fork| fork == "Frontier") || (&*file, &*name) == OF_BLOCK_ZERO {
            continue;
        }
        let (case, said) = of_2015(&public[&(file.clone(), name.clone())]);
        if (said.root, said.logs) == (specified.root, specified.logs) {
            let wrong = wrong(&case, SpecId::FRONTIER, &said);
            tally.count(&format!("{file}/{name}"), wrong);
        } else {
            older += 1;
        }
    }
    tally.all_right(243);
    assert_eq!(
        older, 121,
        "another number of tests of other rules than expected"
    );
}

#[test]
fn the_public_tests_do_on_each_fork_what_the_specification_says() {
    let public = public();
    let mut tally = Tally::default();
    for (file, name, specified, forks) in specified() {
        assert!(!TOO_LARGE.contains(&&*file), "{file} is left out");
        if (&*file, &*name) == OF_BLOCK_ZERO {
            continue;
        }
        let (case, _) = of_2015(&public[&(file.clone(), name.clone())]);
        for named in forks {
            let wrong = wrong(&case, fork(&named).unwrap(), &specified);
            tally.count(&format!("{file}/{name} {named}"), wrong);
        }
    }
    tally.all_right(5_096);
}

#[test]
fn our_own_tests_do_what_the_specification_says() {
    let mut tally = Tally::default();
    run_all(&testdata().join("ours"), &mut tally);
    tally.all_right(793);
}

/// For those who have the whole suite: `COUNTERFOIL_STATE_TESTS` names a folder of it.
#[test]
fn whatever_other_tests_are_named_pass() {
    if let Some(folder) = std::env::var_os("COUNTERFOIL_STATE_TESTS") {
        let mut tally = Tally::default();
        run_all(Path::new(&folder), &mut tally);
        let right = tally.right;
        tally.all_right(right);
    }
}

fn run_all(folder: &Path, tally: &mut Tally) {
    for path in files(folder) {
        for (name, test) in read(&path).as_object().unwrap() {
            for (named, case, expected) in of_today(test) {
                if let Some(spec) = fork(&named) {
                    tally.count(&format!("{name} {named}"), wrong(&case, spec, &expected));
                }
            }
        }
    }
}
