//! The calls of a worker: [`Kernel`] for [`Sim`].

use std::net::SocketAddr;

use super::faults::Fault;
use super::operation::{Dial, Dialing, InFlight, Watch};
use super::pipe::Pipe;
use super::{Sim, Socket};
use crate::kernel::{
    BufferId, Completions, DialOptions, Errno, HelloBuffers, Kernel, ListenerId, Readiness, Take,
    Tick, Token, Tried, Wait,
};

impl Kernel for Sim {
    type Socket = Socket;
    type Pipe = Pipe;

    fn recv(&mut self, socket: &Socket, to: &mut [u8], take: Take) -> Tried<usize> {
        assert!(!to.is_empty(), "a read without room cannot tell FIN: {socket:?}");
        let Some(most) = self.restrain_input(socket, to.len(), Fault::ShortRead) else {
            return Tried::Later;
        };
        let mut core = self.core.borrow_mut();
        let tried = core.end(socket.end).recv(&mut to[..most], take);
        core.arrive(socket.end);
        tried
    }

    fn discard(&mut self, socket: &Socket, count_bytes: usize) -> Tried<usize> {
        assert!(count_bytes > 0, "a discard of nothing cannot tell FIN: {socket:?}");
        let mut core = self.core.borrow_mut();
        core.maybe_break(socket.end);
        let could_bytes = core.end(socket.end).received_bytes().min(count_bytes);
        // What is there can be thrown away, though not in one piece perhaps.
        let short = could_bytes > 1 && core.strikes(Fault::ShortRead);
        let most = if short { core.random.count_to(could_bytes - 1) } else { count_bytes };
        if short {
            core.owe(socket.end, Readiness::IN);
        }
        let tried = core.end(socket.end).discard(most);
        core.arrive(socket.end);
        tried
    }

    fn send(&mut self, socket: &Socket, bytes: &[u8]) -> Tried<usize> {
        assert!(!bytes.is_empty(), "a send of nothing: {socket:?}");
        let Some(most) = self.restrain_output(socket, bytes.len(), Fault::ShortWrite) else {
            return Tried::Later;
        };
        let mut core = self.core.borrow_mut();
        let fragment_bytes = core.fragment_bytes();
        let tried = core.end(socket.end).send(&bytes[..most], fragment_bytes);
        core.arrive(socket.end);
        tried
    }

    fn low_water(&mut self, socket: &Socket, bytes: usize) {
        self.core.borrow_mut().end(socket.end).low_water(bytes);
    }

    fn pipe(&mut self, capacity_bytes: usize, least_bytes: usize) -> Result<Pipe, Errno> {
        let mut core = self.core.borrow_mut();
        if core.strikes(Fault::PipeRefused) {
            let errnos = [Errno::EMFILE, Errno::ENFILE, Errno::EPERM];
            return Err(core.random.pick(&errnos));
        }
        let smaller = capacity_bytes > least_bytes && core.strikes(Fault::PipeSmaller);
        core.open.pipe_count += 1;
        Ok(Pipe::new(if smaller { least_bytes } else { capacity_bytes }))
    }

    fn pipe_pending_bytes(&self, pipe: &Pipe) -> usize {
        pipe.pending_bytes()
    }

    fn pipe_capacity_bytes(&self, pipe: &Pipe) -> usize {
        pipe.capacity_bytes()
    }

    fn stash(&mut self, pipe: &mut Pipe, bytes: &[u8]) -> Tried<usize> {
        assert!(!bytes.is_empty(), "a write of nothing: {pipe:?}");
        pipe.write(bytes)
    }

    fn fill(&mut self, socket: &Socket, pipe: &mut Pipe, most_bytes: usize) -> Tried<usize> {
        assert!(most_bytes > 0, "a splice of nothing cannot tell FIN: {socket:?}");
        let Some(most) = self.restrain_input(socket, most_bytes, Fault::ShortSplice) else {
            return Tried::Later;
        };
        let mut core = self.core.borrow_mut();
        let tried = core.end(socket.end).fill(pipe, most);
        core.arrive(socket.end);
        tried
    }

    fn flush(&mut self, pipe: &mut Pipe, socket: &Socket) -> Tried<usize> {
        let pending_bytes = pipe.pending_bytes();
        assert!(pending_bytes > 0, "flush of an empty pipe to {socket:?}");
        let Some(most) = self.restrain_output(socket, pending_bytes, Fault::ShortSplice) else {
            return Tried::Later;
        };
        let mut core = self.core.borrow_mut();
        let tried = core.end(socket.end).flush(pipe, most);
        core.arrive(socket.end);
        tried
    }

    fn close_pipe(&mut self, pipe: Pipe) {
        let mut core = self.core.borrow_mut();
        core.open.pipe_count -= 1;
        core.dirty_pipe_count += u64::from(pipe.pending_bytes() > 0);
    }

    fn finish(&mut self, socket: &Socket) {
        self.core.borrow_mut().finish_end(socket.end);
    }

    fn reset(&mut self, socket: &Socket) {
        self.core.borrow_mut().reset_end(socket.end);
    }

    fn close(&mut self, socket: Socket) {
        let mut core = self.core.borrow_mut();
        let watch = core.watch_of(socket.end);
        assert_eq!(watch, None, "{socket:?} was closed with a watch in flight");
        core.open.socket_count -= 1;
        core.close_end(socket.end);
    }

    fn peer_address(&mut self, socket: &Socket) -> Option<SocketAddr> {
        let mut core = self.core.borrow_mut();
        let end = core.end(socket.end);
        (!end.is_dead()).then_some(end.remote)
    }

    fn local_address(&mut self, socket: &Socket) -> Option<SocketAddr> {
        Some(self.core.borrow_mut().end(socket.end).local)
    }

    fn buffers(&mut self) -> &mut HelloBuffers {
        &mut self.buffers
    }

    fn accept(&mut self, listener: ListenerId, token: Token) {
        let listener = self.listeners[usize::from(listener.0)];
        assert!(self.core.borrow().listeners[listener].open, "{token:?}: the listener is closed");
        self.begin(token, InFlight::Accept { listener, once: false, cancelled: false });
    }

    fn accept_one(&mut self, listener: ListenerId, token: Token) {
        let listener = self.listeners[usize::from(listener.0)];
        assert!(self.core.borrow().listeners[listener].open, "{token:?}: the listener is closed");
        self.begin(token, InFlight::Accept { listener, once: true, cancelled: false });
    }

    fn close_listener(&mut self, listener: ListenerId) {
        let listener = self.listeners[usize::from(listener.0)];
        let mut core = self.core.borrow_mut();
        let accepting = core.kernels[self.id.0]
            .operations
            .values()
            .any(|o| matches!(o, InFlight::Accept { listener: l, .. } if *l == listener));
        assert!(!accepting, "listener {listener} was closed with an accept in flight");
        assert!(core.listeners[listener].open, "listener {listener} was closed twice");
        core.stop_listening(listener);
    }

    fn dial(
        &mut self,
        to: SocketAddr,
        _options: &DialOptions,
        hello: Option<&BufferId>,
        token: Token,
    ) {
        let hello = hello.map(|id| (id.index(), self.buffers.bytes(id).to_vec()));
        let stage = {
            let mut core = self.core.borrow_mut();
            if core.strikes(Fault::DialExhausted) {
                let errnos = [Errno::EMFILE, Errno::ENOBUFS, Errno::ENOMEM, Errno::EADDRNOTAVAIL];
                Dialing::Failed(core.random.pick(&errnos))
            } else {
                let us_max = core.options.dial_us_max;
                let us = core.random.below(us_max + 1);
                Dialing::Underway(Tick(core.now.0 + us))
            }
        };
        self.begin(token, InFlight::Dial(Dial { to, hello, stage, cancelled: false }));
    }

    fn watch(&mut self, socket: &Socket, token: Token) {
        {
            let mut core = self.core.borrow_mut();
            let other = core.watch_of(socket.end);
            assert_eq!(other, None, "{token:?}: {socket:?} is watched already");
            let end = core.end(socket.end);
            end.woken = end.level();
        }
        self.begin(token, InFlight::Watch(Watch { end: socket.end, cancelled: false }));
    }

    fn cancel(&mut self, token: Token) {
        // One that is not in flight any more has its last completion among those told already.
        match self.core.borrow_mut().kernels[self.id.0].operations.get_mut(&token) {
            None => {}
            Some(InFlight::Accept { cancelled, .. }) => *cancelled = true,
            Some(InFlight::Dial(dial)) => dial.cancelled = true,
            Some(InFlight::Watch(watch)) => watch.cancelled = true,
        }
    }

    fn turn(&mut self, wait: Wait, into: &mut Completions<Socket>) {
        for buffer in self.hoarded.drain(..) {
            self.buffers.give_back(buffer);
        }
        let mut core = self.core.borrow_mut();
        // For this turn: between two calls of a worker, nobody else takes a buffer.
        if self.buffers.available() && core.strikes(Fault::BuffersExhausted) {
            while let Some(buffer) = self.buffers.hold(b"") {
                self.hoarded.push(buffer);
            }
        }
        let kernel = self.id.0;
        let told_before = into.len();
        loop {
            if core.options.slow_wire {
                core.drift();
            }
            core.progress_dials(kernel, &self.buffers);
            core.wake_for_nothing(kernel);
            let held_back = core.complete(kernel, into);
            let woken = std::mem::take(&mut core.kernels[kernel].woken);
            core.kernels[kernel].waiting = Some(wait);
            let Wait::Until(until) = wait else { break };
            let told = into.len() > told_before;
            if told || woken || core.options.stepwise || until <= core.now {
                break;
            }
            if !held_back && !core.settle() {
                let next = core.waits_until(kernel).unwrap_or(until);
                core.now = core.now.max(next);
            }
        }
        self.now = core.now;
    }

    fn now(&self) -> Tick {
        self.now
    }

    fn random(&mut self) -> u64 {
        self.core.borrow_mut().random.number()
    }
}
