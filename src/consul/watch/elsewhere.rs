//! Follows the mesh gateways of other datacenters, also where they are registered.
//!
//! One answer, the federation states, has those of all datacenters. But a datacenter brings its
//! own there at most once in 5 s when changes follow each other (Consul's
//! `leader_federation_state_ae.go`), and asked for in their own datacenter they are there at
//! once. So both are asked, and what comes is merged into one answer of the kind of the first:
//! per datacenter and service name, what was asked there counts while it can be asked, is not empty
//! and is as new as the federation states; else whichever list was changed later, by the indexes of
//! that datacenter. An empty list may be one that the token has no right to see there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_local};

use super::blocking::{Course, Facts, Gaps, Query, Style};
use super::follow::{limits_of, now, random, short_limits, wait_until};
use super::merged::{Merged, Place};
use super::{Part, Reading, Status, Verdict, follow};
use crate::consul::agent::{AgentError, Answer, Client, segment};
use crate::consul::rights;
use crate::limits::AGENT_ELSEWHERE_MAX;

/// The gateways of all datacenters, as they are followed. Lives on one thread.
pub struct Elsewhere<O> {
    client: Client,
    status: Arc<Status>,
    offer: O,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    merged: Merged,
    followed: BTreeMap<Place, Follower>,
}

/// Ended when dropped.
struct Follower(JoinHandle<()>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<O: AsyncFn(Part, Bytes, Reading) -> Verdict + 'static> Elsewhere<O> {
    /// Nothing is asked yet. `offer` is brought what was merged, as the answer for
    /// [`Part::Gateways`], and as they are the answers for other parts that come by here.
    #[must_use]
    pub fn new(client: Client, status: Arc<Status>, offer: O) -> Rc<Self> {
        Rc::new(Self { client, status, offer, state: RefCell::default() })
    }

    /// Follows a part, for as long as it is polled.
    pub async fn follow(self: Rc<Self>, part: Part) {
        let (client, status) = (self.client.clone(), Arc::clone(&self.status));
        follow(client, part, status, async |part, body, reading| {
            self.take(part, body, reading).await
        })
        .await;
    }

    /// Brings an answer on, after what it says of other datacenters was taken in.
    async fn take(self: &Rc<Self>, part: Part, body: Bytes, reading: Reading) -> Verdict {
        let merged = self.merge(part, &body);
        let verdict = (self.offer)(part, merged.unwrap_or(body), reading).await;
        self.follow_all();
        verdict
    }

    /// What is to be offered in place of an answer. One that cannot be read is none of ours: to
    /// whom it is offered says what is wrong with it.
    fn merge(&self, part: Part, body: &[u8]) -> Option<Bytes> {
        let merged = &mut self.state.borrow_mut().merged;
        let taken = merged.take(part, body);
        let is_merged = part == Part::Gateways && taken.is_ok();
        is_merged.then(|| merged.body()).flatten()
    }

    /// Begins to ask wherever there may be gateways, and ends where there are none any more.
    fn follow_all(self: &Rc<Self>) {
        let state = &mut *self.state.borrow_mut();
        let mut places = state.merged.places();
        while places.len() > AGENT_ELSEWHERE_MAX {
            places.pop_last();
        }
        state.followed.retain(|place, _| places.contains(place));
        for place in places {
            let follow = || Follower(spawn_local(Rc::clone(self).follow_place(place.clone())));
            state.followed.entry(place.clone()).or_insert_with(follow);
        }
    }

    /// Asks in another datacenter, for as long as it is polled.
    async fn follow_place(self: Rc<Self>, place: Place) {
        let mut course = Course::new(Style::Blocking, Gaps::USUAL, now());
        let mut anew = self.status.anew();
        let mut is_told = false;
        loop {
            let query = course.next();
            let answer = tokio::select! {
                () = anew.wanted() => {
                    course.anew(now());
                    continue;
                }
                answer = self.ask_place(&place, &query, &mut course) => answer,
            };
            match answer {
                Ok(answer) => {
                    if std::mem::take(&mut is_told) {
                        tracing::info!("{place} can be asked for its gateways again");
                    }
                    self.judge(&place, &query, answer, &mut course).await;
                }
                Err(error) => {
                    course.failed(now(), random());
                    self.give_up(&place, &error, &mut is_told).await;
                }
            }
        }
    }

    /// Asks when it is time to. What the token may not read there counts as not to be asked for.
    async fn ask_place(
        &self,
        place: &Place,
        query: &Query,
        course: &mut Course,
    ) -> Result<Answer, Unasked> {
        wait_until(query.at).await;
        course.asked(now());
        let answer = ask(&self.client, place, query).await.map_err(Unasked::Agent)?;
        let lacks = rights::is_empty(&answer.body) && self.state.borrow().merged.has(place);
        let there = Some(place.datacenter.as_str());
        let hidden = match lacks {
            true => rights::hidden(&self.client, there, short_limits()).await,
            false => Ok(None),
        };
        match hidden.map_err(Unasked::Agent)? {
            Some(why) => Err(Unasked::Hidden(why)),
            None => Ok(answer),
        }
    }

    async fn judge(&self, place: &Place, query: &Query, answer: Answer, course: &mut Course) {
        let facts =
            Facts { index: answer.index, digest: answer.digest, bytes_count: answer.body.len() };
        let offered = course.answered(query, facts, now(), random());
        let changed = self.state.borrow_mut().merged.there(place, &answer.body, answer.index);
        let verdict = match changed {
            Err(error) => Verdict::Rejected(error.to_string()),
            Ok(changed) if changed || offered.is_some() => {
                self.offer_merged(offered.unwrap_or(Reading::Ordinary)).await
            }
            Ok(_) => return,
        };
        let reading = offered.unwrap_or(Reading::Ordinary);
        if let Some(reason) = course.judged(facts, reading, verdict, now(), random()) {
            tracing::warn!("{place} answered for its gateways with what Consul does not: {reason}");
        }
    }

    /// What was answered before does not count for more than the federation states any more.
    async fn give_up(&self, place: &Place, error: &Unasked, is_told: &mut bool) {
        // That the agent as a whole fails is told by all who ask it.
        if !error.is_of_the_agent() && !std::mem::replace(is_told, true) {
            let instead = "the federation states say what they are, up to 5 s later";
            tracing::info!("{place} cannot be asked for its gateways: {error}; {instead}");
        }
        if self.state.borrow_mut().merged.not_there(place) {
            self.offer_merged(Reading::Ordinary).await;
        }
    }

    /// Nothing is offered before the federation states are there: it would be a part of them.
    async fn offer_merged(&self, reading: Reading) -> Verdict {
        let body = self.state.borrow().merged.body();
        match body {
            Some(body) => (self.offer)(Part::Gateways, body, reading).await,
            None => Verdict::Same,
        }
    }
}

/// Why a datacenter cannot be asked for its gateways.
#[derive(Debug, thiserror::Error)]
enum Unasked {
    /// It does not answer.
    #[error(transparent)]
    Agent(AgentError),
    /// It answers, and shows the token nothing.
    #[error("{0}")]
    Hidden(String),
}

impl Unasked {
    fn is_of_the_agent(&self) -> bool {
        matches!(self, Self::Agent(error) if error.is_of_the_agent())
    }
}

/// Asks a datacenter for its gateways.
pub(super) async fn ask(
    client: &Client,
    place: &Place,
    query: &Query,
) -> Result<Answer, AgentError> {
    let path = format!("/v1/health/service/{}", segment(&place.service));
    let parameters = query.parameters();
    let mut asked = vec![("dc", place.datacenter.as_str())];
    asked.extend(parameters.iter().map(|(key, value)| (*key, &**value)));
    if client.namespace().is_some() {
        asked.push(("ns", "default"));
    }
    client.get(&path, &asked, limits_of(query)).await
}

#[cfg(test)]
mod tests;
