//! Who there is, as far as the agents know: what they made, and nothing that they asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::agent::{Caller, Told};
use crate::expect::{Expected, OK};
use crate::forge::Forger;
use crate::wire::{Ask, Http, Target};

/// The password of everybody who was made here.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Access tokens are good for five minutes; from this age on they are renewed.
const RENEWED_AFTER: Duration = Duration::from_secs(150);

/// Logins at once. An attempt counts as failed while it is under way, and of one source's some are free.
const LOGINS_AT_ONCE: usize = 4;

/// Somebody who was made here.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) email: String,
}

/// What somebody is, by all that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) kind: String,
    pub(crate) parent: Option<String>,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) active: bool,
    pub(crate) grants: BTreeSet<String>,
}

impl Standing {
    /// As the services show a user.
    pub(crate) fn read(user: &Value) -> Option<(String, Self)> {
        let text = |name: &str| user[name].as_str().map(str::to_owned);
        let grants = user["grants"].as_array()?.iter();
        let standing = Self {
            kind: text("kind")?,
            parent: text("parent"),
            email: text("email")?,
            name: text("name")?,
            active: user["status"] == "active",
            grants: grants
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
        };
        Some((text("id")?, standing))
    }
}

/// Somebody who is signed in.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) person: Person,
    tokens: tokio::sync::Mutex<Tokens>,
}

#[derive(Debug)]
struct Tokens {
    access: String,
    refresh: String,
    since: Instant,
}

impl Session {
    /// An access token that is good for some minutes; the next one, if this one is old.
    pub(crate) async fn token(&self, caller: &mut Caller) -> String {
        let mut tokens = self.tokens.lock().await;
        if tokens.since.elapsed() > RENEWED_AFTER {
            renew(&mut tokens, caller).await;
        }
        tokens.access.clone()
    }

    /// Gets the next pair of tokens.
    pub(crate) async fn renew(&self, caller: &mut Caller) {
        renew(&mut *self.tokens.lock().await, caller).await;
    }

    /// Both tokens as they are: what a thief would get.
    pub(crate) async fn both(&self) -> (String, String) {
        let tokens = self.tokens.lock().await;
        (tokens.access.clone(), tokens.refresh.clone())
    }
}

async fn renew(tokens: &mut Tokens, caller: &mut Caller) {
    let body = json!({"refresh_token": tokens.refresh});
    let told = caller.ask(Ask::post("/v1/renew", &body), OK).await;
    if let Some(answer) = told.done()
        && let (Some(access), Some(refresh)) = (
            answer["access_token"].as_str(),
            answer["refresh_token"].as_str(),
        )
    {
        *tokens = Tokens {
            access: access.to_owned(),
            refresh: refresh.to_owned(),
            since: Instant::now(),
        };
    }
}

/// A user whom one agent at a time changes.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) person: Person,
    /// Which of the administrators made them.
    pub(crate) admin: usize,
}

/// Everybody, and what is known of them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) target: Target,
    pub(crate) root: Session,
    pub(crate) admins: Vec<Session>,
    /// An administrator with few grants.
    pub(crate) limited: Session,
    /// May read and not store.
    pub(crate) reader: Session,
    /// May not even read.
    pub(crate) blind: Session,
    /// Whose password is guessed.
    pub(crate) victim: Person,
    /// Who signs in and out, and whose tokens are stolen.
    pub(crate) careless: Person,
    pub(crate) subjects: Vec<tokio::sync::Mutex<Subject>>,
    /// The users who store, for whom agents act.
    pub(crate) users: Vec<Person>,
    pub(crate) forger: Forger,
    /// Tokens of sessions that have ended, of all kinds of ends.
    ended: Mutex<Vec<String>>,
    /// Tokens that nobody ended, and when they are too old.
    aging: Mutex<Vec<(String, Instant)>>,
    pub(crate) standings: Mutex<BTreeMap<String, Standing>>,
    /// The operations that the root added to the dictionary, with how many times each was changed.
    pub(crate) added: tokio::sync::Mutex<BTreeMap<String, u64>>,
    /// The dictionary before that.
    pub(crate) dictionary: Value,
    pub(crate) logins: Logins,
}

/// Who signs in, some at a time.
#[derive(Debug)]
pub(crate) struct Logins(Semaphore);

impl Default for Logins {
    fn default() -> Self {
        Self(Semaphore::new(LOGINS_AT_ONCE))
    }
}

impl Logins {
    /// Signs somebody in.
    pub(crate) async fn login(
        &self,
        caller: &mut Caller,
        person: &Person,
    ) -> Result<Session, Told> {
        let place = self.0.acquire().await;
        let body = json!({"email": person.email, "password": PASSWORD});
        let told = caller.ask(Ask::post("/v1/login", &body), OK).await;
        drop(place);
        caller.doubt(&told, (&person.id, "create"), None, Some("loginUser"));
        let Some(answer) = told.done() else {
            return Err(told);
        };
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let session = text("session");
        caller.book(
            (format!("session-{session}"), 1),
            (&person.id, "create"),
            None,
            None,
        );
        Ok(Session {
            person: person.clone(),
            tokens: tokio::sync::Mutex::new(Tokens {
                access: text("access_token"),
                refresh: text("refresh_token"),
                since: Instant::now(),
            }),
        })
    }

    /// Somebody at the door while the others wait: wrong passwords count for all from one source.
    pub(crate) async fn ask(&self, caller: &mut Caller, ask: Ask, expected: Expected) -> Told {
        let _place = self.0.acquire().await;
        caller.ask(ask, expected).await
    }
}

impl World {
    pub(crate) fn new(made: Made, target: Target) -> Self {
        Self {
            target,
            root: made.root,
            admins: made.admins,
            limited: made.limited,
            reader: made.reader,
            blind: made.blind,
            victim: made.victim,
            careless: made.careless,
            subjects: made
                .subjects
                .into_iter()
                .map(tokio::sync::Mutex::new)
                .collect(),
            users: made.users,
            forger: made.forger,
            ended: Mutex::new(made.ended),
            aging: Mutex::default(),
            standings: Mutex::new(made.standings),
            added: tokio::sync::Mutex::default(),
            dictionary: made.dictionary,
            logins: made.logins,
        }
    }

    /// A token of a session that has ended.
    pub(crate) fn ended(&self, random: &mut fastrand::Rng) -> String {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        random.choice(ended.iter()).cloned().unwrap_or_default()
    }

    pub(crate) fn end(&self, token: String) {
        self.ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(token);
    }

    /// Puts a token away until it is too old.
    pub(crate) fn age(&self, token: String) {
        let end = Instant::now() + Duration::from_secs(305);
        self.aging
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((token, end));
    }

    /// A token that has grown too old, if there is one yet.
    pub(crate) fn expired(&self) -> Option<String> {
        let aging = self.aging.lock().unwrap_or_else(PoisonError::into_inner);
        let old = aging.iter().find(|(_, end)| *end < Instant::now());
        old.map(|(token, _)| token.clone())
    }

    /// Notes what somebody is now.
    pub(crate) fn stands(&self, user: &Value) {
        if let Some((id, standing)) = Standing::read(user) {
            let mut standings = self
                .standings
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            standings.insert(id, standing);
        }
    }

    /// Notes a change of what somebody is, and nothing else of them.
    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut Standing)) {
        let mut standings = self
            .standings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(standing) = standings.get_mut(id) {
            change(standing);
        }
    }

    /// A second connection for somebody who must not be taken for the others, if this machine has another
    /// address of its own.
    pub(crate) fn elsewhere(&self) -> Option<crate::wire::Wire> {
        let address = [127, 66, 66, 66].into();
        let wire = self
            .target
            .is_loopback()
            .then(|| self.target.connect(Http::One, Some(address)));
        wire.and_then(Result::ok)
    }
}

/// What the setup made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) root: Session,
    pub(crate) admins: Vec<Session>,
    pub(crate) limited: Session,
    pub(crate) reader: Session,
    pub(crate) blind: Session,
    pub(crate) victim: Person,
    pub(crate) careless: Person,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) users: Vec<Person>,
    pub(crate) forger: Forger,
    pub(crate) ended: Vec<String>,
    pub(crate) standings: BTreeMap<String, Standing>,
    pub(crate) dictionary: Value,
    pub(crate) logins: Logins,
}
