//! A service with real keys that writes ledgers, and folders to write them in.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "each test file uses its own part, and a test may fail anywhere"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Digest as ProviderDigest, SHA384};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::recovery::{EndorsementRow, RECOVERING};
use ledger::signature::SignedRoot;
use ledger::tables::{
    NODE_CERTS, NODES, PRIVATE_COLLECTIONS, PRIVATE_ENTRIES, SERVICE, SERVICE_ENDORSEMENT,
    SINGLETON,
};
use ledger::{LedgerSecret, WriteSet, entry};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P384_SHA384};
use store::{Batch, BatchEntry, OpenError, Store, StoreOptions, Tail};
use verify::cert::Cert;
use verify::key::prehashed_for_p384;
use verify::{Digest, Frontier, Seqno, TxId, View, cose};

/// What no file may show.
pub(crate) const PRIVATE_TEXT: &str = "for-our-eyes-only";

/// A service, its only node, and their keys.
pub(crate) struct Party {
    pub(crate) secret: Arc<LedgerSecret>,
    pub(crate) service: Cert,
    pub(crate) node: Cert,
    node_key: EcdsaKeyPair,
    service_key: EcdsaKeyPair,
}

impl Party {
    pub(crate) fn new() -> Self {
        let service_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        let service = params.self_signed(&service_key).unwrap().pem();
        let node_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let service_pkcs8 = service_key.serialize_der();
        let issuer = Issuer::new(params, service_key);
        let node = CertificateParams::default()
            .signed_by(&node_key, &issuer)
            .unwrap()
            .pem();
        Self {
            secret: Arc::new(LedgerSecret::new([7; 32])),
            service: Cert::from_pem(&service).unwrap(),
            node: Cert::from_pem(&node).unwrap(),
            node_key: EcdsaKeyPair::from_pkcs8(
                &ECDSA_P384_SHA384_ASN1_SIGNING,
                &node_key.serialize_der(),
            )
            .unwrap(),
            service_key: EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &service_pkcs8)
                .unwrap(),
        }
    }

    /// The write sets of the first two entries.
    pub(crate) fn genesis(&self) -> Vec<WriteSet> {
        let id = self.node.key_digest().to_string();
        ["Opening", "Open"]
            .map(|status| {
                let service = serde_json::json!({"cert": self.service.to_pem(), "status": status});
                let mut writes = WriteSet::default();
                writes.put(SERVICE, SINGLETON, service.to_string().into_bytes());
                if status == "Opening" {
                    writes.put(NODES, id.as_bytes(), br#"{"status":"Trusted"}"#);
                    writes.put(NODE_CERTS, id.as_bytes(), self.node.to_pem().into_bytes());
                }
                writes
            })
            .to_vec()
    }

    /// What a service writes first that follows the one of `earlier`, whose last root is this one.
    pub(crate) fn follows(&self, earlier: &Self, last: TxId, root: Digest) -> WriteSet {
        let key = earlier.service.spki_der();
        let begin = TxId::new(View(2), Seqno::FIRST);
        let protected = cose::endorsement_header(cose::ES384, 1, begin, last, &root);
        let message = cose::endorsement_to_be_signed(&protected, key);
        let signature = self.service_key.sign(&SystemRandom::new(), &message);
        let message = cose::endorsement(&protected, key, signature.unwrap().as_ref());
        let row = EndorsementRow {
            endorsement: STANDARD.encode(message),
            endorsing_key: STANDARD.encode(self.service.spki_der()),
            root: root.to_string(),
            endorsement_epoch_begin: begin,
            endorsement_epoch_end: last,
        };
        let service = serde_json::json!({"cert": self.service.to_pem(), "status": RECOVERING});
        let [gone, new] = [earlier, self].map(|party| party.node.key_digest().to_string());
        let mut writes = WriteSet::default();
        writes.put(SERVICE, SINGLETON, service.to_string().into_bytes());
        writes.put(
            SERVICE_ENDORSEMENT,
            SINGLETON,
            serde_json::to_vec(&row).unwrap(),
        );
        writes.put(NODES, gone.as_bytes(), br#"{"status":"Retired"}"#);
        writes.put(NODES, new.as_bytes(), br#"{"status":"Trusted"}"#);
        writes.put(NODE_CERTS, new.as_bytes(), self.node.to_pem().into_bytes());
        writes
    }

    /// A batch of these entries and the signature that closes it, following on the tree `before`.
    pub(crate) fn batch(&self, before: &Frontier, view: View, mut writes: Vec<WriteSet>) -> Batch {
        let first = Seqno(before.size());
        let mut frontier = before.clone();
        let mut bytes = Vec::new();
        let mut entries = Vec::new();
        for writes in &writes {
            let id = TxId::new(view, Seqno(frontier.size()));
            self.push(&mut bytes, &mut entries, &mut frontier, id, writes);
        }
        let id = TxId::new(view, Seqno(frontier.size()));
        let root = frontier.root();
        let signed = self.sign(id, root, frontier.peaks());
        let signature = signed.to_writes();
        self.push(&mut bytes, &mut entries, &mut frontier, id, &signature);
        writes.push(signature);
        Batch {
            first,
            view,
            bytes,
            entries,
            writes,
        }
    }

    pub(crate) fn sign(&self, id: TxId, root: Digest, frontier: Vec<Digest>) -> SignedRoot {
        let padded = ProviderDigest::import_less_safe(&prehashed_for_p384(&root), &SHA384).unwrap();
        let signature = self
            .node_key
            .sign_digest(&padded)
            .unwrap()
            .as_ref()
            .to_vec();
        let kid = self.service.key_digest().to_string();
        let header = cose::protected_header(&kid, cose::ES384, 1, "service", "ledger", id);
        let message = cose::to_be_signed(&header, &root);
        let service = self
            .service_key
            .sign(&SystemRandom::new(), &message)
            .unwrap();
        SignedRoot {
            node: self.node.key_digest().to_string(),
            id,
            root,
            signature,
            cert: self.node.to_pem(),
            cose: Some(cose::root_signature(&header, service.as_ref())),
            frontier,
        }
    }

    fn push(
        &self,
        bytes: &mut Vec<u8>,
        entries: &mut Vec<BatchEntry>,
        frontier: &mut Frontier,
        id: TxId,
        writes: &WriteSet,
    ) {
        let before = bytes.len();
        let leaf = entry::encode(bytes, id, writes, Digest::ZERO, &self.secret).leaf();
        frontier.append(leaf, |_, _| {});
        entries.push(BatchEntry {
            length: (bytes.len() - before) as u32,
            leaf,
        });
    }

    pub(crate) fn open(&self, dir: &Path, options: StoreOptions) -> Result<Store, OpenError> {
        Store::open(dir, Arc::clone(&self.secret), options)
    }

    /// Writes one batch and shows it.
    pub(crate) fn write(&self, store: &mut Store, view: View, writes: Vec<WriteSet>) -> Batch {
        let batch = self.batch(store.frontier(), view, writes);
        store.append(&batch).unwrap();
        store.apply(&batch).unwrap();
        batch
    }

    /// A new ledger of the genesis and `batches` batches of up to four private entries.
    pub(crate) fn ledger(
        &self,
        dir: &Path,
        options: StoreOptions,
        batches: u64,
    ) -> (Store, Vec<Batch>) {
        let mut store = self.open(dir, options).unwrap();
        let mut all = vec![self.write(&mut store, View(2), self.genesis())];
        for number in 0..batches {
            let writes = (0..number % 4 + 1).map(|place| private_entry(number * 10 + place));
            all.push(self.write(&mut store, View(2), writes.collect()));
        }
        (store, all)
    }
}

/// An entry of one of three collections, which it also registers.
pub(crate) fn private_entry(number: u64) -> WriteSet {
    let collection = format!("collection {PRIVATE_TEXT} {}", number % 3);
    let contents = format!(
        "contents {PRIVATE_TEXT} {number} {}",
        "x".repeat(number as usize % 50)
    );
    let mut writes = WriteSet::default();
    writes.put(
        PRIVATE_ENTRIES,
        collection.clone().into_bytes(),
        contents.into_bytes(),
    );
    writes.put(
        PRIVATE_COLLECTIONS,
        collection.into_bytes(),
        number.to_le_bytes(),
    );
    writes
}

pub(crate) fn small_chunks(chunk_bytes: u64) -> StoreOptions {
    StoreOptions {
        chunk_bytes,
        cache_bytes: 1 << 20,
        tail: Tail::Committed,
    }
}

/// A folder in memory where there is one: these tests are about order, not about the disk.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy_folder(&file.path(), &to);
        } else {
            std::fs::copy(file.path(), to).unwrap();
        }
    }
}

/// All files below `dir`.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found.sort();
    found
}

/// Compares everything that can be read with what was written.
pub(crate) fn assert_intact(party: &Party, store: &Store, batches: &[Batch]) {
    let reader = store.reader();
    let last = batches.last().map_or(Seqno::ZERO, Batch::last);
    assert_eq!(reader.committed().seqno, last);
    let mut frontier = Frontier::new();
    for batch in batches {
        let mut rest = &batch.bytes[..];
        for (seqno, entry) in (batch.first.0..).map(Seqno).zip(&batch.entries) {
            let (bytes, after) = rest.split_at(entry.length as usize);
            rest = after;
            assert_eq!(reader.entry(seqno).unwrap().as_deref(), Some(bytes));
            assert_eq!(reader.leaf(seqno).unwrap(), Some(entry.leaf));
            assert_eq!(reader.view_at(seqno), Some(batch.view));
            assert_eq!(
                reader.signature_covering(seqno).unwrap(),
                Some(batch.last())
            );
            frontier.append(entry.leaf, |_, _| {});
        }
        let signed = reader.signed_root(batch.last()).unwrap().unwrap();
        party
            .node
            .public_key()
            .verify_prehashed(&signed.root, &signed.signature)
            .unwrap();
    }
    assert_eq!(reader.entry(last.next()).unwrap(), None);
    assert_eq!(store.frontier(), &frontier);
}
