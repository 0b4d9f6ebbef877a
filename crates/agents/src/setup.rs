//! From the root to everybody below it: administrators, users who store, and those on whom tricks are tried.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::agent::{Caller, Told};
use crate::behaviours::SETUP;
use crate::expect::{CREATED, EMPTY, OK, STRANGER};
use crate::forge::Forger;
use crate::run::RunError;
use crate::wire::Ask;
use crate::world::{Logins, Made, PASSWORD, Person, Session, Standing, Subject};

/// Administrators with all grants.
const ADMINS: usize = 4;

/// Users whom agents change.
const SUBJECTS: usize = 8;

/// What an administrator with few grants has: not to create administrators, not to delete.
const LIMITED: [&str; 7] = [
    "createTUser",
    "loginUser",
    "readData",
    "readMe",
    "readTUser",
    "updateMe",
    "updateTUser",
];

/// Makes them all.
///
/// # Errors
/// The services refuse one of them, or do not answer.
pub(crate) async fn setup(
    caller: &mut Caller,
    root: &Value,
    users: usize,
) -> Result<Made, RunError> {
    caller.behaviour = SETUP;
    let mut making = Making {
        caller,
        logins: Logins::default(),
        standings: BTreeMap::new(),
    };
    making.stands(root);
    let person = person(root);
    let root = making.login(&person).await?;
    let mut admins = Vec::new();
    for number in 0..ADMINS {
        let email = format!("admin{number}@agents.example");
        let admin = making.create(&root, "administrator", &email, None).await?;
        admins.push(making.login(&admin).await?);
    }
    let few = Some(&LIMITED[..]);
    let limited = making
        .create(&root, "administrator", "limited@agents.example", few)
        .await?;
    let limited = making.login(&limited).await?;
    let mut stores = Vec::new();
    for number in 0..users {
        let email = format!("user{number}@agents.example");
        stores.push(
            making
                .create(&admins[number % ADMINS], "tuser", &email, None)
                .await?,
        );
    }
    let admin = &admins[0];
    let reads = ["loginUser", "readData", "readMe"];
    let reader = making
        .create(admin, "tuser", "reader@agents.example", Some(&reads))
        .await?;
    let sees_nothing = ["loginUser", "readMe"];
    let blind = making
        .create(admin, "tuser", "blind@agents.example", Some(&sees_nothing))
        .await?;
    let victim = making
        .create(admin, "tuser", "victim@agents.example", None)
        .await?;
    let careless = making
        .create(admin, "tuser", "careless@agents.example", None)
        .await?;
    let (reader, blind) = (making.login(&reader).await?, making.login(&blind).await?);
    let mut subjects = Vec::new();
    for number in 0..SUBJECTS {
        let admin = number % ADMINS;
        let email = format!("subject{number}@agents.example");
        let person = making.create(&admins[admin], "tuser", &email, None).await?;
        subjects.push(Subject { person, admin });
    }
    let ended = making.ended(admin, &careless).await?;
    let published = making.caller.ask(Ask::get("/v1/keys"), OK).await;
    let published = published
        .done()
        .ok_or_else(|| refused("the keys of tokens", &published))?;
    let token = root.token(making.caller).await;
    let dictionary = making
        .caller
        .ask(Ask::get("/v1/permissions").bearer(&token), OK)
        .await;
    let dictionary = dictionary
        .done()
        .ok_or_else(|| refused("the dictionary", &dictionary))?;
    let forger =
        Forger::new(published).map_err(|_| RunError::Machine("making a key".to_owned()))?;
    Ok(Made {
        root,
        admins,
        limited,
        reader,
        blind,
        victim,
        careless,
        subjects,
        users: stores,
        forger,
        ended,
        standings: making.standings,
        dictionary,
        logins: making.logins,
    })
}

struct Making<'a> {
    caller: &'a mut Caller,
    logins: Logins,
    standings: BTreeMap<String, Standing>,
}

impl Making<'_> {
    async fn login(&mut self, person: &Person) -> Result<Session, RunError> {
        let session = self.logins.login(self.caller, person).await;
        session.map_err(|told| refused(&format!("the login of {}", person.email), &told))
    }

    async fn create(
        &mut self,
        by: &Session,
        kind: &str,
        email: &str,
        grants: Option<&[&str]>,
    ) -> Result<Person, RunError> {
        let user = create(self.caller, by, kind, email, grants).await;
        let user = user.map_err(|told| refused(&format!("creating {email}"), &told))?;
        self.stands(&user);
        Ok(person(&user))
    }

    fn stands(&mut self, user: &Value) {
        self.standings.extend(Standing::read(user));
    }

    /// Tokens of sessions that ended in each of the ways in which one ends.
    async fn ended(&mut self, admin: &Session, careless: &Person) -> Result<Vec<String>, RunError> {
        let mut ended = Vec::new();
        let left = self.login(careless).await?;
        let (access, _) = left.both().await;
        self.caller
            .ask(
                Ask::new(reqwest::Method::POST, "/v1/logout").bearer(&access),
                EMPTY,
            )
            .await;
        ended.push(access);

        let robbed = self.login(careless).await?;
        let (first, stolen) = robbed.both().await;
        robbed.renew(self.caller).await;
        let (second, _) = robbed.both().await;
        let thief = Ask::post("/v1/renew", &json!({"refresh_token": stolen}));
        self.caller.ask(thief, STRANGER).await;
        ended.extend([first, second]);

        let revoked = self.login(careless).await?;
        ended.push(revoked.both().await.0);
        let token = admin.token(self.caller).await;
        let path = format!("/v1/users/{}/sessions", careless.id);
        let told = self
            .caller
            .ask(Ask::delete(path).bearer(&token), EMPTY)
            .await;
        if told.is_done() {
            self.caller.notes.book.unnamed.push(crate::book::Unnamed {
                who: admin.person.id.clone(),
                how: "update",
                did: "revokeSessions".to_owned(),
            });
        }

        let gone = self
            .create(admin, "tuser", "gone@agents.example", None)
            .await?;
        let disabled = self.login(&gone).await?;
        ended.push(disabled.both().await.0);
        let path = format!("/v1/users/{}", gone.id);
        let told = self.caller.ask(Ask::delete(path).bearer(&token), OK).await;
        let user = told
            .done()
            .ok_or_else(|| refused("disabling a user", &told))?;
        book_user(self.caller, &user, &admin.person.id, "delete");
        if let Some(standing) = self.standings.get_mut(&gone.id) {
            standing.active = false;
        }
        Ok(ended)
    }
}

/// Creates somebody.
pub(crate) async fn create(
    caller: &mut Caller,
    by: &Session,
    kind: &str,
    email: &str,
    grants: Option<&[&str]>,
) -> Result<Value, Told> {
    let mut new = json!({"kind": kind, "email": email, "name": kind, "password": PASSWORD});
    if let Some(grants) = grants {
        new["grants"] = json!(grants);
    }
    let token = by.token(caller).await;
    let told = caller
        .ask(Ask::post("/v1/users", &new).bearer(&token), CREATED)
        .await;
    let did = if kind == "tuser" {
        "createTUser"
    } else {
        "createAdministrator"
    };
    caller.doubt(&told, (&by.person.id, "create"), None, Some(did));
    let Some(user) = told.done() else {
        return Err(told);
    };
    book_user(caller, &user, &by.person.id, "create");
    Ok(user)
}

/// Notes the event of a change of a user, who is shown after it.
pub(crate) fn book_user(caller: &mut Caller, user: &Value, who: &str, how: &'static str) {
    let record = format!("user-{}", user["id"].as_str().unwrap_or_default());
    let version = user["version"].as_u64().unwrap_or_default();
    let tx = user["transactionAddress"].as_str();
    caller.book((record, version), (who, how), tx, None);
}

fn person(user: &Value) -> Person {
    let text = |name: &str| user[name].as_str().unwrap_or_default().to_owned();
    Person {
        id: text("id"),
        email: text("email"),
    }
}

fn refused(what: &str, told: &Told) -> RunError {
    RunError::Refused {
        what: what.to_owned(),
        said: told.said(),
    }
}
