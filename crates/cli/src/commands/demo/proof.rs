//! The last chapter: everything is checked from files alone; no node is asked.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use indicatif::HumanCount;
use ledger::governance::story::What;
use store::AuditOptions;

use super::network::Network;
use crate::commands::story;
use crate::commands::verify::AnyReceipt;
use crate::out::{faint, good, one_line, say, warning};
use crate::report::Failure;
use crate::server::CHUNKS_FOLDER;

/// Checks each receipt in a folder; `what` they are called.
pub(super) fn check_receipts(network: &Network, folder: &Path, what: &str) -> Result<()> {
    let anchor = network.anchor()?;
    let started = Instant::now();
    let mut count = 0;
    for file in fs::read_dir(folder).map_err(Failure::reading(folder))? {
        let path = file.map_err(Failure::reading(folder))?.path();
        let bytes = fs::read(&path).map_err(Failure::reading(&path))?;
        AnyReceipt::read(&bytes)?.check(anchor.clone(), None, None)?;
        count += 1;
    }
    say!(
        "   {} all {} {what}, offline, with the service certificate alone {}",
        good("VALID"),
        HumanCount(count),
        faint(format!("in {} ms", started.elapsed().as_millis()))
    );
    Ok(())
}

/// Who vouches for the development administrator: `--dev` writes it, and no member signs for it.
const OF_DEV: &str = "public:ccf.gov.jwt.issuers changed";

/// Tells who decided what, by the files of the last node that joined.
pub(super) fn tell_who_decided(network: &Network) -> Result<()> {
    let Some(node) = network.nodes.last() else {
        return Err(Failure::new("there is no node").into());
    };
    let options = AuditOptions {
        service: Some(network.anchor()?),
        ..AuditOptions::default()
    };
    let (events, verdict) = story::read(&node.dir.join(CHUNKS_FOLDER), &options);
    let report = verdict?;
    say!(
        "   {} the files of {}'s node, all {} entries. Who decided what, by them:",
        good("SOUND"),
        node.name,
        HumanCount(report.entries)
    );
    // Only before the members have decided anything.
    let mut of_dev = true;
    for event in &events {
        let id = format!("{:>6}", event.transaction_id.to_string());
        of_dev &= !matches!(event.what, What::Proposed { .. });
        match &event.what {
            What::Wrong { why } if of_dev && why.starts_with(OF_DEV) => {
                say!("   {}  {} {why}", faint(id), warning("by --dev alone:"));
            }
            What::Wrong { why } => return Err(Failure::new(why).into()),
            What::Founded { .. } | What::Proposed { .. } | What::Decided { .. } => {
                say!("   {}  {}", faint(id), one_line(&event.sentence(), 100));
            }
            _ => {}
        }
    }
    Ok(())
}
