//! What holds of the ClientHello parser on any bytes at all.

#![no_main]

#[path = "../invariants.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|wire: &[u8]| invariants::hold(wire));
