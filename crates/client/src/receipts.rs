//! Receipts of any committed transaction, as JSON and as COSE.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::value::RawValue;
use verify::cose::CoseReceipt;
use verify::{ReceiptDocument, ReceiptError, TxId};

use crate::builder::Client;
use crate::error::ClientError;
use crate::proof::refused;

const COSE: &str = "application/cose";

impl Client {
    /// The receipt of a transaction, with the claims that it proves.
    ///
    /// # Errors
    /// The transaction is unknown or not committed yet, or its receipt does not hold.
    pub async fn receipt(&self, id: TxId) -> Result<ReceiptDocument, ClientError> {
        let text = id.to_string();
        let request = self.app(Method::GET, &["transactions", &text, "receipt"]);
        let answer: Box<RawValue> = self.ready(request).await?;
        self.read_receipt(id, answer.get().as_bytes())
    }

    /// The receipt of a transaction, with a checkpoint above it that the nodes of the network
    /// countersigned: those that answered in a moment. Who they are is for the caller to know; see
    /// [`verify::Verifier::verify_cosigned`].
    ///
    /// # Errors
    /// As [`Client::receipt`].
    pub async fn cosigned_receipt(&self, id: TxId) -> Result<ReceiptDocument, ClientError> {
        let text = id.to_string();
        let request = self.app(Method::GET, &["transactions", &text, "receipt"]);
        let request = request.query(&[("cosignatures", "true")]);
        let answer: Box<RawValue> = self.ready(request).await?;
        self.read_receipt(id, answer.get().as_bytes())
    }

    /// The receipt of a transaction as COSE (RFC 9942, CCF profile): shorter, signed by the service
    /// itself, and without the claims. It proves that the transaction is committed.
    ///
    /// # Errors
    /// The transaction is unknown or not committed yet, or its receipt does not hold.
    pub async fn cose_receipt(&self, id: TxId) -> Result<Bytes, ClientError> {
        let text = id.to_string();
        let request = self.app(Method::GET, &["transactions", &text, "receipt"]);
        let bytes = self.bytes(request.header(ACCEPT, COSE)).await?;
        if let Some(proof) = &self.proof {
            let service = proof.service().identity().cert.public_key();
            let receipt = CoseReceipt::parse(&bytes);
            let verified = receipt.and_then(|receipt| receipt.verify(&service, None));
            let proven = verified.map_err(|source| refused(id, source))?.tx_id;
            if proven != id {
                return Err(refused(id, ReceiptError::TxId { stated: id, proven }));
            }
        }
        Ok(bytes)
    }
}

/// A receipt as the receipt endpoint writes it, to be kept: JSON with the claims that it proves.
pub fn receipt_json(document: &ReceiptDocument) -> String {
    serde_json::to_string(document).expect("strings and lists are JSON")
}
