//! Streams: which seqnos wrote a key, batch by batch. A row's bytes are drawn in the
//! [parent](super).

use std::collections::HashMap;

use foldhash::fast::RandomState;
use ledger::Table;

/// A table that is kept as streams, and a key in it.
type Stream<'a> = (&'a Table, &'a [u8]);

/// The streams that one batch writes, each with its seqnos.
#[derive(Default)]
pub(super) struct Streams<'a> {
    pub(super) lists: Vec<(Stream<'a>, Vec<u64>)>,
    places: HashMap<Stream<'a>, usize, RandomState>,
    last: usize,
}

impl<'a> Streams<'a> {
    pub(super) fn add(&mut self, table: &'a Table, key: &'a [u8], seqno: u64) {
        // Most batches write one stream only: no need to hash.
        let is_last = self
            .lists
            .get(self.last)
            .is_some_and(|(stream, _)| *stream == (table, key));
        if !is_last {
            let next = self.lists.len();
            self.last = *self.places.entry((table, key)).or_insert(next);
            if self.last == next {
                self.lists.push(((table, key), Vec::new()));
            }
        }
        self.lists[self.last].1.push(seqno);
    }
}

/// The list of a row as it is stored: each seqno's distance from the one before, the first from the
/// row's own.
pub(super) fn deltas(first: u64, seqnos: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(seqnos.len() + 2);
    let mut before = first;
    for &seqno in seqnos {
        let mut delta = seqno - before;
        before = seqno;
        while delta >= 0x80 {
            bytes.push((delta & 0x7f) as u8 | 0x80);
            delta >>= 7;
        }
        bytes.push(delta as u8);
    }
    bytes
}

/// The seqnos of a row that was stored so.
pub(super) fn seqnos(first: u64, deltas: &[u8]) -> impl Iterator<Item = u64> {
    let mut bytes = deltas.iter();
    let mut seqno = first;
    std::iter::from_fn(move || {
        let mut delta = 0u64;
        let mut shift = 0;
        loop {
            let byte = *bytes.next()?;
            delta |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
        seqno = seqno.checked_add(delta)?;
        Some(seqno)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn distances_are_read_as_they_were_written(
            first in 1u64..1 << 40, steps in prop::collection::vec(0u64..1 << 20, 0..50),
        ) {
            let mut list = Vec::new();
            let mut at = first;
            for step in steps {
                at += step;
                list.push(at);
            }
            prop_assert_eq!(seqnos(first, &deltas(first, &list)).collect::<Vec<_>>(), list);
        }
    }
}
