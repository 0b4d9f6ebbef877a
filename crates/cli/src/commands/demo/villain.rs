//! Chapter four: somebody who holds the files, and somebody who holds a receipt, change one thing.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ledger::chunk::{CHUNK_HEADER_LEN, ChunkName};
use ledger::entry::{self, HEADER_LEN};
use store::{AuditError, AuditOptions, audit_with};
use verify::{Cert, ReceiptError, Seqno, TxId};

use crate::commands::verify::AnyReceipt;
use crate::out::{bad, bold, faint, marked, say};
use crate::report::Failure;
use crate::server::CHUNKS_FOLDER;

/// Plays it. The ledger itself is not touched: the villain works on copies.
pub(super) fn play(node: &Path, service: &Cert, sample: TxId, receipt: &Path) -> Result<()> {
    change_a_file(node, service, sample)?;
    change_a_receipt(service, receipt)
}

fn change_a_file(node: &Path, service: &Cert, sample: TxId) -> Result<()> {
    let scratch = tempfile::Builder::new()
        .prefix("counterfoil-villain-")
        .tempdir()?;
    let copy = scratch.path().join(CHUNKS_FOLDER);
    copy_folder(&node.join(CHUNKS_FOLDER), &copy)?;
    let options = AuditOptions {
        service: Some(service.clone()),
        ..AuditOptions::default()
    };
    audit_with(&copy, &options, |_| {})?;
    let place = find(&copy, sample.seqno)?;
    let (at, before, after) = flip_one_byte(&place)?;
    say!(
        "   {} in entry {}: {} at {at}, {before:#04x} -> {after:#04x}",
        bold("one byte"),
        marked(sample.seqno),
        file_name(&place.file)
    );
    match audit_with(&copy, &options, |_| {}) {
        Err(AuditError::Broken {
            file,
            truth_ends,
            rule,
        }) => {
            let file = file_name(&file);
            say!("   {} the copy, in {file}: {rule}", bad("BROKEN"));
            say!("   truth ends after seqno {}", bold(truth_ends));
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Err(Failure::new("a changed ledger passed the audit").into()),
    }
}

fn change_a_receipt(service: &Cert, receipt: &Path) -> Result<()> {
    match AnyReceipt::read(&forged(receipt)?)?.check(service.clone(), None, None) {
        Err(ReceiptError::Claims { recorded, .. }) => {
            say!(
                "   {} the changed receipt: its claims are not those recorded {}",
                bad("NOT VALID"),
                faint(recorded)
            );
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Err(Failure::new("a forged receipt was believed").into()),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
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

/// Where the bytes of an entry are: a file and a range in it.
struct Place {
    file: PathBuf,
    bytes: Range<usize>,
}

/// Finds an entry in the ledger files, as anybody can who has them.
fn find(dir: &Path, seqno: Seqno) -> Result<Place> {
    for entry in fs::read_dir(dir).map_err(Failure::reading(dir))? {
        let file = entry.map_err(Failure::reading(dir))?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let Some(chunk) = ChunkName::parse(&name) else {
            continue;
        };
        if seqno < chunk.first || chunk.last.is_some_and(|last| last < seqno) {
            continue;
        }
        let content = fs::read(&file).map_err(Failure::reading(&file))?;
        let (mut at, mut current) = (CHUNK_HEADER_LEN, chunk.first);
        while let Some((header, _)) = content[at..].split_first_chunk::<HEADER_LEN>() {
            let end = at + entry::length_of(*header)?;
            if current == seqno {
                return Ok(Place {
                    bytes: at..end,
                    file,
                });
            }
            (at, current) = (end, current.next());
        }
    }
    Err(Failure::new(format!("there is no entry {seqno} in {}", dir.display())).into())
}

/// Flips the lowest bit of a byte near the end of an entry, where its contents are. Gives where it
/// is in the file, and what was made of what.
fn flip_one_byte(place: &Place) -> Result<(usize, u8, u8), Failure> {
    let file = &place.file;
    let mut bytes = fs::read(file).map_err(Failure::reading(file))?;
    let at = place.bytes.end - place.bytes.len() / 8;
    let before = bytes[at];
    bytes[at] ^= 1;
    let after = bytes[at];
    fs::write(file, bytes).map_err(Failure::writing(file))?;
    Ok((at, before, after))
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
