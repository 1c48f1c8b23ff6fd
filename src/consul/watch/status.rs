//! What is known of how following goes: for people, metrics and logs.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::Part;
use crate::consul::agent::AgentError;
use crate::control::shared::lock;
use crate::limits::AGENT_NEWS_INTERVAL;

/// How following each part goes, shared by all who follow and all who ask.
#[derive(Debug)]
pub struct Status {
    agent: String,
    known: Mutex<Known>,
    nudge: Notify,
    /// Counts the times that everything was to be asked anew.
    anew: watch::Sender<u64>,
}

/// How following one part goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartStatus {
    /// The part.
    pub part: Part,
    /// The index of the last good answer, if it had one.
    pub index: Option<u64>,
    /// When the last good answer came. While nothing changes, one comes every half minute.
    pub last_good: Option<Instant>,
    /// How long its body was.
    pub bytes_count: usize,
    /// Whether the agent said that the token may not see all of it.
    pub filtered_by_acls: bool,
    /// Good answers so far.
    pub answer_count: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Why the last one failed; `None` when all is well.
    pub reason: Option<String>,
    /// When the row of failures began.
    pub failing_since: Option<Instant>,
    /// Whether the last answer is held back until it is confirmed.
    pub held: bool,
    /// Whether it is the agent as a whole that fails.
    of_agent: bool,
    /// See [`Failure::answer`].
    answer: Option<(u16, String)>,
}

/// A failure, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// One sentence.
    pub(super) reason: String,
    /// Whether every other question fails alike.
    pub(super) of_agent: bool,
    /// What the agent answered, whatever the question: parts that get the same fail together.
    pub(super) answer: Option<(u16, String)>,
}

impl Failure {
    /// An exchange failed.
    pub(super) fn of(error: &AgentError) -> Self {
        let answer = error.status().zip(error.message().map(str::to_owned));
        Self { reason: error.to_string(), of_agent: error.is_of_the_agent(), answer }
    }
}

/// A good answer, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Good {
    pub(super) index: Option<u64>,
    pub(super) bytes_count: usize,
    pub(super) filtered_by_acls: bool,
    pub(super) held: bool,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It fails; of a part if only that does.
    Fails { part: Option<Part>, reason: String },
    /// It is well again after this time.
    Well { part: Option<Part>, after: Duration },
}

#[derive(Debug)]
struct Known {
    parts: [PartStatus; Part::ALL.len()],
    agent: Gate,
    gates: [Gate; Part::ALL.len()],
}

/// Lets a change of state through to the log, but not each of a flood of them.
#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    /// Since when it fails, if that was told.
    failing_since: Option<Instant>,
    /// When it was last told to be well.
    well_at: Option<Instant>,
}

impl Status {
    /// Nothing is known yet of the agent at an address.
    #[must_use]
    pub fn new(agent: String) -> Self {
        let parts = Part::ALL.map(PartStatus::new);
        let known = Known { parts, agent: Gate::default(), gates: Default::default() };
        Self { agent, known: Mutex::new(known), nudge: Notify::new(), anew: watch::Sender::new(0) }
    }

    /// Where the agent is.
    #[must_use]
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// How following every part goes.
    #[must_use]
    pub fn parts(&self) -> Vec<PartStatus> {
        lock(&self.known).parts.to_vec()
    }

    /// How following one part goes.
    #[must_use]
    pub fn part(&self, part: Part) -> PartStatus {
        let known = lock(&self.known);
        known.parts.get(position(part)).cloned().unwrap_or_else(|| PartStatus::new(part))
    }

    /// How long ago the part that fails for longest had its last good answer; `None` while none
    /// fails. Zero if it never had one.
    #[must_use]
    pub fn behind(&self, now: Instant) -> Option<Duration> {
        let known = lock(&self.known);
        let failing = known.parts.iter().filter(|part| part.reason.is_some());
        failing.map(|part| part.last_good.map_or(Duration::ZERO, |at| since(at, now))).max()
    }

    /// Has those that wait after a failure of the agent ask again now: there is reason to think
    /// that it is back.
    pub fn nudge(&self) {
        self.nudge.notify_waiters();
    }

    /// Has everything asked anew now, also what the agent holds: the token is another one, or an
    /// operator wants to be sure.
    pub fn ask_anew(&self) {
        self.anew.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn anew(&self) -> Anew {
        Anew(self.anew.subscribe())
    }

    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// Takes note of a good answer, and tells the log what there is to tell.
    pub(super) fn well(&self, part: Part, good: Good, now: Instant) -> Vec<News> {
        let news = lock(&self.known).well(part, good, now);
        if news.iter().any(|news| matches!(news, News::Well { part: None, .. })) {
            self.nudge();
        }
        news.iter().for_each(|news| self.log(news));
        news
    }

    /// Takes note of a failure, and tells the log what there is to tell.
    pub(super) fn failed(&self, part: Part, failure: Failure, now: Instant) -> Option<News> {
        let news = lock(&self.known).failed(part, failure, now);
        if let Some(news) = &news {
            self.log(news);
        }
        news
    }

    fn log(&self, news: &News) {
        let agent = &self.agent;
        match news {
            News::Fails { part: None, reason } => {
                tracing::warn!("{reason}; the routes stay as they are");
            }
            News::Fails { part: Some(part), reason } => {
                tracing::warn!(part = part.name(), "{reason}; its last answer stays in force");
            }
            News::Well { part: None, after } => {
                let seconds = after.as_secs();
                tracing::info!("the Consul agent at {agent} answers again, after {seconds} s");
            }
            News::Well { part: Some(part), after } => {
                let (path, seconds) = (part.path(), after.as_secs());
                tracing::info!(
                    part = part.name(),
                    "the Consul agent at {agent} answers {path} again, after {seconds} s"
                );
            }
        }
    }
}

/// Waits until everything is to be asked anew.
#[derive(Debug)]
pub(super) struct Anew(watch::Receiver<u64>);

impl Anew {
    pub(super) async fn wanted(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody is left to want it.
            std::future::pending().await
        }
    }
}

impl PartStatus {
    pub(super) const fn fails_with_the_agent(&self) -> bool {
        self.of_agent
    }

    const fn new(part: Part) -> Self {
        Self {
            part,
            index: None,
            last_good: None,
            bytes_count: 0,
            filtered_by_acls: false,
            answer_count: 0,
            failures: 0,
            reason: None,
            failing_since: None,
            held: false,
            of_agent: false,
            answer: None,
        }
    }
}

impl Known {
    fn well(&mut self, part: Part, good: Good, now: Instant) -> Vec<News> {
        let (Some(state), Some(gate)) =
            (self.parts.get_mut(position(part)), self.gates.get_mut(position(part)))
        else {
            return Vec::new();
        };
        *state = PartStatus {
            index: good.index,
            last_good: Some(now),
            bytes_count: good.bytes_count,
            filtered_by_acls: good.filtered_by_acls,
            held: good.held,
            answer_count: state.answer_count.saturating_add(1),
            ..PartStatus::new(part)
        };
        let of_part = gate.well(now).map(|after| News::Well { part: Some(part), after });
        let agent_is_well = !self.parts.iter().any(|part| part.of_agent);
        let of_agent = agent_is_well.then(|| self.agent.well(now)).flatten();
        of_agent.map(|after| News::Well { part: None, after }).into_iter().chain(of_part).collect()
    }

    fn failed(&mut self, part: Part, failure: Failure, now: Instant) -> Option<News> {
        let Failure { reason, of_agent, answer } = failure;
        let is_shared = |other: &PartStatus| other.part != part && other.answer == answer;
        let of_agent = of_agent || answer.is_some() && self.parts.iter().any(is_shared);
        let (state, gate) =
            (self.parts.get_mut(position(part))?, self.gates.get_mut(position(part))?);
        state.failures = state.failures.saturating_add(1);
        state.failing_since = state.failing_since.or(Some(now));
        state.reason = Some(reason.clone());
        (state.of_agent, state.answer) = (of_agent, answer);
        let since = state.failing_since.unwrap_or(now);
        let (gate, part) = if of_agent { (&mut self.agent, None) } else { (gate, Some(part)) };
        gate.fails(since, now).then_some(News::Fails { part, reason })
    }
}

impl Gate {
    /// Whether to tell that it fails.
    fn fails(&mut self, failing_since: Instant, now: Instant) -> bool {
        let too_soon = self.well_at.is_some_and(|at| since(at, now) < AGENT_NEWS_INTERVAL);
        if self.failing_since.is_some() || too_soon {
            return false;
        }
        self.failing_since = Some(failing_since);
        true
    }

    /// Whether to tell that it is well, and after how long.
    fn well(&mut self, now: Instant) -> Option<Duration> {
        let failing_since = self.failing_since.take()?;
        self.well_at = Some(now);
        Some(since(failing_since, now))
    }
}

fn position(part: Part) -> usize {
    part as usize
}

fn since(then: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(then)
}
