//! `sluice doctor` on labs that are really broken: what it finds, and that what it says mends it.

mod agent;
mod connectivity;
mod federation;
mod gateway;
pub mod report;
mod rights;
