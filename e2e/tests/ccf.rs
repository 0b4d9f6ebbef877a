//! Readers and verifiers of CCF's formats, written by others.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use e2e::{Client, Ledger};

/// Writes of one run of `cose_receipts.py`.
const WRITES: &str = "20";

fn read_and_validate(reader: &'static str, args: &[&str]) -> Result<()> {
    let mut ledger = Ledger::start_with(args)?;
    for end in [Ledger::stop, Ledger::kill] {
        Client::Python(reader).run("cose_receipts.py", &[], &ledger)?;
        end(&mut ledger)?;
        Client::Python(reader).run("ccf_ledger.py", &[WRITES], &ledger)?;
        ledger.start_again()?;
    }
    Ok(())
}

#[test]
fn the_newest_reader_validates_the_folder_and_receipts() -> Result<()> {
    read_and_validate("ccf", &[])
}

#[test]
fn the_newest_reader_validates_a_public_ledger() -> Result<()> {
    read_and_validate("ccf", &["--public"])
}

#[test]
fn an_older_reader_validates_the_folder_and_receipts() -> Result<()> {
    read_and_validate("ccf6", &[])
}

#[test]
fn cosignatures_hold_without_our_code_and_readers_take_such_receipts() -> Result<()> {
    for reader in ["ccf", "ccf6"] {
        Client::Python(reader).run("cosignatures.py", &[], &Ledger::start()?)?;
    }
    Ok(())
}

#[test]
fn the_folder_of_a_running_server_can_be_read() -> Result<()> {
    let ledger = Ledger::start()?;
    Client::Python("ccf").run("cose_receipts.py", &[], &ledger)?;
    Client::Python("ccf").run("ccf_ledger.py", &[WRITES], &ledger)
}

#[test]
fn no_file_holds_what_a_private_ledger_was_told() -> Result<()> {
    let mut ledger = Ledger::start()?;
    Client::Python("ccf").run("cose_receipts.py", &[], &ledger)?;
    // The state store keeps what it was told last in a journal, and other files once it stopped.
    assert_eq!(files_with(&ledger.folder(), "lot 7")?, Vec::<String>::new());
    ledger.stop()?;
    assert_eq!(files_with(&ledger.folder(), "lot 7")?, Vec::<String>::new());

    let public = Ledger::start_with(&["--public"])?;
    Client::Python("ccf").run("cose_receipts.py", &[], &public)?;
    assert!(
        !files_with(&public.folder(), "lot 7")?.is_empty(),
        "the search finds nothing at all"
    );
    Ok(())
}

/// The files below a folder that contain this text.
fn files_with(folder: &Path, text: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in folder
        .read_dir()
        .with_context(|| format!("reading {}", folder.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_with(&path, text)?);
        } else if String::from_utf8_lossy(&fs::read(&path)?).contains(text) {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}
