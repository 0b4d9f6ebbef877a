//! Lines of a stream: the same ones however the bytes were cut on their way.
#![no_main]

use api::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (cuts, body) = input;
    let mut pieces = Vec::new();
    let mut rest = &body[..];
    for cut in cuts {
        let (piece, after) = rest.split_at(usize::from(cut).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    let blank = |line: &&[u8]| !line.trim_ascii().is_empty();
    let expected: Vec<_> = body.split(|&byte| byte == b'\n').filter(blank).collect();
    assert_eq!(fuzzing::lines(pieces), expected);
});
