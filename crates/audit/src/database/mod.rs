//! One data layer on two databases: SQLite in a file, for one machine, and PostgreSQL where users outgrow it.
//!
//! All statements are written for both. Numbers are `BIGINT`, everything else is `TEXT`, and places are
//! `$1`, `$2`, ... in the order in which they are bound.

mod migrations;
mod statement;
#[cfg(test)]
pub(crate) mod testing;

use std::str::FromStr;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyPool, Executor, Transaction};

use crate::Problem;
pub(crate) use statement::Statement;

/// Connections to PostgreSQL, each a process there.
const CONNECTIONS_POSTGRES: u32 = 16;

/// Connections to SQLite: one writes, and the others read meanwhile. Each is a thread, and has a cache.
const CONNECTIONS_SQLITE: u32 = 4;

/// How long a statement waits for a connection, or for another writer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address is neither of SQLite nor of PostgreSQL.
    #[error(
        "a database is named as sqlite:FILE or postgres://USER@HOST/NAME, and this is neither: {0}"
    )]
    Address(String),
    /// It cannot be reached, or does not let us in.
    #[error("opening the database")]
    Open(#[source] sqlx::Error),
    /// Its tables cannot be brought to what this version needs.
    #[error("bringing the database to version {version}")]
    Migrate {
        /// The version.
        version: i64,
        /// Why not.
        #[source]
        source: sqlx::Error,
    },
    /// A newer program made it.
    #[error("the database is of version {found}, and this program knows {known}: use a newer one")]
    Newer {
        /// What it is.
        found: i64,
        /// What is known here.
        known: i64,
    },
}

/// A pool of connections.
#[derive(Debug, Clone)]
pub struct Database {
    pool: AnyPool,
    kind: Kind,
}

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

impl Database {
    /// Opens it, and brings its tables to what this version needs. The file is made if it is not there.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn open(address: &str) -> Result<Self, DatabaseError> {
        sqlx::any::install_default_drivers();
        let (kind, address) = match address.split_once(':') {
            Some(("sqlite", _)) if !address.contains('?') => {
                (Kind::Sqlite, format!("{address}?mode=rwc"))
            }
            Some(("sqlite", _)) => (Kind::Sqlite, address.to_owned()),
            Some(("postgres" | "postgresql", _)) => (Kind::Postgres, address.to_owned()),
            _ => return Err(DatabaseError::Address(address.to_owned())),
        };
        let options = AnyConnectOptions::from_str(&address).map_err(DatabaseError::Open)?;
        let connections = match kind {
            Kind::Sqlite => CONNECTIONS_SQLITE,
            Kind::Postgres => CONNECTIONS_POSTGRES,
        };
        let pool = AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(PATIENCE)
            // A file does not go away, and asking it each time would cost as much as reading a row.
            .test_before_acquire(kind == Kind::Postgres)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if kind == Kind::Sqlite {
                        connection.execute(PRAGMAS).await?;
                    }
                    Ok(())
                })
            })
            .connect_with(options)
            .await
            .map_err(DatabaseError::Open)?;
        let database = Self { pool, kind };
        migrations::run(&database).await?;
        Ok(database)
    }

    /// Which it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The connections, for one statement at a time.
    pub const fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Begins a transaction that will write.
    ///
    /// # Errors
    /// No connection is free, or the database does not answer.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        match self.kind {
            // Else two that read first and then write could not go on.
            Kind::Sqlite => self.pool.begin_with("BEGIN IMMEDIATE").await,
            // To its end: who stops waiting in the middle would give a connection back whose transaction nobody ends,
            // and the next one's statements would be part of it (transact-rs/sqlx, issue 4393).
            Kind::Postgres => {
                let pool = self.pool.clone();
                let begun = tokio::spawn(async move { pool.begin().await });
                begun.await.map_err(|_| sqlx::Error::WorkerCrashed)?
            }
        }
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Readers go on while somebody writes; what is committed is synced. 32 MiB of pages for each connection, and
/// 32 MiB in the log before they are brought into the file.
const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
    PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 8192;";

/// Whether a row was refused because its key is taken.
pub fn is_taken(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.is_unique_violation())
}

/// Whether two transactions stood in each other's way, and this one was given up: again, it may go.
pub(crate) fn is_collision(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| matches!(&*code, "40001" | "40P01"))
}

/// Whether the database does not answer now: it is gone, stopping, starting, or has no room for us. Nothing
/// is wrong with what was asked.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        // A connection that ends in the middle of an answer.
        | sqlx::Error::Protocol(_) => true,
        // Classes of PostgreSQL: connections, resources, an operator at work; and standing by, read-only.
        error => code(error).is_some_and(|code| {
            let class = code.len() == 5 && ["08", "53", "57"].contains(&&code[..2]);
            class || code == "25006"
        }),
    }
}

fn code(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    error.as_database_error()?.code()
}

/// What the caller is told.
pub(crate) fn problem(error: &sqlx::Error) -> Problem {
    if is_away(error) {
        tracing::warn!(%error, "the database does not answer");
        let detail = "the database does not answer now; try again";
        Problem::unavailable("DatabaseUnavailable", detail)
    } else if is_collision(error) {
        let detail = "somebody else changes the same now; try again";
        Problem::unavailable("DatabaseBusy", detail)
    } else {
        Problem::internal("a statement of the database", error)
    }
}

/// What the caller is told whose transaction was told to end and did not say that it has.
pub(crate) fn not_committed(error: &sqlx::Error) -> Problem {
    if is_away(error) {
        tracing::warn!(%error, "the database gave no answer to a COMMIT");
        Problem::pending(
            "the database does not answer now, and whether it has this is not known: ask again with the same \
             Idempotency-Key, or look before you ask again",
        )
    } else {
        problem(error)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        problem(&error)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::task::Poll;
    use std::time::Duration;

    use sqlx::{Connection, Row};
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn who_stops_waiting_for_a_transaction_leaves_none_behind() {
        let dir = tempfile::tempdir().unwrap();
        let address = testing::address(dir.path()).await;
        let database = Database::open(&address).await.unwrap();
        let mut onlooker = sqlx::AnyConnection::connect(&address).await.unwrap();
        for steps in (1..10).cycle().take(45) {
            stop_after(steps, database.begin()).await;
            // Nobody comes who would end it by beginning another.
            let start = Instant::now();
            while is_left(&database, &mut onlooker).await {
                assert!(start.elapsed() < Duration::from_secs(10), "{steps}");
                sleep(Duration::from_millis(5)).await;
            }
        }
        let transaction = database.begin().await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// Polls a future so often, and drops it.
    async fn stop_after(mut steps: u32, work: impl Future) {
        let mut work = Box::pin(work);
        let stopped = poll_fn(|context| {
            steps -= 1;
            match work.as_mut().poll(context) {
                Poll::Pending if steps > 0 => Poll::Pending,
                _ => Poll::Ready(()),
            }
        });
        stopped.await;
    }

    /// Whether a connection is in a transaction. In SQLite nobody else could begin one, which is seen at the end.
    async fn is_left(database: &Database, onlooker: &mut sqlx::AnyConnection) -> bool {
        if database.kind() == Kind::Sqlite {
            return false;
        }
        let open = "SELECT count(*) FROM pg_stat_activity \
                    WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        let row = sqlx::query(open).fetch_one(onlooker).await.unwrap();
        row.get::<i64, _>(0) > 0
    }
}
