//! Random choices that can be made again.

use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// Sebastiano Vigna's splitmix64: good enough to choose moments and places.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Makes the choices of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Begins with the seed in `COUNTERFOIL_CRASH_SEED`, else with another one each time; says which.
    ///
    /// # Errors
    /// When that is no number.
    pub fn seeded() -> Result<Self> {
        let seed = match env::var("COUNTERFOIL_CRASH_SEED") {
            Ok(text) => text.parse().context("reading COUNTERFOIL_CRASH_SEED")?,
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64,
        };
        eprintln!("COUNTERFOIL_CRASH_SEED={seed} makes the same choices again");
        Ok(Self(seed))
    }

    /// Any number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below `end`.
    pub const fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Between the two, in milliseconds.
    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from * 1000 + self.next() % ((to - from) * 1000))
    }

    /// The same things in another order.
    pub fn shuffled<T: Clone>(&mut self, things: &[T]) -> Vec<T> {
        let mut things = things.to_vec();
        for end in (2..=things.len()).rev() {
            let chosen = self.below(end);
            things.swap(end - 1, chosen);
        }
        things
    }

    /// So many bytes of noise.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
