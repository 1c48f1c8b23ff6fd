//! The ClientHello parser against rustls's `Acceptor`: for every hello that a server takes,
//! the name that we route by is the name that the server sees.

#![allow(missing_docs, reason = "a test")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod hello;

use std::sync::Arc;

use hello::build::records::{content, record};
use hello::build::{self, Hello, in_records, message, name_list, sized_u16};
use hello::oracle::{DIFFERENCES, Oddity, Outcome, agree, differing, ours, theirs};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use sluice::tls::client_hello::Scratch;

/// A hello that a rustls client sends.
fn of_a_client(
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[Vec<u8>],
    fragment_bytes: Option<usize>,
    sends_name: bool,
) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = protocols.to_vec();
    config.max_fragment_size = fragment_bytes;
    config.enable_sni = sends_name;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut wire = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut wire).unwrap();
    }
    wire
}

fn any_versions() -> impl Strategy<Value = &'static [&'static SupportedProtocolVersion]> {
    const CHOICES: [&[&SupportedProtocolVersion]; 3] = [&[&TLS12], &[&TLS13], &[&TLS12, &TLS13]];
    select(&CHOICES[..])
}

fn any_domain() -> impl Strategy<Value = String> {
    prop_oneof![
        concat!(
            "[a-zA-Z]([a-zA-Z0-9_-]{0,12}[a-zA-Z0-9])?",
            "(\\.[a-zA-Z]([a-zA-Z0-9-]{0,12}[a-zA-Z0-9])?){0,6}\\.?",
        ),
        // As long as names get: 253 bytes.
        Just(
            [["a"; 63].concat(), ["b"; 63].concat(), ["c"; 63].concat(), ["d"; 61].concat()]
                .join(".")
        ),
    ]
}

/// Sizes of records, to be used over and over.
fn any_sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![16_384]),
        Just(vec![1]),
        prop::collection::vec(1_usize..8, 1..6),
        prop::collection::vec(1_usize..400, 1..6),
    ]
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..Default::default() }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn hellos_of_clients(
        name in any_domain(),
        versions in any_versions(),
        protocols in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..4),
        fragment_bytes in prop::option::of(32_usize..600),
        sends_name in prop::bool::weighted(0.9),
        sizes in any_sizes(),
    ) {
        let wire = of_a_client(&name, versions, &protocols, fragment_bytes, sends_name);
        let expected = sends_name
            .then(|| name.strip_suffix('.').unwrap_or(&name).to_ascii_lowercase());
        let mut scratch = Scratch::new();
        for wire in [in_records(&content(&wire), &sizes), wire] {
            let outcome = Outcome::Named(expected.clone(), wire.len());
            prop_assert_eq!(&theirs(&wire), &outcome);
            prop_assert_eq!(&ours(&wire, &mut scratch), &outcome);
        }
    }
}

#[test]
fn a_client_that_dials_an_address_names_nothing() {
    for address in ["10.0.0.1", "2001:db8::1"] {
        let wire = of_a_client(address, &[&TLS13], &[], None, true);
        let outcome = Outcome::Named(None, wire.len());
        assert_eq!((ours(&wire, &mut Scratch::new()), theirs(&wire)), (outcome.clone(), outcome));
    }
}

/// How a generated hello departs from a good one.
#[derive(Clone, Debug)]
enum Bend {
    Nothing,
    LegacyVersion(u16),
    CompressionMethods(Vec<u8>),
    CipherSuites(usize),
    SessionId(usize),
    NoExtensions,
    Repeated(u16),
    KeyNotLast,
    Alpn(Vec<u8>),
    Names(Vec<(u8, Vec<u8>)>),
    NameExtension(Vec<u8>),
    SecondMessage(Vec<u8>),
    /// A byte set to a value, anywhere in the message: lengths as well as contents.
    Byte(Index, u8),
    /// A byte's value moved by one, which is what bends lengths by one.
    OffByOne(Index, bool),
    Cut(Index),
    Tail(Vec<u8>),
    /// A record of this type, version and content in between.
    Record(Index, u8, u16, Vec<u8>),
}

fn any_bend() -> impl Strategy<Value = Bend> {
    use prop::collection::vec;
    let bytes = |most| vec(any::<u8>(), 0..most);
    prop_oneof![
        2 => Just(Bend::Nothing),
        1 => any::<u16>().prop_map(Bend::LegacyVersion),
        1 => select(vec![0x0200, 0x02ff, 0x0300, 0x0301, 0x03ff]).prop_map(Bend::LegacyVersion),
        1 => vec(0_u8..3, 0..3).prop_map(Bend::CompressionMethods),
        1 => (0_usize..9).prop_map(Bend::CipherSuites),
        1 => (0_usize..40).prop_map(Bend::SessionId),
        1 => Just(Bend::NoExtensions),
        1 => select(vec![build::SERVER_NAME, build::UNKNOWN, 10, 43]).prop_map(Bend::Repeated),
        1 => Just(Bend::KeyNotLast),
        1 => bytes(6).prop_map(Bend::Alpn),
        2 => vec((select(vec![0_u8, 0, 1, 255]), any_name()), 0..3).prop_map(Bend::Names),
        1 => bytes(12).prop_map(Bend::NameExtension),
        1 => bytes(12).prop_map(Bend::SecondMessage),
        3 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Bend::Byte(at, byte)),
        6 => (any::<Index>(), any::<bool>()).prop_map(|(at, up)| Bend::OffByOne(at, up)),
        1 => any::<Index>().prop_map(Bend::Cut),
        1 => bytes(6).prop_map(Bend::Tail),
        2 => (any::<Index>(), 20_u8..26, select(vec![0x0301_u16, 0x0303, 0x0200, 0x0400]), bytes(4))
            .prop_map(|(at, kind, version, content)| Bend::Record(at, kind, version, content)),
    ]
}

/// Names of every kind: good, odd, bad, addresses.
fn any_name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any_domain().prop_map(String::into_bytes),
        1 => "[!-~]{1,20}".prop_map(String::into_bytes),
        1 => "[a-z.]{0,9}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (250_usize..260).prop_map(|length| vec![b'a'; length]),
        1 => select(vec!["10.0.0.1", "::1", "2001:db8::1", "1.2.3", "10.0.0.1."])
            .prop_map(|name| name.as_bytes().to_vec()),
    ]
}

fn any_extension() -> impl Strategy<Value = (u16, Vec<u8>)> {
    prop_oneof![
        Just((build::ENCRYPTED_CLIENT_HELLO, build::ech_outer())),
        (0_usize..300).prop_map(|length| (build::PADDING, vec![0; length])),
        Just((build::ALPN, sized_u16(b"\x02h2\x08http/1.1"))),
        Just((23, Vec::new())),
        (0x6000_u16..0x6fff, prop::collection::vec(any::<u8>(), 0..40)),
    ]
}

/// Everything but the bending: no extension type twice, the name anywhere among them.
fn any_hello() -> impl Strategy<Value = Hello> {
    (any_name(), prop::collection::vec(any_extension(), 0..6), any::<Index>()).prop_map(
        |(name, mut extensions, at)| {
            let mut seen = Vec::new();
            extensions.retain(|(kind, _)| {
                let is_new = !seen.contains(kind);
                seen.push(*kind);
                is_new
            });
            let name = (build::SERVER_NAME, name_list(&[(0, &name)]));
            extensions.insert(at.index(extensions.len() + 1), name);
            Hello::with(&extensions)
        },
    )
}

/// The wire of a bent hello, and what about it the two parsers may judge differently.
fn bent(mut hello: Hello, bend: Bend, sizes: &[usize]) -> (Vec<u8>, Vec<Oddity>) {
    // Generated names are of every kind.
    let mut oddities = vec![Oddity::NameSyntax];
    let mut tail = Vec::new();
    let extensions = hello.extensions.as_mut().unwrap();
    match &bend {
        Bend::LegacyVersion(version) => {
            hello.legacy_version = *version;
            oddities.extend((*version < 0x0301).then_some(Oddity::LegacyVersion));
        }
        Bend::CompressionMethods(methods) => {
            hello.compression_methods = methods.clone();
            oddities.extend((!methods.contains(&0)).then_some(Oddity::NoNullCompression));
        }
        Bend::CipherSuites(length) => hello.cipher_suites = vec![0x13; *length],
        Bend::SessionId(length) => hello.session_id = vec![1; *length],
        Bend::NoExtensions => {
            hello.extensions = None;
            oddities.push(Oddity::NoSignatureAlgorithms);
        }
        Bend::Repeated(kind) => {
            let content = extensions.iter().find(|(other, _)| other == kind);
            let again = content.cloned().unwrap_or((*kind, Vec::new()));
            extensions.extend([again.clone(), again]);
            oddities.push(Oddity::ForeignExtension);
        }
        Bend::KeyNotLast => {
            let identity = [&sized_u16(b"identity")[..], &[0; 4]].concat();
            let binder = build::sized_u8(&[1; 32]);
            let offer = [sized_u16(&identity), sized_u16(&binder)].concat();
            extensions.insert(0, (build::PRE_SHARED_KEY, offer));
            oddities.push(Oddity::ForeignExtension);
        }
        Bend::Alpn(content) => {
            extensions.retain(|(kind, _)| *kind != build::ALPN);
            extensions.push((build::ALPN, content.clone()));
            oddities.push(Oddity::ForeignExtension);
        }
        Bend::Names(names) => {
            let names: Vec<_> = names.iter().map(|(kind, name)| (*kind, &name[..])).collect();
            oddities.extend(names.iter().any(|(kind, _)| *kind != 0).then_some(Oddity::NameType));
            replace_name(extensions, name_list(&names));
        }
        Bend::NameExtension(content) => {
            replace_name(extensions, content.clone());
            oddities.push(Oddity::AnyByte);
        }
        Bend::SecondMessage(content) => {
            tail = message(2, content);
            oddities.push(Oddity::SecondMessage);
        }
        _ => {}
    }
    let mut handshake = hello.message();
    handshake.extend(tail);
    let wire = match &bend {
        Bend::Byte(at, value) => {
            let at = at.index(handshake.len());
            handshake[at] = *value;
            oddities.extend([Oddity::AnyByte, Oddity::SecondMessage]);
            in_records(&handshake, sizes)
        }
        Bend::OffByOne(at, up) => {
            let at = at.index(handshake.len());
            handshake[at] =
                if *up { handshake[at].wrapping_add(1) } else { handshake[at].wrapping_sub(1) };
            oddities.extend([Oddity::AnyByte, Oddity::SecondMessage]);
            in_records(&handshake, sizes)
        }
        Bend::Cut(at) => in_records(&handshake[..at.index(handshake.len())], sizes),
        Bend::Tail(bytes) => {
            let whole = [&handshake[4..], bytes].concat();
            in_records(&message(1, &whole), sizes)
        }
        Bend::Record(at, kind, version, content) => {
            let (before, after) = handshake.split_at(at.index(handshake.len()));
            // An application record in between is no more a handshake than an alert is.
            let between = record(*kind, *version, content);
            if *kind == 22 && !content.is_empty() {
                oddities.push(Oddity::AnyByte);
            }
            [in_records(before, sizes), between, in_records(after, sizes)].concat()
        }
        _ => in_records(&handshake, sizes),
    };
    (wire, oddities)
}

fn replace_name(extensions: &mut [(u16, Vec<u8>)], content: Vec<u8>) {
    for (kind, old) in extensions {
        if *kind == build::SERVER_NAME {
            old.clone_from(&content);
        }
    }
}

proptest! {
    #![proptest_config(cases(2048))]

    #[test]
    fn hellos_valid_and_bent(hello in any_hello(), bend in any_bend(), sizes in any_sizes()) {
        let (wire, oddities) = bent(hello, bend, &sizes);
        agree(&wire, &oddities, &mut Scratch::new()).map_err(TestCaseError::fail)?;
    }
}

/// A hello of 64 KiB exactly: more than the extension block alone can hold.
fn longest() -> Vec<u8> {
    let mut hello = Hello::named(b"a.example");
    hello.cipher_suites = vec![0x13; 30_000];
    let padding_bytes = 65_536 + 4 - hello.message().len() - 4;
    hello.extensions.as_mut().unwrap().push((build::PADDING, vec![0; padding_bytes]));
    in_records(&hello.message(), &[16_384])
}

/// An example of each oddity.
fn example(oddity: Oddity) -> Option<Vec<u8>> {
    let named = Hello::named(b"a.example");
    let hello = match oddity {
        Oddity::LegacyVersion => Hello { legacy_version: 0x0300, ..named },
        Oddity::NameSyntax => Hello::named(b"a..example"),
        Oddity::NameType => {
            let names = name_list(&[(1, b"x"), (0, b"a.example")]);
            Hello::with(&[(build::SERVER_NAME, names)])
        }
        Oddity::ForeignExtension => Hello::with(&[(build::ALPN, vec![0, 9])]),
        Oddity::NoNullCompression => Hello { compression_methods: vec![1], ..named },
        Oddity::NoSignatureAlgorithms => Hello { extensions: None, ..named },
        Oddity::SecondMessage => {
            return Some(in_records(&[named.message(), message(2, b"x")].concat(), &[16_384]));
        }
        Oddity::RecordLength => {
            let padding = (build::PADDING, vec![0; 16_384]);
            let long = Hello::with(&[padding]);
            return Some(in_records(&long.message(), &[16_384 + 1000]));
        }
        Oddity::Longest => return Some(longest()),
        Oddity::AnyByte => return None,
    };
    Some(in_records(&hello.message(), &[16_384]))
}

/// A difference that no longer is one must leave the list, or it would hide a defect.
#[test]
fn every_intended_difference_is_real() {
    for (oddity, how, reason) in DIFFERENCES {
        let Some(wire) = example(*oddity) else { continue };
        let (ours, theirs) = (whole(&wire), theirs_whole(&wire));
        assert_eq!(differing(&ours, &theirs), Ok(Some(*how)), "{oddity:?}: {reason}");
    }
}

/// The long ones are not fed byte by byte: one parse each.
fn whole(wire: &[u8]) -> Outcome {
    use sluice::tls::client_hello::{Parsed, parse};
    match parse(wire, &mut Scratch::new()) {
        Parsed::Complete(hello) => Outcome::Named(hello.server_name.map(str::to_owned), wire.len()),
        Parsed::Rejected(error) => Outcome::Rejected(error.to_string(), wire.len()),
        Parsed::Incomplete { .. } => Outcome::Unfinished,
    }
}

fn theirs_whole(wire: &[u8]) -> Outcome {
    let mut acceptor = rustls::server::Acceptor::default();
    let mut rest = wire;
    loop {
        if let Err(error) = acceptor.read_tls(&mut rest) {
            return Outcome::Rejected(error.to_string(), wire.len());
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(str::to_owned);
                return Outcome::Named(name, wire.len());
            }
            Ok(None) if rest.is_empty() => return Outcome::Unfinished,
            Ok(None) => {}
            Err((error, _)) => return Outcome::Rejected(error.to_string(), wire.len()),
        }
    }
}

#[test]
fn differences_never_let_two_names_through() {
    let named = |name: &str| Outcome::Named(Some(name.to_owned()), 9);
    assert!(differing(&named("a"), &named("b")).is_err());
    assert!(differing(&named("a"), &Outcome::Unfinished).is_err());
    assert!(differing(&Outcome::Named(None, 9), &named("b")).is_err());
    assert!(differing(&named("a"), &Outcome::Named(None, 9)).is_err());
    assert_eq!(differing(&named("a"), &named("a")), Ok(None));
}
