//! As much of TLS as a gateway needs: reading a ClientHello's server name, and writing an alert.
//!
//! ```text
//!   wire ─▶ reassembly ─▶ client_hello ─▶ extensions ─▶ server_name
//!            (record)       (fields, over a reader that knows what has not arrived yet)
//! ```

pub mod alert;
pub mod client_hello;
mod extensions;
mod hello_error;
mod reader;
mod reassembly;
mod record;
pub mod server_name;
