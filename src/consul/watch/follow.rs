//! Follows one part: asks, offers what came, and asks again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::MutexGuard;
use tokio::time::{Instant, sleep_until};

use super::blocking::{Course, Facts, Gaps, Query, Style};
use super::documented::Documented;
use super::status::{Anew, Failure, Good, Status};
use super::{Part, Reading, Verdict};
use crate::consul::agent::{AgentError, Answer, Client, Limits};
use crate::consul::rights;
use crate::limits::{
    AGENT_ANSWER_BYTES_MAX, AGENT_ANSWER_MARGIN, AGENT_LAST_CONTACT_MAX, AGENT_PUT_TIMEOUT,
    AGENT_WAIT,
};

/// Follows one part of what the agent knows, for as long as it is polled. `offer` takes each
/// answer that differs from the one in force, and says what became of it.
///
/// What fails is asked again after a pause that grows; `status` knows the state, and tells the
/// log of each change of it once.
pub async fn follow(
    client: Client,
    part: Part,
    status: Arc<Status>,
    offer: impl AsyncFn(Part, Bytes, Reading) -> Verdict,
) {
    let mut follower = Follower {
        course: Course::new(part.style(), part.gaps(), Instant::now().into_std()),
        client,
        part,
        documented: None,
        anew: status.anew(),
        status,
        may_be_stale: part.may_be_stale(),
    };
    loop {
        let query = follower.wait().await;
        if let Some(answer) = follower.ask(&query).await {
            follower.take(&query, answer, &offer).await;
        }
    }
}

struct Follower {
    course: Course,
    client: Client,
    part: Part,
    status: Arc<Status>,
    anew: Anew,
    /// In place of the one question, where the agent does not know it.
    documented: Option<Documented>,
    /// Whether any server may answer, also one that has lost its leader.
    may_be_stale: bool,
}

impl Follower {
    /// Waits until the next question may be asked.
    async fn wait(&mut self) -> Query {
        loop {
            let query = self.course.next();
            let at = Instant::from_std(query.at);
            if at <= Instant::now() {
                return query;
            }
            let nudged = self.status.nudged();
            tokio::select! {
                () = sleep_until(at) => return query,
                () = nudged => {
                    if self.status.part(self.part).fails_with_the_agent() {
                        self.course.nudged(now());
                    }
                }
                () = self.anew.wanted() => self.course.anew(now()),
            }
        }
    }

    /// `None`: it is to be asked anew.
    async fn ask(&mut self, query: &Query) -> Option<Result<Answer, AgentError>> {
        self.course.asked(now());
        let parameters = query.parameters();
        let mut asked: Vec<_> = parameters.iter().map(|(key, value)| (*key, &**value)).collect();
        if self.may_be_stale && !query.consistent {
            asked.push(("stale", ""));
        }
        asked.extend(self.part.scope(&self.client));
        let answer = async {
            let _turn = self.part.turn(&self.client).await;
            match &mut self.documented {
                Some(documented) => documented.ask(&self.client, query).await,
                None => self.client.get(self.part.path(), &asked, limits_of(query)).await,
            }
        };
        tokio::select! {
            answer = answer => Some(answer),
            () = self.anew.wanted() => {
                self.course.anew(now());
                None
            }
        }
    }

    async fn take(
        &mut self,
        query: &Query,
        answer: Result<Answer, AgentError>,
        offer: &impl AsyncFn(Part, Bytes, Reading) -> Verdict,
    ) {
        let is_known = answer.is_ok();
        let answer = match answer {
            Ok(answer) => {
                self.course.known(self.part.style());
                answer
            }
            Err(error) if self.part.is_not_there(&error, self.was_there()) => {
                self.course.not_held();
                Answer::of_nothing(self.part.nothing())
            }
            Err(error) if self.turns_to_what_is_documented(&error) => return,
            Err(error) => {
                // What answers next may be another agent.
                self.documented = None;
                return self.fail(Failure::of(&error));
            }
        };
        if let Some(reason) = self.doubt(&answer) {
            self.may_be_stale = false;
            return self.fail(Failure { reason, of_agent: false, answer: None });
        }
        if is_known && self.lacks_something(query, &answer) {
            match self.hidden().await {
                Ok(None) => {}
                Ok(Some(failure)) => return self.fail(failure),
                Err(error) => return self.fail(Failure::of(&error)),
            }
        }
        self.may_be_stale = self.part.may_be_stale();
        let facts =
            Facts { index: answer.index, digest: answer.digest, bytes_count: answer.body.len() };
        if let Some(reading) = self.course.answered(query, facts, now(), random()) {
            let verdict = offer(self.part, answer.body, reading).await;
            if let Some(reason) = self.course.judged(facts, reading, verdict, now(), random()) {
                let reason = format!(
                    "the Consul agent at {} answered {} with what Consul does not: {reason}",
                    self.status.agent(),
                    self.part.path()
                );
                let rejected = Failure { reason, of_agent: false, answer: None };
                let hidden = if self.part.is_filtered() { self.hidden().await } else { Ok(None) };
                self.tell(hidden.ok().flatten().unwrap_or(rejected));
                return;
            }
        }
        if self.part == Part::Catalog && self.status.part(Part::Critical).reason.is_some() {
            // It is newer than what was critical when that could still be asked for.
            offer(Part::Critical, Bytes::from_static(Part::Critical.nothing()), Reading::Ordinary)
                .await;
        }
        let good = Good {
            index: facts.index,
            bytes_count: facts.bytes_count,
            filtered_by_acls: answer.filtered_by_acls,
            held: self.course.is_held_back(),
        };
        self.status.well(self.part, good, now());
    }

    /// Whether the answer in force is more than that there is nothing.
    fn was_there(&self) -> bool {
        self.status.part(self.part).bytes_count > self.part.nothing().len()
    }

    /// Why an answer is left, where there is a better one: a server that lost its leader, or was
    /// started just now, may know little.
    fn doubt(&self, answer: &Answer) -> Option<String> {
        if !self.may_be_stale || !self.course.has_answer() {
            return None;
        }
        let (agent, path) = (self.status.agent(), self.part.path());
        if answer.known_leader == Some(false) {
            return Some(format!(
                "the server that answered {path} for the Consul agent at {agent} knows no leader: \
                 see `consul operator raft list-peers`"
            ));
        }
        let silence = answer.last_contact.filter(|time| *time > AGENT_LAST_CONTACT_MAX)?;
        Some(format!(
            "the server that answered {path} for the Consul agent at {agent} has not heard from \
             its leader for {} ms: see `consul operator raft list-peers`",
            silence.as_millis()
        ))
    }

    /// Whether the agent does not have what is not documented, and is asked for the same otherwise
    /// from now on.
    fn turns_to_what_is_documented(&mut self, error: &AgentError) -> bool {
        let is_unknown = self.part == Part::Catalog && error.status() == Some(404);
        if !is_unknown || self.documented.is_some() {
            return false;
        }
        let (agent, path) = (self.status.agent(), self.part.path());
        tracing::info!("the Consul agent at {agent} has no {path}: it is asked node by node");
        self.documented = Some(Documented::default());
        self.course.anew(now());
        true
    }

    /// Whether an answer is of a list that Consul filters by the token's rights, and lacks what
    /// was there: then it tells only once the token is seen to have its rights.
    fn lacks_something(&self, query: &Query, answer: &Answer) -> bool {
        let is_list =
            matches!(self.part, Part::Resolvers | Part::TerminatingGateways | Part::Gateways);
        let is_shorter = answer.body.len() < self.status.part(self.part).bytes_count;
        is_list && (is_shorter || query.consistent || rights::is_empty(&answer.body))
    }

    /// Why there may be more than the token is shown.
    async fn hidden(&self) -> Result<Option<Failure>, AgentError> {
        let _turn = self.part.turn(&self.client).await;
        let reason = rights::hidden(&self.client, None, short_limits()).await?;
        // All lists lack it, and one line tells of all.
        Ok(reason.map(|reason| Failure { reason, of_agent: true, answer: None }))
    }

    fn fail(&mut self, failure: Failure) {
        self.course.failed(now(), random());
        if !self.part.is_lasting() {
            self.course.forget();
        }
        self.tell(failure);
    }

    fn tell(&self, failure: Failure) {
        self.status.failed(self.part, failure, now());
    }
}

impl Part {
    /// Whether there is nothing of the kind: the agent is older than what is asked for (Consul 1.8
    /// brought the federation states and terminating gateways), or nobody has written it. What the
    /// token may not see and never saw is none of ours, where a gateway can do without.
    pub(super) fn is_not_there(self, error: &AgentError, was_there: bool) -> bool {
        let says = |words: &str| error.message().is_some_and(|said| said.contains(words));
        // 400 where a list is asked for, 500 where it is one entry.
        let is_unknown_kind =
            matches!(error.status(), Some(400 | 500)) && says("invalid config entry kind");
        let is_hidden = error.status() == Some(403) && says("Permission denied") && !was_there;
        match self {
            Self::Gateways => error.status() == Some(404),
            Self::TerminatingGateways => is_unknown_kind,
            Self::Critical | Self::Exports | Self::Peerings | Self::Mesh => {
                error.status() == Some(404) || is_unknown_kind || is_hidden
            }
            _ => false,
        }
    }

    /// The answer that there is nothing.
    pub(super) const fn nothing(self) -> &'static [u8] {
        match self {
            Self::Gateways | Self::Mesh => b"{}",
            _ => b"[]",
        }
    }

    /// Whether what the token may not read is left out.
    const fn is_filtered(self) -> bool {
        !matches!(self, Self::Roots | Self::Datacenters)
    }

    const fn style(self) -> Style {
        match self {
            // No connection is held for what changes seldom, or never while a cluster lives.
            Self::Roots
            | Self::Datacenters
            | Self::Servers
            | Self::Exports
            | Self::Peerings
            | Self::Mesh => Style::Polled,
            _ => Style::Blocking,
        }
    }

    /// A question that the agent does not hold waits for its turn; one that it may hold has a
    /// connection to itself.
    async fn turn(self, client: &Client) -> Option<MutexGuard<'_, ()>> {
        match self.style() {
            Style::Polled => Some(client.turn().await),
            Style::Blocking => None,
        }
    }

    /// The one that costs most is answered by any server; all else by the leader.
    const fn may_be_stale(self) -> bool {
        matches!(self, Self::Catalog)
    }

    const fn gaps(self) -> Gaps {
        match self {
            Self::Catalog => Gaps::CATALOG,
            _ => Gaps::USUAL,
        }
    }

    /// The namespace to ask for, as a parameter, where there are any.
    pub(super) fn scope(self, client: &Client) -> Option<(&'static str, &'static str)> {
        client.namespace().map(|_| ("ns", self.namespace()))
    }

    /// A mesh gateway serves all of them, and Consul's servers and gateways are in the default
    /// one.
    const fn namespace(self) -> &'static str {
        match self {
            Self::Catalog | Self::Critical | Self::Resolvers | Self::TerminatingGateways => "*",
            Self::Servers => "default",
            // Of the cluster as a whole: an empty one is left out.
            Self::Roots
            | Self::Gateways
            | Self::Datacenters
            | Self::Exports
            | Self::Peerings
            | Self::Mesh => "",
        }
    }
}

/// How long and how large the answer to a question may be.
pub(super) fn limits_of(query: &Query) -> Limits {
    let held = query.held.map_or(Duration::ZERO, |(_, wait)| wait);
    Limits {
        bytes_max: AGENT_ANSWER_BYTES_MAX,
        timeout: held + AGENT_WAIT / 16 + AGENT_ANSWER_MARGIN,
    }
}

/// Those of a small question that is answered at once.
pub(super) fn short_limits() -> Limits {
    Limits { bytes_max: AGENT_ANSWER_BYTES_MAX, timeout: AGENT_PUT_TIMEOUT }
}

pub(super) async fn wait_until(at: std::time::Instant) {
    sleep_until(Instant::from_std(at)).await;
}

/// The clock of the runtime, so that its timers and this agree.
pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Each state differs from the one before.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
