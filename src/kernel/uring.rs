//! The kernel on io_uring.
