//! The dictionary of permissions in its table.

use sqlx::{AnyConnection, Row};

use super::super::permissions::{Dictionary, OperationName, Permission, defaults};
use super::damaged;
use crate::Problem;

/// Puts in what a new service begins with. What is there, or was and was deleted, stays so.
pub(in super::super) async fn seed(connection: &mut AnyConnection) -> Result<(), Problem> {
    for (name, entry) in &defaults() {
        let query = "INSERT INTO permissions (name, entry, deleted, version) \
                     VALUES ($1, $2, 0, 0) ON CONFLICT DO NOTHING";
        let query = sqlx::query(query).bind(name.as_str()).bind(written(entry)?);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The dictionary.
pub(in super::super) async fn dictionary(
    connection: &mut AnyConnection,
) -> Result<Dictionary, Problem> {
    let query = sqlx::query("SELECT entry FROM permissions WHERE deleted = 0");
    let rows = query.fetch_all(connection).await?;
    let entries = rows.iter().map(|row| {
        let entry: String = row.try_get("entry")?;
        let entry: Permission = serde_json::from_str(&entry).map_err(|_| damaged(entry))?;
        Ok((entry.name_of_operation.clone(), entry))
    });
    entries.collect()
}

/// How many changes of an entry are recorded; none of one that is not there.
pub(in super::super) async fn version(
    connection: &mut AnyConnection,
    name: &OperationName,
) -> Result<i64, Problem> {
    let query = sqlx::query("SELECT version FROM permissions WHERE name = $1");
    let row = query.bind(name.as_str()).fetch_optional(connection).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get("version"))?)
}

/// Puts an entry in, or marks it as deleted.
pub(super) async fn put(
    connection: &mut AnyConnection,
    name: &OperationName,
    entry: Option<&Permission>,
    version: i64,
) -> Result<(), Problem> {
    let Some(entry) = entry else {
        let query = sqlx::query("UPDATE permissions SET deleted = 1, version = $1 WHERE name = $2");
        query
            .bind(version)
            .bind(name.as_str())
            .execute(connection)
            .await?;
        return Ok(());
    };
    let query = "INSERT INTO permissions (name, entry, deleted, version) VALUES ($1, $2, 0, $3) \
                 ON CONFLICT (name) DO UPDATE SET entry = excluded.entry, deleted = 0, \
                 version = excluded.version";
    let query = sqlx::query(query).bind(name.as_str()).bind(written(entry)?);
    query.bind(version).execute(connection).await?;
    Ok(())
}

fn written(entry: &Permission) -> Result<String, Problem> {
    serde_json::to_string(entry).map_err(|error| Problem::internal("writing a permission", &error))
}
