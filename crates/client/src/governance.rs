//! The rules, the members, and the evidence of the nodes.

use reqwest::Method;
use serde::Deserialize;

use crate::builder::Client;
use crate::error::ClientError;
use crate::model::{Constitution, EnclaveQuotes, Member};

impl Client {
    /// The ledger's rules.
    ///
    /// # Errors
    /// The caller may not see them, or the ledger cannot be reached.
    pub async fn constitution(&self) -> Result<Constitution, ClientError> {
        self.json(self.app(Method::GET, &["governance", "constitution"]))
            .await
    }

    /// The members of the consortium.
    ///
    /// # Errors
    /// The caller may not see them, or the ledger cannot be reached.
    pub async fn members(&self) -> Result<Vec<Member>, ClientError> {
        #[derive(Deserialize)]
        struct Members {
            members: Vec<Member>,
        }
        let request = self.app(Method::GET, &["governance", "members"]);
        Ok(self.json::<Members>(request).await?.members)
    }

    /// What the nodes show about their hardware.
    ///
    /// # Errors
    /// The caller may not see it, or the ledger cannot be reached.
    pub async fn enclave_quotes(&self) -> Result<EnclaveQuotes, ClientError> {
        self.json(self.app(Method::GET, &["enclaveQuotes"])).await
    }
}
