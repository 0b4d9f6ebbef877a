//! Receipts that others countersigned: what counts, and what does not.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do: by panicking"
)]

use aws_lc_rs::digest::{Digest as ProviderDigest, SHA384};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use counterfoil_verify::checkpoint::{Checkpoint, cosigner_name, origin_of};
use counterfoil_verify::key::prehashed_for_p384;
use counterfoil_verify::note::{NoteKey, NoteSignature, cosigned_message, timestamped};
use counterfoil_verify::{
    Cert, CosignError, Cosigned, Cosigners, Digest, LeafComponents, NoteError, Receipt, SignedNote,
    TxId, Verifier, VerifierKey, View, prove,
};
use proptest::prelude::*;
use proptest::sample::Index;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P384_SHA384};

const TIME: u64 = 1_800_000_000;

/// A ledger whose tree has 30 leaves; entry 17 has a receipt under the root of size 20.
struct Ledger {
    service: Cert,
    receipt: Receipt,
    leaves: Vec<Digest>,
}

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params
}

impl Ledger {
    /// One for many cases: keys are slow to draw.
    fn shared() -> &'static Self {
        static SHARED: std::sync::LazyLock<Ledger> = std::sync::LazyLock::new(Ledger::new);
        &SHARED
    }

    fn new() -> Self {
        let draw = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let service = CertifiedIssuer::self_signed(params(), draw()).unwrap();
        let node = draw();
        let cert = params().signed_by(&node, &service).unwrap();
        let components = LeafComponents {
            write_set_digest: Digest::of(b"write set"),
            commit_evidence: format!("ce:2.17:{}", Digest::of(b"nonce")),
            claims_digest: Digest::ZERO,
        };
        let mut leaves: Vec<_> = (0..30u8).map(|leaf| Digest::of(&[leaf])).collect();
        leaves[0] = Digest::ZERO;
        leaves[17] = components.leaf();
        let (proof, root) = path(&leaves, 20);
        let signer =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, node.serialized_der());
        let root = prehashed_for_p384(&root);
        let root = ProviderDigest::import_less_safe(&root, &SHA384).unwrap();
        let signature = signer.unwrap().sign_digest(&root).unwrap();
        let cert = Cert::from_der(cert.der()).unwrap();
        let signature = signature.as_ref().to_vec();
        Self {
            service: Cert::from_der(service.der()).unwrap(),
            receipt: Receipt::new(cert, components, proof, signature, Vec::new()),
            leaves,
        }
    }

    fn checkpoint(&self) -> Checkpoint {
        let (_, root) = path(&self.leaves, 30);
        Checkpoint::of_service(&self.service.key_digest(), 30, root)
    }

    /// The receipt with this checkpoint, countersigned by these.
    fn cosigned(&self, text: &str, by: &[&Cosigner]) -> Receipt {
        let lines = by.iter().map(|cosigner| cosigner.sign(text)).collect();
        self.with_note(SignedNote::new(text.to_owned(), lines).unwrap())
    }

    fn with_note(&self, checkpoint: SignedNote) -> Receipt {
        let (proof, _) = path(&self.leaves, 30);
        Receipt {
            cosigned: Some(Cosigned { checkpoint, proof }),
            ..self.receipt.clone()
        }
    }

    fn verify(
        &self,
        receipt: &Receipt,
        known: &str,
        required: usize,
    ) -> Result<Vec<String>, CosignError> {
        let verifier = Verifier::new(self.service.clone());
        // What is verified is what was written and read.
        let read = Receipt::from_json(receipt.to_json().as_bytes()).unwrap();
        assert_eq!(&read, receipt);
        let known: Cosigners = known.parse().unwrap();
        let witnessed = verifier.verify_cosigned(&read, &known, required)?;
        assert!(witnessed.organisations.values().all(|time| *time == TIME));
        Ok(witnessed.organisations.into_keys().collect())
    }
}

/// The way from entry 17 to the root of the tree of that size.
fn path(leaves: &[Digest], size: u64) -> (counterfoil_verify::InclusionProof, Digest) {
    let level = |node: counterfoil_verify::TreeNode| {
        let mut digests = leaves[node.first_leaf() as usize..=node.last_leaf() as usize].to_vec();
        while digests.len() > 1 {
            let pairs = digests
                .chunks(2)
                .map(|pair| Digest::node(&pair[0], &pair[1]));
            digests = pairs.collect();
        }
        Ok::<_, std::convert::Infallible>(digests[0])
    };
    let proof = prove(17, size, level).unwrap();
    let root = proof.root(leaves[17]);
    (proof, root)
}

struct Cosigner {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

impl Cosigner {
    fn new(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let key = NoteKey::Cosignature(pair.public_key().as_ref().try_into().unwrap());
        let key = VerifierKey::new(cosigner_name(&Digest::of(&[seed])), key).unwrap();
        Self { pair, key }
    }

    fn sign(&self, text: &str) -> NoteSignature {
        let message = cosigned_message(TIME, text);
        let signature = self.pair.sign(message.as_bytes());
        let signature = signature.as_ref().try_into().unwrap();
        self.key.line(timestamped(TIME, &signature))
    }
}

/// Three cosigners: two of the Orchard, one of the Carrier.
fn known() -> ([Cosigner; 3], String) {
    let cosigners = [Cosigner::new(1), Cosigner::new(2), Cosigner::new(3)];
    let [one, two, three] = &cosigners;
    let text = format!(
        "# our partners\n[Orchard]\n{}\n\n{}\n[Carrier]\n{}\n",
        one.key, two.key, three.key
    );
    (cosigners, text)
}

#[test]
fn organisations_that_saw_the_same_history_are_counted() {
    let ledger = Ledger::new();
    let ([one, _, three], known) = known();
    let text = ledger.checkpoint().text();
    let receipt = ledger.cosigned(&text, &[&one, &three]);
    let who = ledger.verify(&receipt, &known, 2).unwrap();
    assert_eq!(who, ["Carrier", "Orchard"]);
    // Without the cosignatures the receipt is as good as ever.
    let verified = Verifier::new(ledger.service).verify(&receipt, None);
    let verified = verified.unwrap();
    assert_eq!(
        verified.tx_id,
        TxId::new(View(2), counterfoil_verify::Seqno(17))
    );
}

#[test]
fn two_nodes_of_one_organisation_count_once() {
    let ledger = Ledger::new();
    let ([one, two, _], known) = known();
    let receipt = ledger.cosigned(&ledger.checkpoint().text(), &[&one, &two]);
    assert_eq!(ledger.verify(&receipt, &known, 1).unwrap(), ["Orchard"]);
    assert_eq!(
        ledger.verify(&receipt, &known, 2),
        Err(CosignError::TooFew {
            found: 1,
            required: 2
        })
    );
}

#[test]
fn cosigners_that_nobody_named_count_nothing() {
    let ledger = Ledger::new();
    let ([one, ..], known) = known();
    let (invented, more) = (Cosigner::new(8), Cosigner::new(9));
    let receipt = ledger.cosigned(&ledger.checkpoint().text(), &[&one, &invented, &more]);
    assert_eq!(
        ledger.verify(&receipt, &known, 2),
        Err(CosignError::TooFew {
            found: 1,
            required: 2
        })
    );
    assert_eq!(
        ledger.verify(&receipt, "", 0).unwrap(),
        Vec::<String>::new()
    );
}

#[test]
fn a_changed_root_size_or_signature_is_noticed() {
    let ledger = Ledger::new();
    let ([one, _, three], known) = known();
    let checkpoint = ledger.checkpoint();
    let note = |text: &str, signed: &str| {
        let lines = vec![one.sign(signed), three.sign(signed)];
        ledger.with_note(SignedNote::new(text.to_owned(), lines).unwrap())
    };
    let text = checkpoint.text();
    // Another history, countersigned by all: the entry is not in it.
    let other = Checkpoint {
        root: Digest::of(b"other"),
        ..checkpoint.clone()
    };
    assert_eq!(
        ledger.verify(&note(&other.text(), &other.text()), &known, 2),
        Err(CosignError::OtherHistory { size: 30 })
    );
    // The same root at a size at which there is no such path.
    let other = Checkpoint {
        size: 15,
        ..checkpoint
    };
    assert_eq!(
        ledger.verify(&note(&other.text(), &other.text()), &known, 2),
        Err(CosignError::OtherHistory { size: 15 })
    );
    // Signatures over another text than the one that is shown.
    assert_eq!(
        ledger.verify(&note(&text, &other.text()), &known, 1),
        Err(CosignError::Note(NoteError::Signature(
            one.key.name().to_owned()
        )))
    );
}

#[test]
fn an_entry_at_another_place_is_another_history() {
    let mut ledger = Ledger::new();
    let ([one, _, three], known) = known();
    let text = ledger.checkpoint().text();
    let mut receipt = ledger.cosigned(&text, &[&one, &three]);
    // The checkpoint is genuine, and the path leads to it, but from a neighbour.
    ledger.leaves[17] = Digest::of(&[17]);
    let (proof, _) = path(&ledger.leaves, 30);
    receipt.cosigned.as_mut().unwrap().proof = proof;
    ledger.leaves[16] = Digest::of(b"changed");
    receipt.cosigned.as_mut().unwrap().proof = path(&ledger.leaves, 30).0;
    assert_eq!(
        ledger.verify(&receipt, &known, 2),
        Err(CosignError::OtherHistory { size: 30 })
    );
}

#[test]
fn a_checkpoint_of_another_ledger_is_refused() {
    let ledger = Ledger::new();
    let ([one, _, three], known) = known();
    for origin in [origin_of(&Digest::of(b"another service")), "o".to_owned()] {
        let checkpoint = Checkpoint {
            origin: origin.clone(),
            ..ledger.checkpoint()
        };
        let receipt = ledger.cosigned(&checkpoint.text(), &[&one, &three]);
        assert_eq!(
            ledger.verify(&receipt, &known, 2),
            Err(CosignError::Origin { found: origin })
        );
    }
}

#[test]
fn a_receipt_without_cosignatures_says_so() {
    let ledger = Ledger::new();
    let (_, known) = known();
    let refused = ledger.verify(&ledger.receipt, &known, 1);
    assert_eq!(refused, Err(CosignError::None));
}

#[test]
fn a_receipt_whose_cosignatures_cannot_be_read_is_refused() {
    let ledger = Ledger::new();
    let ([one, ..], _) = known();
    let json = ledger
        .cosigned(&ledger.checkpoint().text(), &[&one])
        .to_json();
    for (from, to) in [
        ("\"checkpoint\":\"", "\"checkpoint\":\"\\u0007"),
        ("\"cosigned\":{", "\"cosigned\":{\"more\":1,"),
        ("\"checkpoint\"", "\"checkpaint\""),
    ] {
        assert!(json.contains(from), "{from}");
        let changed = json.replacen(from, to, 1);
        assert!(Receipt::from_json(changed.as_bytes()).is_err(), "{from}");
    }
}

#[test]
fn known_cosigners_are_read_and_mistakes_named_by_line() {
    let ([one, two, _], text) = known();
    let read: Cosigners = text.parse().unwrap();
    assert_eq!(read.organisations(), 2);
    assert_eq!(read.keys().count(), 3);
    // The same name twice is the same organisation.
    let twice = format!("[A]\n{}\n[B]\n[A]\n{}\n", one.key, two.key);
    assert_eq!(twice.parse::<Cosigners>().unwrap().organisations(), 1);
    let signs_texts = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    for (text, line) in [
        (format!("{}\n", one.key), 1),
        (format!("[A]\n{}\n[B]\n{}\n", one.key, one.key), 4),
        (format!("# a\n[A\n{}\n", one.key), 2),
        ("[ ]\n".to_owned(), 1),
        ("[A]\nnonsense\n".to_owned(), 2),
        (format!("[A]\n{signs_texts}\n"), 2),
    ] {
        assert_eq!(text.parse::<Cosigners>().unwrap_err().line, line, "{text}");
    }
}

proptest! {
    #[test]
    fn an_altered_note_is_refused_or_says_the_same(at in any::<Index>(), byte: u8) {
        let ledger = Ledger::shared();
        let ([one, ..], _) = known();
        let text = ledger.checkpoint().text();
        let note = SignedNote::new(text.clone(), vec![one.sign(&text)]).unwrap();
        let mut bytes = note.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let read = String::from_utf8(bytes).ok().and_then(|text| text.parse::<SignedNote>().ok());
        if let Some(read) = read {
            let believed = matches!(read.signed_by(&one.key), Ok(Some(_)));
            prop_assert_eq!(believed, read == note);
        }
    }
}
