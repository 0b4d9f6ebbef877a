//! `counterfoil verify`: a receipt and a service certificate in, a verdict out. No network.

mod in_contract;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alloy_primitives::{Address, B256};
use anyhow::Result;
use audit::model::Salt;
use serde::Serialize;
use verify::cose::CoseReceipt;
use verify::ethereum::EthereumTransaction;
use verify::{
    Cert, Claim, CosignError, Cosigners, Digest, Receipt, ReceiptDocument, ReceiptError, Verified,
    Verifier, Witnessed, claims_digest,
};

use super::recorded::{Compared, Held};
use crate::connection::TrustArgs;
use crate::out::{self, bad, bold, faint, good, say};
use crate::report::{Failure, UNREADABLE};

/// Check a receipt offline.
///
/// Nothing but the receipt and the service certificate is looked at: no server is asked. A receipt of the
/// audit's says which event it proves, in a ledger or in a contract. Exit code
/// 0: the receipt holds, and the data is what was recorded; 1: not so; 2: it could not be read.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil verify receipt.json --service-cert service_cert.pem
  counterfoil verify receipt.cose --service-cert service_cert.pem --claims claims.json
  counterfoil verify receipt.json --ledger ledger --json | jq .valid
  counterfoil verify proof.json --service-cert service_cert.pem --data record.json
  counterfoil verify proof.json --service-cert service_cert.pem --root 0x5fbd...0aa3 --data record.json
  counterfoil verify receipt.json --service-cert service_cert.pem --require 2 --cosigners known")]
pub(crate) struct Verify {
    /// The receipt, JSON or COSE; - for standard input.
    receipt: PathBuf,
    /// Check that these claims were recorded: JSON as under `applicationClaims` in a receipt.
    #[arg(long, value_name = "FILE", conflicts_with = "claims_digest")]
    claims: Option<PathBuf>,
    /// Check that claims with this digest were recorded.
    #[arg(long, value_name = "HEX")]
    claims_digest: Option<Digest>,
    /// Demand that so many organisations countersigned a history with this entry.
    #[arg(
        long,
        value_name = "COUNT",
        requires = "cosigners",
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    require: Option<u16>,
    /// The cosigners that you know, by organisation; `counterfoil node cosigners` prints such a file.
    #[arg(long, value_name = "FILE", requires = "require")]
    cosigners: Option<PathBuf>,
    /// Demand that the event is in a contract of the tree with this root.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = NOT_IN_CONTRACTS)]
    root: Option<Address>,
    /// For an event on another chain: the hash of its block, which you know to be in that chain. In place of
    /// the service certificate.
    #[arg(long, value_name = "HASH", conflicts_with_all = NOT_IN_CONTRACTS)]
    block: Option<B256>,
    /// Compare this data (JSON) with what the audit event in the receipt recorded.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The salt of the recorded hash; without it, the one in the file, if that is a proof of the audit's.
    #[arg(long, value_name = "HEX", requires = "data")]
    salt: Option<Salt>,
    /// Print the verdict as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trust: TrustArgs,
}

/// What receipts of events in contracts do not have.
const NOT_IN_CONTRACTS: [&str; 4] = ["claims", "claims_digest", "require", "cosigners"];

/// A receipt of either kind, read.
pub(crate) enum AnyReceipt {
    Json(Box<ReceiptDocument>),
    Cose(Box<CoseReceipt>),
}

/// What a receipt that holds proves, and what it leaves open.
pub(crate) struct Verdict {
    pub(crate) proven: Verified,
    /// The claims that are proven with it; empty where only their digest is known.
    pub(crate) claims: Vec<Claim>,
    /// Who countersigned, where that was demanded.
    pub(crate) witnessed: Option<Witnessed>,
}

impl Verify {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let bytes = read(&self.receipt)?;
        if audit::trail::chain::is_chain_event(&bytes) {
            return self.in_contract(&bytes);
        }
        if self.root.is_some() || self.block.is_some() {
            let failure = Failure::new("--root and --block are for events in contracts");
            return Err(failure
                .hint("this receipt is of another kind: leave them out")
                .into());
        }
        let anchor = self.anchor()?;
        let expected = match &self.claims {
            Some(path) => Some(read_claims(path)?),
            None => None,
        };
        let cosigners = self.cosigners.as_deref().map(read_cosigners).transpose()?;
        let cosigners = cosigners.as_ref().zip(self.require);
        let verdict = AnyReceipt::read(&bytes)
            .map_err(CosignError::from)
            .and_then(|receipt| {
                let witnessed = receipt.witnessed(&anchor, cosigners);
                let mut verdict =
                    receipt.check(anchor.clone(), expected.as_deref(), self.claims_digest)?;
                verdict.witnessed = witnessed?;
                Ok(verdict)
            });
        let held = self
            .data
            .as_deref()
            .map(|path| Held::read(path, &bytes, self.salt));
        let compared = match (held.transpose()?, &verdict) {
            (Some(held), Ok(verdict)) => Some(held.compare(&verdict.claims)?),
            _ => None,
        };
        if self.json {
            let proven = verdict.as_ref();
            let proven = proven.map(|verdict| JsonProven::new(verdict, &anchor));
            let proven = proven.map_err(ToString::to_string);
            out::write_json(&JsonVerdict::new(proven, compared.as_ref()));
        } else {
            show(&verdict, &anchor);
            show_compared(compared.as_ref());
        }
        Ok(match &verdict {
            Ok(_) if matches!(compared, Some(Compared::Altered(_))) => ExitCode::FAILURE,
            Ok(_) => ExitCode::SUCCESS,
            Err(error) if is_unreadable(error) => ExitCode::from(UNREADABLE),
            Err(_) => ExitCode::FAILURE,
        })
    }
}

impl Verify {
    fn anchor(&self) -> Result<Cert> {
        let anchor = Cert::from_pem(&self.trust.anchor()?).map_err(|error| {
            Failure::unreadable("the service certificate cannot be used").because(error)
        });
        Ok(anchor?)
    }
}

impl AnyReceipt {
    /// Reads a receipt: JSON where the first byte is that of an object, else COSE.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, ReceiptError> {
        match bytes.trim_ascii_start().first() {
            Some(b'{') => Ok(Self::Json(Box::new(ReceiptDocument::from_json(bytes)?))),
            _ => Ok(Self::Cose(Box::new(CoseReceipt::parse(bytes)?))),
        }
    }

    /// Who countersigned a history with the entry, where some must have.
    fn witnessed(
        &self,
        service: &Cert,
        required: Option<(&Cosigners, u16)>,
    ) -> Result<Option<Witnessed>, CosignError> {
        let Some((cosigners, count)) = required else {
            return Ok(None);
        };
        let receipt: &Receipt = match self {
            Self::Json(document) => &document.receipt,
            Self::Cose(_) => return Err(CosignError::None),
        };
        let verifier = Verifier::new(service.clone());
        let witnessed = verifier.verify_cosigned(receipt, cosigners, usize::from(count));
        witnessed.map(Some)
    }

    /// Checks it under a service and, where claims are given, that just these were recorded.
    pub(crate) fn check(
        self,
        service: Cert,
        expected: Option<&[Claim]>,
        expected_digest: Option<Digest>,
    ) -> Result<Verdict, ReceiptError> {
        let expected_digest = expected_digest.or_else(|| expected.map(claims_digest));
        let (proven, shown) = match self {
            Self::Json(document) => (
                Verifier::new(service).verify_document(&document)?,
                document.claims,
            ),
            Self::Cose(receipt) => (
                receipt.verify(&service.public_key(), expected_digest)?,
                None,
            ),
        };
        match expected_digest {
            Some(digest) if digest != proven.claims_digest => {
                return Err(ReceiptError::Claims {
                    recorded: proven.claims_digest,
                    shown: digest,
                });
            }
            _ => {}
        }
        let claims = shown
            .or_else(|| expected.map(<[Claim]>::to_vec))
            .unwrap_or_default();
        Ok(Verdict {
            proven,
            claims,
            witnessed: None,
        })
    }
}

/// Whether the file was no receipt at all, rather than one that does not hold.
fn is_unreadable(error: &CosignError) -> bool {
    matches!(
        error,
        CosignError::Receipt(ReceiptError::Malformed(_) | ReceiptError::NotReady)
    )
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        let limit = verify::limits::MAX_JSON_BYTES as u64 + 1;
        let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
        return read
            .map(|_| bytes)
            .map_err(Failure::reading(Path::new("standard input")));
    }
    std::fs::read(path).map_err(Failure::reading(path))
}

pub(crate) fn read_cosigners(path: &Path) -> Result<Cosigners, Failure> {
    let text = std::fs::read_to_string(path).map_err(Failure::reading(path))?;
    let cosigners = text.parse();
    cosigners.map_err(|error: verify::cosigned::BadCosigners| {
        let what = format!("{} has no usable cosigners", path.display());
        Failure::unreadable(what).because(error)
    })
}

/// Reads claims: a list of them, or an answer of the receipt endpoint that has them.
fn read_claims(path: &Path) -> Result<Vec<Claim>, Failure> {
    #[derive(serde::Deserialize)]
    struct Answer {
        #[serde(rename = "applicationClaims")]
        claims: Vec<Claim>,
    }
    let bytes = read(path)?;
    let claims = serde_json::from_slice(&bytes)
        .or_else(|_| serde_json::from_slice::<Answer>(&bytes).map(|answer| answer.claims));
    claims.map_err(|error| {
        Failure::unreadable(format!("{} has no claims", path.display())).because(error)
    })
}

fn show(verdict: &Result<Verdict, CosignError>, service: &Cert) {
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(error) if is_unreadable(error) => {
            return say!("{} {error}", bad("NOT A RECEIPT"));
        }
        Err(error) => {
            return say!("{} {error}", bad("NOT VALID"));
        }
    };
    let proven = &verdict.proven;
    say!(
        "{} transaction {} is in the ledger",
        good("VALID"),
        bold(proven.tx_id)
    );
    for claim in &verdict.claims {
        match claim {
            Claim::LedgerEntry {
                collection_id,
                contents,
                ..
            } => {
                say!("  entry    {}", out::one_line(contents, 100));
                say!("  in       {}", out::one_line(collection_id, 100));
            }
            Claim::EthereumTransaction(transaction) => show_transaction(transaction),
            Claim::Digest { protocol, value } => {
                say!("  claim    {} {value}", out::one_line(protocol, 100));
            }
        }
    }
    if verdict.claims.is_empty() && proven.claims_digest != Digest::ZERO {
        say!(
            "  claims   {} {}",
            proven.claims_digest,
            faint("(shown only as a digest)")
        );
    }
    say!("  root     {}", proven.root);
    match &proven.node_id {
        Some(node) => say!("  signed   by node {node}"),
        None => say!("  signed   by the service itself"),
    }
    say!("  service  {}", service.fingerprint_text());
    if let Some(Witnessed {
        organisations,
        checkpoint,
    }) = &verdict.witnessed
    {
        let names: Vec<_> = organisations.keys().map(String::as_str).collect();
        say!("  seen by  {}", out::one_line(&names.join(", "), 200));
        say!("  in       the history of size {}", checkpoint.size);
    }
}

fn show_compared(compared: Option<&Compared>) {
    match compared {
        None => {}
        Some(Compared::Same) => say!("{} the data is what was recorded", good("SAME")),
        Some(Compared::Altered(fields)) => {
            let fields = out::one_line(&fields.join(" "), 300);
            say!(
                "{} the data is not what was recorded {fields}",
                bad("ALTERED")
            );
        }
    }
}

fn show_transaction(transaction: &EthereumTransaction) {
    say!("  call     {}", transaction.transaction_hash);
    say!("  from     {}", transaction.from);
    match (transaction.to, transaction.contract_address) {
        (Some(to), _) => say!("  to       {to}"),
        (None, Some(made)) => say!("  made     the contract {made}"),
        (None, None) => say!("  made     no contract"),
    }
    let how = if transaction.succeeded {
        good("succeeded")
    } else {
        bad("failed")
    };
    say!("  result   {how}, gas {}", transaction.gas_used);
    for log in &transaction.logs {
        let topics = log.topics.iter().map(ToString::to_string);
        let topics = topics.collect::<Vec<_>>().join(" ");
        say!("  log      {} {}", log.address, out::one_line(&topics, 300));
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonVerdict<'a, P: Serialize> {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    proven: Option<P>,
    /// Where data was given: whether it is what was recorded, and which fields are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<JsonCompared<'a>>,
}

#[derive(Serialize)]
struct JsonCompared<'a> {
    same: bool,
    fields: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonProven<'a> {
    transaction_id: verify::TxId,
    claims_digest: Digest,
    claims: &'a [Claim],
    root: Digest,
    node_id: Option<Digest>,
    /// Fingerprint of the service certificate under which it holds.
    service: String,
    /// Organisations that countersigned, and when, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_by: Option<&'a std::collections::BTreeMap<String, u64>>,
}

impl<'a, P: Serialize> JsonVerdict<'a, P> {
    /// What is proven, or why it is not.
    fn new(proven: Result<P, String>, compared: Option<&'a Compared>) -> Self {
        let (proven, reason) = match proven {
            Ok(proven) => (Some(proven), None),
            Err(reason) => (None, Some(reason)),
        };
        Self {
            valid: proven.is_some(),
            reason,
            proven,
            data: compared.map(JsonCompared::from),
        }
    }
}

impl<'a> JsonProven<'a> {
    fn new(verdict: &'a Verdict, service: &Cert) -> Self {
        Self {
            transaction_id: verdict.proven.tx_id,
            claims_digest: verdict.proven.claims_digest,
            claims: &verdict.claims,
            root: verdict.proven.root,
            node_id: verdict.proven.node_id,
            service: service.fingerprint_text(),
            seen_by: verdict.witnessed.as_ref().map(|seen| &seen.organisations),
        }
    }
}

impl<'a> From<&'a Compared> for JsonCompared<'a> {
    fn from(compared: &'a Compared) -> Self {
        let (same, fields) = match compared {
            Compared::Same => (true, &[][..]),
            Compared::Altered(fields) => (false, &fields[..]),
        };
        Self { same, fields }
    }
}
