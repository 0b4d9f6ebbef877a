//! A file of records, each a line that shows whether it is whole.
//!
//! ```text
//! line    16 hex digits of the SHA-256 of what follows the space, a space, JSON, a line feed
//! ```
//!
//! A record is complete when its line feed is there. What a crash leaves of the last one was never relied on, if
//! who wrote it synced before relying on anything, and does not count; anything else that does not fit its digest
//! is damage, and refused.

use serde::Serialize;
use serde::de::DeserializeOwned;
use verify::Digest;

const DIGEST_DIGITS: usize = 16;

/// A line that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Which, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// A record as a line.
///
/// # Panics
/// It cannot be written as JSON: it has maps whose keys are no text.
pub fn line(record: &impl Serialize) -> Vec<u8> {
    let json = serde_json::to_string(record).expect("records have text for keys");
    let digest = Digest::of(json.as_bytes()).to_string();
    format!("{} {json}\n", &digest[..DIGEST_DIGITS]).into_bytes()
}

/// The records in a file, and how many bytes of it are whole. No line has more than so many bytes. A record
/// `is_note` if it was not synced before others came behind it, because it can be found out again.
///
/// # Errors
/// A line was changed that was synced.
pub fn read<T: DeserializeOwned>(
    bytes: &[u8],
    line_bytes_max: usize,
    is_note: impl Fn(&T) -> bool,
) -> Result<(Vec<T>, usize), Damage> {
    let parse = |line: &[u8]| parse::<T>(line, line_bytes_max);
    // Whether a line behind a torn one may go with it.
    let is_lost_without_harm = |line: &[u8]| {
        let is_torn = line.contains(&0) || !line.ends_with(b"\n");
        is_torn || parse(line).is_ok_and(|record| is_note(&record))
    };
    let (mut records, mut good) = (Vec::new(), 0);
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        // Only what was not synced can be torn: the last line, and notes before it. It is without its
        // end, or has pages that were never written, which read as zeros, as JSON never does.
        let is_last = lines.peek().is_none();
        let unwritten = line.contains(&0) && lines.clone().all(is_lost_without_harm);
        if unwritten || (is_last && !line.ends_with(b"\n")) {
            break;
        }
        let line_number = records.len() + 1;
        records.push(parse(line).map_err(|why| Damage {
            line: line_number,
            why,
        })?);
        good += line.len();
    }
    Ok((records, good))
}

fn parse<T: DeserializeOwned>(line: &[u8], bytes_max: usize) -> Result<T, String> {
    if line.len() > bytes_max {
        return Err(format!("it has more than {bytes_max} bytes"));
    }
    let text = str::from_utf8(line).map_err(|_| "it is not text")?;
    let (digest, json) = text
        .trim_end_matches('\n')
        .split_once(' ')
        .ok_or("it has no digest")?;
    if Digest::of(json.as_bytes()).to_string()[..DIGEST_DIGITS] != *digest {
        return Err("its digest does not fit".to_owned());
    }
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read::<u64>(&bytes, 100, |_| false);
        }

        #[test]
        fn what_was_torn_at_the_end_is_cut(numbers in proptest::collection::vec(any::<u64>(), 1..5), torn in 1..20_usize) {
            let mut bytes: Vec<u8> = numbers.iter().flat_map(line).collect();
            let last = line(numbers.last().unwrap()).len();
            let whole = bytes.len() - last;
            bytes.truncate(bytes.len() - torn.min(last));
            let read = read::<u64>(&bytes, 100, |_| false).unwrap();
            prop_assert_eq!(read, (numbers[..numbers.len() - 1].to_vec(), whole));
        }
    }
}
