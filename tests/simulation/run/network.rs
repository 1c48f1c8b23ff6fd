//! Clients and backends, and what is checked of every byte that they receive.

use std::net::SocketAddr;

use sluice::kernel::sim::Random;
use sluice::proxy_protocol;

use super::{Run, Upstream, gate};
use crate::end::{Cut, End, FinWhen, Input, Manner};
use crate::plan::Says;
use crate::stream::Stream;

impl Run {
    pub(super) fn accept(&mut self) -> bool {
        let mut moved = false;
        let now = self.world.now();
        for (at, listener) in &self.listeners {
            while let Some(far) = listener.accept() {
                moved = true;
                let peer = far.peer_address();
                let mute_one_in = self.plan.mute_one_in;
                let is_mute = mute_one_in > 0 && self.random.one_in(mute_one_in);
                let (manner, out) =
                    if is_mute { mute(&mut self.random) } else { Default::default() };
                self.trace.note(now, || format!("backend {at}: accepts {peer}, mute: {is_mute}"));
                let end = End::new(far, manner, out, now);
                let (at, session, prefix) = (*at, None, Vec::new());
                self.upstreams.push(Upstream { end, at, peer, session, nth: 0, prefix });
            }
        }
        moved
    }

    pub(super) fn client(&mut self, number: usize) -> bool {
        let now = self.world.now();
        let plan = &self.plan.sessions[number];
        let client = &mut self.clients[number];
        if client.is_waiting {
            if now.0 < self.began.0 + plan.connect_at_us {
                return false;
            }
            client.is_waiting = false;
            let versions = self.seats.iter().filter_map(|seat| seat.mailbox.adopted_version());
            client.version_from = versions.min().unwrap_or_default();
            if let Ok(far) = self.world.connect(gate()) {
                let mut address = far.local_address();
                if self.plan.is_announced {
                    address = source(number);
                    // Nobody hears of it where the connection broke at once.
                    let _ = far.send(proxy_protocol::write(Some((address, gate()))).as_slice());
                }
                self.trace.note(now, || format!("client {number}: connects as {address}"));
                client.address = Some(address);
                client.end = Some(End::new(far, plan.client.clone(), Some(plan.up.clone()), now));
            }
            return true;
        }
        let Some(end) = &mut client.end else { return false };
        let input_before = end.input;
        let moved = end.act(now, &mut self.random, &mut self.read);
        if moved {
            self.trace.note(now, || format!("client {number}: {}", end.summary(self.read.bytes())));
        }
        let at = end.received_bytes - self.read.bytes().len();
        let has_ended = end.input != input_before && end.input == Input::Fin;
        self.check_client(number, at);
        if has_ended {
            self.check_client_fin(number);
        }
        moved
    }

    /// What a client just read is an alert, or comes from one connection of its session.
    fn check_client(&mut self, number: usize, at: usize) {
        let client = &mut self.clients[number];
        let bytes = self.read.bytes();
        if bytes.is_empty() {
            return;
        }
        if client.down.is_none() {
            let room = 7_usize.saturating_sub(client.head.len()).min(bytes.len());
            client.head.extend_from_slice(&bytes[..room]);
            if let [0x17, mark, ..] = client.head[..] {
                let nth = usize::from(mark.wrapping_sub(0x40));
                client.down = Some(self.plan.sessions[number].down(nth));
                client.answered_at = Some(self.world.now());
            }
        }
        let fits = match &client.down {
            Some(down) => {
                let (head, bytes) = (&client.head, bytes);
                down.has(0, &head[..head.len().min(down.length_bytes())]) && down.has(at, bytes)
            }
            None => at + bytes.len() <= 7,
        };
        if !fits {
            self.fail(format!("client {number}: received other bytes than were sent to it"));
        }
    }

    fn check_client_fin(&mut self, number: usize) {
        let client = &self.clients[number];
        let (Some(end), Some(mark)) = (&client.end, client.head.get(1)) else { return };
        if client.head[0] != 0x17 {
            return;
        }
        let nth = usize::from(mark.wrapping_sub(0x40));
        let source = self.upstreams.iter().find(|u| (u.session, u.nth) == (Some(number), nth));
        let complete =
            source.is_some_and(|u| u.end.finished && u.end.sent_bytes == end.received_bytes);
        if !complete {
            self.fail(format!("client {number}: FIN after a truncated stream"));
        }
    }

    pub(super) fn upstream(&mut self, number: usize) -> bool {
        let now = self.world.now();
        let upstream = &mut self.upstreams[number];
        let input_before = upstream.end.input;
        let moved = upstream.end.act(now, &mut self.random, &mut self.read);
        let peer = upstream.peer;
        if moved {
            let session = upstream.session;
            self.trace.note(now, || {
                let summary = upstream.end.summary(self.read.bytes());
                format!("backend of {session:?} {peer}: {summary}")
            });
        }
        let end = &upstream.end;
        let has_ended = end.input != input_before && end.input == Input::Fin;
        match upstream.session {
            None => self.recognise(number),
            Some(session) => {
                let bytes = self.read.bytes();
                let at = end.received_bytes - bytes.len();
                if !self.plan.sessions[session].up.has(at, bytes) {
                    self.fail(format!("backend of {session}: received what was not sent to it"));
                }
            }
        }
        if has_ended {
            self.check_upstream_fin(number);
        }
        moved
    }

    fn check_upstream_fin(&mut self, number: usize) {
        let upstream = &self.upstreams[number];
        let complete = upstream.session.is_some_and(|session| {
            let client = self.clients[session].end.as_ref();
            client.is_some_and(|client| {
                client.finished && client.sent_bytes == upstream.end.received_bytes
            })
        });
        if !complete {
            let (session, peer) = (upstream.session, upstream.peer);
            self.fail(format!("backend of {session:?} {peer}: FIN after a truncated stream"));
        }
    }

    /// Finds out whose session a backend has: the one that begins like this.
    fn recognise(&mut self, number: usize) {
        let upstream = &mut self.upstreams[number];
        if self.read.bytes().is_empty() {
            return;
        }
        upstream.prefix.extend_from_slice(self.read.bytes());
        let prefix = &upstream.prefix;
        let sessions = self.plan.sessions.iter().enumerate();
        let alike = |up: &Stream| {
            let head = up.head();
            let common = head.len().min(prefix.len());
            head[..common] == prefix[..common]
        };
        // A part of a hello tells nothing.
        let whole = |says| !matches!(says, Says::Nothing | Says::Truncated);
        let alike: Vec<usize> = sessions
            .filter(|(_, plan)| whole(plan.says) && alike(&plan.up))
            .map(|(session, _)| session)
            .collect();
        let peer = upstream.peer;
        match alike[..] {
            [] => self.fail(format!("backend {peer}: these bytes are nobody's")),
            [session] => self.recognised(number, session),
            _ => {}
        }
    }

    fn recognised(&mut self, number: usize, session: usize) {
        let plan = &self.plan.sessions[session];
        let earlier = self.upstreams.iter().filter(|u| u.session == Some(session)).count();
        let (from, to) = (self.clients[session].version_from, self.tables.latest());
        let answered_at = self.clients[session].answered_at;
        let upstream = &mut self.upstreams[number];
        upstream.session = Some(session);
        upstream.nth = earlier;
        let (at, began) = (upstream.at, upstream.end.began);
        self.trace.note(self.world.now(), || {
            format!("backend {at} {}: session {session}, connection {earlier}", upstream.peer)
        });
        let fits = plan.up.has(0, &upstream.prefix);
        if upstream.end.out.is_none() {
            if earlier < plan.vanish_count {
                let (manner, out) = mute(&mut self.random);
                upstream.end.manner = manner;
                upstream.end.out = out;
            } else {
                upstream.end.manner = plan.backend.clone();
                upstream.end.out = Some(plan.down(earlier));
            }
        }
        let Some(name) = plan.says.name() else {
            return self.fail(format!("session {session} must not reach any backend"));
        };
        if !fits {
            let (hello, received) = (plan.hello_bytes, self.upstreams[number].prefix.len());
            self.fail(format!(
                "backend of {session}: received what was not sent to it: of {received} bytes, \
                 with a hello of {hello}"
            ));
        }
        if answered_at.is_some_and(|at| at < began) {
            self.fail(format!("session {session}: its hello was replayed after an answer"));
        }
        if !self.tables.may_reach(name, at, from, to) {
            self.fail(format!("session {session} for {name} was led to {at}"));
        }
    }
}

/// Whose connection a proxy says it is: a few sources have all of them.
fn source(number: usize) -> SocketAddr {
    let number = u16::try_from(number).unwrap();
    SocketAddr::from(([198, 51, 100, 1 + (number % 3) as u8], 40_000 + number))
}

/// A backend that ends its connection before it answers.
fn mute(random: &mut Random) -> (Manner, Option<Stream>) {
    let cut = match random.below(3) {
        0 => Some((0, Cut::Reset)),
        1 => Some((0, Cut::Close)),
        _ => None,
    };
    (Manner { cut, fin: FinWhen::Sent, ..Manner::default() }, Some(Stream::default()))
}
