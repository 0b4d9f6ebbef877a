//! Snapshots of the state: what is taken is written again in the same bytes, in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use store::snapshot::file::{SnapshotReader, SnapshotWriter};
use verify::Digest;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = SnapshotReader::new(bytes) else { return };
    let header = reader.header();
    let mut writer = SnapshotWriter::new(Vec::new(), header).expect("memory takes it");
    let mut last = None;
    loop {
        let Ok(row) = reader.next_row() else { return };
        let Some((section, key, value)) = row else { break };
        writer.row(section, &key, &value).expect("memory takes it");
        let place = Some((section, key));
        assert!(last < place);
        last = place;
    }
    let (again, length, digest) = writer.finish().expect("memory takes it");
    assert_eq!(again, bytes);
    assert_eq!(length, bytes.len() as u64);
    assert_eq!((digest, reader.digest()), (Digest::of(bytes), Digest::of(bytes)));
});
