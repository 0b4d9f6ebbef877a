//! The pages of the audit services, in a browser that nobody of us wrote.

use anyhow::Result;
use e2e::{Client, Ledger};

#[test]
fn the_pages_compute_what_the_services_do_and_take_nothing_forged() -> Result<()> {
    Client::NodeWith("pages").run("rules.mjs", &[], &Ledger::start()?)
}

#[test]
fn the_pages_work_in_a_browser_whatever_they_are_told() -> Result<()> {
    Client::NodeWith("pages").run("browser.mjs", &[], &Ledger::start()?)
}

#[test]
fn logs_show_new_events_as_they_come_and_ask_for_them_while_somebody_looks() -> Result<()> {
    Client::NodeWith("pages").run("live.mjs", &[], &Ledger::start()?)
}
