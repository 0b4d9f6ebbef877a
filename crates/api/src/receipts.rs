//! Receipts: Azure's JSON, CCF's JSON, COSE.

use http::header::HeaderValue;
use node::ReadError;
use serde::Serialize;
use verify::TxId;
use verify::claims::Claim;
use verify::receipt::Receipt;

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::{ApiError, Code};
use crate::transactions::loading;

/// What a caller accepts who wants the receipt as COSE.
const COSE: &str = "application/cose";

/// `GET /app/transactions/{transactionId}/receipt`
pub(crate) async fn receipt(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Ready<'a> {
        state: &'static str,
        transaction_id: TxId,
        #[serde(skip_serializing_if = "Option::is_none")]
        application_claims: Option<&'a [Claim]>,
        receipt: &'a Receipt,
    }
    let id = call.tx_id()?;
    if call.accepts(COSE) {
        return cose(&call, id);
    }
    match call.node().receipt(id) {
        Ok(document) => Ok(answer::json(&Ready {
            state: "Ready",
            transaction_id: id,
            application_claims: document.claims.as_deref(),
            receipt: &document.receipt,
        })),
        Err(ReadError::Pending(_)) => Ok(loading(Some(id))),
        Err(error) => Err(error.into()),
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
    let document = call.node().receipt(id)?;
    Ok(answer::json(&document.receipt.as_ccf()))
}
