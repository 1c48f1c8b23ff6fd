//! What can be wrong with the settings of an agent, and with an exchange with it.

use std::time::Duration;

/// A setting that cannot be. One sentence for the operator, with the flag or variable that it
/// came from; never with a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The value is not of its kind.
    #[error("{setting} {value}: expected {expected}")]
    Wrong {
        /// The flag or variable.
        setting: &'static str,
        /// What it was, quoted.
        value: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// The value of a secret is not of its kind; it is not repeated.
    #[error("{setting}: expected {expected}")]
    WrongSecret {
        /// The flag or variable.
        setting: &'static str,
        /// What would have been right.
        expected: &'static str,
    },
    /// One of a pair.
    #[error("{given} is set, but {missing} is not: a client certificate needs both")]
    Half {
        /// The flag or variable that is set.
        given: &'static str,
        /// Those that could complete it.
        missing: &'static str,
    },
    /// A file cannot be used.
    #[error("{setting} {path}: {reason}")]
    File {
        /// The flag or variable.
        setting: &'static str,
        /// The file, quoted.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The CAs of the system are needed, and cannot be had.
    #[error(
        "the system's CA certificates cannot be read ({reason}): install them \
         (`apt-get install ca-certificates`), or name the agent's with --ca-file or CONSUL_CACERT"
    )]
    SystemCas {
        /// Why not.
        reason: String,
    },
    /// The client could not be made of settings that are right by themselves.
    #[error("the settings of the Consul agent make no HTTP client: {0}")]
    Client(String),
}

/// Why an exchange with the agent failed. One sentence for the operator: who refused, why, and
/// what to do; with the agent's address, never with a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// No connection.
    #[error("the Consul agent at {agent} cannot be reached: {reason}")]
    Unreachable {
        /// Its address.
        agent: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// The answer was not complete in time.
    #[error(
        "the Consul agent at {agent} {} within {} ms: is it stopped, or overloaded?",
        if *.bytes_count == 0 {
            format!("did not answer {path}")
        } else {
            format!("sent only {bytes_count} bytes of its answer to {path}")
        },
        .after.as_millis()
    )]
    TimedOut {
        /// Its address.
        agent: String,
        /// What it was asked.
        path: String,
        /// The time it had.
        after: Duration,
        /// What of the body had come by then.
        bytes_count: usize,
    },
    /// The agent answered, but not with success.
    #[error("the Consul agent at {agent} answered {path} with {status} ({message}){advice}")]
    Status {
        /// Its address.
        agent: String,
        /// What it was asked.
        path: String,
        /// The status (RFC 9110 §15).
        status: u16,
        /// The beginning of the body, on one line.
        message: String,
        /// What to do, where that is known: empty, or with a colon and a space before it.
        advice: String,
    },
    /// The body is longer than was allowed.
    #[error(
        "the Consul agent at {agent} answered {path} with more than {bytes_max} bytes: this is no \
         answer of Consul's, or a catalog larger than this gateway is made for"
    )]
    TooLarge {
        /// Its address.
        agent: String,
        /// What it was asked.
        path: String,
        /// What was allowed.
        bytes_max: usize,
    },
    /// TLS with the agent failed.
    #[error("TLS with the Consul agent at {agent} failed: {reason}")]
    Tls {
        /// Its address.
        agent: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The connection ended before the answer did.
    #[error("{}", cut_off(agent, path, *.bytes_count))]
    CutOff {
        /// Its address.
        agent: String,
        /// What it was asked.
        path: String,
        /// What of the body had come by then.
        bytes_count: usize,
    },
    /// What answers does not speak HTTP as Consul does.
    #[error("what answers at {agent} is not a Consul agent's HTTP: {reason}")]
    Garbled {
        /// Its address.
        agent: String,
        /// What it does instead, and what to do.
        reason: String,
    },
}

impl AgentError {
    /// The status, if the agent answered with one.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// What the agent said with its status, on one line.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Status { message, .. } => Some(message),
            _ => None,
        }
    }

    /// Whether it is the agent as a whole that fails, with its servers and the token, rather than
    /// this question to it: then every other question fails alike, and one sentence tells of all.
    #[must_use]
    pub fn is_of_the_agent(&self) -> bool {
        match self {
            Self::Status { status: 403, message, .. } => message.contains("ACL not found"),
            Self::Status { status: 500.., message, .. } => {
                SERVERS_AWAY.iter().any(|words| message.contains(words))
            }
            Self::Status { .. } | Self::TooLarge { .. } => false,
            _ => true,
        }
    }
}

/// What an agent says when it has no server to ask, in words of Consul 1.8.
const SERVERS_AWAY: [&str; 6] = [
    "No cluster leader",
    "No known Consul servers",
    "rpc error getting client",
    "rpc error making call: EOF",
    "rpc error making call: stream closed",
    "leadership lost",
];

fn cut_off(agent: &str, path: &str, bytes_count: usize) -> String {
    if bytes_count > 0 {
        return format!(
            "the Consul agent at {agent} closed the connection after {bytes_count} bytes of its \
             answer to {path}"
        );
    }
    format!(
        "the Consul agent at {agent} closed the connection without answering {path}: it does so \
         when it stops, and when this host has more connections to it than its \
         limits.http_max_conns_per_client"
    )
}
