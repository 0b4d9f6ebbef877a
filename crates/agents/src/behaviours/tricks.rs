//! Unfriendly agents who skip steps, repeat what is done, and hide things in paths and headers.

use reqwest::Method;
use reqwest::header::HeaderName;
use serde_json::{Value, json};

use super::{Agent, JUNK};
use crate::expect::{CREATED, Expected, INPUT, MISSING, OK, ROOT_EXISTS};
use crate::invariant::Invariant;
use crate::race::{second, slot};
use crate::wire::Ask;

const EXISTS: Expected = Expected::refused(&[(409, "Exists")]);
const DELETED: Expected = Expected::refused(&[(409, "Deleted")]);
const OTHER_REQUEST: Expected = Expected::refused(&[(409, "OtherRequest")]);
const NO_METHOD: Expected = Expected::refused(&[(405, "MethodNotAllowed")]);
const NOT_A_NAME: Expected = Expected::refused(&[(400, "InvalidInput"), (404, "NotFound")]);
/// The HTTP library says this, before the gateway sees anything.
const LONG: Expected = Expected::refused(&[(431, "")]);

/// Becoming the root when there is one.
pub(super) async fn root_again(agent: &mut Agent) {
    let junk = json!(agent.caller.random.choice(&JUNK).unwrap_or(&""));
    let ask = match agent.caller.random.bool() {
        true => slot("again"),
        false => second(&junk, &json!("token"), "again"),
    };
    let told = agent.caller.ask(ask, ROOT_EXISTS).await;
    agent.caller.check(Invariant::OneRoot, !told.is_done(), || {
        "there may be a second root".to_owned()
    });
}

pub(super) async fn change_nothing(agent: &mut Agent) {
    let draft = agent.draft();
    let path = format!("/v1/records/none-{}", draft.name);
    let body = json!({"about": [draft.resource], "did": draft.did, "data": draft.data});
    let ask = match agent.caller.random.u8(..3) {
        0 => Ask::put(path, &body),
        1 => Ask::delete(path),
        _ => Ask::get(path),
    };
    agent.ask(ask, MISSING).await;
}

pub(super) async fn create_again(agent: &mut Agent) {
    let Some(place) = agent.own().await else {
        return;
    };
    let mut draft = agent.draft();
    draft.name.clone_from(&agent.records[place].name);
    agent
        .ask(Ask::post("/v1/records", &draft.body()), EXISTS)
        .await;
}

/// Deletes a record of one's own, and changes it then.
pub(super) async fn change_deleted(agent: &mut Agent) {
    let Some(place) = agent.own().await else {
        return;
    };
    let own = agent.records.swap_remove(place);
    if !super::storing::delete_own(agent, &own).await {
        return;
    }
    let mut draft = agent.draft();
    draft.name = own.name;
    let path = format!("/v1/records/{}", draft.name);
    let (ask, expected) = match agent.caller.random.u8(..3) {
        0 => (Ask::put(path, &draft.body()), DELETED),
        1 => (Ask::delete(path), DELETED),
        _ => (Ask::post("/v1/records", &draft.body()), EXISTS),
    };
    agent.ask(ask, expected).await;
}

pub(super) async fn other_name(agent: &mut Agent) {
    let Some(place) = agent.own().await else {
        return;
    };
    let draft = agent.draft();
    let path = format!("/v1/records/{}", agent.records[place].name);
    agent.ask(Ask::put(path, &draft.body()), INPUT).await;
}

/// One key for two requests.
pub(super) async fn other_body(agent: &mut Agent) {
    let draft = agent.draft();
    let ask = Ask::post("/v1/records", &draft.body()).once(&draft.name);
    let told = agent.ask(ask, CREATED).await;
    agent.doubt(&told, "create", &draft);
    let Some(answer) = told.done() else { return };
    agent.stored("create", &draft, 1, &answer, None);
    let mut other = draft.body();
    match agent.caller.random.u8(..3) {
        0 => other["data"]["kg"] = 0.into(),
        1 => other["record"] = format!("{}-other", draft.name).into(),
        _ => other["keep"] = false.into(),
    }
    let ask = Ask::post("/v1/records", &other).once(&draft.name);
    let told = agent.ask(ask, OTHER_REQUEST).await;
    agent
        .caller
        .check(Invariant::OnceByKey, !told.is_done(), || {
            format!("the key {} stands for two requests", draft.name)
        });
}

pub(super) async fn impossible_key(agent: &mut Agent) {
    let draft = agent.draft();
    let key = match agent.caller.random.u8(..4) {
        0 => String::new(),
        1 => "a b".to_owned(),
        2 => "k".repeat(256),
        _ => "schlüssel".to_owned(),
    };
    let ask = Ask::post("/v1/records", &draft.body()).once(&key);
    agent.ask(ask, INPUT).await;
}

pub(super) async fn climb(agent: &mut Agent) {
    let paths = [
        "/v1/records/..%2f..%2f..%2fetc%2fpasswd",
        "/v1/records/%2fetc%2fpasswd",
        "/v1/records/..%5c..%5cmaster.key",
        "/v1/records/a%00b",
        "/v1/records/%ff%fe",
        "/web/..%2f..%2fmaster.key",
        "/web/%2e%2e%2fCargo.toml",
        "/v1//records/a",
        "/v1/records/a/../../users",
        "/.git/config",
        "/v1/users/..%2froot",
        "/capture/..%2fx",
        "/events/..%2fx",
    ];
    let path = agent.caller.random.choice(paths).unwrap_or(paths[0]);
    // Steps up are taken by the client already: that one is a path that is there, for administrators and all.
    let expected = match path {
        "/v1/records/a/../../users" => OK,
        _ => NOT_A_NAME,
    };
    agent.ask_unfriendly(Ask::get(path), expected).await;
}

/// SQL where it could end up in a statement: it is refused, or is a name like any other, of nothing.
pub(super) async fn sql(agent: &mut Agent) {
    let quoted = [
        "x'%20OR%20'1'='1",
        "1;DROP%20TABLE%20events",
        "x'--",
        "x'/**/UNION/**/SELECT/**/password/**/FROM/**/users--",
        "%27%7C%7C(SELECT%20sqlite_version())%7C%7C%27",
    ];
    let text = agent.caller.random.choice(quoted).unwrap_or(quoted[0]);
    match agent.caller.random.u8(..6) {
        0 => drop(
            agent
                .ask(Ask::get(format!("/v1/records/{text}")), NOT_A_NAME)
                .await,
        ),
        1 => drop(
            agent
                .ask(Ask::get(format!("/v1/logs?record={text}")), INPUT)
                .await,
        ),
        2 => drop(
            agent
                .ask(Ask::get(format!("/v1/users/{text}")), NOT_A_NAME)
                .await,
        ),
        3 => {
            let me = agent.me().id;
            let path = format!("/v1/logs?who={me}&after=1_1_{text}");
            agent.ask(Ask::get(path), INPUT).await;
        }
        4 => nothing_found(agent, "/v1/logs?resource=x'OR'1'='1".to_owned()).await,
        _ => nothing_found(agent, "/v1/traces?resource=x'/**/OR/**/1=1--".to_owned()).await,
    }
}

async fn nothing_found(agent: &mut Agent, path: String) {
    let told = agent.ask_unfriendly(Ask::get(path.clone()), OK).await;
    if let Some(answer) = told.done() {
        let nothing = answer["logs"] == json!([]);
        agent.caller.check(Invariant::VerdictsHold, nothing, || {
            format!("{path} finds something")
        });
    }
}

pub(super) async fn methods(agent: &mut Agent) {
    let (method, path, expected) = match agent.caller.random.u8(..6) {
        0 => (Method::PATCH, "/v1/records", NO_METHOD),
        1 => (Method::DELETE, "/v1/records", NO_METHOD),
        2 => (Method::PUT, "/v1/logs", NO_METHOD),
        3 => (Method::TRACE, "/v1/session", NO_METHOD),
        4 => (Method::POST, "/v1/records/a/b/c", MISSING),
        _ => (Method::GET, "/v1/exec/createRoot", MISSING),
    };
    agent.ask(Ask::new(method, path), expected).await;
}

/// What a header says changes nothing: not the method, not where one is, not who one is.
pub(super) async fn headers(agent: &mut Agent) {
    const NAMES: [&str; 6] = [
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
        "x-user",
        "x-forwarded-host",
    ];
    if agent.caller.random.bool() {
        return forwarded(agent).await;
    }
    let Some(place) = agent.own().await else {
        return;
    };
    let own = agent.records[place].clone();
    let name = HeaderName::from_static(agent.caller.random.choice(NAMES).unwrap_or(NAMES[0]));
    let value = match name.as_str() {
        "x-original-url" | "x-rewrite-url" => "/v1/users",
        "x-user" => "root",
        "x-forwarded-host" => "evil.example",
        _ => "DELETE",
    };
    let ask = Ask::get(format!("/v1/records/{}", own.name)).header(name, value);
    let told = agent.ask_unfriendly(ask, OK).await;
    if let Some(answer) = told.done() {
        let event = &answer["event"];
        let same = event["record"] == *own.name && event["version"] == own.version;
        agent.caller.check(Invariant::DataStays, same, || {
            format!("{} (version {}) is read as {event}", own.name, own.version)
        });
    }
}

/// A record that says it comes from elsewhere.
async fn forwarded(agent: &mut Agent) {
    let draft = agent.draft();
    let names = ["x-forwarded-for", "forwarded", "x-real-ip", "x-client-ip"];
    let name = HeaderName::from_static(agent.caller.random.choice(names).unwrap_or(names[0]));
    let value = if name == "forwarded" {
        "for=203.0.113.66"
    } else {
        "203.0.113.66"
    };
    let ask = Ask::post("/v1/records", &draft.body()).header(name, value);
    let told = agent.ask_unfriendly(ask, CREATED).await;
    agent.doubt(&told, "create", &draft);
    let Some(answer) = told.done() else { return };
    agent.stored("create", &draft, 1, &answer, None);
    let place: &Value = &answer["event"]["where"];
    let believed = place
        .as_str()
        .is_some_and(|place| place.contains("203.0.113.66"));
    agent.caller.check(Invariant::AsExpected, !believed, || {
        "a stranger's header says where an event happened".to_owned()
    });
}

/// Headers beyond their bound. The connection may end before the answer is read.
pub(super) async fn long_header(agent: &mut Agent) {
    let name = HeaderName::from_static("x-long");
    let ask = Ask::get("/v1/session").header(name, &"x".repeat(100 << 10));
    agent.ask(ask, LONG.or_hung_up()).await;
}
