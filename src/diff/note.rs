//! In what a table here differs on purpose from that of an Envoy gateway.

/// A difference that is meant. What it is, and why, in `what` and `why`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    Policy,
    PanicThreshold,
    ConnectionLimit,
    UpperCase,
    NoName,
    NoPort,
    Hosts,
    BadFilter,
    Bootstrap,
}

impl Note {
    /// Why it is so.
    pub(super) const fn why(self) -> &'static str {
        match self {
            Self::Policy => {
                "where connections last, the better one of two endpoints is the one with fewer"
            }
            Self::PanicThreshold => {
                "what is known to be down gets no connection, unless --panic-threshold says so"
            }
            Self::ConnectionLimit => {
                "a cluster has as many connections as there are descriptors; --sessions-max bounds \
                 all of them"
            }
            Self::UpperCase => {
                "Envoy compares it with what clients send in lower case, and never finds it"
            }
            Self::NoName => "no client can send it",
            Self::NoPort => "nobody can connect to it",
            Self::Hosts => {
                "Envoy is told one of several host names, and no address beside it; here all count"
            }
            Self::BadFilter => {
                "the subset's filter cannot be evaluated: Consul tells Envoy nothing any more, and \
                 `sluice routes` says what is wrong with it"
            }
            Self::Bootstrap => {
                "Envoy takes any client there that asks for it by name; here only names of the \
                 mesh are routed"
            }
        }
    }
}
