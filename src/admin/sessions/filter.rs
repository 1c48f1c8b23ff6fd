//! Which sessions are wanted.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;

use crate::admin::complaint::Complaint;
use crate::config::duration;
use crate::dataplane::survey::Sighting;
use crate::kernel::Tick;
use crate::limits::{SURVEY_PAGE, SURVEY_PAGE_MAX};

/// What is asked of `/sessions`, as it was written.
#[derive(Debug, Default, Deserialize)]
pub(in crate::admin) struct Question {
    sni: Option<String>,
    cluster: Option<String>,
    source: Option<String>,
    worker: Option<String>,
    older_than: Option<String>,
    limit: Option<String>,
    from: Option<String>,
    pub(super) format: Option<String>,
}

/// What is asked, understood.
#[derive(Debug)]
pub(super) struct Wanted {
    /// A part of the server name, in lower case.
    sni: Option<String>,
    /// A part of the cluster's name.
    cluster: Option<String>,
    source: Option<Source>,
    worker: Option<usize>,
    older_than: Duration,
    /// Sessions on the page at most.
    pub(super) count_max: usize,
    /// Where the page begins.
    pub(super) from: Place,
}

/// A slot of a worker. Written `WORKER.SLOT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) worker: usize,
    pub(super) slot: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.worker, self.slot)
    }
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (worker, slot) = text.split_once('.')?;
        Some(Self { worker: worker.parse().ok()?, slot: slot.parse().ok()? })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// One connection.
    Socket(SocketAddr),
    /// All addresses that begin with so many bits of this one, as IPv6.
    Network(u128, u32),
}

impl Source {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Socket(address));
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        let rest = width.checked_sub(bits)?;
        Some(Self::Network(as_number(address), 128_u32.saturating_sub(rest)))
    }

    fn has(self, address: SocketAddr) -> bool {
        match self {
            Self::Socket(one) => one == address,
            Self::Network(number, bits) => {
                let rest = 128_u32.saturating_sub(bits);
                let differ = number ^ as_number(address.ip());
                differ.checked_shr(rest).unwrap_or(0) == 0
            }
        }
    }
}

fn as_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Wanted {
    /// Understands a question.
    ///
    /// # Errors
    /// A parameter has a value that it cannot have.
    pub(super) fn parse(question: &Question) -> Result<Self, Complaint> {
        let read = |name: &str, text: &Option<String>, expected: &str| {
            let parse = |text: &String| {
                text.parse::<usize>().map_err(|_| Complaint::parameter(name, text, expected))
            };
            text.as_ref().map(parse).transpose()
        };
        let source = question.source.as_ref().map(|text| {
            let expected = "an address, one with a port, or a network such as 10.0.0.0/8";
            Source::parse(text).ok_or_else(|| Complaint::parameter("source", text, expected))
        });
        let older_than = question.older_than.as_ref().map(|text| {
            let expected = "a duration such as 30s, 5m or 1h";
            duration::parse(text).ok_or_else(|| Complaint::parameter("older_than", text, expected))
        });
        let from = question.from.as_ref().map(|text| {
            let expected = "what the page before says as `next`";
            Place::parse(text).ok_or_else(|| Complaint::parameter("from", text, expected))
        });
        let worker = read("worker", &question.worker, "the number of a worker")?;
        let count_max = read("limit", &question.limit, "a count of sessions from 1 to 1000")?;
        let count_max = count_max.unwrap_or(SURVEY_PAGE);
        if !(1..=SURVEY_PAGE_MAX).contains(&count_max) {
            let expected = "a count of sessions from 1 to 1000";
            return Err(Complaint::parameter("limit", &count_max.to_string(), expected));
        }
        let begin = Place { worker: worker.unwrap_or(0), slot: 0 };
        Ok(Self {
            sni: question.sni.as_ref().map(|text| text.to_ascii_lowercase()),
            cluster: question.cluster.clone(),
            source: source.transpose()?,
            worker,
            older_than: older_than.transpose()?.unwrap_or_default(),
            count_max,
            from: from.transpose()?.unwrap_or(begin),
        })
    }

    /// Whether sessions of this worker are.
    pub(super) fn has_worker(&self, worker: usize) -> bool {
        self.worker.is_none_or(|wanted| wanted == worker)
    }

    /// Whether this one is.
    pub(super) fn has(
        &self,
        sighting: &Sighting,
        name: Option<&str>,
        cluster: Option<&str>,
        now: Tick,
    ) -> bool {
        let contains = |wanted: &Option<String>, text: Option<&str>| {
            wanted.as_deref().is_none_or(|part| text.is_some_and(|text| text.contains(part)))
        };
        let age_us = u128::from(now.since_us(sighting.accepted_at));
        contains(&self.sni, name)
            && contains(&self.cluster, cluster)
            && age_us >= self.older_than.as_micros()
            && self.source.is_none_or(|source| {
                sighting.downstream_peer.is_some_and(|address| source.has(address))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str, address: &str) -> bool {
        Source::parse(text).unwrap().has(address.parse().unwrap())
    }

    #[test]
    fn sources_are_addresses_and_networks() {
        assert!(source("10.0.0.7", "10.0.0.7:1"));
        assert!(!source("10.0.0.7", "10.0.0.8:1"));
        assert!(source("10.0.0.7:1", "10.0.0.7:1"));
        assert!(!source("10.0.0.7:1", "10.0.0.7:2"));
        assert!(source("10.0.0.0/8", "10.255.0.1:1"));
        assert!(!source("10.0.0.0/8", "11.0.0.1:1"));
        assert!(source("0.0.0.0/0", "11.0.0.1:1"));
        assert!(!source("0.0.0.0/0", "[2001:db8::1]:1"));
        assert!(source("::/0", "[2001:db8::1]:1"));
        assert!(source("2001:db8::/32", "[2001:db8:9::1]:1"));
        assert!(!source("2001:db8::/32", "[2001:db9::1]:1"));
        for text in ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "a.example"] {
            assert_eq!(Source::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_named() {
        let question = |name: &str, value: &str| -> Question {
            serde_json::from_value(serde_json::json!({ name: value })).unwrap()
        };
        for (name, value) in [
            ("source", "nowhere"),
            ("worker", "first"),
            ("older_than", "5"),
            ("limit", "0"),
            ("limit", "1001"),
            ("from", "7"),
        ] {
            let complaint = format!("{:?}", Wanted::parse(&question(name, value)).unwrap_err());
            assert!(complaint.contains(name), "{complaint}");
        }
        let wanted = Wanted::parse(&question("from", "1.128")).unwrap();
        assert_eq!(wanted.from, Place { worker: 1, slot: 128 });
        let wanted = Wanted::parse(&question("worker", "3")).unwrap();
        assert_eq!(
            (wanted.from.worker, wanted.has_worker(2), wanted.has_worker(3)),
            (3, false, true)
        );
    }
}
