//! Consul's side of the gateway: what is asked of the agent, what its answers mean, and what
//! the agent is told.
//!
//! [`agent`] speaks HTTP with the local agent; [`watch`] follows its answers with long polls;
//! [`snapshot`] holds those in force and makes routes of them, with a [`filter`] for each subset;
//! [`register`] keeps the gateway registered; `rights` says what the token lacks. Nothing here
//! knows of workers: what comes out is [`crate::route::model`].

pub mod agent;
pub mod filter;
pub mod model;
pub mod names;
pub mod register;
pub(crate) mod rights;
pub mod snapshot;
#[cfg(test)]
mod tests;
pub mod watch;
