//! Tells of refusals on the log, at a rate that no peer controls.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::shared::{Shared, lock};
use crate::limits::REFUSAL_SUMMARY;
use crate::refusal::Refusal;

/// The last refusal of each reason, as the access log saw it.
#[derive(Debug, Default)]
pub(crate) struct Examples([Mutex<Option<Example>>; Refusal::ALL.len()]);

/// One refused connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Example {
    pub(crate) server_name: String,
    pub(crate) peer: Option<SocketAddr>,
}

impl Examples {
    pub(crate) fn remember(&self, why: Refusal, example: Example) {
        if let Some(place) = self.0.get(why as usize) {
            *lock(place) = Some(example);
        }
    }

    pub(crate) fn take(&self, why: Refusal) -> Option<Example> {
        lock(self.0.get(why as usize)?).take()
    }
}

/// One line of the log: so many refusals for one reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) why: Refusal,
    pub(crate) count: u64,
}

/// Counts what is new since it was told last. The first refusal after a quiet time is told at
/// once, what follows every [`REFUSAL_SUMMARY`].
#[derive(Debug, Default)]
pub(crate) struct Summaries([(u64, Option<Instant>); Refusal::ALL.len()]);

impl Summaries {
    /// What is to be told now; `counts` are the totals so far.
    pub(crate) fn due(
        &mut self,
        counts: impl IntoIterator<Item = (Refusal, u64)>,
        now: Instant,
    ) -> Vec<Summary> {
        let mut due = Vec::new();
        for (why, total) in counts {
            let Some((told, told_at)) = self.0.get_mut(why as usize) else { continue };
            let count = total.saturating_sub(*told);
            let quiet = told_at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
            if count > 0 && quiet >= REFUSAL_SUMMARY {
                (*told, *told_at) = (total, Some(now));
                due.push(Summary { why, count });
            }
        }
        due
    }

    /// Logs what is to be told now.
    pub(crate) fn tell(&mut self, shared: &Shared, examples: &Examples) {
        let total = |why: Refusal| {
            shared.total(|stats| stats.refused.get(why as usize).map_or(0, |count| count.get()))
        };
        let counts = Refusal::ALL.into_iter().map(|why| (why, total(why)));
        for Summary { why, count } in self.due(counts, Instant::now()) {
            let reason = why.name();
            match examples.take(why) {
                // Quoted with `?`: the name is the peer's.
                Some(Example { server_name, peer }) => tracing::info!(
                    reason, count, last_server_name = ?server_name,
                    last_peer = peer.map(tracing::field::display),
                    "refused: {}", why.sentence()
                ),
                None => tracing::info!(reason, count, "refused: {}", why.sentence()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_rest_together() {
        let mut summaries = Summaries::default();
        let start = Instant::now();
        let mut due = |total, after_s| {
            let now = start + Duration::from_secs(after_s);
            summaries.due([(Refusal::UnknownName, total)], now).first().map(|s| s.count)
        };
        assert_eq!(due(0, 0), None);
        assert_eq!(due(1, 1), Some(1));
        assert_eq!(due(1000, 2), None);
        assert_eq!(due(9000, 10), None);
        assert_eq!(due(9000, 11), Some(8999));
        assert_eq!(due(9000, 60), None);
        assert_eq!(due(9001, 61), Some(1));
    }

    #[test]
    fn reasons_do_not_hold_back_each_other() {
        let mut summaries = Summaries::default();
        let now = Instant::now();
        let both = [(Refusal::NotTls, 2), (Refusal::ConnectFailed, 3)];
        assert_eq!(summaries.due(both, now).len(), 2);
        assert_eq!(summaries.due(both, now).len(), 0);
    }
}
