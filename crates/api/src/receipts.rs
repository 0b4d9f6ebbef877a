//! Receipts: Azure's JSON, CCF's JSON, COSE.

use http::header::HeaderValue;
use node::ReadError;
use verify::{ReceiptDocument, TxId};

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::{ApiError, Code};
use crate::transactions::loading;

/// What a caller accepts who wants the receipt as COSE.
const COSE: &str = "application/cose";

/// `GET /app/transactions/{transactionId}/receipt`
pub(crate) async fn receipt(call: Call) -> Result<Answer, ApiError> {
    let id = call.tx_id()?;
    let cosignatures = wants_cosignatures(&call)?;
    if call.accepts(COSE) {
        if cosignatures {
            return Err(ApiError::query("Receipts as COSE carry no cosignatures."));
        }
        return cose(&call, id);
    }
    match document(&call, id, cosignatures).await {
        Ok(document) => Ok(answer::json(&document)),
        Err(ReadError::Pending(_)) => Ok(loading(Some(id))),
        Err(error) => Err(error.into()),
    }
}

fn wants_cosignatures(call: &Call) -> Result<bool, ApiError> {
    Ok(call.query_flag("cosignatures")?.unwrap_or(false))
}

/// The receipt, with what other nodes say of it where that is asked for.
async fn document(call: &Call, id: TxId, cosignatures: bool) -> Result<ReceiptDocument, ReadError> {
    if cosignatures {
        call.node().cosigned_receipt(id).await
    } else {
        call.node().receipt(id)
    }
}

fn cose(call: &Call, id: TxId) -> Result<Answer, ApiError> {
    match call.node().cose_receipt(id) {
        Ok(bytes) => Ok(answer::whole(HeaderValue::from_static(COSE), bytes)),
        Err(ReadError::NotAnEntry(id)) => Err(ApiError::not_found(format!(
            "Transaction {id} is a signature; it has no receipt as COSE."
        ))),
        Err(error) => Err(error.into()),
    }
}

/// `GET /node/receipt?transaction_id=`: without claims, so that it tells nothing to anybody.
pub(crate) async fn ccf_receipt(call: Call) -> Result<Answer, ApiError> {
    let id = call.query_tx_id("transaction_id")?.ok_or_else(|| {
        let message = "The query parameter transaction_id is required.";
        ApiError::new(Code::InvalidQueryParameterValue, message)
    })?;
    let cosignatures = wants_cosignatures(&call)?;
    let document = document(&call, id, cosignatures).await?;
    Ok(answer::json(&document.receipt.as_ccf()))
}
