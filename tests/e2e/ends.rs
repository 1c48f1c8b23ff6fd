//! How connections end, and that the other side sees the same end.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, send};

use crate::support::gateway::{Plan, routes_text};
use crate::support::hello::Hello;
use crate::support::pattern::Pattern;
use crate::support::socket::{Backend, End, drain, expect, expect_end, reset};
use crate::support::{Engine, Gateway, process};

on_both_engines!(
    half_closed_by_the_client,
    half_closed_by_the_backend,
    half_closed_by_both_at_once,
    a_reset_by_the_client_reaches_the_backend,
    a_reset_by_the_backend_reaches_the_client,
    a_reset_behind_unread_bytes_is_not_a_fin,
    a_pipe_with_bytes_in_it_is_destroyed,
    segments_of_one_byte,
    urgent_data_is_data,
    idle_sessions_are_closed,
    half_closed_sessions_have_their_own_timeout,
);

const NAME: &str = "api.example";
/// Enough for both directions to go over to splice.
const BULK_BYTES: usize = 3 << 20;

/// A session that stands: both ends in the test's hands.
pub struct Session {
    pub gateway: Gateway,
    pub backend: Backend,
    pub client: TcpStream,
    pub upstream: TcpStream,
}

impl Session {
    /// Through a new gateway.
    pub fn new(engine: Engine) -> Self {
        Self::with_flags(engine, &[])
    }

    /// Through a new gateway with flags.
    pub fn with_flags(engine: Engine, flags: &[(&str, &str)]) -> Self {
        let backend = Backend::new();
        let plan = Plan::new(engine, routes_text(&[(NAME, backend.address)]));
        let plan = flags.iter().fold(plan, |plan, (flag, value)| plan.flag(flag, value));
        let gateway = plan.start();
        let (client, upstream) = open(&gateway, &backend);
        Self { gateway, backend, client, upstream }
    }
}

/// One more session.
fn open(gateway: &Gateway, backend: &Backend) -> (TcpStream, TcpStream) {
    let wire = Hello::to(NAME).wire();
    let mut client = gateway.connect();
    client.write_all(&wire).unwrap();
    let upstream = backend.accept_expecting(&wire);
    (client, upstream)
}

/// Sends so many bytes of a pattern one way, and checks them at the other end.
pub fn transfer(from: &mut TcpStream, to: &mut TcpStream, seed: u64, count_bytes: usize) {
    let bytes = Pattern::new(seed).take(count_bytes);
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(&bytes).unwrap());
        expect(to, &bytes);
    });
}

fn half_closed_by_the_client(engine: Engine) {
    let Session { gateway, mut client, mut upstream, .. } = Session::new(engine);
    transfer(&mut client, &mut upstream, 1, BULK_BYTES);
    client.write_all(b"last words").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    expect_end(&mut upstream, b"last words");
    transfer(&mut upstream, &mut client, 2, BULK_BYTES);
    drop(upstream);
    expect_end(&mut client, b"");
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.get("reset"), stats.get("closed")), (0, 1));
}

fn half_closed_by_the_backend(engine: Engine) {
    let Session { gateway, mut client, mut upstream, .. } = Session::new(engine);
    transfer(&mut upstream, &mut client, 1, BULK_BYTES);
    upstream.write_all(b"last words").unwrap();
    upstream.shutdown(Shutdown::Write).unwrap();
    expect_end(&mut client, b"last words");
    transfer(&mut client, &mut upstream, 2, BULK_BYTES);
    drop(client);
    expect_end(&mut upstream, b"");
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.get("reset"), stats.get("closed")), (0, 1));
}

fn half_closed_by_both_at_once(engine: Engine) {
    let Session { gateway, mut client, mut upstream, .. } = Session::new(engine);
    let (up, down) = (Pattern::new(1).take(BULK_BYTES), Pattern::new(2).take(BULK_BYTES));
    let (mut client_sends, mut upstream_sends) =
        (client.try_clone().unwrap(), upstream.try_clone().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            client_sends.write_all(&up).unwrap();
            client_sends.shutdown(Shutdown::Write).unwrap();
        });
        scope.spawn(|| {
            upstream_sends.write_all(&down).unwrap();
            upstream_sends.shutdown(Shutdown::Write).unwrap();
        });
        scope.spawn(|| expect_end(&mut client, &down));
        expect_end(&mut upstream, &up);
    });
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.get("reset"), stats.get("closed")), (0, 1));
    let expected = (BULK_BYTES + Hello::to(NAME).wire().len()) as u64;
    assert_eq!((stats.get("bytes_up"), stats.get("bytes_down")), (expected, BULK_BYTES as u64));
}

fn a_reset_by_the_client_reaches_the_backend(engine: Engine) {
    for bulk_bytes in [0, 10, BULK_BYTES] {
        let Session { gateway, mut client, mut upstream, .. } = Session::new(engine);
        transfer(&mut client, &mut upstream, 1, bulk_bytes);
        reset(client);
        assert_eq!(drain(&mut upstream), (Vec::new(), End::Reset), "after {bulk_bytes} bytes");
        let stats = gateway.wait_until_quiet();
        assert_eq!((stats.get("reset"), stats.get("closed")), (1, 1));
    }
}

fn a_reset_by_the_backend_reaches_the_client(engine: Engine) {
    for bulk_bytes in [10, BULK_BYTES] {
        let Session { gateway, mut client, mut upstream, .. } = Session::new(engine);
        transfer(&mut upstream, &mut client, 1, bulk_bytes);
        reset(upstream);
        assert_eq!(drain(&mut client), (Vec::new(), End::Reset), "after {bulk_bytes} bytes");
        let stats = gateway.wait_until_quiet();
        assert_eq!((stats.get("reset"), stats.get("closed")), (1, 1));
    }
}

/// Fills one way until nothing moves, the reader being stalled; the bytes sent.
fn stuff(from: &mut TcpStream, seed: u64) -> Vec<u8> {
    from.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut pattern = Pattern::new(seed);
    let mut sent = Vec::new();
    loop {
        let bytes = pattern.take(65_536);
        match from.write(&bytes) {
            Ok(count) if count == bytes.len() => sent.extend(bytes),
            Ok(count) => {
                sent.extend(&bytes[..count]);
                return sent;
            }
            Err(_) => return sent,
        }
    }
}

fn a_reset_behind_unread_bytes_is_not_a_fin(engine: Engine) {
    for by_client in [true, false] {
        let Session { gateway, client, upstream, .. } = Session::new(engine);
        let (mut from, mut to) = if by_client { (client, upstream) } else { (upstream, client) };
        from.write_all(b"x").unwrap();
        expect(&mut to, b"x");
        let sent = stuff(&mut from, 3);
        assert!(sent.len() > BULK_BYTES, "only {} bytes were in the way", sent.len());
        reset(from);
        let (got, end) = drain(&mut to);
        assert!(sent.starts_with(&got), "other bytes than those sent");
        assert_eq!(end, End::Reset, "after {} of {} bytes", got.len(), sent.len());
        gateway.wait_until_quiet();
    }
}

fn a_pipe_with_bytes_in_it_is_destroyed(engine: Engine) {
    let Session { gateway, backend, mut client, mut upstream } = Session::new(engine);
    client.write_all(b"x").unwrap();
    expect(&mut upstream, b"x");
    let sent = stuff(&mut client, 4);
    gateway.wait_for("a pipe is lent", |stats| stats.get("pipes_lent") == 1);
    reset(client);
    // Without a byte being read: a reader that stalls must not keep a dead session.
    let stats = gateway.wait_until_quiet();
    let (got, end) = drain(&mut upstream);
    assert!(sent.starts_with(&got) && end == End::Reset);
    assert_eq!(stats.get("pipes_dirty"), 1, "{stats:#?}");
    // Nobody else gets to see what was left in it.
    for seed in 5..10 {
        let (mut client, mut upstream) = open(&gateway, &backend);
        transfer(&mut client, &mut upstream, seed, BULK_BYTES);
        drop(client);
        expect_end(&mut upstream, b"");
    }
}

fn segments_of_one_byte(engine: Engine) {
    let Session { gateway, mut client, mut upstream, .. } = Session::new(engine);
    client.set_nodelay(true).unwrap();
    upstream.set_nodelay(true).unwrap();
    // First against readers that keep up, then against stalled ones, with splice: a pipe has
    // few slots, and each segment takes one.
    for bulk_bytes in [0, BULK_BYTES] {
        transfer(&mut client, &mut upstream, 1, bulk_bytes);
        transfer(&mut upstream, &mut client, 2, bulk_bytes);
        let (up, down) = (Pattern::new(3).take(5_000), Pattern::new(4).take(5_000));
        for (up, down) in up.iter().zip(&down) {
            client.write_all(&[*up]).unwrap();
            upstream.write_all(&[*down]).unwrap();
        }
        expect(&mut upstream, &up);
        expect(&mut client, &down);
    }
    drop(client);
    expect_end(&mut upstream, b"");
    drop(upstream);
    gateway.wait_until_quiet();
}

fn urgent_data_is_data(engine: Engine) {
    for bulk_bytes in [0, BULK_BYTES] {
        let Session { gateway, mut client, mut upstream, .. } = Session::new(engine);
        transfer(&mut client, &mut upstream, 1, bulk_bytes);
        let mut sent = Vec::new();
        for byte in 0..20 {
            client.write_all(b"before").unwrap();
            assert_eq!(send(client.as_raw_fd(), &[byte], MsgFlags::MSG_OOB), Ok(1));
            client.write_all(b"after").unwrap();
            sent.extend_from_slice(b"before");
            sent.push(byte);
            sent.extend_from_slice(b"after");
        }
        let before = process::processor_time(gateway.pid());
        expect(&mut upstream, &sent);
        upstream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        assert!(upstream.read(&mut [0; 1]).is_err(), "a byte came twice");
        let spent = process::processor_time(gateway.pid()) - before;
        assert!(spent <= Duration::from_millis(200), "{spent:?} of 500 ms spent on nothing");
        drop(client);
        expect_end(&mut upstream, b"");
        drop(upstream);
        gateway.wait_until_quiet();
    }
}

fn idle_sessions_are_closed(engine: Engine) {
    let Session { gateway, mut client, mut upstream, .. } =
        Session::with_flags(engine, &[("--idle-timeout", "400ms")]);
    transfer(&mut client, &mut upstream, 1, 1000);
    assert_eq!(drain(&mut client).0, b"");
    assert_eq!(drain(&mut upstream).0, b"");
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.get("idle_closed"), stats.get("closed")), (1, 1));
}

fn half_closed_sessions_have_their_own_timeout(engine: Engine) {
    let Session { gateway, mut client, mut upstream, .. } =
        Session::with_flags(engine, &[("--half-close-timeout", "400ms")]);
    client.shutdown(Shutdown::Write).unwrap();
    expect_end(&mut upstream, b"");
    // The reverse direction lives on as long as something moves on it.
    transfer(&mut upstream, &mut client, 1, BULK_BYTES);
    assert_eq!(drain(&mut client), (Vec::new(), End::Reset), "a stream cut short ends with RST");
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.get("idle_closed"), stats.get("closed")), (1, 1));
}
