//! Who numbers the transactions of the accounts whose keys are kept here, and sends them.

use std::path::Path;

use alloy_primitives::Address;
use connector::{Call, HeldKey, Network, OutboxError, Receipt};

use super::accounts::Accounts;
use super::error::{ChainError, of_outbox};
use super::numbers::Numbers;
use super::outboxes::Outboxes;
use crate::database::Kind;
use crate::trail::log::{LogError, Outgoing};

/// See the module.
#[derive(Debug)]
pub(super) enum Sender {
    /// Outboxes in a folder, which one process has.
    Folder(Outboxes),
    /// The database, which several replicas share.
    Database(Numbers),
}

impl Sender {
    pub(super) async fn open(
        folder: &Path,
        network: &Network,
        accounts: &Accounts,
    ) -> Result<Self, ChainError> {
        let database = accounts.database();
        // Where a folder began, it goes on: it may have transactions that nobody else knows.
        let is_shared = database.kind() == Kind::Postgres
            && !accounts
                .have_outboxes()
                .await
                .map_err(ChainError::Database)?;
        if is_shared {
            let numbers = Numbers::new(database.clone(), accounts.chain(), network.clone());
            return Ok(Self::Database(numbers));
        }
        let outboxes = Outboxes::new(folder, network.clone())?;
        let ours = accounts.are_numbered_by(outboxes.name()).await;
        match ours.map_err(ChainError::Database)? {
            true => Ok(Self::Folder(outboxes)),
            false => Err(ChainError::OtherOutboxes),
        }
    }

    /// Sends an event from an account, and waits until it is final. The key is asked for where it is not at hand.
    pub(super) async fn transact(
        &self,
        account: Address,
        key: impl FnOnce() -> Result<HeldKey, OutboxError>,
        call: Call,
        sent: Outgoing<'_>,
    ) -> Result<Receipt, LogError> {
        match self {
            Self::Folder(outboxes) => {
                let receipt = outboxes.transact(account, key, call, sent.text).await;
                receipt.map_err(of_outbox)
            }
            Self::Database(numbers) => {
                let key = key().map_err(of_outbox)?;
                numbers.transact(&key, call, sent).await
            }
        }
    }

    /// The same for an event that was sent before; `None`: it was not.
    pub(super) async fn find(
        &self,
        account: Address,
        key: impl FnOnce() -> Result<HeldKey, OutboxError>,
        sent: Outgoing<'_>,
    ) -> Result<Option<Receipt>, LogError> {
        match self {
            Self::Folder(outboxes) => {
                let receipt = outboxes.find(account, key, sent.text).await;
                receipt.map_err(of_outbox)
            }
            Self::Database(numbers) => {
                let key = key().map_err(of_outbox)?;
                numbers.find(&key, sent).await
            }
        }
    }
}
