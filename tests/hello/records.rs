//! Handshake bytes in TLS records (RFC 8446 §5.1), and out of them.

/// A record, whatever its length.
pub(crate) fn record(kind: u8, version: u16, fragment: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fragment.len()).unwrap();
    [&[kind][..], &version.to_be_bytes(), &length.to_be_bytes(), fragment].concat()
}

/// Handshake bytes in records of these sizes, over and over.
pub(crate) fn in_records(handshake: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut rest = handshake;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (fragment, next) = rest.split_at((*size).min(rest.len()));
        wire.extend(record(22, 0x0301, fragment));
        rest = next;
    }
    wire
}

/// The content of whole records.
pub(crate) fn content(mut wire: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = wire {
        let (fragment, next) = rest.split_at(usize::from(*high) << 8 | usize::from(*low));
        content.extend_from_slice(fragment);
        wire = next;
    }
    content
}
