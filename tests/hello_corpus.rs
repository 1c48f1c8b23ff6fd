//! Replays the fuzz corpus: what must hold of any bytes, and what each file is there to show.

#![allow(missing_docs, reason = "a test")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

#[path = "fuzz/invariants.rs"]
mod invariants;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use invariants::{Verdict, hold, verdict};
use sluice::tls::client_hello::Scratch;

/// The corpus by file name. The part before the first dot says what the parser makes of it:
/// `hello` (complete), `rejected`, `incomplete`; what follows, of which client or rule it is.
fn corpus() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/client_hello");
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
        })
        .collect()
}

#[test]
fn invariants_hold_on_the_corpus() {
    let corpus = corpus();
    assert!(corpus.len() >= 40, "only {} files", corpus.len());
    for (name, wire) in &corpus {
        println!("{name}");
        hold(wire);
    }
}

#[test]
fn files_are_what_their_names_say() {
    let mut scratch = Scratch::new();
    for (name, wire) in corpus() {
        let found = verdict(&wire, &mut scratch);
        let kind = name.split('.').next().unwrap();
        let fits = match &found {
            Verdict::Complete { .. } => kind == "hello",
            Verdict::Rejected(_) => kind == "rejected",
            Verdict::Incomplete { .. } => kind == "incomplete",
        };
        assert!(fits, "{name}: {found:?}");
    }
}

/// What real clients send for `https://web.default.dc1.internal.example`.
#[test]
fn real_clients_are_read() {
    let mut scratch = Scratch::new();
    let clients: Vec<_> =
        corpus().into_iter().filter(|(name, _)| name.starts_with("hello.client.")).collect();
    for client in ["openssl", "curl", "python", "rustls"] {
        let found = clients.iter().filter(|(name, _)| name.contains(client)).count();
        assert!(found > 0, "no hello of {client}");
    }
    for (name, wire) in clients {
        let expected =
            (!name.contains("nameless")).then(|| "web.default.dc1.internal.example".to_owned());
        match verdict(&wire, &mut scratch) {
            Verdict::Complete { server_name, wire_bytes, .. } => {
                assert_eq!((server_name, wire_bytes), (expected, wire.len()), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}
