//! Unfriendly agents who reach for rights that they do not have.

use serde_json::json;

use super::Agent;
use crate::expect::{FORBIDDEN, MISSING, OK};
use crate::invariant::Invariant;
use crate::wire::Ask;
use crate::world::PASSWORD;

/// Users make administrators, administrators make roots, the root makes users: the tree does not grow so.
pub(super) async fn create(agent: &mut Agent) {
    let world = agent.world.clone();
    let (by, kind) = match agent.caller.random.u8(..7) {
        0 => (&agent.session, "administrator"),
        1 => (&agent.session, "tuser"),
        2 => (&agent.session, "root"),
        3 => (&world.admins[0], "root"),
        4 => (&world.root, "tuser"),
        5 => (&world.limited, "administrator"),
        _ => (&world.admins[1], "consumer"),
    };
    let token = by.token(&mut agent.caller).await;
    let email = format!("{}@escalation.example", agent.fresh());
    let new = json!({"kind": kind, "email": email, "name": "Eve", "password": PASSWORD});
    agent
        .caller
        .ask(Ask::post("/v1/users", &new).bearer(&token), FORBIDDEN)
        .await;
}

/// Grants that the granter does not have: to oneself, and to others.
pub(super) async fn grant(agent: &mut Agent) {
    let world = agent.world.clone();
    let rights = [
        "createAdministrator",
        "createTUser",
        "deleteAdministrator",
        "updateAdministrator",
    ];
    let right = agent.caller.random.choice(rights).unwrap_or("createTUser");
    let reader = ["createData", "deleteData", "updateMe"];
    let (by, whom, right) = match agent.caller.random.u8(..5) {
        0 | 1 => (&agent.session, agent.me().id, right),
        2 => {
            let right = agent.caller.random.choice(reader).unwrap_or("createData");
            (&world.reader, world.reader.person.id.clone(), right)
        }
        3 => (
            &world.limited,
            world.limited.person.id.clone(),
            "createAdministrator",
        ),
        _ => (
            &world.limited,
            world.limited.person.id.clone(),
            "createData",
        ),
    };
    let token = by.token(&mut agent.caller).await;
    let ask = Ask::new(
        reqwest::Method::PUT,
        format!("/v1/users/{whom}/grants/{right}"),
    );
    agent.caller.ask(ask.bearer(&token), FORBIDDEN).await;
}

/// A good token, and any rights at all for the new user (table 6, B): some that its maker does not have.
pub(super) async fn beyond(agent: &mut Agent) {
    let world = agent.world.clone();
    let names: Vec<&str> = world
        .dictionary
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["nameOfOperation"].as_str())
        .collect();
    let bits = agent.caller.random.u16(..);
    let some = names
        .iter()
        .enumerate()
        .filter(|(place, _)| bits >> (place % 16) & 1 == 1);
    let mut grants: Vec<&str> = some.map(|(_, name)| *name).collect();
    // At least one that the limited administrator does not have.
    grants.push("createData");
    let token = world.limited.token(&mut agent.caller).await;
    let email = format!("{}@beyond.example", agent.fresh());
    let new = json!({
        "kind": "tuser", "email": email, "name": "Eve", "password": PASSWORD, "grants": grants,
    });
    agent
        .caller
        .ask(Ask::post("/v1/users", &new).bearer(&token), FORBIDDEN)
        .await;
}

/// Users beside oneself, above, and below somebody else: whether they exist is not told.
pub(super) async fn others(agent: &mut Agent) {
    let world = agent.world.clone();
    let me = agent.me().id;
    let random = &mut agent.caller.random;
    // Made by the first administrator, so below no other.
    let cousin = world.reader.person.id.clone();
    let (by, whom) = match random.u8(..5) {
        0 => (&agent.session, cousin),
        1 => (&agent.session, world.root.person.id.clone()),
        2 => (&world.admins[1], cousin),
        3 => (&world.admins[2], world.admins[0].person.id.clone()),
        _ => (&world.limited, cousin),
    };
    let path = format!("/v1/users/{whom}");
    let ask = match random.u8(..6) {
        0 => Ask::get(path),
        1 => Ask::put(path, &json!({"name": "Eve"})),
        2 => Ask::put(path, &json!({"email": format!("{me}@taken.example")})),
        3 => Ask::delete(path),
        4 => Ask::delete(format!("{path}/sessions")),
        _ => Ask::new(reqwest::Method::PUT, format!("{path}/grants/readData")),
    };
    let token = by.token(&mut agent.caller).await;
    agent.caller.ask(ask.bearer(&token), MISSING).await;
}

pub(super) async fn records(agent: &mut Agent) {
    let me = agent.me().id;
    let Some(theirs) = agent.shared.of_another(&me, &mut agent.caller.random) else {
        return agent.fallback().await;
    };
    let draft = agent.draft();
    let path = format!("/v1/records/{}", theirs.name);
    let body = json!({"about": [theirs.resource], "did": draft.did, "data": {"kg": 0}});
    let ask = match agent.caller.random.bool() {
        true => Ask::put(path, &body),
        false => Ask::delete(path),
    };
    agent.ask(ask, FORBIDDEN).await;
}

pub(super) async fn store(agent: &mut Agent) {
    let world = agent.world.clone();
    let draft = agent.draft();
    let by = match agent.caller.random.u8(..4) {
        0 => &world.reader,
        1 => &world.blind,
        2 => &world.admins[0],
        _ => &world.root,
    };
    let name = agent
        .records
        .first()
        .map_or(draft.name.clone(), |own| own.name.clone());
    let path = format!("/v1/records/{name}");
    let ask = match agent.caller.random.u8(..4) {
        0 => Ask::post("/v1/records", &draft.body()),
        1 => Ask::put(path, &json!({"data": {}, "did": draft.did})),
        2 => Ask::delete(path),
        _ => Ask::post("/capture", &json!({"type": "EPCISDocument"})),
    };
    let token = by.token(&mut agent.caller).await;
    agent.caller.ask(ask.bearer(&token), FORBIDDEN).await;
}

pub(super) async fn read(agent: &mut Agent) {
    let world = agent.world.clone();
    let me = agent.me().id;
    let theirs = agent.shared.of_another(&me, &mut agent.caller.random);
    let name = theirs.map_or("a0-1".to_owned(), |own| own.name);
    let blind = world.blind.token(&mut agent.caller).await;
    match agent.caller.random.u8(..6) {
        0 => drop(agent.ask(Ask::get("/v1/logs"), FORBIDDEN).await),
        1 => {
            let path = format!("/v1/logs?who={}", world.root.person.id);
            agent.ask(Ask::get(path), FORBIDDEN).await;
        }
        2 => {
            let ask = Ask::get(format!("/v1/records/{name}")).bearer(&blind);
            agent.caller.ask(ask, FORBIDDEN).await;
        }
        3 => {
            let ask = Ask::get(format!("/v1/logs?record={name}")).bearer(&blind);
            agent.caller.ask(ask, FORBIDDEN).await;
        }
        4 => {
            let ask = Ask::get("/v1/traces?resource=lot:0-0").bearer(&blind);
            agent.caller.ask(ask, FORBIDDEN).await;
        }
        _ => {
            let question = json!({"record": name, "data": {}});
            let ask = Ask::post("/v1/consult", &question).bearer(&blind);
            let told = agent.caller.ask_unfriendly(ask, OK).await;
            if let Some(answer) = told.done() {
                let silent = answer == json!({"verdict": "not_permitted"});
                agent.caller.check(Invariant::VerdictsHold, silent, || {
                    format!("who may not consult was told {answer}")
                });
            }
        }
    }
}

pub(super) async fn dictionary(agent: &mut Agent) {
    let world = agent.world.clone();
    let by = match agent.caller.random.u8(..3) {
        0 => &agent.session,
        1 => &world.limited,
        _ => &world.admins[0],
    };
    let token = by.token(&mut agent.caller).await;
    let entry = json!({
        "serviceName": "audit", "typeOfOperation": "create", "nameOfOperation": "createAdministrator",
        "permitAccessTo": ["root", "administrator", "tuser", "consumer"],
    });
    let ask = match agent.caller.random.bool() {
        true => Ask::put("/v1/permissions", &entry),
        false => Ask::delete("/v1/permissions/readData"),
    };
    agent.caller.ask(ask.bearer(&token), FORBIDDEN).await;
}

impl Agent {
    /// Where there is nobody else: a record that nobody has.
    async fn fallback(&mut self) {
        let name = self.fresh();
        self.ask(Ask::delete(format!("/v1/records/none-{name}")), MISSING)
            .await;
    }
}
