//! When to ask next, and how: the rules of blocking queries, without any input or output.
//!
//! Time and randomness come from the caller. The rules are those of Consul's documentation of
//! blocking queries, and what was seen of its agents: an index can go backwards, be absent or be
//! 0, an answer can come at once although nothing changed, and one that removes much is read
//! again before it is believed.

use std::time::{Duration, Instant};

use super::{Reading, Verdict};
use crate::limits::{
    AGENT_BACKOFF_LEAST, AGENT_BACKOFF_MOST, AGENT_CATALOG_GAP_LEAST, AGENT_CATALOG_GAP_MOST,
    AGENT_GAP_LEAST, AGENT_GAP_MOST, AGENT_GAP_PER_KIB, AGENT_POLL, AGENT_RESYNC, AGENT_WAIT,
};

/// After so many answers in a row that came at once and said nothing new, the agent does not
/// hold questions as it should.
const IDLE_ANSWER_COUNT: u32 = 3;

/// Whether the agent holds a question until there is something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// It does.
    Blocking,
    /// It does not: it is asked now and then.
    Polled,
}

/// The next question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// When to ask.
    pub(super) at: Instant,
    /// The index, and how long to hold the question; `None`: what there is, at once.
    pub(super) held: Option<(u64, Duration)>,
    /// Whether to ask the leader for what a majority of the servers agrees on.
    pub(super) consistent: bool,
}

impl Query {
    /// What it adds to a request.
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = Vec::new();
        if let Some((index, wait)) = self.held {
            parameters.push(("index", index.to_string()));
            parameters.push(("wait", format!("{}ms", wait.as_millis())));
        }
        if self.consistent {
            parameters.push(("consistent", String::new()));
        }
        parameters
    }
}

/// What counts of an answer here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) index: Option<u64>,
    pub(super) digest: u64,
    pub(super) bytes_count: usize,
}

/// The time from one question to the next while everything changes: it grows with the answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gaps {
    /// However small they are.
    pub(super) least: Duration,
    /// However large they are.
    pub(super) most: Duration,
}

impl Gaps {
    /// Those of nearly all questions.
    pub(super) const USUAL: Self = Self { least: AGENT_GAP_LEAST, most: AGENT_GAP_MOST };
    /// Those of the catalog.
    pub(super) const CATALOG: Self =
        Self { least: AGENT_CATALOG_GAP_LEAST, most: AGENT_CATALOG_GAP_MOST };
}

/// The course of following one part.
#[derive(Debug)]
pub(super) struct Course {
    style: Style,
    gaps: Gaps,
    index: Option<u64>,
    failures: u32,
    /// When the last question was asked.
    asked_at: Instant,
    /// Not to be asked before: a gap, or a pause after a failure.
    not_before: Instant,
    /// When it is to be asked of itself, where the agent does not hold questions.
    due: Instant,
    resync_at: Instant,
    idle_answers: u32,
    /// The digest of what is in force.
    in_force: Option<u64>,
    /// The digest of what is held back, and when to confirm it.
    held_back: Option<(u64, Instant)>,
}

impl Course {
    pub(super) const fn new(style: Style, gaps: Gaps, now: Instant) -> Self {
        Self {
            style,
            gaps,
            index: None,
            failures: 0,
            asked_at: now,
            not_before: now,
            due: now,
            resync_at: now,
            idle_answers: 0,
            in_force: None,
            held_back: None,
        }
    }

    /// Whether something is in force, and so a doubtful answer can be left.
    pub(super) const fn has_answer(&self) -> bool {
        self.in_force.is_some()
    }

    pub(super) const fn is_held_back(&self) -> bool {
        self.held_back.is_some()
    }

    /// The next question.
    pub(super) fn next(&self) -> Query {
        let confirm_at = self.held_back.map(|(_, at)| at);
        let due = confirm_at.map_or(self.due, |at| self.due.min(at));
        let at = self.not_before.max(due);
        let consistent = confirm_at.is_some_and(|confirm_at| at >= confirm_at);
        let anew = consistent || at >= self.resync_at || self.style == Style::Polled;
        let held = self.index.filter(|_| !anew).map(|index| {
            let until_confirmation =
                confirm_at.map(|confirm_at| confirm_at.saturating_duration_since(at));
            let wait = until_confirmation.map_or(AGENT_WAIT, |time| time.min(AGENT_WAIT));
            (index, wait.max(AGENT_GAP_LEAST))
        });
        Query { at, held, consistent }
    }

    /// The agent does not know the question, and will not until it is another one: it is asked
    /// now and then.
    pub(super) const fn not_held(&mut self) {
        self.style = Style::Polled;
    }

    /// It was answered: the agent knows the question, or does so again.
    pub(super) const fn known(&mut self, style: Style) {
        self.style = style;
    }

    /// Nothing of it is in force any more: what comes next is news, whatever was said before.
    pub(super) const fn forget(&mut self) {
        self.in_force = None;
    }

    /// The question is asked now.
    pub(super) const fn asked(&mut self, now: Instant) {
        self.asked_at = now;
    }

    /// An answer came. `Some`: it is to be offered.
    pub(super) fn answered(
        &mut self,
        query: &Query,
        facts: Facts,
        now: Instant,
        random: u64,
    ) -> Option<Reading> {
        if query.held.is_none() {
            self.resync_at = now + AGENT_RESYNC + share(AGENT_RESYNC / 10, random);
        }
        self.follow_index(query, facts.index);
        self.pace(facts, now);
        let (in_force, held_back) = (self.in_force, self.held_back.map(|(digest, _)| digest));
        if query.consistent {
            return Some(Reading::Confirmed);
        }
        let known = held_back.or(in_force) == Some(facts.digest);
        if known {
            self.failures = 0;
            return None;
        }
        Some(Reading::Ordinary)
    }

    /// An answer that was offered was judged. `Some`: why it counts as a failure.
    pub(super) fn judged(
        &mut self,
        facts: Facts,
        reading: Reading,
        verdict: Verdict,
        now: Instant,
        random: u64,
    ) -> Option<String> {
        if !matches!(verdict, Verdict::Rejected(_)) {
            self.failures = 0;
        }
        match verdict {
            Verdict::Taken | Verdict::Same => {
                self.in_force = Some(facts.digest);
                self.held_back = None;
                None
            }
            Verdict::Held(time) => {
                let confirm_at = now + time.max(AGENT_GAP_MOST);
                // Answers that change while one is held do not put its confirmation off.
                let pending = self.held_back.filter(|_| reading == Reading::Ordinary);
                let confirm_at = pending.map_or(confirm_at, |(_, at)| at.min(confirm_at));
                self.held_back = Some((facts.digest, confirm_at));
                None
            }
            Verdict::Rejected(reason) => {
                self.failed(now, random);
                Some(reason)
            }
        }
    }

    /// No answer came, or none that can be used. What follows is asked without an index: after a
    /// restart it would be one of the past, and the agent would hold the question.
    pub(super) fn failed(&mut self, now: Instant, random: u64) {
        self.failures = self.failures.saturating_add(1);
        self.index = None;
        self.not_before = now + backoff(self.failures, random);
        self.due = self.not_before;
    }

    /// There is reason to think that the agent is back: no pause, but no flood either.
    pub(super) fn nudged(&mut self, now: Instant) {
        let soon = (self.asked_at + AGENT_GAP_MOST).max(now);
        self.not_before = self.not_before.min(soon);
        self.due = self.not_before;
    }

    /// All is to be asked anew, at once; what was held was given up.
    pub(super) fn anew(&mut self, now: Instant) {
        self.index = None;
        self.not_before = (self.asked_at + AGENT_GAP_LEAST).max(now);
        self.due = self.not_before;
    }

    /// Which index to wait for next.
    fn follow_index(&mut self, query: &Query, index: Option<u64>) {
        // Absent: not a blocking query. 0: of no use, and it would not block.
        let index = index.map(|index| index.max(1));
        let backwards = query.held.is_some_and(|(asked, _)| index.is_some_and(|new| new < asked));
        self.index = index.filter(|_| !backwards);
    }

    /// When the next question may be asked at the soonest. An answer that was waited for has
    /// taken that time already.
    fn pace(&mut self, facts: Facts, now: Instant) {
        let kibibytes = u32::try_from(facts.bytes_count / 1024).unwrap_or(u32::MAX);
        let of_size = AGENT_GAP_PER_KIB.saturating_mul(kibibytes);
        let mut gap = of_size.clamp(self.gaps.least, self.gaps.most);
        let at_once = now.saturating_duration_since(self.asked_at) < AGENT_GAP_MOST;
        let nothing_new = self.in_force == Some(facts.digest);
        self.idle_answers =
            if at_once && nothing_new { self.idle_answers.saturating_add(1) } else { 0 };
        if self.idle_answers >= IDLE_ANSWER_COUNT || self.index.is_none() {
            gap = gap.max(AGENT_GAP_MOST);
        }
        self.not_before = (self.asked_at + gap).max(now);
        self.due = match self.style {
            Style::Blocking => self.not_before,
            Style::Polled => now + AGENT_POLL,
        };
    }
}

/// Doubles from failure to failure, and is anything between half of that and all of it: gateways
/// that failed together do not return together.
fn backoff(failures: u32, random: u64) -> Duration {
    let doublings = failures.min(16);
    let full = AGENT_BACKOFF_LEAST.saturating_mul(1 << doublings).min(AGENT_BACKOFF_MOST);
    full / 2 + share(full / 2, random)
}

/// A random share of a time.
fn share(time: Duration, random: u64) -> Duration {
    let most_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random % most_us.saturating_add(1))
}

#[cfg(test)]
mod tests;
