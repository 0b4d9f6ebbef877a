//! What is put into the database: events, what they are about, and what became of them.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::{Any, Row as _, Transaction};

use super::{Committed, Pending, Result, Row, Store, whole};
use crate::Problem;
use crate::database::{Kind, Statement, is_collision, not_committed, problem};
use crate::model::{Event, Mention};
use crate::trail::fresh::{About, Batch};

/// Why events are not written, as far as is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The database has nothing of them.
    #[error(transparent)]
    Refused(#[from] sqlx::Error),
    /// It was told to keep them, and did not say that it does.
    #[error("the database did not confirm a COMMIT")]
    Commit(#[source] sqlx::Error),
}

impl From<WriteError> for sqlx::Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused(error) | WriteError::Commit(error) => error,
        }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused(error) => problem(&error),
            WriteError::Commit(error) => not_committed(&error),
        }
    }
}

/// How often events are put again that another transaction stood in the way of.
const COLLISIONS_MAX: u32 = 8;

impl Store {
    /// Puts events that this replica sends, and notes which others are committed: one transaction, synced
    /// when this answers. Says of each new one whether it is there: not if its version or its request's name
    /// is taken.
    pub(crate) async fn write(
        &self,
        sender: &str,
        rows: &[Arc<Pending>],
        committed: &[Arc<Committed>],
    ) -> std::result::Result<Vec<bool>, WriteError> {
        let mut left = COLLISIONS_MAX;
        loop {
            match self.try_write(sender, rows, committed).await {
                // Another replica put some of the same, in another order.
                Err(WriteError::Refused(error) | WriteError::Commit(error))
                    if left > 0 && is_collision(&error) =>
                {
                    left -= 1;
                }
                done => return done,
            }
        }
    }

    async fn try_write(
        &self,
        sender: &str,
        rows: &[Arc<Pending>],
        committed: &[Arc<Committed>],
    ) -> std::result::Result<Vec<bool>, WriteError> {
        let mut transaction = self.database.begin().await?;
        commit(self.kind(), &mut transaction, committed).await?;
        let as_they_are: Vec<_> = rows.iter().map(|one| (&**one, None)).collect();
        let taken = insert(self.kind(), &mut transaction, sender, &as_they_are).await?;
        let is_in = |event: &Event| {
            taken.contains(&(event.record.as_str().to_owned(), whole(event.version)))
        };
        let events = rows.iter().map(|one| &one.event);
        mention(
            self.kind(),
            &mut transaction,
            events.clone().filter(|event| is_in(event)),
        )
        .await?;
        transaction.commit().await.map_err(WriteError::Commit)?;
        Ok(events.map(is_in).collect())
    }

    /// Puts what a journal has: one transaction, synced when this answers. What is there already stays as it is, or
    /// is committed now.
    pub(in crate::trail) async fn put(&self, sender: &str, batch: &Batch) -> Result<()> {
        let mut transaction = self.database.begin().await?;
        let rows: Vec<_> = batch.events().collect();
        let mut put = 0;
        for some in rows.chunks(ROWS_TOGETHER) {
            let insert = inserting(self.kind(), sender, some);
            put += insert
                .build()
                .execute(&mut *transaction)
                .await?
                .rows_affected();
        }
        if put < rows.len() as u64 {
            tracing::warn!("events were in the database before it got them");
        }
        let events = rows.iter().map(|(pending, _)| &pending.event);
        mention(self.kind(), &mut transaction, events).await?;
        commit(self.kind(), &mut transaction, &batch.committed()).await?;
        transaction.commit().await
    }

    /// Which of these have a version, or a request's name, that the database has.
    pub(in crate::trail) async fn taken(&self, events: &[Arc<Pending>]) -> Result<Vec<bool>> {
        let (mut versions, mut requests) = (HashSet::new(), HashSet::new());
        for some in events.chunks(ROWS_TOGETHER) {
            let mut select =
                Statement::new(self.kind(), "SELECT e.record, e.version, e.request FROM (");
            select.push_values(some, |values, one| {
                values
                    .push_bind(one.event.record.as_str())
                    .push_number(whole(one.event.version));
            });
            select.push(
                ") AS v CROSS JOIN events e WHERE e.record = v.column1 AND e.version = v.column2",
            );
            let named: Vec<_> = some
                .iter()
                .filter_map(|one| one.row.request.as_deref())
                .collect();
            if !named.is_empty() {
                select.push(" UNION ALL SELECT e.record, e.version, e.request FROM (");
                select.push_values(named, |values, request| {
                    values.push_bind(request);
                });
                select.push(") AS v CROSS JOIN events e WHERE e.request = v.column1");
            }
            for row in select.build().fetch_all(self.database.pool()).await? {
                let record: String = row.try_get(0)?;
                let version: i64 = row.try_get(1)?;
                versions.insert((record, version));
                requests.extend(row.try_get::<Option<String>, _>(2)?);
            }
        }
        let is_taken = |one: &Arc<Pending>| {
            let version = (
                one.event.record.as_str().to_owned(),
                whole(one.event.version),
            );
            let request = one.row.request.as_ref();
            versions.contains(&version) || request.is_some_and(|request| requests.contains(request))
        };
        Ok(events.iter().map(is_taken).collect())
    }

    /// Takes an event back that this replica sent and the ledger will never have. Gives it back if it stays: another
    /// replica sends it now, or has seen that the ledger has it.
    pub(crate) async fn take_back(&self, pending: &Pending, sender: &str) -> Result<Option<Row>> {
        let Pending { event, row } = pending;
        self.settled(About::Record(&event.record)).await?;
        let mut transaction = self.database.begin().await?;
        let delete = sqlx::query(
            "DELETE FROM events WHERE record = $1 AND version = $2 AND event = $3 AND tx IS NULL \
             AND (sender IS NULL OR sender = $4)",
        );
        let delete = delete.bind(event.record.as_str().to_owned());
        let delete = delete.bind(whole(event.version)).bind(row.event.clone());
        let deleted = delete.bind(sender).execute(&mut *transaction).await?;
        if deleted.rows_affected() > 0 {
            let delete = "DELETE FROM mentions WHERE record = $1 AND version = $2";
            let delete = sqlx::query(delete).bind(event.record.as_str().to_owned());
            let delete = delete.bind(whole(event.version));
            delete.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        let left = self.version(&event.record, event.version).await?;
        Ok(left.filter(|left| left.event == row.event))
    }
}

/// Rows of one statement: it has places for some thousand values.
const ROWS_TOGETHER: usize = 64;

/// How a statement begins that puts rows whose keys are free, and passes over others. SQLite keeps a copy of each page
/// for a statement of many rows that may fail in the middle; said like this, it cannot.
const fn insert_new(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => "INSERT OR IGNORE",
        Kind::Postgres => "INSERT",
    }
}

/// How it goes on behind the rows.
const fn unless_there(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => "",
        Kind::Postgres => " ON CONFLICT DO NOTHING",
    }
}

/// An event with what became of it.
type WithOutcome<'a> = (&'a Pending, Option<&'a Committed>);

/// The statement that puts events which are not there.
fn inserting(kind: Kind, sender: &str, rows: &[WithOutcome<'_>]) -> Statement {
    let mut insert = Statement::new(kind, insert_new(kind));
    insert.push(
        " INTO events (record, version, at, actor, operation, hash, event, salt, payload, \
         request, request_hash, enrol, after_tx, signed, sender, log, tx, receipt) ",
    );
    insert.push_values(rows, |values, (pending, committed)| {
        let Pending { event, row } = pending;
        let log = committed.map_or(&row.log, |committed| &committed.log);
        values
            .push_bind(event.record.as_str())
            .push_bind(whole(event.version))
            .push_bind(event.when.millis())
            .push_bind(event.who.as_str())
            .push_bind(event.how.word())
            .push_bind(event.what.hash.to_string())
            .push_bind(row.event.as_str())
            .push_bind(row.salt.as_str())
            .push_bind(row.payload.as_deref())
            .push_bind(row.request.as_deref())
            .push_bind(row.request_hash.as_deref())
            .push_bind(row.enrol.as_deref())
            .push_bind(row.after.as_deref())
            .push_bind(row.signed.as_deref())
            .push_bind(sender)
            .push_bind(log.as_str())
            .push_bind(committed.map(|committed| committed.tx.as_str()))
            .push_bind(committed.map(|committed| committed.receipt.as_str()));
    });
    insert.push(unless_there(kind));
    insert
}

/// Puts them, and says which were not there.
async fn insert(
    kind: Kind,
    transaction: &mut Transaction<'_, Any>,
    sender: &str,
    rows: &[WithOutcome<'_>],
) -> Result<HashSet<(String, i64)>> {
    let mut taken = HashSet::with_capacity(rows.len());
    for some in rows.chunks(ROWS_TOGETHER) {
        let mut insert = inserting(kind, sender, some);
        insert.push(" RETURNING record, version");
        for row in insert.build().fetch_all(&mut **transaction).await? {
            taken.insert((row.try_get(0)?, row.try_get(1)?));
        }
    }
    Ok(taken)
}

async fn mention<'e>(
    kind: Kind,
    transaction: &mut Transaction<'_, Any>,
    events: impl Iterator<Item = &'e Event>,
) -> Result<()> {
    let mentions: Vec<(&Event, &Mention)> = events
        .flat_map(|event| event.what.about.iter().map(move |mention| (event, mention)))
        .collect();
    for some in mentions.chunks(ROWS_TOGETHER) {
        let mut insert = Statement::new(kind, insert_new(kind));
        insert.push(" INTO mentions (resource, at, record, version, part) ");
        insert.push_values(some, |values, (event, mention)| {
            values
                .push_bind(mention.id.as_str())
                .push_bind(event.when.millis())
                .push_bind(event.record.as_str())
                .push_bind(whole(event.version))
                .push_bind(mention.part.word());
        });
        insert.push(unless_there(kind));
        insert.build().execute(&mut **transaction).await?;
    }
    Ok(())
}

async fn commit(
    kind: Kind,
    transaction: &mut Transaction<'_, Any>,
    committed: &[Arc<Committed>],
) -> Result<()> {
    for some in committed.chunks(ROWS_TOGETHER) {
        // Both databases name the columns of values so. What is no text has to be said.
        let mut update = Statement::new(
            kind,
            "UPDATE events SET tx = v.column1, receipt = v.column2, log = v.column3 FROM (",
        );
        update.push_values(some, |values, one| {
            values
                .push_bind(one.tx.as_str())
                .push_bind(one.receipt.as_str())
                .push_bind(one.log.as_str())
                .push_bind(one.record.as_str())
                .push_number(whole(one.version));
        });
        update.push(
            ") AS v WHERE events.record = v.column4 AND events.version = v.column5 AND events.tx IS NULL",
        );
        update.build().execute(&mut **transaction).await?;
    }
    Ok(())
}
