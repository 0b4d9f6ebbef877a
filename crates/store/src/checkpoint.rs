//! The durable note of how far everything that is derived from the ledger files is synced.

use std::io;
use std::path::PathBuf;

use verify::{Digest, Seqno};

use crate::durable::write_atomically;
use crate::error::{OpenError, REBUILD, StoreError};

const TITLE: &str = "counterfoil checkpoint 1";

/// The file `index/checkpoint`: one line, `counterfoil checkpoint 1 SEQNO CHECK`, where CHECK is
/// the digest of what stands before it.
#[derive(Debug)]
pub(crate) struct CheckpointFile {
    path: PathBuf,
}

impl CheckpointFile {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The seqno noted; zero where there is no file yet.
    ///
    /// Power loss cannot damage this file, so one that is unreadable is refused.
    pub(crate) fn read(&self) -> Result<Seqno, OpenError> {
        match std::fs::read(&self.path) {
            Ok(bytes) => parse(&bytes).ok_or_else(|| OpenError::DamagedIndex {
                file: self.path.clone(),
                why: "it is not a checkpoint".to_owned(),
                remedy: REBUILD,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Seqno::ZERO),
            Err(error) => Err(OpenError::io("read", &self.path)(error)),
        }
    }

    /// Notes that everything up to `seqno` is synced: the caller has done so.
    pub(crate) fn write(&self, seqno: Seqno) -> Result<(), StoreError> {
        write_atomically(&self.path, format(seqno).as_bytes(), 0o644)
            .map_err(StoreError::io("replace", &self.path))
    }
}

fn format(seqno: Seqno) -> String {
    let text = format!("{TITLE} {seqno}");
    let check = Digest::of(text.as_bytes());
    format!("{text} {check}\n")
}

fn parse(bytes: &[u8]) -> Option<Seqno> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (seqno, _check) = text
        .strip_prefix(TITLE)?
        .strip_prefix(' ')?
        .split_once(' ')?;
    let seqno = Seqno(seqno.parse().ok()?);
    (format(seqno) == text).then_some(seqno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        assert_eq!(parse(format(Seqno(17)).as_bytes()), Some(Seqno(17)));
    }

    #[test]
    fn a_checkpoint_with_any_flipped_bit_is_refused() {
        let good = format(Seqno(1_234_567)).into_bytes();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&bad), None, "bit {bit}");
        }
    }
}
