//! The tree of participants, their passwords, tokens and permissions.
//!
//! One root creates administrators, and they create administrators and users of the system; consumers come by
//! themselves, where the operator lets them. The rules are in [`model`] and [`permissions`], without I/O. A
//! change of a user is reserved in the database, recorded by the trail, and only then made and answered: what
//! a crash leaves between is finished by [`Users::finish_pending`].
//!
//! | file | operations |
//! |---|---|
//! | `root` | the handshake by which exactly one root comes to be |
//! | `accounts` | creating, reading, changing, disabling users |
//! | `signing` | creating users, by those who keep their keys |
//! | `listing` | looking for users among those below |
//! | `rights` | the dictionary, grants, who may do what |
//! | `access` | logging in, renewing, leaving, checking tokens |
//! | `second_factor` | codes of an app |
//! | `forgotten` | new passwords for forgotten ones |
//! | `oidc` | signing in by an identity provider |

mod access;
mod accounts;
mod changing;
mod clock;
mod forgotten;
mod keys;
mod listing;
pub mod model;
pub mod oidc;
mod passwords;
pub mod permissions;
mod possession;
mod rights;
mod root;
mod second_factor;
mod secret;
mod signing;
mod standing;
mod store;
#[cfg(test)]
pub(crate) mod testing;
mod throttle;
mod tokens;
mod totp;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlx::pool::PoolConnection;
use sqlx::{Any, Transaction};
use tokio_util::sync::CancellationToken;

pub(crate) use access::totp_required;
pub use access::{Authenticated, Bearer, Login, Tokens};
pub(crate) use accounts::may_not;
pub use accounts::{Changes, NewUser};
pub(crate) use changing::user_of;
pub use clock::{Clock, SystemClock};
pub use forgotten::{Reset, ResetCode};
pub use keys::KeyError;
pub use listing::{Order, Page, Wanted};
pub use model::{
    ChainKey, Email, Identity, KeyProof, Kind, Name, Oidc, SessionId, Status, User, UserError,
    UserId,
};
pub use passwords::{Cost, Password};
pub use permissions::{OperationName, OperationType, Permission, PermissionError};
pub use rights::Identified;
pub use root::{Credentials, RootSlot};
pub use secret::{Exposed, MasterKey, Secret};
pub use signing::PreparedUser;

use crate::Problem;
use crate::database::Database;
use crate::limits::{CHANGE_ABANDONED, STANDING_REFRESH};
use crate::model::{Text, millis};
use crate::trail::Recorder;
use keys::Keys;
use passwords::Passwords;
use standing::Standing;
use throttle::Sources;
use tokens::Seen;

/// What the operator says.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name of this service in its tokens: an `https` URL.
    pub issuer: String,
    /// The folder with the keys that sign tokens. All replicas share it.
    pub keys: PathBuf,
    /// Whether consumers may register themselves.
    pub consumers_register: bool,
    /// Whether logging in is an event.
    pub record_logins: bool,
    /// Whether renewing a session is an event.
    pub record_renewals: bool,
    /// What hashing a password costs.
    pub cost: Cost,
    /// Where people may sign in beside their passwords.
    pub oidc: Option<oidc::Config>,
}

impl Config {
    /// What is usual: no consumers, logins are events and renewals are not, and passwords alone.
    pub fn new(issuer: impl Into<String>, keys: impl Into<PathBuf>) -> Self {
        Self {
            issuer: issuer.into(),
            keys: keys.into(),
            consumers_register: false,
            record_logins: true,
            record_renewals: false,
            cost: Cost::default(),
            oidc: None,
        }
    }
}

/// Why the service cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// See [`KeyError`].
    #[error("the keys that sign tokens")]
    Keys(#[source] KeyError),
    /// Argon2 knows no such cost. Take the usual one.
    #[error("hashing passwords cannot cost this: {0}")]
    Cost(argon2::Error),
    /// See [`oidc::ConfigError`].
    #[error("the identity provider")]
    Oidc(#[source] oidc::ConfigError),
    /// The database does not answer, or its rows cannot be read.
    #[error("reading the users' tables")]
    Database(#[source] Problem),
}

/// Who calls, as their token says, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Who.
    pub user: UserId,
    /// What they are.
    pub kind: Kind,
    /// Where the request came from.
    pub place: Text,
}

/// The service.
pub struct Users {
    database: Database,
    recorder: Arc<dyn Recorder>,
    clock: Arc<dyn Clock>,
    config: Config,
    master: MasterKey,
    keys: Keys,
    seen: Seen,
    passwords: Passwords,
    sources: Sources,
    standing: Standing,
    provider: Option<oidc::Provider>,
}

impl Users {
    /// Opens it. Somebody has to run [`Self::keep_current`] beside it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        database: Database,
        recorder: Arc<dyn Recorder>,
        config: Config,
        master: MasterKey,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let keys = Keys::open(&config.keys, clock.millis()).map_err(OpenError::Keys)?;
        let passwords = Passwords::new(config.cost).map_err(OpenError::Cost)?;
        let provider = config.oidc.clone().map(oidc::Provider::new).transpose();
        let provider = provider.map_err(OpenError::Oidc)?;
        let users = Self {
            database,
            recorder,
            clock,
            config,
            master,
            keys,
            seen: Seen::default(),
            passwords,
            sources: Sources::default(),
            standing: Standing::default(),
            provider,
        };
        users
            .begin_with_defaults()
            .await
            .map_err(OpenError::Database)?;
        Ok(users)
    }

    async fn begin_with_defaults(&self) -> Result<(), Problem> {
        let mut transaction = self.transaction().await?;
        store::permissions::seed(&mut transaction).await?;
        transaction.commit().await?;
        self.refresh().await
    }

    /// Looks every second at what other replicas revoked, changed or rotated; and beside that, which waits for
    /// nobody, now and then finishes what was abandoned and forgets what is over. Ends when it is told to stop.
    pub async fn keep_current(&self, stopping: CancellationToken) {
        let keeping = async { tokio::join!(self.keep_looking(), self.keep_finishing()) };
        stopping.run_until_cancelled(keeping).await;
    }

    async fn keep_looking(&self) {
        loop {
            if let Err(problem) = self.refresh().await {
                tracing::warn!(%problem, "could not look at what was revoked");
            }
            if let Err(error) = self.keys.reload() {
                tracing::warn!(error = %error, "could not read the keys that sign tokens");
            }
            tokio::time::sleep(STANDING_REFRESH).await;
        }
    }

    /// May wait for the trail as long as that takes.
    async fn keep_finishing(&self) {
        let mut next_round = self.now();
        loop {
            if self.now() >= next_round {
                next_round = self.now() + millis(CHANGE_ABANDONED);
                if let Err(problem) = self.finish_pending().await {
                    tracing::warn!(%problem, "could not finish what was abandoned");
                }
                if let Err(problem) = self.forget_old_sessions().await {
                    tracing::warn!(%problem, "could not forget sessions that are over");
                }
            }
            tokio::time::sleep(STANDING_REFRESH).await;
        }
    }

    fn now(&self) -> i64 {
        self.clock.millis()
    }

    async fn connection(&self) -> Result<PoolConnection<Any>, Problem> {
        Ok(self.database.pool().acquire().await?)
    }

    async fn transaction(&self) -> Result<Transaction<'static, Any>, Problem> {
        Ok(self.database.begin().await?)
    }
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
