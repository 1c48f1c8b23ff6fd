//! Bytes in order, in the pieces that Linux would hold them in.

use std::collections::VecDeque;

/// Bytes that lie in one piece of memory: what splice puts into one slot of a pipe.
#[derive(Clone, Debug, Default)]
pub(super) struct Fragment {
    bytes: Vec<u8>,
    start: usize,
}

impl Fragment {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), start: 0 }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Where the bytes end in their memory, counting those already taken from its beginning.
    pub(super) fn end_offset(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Splits off the first `count_bytes`.
    pub(super) fn take(&mut self, count_bytes: usize) -> Self {
        if count_bytes == self.len() {
            return std::mem::take(self);
        }
        let taken = Self::new(&self.as_slice()[..count_bytes]);
        self.start += count_bytes;
        taken
    }
}

/// Fragments in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    fragments: VecDeque<Fragment>,
    bytes: usize,
}

impl Queue {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// How many fragments the first `count_bytes` lie in.
    pub(super) fn fragment_count(&self, count_bytes: usize) -> usize {
        let mut before = 0;
        let within = |fragment: &&Fragment| {
            let begins = before;
            before += fragment.len();
            begins < count_bytes
        };
        self.fragments.iter().take_while(within).count()
    }

    pub(super) fn clear(&mut self) {
        self.fragments.clear();
        self.bytes = 0;
    }

    /// Appends a fragment, or lengthens the last one by it, up to `merged_bytes_max`.
    pub(super) fn push(&mut self, fragment: Fragment, merged_bytes_max: usize) {
        if fragment.len() == 0 {
            return;
        }
        self.bytes += fragment.len();
        match self.fragments.back_mut() {
            Some(last) if last.len() + fragment.len() <= merged_bytes_max => {
                last.append(fragment.as_slice());
            }
            _ => self.fragments.push_back(fragment),
        }
    }

    /// Takes up to `most_bytes` off the first fragment.
    pub(super) fn take(&mut self, most_bytes: usize) -> Option<Fragment> {
        let first = self.fragments.front_mut()?;
        let taken = first.take(first.len().min(most_bytes));
        self.bytes -= taken.len();
        if first.len() == 0 {
            self.fragments.pop_front();
        }
        Some(taken)
    }

    /// Copies out as much as there is and fits.
    pub(super) fn peek(&self, to: &mut [u8]) -> usize {
        let mut count = 0;
        for fragment in &self.fragments {
            let n = fragment.len().min(to.len() - count);
            to[count..count + n].copy_from_slice(&fragment.as_slice()[..n]);
            count += n;
        }
        count
    }

    /// Throws away up to `most_bytes`.
    pub(super) fn discard(&mut self, most_bytes: usize) -> usize {
        let mut left = most_bytes;
        while left > 0 {
            let Some(taken) = self.take(left) else { break };
            left -= taken.len();
        }
        most_bytes - left
    }
}
