//! ClientHellos by hand, for what no TLS library would send (RFC 8446 §4.1.2, RFC 6066 §3).

#[allow(dead_code, reason = "shared with the parser's tests, which need more of it")]
#[path = "../../hello/build.rs"]
mod build;

pub(crate) use build::{ENCRYPTED_CLIENT_HELLO, PADDING, SERVER_NAME, in_records};

/// A ClientHello to be.
#[derive(Clone, Debug)]
pub struct Hello {
    fields: build::Hello,
    after_extensions: Vec<u8>,
}

impl Hello {
    /// One without a server name.
    pub fn anonymous() -> Self {
        Self { fields: build::Hello::with(&[]), after_extensions: Vec::new() }
    }

    /// One for a server name.
    pub fn to(name: &str) -> Self {
        Self::anonymous().extension(SERVER_NAME, server_name(&[name.as_bytes()]))
    }

    /// With one more extension.
    pub fn extension(mut self, kind: u16, body: Vec<u8>) -> Self {
        self.extensions().push((kind, body));
        self
    }

    /// With a padding extension in front of all others, so that the name comes late.
    pub fn padded(mut self, padding_bytes: usize) -> Self {
        self.extensions().insert(0, (PADDING, vec![0; padding_bytes]));
        self
    }

    /// With another legacy_version.
    pub fn legacy_version(mut self, version: u16) -> Self {
        self.fields.legacy_version = version;
        self
    }

    /// With bytes behind the extension block.
    pub fn followed_by(mut self, bytes: &[u8]) -> Self {
        self.after_extensions = bytes.to_vec();
        self
    }

    /// The handshake message, header included.
    pub fn handshake(&self) -> Vec<u8> {
        let sound = self.fields.message();
        build::message(1, &[&sound[4..], &self.after_extensions].concat())
    }

    /// On the wire, in records as large as may be.
    pub fn wire(&self) -> Vec<u8> {
        in_records(&self.handshake(), &[16_384])
    }

    fn extensions(&mut self) -> &mut Vec<(u16, Vec<u8>)> {
        self.fields.extensions.get_or_insert_default()
    }
}

/// The body of a server_name extension with these host names.
pub fn server_name(names: &[&[u8]]) -> Vec<u8> {
    let hosts: Vec<(u8, &[u8])> = names.iter().map(|&name| (0, name)).collect();
    build::name_list(&hosts)
}

/// One handshake record.
pub fn record(fragment: &[u8]) -> Vec<u8> {
    build::records::record(22, 0x0301, fragment)
}
