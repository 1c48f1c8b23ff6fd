//! What the ends send: a beginning, then noise whose place its key determines.

use std::sync::OnceLock;

use sluice::kernel::sim::Random;

const NOISE_BYTES: usize = 1 << 22;

/// Bytes that anyone who knows the key can check at any offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    head: Vec<u8>,
    key: usize,
    length_bytes: usize,
}

impl Stream {
    /// `head`, then `noise_bytes` of noise.
    pub(crate) fn new(head: Vec<u8>, key: u64, noise_bytes: usize) -> Self {
        let key = usize::try_from(key % NOISE_BYTES as u64).unwrap();
        Self { length_bytes: head.len() + noise_bytes, head, key }
    }

    pub(crate) fn length_bytes(&self) -> usize {
        self.length_bytes
    }

    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Ends the stream where it is.
    pub(crate) fn cut_at(&mut self, length_bytes: usize) {
        self.length_bytes = self.length_bytes.min(length_bytes);
    }

    /// Up to `most_bytes` from an offset, in one piece of memory.
    pub(crate) fn piece(&self, at: usize, most_bytes: usize) -> &[u8] {
        let left = self.length_bytes.saturating_sub(at).min(most_bytes);
        if at < self.head.len() {
            return &self.head[at..self.head.len().min(at + left)];
        }
        let begin = (self.key + (at - self.head.len())) % NOISE_BYTES;
        let noise = noise();
        &noise[begin..noise.len().min(begin + left)]
    }

    /// Whether these are its bytes at this offset.
    pub(crate) fn has(&self, mut at: usize, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let piece = self.piece(at, bytes.len());
            if piece.is_empty() || bytes[..piece.len()] != *piece {
                return false;
            }
            at += piece.len();
            bytes = &bytes[piece.len()..];
        }
        true
    }
}

fn noise() -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    NOISE.get_or_init(|| {
        let mut random = Random::new(1);
        (0..NOISE_BYTES / 8).flat_map(|_| random.number().to_le_bytes()).collect()
    })
}
