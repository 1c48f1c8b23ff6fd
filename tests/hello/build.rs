//! ClientHellos from their fields, valid or bent.

#[path = "records.rs"]
pub(crate) mod records;

pub(crate) use records::in_records;

/// Extension types (RFC 8446 §4.2, RFC 6066 §3, RFC 9849 §5).
pub(crate) const SERVER_NAME: u16 = 0;
pub(crate) const ALPN: u16 = 16;
pub(crate) const PADDING: u16 = 21;
pub(crate) const PRE_SHARED_KEY: u16 = 41;
pub(crate) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
pub(crate) const UNKNOWN: u16 = 0x5a5a;

/// The fields of a ClientHello. `extensions` of `None` leaves the block out.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) legacy_version: u16,
    pub(crate) session_id: Vec<u8>,
    pub(crate) cipher_suites: Vec<u8>,
    pub(crate) compression_methods: Vec<u8>,
    pub(crate) extensions: Option<Vec<(u16, Vec<u8>)>>,
}

impl Hello {
    /// One that any TLS 1.3 server reads, with these extensions besides the necessary ones.
    pub(crate) fn with(extensions: &[(u16, Vec<u8>)]) -> Self {
        let mut all = necessary();
        all.extend_from_slice(extensions);
        Self {
            legacy_version: 0x0303,
            session_id: vec![7; 32],
            cipher_suites: vec![0x13, 0x01, 0xc0, 0x2f],
            compression_methods: vec![0],
            extensions: Some(all),
        }
    }

    /// One with this name.
    pub(crate) fn named(name: &[u8]) -> Self {
        Self::with(&[(SERVER_NAME, name_list(&[(0, name)]))])
    }

    /// The handshake message.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut body = self.legacy_version.to_be_bytes().to_vec();
        body.extend([0x5c; 32]);
        body.extend(sized_u8(&self.session_id));
        body.extend(sized_u16(&self.cipher_suites));
        body.extend(sized_u8(&self.compression_methods));
        if let Some(extensions) = &self.extensions {
            let block: Vec<u8> = extensions
                .iter()
                .flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &sized_u16(content)].concat())
                .collect();
            body.extend(sized_u16(&block));
        }
        message(1, &body)
    }
}

/// Without these rustls takes no hello.
fn necessary() -> Vec<(u16, Vec<u8>)> {
    vec![
        (43, vec![4, 3, 4, 3, 3]),    // supported_versions: TLS 1.3 and 1.2
        (10, vec![0, 2, 0, 29]),      // supported_groups: x25519
        (13, vec![0, 4, 4, 3, 8, 4]), // signature_algorithms
        (51, sized_u16(&[&[0, 29][..], &sized_u16(&[3; 32])].concat())), // key_share
    ]
}

pub(crate) fn sized_u8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

pub(crate) fn sized_u16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// A handshake message.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &length[1..], body].concat()
}

/// A ServerNameList of entries of these types.
pub(crate) fn name_list(names: &[(u8, &[u8])]) -> Vec<u8> {
    let entries: Vec<u8> =
        names.iter().flat_map(|(kind, name)| [&[*kind][..], &sized_u16(name)].concat()).collect();
    sized_u16(&entries)
}

/// An outer ECH (RFC 9849 §5) of plausible sizes.
pub(crate) fn ech_outer() -> Vec<u8> {
    [&[0, 0, 1, 0, 1, 42][..], &sized_u16(&[9; 32]), &sized_u16(&[8; 144])].concat()
}
