//! What reads a server's bytes in here, for the targets in `fuzz/` alone (`--cfg fuzzing`).

use crate::limits::LINE_BYTES_MAX;
use crate::lines::Lines;
use crate::sse::Events;

/// Id, kind and data of the events in a stream that comes in pieces; `None` if a line is too long.
pub fn events<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Option<Vec<(String, String, String)>> {
    let mut lines = Lines::new(LINE_BYTES_MAX);
    let mut events = Events::default();
    let mut got = Vec::new();
    for piece in pieces {
        lines.push(piece);
        while let Some(line) = lines.next().ok()? {
            got.extend(
                events
                    .line(&line)
                    .map(|event| (event.id, event.kind, event.data)),
            );
        }
    }
    Some(got)
}
