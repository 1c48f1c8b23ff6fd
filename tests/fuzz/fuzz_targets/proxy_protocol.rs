//! What holds of the PROXY protocol's parser on any bytes at all.

#![no_main]

#[path = "../proxy_invariants.rs"]
mod proxy_invariants;

libfuzzer_sys::fuzz_target!(|wire: &[u8]| proxy_invariants::hold(wire));
