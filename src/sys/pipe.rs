//! Pipes that know their real capacity and how many bytes are in them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

/// A nonblocking pipe. Its capacity counts pages: small segments fill it with far fewer bytes
/// than it was made for, so a full pipe cannot be told from its byte count.
#[derive(Debug)]
pub struct Pipe {
    read_end: OwnedFd,
    write_end: OwnedFd,
    // 32 bits each: a pipe lives in a session's slot, and `fs.pipe-max-size` is 31 bits.
    capacity_bytes: u32,
    pending_bytes: u32,
}

impl Pipe {
    /// A pipe of `capacity_bytes`, or of at least `least_bytes` where the system allows no more:
    /// beyond `fs.pipe-user-pages-soft`, users without privileges get pipes of two pages, and
    /// may not enlarge them (pipe(7)).
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`; `EPERM` if even `least_bytes` is refused.
    pub fn new(capacity_bytes: usize, least_bytes: usize) -> Result<Self, Errno> {
        let (read_end, write_end) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
        let mut wanted = capacity_bytes;
        let mut capacity = resize(write_end.as_fd(), wanted)?;
        while capacity < wanted && wanted > least_bytes {
            wanted = (wanted / 4).max(least_bytes);
            capacity = resize(write_end.as_fd(), wanted)?;
        }
        if capacity < least_bytes {
            return Err(Errno::EPERM);
        }
        let capacity_bytes = u32::try_from(capacity).unwrap_or(u32::MAX);
        Ok(Self { read_end, write_end, capacity_bytes, pending_bytes: 0 })
    }

    /// What the kernel says it was made for (`F_GETPIPE_SZ`).
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.capacity_bytes as usize
    }

    /// How many bytes are in it.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes as usize
    }

    /// The end to read from.
    #[must_use]
    pub fn read_end(&self) -> BorrowedFd<'_> {
        self.read_end.as_fd()
    }

    /// The end to write to.
    #[must_use]
    pub fn write_end(&self) -> BorrowedFd<'_> {
        self.write_end.as_fd()
    }

    /// Notes that bytes went in.
    pub fn added(&mut self, count_bytes: usize) {
        let count = u32::try_from(count_bytes).unwrap_or(u32::MAX);
        self.pending_bytes = self.pending_bytes.saturating_add(count);
    }

    /// Notes that bytes came out.
    pub fn removed(&mut self, count_bytes: usize) {
        debug_assert!(count_bytes <= self.pending_bytes(), "more came out than went in");
        let count = u32::try_from(count_bytes).unwrap_or(u32::MAX);
        self.pending_bytes = self.pending_bytes.saturating_sub(count);
    }
}

/// Asks for a capacity and returns the one there is. A refusal is not an error: the pipe keeps
/// the capacity it has.
fn resize(pipe: BorrowedFd<'_>, capacity_bytes: usize) -> Result<usize, Errno> {
    let wanted = i32::try_from(capacity_bytes).unwrap_or(i32::MAX);
    let granted = match fcntl(pipe, FcntlArg::F_SETPIPE_SZ(wanted)) {
        Ok(granted) => granted,
        Err(_) => fcntl(pipe, FcntlArg::F_GETPIPE_SZ)?,
    };
    Ok(usize::try_from(granted).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_what_the_kernel_granted() {
        let pipe = Pipe::new(262_144, 65_536).unwrap();
        assert_eq!(pipe.capacity_bytes(), 262_144);
        // Beyond fs.pipe-max-size: refused without CAP_SYS_RESOURCE, and the least is enough.
        let granted = Pipe::new(1 << 30, 65_536).unwrap().capacity_bytes();
        assert!((65_536..=1 << 30).contains(&granted), "{granted}");
    }

    #[test]
    fn less_than_the_least_is_refused() {
        assert_eq!(Pipe::new(65_536, usize::MAX).unwrap_err(), Errno::EPERM);
    }
}
