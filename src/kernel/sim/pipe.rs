//! A pipe of slots, as pipe(7) and `fs/pipe.c` have it.

use std::collections::VecDeque;

use super::queue::{Fragment, Queue};
use crate::kernel::Tried;

/// What one slot holds when it is filled by write(2).
pub(super) const PAGE_BYTES: usize = 4096;

/// A simulated pipe. It fills by slots, not by bytes.
#[derive(Debug)]
pub struct Pipe {
    slots: VecDeque<Slot>,
    slot_count_max: usize,
    pending_bytes: usize,
}

#[derive(Debug)]
struct Slot {
    fragment: Fragment,
    /// Filled by write(2): the next write may go on in the same page. Spliced pages belong to
    /// somebody else and are never written to.
    written: bool,
}

impl Pipe {
    /// A pipe of `capacity_bytes`, rounded up as `F_SETPIPE_SZ` does.
    pub(super) fn new(capacity_bytes: usize) -> Self {
        let slot_count_max = capacity_bytes.div_ceil(PAGE_BYTES).max(1).next_power_of_two();
        Self { slots: VecDeque::new(), slot_count_max, pending_bytes: 0 }
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// How many bytes it was made for. Spliced slots may hold more than a page.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.slot_count_max * PAGE_BYTES
    }

    /// How many slots are free.
    #[must_use]
    pub fn free_slot_count(&self) -> usize {
        self.slot_count_max - self.slots.len()
    }

    /// How many slots hold spliced bytes.
    #[must_use]
    pub fn spliced_slot_count(&self) -> usize {
        self.slots.iter().filter(|slot| !slot.written).count()
    }

    /// write(2): the part that is no whole page goes on in the last written page if all of it
    /// fits there; everything else takes slots of its own.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Tried<usize> {
        let mut rest = bytes;
        let odd_bytes = bytes.len() % PAGE_BYTES;
        if odd_bytes > 0
            && let Some(last) = self.slots.back_mut()
            && last.written
            && last.fragment.end_offset() + odd_bytes <= PAGE_BYTES
        {
            last.fragment.append(&bytes[..odd_bytes]);
            rest = &bytes[odd_bytes..];
        }
        for page in rest.chunks(PAGE_BYTES).take(self.free_slot_count()) {
            self.slots.push_back(Slot { fragment: Fragment::new(page), written: true });
            rest = &rest[page.len()..];
        }
        let written_bytes = bytes.len() - rest.len();
        self.pending_bytes += written_bytes;
        if written_bytes == 0 { Tried::Later } else { Tried::Did(written_bytes) }
    }

    /// splice(2) into the pipe: each fragment takes a slot, whatever its length. One call asks
    /// for no more than the free slots could hold as pages.
    pub(super) fn splice_in(&mut self, from: &mut Queue, most_bytes: usize) -> usize {
        let bytes_max = most_bytes.min(self.free_slot_count() * PAGE_BYTES);
        let mut moved_bytes = 0;
        while self.free_slot_count() > 0 && moved_bytes < bytes_max {
            let Some(fragment) = from.take(bytes_max - moved_bytes) else { break };
            moved_bytes += fragment.len();
            self.slots.push_back(Slot { fragment, written: false });
        }
        self.pending_bytes += moved_bytes;
        moved_bytes
    }

    /// splice(2) out of the pipe: up to `most_bytes` off the first slot.
    pub(super) fn splice_out(&mut self, most_bytes: usize) -> Option<Fragment> {
        let first = self.slots.front_mut()?;
        let taken = first.fragment.take(first.fragment.len().min(most_bytes));
        if first.fragment.len() == 0 {
            self.slots.pop_front();
        }
        self.pending_bytes -= taken.len();
        Some(taken)
    }
}
