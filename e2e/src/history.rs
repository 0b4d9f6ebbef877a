//! What is on the disks of several nodes: one history, or two.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::network::Network;
use crate::server::counterfoil;

/// Waits until all nodes have the same, stops them, and makes sure that each ledger is whole and all
/// are the same.
///
/// # Errors
/// When they are not, with what differs.
pub fn one_history(network: &mut Network) -> Result<()> {
    network.caught_up()?;
    for node in &mut network.nodes {
        node.stop()?;
    }
    let folders: Vec<&Path> = network.nodes.iter().map(crate::Node::folder).collect();
    same_history(&folders)
}

/// Makes sure that the ledgers in these folders are whole, and the same up to where the shortest
/// ends. Nobody may write to them meanwhile.
///
/// # Errors
/// When they are not, with what differs.
pub fn same_history(folders: &[&Path]) -> Result<()> {
    let mut histories = Vec::new();
    for folder in folders {
        whole(folder)?;
        histories.push(ledger_bytes(&folder.join("ledger"))?);
    }
    let shortest = histories.iter().map(Vec::len).min().unwrap_or(0);
    for (history, folder) in histories.iter().zip(folders) {
        let differs = history[..shortest]
            .iter()
            .zip(&histories[0])
            .position(|(one, other)| one != other);
        ensure!(
            differs.is_none(),
            "two histories: {} and {} differ at byte {differs:?}",
            folders[0].display(),
            folder.display()
        );
    }
    Ok(())
}

/// Makes sure that the ledger in this folder is whole. Nobody may write to it meanwhile.
///
/// # Errors
/// When it is not, with what is wrong.
pub(crate) fn whole(folder: &Path) -> Result<()> {
    let audited = counterfoil()?
        .args(["ledger", "audit", "--json"])
        .arg(folder)
        .output()?;
    let said = String::from_utf8_lossy(&audited.stdout).into_owned();
    ensure!(audited.status.success(), "{}: {said}", folder.display());
    Ok(())
}

/// The entries of a ledger, one after the other, whatever file each is in.
fn ledger_bytes(folder: &Path) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for path in chunks(folder)? {
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let header = bytes.first_chunk::<8>().context("a chunk has a header")?;
        let end = match u64::from_le_bytes(*header) {
            0 => bytes.len(),
            end => usize::try_from(end)?,
        };
        all.extend_from_slice(&bytes[8..end]);
    }
    Ok(all)
}

/// The ledger files of a folder, oldest first.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn chunks(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let first = name.unwrap_or_default().trim_start_matches("ledger_");
        let first = first.split(['-', '.']).next().unwrap_or_default();
        files.push((first.parse()?, path));
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}
