//! Workloads, as they are written in `workloads.toml`.

use serde::Deserialize;

use crate::load::hello::HelloKind;

/// The file, as it came with this program.
pub(crate) const DEFINITIONS: &str = include_str!("../workloads.toml");

/// All workloads.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workloads {
    /// Who takes part in a quick run.
    #[serde(default)]
    pub(crate) quick_peers: Vec<String>,
    #[serde(rename = "row")]
    pub(crate) rows: Vec<Row>,
}

/// One workload, and who is measured with it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// What it is called on the command line and in `targets.toml`.
    pub(crate) name: String,
    /// What it is called in reports.
    pub(crate) title: String,
    /// Names of peers, `*` at the end for all that begin so.
    pub(crate) peers: Vec<String>,
    /// Whether `--quick` runs it.
    #[serde(default)]
    pub(crate) quick: bool,
    /// What every client does; the first group is the one that is measured.
    #[serde(rename = "group")]
    pub(crate) groups: Vec<Group>,
    /// The hello that opens sessions.
    #[serde(default)]
    pub(crate) hello: HelloKind,
    /// Pieces that the hello is sent in, one in each turn of the load generator.
    #[serde(default = "one")]
    pub(crate) hello_pieces: usize,
    /// Whether the load generator looks for work instead of sleeping.
    #[serde(default)]
    pub(crate) spin: bool,
    /// Requests arrive at this share of the rate that the slowest peer reaches in another row.
    pub(crate) arrivals: Option<Arrivals>,
    /// Threads that the proxy works with.
    #[serde(default = "one")]
    pub(crate) workers: usize,
}

/// An open loop: requests come when they come, not when the one before was answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arrivals {
    /// The row that says what the peers can do.
    pub(crate) peak_of: String,
    /// The share of it.
    pub(crate) share: f64,
}

/// Clients that do the same.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    /// Sessions at once.
    pub(crate) sessions: usize,
    /// A request's size and its answer's.
    #[serde(default = "small")]
    pub(crate) size_bytes: usize,
    #[serde(default)]
    pub(crate) direction: Direction,
    #[serde(default)]
    pub(crate) receive: Receive,
}

/// What a client does after its hello and the first answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Sees the end of the session, and begins another.
    Conn,
    /// Sends a request, waits for the answer, and again.
    Rpc,
    /// Sends or receives a stream without end.
    Bulk,
    /// One request and its answer, then nothing.
    Idle,
}

/// Where a stream goes.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    /// From the client to the backend.
    #[default]
    Up,
    /// The other way.
    Down,
}

/// What the receiver of a stream does with it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Receive {
    /// Reads it.
    #[default]
    Read,
    /// Lets the kernel drop it (MSG_TRUNC, tcp(7)): leaves more of the CPU to the sender.
    Discard,
}

impl Kind {
    /// What is counted.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Conn => "connection",
            Self::Rpc => "request",
            Self::Bulk => "MiB",
            Self::Idle => "session",
        }
    }
}

impl Row {
    /// Whether a peer takes part.
    pub(crate) fn includes(&self, peer: &str) -> bool {
        self.peers.iter().any(|pattern| matches(pattern, peer))
    }

    /// What is counted.
    pub(crate) fn unit(&self) -> &'static str {
        self.groups.first().map_or("", |group| group.kind.unit())
    }

    /// Whether it is about memory, not traffic.
    pub(crate) fn is_idle(&self) -> bool {
        self.groups.first().is_some_and(|group| group.kind == Kind::Idle)
    }

    pub(crate) fn session_count(&self) -> usize {
        self.groups.iter().map(|group| group.sessions).sum()
    }
}

/// Whether a name is meant: by itself, or by its beginning and a `*`.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

fn one() -> usize {
    1
}

fn small() -> usize {
    64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_right() {
        let workloads: Workloads = toml::from_str(DEFINITIONS).unwrap();
        let mut names: Vec<&str> = workloads.rows.iter().map(|row| row.name.as_str()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "a name comes twice");
        for row in &workloads.rows {
            let has_ours = row.peers.iter().any(|peer| peer.starts_with("sluice"));
            assert!(!row.groups.is_empty() && has_ours, "{}", row.name);
            if let Some(arrivals) = &row.arrivals {
                assert!(names.contains(&arrivals.peak_of.as_str()), "{}", row.name);
            }
        }
    }

    #[test]
    fn a_star_stands_for_any_end() {
        assert!(matches("nginx*", "nginx") && matches("nginx*", "nginx-tuned"));
        assert!(matches("nginx", "nginx") && !matches("nginx", "nginx-tuned"));
    }
}
