//! Checkpoints for outside witnesses, and the nodes as cosigners of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderValue;
use node::KnownCosigner;
use serde::Serialize;
use verify::VerifierKey;

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::ApiError;

/// `GET /node/checkpoint`: the newest checkpoint as a signed note, countersigned by the nodes.
pub(crate) async fn checkpoint(call: Call) -> Result<Answer, ApiError> {
    let note = call.node().checkpoint().await?;
    let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(answer::whole(media_type, note.to_string()))
}

/// A node as a cosigner.
#[derive(Serialize)]
struct Shown {
    node_id: String,
    /// Whose node it is, as members noted: `organisation` in its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<String>,
    address: String,
    public_key: String,
    /// The key with which it countersigns; missing where it does not answer now.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding: Option<String>,
}

impl From<KnownCosigner> for Shown {
    fn from(known: KnownCosigner) -> Self {
        let organisation = known.node.data["organisation"].as_str();
        Self {
            organisation: organisation.map(str::to_owned),
            node_id: known.node.id,
            address: known.node.address,
            public_key: known.node.public_key,
            key: known.key.map(|key| key.to_string()),
            binding: known.binding.map(|binding| STANDARD.encode(binding)),
        }
    }
}

/// `GET /node/cosigners`
pub(crate) async fn cosigners(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Cosigners {
        /// The keys with which the service signs checkpoints.
        service: Vec<String>,
        cosigners: Vec<Shown>,
    }
    let node = call.node();
    let service = node.checkpoint_keys().iter();
    let service = service.map(VerifierKey::to_string).collect();
    let cosigners = node.cosigners().await?.into_iter();
    let cosigners = cosigners.map(Shown::from).collect();
    Ok(answer::json(&Cosigners { service, cosigners }))
}
