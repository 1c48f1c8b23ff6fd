//! Who may connect, who speaks for others, and where names without a route go.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use sluice::proxy_protocol;
use socket2::{Domain, Socket, Type};

use crate::support::gateway::{Plan, routes_text};
use crate::support::hello::Hello;
use crate::support::socket::{Backend, End, drain, expect, expect_end, send_in_pieces};
use crate::support::{Engine, Gateway, SOON, eventually};

on_both_engines!(
    the_header_of_a_trusted_proxy_is_taken_off_and_believed,
    the_header_of_anyone_else_is_not_believed,
    a_trusted_proxy_without_a_header_is_refused,
    endpoints_are_told_whose_connection_they_get,
    a_header_is_replayed_with_its_hello,
    a_hello_longer_than_a_buffer_is_announced_too,
    names_without_a_route_go_to_the_default_cluster,
    incomplete_hellos_of_one_source_are_limited,
    those_who_are_not_allowed_are_refused_and_probes_are_not,
);

const NAME: &str = "api.example";
const ACCESS_DENIED: [u8; 7] = [21, 3, 1, 0, 2, 2, 49];
const LOCAL: [u8; 16] = *b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A header of version 2, with an extension that has to be skipped.
fn header(source: &str, destination: &str) -> Vec<u8> {
    let addresses = Some((address(source), address(destination)));
    let mut header = proxy_protocol::write(addresses).as_slice().to_vec();
    header.extend([0xe0, 0, 3, 1, 2, 3]);
    let length = u16::try_from(header.len() - 16).unwrap();
    header[14..16].copy_from_slice(&length.to_be_bytes());
    header
}

fn logged(gateway: &Gateway, part: &str) {
    let found = eventually(|| gateway.log().contains(part).then_some(()));
    assert!(found.is_some(), "no {part} in {}", gateway.log());
}

/// The backend gets these bytes through the gateway, and the client its answer.
fn serve(backend: &Backend, client: &mut TcpStream, bytes: &[u8]) {
    backend.accept_expecting(bytes).write_all(b"answer").unwrap();
    expect_end(client, b"answer");
}

/// Connects from another address of loopback.
fn connect_from(ip: &str, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&address(&format!("{ip}:0")).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn the_header_of_a_trusted_proxy_is_taken_off_and_believed(engine: Engine) {
    let backend = Backend::new();
    let routes = routes_text(&[(NAME, backend.address)]);
    let plan = Plan::new(engine, routes).flag("--access-log", "text");
    let gateway = plan.flag("--proxy-protocol-from", "10.0.0.0/8,127.0.0.0/8").start();
    let wire = Hello::to(NAME).wire();
    let line = b"PROXY TCP4 192.0.2.44 198.51.100.1 4444 443\r\n".to_vec();
    for (head, source) in [
        (header("192.0.2.33:3333", "198.51.100.1:443"), "192.0.2.33:3333"),
        (header("[2001:db8::7]:7", "[2001:db8::1]:443"), "[2001:db8::7]:7"),
        (line, "192.0.2.44:4444"),
        (LOCAL.to_vec(), "127.0.0.1:"),
    ] {
        for sizes in [&[1][..], &[head.len()], &[head.len() + 3], &[100_000]] {
            let mut client = gateway.connect();
            send_in_pieces(&mut client, &[&head[..], &wire].concat(), sizes);
            serve(&backend, &mut client, &wire);
        }
        logged(&gateway, &format!("] \"{NAME}\" {source}"));
    }
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.get("routed"), stats.refused_in_all()), (16, 0), "{stats:#?}");
}

fn the_header_of_anyone_else_is_not_believed(engine: Engine) {
    let backend = Backend::new();
    let routes = routes_text(&[(NAME, backend.address)]);
    let gateway = Plan::new(engine, routes).flag("--proxy-protocol-from", "127.0.0.7").start();
    let wire = Hello::to(NAME).wire();
    for head in [header("192.0.2.33:3333", "198.51.100.1:443"), b"PROXY UNKNOWN\r\n".to_vec()] {
        let mut client = gateway.connect();
        client.write_all(&[&head[..], &wire].concat()).unwrap();
        assert_eq!(drain(&mut client).0, b"");
    }
    // The same from where it is trusted.
    let mut client = connect_from("127.0.0.7", gateway.address);
    client.write_all(&[b"PROXY UNKNOWN\r\n", &wire[..]].concat()).unwrap();
    serve(&backend, &mut client, &wire);
    drop(client);
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.refused("not_tls"), stats.refused_in_all()), (2, 2), "{stats:#?}");
}

fn a_trusted_proxy_without_a_header_is_refused(engine: Engine) {
    let backend = Backend::new();
    let routes = routes_text(&[(NAME, backend.address)]);
    let gateway = Plan::new(engine, routes).flag("--proxy-protocol-from", "127.0.0.0/8").start();
    for bytes in [Hello::to(NAME).wire(), b"PROXY TCP4 1.2.3.4\r\n".to_vec()] {
        let mut client = gateway.connect();
        client.write_all(&bytes).unwrap();
        assert_eq!(drain(&mut client).0, b"");
    }
    // Its health probes are still probes, with a header and without.
    drop(gateway.connect());
    let mut probe = gateway.connect();
    probe.write_all(&LOCAL).unwrap();
    drop(probe);
    let stats = gateway.wait_for("probes counted", |stats| stats.get("probes") == 2);
    assert_eq!((stats.refused("proxy_header"), stats.refused_in_all()), (2, 2), "{stats:#?}");
}

fn announced(endpoints: &[SocketAddr]) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
    let endpoints = endpoints.join(", ");
    format!("[[route]]\nsni = \"{NAME}\"\nendpoints = [{endpoints}]\nproxy_protocol = \"v2\"\n")
}

fn endpoints_are_told_whose_connection_they_get(engine: Engine) {
    let backend = Backend::new();
    let routes = announced(&[backend.address]);
    let gateway = Plan::new(engine, routes).flag("--proxy-protocol-from", "127.0.0.7").start();
    let wire = Hello::to(NAME).wire();
    let mut client = gateway.connect();
    client.write_all(&wire).unwrap();
    let addresses = (client.local_addr().unwrap(), gateway.address);
    let told = proxy_protocol::write(Some(addresses));
    let mut upstream = backend.accept_expecting(&[told.as_slice(), &wire].concat());
    client.write_all(b"more").unwrap();
    expect(&mut upstream, b"more");
    // What a proxy in front says is passed on.
    let mut client = connect_from("127.0.0.7", gateway.address);
    client.write_all(&header("192.0.2.33:3333", "198.51.100.1:443")).unwrap();
    client.write_all(&wire).unwrap();
    let told = proxy_protocol::write(Some((address("192.0.2.33:3333"), gateway.address)));
    backend.accept_expecting(&[told.as_slice(), &wire].concat());
}

fn a_header_is_replayed_with_its_hello(engine: Engine) {
    let (mute, backend) = (Backend::new(), Backend::new());
    let routes = announced(&[mute.address, backend.address]);
    let gateway = Plan::new(engine, routes).flag("--dial-attempts", "2").start();
    let wire = Hello::to(NAME).wire();
    // At random: until one has been at the other first.
    for _ in 0..64 {
        let mut client = gateway.connect();
        client.write_all(&wire).unwrap();
        let told = proxy_protocol::write(Some((client.local_addr().unwrap(), gateway.address)));
        let whole = [told.as_slice(), &wire].concat();
        if let Some(mut upstream) = mute.accept_within(Duration::from_millis(100)) {
            expect(&mut upstream, &whole);
            // It ends without a word: the next one is tried.
            drop(upstream);
            return serve(&backend, &mut client, &whole);
        }
        serve(&backend, &mut client, &whole);
    }
    panic!("the first endpoint was never dialed");
}

fn a_hello_longer_than_a_buffer_is_announced_too(engine: Engine) {
    let backend = Backend::new();
    let gateway = Plan::new(engine, announced(&[backend.address])).start();
    for padding_bytes in [4_096 - 200, 4_096, 9_000] {
        let wire = Hello::to(NAME).padded(padding_bytes).wire();
        for sizes in [&[100_000][..], &[1_500]] {
            let mut client = gateway.connect();
            send_in_pieces(&mut client, &wire, sizes);
            let told = proxy_protocol::write(Some((client.local_addr().unwrap(), gateway.address)));
            serve(&backend, &mut client, &[told.as_slice(), &wire].concat());
        }
    }
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.get("routed"), stats.get("buffers_lent")), (6, 0), "{stats:#?}");
}

fn names_without_a_route_go_to_the_default_cluster(engine: Engine) {
    let (backend, other) = (Backend::new(), Backend::new());
    let routes = format!(
        "{}[[route]]\nsni = \"other.example\"\nname = \"catch\"\nendpoints = [\"{}\"]\n",
        routes_text(&[(NAME, backend.address)]),
        other.address
    );
    let gateway = Plan::new(engine, routes).flag("--default-cluster", "catch").start();
    for (hello, expected) in [
        (Hello::to(NAME), &backend),
        (Hello::to("unknown.example"), &other),
        (Hello::anonymous(), &other),
        (Hello::anonymous().padded(6_000), &other),
    ] {
        let wire = hello.wire();
        let mut client = gateway.connect();
        send_in_pieces(&mut client, &wire, &[700]);
        serve(expected, &mut client, &wire);
    }
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.get("routed"), stats.refused_in_all()), (4, 0), "{stats:#?}");
}

fn incomplete_hellos_of_one_source_are_limited(engine: Engine) {
    let backend = Backend::new();
    let routes = routes_text(&[(NAME, backend.address)]);
    let plan = Plan::new(engine, routes).flag("--hellos-per-source-max", "2");
    let gateway = plan.flag("--workers", "1").start();
    let wire = Hello::to(NAME).wire();
    let (mut first, second) = (gateway.connect(), gateway.connect());
    gateway.wait_for("both are there", |stats| stats.get("sessions") == 2);
    // It may hear of its reset while it connects.
    if let Ok(mut third) = TcpStream::connect(gateway.address) {
        third.set_read_timeout(Some(SOON)).unwrap();
        assert_eq!(drain(&mut third), (Vec::new(), End::Reset));
    }
    // Another source has room of its own.
    let mut other = connect_from("127.0.0.9", gateway.address);
    other.write_all(&wire).unwrap();
    serve(&backend, &mut other, &wire);
    // A complete hello counts no longer, and neither does one that is gone.
    first.write_all(&wire).unwrap();
    let mut upstream = backend.accept_expecting(&wire);
    drop(second);
    gateway.wait_for("the probe is gone", |stats| stats.get("probes") == 1);
    for _ in 0..10 {
        let mut client = gateway.connect();
        client.write_all(&wire).unwrap();
        serve(&backend, &mut client, &wire);
    }
    upstream.write_all(b"still there").unwrap();
    expect(&mut first, b"still there");
    let stats = gateway.stats();
    assert_eq!((stats.refused("too_many_hellos"), stats.refused_in_all()), (1, 1), "{stats:#?}");
}

fn those_who_are_not_allowed_are_refused_and_probes_are_not(engine: Engine) {
    let backend = Backend::new();
    let routes = routes_text(&[(NAME, backend.address)]);
    let plan = Plan::new(engine, routes).flag("--access-log", "text");
    let gateway = plan.flag("--allow", "127.0.0.1,192.0.2.0/24").start();
    let wire = Hello::to(NAME).wire();
    let mut stranger = connect_from("127.0.0.9", gateway.address);
    stranger.write_all(&wire).unwrap();
    expect_end(&mut stranger, &ACCESS_DENIED);
    drop(stranger);
    drop(connect_from("127.0.0.9", gateway.address));
    let mut client = gateway.connect();
    client.write_all(&wire).unwrap();
    serve(&backend, &mut client, &wire);
    let stats = gateway.wait_for("the probe is counted", |stats| stats.get("probes") == 1);
    assert_eq!((stats.refused("not_allowed"), stats.refused_in_all()), (1, 1), "{stats:#?}");
    logged(&gateway, "not_allowed");
}
