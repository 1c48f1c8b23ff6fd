//! One TCP connection, as its two ends see it.
//!
//! Modelled on what `tcp_recvmsg`, `tcp_sendmsg`, `tcp_poll`, `tcp_reset`, `tcp_disconnect` and
//! `inet_shutdown` do; `tests/sim_conformance.rs` compares it with them.

use std::net::SocketAddr;

use super::pipe::Pipe;
use super::queue::{Fragment, Queue};
use crate::kernel::{Errno, Readiness, Take, Tried};

/// One end. What it sent and the other end has not received yet is on its wire.
#[derive(Debug)]
pub(super) struct End {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    received: Queue,
    receive_bytes_max: usize,
    low_water_bytes: usize,
    wire: Queue,
    send_bytes_max: usize,
    fin: Fin,
    reset_on_wire: bool,
    /// The other end's FIN is here (`SOCK_DONE`): reads end with 0, whatever broke since.
    fin_received: bool,
    receive_shut: bool,
    send_shut: bool,
    /// Reset, by either end (`TCP_CLOSE`).
    dead: bool,
    error: Option<Errno>,
    /// Somebody waits for room to write (`SOCK_NOSPACE`).
    wants_room: bool,
    /// Its descriptor was closed; the kernel goes on alone.
    closed: bool,
    /// Edges since they were last told.
    pub(super) woken: Readiness,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fin {
    NotSent,
    OnWire,
    Delivered,
}

impl End {
    fn new(local: SocketAddr, remote: SocketAddr, buffer_bytes: usize) -> Self {
        Self {
            local,
            remote,
            received: Queue::default(),
            receive_bytes_max: buffer_bytes,
            low_water_bytes: 1,
            wire: Queue::default(),
            send_bytes_max: buffer_bytes,
            fin: Fin::NotSent,
            reset_on_wire: false,
            fin_received: false,
            receive_shut: false,
            send_shut: false,
            dead: false,
            error: None,
            wants_room: false,
            closed: false,
            woken: Readiness::default(),
        }
    }

    pub(super) fn received_bytes(&self) -> usize {
        self.received.bytes()
    }

    pub(super) fn received_fragment_count(&self, count_bytes: usize) -> usize {
        self.received.fragment_count(count_bytes)
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether a read would give bytes or the end of the stream, and so may be shortened.
    pub(super) fn has_input(&self) -> bool {
        !self.received.is_empty() || self.fin_received
    }

    /// Whether a write would take bytes.
    pub(super) fn has_room(&self) -> bool {
        !self.send_shut && !self.dead && self.room_bytes() > 0
    }

    pub(super) fn wake(&mut self, edges: Readiness) {
        self.woken = self.woken.with(edges);
    }

    /// The present state (`tcp_poll`). Asking notes that room is wanted if there is none.
    pub(super) fn level(&mut self) -> Readiness {
        let mut level = Readiness::default();
        if self.error.is_some() || self.dead || (self.send_shut && self.receive_shut) {
            level = level.with(Readiness::BROKEN);
        }
        if self.receive_shut {
            level = level.with(Readiness::IN).with(Readiness::FINISHED);
        }
        if self.readable() {
            level = level.with(Readiness::IN);
        }
        if self.send_shut || self.writable() {
            level = level.with(Readiness::OUT);
        } else {
            self.wants_room = true;
        }
        level
    }

    pub(super) fn recv(&mut self, to: &mut [u8], take: Take) -> Tried<usize> {
        if self.received.is_empty() {
            return self.read_nothing();
        }
        let count = self.received.peek(to);
        if take == Take::Consume {
            self.received.discard(count);
        }
        Tried::Did(count)
    }

    pub(super) fn discard(&mut self, count_bytes: usize) -> Tried<usize> {
        if self.received.is_empty() {
            return self.read_nothing();
        }
        Tried::Did(self.received.discard(count_bytes))
    }

    pub(super) fn fill(&mut self, pipe: &mut Pipe, most_bytes: usize) -> Tried<usize> {
        if pipe.free_slot_count() == 0 {
            return Tried::Later;
        }
        if self.received.is_empty() {
            return match self.read_nothing() {
                // The FIN is told when the pipe is empty, so that it cannot overtake it.
                Tried::Did(0) if pipe.pending_bytes() > 0 => Tried::Later,
                tried => tried,
            };
        }
        Tried::Did(pipe.splice_in(&mut self.received, most_bytes))
    }

    pub(super) fn send(&mut self, bytes: &[u8], fragment_bytes: usize) -> Tried<usize> {
        let count = match self.admit(bytes.len()) {
            Tried::Did(count) => count,
            tried => return tried,
        };
        for piece in bytes[..count].chunks(fragment_bytes) {
            self.wire.push(Fragment::new(piece), 0);
        }
        Tried::Did(count)
    }

    pub(super) fn flush(&mut self, pipe: &mut Pipe, most_bytes: usize) -> Tried<usize> {
        let count = match self.admit(pipe.pending_bytes().min(most_bytes)) {
            Tried::Did(count) => count,
            tried => return tried,
        };
        let mut left = count;
        while left > 0 {
            let Some(fragment) = pipe.splice_out(left) else { break };
            left -= fragment.len();
            self.wire.push(fragment, 0);
        }
        Tried::Did(count)
    }

    pub(super) fn low_water(&mut self, bytes: usize) {
        self.low_water_bytes = bytes.clamp(1, self.receive_bytes_max / 2);
        if self.readable() || self.fin_received {
            self.wake(Readiness::IN);
        }
    }

    pub(super) fn finish(&mut self) {
        self.send_shut = true;
        if !self.dead && self.fin == Fin::NotSent {
            self.fin = Fin::OnWire;
        }
        self.wake_all();
    }

    pub(super) fn reset(&mut self) {
        if !self.dead && !self.is_over() {
            self.error = Some(Errno::ECONNRESET);
            self.reset_on_wire = true;
        }
        self.die();
        self.received.clear();
        self.fin_received = false;
        self.receive_shut = false;
        self.send_shut = false;
        self.wake_all();
    }

    /// close(2): what was sent still goes out, unless something received was never read.
    pub(super) fn close(&mut self) {
        if self.received.is_empty() {
            self.finish();
        } else {
            self.reset();
        }
        self.closed = true;
    }

    /// A RST arrives.
    pub(super) fn receive_reset(&mut self) {
        if self.dead || self.is_over() {
            return;
        }
        let after_fin = self.fin_received && !self.send_shut;
        self.error = Some(if after_fin { Errno::EPIPE } else { Errno::ECONNRESET });
        self.die();
        self.receive_shut = true;
        self.send_shut = true;
        self.wake_all();
    }

    /// Nothing that was sent arrives any more.
    fn die(&mut self) {
        self.dead = true;
        self.wire.clear();
        if self.fin == Fin::OnWire {
            self.fin = Fin::NotSent;
        }
    }

    fn receive_fin(&mut self) {
        if self.dead {
            return;
        }
        self.fin_received = true;
        self.receive_shut = true;
        self.wake_all();
    }

    /// What a read gives when no bytes are there.
    fn read_nothing(&mut self) -> Tried<usize> {
        if self.fin_received {
            return Tried::Did(0);
        }
        match self.error.take() {
            Some(error) => Tried::Failed(error),
            None if self.receive_shut => Tried::Did(0),
            None if self.dead => Tried::Failed(Errno::ENOTCONN),
            None => Tried::Later,
        }
    }

    /// How many of `count_bytes` a write may take now.
    fn admit(&mut self, count_bytes: usize) -> Tried<usize> {
        if let Some(error) = self.error.take() {
            return Tried::Failed(error);
        }
        if self.send_shut || self.dead {
            return Tried::Failed(Errno::EPIPE);
        }
        let admitted = count_bytes.min(self.room_bytes());
        if admitted < count_bytes {
            self.wants_room = true;
        }
        if admitted == 0 { Tried::Later } else { Tried::Did(admitted) }
    }

    fn room_bytes(&self) -> usize {
        self.send_bytes_max - self.wire.bytes()
    }

    /// Enough room to be told of: a third of the buffer (`sk_stream_is_writeable`).
    fn writable(&self) -> bool {
        self.room_bytes() >= self.wire.bytes() / 2 && self.room_bytes() > 0
    }

    fn readable(&self) -> bool {
        let bytes = self.received.bytes();
        bytes >= self.low_water_bytes || (bytes > 0 && bytes >= self.receive_bytes_max)
    }

    /// Whether both FINs arrived: nothing can break any more.
    fn is_over(&self) -> bool {
        self.fin_received && self.fin == Fin::Delivered
    }

    fn wake_all(&mut self) {
        let level = self.level();
        self.wake(level);
    }
}

/// Both ends, and what is under way between them.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) ends: [End; 2],
}

impl Connection {
    /// A connection; side 0 is the one that dialed.
    pub(super) fn new(dialer: SocketAddr, listener: SocketAddr, buffer_bytes: usize) -> Self {
        let dialing = End::new(dialer, listener, buffer_bytes);
        Self { ends: [dialing, End::new(listener, dialer, buffer_bytes)] }
    }

    /// Whether something is on its way that can arrive now.
    pub(super) fn is_carrying(&self) -> bool {
        let [first, second] = &self.ends;
        Self::can_carry(first, second) || Self::can_carry(second, first)
    }

    /// Lets up to `most_bytes` that `side` sent arrive; then its FIN or RST, if nothing stands
    /// before it.
    pub(super) fn carry(&mut self, side: usize, most_bytes: usize, merged_bytes_max: usize) {
        let [first, second] = &mut self.ends;
        let (from, to) = if side == 0 { (first, second) } else { (second, first) };
        if from.reset_on_wire {
            from.reset_on_wire = false;
            to.receive_reset();
            return;
        }
        let mut left = most_bytes;
        while left > 0 && !from.wire.is_empty() {
            if to.closed || to.dead {
                // Bytes for nobody are answered by a RST.
                to.die();
                from.receive_reset();
                return;
            }
            let room = to.receive_bytes_max - to.received.bytes();
            let Some(fragment) = from.wire.take(left.min(room)).filter(|f| f.len() > 0) else {
                break;
            };
            left -= fragment.len();
            to.received.push(fragment, merged_bytes_max);
            if to.readable() {
                to.wake(Readiness::IN);
            }
        }
        if from.wants_room && !from.send_shut && from.writable() {
            from.wants_room = false;
            from.wake(Readiness::OUT);
        }
        if from.fin == Fin::OnWire && from.wire.is_empty() {
            from.fin = Fin::Delivered;
            to.receive_fin();
            from.wake_all();
        }
    }

    fn can_carry(from: &End, to: &End) -> bool {
        let room = to.closed || to.dead || to.received.bytes() < to.receive_bytes_max;
        from.reset_on_wire
            || (!from.wire.is_empty() && room)
            || (from.wire.is_empty() && from.fin == Fin::OnWire)
    }
}
