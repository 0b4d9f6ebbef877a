//! AWS Nitro enclaves: a document signed by the hypervisor says which image runs.
//!
//! The chain: AWS's root (built in) certifies region, zone, instance and, for three hours, the key
//! that signs the document. The document is a COSE_Sign1 message (ES384) whose payload holds the
//! enclave's registers (PCRs, SHA-384) and 512 bytes of the enclave's choice, in which nodes put
//! their report data. What is trusted is AWS: there is no chip's word beside its hypervisor's.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use minicbor::Decoder;
use serde::{Deserialize, Serialize};

use crate::bytes::{HexBytes, Measurement, ReportData, base64_bytes};
use crate::chain::{Chain, ChainFault};
use crate::cose::{Label, Map, Sign1};
use crate::limits::MAX_NITRO_DOCUMENT_BYTES;
use crate::time::UnixTime;

/// AWS's root of all enclaves; see `data/NOTICE`.
const AWS_ROOT: &[u8] = include_bytes!("../../data/aws-nitro-root.der");

/// A document as the enclave's device handed it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NitroEvidence {
    /// The COSE_Sign1 message.
    #[serde(with = "base64_bytes")]
    pub document: Vec<u8>,
}

/// The enclaves that are accepted. The default accepts none; enclaves under debug are never accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NitroPolicy {
    /// Which code, each as the registers that must have these values.
    pub images: BTreeSet<NitroImage>,
}

/// The code of an enclave: registers by number. Of these, 0 measures the image and 8 its signer; an
/// image that names neither matches nothing, because the other ones do not say which code runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NitroImage(pub BTreeMap<u8, Measurement>);

/// What a document has proven: AWS runs that enclave, which chose that report data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NitroVerdict {
    /// AWS's name for instance and enclave.
    pub module_id: String,
    /// When the document was made.
    pub made_at: UnixTime,
    /// All registers that are not zero.
    pub registers: NitroImage,
    /// What the enclave had signed.
    pub report_data: ReportData,
}

/// A document, its certificates or its content failed a check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NitroRefusal {
    /// It was cut or is something else. The sender should ask the enclave's device again.
    #[error("the Nitro document is not usable: {0}; the sender should collect it again")]
    Malformed(&'static str),
    /// The root is not AWS's: somebody made a chain of their own.
    #[error("the root certificate is not AWS's; the sender made that chain up")]
    Root,
    /// The certificates do not lead from the root to the document, or not at that time. Documents
    /// are good for three hours: the sender should collect a new one.
    #[error(
        "the Nitro document's certificates do not hold: {0}; the sender should collect it anew"
    )]
    Chain(#[from] ChainFault),
    /// The enclave's certificate did not sign it: it was altered.
    #[error("the Nitro document was altered after signing; the sender should collect it again")]
    Signature,
    /// The registers are zero: the enclave's operator can read its console. Start it without debug.
    #[error("the enclave runs under debug, so nothing in it is secret; start it without")]
    Debug,
    /// The code is not on the list. The enclave runs something else, or members must list it.
    #[error(
        "the image with PCR0 {0} is not accepted; that enclave runs other code, or its release is \
         yet to be accepted by the members"
    )]
    Image(Measurement),
    /// The evidence is not about this key, network or question: it was copied from elsewhere.
    #[error(
        "the user data is not the report data that was asked for; the evidence was made for another \
         key, network or nonce"
    )]
    ReportData,
}

/// Verifies a document against AWS's root, the policy and the report data that is expected as its
/// user data, at the time `now`.
pub fn verify(
    evidence: &NitroEvidence,
    policy: &NitroPolicy,
    report_data: &ReportData,
    now: UnixTime,
) -> Result<NitroVerdict, NitroRefusal> {
    verify_under(AWS_ROOT, evidence, policy, report_data, now)
}

fn verify_under(
    root: &[u8],
    evidence: &NitroEvidence,
    policy: &NitroPolicy,
    report_data: &ReportData,
    now: UnixTime,
) -> Result<NitroVerdict, NitroRefusal> {
    if evidence.document.len() > MAX_NITRO_DOCUMENT_BYTES {
        return Err(NitroRefusal::Malformed("it is too long"));
    }
    let message = Sign1::parse(&evidence.document).map_err(NitroRefusal::Malformed)?;
    check_algorithm(&message)?;
    let document = Document::read(message.payload)?;
    if document.chain.last() != Some(&root) {
        return Err(NitroRefusal::Root);
    }
    let chain = Chain::follow(document.chain, now)?;
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, chain.leaf_key())
        .verify(&message.signed(), message.signature)
        .map_err(|_| NitroRefusal::Signature)?;

    let registers = document.registers;
    let Some(image) = registers.0.get(&0) else {
        return Err(NitroRefusal::Debug);
    };
    if !policy.images.iter().any(|accepted| accepted.is(&registers)) {
        return Err(NitroRefusal::Image(*image));
    }
    if document.user_data != Some(&report_data.0[..]) {
        return Err(NitroRefusal::ReportData);
    }
    Ok(NitroVerdict {
        module_id: document.module_id.to_owned(),
        made_at: UnixTime(document.timestamp_ms / 1000),
        registers,
        report_data: *report_data,
    })
}

impl NitroImage {
    fn is(&self, actual: &Self) -> bool {
        let says_which_code = self.0.contains_key(&0) || self.0.contains_key(&8);
        let mut wanted = self.0.iter();
        says_which_code && wanted.all(|(register, value)| actual.0.get(register) == Some(value))
    }
}

fn check_algorithm(message: &Sign1<'_>) -> Result<(), NitroRefusal> {
    const ES384: i64 = -35;
    let headers = message.headers().map_err(NitroRefusal::Malformed)?;
    let algorithm = headers.get(Label::Number(1));
    match algorithm.and_then(|mut value| value.i64().ok()) {
        Some(ES384) if headers.get(Label::Number(2)).is_none() => Ok(()),
        _ => Err(NitroRefusal::Malformed("it is not signed with ES384")),
    }
}

/// The payload, as AWS's description of the format has it.
struct Document<'a> {
    module_id: &'a str,
    timestamp_ms: u64,
    registers: NitroImage,
    /// Leaf first.
    chain: Vec<&'a [u8]>,
    user_data: Option<&'a [u8]>,
}

impl<'a> Document<'a> {
    fn read(payload: &'a [u8]) -> Result<Self, NitroRefusal> {
        let malformed = NitroRefusal::Malformed;
        let map = Map::parse(payload).map_err(malformed)?;
        let value = |name| map.get(Label::Text(name));
        if map.text(Label::Text("digest")) != Some("SHA384") {
            return Err(malformed("its digests are not SHA-384"));
        }
        let timestamp = value("timestamp").and_then(|mut value| value.u64().ok());
        let registers = map.raw(Label::Text("pcrs")).and_then(registers);
        let leaf = value("certificate").and_then(|mut value| value.bytes().ok());
        let bundle = value("cabundle").and_then(bundle);
        let mut chain = vec![leaf.ok_or(malformed("it brings no certificate"))?];
        // The bundle begins with the root.
        chain.extend(bundle.ok_or(malformed("it brings no chain"))?.iter().rev());
        Ok(Self {
            module_id: map
                .text(Label::Text("module_id"))
                .ok_or(malformed("it names no module"))?,
            timestamp_ms: timestamp.ok_or(malformed("it bears no time"))?,
            registers: registers.ok_or(malformed("its registers cannot be read"))?,
            chain,
            user_data: value("user_data").and_then(|mut value| value.bytes().ok()),
        })
    }
}

/// Registers that are zero were not used, or the enclave is under debug.
fn registers(map: &[u8]) -> Option<NitroImage> {
    let map = Map::parse(map).ok()?;
    let registers = map.entries().map(|(register, value)| {
        let Label::Number(register) = register else {
            return None;
        };
        let value = Decoder::new(value).bytes().ok()?.try_into().ok()?;
        Some((u8::try_from(register).ok()?, HexBytes(value)))
    });
    let registers = registers.collect::<Option<Vec<_>>>()?;
    let used = registers
        .into_iter()
        .filter(|(_, value)| *value != HexBytes::ZERO);
    Some(NitroImage(used.collect()))
}

fn bundle(mut value: Decoder<'_>) -> Option<Vec<&[u8]>> {
    let length = value.array().ok()??;
    (0..length.min(64)).map(|_| value.bytes().ok()).collect()
}
