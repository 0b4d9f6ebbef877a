//! Governance, signed with the tools of others and with our own commands.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{Client, Ledger, counterfoil, packages, run_guide, said};
use serde_json::Value;
use tempfile::TempDir;

/// Makes keys as CCF's members make them, with the script that comes with CCF's tools.
fn make_keys(folder: &Path, python: &str) -> Result<()> {
    let script = packages(python)?.join("bin/keygenerator.sh");
    for name in [
        "member0", "member1", "member2", "member3", "stranger", "user",
    ] {
        let mut keygen = Command::new(&script);
        keygen.args(["--name", name]).current_dir(folder);
        match name {
            // The other curve that members may use.
            "member1" => keygen.args(["--curve", "secp256r1"]),
            "member3" => keygen.arg("--gen-enc-key"),
            _ => &mut keygen,
        };
        let made = keygen.output().context("running CCF's keygenerator.sh")?;
        let said = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "keygenerator.sh: {said}");
    }
    Ok(())
}

fn founded_by_three(keys: &Path) -> Result<Ledger> {
    let certs = [0, 1, 2].map(|member| keys.join(format!("member{member}_cert.pem")));
    let mut args = Vec::new();
    for cert in &certs {
        args.extend(["--member", cert.to_str().context("a path is text")?]);
    }
    Ledger::start_with(&args)
}

fn govern_with_the_tools_of_ccf(python: &'static str) -> Result<()> {
    let keys = TempDir::with_prefix("counterfoil-e2e-keys-")?;
    make_keys(keys.path(), python)?;
    let mut ledger = founded_by_three(keys.path())?;
    let folder = keys.path().to_str().context("a path is text")?;
    let client = Client::Python(python);
    client.run_with("ccf_governance.py", &[], &[("E2E_KEYS", folder)], &ledger)?;
    ledger.stop()?;
    client.run("ccf_governance_audit.py", &[], &ledger)?;
    client.run("ccf_ledger.py", &["40"], &ledger)?;

    let told = said(
        counterfoil()?
            .args(["ledger", "governance"])
            .arg(ledger.folder()),
    )?;
    for sentence in [
        "the ledger was founded by",
        "member0 proposed",
        "member1 said yes to",
        "was rejected (yes: nobody; no: ",
        "member1 withdrew",
        "Dave acknowledged the state",
        "Dave is a member, Active",
        "was dropped, as who votes or how has changed",
        "accepted, but could not be done",
        "user u6 is Contributor",
    ] {
        ensure!(told.contains(sentence), "{sentence:?} is not in\n{told}");
    }
    ensure!(!told.contains("WRONG"), "{told}");
    Ok(())
}

#[test]
fn the_newest_tools_of_ccf_govern() -> Result<()> {
    govern_with_the_tools_of_ccf("ccf")
}

#[test]
fn older_tools_of_ccf_govern() -> Result<()> {
    govern_with_the_tools_of_ccf("ccf6")
}

#[test]
fn our_commands_take_keys_that_others_made() -> Result<()> {
    let keys = TempDir::with_prefix("counterfoil-e2e-keys-")?;
    make_keys(keys.path(), "ccf")?;
    let ledger = founded_by_three(keys.path())?;
    let run = |member: usize, args: &[&str]| -> Result<Value> {
        let mut command = counterfoil()?;
        command
            .args(args)
            .args(["--json", "--ledger"])
            .arg(ledger.folder());
        for (flag, what) in [("--member-cert", "cert"), ("--member-key", "privk")] {
            let file = keys.path().join(format!("member{member}_{what}.pem"));
            command.arg(flag).arg(file);
        }
        Ok(serde_json::from_str(&said(&mut command)?)?)
    };
    let proposed = run(0, &["proposal", "create", "set_user", "user_id=u", "--yes"])?;
    let id = proposed["proposalId"].as_str().context("it has an id")?;
    let decided = run(2, &["proposal", "vote", id, "yes"])?;
    ensure!(decided["proposalState"] == "Accepted", "{decided}");
    let digest = run(1, &["member", "ack"])?;
    ensure!(
        digest["stateDigest"]
            .as_str()
            .is_some_and(|it| it.len() == 64),
        "{digest}"
    );
    Ok(())
}

/// Where Debian puts the library of the software security module.
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

#[test]
fn a_member_signs_with_a_key_that_a_device_keeps() -> Result<()> {
    let keys = TempDir::with_prefix("counterfoil-e2e-keys-")?;
    let path = |name: &str| keys.path().join(name);
    let ledger = Ledger::start()?;
    fs::create_dir(path("tokens"))?;
    let config = format!("directories.tokendir = {}\n", path("tokens").display());
    fs::write(path("softhsm2.conf"), config)?;
    fs::write(path("pin"), "2468\n")?;
    let device = |args: &[&str]| {
        let mut command = Command::new("softhsm2-util");
        said(
            command
                .args(args)
                .env("SOFTHSM2_CONF", path("softhsm2.conf")),
        )
    };
    let pins = ["--so-pin", "13579", "--pin", "2468"];
    device(
        &[
            &["--init-token", "--free", "--label", "The members"],
            &pins[..],
        ]
        .concat(),
    )?;
    let file = ledger.folder().join("member0_privk.pem");
    let file = file.to_str().context("a path is text")?;
    let name = [
        "--token",
        "The members",
        "--label",
        "member0",
        "--id",
        "a1",
        "--pin",
        "2468",
    ];
    device(&[&["--import", file], &name[..]].concat())?;

    let run = |args: &[&str], key: &str| -> Result<std::process::Output> {
        let mut command = counterfoil()?;
        command
            .args(args)
            .args(["--json", "--ledger"])
            .arg(ledger.folder());
        command
            .arg("--member-cert")
            .arg(ledger.folder().join("member0_cert.pem"));
        command
            .args(["--member-key", key])
            .env("SOFTHSM2_CONF", path("softhsm2.conf"));
        Ok(command.output()?)
    };
    let pin = path("pin").display().to_string();
    let token = format!("pkcs11:token=The%20members;object=member0?module-path={MODULE}");
    let create = ["proposal", "create", "set_user", "user_id=u", "--yes"];
    let output = run(&create, &format!("{token}&pin-source=file:{pin}"))?;
    let proposed: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    ensure!(proposed["proposalState"] == "Accepted", "{proposed}");
    for (key, why) in [
        (format!("{token}&pin-value=0000"), "refuses the PIN"),
        (token.clone(), "is not there"),
        (
            token.replace("member0", "other") + "&pin-value=2468",
            "is not there",
        ),
        (token.replace("The%20members", "Others"), "has 0 tokens"),
        (
            token.replace("libsofthsm2", "nothing"),
            "no PKCS#11 library",
        ),
    ] {
        let output = run(&["member", "ack"], &key)?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success() && error.contains(why),
            "{key}: {error}"
        );
    }
    // Another key under the same name does not sign in the member's name.
    said(
        counterfoil()?
            .args(["member", "keygen", "thief", "--out"])
            .arg(keys.path()),
    )?;
    let thief = path("thief_privk.pem");
    let thief = thief.to_str().context("a path is text")?;
    let name = [
        "--token",
        "The members",
        "--label",
        "thief",
        "--id",
        "b2",
        "--pin",
        "2468",
    ];
    device(&[&["--import", thief], &name[..]].concat())?;
    let key = token.replace("member0", "thief") + "&pin-value=2468";
    let output = run(&["member", "ack"], &key)?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        error.contains("not the key of the member's certificate"),
        "{error}"
    );
    Ok(())
}

#[test]
fn the_members_guide_works_as_it_is_written() -> Result<()> {
    run_guide(&["governance.md"], &[&packages("ccf")?.join("bin")])
}
