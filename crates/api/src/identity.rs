//! The ledger's identity, as Azure's identity service tells it.

use ledger::service;
use serde::Serialize;

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::ApiError;

/// `GET /ledgerIdentity/{ledgerId}`: for anybody, and for any id, because clients make the id up
/// from the address they call. Whoever takes this certificate unseen trusts on first use.
pub(crate) async fn ledger_identity(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Identity<'a> {
        ledger_id: &'a str,
        ledger_tls_certificate: &'a str,
    }
    let id = call.param()?;
    let node = call.node();
    // Renewed, it is of the same key.
    let renewed = service::service(node.state());
    Ok(answer::json(&Identity {
        ledger_id: &id,
        ledger_tls_certificate: renewed
            .as_ref()
            .map_or(node.service_cert(), |row| &row.cert),
    }))
}
