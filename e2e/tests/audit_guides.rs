//! The audit services' guides as they are written, and a whole table that is checked.

use std::fs;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use e2e::{Audit, Ledger, Person, cache, counterfoil, run_guide};
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn the_guide_to_auditing_an_app_works_as_it_is_written() -> Result<()> {
    let tools = cache()?.join("apps/node_modules/.bin");
    ensure!(
        tools.join("json-server").exists(),
        "json-server is missing: run `cargo xtask test e2e`"
    );
    run_guide(&["guides/audit-your-app.md"], &[&tools])
}

#[test]
fn the_guide_for_five_companies_works_as_it_is_written() -> Result<()> {
    run_guide(&["guides/five-companies.md"], &[])
}

#[test]
fn the_guide_to_verdicts_works_as_it_is_written() -> Result<()> {
    run_guide(&["guides/verdicts.md"], &[])
}

/// A table of a thousand rows, of which one was altered and one never recorded: the command finds just these,
/// by the service's word and by the proofs.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_table_is_checked_and_what_is_wrong_is_named() -> Result<()> {
    const ROWS: usize = 1_000;
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?;
    let audit = Audit::start(&folder.join("audit"), ledger.ready())?;
    let (_, _, people) = audit.people(1).await?;
    let ana = &people[0];
    let stores = (0..8).map(|part| {
        let ana = ana.clone();
        tokio::spawn(async move { store(&ana, (part..ROWS).step_by(8)).await })
    });
    for stored in stores.collect::<Vec<_>>() {
        stored.await??;
    }
    let mut table = String::from("lot,kg,grade,note\n");
    for row in 0..ROWS {
        let kg = if row == 500 { 99 } else { row };
        table += &format!("{row},{kg}.5,A,\"a, b\"\n");
    }
    table += "none,1,A,\n";
    let path = folder.join("lots.csv");
    fs::write(&path, &table)?;
    let report = folder.join("said.json");
    let run = |more: &[&str]| -> Result<Output> {
        let mut command = counterfoil()?;
        command.args(["audit", "check"]).arg(&path);
        command.args(["--id-column", "lot", "--prefix", "lot-", "--without-id"]);
        command.args(["--url", &audit.ready().url, "--certificate"]);
        command.arg(&audit.ready().certificate);
        command.arg("--report").arg(&report).args(more);
        command.env("COUNTERFOIL_AUDIT_PASSWORD", "correct horse battery");
        Ok(command.output()?)
    };
    let proofs = ledger.ready().service_cert.display().to_string();
    let signed_in = [
        "--json",
        "--email",
        "user0@example.org",
        "--service-cert",
        &proofs,
    ];
    let said = run(&signed_in)?;
    ensure!(said.status.code() == Some(1), "{said:?}");
    let summary: Value = serde_json::from_slice(&said.stdout)?;
    let expected = json!({"summary": {"total": 1001, "valid": 999, "altered": 1, "unknown": 1,
        "notPermitted": 0, "pending": 0, "failed": 0}, "unproven": 0});
    ensure!(summary == expected, "{summary}");
    let rows: Value = serde_json::from_slice(&fs::read(&report)?)?;
    let rows = rows["rows"].as_array().context("there are rows")?;
    let wrong: Vec<_> = rows
        .iter()
        .filter(|row| row["verdict"] != "valid")
        .collect();
    ensure!(
        wrong[0]["record"] == "lot-500" && wrong[0]["row"] == 501,
        "{wrong:?}"
    );
    ensure!(
        wrong[0]["altered"] == json!(["/kg"]) && wrong[0]["proof"] == "checked",
        "{wrong:?}"
    );
    ensure!(wrong[1]["record"] == "lot-none", "{wrong:?}");

    // Under another ledger's certificate nothing is proven, whatever the service says.
    let other = Ledger::start()?;
    let others = other.ready().service_cert.display().to_string();
    let said = run(&[
        "--json",
        "--email",
        "user0@example.org",
        "--service-cert",
        &others,
    ])?;
    let summary: Value = serde_json::from_slice(&said.stdout)?;
    ensure!(summary["unproven"] == 1000, "{summary}");

    // Without the wrong rows all is well; a visitor is told nothing; a wrong column is no table.
    let good: Vec<_> = table.lines().take(400).collect();
    fs::write(&path, good.join("\n"))?;
    let said = run(&signed_in)?;
    ensure!(said.status.success(), "{said:?}");
    let said = run(&["--json"])?;
    let summary: Value = serde_json::from_slice(&said.stdout)?;
    ensure!(summary["summary"]["notPermitted"] == 399, "{summary}");
    fs::write(&path, "kg\n1\n")?;
    ensure!(run(&signed_in)?.status.code() == Some(2));
    Ok(())
}

async fn store(person: &Person, rows: impl Iterator<Item = usize>) -> Result<()> {
    for row in rows {
        let data = json!({"kg": row as f64 + 0.5, "grade": "A", "note": "a, b"});
        let record = json!({"record": format!("lot-{row}"), "about": ["lot:all"], "data": data});
        person.done(Method::POST, "/v1/records", &record).await?;
    }
    Ok(())
}
