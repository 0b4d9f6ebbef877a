//! What a node says about itself and its service: `/node/*`. No credential is needed.

use serde::Deserialize;
use verify::TxId;

use crate::builder::Client;
use crate::error::{ClientError, Refusal};
use crate::model::{CosignerKeys, Network, NodeQuote, NodeState, NodeTx};

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

    /// What the nodes of the network can show about their hardware.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn node_quotes(&self) -> Result<Vec<NodeQuote>, ClientError> {
        #[derive(Deserialize)]
        struct Quotes {
            quotes: Vec<NodeQuote>,
        }
        let quotes: Quotes = self.json(self.node_request(&["quotes"])).await?;
        Ok(quotes.quotes)
    }

    /// What the node that answers can show about its hardware.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn node_own_quote(&self) -> Result<NodeQuote, ClientError> {
        self.json(self.node_request(&["quotes", "self"])).await
    }

    /// The newest checkpoint, a signed note: nothing of it is checked.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn node_checkpoint(&self) -> Result<String, ClientError> {
        let bytes = self.bytes(self.node_request(&["checkpoint"])).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The keys of those who sign checkpoints, as the node says them.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn node_cosigners(&self) -> Result<CosignerKeys, ClientError> {
        self.json(self.node_request(&["cosigners"])).await
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
