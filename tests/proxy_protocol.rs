//! The PROXY protocol: headers of both versions, right and wrong, and what holds of any bytes.

#![allow(missing_docs, reason = "a test")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

#[path = "fuzz/proxy_invariants.rs"]
mod proxy_invariants;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use proptest::prelude::*;
use sluice::proxy_protocol::{Header, HeaderError, Parsed, parse, write};

use proxy_invariants::hold as invariants;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, body].concat()
}

fn of_inet(extensions: &[u8]) -> Vec<u8> {
    let addresses = [10, 1, 2, 3, 192, 0, 2, 1, 0x30, 0x39, 0x20, 0xfb];
    binary(0x21, 0x11, &[&addresses, extensions].concat())
}

/// Puts the checksum of a header where its last bytes have zeros for it.
fn with_checksum(mut header: Vec<u8>) -> Vec<u8> {
    let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&header).to_be_bytes();
    let at = header.len() - sum.len();
    assert_eq!(header[at..], [0; 4]);
    header[at..].copy_from_slice(&sum);
    header
}

fn complete(wire: &[u8]) -> (usize, Option<SocketAddr>) {
    match parse(wire) {
        Parsed::Complete(Header { header_bytes, source }) => (header_bytes, source),
        other => panic!("{other:?}"),
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn lines_of_version_1() {
    for (line, source) in [
        ("PROXY TCP4 10.1.2.3 192.0.2.1 12345 8443", address("10.1.2.3:12345")),
        ("PROXY TCP6 2001:db8::1 ::1 1 65535", address("[2001:db8::1]:1")),
        ("PROXY UNKNOWN", None),
        ("PROXY UNKNOWN ffff:f...f:ffff whatever else there is 65535", None),
        ("PROXY TCP4 10.1.2.3 192.0.2.1 0 0", None),
    ] {
        let wire = [line.as_bytes(), b"\r\n\x16\x03\x01"].concat();
        assert_eq!(complete(&wire), (line.len() + 2, source), "{line}");
        invariants(&wire);
    }
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 16));
    assert_eq!(complete(longest.as_bytes()).0, 107);
}

#[test]
fn lines_that_are_none() {
    for (wire, error) in [
        (&b"GET / HTTP/1.1\r\n"[..], HeaderError::Absent),
        (b"PROXX", HeaderError::Absent),
        (b"\x16\x03\x01", HeaderError::Absent),
        (b"PROXY TCP4 10.1.2.3 192.0.2.1 12345\r\n", HeaderError::Line),
        (b"PROXY TCP4 10.1.2.3 192.0.2.1 12345 8443 \r\n", HeaderError::Line),
        (b"PROXY TCP4  10.1.2.3 192.0.2.1 12345 8443\r\n", HeaderError::Line),
        (b"PROXY TCP4 010.1.2.3 192.0.2.1 12345 8443\r\n", HeaderError::Line),
        (b"PROXY TCP4 10.1.2.3 192.0.2.1 012345 8443\r\n", HeaderError::Line),
        (b"PROXY TCP4 10.1.2.3 192.0.2.1 +12345 8443\r\n", HeaderError::Line),
        (b"PROXY TCP4 10.1.2.3 192.0.2.1 12345 65536\r\n", HeaderError::Line),
        (b"PROXY TCP4 ::1 ::1 12345 8443\r\n", HeaderError::Line),
        (b"PROXY TCP5 ::1 ::1 12345 8443\r\n", HeaderError::Line),
        (b"PROXY UNKNOWN\rX", HeaderError::LineEnd),
        (b"PROXY TCP4 \xff\r\n", HeaderError::Line),
    ] {
        assert_eq!(parse(wire), Parsed::Rejected(error), "{}", wire.escape_ascii());
        invariants(wire);
    }
    let endless = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
    assert_eq!(parse(&endless), Parsed::Rejected(HeaderError::LineTooLong));
    let one_more = format!("PROXY UNKNOWN {}\r\n", "x".repeat(108 - 16));
    assert_eq!(parse(one_more.as_bytes()), Parsed::Rejected(HeaderError::LineTooLong));
    invariants(one_more.as_bytes());
}

#[test]
fn binary_headers() {
    let inet6: Vec<u8> = [[0x20; 16], [0x30; 16]].concat();
    let inet6 = [&inet6[..], &[0, 80, 1, 187]].concat();
    for (wire, source) in [
        (of_inet(&[]), address("10.1.2.3:12345")),
        // An empty extension, and one of two bytes.
        (of_inet(&[4, 0, 0, 0xe0, 0, 2, 1, 2]), address("10.1.2.3:12345")),
        (binary(0x21, 0x21, &inet6), address("[2020:2020:2020:2020:2020:2020:2020:2020]:80")),
        (binary(0x21, 0x31, &[7; 216]), None),
        (binary(0x21, 0, &[]), None),
        (binary(0x21, 0, b"what this is, nobody knows"), None),
        (binary(0x20, 0, &[]), None),
        // LOCAL: addresses there are have to be thrown away, even those that are cut off.
        (binary(0x20, 0x11, &[10, 1, 2]), None),
        (binary(0x20, 0x77, &[10, 1, 2]), None),
    ] {
        let whole = [&wire[..], b"\x16\x03\x01"].concat();
        assert_eq!(complete(&whole), (wire.len(), source), "{wire:x?}");
        invariants(&whole);
    }
}

#[test]
fn binary_headers_that_break_a_rule() {
    let mut other_signature = of_inet(&[]);
    other_signature[11] = b'X';
    let too_long = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
    for (wire, error) in [
        (other_signature, HeaderError::Absent),
        (binary(0x11, 0x11, &[0; 12]), HeaderError::Command),
        (binary(0x22, 0x11, &[0; 12]), HeaderError::Command),
        (binary(0x21, 0x12, &[0; 12]), HeaderError::Family),
        (binary(0x21, 0x10, &[0; 12]), HeaderError::Family),
        (binary(0x21, 0x41, &[0; 12]), HeaderError::Family),
        (binary(0x21, 0x11, &[0; 11]), HeaderError::AddressesTooShort),
        (binary(0x21, 0x21, &[0; 35]), HeaderError::AddressesTooShort),
        (binary(0x21, 0x31, &[0; 215]), HeaderError::AddressesTooShort),
        (of_inet(&[4, 0]), HeaderError::ExtensionTooLong),
        (of_inet(&[4, 0, 1]), HeaderError::ExtensionTooLong),
        (too_long, HeaderError::TooLong),
    ] {
        assert_eq!(parse(&wire), Parsed::Rejected(error), "{wire:x?}");
        invariants(&wire);
    }
}

/// What HAProxy sends with `proxy-v2-options crc32c,unique-id`: the checksum, and one more behind.
#[test]
fn a_checksum_is_that_of_the_header_or_the_header_is_none() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/proxy_protocol");
    let of_haproxy = fs::read(folder.join("header.v2.checksum")).unwrap();
    let last = with_checksum(of_inet(&[4, 0, 1, 0, 3, 0, 4, 0, 0, 0, 0]));
    for (wire, type_at) in [(of_haproxy, 28), (last, 32)] {
        assert_eq!(wire[type_at], 3);
        complete(&wire);
        // Whatever the addresses, ports, values are changed to.
        let values = (16..type_at).chain(type_at + 3..wire.len());
        for at in values.filter(|at| !(type_at + 7..type_at + 10).contains(at)) {
            let mut changed = wire.clone();
            changed[at] ^= 0x10;
            invariants(&changed);
            let is_taken = matches!(parse(&changed), Parsed::Complete(_));
            assert!(!is_taken, "byte {at} of {wire:x?}");
        }
    }
    let rejected = |extensions: &[u8]| {
        let wire = of_inet(extensions);
        invariants(&wire);
        assert_eq!(parse(&wire), Parsed::Rejected(HeaderError::Checksum), "{extensions:x?}");
    };
    rejected(&[3, 0, 0]);
    rejected(&[3, 0, 4, 0, 0, 0, 0]);
    rejected(&[3, 0, 5, 0, 0, 0, 0, 0]);
    let right = with_checksum(of_inet(&[3, 0, 4, 0, 0, 0, 0]));
    rejected(&[&right[28..], &right[28..]].concat());
    // The proxy's own connection: all of it is thrown away unread (§2.2).
    assert_eq!(complete(&binary(0x20, 0x11, &of_inet(&[3, 0, 0])[16..])).1, None);
}

#[test]
fn what_is_written_is_read_again() {
    for (source, destination) in [
        ("10.1.2.3:12345", "192.0.2.1:8443"),
        ("[2001:db8::1]:1", "[2001:db8::2]:2"),
        ("[2001:db8::1]:1", "192.0.2.1:8443"),
    ] {
        let addresses = (source.parse().unwrap(), destination.parse().unwrap());
        let written = write(Some(addresses));
        let length = written.as_slice().len();
        assert_eq!(complete(written.as_slice()), (length, Some(addresses.0)));
    }
    assert_eq!(complete(write(None).as_slice()), (16, None));
}

/// The part of a file's name before the first dot says what the parser makes of it.
#[test]
fn the_corpus_of_the_fuzzer_is_what_its_names_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/proxy_protocol");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let wire = fs::read(&path).unwrap();
        invariants(&wire);
        let expected = match parse(&wire) {
            Parsed::Complete(_) => "header",
            Parsed::Rejected(_) => "rejected",
            Parsed::Incomplete { .. } => "incomplete",
        };
        assert_eq!(name.split('.').next(), Some(expected), "{name}");
        count += 1;
    }
    assert!(count >= 10, "only {count} files");
}

fn header() -> impl Strategy<Value = Vec<u8>> {
    let body = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "PROXY (TCP4|TCP6|UNKNOWN|TCP)( [0-9a-f:.]{0,9}){0,4} ?\r?\n?.{0,90}"
            .prop_map(String::into_bytes),
        (prop::sample::select(vec![0x20_u8, 0x21, 0x12]), any::<u8>(), body)
            .prop_map(|(command, family, body)| binary(command, family, &body)),
        (
            prop::sample::select(vec![0x11_u8, 0x21, 0x31, 0]),
            prop::collection::vec(0_u8..4, 0..300)
        )
            .prop_map(|(family, body)| binary(0x21, family, &body)),
        prop::collection::vec(0_u8..4, 0..30).prop_map(|more| {
            let length = u8::try_from(more.len()).unwrap();
            let extensions = [&[4, 0, length], &more[..], &[3, 0, 4, 0, 0, 0, 0]];
            with_checksum(of_inet(&extensions.concat()))
        }),
    ]
}

proptest! {
    #[test]
    fn invariants_hold_of_anything(wire in header(), more in any::<Vec<u8>>()) {
        invariants(&wire);
        let longer = [&wire[..], &more].concat();
        invariants(&longer);
        if let Parsed::Complete(header) = parse(&wire) {
            prop_assert_eq!(parse(&longer), Parsed::Complete(header), "what follows is not its");
        }
    }
}
