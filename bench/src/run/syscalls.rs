//! System calls, counted by Linux: the tracepoint `raw_syscalls:sys_enter` by perf_event_open(2).
//!
//! While anybody counts them, every system call of the machine takes a longer way. So they are
//! counted in a round of their own, whose other figures are thrown away.

use std::fs::File;
use std::io::{self, Read};

use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::process::Tree;

/// Counts the system calls of all threads that a process tree has, and of those that they start.
pub(super) struct SyscallCounter(Vec<Counter>);

impl SyscallCounter {
    /// Begins.
    ///
    /// # Errors
    /// Only root may (`CAP_SYS_ADMIN` for tracefs, `CAP_PERFMON` for the counters).
    pub(super) fn begin(tree: &Tree) -> io::Result<Self> {
        let entered = Tracepoint::with_id(tracepoint("raw_syscalls/sys_enter")?);
        let counter = |thread| {
            let mut builder = Builder::new(entered);
            builder.observe_pid(thread).any_cpu().inherit(true).exclude_kernel(false);
            let mut counter = builder.build()?;
            counter.enable()?;
            Ok(counter)
        };
        tree.threads().into_iter().map(counter).collect::<io::Result<_>>().map(Self)
    }

    /// How many there were since.
    ///
    /// # Errors
    /// Those of read(2).
    pub(super) fn count(&mut self) -> io::Result<u64> {
        self.0.iter_mut().map(Counter::read).sum()
    }
}

/// The number of a tracepoint, which only tracefs knows. It is mounted for nobody but us, and
/// gone with the descriptor (fsmount(2)): few systems have it in place.
fn tracepoint(name: &str) -> io::Result<u64> {
    let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    let path = format!("events/{name}/id");
    let mut text = String::new();
    let file = openat(root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    File::from(file).read_to_string(&mut text)?;
    text.trim().parse().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_of_any_thread_is_counted() {
        let mut counter = match SyscallCounter::begin(&Tree::new(std::process::id())) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return,
            counter => counter.unwrap(),
        };
        let before = counter.count().unwrap();
        let calls = || {
            for _ in 0..1000 {
                nix::unistd::getppid();
            }
        };
        calls();
        std::thread::spawn(calls).join().unwrap();
        let counted = counter.count().unwrap() - before;
        assert!((2000..4000).contains(&counted), "{counted}");
    }
}
