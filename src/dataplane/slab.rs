//! Slots for sessions: dense numbers, stable addresses of nothing, generations.

use crate::kernel::Token;
use crate::limits::NO_SLOT;

use super::timer::{Link, Links};

/// A fixed number of slots, filled lowest first and used again last-in first-out, so that only
/// as many pages are touched as sessions were open at once.
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free_head: u32,
    used: u32,
    capacity: u32,
}

struct Slot<T> {
    item: Option<T>,
    link: Link,
    /// Of the present item, or of the next one if there is none.
    generation: u32,
    next_free: u32,
}

impl<T> Slab<T> {
    /// A slab that will hold at most `capacity` items.
    pub(crate) fn new(capacity: u32) -> Self {
        let capacity = capacity.min(NO_SLOT - 1);
        // Reserved at once, so that it never moves; untouched pages are not resident.
        Self { slots: Vec::with_capacity(capacity as usize), free_head: NO_SLOT, used: 0, capacity }
    }

    /// How many items there are.
    pub(crate) const fn len(&self) -> u32 {
        self.used
    }

    /// How many slots were ever used: no item is in any other.
    pub(crate) fn slot_count(&self) -> u32 {
        // No more than its capacity, which is a u32.
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// Whether no further item fits.
    pub(crate) const fn is_full(&self) -> bool {
        self.used >= self.capacity
    }

    /// How many more items fit.
    pub(crate) const fn free_count(&self) -> u32 {
        self.capacity.saturating_sub(self.used)
    }

    /// Puts an item in; gives its slot, or the item back if the slab is full.
    pub(crate) fn insert(&mut self, item: T) -> Result<u32, T> {
        if self.is_full() {
            return Err(item);
        }
        let number = self.free_head;
        if let Some(slot) = self.slots.get_mut(number as usize) {
            self.free_head = slot.next_free;
            slot.item = Some(item);
            self.used += 1;
            return Ok(number);
        }
        let Ok(number) = u32::try_from(self.slots.len()) else { return Err(item) };
        let slot = Slot { item: Some(item), link: Link::NONE, generation: 0, next_free: NO_SLOT };
        self.slots.push(slot);
        self.used += 1;
        Ok(number)
    }

    /// Takes an item out; its slot goes on to the next generation.
    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let slot = self.slots.get_mut(number as usize)?;
        let item = slot.item.take()?;
        slot.generation = (slot.generation + 1) & Token::GENERATION_MAX;
        slot.next_free = self.free_head;
        self.free_head = number;
        self.used -= 1;
        Some(item)
    }

    /// The item in a slot.
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.slots.get_mut(number as usize)?.item.as_mut()
    }

    /// The item in a slot.
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.slots.get(number as usize)?.item.as_ref()
    }

    /// The generation of a slot.
    pub(crate) fn generation(&self, number: u32) -> Option<u32> {
        self.slots.get(number as usize).map(|slot| slot.generation)
    }

    /// The slots in use, in order.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.item.is_some())
            .filter_map(|(number, _)| u32::try_from(number).ok())
    }
}

impl<T> Links for Slab<T> {
    fn link(&mut self, slot: u32) -> Option<&mut Link> {
        self.slots.get_mut(slot as usize).map(|slot| &mut slot.link)
    }
}

/// What a session of the production kernels takes, with everything that the access log needs.
/// The promise is 256; what the kernel layer and the timers need is in it.
const _: () = {
    use crate::dataplane::session::Session;
    assert!(size_of::<Slot<Session<crate::sys::socket::Socket, crate::sys::pipe::Pipe>>>() <= 232);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_used_again_has_another_generation() {
        let mut slab = Slab::new(2);
        let first = slab.insert('a').unwrap();
        let generation = slab.generation(first).unwrap();
        assert_eq!(slab.remove(first), Some('a'));
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.insert('b').unwrap(), first);
        assert_ne!(slab.generation(first).unwrap(), generation);
    }

    #[test]
    fn a_full_slab_hands_the_item_back() {
        let mut slab = Slab::new(1);
        slab.insert(1).unwrap();
        assert_eq!(slab.insert(2), Err(2));
        assert_eq!(slab.numbers().collect::<Vec<_>>(), [0]);
        assert_eq!(slab.len(), 1);
    }
}
