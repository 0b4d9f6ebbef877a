//! The tables, step by step. A step that was released is never changed: another one follows it.

use std::borrow::Cow;

use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use super::{Database, DatabaseError, Kind};

/// Each makes the database one version newer; the first makes version 1.
const STEPS: &[&str] = &[
    include_str!("1.sql"),  // Events.
    include_str!("2.sql"),  // Users.
    include_str!("3.sql"),  // Documents that were captured.
    include_str!("4.sql"),  // Accounts on a chain.
    include_str!("5.sql"),  // Which replica sends what.
    include_str!("6.sql"),  // The newest events of all.
    include_str!("7.sql"),  // The newest EPCIS events.
    include_str!("8.sql"),  // Signing in by an identity provider.
    include_str!("9.sql"),  // Participants who sign themselves.
    include_str!("10.sql"), // Forgotten passwords.
    include_str!("11.sql"), // Transactions that the database numbers.
];

/// Any number, the same for all who migrate: one at a time.
const LOCK: i64 = 0x636f_756e_7465_7266;

/// Brings the tables to the newest version.
pub(super) async fn run(database: &Database) -> Result<(), DatabaseError> {
    let known = STEPS.len() as i64;
    let failed = |version| move |source| DatabaseError::Migrate { version, source };
    let mut transaction = database.begin().await.map_err(failed(0))?;
    if database.kind() == Kind::Postgres {
        let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK);
        lock.execute(&mut *transaction).await.map_err(failed(0))?;
    }
    let table = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)";
    transaction.execute(table).await.map_err(failed(0))?;
    let row = sqlx::query("SELECT coalesce(max(version), 0) AS version FROM schema_version");
    let row = row.fetch_one(&mut *transaction).await.map_err(failed(0))?;
    let found: i64 = row.try_get("version").map_err(failed(0))?;
    if found > known {
        return Err(DatabaseError::Newer { found, known });
    }
    for (step, version) in STEPS
        .iter()
        .zip(1..)
        .filter(|(_, version)| *version > found)
    {
        let step = in_dialect(step, database.kind());
        for statement in step.split(";\n").filter(|text| !text.trim().is_empty()) {
            let statement = sqlx::query(AssertSqlSafe(statement.to_owned()));
            let done = statement.execute(&mut *transaction).await;
            done.map_err(failed(version))?;
        }
        let done = sqlx::query("INSERT INTO schema_version (version) VALUES ($1)").bind(version);
        done.execute(&mut *transaction)
            .await
            .map_err(failed(version))?;
    }
    transaction.commit().await.map_err(failed(known))?;
    let mut connection = database
        .pool()
        .acquire()
        .await
        .map_err(DatabaseError::Open)?;
    connection.ping().await.map_err(DatabaseError::Open)
}

/// Texts have the order of their bytes: in SQLite they do, and in PostgreSQL where it is said, for else they
/// have that of somebody's language.
fn in_dialect(step: &str, kind: Kind) -> Cow<'_, str> {
    match kind {
        Kind::Sqlite => step.into(),
        Kind::Postgres => step.replace(" TEXT", " TEXT COLLATE \"C\"").into(),
    }
}
