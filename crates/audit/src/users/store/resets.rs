//! Codes for users who forgot their passwords.

use sqlx::{AnyConnection, Row};

use super::super::model::UserId;
use super::super::secret::Secret;
use crate::Problem;

/// Keeps a user's code, by its fingerprint, in the place of an earlier one.
pub(in super::super) async fn put(
    connection: &mut AnyConnection,
    id: &UserId,
    code: &str,
    expires: i64,
) -> Result<(), Problem> {
    let query = "INSERT INTO resets (user_id, code, expires) VALUES ($1, $2, $3) ON CONFLICT (user_id) \
                 DO UPDATE SET code = excluded.code, expires = excluded.expires";
    let query = sqlx::query(query)
        .bind(id.as_str())
        .bind(code)
        .bind(expires);
    query.execute(connection).await?;
    Ok(())
}

/// Takes a user's code away: it was used, or is needed no more.
pub(in super::super) async fn forget(
    connection: &mut AnyConnection,
    id: &UserId,
) -> Result<(), Problem> {
    let query = sqlx::query("DELETE FROM resets WHERE user_id = $1").bind(id.as_str());
    query.execute(connection).await?;
    Ok(())
}

/// Whether it is a user's code now.
pub(in super::super) async fn is_good(
    connection: &mut AnyConnection,
    id: &UserId,
    code: &Secret,
    now: i64,
) -> Result<bool, Problem> {
    let query = sqlx::query("SELECT code FROM resets WHERE user_id = $1 AND expires > $2");
    let query = query.bind(id.as_str()).bind(now);
    let Some(row) = query.fetch_optional(connection).await? else {
        return Ok(false);
    };
    Ok(row.try_get::<String, _>("code")? == code.fingerprint())
}
