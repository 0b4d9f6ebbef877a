//! `counterfoil node attest`: judges the evidence of all nodes of a network by one's own policy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use attest::ear::{Appraisal, Ear, VerifierId};
use attest::{Evidence, JoinPolicy, Refusal, UnixTime, Verdict, report_data_for};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::model::NodeQuote;
use node::join::EVIDENCE_LABEL;
use serde::Serialize;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use verify::{Cert, Digest};

use crate::commands::block_on;
use crate::connection::ConnectionArgs;
use crate::out::{self, bad, bold, faint, good, say, warning};
use crate::report::Failure;
use crate::signer::now;

/// Judge the hardware evidence of all nodes of a network by your own policy.
///
/// The evidence is what each node showed when it joined, as the ledger recorded it. Exit code 0: all
/// nodes are accepted; 1: one is refused; 2: the question could not be asked.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil node attest https://node.orchard.example --service-cert service_cert.pem --policy policy.json
  counterfoil node attest --ledger ledger --policy policy.toml --ear result.jwt --ear-key auditor_privk.pem
A policy has the form of `/gov/service/join-policy`: {\"snp\": {\"measurements\": [...], ...}, ...}")]
pub(crate) struct Attest {
    /// The address of a node.
    address: Option<String>,
    /// What you accept: JSON, or TOML where the name ends so.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Judge as of this time, in seconds since 1970, not as of now: vendors' statements expire.
    #[arg(long, value_name = "SECONDS")]
    at: Option<u64>,
    /// Write the result as an EAR token (JWT).
    #[arg(long, value_name = "FILE", requires = "ear_key")]
    ear: Option<PathBuf>,
    /// The key that signs the token: P-384, PEM, for example a member's.
    #[arg(long, value_name = "FILE", requires = "ear")]
    ear_key: Option<PathBuf>,
    /// Print the verdicts as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Why a node is not accepted.
enum NotAccepted {
    /// There is nothing to judge.
    NoEvidence(&'static str),
    /// It was judged.
    Refused(Refusal),
}

/// A node, and what became of its evidence.
struct Judged {
    quote: NodeQuote,
    answers: bool,
    result: Result<Verdict, NotAccepted>,
}

impl Attest {
    pub(super) fn run(self) -> Result<ExitCode> {
        let policy = read_policy(&self.policy)?;
        let key = self.ear_key.as_deref().map(read_key).transpose()?;
        let connection = self.connection.at(self.address);
        let service = Cert::from_pem(&connection.read()?.service_cert).map_err(|error| {
            Failure::unreadable("the service certificate cannot be used").because(error)
        })?;
        let client = connection.client()?;
        let (own, quotes) = block_on(async {
            let own = client.node_own_quote().await?;
            Ok((own, client.node_quotes().await?))
        })?;
        let at = UnixTime(self.at.unwrap_or_else(now));
        let network = service.key_digest();
        let mut quotes = quotes;
        if quotes.iter().all(|quote| quote.node_id != own.node_id) {
            quotes.push(own.clone());
        }
        let judge = |quote: NodeQuote| Judged {
            answers: quote.node_id == own.node_id,
            result: judge(&policy, &quote, &network, at),
            quote,
        };
        let judged: Vec<_> = quotes.into_iter().map(judge).collect();
        let policy = serde_json::to_vec(&policy).expect("a policy is JSON");
        let appraisals = appraisals(&judged, &policy);
        if self.json {
            out::write_json(&Shown::of(&judged, &appraisals, at));
        } else {
            show(&judged, &appraisals);
        }
        if let (Some(path), Some(key)) = (&self.ear, &key) {
            let token = token(appraisals, key, at)?;
            std::fs::write(path, token).map_err(Failure::writing(path))?;
        }
        let accepted = judged.iter().all(|judged| judged.result.is_ok());
        Ok(if accepted {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn judge(
    policy: &JoinPolicy,
    quote: &NodeQuote,
    network: &Digest,
    at: UnixTime,
) -> Result<Verdict, NotAccepted> {
    let none = NotAccepted::NoEvidence;
    let spki = STANDARD.decode(&quote.public_key);
    let spki = spki.map_err(|_| none("its public key is not base64"))?;
    if Digest::of(&spki).to_string() != quote.node_id {
        return Err(none("its id is not that of its public key"));
    }
    if quote.evidence.is_null() {
        return Err(none("the ledger has no evidence of it"));
    }
    let evidence = quote.evidence.to_string();
    let evidence = Evidence::from_json(evidence.as_bytes())
        .map_err(|_| none("its evidence has no known form"))?;
    let nonce = hex::decode(&quote.nonce).map_err(|_| none("its nonce is not hexadecimal"))?;
    let about = report_data_for(EVIDENCE_LABEL, &spki, &network.0, &nonce);
    policy
        .judge(&evidence, &about, at)
        .map_err(NotAccepted::Refused)
}

fn appraisals(judged: &[Judged], policy: &[u8]) -> BTreeMap<String, Appraisal> {
    let appraisal = |judged: &Judged| match &judged.result {
        Ok(verdict) => Appraisal::new(Ok(verdict), policy),
        Err(NotAccepted::Refused(refusal)) => Appraisal::new(Err(refusal), policy),
        Err(NotAccepted::NoEvidence(why)) => Appraisal::without_evidence(*why, policy),
    };
    let named = |judged: &Judged| (judged.quote.node_id.clone(), appraisal(judged));
    judged.iter().map(named).collect()
}

fn token(
    appraisals: BTreeMap<String, Appraisal>,
    key: &EcdsaKeyPair,
    at: UnixTime,
) -> Result<String, Failure> {
    let verifier = VerifierId {
        build: concat!("counterfoil ", env!("CARGO_PKG_VERSION")).to_owned(),
        developer: env!("CARGO_PKG_REPOSITORY").to_owned(),
    };
    Ear::of_nodes(verifier, appraisals, None, at).to_jwt(|message| {
        let cannot = || Failure::new("the key cannot sign the token");
        let signature = key.sign(&SystemRandom::new(), message);
        let signature = signature.map_err(|_| cannot())?;
        signature.as_ref().try_into().map_err(|_| cannot())
    })
}

fn read_policy(path: &Path) -> Result<JoinPolicy, Failure> {
    let text = std::fs::read_to_string(path).map_err(Failure::reading(path))?;
    let bad = || Failure::unreadable(format!("{} is no policy", path.display()));
    if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        return toml::from_str(&text).map_err(|error| bad().because(error));
    }
    serde_json::from_str(&text).map_err(|error| bad().because(error))
}

fn read_key(path: &Path) -> Result<EcdsaKeyPair, Failure> {
    let pem = std::fs::read(path).map_err(Failure::reading(path))?;
    let key = PrivateKeyDer::from_pem_slice(&pem).ok().and_then(|der| {
        let algorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;
        EcdsaKeyPair::from_private_key_der(algorithm, der.secret_der()).ok()
    });
    key.ok_or_else(|| {
        Failure::unreadable(format!(
            "{} is no private key (PEM) of P-384",
            path.display()
        ))
    })
}

fn show(judged: &[Judged], appraisals: &BTreeMap<String, Appraisal>) {
    for Judged {
        quote,
        answers,
        result,
    } in judged
    {
        let here = if *answers { "answers here" } else { "" };
        let (id, kind) = (&quote.node_id, kind(quote));
        let word = match result {
            Ok(verdict) if verdict.is_hardware() => good("ACCEPTED"),
            Ok(_) => warning("ACCEPTED, VIRTUAL"),
            Err(_) => bad("REFUSED"),
        };
        say!("{word} node {} {} {}", bold(id), kind, faint(here));
        match result {
            Ok(verdict) if verdict.is_hardware() => {}
            Ok(_) => {
                say!("  no hardware protects this node: all of it is only the node's own word");
            }
            Err(NotAccepted::Refused(refusal)) => {
                say!(
                    "  {:<18} {}",
                    refusal.ccf_name(),
                    out::one_line(&refusal.to_string(), 400)
                );
            }
            Err(NotAccepted::NoEvidence(why)) => say!("  {why}"),
        }
        for (claim, tier) in appraisals[id].ear_trustworthiness_vector.claims() {
            say!("  {claim:<18} {tier}");
        }
    }
}

/// The kind of evidence, in our words.
fn kind(quote: &NodeQuote) -> String {
    let format = quote.evidence["format"].as_str();
    out::one_line(format.unwrap_or("no evidence"), 40)
}

/// The verdicts as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    accepted: bool,
    hardware: bool,
    at: u64,
    nodes: Vec<ShownNode<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownNode<'a> {
    node_id: &'a str,
    accepted: bool,
    format: String,
    hardware: bool,
    /// The name of the check that failed, in CCF's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'static str>,
    appraisal: &'a Appraisal,
}

impl<'a> Shown<'a> {
    fn of(judged: &'a [Judged], appraisals: &'a BTreeMap<String, Appraisal>, at: UnixTime) -> Self {
        let node = |judged: &'a Judged| ShownNode {
            node_id: &judged.quote.node_id,
            accepted: judged.result.is_ok(),
            format: kind(&judged.quote),
            hardware: judged.result.as_ref().is_ok_and(Verdict::is_hardware),
            check: match &judged.result {
                Err(NotAccepted::Refused(refusal)) => Some(refusal.ccf_name()),
                _ => None,
            },
            appraisal: &appraisals[&judged.quote.node_id],
        };
        let nodes: Vec<_> = judged.iter().map(node).collect();
        Self {
            accepted: nodes.iter().all(|node| node.accepted),
            hardware: nodes.iter().all(|node| node.hardware),
            at: at.0,
            nodes,
        }
    }
}
