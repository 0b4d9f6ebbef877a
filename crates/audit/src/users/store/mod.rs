//! The tables of users: all SQL of this module is here.
//!
//! Whoever reads in order to write takes the row of the user first ([`lock`]): on PostgreSQL two that change
//! one user come one after the other then, as on SQLite they always do.

/// The columns of a user `u`, as [`kept`] reads them.
macro_rules! columns {
    () => {
        "u.id, u.kind, u.parent, u.email, u.name, u.chain_key, u.status, u.password, u.totp_on, \
         u.oidc, u.created, u.version, u.tx, u.contract"
    };
}

pub(super) mod attempts;
pub(super) mod changes;
pub(super) mod listing;
pub(super) mod oidc;
pub(super) mod permissions;
pub(super) mod resets;
pub(super) mod root;
pub(super) mod sessions;

use std::collections::BTreeSet;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::model::{ChainKey, Email, Identity, Kind, Name, Status, User, UserId};
use super::passwords::Hash;
use super::permissions::OperationName;
use crate::Problem;
use crate::model::Timestamp;
use crate::trail::Address;

/// A user as they are kept.
pub(super) struct Kept {
    pub(super) user: User,
    pub(super) password: Hash,
}

/// A row says what no version of this service has written.
#[derive(Debug, thiserror::Error)]
#[error("the database holds {0:?} where that cannot be")]
struct Damaged(String);

fn damaged(text: impl Into<String>) -> Problem {
    Problem::internal("reading a row of the users' tables", &Damaged(text.into()))
}

fn kept(row: &AnyRow) -> Result<Kept, Problem> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let maybe = |column: &str| row.try_get::<Option<String>, _>(column);
    let (kind, status) = (text("kind")?, text("status")?);
    let (created, version) = (row.try_get("created")?, row.try_get::<i64, _>("version")?);
    let id = |text: String| UserId::parse(&text).map_err(|_| damaged(text));
    let address = match (maybe("tx")?, maybe("contract")?) {
        (Some(transaction_address), Some(contract_address)) => Some(Address {
            transaction_address,
            contract_address,
        }),
        (None, _) | (_, None) => None,
    };
    let key = maybe("chain_key")?;
    let key = key.map(|key| ChainKey::parse(&key).map_err(|_| damaged(key)));
    let (email, name) = (text("email")?, text("name")?);
    Ok(Kept {
        password: Hash::kept(text("password")?),
        user: User {
            id: id(text("id")?)?,
            kind: Kind::parse(&kind).ok_or_else(|| damaged(kind))?,
            parent: maybe("parent")?.map(id).transpose()?,
            email: Email::parse(&email).map_err(|_| damaged(email))?,
            name: Name::parse(&name).map_err(|_| damaged(name))?,
            key: key.transpose()?,
            status: Status::parse(&status).ok_or_else(|| damaged(status))?,
            grants: BTreeSet::new(),
            totp: row.try_get::<i64, _>("totp_on")? != 0,
            oidc: oidc::read(maybe("oidc")?)?,
            created: Timestamp::from_millis(created).ok_or_else(|| damaged(created.to_string()))?,
            version: u64::try_from(version).map_err(|_| damaged(version.to_string()))?,
            address,
        },
    })
}

/// The user whom a query finds by this, with what they were granted.
async fn find_by(
    connection: &mut AnyConnection,
    query: &'static str,
    this: &str,
) -> Result<Option<Kept>, Problem> {
    let query = sqlx::query(query).bind(this);
    let Some(row) = query.fetch_optional(&mut *connection).await? else {
        return Ok(None);
    };
    let mut kept = kept(&row)?;
    kept.user.grants = grants(connection, &kept.user.id).await?;
    Ok(Some(kept))
}

/// A user by their id.
pub(super) async fn find(
    connection: &mut AnyConnection,
    id: &UserId,
) -> Result<Option<Kept>, Problem> {
    let query = concat!("SELECT ", columns!(), " FROM users u WHERE u.id = $1");
    find_by(connection, query, id.as_str()).await
}

/// A user by the address with which they log in.
pub(super) async fn find_by_email(
    connection: &mut AnyConnection,
    email: &Email,
) -> Result<Option<Kept>, Problem> {
    let query = concat!("SELECT ", columns!(), " FROM users u WHERE u.email = $1");
    find_by(connection, query, email.as_str()).await
}

/// What a user was granted.
pub(super) async fn grants(
    connection: &mut AnyConnection,
    id: &UserId,
) -> Result<BTreeSet<OperationName>, Problem> {
    let query = sqlx::query("SELECT operation FROM grants WHERE user_id = $1");
    let rows = query.bind(id.as_str()).fetch_all(connection).await?;
    let names = rows.iter().map(|row| {
        let name: String = row.try_get("operation")?;
        OperationName::parse(&name).map_err(|_| damaged(name))
    });
    names.collect()
}

/// Those who stand above a user.
pub(super) async fn above(
    connection: &mut AnyConnection,
    id: &UserId,
) -> Result<Vec<UserId>, Problem> {
    let query = sqlx::query("SELECT ancestor FROM ancestry WHERE user_id = $1 AND ancestor <> $1");
    let rows = query.bind(id.as_str()).fetch_all(connection).await?;
    let ids = rows.iter().map(|row| {
        let id: String = row.try_get("ancestor")?;
        UserId::parse(&id).map_err(|_| damaged(id))
    });
    ids.collect()
}

/// Holds a user's row until the transaction ends, if the user is active.
pub(super) async fn lock(connection: &mut AnyConnection, id: &UserId) -> Result<bool, Problem> {
    let query = "UPDATE users SET version = version WHERE id = $1 AND status = 'active'";
    let query = sqlx::query(query).bind(id.as_str());
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

/// Holds a user's row until the transaction ends, whatever has become of the user.
pub(super) async fn hold(connection: &mut AnyConnection, id: &UserId) -> Result<(), Problem> {
    let query = "UPDATE users SET version = version WHERE id = $1";
    sqlx::query(query)
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// A new user's rows: themselves, their place in the tree, their grants. What is theirs alone is claimed apart.
pub(super) async fn insert(
    connection: &mut AnyConnection,
    kept: &Kept,
    above: &[UserId],
) -> Result<(), Problem> {
    let user = &kept.user;
    let query = "INSERT INTO users (id, kind, parent, email, name, chain_key, status, password, \
                 totp_on, oidc, created, version) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, 0)";
    sqlx::query(query)
        .bind(user.id.as_str())
        .bind(user.kind.word())
        .bind(user.parent.as_ref().map(UserId::as_str))
        .bind(user.email.as_str())
        .bind(user.name.as_str())
        .bind(user.key.as_ref().map(ChainKey::as_str))
        .bind(Status::Pending.word())
        .bind(kept.password.as_str())
        .bind(oidc::written(&user.oidc)?)
        .bind(user.created.millis())
        .execute(&mut *connection)
        .await?;
    for ancestor in above.iter().chain([&user.id]) {
        let query = "INSERT INTO ancestry (ancestor, user_id) VALUES ($1, $2)";
        let query = sqlx::query(query)
            .bind(ancestor.as_str())
            .bind(user.id.as_str());
        query.execute(&mut *connection).await?;
    }
    for operation in &user.grants {
        grant(connection, &user.id, operation).await?;
    }
    Ok(())
}

/// Grants an operation; again is as once.
pub(super) async fn grant(
    connection: &mut AnyConnection,
    id: &UserId,
    operation: &OperationName,
) -> Result<(), Problem> {
    let query = "INSERT INTO grants (user_id, operation) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let query = sqlx::query(query)
        .bind(id.as_str())
        .bind(operation.as_str());
    query.execute(connection).await?;
    Ok(())
}

/// What belongs to one user only.
pub(super) enum Claim<'a> {
    Root,
    Email(&'a Email),
    Key(&'a ChainKey),
    Identity(&'a Identity),
}

impl Claim<'_> {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Root => "root".to_owned(),
            Self::Email(email) => format!("email:{email}"),
            Self::Key(key) => format!("key:{key}"),
            Self::Identity(identity) => oidc::claim(identity),
        }
    }

    fn taken(&self) -> Problem {
        match self {
            Self::Root => Problem::conflict("RootExists", "there is a root already"),
            Self::Email(_) => {
                Problem::conflict("EmailTaken", "the email address belongs to another user")
            }
            Self::Key(_) => Problem::conflict("KeyTaken", "the key belongs to another user"),
            Self::Identity(_) => {
                Problem::conflict("IdentityTaken", "the identity belongs to another user")
            }
        }
    }
}

/// Claims something for a user. Returns its name if it was not theirs before.
pub(super) async fn claim(
    connection: &mut AnyConnection,
    claim: &Claim<'_>,
    id: &UserId,
) -> Result<Option<String>, Problem> {
    let name = claim.name();
    let query = "INSERT INTO claims (name, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let query = sqlx::query(query).bind(&name).bind(id.as_str());
    if query.execute(&mut *connection).await?.rows_affected() == 1 {
        return Ok(Some(name));
    }
    let query = sqlx::query("SELECT 1 AS own FROM claims WHERE name = $1 AND user_id = $2");
    let own = query
        .bind(&name)
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    if own.is_some() {
        Ok(None)
    } else {
        Err(claim.taken())
    }
}

/// Gives up something that was claimed.
pub(super) async fn release(
    connection: &mut AnyConnection,
    name: &str,
    id: &UserId,
) -> Result<(), Problem> {
    let query = sqlx::query("DELETE FROM claims WHERE name = $1 AND user_id = $2");
    query
        .bind(name)
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether something belongs to somebody.
pub(super) async fn is_claimed(
    connection: &mut AnyConnection,
    claim: &Claim<'_>,
) -> Result<bool, Problem> {
    let query = sqlx::query("SELECT user_id FROM claims WHERE name = $1").bind(claim.name());
    Ok(query.fetch_optional(connection).await?.is_some())
}

/// The root, if there is one that counts.
pub(super) async fn root_id(connection: &mut AnyConnection) -> Result<Option<UserId>, Problem> {
    let query = "SELECT u.id FROM claims c JOIN users u ON u.id = c.user_id \
                 WHERE c.name = 'root' AND u.status = 'active'";
    let Some(row) = sqlx::query(query).fetch_optional(connection).await? else {
        return Ok(None);
    };
    let id: String = row.try_get("id")?;
    UserId::parse(&id).map(Some).map_err(|_| damaged(id))
}

/// Replaces a password's hash with one of the same password, made at another cost; `false` if it is another by now.
pub(super) async fn rehash(
    connection: &mut AnyConnection,
    id: &UserId,
    old: &Hash,
    new: &Hash,
) -> Result<bool, Problem> {
    let query = sqlx::query("UPDATE users SET password = $1 WHERE id = $2 AND password = $3");
    let query = query
        .bind(new.as_str())
        .bind(id.as_str())
        .bind(old.as_str());
    Ok(query.execute(connection).await?.rows_affected() == 1)
}
