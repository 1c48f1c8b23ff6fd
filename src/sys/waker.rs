//! Waking a worker from another thread: an eventfd (eventfd(2)).

use std::io;
use std::os::fd::OwnedFd;

use nix::sys::eventfd::{EfdFlags, EventFd};

/// The writing end. The reading end is a duplicate, given to the worker's kernel.
#[derive(Debug)]
pub struct Waker(EventFd);

impl Waker {
    /// Makes both ends.
    ///
    /// # Errors
    /// eventfd(2), dup(2): no descriptor left.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let reader = std::os::fd::AsFd::as_fd(&event).try_clone_to_owned()?;
        Ok((Self(event), reader))
    }

    /// Ends the worker's wait. Cannot fail in a way that matters: the only error of a valid
    /// eventfd is EAGAIN, when it is about to overflow, and then it is readable already.
    pub fn wake(&self) {
        let _ = self.0.write(1);
    }
}
