//! Bytes that can be checked without keeping them: each stream has its own seed.

/// A reproducible stream of bytes.
#[derive(Clone, Debug)]
pub struct Pattern {
    state: u64,
    word: [u8; 8],
    used_bytes: usize,
    at_bytes: u64,
}

impl Pattern {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: mixed(seed) | 1, word: [0; 8], used_bytes: 8, at_bytes: 0 }
    }

    /// The next bytes.
    pub fn fill(&mut self, into: &mut [u8]) {
        for byte in into {
            *byte = self.next();
        }
    }

    /// The next bytes, in a vector.
    pub fn take(&mut self, count_bytes: usize) -> Vec<u8> {
        let mut bytes = vec![0; count_bytes];
        self.fill(&mut bytes);
        bytes
    }

    /// Whether these are the next bytes; else where they first differ.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(), String> {
        for byte in bytes {
            let at = self.at_bytes;
            let expected = self.next();
            if *byte != expected {
                return Err(format!("byte {at} is {byte:#04x}, expected {expected:#04x}"));
            }
        }
        Ok(())
    }

    /// How many bytes were taken or checked.
    pub fn at_bytes(&self) -> u64 {
        self.at_bytes
    }

    fn next(&mut self) -> u8 {
        if self.used_bytes == 8 {
            // xorshift64*: a shifted, repeated or swapped part of a stream never fits.
            self.state ^= self.state >> 12;
            self.state ^= self.state << 25;
            self.state ^= self.state >> 27;
            self.word = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            self.used_bytes = 0;
        }
        let byte = self.word[self.used_bytes];
        self.used_bytes += 1;
        self.at_bytes += 1;
        byte
    }
}

/// A number whose bits depend on all bits of another (splitmix64's last steps).
pub fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Random numbers from a seed, for plans.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    /// Whether an event of a probability in percent happens.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A number from 1 to `most`, whose logarithm is evenly distributed.
    pub fn log_uniform(&mut self, most: u64) -> u64 {
        #[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
        let (unit, top) = ((self.number() >> 11) as f64 / (1_u64 << 53) as f64, most as f64);
        (top.powf(unit) as u64).clamp(1, most)
    }
}
