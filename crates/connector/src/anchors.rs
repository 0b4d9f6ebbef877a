//! Roots of records on another chain: a batch is kept, its root anchored, and each record gets its
//! [proof](crate::bundle).

use std::fs;
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::bundle::{Anchored, Bundle, Salted, TYPE, VERSION, event, is_anchoring};
use crate::call::Call;
use crate::durable;
use crate::error::AnchorError;
use crate::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use crate::merkle::{Tree, leaf};
use crate::network::{Network, Receipt};
use crate::outbox::{Outbox, Ticket};
use crate::proof::{Proof, Trust};

/// Records under one root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    records: Vec<Salted>,
}

impl Batch {
    /// Salts the digests of some records.
    ///
    /// # Errors
    /// There are none, or too many.
    pub fn new(digests: &[B256]) -> Result<Self, AnchorError> {
        let random = SystemRandom::new();
        let salted = |&digest: &B256| {
            let mut salt = B256::ZERO;
            random
                .fill(salt.as_mut_slice())
                .expect("the system gives random bytes");
            Salted { digest, salt }
        };
        match digests.len() {
            1..=BATCH_RECORDS_MAX => Ok(Self {
                records: digests.iter().map(salted).collect(),
            }),
            count => Err(AnchorError::Size(count)),
        }
    }

    /// What the chain gets to see.
    pub fn root(&self) -> B256 {
        self.tree().root()
    }

    fn tree(&self) -> Tree {
        let leaves = self.records.iter();
        let leaves = leaves.map(|record| leaf(&record.salt, &record.digest));
        Tree::new(leaves.collect()).expect("a batch has a record")
    }
}

/// An anchor contract, and the batches that were sent to it from a folder.
#[derive(Debug, Clone)]
pub struct Anchors {
    dir: PathBuf,
    outbox: Outbox,
    contract: Address,
}

impl Anchors {
    /// Anchors at a contract (`contracts-sol/src/Anchor.sol`), keeping batches in a folder.
    ///
    /// # Errors
    /// There is no contract, the node cannot be asked, or the folder cannot be made.
    pub async fn open(dir: &Path, outbox: Outbox, contract: Address) -> Result<Self, AnchorError> {
        if outbox.network().code(contract).await?.is_empty() {
            return Err(AnchorError::NoContract(contract));
        }
        durable::create_folder(dir).map_err(AnchorError::io("make the folder", dir))?;
        Ok(Self {
            dir: dir.to_owned(),
            outbox,
            contract,
        })
    }

    /// The outbox that sends the roots.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Keeps the batch, then sends its root. Submitted again, it is not sent again.
    ///
    /// # Errors
    /// The disk fails, or the root cannot be sent; then it may be submitted again.
    pub async fn submit(&self, batch: &Batch) -> Result<Ticket, AnchorError> {
        let root = batch.root();
        let path = self.path(root);
        if !path.exists() {
            let json = serde_json::to_vec(batch).expect("a batch has text for keys");
            let write = {
                let path = path.clone();
                move || durable::write_atomically(&path, &json)
            };
            let written = tokio::task::spawn_blocking(write).await;
            written
                .map_err(std::io::Error::other)
                .flatten()
                .map_err(AnchorError::io("write", &path))?;
        }
        let data = [&anchor_selector()[..], root.as_slice()].concat();
        let call = Call::of(self.contract, data).named(reference(root));
        Ok(self.outbox.send(call).await?)
    }

    /// Waits until a root is final, and makes the proof of each record of its batch, in their order.
    /// It may be asked as often as one likes, also after a crash.
    ///
    /// # Errors
    /// There is no such batch, its root is not final in the profile's time or failed, or the node does
    /// not have what proves it.
    pub async fn settle(&self, root: B256) -> Result<Vec<Bundle>, AnchorError> {
        let batch = self.read(root)?;
        let ticket = match self.outbox.ticket(&reference(root)).await {
            Some(ticket) => ticket,
            // A crash came between the file and the outbox.
            None => self.submit(&batch).await?,
        };
        let settled = self.outbox.settle(ticket).await?;
        let network = self.outbox.network();
        let receipt = self.anchoring(network, root, settled.receipt).await?;
        let (anchor, proof) = self.prove(network, root, &receipt).await?;
        let tree = batch.tree();
        let bundles = (0..).zip(&batch.records).map(|(index, &record)| Bundle {
            kind: TYPE.to_owned(),
            version: VERSION,
            record,
            path: tree.path(index).expect("a record has a leaf"),
            root,
            anchor: anchor.clone(),
            proof: proof.clone(),
        });
        let bundles: Vec<_> = bundles.collect();
        // A proof that does not hold is nobody's business but ours. The ledger's is checked by those
        // who have its certificate.
        if let (Some(first), Proof::Header { .. }) = (bundles.first(), &proof) {
            first.verify(first.record.digest, Trust::Block(anchor.block_hash))?;
        }
        Ok(bundles)
    }

    /// The roots of all batches in the folder, whatever became of them.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn roots(&self) -> Result<Vec<B256>, AnchorError> {
        let entries = fs::read_dir(&self.dir).map_err(AnchorError::io("read", &self.dir))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut roots: Vec<_> = names
            .filter_map(|name| name.strip_suffix(".json")?.parse().ok())
            .collect();
        roots.sort();
        Ok(roots)
    }

    /// Removes a batch whose proofs are kept elsewhere: without its salts there can be no more.
    ///
    /// # Errors
    /// There is no such batch, or the file cannot be removed.
    pub fn forget(&self, root: B256) -> Result<(), AnchorError> {
        let path = self.path(root);
        fs::remove_file(&path).map_err(|error| self.fault("remove", root, error))
    }

    fn path(&self, root: B256) -> PathBuf {
        self.dir.join(format!("{root}.json"))
    }

    fn read(&self, root: B256) -> Result<Batch, AnchorError> {
        let path = self.path(root);
        let bytes = durable::read_up_to(&path, BATCH_BYTES_MAX)
            .map_err(|error| self.fault("read", root, error))?;
        let corrupt = |why: String| AnchorError::Corrupt {
            path: path.clone(),
            why,
        };
        let batch: Batch =
            serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
        if batch.records.is_empty() || batch.root() != root {
            return Err(corrupt("its records have another root".to_owned()));
        }
        Ok(batch)
    }

    fn fault(&self, what: &'static str, root: B256, error: std::io::Error) -> AnchorError {
        match error.kind() {
            std::io::ErrorKind::NotFound => AnchorError::NoSuchBatch(root),
            _ => AnchorError::io(what, &self.path(root))(error),
        }
    }

    /// The receipt of the transaction that anchored the root first: nearly always ours.
    async fn anchoring(
        &self,
        network: &Network,
        root: B256,
        ours: Receipt,
    ) -> Result<Receipt, AnchorError> {
        if self.place(&ours, root).is_some() {
            return Ok(ours);
        }
        let missing = || AnchorError::NoEvent {
            hash: ours.transaction_hash,
            contract: self.contract,
        };
        // Somebody saw our transaction wait, and was faster.
        let call = [&anchored_at_selector()[..], root.as_slice()].concat();
        let word = network.read(self.contract, &call.into()).await?;
        let block = alloy_primitives::U256::try_from_be_slice(&word).unwrap_or_default();
        let block = u64::try_from(block).unwrap_or_default();
        let logs = network.logs(self.contract, [event(), root], block).await?;
        let hash = logs.iter().find_map(|log| log.transaction_hash);
        let receipt = network.receipt(hash.ok_or_else(missing)?).await?;
        receipt
            .filter(|receipt| self.place(receipt, root).is_some())
            .ok_or_else(missing)
    }

    /// Where among the transaction's events the contract's about the root is.
    fn place(&self, receipt: &Receipt, root: B256) -> Option<u64> {
        let mut logs = (0..).zip(&receipt.logs);
        let (place, _) = logs.find(|(_, log)| is_anchoring(&log.inner, self.contract, root))?;
        Some(place)
    }

    async fn prove(
        &self,
        network: &Network,
        root: B256,
        receipt: &Receipt,
    ) -> Result<(Anchored, Proof), AnchorError> {
        let missing = || AnchorError::NoEvent {
            hash: receipt.transaction_hash,
            contract: self.contract,
        };
        let anchor = Anchored {
            chain_id: network.profile().chain_id,
            contract: self.contract,
            transaction_hash: receipt.transaction_hash,
            block_number: receipt.block().number,
            block_hash: receipt.block_hash,
            log_index: self.place(receipt, root).ok_or_else(missing)?,
        };
        let proof = Proof::of(network, receipt).await?;
        Ok((anchor, proof))
    }
}

fn reference(root: B256) -> String {
    format!("anchor {root}")
}

fn anchor_selector() -> [u8; 4] {
    selector("anchor(bytes32)")
}

fn anchored_at_selector() -> [u8; 4] {
    selector("anchoredAt(bytes32)")
}

fn selector(signature: &str) -> [u8; 4] {
    let digest = alloy_primitives::keccak256(signature);
    [digest[0], digest[1], digest[2], digest[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_records_have_different_leaves_and_roots() {
        let digests = [B256::repeat_byte(1); 3];
        let (one, two) = (Batch::new(&digests).unwrap(), Batch::new(&digests).unwrap());
        assert_ne!(one.root(), two.root());
        assert_ne!(one.records[0].salt, one.records[1].salt);
    }

    #[test]
    fn a_batch_has_a_record_and_not_too_many() {
        assert!(matches!(Batch::new(&[]), Err(AnchorError::Size(0))));
        let many = vec![B256::ZERO; BATCH_RECORDS_MAX + 1];
        assert!(matches!(Batch::new(&many), Err(AnchorError::Size(_))));
        let most = Batch::new(&many[1..]).unwrap();
        let json = serde_json::to_vec(&most).unwrap();
        assert!(json.len() as u64 <= BATCH_BYTES_MAX, "{}", json.len());
    }

    #[test]
    fn the_contract_is_called_by_the_selectors_of_its_artifact() {
        let artifact = include_str!("../../../contracts-sol/artifacts/Anchor.json");
        let artifact: serde_json::Value = serde_json::from_str(artifact).unwrap();
        let methods = &artifact["methodIdentifiers"];
        for (signature, selector) in [
            ("anchor(bytes32)", anchor_selector()),
            ("anchoredAt(bytes32)", anchored_at_selector()),
        ] {
            assert_eq!(methods[signature], alloy_primitives::hex::encode(selector));
        }
    }
}
