//! The bytes that travel: every position of every stream has one right value, so that a byte
//! lost, doubled, out of order or of another session shows at the next comparison.

use std::fs::File;
use std::io::{self, Write};

use nix::sys::memfd::{MFdFlags, memfd_create};

/// A prime: no buffer or pipe size is a multiple of it, so a piece left out shifts the pattern.
const PERIOD_BYTES: usize = 65_521;
/// The longest piece that [`Pattern::at`] gives.
pub(crate) const PIECE_BYTES_MAX: usize = 262_144;

/// Endless bytes without structure, the same in every run.
#[derive(Debug)]
pub(crate) struct Pattern {
    bytes: Vec<u8>,
    /// The same in memory of the page cache.
    file: File,
}

impl Pattern {
    /// # Errors
    /// memfd_create(2): no memory, no descriptors.
    pub(crate) fn new() -> io::Result<Self> {
        let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut period = Vec::with_capacity(PERIOD_BYTES);
        while period.len() < PERIOD_BYTES {
            // Marsaglia's xorshift.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            period.push(state.to_le_bytes()[3]);
        }
        let bytes: Vec<u8> =
            period.iter().copied().cycle().take(PERIOD_BYTES + PIECE_BYTES_MAX).collect();
        let mut file = File::from(memfd_create(c"pattern", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&bytes)?;
        Ok(Self { bytes, file })
    }

    /// The bytes from a position on as a file and a place in it, for sendfile(2): what is sent
    /// from there is not copied, which keeps whoever sends streams out of the way of whoever
    /// relays them.
    pub(crate) fn file_at(&self, position: u64) -> (&File, i64) {
        (&self.file, i64::try_from(position % PERIOD_BYTES as u64).unwrap_or(0))
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
        let pattern = Pattern::new().unwrap();
        for lost in [1, 64, 4096, 65_536, 262_144] {
            assert_ne!(pattern.at(1000, 64), pattern.at(1000 + lost, 64), "{lost}");
        }
        assert_eq!(pattern.at(5, 64), pattern.at(5 + PERIOD_BYTES as u64, 64));
        assert_eq!(pattern.at(65_520, PIECE_BYTES_MAX).len(), PIECE_BYTES_MAX);
    }

    #[test]
    fn streams_of_two_sessions_differ() {
        let pattern = Pattern::new().unwrap();
        let ((up, down), (other, _)) = (phases(1), phases(2));
        assert_ne!(pattern.at(up, 64), pattern.at(down, 64));
        assert_ne!(pattern.at(up, 64), pattern.at(other, 64));
    }
}
