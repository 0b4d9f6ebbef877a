//! Changes on their way: reserved before they are recorded, applied after it.

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::super::model::{ChainKey, Email, Name, Oidc, User, UserId};
use super::super::passwords::Hash;
use super::super::permissions::{OperationName, Permission};
use super::{Claim, damaged, resets, sessions};
use crate::Problem;
use crate::limits::CHANGES_TOGETHER_MAX;
use crate::trail::{Act, Address};

/// What is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Subject {
    User(UserId),
    Permission(OperationName),
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(in super::super) enum Change {
    Create,
    Update {
        name: Option<Name>,
        email: Option<Email>,
        key: Option<ChainKey>,
        /// What that makes of signing in by the identity provider.
        #[serde(default)]
        oidc: Option<Oidc>,
    },
    Oidc {
        oidc: Oidc,
    },
    Disable,
    EndSessions,
    Password {
        hash: Hash,
    },
    /// By its fingerprint.
    ResetCode {
        code: String,
        expires: i64,
    },
    Grant {
        operation: OperationName,
    },
    Revoke {
        operation: OperationName,
    },
    TotpOn,
    TotpOff,
    PutPermission {
        entry: Box<Permission>,
    },
    DeletePermission,
}

/// A change with its event: enough to finish it after a crash.
#[derive(Debug, Clone)]
pub(in super::super) struct Intent {
    pub(in super::super) subject: Subject,
    /// The version that it makes.
    pub(in super::super) version: i64,
    pub(in super::super) act: Act,
    pub(in super::super) change: Change,
    /// What was claimed for it, and is given up if it is withdrawn.
    pub(in super::super) claimed: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    change: Change,
    #[serde(default)]
    claimed: Vec<String>,
}

impl Subject {
    /// The name of its record.
    pub(in super::super) fn record(&self) -> String {
        match self {
            Self::User(id) => format!("user-{id}"),
            Self::Permission(name) => format!("permission-{name}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('-')?;
        match kind {
            "user" => UserId::parse(name).ok().map(Self::User),
            "permission" => OperationName::parse(name).ok().map(Self::Permission),
            _ => None,
        }
    }
}

/// That nothing of it changes now.
///
/// # Errors
/// A change of it is under way.
pub(in super::super) async fn check_none(
    connection: &mut AnyConnection,
    subject: &Subject,
) -> Result<(), Problem> {
    match find(connection, subject).await? {
        Some(_) => Err(under_way()),
        None => Ok(()),
    }
}

fn under_way() -> Problem {
    Problem::conflict(
        "ChangeUnderWay",
        "another change of it is on its way to the ledger; try again",
    )
}

/// Reserves a change.
///
/// # Errors
/// Another one of the same subject is under way.
pub(in super::super) async fn reserve(
    connection: &mut AnyConnection,
    intent: &Intent,
    now: i64,
) -> Result<(), Problem> {
    let written = Written {
        change: intent.change.clone(),
        claimed: intent.claimed.clone(),
    };
    let json = |error: serde_json::Error| Problem::internal("writing a change", &error);
    let query = "INSERT INTO changes (subject, version, at, act, change) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    let done = sqlx::query(query)
        .bind(intent.subject.record())
        .bind(intent.version)
        .bind(now)
        .bind(serde_json::to_string(&intent.act).map_err(json)?)
        .bind(serde_json::to_string(&written).map_err(json)?)
        .execute(connection)
        .await?;
    match done.rows_affected() {
        1 => Ok(()),
        _ => Err(under_way()),
    }
}

/// Takes a change away; `false` if somebody else has. The user's row comes first, as for whoever reserves one: so no
/// two wait for each other, and nothing of a change goes that another one relies on.
async fn take(connection: &mut AnyConnection, intent: &Intent) -> Result<bool, Problem> {
    if let Subject::User(id) = &intent.subject {
        super::hold(connection, id).await?;
    }
    let query = sqlx::query("DELETE FROM changes WHERE subject = $1 AND version = $2");
    let query = query.bind(intent.subject.record()).bind(intent.version);
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

/// The change of something that is under way.
pub(in super::super) async fn find(
    connection: &mut AnyConnection,
    subject: &Subject,
) -> Result<Option<Intent>, Problem> {
    let query = "SELECT subject, version, act, change FROM changes WHERE subject = $1";
    let row = sqlx::query(query).bind(subject.record());
    let row = row.fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

/// Changes that are older than this moment, the oldest first.
pub(in super::super) async fn abandoned(
    connection: &mut AnyConnection,
    before: i64,
) -> Result<Vec<Intent>, Problem> {
    let query = "SELECT subject, version, act, change FROM changes WHERE at <= $1 \
                 ORDER BY at LIMIT $2";
    let query = sqlx::query(query).bind(before).bind(CHANGES_TOGETHER_MAX);
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<Intent, Problem> {
    let json = |error: serde_json::Error| Problem::internal("reading a change", &error);
    let (subject, act): (String, String) = (row.try_get("subject")?, row.try_get("act")?);
    let written: String = row.try_get("change")?;
    let written: Written = serde_json::from_str(&written).map_err(json)?;
    Ok(Intent {
        subject: Subject::parse(&subject).ok_or_else(|| damaged(subject))?,
        version: row.try_get("version")?,
        act: serde_json::from_str(&act).map_err(json)?,
        change: written.change,
        claimed: written.claimed,
    })
}

/// Makes a change that is recorded at this place. Again is as once.
pub(in super::super) async fn apply(
    connection: &mut AnyConnection,
    intent: &Intent,
    address: &Address,
    now: i64,
) -> Result<(), Problem> {
    if !take(connection, intent).await? {
        return Ok(());
    }
    match &intent.subject {
        Subject::User(id) => {
            let query = "UPDATE users SET version = $1, tx = $2, contract = $3 WHERE id = $4";
            sqlx::query(query)
                .bind(intent.version)
                .bind(&address.transaction_address)
                .bind(&address.contract_address)
                .bind(id.as_str())
                .execute(&mut *connection)
                .await?;
            apply_to_user(connection, id, &intent.change, now).await
        }
        Subject::Permission(name) => {
            let entry = match &intent.change {
                Change::PutPermission { entry } => Some(&**entry),
                _ => None,
            };
            super::permissions::put(connection, name, entry, intent.version).await
        }
    }
}

async fn apply_to_user(
    connection: &mut AnyConnection,
    id: &UserId,
    change: &Change,
    now: i64,
) -> Result<(), Problem> {
    match change {
        Change::Create => {
            set(
                connection,
                id,
                "UPDATE users SET status = 'active' WHERE id = $1",
            )
            .await
        }
        Change::Disable => {
            set(
                connection,
                id,
                "UPDATE users SET status = 'disabled' WHERE id = $1",
            )
            .await?;
            resets::forget(connection, id).await?;
            sessions::revoke_all(connection, id, now).await
        }
        Change::EndSessions => sessions::revoke_all(connection, id, now).await,
        Change::Update {
            name,
            email,
            key,
            oidc,
        } => {
            update(connection, id, name.as_ref(), email.as_ref(), key.as_ref()).await?;
            match oidc {
                Some(oidc) => super::oidc::set(connection, id, oidc).await,
                None => Ok(()),
            }
        }
        Change::Oidc { oidc } => {
            super::oidc::set(connection, id, oidc).await?;
            match oidc {
                Oidc::Refused => sessions::revoke_all(connection, id, now).await,
                Oidc::Unsaid | Oidc::Allowed | Oidc::Linked(_) => Ok(()),
            }
        }
        Change::Password { hash } => {
            let query = sqlx::query("UPDATE users SET password = $1 WHERE id = $2");
            let query = query.bind(hash.as_str()).bind(id.as_str());
            query.execute(&mut *connection).await?;
            resets::forget(connection, id).await?;
            sessions::revoke_all(connection, id, now).await
        }
        Change::ResetCode { code, expires } => resets::put(connection, id, code, *expires).await,
        Change::Grant { operation } => super::grant(connection, id, operation).await,
        Change::Revoke { operation } => {
            let query = sqlx::query("DELETE FROM grants WHERE user_id = $1 AND operation = $2");
            let query = query.bind(id.as_str()).bind(operation.as_str());
            query.execute(connection).await?;
            Ok(())
        }
        Change::TotpOn => set(connection, id, "UPDATE users SET totp_on = 1 WHERE id = $1").await,
        Change::TotpOff => {
            set(connection, id, "UPDATE users SET totp_on = 0 WHERE id = $1").await?;
            set(connection, id, "DELETE FROM totp WHERE user_id = $1").await
        }
        Change::PutPermission { .. } | Change::DeletePermission => {
            Err(damaged("a change of a permission for a user"))
        }
    }
}

async fn set(
    connection: &mut AnyConnection,
    id: &UserId,
    statement: &'static str,
) -> Result<(), Problem> {
    let query = sqlx::query(statement).bind(id.as_str());
    query.execute(connection).await?;
    Ok(())
}

/// The old address may be another's from now on; a key never.
async fn update(
    connection: &mut AnyConnection,
    id: &UserId,
    name: Option<&Name>,
    email: Option<&Email>,
    key: Option<&ChainKey>,
) -> Result<(), Problem> {
    if let Some(name) = name {
        let query = sqlx::query("UPDATE users SET name = $1 WHERE id = $2");
        let query = query.bind(name.as_str()).bind(id.as_str());
        query.execute(&mut *connection).await?;
    }
    if let Some(key) = key {
        let query = sqlx::query("UPDATE users SET chain_key = $1 WHERE id = $2");
        let query = query.bind(key.as_str()).bind(id.as_str());
        query.execute(&mut *connection).await?;
    }
    if let Some(email) = email {
        let query = "DELETE FROM claims WHERE user_id = $1 AND name LIKE 'email:%' AND name <> $2";
        let query = sqlx::query(query).bind(id.as_str());
        let query = query.bind(Claim::Email(email).name());
        query.execute(&mut *connection).await?;
        let query = sqlx::query("UPDATE users SET email = $1 WHERE id = $2");
        let query = query.bind(email.as_str()).bind(id.as_str());
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Takes back a change that was refused: as if it had never been asked for.
pub(in super::super) async fn withdraw(
    connection: &mut AnyConnection,
    intent: &Intent,
) -> Result<(), Problem> {
    if !take(connection, intent).await? {
        return Ok(());
    }
    let Subject::User(id) = &intent.subject else {
        return Ok(());
    };
    for name in &intent.claimed {
        super::release(connection, name, id).await?;
    }
    if intent.change == Change::Create {
        // Nobody has ever seen this user: they are not erased, they have not been.
        for statement in [
            "DELETE FROM grants WHERE user_id = $1",
            "DELETE FROM ancestry WHERE user_id = $1",
            "DELETE FROM users WHERE id = $1 AND status = 'pending'",
        ] {
            set(connection, id, statement).await?;
        }
    }
    Ok(())
}

/// How a user will look after a change, for the event that tells of it.
pub(in super::super) fn after(user: &User, change: &Change) -> User {
    let mut user = user.clone();
    match change {
        Change::Update {
            name,
            email,
            key,
            oidc,
        } => {
            user.oidc = oidc.clone().unwrap_or(user.oidc);
            user.name = name.clone().unwrap_or(user.name);
            user.email = email.clone().unwrap_or(user.email);
            user.key = key.clone().or(user.key);
        }
        Change::Create => user.status = super::Status::Active,
        Change::Disable => user.status = super::Status::Disabled,
        Change::Grant { operation } => {
            user.grants.insert(operation.clone());
        }
        Change::Revoke { operation } => {
            user.grants.remove(operation);
        }
        Change::TotpOn => user.totp = true,
        Change::TotpOff => user.totp = false,
        Change::Oidc { oidc } => user.oidc = oidc.clone(),
        Change::EndSessions
        | Change::Password { .. }
        | Change::ResetCode { .. }
        | Change::PutPermission { .. }
        | Change::DeletePermission => {}
    }
    user
}
