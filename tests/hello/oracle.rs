//! Both parsers fed bit by bit, and the ways in which they are meant to differ.

use rustls::server::Acceptor;
use sluice::tls::client_hello::{Parsed, Scratch, parse};
use sluice::tls::server_name::{CanonicalName, NameError};

/// What came of a hello, and after how many bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A server that has it would see this name, in canonical form.
    Named(Option<String>, usize),
    Rejected(String, usize),
    /// It never ended.
    Unfinished,
}

/// What rustls makes of it.
pub(crate) fn theirs(wire: &[u8]) -> Outcome {
    let mut acceptor = Acceptor::default();
    let mut fed = 0;
    for arrived in ends(wire.len()) {
        if let Err(error) = acceptor.read_tls(&mut &wire[fed..arrived]) {
            return Outcome::Rejected(error.to_string(), arrived);
        }
        fed = arrived;
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(|name| {
                    let name = name.to_ascii_lowercase();
                    name.strip_suffix('.').map(str::to_owned).unwrap_or(name)
                });
                return Outcome::Named(name, arrived);
            }
            Err((error, _)) => return Outcome::Rejected(error.to_string(), arrived),
        }
    }
    Outcome::Unfinished
}

/// Where both are asked: after every byte of what is short, near the end of what is long, and
/// at a spread of places before that.
fn ends(length: usize) -> impl Iterator<Item = usize> {
    let step = (length / 256).max(1);
    (1..=length).filter(move |end| end % step == 0 || length <= 500 || *end + 40 > length)
}

/// What we make of it, from a parse of every prefix.
pub(crate) fn ours(wire: &[u8], scratch: &mut Scratch) -> Outcome {
    for arrived in ends(wire.len()) {
        match parse(&wire[..arrived], scratch) {
            Parsed::Incomplete { .. } => {}
            Parsed::Rejected(error) => return Outcome::Rejected(error.to_string(), arrived),
            Parsed::Complete(hello) => {
                let name = hello.server_name.and_then(|name| match CanonicalName::new(name) {
                    Ok(name) => Some(name.as_str().to_owned()),
                    Err(NameError::Address) => None,
                    Err(error) => panic!("{name:?} passed, and has no canonical form: {error}"),
                });
                return Outcome::Named(name, arrived);
            }
        }
    }
    Outcome::Unfinished
}

/// Something about a hello that the two are meant to judge differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oddity {
    LegacyVersion,
    RecordLength,
    NameSyntax,
    NameType,
    SecondMessage,
    ForeignExtension,
    NoNullCompression,
    NoSignatureAlgorithms,
    /// A message of exactly 64 KiB.
    Longest,
    /// Any byte changed: it may be any of the others.
    AnyByte,
}

/// In which direction an oddity lets the two differ. That both take a hello and see different
/// names is never allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Differing {
    WeRoute,
    WeReject,
}

/// The intended differences, with their reasons.
pub(crate) const DIFFERENCES: &[(Oddity, Differing, &str)] = &[
    (
        Oddity::LegacyVersion,
        Differing::WeReject,
        "SSL 3.0 and older are refused here; rustls goes by supported_versions, later",
    ),
    (
        Oddity::RecordLength,
        Differing::WeReject,
        "a plaintext record ends at 2^14; rustls has one limit for plaintext and ciphertext",
    ),
    (
        Oddity::NameSyntax,
        Differing::WeRoute,
        "a name is looked up, not resolved: any printable ASCII that a route may have",
    ),
    (
        Oddity::NameType,
        Differing::WeRoute,
        "RFC 6066 lets unknown name types be passed over by their length; rustls stops at one",
    ),
    (
        Oddity::SecondMessage,
        Differing::WeRoute,
        "what follows the hello is for the server to judge",
    ),
    (
        Oddity::ForeignExtension,
        Differing::WeRoute,
        "only the name is parsed: the content, order and repetition of others is not looked at",
    ),
    (Oddity::NoNullCompression, Differing::WeRoute, "compression is for the server to judge"),
    (
        Oddity::NoSignatureAlgorithms,
        Differing::WeRoute,
        "which extensions must be there is for the server to judge",
    ),
    (Oddity::Longest, Differing::WeRoute, "the limit is 65536 here, and 65535 in rustls"),
    (Oddity::AnyByte, Differing::WeRoute, "it may be any of the others"),
    (Oddity::AnyByte, Differing::WeReject, "it may be any of the others"),
];

/// The difference of two outcomes, or none. A rejection may come earlier on either side.
pub(crate) fn differing(ours: &Outcome, theirs: &Outcome) -> Result<Option<Differing>, String> {
    use Outcome::{Named, Rejected, Unfinished};
    match (ours, theirs) {
        (Named(..), Named(..)) | (Unfinished, Unfinished) if ours == theirs => Ok(None),
        (Rejected(..), Rejected(..)) => Ok(None),
        // One side saw that it is broken before the message could end.
        (Rejected(..), Unfinished) | (Unfinished, Rejected(..)) => Ok(None),
        (Named(..), Rejected(..)) => Ok(Some(Differing::WeRoute)),
        (Rejected(..), Named(..)) => Ok(Some(Differing::WeReject)),
        _ => Err(format!("ours {ours:?}, theirs {theirs:?}")),
    }
}

/// Whether the outcomes agree, or differ as one of the oddities lets them.
pub(crate) fn agree(wire: &[u8], oddities: &[Oddity], scratch: &mut Scratch) -> Result<(), String> {
    let (ours, theirs) = (ours(wire, scratch), theirs(wire));
    let Some(found) = differing(&ours, &theirs)? else { return Ok(()) };
    let intended =
        DIFFERENCES.iter().any(|(oddity, how, _)| *how == found && oddities.contains(oddity));
    intended
        .then_some(())
        .ok_or_else(|| format!("{found:?} with {oddities:?}: ours {ours:?}, theirs {theirs:?}"))
}
