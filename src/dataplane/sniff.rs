//! Reading the hello, and looking up whose it is.
//!
//! The first read takes what is there, up to a hello buffer; a whole hello is nearly always
//! in it. What is missing after that stays in the receive queue and is peeked at behind the
//! part held, so that an unfinished hello costs no memory; `SO_RCVLOWAT` keeps senders of
//! single bytes from making that quadratic. Only a hello in several TLS records is collected
//! in memory of its own: the records' headers would make the queue too small for it.

use crate::kernel::{Kernel, Take, Tried};
use crate::limits::{HELLO_BUFFER_BYTES, HELLO_WIRE_BYTES_MAX, REASSEMBLY_COUNT};
use crate::refusal::Refusal;
use crate::tls::client_hello::HelloError;
use crate::tls::client_hello::{self, ClientHello, Parsed};
use crate::tls::server_name::CanonicalName;

use super::core::Core;
use super::session::{Held, Reassembly, Side};

/// What one look at the client's bytes came to.
#[allow(clippy::large_enum_variant, reason = "lives on the stack, for one call")]
pub(crate) enum Sniffed {
    /// More is needed.
    More,
    /// The hello is whole, and this is the name in it.
    Name(CanonicalName),
    /// The hello is whole, and has no name in it.
    Nameless,
    /// It is not a hello that can be routed, and this is the rule that it breaks.
    Malformed(HelloError),
    /// It will not be routed.
    Refused(Refusal),
    /// The client closed without having sent a byte.
    Probe,
    /// The connection broke.
    Broken,
}

impl Sniffed {
    const fn is_whole(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Nameless)
    }
}

/// Reads what is there, and parses it together with what is held.
pub(crate) fn sniff<K: Kernel>(
    core: &mut Core<K>,
    downstream: &mut Side<K::Socket>,
    held: &mut Held,
) -> Sniffed {
    while downstream.readable {
        let looked = match held {
            // The other half is for whole hellos: clients that send one byte take none of it.
            Held::Nothing if core.kernel.buffers().is_plenty() => {
                first_read(core, downstream, held)
            }
            Held::Nothing | Held::Pooled(_) => peek(core, downstream, held),
            Held::Reassembly(_) => collect(core, downstream, held),
        };
        if !matches!(looked, Sniffed::More) {
            return looked;
        }
    }
    Sniffed::More
}

fn first_read<K: Kernel>(
    core: &mut Core<K>,
    downstream: &mut Side<K::Socket>,
    held: &mut Held,
) -> Sniffed {
    let Some(room) = core.hot.get_mut(..HELLO_BUFFER_BYTES) else { return Sniffed::Broken };
    let length = match read(&mut core.kernel, downstream, room, Take::Consume) {
        Read::Bytes(length) => length,
        Read::Nothing => return Sniffed::More,
        Read::End => return Sniffed::Probe,
        Read::Broken => return Sniffed::Broken,
    };
    let wire = core.hot.get(..length).unwrap_or_default();
    let parsed = client_hello::parse(wire, &mut core.scratch);
    let answer = judge(core.stats.as_ref(), &parsed);
    let waits = match parsed {
        Parsed::Incomplete { need_bytes, fragmented } => Some((need_bytes, fragmented)),
        Parsed::Complete(_) | Parsed::Rejected(_) => None,
    };
    if answer.is_whole() || matches!(answer, Sniffed::More) {
        let Some(id) = core.kernel.buffers().hold(wire) else { return Sniffed::Broken };
        core.stats.buffers_lent.add(1);
        *held = Held::Pooled(id);
    }
    if let Some((need_bytes, fragmented)) = waits {
        core.stats.hellos_split.add(1);
        return wait_for(core, downstream, held, need_bytes, fragmented, 0);
    }
    answer
}

/// Looks at the queue behind what is held, and leaves it there.
fn peek<K: Kernel>(
    core: &mut Core<K>,
    downstream: &mut Side<K::Socket>,
    held: &mut Held,
) -> Sniffed {
    let prefix = match held {
        Held::Pooled(id) => core.kernel.buffers().bytes(id).len(),
        Held::Nothing | Held::Reassembly(_) => 0,
    };
    let Some((head, room)) = core.hot.split_at_mut_checked(prefix) else { return Sniffed::Broken };
    if let Held::Pooled(id) = held {
        head.copy_from_slice(core.kernel.buffers().bytes(id));
    }
    let queued = match read(&mut core.kernel, downstream, room, Take::Peek) {
        Read::Bytes(length) => length,
        Read::Nothing => return Sniffed::More,
        Read::End if prefix == 0 => return Sniffed::Probe,
        Read::End => return Sniffed::Refused(Refusal::HelloTruncated),
        Read::Broken => return Sniffed::Broken,
    };
    // Peeked bytes stay, so reading on would find the same again.
    downstream.readable = false;
    let total = prefix + queued;
    let wire = core.hot.get(..total).unwrap_or_default();
    let parsed = client_hello::parse(wire, &mut core.scratch);
    if let Parsed::Incomplete { need_bytes, fragmented } = parsed {
        return wait_for(core, downstream, held, need_bytes, fragmented, queued);
    }
    let answer = judge(core.stats.as_ref(), &parsed);
    if answer.is_whole() {
        hold_all(core, downstream, held, total, queued);
        downstream.readable = true;
    }
    answer
}

/// Takes the rest of a whole hello out of the queue if one buffer holds all of it, so that it
/// can be replayed. Otherwise the rest stays, and is relayed like anything else.
fn hold_all<K: Kernel>(
    core: &mut Core<K>,
    downstream: &mut Side<K::Socket>,
    held: &mut Held,
    total: usize,
    queued: usize,
) {
    if total > HELLO_BUFFER_BYTES || matches!(held, Held::Reassembly(_)) {
        return;
    }
    let Some(wire) = core.hot.get(..total) else { return };
    match std::mem::replace(held, Held::Nothing) {
        Held::Pooled(id) => core.kernel.buffers().give_back(id),
        Held::Nothing if core.kernel.buffers().available() => core.stats.buffers_lent.add(1),
        // All of it stays in the queue.
        Held::Nothing | Held::Reassembly(_) => return,
    }
    let fits = match core.kernel.discard(&downstream.socket, queued) {
        Tried::Did(discarded) => wire.len() - queued.saturating_sub(discarded),
        Tried::Later | Tried::Failed(_) => wire.len().saturating_sub(queued),
    };
    // There is a buffer: it was given back just now, or looked for.
    if let Some(id) = core.kernel.buffers().hold(wire.get(..fits).unwrap_or_default()) {
        *held = Held::Pooled(id);
    }
}

/// Reads into memory that grows with the hello.
fn collect<K: Kernel>(
    core: &mut Core<K>,
    downstream: &mut Side<K::Socket>,
    held: &mut Held,
) -> Sniffed {
    let Held::Reassembly(reassembly) = held else { return Sniffed::Broken };
    let Reassembly { wire, parse_at_bytes, .. } = &mut **reassembly;
    let room_bytes = HELLO_WIRE_BYTES_MAX.saturating_sub(wire.len()).min(core.hot.len());
    let Some(room) = core.hot.get_mut(..room_bytes) else { return Sniffed::Broken };
    match read(&mut core.kernel, downstream, room, Take::Consume) {
        Read::Bytes(length) => wire.extend_from_slice(room.get(..length).unwrap_or_default()),
        Read::Nothing => return Sniffed::More,
        Read::End => return Sniffed::Refused(Refusal::HelloTruncated),
        Read::Broken => return Sniffed::Broken,
    }
    if wire.len() < *parse_at_bytes {
        let need_bytes = *parse_at_bytes - wire.len();
        downstream.set_low_water(&mut core.kernel, need_bytes);
        return Sniffed::More;
    }
    let parsed = client_hello::parse(wire, &mut core.scratch);
    if let Parsed::Incomplete { need_bytes, .. } = parsed {
        *parse_at_bytes = wire.len().saturating_add(need_bytes);
        downstream.set_low_water(&mut core.kernel, need_bytes);
    }
    let answer = judge(core.stats.as_ref(), &parsed);
    if answer.is_whole()
        && let Some(id) = core.kernel.buffers().hold(wire)
    {
        core.stats.buffers_lent.add(1);
        let collected = std::mem::replace(held, Held::Pooled(id));
        core.release(collected);
    }
    answer
}

/// Arranges to be woken when the hello can have got further.
fn wait_for<K: Kernel>(
    core: &mut Core<K>,
    downstream: &mut Side<K::Socket>,
    held: &mut Held,
    need_bytes: usize,
    fragmented: bool,
    queued: usize,
) -> Sniffed {
    // Behind a FIN there is no further edge, and a peek stops at urgent data: to get further,
    // the queue has to be emptied.
    let stuck = queued > 0 && (downstream.ended || downstream.urgent);
    if !fragmented && !stuck {
        // A peeked byte still counts as one that is there.
        downstream.set_low_water(&mut core.kernel, queued.saturating_add(need_bytes));
        return Sniffed::More;
    }
    if core.reassembly_count >= REASSEMBLY_COUNT {
        return Sniffed::Refused(Refusal::ReassemblyExhausted);
    }
    core.reassembly_count += 1;
    let mut wire = Vec::new();
    if let Held::Pooled(id) = &*held {
        wire.extend_from_slice(core.kernel.buffers().bytes(id));
    }
    let reassembly = Reassembly { wire, parse_at_bytes: 0, counted: true };
    let before = std::mem::replace(held, Held::Reassembly(Box::new(reassembly)));
    core.release(before);
    downstream.set_low_water(&mut core.kernel, if queued > 0 { 1 } else { need_bytes });
    // What was peeked at is still in the queue, unread.
    downstream.readable |= queued > 0;
    Sniffed::More
}

fn judge(stats: &super::stats::Stats, parsed: &Parsed<'_>) -> Sniffed {
    match parsed {
        Parsed::Incomplete { .. } => Sniffed::More,
        Parsed::Rejected(error) => Sniffed::Malformed(*error),
        Parsed::Complete(ClientHello { server_name, has_ech, .. }) => {
            stats.hellos_ech.add(u64::from(*has_ech));
            match server_name.and_then(|name| CanonicalName::new(name).ok()) {
                Some(name) => Sniffed::Name(name),
                None => Sniffed::Nameless,
            }
        }
    }
}

pub(super) enum Read {
    Bytes(usize),
    Nothing,
    End,
    Broken,
}

/// Reads what is there, and takes note of what that says of the queue.
pub(super) fn read<K: Kernel>(
    kernel: &mut K,
    side: &mut Side<K::Socket>,
    to: &mut [u8],
    take: Take,
) -> Read {
    match kernel.recv(&side.socket, to, take) {
        Tried::Did(0) => Read::End,
        Tried::Did(length) => {
            if length < to.len() {
                side.note_short_read();
            }
            Read::Bytes(length)
        }
        Tried::Later => {
            side.readable = false;
            Read::Nothing
        }
        Tried::Failed(_) => Read::Broken,
    }
}
