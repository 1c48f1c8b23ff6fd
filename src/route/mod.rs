//! Names, clusters, endpoints: what control produces and workers look up.

/// A cluster: a set of endpoints that serve the same names. Dense, interned by control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u32);

/// An endpoint of a cluster. Dense, interned by control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u32);
