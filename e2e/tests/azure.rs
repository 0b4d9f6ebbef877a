//! The vendor's own SDKs, unmodified, over TLS, with a token and with a client certificate.

use anyhow::Result;
use e2e::{Client, Ledger, client_certificate};

const SDK_1: Client = Client::Python("azure1");
const SDK_2: Client = Client::Python("azure2");

/// Runs one script with each kind of caller, against one ledger.
fn as_both_callers(sdk: Client, script: &str, args: &[&str]) -> Result<()> {
    let ledger = Ledger::start_with(args)?;
    for caller in ["token", "cert"] {
        sdk.run(script, &[caller], &ledger)?;
    }
    Ok(())
}

#[test]
fn sdk_1_writes_reads_and_verifies() -> Result<()> {
    as_both_callers(SDK_1, "azure_entries.py", &[])
}

#[test]
fn sdk_2_writes_reads_and_verifies() -> Result<()> {
    as_both_callers(SDK_2, "azure_entries.py", &[])
}

#[test]
fn sdk_2_writes_reads_and_verifies_on_a_public_ledger() -> Result<()> {
    as_both_callers(SDK_2, "azure_entries.py", &["--public"])
}

#[test]
fn both_sdks_take_receipts_with_cosignatures() -> Result<()> {
    for sdk in [SDK_1, SDK_2] {
        sdk.run("cosignatures.py", &[], &Ledger::start()?)?;
    }
    Ok(())
}

#[test]
fn sdk_1_lists_ranges_over_pages() -> Result<()> {
    SDK_1.run("azure_ranges.py", &["token"], &Ledger::start()?)
}

#[test]
fn sdk_2_lists_ranges_over_pages() -> Result<()> {
    SDK_2.run("azure_ranges.py", &["cert"], &Ledger::start()?)
}

#[test]
fn sdk_1_manages_users_and_meets_their_limits() -> Result<()> {
    as_both_callers(SDK_1, "azure_users.py", &[])
}

#[test]
fn sdk_2_manages_users_and_meets_their_limits() -> Result<()> {
    as_both_callers(SDK_2, "azure_users.py", &[])
}

#[test]
fn sdk_2_defines_roles_and_meets_their_limits() -> Result<()> {
    as_both_callers(SDK_2, "azure_roles.py", &[])
}

#[test]
fn sdk_2_tags_entries_of_a_public_ledger() -> Result<()> {
    SDK_2.run(
        "azure_tags.py",
        &["token"],
        &Ledger::start_with(&["--public"])?,
    )
}

#[test]
fn sdk_1_is_told_what_it_did_wrong() -> Result<()> {
    as_both_callers(SDK_1, "azure_errors.py", &[])
}

#[test]
fn sdk_2_is_told_what_it_did_wrong() -> Result<()> {
    as_both_callers(SDK_2, "azure_errors.py", &[])
}

#[test]
fn the_javascript_client_does_the_main_flows() -> Result<()> {
    let ledger = Ledger::start()?;
    Client::Node.run("azure.mjs", &["token"], &ledger)?;
    let certificate = ledger.scratch()?.join("javascript.pem");
    client_certificate(&certificate)?;
    let certificate = certificate.to_string_lossy();
    Client::Node.run("azure.mjs", &["cert", &certificate], &ledger)
}
