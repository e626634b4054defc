//! Seeded numbers: SplitMix64. Whatever a seed decides, it decides by these.

use std::time::Duration;

/// A stream of numbers that follows from its seed alone.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// A stream of its own for each purpose of a seed.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(mix(mix(seed.wrapping_add(0x9e37_79b9)) ^ mix(purpose.wrapping_add(0x5851_f42d))))
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// `from..until`; `from` where that is empty.
    pub fn between(&mut self, from: u64, until: u64) -> u64 {
        let width = until.saturating_sub(from);
        from + ((u128::from(self.roll()) * u128::from(width)) >> 64) as u64
    }

    /// A span of `from..until` seconds, to the millisecond.
    pub fn seconds(&mut self, from: u64, until: u64) -> Duration {
        Duration::from_millis(self.between(from * 1000, until * 1000))
    }

    /// True in that share of cases.
    pub fn chance(&mut self, share: f64) -> bool {
        ((self.roll() >> 11) as f64 / (1_u64 << 53) as f64) < share
    }

    /// One of some.
    ///
    /// # Panics
    /// Where there is none.
    pub fn pick<T: Clone>(&mut self, some: &[T]) -> T {
        some[self.between(0, some.len() as u64) as usize].clone()
    }
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
