//! Codes of a second factor (RFC 6238: SHA-1, six digits, thirty seconds), and how their secrets are kept.
//!
//! Every app that shows such codes knows these parameters, and few know others. What makes SHA-1 unfit for
//! signatures does not touch HMAC.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::model::{Email, UserId};
use super::secret::{MasterKey, Secret, chance};

/// Seconds for which a code stands.
const STEP_SECS: i64 = 30;

/// Steps before and after ours that are taken too, for clocks that are off.
const WINDOW: i64 = 1;

/// Separates what is encrypted here from all else under the master key.
const DOMAIN: &str = "counterfoil.audit.totp/1 ";

/// What an app makes its codes of: as long as a SHA-1, as RFC 4226 recommends.
pub(super) struct TotpSecret(Zeroizing<[u8; 20]>);

impl TotpSecret {
    /// A new one.
    pub(super) fn random() -> Self {
        Self(Zeroizing::new(chance()))
    }

    /// The step whose code this is, if it is one that may be used now: near in time, and after the last one
    /// that was used.
    pub(super) fn step_of(&self, code: &str, now_millis: i64, last: i64) -> Option<i64> {
        let now = now_millis.div_euclid(1_000 * STEP_SECS);
        let mut found = None;
        for step in now - WINDOW..=now + WINDOW {
            let expected = self.code(step);
            let same = verify_slices_are_equal(expected.as_bytes(), code.as_bytes()).is_ok();
            if same && step > last {
                found = Some(step);
            }
        }
        found
    }

    fn code(&self, step: i64) -> Zeroizing<String> {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &*self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        Zeroizing::new(format!("{:06}", truncated(tag.as_ref()) % 1_000_000))
    }

    /// What an app reads, mostly from a QR code.
    pub(super) fn uri(&self, issuer: &str, email: &Email) -> Secret {
        let issuer = percent_encoded(issuer);
        let account = percent_encoded(email.as_str());
        let secret = Zeroizing::new(base32(&*self.0));
        let secret = secret.as_str();
        Secret::from(format!(
            "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}\
             &algorithm=SHA1&digits=6&period={STEP_SECS}"
        ))
    }

    /// For the database: encrypted, and bound to its user.
    pub(super) fn seal(&self, key: &MasterKey, user: &UserId) -> String {
        STANDARD.encode(key.seal(bound_to(user), &*self.0))
    }

    /// From the database; `None` if it is another user's, or was encrypted under another key.
    pub(super) fn open(sealed: &str, key: &MasterKey, user: &UserId) -> Option<Self> {
        let opened = key.open(bound_to(user), &STANDARD.decode(sealed).ok()?)?;
        Some(Self(Zeroizing::new(opened.as_slice().try_into().ok()?)))
    }
}

fn bound_to(user: &UserId) -> String {
    format!("{DOMAIN}{user}")
}

/// The dynamic truncation of RFC 4226, section 5.3.
fn truncated(tag: &[u8]) -> u32 {
    let last = tag.last().expect("a SHA-1 has twenty bytes");
    let at = usize::from(last & 0x0f);
    let four = tag[at..].first_chunk::<4>();
    let four = four.expect("the place is at most 15 of twenty bytes");
    u32::from_be_bytes(*four) & 0x7fff_ffff
}

/// RFC 4648, without padding; the bytes are a multiple of five.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for five in bytes.chunks(5) {
        let bits = five
            .iter()
            .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        let digits = (0..8).rev().map(|place| (bits >> (5 * place)) & 31);
        text.extend(digits.map(|digit| char::from(ALPHABET[digit as usize])));
    }
    text
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const RFC_SECRET: [u8; 20] = *b"12345678901234567890";

    /// The code that an app would show, for tests elsewhere: it reads the URI as an app does.
    pub(crate) fn code_of(uri: &Secret, millis: i64) -> String {
        let uri = uri.expose();
        let at = uri.find("secret=").unwrap() + "secret=".len();
        let mut secret = [0; 20];
        for (byte, group) in uri.as_bytes()[at..at + 32].chunks(8).enumerate() {
            let bits = group.iter().fold(0_u64, |bits, digit| {
                let place = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
                    .iter()
                    .position(|other| other == digit);
                bits << 5 | place.unwrap() as u64
            });
            secret[byte * 5..][..5].copy_from_slice(&bits.to_be_bytes()[3..]);
        }
        let code = TotpSecret(Zeroizing::new(secret)).code(millis.div_euclid(30_000));
        code.to_string()
    }

    #[test]
    fn the_vectors_of_rfc_6238_are_met() {
        let secret = TotpSecret(Zeroizing::new(RFC_SECRET));
        // The RFC shows eight digits; the last six are ours.
        for (seconds, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(secret.code(seconds / STEP_SECS).as_str(), &code[2..]);
        }
    }

    #[test]
    fn the_vectors_of_rfc_4226_are_met() {
        let secret = TotpSecret(Zeroizing::new(RFC_SECRET));
        for (counter, code) in (0..).zip(["755224", "287082", "359152", "969429", "338314"]) {
            assert_eq!(secret.code(counter).as_str(), code);
        }
    }

    #[test]
    fn a_code_is_good_one_step_around_now_and_once() {
        let secret = TotpSecret(Zeroizing::new(RFC_SECRET));
        let code = secret.code(100);
        let at = |step: i64| step * 30_000 + 29_999;
        for step in 99..=101 {
            assert_eq!(secret.step_of(&code, at(step), 0), Some(100));
        }
        for step in [98, 102] {
            assert_eq!(secret.step_of(&code, at(step), 0), None);
        }
        assert_eq!(secret.step_of(&code, at(100), 100), None);
        assert_eq!(secret.step_of("", at(100), 0), None);
    }

    #[test]
    fn an_app_can_read_the_uri() {
        let secret = TotpSecret(Zeroizing::new(RFC_SECRET));
        let email = Email::parse("ana+farm@farm.example").unwrap();
        let uri = secret.uri("Counterfoil Audit", &email);
        assert_eq!(
            uri.expose(),
            "otpauth://totp/Counterfoil%20Audit:ana%2Bfarm%40farm.example\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Counterfoil%20Audit\
             &algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(code_of(&uri, 59_000), "287082");
    }

    #[test]
    fn a_sealed_secret_opens_for_its_user_under_its_key_alone() {
        let (key, other_key) = (MasterKey::new([1; 32]), MasterKey::new([2; 32]));
        let (user, other) = (UserId::of([1; 16]), UserId::of([2; 16]));
        let sealed = TotpSecret(Zeroizing::new(RFC_SECRET)).seal(&key, &user);
        let opened = TotpSecret::open(&sealed, &key, &user).unwrap();
        assert_eq!(*opened.0, RFC_SECRET);
        assert!(TotpSecret::open(&sealed, &other_key, &user).is_none());
        assert!(TotpSecret::open(&sealed, &key, &other).is_none());
        assert!(TotpSecret::open("AAAA", &key, &user).is_none());
    }
}
