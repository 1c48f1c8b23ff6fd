//! What is routed and what is refused, hello by hello, as the bytes go over a real socket.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use crate::support::gateway::{Gateway, Plan, route, routes_text};
use crate::support::hello::{
    ENCRYPTED_CLIENT_HELLO, Hello, PADDING, SERVER_NAME, in_records, record, server_name,
};
use crate::support::pattern::Random;
use crate::support::socket::{Backend, drain, expect, expect_end, send_in_pieces};
use crate::support::{Engine, eventually};

on_both_engines!(
    every_good_hello_is_routed_however_it_arrives,
    every_bad_hello_is_refused_with_its_alert,
    a_hello_cut_off_by_the_client_is_counted,
    encrypted_hellos_are_counted,
);

const NAME: &str = "api.default.dc1.internal.example.consul";
const DECODE_ERROR: [u8; 7] = [21, 3, 1, 0, 2, 2, 50];
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 1, 0, 2, 2, 112];
/// The longest handshake message that is taken, header not included.
const HANDSHAKE_BYTES_MAX: usize = 65_536;

/// Handshake messages that lead to the backend of [`NAME`].
fn good() -> Vec<(&'static str, Vec<u8>)> {
    let upper_case = NAME.to_uppercase();
    let plain = Hello::to(NAME);
    let ech = plain.clone().extension(ENCRYPTED_CLIENT_HELLO, vec![0; 64]);
    let mut two_messages = plain.handshake();
    two_messages.extend(Hello::to("other.example").handshake());
    vec![
        ("plain", plain.handshake()),
        ("upper case", Hello::to(&upper_case).handshake()),
        ("trailing dot", Hello::to(&format!("{NAME}.")).handshake()),
        ("TLS 1.0", plain.clone().legacy_version(0x0301).handshake()),
        ("a version to come", plain.clone().legacy_version(0x0399).handshake()),
        ("outer hello of ECH", ech.handshake()),
        ("post-quantum size", plain.clone().padded(1_800).handshake()),
        ("larger than a hello buffer", plain.clone().padded(6_000).handshake()),
        ("as large as a record", of_size(16_380)),
        ("of several records", of_size(40_000)),
        ("as large as may be", of_size(HANDSHAKE_BYTES_MAX)),
        ("malformed ALPN", plain.clone().extension(16, vec![0, 9, 1]).handshake()),
        ("PSK not last", plain.clone().extension(41, vec![1]).extension(13, vec![]).handshake()),
        ("unknown extension twice", plain.extension(77, vec![]).extension(77, vec![]).handshake()),
        ("a second message in the record", two_messages),
    ]
}

/// A hello to [`NAME`] whose handshake body has exactly this size.
fn of_size(body_bytes: usize) -> Vec<u8> {
    let without = Hello::to(NAME).padded(0).handshake().len() - 4;
    let padded = Hello::to(NAME).padded(body_bytes - without).handshake();
    assert_eq!(padded.len(), body_bytes + 4);
    padded
}

fn every_good_hello_is_routed_however_it_arrives(engine: Engine) {
    let backend = Backend::new();
    let gateway = Gateway::start(engine, &[(NAME, backend.address)]);
    let mut random = Random::new(7);
    let mut count = 0;
    for (what, handshake) in good() {
        let whole = in_records(&handshake, &[16_384]);
        let some = |random: &mut Random, most| -> Vec<usize> {
            (0..32).map(|_| 1 + random.below(most) as usize).collect()
        };
        let pieces = some(&mut random, 700);
        let fragments = some(&mut random, 3_000);
        let mut ways = vec![
            ("whole", whole.clone(), vec![usize::MAX]),
            ("split at random", whole.clone(), pieces.clone()),
            ("re-fragmented", in_records(&handshake, &fragments), vec![usize::MAX]),
            ("re-fragmented and split", in_records(&handshake, &fragments), pieces),
        ];
        if handshake.len() < 2_000 {
            ways.push(("byte by byte", whole.clone(), vec![1]));
            ways.push(("in records of one byte", in_records(&handshake, &[1]), vec![usize::MAX]));
        }
        for (way, wire, pieces) in ways {
            println!("{what}, {way}");
            assert_routed(&gateway, &backend, &wire, &pieces);
            count += 1;
        }
        println!("{what}, with FIN");
        assert_routed_with_fin(&gateway, &backend, &whole);
        count += 1;
    }
    for version in [0x00, 0x01, 0x03, 0xff] {
        println!("record version 0x03{version:02x}");
        let mut wire = Hello::to(NAME).wire();
        wire[2] = version;
        assert_routed(&gateway, &backend, &wire, &[usize::MAX]);
        count += 1;
    }
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.get("routed"), stats.refused_in_all()), (count, 0));
}

fn assert_routed(gateway: &Gateway, backend: &Backend, wire: &[u8], pieces: &[usize]) {
    let mut client = gateway.connect();
    send_in_pieces(&mut client, wire, pieces);
    let mut upstream = backend.accept_expecting(wire);
    upstream.write_all(b"answer").unwrap();
    expect(&mut client, b"answer");
    client.write_all(b"more").unwrap();
    expect(&mut upstream, b"more");
    drop(upstream);
    expect_end(&mut client, b"");
}

fn assert_routed_with_fin(gateway: &Gateway, backend: &Backend, wire: &[u8]) {
    let mut client = gateway.connect();
    client.write_all(wire).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut upstream = backend.accept();
    expect_end(&mut upstream, wire);
    upstream.write_all(b"answer").unwrap();
    drop(upstream);
    expect_end(&mut client, b"answer");
}

/// What is refused: the bytes, the reason counted, and what the client is told.
fn bad() -> Vec<(&'static str, Vec<u8>, &'static str, &'static [u8])> {
    let named = |body| Hello::anonymous().extension(SERVER_NAME, body).wire();
    let hosts = |names: &[&[u8]]| named(server_name(names));
    let plain = Hello::to(NAME);
    let twice = plain.clone().extension(SERVER_NAME, server_name(&[NAME.as_bytes()]));
    let long = [b'a'; 256];
    let mut major = plain.wire();
    major[1] = 2;
    let mut oversized = plain.wire();
    oversized[3..5].copy_from_slice(&16_385_u16.to_be_bytes());
    let mut claims_much = plain.handshake();
    claims_much[1] = 1;
    claims_much[2..4].copy_from_slice(&[0, 1]);
    let mut empty_record = record(&[]);
    empty_record.extend(plain.wire());
    let mut list_too_long = server_name(&[NAME.as_bytes()]);
    list_too_long[1] += 1;
    let mut name_too_long = server_name(&[NAME.as_bytes()]);
    name_too_long[4] += 1;
    let mut name_too_short = server_name(&[NAME.as_bytes()]);
    name_too_short[4] -= 1;
    let mut extension_too_long = plain.clone().extension(PADDING, vec![]).handshake();
    let last = extension_too_long.len() - 1;
    extension_too_long[last] = 1;
    let malformed = "malformed_hello";
    let mut rows: Vec<(&'static str, Vec<u8>, &'static str, &'static [u8])> = vec![
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "not_tls", &[]),
        ("SSLv2", vec![0x80, 0x2e, 1, 3, 1, 0, 0x15], "not_tls", &[]),
        ("an alert first", vec![21, 3, 1, 0, 2, 1, 0], "not_tls", &[]),
        ("no name", Hello::anonymous().wire(), "no_server_name", &UNRECOGNIZED_NAME),
        ("IPv4 address", Hello::to("192.0.2.1").wire(), "no_server_name", &UNRECOGNIZED_NAME),
        ("IPv6 address", Hello::to("2001:db8::1").wire(), "no_server_name", &UNRECOGNIZED_NAME),
        ("unknown name", Hello::to("x.example").wire(), "unknown_name", &UNRECOGNIZED_NAME),
    ];
    let broken = [
        ("record major", major),
        ("record too large", oversized),
        ("handshake too large", record(&claims_much)),
        ("handshake one byte too large", in_records(&of_size(HANDSHAKE_BYTES_MAX + 1), &[16_384])),
        ("empty handshake record", empty_record),
        ("SSL 3.0", plain.clone().legacy_version(0x0300).wire()),
        ("empty name", hosts(&[b""])),
        ("name too long", hosts(&[&long])),
        ("NUL in the name", hosts(&[b"api.default\0.example"])),
        ("space in the name", hosts(&[b"api default.example"])),
        ("control byte in the name", hosts(&[b"api\x07.example"])),
        ("non-ASCII name", hosts(&["käse.example".as_bytes()])),
        ("two names", hosts(&[NAME.as_bytes(), b"b.example"])),
        ("the extension twice", twice.wire()),
        ("name list too long", named(list_too_long)),
        ("name too long for its list", named(name_too_long)),
        ("name too short for its list", named(name_too_short)),
        ("extension too long for the block", record(&extension_too_long)),
        ("bytes behind the extensions", plain.followed_by(b"x").wire()),
        ("not a ClientHello", record(&[2, 0, 0, 1, 0])),
    ];
    rows.extend(broken.map(|(what, wire)| (what, wire, malformed, DECODE_ERROR.as_slice())));
    rows
}

fn every_bad_hello_is_refused_with_its_alert(engine: Engine) {
    let backend = Backend::new();
    let gateway = Gateway::start(engine, &[(NAME, backend.address)]);
    let mut before = gateway.stats();
    for (what, wire, reason, alert) in bad() {
        for (way, pieces) in [("whole", usize::MAX), ("byte by byte", 1)] {
            if pieces == 1 && wire.len() > 2_000 {
                continue;
            }
            println!("{what}, {way}");
            let mut client = gateway.connect();
            send_until_refused(&mut client, &wire, pieces);
            if alert.is_empty() {
                // Whether bytes were unread decides between FIN and RST (RFC 1122 §4.2.2.13).
                assert_eq!(drain(&mut client).0, alert, "{what}, {way}");
            } else {
                expect_end(&mut client, alert);
            }
            let now = gateway.wait_for(what, |now| now.refused_in_all() > before.refused_in_all());
            assert_eq!(now.refused_in_all(), before.refused_in_all() + 1, "{what}, {way}");
            assert_eq!(now.refused(reason), before.refused(reason) + 1, "{what}, {way}: {now:#?}");
            before = now;
        }
    }
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.get("routed"), stats.get("dials")), (0, 0));
}

/// Sends pieces; a refusal may come, and end the connection, before the last of them.
fn send_until_refused(client: &mut TcpStream, wire: &[u8], piece_bytes: usize) {
    client.set_nodelay(true).unwrap();
    for piece in wire.chunks(piece_bytes.min(wire.len())) {
        if client.write_all(piece).is_err() {
            return;
        }
    }
}

fn a_hello_cut_off_by_the_client_is_counted(engine: Engine) {
    let backend = Backend::new();
    let gateway = Gateway::start(engine, &[(NAME, backend.address)]);
    let wire = Hello::to(NAME).wire();
    for (count, missing) in (1..).zip([1, 2, 3, 4, 50, wire.len() - 1]) {
        let mut client = gateway.connect();
        client.write_all(&wire[..wire.len() - missing]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(drain(&mut client).0, b"", "{missing} bytes missing");
        gateway.wait_for("counted", |now| now.refused("hello_truncated") == count);
    }
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.get("dials"), stats.get("probes")), (0, 0));
}

fn encrypted_hellos_are_counted(engine: Engine) {
    let backend = Backend::new();
    let routes = route(&format!("*{}", &NAME[3..]), &[backend.address], "");
    let gateway = Plan::new(engine, routes + &routes_text(&[])).start();
    let plain = Hello::to(NAME);
    let ech = plain.clone().extension(ENCRYPTED_CLIENT_HELLO, vec![0; 200]);
    for wire in [plain.wire(), ech.wire(), plain.wire()] {
        assert_routed(&gateway, &backend, &wire, &[usize::MAX]);
    }
    let counted = eventually(|| (gateway.stats().get("hellos_ech") == 1).then_some(()));
    assert!(counted.is_some(), "{:#?}", gateway.stats());
}
