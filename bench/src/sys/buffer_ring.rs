//! Provided buffers (io_uring_register_buf_ring(3)).

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

/// Buffers that the kernel chooses from. Its memory is never given back: operations may outlive
/// whoever asked for them.
#[derive(Debug)]
pub(crate) struct BufferRing {
    entries: NonNull<BufRingEntry>,
    buffers: NonNull<u8>,
    count: u16,
    bytes: usize,
    tail: u16,
    /// Whether a buffer is the kernel's.
    lent: Vec<bool>,
}

impl BufferRing {
    /// There is one group of buffers.
    pub(crate) const GROUP: u16 = 0;

    /// Registers `count` (a power of two) buffers of so many bytes.
    pub(super) fn register(submitter: &Submitter, count: u16, bytes: usize) -> io::Result<Self> {
        let entries: NonNull<BufRingEntry> =
            map(usize::from(count) * size_of::<BufRingEntry>())?.cast();
        let buffers = map(usize::from(count) * bytes)?;
        // SAFETY: register_buf_ring_with_flags requires that the ring stays valid until it is
        // unregistered: it was mapped with room for `count` entries, and is never unmapped.
        unsafe {
            submitter.register_buf_ring_with_flags(
                entries.as_ptr().addr() as u64,
                count,
                Self::GROUP,
                0,
            )
        }?;
        let lent = vec![false; usize::from(count)];
        let mut ring = Self { entries, buffers, count, bytes, tail: 0, lent };
        (0..count).for_each(|id| ring.give_back(id));
        Ok(ring)
    }

    /// What the kernel put into a buffer that it gave us.
    pub(crate) fn filled(&mut self, id: u16, length: usize) -> &[u8] {
        match self.lent.get_mut(usize::from(id)) {
            Some(lent) => *lent = false,
            None => return &[],
        }
        let at = usize::from(id) * self.bytes;
        // SAFETY: add requires that the result is inside of the mapping: id < count was checked.
        let start = unsafe { self.buffers.add(at) };
        // SAFETY: from_raw_parts requires memory that is initialized (it was mapped as zeros) and
        // not written to meanwhile: the kernel has given the buffer to us, and gets it back by
        // `give_back`, which needs the exclusive borrow that this slice holds on to.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), length.min(self.bytes)) }
    }

    /// Lets the kernel fill a buffer again.
    pub(crate) fn give_back(&mut self, id: u16) {
        match self.lent.get_mut(usize::from(id)) {
            Some(lent) if !*lent => *lent = true,
            _ => return,
        }
        let at = usize::from(id) * self.bytes;
        // SAFETY: add requires that the result is inside of the mapping: id < count was checked.
        let buffer = unsafe { self.buffers.add(at) };
        let slot = usize::from(self.tail & (self.count - 1));
        // SAFETY: add requires the same: slot < count, which is a power of two.
        let mut place = unsafe { self.entries.add(slot) };
        // SAFETY: as_mut requires that nobody else uses the entry: the kernel reads only those
        // before the tail, and there are no more buffers than entries.
        let entry = unsafe { place.as_mut() };
        entry.set_addr(buffer.as_ptr().addr() as u64);
        entry.set_len(u32::try_from(self.bytes).unwrap_or(u32::MAX));
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: tail requires the first entry of a registered ring.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: from_ptr requires an aligned u16 that all others use atomically: the kernel does.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    let bytes = bytes.try_into().map_err(io::Error::other)?;
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: mmap requires nothing of an anonymous mapping at an address of its own choice.
    let mapped = unsafe { mmap_anonymous(None, bytes, protection, MapFlags::MAP_PRIVATE) }?;
    Ok(mapped.cast())
}
