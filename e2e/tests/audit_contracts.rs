//! The audit services through the contracts of their ledger, as programs: what is stored is proven without them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::{Audit, Ledger, counterfoil};
use reqwest::Method;
use serde_json::{Value, json};

const CONTRACTS: &str = "connector = \"contracts\"\n";

/// `counterfoil verify`: its exit code, and what it says as JSON.
fn verify(proof: &Path, more: &[&str]) -> Result<(Option<i32>, Value)> {
    let mut command = counterfoil()?;
    let said = command.arg("verify").arg(proof).args(more).arg("--json");
    let said = said.output()?;
    let words = serde_json::from_slice(&said.stdout);
    Ok((said.status.code(), words.unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_of_a_contract_is_checked_offline() -> Result<()> {
    let (ledger, other) = (Ledger::start()?, Ledger::start()?);
    let folder = ledger.scratch()?;
    let audit = Audit::start_with(&folder.join("audit"), ledger.ready(), Some(CONTRACTS), None)?;
    let (_, _, people) = audit.people(1).await?;
    let data = json!({"kg": 20, "grade": "A"});
    let new = json!({"record": "7", "about": ["lot:7"], "did": "weigh", "data": data});
    let stored = people[0].done(Method::POST, "/v1/records", &new).await?;

    let file = |name: &str, content: &Value| -> Result<_> {
        let path = folder.join(name);
        fs::write(&path, content.to_string())?;
        Ok(path)
    };
    let receipt = &stored["receipt"];
    let proof = file("receipt.json", receipt)?;
    let cert = ledger.ready().service_cert.display().to_string();
    let by = ["--service-cert", &cert];
    let (code, said) = verify(&proof, &by)?;
    ensure!(code == Some(0) && said["valid"] == true, "{said}");
    for field in ["transactionAddress", "contractAddress"] {
        ensure!(said[field] == stored[field], "{said}");
    }
    ensure!(said["event"]["what"] == stored["event"]["what"], "{said}");
    let root = said["root"].as_str().context("the tree is named")?;
    let claimed = &receipt["proof"]["receipt"]["applicationClaims"][0]["ethereumTransaction"];
    ensure!(
        said["sender"].is_string() && said["sender"] == claimed["from"],
        "{said}"
    );

    // The tree that one knows, and no other.
    let (code, said) = verify(&proof, &[&by[..], &["--root", root]].concat())?;
    ensure!(code == Some(0), "{said}");
    let contract = stored["contractAddress"].as_str().context("an address")?;
    let (code, said) = verify(&proof, &[&by[..], &["--root", contract]].concat())?;
    let why = said["reason"].as_str().unwrap_or_default();
    ensure!(code == Some(1) && why.contains("another tree"), "{said}");

    // Data beside it, by the file that the pages hand out.
    let mut handed_out = receipt.clone();
    handed_out["audit"] = json!({"salt": stored["salt"], "data": data});
    let handed_out = file("proof.json", &handed_out)?;
    let same = file("same.json", &json!({"grade": "A", "kg": 20.0}))?;
    let changed = file("changed.json", &json!({"grade": "B", "kg": 20}))?;
    for (data, code, fields) in [(&same, 0, json!([])), (&changed, 1, json!(["/grade"]))] {
        let data = data.display().to_string();
        let said = verify(&handed_out, &[&by[..], &["--data", &data]].concat())?;
        ensure!(said.0 == Some(code), "{said:?}");
        ensure!(said.1["data"]["fields"] == fields, "{said:?}");
    }

    // Another ledger, another event, and what is none.
    let stranger = other.ready().service_cert.display().to_string();
    let (code, said) = verify(&proof, &["--service-cert", &stranger])?;
    ensure!(code == Some(1) && said["valid"] == false, "{said}");
    let event = receipt["event"].as_str().context("the event's text")?;
    let mut forged = receipt.clone();
    forged["event"] = event.replace("weigh", "wiegh").into();
    let (code, said) = verify(&file("forged.json", &forged)?, &by)?;
    ensure!(code == Some(1), "{said}");
    forged["more"] = 1.into();
    let (code, said) = verify(&file("more.json", &forged)?, &by)?;
    ensure!(code == Some(2) && said["valid"] == false, "{said}");
    let (code, said) = verify(&proof, &["--block", &format!("0x{}", "1".repeat(64))])?;
    ensure!(code == Some(1) && said["valid"] == false, "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_checked_against_the_contracts_of_one_tree() -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?;
    let audit = Audit::start_with(&folder.join("audit"), ledger.ready(), Some(CONTRACTS), None)?;
    let (_, _, people) = audit.people(1).await?;
    let mut root = Value::Null;
    for number in 0..3 {
        let new =
            json!({"record": format!("lot-{number}"), "about": ["lot:1"], "data": {"kg": number}});
        let stored = people[0].done(Method::POST, "/v1/records", &new).await?;
        root = stored["receipt"]["root"].clone();
    }
    let table = folder.join("lots.csv");
    fs::write(&table, "lot,kg\n0,0\n1,99\n2,2\n")?;
    let check = |root: &str| -> Result<Value> {
        let mut command = counterfoil()?;
        command.args(["audit", "check"]).arg(&table);
        command.args(["--id-column", "lot", "--prefix", "lot-", "--without-id"]);
        command.args(["--url", &audit.ready().url, "--certificate"]);
        command.arg(&audit.ready().certificate);
        command.args(["--email", "user0@example.org", "--json", "--service-cert"]);
        command.arg(&ledger.ready().service_cert);
        command.args(["--root", root]);
        command.env("COUNTERFOIL_AUDIT_PASSWORD", e2e::PASSWORD);
        let said = command.output()?;
        ensure!(said.status.code() == Some(1), "{said:?}");
        Ok(serde_json::from_slice(&said.stdout)?)
    };
    let said = check(root.as_str().context("the tree is named")?)?;
    let counts = |said: &Value| {
        let counted = ["valid", "altered"].map(|name| said["summary"][name].as_u64());
        (counted, said["unproven"].as_u64())
    };
    ensure!(counts(&said) == ([Some(2), Some(1)], Some(0)), "{said}");
    let said = check(&format!("0x{}", "7".repeat(40)))?;
    ensure!(counts(&said).1 == Some(3), "{said}");
    Ok(())
}
