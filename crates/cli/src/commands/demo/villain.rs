//! Chapter four: somebody who holds the files, and somebody who holds a receipt, change one thing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use indicatif::HumanCount;
use store::{AuditError, AuditOptions, audit_with};
use verify::ReceiptError;

use crate::commands::verify::AnyReceipt;
use crate::out::{bad, bold, faint, good, marked, say};
use crate::report::Failure;
use crate::server::{CHUNKS_FOLDER, Server};

/// Plays it. The ledger itself is not touched: the villain works on copies.
pub(super) fn play(server: &Server, receipt: &Path) -> Result<()> {
    say!(
        "{} {}",
        bold("4  A villain"),
        faint("copies the ledger's files and changes one byte")
    );
    let original = server.dir.join(CHUNKS_FOLDER);
    let service = super::anchor(server)?;
    let options = AuditOptions {
        service: Some(service.clone()),
        ..AuditOptions::default()
    };
    let report = audit_with(&original, &options, |_| {})?;
    say!(
        "   {} the ledger: all {} entries, {} signatures",
        good("SOUND"),
        HumanCount(report.entries),
        HumanCount(report.signatures)
    );
    let scratch = tempfile::Builder::new()
        .prefix("counterfoil-villain-")
        .tempdir()?;
    let copy = scratch.path().join(CHUNKS_FOLDER);
    copy_folder(&original, &copy)?;
    let (file, place, before, after) = flip_one_byte(&copy)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    say!(
        "   one byte: {} at {place}, {before:#04x} -> {after:#04x}",
        marked(&name)
    );
    match audit_with(&copy, &options, |_| {}) {
        Err(AuditError::Broken {
            file,
            truth_ends,
            rule,
        }) => {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            say!("   {} the copy, in {name}: {rule}", bad("BROKEN"));
            say!("   truth ends after seqno {}", bold(truth_ends));
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Failure::new("a changed ledger passed the audit").into()),
    }
    say!();
    say!(
        "{} {}",
        bold("5  A forger"),
        faint("changes what the receipt says was recorded")
    );
    match AnyReceipt::read(&forged(receipt)?)?.check(service, None, None) {
        Err(ReceiptError::Claims { recorded, shown }) => {
            say!(
                "   {} the claims are not those of the receipt",
                bad("NOT VALID")
            );
            say!("   recorded {recorded}");
            say!("   shown    {shown}");
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Failure::new("a forged receipt was believed").into()),
    }
    say!();
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(Failure::writing(to))?;
    for entry in fs::read_dir(from).map_err(Failure::reading(from))? {
        let path = entry.map_err(Failure::reading(from))?.path();
        let copy = to.join(path.file_name().unwrap_or_default());
        fs::copy(&path, &copy).map_err(Failure::reading(&path))?;
    }
    Ok(())
}

/// Flips the lowest bit of a byte in the midst of the largest file. Gives where, and what was made
/// of what.
fn flip_one_byte(dir: &Path) -> Result<(PathBuf, usize, u8, u8), Failure> {
    let mut largest: Option<(u64, PathBuf)> = None;
    for entry in fs::read_dir(dir).map_err(Failure::reading(dir))? {
        let entry = entry.map_err(Failure::reading(dir))?;
        let length = entry.metadata().map_err(Failure::reading(dir))?.len();
        if largest.as_ref().is_none_or(|(most, _)| length > *most) {
            largest = Some((length, entry.path()));
        }
    }
    let (_, file) = largest.ok_or_else(|| Failure::new("the ledger has no files"))?;
    let mut bytes = fs::read(&file).map_err(Failure::reading(&file))?;
    let place = bytes.len() / 2;
    let before = bytes[place];
    let after = before ^ 1;
    bytes[place] = after;
    fs::write(&file, bytes).map_err(Failure::writing(&file))?;
    Ok((file, place, before, after))
}

/// The receipt with other contents: what somebody would show who claims that something else was
/// recorded.
fn forged(receipt: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(receipt).map_err(Failure::reading(receipt))?;
    let mut json: serde_json::Value = serde_json::from_slice(&bytes)?;
    let claims = json["applicationClaims"]
        .as_array_mut()
        .into_iter()
        .flatten();
    for claim in claims {
        let contents = &mut claim["ledgerEntry"]["contents"];
        let changed = contents
            .as_str()
            .unwrap_or_default()
            .replacen("20", "19", 1);
        *contents = match contents.as_str() {
            Some(text) if text != changed => changed.into(),
            _ => "nothing happened".into(),
        };
    }
    Ok(serde_json::to_vec(&json)?)
}
