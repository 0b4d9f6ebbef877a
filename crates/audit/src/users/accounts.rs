//! Users come, are read and changed, and go.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sqlx::{Any, AnyConnection, Transaction};

use super::changing::{Held, creates, of_user};
use super::clock::moment;
use super::model::{
    ChainKey, Deed, Email, KeyProof, Kind, Name, Oidc, Status, User, UserError, UserId, check_depth,
};
use super::passwords::{Compared, Hash, Password};
use super::permissions::{OperationName, check_grants, has_access, usual_grants};
use super::possession;
use super::secret::{Secret, chance, exposed};
use super::store::changes::{Change, Intent};
use super::store::{self, Claim, Kept};
use super::{Caller, Users};
use crate::Problem;
use crate::model::Text;

/// Whom to create.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// What they will be.
    pub kind: Kind,
    /// Where mail reaches them.
    pub email: Email,
    /// What they are called.
    pub name: Name,
    /// Their key on a chain.
    #[serde(default)]
    pub key: Option<ChainKey>,
    /// That they keep it: its signature.
    #[serde(default, rename = "keyProof")]
    pub key_proof: Option<KeyProof>,
    /// Their password.
    #[serde(serialize_with = "exposed")]
    pub password: Password,
    /// What they are granted; none: what is usual for their kind, of what their creator has.
    #[serde(default)]
    pub grants: Option<BTreeSet<OperationName>>,
}

/// Somebody who is about to be created.
pub(super) struct Creation {
    pub(super) kept: Kept,
    /// Those above them.
    pub(super) above: Vec<UserId>,
    /// Who creates them, and from where.
    pub(super) who: UserId,
    pub(super) place: Text,
}

impl Creation {
    /// Puts their rows in, with what is theirs alone. Gives back who they are, and what is to be recorded.
    pub(super) async fn put(
        self,
        connection: &mut AnyConnection,
        claims: &[Claim<'_>],
    ) -> Result<(User, Intent), Problem> {
        let user = &self.kept.user;
        let did = creates(user.kind);
        let mut intent = of_user(user, Change::Create, &self.who, &self.place, did);
        let email = Claim::Email(&user.email);
        let key = user.key.as_ref().map(Claim::Key);
        for claim in claims.iter().chain([&email]).chain(&key) {
            let claimed = store::claim(connection, claim, &user.id).await?;
            intent.claimed.extend(claimed);
        }
        store::insert(connection, &self.kept, &self.above).await?;
        Ok((self.kept.user, intent))
    }
}

/// What to change of a user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Changes {
    /// A new name.
    #[serde(default)]
    pub name: Option<Name>,
    /// A new address.
    #[serde(default)]
    pub email: Option<Email>,
    /// A new key; the old one stays theirs, so that nobody takes it for another's.
    #[serde(default)]
    pub key: Option<ChainKey>,
    /// That they keep it: its signature.
    #[serde(default)]
    pub key_proof: Option<KeyProof>,
}

impl Users {
    /// Creates an administrator or a user of the system, below the caller.
    ///
    /// # Errors
    /// The caller may not, the address or the key is taken, or the event cannot be recorded.
    pub async fn create_user(&self, caller: &Caller, new: NewUser) -> Result<User, Problem> {
        let (transaction, creation) = self.creation(caller, new).await?;
        self.reserve_user(transaction, creation, &[]).await
    }

    /// Finds out whether the caller may create somebody, and begins to.
    pub(super) async fn creation(
        &self,
        caller: &Caller,
        new: NewUser,
    ) -> Result<(Transaction<'static, Any>, Creation), Problem> {
        caller.kind.creates(new.kind)?;
        self.check_key(&new)?;
        // Before the hash, which is dear; and again below, where nobody can change it any more.
        let mut connection = self.connection().await?;
        let creator = self.caller(&mut connection, caller, Held::No).await?;
        self.check_creation(&mut connection, &creator.user, &new)
            .await?;
        drop(connection);
        let hash = self.passwords.hash(new.password.clone()).await?;
        let mut transaction = self.transaction().await?;
        let creator = self.caller(&mut transaction, caller, Held::Yes).await?.user;
        let grants = self
            .check_creation(&mut transaction, &creator, &new)
            .await?;
        let mut above = store::above(&mut transaction, &creator.id).await?;
        above.push(creator.id.clone());
        check_depth(above.len())?;
        let kept = self.new_user(&new, Some(creator.id.clone()), grants, hash);
        let creation = Creation {
            kept,
            above,
            who: creator.id,
            place: caller.place.clone(),
        };
        Ok((transaction, creation))
    }

    /// Creates a consumer, who asks for it themselves: below the root, which may disable them.
    ///
    /// # Errors
    /// The operator does not let them, there is no root yet, or as for others.
    pub async fn register_consumer(&self, new: NewUser, place: &Text) -> Result<User, Problem> {
        if !self.config.consumers_register || new.kind != Kind::Consumer {
            return Err(Problem::not_permitted(
                "only consumers may register themselves, and only where the operator lets them",
            ));
        }
        // No success forgives these: who registers many consumers waits as who guesses passwords does.
        self.sources.begin(place.as_str(), self.now())?;
        self.check_key(&new)?;
        self.add_consumer(new, Oidc::Unsaid, place).await
    }

    /// A new consumer, who says not what they are granted.
    ///
    /// # Errors
    /// There is no root yet, the address or the identity is taken, or the event cannot be recorded.
    pub(super) async fn add_consumer(
        &self,
        new: NewUser,
        oidc: Oidc,
        place: &Text,
    ) -> Result<User, Problem> {
        let mut connection = self.connection().await?;
        if store::find_by_email(&mut connection, &new.email)
            .await?
            .is_some()
        {
            return Err(Problem::conflict(
                "EmailTaken",
                "the email address belongs to another user",
            ));
        }
        let root = store::root_id(&mut connection).await?;
        let root = root.ok_or_else(|| Problem::conflict("RootMissing", "there is no root yet"))?;
        drop(connection);
        let hash = self.passwords.hash(new.password.clone()).await?;
        let dictionary = self.dictionary();
        let none = BTreeSet::new();
        let grants = usual_grants(&dictionary, Kind::Consumer, (Kind::Root, &none));
        let transaction = self.transaction().await?;
        let mut kept = self.new_user(&new, Some(root.clone()), grants, hash);
        kept.user.oidc = oidc.clone();
        let id = kept.user.id.clone();
        let creation = Creation {
            kept,
            above: vec![root],
            who: id,
            place: place.clone(),
        };
        let identity = match &oidc {
            Oidc::Linked(identity) => Some(Claim::Identity(identity)),
            _ => None,
        };
        self.reserve_user(transaction, creation, identity.as_slice())
            .await
    }

    /// That a new user keeps the key that they name.
    fn check_key(&self, new: &NewUser) -> Result<(), Problem> {
        let (key, proof) = (new.key.as_ref(), new.key_proof.as_ref());
        possession::check(&self.config.issuer, key, proof, &new.email)
    }

    /// Says what the new user is granted.
    async fn check_creation(
        &self,
        connection: &mut AnyConnection,
        creator: &User,
        new: &NewUser,
    ) -> Result<BTreeSet<OperationName>, Problem> {
        let dictionary = store::permissions::dictionary(connection).await?;
        if !has_access(
            &dictionary,
            creator.kind,
            &creator.grants,
            creates(new.kind),
        ) {
            return Err(may_not(creates(new.kind)));
        }
        let granter = (creator.kind, &creator.grants);
        let Some(wanted) = &new.grants else {
            return Ok(usual_grants(&dictionary, new.kind, granter));
        };
        check_grants(&dictionary, granter, wanted)?;
        Ok(wanted.clone())
    }

    pub(super) fn new_user(
        &self,
        new: &NewUser,
        parent: Option<UserId>,
        grants: BTreeSet<OperationName>,
        password: Hash,
    ) -> Kept {
        Kept {
            password,
            user: User {
                id: UserId::of(chance()),
                kind: new.kind,
                parent,
                email: new.email.clone(),
                name: new.name.clone(),
                key: new.key.clone(),
                status: Status::Pending,
                grants,
                totp: false,
                oidc: Oidc::Unsaid,
                created: moment(self.now()),
                version: 0,
                address: None,
            },
        }
    }

    /// Puts a new user's rows in and ends the transaction; records it, and lets the user count.
    pub(super) async fn reserve_user(
        &self,
        mut transaction: Transaction<'static, Any>,
        creation: Creation,
        claims: &[Claim<'_>],
    ) -> Result<User, Problem> {
        let (user, intent) = creation.put(&mut transaction, claims).await?;
        self.change(transaction, &intent).await?;
        self.known_user(&user.id).await
    }

    pub(super) async fn known_user(&self, id: &UserId) -> Result<User, Problem> {
        let mut connection = self.connection().await?;
        existing(&mut connection, id).await
    }

    /// Reads a user: oneself, or somebody below.
    ///
    /// # Errors
    /// There is none, or not for this caller: both are answered alike.
    pub async fn read_user(&self, caller: &Caller, id: &UserId) -> Result<User, Problem> {
        let mut connection = self.connection().await?;
        let reader = self.caller(&mut connection, caller, Held::No).await?;
        self.reach(&mut connection, &reader.user, id, Deed::Read)
            .await
    }

    /// Changes a user: oneself, or somebody below.
    ///
    /// # Errors
    /// The caller may not, what is new is taken, or the event cannot be recorded.
    pub async fn update_user(
        &self,
        caller: &Caller,
        id: &UserId,
        changes: Changes,
    ) -> Result<User, Problem> {
        let Changes {
            name,
            email,
            key,
            key_proof,
        } = changes;
        if name.is_none() && email.is_none() && key.is_none() {
            return Err(Problem::input("nothing is to be changed"));
        }
        let (mut transaction, by, user) = self.begin_change(caller, id, Deed::Update).await?;
        let address = email.as_ref().unwrap_or(&user.email);
        let issuer = &self.config.issuer;
        possession::check(issuer, key.as_ref(), key_proof.as_ref(), address)?;
        let claims = [
            email.as_ref().map(Claim::Email),
            key.as_ref().map(Claim::Key),
        ];
        let mut claimed = Vec::new();
        for claim in claims.iter().flatten() {
            claimed.extend(store::claim(&mut transaction, claim, &user.id).await?);
        }
        // Who is above stands for the address that they give.
        let own_address = email.is_some() && by.id == user.id;
        let oidc = own_address.then(|| user.oidc.after_own_address());
        let change = Change::Update {
            name,
            email,
            key,
            oidc: oidc.flatten(),
        };
        let did = operation_on(&by, &user, Deed::Update);
        let mut intent = of_user(&user, change, &by.id, &caller.place, did);
        intent.claimed = claimed;
        self.change(transaction, &intent).await?;
        self.known_user(&user.id).await
    }

    /// Disables a user: oneself, or somebody below. All their sessions end; nothing is erased, and those
    /// below them stay.
    ///
    /// # Errors
    /// The caller may not, it is the root, or the event cannot be recorded.
    pub async fn delete_user(&self, caller: &Caller, id: &UserId) -> Result<User, Problem> {
        let (transaction, by, user) = self.begin_change(caller, id, Deed::Delete).await?;
        let did = operation_on(&by, &user, Deed::Delete);
        let intent = of_user(&user, Change::Disable, &by.id, &caller.place, did);
        self.change(transaction, &intent).await?;
        self.known_user(&user.id).await
    }

    /// Changes one's own password. All sessions end, this one too.
    ///
    /// # Errors
    /// The old one is wrong, too many were, or the event cannot be recorded.
    pub async fn change_password(
        &self,
        caller: &Caller,
        old: &Secret,
        new: Password,
    ) -> Result<(), Problem> {
        let account = format!("password of {}", caller.user);
        self.begin_attempt(&account, &caller.place).await?;
        let mut connection = self.connection().await?;
        let kept = self.caller(&mut connection, caller, Held::No).await?;
        drop(connection);
        let wrong = || Problem::not_permitted("the old password is wrong");
        let compared = self.passwords.compare(old, Some(&kept.password)).await?;
        if compared == Compared::Different {
            return Err(wrong());
        }
        self.attempt_succeeded(&account, &caller.place).await?;
        let hash = self.passwords.hash(new).await?;
        let id = &caller.user;
        let (mut transaction, by, user) = self.begin_change(caller, id, Deed::Update).await?;
        // Compared with what nobody can change any more.
        let held = self.caller(&mut transaction, caller, Held::No).await?;
        if held.password != kept.password {
            return Err(wrong());
        }
        let change = Change::Password { hash };
        let intent = of_user(&user, change, &by.id, &caller.place, "changePassword");
        self.change(transaction, &intent).await
    }

    /// Begins to change somebody: a transaction, the caller, whose row is held in it, and the user, whose row is
    /// held too.
    ///
    /// # Errors
    /// There is no such user for the caller, or they may not change them like this.
    pub(super) async fn begin_change(
        &self,
        caller: &Caller,
        id: &UserId,
        deed: Deed,
    ) -> Result<(Transaction<'static, Any>, User, User), Problem> {
        let mut transaction = self.transaction().await?;
        // From above to below, as everybody does: so no two wait for each other.
        let by = self.caller(&mut transaction, caller, Held::Yes).await?.user;
        let user = self.reach(&mut transaction, &by, id, deed).await?;
        if user.id != by.id && !store::lock(&mut transaction, &user.id).await? {
            return Err(Problem::conflict("NotActive", "the user is not active"));
        }
        // As it is now that nobody else changes it.
        let user = existing(&mut transaction, id).await?;
        Ok((transaction, by, user))
    }

    async fn reach(
        &self,
        connection: &mut AnyConnection,
        by: &User,
        id: &UserId,
        deed: Deed,
    ) -> Result<User, Problem> {
        let user = existing(connection, id).await?;
        let above = store::above(connection, id).await?;
        if !user.is_reached_by(&by.id, &above) {
            return Err(no_such_user());
        }
        if deed == Deed::Delete && user.kind == Kind::Root {
            return Err(UserError::RootStays.into());
        }
        let operation = operation_on(by, &user, deed);
        let dictionary = store::permissions::dictionary(connection).await?;
        if has_access(&dictionary, by.kind, &by.grants, operation) {
            Ok(user)
        } else {
            Err(may_not(operation))
        }
    }
}

/// A user who has to be there.
pub(super) async fn existing(connection: &mut AnyConnection, id: &UserId) -> Result<User, Problem> {
    let kept = store::find(connection, id).await?;
    kept.map(|kept| kept.user).ok_or_else(no_such_user)
}

fn operation_on(by: &User, user: &User, deed: Deed) -> &'static str {
    let operation = deed.operation(by.id == user.id, user.kind);
    operation.expect("nobody stands above the root")
}

pub(crate) fn may_not(operation: &str) -> Problem {
    Problem::not_permitted(format!(
        "{operation} is not permitted, or was not granted, to you"
    ))
}

fn no_such_user() -> Problem {
    Problem::not_found("there is no such user, or not for you")
}

#[cfg(test)]
mod tests;
