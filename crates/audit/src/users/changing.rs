//! How anything changes: reserved, recorded, made.

use http::StatusCode;
use serde_json::{Value, json};
use sqlx::{Any, AnyConnection, Transaction};

use super::model::{Kind, User, UserId};
use super::store::changes::{self, Change, Intent, Subject};
use super::store::{self, Kept};
use super::{Caller, Users};
use crate::Problem;
use crate::database::not_committed;
use crate::limits::CHANGE_ABANDONED;
use crate::model::{Event, Mention, Operation, Part, RecordId, ResourceId, Text, millis};
use crate::trail::{self, Act, Enrolment, Given, Stored};

impl Users {
    /// Reserves a change, with all that its transaction has written so far, and carries it out.
    ///
    /// # Errors
    /// As for [`Self::reserve`] and [`Self::carry_out`].
    pub(super) async fn change(
        &self,
        transaction: Transaction<'static, Any>,
        intent: &Intent,
    ) -> Result<(), Problem> {
        self.reserve(transaction, intent, self.now()).await?;
        self.carry_out(intent).await
    }

    /// Ends a transaction with the reservation of a change: from now on it is carried out, by whoever comes to it. It
    /// counts as abandoned some time after `at`.
    ///
    /// # Errors
    /// Another change of the same is under way: then nothing of the transaction is done.
    pub(super) async fn reserve(
        &self,
        mut transaction: Transaction<'static, Any>,
        intent: &Intent,
        at: i64,
    ) -> Result<(), Problem> {
        changes::reserve(&mut transaction, intent, at).await?;
        let reserved = transaction.commit().await;
        reserved.map_err(|error| not_committed(&error))
    }

    /// Records a reserved change, and makes it. Refused, it is as if it had never been asked for.
    ///
    /// # Errors
    /// The trail refused it; or it is pending, and will be finished later.
    pub(super) async fn carry_out(&self, intent: &Intent) -> Result<(), Problem> {
        match self.recorder.record(intent.act.clone()).await {
            Ok(stored) => self.make(intent, &stored).await,
            Err(problem) if problem.is_pending() => Err(problem),
            Err(problem) => {
                self.take_back(intent).await?;
                Err(problem)
            }
        }
    }

    pub(super) async fn take_back(&self, intent: &Intent) -> Result<(), Problem> {
        let mut transaction = self.transaction().await?;
        changes::withdraw(&mut transaction, intent).await?;
        Ok(transaction.commit().await?)
    }

    /// Makes a change that is recorded.
    ///
    /// # Errors
    /// It is pending: it will be made, by whoever finishes what was left.
    pub(super) async fn make(&self, intent: &Intent, stored: &Stored) -> Result<(), Problem> {
        self.apply(intent, stored).await.map_err(|problem| {
            tracing::warn!(%problem, "a change that is recorded is not made yet");
            Problem::pending("the change is recorded, and will be made within a minute")
        })
    }

    async fn apply(&self, intent: &Intent, stored: &Stored) -> Result<(), Problem> {
        let mut transaction = self.transaction().await?;
        changes::apply(&mut transaction, intent, &stored.address, self.now()).await?;
        transaction.commit().await?;
        if let Subject::User(id) = &intent.subject {
            self.forget_grants(id);
        }
        match &intent.change {
            Change::Disable
            | Change::EndSessions
            | Change::Password { .. }
            | Change::Oidc { .. }
            | Change::PutPermission { .. }
            | Change::DeletePermission => self.refresh().await,
            Change::Create
            | Change::Update { .. }
            | Change::ResetCode { .. }
            | Change::Grant { .. }
            | Change::Revoke { .. }
            | Change::TotpOn
            | Change::TotpOff => Ok(()),
        }
    }

    /// Finishes changes that somebody began and left, because of a crash or a slow ledger: each is recorded
    /// once, whoever finishes it. Returns how many are done.
    ///
    /// # Errors
    /// The database does not answer. A change that cannot be recorded now stays for the next time.
    pub async fn finish_pending(&self) -> Result<usize, Problem> {
        let before = self.now() - millis(CHANGE_ABANDONED);
        let mut connection = self.connection().await?;
        let intents = changes::abandoned(&mut connection, before).await?;
        drop(connection);
        let mut done = 0;
        for intent in &intents {
            match self.recorder.record(intent.act.clone()).await {
                Ok(stored) => {
                    self.make(intent, &stored).await?;
                    done += 1;
                }
                Err(problem) if problem.kind == OWN_KEY => {
                    let subject = intent.subject.record();
                    tracing::info!(subject, "a change that nobody signed in time is taken back");
                    self.take_back(intent).await?;
                }
                Err(problem) if is_final(&problem) => {
                    let subject = intent.subject.record();
                    tracing::error!(subject, %problem, "an abandoned change is refused, and taken back");
                    self.take_back(intent).await?;
                }
                Err(problem) => {
                    let subject = intent.subject.record();
                    tracing::warn!(subject, %problem, "an abandoned change cannot be recorded yet");
                }
            }
        }
        Ok(done)
    }

    /// The user who calls. With their row held, if it is in a transaction that will write: nobody loses a
    /// right while they use it.
    ///
    /// # Errors
    /// They are not active any more.
    pub(super) async fn caller(
        &self,
        connection: &mut AnyConnection,
        caller: &Caller,
        held: Held,
    ) -> Result<Kept, Problem> {
        let gone = || Problem::unauthenticated("the caller's account does not count any more");
        if held == Held::Yes && !store::lock(connection, &caller.user).await? {
            return Err(gone());
        }
        let kept = store::find(connection, &caller.user).await?;
        let kept = kept.ok_or_else(gone)?;
        if kept.user.status != super::Status::Active || kept.user.kind != caller.kind {
            return Err(gone());
        }
        Ok(kept)
    }
}

/// The word of the trail for what a participant has to sign.
pub(super) const OWN_KEY: &str = "OwnKey";

/// Whether the trail will never record it: then it must not stand in the way of other changes. Whoever is
/// not let in, or comes too often, may come again.
fn is_final(problem: &Problem) -> bool {
    let finals = [
        StatusCode::BAD_REQUEST,
        StatusCode::CONFLICT,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::UNPROCESSABLE_ENTITY,
    ];
    finals
        .iter()
        .any(|status| status.as_u16() == problem.status)
}

/// Whether a row is held until the transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Yes,
    No,
}

/// A change of a user with the event that tells of it.
pub(super) fn of_user(
    user: &User,
    change: Change,
    who: &UserId,
    place: &Text,
    did: &str,
) -> Intent {
    let subject = Subject::User(user.id.clone());
    let version = i64::try_from(user.version).unwrap_or(i64::MAX - 1) + 1;
    let how = match change {
        Change::Create => Operation::Create,
        Change::Disable => Operation::Delete,
        _ => Operation::Update,
    };
    let after = facts(&changes::after(user, &change));
    let enrol = match change {
        Change::Create => enrolment(user),
        _ => None,
    };
    let act = Act {
        enrol,
        ..act(&subject, how, who, place, did, after, version)
    };
    Intent {
        subject,
        version,
        act,
        change,
        claimed: Vec::new(),
    }
}

/// How somebody comes into the tree of a log that has one. Consumers stand outside: nobody brings them in.
fn enrolment(user: &User) -> Option<Enrolment> {
    let kind = match user.kind {
        Kind::Root => trail::Kind::Root,
        Kind::Administrator => trail::Kind::Administrator,
        Kind::TUser => trail::Kind::TUser,
        Kind::Consumer => return None,
    };
    let key = user.key.as_ref().map(|key| {
        serde_json::from_value(json!(key.as_str())).expect("a key is an address of 40 digits")
    });
    Some(Enrolment {
        participant: Text::fitting(user.id.as_str()),
        kind,
        role: user.kind.word().to_owned(),
        parent: user
            .parent
            .as_ref()
            .map(|parent| Text::fitting(parent.as_str())),
        key,
    })
}

/// What the ledger is told of a change, which is no secret: of the content it gets a hash.
pub(super) fn act(
    subject: &Subject,
    how: Operation,
    who: &UserId,
    place: &Text,
    did: &str,
    content: Value,
    version: i64,
) -> Act {
    let record = subject.record();
    let about = record.replacen('-', ":", 1);
    Act {
        once: Some(format!("{record}-{version}")),
        ..of_ours(record, &about, how, who, place, did, content)
    }
}

/// The event of a record of ours, which is about one thing.
pub(super) fn of_ours(
    record: String,
    about: &str,
    how: Operation,
    who: &UserId,
    place: &Text,
    did: &str,
    content: Value,
) -> Act {
    Act {
        who: Text::fitting(who.as_str()),
        how,
        record: Some(record_id(record)),
        about: vec![mention(about)],
        did: Text::fitting(did),
        place: place.clone(),
        target: Text::default(),
        content: Given::Data(content),
        keep: true,
        once: None,
        adopt: false,
        ours: true,
        enrol: None,
    }
}

/// What an event is about.
fn mention(id: &str) -> Mention {
    Mention {
        id: ResourceId::parse(id).expect("our names have no blanks"),
        part: Part::About,
    }
}

/// The name of one of our records.
fn record_id(text: String) -> RecordId {
    RecordId::parse(text).expect("our names are letters, digits and hyphens")
}

/// The user whom a record of ours is about; records of others may have any name.
pub(crate) fn user_of(event: &Event) -> Option<UserId> {
    let id = event.record.as_str().strip_prefix("user-")?;
    let about = format!("user:{id}");
    let is_ours = event.what.about.iter().any(|one| one.id.as_str() == about);
    UserId::parse(id).ok().filter(|_| is_ours)
}

/// What is told of a user, to those who may read them.
fn facts(user: &User) -> Value {
    let mut facts = json!({
        "id": user.id,
        "kind": user.kind,
        "parent": user.parent,
        "email": user.email,
        "name": user.name,
        "key": user.key,
        "status": user.status,
        "grants": user.grants,
        "totp": user.totp,
    });
    if !user.oidc.is_unsaid() {
        facts["oidc"] = json!(user.oidc);
    }
    facts
}

/// The word for creating somebody of this kind.
pub(super) const fn creates(kind: Kind) -> &'static str {
    match kind {
        Kind::Root => "createRoot",
        Kind::Administrator => "createAdministrator",
        Kind::TUser => "createTUser",
        Kind::Consumer => "createConsumer",
    }
}

#[cfg(test)]
mod tests;
