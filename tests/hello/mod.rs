//! Hellos to compare parsers on: how they are built, and what rustls makes of them.

pub(crate) mod build;
pub(crate) mod oracle;
