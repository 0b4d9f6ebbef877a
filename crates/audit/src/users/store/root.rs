//! The slot in which one at a time may create the root.

use sqlx::{AnyConnection, Row};

use crate::Problem;

/// What became of presenting a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Presented {
    /// It is ours, and used up.
    Taken,
    /// Nobody has reserved it by this session.
    Skipped,
    /// It was ours, and somebody else may have it now.
    Late,
    /// The nonce is not the one that was given out.
    WrongNonce,
}

/// Reserves the slot; `false` if somebody else holds it.
pub(in super::super) async fn reserve(
    connection: &mut AnyConnection,
    session: &str,
    nonce: &str,
    now: i64,
    expires: i64,
) -> Result<bool, Problem> {
    let query = "INSERT INTO root_slot (slot, session, nonce, expires) VALUES (1, $1, $2, $3) \
                 ON CONFLICT (slot) DO UPDATE SET session = excluded.session, \
                 nonce = excluded.nonce, expires = excluded.expires \
                 WHERE root_slot.expires <= $4";
    let query = sqlx::query(query).bind(session).bind(nonce).bind(expires);
    let done = query.bind(now).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

/// Looks at the slot, without using it up.
pub(in super::super) async fn look(
    connection: &mut AnyConnection,
    session: &str,
    nonce: &str,
    now: i64,
) -> Result<Presented, Problem> {
    let query = sqlx::query("SELECT nonce, expires FROM root_slot WHERE session = $1");
    let Some(row) = query.bind(session).fetch_optional(connection).await? else {
        return Ok(Presented::Skipped);
    };
    let (own, expires): (String, i64) = (row.try_get("nonce")?, row.try_get("expires")?);
    Ok(if expires <= now {
        Presented::Late
    } else if own != nonce {
        Presented::WrongNonce
    } else {
        Presented::Taken
    })
}

/// Uses the slot up.
pub(in super::super) async fn take(
    connection: &mut AnyConnection,
    session: &str,
    nonce: &str,
    now: i64,
) -> Result<Presented, Problem> {
    let query = "DELETE FROM root_slot WHERE session = $1 AND nonce = $2 AND expires > $3";
    let query = sqlx::query(query).bind(session).bind(nonce).bind(now);
    if query.execute(&mut *connection).await?.rows_affected() == 1 {
        return Ok(Presented::Taken);
    }
    match look(connection, session, nonce, now).await? {
        // Somebody with the same session was faster between the two statements.
        Presented::Taken => Ok(Presented::Skipped),
        refused => Ok(refused),
    }
}
