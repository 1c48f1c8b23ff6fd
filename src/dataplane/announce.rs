//! Telling an endpoint whose connection it gets: a header of the PROXY protocol before the hello.

use crate::kernel::Kernel;
use crate::proxy_protocol;

use super::session::{Held, Phase, Reassembly};
use super::worker::Worker;

impl<K: Kernel> Worker<K> {
    /// Puts the header before the hello of a dialing session, unless it is there. From then on
    /// the two are one: sent, replayed and counted together.
    pub(super) fn announce(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Dialing(dialing) = &mut session.phase else { return };
        if std::mem::replace(&mut dialing.attempts.announced, true) {
            return;
        }
        let kernel = &mut self.core.kernel;
        let socket = &dialing.downstream.socket;
        let source = session.facts.peer.address().or_else(|| kernel.peer_address(socket));
        let header = proxy_protocol::write(source.zip(kernel.local_address(socket)));
        let mut wire = header.as_slice().to_vec();
        dialing.held = match std::mem::replace(&mut dialing.held, Held::Nothing) {
            Held::Reassembly(mut reassembly) => {
                wire.append(&mut reassembly.wire);
                reassembly.wire = wire;
                Held::Reassembly(reassembly)
            }
            held => {
                if let Held::Pooled(id) = &held {
                    wire.extend_from_slice(kernel.buffers().bytes(id));
                }
                self.core.release(held);
                match self.core.kernel.buffers().hold(&wire) {
                    Some(id) => {
                        self.core.stats.buffers_lent.add(1);
                        Held::Pooled(id)
                    }
                    // Too long, or no buffer is left.
                    None => {
                        let parse_at_bytes = 0;
                        Held::Reassembly(Box::new(Reassembly {
                            wire,
                            parse_at_bytes,
                            counted: false,
                        }))
                    }
                }
            }
        };
    }
}
