//! The fixed pool of buffers in which hellos wait for their dial.

use crate::limits::HELLO_BUFFER_BYTES;

/// A lent buffer. Not `Copy`: whoever has it gives it back.
#[derive(Debug, PartialEq, Eq)]
pub struct BufferId(u16);

impl BufferId {
    /// Its place in the pool.
    #[must_use]
    pub(super) fn index(&self) -> u16 {
        self.0
    }
}

/// Buffers of [`HELLO_BUFFER_BYTES`] each, at addresses that never change, so that the kernel
/// may read them while a send is in flight. Lent last-in first-out: only as many are ever
/// touched, and so resident, as were lent at once.
#[derive(Debug)]
pub struct HelloBuffers {
    /// One after the other. Flat: of zeroed bytes, and not of zeroed arrays, `vec!` knows that
    /// the allocator can give them without touching a page.
    memory: Box<[u8]>,
    length: Box<[u16]>,
    free: Vec<u16>,
}

impl HelloBuffers {
    /// A pool of `count` buffers.
    #[must_use]
    pub fn new(count: u16) -> Self {
        Self {
            memory: vec![0; usize::from(count) * HELLO_BUFFER_BYTES].into_boxed_slice(),
            length: vec![0; usize::from(count)].into_boxed_slice(),
            free: (0..count).rev().collect(),
        }
    }

    /// Whether a buffer is to be had.
    #[must_use]
    pub fn available(&self) -> bool {
        !self.free.is_empty()
    }

    /// Whether more than half are to be had.
    #[must_use]
    pub fn is_plenty(&self) -> bool {
        self.free.len() > self.length.len() / 2
    }

    /// How many are lent.
    #[must_use]
    pub fn lent_count(&self) -> usize {
        self.length.len() - self.free.len()
    }

    /// Lends a buffer that holds a copy of `bytes`. `None` if there is none, or if they do not
    /// fit.
    pub fn hold(&mut self, bytes: &[u8]) -> Option<BufferId> {
        let length = u16::try_from(bytes.len()).ok()?;
        if bytes.len() > HELLO_BUFFER_BYTES {
            return None;
        }
        let index = self.free.pop()?;
        let slot = usize::from(index);
        let (memory, _) = self.memory.as_chunks_mut::<HELLO_BUFFER_BYTES>();
        memory.get_mut(slot)?.get_mut(..bytes.len())?.copy_from_slice(bytes);
        *self.length.get_mut(slot)? = length;
        Some(BufferId(index))
    }

    /// What the buffer holds.
    #[must_use]
    pub fn bytes(&self, id: &BufferId) -> &[u8] {
        self.bytes_at(id.index())
    }

    /// What the buffer of this index holds: for kernels, which keep only the index.
    #[must_use]
    pub(super) fn bytes_at(&self, index: u16) -> &[u8] {
        let slot = usize::from(index);
        let length = self.length.get(slot).map_or(0, |&n| usize::from(n));
        let (memory, _) = self.memory.as_chunks::<HELLO_BUFFER_BYTES>();
        memory.get(slot).and_then(|m| m.get(..length)).unwrap_or_default()
    }

    /// What the buffer at this place holds, if it is lent.
    pub(super) fn lent_bytes(&self, index: u16) -> Option<&[u8]> {
        (!self.free.contains(&index)).then(|| self.bytes(&BufferId(index)))
    }

    /// Takes a buffer back.
    pub fn give_back(&mut self, id: BufferId) {
        debug_assert!(!self.free.contains(&id.0), "given back twice");
        self.free.push(id.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lends_until_empty_and_takes_back() {
        let mut pool = HelloBuffers::new(2);
        let first = pool.hold(b"one").unwrap();
        let second = pool.hold(&[7; HELLO_BUFFER_BYTES]).unwrap();
        assert!(!pool.available());
        assert_eq!(pool.hold(b"three"), None);
        assert_eq!(pool.bytes(&first), b"one");
        assert_eq!(pool.bytes(&second).len(), HELLO_BUFFER_BYTES);
        pool.give_back(first);
        assert_eq!(pool.lent_count(), 1);
        assert_eq!(pool.hold(&[0; HELLO_BUFFER_BYTES + 1]), None);
        assert_eq!(pool.lent_count(), 1);
    }
}
