//! A hierarchical timer wheel (Varghese and Lauck, SOSP 1987): one timer per session, linked
//! through the sessions' own slots, so that arming costs no memory and no allocation.
//!
//! A timer never fires early, and at most one wheel tick late. The kernel has only one timeout
//! at a time: that of the turn, up to [`Wheel::next`].

use crate::kernel::Tick;
use crate::limits::NO_SLOT;

/// Microseconds per wheel tick, as a shift: 16.4 ms. No timeout of ours is finer.
const TICK_SHIFT: u32 = 14;
const LEVELS: usize = 4;
const BUCKET_BITS: u32 = 6;
const BUCKETS: usize = 1 << BUCKET_BITS;
/// Timers further away than this (76 h) wait in the last bucket, and are filed again there.
const SPAN_TICKS: u64 = 1 << (BUCKET_BITS * 4);

/// The part of a timer that lives in its slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    next: u32,
    previous: u32,
    /// In wheel ticks; the low 32 bits are enough within [`SPAN_TICKS`].
    deadline: u32,
    bucket: u16,
}

impl Link {
    /// Not armed.
    pub(crate) const NONE: Self =
        Self { next: NO_SLOT, previous: NO_SLOT, deadline: 0, bucket: u16::MAX };
}

/// Where the links are.
pub(crate) trait Links {
    /// The link of a slot.
    fn link(&mut self, slot: u32) -> Option<&mut Link>;
}

/// The wheel.
pub(crate) struct Wheel {
    heads: [[u32; BUCKETS]; LEVELS],
    /// A bit per bucket that is not empty.
    occupied: [u64; LEVELS],
    /// All ticks before this one have been expired.
    now_ticks: u64,
}

impl Wheel {
    /// An empty wheel that begins at `now`.
    pub(crate) const fn new(now: Tick) -> Self {
        Self {
            heads: [[NO_SLOT; BUCKETS]; LEVELS],
            occupied: [0; LEVELS],
            now_ticks: now.0 >> TICK_SHIFT,
        }
    }

    /// Arms the timer of `slot`, in place of an earlier one.
    pub(crate) fn arm(&mut self, links: &mut impl Links, slot: u32, at: Tick) {
        self.disarm(links, slot);
        // Rounded up: the bucket of tick t is expired when t has begun.
        let ticks = (at.0 >> TICK_SHIFT).saturating_add(1);
        self.file(links, slot, ticks.max(self.now_ticks));
    }

    /// Disarms the timer of `slot`, if it is armed.
    pub(crate) fn disarm(&mut self, links: &mut impl Links, slot: u32) {
        let Some(link) = links.link(slot) else { return };
        let Link { next, previous, bucket, .. } = *link;
        if bucket == u16::MAX {
            return;
        }
        *link = Link::NONE;
        if let Some(after) = links.link(next) {
            after.previous = previous;
        }
        if let Some(before) = links.link(previous) {
            before.next = next;
            return;
        }
        let (level, index) = place(bucket);
        self.set_head(level, index, next);
    }

    /// Takes all timers that are due at `now`, and hands their slots to `fire`.
    pub(crate) fn expire(&mut self, links: &mut impl Links, now: Tick, mut fire: impl FnMut(u32)) {
        let until = now.0 >> TICK_SHIFT;
        while let Some(tick) = self.next_tick().filter(|&tick| tick <= until) {
            self.now_ticks = tick;
            // Coarser levels first: what they hold may be due in this very tick.
            for level in (0..LEVELS).rev() {
                let index = index_at(tick, level);
                if level > 0 && tick & (level_ticks(level) - 1) != 0 {
                    continue;
                }
                let mut slot = self.take_bucket(level, index);
                while let Some(link) = links.link(slot) {
                    let Link { next, deadline, .. } = *link;
                    *link = Link::NONE;
                    let due = widen(deadline, tick);
                    if due <= tick {
                        fire(slot);
                    } else {
                        self.file(links, slot, due);
                    }
                    slot = next;
                }
            }
            self.now_ticks = tick + 1;
        }
        self.now_ticks = self.now_ticks.max(until);
    }

    /// When [`Wheel::expire`] next has something to do; `None` if nothing is armed.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.next_tick().map(|ticks| Tick(ticks << TICK_SHIFT))
    }

    /// The next tick at which a bucket is due: a first-level bucket fires, a coarser one is
    /// filed again when its span begins.
    fn next_tick(&self) -> Option<u64> {
        let levels = self.occupied.iter().enumerate();
        levels.filter_map(|(level, &bits)| self.next_of_level(level, bits)).min()
    }

    fn next_of_level(&self, level: usize, bits: u64) -> Option<u64> {
        if bits == 0 {
            return None;
        }
        let unit = level_ticks(level);
        // The first span of this level that begins at or after now.
        let first = self.now_ticks.div_ceil(unit);
        let turned = bits.rotate_right(u32::try_from(first % BUCKETS as u64).unwrap_or(0));
        Some((first + u64::from(turned.trailing_zeros())) * unit)
    }

    fn file(&mut self, links: &mut impl Links, slot: u32, due: u64) {
        let distance = due - self.now_ticks;
        let reach = due.min(self.now_ticks + SPAN_TICKS - 1 - level_ticks(LEVELS - 1));
        let level = (0..LEVELS - 1).find(|&level| distance < level_ticks(level + 1));
        let level = level.unwrap_or(LEVELS - 1);
        let index = index_at(reach, level);
        let Some(head) = self.heads.get(level).and_then(|heads| heads.get(index)).copied() else {
            return;
        };
        if let Some(first) = links.link(head) {
            first.previous = slot;
        }
        if let Some(link) = links.link(slot) {
            #[allow(clippy::cast_possible_truncation, reason = "widened again within the span")]
            let deadline = due as u32;
            let bucket = u16::try_from(level * BUCKETS + index).unwrap_or(u16::MAX);
            *link = Link { next: head, previous: NO_SLOT, deadline, bucket };
            self.set_head(level, index, slot);
        }
    }

    fn take_bucket(&mut self, level: usize, index: usize) -> u32 {
        let head = self.heads.get(level).and_then(|heads| heads.get(index)).copied();
        self.set_head(level, index, NO_SLOT);
        head.unwrap_or(NO_SLOT)
    }

    fn set_head(&mut self, level: usize, index: usize, slot: u32) {
        let head = self.heads.get_mut(level).and_then(|heads| heads.get_mut(index));
        if let (Some(head), Some(bits)) = (head, self.occupied.get_mut(level)) {
            *head = slot;
            let bit = 1 << index;
            *bits = if slot == NO_SLOT { *bits & !bit } else { *bits | bit };
        }
    }
}

/// Ticks that one bucket of a level spans.
const fn level_ticks(level: usize) -> u64 {
    1 << (BUCKET_BITS as usize * level)
}

fn index_at(tick: u64, level: usize) -> usize {
    usize::try_from((tick / level_ticks(level)) % BUCKETS as u64).unwrap_or(0)
}

const fn place(bucket: u16) -> (usize, usize) {
    (bucket as usize / BUCKETS, bucket as usize % BUCKETS)
}

/// The tick near `now` whose low 32 bits are `low`.
#[allow(clippy::cast_possible_truncation, reason = "arithmetic modulo 2^32")]
const fn widen(low: u32, now: u64) -> u64 {
    let ahead = low.wrapping_sub(now as u32);
    if ahead < 1 << 31 {
        now + ahead as u64
    } else {
        now.saturating_sub((ahead.wrapping_neg()) as u64)
    }
}

#[cfg(test)]
#[path = "timer_tests.rs"]
mod tests;
