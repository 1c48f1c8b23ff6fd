//! The catalog as of now: as it was read last, with the checks that turned critical since.

use std::collections::HashMap;

use crate::consul::model::{Check, Node, Status};

/// The catalog as of now.
pub(super) struct Current<'a> {
    catalog: &'a [Node],
    /// The nodes that have such checks, by their places in the catalog.
    changed: HashMap<usize, Node>,
}

impl<'a> Current<'a> {
    /// `critical` only ever adds: whether a check that is not in it has come to pass or is gone
    /// is the catalog's to say. One that the catalog does not have yet, such as that of a
    /// maintenance, counts.
    pub(super) fn new(catalog: &'a [Node], critical: &[Check]) -> Self {
        let mut of_node: HashMap<&str, Vec<&Check>> = HashMap::new();
        for check in critical.iter().filter(|check| check.status == Status::Critical) {
            of_node.entry(&check.node).or_default().push(check);
        }
        let changed = catalog.iter().enumerate().filter_map(|(place, node)| {
            let critical = of_node.get(node.name.as_str())?;
            with_critical(node, critical).map(|node| (place, node))
        });
        Self { catalog, changed: changed.collect() }
    }

    /// Its nodes, in the catalog's order.
    pub(super) fn nodes(&self) -> Vec<&Node> {
        let nodes = self.catalog.iter().enumerate();
        nodes.map(|(place, node)| self.changed.get(&place).unwrap_or(node)).collect()
    }
}

/// The node with these checks of its own critical, unless they are already.
fn with_critical(node: &Node, critical: &[&Check]) -> Option<Node> {
    let known: HashMap<(&str, &str), usize> =
        node.checks.iter().enumerate().map(|(place, check)| (identity(check), place)).collect();
    let mut changed: Option<Node> = None;
    for check in critical {
        let place = known.get(&identity(check)).copied();
        let is_told = place.and_then(|place| node.checks.get(place));
        if is_told.is_some_and(|told| told.status == Status::Critical) {
            continue;
        }
        let checks = &mut changed.get_or_insert_with(|| node.clone()).checks;
        match place.and_then(|place| checks.get_mut(place)) {
            Some(told) => told.status = Status::Critical,
            None => checks.push(Check::clone(check)),
        }
    }
    changed
}

fn identity(check: &Check) -> (&str, &str) {
    (&check.service_id, &check.id)
}
