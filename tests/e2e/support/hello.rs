//! ClientHellos by hand, for what no TLS library would send (RFC 8446 §4.1.2, RFC 6066 §3).

/// A ClientHello to be.
#[derive(Clone, Debug)]
pub struct Hello {
    legacy_version: u16,
    extensions: Vec<(u16, Vec<u8>)>,
    after_extensions: Vec<u8>,
}

/// The extension server_name.
pub const SERVER_NAME: u16 = 0;
/// The extension padding (RFC 7685).
pub const PADDING: u16 = 21;
/// The extension encrypted_client_hello.
pub const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

impl Hello {
    /// One without a server name.
    pub fn anonymous() -> Self {
        // supported_groups: x25519; something for the parser to step over.
        let extensions = vec![(10, vec![0, 2, 0, 29])];
        Self { legacy_version: 0x0303, extensions, after_extensions: Vec::new() }
    }

    /// One for a server name.
    pub fn to(name: &str) -> Self {
        Self::anonymous().extension(SERVER_NAME, server_name(&[name.as_bytes()]))
    }

    /// With one more extension.
    pub fn extension(mut self, kind: u16, body: Vec<u8>) -> Self {
        self.extensions.push((kind, body));
        self
    }

    /// With a padding extension in front of all others, so that the name comes late.
    pub fn padded(mut self, padding_bytes: usize) -> Self {
        self.extensions.insert(0, (PADDING, vec![0; padding_bytes]));
        self
    }

    /// With another legacy_version.
    pub fn legacy_version(mut self, version: u16) -> Self {
        self.legacy_version = version;
        self
    }

    /// With bytes behind the extension block.
    pub fn followed_by(mut self, bytes: &[u8]) -> Self {
        self.after_extensions = bytes.to_vec();
        self
    }

    /// The handshake message, header included.
    pub fn handshake(&self) -> Vec<u8> {
        let mut body = self.legacy_version.to_be_bytes().to_vec();
        body.extend([0x5a; 32]);
        body.push(32);
        body.extend([0xa5; 32]);
        body.extend([0, 4, 0x13, 0x01, 0xc0, 0x2b, 1, 0]);
        let mut block = Vec::new();
        for (kind, extension) in &self.extensions {
            block.extend(kind.to_be_bytes());
            block.extend((extension.len() as u16).to_be_bytes());
            block.extend(extension);
        }
        body.extend((block.len() as u16).to_be_bytes());
        body.extend(block);
        body.extend(&self.after_extensions);
        let mut message = vec![1];
        message.extend(&(body.len() as u32).to_be_bytes()[1..]);
        message.extend(body);
        message
    }

    /// On the wire, in records as large as may be.
    pub fn wire(&self) -> Vec<u8> {
        records(&self.handshake(), &[16_384])
    }
}

/// The body of a server_name extension with these host names.
pub fn server_name(names: &[&[u8]]) -> Vec<u8> {
    let mut list = Vec::new();
    for name in names {
        list.push(0);
        list.extend((name.len() as u16).to_be_bytes());
        list.extend(*name);
    }
    let mut body = (list.len() as u16).to_be_bytes().to_vec();
    body.extend(list);
    body
}

/// A handshake message in records; the fragments' sizes are used over and over.
pub fn records(handshake: &[u8], fragment_bytes: &[usize]) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut rest = handshake;
    for &size in fragment_bytes.iter().cycle() {
        let (fragment, more) = rest.split_at(size.clamp(1, rest.len()));
        wire.extend(record(fragment));
        rest = more;
        if rest.is_empty() {
            break;
        }
    }
    wire
}

/// One handshake record.
pub fn record(fragment: &[u8]) -> Vec<u8> {
    let mut wire = vec![22, 3, 1];
    wire.extend((fragment.len() as u16).to_be_bytes());
    wire.extend(fragment);
    wire
}
