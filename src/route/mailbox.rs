//! How a table reaches a worker, and how the old one comes back.
//!
//! Control [publishes](Mailbox::publish) a delivery; the worker [adopts](Inbox::adopt) it
//! between turns and sends the old one back through the same mailbox; control
//! [collects](Mailbox::collect) and so frees it. The worker allocates and frees nothing, and
//! pays one load when there is nothing new.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::loads::Loads;
use super::table::RoutingTable;
use crate::sys::slot::Slot;

/// What control sends to one worker: its own copy of a table, and room for its ids.
#[derive(Debug, Default)]
pub struct Delivery {
    /// The table.
    pub table: RoutingTable,
    /// The worker's figures, with room for every id of the table.
    pub loads: Loads,
    /// On the way back: deliveries retired before this one and not collected yet.
    older: Option<Box<Delivery>>,
}

impl Delivery {
    /// A delivery.
    #[must_use]
    pub fn new(table: RoutingTable, loads: Loads) -> Box<Self> {
        Box::new(Self { table, loads, older: None })
    }
}

/// Between control and one worker.
#[derive(Debug, Default)]
pub struct Mailbox {
    next: Slot<Delivery>,
    retired: Slot<Delivery>,
    adopted: AtomicU64,
}

/// The adopted version of a worker that has ended: it holds no id any more.
const GONE: u64 = u64::MAX;

impl Mailbox {
    /// A mailbox, with the worker's end of it. Control keeps the other.
    #[must_use]
    pub fn new() -> (Arc<Self>, Inbox) {
        let mailbox = Arc::new(Self::default());
        let inbox = Inbox { mailbox: Arc::clone(&mailbox), current: Box::default() };
        (mailbox, inbox)
    }

    /// Sends a delivery. One that the worker did not take yet is replaced. Wake the worker
    /// afterwards.
    pub fn publish(&self, delivery: Box<Delivery>) {
        drop(self.next.put(delivery));
        self.collect();
    }

    /// Frees what the worker sent back, and says how many deliveries that were.
    pub fn collect(&self) -> usize {
        let mut count: usize = 0;
        let mut retired = self.retired.take();
        // One by one: a long chain must not be dropped recursively.
        while let Some(mut delivery) = retired {
            retired = delivery.older.take();
            count = count.saturating_add(1);
        }
        count
    }

    /// The version of the table that the worker uses; `None` once the worker has ended.
    #[must_use]
    pub fn adopted_version(&self) -> Option<u64> {
        let version = self.adopted.load(Ordering::Acquire);
        (version != GONE).then_some(version)
    }
}

/// A worker's end of its mailbox, with the table it uses. Begins with an empty table.
#[derive(Debug)]
pub struct Inbox {
    mailbox: Arc<Mailbox>,
    current: Box<Delivery>,
}

impl Inbox {
    /// The table in use.
    #[inline]
    #[must_use]
    pub fn table(&self) -> &RoutingTable {
        &self.current.table
    }

    /// This worker's figures.
    #[inline]
    #[must_use]
    pub fn loads(&self) -> &Loads {
        &self.current.loads
    }

    /// Goes over to the newest table, if there is one, and says whether it did. Between turns:
    /// nothing may be held from the old table.
    #[inline]
    pub fn adopt(&mut self) -> bool {
        match self.mailbox.next.take() {
            None => false,
            Some(delivery) => {
                self.go_over_to(delivery);
                true
            }
        }
    }

    #[cold]
    fn go_over_to(&mut self, delivery: Box<Delivery>) {
        let version = delivery.table.version();
        let mut old = std::mem::replace(&mut self.current, delivery);
        // Only this thread puts, so the slot cannot fill up between the two calls.
        old.older = self.mailbox.retired.take();
        drop(self.mailbox.retired.put(old));
        // Release: whoever sees the version also sees all counts made under older tables.
        self.mailbox.adopted.store(version, Ordering::Release);
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.mailbox.adopted.store(GONE, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
