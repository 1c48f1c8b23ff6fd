//! What must hold of the PROXY protocol's parser whatever the bytes are. Shared by the fuzz target
//! and the tests.

use sluice::limits::PROXY_HEADER_BYTES_MAX;
use sluice::proxy_protocol::{Header, Parsed, parse};

/// Checks all of it, and panics on the first that does not hold: a verdict is final, and does not
/// come before the bytes that were said to be needed.
pub(crate) fn hold(wire: &[u8]) {
    let last = parse(wire);
    let mut complete_from = 0;
    for end in 0..=wire.len() {
        match parse(&wire[..end]) {
            Parsed::Incomplete { need_bytes } => {
                assert!(need_bytes > 0, "nothing needed after {end} bytes, yet incomplete");
                complete_from = complete_from.max(end + need_bytes);
            }
            verdict => {
                assert_eq!(verdict, last, "after {end} bytes, and after {}", wire.len());
                if let Parsed::Complete(Header { header_bytes, .. }) = verdict {
                    assert!(end >= complete_from, "complete at {end}, {complete_from} needed");
                    assert!((1..=end).contains(&header_bytes));
                    assert!(header_bytes <= PROXY_HEADER_BYTES_MAX);
                }
            }
        }
    }
}
