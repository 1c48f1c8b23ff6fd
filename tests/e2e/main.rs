//! The real binary, real sockets, real TLS: what a user would see.
//!
//! Every test runs on both engines, as `…::io_uring::…` and `…::epoll::…`. Those that need root
//! are in modules whose names end with `_as_root`; `--skip as_root` leaves them out.
//!
//! `SLUICE_E2E_SCALE=full` runs the stated numbers of sessions and bytes; the default, `ci`, a
//! share of them that fits in a minute or two.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, and no peer controls what it reads"
)]
#![allow(unreachable_pub, missing_docs, reason = "nobody links against tests")]

/// Defines the listed functions of an [`support::Engine`] as tests on both engines. With `alone`,
/// nothing else runs at the same time: what they measure would be disturbed.
macro_rules! on_both_engines {
    (alone: $($name:ident),* $(,)?) => {
        on_both_engines!(@ alone, $($name)*);
    };
    ($($name:ident),* $(,)?) => {
        on_both_engines!(@ together, $($name)*);
    };
    (@ $guard:ident, $($name:ident)*) => {
        mod io_uring {
            $(#[test]
            fn $name() {
                let _guard = crate::support::$guard();
                super::$name(crate::support::Engine::IoUring);
            })*
        }
        mod epoll {
            $(#[test]
            fn $name() {
                let _guard = crate::support::$guard();
                super::$name(crate::support::Engine::Epoll);
            })*
        }
    };
}

mod admin;
mod churn;
mod dial;
mod drain;
mod ends;
mod engines;
mod hello_policy;
mod limits;
mod listener_options;
mod memory;
mod network_as_root;
mod paths;
mod pipes;
mod real_clients;
mod refusals;
mod sessions;
mod stalls;
mod support;
