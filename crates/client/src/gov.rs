//! Governance: what members sign, and what came of it. The caller signs; nothing here holds a key.

use std::collections::BTreeMap;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use verify::Digest;

use crate::builder::Client;
use crate::error::ClientError;

/// The version of CCF's governance API that this client speaks.
const GOVERNANCE_VERSION: &str = "2024-07-01";

/// A proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// Its id: SHA-256 of what the proposer signed.
    pub proposal_id: String,
    /// Who made it.
    pub proposer_id: String,
    /// `Open`, `Accepted`, `Rejected`, `Withdrawn`, `Failed` or `Dropped`.
    pub proposal_state: String,
    /// How many members voted.
    pub ballot_count: u64,
    /// The votes that decided, by member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_votes: Option<BTreeMap<String, bool>>,
    /// Why its actions could not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Value>,
}

/// A member, as governance shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GoverningMember {
    /// SHA-256 of the certificate.
    pub member_id: String,
    /// `Accepted` or `Active`.
    pub status: String,
    /// What the others wrote about it.
    #[serde(default)]
    pub member_data: Value,
    /// What it has to do with recovery.
    pub recovery_role: String,
    /// Its certificate, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The key to which its recovery share is encrypted, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_encryption_key: Option<String>,
}

impl GoverningMember {
    /// What people call it: its name where the others gave it one, else the beginning of its id.
    pub fn called(&self) -> &str {
        let beginning = self.member_id.get(..8).unwrap_or(&self.member_id);
        self.member_data["name"].as_str().unwrap_or(beginning)
    }
}

/// How far a recovery is after a member gave its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharesGiven {
    /// In words.
    pub message: String,
    /// How many members gave their share.
    pub submitted_count: u64,
    /// How many are needed.
    pub recovery_threshold: u64,
}

#[derive(Deserialize)]
struct List<T> {
    value: Vec<T>,
}

impl Client {
    /// Makes a proposal: a signed message of type `proposal`.
    ///
    /// # Errors
    /// The ledger refuses it, or cannot be reached.
    pub async fn propose(&self, message: Vec<u8>) -> Result<Proposal, ClientError> {
        let request = self.gov(Method::POST, &["members", "proposals:create"]);
        self.json(cose(request, message)).await
    }

    /// Votes: a signed message of type `ballot`.
    ///
    /// # Errors
    /// The ledger refuses it, or cannot be reached.
    pub async fn vote(
        &self,
        proposal: &Digest,
        member: &Digest,
        message: Vec<u8>,
    ) -> Result<Proposal, ClientError> {
        let (proposal, ballot) = (proposal.to_string(), format!("{member}:submit"));
        let path = ["members", "proposals", &proposal, "ballots", &ballot];
        self.json(cose(self.gov(Method::POST, &path), message))
            .await
    }

    /// Withdraws a proposal: a signed message of type `withdrawal`.
    ///
    /// # Errors
    /// The ledger refuses it, or cannot be reached.
    pub async fn withdraw(
        &self,
        proposal: &Digest,
        message: Vec<u8>,
    ) -> Result<Proposal, ClientError> {
        let withdraw = format!("{proposal}:withdraw");
        let request = self.gov(Method::POST, &["members", "proposals", &withdraw]);
        self.json(cose(request, message)).await
    }

    /// Proposals that are open or were decided not long ago.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn proposals(&self) -> Result<Vec<Proposal>, ClientError> {
        let request = self.gov(Method::GET, &["members", "proposals"]);
        Ok(self.json::<List<Proposal>>(request).await?.value)
    }

    /// One proposal.
    ///
    /// # Errors
    /// There is none, or the ledger cannot be reached.
    pub async fn proposal(&self, id: &Digest) -> Result<Proposal, ClientError> {
        let path = ["members", "proposals", &id.to_string()];
        self.json(self.gov(Method::GET, &path)).await
    }

    /// What was proposed: `{"actions": [...]}`.
    ///
    /// # Errors
    /// There is no such proposal, or the ledger cannot be reached.
    pub async fn proposed_actions(&self, id: &Digest) -> Result<Value, ClientError> {
        let path = ["members", "proposals", &id.to_string(), "actions"];
        self.json(self.gov(Method::GET, &path)).await
    }

    /// A member's ballot, a function; `None` where it has not voted.
    ///
    /// # Errors
    /// There is no such proposal, or the ledger cannot be reached.
    pub async fn ballot(
        &self,
        proposal: &Digest,
        member: &str,
    ) -> Result<Option<String>, ClientError> {
        let proposal = proposal.to_string();
        let path = ["members", "proposals", &proposal, "ballots", member];
        match self.bytes(self.gov(Method::GET, &path)).await {
            Ok(function) => Ok(Some(String::from_utf8_lossy(&function).into_owned())),
            Err(error) if error.code() == Some("VoteNotFound") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All who govern.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn governing_members(&self) -> Result<Vec<GoverningMember>, ClientError> {
        let request = self.gov(Method::GET, &["service", "members"]);
        Ok(self.json::<List<GoverningMember>>(request).await?.value)
    }

    /// Asks for the present state to acknowledge, with a signed message of type `state_digest`, and
    /// returns its digest.
    ///
    /// # Errors
    /// The ledger refuses it, or cannot be reached.
    pub async fn update_state_digest(
        &self,
        member: &Digest,
        message: Vec<u8>,
    ) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct StateDigest {
            state_digest: String,
        }
        let update = format!("{member}:update");
        let request = self.gov(Method::POST, &["members", "state-digests", &update]);
        let shown: StateDigest = self.json(cose(request, message)).await?;
        Ok(shown.state_digest)
    }

    /// Acknowledges a state: a signed message of type `ack`.
    ///
    /// # Errors
    /// The ledger refuses it, or cannot be reached.
    pub async fn acknowledge_state(
        &self,
        member: &Digest,
        message: Vec<u8>,
    ) -> Result<(), ClientError> {
        let ack = format!("{member}:ack");
        let request = self.gov(Method::POST, &["members", "state-digests", &ack]);
        self.bytes(cose(request, message)).await.map(drop)
    }

    /// A member's recovery share, encrypted to its key (RSA-OAEP, SHA-256); base64.
    ///
    /// # Errors
    /// It has none, or the ledger cannot be reached.
    pub async fn encrypted_share(&self, member: &Digest) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shown {
            encrypted_share: String,
        }
        let path = ["recovery", "encrypted-shares", &member.to_string()];
        let shown: Shown = self.json(self.gov(Method::GET, &path)).await?;
        Ok(shown.encrypted_share)
    }

    /// Gives a member's recovery share after a disaster: a signed message of type `recovery_share`.
    ///
    /// # Errors
    /// The ledger refuses it, or cannot be reached.
    pub async fn submit_share(
        &self,
        member: &Digest,
        message: Vec<u8>,
    ) -> Result<SharesGiven, ClientError> {
        let recover = format!("{member}:recover");
        let request = self.gov(Method::POST, &["recovery", "members", &recover]);
        self.json(cose(request, message)).await
    }

    fn gov(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let url = self.address(&[&["gov"], path].concat());
        self.http
            .request(method, url)
            .query(&[("api-version", GOVERNANCE_VERSION)])
    }
}

fn cose(request: RequestBuilder, message: Vec<u8>) -> RequestBuilder {
    request
        .header(CONTENT_TYPE, "application/cose")
        .body(message)
}
