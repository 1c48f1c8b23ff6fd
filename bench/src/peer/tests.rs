use super::running::version_in;
use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

#[test]
fn every_peer_of_a_workload_has_a_file_that_is_right() {
    let peers = read_all(&folder()).unwrap();
    let workloads: crate::workload::Workloads =
        toml::from_str(crate::workload::DEFINITIONS).unwrap();
    for row in &workloads.rows {
        for pattern in &row.peers {
            let known = peers.keys().any(|peer| crate::workload::matches(pattern, peer));
            assert!(known, "{}: {pattern}", row.name);
        }
    }
    for peer in peers.values() {
        assert!(peer.config.as_ref().is_none_or(|file| folder().join(file).is_file()));
    }
}

#[test]
fn places_are_filled_in_and_one_that_is_left_is_found() {
    let values = BTreeMap::from([("port".to_owned(), "7000".to_owned())]);
    let filled = fill_in("bind :@port@ @folder@ \"@type\"", &values);
    assert_eq!(filled, "bind :7000 @folder@ \"@type\"");
    assert_eq!(place_left(&filled), Some("folder"));
    assert_eq!(place_left("bind :7000 \"@type\": x"), None);
}

#[test]
fn versions_are_found_in_what_programs_say() {
    for (said, version) in [
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "2.6.12-1+deb12u4"),
        ("nginx version: nginx/1.22.1", "1.22.1"),
        ("\n/x/envoy  version: 9e558/1.40.0/Clean/RELEASE", "1.40.0"),
        ("sluice 0.1.0", "0.1.0"),
        ("?", "unknown"),
    ] {
        assert_eq!(version_in(said), version);
    }
}
