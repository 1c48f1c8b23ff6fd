//! What `check` and `routes` print: of a routes file, or of a gateway that runs.

pub mod file;
pub mod gateway;
pub mod settings;
