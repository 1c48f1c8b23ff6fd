//! What answers of Consul pass through before they are believed.
//!
//! A token that loses its rights is answered with 200 and an empty list, and so is a question to
//! a server that has just lost its data: nothing in such an answer tells it from the truth. So
//! one that removes most of what is routed is held: what it adds and changes is taken, what it
//! would remove stays, until a second reading with `?consistent` confirms it after
//! [`HOLD`], or an operator accepts it, or the next answer has it all again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use crate::consul::snapshot::{Changed, ConsulTable, Snapshot, TableOptions};
use crate::consul::watch::{Part, Reading, Verdict};
use crate::limits::{HOLD, HOLD_SERVICES_LEAST};

/// What a table lacks that an earlier one had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Services that would go.
    pub service_count: usize,
    /// Of so many.
    pub service_count_before: usize,
    /// Datacenters that would have no gateway left.
    pub datacenters: Vec<String>,
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service_count, service_count_before, datacenters } = self;
        if *service_count > 0 {
            write!(f, "{service_count} of {service_count_before} services")?;
        }
        if *service_count > 0 && !datacenters.is_empty() {
            f.write_str(" and ")?;
        }
        if !datacenters.is_empty() {
            write!(f, "all gateways of {}", datacenters.join(", "))?;
        }
        Ok(())
    }
}

/// Whether a table lacks so much of the one in force that it is not believed at once: more than
/// half of the services and at least [`HOLD_SERVICES_LEAST`], or all gateways of a datacenter.
/// Gateways that are replaced, even all of them, are no removal.
#[must_use]
pub fn judge(in_force: &ConsulTable, candidate: &ConsulTable) -> Option<Removal> {
    let left: BTreeSet<&str> = candidate.services().collect();
    let service_count_before = in_force.services().count();
    let service_count = in_force.services().filter(|name| !left.contains(name)).count();
    let many = service_count >= HOLD_SERVICES_LEAST
        && service_count.saturating_mul(2) > service_count_before;
    let left = candidate.datacenters();
    let datacenters = in_force.datacenters().difference(&left).map(|&name| name.into()).collect();
    let removal = Removal { service_count, service_count_before, datacenters };
    (many || !removal.datacenters.is_empty()).then_some(removal)
}

/// The answers in force, those that are held, and the table that they make together.
#[derive(Debug)]
pub struct Hold {
    options: TableOptions,
    accepted: Snapshot,
    /// Of `accepted` alone: what removals are judged against.
    accepted_table: ConsulTable,
    held: BTreeMap<Part, Held>,
    /// `None` until there is an answer for every part.
    table: Option<ConsulTable>,
}

#[derive(Debug)]
struct Held {
    since: Instant,
    removal: Removal,
    /// The answers accepted by then, with this one in place.
    candidate: Snapshot,
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What to tell whoever brought it.
    pub verdict: Verdict,
    /// Whether the table is another one now, and to be published.
    pub table_changed: bool,
}

impl Outcome {
    const fn new(verdict: Verdict, table_changed: bool) -> Self {
        Self { verdict, table_changed }
    }
}

/// An answer that is held, for those who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldAnswer<'a> {
    /// To which question.
    pub part: Part,
    /// What it would remove.
    pub removal: &'a Removal,
    /// When it may be confirmed; zero: now.
    pub left: Duration,
}

impl Hold {
    /// Starts from answers that are known already: none, or those of a state file.
    #[must_use]
    pub fn new(accepted: Snapshot, options: TableOptions) -> Self {
        let mut hold = Self {
            options,
            accepted,
            accepted_table: ConsulTable::default(),
            held: BTreeMap::new(),
            table: None,
        };
        hold.rebuild();
        hold
    }

    /// Brings an answer. One that is held keeps its time while others like it follow, whatever
    /// they remove: nothing is held for longer than [`HOLD`] and the second reading take. Until
    /// there is a first table, nothing is held. One that is rejected changes nothing, and what
    /// is held stays held.
    pub fn offer(&mut self, part: Part, body: &[u8], reading: Reading, now: Instant) -> Outcome {
        let mut candidate = self.accepted.clone();
        match candidate.take(part, body) {
            Ok(Changed::Yes) => {}
            Ok(Changed::No) => {
                let table_changed = self.held.remove(&part).is_some() && self.rebuild();
                return Outcome::new(Verdict::Same, table_changed);
            }
            Err(why) => {
                return Outcome::new(Verdict::Rejected(why.to_string()), false);
            }
        }
        let of_candidate = candidate.table(&self.options);
        if let Some(removal) = self.removal(&of_candidate) {
            let since = self.held.get(&part).map_or(now, |held| held.since);
            let left = left(since, now);
            if !left.is_zero() || reading == Reading::Ordinary {
                self.held.insert(part, Held { since, removal, candidate });
                return Outcome::new(Verdict::Held(left), self.rebuild());
            }
        }
        self.held.remove(&part);
        self.accepted = candidate;
        Outcome::new(Verdict::Taken, self.combine(of_candidate))
    }

    /// Believes everything that is held. Says whether the table is another one now.
    pub fn accept(&mut self) -> bool {
        self.accepted = self.with_held();
        self.held.clear();
        self.rebuild()
    }

    /// Makes the table anew with other options. Says whether it is another one now.
    pub fn set_options(&mut self, options: TableOptions) -> bool {
        self.options = options;
        self.rebuild()
    }

    /// The table to be routed by, once there is an answer for every part.
    #[must_use]
    pub const fn table(&self) -> Option<&ConsulTable> {
        self.table.as_ref()
    }

    /// The answers in force, without those that are held: what is to be kept on disk.
    #[must_use]
    pub fn accepted(&self) -> &Snapshot {
        &self.accepted
    }

    /// What is held.
    pub fn held(&self, now: Instant) -> impl Iterator<Item = HeldAnswer<'_>> {
        self.held.iter().map(move |(part, held)| HeldAnswer {
            part: *part,
            removal: &held.removal,
            left: left(held.since, now),
        })
    }

    fn removal(&self, candidate: &ConsulTable) -> Option<Removal> {
        if !self.accepted.missing().is_empty() {
            return None;
        }
        judge(&self.accepted_table, candidate)
    }

    fn rebuild(&mut self) -> bool {
        self.combine(self.accepted.table(&self.options))
    }

    /// `of_accepted`: the table of what is accepted. Says whether that with what is held is
    /// another one now.
    fn combine(&mut self, of_accepted: ConsulTable) -> bool {
        self.accepted_table = of_accepted;
        // The answer that completes the first table may add nothing to it: that there is one is
        // news all the same.
        let is_whole = self.accepted.missing().is_empty();
        let table = is_whole.then(|| match self.held.is_empty() {
            true => self.accepted_table.clone(),
            false => self.with_held().table(&self.options).keeping(&self.accepted_table),
        });
        let changed = table != self.table;
        self.table = table;
        changed
    }

    fn with_held(&self) -> Snapshot {
        let mut all = self.accepted.clone();
        for (part, held) in &self.held {
            all.adopt(*part, &held.candidate);
        }
        all
    }
}

fn left(since: Instant, now: Instant) -> Duration {
    HOLD.saturating_sub(now.saturating_duration_since(since))
}

#[cfg(test)]
mod tests;
