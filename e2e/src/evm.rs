//! Contracts of ours for tests that reach them through the connector.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use anyhow::{Context, Result};
use connector::{Fees, Profile};
use serde_json::Value;

/// The code of a contract, from `contracts-sol/artifacts`.
///
/// # Errors
/// When there is no such contract.
pub fn bytecode(contract: &str) -> Result<Bytes> {
    let here = env::var_os("CARGO_MANIFEST_DIR").context("run it with cargo")?;
    let artifacts = Path::new(&here).join("../contracts-sol/artifacts");
    let text = fs::read_to_string(artifacts.join(format!("{contract}.json")))
        .with_context(|| format!("reading the artifact of {contract}"))?;
    let artifact: Value = serde_json::from_str(&text)?;
    let code = artifact["bytecode"].as_str().context("a bytecode")?;
    Ok(code.parse()?)
}

/// The first bytes of a call, for example of `anchor(bytes32)`.
pub fn selector(signature: &str) -> [u8; 4] {
    let digest = keccak256(signature);
    [digest[0], digest[1], digest[2], digest[3]]
}

/// An address as an argument.
pub fn word(address: Address) -> B256 {
    address.into_word()
}

/// A small number as an argument, or as a digest that is like no other.
pub fn numbered(number: u64) -> B256 {
    B256::left_padding_from(&(number + 1).to_be_bytes())
}

/// A text as the last argument.
pub fn text(text: &str) -> Vec<u8> {
    let mut bytes = B256::left_padding_from(&text.len().to_be_bytes()).to_vec();
    bytes.extend(text.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    bytes
}

/// The profile for anvil, whose blocks have a price.
#[must_use]
pub fn priced(profile: Profile) -> Profile {
    Profile {
        fees: Fees::Legacy {
            price: 3_000_000_000,
            replace: None,
        },
        poll: Duration::from_millis(50),
        resend_after: Duration::from_millis(500),
        ..profile
    }
}

/// Writes a key that only its owner may read.
///
/// # Errors
/// When it cannot be written.
pub fn key_file(folder: &Path, hex: &str) -> Result<PathBuf> {
    let path = folder.join("key");
    fs::write(&path, hex).context("writing a key")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(path)
}
