//! What `check`, `routes`, `sessions`, `stats` and the like print: of a routes file, or of a
//! gateway that runs.

pub mod admin;
pub mod debug;
pub mod file;
pub mod gateway;
pub mod orders;
pub mod sessions;
pub mod settings;
pub mod stats;
mod value;
