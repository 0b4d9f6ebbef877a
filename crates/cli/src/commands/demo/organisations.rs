//! The three organisations: each a member with a key of its own.

use std::path::{Path, PathBuf};

use anyhow::Result;
use client::{Client, Proposal};
use ledger::governance::MessageType;
use serde_json::json;

use crate::commands::member::make_signing_pair;
use crate::commands::proposal;
use crate::signer::{self, Signer};

/// What they are called. With three, two must agree.
pub(super) const NAMES: [&str; 3] = ["Orchard", "Carrier", "Market"];

/// One of them.
pub(super) struct Organisation {
    /// Its certificate as a member.
    pub(super) cert_file: PathBuf,
    signer: Box<dyn Signer>,
}

impl Organisation {
    /// Makes its key in a folder.
    pub(super) fn new(name: &str, folder: &Path) -> Result<Self> {
        let pair = make_signing_pair(name, folder)?;
        let signer = signer::key_file(&pair.cert_file, &pair.key_file)?;
        let cert_file = pair.cert_file;
        Ok(Self { cert_file, signer })
    }

    /// Proposes to trust a node, and votes for it.
    pub(super) async fn propose_to_trust(&self, client: &Client, node: &str) -> Result<Proposal> {
        let action = json!({ "name": "transition_node_to_trusted", "args": { "node_id": node } });
        let payload = json!({ "actions": [action] }).to_string();
        let signer = &*self.signer;
        let message = signer.message(MessageType::Proposal, None, payload.as_bytes())?;
        let proposed = client.propose(message).await?;
        self.vote_for(client, &proposed).await
    }

    /// Says yes.
    pub(super) async fn vote_for(&self, client: &Client, proposed: &Proposal) -> Result<Proposal> {
        let id = proposal::parse_id(&proposed.proposal_id)?;
        proposal::vote(client, &*self.signer, &id, true).await
    }
}
