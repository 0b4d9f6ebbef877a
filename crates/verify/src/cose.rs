//! COSE receipts (RFC 9942, profile CCF_LEDGER_SHA256), made and verified.
//!
//! The service signs a root once, as a COSE_Sign1 whose payload, the root, is left out. Any number of
//! receipts are made from that message by putting a leaf and its path into the unprotected header.

use minicbor::data::{Tag, Type};
use minicbor::decode::{Decoder, Error as CborError};
use minicbor::encode::{Encoder, Write};

use crate::digest::Digest;
use crate::error::ReceiptError;
use crate::evidence::evidence_tx_id;
use crate::key::{CoseAlgorithm, PublicKey};
use crate::limits::{MAX_COMMIT_EVIDENCE_BYTES, MAX_COSE_BYTES, MAX_PROOF_STEPS};
use crate::merkle::{InclusionProof, Step};
use crate::receipt::LeafComponents;
use crate::tx_id::TxId;
use crate::verifier::Verified;

/// ECDSA with P-256 and SHA-256 (RFC 9053).
pub const ES256: i64 = CoseAlgorithm::Es256.label();
/// ECDSA with P-384 and SHA-384 (RFC 9053).
pub const ES384: i64 = CoseAlgorithm::Es384.label();

const COSE_SIGN1: Tag = Tag::new(18);
const ALG: i64 = 1;
const CRIT: i64 = 2;
const KID: i64 = 4;
const CWT_CLAIMS: i64 = 15;
const CWT_ISSUER: i64 = 1;
const CWT_SUBJECT: i64 = 2;
const CWT_ISSUED_AT: i64 = 6;
/// Which verifiable data structure (395), and the proofs from it (396).
const VDS: i64 = 395;
const VDS_CCF_LEDGER_SHA256: i64 = 2;
const VDP: i64 = 396;
const INCLUSION_PROOFS: i64 = -1;
const PROOF_LEAF: i64 = 1;
const PROOF_PATH: i64 = 2;
const CCF: &str = "ccf.v1";
const CCF_TX_ID: &str = "txid";

/// The protected header of a root signature, in the order in which CCF writes it.
///
/// `kid` is the hex digest of the service's public key, `alg` [`ES256`] or [`ES384`], `issued_at`
/// seconds since 1970, and `tx_id` the signature transaction itself.
pub fn protected_header(
    kid: &str,
    alg: i64,
    issued_at: i64,
    issuer: &str,
    subject: &str,
    tx_id: TxId,
) -> Vec<u8> {
    encoded(|e| {
        e.map(5)?;
        e.i64(ALG)?.i64(alg)?;
        e.i64(KID)?.bytes(kid.as_bytes())?;
        e.i64(VDS)?.i64(VDS_CCF_LEDGER_SHA256)?;
        e.i64(CWT_CLAIMS)?.map(3)?;
        e.i64(CWT_ISSUED_AT)?.i64(issued_at)?;
        e.i64(CWT_ISSUER)?.str(issuer)?;
        e.i64(CWT_SUBJECT)?.str(subject)?;
        e.str(CCF)?
            .map(1)?
            .str(CCF_TX_ID)?
            .str(&tx_id.to_string())?;
        Ok(())
    })
}

/// What is signed: the Sig_structure of RFC 9052 over the root, without external data.
pub fn to_be_signed(protected: &[u8], root: &Digest) -> Vec<u8> {
    sig_structure(protected, root.as_bytes())
}

pub(crate) fn sig_structure(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    encoded(|e| {
        e.array(4)?
            .str("Signature1")?
            .bytes(protected)?
            .bytes(&[])?
            .bytes(payload)?;
        Ok(())
    })
}

/// The root signature as it is kept in the ledger: COSE_Sign1 (tag 18), no unprotected header, no
/// payload. The signature is `r || s`.
pub fn root_signature(protected: &[u8], signature: &[u8]) -> Vec<u8> {
    encoded(|e| {
        e.tag(COSE_SIGN1)?.array(4)?.bytes(protected)?;
        e.map(0)?.null()?.bytes(signature)?;
        Ok(())
    })
}

/// The receipt of one transaction under a root signature that is kept in the ledger.
///
/// Fails if `root_signature` is not what [`crate::cose::root_signature`] makes, or if the leaf or
/// path is not one that verifiers accept.
pub fn receipt(
    root_signature: &[u8],
    components: &LeafComponents,
    proof: &InclusionProof,
) -> Result<Vec<u8>, ReceiptError> {
    let message = Sign1::parse(root_signature, MAX_COSE_BYTES)?;
    if message.payload.is_some() || message.unprotected != [0xa0] {
        return Err(ReceiptError::WrongKind("not a bare root signature"));
    }
    check_bounds(components.commit_evidence.len(), proof.steps.len() as u64)?;
    let proof = encoded(|e| encode_proof(e, components, proof));
    Ok(encoded(|e| {
        e.tag(COSE_SIGN1)?.array(4)?.bytes(message.protected)?;
        e.map(1)?
            .i64(VDP)?
            .map(1)?
            .i64(INCLUSION_PROOFS)?
            .array(1)?
            .bytes(&proof)?;
        e.null()?.bytes(message.signature)?;
        Ok(())
    }))
}

fn encode_proof<W: Write>(
    e: &mut Encoder<W>,
    components: &LeafComponents,
    proof: &InclusionProof,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    e.map(2)?.i64(PROOF_LEAF)?.array(3)?;
    e.bytes(components.write_set_digest.as_bytes())?;
    e.str(&components.commit_evidence)?;
    e.bytes(components.claims_digest.as_bytes())?;
    e.i64(PROOF_PATH)?.array(proof.steps.len() as u64)?;
    for step in &proof.steps {
        e.array(2)?
            .bool(matches!(step, Step::Left(_)))?
            .bytes(step.sibling().as_bytes())?;
    }
    Ok(())
}

/// Checks the root signature that is kept in the ledger, for auditors who know the root.
pub fn verify_root_signature(
    bytes: &[u8],
    service: &PublicKey,
    root: &Digest,
) -> Result<RootHeader, ReceiptError> {
    let message = Sign1::parse(bytes, MAX_COSE_BYTES)?;
    if message.payload.is_some() {
        return Err(ReceiptError::WrongKind("it has a payload"));
    }
    let header = RootHeader::parse(message.protected)?;
    header.verify(&message, service, root)?;
    Ok(header)
}

/// The protected header of a root signature, as read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RootHeader {
    /// With what the root is signed.
    pub algorithm: CoseAlgorithm,
    /// The signing key: its digest in hex.
    pub kid: Vec<u8>,
    /// Seconds since 1970, by the clock of the node that signed.
    pub issued_at: Option<i64>,
    /// Who says to have signed. Only the key proves it.
    pub issuer: Option<String>,
    /// About what.
    pub subject: Option<String>,
    /// The signature transaction: the root covers all before it.
    pub tx_id: Option<TxId>,
}

impl RootHeader {
    fn parse(protected: &[u8]) -> Result<Self, ReceiptError> {
        let mut vds = None;
        let mut header = HeaderFields::default();
        let mut d = Decoder::new(protected);
        map(&mut d, |d, label| match label {
            Label::Int(VDS) => once(&mut vds, d.i64()?),
            label => header.field(d, label),
        })?;
        end(&d)?;
        if vds != Some(VDS_CCF_LEDGER_SHA256) {
            return Err(ReceiptError::WrongKind("its tree is not CCF_LEDGER_SHA256"));
        }
        header.finish()
    }

    fn verify(
        &self,
        message: &Sign1<'_>,
        service: &PublicKey,
        root: &Digest,
    ) -> Result<(), ReceiptError> {
        if self.kid != service.key_digest().to_string().as_bytes() {
            return Err(ReceiptError::OtherKey);
        }
        let signed = to_be_signed(message.protected, root);
        service
            .verify_cose(self.algorithm, &signed, message.signature)
            .map_err(|_| ReceiptError::Signature {
                root: *root,
                signer: service.key_digest(),
            })
    }
}

#[derive(Default)]
struct HeaderFields {
    alg: Option<i64>,
    kid: Option<Vec<u8>>,
    cwt: Option<()>,
    issued_at: Option<i64>,
    issuer: Option<String>,
    subject: Option<String>,
    ccf: Option<()>,
    tx_id: Option<TxId>,
}

impl HeaderFields {
    fn field(&mut self, d: &mut Decoder<'_>, label: Label<'_>) -> Result<(), ReceiptError> {
        match label {
            Label::Int(ALG) => once(&mut self.alg, d.i64()?),
            Label::Int(CRIT) => Err(ReceiptError::WrongKind("it has critical headers")),
            Label::Int(KID) => once(&mut self.kid, d.bytes()?.to_vec()),
            Label::Int(CWT_CLAIMS) => {
                once(&mut self.cwt, ())?;
                map(d, |d, label| match label {
                    Label::Int(CWT_ISSUED_AT) => once(&mut self.issued_at, d.i64()?),
                    Label::Int(CWT_ISSUER) => once(&mut self.issuer, d.str()?.to_owned()),
                    Label::Int(CWT_SUBJECT) => once(&mut self.subject, d.str()?.to_owned()),
                    _ => Ok(d.skip()?),
                })
            }
            Label::Text(CCF) => {
                once(&mut self.ccf, ())?;
                map(d, |d, label| match label {
                    Label::Text(CCF_TX_ID) => {
                        let id = d.str()?.parse().map_err(|_| malformed("txid is none"))?;
                        once(&mut self.tx_id, id)
                    }
                    _ => Ok(d.skip()?),
                })
            }
            _ => Ok(d.skip()?),
        }
    }

    fn finish(self) -> Result<RootHeader, ReceiptError> {
        let algorithm =
            self.alg
                .and_then(CoseAlgorithm::from_label)
                .ok_or(ReceiptError::WrongKind(
                    "it is signed with neither ES256 nor ES384",
                ))?;
        Ok(RootHeader {
            algorithm,
            kid: self.kid.ok_or(ReceiptError::OtherKey)?,
            issued_at: self.issued_at,
            issuer: self.issuer,
            subject: self.subject,
            tx_id: self.tx_id,
        })
    }
}

/// A COSE receipt, read but not yet believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoseReceipt {
    /// The protected header.
    pub header: RootHeader,
    /// What the leaf is made from.
    pub components: LeafComponents,
    /// From the leaf to the root.
    pub proof: InclusionProof,
    protected: Vec<u8>,
    signature: Vec<u8>,
}

impl CoseReceipt {
    /// Reads a receipt with one inclusion proof: with several it would not be clear which
    /// transaction it is about, and no ledger makes them.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let message = Sign1::parse(bytes, MAX_COSE_BYTES)?;
        if message.payload.is_some() {
            return Err(ReceiptError::WrongKind("it has a payload"));
        }
        let header = RootHeader::parse(message.protected)?;
        let mut proofs = None;
        let mut d = Decoder::new(message.unprotected);
        map(&mut d, |d, label| match label {
            Label::Int(VDP) => map(d, |d, label| match label {
                Label::Int(INCLUSION_PROOFS) => {
                    if length(d.array()?)? != 1 {
                        return Err(ReceiptError::WrongKind("it has not exactly one proof"));
                    }
                    once(&mut proofs, d.bytes()?)
                }
                _ => Ok(d.skip()?),
            }),
            _ => Ok(d.skip()?),
        })?;
        let proof = proofs.ok_or(ReceiptError::WrongKind("it has no inclusion proof"))?;
        let (components, proof) = parse_proof(proof)?;
        let (protected, signature) = (message.protected.to_vec(), message.signature.to_vec());
        Ok(Self {
            header,
            components,
            proof,
            protected,
            signature,
        })
    }

    /// Checks the receipt under the service's key and, if given, that these are the claims that
    /// were recorded.
    pub fn verify(
        &self,
        service: &PublicKey,
        expected_claims: Option<Digest>,
    ) -> Result<Verified, ReceiptError> {
        let recorded = self.components.claims_digest;
        if let Some(shown) = expected_claims
            && shown != recorded
        {
            return Err(ReceiptError::Claims { recorded, shown });
        }
        let root = self.proof.root(self.components.leaf());
        let message = Sign1 {
            protected: &self.protected,
            unprotected: &[],
            payload: None,
            signature: &self.signature,
        };
        self.header.verify(&message, service, &root)?;
        Ok(Verified {
            tx_id: evidence_tx_id(&self.components.commit_evidence)
                .map_err(|_| ReceiptError::Evidence)?,
            claims_digest: recorded,
            root,
            node_id: None,
            service: service.key_digest(),
        })
    }
}

fn parse_proof(bytes: &[u8]) -> Result<(LeafComponents, InclusionProof), ReceiptError> {
    let (mut components, mut path) = (None, None);
    let mut d = Decoder::new(bytes);
    map(&mut d, |d, label| match label {
        Label::Int(PROOF_LEAF) => once(&mut components, parse_leaf(d)?),
        Label::Int(PROOF_PATH) => once(&mut path, parse_path(d)?),
        _ => Err(malformed("a proof has a leaf and a path")),
    })?;
    end(&d)?;
    match (components, path) {
        (Some(components), Some(steps)) => Ok((components, InclusionProof { steps })),
        _ => Err(malformed("a proof has a leaf and a path")),
    }
}

fn parse_leaf(d: &mut Decoder<'_>) -> Result<LeafComponents, ReceiptError> {
    if length(d.array()?)? != 3 {
        return Err(malformed("a leaf has three components"));
    }
    let write_set_digest = digest(d)?;
    let commit_evidence = d.str()?;
    check_bounds(commit_evidence.len(), 0)?;
    let commit_evidence = commit_evidence.to_owned();
    Ok(LeafComponents {
        write_set_digest,
        commit_evidence,
        claims_digest: digest(d)?,
    })
}

fn parse_path(d: &mut Decoder<'_>) -> Result<Vec<Step>, ReceiptError> {
    let count = length(d.array()?)?;
    check_bounds(1, count)?;
    (0..count)
        .map(|_| {
            if length(d.array()?)? != 2 {
                return Err(malformed("a step has a side and a digest"));
            }
            Ok(if d.bool()? {
                Step::Left(digest(d)?)
            } else {
                Step::Right(digest(d)?)
            })
        })
        .collect()
}

fn digest(d: &mut Decoder<'_>) -> Result<Digest, ReceiptError> {
    Digest::try_from(d.bytes()?).map_err(|_| malformed("a digest has 32 bytes"))
}

fn check_bounds(evidence: usize, steps: u64) -> Result<(), ReceiptError> {
    if evidence == 0 {
        return Err(malformed("the commit evidence is empty"));
    }
    if evidence > MAX_COMMIT_EVIDENCE_BYTES {
        let limit = MAX_COMMIT_EVIDENCE_BYTES;
        return Err(ReceiptError::TooLarge {
            what: "bytes of commit evidence",
            limit,
        });
    }
    if steps > MAX_PROOF_STEPS as u64 {
        return Err(ReceiptError::TooLarge {
            what: "steps to the root",
            limit: MAX_PROOF_STEPS,
        });
    }
    Ok(())
}

/// The four parts of a COSE_Sign1, tagged and of definite lengths.
pub(crate) struct Sign1<'a> {
    pub(crate) protected: &'a [u8],
    /// The map, still encoded.
    unprotected: &'a [u8],
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) signature: &'a [u8],
}

impl<'a> Sign1<'a> {
    pub(crate) fn parse(bytes: &'a [u8], limit: usize) -> Result<Self, ReceiptError> {
        if bytes.len() > limit {
            return Err(ReceiptError::TooLarge {
                what: "bytes of COSE",
                limit,
            });
        }
        let mut d = Decoder::new(bytes);
        if d.tag()? != COSE_SIGN1 || length(d.array()?)? != 4 {
            return Err(malformed("it is no tagged COSE_Sign1"));
        }
        let protected = d.bytes()?;
        let start = d.position();
        if d.datatype()? != Type::Map {
            return Err(malformed("the unprotected header is no map"));
        }
        d.skip()?;
        let unprotected = &bytes[start..d.position()];
        let payload = match d.datatype()? {
            Type::Null => d.null().map(|()| None)?,
            _ => Some(d.bytes()?),
        };
        let signature = d.bytes()?;
        end(&d)?;
        Ok(Self {
            protected,
            unprotected,
            payload,
            signature,
        })
    }
}

/// A key in a COSE header.
#[derive(Clone, Copy)]
pub(crate) enum Label<'a> {
    Int(i64),
    Text(&'a str),
}

/// Reads a map of definite length; `field` reads, or skips, the value of each label.
pub(crate) fn map<'a>(
    d: &mut Decoder<'a>,
    mut field: impl FnMut(&mut Decoder<'a>, Label<'a>) -> Result<(), ReceiptError>,
) -> Result<(), ReceiptError> {
    for _ in 0..length(d.map()?)? {
        let label = match d.datatype()? {
            Type::String => Label::Text(d.str()?),
            _ => Label::Int(d.i64()?),
        };
        field(d, label)?;
    }
    Ok(())
}

/// Fills a slot; a label that comes twice would let two readers see two things.
pub(crate) fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), ReceiptError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(malformed("a label comes twice")),
    }
}

fn length(length: Option<u64>) -> Result<u64, ReceiptError> {
    length.ok_or_else(|| malformed("a length is not definite"))
}

pub(crate) fn end(d: &Decoder<'_>) -> Result<(), ReceiptError> {
    if d.position() == d.input().len() {
        Ok(())
    } else {
        Err(malformed("bytes follow its end"))
    }
}

pub(crate) fn malformed(what: &str) -> ReceiptError {
    ReceiptError::Malformed(what.to_owned())
}

impl From<CborError> for ReceiptError {
    fn from(error: CborError) -> Self {
        Self::Malformed(error.to_string())
    }
}

fn encoded(
    write: impl FnOnce(
        &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>>,
) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(512));
    match write(&mut encoder) {
        Ok(()) => encoder.into_writer(),
        Err(error) => unreachable!("writing to memory cannot fail: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use proptest::prelude::*;

    use super::*;
    use crate::tx_id::{Seqno, View};

    struct Service {
        pair: EcdsaKeyPair,
        key: PublicKey,
    }

    impl Service {
        fn new() -> Self {
            let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
            let spki = pair.public_key().as_der().unwrap();
            let key = PublicKey::from_spki_der(spki.as_ref()).unwrap();
            Self { pair, key }
        }

        fn protected(&self) -> Vec<u8> {
            let kid = self.key.key_digest().to_string();
            let tx_id = TxId::new(View(2), Seqno(19));
            protected_header(
                &kid,
                ES384,
                1_700_000_000,
                "service.example",
                "ledger",
                tx_id,
            )
        }

        fn sign(&self, protected: &[u8], root: &Digest) -> Vec<u8> {
            let message = to_be_signed(protected, root);
            let signature = self.pair.sign(&SystemRandom::new(), &message).unwrap();
            root_signature(protected, signature.as_ref())
        }
    }

    fn vector() -> (LeafComponents, InclusionProof) {
        let components = LeafComponents {
            write_set_digest: Digest::of(b"ws"),
            commit_evidence: format!("ce:2.15:{}", Digest::of(b"nonce")),
            claims_digest: Digest::of(b"claims"),
        };
        let steps = vec![Step::Left(Digest::of(b"l")), Step::Right(Digest::of(b"r"))];
        (components, InclusionProof { steps })
    }

    #[test]
    fn leaf_and_root_match_the_known_answer() {
        let (components, proof) = vector();
        let leaf = components.leaf();
        assert_eq!(
            leaf.to_string(),
            "208ef4ebab6931ba0482d3772d2abfdbfed2009d4270f1dd4b9e3397139a26d5"
        );
        assert_eq!(
            proof.root(leaf).to_string(),
            "88b26d5d5cbd807d5a1c5ad0b3e4cd0b59c90b54dde837cf7c9ffe89ffe232c5"
        );
    }

    #[test]
    fn the_protected_header_is_written_in_the_order_of_ccf() {
        let tx_id = TxId::new(View(2), Seqno(19));
        let header = protected_header("6b", ES384, 1, "i", "s", tx_id);
        let expected = [
            "a5",
            "013822",           // 1: -35
            "04423662",         // 4: kid as text bytes
            "19018b02",         // 395: 2
            "0fa3060101616902", // 15: {6: 1, 1: "i", 2:
            "6173",             // "s"}
            "666363662e7631",   // "ccf.v1"
            "a16474786964",     // {"txid":
            "64322e3139",       // "2.19"}
        ];
        assert_eq!(hex::encode(header), expected.concat());
    }

    #[test]
    fn a_receipt_is_verified_under_the_key_that_signed_it_and_no_other() {
        let service = Service::new();
        let (components, proof) = vector();
        let root = proof.root(components.leaf());
        let signed = service.sign(&service.protected(), &root);
        let bytes = receipt(&signed, &components, &proof).unwrap();
        assert_eq!(bytes[0], 0xd2);

        let receipt = CoseReceipt::parse(&bytes).unwrap();
        let verified = receipt
            .verify(&service.key, Some(components.claims_digest))
            .unwrap();
        assert_eq!(verified.tx_id, TxId::new(View(2), Seqno(15)));
        assert_eq!(verified.root, root);
        assert_eq!(receipt.header.tx_id, Some(TxId::new(View(2), Seqno(19))));
        assert_eq!(receipt.header.issuer.as_deref(), Some("service.example"));
        assert_eq!(receipt.header.issued_at, Some(1_700_000_000));

        let other = Service::new().key;
        assert_eq!(receipt.verify(&other, None), Err(ReceiptError::OtherKey));
        let claims = receipt.verify(&service.key, Some(Digest::ZERO));
        assert!(matches!(claims, Err(ReceiptError::Claims { .. })));
    }

    #[test]
    fn a_root_signature_is_verified_for_its_root_only() {
        let service = Service::new();
        let root = Digest::of(b"root");
        let signed = service.sign(&service.protected(), &root);
        let header = verify_root_signature(&signed, &service.key, &root).unwrap();
        assert_eq!(header.subject.as_deref(), Some("ledger"));
        let other = verify_root_signature(&signed, &service.key, &Digest::ZERO);
        assert!(matches!(other, Err(ReceiptError::Signature { .. })));
        let no_receipt = CoseReceipt::parse(&signed);
        assert!(matches!(no_receipt, Err(ReceiptError::WrongKind(_))));
    }

    #[test]
    fn messages_of_another_kind_are_refused() {
        let service = Service::new();
        let (components, proof) = vector();
        let root = proof.root(components.leaf());
        let kid = service.key.key_digest().to_string();
        let header = |write: &dyn Fn(&mut Encoder<Vec<u8>>)| {
            encoded(|e| {
                write(e);
                Ok(())
            })
        };
        let headers = [
            header(&|e| drop(e.map(0))),
            // Another tree.
            header(&|e| {
                e.map(3)
                    .unwrap()
                    .i64(1)
                    .unwrap()
                    .i64(ES384)
                    .unwrap()
                    .i64(4)
                    .unwrap();
                e.bytes(kid.as_bytes())
                    .unwrap()
                    .i64(395)
                    .unwrap()
                    .i64(1)
                    .unwrap();
            }),
            // Critical headers that nobody here understands.
            header(&|e| {
                e.map(4)
                    .unwrap()
                    .i64(1)
                    .unwrap()
                    .i64(ES384)
                    .unwrap()
                    .i64(4)
                    .unwrap();
                e.bytes(kid.as_bytes())
                    .unwrap()
                    .i64(395)
                    .unwrap()
                    .i64(2)
                    .unwrap();
                e.i64(2).unwrap().array(1).unwrap().i64(77).unwrap();
            }),
            // The algorithm twice.
            header(&|e| {
                e.map(4)
                    .unwrap()
                    .i64(1)
                    .unwrap()
                    .i64(ES384)
                    .unwrap()
                    .i64(1)
                    .unwrap();
                e.i64(ES256)
                    .unwrap()
                    .i64(4)
                    .unwrap()
                    .bytes(kid.as_bytes())
                    .unwrap();
                e.i64(395).unwrap().i64(2).unwrap();
            }),
            // An algorithm that is not the key's.
            header(&|e| {
                e.map(3)
                    .unwrap()
                    .i64(1)
                    .unwrap()
                    .i64(ES256)
                    .unwrap()
                    .i64(4)
                    .unwrap();
                e.bytes(kid.as_bytes())
                    .unwrap()
                    .i64(395)
                    .unwrap()
                    .i64(2)
                    .unwrap();
            }),
        ];
        for protected in headers {
            let signed = service.sign(&protected, &root);
            let verified = receipt(&signed, &components, &proof)
                .and_then(|bytes| CoseReceipt::parse(&bytes)?.verify(&service.key, None));
            assert!(verified.is_err(), "{}", hex::encode(protected));
        }
        let signed = service.sign(&service.protected(), &root);
        let bytes = receipt(&signed, &components, &proof).unwrap();
        assert!(
            receipt(&bytes, &components, &proof).is_err(),
            "a receipt is no root signature"
        );
        assert!(
            CoseReceipt::parse(&[&bytes[..], &[0]].concat()).is_err(),
            "trailing byte"
        );
        assert!(CoseReceipt::parse(&bytes[1..]).is_err(), "untagged");
        assert!(CoseReceipt::parse(&[]).is_err());
    }

    #[test]
    fn oversized_parts_are_refused() {
        let signed = root_signature(&Service::new().protected(), &[0; 96]);
        let (components, proof) = vector();
        let high = InclusionProof {
            steps: vec![proof.steps[0]; MAX_PROOF_STEPS + 1],
        };
        assert!(matches!(
            receipt(&signed, &components, &high),
            Err(ReceiptError::TooLarge { .. })
        ));
        let long = LeafComponents {
            commit_evidence: "c".repeat(1025),
            ..components
        };
        assert!(matches!(
            receipt(&signed, &long, &proof),
            Err(ReceiptError::TooLarge { .. })
        ));
        let big = vec![0xd2; MAX_COSE_BYTES + 1];
        assert!(matches!(
            CoseReceipt::parse(&big),
            Err(ReceiptError::TooLarge { .. })
        ));
    }

    #[test]
    fn no_changed_bit_leaves_a_receipt_that_verifies() {
        let service = Service::new();
        let (components, proof) = vector();
        let root = proof.root(components.leaf());
        let bytes = receipt(
            &service.sign(&service.protected(), &root),
            &components,
            &proof,
        )
        .unwrap();
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                let verified =
                    CoseReceipt::parse(&changed).and_then(|it| it.verify(&service.key, None));
                assert!(verified.is_err(), "byte {place}, bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = CoseReceipt::parse(&bytes);
            let tagged = [&[0xd2, 0x84][..], &bytes].concat();
            let _ = CoseReceipt::parse(&tagged);
        }
    }
}
