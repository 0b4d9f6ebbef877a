//! The server starts, stops, and is the same service afterwards.

use std::fs;

use anyhow::Result;
use e2e::{Client, Ledger};

#[test]
fn the_service_keeps_its_identity_and_its_entries() -> Result<()> {
    let mut ledger = Ledger::start()?;
    let identity = fs::read(&ledger.ready().service_cert)?;
    for end in [Ledger::stop, Ledger::kill] {
        Client::Python("azure1").run("azure_entries.py", &["token"], &ledger)?;
        end(&mut ledger)?;
        ledger.start_again()?;
        assert_eq!(fs::read(&ledger.ready().service_cert)?, identity);
    }
    Client::Python("azure1").run("azure_entries.py", &["token"], &ledger)
}

#[test]
fn a_folder_is_served_once_at_a_time() -> Result<()> {
    let mut first = Ledger::start()?;
    // A second server on the same folder must refuse and leave the first one alone.
    assert!(first.start_another().is_err());
    Client::Python("azure1").run("azure_entries.py", &["token"], &first)?;
    first.stop()
}

#[cfg(unix)]
#[test]
fn secrets_are_for_the_owner_only() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let ledger = Ledger::start()?;
    let mut folders = vec![ledger.folder()];
    let mut secrets = 0;
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir()? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let name = entry.file_name().to_string_lossy().to_lowercase();
            if ["key", "secret", "token"]
                .iter()
                .any(|word| name.contains(word))
            {
                let mode = entry.metadata()?.permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", entry.path().display());
                secrets += 1;
            }
        }
    }
    assert!(secrets > 0, "no file looks like a secret");
    Ok(())
}
