//! A reader that stops reading costs bounded memory and no processor time, and loses nothing.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::ends::Session;
use crate::support::pattern::Pattern;
use crate::support::socket::expect_end;
use crate::support::{Engine, Gateway, eventually, process};

on_both_engines!(
    alone: a_stalled_backend_costs_nothing_and_resumes_exactly,
    a_stalled_client_costs_nothing_and_resumes_exactly,
);

const STREAM_BYTES: usize = 64 << 20;
/// A pipe is the kernel's memory, not the gateway's.
const GROWTH_BYTES_MAX: u64 = 1 << 20;

fn a_stalled_backend_costs_nothing_and_resumes_exactly(engine: Engine) {
    let Session { gateway, client, upstream, .. } = Session::new(engine);
    stall(&gateway, client, upstream, "bytes_up");
}

fn a_stalled_client_costs_nothing_and_resumes_exactly(engine: Engine) {
    let Session { gateway, client, upstream, .. } = Session::new(engine);
    stall(&gateway, upstream, client, "bytes_down");
}

fn stall(gateway: &Gateway, mut from: TcpStream, mut to: TcpStream, counter: &str) {
    from.set_write_timeout(None).unwrap();
    let resident_bytes = process::resident_bytes(gateway.pid());
    let bytes = Pattern::new(9).take(STREAM_BYTES);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            from.write_all(&bytes).unwrap();
            from.shutdown(Shutdown::Write).unwrap();
        });
        let mut moved_bytes = 0;
        let stuck = eventually(|| {
            let now = gateway.stats().get(counter);
            let is_stuck = now > 0 && now == moved_bytes;
            moved_bytes = now;
            std::thread::sleep(Duration::from_millis(200));
            is_stuck.then_some(())
        });
        assert!(stuck.is_some(), "it never comes to rest");
        assert!(moved_bytes < STREAM_BYTES as u64, "the reader was not stalled");
        let before = process::processor_time(gateway.pid());
        std::thread::sleep(Duration::from_secs(1));
        let spent = process::processor_time(gateway.pid()) - before;
        let grown = process::resident_bytes(gateway.pid()).saturating_sub(resident_bytes);
        assert!(spent <= Duration::from_millis(50), "{spent:?} in a second of nothing to do");
        assert!(grown <= GROWTH_BYTES_MAX, "{grown} bytes for {moved_bytes} moved");
        expect_end(&mut to, &bytes);
    });
    drop((from, to));
    gateway.wait_until_quiet();
}
