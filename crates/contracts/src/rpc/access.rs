//! Who is calling, and what they may do.

use std::fmt;
use std::sync::Arc;

use jsonrpsee::types::Extensions;
use ledger::roles::Action;
use ledger::users::UserId;

use super::error::RpcError;

/// What is known of a caller, by whoever let them in.
pub trait Rights: Send + Sync {
    /// Who they are.
    fn user(&self) -> &UserId;

    /// Whether they may do this now.
    fn may(&self, action: Action) -> bool;
}

/// Somebody who is known: in the extensions of each request.
#[derive(Clone)]
pub struct Caller(Arc<dyn Rights>);

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(self.0.user()).finish()
    }
}

impl Caller {
    /// Somebody with these rights.
    pub fn new(rights: Arc<dyn Rights>) -> Self {
        Self(rights)
    }

    /// Who sent this request.
    ///
    /// # Errors
    /// Nobody who is known: whoever passed the request on forgot it.
    pub(super) fn of(extensions: &Extensions) -> Result<Self, RpcError> {
        let caller = extensions.get::<Self>();
        caller
            .cloned()
            .ok_or_else(|| RpcError::denied("nobody is known to have sent this"))
    }

    /// Who they are.
    pub(super) fn user(&self) -> &UserId {
        self.0.user()
    }

    /// Whether they may do this now.
    pub(super) fn may(&self, action: Action) -> bool {
        self.0.may(action)
    }

    /// Makes sure that they may do this.
    ///
    /// # Errors
    /// They may not.
    pub(super) fn require(&self, action: Action) -> Result<(), RpcError> {
        if self.may(action) {
            return Ok(());
        }
        let name = Action::ALL.iter().find(|(other, _)| *other == action);
        let name = name.map_or("this", |(_, name)| name);
        let user = self.user();
        Err(RpcError::denied(format!(
            "not allowed: user {user} has no role that allows {name}"
        )))
    }
}

/// What a caller must be allowed to do to call a method at all.
pub(super) fn needed(method: &str) -> Option<Action> {
    let is_constant = ["web3_", "net_"]
        .iter()
        .any(|space| method.starts_with(space));
    match method {
        // What each transaction takes is looked at when it is decoded.
        "eth_sendRawTransaction" | "eth_sendRawTransactionSync" | super::SEND_RAW => None,
        "eth_chainId" | "eth_accounts" => None,
        _ if is_constant => None,
        _ => Some(Action::ReadContracts),
    }
}
