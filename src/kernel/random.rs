//! Random numbers for balancing and jitter; nothing secret depends on them.

/// xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators",
/// 2016): one word of state, three shifts and a multiplication.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Seeded by the system.
    #[must_use]
    pub fn from_system() -> Self {
        let mut seed = 0_u64;
        // SAFETY: getrandom(2) writes up to `buflen` bytes at `buf`: `seed` is exclusively
        // borrowed, and of that size. Any bytes make a valid u64.
        let filled = unsafe { libc::getrandom((&raw mut seed).cast(), size_of::<u64>(), 0) };
        debug_assert_eq!(filled, 8);
        Self::seeded(seed)
    }

    /// Seeded by a number.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        // Zero is the one state that the generator never leaves.
        Self(if seed == 0 { 0x9e37_79b9_7f4a_7c15 } else { seed })
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn draws_are_spread_and_differ_between_kernels() {
        let mut random = Random::seeded(0);
        let mut buckets = [0_u32; 16];
        for _ in 0..16_000 {
            buckets[usize::try_from(random.draw() >> 60).unwrap()] += 1;
        }
        assert!(buckets.iter().all(|&n| (800..1200).contains(&n)), "{buckets:?}");
        assert_ne!(Random::from_system().draw(), Random::from_system().draw());
    }
}
