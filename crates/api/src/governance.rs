//! The constitution, the members, and what the nodes can show about the hardware they run on.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::nodes::{self, NodeStatus};
use ledger::service;
use serde::Serialize;

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::ApiError;

/// `GET /app/governance/constitution`
pub(crate) async fn constitution(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Constitution {
        digest: String,
        script: String,
    }
    let script = service::constitution(call.node().state())
        .ok_or_else(|| ApiError::not_found("The ledger has no constitution."))?;
    let digest = hex::encode(digest(&SHA256, script.as_bytes()));
    Ok(answer::json(&Constitution { digest, script }))
}

/// `GET /app/governance/members`
pub(crate) async fn members(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Member {
        certificate: String,
        id: String,
    }
    #[derive(Serialize)]
    struct Members {
        members: Vec<Member>,
    }
    let members = service::members(call.node().state()).into_iter();
    let members = members
        .map(|(id, certificate)| Member { certificate, id })
        .collect();
    Ok(answer::json(&Members { members }))
}

/// In virtual mode there is no hardware, so the evidence says only which key is meant: the node id,
/// which is the digest of the node's key. It proves nothing, and its version says so.
const VIRTUAL_VERSION: &str = "virtual-1";

/// CCF's name for evidence without hardware.
const VIRTUAL_FORMAT: &str = "Insecure_Virtual";

/// `GET /app/enclaveQuotes`
pub(crate) async fn enclave_quotes(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Quote {
        node_id: String,
        quote_version: &'static str,
        raw: String,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Quotes<'a> {
        current_node_id: &'a str,
        enclave_quotes: BTreeMap<String, Quote>,
    }
    let node = call.node();
    let nodes = trusted(node.state()).map(|id| {
        let raw = id.clone();
        (
            id.clone(),
            Quote {
                node_id: id,
                quote_version: VIRTUAL_VERSION,
                raw,
            },
        )
    });
    Ok(answer::json(&Quotes {
        current_node_id: node.id(),
        enclave_quotes: nodes.collect(),
    }))
}

/// The ids of the nodes that are part of the network.
fn trusted(state: &dyn ledger::State) -> impl Iterator<Item = String> {
    let nodes = nodes::nodes(state).into_iter();
    nodes
        .filter(|node| node.status == NodeStatus::Trusted)
        .map(|node| node.id)
}

/// Evidence of one node, as CCF shows it.
#[derive(Serialize)]
struct CcfQuote {
    node_id: String,
    raw: String,
    endorsements: &'static str,
    format: &'static str,
}

impl CcfQuote {
    fn of(node_id: String) -> Self {
        let raw = STANDARD.encode(hex::decode(&node_id).unwrap_or_default());
        Self {
            node_id,
            raw,
            endorsements: "",
            format: VIRTUAL_FORMAT,
        }
    }
}

/// `GET /node/quotes`
pub(crate) async fn quotes(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Quotes {
        quotes: Vec<CcfQuote>,
    }
    let quotes = trusted(call.node().state()).map(CcfQuote::of).collect();
    Ok(answer::json(&Quotes { quotes }))
}

/// `GET /node/quotes/self`
pub(crate) async fn own_quote(call: Call) -> Result<Answer, ApiError> {
    Ok(answer::json(&CcfQuote::of(call.node().id().to_owned())))
}
