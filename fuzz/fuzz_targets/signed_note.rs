//! Signed notes, the keys for them, checkpoints and lists of cosigners: what is read is written the
//! same, and a key that nobody has signs nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use verify::note::NoteSignature;
use verify::{Checkpoint, Cosigners, SignedNote, VerifierKey};

/// Its private half was thrown away.
const KEY: &str = "counterfoil/node/274e6469ce6ed9fb06c9a9e8cf43cc16c74aa93c54e2494ed5e9dcc3b2b075f5+f7f375ba+BErvnvBB8pik9XhvfIeOJfkZMdSNARezpxOyqC7+JxTR";

fuzz_target!(|text: &str| {
    if let Ok(note) = text.parse::<SignedNote>() {
        assert_eq!(note.to_string(), text);
        // Only the seed was signed with it; what else counts as signed would be a forgery.
        let key: VerifierKey = KEY.parse().unwrap();
        if let Ok(Some(_)) = note.signed_by(&key) {
            let seed: SignedNote = include_str!("../seeds/signed_note/note").parse().unwrap();
            assert_eq!(note.text(), seed.text());
        }
        if let Ok(checkpoint) = Checkpoint::parse(note.text()) {
            assert!(note.text().starts_with(&checkpoint.text()));
        }
    }
    if let Ok(line) = text.parse::<NoteSignature>() {
        assert_eq!(line.to_string(), text);
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    if let Ok(cosigners) = text.parse::<Cosigners>() {
        assert!(cosigners.organisations() <= cosigners.keys().count());
    }
});
