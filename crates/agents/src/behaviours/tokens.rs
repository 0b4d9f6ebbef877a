//! Unfriendly agents with tokens that are nobody's, somebody else's, or too old.

use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use serde_json::json;

use super::{Agent, JUNK};
use crate::expect::{OK, STRANGER};
use crate::forge::Forger;
use crate::wire::Ask;

/// Something worth a token: reading, storing, and what only the root may.
fn goal(agent: &mut Agent) -> Ask {
    let draft = agent.draft();
    match agent.caller.random.u8(..5) {
        0 => Ask::get("/v1/session"),
        1 => Ask::get("/v1/logs"),
        2 => Ask::get("/v1/users"),
        3 => Ask::delete(format!("/v1/users/{}", agent.world.victim.id)),
        _ => Ask::post("/v1/records", &draft.body()),
    }
}

async fn refused(agent: &mut Agent, token: &str) {
    let ask = goal(agent).bearer(token);
    agent.caller.ask(ask, STRANGER).await;
}

pub(super) async fn none(agent: &mut Agent) {
    let good = agent.token().await;
    let mut goal = goal(agent);
    let junk = *agent.caller.random.choice(&JUNK).unwrap_or(&"n");
    let ask = match agent.caller.random.u8(..7) {
        0 => goal,
        1 => goal.bearer("n"),
        2 => goal.bearer(junk),
        3 => goal.header(AUTHORIZATION, "Basic cm9vdDpyb290"),
        4 => goal.header(AUTHORIZATION, &good),
        5 => goal.bearer(&good).bearer(&good),
        _ => {
            let mark = if goal.path.contains('?') { '&' } else { '?' };
            goal.path = format!("{}{mark}access_token={good}", goal.path);
            goal
        }
    };
    agent.caller.ask(ask, STRANGER).await;
}

pub(super) async fn tampered(agent: &mut Agent) {
    let good = agent.token().await;
    let root = agent.world.root.person.id.clone();
    let token = match agent.caller.random.u8(..5) {
        0 => Forger::prolonged(&good),
        1 => Forger::tampered(&good, |claims| claims["sub"] = root.into()),
        2 => Forger::tampered(&good, |claims| claims["kind"] = "root".into()),
        3 => Forger::tampered(&good, |claims| claims["admin"] = true.into()),
        _ => {
            // One character of the signature.
            let mut bytes = good.into_bytes();
            let place = bytes.len() - agent.caller.random.usize(3..80);
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    refused(agent, &token).await;
}

pub(super) async fn unsigned(agent: &mut Agent) {
    let good = agent.token().await;
    let spelling = agent
        .caller
        .random
        .choice(["none", "None", "nOnE", "NONE", ""])
        .unwrap_or("none");
    refused(agent, &Forger::unsigned(&good, spelling)).await;
}

pub(super) async fn confused(agent: &mut Agent) {
    let good = agent.token().await;
    let token = agent.world.forger.confused(&good);
    refused(agent, &token).await;
}

pub(super) async fn homemade(agent: &mut Agent) {
    let good = agent.token().await;
    let root = agent.world.root.person.id.clone();
    let trick = agent.caller.random.u8(..5);
    let token = agent.world.forger.homemade(&good, |header, claims| {
        claims["sub"] = root.into();
        claims["kind"] = "root".into();
        match trick {
            0 => {}
            1 => header["kid"] = "../../../../dev/null".into(),
            2 => header["kid"] = "' UNION SELECT 'key".into(),
            3 => header["jku"] = "https://127.0.0.1:1/keys".into(),
            _ => drop(header.as_object_mut().map(|header| header.remove("kid"))),
        }
    });
    refused(agent, &token).await;
}

pub(super) async fn ended(agent: &mut Agent) {
    let token = agent.world.ended(&mut agent.caller.random);
    refused(agent, &token).await;
}

/// A token that has grown too old, once the run is that long; before, one as if it were not.
pub(super) async fn expired(agent: &mut Agent) {
    let good = agent.token().await;
    let token = agent
        .world
        .expired()
        .unwrap_or_else(|| Forger::prolonged(&good));
    refused(agent, &token).await;
}

pub(super) async fn refresh(agent: &mut Agent) {
    let good = agent.token().await;
    let junk = *agent.caller.random.choice(&JUNK).unwrap_or(&"");
    let token = match agent.caller.random.u8(..3) {
        0 => good,
        1 => junk.to_owned(),
        _ => format!("{:064x}", agent.caller.random.u128(..)),
    };
    let body = json!({ "refresh_token": token });
    agent
        .caller
        .ask(Ask::post("/v1/renew", &body), STRANGER)
        .await;
}

/// A thief uses a refresh token that its owner has used: the whole session ends.
pub(super) async fn replay(agent: &mut Agent) {
    let world = agent.world.clone();
    let session = world.logins.login(&mut agent.caller, &world.careless).await;
    let Ok(session) = session else { return };
    let (first, stolen) = session.both().await;
    session.renew(&mut agent.caller).await;
    let (second, fresh) = session.both().await;
    if fresh == stolen {
        return;
    }
    let thief = Ask::post("/v1/renew", &json!({ "refresh_token": stolen }));
    agent.caller.ask(thief, STRANGER).await;
    let owner = Ask::post("/v1/renew", &json!({ "refresh_token": fresh }));
    agent.caller.ask(owner, STRANGER).await;
    refused(agent, &first).await;
    world.end(second);
}

/// Wrong passwords for somebody who never comes, and for nobody, until the services make one wait. From an
/// address of its own if there is one; else few enough that nobody else has to wait.
pub(crate) async fn guess(agent: &mut Agent) {
    use crate::expect::Expected;
    const NOT_THEM: Expected =
        Expected::refused(&[(401, "Unauthenticated"), (429, "TooManyAttempts")]);
    let world = agent.world.clone();
    let victim = &world.victim.email[..];
    let elsewhere = world.elsewhere();
    let guesses = if elsewhere.is_some() { 40 } else { 8 };
    let here = elsewhere.map(|wire| std::mem::replace(&mut agent.caller.wire, wire));
    for number in 0..guesses {
        let email = match number % 4 {
            0 | 1 => victim,
            2 => "nobody@agents.example",
            _ => "' OR '1'='1' -- @agents.example",
        };
        let body = json!({"email": email, "password": format!("correct horse {number}")});
        let login = Ask::new(Method::POST, "/v1/login").json(&body);
        world.logins.ask(&mut agent.caller, login, NOT_THEM).await;
    }
    if let Some(here) = here {
        agent.caller.wire = here;
    }
    // The others are let in as before.
    agent.ask(Ask::get("/v1/session"), OK).await;
}
