//! The kernel on epoll.
