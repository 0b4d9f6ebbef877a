//! Chapter four: somebody who holds the files, and somebody who holds a receipt, change one thing.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Result;
use indicatif::HumanCount;
use ledger::chunk::{CHUNK_HEADER_LEN, ChunkName};
use ledger::entry::{self, HEADER_LEN};
use store::{AuditError, AuditOptions, audit_with};
use verify::{ReceiptError, Seqno, TxId};

use crate::commands::verify::AnyReceipt;
use crate::out::{bad, bold, faint, good, marked, say};
use crate::report::Failure;
use crate::server::{CHUNKS_FOLDER, Server};

/// Plays it. The ledger itself is not touched: the villain works on copies.
pub(super) fn play(server: &Server, sample: TxId, receipt: &Path) -> Result<()> {
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
    let place = find(&copy, sample.seqno)?;
    let (at, before, after) = flip_one_byte(&place)?;
    let name = file_name(&place.file);
    say!(
        "   {} in entry {}: {name} at {at}, {before:#04x} -> {after:#04x}",
        bold("one byte"),
        marked(sample.seqno)
    );
    match audit_with(&copy, &options, |_| {}) {
        Err(AuditError::Broken {
            file,
            truth_ends,
            rule,
        }) => {
            say!(
                "   {} the copy, in {}: {rule}",
                bad("BROKEN"),
                file_name(&file)
            );
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
