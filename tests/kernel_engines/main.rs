//! What every kernel of real sockets must do, run on each of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub,
    reason = "tests assert by panicking"
)]

mod cancel;
mod dial;
mod limits;
#[allow(unsafe_code, reason = "a system call without a safe wrapper")]
mod segments;
mod support;
mod transfer;
mod turn;
mod watch;
