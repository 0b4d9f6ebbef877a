//! What power loss leaves in the files of a node that was writing.
//!
//! Only what no node was ever told of is touched: bytes behind the last whole batch, and the index
//! that is not synced. What is synced is there after a loss of power; a disk that lies is another
//! fault, and no majority survives it.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};

use super::plan::Torn;
use crate::history::chunks;
use crate::random::Random;

/// Bytes of one place in the index of places.
const PLACE: u64 = 8;

/// Tears the files in a node's folder; says what was done. Its process must be gone.
pub(crate) fn tear(folder: &Path, torn: Torn, random: &mut Random) -> Result<String> {
    if let Torn::Places(amount) = torn {
        let path = folder.join("consensus/positions");
        let length = fs::metadata(&path).map_or(0, |file| file.len());
        let left = length
            .saturating_sub(u64::from(amount))
            .max(PLACE.min(length));
        let file = OpenOptions::new().write(true).open(&path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        file.set_len(left)?;
        return Ok(format!(
            "{} of {length} bytes of places lost",
            length - left
        ));
    }
    let Some(path) = chunks(&folder.join("ledger"))?.pop() else {
        return Ok("there is no ledger yet".to_owned());
    };
    let sound = fs::read(&path)?;
    let whole = sound
        .first_chunk::<8>()
        .is_none_or(|header| *header != [0; 8]);
    if whole {
        return Ok("no ledger file is open".to_owned());
    }
    let tail = match torn {
        Torn::Noise(count) => random.bytes(usize::from(count)),
        Torn::Zeros(count) => vec![0; usize::from(count)],
        Torn::Batch(count) | Torn::Places(count) => {
            // A whole batch in the wrong place is damage, which no loss of power leaves.
            let part = first_batch(&sound[8..]).saturating_sub(1);
            sound[8..8 + part.min(usize::from(count))].to_vec()
        }
    };
    let mut file = OpenOptions::new().append(true).open(&path)?;
    match file.write_all(&tail) {
        // A full disk tears the write once more.
        Err(error) if error.kind() == ErrorKind::StorageFull => {}
        written => written.with_context(|| format!("tearing {}", path.display()))?,
    }
    file.sync_all()?;
    Ok(format!(
        "{} bytes behind the {} of {}",
        tail.len(),
        sound.len(),
        path.display()
    ))
}

/// The length of the first batch: entries up to the first that has a signature.
fn first_batch(entries: &[u8]) -> usize {
    let signature = b"public:ccf.internal.signatures";
    let mut end = 0;
    while let Some(header) = entries[end..].first_chunk::<8>() {
        // Two bytes of version and flags, then the length of what follows.
        let length = (u64::from_le_bytes(*header) >> 16) as usize;
        let Some(entry) = entries.get(end..end + 8 + length) else {
            break;
        };
        end += entry.len();
        if entry.windows(signature.len()).any(|name| name == signature) {
            break;
        }
    }
    end
}
