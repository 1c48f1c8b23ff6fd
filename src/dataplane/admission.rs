//! What is asked of a connection before its hello: the header of a proxy, and whether its source
//! may connect. Nothing of it concerns gateways that were told nothing of the kind.

use crate::kernel::{Kernel, Take};
use crate::limits::PROXY_HEADER_BYTES_MAX;
use crate::proxy_protocol::{self, Header, Parsed};
use crate::refusal::Refusal;

use super::access::Admission;
use super::core::Core;
use super::session::{Peer, Phase, Side};
use super::sniff::{Read, read};
use super::worker::Worker;

impl<K: Kernel> Worker<K> {
    /// Counts a connection whose source is known and admitted, and says whether there was room.
    pub(super) fn count_hello(&mut self, slot: u32) -> bool {
        let access = &self.core.settings.access;
        let Some(session) = self.sessions.get_mut(slot) else { return false };
        let limited = session.facts.peer.ip().filter(|ip| access.limits_hellos_of(*ip));
        let (Some(ip), Admission::Granted) = (limited, session.admission) else { return true };
        session.hello_counted = self.core.sources.enter(ip, access.hellos_per_source_max);
        session.hello_counted
    }

    /// The hello of a connection is complete, or it never will be.
    pub(super) fn hello_over(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if std::mem::take(&mut session.hello_counted)
            && let Some(ip) = session.facts.peer.ip()
        {
            self.core.sources.leave(ip);
        }
    }

    /// Looks at a connection that was not granted more.
    pub(super) fn look_before_hello(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Sniffing { downstream, .. } = &mut session.phase else { return };
        let looked = match session.admission {
            Admission::Announced => look_for_header(&mut self.core, downstream),
            Admission::Denied => look_for_byte(&mut self.core, downstream),
            Admission::Granted => return self.sniff(slot),
        };
        match looked {
            Looked::Nothing => self.watch_downstream(slot),
            Looked::Byte => self.refuse(slot, Refusal::NotAllowed),
            Looked::Header(header) => self.announced(slot, header),
            Looked::NoHeader => self.refuse(slot, Refusal::ProxyHeader),
            Looked::Gone => {
                self.core.stats.probes.add(1);
                self.close_quietly(slot);
            }
        }
    }

    /// The proxy has said whose connection it is.
    fn announced(&mut self, slot: u32, header: Header) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if let Some(source) = header.source {
            session.facts.peer = Peer::from(source);
        }
        let ip = session.facts.peer.ip();
        // One that speaks for itself is trusted.
        session.admission = match header.source {
            Some(_) => self.core.settings.access.of_source(ip),
            None => Admission::Granted,
        };
        if !self.count_hello(slot) {
            return self.refuse(slot, Refusal::TooManyHellos);
        }
        self.sniff(slot);
    }
}

/// What one look came to.
enum Looked {
    /// More is needed.
    Nothing,
    /// There is a byte.
    Byte,
    /// There was a header; it was taken out of the receive queue.
    Header(Header),
    /// It does not begin with one.
    NoHeader,
    /// The connection has ended without a byte, or broke.
    Gone,
}

/// Looks for a header in the receive queue, and leaves there what is only a part of one: it is
/// short, and `SO_RCVLOWAT` keeps senders of single bytes from costing a look for each.
fn look_for_header<K: Kernel>(core: &mut Core<K>, downstream: &mut Side<K::Socket>) -> Looked {
    if !downstream.readable {
        return Looked::Nothing;
    }
    let Some(room) = core.hot.get_mut(..PROXY_HEADER_BYTES_MAX) else { return Looked::Gone };
    let queued = match read(&mut core.kernel, downstream, room, Take::Peek) {
        Read::Bytes(length) => length,
        Read::Nothing => return Looked::Nothing,
        Read::End | Read::Broken => return Looked::Gone,
    };
    match proxy_protocol::parse(core.hot.get(..queued).unwrap_or_default()) {
        Parsed::Rejected(_) => Looked::NoHeader,
        // If nothing more comes, the time of the hello ends it: this is a proxy that is trusted.
        Parsed::Incomplete { need_bytes } => {
            downstream.readable = false;
            downstream.set_low_water(&mut core.kernel, queued.saturating_add(need_bytes));
            Looked::Nothing
        }
        Parsed::Complete(header) => {
            if !core.discard(&downstream.socket, header.header_bytes) {
                return Looked::Gone;
            }
            downstream.set_low_water(&mut core.kernel, 1);
            downstream.readable = true;
            Looked::Header(header)
        }
    }
}

fn look_for_byte<K: Kernel>(core: &mut Core<K>, downstream: &mut Side<K::Socket>) -> Looked {
    if !downstream.readable {
        return Looked::Nothing;
    }
    let Some(room) = core.hot.get_mut(..1) else { return Looked::Gone };
    match read(&mut core.kernel, downstream, room, Take::Peek) {
        Read::Bytes(_) => Looked::Byte,
        Read::Nothing => Looked::Nothing,
        Read::End | Read::Broken => Looked::Gone,
    }
}
