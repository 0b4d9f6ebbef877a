//! Sessions and their refresh tokens.

use sqlx::{AnyConnection, Row};

use super::super::model::{SessionId, UserId};
use super::damaged;
use crate::Problem;
use crate::limits::{REVOKED_MAX, SESSIONS_PER_USER};

/// A session.
pub(in super::super) struct Session {
    pub(in super::super) id: SessionId,
    pub(in super::super) user: UserId,
    pub(in super::super) began: i64,
    pub(in super::super) revoked: bool,
}

/// Begins a session of a user whose row is held. The oldest ends where there are too many.
pub(in super::super) async fn begin(
    connection: &mut AnyConnection,
    session: &Session,
    expires: i64,
) -> Result<(), Problem> {
    let query = "INSERT INTO sessions (id, user_id, began, expires) VALUES ($1, $2, $3, $4)";
    sqlx::query(query)
        .bind(session.id.as_str())
        .bind(session.user.as_str())
        .bind(session.began)
        .bind(expires)
        .execute(&mut *connection)
        .await?;
    let query = "UPDATE sessions SET revoked = $1 WHERE user_id = $2 AND revoked IS NULL \
                 AND id NOT IN (SELECT id FROM sessions WHERE user_id = $2 AND revoked IS NULL \
                 ORDER BY began DESC, id LIMIT $3)";
    sqlx::query(query)
        .bind(session.began)
        .bind(session.user.as_str())
        .bind(SESSIONS_PER_USER)
        .execute(connection)
        .await?;
    Ok(())
}

/// A session by its id.
pub(in super::super) async fn find(
    connection: &mut AnyConnection,
    id: &SessionId,
) -> Result<Option<Session>, Problem> {
    let query = sqlx::query("SELECT user_id, began, revoked FROM sessions WHERE id = $1");
    let Some(row) = query.bind(id.as_str()).fetch_optional(connection).await? else {
        return Ok(None);
    };
    let user: String = row.try_get("user_id")?;
    Ok(Some(Session {
        id: id.clone(),
        user: UserId::parse(&user).map_err(|_| damaged(user))?,
        began: row.try_get("began")?,
        revoked: row.try_get::<Option<i64>, _>("revoked")?.is_some(),
    }))
}

/// Keeps a session alive until another moment.
pub(in super::super) async fn prolong(
    connection: &mut AnyConnection,
    id: &SessionId,
    expires: i64,
) -> Result<(), Problem> {
    let query = sqlx::query("UPDATE sessions SET expires = $1 WHERE id = $2");
    query
        .bind(expires)
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends a session; `false` if it has ended before.
pub(in super::super) async fn revoke(
    connection: &mut AnyConnection,
    id: &SessionId,
    now: i64,
) -> Result<bool, Problem> {
    let query = sqlx::query("UPDATE sessions SET revoked = $1 WHERE id = $2 AND revoked IS NULL");
    let done = query
        .bind(now)
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends all sessions of a user.
pub(in super::super) async fn revoke_all(
    connection: &mut AnyConnection,
    user: &UserId,
    now: i64,
) -> Result<(), Problem> {
    let query = "UPDATE sessions SET revoked = $1 WHERE user_id = $2 AND revoked IS NULL";
    let query = sqlx::query(query).bind(now).bind(user.as_str());
    query.execute(connection).await?;
    Ok(())
}

/// Sessions that were revoked since a moment; one more than may be known by heart if there are more.
pub(in super::super) async fn revoked_since(
    connection: &mut AnyConnection,
    since: i64,
) -> Result<Vec<SessionId>, Problem> {
    let query = sqlx::query("SELECT id FROM sessions WHERE revoked >= $1 LIMIT $2");
    let most = i64::try_from(REVOKED_MAX).unwrap_or(i64::MAX);
    let rows = query
        .bind(since)
        .bind(most + 1)
        .fetch_all(connection)
        .await?;
    let ids = rows.iter().map(|row| {
        let id: String = row.try_get("id")?;
        SessionId::parse(&id).map_err(|_| damaged(id))
    });
    ids.collect()
}

/// Keeps a new refresh token.
pub(in super::super) async fn put_refresh(
    connection: &mut AnyConnection,
    hash: &str,
    session: &SessionId,
    expires: i64,
) -> Result<(), Problem> {
    let query = "INSERT INTO refreshes (hash, session, used, expires) VALUES ($1, $2, 0, $3)";
    let query = sqlx::query(query).bind(hash).bind(session.as_str());
    query.bind(expires).execute(connection).await?;
    Ok(())
}

/// What a refresh token opens.
pub(in super::super) enum Refresh {
    /// Nobody was given it, or it has expired.
    Unknown,
    /// This session, and it is used up now.
    Fresh(SessionId),
    /// It was used before: one of the two who used it has stolen it.
    Reused(SessionId),
}

/// Uses a refresh token up.
pub(in super::super) async fn use_refresh(
    connection: &mut AnyConnection,
    hash: &str,
    now: i64,
) -> Result<Refresh, Problem> {
    let query = "UPDATE refreshes SET used = 1 WHERE hash = $1 AND used = 0 AND expires > $2";
    let query = sqlx::query(query).bind(hash).bind(now);
    let fresh = query.execute(&mut *connection).await?.rows_affected() == 1;
    let query = sqlx::query("SELECT session, used FROM refreshes WHERE hash = $1").bind(hash);
    let Some(row) = query.fetch_optional(connection).await? else {
        return Ok(Refresh::Unknown);
    };
    let (session, used): (String, i64) = (row.try_get("session")?, row.try_get("used")?);
    let session = SessionId::parse(&session).map_err(|_| damaged(session))?;
    Ok(match (fresh, used) {
        (true, _) => Refresh::Fresh(session),
        (false, 0) => Refresh::Unknown,
        (false, _) => Refresh::Reused(session),
    })
}

/// Forgets sessions that are over, long enough ago that none of their tokens is good.
pub(in super::super) async fn prune(
    connection: &mut AnyConnection,
    before: i64,
) -> Result<(), Problem> {
    let query = "DELETE FROM refreshes WHERE session IN \
                 (SELECT id FROM sessions WHERE expires < $1)";
    sqlx::query(query)
        .bind(before)
        .execute(&mut *connection)
        .await?;
    let query = sqlx::query("DELETE FROM sessions WHERE expires < $1");
    query.bind(before).execute(connection).await?;
    Ok(())
}
