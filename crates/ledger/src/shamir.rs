//! Shares of a key: any `threshold` of them give it back, fewer say nothing about it.
//!
//! Shamir's scheme, byte by byte over the field of 256 elements that AES uses. The randomness is the
//! caller's, and no step takes a time that depends on a secret: there is no table and no branch.

use zeroize::Zeroizing;

/// Bytes of the key that is split.
pub const KEY_LEN: usize = 32;
/// Bytes of an encoded share: its number, then its value.
pub const SHARE_LEN: usize = 1 + KEY_LEN;

/// A part of a key, or the whole of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Share {
    /// 0 for the whole key.
    number: u8,
    value: Zeroizing<[u8; KEY_LEN]>,
}

/// These shares give no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadShares {
    /// Somebody made it up, or it was cut.
    #[error("a share has {SHARE_LEN} bytes, this one has {0}")]
    Length(usize),
    /// One share counts once.
    #[error("two of the shares are the same one")]
    Twice,
    /// There are none.
    #[error("there is no share")]
    None,
}

impl Share {
    /// The whole key, for who may recover alone.
    pub fn whole(key: &[u8; KEY_LEN]) -> Self {
        Self {
            number: 0,
            value: Zeroizing::new(*key),
        }
    }

    /// Whether it alone gives the key.
    pub const fn is_whole(&self) -> bool {
        self.number == 0
    }

    /// Its bytes, to be encrypted to a member.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SHARE_LEN));
        bytes.push(self.number);
        bytes.extend_from_slice(&*self.value);
        bytes
    }

    /// Reads what [`Share::to_bytes`] wrote.
    ///
    /// # Errors
    /// It has another length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadShares> {
        match bytes.split_first() {
            Some((&number, value)) if value.len() == KEY_LEN => {
                let mut share = Self {
                    number,
                    value: Zeroizing::default(),
                };
                share.value.copy_from_slice(value);
                Ok(share)
            }
            _ => Err(BadShares::Length(bytes.len())),
        }
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Share(..)")
    }
}

/// Splits a key into `count` shares of which `threshold` give it back. `random` has
/// `threshold - 1` blocks of random bytes that are used for nothing else.
///
/// # Panics
/// There is no share, or there are blocks for a threshold above their number.
pub fn split(key: &[u8; KEY_LEN], count: u8, random: &[[u8; KEY_LEN]]) -> Vec<Share> {
    assert!(
        random.len() < usize::from(count),
        "a threshold is at most the number of shares"
    );
    (1..=count)
        .map(|number| {
            let mut share = Share {
                number,
                value: Zeroizing::default(),
            };
            // Horner's rule, the highest coefficient first; the key is the constant one.
            for block in random.iter().rev().chain(std::iter::once(key)) {
                for (value, coefficient) in share.value.iter_mut().zip(block) {
                    *value = product(*value, number) ^ coefficient;
                }
            }
            share
        })
        .collect()
}

/// The key that these shares give. Too few, or shares of different keys, give another one: whoever
/// uses it finds that it opens nothing.
///
/// # Errors
/// There is none, or one comes twice.
pub fn combine(shares: &[Share]) -> Result<Zeroizing<[u8; KEY_LEN]>, BadShares> {
    if shares.is_empty() {
        return Err(BadShares::None);
    }
    if let Some(whole) = shares.iter().find(|share| share.is_whole()) {
        return Ok(whole.value.clone());
    }
    let mut key = Zeroizing::new([0; KEY_LEN]);
    for (place, share) in shares.iter().enumerate() {
        // The value at 0 of the polynomial that is 1 at this share's number and 0 at the others'.
        let mut weight = 1;
        for (other_place, other) in shares.iter().enumerate() {
            if place == other_place {
                continue;
            }
            if share.number == other.number {
                return Err(BadShares::Twice);
            }
            let quotient = product(other.number, inverse(other.number ^ share.number));
            weight = product(weight, quotient);
        }
        for (key, value) in key.iter_mut().zip(&*share.value) {
            *key ^= product(*value, weight);
        }
    }
    Ok(key)
}

/// The product in the field with the polynomial x^8 + x^4 + x^3 + x + 1.
const fn product(mut a: u8, mut b: u8) -> u8 {
    let mut sum = 0;
    let mut step = 0;
    while step < 8 {
        sum ^= a & (b & 1).wrapping_neg();
        a = (a << 1) ^ (0x1b & (a >> 7).wrapping_neg());
        b >>= 1;
        step += 1;
    }
    sum
}

/// The inverse, `a^254`; 0 for 0.
const fn inverse(a: u8) -> u8 {
    let mut power = a;
    let mut result = 1;
    let mut step = 1;
    // 254 is 2 + 4 + ... + 128.
    while step < 8 {
        power = product(power, power);
        result = product(result, power);
        step += 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; KEY_LEN] = [7; KEY_LEN];

    fn random(blocks: usize) -> Vec<[u8; KEY_LEN]> {
        let block = |place: usize| verify::Digest::of(&place.to_le_bytes()).0;
        (0..blocks).map(block).collect()
    }

    #[test]
    fn the_field_is_the_one_of_aes() {
        assert_eq!(product(0x57, 0x83), 0xc1, "the example of FIPS 197");
        for a in 1..=255 {
            assert_eq!(product(a, inverse(a)), 1, "{a}");
        }
        assert_eq!(inverse(0), 0);
    }

    #[test]
    fn any_so_many_shares_give_the_key_and_fewer_do_not() {
        for count in 1..=6u8 {
            for threshold in 1..=count {
                let shares = split(&KEY, count, &random(usize::from(threshold) - 1));
                for chosen in 1..(1u32 << count) {
                    let chosen: Vec<Share> = (0..count)
                        .filter(|place| chosen & (1 << place) != 0)
                        .map(|place| shares[usize::from(place)].clone())
                        .collect();
                    let key = combine(&chosen).unwrap();
                    assert_eq!(*key == KEY, chosen.len() >= usize::from(threshold));
                }
            }
        }
        assert_eq!(split(&KEY, 255, &random(200)).len(), 255);
    }

    #[test]
    fn one_share_fewer_fits_every_key() {
        // Whatever the key is, there is a polynomial through the shares that somebody has.
        let shares = split(&KEY, 3, &random(1));
        let seen = &shares[0];
        let mut keys: Vec<u8> = (0..=255)
            .map(|guess| {
                let guessed = Share {
                    number: 2,
                    value: Zeroizing::new([guess; KEY_LEN]),
                };
                combine(&[seen.clone(), guessed]).unwrap()[0]
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 256);
    }

    #[test]
    fn the_whole_key_is_enough_alone() {
        let share = Share::from_bytes(&Share::whole(&KEY).to_bytes()).unwrap();
        assert_eq!(*combine(&[share]).unwrap(), KEY);
    }

    #[test]
    fn shares_that_cannot_be_are_refused() {
        let shares = split(&KEY, 3, &random(1));
        assert_eq!(combine(&[]), Err(BadShares::None));
        let twice = [shares[0].clone(), shares[0].clone()];
        assert_eq!(combine(&twice), Err(BadShares::Twice));
        assert_eq!(Share::from_bytes(&[1; 32]), Err(BadShares::Length(32)));
        assert_eq!(format!("{:?}", shares[0]), "Share(..)");
    }
}
