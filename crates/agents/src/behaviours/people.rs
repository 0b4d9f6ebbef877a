//! Friendly agents who look after users: themselves, and others.

use reqwest::Method;
use serde_json::json;

use super::Agent;
use crate::expect::{EMPTY, OK};
use crate::invariant::Invariant;
use crate::setup::{book_user, create};
use crate::wire::Ask;
use crate::world::Standing;

pub(super) async fn who_am_i(agent: &mut Agent) {
    let me = agent.me();
    let told = agent.ask(Ask::get("/v1/session"), OK).await;
    if let Some(user) = told.done() {
        let same = user["id"] == *me.id && user["email"] == *me.email;
        agent.caller.check(Invariant::UsersAreAsMade, same, || {
            format!("{} is shown as {user}", me.email)
        });
    }
}

pub(super) async fn renew(agent: &mut Agent) {
    let (old, _) = agent.session.both().await;
    agent.session.renew(&mut agent.caller).await;
    agent.world.age(old);
}

pub(super) async fn rename(agent: &mut Agent) {
    let world = agent.world.clone();
    let Some(subject) = world.subjects.get(agent.number % world.subjects.len()) else {
        return;
    };
    let subject = subject.lock().await;
    let admin = &world.admins[subject.admin];
    let name = format!("Ana {}", agent.fresh());
    let path = format!("/v1/users/{}", subject.person.id);
    let token = admin.token(&mut agent.caller).await;
    let ask = Ask::put(path, &json!({ "name": name })).bearer(&token);
    let told = agent.caller.ask(ask, OK).await;
    let record = format!("user-{}", subject.person.id);
    agent
        .caller
        .doubt(&told, (&admin.person.id, "update"), Some(&record), None);
    if let Some(user) = told.done() {
        book_user(&mut agent.caller, &user, &admin.person.id, "update");
        world.change(&subject.person.id, |standing| standing.name = name);
    }
}

/// A right goes and comes back.
pub(super) async fn grant_and_revoke(agent: &mut Agent) {
    let world = agent.world.clone();
    let Some(subject) = world.subjects.get(agent.number % world.subjects.len()) else {
        return;
    };
    let subject = subject.lock().await;
    let admin = &world.admins[subject.admin];
    let id = &subject.person.id;
    let operation = *agent
        .caller
        .random
        .choice(&["createData", "readData"])
        .unwrap_or(&"readData");
    let path = format!("/v1/users/{id}/grants/{operation}");
    for method in [Method::DELETE, Method::PUT] {
        let token = admin.token(&mut agent.caller).await;
        let ask = Ask::new(method.clone(), path.clone()).bearer(&token);
        let told = agent.caller.ask(ask, OK).await;
        let record = format!("user-{id}");
        agent
            .caller
            .doubt(&told, (&admin.person.id, "update"), Some(&record), None);
        let Some(user) = told.done() else { return };
        book_user(&mut agent.caller, &user, &admin.person.id, "update");
        let granted = method == Method::PUT;
        world.change(id, |standing: &mut Standing| match granted {
            true => drop(standing.grants.insert(operation.to_owned())),
            false => drop(standing.grants.remove(operation)),
        });
    }
}

pub(super) async fn make_user(agent: &mut Agent) {
    let world = agent.world.clone();
    let admin = &world.admins[agent.number % world.admins.len()];
    let email = format!("{}@agents.example", agent.fresh());
    let made = create(&mut agent.caller, admin, "tuser", &email, None).await;
    if let Ok(user) = made {
        world.stands(&user);
    }
}

/// A session that its owner ends: its token is one more that has to be refused.
pub(super) async fn sign_in_and_out(agent: &mut Agent) {
    let world = agent.world.clone();
    let session = world.logins.login(&mut agent.caller, &world.careless).await;
    let Ok(session) = session else { return };
    let (access, _) = session.both().await;
    let leave = Ask::new(Method::POST, "/v1/logout").bearer(&access);
    if agent.caller.ask(leave, EMPTY).await.is_done() {
        world.end(access);
    }
}

/// The root adds an operation that nobody has, and takes it out again.
pub(super) async fn change_dictionary(agent: &mut Agent) {
    let world = agent.world.clone();
    let mut added = world.added.lock().await;
    let name = format!("agents{}", agent.number);
    let before = added.get(&name).copied().unwrap_or_default();
    let entry = json!({
        "serviceName": "agents", "typeOfOperation": "read", "nameOfOperation": name,
        "permitAccessTo": ["root"], "description": "what nobody needs",
    });
    let put = Ask::put("/v1/permissions", &entry);
    let delete = Ask::delete(format!("/v1/permissions/{name}"));
    for (ask, version) in [(put, before + 1), (delete, before + 2)] {
        // What was taken out may come back, so that is no end of its record.
        let how = if version == 1 { "create" } else { "update" };
        let token = world.root.token(&mut agent.caller).await;
        let told = agent.caller.ask(ask.bearer(&token), EMPTY).await;
        let (record, root) = (format!("permission-{name}"), &world.root.person.id);
        agent.caller.doubt(&told, (root, how), Some(&record), None);
        if !told.is_done() {
            return;
        }
        agent
            .caller
            .book((record, version), (root, how), None, None);
        added.insert(name.clone(), version);
    }
}
