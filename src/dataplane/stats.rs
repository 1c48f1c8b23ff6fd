//! Counters of a worker.
//!
//! Written by one worker with plain loads and stores (no read-modify-write), read by anyone.
//! What only ever grows is a counter; the others are gauges.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::refusal::Refusal;

use super::times::Times;

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
            /// From accept to the complete hello.
            pub hello_times: Times,
            /// From the complete hello to connected, retries included.
            pub dial_times: Times,
            /// From accept to the end, of sessions that reached an endpoint.
            pub session_times: Times,
            listeners: Box<[ListenerStats]>,
        }

        impl Stats {
            /// Every number with its name, except refusals, times and those of listeners.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                [$((stringify!($name), self.$name.get()),)*].into_iter()
            }

            /// Sets the number of a name.
            #[cfg(test)]
            pub(crate) fn set_by_name(&self, name: &str, n: u64) {
                match name {
                    $(stringify!($name) => self.$name.set(n),)*
                    other => panic!("nothing is counted as {other}"),
                }
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
    /// Times that completions did not fit into the queue of the ring; brought up to date once a
    /// second.
    completions_overflowed,
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
    /// Hellos refused because they are longer than any may be.
    hellos_too_long,
    /// Dials begun.
    dials,
    /// Dials that failed, timeouts included.
    dials_failed,
    /// Dials that took longer than their connect timeout.
    dials_timed_out,
    /// Sessions that went to another endpoint after one failed.
    dials_retried,
    /// Times that an endpoint was left aside for a while after failures in a row.
    ejections,
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

/// What one worker counts of one of its listeners.
#[derive(Debug, Default)]
pub struct ListenerStats {
    /// Connections accepted.
    pub accepted: Count,
    /// Gauge: sessions, in whatever state.
    pub sessions: Count,
    /// Sessions refused because nothing is routed under their name, or they have none.
    pub unmatched: Count,
}

impl Stats {
    /// Counters of a worker with so many listeners. With fewer than it has, those that are
    /// missing are not counted by themselves.
    #[must_use]
    pub fn new(listener_count: usize) -> Self {
        let listeners = (0..listener_count).map(|_| ListenerStats::default()).collect();
        Self { listeners, ..Self::default() }
    }

    /// What is counted of a listener.
    #[inline]
    #[must_use]
    pub fn listener(&self, listener: u16) -> Option<&ListenerStats> {
        self.listeners.get(usize::from(listener))
    }

    /// Counts a refusal.
    pub fn refuse(&self, why: Refusal) {
        if let Some(count) = self.refused.get(why as usize) {
            count.add(1);
        }
    }

    /// Refusals for one reason.
    #[must_use]
    pub fn refused_for(&self, why: Refusal) -> u64 {
        self.refused.get(why as usize).map_or(0, Count::get)
    }

    /// Refusals by reason.
    pub fn refusals(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.into_iter().zip(&self.refused).map(|(why, count)| (why, count.get()))
    }
}
