//! Which replica sends what: each event on its way is one replica's, and another takes up what a dead one
//! left.
//!
//! That two send the same event is rare, and does no harm: the ledger takes it once by its name, and who
//! comes later looks first. So the clocks of replicas need not agree to the second.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::Row as _;
use tokio_util::sync::CancellationToken;

use super::Trail;
use super::fresh::About;
use super::store::{COLUMNS, Pending, Row, Store, read};
use super::storing::now;
use crate::Problem;
use crate::database::Kind;
use crate::limits::{ORPHAN_AGE, SENDER_LEASE, SENDER_RENEWAL, TAKEN_UP_MAX};
use crate::model::{Event, millis};

impl Trail {
    /// Goes on with what was on its way when this replica, or one that is gone, ended. Says how much that is.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn resume(&self) -> Result<usize, Problem> {
        if let Some(seen) = self.store.last_seen().await? {
            self.sending.saw(&seen);
        }
        self.take_up(Duration::ZERO).await
    }

    /// Tells other replicas that this one is alive, and takes up what nobody sends. Ends when it is told to
    /// stop.
    pub async fn keep_sending(&self, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(SENDER_RENEWAL) => {}
            }
            match self.take_up(ORPHAN_AGE).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "events that nobody sent are taken up"),
                Err(problem) => tracing::warn!(%problem, "could not look for events on their way"),
            }
        }
    }

    /// Sends what is older than this and nobody sends.
    pub(super) async fn take_up(&self, age: Duration) -> Result<usize, Problem> {
        let name = self.sending.name();
        self.store.renew(name, self.sending.seen()).await?;
        let rows = self.store.left_to(name, age).await?;
        let rows = rows.into_iter().filter_map(|row| {
            match Event::from_canonical(&row.event) {
                // What is being sent goes on as it does.
                Ok(event) => Some((self.sending.begin(&event)?, Pending { event, row })),
                Err(error) => {
                    tracing::error!(%error, "an event in the database is damaged");
                    None
                }
            }
        });
        let mut count = 0;
        let mut by_log: HashMap<String, Vec<_>> = HashMap::new();
        for (ours, pending) in rows {
            count += 1;
            // What participants signed may be numbered in another order than it came.
            let own = pending.row.signed.as_ref().map(|_| &pending.row.event);
            let order = own.unwrap_or(&pending.row.log).clone();
            by_log.entry(order).or_default().push((ours, pending));
        }
        // Those of one log one after the other; and what cannot be recorded now holds up no other log.
        for rows in by_log.into_values() {
            let trail = self.clone();
            tokio::spawn(async move {
                for (_ours, pending) in rows {
                    // What became of it stands in the database.
                    let _ = trail.send(&pending, true).await;
                }
            });
        }
        Ok(count)
    }
}

impl Store {
    /// Says that a replica is alive, and gives it what those left who are not.
    async fn renew(&self, name: &str, seen: Option<String>) -> Result<(), sqlx::Error> {
        self.settled(About::All).await?;
        let now = now().millis();
        let renew = sqlx::query(
            "INSERT INTO senders (id, until, seen) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET \
             until = excluded.until, seen = coalesce(excluded.seen, senders.seen)",
        );
        let renew = renew.bind(name).bind(now + millis(SENDER_LEASE)).bind(seen);
        renew.execute(self.pool()).await?;
        // A file has one process, whatever was alive before it.
        let alive_at = match self.kind() {
            Kind::Sqlite => i64::MAX,
            Kind::Postgres => now,
        };
        let take = sqlx::query(
            "UPDATE events SET sender = $1 WHERE tx IS NULL AND (sender IS NULL OR (sender <> $1 AND \
             sender NOT IN (SELECT id FROM senders WHERE until > $2)))",
        );
        let taken = take.bind(name).bind(alive_at).execute(self.pool()).await?;
        if taken.rows_affected() > 0 {
            tracing::info!(
                count = taken.rows_affected(),
                "events of replicas that are gone"
            );
        }
        Ok(())
    }

    /// Events of a replica that are on their way for so long, the oldest first.
    async fn left_to(&self, name: &str, age: Duration) -> Result<Vec<Row>, sqlx::Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM events WHERE tx IS NULL AND sender = $1 AND at <= $2 \
             ORDER BY at, record, version LIMIT $3"
        );
        let select = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(name.to_owned());
        // Events of another replica, whose clock is ahead, are looked at a little later.
        let select = select.bind(now().millis() - millis(age)).bind(TAKEN_UP_MAX);
        let rows = select.fetch_all(self.pool()).await?;
        rows.iter().map(read).collect()
    }

    /// The last transaction that some replica knew of.
    async fn last_seen(&self) -> Result<Option<String>, sqlx::Error> {
        let select = "SELECT seen FROM senders WHERE seen IS NOT NULL ORDER BY until DESC LIMIT 1";
        let row = sqlx::query(select).fetch_optional(self.pool()).await?;
        row.map_or(Ok(None), |row| row.try_get(0))
    }
}
