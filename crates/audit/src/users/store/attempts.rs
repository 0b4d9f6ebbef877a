//! Failed attempts by account, and the second factor of one.

use sqlx::{AnyConnection, Row};

use super::super::model::UserId;
use super::super::throttle::{delay, until, wait};
use crate::Problem;
use crate::limits::{FAILURE_MEMORY, FAILURES_FREE_ACCOUNT};
use crate::model::millis;

/// Begins an attempt: it counts as failed until it has succeeded.
///
/// # Errors
/// The account has to wait first.
pub(in super::super) async fn begin(
    connection: &mut AnyConnection,
    account: &str,
    now: i64,
) -> Result<(), Problem> {
    let old = sqlx::query("DELETE FROM failures WHERE at < $1 AND until <= $2");
    let old = old.bind(now - millis(FAILURE_MEMORY)).bind(now);
    old.execute(&mut *connection).await?;
    let query = "INSERT INTO failures (account, count, at, until) VALUES ($1, 1, $2, 0) \
                 ON CONFLICT (account) DO UPDATE SET count = failures.count + 1, at = $2 \
                 WHERE failures.until <= $2 RETURNING count";
    let query = sqlx::query(query).bind(account).bind(now);
    let Some(row) = query.fetch_optional(&mut *connection).await? else {
        let query = sqlx::query("SELECT until FROM failures WHERE account = $1").bind(account);
        let row = query.fetch_optional(connection).await?;
        let end = row.map_or(Ok(now), |row| row.try_get::<i64, _>("until"))?;
        return Err(wait(end - now));
    };
    let count: i64 = row.try_get("count")?;
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let until = until(now, delay(count, FAILURES_FREE_ACCOUNT));
    let query = sqlx::query("UPDATE failures SET until = $1 WHERE account = $2");
    query.bind(until).bind(account).execute(connection).await?;
    Ok(())
}

/// Forgets the failures of an account: its owner was here.
pub(in super::super) async fn succeeded(
    connection: &mut AnyConnection,
    account: &str,
) -> Result<(), Problem> {
    let query = sqlx::query("DELETE FROM failures WHERE account = $1").bind(account);
    query.execute(connection).await?;
    Ok(())
}

/// Keeps the secret of a second factor that is not confirmed yet, in the place of an earlier one.
pub(in super::super) async fn put_totp(
    connection: &mut AnyConnection,
    id: &UserId,
    sealed: &str,
) -> Result<(), Problem> {
    let query = "INSERT INTO totp (user_id, secret, step) VALUES ($1, $2, 0) \
                 ON CONFLICT (user_id) DO UPDATE SET secret = excluded.secret, step = 0";
    let query = sqlx::query(query).bind(id.as_str()).bind(sealed);
    query.execute(connection).await?;
    Ok(())
}

/// The secret of a second factor, and the step of the last code that was used.
pub(in super::super) async fn totp(
    connection: &mut AnyConnection,
    id: &UserId,
) -> Result<Option<(String, i64)>, Problem> {
    let query = sqlx::query("SELECT secret, step FROM totp WHERE user_id = $1");
    let row = query.bind(id.as_str()).fetch_optional(connection).await?;
    let row = row.map(|row| Ok::<_, sqlx::Error>((row.try_get("secret")?, row.try_get("step")?)));
    Ok(row.transpose()?)
}

/// Uses a code up; `false` if somebody else used it in the meantime.
pub(in super::super) async fn use_step(
    connection: &mut AnyConnection,
    id: &UserId,
    step: i64,
) -> Result<bool, Problem> {
    let query = sqlx::query("UPDATE totp SET step = $1 WHERE user_id = $2 AND step < $1");
    let query = query.bind(step).bind(id.as_str());
    Ok(query.execute(connection).await?.rows_affected() == 1)
}
