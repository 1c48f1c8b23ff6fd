//! Remembers the last refusals, and tells of them on the log, at a rate that no peer controls.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::shared::{Shared, lock};
use crate::dataplane::record::{End, SessionRecord};
use crate::kernel::Tick;
use crate::limits::{REFUSAL_QUEUE, REFUSAL_SUMMARY, REFUSALS_KEPT};
use crate::refusal::Refusal;

/// The last refusals of each reason, as the workers recorded them. Bounded, whatever peers do: a
/// worker that finds its queue full goes on.
#[derive(Debug, Default)]
pub(crate) struct Examples(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    queues: Vec<rtrb::Consumer<SessionRecord>>,
    /// Oldest first.
    of_reason: [VecDeque<Example>; Refusal::ALL.len()],
}

/// One refused connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Example {
    pub(crate) why: Refusal,
    pub(crate) at: Tick,
    pub(crate) server_name: String,
    pub(crate) peer: Option<SocketAddr>,
    /// The rule that the hello broke.
    pub(crate) detail: Option<String>,
    /// The endpoint dialed last.
    pub(crate) upstream: Option<SocketAddr>,
    pub(crate) worker: u16,
}

impl Example {
    fn of(record: &SessionRecord) -> Option<Self> {
        let End::Refused(why) = record.end else { return None };
        Some(Self {
            why,
            at: record.ended_at,
            server_name: record.server_name().to_owned(),
            peer: record.downstream_peer,
            detail: record.hello_error.map(|broken| broken.to_string()),
            upstream: record.upstream_peer,
            worker: record.worker,
        })
    }
}

impl Examples {
    /// Of those that come by these queues.
    pub(crate) fn new(queues: Vec<rtrb::Consumer<SessionRecord>>) -> Self {
        Self(Mutex::new(Kept { queues, ..Kept::default() }))
    }

    /// The last of a reason, if there ever was one.
    pub(crate) fn last(&self, why: Refusal) -> Option<Example> {
        self.up_to_date().of_reason.get(why as usize)?.back().cloned()
    }

    /// All that are kept, the latest first.
    pub(crate) fn latest(&self) -> Vec<Example> {
        let kept = self.up_to_date();
        let mut latest: Vec<_> = kept.of_reason.iter().flatten().cloned().collect();
        drop(kept);
        latest.sort_by_key(|example| Reverse(example.at));
        latest
    }

    /// With what the workers have recorded since.
    fn up_to_date(&self) -> MutexGuard<'_, Kept> {
        let mut kept = lock(&self.0);
        let Kept { queues, of_reason } = &mut *kept;
        for queue in queues {
            // What comes meanwhile waits for the next time.
            for _ in 0..REFUSAL_QUEUE {
                let Ok(record) = queue.pop() else { break };
                let Some(example) = Example::of(&record) else { continue };
                let Some(of_reason) = of_reason.get_mut(example.why as usize) else { continue };
                if of_reason.len() >= REFUSALS_KEPT {
                    of_reason.pop_front();
                }
                of_reason.push_back(example);
            }
        }
        kept
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
        let counts = Refusal::ALL.into_iter().map(|why| (why, shared.refused(why)));
        for Summary { why, count } in self.due(counts, Instant::now()) {
            let reason = why.name();
            match examples.last(why) {
                // Quoted with `?`: the name is the peer's.
                Some(Example { server_name, peer, .. }) => tracing::info!(
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

    #[test]
    fn the_last_of_each_reason_are_kept_and_a_flood_of_one_displaces_no_other() {
        let (mut records, queue) = rtrb::RingBuffer::new(REFUSAL_QUEUE);
        let examples = Examples::new(vec![queue]);
        let refused = |why, at_us, name: &str| {
            let mut record = SessionRecord::new(End::Refused(why), Tick(0), Tick(at_us), 1);
            record.set_server_name(name);
            record
        };
        records.push(refused(Refusal::NotTls, 1, "")).unwrap();
        assert_eq!(examples.latest().len(), 1);
        for at_us in 2..100 {
            let name = format!("{at_us}.example");
            records.push(refused(Refusal::UnknownName, at_us, &name)).unwrap();
            assert_eq!(examples.last(Refusal::UnknownName).unwrap().server_name, name);
        }
        let latest = examples.latest();
        assert_eq!(latest.len(), REFUSALS_KEPT + 1);
        assert!(latest.is_sorted_by(|a, b| a.at >= b.at), "{latest:?}");
        assert_eq!(latest.last().unwrap().why, Refusal::NotTls);
        assert_eq!(examples.last(Refusal::ConnectFailed), None);
        // What else ends is none.
        records.push(SessionRecord::new(End::Idle, Tick(0), Tick(200), 1)).unwrap();
        assert_eq!(examples.latest().len(), REFUSALS_KEPT + 1);
    }
}
