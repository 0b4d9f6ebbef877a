//! The operator's pages in a browser, on services that run: people, permissions, events as they come.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};
use e2e::{Audit, Client, Ledger, PASSWORD, Person};
use reqwest::Method;
use serde_json::{Value, json};

const EVIL: &str = "<img src=x onerror=\"document.title='taken'\">";

/// Somebody below `by`, who is not signed in.
async fn create(by: &Person, kind: &str, name: &str, email: &str) -> Result<Value> {
    let new = json!({"kind": kind, "name": name, "email": email, "password": PASSWORD});
    by.done(Method::POST, "/v1/users", &new).await
}

/// Two administrators who do not see each other's people, and what these did.
async fn settle(audit: &Audit) -> Result<()> {
    let visitor = audit.visitor()?;
    visitor.become_root("root@example.org").await?;
    let root = visitor.sign_in("root@example.org").await?;
    for (name, email) in [
        ("Ana Torres", "ana@huerta.example"),
        ("Benito Cruz", "ben@mercado.example"),
    ] {
        create(&root, "administrator", name, email).await?;
    }
    let ana = visitor.sign_in("ana@huerta.example").await?;
    let ben = visitor.sign_in("ben@mercado.example").await?;
    create(
        &ana,
        "administrator",
        "Cleo D\u{ed}az",
        "cleo@huerta.example",
    )
    .await?;
    let cleo = visitor.sign_in("cleo@huerta.example").await?;
    create(&cleo, "tuser", "Diego Luna", "diego@huerta.example").await?;
    create(&ana, "tuser", "Tom\u{e1}s Ruiz", "tomas@huerta.example").await?;
    create(&ana, "tuser", EVIL, "evil@huerta.example").await?;
    create(&ana, "tuser", &"Long".repeat(40), "long@huerta.example").await?;
    for number in 0..52 {
        let (name, email) = (
            format!("Picker {number:02}"),
            format!("picker{number:02}@huerta.example"),
        );
        create(&ana, "tuser", &name, &email).await?;
    }
    create(&ben, "tuser", "Marta Vega", "marta@mercado.example").await?;
    let carl = json!({"kind": "consumer", "name": "Carl", "email": "carl@home.example", "password": PASSWORD});
    visitor.done(Method::POST, "/v1/register", &carl).await?;

    for (email, did, about) in [
        ("tomas@huerta.example", "harvest", "lot:7"),
        ("marta@mercado.example", "sell", "lot:7"),
        (
            "evil@huerta.example",
            EVIL,
            "javascript:document.title='taken'",
        ),
    ] {
        let somebody = visitor.sign_in(email).await?;
        let record = json!({"about": [about], "did": did, "data": {"note": EVIL}, "where": EVIL});
        somebody.done(Method::POST, "/v1/records", &record).await?;
    }
    Ok(())
}

/// Runs a script against services in which those people are.
async fn run(script: &str) -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?.join("audit");
    let config = "consumers_register = true\nopen_to_visitors = true\n";
    let audit = Audit::start_with(&folder, ledger.ready(), Some(config), None)?;
    settle(&audit).await?;
    let here = env::var_os("CARGO_MANIFEST_DIR").context("run it with cargo")?;
    let images = PathBuf::from(here).join("../docs/images");
    let more = [
        ("PEOPLE_AUDIT", &*audit.ready().url),
        ("PEOPLE_PASSWORD", PASSWORD),
        ("PEOPLE_IMAGES", images.to_str().context("paths are text")?),
    ];
    Client::NodeWith("pages").run_with(script, &[], &more, &ledger)
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_and_change_those_below_them_and_nobody_else() -> Result<()> {
    run("people.mjs").await
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_name_who_did_something_and_take_strangers_texts_for_texts() -> Result<()> {
    run("permissions.mjs").await
}
