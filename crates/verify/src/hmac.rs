//! HMAC-SHA-256 (RFC 2104) with a key that is used once or twice.
//!
//! The provider's HMAC keeps a hashed key for many messages, and copies and wipes some hundred bytes
//! of it for each. Keys of claims are different for every entry, so for short messages that costs
//! more than the hashing; one hash over the padded key and the message does the same.

use aws_lc_rs::hmac;

use crate::digest::Digest;

/// Of SHA-256, bytes.
const BLOCK: usize = 64;
/// Messages up to this length are hashed here, bytes: most entries.
const SHORT: usize = 960;

/// The message authentication code of `message`.
pub(crate) fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> Digest {
    if message.len() > SHORT {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&key, message);
        return Digest::try_from(tag.as_ref()).expect("HMAC-SHA-256 has 32 bytes");
    }
    let mut bytes = [0; BLOCK + SHORT];
    bytes[..BLOCK].copy_from_slice(&padded(key, 0x36));
    bytes[BLOCK..BLOCK + message.len()].copy_from_slice(message);
    let inner = Digest::of(&bytes[..BLOCK + message.len()]);
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
    use super::*;

    #[test]
    fn it_is_what_the_provider_computes_at_every_length() {
        let message: Vec<u8> = (0..2_000u32).map(|place| place as u8).collect();
        let key = [0xa7; 32];
        let provider = hmac::Key::new(hmac::HMAC_SHA256, &key);
        for length in (0..200).chain(SHORT - 70..SHORT + 70).chain([2_000]) {
            let message = &message[..length];
            let expected = hmac::sign(&provider, message);
            assert_eq!(hmac_sha256(&key, message).0, expected.as_ref(), "{length}");
        }
    }

    /// RFC 4231, test case 1, whose key of 20 bytes is filled with zeros as RFC 2104 says.
    #[test]
    fn it_matches_the_known_answer() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        assert_eq!(
            hmac_sha256(&key, b"Hi There").to_string(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }
}
