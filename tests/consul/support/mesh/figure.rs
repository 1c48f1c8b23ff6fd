//! How long it takes until what Consul was told shows in new sessions.

use std::time::{Duration, Instant};

use super::sluice::Sluice;
use crate::support::SOON;

/// The longest that a change may take.
const WITHIN: Duration = Duration::from_secs(1);

/// Opens sessions through each of several gateways in turn, until each has had so many right ones
/// in a row. Prints after what time the last wrong one began, counted from the change, and fails
/// if that is too late.
pub fn follows(
    what: &str,
    changed: Instant,
    gateways: &[Sluice],
    in_a_row: u32,
    mut is_right: impl FnMut(&Sluice) -> bool,
) {
    struct Course {
        right: u32,
        last_wrong: Option<Instant>,
    }
    let mut courses: Vec<_> =
        gateways.iter().map(|_| Course { right: 0, last_wrong: None }).collect();
    while courses.iter().any(|course| course.right < in_a_row) {
        assert!(changed.elapsed() < SOON, "never: {what}");
        for (course, gateway) in courses.iter_mut().zip(gateways) {
            let began = Instant::now();
            if is_right(gateway) {
                course.right += 1;
            } else {
                (course.right, course.last_wrong) = (0, Some(began));
            }
        }
    }
    for (course, gateway) in courses.iter().zip(gateways) {
        let wrong_for = course.last_wrong.map_or(Duration::ZERO, |at| at - changed);
        println!("figure: {what}: {}: {} ms", gateway.engine, wrong_for.as_millis());
        assert!(wrong_for < WITHIN, "{what}: wrong for {wrong_for:?} on {}", gateway.engine);
    }
}
