//! System calls that have no safe wrapper elsewhere, and what `/proc` and cgroups tell.

pub mod affinity;
pub mod cgroup;
pub mod listener;
pub mod owner;
pub mod process;
pub mod slot;
pub mod waker;
