//! Why bytes are not an acceptable ClientHello: one variant per rule.

use super::server_name::NameError;

/// The rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HelloError {
    /// The first byte is not that of any TLS record: plain HTTP, an SSLv2 hello, noise.
    #[error("the first byte is not that of a TLS handshake record")]
    NotTls,
    /// The first record is an alert. It gets no alert in return (RFC 8446 §6.2).
    #[error("an alert came instead of a ClientHello")]
    AlertFirst,
    /// The major version of a record is not 3 (RFC 8446 §5.1).
    #[error("the major version of a record is not 3")]
    RecordVersion,
    /// A handshake record without content (RFC 8446 §5.1).
    #[error("a handshake record is empty")]
    RecordEmpty,
    /// A record longer than 2^14 bytes (RFC 8446 §5.1).
    #[error("a record is longer than 16384 bytes")]
    RecordTooLong,
    /// A record of another type between the fragments of the message (RFC 8446 §5.1).
    #[error("a record of another type came in the middle of the ClientHello")]
    RecordInterleaved,
    /// The first handshake message is another one (RFC 8446 §4).
    #[error("the first handshake message is not a ClientHello")]
    NotClientHello,
    /// The handshake message is longer than [`crate::limits::HANDSHAKE_BYTES_MAX`].
    #[error("the ClientHello is longer than 64 KiB")]
    MessageTooLong,
    /// `legacy_version` is SSL 3.0 or older (RFC 7568).
    #[error("the ClientHello offers nothing newer than SSL 3.0")]
    LegacyVersion,
    /// A field does not fit in the message (RFC 8446 §4.1.2).
    #[error("a field of the ClientHello is longer than the message")]
    FieldTooLong,
    /// `legacy_session_id` is longer than 32 bytes (RFC 8446 §4.1.2).
    #[error("the session id is longer than 32 bytes")]
    SessionIdTooLong,
    /// `cipher_suites` is empty or of an odd length (RFC 8446 §4.1.2).
    #[error("the cipher suite list is empty or of an odd length")]
    CipherSuites,
    /// `legacy_compression_methods` is empty (RFC 8446 §4.1.2).
    #[error("the compression method list is empty")]
    CompressionMethods,
    /// The extension block does not end where the message ends (RFC 8446 §4.1.2).
    #[error("the extension block does not end where the ClientHello ends")]
    ExtensionBlockLength,
    /// An extension does not fit in the block (RFC 8446 §4.2).
    #[error("an extension is longer than the extension block")]
    ExtensionTooLong,
    /// Two server_name extensions (RFC 8446 §4.2).
    #[error("the server_name extension appears twice")]
    ServerNameTwice,
    /// The name list does not end where its extension ends (RFC 6066 §3).
    #[error("the server name list does not end where its extension ends")]
    ServerNameListLength,
    /// The name list is empty (RFC 6066 §3).
    #[error("the server name list is empty")]
    ServerNameListEmpty,
    /// An entry does not fit in the name list (RFC 6066 §3).
    #[error("an entry is longer than the server name list")]
    ServerNameLength,
    /// Two names of type host_name (RFC 6066 §3).
    #[error("the server name list has two host names")]
    HostNameTwice,
    /// The host_name is not one that [`super::server_name::check`] takes.
    #[error(transparent)]
    HostName(#[from] NameError),
}

impl HelloError {
    /// Whether the connection began as a TLS handshake does: a record of type handshake. What
    /// did not is refused as not TLS and closed without an alert.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        !matches!(self, Self::NotTls | Self::AlertFirst)
    }
}
