//! What the agent answers.

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;

/// What is taken from one exchange at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest body, unpacked.
    pub bytes_max: usize,
    /// The time from the request to the last byte of the answer. A total: progress does not
    /// extend it.
    pub timeout: Duration,
}

/// An answer of success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The body, unpacked.
    pub body: Bytes,
    /// A hash of the body, taken while it came in: equal bodies have equal ones.
    pub digest: u64,
    /// `X-Consul-Index`; `None` if it is absent or not a number.
    pub index: Option<u64>,
    /// `X-Consul-ContentHash`, which `?hash=` takes where there is no index.
    pub content_hash: Option<String>,
    /// `X-Consul-KnownLeader`.
    pub known_leader: Option<bool>,
    /// `X-Consul-LastContact`: how long ago the server that answered a `?stale` question had
    /// heard from the leader.
    pub last_contact: Option<Duration>,
    /// `X-Consul-Results-Filtered-By-ACLs`: there is more than the token may see. Old agents do
    /// not say.
    pub filtered_by_acls: bool,
}

impl Answer {
    /// Stands for an answer of an agent that does not know the question.
    pub(crate) fn of_nothing(body: &'static [u8]) -> Self {
        let mut gathered = Gathered::default();
        gathered.take(body, body.len());
        Self::new(gathered, &HeaderMap::new())
    }

    /// An answer made of several, with an index of its own.
    pub(crate) fn made(body: Bytes, index: u64) -> Self {
        let mut hasher = DefaultHasher::default();
        hasher.write(&body);
        Self {
            digest: hasher.finish(),
            body,
            index: Some(index),
            content_hash: None,
            known_leader: None,
            last_contact: None,
            filtered_by_acls: false,
        }
    }

    pub(super) fn new(body: Gathered, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name| text(name).and_then(|digits| digits.parse::<u64>().ok());
        Self {
            digest: body.hasher.finish(),
            body: body.bytes.freeze(),
            index: number("x-consul-index"),
            content_hash: text("x-consul-contenthash").map(str::to_owned),
            known_leader: text("x-consul-knownleader").and_then(|word| word.parse().ok()),
            last_contact: number("x-consul-lastcontact").map(Duration::from_millis),
            filtered_by_acls: text("x-consul-results-filtered-by-acls") == Some("true"),
        }
    }
}

/// A body as it comes in. The hash grows with it: that of a megabyte at once would hold the
/// thread too long.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    bytes: BytesMut,
    hasher: DefaultHasher,
}

impl Gathered {
    /// Takes more of it; `false` if that is more than `bytes_max`.
    pub(super) fn take(&mut self, chunk: &[u8], bytes_max: usize) -> bool {
        if chunk.len() > bytes_max.saturating_sub(self.bytes.len()) {
            return false;
        }
        self.hasher.write(chunk);
        self.bytes.extend_from_slice(chunk);
        true
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }
}
