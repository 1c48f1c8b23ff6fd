//! What the sessions of a worker share.

use std::sync::Arc;

use crate::kernel::{Kernel, Tick, Tried};
use crate::limits::HOT_BUFFER_BYTES;
use crate::route::mailbox::Inbox;
use crate::tls::client_hello::Scratch;

use super::names::Names;
use super::pipes::Pipes;
use super::record::SessionRecord;
use super::session::Held;
use super::settings::Settings;
use super::sources::Sources;
use super::stats::Stats;

/// Everything of a worker except its sessions.
pub(crate) struct Core<K: Kernel> {
    pub(crate) kernel: K,
    pub(crate) id: u16,
    pub(crate) settings: Settings,
    pub(crate) stats: Arc<Stats>,
    pub(crate) inbox: Inbox,
    pub(crate) pipes: Pipes<K::Pipe>,
    pub(crate) names: Names,
    /// Small messages, and first reads, go through here. Holds nothing between turns.
    pub(crate) hot: Box<[u8]>,
    pub(crate) scratch: Scratch,
    /// Hellos that are collected in memory of their own.
    pub(crate) reassembly_count: usize,
    /// Where connections with incomplete hellos are from, where that is limited.
    pub(crate) sources: Sources,
    pub(crate) records: Option<rtrb::Producer<SessionRecord>>,
    /// Records of refusals, for whoever asks why.
    pub(crate) refusals: Option<rtrb::Producer<SessionRecord>>,
}

impl<K: Kernel> Core<K> {
    pub(crate) fn new(
        kernel: K,
        id: u16,
        settings: Settings,
        stats: Arc<Stats>,
        inbox: Inbox,
        records: Option<rtrb::Producer<SessionRecord>>,
    ) -> Self {
        let pipes = Pipes::new(settings.pipe_count_max, Arc::clone(&stats));
        Self {
            kernel,
            id,
            settings,
            stats,
            inbox,
            pipes,
            names: Names::default(),
            hot: vec![0; HOT_BUFFER_BYTES].into_boxed_slice(),
            scratch: Scratch::new(),
            reassembly_count: 0,
            sources: Sources::default(),
            records,
            refusals: None,
        }
    }

    /// Takes so many bytes, which were peeked at, out of the receive queue. False where they are
    /// not there any more: the connection broke since.
    pub(crate) fn discard(&mut self, socket: &K::Socket, count_bytes: usize) -> bool {
        let mut left_bytes = count_bytes;
        while left_bytes > 0 {
            match self.kernel.discard(socket, left_bytes) {
                Tried::Did(count) if count > 0 => left_bytes = left_bytes.saturating_sub(count),
                Tried::Did(_) | Tried::Later | Tried::Failed(_) => return false,
            }
        }
        true
    }

    /// Whether anybody is told of sessions by their names.
    pub(crate) fn is_watched(&self) -> bool {
        self.settings.access_log || self.refusals.is_some()
    }

    pub(crate) fn now(&self) -> Tick {
        self.kernel.now()
    }

    /// Gives back what holds a hello.
    pub(crate) fn release(&mut self, held: Held) {
        match held {
            Held::Nothing => {}
            Held::Pooled(id) => {
                self.kernel.buffers().give_back(id);
                self.stats.buffers_lent.sub(1);
            }
            Held::Reassembly(reassembly) => {
                let count = usize::from(reassembly.counted);
                self.reassembly_count = self.reassembly_count.saturating_sub(count);
            }
        }
    }
}
