//! As much of TLS as a gateway needs: reading a ClientHello's server name, and writing an alert.

pub mod alert;
pub mod client_hello;
pub mod server_name;
