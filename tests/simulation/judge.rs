//! What must hold when a run is over.

use sluice::dataplane::record::{End as How, SessionRecord};
use sluice::dataplane::settings::RefuseWith;
use sluice::dataplane::stats::{Count, Stats};
use sluice::kernel::Kernel;
use sluice::kernel::sim::{Fault, Open};
use sluice::limits::{BROKEN_TIMEOUT, LINGER, TURN_BUDGET_BYTES};
use sluice::refusal::Refusal;

use super::end::{End, FinWhen, Input};
use super::plan::Says;
use super::run::{Run, Upstream};

/// A timer is at most two ticks of the wheel late; what was sent may be on the wire as long.
const SLACK_US: u64 = 150_000;

/// Checks everything; problems are added to the run's.
pub(crate) fn judge(run: &mut Run) {
    let mut problems = Vec::new();
    for number in 0..run.clients.len() {
        if let Err(problem) = session(run, number) {
            problems.push(format!("session {number}: {problem}"));
        }
    }
    problems.extend(counts(run).err());
    problems.extend(leftovers(run).err());
    for problem in problems {
        run.fail(problem);
    }
}

macro_rules! must {
    ($condition:expr, $($problem:tt)*) => {
        if !$condition {
            return Err(format!($($problem)*));
        }
    };
}

fn session(run: &Run, number: usize) -> Result<(), String> {
    let (client, plan) = (&run.clients[number], &run.plan.sessions[number]);
    let Some(end) = &client.end else { return Ok(()) };
    let connections = || run.upstreams.iter().filter(|u| u.session == Some(number));
    // A client that was reset before it was accepted has no address any more.
    let is_nameless = |record: &SessionRecord| record.downstream_peer.is_none();
    let mut records = run.records.iter().filter(|record| {
        let has_connection = || connections().any(|u| record.upstream_local == Some(u.peer));
        record.downstream_peer == client.address || (is_nameless(record) && has_connection())
    });
    let (record, second) = (records.next(), records.next());
    must!(second.is_none(), "has two records: {:?}", [record, second].map(|r| r.map(brief)));
    let Some(record) = record else {
        let may_be_nameless = end.is_reset() && run.records.iter().any(is_nameless);
        let reached = connections().next().is_some();
        must!(!reached || may_be_nameless, "reached a backend and has no record");
        must!(end.input != Input::Fin || end.sent_bytes == 0, "was closed without a record");
        must!(end.sent_bytes == 0 || !was_served(run, end), "was never accepted");
        return Ok(());
    };
    if let (Says::Name(name), true) = (plan.says, record.cluster.is_some()) {
        must!(record.server_name() == name, "is recorded under {:?}", record.server_name());
    }
    let last = run.upstreams.iter().find(|upstream| record.upstream_local == Some(upstream.peer));
    for superseded in connections().filter(|u| Some(u.peer) != record.upstream_local) {
        must!(superseded.end.is_reset(), "a connection given up ended with FIN");
    }
    if let Some(upstream) = last {
        must!(upstream.session.is_none_or(|s| s == number), "shares {:?}", upstream.peer);
        streams(end, upstream)?;
    }
    let reached = record.upstream_local.is_some();
    must!(reached || end.received_bytes <= 7, "has an answer, and no endpoint");
    hello_in_time(run, end, plan.hello_bytes, record)?;
    match record.end {
        How::Refused(why) => {
            let is_justified = may_be_refused(run, number, why, record);
            must!(is_justified, "was refused as {why:?} without reason: {}", brief(record));
            refusal(run, end, &client.head, why, record)
        }
        how => {
            let is_justified = may_end(run, number, how, end, last, record);
            must!(is_justified, "ended as {how:?} without reason: {}", brief(record));
            Ok(())
        }
    }
}

/// Whether a client that went on to live must have been accepted: there were slots for all, and
/// time.
fn was_served(run: &Run, client: &End) -> bool {
    let slots = run.plan.settings.session_count_max as usize >= run.plan.sessions.len();
    let broke = run.world.faults().fired(Fault::Reset) > 0;
    let waited_us = run.drained_at.map_or(0, |at| at.since_us(client.began));
    slots && !client.left && !broke && waited_us > 10_000_000
}

/// A record without its name's unused bytes.
pub(crate) fn brief(record: &SessionRecord) -> String {
    format!(
        "{:?} {} at {}..{} us, hello {:?} us, connect {:?} us, up {}, down {}, {} attempts, \
         worker {}, {:?} via {:?} to {:?}",
        record.end,
        record.server_name(),
        record.accepted_at.0,
        record.ended_at.0,
        record.hello_us,
        record.connect_us,
        record.bytes_up,
        record.bytes_down,
        record.attempt_count,
        record.worker,
        record.downstream_peer,
        record.upstream_local,
        record.upstream_peer,
    )
}

/// Each direction was delivered to its FIN, or both ends learned that it was not.
fn streams(client: &End, upstream: &Upstream) -> Result<(), String> {
    let backend = &upstream.end;
    for (from, to, way) in [(client, backend, "up"), (backend, client, "down")] {
        let delivered =
            to.input == Input::Fin && from.finished && from.sent_bytes == to.received_bytes;
        if delivered {
            continue;
        }
        must!(to.input != Input::Fin || to.is_reset(), "{way}: FIN after a truncated stream");
        must!(to.is_reset(), "{way}: cut off, and the receiver was not reset");
        let was_over = from.finished && from.input == Input::Fin;
        must!(from.is_reset() || was_over, "{way}: cut off, and the sender was not reset");
    }
    Ok(())
}

/// The hello was complete within its total time, or the session was refused for that.
fn hello_in_time(
    run: &Run,
    client: &End,
    hello_bytes: usize,
    record: &SessionRecord,
) -> Result<(), String> {
    let timeout_us = u64::try_from(run.plan.settings.hello_timeout.as_micros()).unwrap();
    let took_us = record.ended_at.since_us(record.accepted_at);
    let late_us = timeout_us + SLACK_US;
    match (record.end, record.hello_us) {
        (How::Refused(Refusal::HelloTimeout), _) => {
            must!(took_us >= timeout_us, "its hello timed out early, after {took_us} us");
            must!(took_us <= late_us, "its hello timed out late, after {took_us} us");
            let complete_at = client.sent_at(hello_bytes);
            must!(
                complete_at.is_none_or(|at| at.0 + SLACK_US > record.accepted_at.0 + timeout_us),
                "its hello was there, and timed out"
            );
        }
        (_, Some(hello_us)) => {
            must!(u64::from(hello_us) <= late_us, "its hello took {hello_us} us");
        }
        (_, None) => must!(took_us <= late_us, "had no hello for {took_us} us"),
    }
    Ok(())
}

fn may_be_refused(run: &Run, number: usize, why: Refusal, record: &SessionRecord) -> bool {
    let (client, plan) = (&run.clients[number], &run.plan.sessions[number]);
    let (from, to) = (client.version_from, run.tables.latest());
    let fired = |faults: &[Fault]| faults.iter().any(|fault| run.world.faults().fired(*fault) > 0);
    let end = client.end.as_ref();
    match (why, plan.says) {
        (Refusal::HelloTimeout, _) => true,
        (Refusal::TooManyHellos, _) => run.plan.settings.access.hellos_per_source_max > 0,
        (Refusal::HelloTruncated, says) => {
            says == Says::Truncated
                || end.is_some_and(|end| end.left || end.is_reset())
                || fired(&[Fault::Reset])
        }
        (Refusal::NotTls, says) => says == Says::NotTls,
        (Refusal::MalformedHello, says) => says == Says::Malformed,
        (Refusal::NoServerName, says) => matches!(says, Says::NoName | Says::Address),
        (Refusal::UnknownName | Refusal::NoGateways, Says::Name(name)) => {
            run.tables.may_refuse(name, why, from, to)
        }
        (Refusal::NoEndpoints, says) => says.name().is_some_and(|name| {
            record.attempt_count == 0 && run.tables.may_lack_endpoints(name, from, to)
        }),
        (Refusal::ConnectFailed, says) => says.name().is_some_and(|name| {
            let slow =
                u128::from(run.plan.world.dial_us_max) > run.plan.connect_timeout.as_micros();
            slow || run.plan.some_dead
                || run.plan.backlog_max == 1
                || plan.vanish_count > 0
                || run.plan.mute_one_in > 0
                || plan.backend.cut.is_some()
                || fired(&[Fault::DialFailed, Fault::Reset, Fault::DialExhausted])
                || run.tables.may_lack_endpoints(name, from, to) && record.attempt_count > 0
        }),
        (Refusal::OutOfResources, says) if says.name().is_some() => fired(&[Fault::DialExhausted]),
        _ => false,
    }
}

/// The fatal alert of a refusal, byte by byte (RFC 8446 §6): 50 is decode_error, 80
/// internal_error, 112 unrecognized_name.
fn alert(why: Refusal) -> Option<[u8; 7]> {
    let code = match why {
        Refusal::NotTls
        | Refusal::HelloTimeout
        | Refusal::HelloTruncated
        | Refusal::TooManyHellos => return None,
        Refusal::MalformedHello => 50,
        Refusal::NoServerName | Refusal::UnknownName | Refusal::NoGateways => 112,
        _ => 80,
    };
    Some([21, 3, 1, 0, 2, 2, code])
}

/// What the client saw of its refusal: exactly its alert and FIN, or a reset.
fn refusal(
    run: &Run,
    client: &End,
    head: &[u8],
    why: Refusal,
    record: &SessionRecord,
) -> Result<(), String> {
    let alert = alert(why).filter(|_| run.plan.settings.refuse_with == RefuseWith::Alert);
    let expected = alert.as_ref().map_or(&[][..], |alert| &alert[..]);
    must!(expected.starts_with(head), "was refused as {why:?} and told {head:02x?}");
    if client.input == Input::Fin {
        must!(head == expected, "was refused as {why:?} and told only {head:02x?}");
        let resets = run.plan.settings.refuse_with == RefuseWith::Reset;
        must!(!resets, "was to be refused with a reset, and got FIN");
    }
    let quiet = [Fault::WouldBlock, Fault::ShortWrite, Fault::Reset];
    let quiet = quiet.iter().all(|fault| run.world.faults().fired(*fault) == 0);
    // One that only sends is cut off, and finds that out by sending.
    let listens = client.sent_bytes <= TURN_BUDGET_BYTES;
    let is_read = client.manner.stall.is_none() && !client.left && listens;
    // The end of the drain cuts off whoever still has to read.
    let in_time = run.closed_at.is_none_or(|at| at > record.ended_at.after(LINGER));
    if quiet && is_read && in_time && alert.is_some() {
        must!(head == expected, "was refused as {why:?} and not told");
    }
    Ok(())
}

/// Whether a session may have ended so.
fn may_end(
    run: &Run,
    number: usize,
    how: How,
    client: &End,
    last: Option<&Upstream>,
    record: &SessionRecord,
) -> bool {
    let plan = &run.plan.sessions[number];
    let broke = run.world.faults().fired(Fault::Reset) > 0;
    let backend_left = last.is_none_or(|upstream| upstream.end.left);
    let settings = &run.plan.settings;
    let is_polite = plan.is_polite() && last.is_some_and(|u| !u.end.left && u.session.is_some());
    match how {
        How::Finished => {
            let Some(upstream) = last else { return false };
            let (up, down) = (record.bytes_up, record.bytes_down);
            let ends = [(client, &upstream.end, up), (&upstream.end, client, down)];
            client.left
                || upstream.end.left
                || ends.iter().all(|(from, to, relayed)| {
                    from.finished
                        && *relayed == from.sent_bytes as u64
                        // A connection that breaks after its FIN came in breaks unnoticed.
                    && (to.input == Input::Fin || (broke && to.broken))
                })
        }
        How::DownstreamReset => broke || client.left,
        How::UpstreamReset => broke || backend_left,
        How::Idle => {
            // What a broken connection had sent is not delivered for ever.
            let breaks = (broke || client.left || backend_left)
                && was_idle(client, last, record, BROKEN_TIMEOUT);
            breaks || (!is_polite && was_idle(client, last, record, settings.idle_timeout))
        }
        How::HalfCloseIdle => {
            let never = plan.client.fin == FinWhen::Never || plan.backend.fin == FinWhen::Never;
            (never || !is_polite) && was_idle(client, last, record, settings.half_close())
        }
        How::Drained => run.closed_at.is_some_and(|at| at <= record.ended_at),
        How::Refused(_) | How::Begun | How::Ongoing => false,
    }
}

/// Whether nothing can have moved for so long: what arrived was sent before.
fn was_idle(
    client: &End,
    last: Option<&Upstream>,
    record: &SessionRecord,
    timeout: std::time::Duration,
) -> bool {
    let Some(upstream) = last else { return false };
    let up = client.sent_at(upstream.end.received_bytes);
    let down = upstream.end.sent_at(client.received_bytes);
    let moved_at = [up, down].into_iter().flatten().max().unwrap_or(record.accepted_at);
    !timeout.is_zero() && record.ended_at >= moved_at.after(timeout)
}

/// The counters agree with each other, and with what happened.
fn counts(run: &mut Run) -> Result<(), String> {
    let seats = &run.seats;
    let sum = |of: fn(&Stats) -> &Count| seats.iter().map(|s| of(&s.stats).get()).sum::<u64>();
    for seat in seats {
        for (name, value) in seat.stats.each() {
            let gauge = ["sessions", "pipes_lent", "buffers_lent"].contains(&name);
            must!(!gauge || value == 0, "{name} is {value} at the end");
            must!(value < 1 << 62, "{name} went below zero");
        }
    }
    let (accepted, closed) = (sum(|s| &s.accepted), sum(|s| &s.closed));
    must!(accepted == closed, "accepted {accepted}, closed {closed}");
    let (detached, attached) = (sum(|s| &s.detached), run.attached_count);
    must!(detached == attached, "detached {detached}, attached {attached}");
    let (probes, records) = (sum(|s| &s.probes), run.records.len() as u64);
    must!(closed == probes + records, "closed {closed}, probes {probes}, records {records}");
    let routed = if run.plan.settings.access_log_start { sum(|s| &s.routed) } else { 0 };
    let begun = run.begun_count;
    must!(begun == routed, "{begun} records of beginnings, of {routed} sessions");
    must!(
        run.ongoing_count == 0 || !run.plan.settings.access_log_every.is_zero(),
        "records of sessions that go on, which nobody asked for"
    );
    let bytes = sum(|s| &s.bytes_up) + sum(|s| &s.bytes_down);
    let ways = sum(|s| &s.bytes_copied) + sum(|s| &s.bytes_spliced) + sum(|s| &s.bytes_peeked);
    must!(bytes == ways, "{bytes} bytes relayed, {ways} copied, spliced or peeked");
    for why in Refusal::ALL {
        let counted: u64 = seats
            .iter()
            .flat_map(|seat| seat.stats.refusals())
            .filter(|(counted, _)| *counted == why)
            .map(|(_, count)| count)
            .sum();
        let recorded = run.records.iter().filter(|r| r.end == How::Refused(why)).count() as u64;
        must!(counted == recorded, "{why:?}: counted {counted}, recorded {recorded}");
    }
    let adopted = sum(|s| &s.tables_adopted);
    run.collected_count += run.seats.iter().map(|seat| seat.mailbox.collect() as u64).sum::<u64>();
    let collected = run.collected_count;
    must!(adopted == collected, "{adopted} tables adopted, {collected} came back");
    for (cluster, endpoints) in &run.ids {
        for loads in run.publisher.loads() {
            must!(loads.sessions(*cluster) == 0, "{cluster:?} still counts sessions");
            for endpoint in endpoints {
                must!(loads.active(*endpoint) == 0, "{endpoint:?} still counts connections");
            }
        }
    }
    Ok(())
}

/// Nothing is in flight, and nothing was left open.
fn leftovers(run: &mut Run) -> Result<(), String> {
    for seat in &mut run.seats {
        let Some(worker) = seat.worker.take() else { continue };
        must!(worker.session_count() == 0, "sessions are left");
        must!(worker.counted_source_count() == 0, "hellos of sources still count");
        let mut kernel = worker.end();
        let lent = kernel.lent_buffer_count();
        must!(lent == 0, "{lent} hello buffers are left");
        let _ = kernel.buffers();
        must!(seat.mailbox.adopted_version().is_none(), "an ended worker holds its table");
    }
    run.upstreams.clear();
    for client in &mut run.clients {
        client.end = None;
    }
    let open = run.world.open();
    must!(open == Open::default(), "left open: {open:?}");
    Ok(())
}
