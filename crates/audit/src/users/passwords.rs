//! Passwords: what they have to be, and how they are kept (Argon2id, PHC strings).

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, PasswordHash, Version};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::secret::{Secret, chance};
use crate::Problem;
use crate::limits::{HASHES_WAITING_MAX, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN};
use crate::telemetry::{Kind, timed};

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Cost {
    /// The first of what OWASP recommends for Argon2id: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self {
            memory: 19 * 1024,
            passes: 2,
            lanes: 1,
        }
    }
}

/// A password that is long enough, and not too long. It is never cut.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Secret")]
pub struct Password(Secret);

impl AsRef<Secret> for Password {
    fn as_ref(&self) -> &Secret {
        &self.0
    }
}

impl TryFrom<Secret> for Password {
    type Error = Problem;

    fn try_from(secret: Secret) -> Result<Self, Problem> {
        Self::parse(secret)
    }
}

impl Password {
    /// Takes a new password.
    ///
    /// # Errors
    /// It has too few characters or too many.
    pub fn parse(secret: Secret) -> Result<Self, Problem> {
        if is_possible(&secret) {
            Ok(Self(secret))
        } else {
            Err(Problem::input(format!(
                "a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters"
            )))
        }
    }
}

fn is_possible(secret: &Secret) -> bool {
    let chars = secret.expose().chars().take(PASSWORD_CHARS_MAX + 1).count();
    (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&chars)
}

/// A hash as it is kept: a PHC string, which says how it was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Hash(String);

impl Hash {
    /// One that is kept.
    pub(super) fn kept(text: String) -> Self {
        Self(text)
    }

    /// The text, for the database.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(..)")
    }
}

/// What came of comparing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// It is the password.
    Same,
    /// It is, and the hash should be made anew, at today's cost.
    SameAtAnotherCost,
    /// It is not.
    Different,
}

/// Hashes passwords, some at a time.
pub(super) struct Passwords {
    argon2: Argon2<'static>,
    /// Hash of a random password: what an unknown user is compared with, at the same cost as a known one.
    decoy: Hash,
    turns: Arc<Semaphore>,
    /// Those who have a turn and those who wait for one.
    places: Arc<Semaphore>,
    /// What comparing has cost so far, in KiB times passes: what tests look at, because they cannot tell time.
    #[cfg(test)]
    pub(super) work: std::sync::atomic::AtomicU64,
}

impl Passwords {
    /// Hashes at this cost, as many at a time as there are processors.
    ///
    /// # Errors
    /// Argon2 knows no such cost.
    pub(super) fn new(cost: Cost) -> Result<Self, argon2::Error> {
        let params = Params::new(cost.memory, cost.passes, cost.lanes, None)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let turns = std::thread::available_parallelism().map_or(1, usize::from);
        let decoy = hash(&argon2, &Secret::random());
        Ok(Self {
            argon2,
            decoy,
            turns: Arc::new(Semaphore::new(turns)),
            places: Arc::new(Semaphore::new(turns + HASHES_WAITING_MAX)),
            #[cfg(test)]
            work: Default::default(),
        })
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) async fn hash(&self, password: Password) -> Result<Hash, Problem> {
        let argon2 = self.argon2.clone();
        self.in_turn(move || hash(&argon2, &password.0)).await
    }

    /// Compares with what is kept. With nothing kept it takes the same way, and differs.
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) async fn compare(
        &self,
        given: &Secret,
        kept: Option<&Hash>,
    ) -> Result<Compared, Problem> {
        let argon2 = self.argon2.clone();
        let with = kept.unwrap_or(&self.decoy).clone();
        // What nobody can have as a password is compared too, and cannot be the same.
        let possible = kept.is_some() && is_possible(given);
        let given = if is_possible(given) {
            given.clone()
        } else {
            Secret::from("")
        };
        #[cfg(test)]
        self.count(&with);
        self.in_turn(move || compare(&argon2, &given, &with, possible))
            .await
    }

    #[cfg(test)]
    fn count(&self, with: &Hash) {
        let parsed = PasswordHash::new(&with.0).unwrap();
        let params = Params::try_from(&parsed).unwrap();
        let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
        self.work
            .fetch_add(work, std::sync::atomic::Ordering::SeqCst);
    }

    /// All turns: nobody hashes or compares while somebody has them. They come after whoever waits already.
    #[cfg(test)]
    pub(super) async fn pause(&self) -> tokio::sync::OwnedSemaphorePermit {
        let turns = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = u32::try_from(turns).unwrap();
        let all = Arc::clone(&self.turns).acquire_many_owned(turns);
        all.await.unwrap()
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let busy = || Problem::busy("too many log in at this moment; try again");
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| busy())?;
        let turn = async {
            let turn = Arc::clone(&self.turns).acquire_owned().await;
            Ok::<_, Problem>(turn.expect("the turns are never closed"))
        };
        let turn = timed("password.wait", Kind::Internal, turn).await?;
        // The turn goes with the work: who gives up waiting does not let another one in beside it.
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((turn, place));
            done
        });
        let hashed = async {
            done.await
                .map_err(|error| Problem::internal("hashing a password", &error))
        };
        timed("password.hash", Kind::Internal, hashed).await
    }
}

fn hash(argon2: &Argon2<'_>, password: &Secret) -> Hash {
    let salt = chance::<16>();
    let hash = argon2.hash_password_with_salt(password.expose().as_bytes(), &salt);
    let hash: PasswordHash = hash.expect("the cost was checked, and the salt has 16 bytes");
    Hash(hash.to_string())
}

fn compare(argon2: &Argon2<'_>, given: &Secret, kept: &Hash, possible: bool) -> Compared {
    let Ok(parsed) = PasswordHash::new(&kept.0) else {
        tracing::error!("a password's hash in the database is no PHC string");
        return Compared::Different;
    };
    let same = argon2
        .verify_password(given.expose().as_bytes(), &parsed)
        .is_ok();
    if !(same && possible) {
        return Compared::Different;
    }
    let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
    let kept_at = Params::try_from(&parsed).map(|params| cost(&params));
    if kept_at == Ok(cost(argon2.params())) {
        Compared::Same
    } else {
        Compared::SameAtAnotherCost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost {
        memory: 8,
        passes: 1,
        lanes: 1,
    };

    fn password(text: &str) -> Password {
        Password::parse(Secret::from(text)).unwrap()
    }

    #[test]
    fn a_password_is_long_enough_and_not_too_long_in_characters() {
        for bad in ["", "elevenchars", &"é".repeat(PASSWORD_CHARS_MAX + 1)] {
            Password::parse(Secret::from(bad)).unwrap_err();
        }
        password("twelve chars");
        password(&"é".repeat(PASSWORD_CHARS_MAX));
    }

    #[tokio::test]
    async fn a_hash_says_how_it_was_made_and_is_salted() {
        let passwords = Passwords::new(Cost::default()).unwrap();
        let one = passwords.hash(password("correct horse")).await.unwrap();
        assert!(one.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let other = passwords.hash(password("correct horse")).await.unwrap();
        assert_ne!(one, other);
        let given = Secret::from("correct horse");
        let compared = passwords.compare(&given, Some(&one)).await.unwrap();
        assert_eq!(compared, Compared::Same);
        let given = Secret::from("correct Horse");
        let compared = passwords.compare(&given, Some(&one)).await.unwrap();
        assert_eq!(compared, Compared::Different);
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_is_made_anew() {
        let cheap = Passwords::new(CHEAP).unwrap();
        let kept = cheap.hash(password("correct horse")).await.unwrap();
        let dearer = Passwords::new(Cost { passes: 2, ..CHEAP }).unwrap();
        let given = Secret::from("correct horse");
        let compared = dearer.compare(&given, Some(&kept)).await.unwrap();
        assert_eq!(compared, Compared::SameAtAnotherCost);
    }

    #[tokio::test]
    async fn nobody_has_the_decoys_password_and_no_end_of_one_is_cut() {
        let passwords = Passwords::new(CHEAP).unwrap();
        let given = Secret::from("correct horse");
        let compared = passwords.compare(&given, None).await.unwrap();
        assert_eq!(compared, Compared::Different);
        let longest = "x".repeat(PASSWORD_CHARS_MAX);
        let kept = passwords.hash(password(&longest)).await.unwrap();
        let longer = Secret::from(format!("{longest}y"));
        let compared = passwords.compare(&longer, Some(&kept)).await.unwrap();
        assert_eq!(compared, Compared::Different);
    }

    #[tokio::test]
    async fn who_comes_when_too_many_wait_is_told_to_come_later() {
        let passwords = Passwords::new(CHEAP).unwrap();
        let all = u32::try_from(passwords.places.available_permits()).unwrap();
        let _all = passwords.places.acquire_many(all).await.unwrap();
        let refused = passwords.hash(password("correct horse")).await.unwrap_err();
        assert_eq!((refused.status, refused.kind.as_str()), (429, "Busy"));
    }
}
