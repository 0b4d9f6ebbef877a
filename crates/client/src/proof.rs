//! What makes a receipt believable to this client: the service's signature, and that it is about
//! what was asked for.

use verify::{Cert, Claim, ReceiptDocument, ReceiptError, TxId, Verifier};

use crate::builder::{Client, setup};
use crate::error::ClientError;

/// The trust anchor, ready for use.
#[derive(Debug)]
pub(crate) struct Proof {
    verifier: Verifier,
}

impl Proof {
    pub(crate) fn new(service_cert: &str) -> Result<Self, ClientError> {
        match Cert::from_pem(service_cert) {
            Ok(cert) => Ok(Self {
                verifier: Verifier::new(cert),
            }),
            Err(error) => setup(format!("the service certificate cannot be used: {error}")),
        }
    }

    /// Checks that `document` proves that `id` is committed.
    pub(crate) fn check(&self, id: TxId, document: &ReceiptDocument) -> Result<(), ReceiptError> {
        let proven = self.verifier.verify_document(document)?.tx_id;
        if proven == id {
            Ok(())
        } else {
            Err(ReceiptError::TxId { stated: id, proven })
        }
    }

    pub(crate) const fn service(&self) -> &Verifier {
        &self.verifier
    }
}

impl Client {
    /// Reads a receipt and, unless told not to, checks that it proves `id`.
    pub(crate) fn read_receipt(
        &self,
        id: TxId,
        json: &[u8],
    ) -> Result<ReceiptDocument, ClientError> {
        let document = ReceiptDocument::from_json(json);
        let mut document = document.map_err(|source| refused(id, source))?;
        // A receipt that comes with a write has its id in a header.
        document.transaction_id.get_or_insert(id);
        if let Some(proof) = &self.proof {
            proof
                .check(id, &document)
                .map_err(|source| refused(id, source))?;
        }
        Ok(document)
    }

    /// Checks that a receipt which holds is about what was written, and not about something else
    /// that is also in the ledger.
    pub(crate) fn check_written(
        &self,
        id: TxId,
        document: &ReceiptDocument,
        collection: &str,
        contents: &str,
    ) -> Result<(), ClientError> {
        if self.proof.is_none() || is_about(document, collection, contents) {
            return Ok(());
        }
        Err(ClientError::OtherEntry { transaction: id })
    }
}

fn is_about(document: &ReceiptDocument, collection: &str, contents: &str) -> bool {
    matches!(
        document.claims.as_deref(),
        Some([Claim::LedgerEntry { collection_id, contents: shown, .. }])
            if collection_id == collection && shown == contents
    )
}

pub(crate) const fn refused(transaction: TxId, source: ReceiptError) -> ClientError {
    ClientError::Receipt {
        transaction,
        source,
    }
}
