//! The page that browsers show, as far as no browser is needed.

use anyhow::Result;
use e2e::{Client, Ledger};

#[test]
fn the_pages_script_verifies_receipts_and_notices_changes() -> Result<()> {
    Client::Node.run("page.mjs", &[], &Ledger::start()?)
}
