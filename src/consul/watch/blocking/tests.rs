//! The rules of blocking queries against a simulated clock.

use super::*;

/// A course, its clock, and random numbers from a seed.
struct Lab {
    course: Course,
    now: Instant,
    start: Instant,
    seed: u64,
    asked: Vec<Query>,
}

impl Lab {
    fn new(style: Style) -> Self {
        Self::with(style, Gaps::USUAL)
    }

    fn with(style: Style, gaps: Gaps) -> Self {
        let now = Instant::now();
        let course = Course::new(style, gaps, now);
        Self { course, now, start: now, seed: 1, asked: Vec::new() }
    }

    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.seed >> 11
    }

    /// Goes on to the next question, and asks it.
    fn ask(&mut self) -> Query {
        let query = self.course.next();
        self.now = self.now.max(query.at);
        self.course.asked(self.now);
        self.asked.push(query);
        query
    }

    /// Asks, and is answered after a time with something that is taken if it is new.
    fn answered(&mut self, after: Duration, index: Option<u64>, digest: u64) -> Query {
        self.answered_and(after, index, digest, Verdict::Taken).0
    }

    fn answered_and(
        &mut self,
        after: Duration,
        index: Option<u64>,
        digest: u64,
        verdict: Verdict,
    ) -> (Query, Option<Reading>) {
        let query = self.ask();
        self.now += after;
        let (facts, random) = (Facts { index, digest, bytes_count: 100 }, self.random());
        let offered = self.course.answered(&query, facts, self.now, random);
        if let Some(reading) = offered {
            let random = self.random();
            self.course.judged(facts, reading, verdict, self.now, random);
        }
        (query, offered)
    }

    fn fail(&mut self) -> Query {
        let query = self.ask();
        let random = self.random();
        self.course.failed(self.now, random);
        query
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }
}

fn index_of(query: &Query) -> Option<u64> {
    query.held.map(|(index, _)| index)
}

#[test]
fn the_index_is_followed_and_what_is_known_is_not_offered() {
    let mut lab = Lab::new(Style::Blocking);
    let (first, offered) = lab.answered_and(Duration::ZERO, Some(7), 1, Verdict::Taken);
    assert_eq!((first.held, first.consistent, offered), (None, false, Some(Reading::Ordinary)));
    // The wait ended: the same index, the same body.
    let (second, offered) = lab.answered_and(AGENT_WAIT, Some(7), 1, Verdict::Taken);
    assert_eq!((second.held, offered), (Some((7, AGENT_WAIT)), None));
    // Another index, the same body.
    let (_, offered) = lab.answered_and(Duration::from_secs(1), Some(9), 1, Verdict::Taken);
    assert_eq!(offered, None);
    let (query, offered) = lab.answered_and(Duration::from_secs(1), Some(12), 2, Verdict::Taken);
    assert_eq!((index_of(&query), offered), (Some(9), Some(Reading::Ordinary)));
    assert_eq!(index_of(&lab.ask()), Some(12));
}

#[test]
fn an_index_that_goes_back_is_dropped() {
    let mut lab = Lab::new(Style::Blocking);
    lab.answered(Duration::ZERO, Some(87), 1);
    lab.answered(AGENT_WAIT, Some(10), 2);
    assert_eq!(index_of(&lab.answered(Duration::ZERO, Some(10), 2)), None);
    assert_eq!(index_of(&lab.ask()), Some(10));
}

#[test]
fn an_index_of_zero_is_asked_as_one() {
    let mut lab = Lab::new(Style::Blocking);
    lab.answered(Duration::ZERO, Some(0), 1);
    assert_eq!(index_of(&lab.ask()), Some(1));
}

#[test]
fn without_an_index_it_is_asked_once_in_the_longest_gap() {
    let mut lab = Lab::new(Style::Blocking);
    for _ in 0..100 {
        assert_eq!(lab.answered(Duration::from_millis(3), None, 1).held, None);
    }
    assert_eq!(lab.elapsed(), AGENT_GAP_MOST * 99 + Duration::from_millis(3));
}

#[test]
fn answers_at_once_make_no_hot_loop_and_hide_no_change() {
    // Each with a new index, and in turn the same or another body.
    for changing in [false, true] {
        let mut lab = Lab::new(Style::Blocking);
        for index in 1..=1000 {
            let before = lab.now;
            let digest = if changing { index } else { 1 };
            let (_, offered) =
                lab.answered_and(Duration::from_millis(2), Some(index), digest, Verdict::Taken);
            assert_eq!(offered.is_some(), changing || index == 1);
            assert!(lab.now - before <= AGENT_GAP_MOST + Duration::from_millis(2));
        }
        let least = if changing { AGENT_GAP_LEAST } else { AGENT_GAP_MOST * 9 / 10 };
        assert!(lab.elapsed() >= least * 999, "{:?}", lab.elapsed());
    }
}

#[test]
fn the_first_change_after_quiet_is_followed_at_once() {
    let mut lab = Lab::new(Style::Blocking);
    lab.answered(Duration::ZERO, Some(1), 1);
    lab.answered(Duration::from_secs(5), Some(2), 2);
    assert_eq!(lab.course.next().at, lab.now);
}

#[test]
fn the_gap_grows_with_the_answer() {
    let gap_of = |gaps, bytes_count| {
        let mut lab = Lab::with(Style::Blocking, gaps);
        let query = lab.ask();
        let facts = Facts { index: Some(1), digest: 1, bytes_count };
        lab.course.answered(&query, facts, lab.now, 0);
        lab.course.next().at - lab.now
    };
    let gap = |bytes_count| gap_of(Gaps::USUAL, bytes_count);
    assert_eq!(gap(0), AGENT_GAP_LEAST);
    assert_eq!(gap(1 << 20), Duration::from_millis(512));
    assert_eq!(gap(64 << 20), AGENT_GAP_MOST);
    let gap = |bytes_count| gap_of(Gaps::CATALOG, bytes_count);
    assert_eq!(gap(1 << 20), AGENT_CATALOG_GAP_LEAST);
    assert_eq!(gap(4 << 20), Duration::from_secs(2) + Duration::from_millis(48));
    assert_eq!(gap(64 << 20), AGENT_CATALOG_GAP_MOST);
}

#[test]
fn failures_are_retried_ever_more_seldom_for_an_hour() {
    let mut lab = Lab::new(Style::Blocking);
    lab.answered(Duration::ZERO, Some(5), 1);
    let mut last = lab.now;
    let mut pauses = Vec::new();
    while lab.elapsed() < Duration::from_secs(3600) {
        assert_eq!(lab.fail().held.is_some(), pauses.is_empty(), "no index after a failure");
        pauses.push(lab.course.next().at - last);
        last = lab.course.next().at;
    }
    // Half a minute at the most, and jittered: 160 of the mean, and those of the beginning.
    assert!((130..260).contains(&pauses.len()), "{} attempts", pauses.len());
    assert!(pauses.iter().skip(1).all(|p| (AGENT_BACKOFF_LEAST..=AGENT_BACKOFF_MOST).contains(p)));
    assert!(pauses.iter().skip(20).all(|pause| *pause >= AGENT_BACKOFF_MOST / 2));
    let late: std::collections::BTreeSet<_> = pauses.iter().skip(20).collect();
    assert!(late.len() > 50, "pauses are jittered");
    // What was in force still is.
    let (_, offered) = lab.answered_and(Duration::ZERO, Some(2), 1, Verdict::Taken);
    assert_eq!(offered, None);
    lab.fail();
    assert!(lab.course.next().at - lab.now <= AGENT_BACKOFF_LEAST * 2, "the pauses begin anew");
}

#[test]
fn a_nudge_ends_a_pause_but_makes_no_flood() {
    let mut lab = Lab::new(Style::Blocking);
    for _ in 0..12 {
        lab.fail();
    }
    assert!(lab.course.next().at - lab.now >= AGENT_BACKOFF_MOST / 2);
    lab.course.nudged(lab.now);
    assert_eq!(lab.course.next().at, lab.now + AGENT_GAP_MOST);
    lab.now += Duration::from_secs(10);
    lab.course.nudged(lab.now);
    assert_eq!(lab.course.next().at, lab.now.min(lab.course.next().at));
    // The polled are nudged as well.
    let mut lab = Lab::new(Style::Polled);
    for _ in 0..12 {
        lab.fail();
    }
    lab.now += Duration::from_secs(10);
    lab.course.nudged(lab.now);
    assert!(lab.course.next().at <= lab.now);
}

#[test]
fn everything_is_read_anew_every_five_minutes() {
    let mut lab = Lab::new(Style::Blocking);
    let mut anew = Vec::new();
    while lab.elapsed() < Duration::from_secs(3600) {
        if lab.answered(AGENT_WAIT, Some(7), 1).held.is_none() {
            anew.push(lab.elapsed());
        }
    }
    assert!((10..=12).contains(&anew.len()), "{anew:?}");
    for pair in anew.windows(2) {
        // The answer to the one before, and its wait.
        assert!(pair[1] - pair[0] >= AGENT_RESYNC);
        assert!(pair[1] - pair[0] <= AGENT_RESYNC * 11 / 10 + AGENT_WAIT * 2, "{anew:?}");
    }
}

#[test]
fn what_cannot_be_waited_for_is_polled() {
    let mut lab = Lab::new(Style::Polled);
    for count in 0..10 {
        let (query, offered) = lab.answered_and(Duration::ZERO, Some(4), 1, Verdict::Taken);
        assert_eq!(query.held, None);
        assert_eq!(offered.is_some(), count == 0);
        assert_eq!(lab.elapsed(), AGENT_POLL * count);
    }
}

#[test]
fn what_is_held_back_is_confirmed() {
    let hold = Duration::from_secs(10);
    for style in [Style::Blocking, Style::Polled] {
        let mut lab = Lab::new(style);
        lab.answered(Duration::ZERO, Some(5), 1);
        lab.answered_and(Duration::from_secs(1), Some(6), 2, Verdict::Held(hold));
        let held_at = lab.now;
        if style == Style::Blocking {
            // Meanwhile it is still waited for changes, but not for longer than the hold.
            let (query, offered) = lab.answered_and(hold, Some(6), 2, Verdict::Taken);
            assert!(query.held.unwrap().1 <= hold);
            assert_eq!(offered, None, "the same that is held back already");
        }
        let (query, offered) = lab.answered_and(Duration::ZERO, Some(6), 2, Verdict::Taken);
        assert!(query.consistent && query.held.is_none());
        assert_eq!(query.at.max(held_at + hold), query.at);
        assert!(query.at <= held_at + hold + Duration::from_secs(1));
        assert_eq!(offered, Some(Reading::Confirmed));
        assert!(!lab.course.is_held_back());
        assert!(!lab.ask().consistent);
    }
}

#[test]
fn what_was_held_back_and_comes_back_is_offered() {
    let mut lab = Lab::new(Style::Blocking);
    lab.answered(Duration::ZERO, Some(5), 1);
    lab.answered_and(Duration::ZERO, Some(6), 2, Verdict::Held(Duration::from_secs(60)));
    // What is in force comes again: whoever holds the other back must know.
    let (query, offered) = lab.answered_and(Duration::ZERO, Some(7), 1, Verdict::Same);
    assert_eq!((query.consistent, offered), (false, Some(Reading::Ordinary)));
    assert!(!lab.course.is_held_back());
}

#[test]
fn changes_do_not_put_a_confirmation_off() {
    let mut lab = Lab::new(Style::Blocking);
    lab.answered(Duration::ZERO, Some(5), 1);
    let hold = Duration::from_secs(60);
    let mut digest = 2;
    lab.answered_and(Duration::ZERO, Some(6), digest, Verdict::Held(hold));
    let held_at = lab.now;
    let second = Duration::from_secs(1);
    let confirmed = (0..200).find_map(|_| {
        digest += 1;
        let (query, offered) = lab.answered_and(second, Some(digest), digest, Verdict::Held(hold));
        (offered == Some(Reading::Confirmed)).then_some(query.at)
    });
    assert!(confirmed.unwrap() - held_at <= hold + second);
    // Held again in spite of that: for another while.
    let next = (0..200).find_map(|_| {
        let query = lab.answered(Duration::from_secs(30), Some(digest), digest);
        query.consistent.then_some(query)
    });
    assert!(next.unwrap().at - held_at >= hold * 2);
}

#[test]
fn a_confirmation_that_fails_is_tried_again() {
    let mut lab = Lab::new(Style::Blocking);
    lab.answered(Duration::ZERO, Some(5), 1);
    lab.answered_and(Duration::ZERO, Some(6), 2, Verdict::Held(Duration::from_secs(1)));
    lab.answered(Duration::from_secs(1), Some(6), 2);
    for _ in 0..5 {
        assert!(lab.fail().consistent);
    }
    let (query, offered) = lab.answered_and(Duration::ZERO, Some(6), 2, Verdict::Taken);
    assert!(query.consistent);
    assert_eq!(offered, Some(Reading::Confirmed));
}

#[test]
fn what_is_rejected_is_a_failure() {
    let mut lab = Lab::new(Style::Blocking);
    lab.answered(Duration::ZERO, Some(5), 1);
    let mut count = 0;
    while lab.elapsed() < Duration::from_secs(3600) {
        let rejected = Verdict::Rejected("no JSON".into());
        let (_, offered) = lab.answered_and(Duration::ZERO, Some(6), 2, rejected);
        assert_eq!(offered, Some(Reading::Ordinary), "it may be parsed better now");
        count += 1;
    }
    assert!(count < 260, "{count} attempts");
    let (_, offered) = lab.answered_and(Duration::ZERO, Some(6), 1, Verdict::Taken);
    assert_eq!(offered, None);
}
