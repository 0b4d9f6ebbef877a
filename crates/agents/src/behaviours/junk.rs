//! Unfriendly agents who send what is no request (table 6: anything in place of correct data).

use serde_json::{Value, json};

use super::{Agent, JUNK};
use crate::expect::{Expected, INPUT};
use crate::wire::Ask;

const OTHER_MEDIA_TYPE: Expected = Expected::refused(&[(415, "UnsupportedMediaType")]);
const TOO_LARGE: Expected = Expected::refused(&[(413, "TooLarge")]);

/// Something that takes a body, as whoever may send it. A good body, though never sent, says what is changed.
struct Door {
    ask: Ask,
    good: Value,
    /// Fields without which it cannot be.
    needs: &'static [&'static str],
    /// Its first fields, in the order in which a reader may know them.
    order: &'static [&'static str],
}

/// One of the doors, with the token of whoever may go through it.
async fn door(agent: &mut Agent) -> Door {
    let world = agent.world.clone();
    let draft = agent.draft();
    let token = agent.token().await;
    let record = draft.body();
    let mine = agent
        .records
        .first()
        .map_or(draft.name.clone(), |own| own.name.clone());
    let put = Ask::new(reqwest::Method::PUT, format!("/v1/records/{mine}")).bearer(&token);
    let post = |path: &str| Ask::new(reqwest::Method::POST, path);
    let user = json!({
        "kind": "tuser", "email": format!("{}@junk.example", draft.name), "name": "Junk",
        "password": crate::world::PASSWORD,
    });
    match agent.caller.random.u8(..8) {
        0 => Door {
            ask: put,
            good: json!({"about": ["lot:x"], "data": {}, "did": draft.did}),
            needs: &["data"],
            order: &["record", "about", "data"],
        },
        1 => Door {
            ask: post("/v1/consult").bearer(&token),
            good: json!({"record": mine, "data": {}}),
            needs: &["record"],
            order: &["record"],
        },
        2 => {
            let admin = &world.admins[agent.number % world.admins.len()];
            let token = admin.token(&mut agent.caller).await;
            Door {
                ask: post("/v1/users").bearer(&token),
                good: user,
                needs: &["kind", "email", "name", "password"],
                order: &["kind", "email", "name", "key", "password"],
            }
        }
        3 => Door {
            ask: post("/v1/root"),
            good: json!({"session": "s", "nb": "n", "root": user}),
            needs: &["session", "nb", "root"],
            order: &["session", "nb", "root"],
        },
        4 => Door {
            ask: post("/v1/renew"),
            good: json!({"refresh_token": "r"}),
            needs: &["refresh_token"],
            order: &["refresh_token"],
        },
        _ => Door {
            ask: post("/v1/records").bearer(&token),
            good: record,
            needs: &["data", "about"],
            order: &["record", "about", "data"],
        },
    }
}

/// Anything in place of an object.
pub(super) async fn body(agent: &mut Agent) {
    let door = door(agent).await;
    let word = *agent.caller.random.choice(&JUNK).unwrap_or(&"");
    let junk = match agent.caller.random.u8(..6) {
        0 => json!(word),
        1 => json!([word]),
        2 => Value::Null,
        3 => json!(agent.caller.random.i32(..)),
        4 => json!(true),
        // In the order of the fields: whoever reads a list as an object would be content.
        _ => door
            .order
            .iter()
            .map(|name| door.good[*name].clone())
            .collect(),
    };
    agent.caller.ask(door.ask.json(&junk), INPUT).await;
}

/// Words in place of correct data.
pub(super) async fn fields(agent: &mut Agent) {
    let mut door = door(agent).await;
    let word = json!(agent.caller.random.choice(&JUNK).unwrap_or(&""));
    let blank = json!("not a name: ☠ \u{0}");
    for (name, value) in door.good.as_object_mut().into_iter().flatten() {
        *value = match &name[..] {
            "record" => blank.clone(),
            "about" | "root" | "kind" => word.clone(),
            "refresh_token" | "session" | "nb" => json!({ "is": word }),
            _ => word.clone(),
        };
    }
    // A word may be data, but nothing without a record, a resource, or a kind.
    if door.good.get("record").is_none() && door.good.get("data").is_some() {
        door.good["record"] = blank;
    }
    agent.caller.ask(door.ask.json(&door.good), INPUT).await;
}

/// Numbers for texts, texts for objects, lists for either.
pub(super) async fn types(agent: &mut Agent) {
    let mut door = door(agent).await;
    let wrong = match agent.caller.random.u8(..4) {
        0 => json!(7),
        1 => json!(false),
        2 => json!([[7]]),
        _ => json!({"$ne": null}),
    };
    // Data may be anything; all else has a type.
    let names = door
        .good
        .as_object()
        .into_iter()
        .flat_map(|good| good.keys());
    let typed: Vec<String> = names.filter(|name| *name != "data").cloned().collect();
    if let Some(name) = agent.caller.random.choice(&typed) {
        door.good[name] = wrong;
    }
    agent.caller.ask(door.ask.json(&door.good), INPUT).await;
}

pub(super) async fn missing(agent: &mut Agent) {
    let mut door = door(agent).await;
    let name = *agent.caller.random.choice(door.needs).unwrap_or(&"");
    if let Some(good) = door.good.as_object_mut() {
        good.remove(name);
    }
    agent.caller.ask(door.ask.json(&door.good), INPUT).await;
}

pub(super) async fn extra(agent: &mut Agent) {
    let mut door = door(agent).await;
    let names = [
        "admin",
        "isRoot",
        "__proto__",
        "id",
        "who",
        "version",
        "Data",
        "grant",
    ];
    let name = *agent.caller.random.choice(&names).unwrap_or(&"admin");
    door.good[name] = true.into();
    agent.caller.ask(door.ask.json(&door.good), INPUT).await;
}

pub(super) async fn no_json(agent: &mut Agent) {
    let door = door(agent).await;
    let good = door.good.to_string().into_bytes();
    let random = &mut agent.caller.random;
    let bytes: Vec<u8> = match random.u8(..7) {
        0 => (0..random.usize(1..200))
            .map(|_| random.u8(128..))
            .collect(),
        1 => good[..random.usize(1..good.len())].to_vec(),
        2 => "[".repeat(random.usize(200..5_000)).into_bytes(),
        3 => Vec::new(),
        4 => [&good[..], b"\0"].concat(),
        5 => [&good[..], &good[..]].concat(),
        _ => b"{\"a\": NaN}".to_vec(),
    };
    agent
        .caller
        .ask(door.ask.bytes(bytes, "application/json"), INPUT)
        .await;
}

pub(super) async fn media_types(agent: &mut Agent) {
    let door = door(agent).await;
    let good = door.good.to_string();
    let media_types = [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/xml",
        "",
    ];
    let media_type = agent.caller.random.choice(media_types).unwrap_or("");
    agent
        .caller
        .ask(door.ask.bytes(good, media_type), OTHER_MEDIA_TYPE)
        .await;
}

/// JSON that two readers would read differently, so that its hash binds different data for each.
pub(super) async fn names_twice(agent: &mut Agent) {
    let draft = agent.draft();
    let body = draft.body().to_string();
    let inside = match agent.caller.random.u8(..5) {
        0 => body.replacen("\"kg\":", "\"kg\":1,\"kg\":", 1),
        1 => body.replacen('{', "{\"record\":\"other\",", 1),
        2 => body.replacen("\"boxes\":", "\"big\":9007199254740993,\"boxes\":", 1),
        3 => body.replacen("\"boxes\":", "\"big\":1e999,\"boxes\":", 1),
        _ => body.replacen(
            "\"boxes\":",
            "\"a\":{\"b\":[{\"c\":1,\"\\u0063\":2}]},\"boxes\":",
            1,
        ),
    };
    let ask = Ask::new(reqwest::Method::POST, "/v1/records").bytes(inside, "application/json");
    agent.ask(ask, INPUT).await;
}

/// More than anybody keeps: data beyond a mebibyte, a body beyond two, a thousand and one resources.
pub(super) async fn too_much(agent: &mut Agent) {
    let mut draft = agent.draft();
    match agent.caller.random.u8(..4) {
        0 => {
            draft.data = json!("x".repeat((1 << 20) + 1));
            agent
                .ask(Ask::post("/v1/records", &draft.body()), INPUT)
                .await;
        }
        1 => {
            draft.data = json!("x".repeat((2 << 20) + 64));
            let ask = Ask::post("/v1/records", &draft.body());
            agent.ask(ask, TOO_LARGE.or_hung_up()).await;
        }
        2 => {
            let document = json!({"type": "EPCISDocument", "x": "x".repeat((2 << 20) + 64)});
            agent
                .ask(Ask::post("/capture", &document), TOO_LARGE.or_hung_up())
                .await;
        }
        _ => {
            let mut body = draft.body();
            let names = (0..1_001).map(|number| format!("lot:{number}"));
            body["about"] = names.collect::<Vec<_>>().into();
            agent.ask(Ask::post("/v1/records", &body), INPUT).await;
        }
    }
}

pub(super) async fn names(agent: &mut Agent) {
    let draft = agent.draft();
    let mut body = draft.body();
    let long = "x".repeat(agent.caller.random.usize(600..2_000));
    let (field, value) = match agent.caller.random.u8(..9) {
        0 => ("record", json!("../../etc/passwd")),
        1 => ("record", json!("a b")),
        2 => ("record", json!(long)),
        3 => ("record", json!("-dash")),
        4 => ("record", json!("user\u{202e}")),
        5 => ("about", json!([long])),
        6 => ("about", json!(["lot 7"])),
        7 => ("about", json!([])),
        _ => ("did", json!("a\nb")),
    };
    body[field] = value;
    agent.ask(Ask::post("/v1/records", &body), INPUT).await;
}
