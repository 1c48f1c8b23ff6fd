//! One test per row of the policy, each on the whole hello, byte by byte, and in other records.

use super::*;
use crate::limits::{HANDSHAKE_BYTES_MAX, HELLO_WIRE_BYTES_MAX, RECORD_BYTES_MAX};
use crate::tls::server_name::{CanonicalName, NameError};

const NAME: &str = "web.default.dc1.internal.example";

/// A hello to be bent; `Default` is a plain TLS 1.3 one without extensions.
#[derive(Clone)]
struct Hello {
    legacy_version: u16,
    session_id: Vec<u8>,
    cipher_suites: Vec<u8>,
    compression_methods: Vec<u8>,
    /// `None` leaves the block out, its length too.
    extensions: Option<Vec<u8>>,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            legacy_version: 0x0303,
            session_id: vec![7; 32],
            cipher_suites: vec![0x13, 0x01, 0x13, 0x02],
            compression_methods: vec![0],
            extensions: Some(Vec::new()),
        }
    }
}

impl Hello {
    fn named(name: &str) -> Self {
        Self::with(&[extension(0, &name_list(&[(0, name.as_bytes())]))])
    }

    fn with(extensions: &[Vec<u8>]) -> Self {
        Self { extensions: Some(extensions.concat()), ..Self::default() }
    }

    /// The body, without the handshake header.
    fn body(&self) -> Vec<u8> {
        let mut body = self.legacy_version.to_be_bytes().to_vec();
        body.extend([0xaa; 32]);
        body.extend(sized_u8(&self.session_id));
        body.extend(sized_u16(&self.cipher_suites));
        body.extend(sized_u8(&self.compression_methods));
        if let Some(extensions) = &self.extensions {
            body.extend(sized_u16(extensions));
        }
        body
    }

    fn message(&self) -> Vec<u8> {
        message(1, &self.body())
    }

    fn wire(&self) -> Vec<u8> {
        records(&self.message(), &[RECORD_BYTES_MAX])
    }
}

fn sized_u8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn sized_u16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &length[1..], body].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &sized_u16(body)].concat()
}

fn name_list(names: &[(u8, &[u8])]) -> Vec<u8> {
    let entries: Vec<u8> =
        names.iter().flat_map(|(kind, name)| [&[*kind][..], &sized_u16(name)].concat()).collect();
    sized_u16(&entries)
}

fn record(kind: u8, version: u16, fragment: &[u8]) -> Vec<u8> {
    [&[kind][..], &version.to_be_bytes(), &sized_u16(fragment)].concat()
}

/// A message in records of these sizes; the last size serves for all that is left.
fn records(message: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut rest = message;
    let mut index = 0;
    while !rest.is_empty() {
        let size = sizes.get(index).or(sizes.last()).copied().unwrap();
        let (fragment, next) = rest.split_at(size.min(rest.len()));
        wire.extend(record(22, 0x0301, fragment));
        rest = next;
        index += 1;
    }
    wire
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Incomplete(usize, bool),
    Complete(Option<String>, usize, bool),
    Rejected(HelloError),
}

fn verdict(wire: &[u8], scratch: &mut Scratch) -> Verdict {
    match parse(wire, scratch) {
        Parsed::Incomplete { need_bytes, fragmented } => {
            Verdict::Incomplete(need_bytes, fragmented)
        }
        Parsed::Complete(ClientHello { server_name, wire_bytes, has_ech }) => {
            Verdict::Complete(server_name.map(str::to_owned), wire_bytes, has_ech)
        }
        Parsed::Rejected(error) => Verdict::Rejected(error),
    }
}

/// Every prefix is incomplete, and says truly what it needs, until the whole is `expected`.
/// A rejection may come earlier, and is then the same for every longer prefix. Returns how many
/// bytes it took to come to the verdict.
#[track_caller]
fn assert_every_prefix(wire: &[u8], expected: &Verdict) -> usize {
    let mut scratch = Scratch::new();
    let mut complete_from = 0;
    let mut decided_at = None;
    for end in 0..=wire.len() {
        match (verdict(&wire[..end], &mut scratch), decided_at) {
            (Verdict::Incomplete(need_bytes, _), None) => {
                assert!(need_bytes > 0, "at {end}");
                complete_from = complete_from.max(end + need_bytes);
            }
            (found, _) => {
                assert_eq!(&found, expected, "at {end} of {}", wire.len());
                if matches!(found, Verdict::Complete(..)) {
                    assert!(end >= complete_from, "complete at {end}, needed {complete_from}");
                }
                decided_at.get_or_insert(end);
            }
        }
    }
    decided_at.expect("never decided")
}

/// The hello in one record and in many, each byte by byte, gives this name.
#[track_caller]
fn assert_routes(message: &[u8], name: Option<&str>) {
    for sizes in [&[RECORD_BYTES_MAX][..], &[1], &[2], &[3, 1, 1], &[4, 16_384], &[5], &[90, 7]] {
        let wire = records(message, sizes);
        let expected = Verdict::Complete(name.map(str::to_owned), wire.len(), false);
        assert_eq!(assert_every_prefix(&wire, &expected), wire.len(), "records of {sizes:?}");
    }
}

/// The message is rejected so however it is cut into records, no later than its last byte.
#[track_caller]
fn assert_rejected(message: &[u8], error: HelloError) {
    for sizes in [&[RECORD_BYTES_MAX][..], &[1], &[4, 16_384], &[90, 7]] {
        assert_every_prefix(&records(message, sizes), &Verdict::Rejected(error));
    }
    assert!(error.is_tls());
}

#[test]
fn row_split_over_segments_and_records() {
    assert_routes(&Hello::named(NAME).message(), Some(NAME));
    // At every single place.
    let message = Hello::named(NAME).message();
    let mut scratch = Scratch::new();
    for first in 1..message.len() {
        let wire = records(&message, &[first, RECORD_BYTES_MAX]);
        let expected = Verdict::Complete(Some(NAME.to_owned()), wire.len(), false);
        assert_eq!(verdict(&wire, &mut scratch), expected, "first record of {first}");
        // Between the records it is known to be fragmented, and not taken for a nameless hello.
        let Verdict::Incomplete(need_bytes, true) = verdict(&wire[..first + 5], &mut scratch)
        else {
            panic!("split at {first}");
        };
        let known = if first < 4 { 4 } else { message.len() };
        assert_eq!(need_bytes, known - first + 5, "split at {first}");
    }
}

#[test]
fn row_up_to_64_kib_of_handshake() {
    // The extension block alone cannot fill 64 KiB; suites do the rest.
    let sized = |body_bytes: usize| {
        let mut hello = Hello::named(NAME);
        hello.cipher_suites = vec![0x13; 40_000];
        let padding = body_bytes - hello.body().len() - 4;
        hello.extensions.as_mut().unwrap().extend(extension(21, &vec![0; padding]));
        assert_eq!(hello.body().len(), body_bytes);
        hello.message()
    };
    let mut scratch = Scratch::new();
    let longest = sized(HANDSHAKE_BYTES_MAX);
    for sizes in [&[RECORD_BYTES_MAX][..], &[1]] {
        let wire = records(&longest, sizes);
        assert!(wire.len() <= HELLO_WIRE_BYTES_MAX);
        let expected = Verdict::Complete(Some(NAME.to_owned()), wire.len(), false);
        assert_eq!(verdict(&wire, &mut scratch), expected);
        let beginning = verdict(&wire[..wire.len() - 1], &mut scratch);
        assert_eq!(beginning, Verdict::Incomplete(1, true));
    }
    // Rejected with its header, without waiting for the rest.
    let too_long = records(&sized(HANDSHAKE_BYTES_MAX + 1), &[RECORD_BYTES_MAX]);
    let error = HelloError::MessageTooLong;
    assert_eq!(assert_every_prefix(&too_long[..20], &Verdict::Rejected(error)), 9);
    let claims_16_mib = records(&[1, 0xff, 0xff, 0xff], &[1]);
    assert_every_prefix(&claims_16_mib, &Verdict::Rejected(error));
}

#[test]
fn row_needed_bytes_are_what_the_headers_say() {
    let wire = Hello::named(NAME).wire();
    let mut scratch = Scratch::new();
    for (arrived, need_bytes) in [(0, 1), (1, 4), (4, 1), (5, 4), (8, 1), (9, wire.len() - 9)] {
        let expected = Verdict::Incomplete(need_bytes, false);
        assert_eq!(verdict(&wire[..arrived], &mut scratch), expected, "after {arrived}");
    }
    // 40,000 bytes of message: three records at least, whatever the first says.
    let header = [&[22, 3, 1, 0, 10][..], &message(1, &vec![3; 39_996])[..10]].concat();
    let expected = Verdict::Incomplete(39_990 + 3 * 5, true);
    assert_eq!(verdict(&header, &mut scratch), expected);
    // Part of the next record's header is credited.
    let expected = Verdict::Incomplete(39_990 + 3 * 5 - 2, true);
    assert_eq!(verdict(&[&header[..], &[22, 3]].concat(), &mut scratch), expected);
}

#[test]
fn row_one_byte_records_cost_a_bounded_number_of_reads() {
    let wire = records(&Hello::named(NAME).message(), &[1]);
    let mut scratch = Scratch::new();
    let (mut arrived, mut reads) = (0, 0);
    while let Verdict::Incomplete(need_bytes, _) = verdict(&wire[..arrived], &mut scratch) {
        arrived += need_bytes;
        reads += 1;
    }
    // A sixth of what is missing comes with each read, so it is log(113) / log(6/5) and the few
    // that find the header, not 113.
    assert!(reads < 45, "{reads} reads of {} bytes", wire.len());
}

#[test]
fn row_encrypted_client_hello() {
    // An outer hello (RFC 9849 §5): type outer, suite, config id, enc, payload.
    let outer = [&[0, 0, 1, 0, 1, 42][..], &sized_u16(&[9; 32]), &sized_u16(&[8; 144])].concat();
    let name = extension(0, &name_list(&[(0, b"public.example")]));
    for extensions in [
        [name.clone(), extension(0xfe0d, &outer)],
        [extension(0xfe0d, &outer), name.clone()],
        // Of the inner form, or garbage, it is there all the same.
        [extension(0xfe0d, &[1]), name.clone()],
        [extension(0xfe0d, &[]), name],
    ] {
        let wire = Hello::with(&extensions).wire();
        let expected = Verdict::Complete(Some("public.example".to_owned()), wire.len(), true);
        assert_every_prefix(&wire, &expected);
    }
}

#[test]
fn row_upper_case_and_trailing_dot() {
    let sent = "WEB.Default.DC1.internal.";
    assert_routes(&Hello::named(sent).message(), Some(sent));
    assert_eq!(CanonicalName::new(sent).unwrap().as_str(), "web.default.dc1.internal");
}

#[test]
fn row_versions_are_no_gate() {
    let message = Hello::named(NAME).message();
    for minor in 0..=0xff {
        let wire = record(22, 0x0300 | minor, &message);
        let expected = Verdict::Complete(Some(NAME.to_owned()), wire.len(), false);
        assert_eq!(verdict(&wire, &mut Scratch::new()), expected, "record 3.{minor}");
    }
    for legacy_version in [0x0301, 0x0302, 0x0303, 0x0304, 0x03ff, 0x0400, 0x7f1c, 0xffff] {
        let hello = Hello { legacy_version, ..Hello::named(NAME) };
        assert_routes(&hello.message(), Some(NAME));
    }
    for legacy_version in [0x0300, 0x02ff, 0x0002, 0x0000] {
        let hello = Hello { legacy_version, ..Hello::named(NAME) };
        assert_rejected(&hello.message(), HelloError::LegacyVersion);
        // As soon as it is there.
        let wire = hello.wire();
        let expected = Verdict::Rejected(HelloError::LegacyVersion);
        assert_eq!(assert_every_prefix(&wire, &expected), 11);
    }
}

#[test]
fn row_broken_record_layer() {
    let message = Hello::named(NAME).message();
    let expect = |wire: &[u8], error, at| {
        assert_eq!(assert_every_prefix(wire, &Verdict::Rejected(error)), at, "{error}");
    };
    for major in [0, 1, 2, 4, 0x47, 0xfe, 0xff] {
        expect(&record(22, major << 8 | 1, &message), HelloError::RecordVersion, 2);
    }
    expect(&record(22, 0x0301, &[]), HelloError::RecordEmpty, 5);
    let at_limit = [&message[..], &vec![0; RECORD_BYTES_MAX - message.len()]].concat();
    let wire = record(22, 0x0301, &at_limit);
    let complete = Verdict::Complete(Some(NAME.to_owned()), wire.len(), false);
    assert_eq!(verdict(&wire, &mut Scratch::new()), complete);
    expect(&record(22, 0x0301, &vec![1; RECORD_BYTES_MAX + 1]), HelloError::RecordTooLong, 5);
    expect(&record(22, 0x0301, &message_of_type(2)), HelloError::NotClientHello, 6);
    expect(&record(22, 0x0301, &message_of_type(0)), HelloError::NotClientHello, 6);

    // The same in the second record, where the first 60 bytes of the message went before.
    let begun = record(22, 0x0301, &message[..60]);
    let rest = &message[60..];
    for (second, error, at) in [
        (record(22, 0x0201, rest), HelloError::RecordVersion, 2),
        (record(22, 0x0301, &[]), HelloError::RecordEmpty, 5),
        (record(22, 0x0301, &vec![0; RECORD_BYTES_MAX + 1]), HelloError::RecordTooLong, 5),
        (record(21, 0x0301, &[1, 0]), HelloError::RecordInterleaved, 1),
        (record(20, 0x0303, &[1]), HelloError::RecordInterleaved, 1),
        (record(23, 0x0303, rest), HelloError::RecordInterleaved, 1),
        (rest.to_vec(), HelloError::RecordInterleaved, 1),
    ] {
        expect(&[&begun[..], &second].concat(), error, begun.len() + at);
        assert!(error.is_tls());
    }
}

fn message_of_type(kind: u8) -> Vec<u8> {
    message(kind, &Hello::named(NAME).body())
}

#[test]
fn row_ssl2_and_alert_and_http() {
    let ssl2 = [0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10];
    for (wire, error) in [
        (&ssl2[..], HelloError::NotTls),
        (&record(21, 0x0301, &[2, 40]), HelloError::AlertFirst),
        (b"GET / HTTP/1.1\r\n\r\n", HelloError::NotTls),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", HelloError::NotTls),
        (&record(23, 0x0303, b"x"), HelloError::NotTls),
    ] {
        assert_eq!(assert_every_prefix(wire, &Verdict::Rejected(error)), 1);
        assert!(!error.is_tls());
    }
}

#[test]
fn row_first_byte_is_judged_at_once() {
    let mut scratch = Scratch::new();
    for byte in 0..=u8::MAX {
        let found = verdict(&[byte], &mut scratch);
        match byte {
            0x16 => assert_eq!(found, Verdict::Incomplete(4, false)),
            0x15 => assert_eq!(found, Verdict::Rejected(HelloError::AlertFirst)),
            _ => assert_eq!(found, Verdict::Rejected(HelloError::NotTls)),
        }
    }
}

#[test]
fn row_bad_names() {
    let longest = "a".repeat(255);
    assert_routes(&Hello::named(&longest).message(), Some(&longest));
    let too_long = "a".repeat(256);
    for (name, error) in [
        (&b""[..], NameError::Empty),
        (too_long.as_bytes(), NameError::TooLong),
        (b".", NameError::OnlyDot),
        (b"web\0.evil", NameError::ForbiddenByte),
        (b"web\0", NameError::ForbiddenByte),
        (b"\0", NameError::ForbiddenByte),
        (b"web internal", NameError::ForbiddenByte),
        (b"web\r\nHost: x", NameError::ForbiddenByte),
        (b"web\x7f", NameError::ForbiddenByte),
        ("wéb".as_bytes(), NameError::ForbiddenByte),
        (b"web\x80", NameError::ForbiddenByte),
    ] {
        let hello = Hello::with(&[extension(0, &name_list(&[(0, name)])), extension(9, b"x")]);
        assert_rejected(&hello.message(), HelloError::HostName(error));
    }
}

#[test]
fn row_bad_names_are_rejected_by_the_byte_that_is_bad() {
    let decided_at = |name: &[u8], error| {
        let wire = Hello::with(&[extension(0, &name_list(&[(0, name)]))]).wire();
        let length_ends_at = wire.len() - name.len();
        let expected = Verdict::Rejected(HelloError::HostName(error));
        assert_every_prefix(&wire, &expected) - length_ends_at
    };
    assert_eq!(decided_at(&[b'a'; 256], NameError::TooLong), 0);
    assert_eq!(decided_at(b"", NameError::Empty), 0);
    assert_eq!(decided_at(b"web\0.evil", NameError::ForbiddenByte), 4);
}

#[test]
fn row_two_names() {
    let two = extension(0, &name_list(&[(0, b"a.example"), (0, b"b.example")]));
    assert_rejected(&Hello::with(&[two]).message(), HelloError::HostNameTwice);
    let same = extension(0, &name_list(&[(0, b"a.example"), (0, b"a.example")]));
    assert_rejected(&Hello::with(&[same]).message(), HelloError::HostNameTwice);
    let one = extension(0, &name_list(&[(0, b"a.example")]));
    let other = extension(0, &name_list(&[(7, b"a.example")]));
    for twice in [[one.clone(), one.clone()], [one.clone(), other.clone()], [other.clone(), one]] {
        let between = [twice[0].clone(), extension(10, &[0, 2, 0, 29]), twice[1].clone()];
        assert_rejected(&Hello::with(&between).message(), HelloError::ServerNameTwice);
    }
    // An entry of another type is passed over (RFC 6066 §3).
    for names in [[(7, &b"\0\xff"[..]), (0, b"a.example")], [(0, b"a.example"), (7, b"")]] {
        let hello = Hello::with(&[extension(0, &name_list(&names))]);
        assert_routes(&hello.message(), Some("a.example"));
    }
    assert_routes(&Hello::with(&[other]).message(), None);
}

#[test]
fn row_lengths_match_their_parents() {
    // Each of the lengths on the way to the name, one too small and one too large.
    let body = Hello::named("a.example").body();
    let at = |from_end: usize| body.len() - from_end;
    for (offset, smaller, larger) in [
        (34, None, None), // session id: 33 is too long, 31 shifts the rest
        (at(20), Some(HelloError::ExtensionBlockLength), Some(HelloError::ExtensionBlockLength)),
        (at(16), Some(HelloError::ServerNameListLength), Some(HelloError::ExtensionTooLong)),
        (at(14), Some(HelloError::ServerNameListLength), Some(HelloError::ServerNameListLength)),
        (at(11), Some(HelloError::ServerNameLength), Some(HelloError::ServerNameLength)),
    ] {
        for (delta, error) in [(0xff, smaller), (1, larger)] {
            let mut bent = body.clone();
            let low = if offset == 34 { offset } else { offset + 1 };
            bent[low] = bent[low].wrapping_add(delta);
            let wire = message(1, &bent);
            match error {
                Some(error) => assert_rejected(&wire, error),
                None => {
                    let found = verdict(&records(&wire, &[16_384]), &mut Scratch::new());
                    assert!(matches!(found, Verdict::Rejected(_)), "{offset} {delta}");
                }
            }
        }
    }
    // The message itself, a byte longer or shorter than its content.
    let longer = [&body[..], &[0]].concat();
    assert_rejected(&message(1, &longer), HelloError::ExtensionBlockLength);
    let shorter = &body[..body.len() - 1];
    assert_rejected(&message(1, shorter), HelloError::ExtensionBlockLength);
    // A block of which one length byte is missing.
    let stub = [&Hello { extensions: None, ..Hello::default() }.body()[..], &[0]].concat();
    assert_rejected(&message(1, &stub), HelloError::FieldTooLong);
    // An extension header that the block cuts, at each of its bytes.
    for length in 1..4 {
        let hello = Hello { extensions: Some(vec![0; length]), ..Hello::default() };
        assert_rejected(&hello.message(), HelloError::ExtensionTooLong);
    }
    // A name extension without a list, with half a length, with an empty list.
    for (content, error) in [
        (&[][..], HelloError::ServerNameListLength),
        (&[0], HelloError::ServerNameListLength),
        (&[0, 0], HelloError::ServerNameListEmpty),
        (&[0, 1, 0], HelloError::ServerNameLength),
        (&[0, 2, 0, 0], HelloError::ServerNameLength),
    ] {
        assert_rejected(&Hello::with(&[extension(0, content)]).message(), error);
    }
}

#[test]
fn row_fields_before_the_extensions() {
    let hello = Hello::named(NAME);
    for (bent, error) in [
        (Hello { session_id: vec![0; 33], ..hello.clone() }, HelloError::SessionIdTooLong),
        (Hello { cipher_suites: vec![], ..hello.clone() }, HelloError::CipherSuites),
        (Hello { cipher_suites: vec![0; 3], ..hello.clone() }, HelloError::CipherSuites),
        (Hello { compression_methods: vec![], ..hello.clone() }, HelloError::CompressionMethods),
    ] {
        assert_rejected(&bent.message(), error);
    }
    // A message that ends anywhere before its extensions.
    let body = Hello { extensions: None, ..Hello::default() }.body();
    for end in 0..body.len() {
        assert_rejected(&message(1, &body[..end]), HelloError::FieldTooLong);
    }
    assert_routes(&message(1, &body), None);
    for hello in [
        Hello { session_id: vec![], ..hello.clone() },
        Hello {
            cipher_suites: vec![0; 65_532],
            extensions: None,
            session_id: vec![],
            ..hello.clone()
        },
        Hello { compression_methods: vec![1, 0], ..hello },
    ] {
        let name = hello.extensions.is_some().then_some(NAME);
        let wire = hello.message();
        if wire.len() < 1000 {
            assert_routes(&wire, name);
        } else {
            assert_rejected(&wire, HelloError::MessageTooLong);
        }
    }
}

#[test]
fn row_addresses_are_no_names() {
    for address in ["10.0.0.1", "2001:db8::1", "::1", "[::1]"] {
        // The hello is well-formed; there is nothing to look up.
        assert_routes(&Hello::named(address).message(), Some(address));
        assert_eq!(CanonicalName::new(address), Err(NameError::Address));
    }
}

#[test]
fn row_no_server_name() {
    assert_routes(&Hello::default().message(), None);
    assert_routes(&Hello { extensions: None, ..Hello::default() }.message(), None);
    assert_routes(&Hello::with(&[extension(43, &[2, 3, 4])]).message(), None);
}

#[test]
fn row_what_is_for_the_server_to_judge() {
    let name = extension(0, &name_list(&[(0, NAME.as_bytes())]));
    for (what, extensions) in [
        ("ALPN whose list is too long", vec![extension(16, &[0, 9, 1]), name.clone()]),
        ("ALPN empty", vec![extension(16, &[]), name.clone()]),
        ("PSK not last", vec![extension(41, &[0, 0]), name.clone()]),
        ("unknown twice", vec![extension(0xaaaa, b"x"), name.clone(), extension(0xaaaa, b"y")]),
        ("supported_versions with TLS 1.0 alone", vec![name, extension(43, &[2, 3, 1])]),
    ] {
        assert_routes(&Hello::with(&extensions).message(), Some(NAME));
        assert!(!what.is_empty());
    }
}

#[test]
fn row_second_message_in_the_record() {
    let hello = Hello::named(NAME).message();
    for second in [&message(2, b"later")[..], b"\xff", &[0; 300]] {
        // The hello is complete with its record, not before.
        let wire = record(22, 0x0301, &[&hello[..], second].concat());
        let expected = Verdict::Complete(Some(NAME.to_owned()), wire.len(), false);
        assert_eq!(assert_every_prefix(&wire, &expected), wire.len());
        // And in the second of two records, which may begin in the middle of the header.
        for first in [2, 50] {
            let begun = record(22, 0x0301, &hello[..first]);
            let rest = record(22, 0x0301, &[&hello[first..], second].concat());
            let wire = [begun, rest].concat();
            let expected = Verdict::Complete(Some(NAME.to_owned()), wire.len(), false);
            assert_eq!(assert_every_prefix(&wire, &expected), wire.len());
        }
    }
}

#[test]
fn row_bytes_after_the_hello_are_not_looked_at() {
    // As when early data, or a FIN with whatever, came along.
    let wire = Hello::named(NAME).wire();
    let expected = Verdict::Complete(Some(NAME.to_owned()), wire.len(), false);
    for after in [&record(23, 0x0303, b"early")[..], b"\x16\x09", &[0xff; 40]] {
        let all = [&wire[..], after].concat();
        assert_eq!(assert_every_prefix(&all, &expected), wire.len());
    }
}

#[test]
fn the_first_broken_rule_is_the_one_reported() {
    // A forbidden byte in the first record, a broken record after it: in the order of the wire.
    let message = Hello::named("a\0b.example").message();
    let at = message.iter().rposition(|&byte| byte == b'b').unwrap();
    let wire = [record(22, 0x0301, &message[..at]), record(21, 0x0301, &[2, 0])].concat();
    let error = HelloError::HostName(NameError::ForbiddenByte);
    assert_eq!(assert_every_prefix(&wire, &Verdict::Rejected(error)), 5 + at);
}

#[test]
fn names_are_borrowed() {
    let wire = Hello::named(NAME).wire();
    let mut scratch = Scratch::new();
    let Parsed::Complete(hello) = parse(&wire, &mut scratch) else { panic!("not complete") };
    let name = hello.server_name.unwrap().as_bytes().as_ptr_range();
    let room = wire.as_ptr_range();
    assert!(room.start <= name.start && name.end <= room.end);
}

#[test]
fn scratch_carries_nothing_over() {
    let mut scratch = Scratch::new();
    let long = records(&Hello::named(&"x".repeat(200)).message(), &[9]);
    assert!(matches!(verdict(&long, &mut scratch), Verdict::Complete(..)));
    let short = records(&Hello::named("y.example").message(), &[9]);
    let expected = Verdict::Complete(Some("y.example".to_owned()), short.len(), false);
    assert_every_prefix(&short, &expected);
    assert_eq!(verdict(&short, &mut scratch), expected);
}
