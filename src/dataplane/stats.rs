//! Counters of a worker.
//!
//! Written by one worker with plain loads and stores (no read-modify-write), read by anyone.
//! What only ever grows is a counter; the others are gauges.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::refusal::Refusal;

/// A number that one thread writes and others read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds, on the thread that owns it.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Subtracts, on the thread that owns it.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// Sets, on the thread that owns it.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Reads, on any thread.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What one worker counts.
        #[derive(Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub $name: Count,)*
            /// Refusals, by reason.
            pub refused: [Count; Refusal::ALL.len()],
        }

        impl Stats {
            /// Every number with its name, except the refusals.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                [$((stringify!($name), self.$name.get()),)*].into_iter()
            }
        }
    };
}

stats! {
    /// Turns of the worker's loop; still growing means that it lives.
    turns,
    /// Completions received from the kernel layer.
    completions,
    /// Completions dropped because their session was gone.
    completions_stale,
    /// Connections accepted.
    accepted,
    /// Times that accepting paused for want of descriptors, slots or memory.
    accept_paused,
    /// Failures of accept other than those.
    accept_failed,
    /// Connections that ended without a byte: health probes.
    probes,
    /// Sessions that reached an endpoint.
    routed,
    /// Sessions that ended, however.
    closed,
    /// Sessions that left for another worker.
    detached,
    /// Sessions in which a connection broke, on either side.
    reset,
    /// Sessions closed for want of traffic.
    idle_closed,
    /// Sessions closed because the drain timeout had come.
    drain_closed,
    /// Hellos with an encrypted_client_hello extension.
    hellos_ech,
    /// Hellos that came in several reads.
    hellos_split,
    /// Dials begun.
    dials,
    /// Dials that failed, timeouts included.
    dials_failed,
    /// Dials that took longer than their connect timeout.
    dials_timed_out,
    /// Sessions that went to another endpoint after one failed.
    dials_retried,
    /// Watches asked of the kernel (poll arms).
    watches,
    /// Watches asked again because the kernel ended one.
    watches_rearmed,
    /// Bytes relayed from downstream to upstream.
    bytes_up,
    /// Bytes relayed from upstream to downstream.
    bytes_down,
    /// Of all bytes, those through the hot buffer.
    bytes_copied,
    /// Of all bytes, those through a pipe.
    bytes_spliced,
    /// Of all bytes, those peeked, sent and discarded because there was no pipe.
    bytes_peeked,
    /// Times that no pipe was to be had.
    pipes_refused,
    /// Pipes destroyed with bytes in them.
    pipes_dirty,
    /// Tables adopted.
    tables_adopted,
    /// Access-log records dropped because their queue was full.
    access_log_dropped,
    /// Gauge: sessions, in whatever state.
    sessions,
    /// Gauge: pipes lent to sessions.
    pipes_lent,
    /// Gauge: pipes kept for the next use.
    pipes_idle,
    /// Gauge: hello buffers lent.
    buffers_lent,
    /// Gauge: the version of the table in use.
    table_version,
}

impl Stats {
    /// Counts a refusal.
    pub fn refuse(&self, why: Refusal) {
        if let Some(count) = self.refused.get(why as usize) {
            count.add(1);
        }
    }

    /// Refusals by reason.
    pub fn refusals(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.into_iter().zip(&self.refused).map(|(why, count)| (why, count.get()))
    }
}
