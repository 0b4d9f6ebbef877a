//! A service for tests: a real database, a clock that stands until it is moved, and a trail that does as it
//! is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::passwords::Hash;
use super::*;
use crate::model::{ContentHash, Event, Salt, Timestamp, What};
use crate::trail::{Act, Address, Answering, Receipt, Stored};

pub(crate) use super::totp::tests::code_of;

/// What this installation is called.
pub(crate) const ISSUER: &str = "https://audit.example";

pub(crate) const PASSWORD: &str = "correct horse battery";

/// The service and what it stands on.
pub(crate) struct House {
    pub(crate) users: Arc<Users>,
    pub(crate) trail: Arc<Trail>,
    pub(crate) clock: Arc<TestClock>,
    config: Config,
    address: String,
    _folder: TempDir,
}

/// Stands still.
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn forward(&self, span: Duration) {
        self.0.fetch_add(millis(span), Ordering::SeqCst);
    }

    pub(super) fn back(&self, span: Duration) {
        self.0.fetch_sub(millis(span), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn millis(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What the trail answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Answer {
    #[default]
    Stored,
    Refused,
    Pending,
    Impossible,
    /// Nothing, until it will answer something else.
    Later,
    /// As if the power went.
    Never,
}

/// Records in memory.
#[derive(Default)]
pub(crate) struct Trail {
    pub(crate) answer: Mutex<Answer>,
    acts: Mutex<Vec<Act>>,
    by_request: Mutex<HashMap<String, Stored>>,
    pub(crate) asked: Notify,
}

impl Trail {
    pub(crate) fn acts(&self) -> Vec<Act> {
        self.acts.lock().unwrap().clone()
    }

    /// What was done, in order.
    pub(crate) fn did(&self) -> Vec<String> {
        let acts = self.acts();
        acts.iter().map(|act| act.did.to_string()).collect()
    }

    pub(crate) fn will(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn store(&self, act: Act) -> Stored {
        let mut known = self.by_request.lock().unwrap();
        let request = act.once.as_ref().map(|once| format!("{} {once}", act.who));
        if let Some(stored) = request.as_ref().and_then(|request| known.get(request)) {
            return stored.clone();
        }
        let mut acts = self.acts.lock().unwrap();
        let stored = Stored {
            event: Event {
                record: act.record.clone().unwrap(),
                version: 1,
                how: act.how,
                who: act.who.clone(),
                what: What {
                    about: act.about.clone(),
                    did: act.did.clone(),
                    hash: ContentHash([0; 32]),
                },
                when: Timestamp::from_millis(0).unwrap(),
                place: act.place.clone(),
                target: act.target.clone(),
            },
            salt: Some(Salt([0; 32])),
            address: Address {
                transaction_address: format!("2.{}", acts.len() + 1),
                contract_address: "audit".to_owned(),
            },
            receipt: Receipt::of(&json!({})),
        };
        acts.push(act);
        if let Some(request) = request {
            known.insert(request, stored.clone());
        }
        stored
    }
}

impl Recorder for Trail {
    fn record(&self, act: Act) -> Answering<'_, Stored> {
        Box::pin(async move {
            let answer = || *self.answer.lock().unwrap();
            self.asked.notify_one();
            while answer() == Answer::Later {
                tokio::task::yield_now().await;
            }
            match answer() {
                Answer::Stored => Ok(self.store(act)),
                Answer::Refused => Err(Problem::unavailable("LedgerUnavailable", "no leader")),
                Answer::Pending => Err(Problem::pending("it is on its way")),
                Answer::Impossible => Err(Problem::input("no such event can be")),
                Answer::Later | Answer::Never => std::future::pending().await,
            }
        })
    }
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(ISSUER, folder.path().join("keys"));
        config.cost = Cost {
            memory: 8,
            passes: 1,
            lanes: 1,
        };
        configure(&mut config);
        let address = crate::database::testing::address(folder.path()).await;
        let trail = Arc::new(Trail::default());
        let clock = Arc::new(TestClock(AtomicI64::new(1_800_000_000_000)));
        let users = service(&address, &trail, &clock, &config).await;
        Self {
            users,
            trail,
            clock,
            config,
            address,
            _folder: folder,
        }
    }

    /// Another process with the same database and the same keys.
    pub(crate) async fn replica(&self) -> Arc<Users> {
        service(&self.address, &self.trail, &self.clock, &self.config).await
    }

    /// Goes on with the database of another service, and its keys and clock.
    pub(crate) async fn share_database_of(&mut self, other: &Self) {
        self.address.clone_from(&other.address);
        self.config.keys.clone_from(&other.config.keys);
        self.clock = Arc::clone(&other.clock);
        self.users = self.replica().await;
    }

    pub(crate) async fn root(&self) -> Caller {
        let slot = self.users.reserve_root("na").await.unwrap();
        caller(&self.create_root(&slot, "root").await.unwrap())
    }

    pub(crate) async fn create_root(&self, slot: &RootSlot, name: &str) -> Result<User, Problem> {
        let (users, credentials) = (&self.users, credentials(name));
        users
            .create_root(&slot.session, &slot.nb, credentials, &place())
            .await
    }

    pub(crate) async fn create(&self, by: &Caller, kind: Kind, name: &str) -> Caller {
        caller(&self.users.create_user(by, new(kind, name)).await.unwrap())
    }

    /// Asks for something that compares a password and then hashes one, and does something else between the two.
    pub(super) async fn between_hashes<T: Send + 'static>(
        &self,
        asked: impl Future<Output = T> + Send + 'static,
        meanwhile: impl Future<Output = ()>,
    ) -> T {
        let passwords = &self.users.passwords;
        let before = passwords.work.load(Ordering::SeqCst);
        let turns = passwords.pause().await;
        let asked = tokio::spawn(asked);
        while passwords.work.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
        let (turns, ()) = tokio::join!(passwords.pause(), async { drop(turns) });
        meanwhile.await;
        drop(turns);
        asked.await.unwrap()
    }

    /// Changes a user's password as if somebody else had, elsewhere.
    pub(super) async fn put_password(&self, name: &str, hash: &Hash) {
        let mut connection = self.users.connection().await.unwrap();
        let kept = store::find_by_email(&mut connection, &email(name)).await;
        let kept = kept.unwrap().unwrap();
        let done = store::rehash(&mut connection, &kept.user.id, &kept.password, hash).await;
        assert!(done.unwrap());
    }

    pub(crate) async fn login(&self, name: &str) -> Tokens {
        self.users.login(login(name), &place()).await.unwrap()
    }
}

async fn service(
    address: &str,
    trail: &Arc<Trail>,
    clock: &Arc<TestClock>,
    config: &Config,
) -> Arc<Users> {
    let database = Database::open(address).await.unwrap();
    let trail: Arc<dyn Recorder> = Arc::<Trail>::clone(trail);
    let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
    let master = MasterKey::new([7; 32]);
    let users = Users::open(database, trail, config.clone(), master, clock).await;
    Arc::new(users.unwrap())
}

pub(crate) fn place() -> Text {
    Text::fitting("203.0.113.7")
}

pub(crate) fn caller(user: &User) -> Caller {
    Caller {
        user: user.id.clone(),
        kind: user.kind,
        place: place(),
    }
}

pub(crate) fn email(name: &str) -> Email {
    Email::parse(&format!("{name}@farm.example")).unwrap()
}

/// A user's new address.
pub(super) fn to_address(name: &str) -> Changes {
    Changes {
        email: Some(email(name)),
        ..Changes::default()
    }
}

pub(crate) fn password(text: &str) -> Password {
    Password::parse(Secret::from(text)).unwrap()
}

pub(crate) fn operation(name: &str) -> OperationName {
    OperationName::parse(name).unwrap()
}

pub(crate) fn credentials(name: &str) -> Credentials {
    Credentials {
        email: email(name),
        name: Name::parse(name).unwrap(),
        key: None,
        key_proof: None,
        password: password(PASSWORD),
    }
}

pub(crate) fn new(kind: Kind, name: &str) -> NewUser {
    NewUser {
        kind,
        email: email(name),
        name: Name::parse(name).unwrap(),
        key: None,
        key_proof: None,
        password: password(PASSWORD),
        grants: None,
    }
}

pub(crate) fn login(name: &str) -> Login {
    Login {
        email: format!("{name}@farm.example"),
        password: Secret::from(PASSWORD),
        totp: None,
    }
}

pub(crate) fn kind_of<T: std::fmt::Debug>(answer: Result<T, Problem>) -> String {
    answer.unwrap_err().kind
}
