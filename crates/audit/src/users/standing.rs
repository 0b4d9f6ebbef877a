//! What is known by heart, so that checking a token needs no database: sessions that were revoked, the
//! dictionary, and for a second what somebody was granted. Other replicas change it too, so it is looked at
//! again every second.

use std::collections::{BTreeSet, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use lru::LruCache;

use super::model::{SessionId, UserId};
use super::permissions::{Dictionary, OperationName};
use super::{Users, store};
use crate::Problem;
use crate::limits::{
    ACCESS_LIFETIME, CLOCK_SKEW, GRANTS_REMEMBERED, REVOKED_MAX, STANDING_AGE_MAX, STANDING_REFRESH,
};
use crate::model::millis;

/// See the module.
pub(super) struct Standing {
    known: RwLock<Arc<Known>>,
    grants: Mutex<LruCache<UserId, (i64, Grants)>>,
    /// Held while it is looked: who waited for it sees all that was committed before they asked.
    looking: tokio::sync::Mutex<()>,
}

type Grants = Arc<BTreeSet<OperationName>>;

/// What was known at one moment.
#[derive(Default)]
struct Known {
    at: i64,
    /// `None` if there were too many.
    revoked: Option<HashSet<SessionId>>,
    dictionary: Arc<Dictionary>,
}

impl Default for Standing {
    fn default() -> Self {
        let capacity = NonZeroUsize::new(GRANTS_REMEMBERED).expect("the limit is not zero");
        Self {
            known: RwLock::default(),
            grants: Mutex::new(LruCache::new(capacity)),
            looking: tokio::sync::Mutex::default(),
        }
    }
}

impl Standing {
    /// Whether a session was revoked.
    ///
    /// # Errors
    /// It was too long not looked, or there is too much to know: then nobody is believed.
    pub(super) fn is_revoked(&self, session: &SessionId, now: i64) -> Result<bool, Problem> {
        let known = self.known();
        match &known.revoked {
            Some(revoked) if now - known.at <= millis(STANDING_AGE_MAX) => {
                Ok(revoked.contains(session))
            }
            Some(_) | None => Err(Problem::unavailable(
                "RevocationsUnknown",
                "it cannot be told now whether this session has ended; try again",
            )),
        }
    }

    fn dictionary(&self) -> Arc<Dictionary> {
        Arc::clone(&self.known().dictionary)
    }

    fn known(&self) -> Arc<Known> {
        // A pointer is whole even if somebody panicked while they held it.
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&known)
    }

    fn grants(&self) -> MutexGuard<'_, LruCache<UserId, (i64, Grants)>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Users {
    /// Looks at what was revoked and changed, here and elsewhere.
    ///
    /// # Errors
    /// The database does not answer; what was known stays known until it is too old.
    pub async fn refresh(&self) -> Result<(), Problem> {
        let _looking = self.standing.looking.lock().await;
        let now = self.now();
        let mut connection = self.connection().await?;
        // A token is good for as long after its session began, by the clock of some replica.
        let since = now - millis(ACCESS_LIFETIME) - 2 * millis(CLOCK_SKEW);
        let revoked = store::sessions::revoked_since(&mut connection, since).await?;
        let dictionary = store::permissions::dictionary(&mut connection).await?;
        let revoked = if revoked.len() > REVOKED_MAX {
            tracing::error!("more sessions were revoked than are known by heart");
            None
        } else {
            Some(revoked.into_iter().collect())
        };
        let known = Known {
            at: now,
            revoked,
            dictionary: Arc::new(dictionary),
        };
        let place = self.standing.known.write();
        *place.unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
        Ok(())
    }

    /// The dictionary as it was a second ago at the oldest.
    pub fn dictionary(&self) -> Arc<Dictionary> {
        self.standing.dictionary()
    }

    /// What somebody was granted, as it was a second ago at the oldest.
    pub(super) async fn known_grants(&self, user: &UserId) -> Result<Grants, Problem> {
        let now = self.now();
        let known = self.standing.grants().get(user).cloned();
        if let Some((at, grants)) = known
            && (at..=at + millis(STANDING_REFRESH)).contains(&now)
        {
            return Ok(grants);
        }
        let mut connection = self.connection().await?;
        let grants = Arc::new(store::grants(&mut connection, user).await?);
        let remembered = (now, Arc::clone(&grants));
        self.standing.grants().put(user.clone(), remembered);
        Ok(grants)
    }

    /// Forgets what a user was granted, which has changed.
    pub(super) fn forget_grants(&self, user: &UserId) {
        self.standing.grants().pop(user);
    }
}
