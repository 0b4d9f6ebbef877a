//! Bearer tokens and key sets: of all that can be made of a good token, only that one is believed.
#![no_main]

use std::sync::LazyLock;

use api::dev;
use api::fuzzing::{TokenCheck, key_set};
use libfuzzer_sys::fuzz_target;

static GOOD: LazyLock<(String, TokenCheck)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let administrator = dev::administrator(folder.path()).unwrap();
    let check = TokenCheck::new(administrator.issuer).unwrap();
    assert!(check.believes(&administrator.token));
    (administrator.token, check)
});

fuzz_target!(|bytes: &[u8]| {
    let (good, check) = &*GOOD;
    let _ = key_set(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    assert!(text == good || !check.believes(text));
    // The good token, some of it replaced: where and how much say the first two characters.
    let mut characters = text.chars();
    let mut next = || characters.next().map_or(0, |character| character as usize);
    let start = next() % (good.len() + 1);
    let end = (start + next() % 64).min(good.len());
    let spliced = format!("{}{}{}", &good[..start], characters.as_str(), &good[end..]);
    assert!(spliced == *good || !check.believes(&spliced), "{spliced}");
});
