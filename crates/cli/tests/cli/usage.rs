//! What the command says of itself, and how it refuses.

use std::fs;

use crate::common::{Ran, counterfoil};

fn run(args: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    counterfoil(folder.path())
        .args(args)
        .output()
        .unwrap()
        .into()
}

/// The list of commands is a promise; `UPDATE_GOLDEN=1` writes it anew.
#[test]
fn the_list_of_commands_is_the_one_that_is_documented() {
    let said = run(&["--help"]).ok();
    let path = "tests/cli/help.txt";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, &said).unwrap();
    }
    assert_eq!(said, fs::read_to_string(path).unwrap());
}

#[test]
fn every_command_has_an_example() {
    for command in [
        "up",
        "audit all",
        "audit gateway",
        "audit users",
        "audit audit",
        "audit identity",
        "audit check",
        "agents",
        "demo",
        "entry write",
        "entry read",
        "entry list",
        "entry import",
        "entry watch",
        "receipt get",
        "verify",
        "recover",
        "member recovery-share",
        "ledger audit",
        "ledger identity",
        "contract account",
        "contract deploy",
        "contract call",
        "contract send",
        "contract logs",
        "user list",
        "user show",
        "user set",
        "user remove",
        "bench write",
        "bench read",
        "bench receipt",
        "completions",
    ] {
        let mut args: Vec<_> = command.split(' ').collect();
        args.push("--help");
        let said = run(&args).ok();
        assert!(said.contains("Example"), "{command}: {said}");
        assert!(
            said.contains(&format!("counterfoil {command}")),
            "{command}: {said}"
        );
    }
}

#[test]
fn shells_get_completions() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completions", shell]).ok().contains("counterfoil"));
    }
}

#[test]
fn a_new_ledger_needs_an_administrator() {
    let ran = run(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("hint: say --administrator"), "{}", ran.err);
}

#[test]
fn without_a_ledger_one_is_told_how_to_name_one() {
    let ran = run(&["entry", "list"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.starts_with("error: no ledger was named\n  hint: "),
        "{}",
        ran.err
    );
}

#[test]
fn a_ledger_that_does_not_run_is_said_to_be_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let cert = rcgen::CertificateParams::default()
        .self_signed(&key)
        .unwrap();
    fs::write(folder.path().join("cert.pem"), cert.pem()).unwrap();
    let mut command = counterfoil(folder.path());
    command.args([
        "entry",
        "list",
        "--url",
        "https://127.0.0.1:1",
        "--service-cert",
        "cert.pem",
    ]);
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("hint: is the ledger running?"),
        "{}",
        ran.err
    );
}

#[test]
fn a_misspelt_configuration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("c.toml"), "lissten = \"127.0.0.1:0\"\n").unwrap();
    let mut command = counterfoil(folder.path());
    let ran = Ran::from(command.args(["up", "--config", "c.toml"]).output().unwrap());
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("lissten"), "{}", ran.err);
}
