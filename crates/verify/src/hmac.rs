//! HMAC-SHA-256 (RFC 2104) of short messages.
//!
//! The provider's HMAC keeps a hashed key for many messages, and copies and wipes some hundred bytes
//! of it for each. For short messages that costs more than the hashing, even where the key is the same
//! each time; one hash over the padded key and the message does the same.

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};

use crate::digest::Digest;

/// Of SHA-256, bytes.
const BLOCK: usize = 64;
/// Messages up to this length are hashed here, bytes: most entries.
const SHORT: usize = 960;

/// The message authentication code of a message in parts.
pub fn hmac_sha256(key: &[u8; 32], message: &[&[u8]]) -> Digest {
    let length: usize = message.iter().map(|part| part.len()).sum();
    if length > SHORT {
        let mut context = Context::with_key(&Key::new(HMAC_SHA256, key));
        message.iter().for_each(|part| context.update(part));
        let tag = context.sign();
        return Digest::try_from(tag.as_ref()).expect("HMAC-SHA-256 has 32 bytes");
    }
    let mut bytes = [0; BLOCK + SHORT];
    bytes[..BLOCK].copy_from_slice(&padded(key, 0x36));
    let mut end = BLOCK;
    for part in message {
        bytes[end..end + part.len()].copy_from_slice(part);
        end += part.len();
    }
    let inner = Digest::of(&bytes[..end]);
    Digest::of_parts(&[&padded(key, 0x5c), &inner.0])
}

fn padded(key: &[u8; 32], pad: u8) -> [u8; BLOCK] {
    let mut block = [pad; BLOCK];
    for (byte, key) in block.iter_mut().zip(key) {
        *byte ^= key;
    }
    block
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac::sign;

    use super::*;

    #[test]
    fn it_is_what_the_provider_computes_at_every_length() {
        let message: Vec<u8> = (0..2_000u32).map(|place| place as u8).collect();
        let key = [0xa7; 32];
        let provider = Key::new(HMAC_SHA256, &key);
        for length in (0..200).chain(SHORT - 70..SHORT + 70).chain([2_000]) {
            let message = &message[..length];
            let expected = sign(&provider, message);
            let (first, second) = message.split_at(length / 3);
            assert_eq!(
                hmac_sha256(&key, &[message]).0,
                expected.as_ref(),
                "{length}"
            );
            let in_parts = hmac_sha256(&key, &[first, b"", second]);
            assert_eq!(in_parts.0, expected.as_ref(), "{length}");
        }
    }

    /// RFC 4231, test case 1, whose key of 20 bytes is filled with zeros as RFC 2104 says.
    #[test]
    fn it_matches_the_known_answer() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        assert_eq!(
            hmac_sha256(&key, &[b"Hi There"]).to_string(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }
}
