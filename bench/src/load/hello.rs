//! The ClientHello that opens every session (RFC 8446 §4.1.2), built once. Its random carries
//! the number of the session, by which the backend knows whom it talks to.

use serde::Deserialize;

/// What kind of client it is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HelloKind {
    /// 517 bytes, as sidecars send.
    #[default]
    Classic,
    /// 2 KiB, with an X25519MLKEM768 key share.
    PostQuantum,
}

/// Record header (5), handshake header (4), legacy_version (2): then the random.
const RANDOM_AT: usize = 11;
const NUMBER_BYTES: usize = 5;

/// A hello with room for a session's number.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    bytes: Vec<u8>,
}

impl Hello {
    /// A hello for a server name.
    pub(crate) fn new(server_name: &str, kind: HelloKind) -> Self {
        let (size, shares): (usize, &[(u16, usize)]) = match kind {
            HelloKind::Classic => (517, &[(0x001d, 32)]),
            HelloKind::PostQuantum => (2048, &[(0x11ec, 1216), (0x001d, 32)]),
        };
        let mut extensions = Vec::new();
        let mut add = |kind: u16, body: &[u8]| {
            extensions.extend(kind.to_be_bytes());
            extensions.extend(vector(body));
        };
        let name = [&[0][..], &vector(server_name.as_bytes())].concat();
        add(0, &vector(&name));
        add(23, &[]); // extended_master_secret
        add(0xff01, &[0]); // renegotiation_info
        add(10, &vector(&words(&[0x11ec, 0x001d, 0x0017, 0x0018]))); // supported_groups
        add(11, &[1, 0]); // ec_point_formats
        add(35, &[]); // session_ticket
        add(16, &vector(b"\x02h2\x08http/1.1")); // application_layer_protocol_negotiation
        add(13, &vector(&words(&[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501]))); // signatures
        let share = |&(group, bytes): &(u16, usize)| {
            [&group.to_be_bytes()[..], &vector(&vec![7; bytes])].concat()
        };
        add(51, &vector(&shares.iter().flat_map(share).collect::<Vec<u8>>()));
        add(45, &[1, 1]); // psk_key_exchange_modes
        add(43, &[4, 3, 4, 3, 3]); // supported_versions
        let mut fixed = vec![3, 3];
        fixed.extend([0x42; 32]); // random
        fixed.push(32);
        fixed.extend([0x17; 32]); // legacy_session_id
        fixed.extend(vector(&words(&[0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030])));
        fixed.extend([1, 0]); // compression methods
        // Headers of record and handshake, the length of the extensions, and padding's own.
        let used = 5 + 4 + fixed.len() + 2 + extensions.len() + 4;
        let padding = vec![0; size.saturating_sub(used)];
        extensions.extend(21_u16.to_be_bytes());
        extensions.extend(vector(&padding));
        fixed.extend(vector(&extensions));
        let handshake = [&[1, 0][..], &vector(&fixed)].concat();
        Self { bytes: [&[0x16, 3, 1][..], &vector(&handshake)].concat() }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The hello of a session.
    pub(crate) fn of(&mut self, group: u8, session: u32) -> &[u8] {
        let [a, b, c, d] = session.to_be_bytes();
        if let Some(place) = self.bytes.get_mut(RANDOM_AT..RANDOM_AT + NUMBER_BYTES) {
            place.copy_from_slice(&[group, a, b, c, d]);
        }
        &self.bytes
    }

    /// Group and session, if these bytes are this hello, whoever's.
    pub(crate) fn read(&self, bytes: &[u8]) -> Option<(u8, u32)> {
        let after = RANDOM_AT + NUMBER_BYTES;
        let is_hello = bytes.len() == self.bytes.len()
            && bytes.get(..RANDOM_AT) == self.bytes.get(..RANDOM_AT)
            && bytes.get(after..) == self.bytes.get(after..);
        match bytes.get(RANDOM_AT..after) {
            Some(&[group, a, b, c, d]) if is_hello => {
                Some((group, u32::from_be_bytes([a, b, c, d])))
            }
            _ => None,
        }
    }
}

/// A vector with a length of two bytes in front.
fn vector(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], body].concat()
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use sluice::tls::client_hello::{Parsed, Scratch, parse};

    use super::*;

    #[test]
    fn the_gateway_reads_its_name() {
        for (kind, size) in [(HelloKind::Classic, 517), (HelloKind::PostQuantum, 2048)] {
            let mut hello = Hello::new("web.example.com", kind);
            assert_eq!(hello.len(), size);
            let mut scratch = Scratch::default();
            match parse(hello.of(1, 2), &mut scratch) {
                Parsed::Complete(parsed) => {
                    assert_eq!(parsed.server_name, Some("web.example.com"));
                    assert_eq!(parsed.wire_bytes, size);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_session_is_known_by_its_hello_and_a_changed_byte_shows() {
        let mut hello = Hello::new("web.example.com", HelloKind::Classic);
        let mut bytes = hello.of(3, 70_000).to_vec();
        hello.of(1, 1);
        assert_eq!(hello.read(&bytes), Some((3, 70_000)));
        bytes[400] ^= 1;
        assert_eq!(hello.read(&bytes), None);
    }
}
