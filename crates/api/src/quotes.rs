//! What the nodes can show about the hardware they run on: the evidence that each was let in with.

use std::collections::BTreeMap;

use attest::Evidence;
use attest::ccf::CcfQuote;
use ledger::nodes::{self, NodeRow, NodeStatus};
use serde::Serialize;
use serde_json::Value;

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::ApiError;

/// The version under which evidence without hardware is shown where Azure's clients look: it proves
/// nothing.
const VIRTUAL_VERSION: &str = "virtual-1";

/// CCF's name for evidence without hardware.
const VIRTUAL_FORMAT: &str = "Insecure_Virtual";

/// Evidence of one node, as CCF shows it, and what else one needs to judge it.
#[derive(Serialize)]
struct Shown {
    node_id: String,
    #[serde(flatten)]
    quote: CcfQuote,
    /// The key that the evidence is about, SubjectPublicKeyInfo, DER in base64.
    public_key: String,
    /// The nonce that the evidence is about, in hex.
    nonce: String,
    /// The evidence as the node showed it, whole; null where the ledger has none.
    evidence: Value,
}

impl Shown {
    fn of(row: NodeRow) -> Self {
        let evidence: Option<Evidence> = serde_json::from_value(row.evidence.clone()).ok();
        let quote = match &evidence {
            Some(evidence) => CcfQuote::of(evidence),
            None => nothing(&row.platform),
        };
        Self {
            node_id: row.id,
            quote,
            public_key: row.public_key,
            nonce: row.nonce,
            evidence: row.evidence,
        }
    }
}

/// What is shown of a node whose ledger has no evidence of it.
fn nothing(platform: &str) -> CcfQuote {
    let format = if platform == node::platform::VIRTUAL {
        VIRTUAL_FORMAT
    } else {
        platform
    };
    CcfQuote {
        format: format.to_owned(),
        raw: Vec::new(),
        endorsements: Vec::new(),
        uvm_endorsements: None,
    }
}

/// `GET /node/quotes`
pub(crate) async fn quotes(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Quotes {
        quotes: Vec<Shown>,
    }
    let quotes = trusted(&call).map(Shown::of).collect();
    Ok(answer::json(&Quotes { quotes }))
}

/// `GET /node/quotes/self`
pub(crate) async fn own_quote(call: Call) -> Result<Answer, ApiError> {
    let node = call.node();
    let row = nodes::node(node.state(), node.id())
        .ok_or_else(|| ApiError::not_found("This node is not in its ledger yet."))?;
    Ok(answer::json(&Shown::of(row)))
}

/// `GET /app/enclaveQuotes`
pub(crate) async fn enclave_quotes(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Quote {
        node_id: String,
        quote_version: String,
        raw: String,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Quotes<'a> {
        current_node_id: &'a str,
        enclave_quotes: BTreeMap<String, Quote>,
    }
    let quotes = trusted(&call).map(Shown::of).map(|shown| {
        let quote_version = match shown.quote.format.as_str() {
            VIRTUAL_FORMAT => VIRTUAL_VERSION.to_owned(),
            format => format.to_owned(),
        };
        let quote = Quote {
            node_id: shown.node_id.clone(),
            quote_version,
            raw: hex::encode(&shown.quote.raw),
        };
        (shown.node_id, quote)
    });
    Ok(answer::json(&Quotes {
        current_node_id: call.node().id(),
        enclave_quotes: quotes.collect(),
    }))
}

/// The nodes that are part of the network.
fn trusted(call: &Call) -> impl Iterator<Item = NodeRow> {
    let nodes = nodes::nodes(call.node().state()).into_iter();
    nodes.filter(|node| node.status == NodeStatus::Trusted)
}
