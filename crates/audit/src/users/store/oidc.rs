//! Who signs in by the identity provider, and what came back from there and was used.

use sqlx::{AnyConnection, Row};

use super::super::model::{Identity, Oidc, UserId};
use super::super::secret::Secret;
use super::{Claim, damaged};
use crate::Problem;

/// From a row.
pub(super) fn read(column: Option<String>) -> Result<Oidc, Problem> {
    let Some(text) = column else {
        return Ok(Oidc::Unsaid);
    };
    serde_json::from_str(&text).map_err(|_| damaged(text))
}

/// For a row.
pub(super) fn written(oidc: &Oidc) -> Result<Option<String>, Problem> {
    if oidc.is_unsaid() {
        return Ok(None);
    }
    let text = serde_json::to_string(oidc);
    text.map(Some)
        .map_err(|error| Problem::internal("writing how somebody signs in", &error))
}

/// The name under which an identity belongs to one user: the same length however long it is.
pub(super) fn claim(identity: &Identity) -> String {
    let Identity { issuer, subject } = identity;
    let both = Secret::from(format!("{}:{issuer}{subject}", issuer.len()));
    format!("oidc:{}", both.fingerprint())
}

/// Whose an identity is.
pub(in super::super) async fn owner(
    connection: &mut AnyConnection,
    identity: &Identity,
) -> Result<Option<UserId>, Problem> {
    let query = sqlx::query("SELECT user_id FROM claims WHERE name = $1");
    let query = query.bind(Claim::Identity(identity).name());
    let Some(row) = query.fetch_optional(connection).await? else {
        return Ok(None);
    };
    let id: String = row.try_get("user_id")?;
    UserId::parse(&id).map(Some).map_err(|_| damaged(id))
}

/// Sets how a user signs in. An identity that they had, and have no longer, may be another's.
pub(super) async fn set(
    connection: &mut AnyConnection,
    id: &UserId,
    oidc: &Oidc,
) -> Result<(), Problem> {
    let kept = match oidc {
        Oidc::Linked(identity) => Claim::Identity(identity).name(),
        Oidc::Unsaid | Oidc::Allowed | Oidc::Refused => String::new(),
    };
    let query = "DELETE FROM claims WHERE user_id = $1 AND name LIKE 'oidc:%' AND name <> $2";
    let query = sqlx::query(query).bind(id.as_str()).bind(kept);
    query.execute(&mut *connection).await?;
    let query = sqlx::query("UPDATE users SET oidc = $1 WHERE id = $2");
    let query = query.bind(written(oidc)?).bind(id.as_str());
    query.execute(connection).await?;
    Ok(())
}

/// Uses up what came back from the provider; `false` if it was used before. Forgets what has expired.
pub(in super::super) async fn use_up(
    connection: &mut AnyConnection,
    state: &str,
    expires: i64,
    now: i64,
) -> Result<bool, Problem> {
    let query = sqlx::query("DELETE FROM oidc_used WHERE expires < $1");
    query.bind(now).execute(&mut *connection).await?;
    let query = "INSERT INTO oidc_used (state, expires) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let query = sqlx::query(query).bind(state).bind(expires);
    Ok(query.execute(connection).await?.rows_affected() == 1)
}
