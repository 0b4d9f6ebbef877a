//! What a node says about itself and its service: `/node/*`. No credential is needed.

use serde::Deserialize;
use verify::TxId;

use crate::builder::Client;
use crate::error::{ClientError, Refusal};
use crate::model::{Network, NodeState, NodeTx};

impl Client {
    /// The last committed transaction.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn node_commit(&self) -> Result<TxId, ClientError> {
        #[derive(Deserialize)]
        struct Commit {
            transaction_id: TxId,
        }
        Ok(self
            .json::<Commit>(self.node_request(&["commit"]))
            .await?
            .transaction_id)
    }

    /// What has become of a transaction, all four states told apart.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn node_tx(&self, id: TxId) -> Result<NodeTx, ClientError> {
        let request = self
            .node_request(&["tx"])
            .query(&[("transaction_id", id.to_string())]);
        self.json(request).await
    }

    /// The service as this node sees it.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn node_network(&self) -> Result<Network, ClientError> {
        self.json(self.node_request(&["network"])).await
    }

    /// The node's own state.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn node_state(&self) -> Result<NodeState, ClientError> {
        self.json(self.node_request(&["state"])).await
    }

    /// Versions of the node's software, as it says them.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn node_version(&self) -> Result<serde_json::Value, ClientError> {
        self.json(self.node_request(&["version"])).await
    }

    /// The node's evidence about its hardware.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn node_quotes(&self) -> Result<serde_json::Value, ClientError> {
        self.json(self.node_request(&["quotes"])).await
    }

    /// The node's metrics, in Prometheus' text format.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn node_metrics(&self) -> Result<String, ClientError> {
        let bytes = self.bytes(self.node_request(&["metrics"])).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether the node serves its users now.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn node_is_ready(&self) -> Result<bool, ClientError> {
        match self.send(self.node_request(&["ready", "app"])).await {
            Ok(_) => Ok(true),
            Err(ClientError::Refused(Refusal { status: 503, .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
