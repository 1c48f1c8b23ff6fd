//! What must hold of the ClientHello parser whatever the bytes are. Shared by the fuzz target
//! and the test that replays its corpus.

#[path = "../hello/records.rs"]
mod records;

use sluice::tls::client_hello::{HelloError, Parsed, Scratch, parse};
use sluice::tls::server_name::{CanonicalName, NameError};

use records::{content, in_records};

/// A [`Parsed`] that borrows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Incomplete { need_bytes: usize, fragmented: bool },
    Complete { server_name: Option<String>, wire_bytes: usize, has_ech: bool },
    Rejected(HelloError),
}

/// What the parser says of `wire`, with a scratch area that may hold anything.
pub(crate) fn verdict(wire: &[u8], scratch: &mut Scratch) -> Verdict {
    match parse(wire, scratch) {
        Parsed::Incomplete { need_bytes, fragmented } => {
            Verdict::Incomplete { need_bytes, fragmented }
        }
        Parsed::Complete(hello) => Verdict::Complete {
            server_name: hello.server_name.map(str::to_owned),
            wire_bytes: hello.wire_bytes,
            has_ech: hello.has_ech,
        },
        Parsed::Rejected(error) => Verdict::Rejected(error),
    }
}

/// Checks all of them. Panics on the first that does not hold.
pub(crate) fn hold(wire: &[u8]) {
    let mut scratch = Scratch::new();
    let scratch = &mut scratch;
    let last = verdict(wire, scratch);
    prefixes_agree(wire, &last, scratch);
    if let Verdict::Complete { server_name, wire_bytes, .. } = &last {
        complete_is_sound(wire, *wire_bytes, server_name.as_deref());
        fragments_agree(wire, &last, scratch);
    }
}

/// A verdict is final, it does not come before the bytes that were said to be needed, and
/// `fragmented` is not taken back.
fn prefixes_agree(wire: &[u8], last: &Verdict, scratch: &mut Scratch) {
    let mut complete_from = 0;
    let mut was_fragmented = false;
    for end in prefix_ends(wire) {
        let prefix = &wire[..end];
        match verdict(prefix, scratch) {
            Verdict::Incomplete { need_bytes, fragmented } => {
                assert!(need_bytes > 0, "nothing needed after {end} bytes, yet incomplete");
                assert!(fragmented || !was_fragmented, "no longer fragmented at {end}");
                assert!(end > 0 || need_bytes == 1, "the first byte is not judged at once");
                was_fragmented = fragmented;
                complete_from = complete_from.max(end + need_bytes);
            }
            verdict => {
                assert_eq!(&verdict, last, "after {end} bytes, and after {}", wire.len());
                if let Verdict::Complete { wire_bytes, .. } = verdict {
                    assert!(end >= complete_from, "complete at {end}, {complete_from} needed");
                    assert!(end >= wire_bytes, "complete at {end} of {wire_bytes} bytes");
                }
            }
        }
    }
}

/// Every prefix of what is short; of what is long, the ends and a spread in between.
fn prefix_ends(wire: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let length = wire.len();
    let step = (length / 1024).max(1);
    (0..=length).filter(move |end| end % step == 0 || *end < 600 || *end + 600 > length)
}

fn complete_is_sound(wire: &[u8], wire_bytes: usize, server_name: Option<&str>) {
    assert!(wire_bytes <= wire.len(), "a record that has not arrived is part of the hello");
    let Some(name) = server_name else { return };
    assert!((1..=255).contains(&name.len()), "a name of {} bytes", name.len());
    assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "a forbidden byte in {name:?}");
    assert!(wire.len() >= name.len());
    match CanonicalName::new(name) {
        Ok(canonical) => {
            let expected = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            assert_eq!(canonical.as_str(), expected);
        }
        Err(error) => assert_eq!(error, NameError::Address, "{name:?}"),
    }
}

/// The same handshake bytes in other records are the same hello.
fn fragments_agree(wire: &[u8], last: &Verdict, scratch: &mut Scratch) {
    let Verdict::Complete { server_name, wire_bytes, has_ech } = last else { return };
    let handshake = content(&wire[..*wire_bytes]);
    for sizes in [&[1][..], &[3], &[4, 1], &[5, 40, 2], &[16_384]] {
        let again = in_records(&handshake, sizes);
        let Verdict::Complete { server_name: name, wire_bytes, has_ech: ech } =
            verdict(&again, scratch)
        else {
            panic!("no longer complete in records of {sizes:?}");
        };
        assert_eq!((&name, ech), (server_name, *has_ech), "in records of {sizes:?}");
        assert!(wire_bytes <= again.len());
    }
}
