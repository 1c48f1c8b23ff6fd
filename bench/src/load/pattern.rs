//! The bytes that travel: every position of every stream has one right value, so that a byte
//! lost, doubled, out of order or of another session shows at the next comparison.

/// A prime: no buffer or pipe size is a multiple of it, so a piece left out shifts the pattern.
const PERIOD_BYTES: usize = 65_521;
/// The longest piece that [`Pattern::at`] gives.
pub(crate) const PIECE_BYTES_MAX: usize = 262_144;

/// Endless bytes without structure, the same in every run.
#[derive(Debug)]
pub(crate) struct Pattern {
    bytes: Vec<u8>,
}

impl Pattern {
    pub(crate) fn new() -> Self {
        let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut period = Vec::with_capacity(PERIOD_BYTES);
        while period.len() < PERIOD_BYTES {
            // Marsaglia's xorshift.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            period.push(state.to_le_bytes()[3]);
        }
        let bytes = period.iter().copied().cycle().take(PERIOD_BYTES + PIECE_BYTES_MAX).collect();
        Self { bytes }
    }

    /// The bytes from a position on; no more than [`PIECE_BYTES_MAX`].
    pub(crate) fn at(&self, position: u64, length: usize) -> &[u8] {
        let start = usize::try_from(position % PERIOD_BYTES as u64).unwrap_or(0);
        let length = length.min(PIECE_BYTES_MAX);
        self.bytes.get(start..start.saturating_add(length)).unwrap_or_default()
    }
}

/// Where the two streams of a session begin in the pattern: (up, down).
pub(crate) fn phases(session: u32) -> (u64, u64) {
    // Any odd numbers do: neighbours must not be alike.
    let up = u64::from(session).wrapping_mul(7919);
    (up, up.wrapping_add(29_009))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_left_out_shows() {
        let pattern = Pattern::new();
        for lost in [1, 64, 4096, 65_536, 262_144] {
            assert_ne!(pattern.at(1000, 64), pattern.at(1000 + lost, 64), "{lost}");
        }
        assert_eq!(pattern.at(5, 64), pattern.at(5 + PERIOD_BYTES as u64, 64));
        assert_eq!(pattern.at(65_520, PIECE_BYTES_MAX).len(), PIECE_BYTES_MAX);
    }

    #[test]
    fn streams_of_two_sessions_differ() {
        let pattern = Pattern::new();
        let ((up, down), (other, _)) = (phases(1), phases(2));
        assert_ne!(pattern.at(up, 64), pattern.at(down, 64));
        assert_ne!(pattern.at(up, 64), pattern.at(other, 64));
    }
}
