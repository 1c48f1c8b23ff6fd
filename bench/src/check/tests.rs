use super::*;
use crate::results::sample::results;

fn lines(targets: &str) -> Vec<Line> {
    // Ours around 11; the floor's best 10; a peer always twice ours.
    let results = results(&[
        ("sluice", &[10.0, 11.0, 12.0, 10.0, 11.0, 12.0]),
        ("floor-a", &[10.0; 6]),
        ("floor-b", &[13.0; 6]),
        ("nginx", &[20.0, 22.0, 24.0, 20.0, 22.0, 24.0]),
        ("seldom", &[90.0; 5]),
        ("broken", &[]),
    ]);
    check(&results, &toml::from_str(targets).unwrap())
}

fn verdict(target: &str) -> Verdict {
    let lines = lines(&format!("[[target]]\nrow = \"row-a\"\n{target}"));
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    line.verdict.clone()
}

#[test]
fn the_file_is_right_and_names_rows_and_peers_that_there_are() {
    let targets: Targets = toml::from_str(DEFINITIONS).unwrap();
    let workloads: crate::workload::Workloads =
        toml::from_str(crate::workload::DEFINITIONS).unwrap();
    for target in targets.targets {
        assert!(target.at_most.is_some() || target.at_least.is_some(), "{target:?}");
        if target.row.starts_with("figure-") {
            continue;
        }
        for (row, peers) in [
            (Some(&target.row), Some(&target.of)),
            (target.to_row.as_ref().or(Some(&target.row)), target.to.as_ref()),
        ] {
            let (Some(row), Some(peers)) = (row, peers) else { continue };
            let rows: Vec<_> =
                workloads.rows.iter().filter(|known| matches(row, &known.name)).collect();
            assert!(!rows.is_empty(), "{target:?}");
            for row in rows {
                // Either may have a star.
                let meant = |peer: &String| {
                    matches(peers, peer.trim_end_matches('*')) || matches(peer, peers)
                };
                assert!(row.peers.iter().any(meant), "{} {target:?}", row.name);
            }
        }
    }
}

#[test]
fn a_target_is_missed_only_by_the_whole_interval() {
    let of = "of = \"sluice\"\nto = \"floor-*\"\n";
    assert!(matches!(verdict(&format!("{of}at_most = 1.1")), Verdict::Met(_)));
    assert!(matches!(verdict(&format!("{of}at_most = 1.05")), Verdict::Undecided(_)));
    assert!(matches!(verdict(&format!("{of}at_most = 0.99")), Verdict::Missed(_)));
    let of = "of = \"nginx\"\nto = \"sluice\"\n";
    assert!(matches!(verdict(&format!("{of}at_least = 2.0")), Verdict::Met(_)));
    assert!(matches!(verdict(&format!("{of}at_least = 2.1")), Verdict::Missed(_)));
}

#[test]
fn few_rounds_are_no_proof() {
    assert!(matches!(verdict("of = \"seldom\"\nat_most = 1"), Verdict::Undecided(_)));
}

#[test]
fn the_best_of_several_is_taken() {
    let Verdict::Met(best) = verdict("of = \"floor-*\"\nat_most = 100") else { panic!() };
    assert_eq!(best.median, 10.0);
}

#[test]
fn what_was_not_measured_or_failed_is_said() {
    assert!(matches!(verdict("of = \"envoy\"\nat_most = 1"), Verdict::Unknown(_)));
    let failed = verdict("of = \"broken\"\nat_most = 1");
    assert!(matches!(failed, Verdict::Failed(_)));
    let lines = lines("[[target]]\nrow = \"row-z\"\nof = \"sluice\"\nat_most = 1");
    assert!(matches!(lines[0].verdict, Verdict::Unknown(_)));
    assert!(!lines[0].is_missed());
}
