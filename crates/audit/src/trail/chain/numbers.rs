//! Transactions that the database numbers, where several replicas send for the same accounts.
//!
//! An event's transaction is signed once, whichever replica does it: its number is taken, and the transaction kept with
//! the event, in one transaction of the database, before a node sees it. From then on every replica may send it, as the
//! same bytes; the chain takes it once. Where the network mines it too slowly, the same number is signed again at a
//! higher price, and kept beside the first.

use std::time::Duration;

use alloy_primitives::Address;
use connector::limits::REPLACEMENTS_MAX;
use connector::{
    Call, HeldKey, Network, OutboxError, Presigned, PresignedError, Priced, Receipt, Signer,
};
use sqlx::Row as _;
use tokio::time::{Instant, sleep};

use super::accounts::written;
use super::document::in_words;
use super::{error, unknown};
use crate::database::Database;
use crate::limits::HELPED_MAX;
use crate::model::Event;
use crate::trail::log::{LogError, Outgoing};
use crate::trail::store::whole;

/// After a node did not take a transaction.
const PAUSE: Duration = Duration::from_secs(1);

/// Between two signed transactions of one event.
const BETWEEN: char = ' ';

/// The numbers of one chain's accounts.
#[derive(Debug)]
pub(super) struct Numbers {
    database: Database,
    chain: i64,
    network: Network,
}

impl Numbers {
    pub(super) const fn new(database: Database, chain: i64, network: Network) -> Self {
        Self {
            database,
            chain,
            network,
        }
    }

    /// Brings an event to the chain, and waits until it is final.
    pub(super) async fn transact(
        &self,
        key: &HeldKey,
        call: Call,
        sent: Outgoing<'_>,
    ) -> Result<Receipt, LogError> {
        let priced = match self.network.priced(key.address(), call).await {
            Ok(priced) => priced,
            // The chain refuses what another replica has just done.
            Err(refused) => match self.signed(sent.event).await? {
                Some(versions) => return self.bring(key, versions, sent).await,
                None => return Err(error::of_outbox(refused)),
            },
        };
        let versions = match self.number(key, &priced, sent.event).await? {
            Some(signed) => vec![signed],
            None => self.signed(sent.event).await?.ok_or_else(|| {
                LogError::Never("another replica was told that it cannot be recorded".to_owned())
            })?,
        };
        self.bring(key, versions, sent).await
    }

    /// The same for an event that some replica signed; `None`: none did.
    pub(super) async fn find(
        &self,
        key: &HeldKey,
        sent: Outgoing<'_>,
    ) -> Result<Option<Receipt>, LogError> {
        match self.signed(sent.event).await? {
            Some(versions) => self.bring(key, versions, sent).await.map(Some),
            None => Ok(None),
        }
    }

    /// Takes the account's next number for an event, and keeps what is signed with it. `None`: it has one.
    async fn number(
        &self,
        key: &HeldKey,
        priced: &Priced,
        event: &Event,
    ) -> Result<Option<Presigned>, LogError> {
        let account = key.address();
        let mut transaction = self.database.begin().await.map_err(unknown)?;
        // Who comes second waits here until the first has signed.
        let take = sqlx::query(
            "UPDATE accounts SET next = next + 1 WHERE chain = $1 AND account = $2 RETURNING next",
        );
        let take = take.bind(self.chain).bind(written(account));
        let row = take.fetch_optional(&mut *transaction).await;
        let row = row.map_err(unknown)?.ok_or_else(|| {
            LogError::Refused(format!("the database does not have the account {account}"))
        })?;
        let nonce = match row.try_get::<Option<i64>, _>(0).map_err(unknown)? {
            Some(next) => (next - 1).unsigned_abs(),
            None => {
                let next = self.network.next_number(account).await;
                let next = next.map_err(error::of_network)?;
                let begin = "UPDATE accounts SET next = $1 WHERE chain = $2 AND account = $3";
                let begin = sqlx::query(begin).bind(whole(next + 1)).bind(self.chain);
                let begun = begin
                    .bind(written(account))
                    .execute(&mut *transaction)
                    .await;
                begun.map_err(unknown)?;
                next
            }
        };
        let signed = priced.numbered(nonce).by(key).await;
        let signed = signed.map_err(|error| error::of_outbox(error.into()))?;
        let keep = sqlx::query(
            "UPDATE events SET signed = $1 \
             WHERE record = $2 AND version = $3 AND signed IS NULL AND tx IS NULL",
        );
        let keep = keep.bind(signed.raw().to_string());
        let keep = keep.bind(event.record.as_str().to_owned());
        let kept = keep.bind(whole(event.version)).execute(&mut *transaction);
        if kept.await.map_err(unknown)?.rows_affected() == 0 {
            // The number goes back with what else was begun.
            transaction.rollback().await.map_err(unknown)?;
            return Ok(None);
        }
        transaction.commit().await.map_err(unknown)?;
        Ok(Some(signed))
    }

    /// What is signed for an event, the oldest first.
    async fn signed(&self, event: &Event) -> Result<Option<Vec<Presigned>>, LogError> {
        let select = "SELECT signed FROM events WHERE record = $1 AND version = $2";
        let select = sqlx::query(select).bind(event.record.as_str().to_owned());
        let select = select.bind(whole(event.version));
        let row = select.fetch_optional(self.database.pool()).await;
        let signed = row
            .and_then(|row| row.map_or(Ok(None), |row| row.try_get::<Option<String>, _>(0)))
            .map_err(unknown)?;
        signed.as_deref().map(read).transpose()
    }

    /// Hands over what is signed for an event, until it is final.
    async fn bring(
        &self,
        key: &HeldKey,
        mut versions: Vec<Presigned>,
        sent: Outgoing<'_>,
    ) -> Result<Receipt, LogError> {
        let profile = self.network.profile();
        // Long enough to see that a number is another's for good.
        let round = 2 * profile.resend_after;
        let begun = Instant::now();
        let mut since = begun;
        loop {
            let why = match self.network.deliver_one_of(&versions, round).await {
                Ok(settled) => return Ok(settled.receipt),
                Err(PresignedError::Failed { hash, reason }) => {
                    return Err(error::of_outbox(OutboxError::Failed { hash, reason }));
                }
                Err(PresignedError::Replaced(nonce)) => {
                    return Err(error::of_outbox(OutboxError::Replaced { nonce }));
                }
                // A number must not be used for anything else, so what a node refuses stays: it may be without
                // money today.
                Err(error) => in_words(&error),
            };
            if begun.elapsed() >= profile.patience {
                return Err(LogError::InDoubt(why));
            }
            tracing::warn!(why, record = %sent.event.record, "a transaction is handed over again");
            // Whatever is in the way of these: the event has its number, and what is signed stands.
            let nonce = versions.last().map_or(0, Presigned::nonce);
            if let Err(error) = self.help(key.address(), nonce, sent.log).await {
                tracing::warn!(%error, "what stands before a transaction cannot be handed over");
            }
            let rule = profile.fees.replace();
            if rule.is_some_and(|rule| since.elapsed() >= rule.after) {
                since = Instant::now();
                match self.raise(key, &versions, sent.event).await {
                    Ok(raised) => versions = raised.unwrap_or(versions),
                    Err(error) => tracing::warn!(%error, "a transaction cannot be offered more"),
                }
            }
            sleep(profile.poll.max(PAUSE)).await;
        }
    }

    /// Hands over what stands before a transaction of the account, in the order of its numbers: whoever signed it may
    /// be gone.
    async fn help(&self, account: Address, nonce: u64, log: &str) -> Result<(), LogError> {
        let select = "SELECT signed FROM events WHERE log = $1 AND tx IS NULL AND signed IS NOT NULL \
                      ORDER BY at LIMIT $2";
        let select = sqlx::query(select).bind(log.to_owned()).bind(HELPED_MAX);
        let rows = select.fetch_all(self.database.pool()).await;
        let mut before = Vec::new();
        for row in rows.map_err(unknown)? {
            let signed: String = row.try_get(0).map_err(unknown)?;
            before.extend(read(&signed).ok().and_then(|mut versions| versions.pop()));
        }
        before.retain(|signed| signed.nonce() < nonce && signed.sender() == account);
        before.sort_by_key(Presigned::nonce);
        for signed in before {
            // Mostly the chain has it.
            if let Err(error) = self.network.hand_over(&signed).await {
                tracing::debug!(%error, nonce = signed.nonce(), "an earlier transaction");
            }
        }
        Ok(())
    }

    /// Offers more for an event's transaction, if the profile says so. Gives back what is signed for it then; `None`:
    /// what was before.
    async fn raise(
        &self,
        key: &HeldKey,
        versions: &[Presigned],
        event: &Event,
    ) -> Result<Option<Vec<Presigned>>, LogError> {
        let last = versions
            .last()
            .filter(|_| versions.len() <= REPLACEMENTS_MAX);
        let Some(last) = last else {
            return Ok(None);
        };
        let raised = self.network.raised(last).await;
        let Some(raised) = raised.map_err(error::of_network)? else {
            return Ok(None);
        };
        let signed = raised.by(key).await;
        let signed = signed.map_err(|error| error::of_outbox(error.into()))?;
        let before = text(versions);
        let versions = [versions, &[signed]].concat();
        let keep =
            "UPDATE events SET signed = $1 WHERE record = $2 AND version = $3 AND signed = $4";
        let keep = sqlx::query(keep).bind(text(&versions));
        let keep = keep.bind(event.record.as_str().to_owned());
        let keep = keep.bind(whole(event.version)).bind(before);
        let kept = keep.execute(self.database.pool()).await.map_err(unknown)?;
        match kept.rows_affected() {
            // Another replica offered more.
            0 => self.signed(event).await,
            _ => Ok(Some(versions)),
        }
    }
}

/// Signed transactions as the database has them.
fn text(versions: &[Presigned]) -> String {
    let all: Vec<_> = versions.iter().map(|one| one.raw().to_string()).collect();
    all.join(&BETWEEN.to_string())
}

fn read(signed: &str) -> Result<Vec<Presigned>, LogError> {
    // It may be on the chain all the same: nobody is told that it is not.
    let damaged = || LogError::InDoubt("the database has a damaged transaction".to_owned());
    let one = |digits: &str| {
        let raw = hex::decode(digits.strip_prefix("0x").ok_or_else(damaged)?);
        Presigned::kept(&raw.map_err(|_| damaged())?).map_err(|_| damaged())
    };
    signed.split(BETWEEN).map(one).collect()
}
