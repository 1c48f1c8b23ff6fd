//! What Linux knows of a process and its children (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// A process with everything that it has started.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    root: i32,
}

/// What a tree has used up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// CPU of all threads, those of the kernel that work for a ring and those that have ended
    /// included.
    pub(crate) cpu: Duration,
    /// Of it, CPU of ring workers (io-wq) that still live.
    pub(crate) ring_workers: Duration,
    /// Times that a thread slept or was put aside.
    pub(crate) context_switches: u64,
}

/// What a tree has of memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) resident_bytes: u64,
    pub(crate) proportional_bytes: u64,
    /// The most it ever had resident.
    pub(crate) peak_bytes: u64,
}

impl Tree {
    pub(crate) fn new(root: u32) -> Self {
        Self { root: i32::try_from(root).unwrap_or(i32::MAX) }
    }

    /// The process and its descendants, parents first.
    pub(crate) fn members(&self) -> Vec<i32> {
        let parents = parents();
        let mut members = vec![self.root];
        let mut next = 0;
        while let Some(&member) = members.get(next) {
            members.extend(parents.iter().filter(|(_, parent)| **parent == member).map(|(p, _)| p));
            next += 1;
        }
        members
    }

    /// The threads of all members.
    pub(crate) fn threads(&self) -> Vec<i32> {
        self.members().into_iter().flat_map(threads_of).collect()
    }

    pub(crate) fn used(&self) -> Used {
        let mut used = Used::default();
        for member in self.members() {
            let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(member));
            let cpu = clock.and_then(clock_gettime).map_or(Duration::ZERO, Duration::from);
            used.cpu += cpu;
            for thread in threads_of(member) {
                let folder = format!("/proc/{member}/task/{thread}");
                used.context_switches += switches(&read(&format!("{folder}/status")));
                if read(&format!("{folder}/comm")).starts_with("iou-wrk") {
                    let spent = read(&format!("{folder}/schedstat"));
                    let spent_ns = spent.split(' ').next().and_then(|ns| ns.parse().ok());
                    used.ring_workers += Duration::from_nanos(spent_ns.unwrap_or(0));
                }
            }
        }
        used
    }

    pub(crate) fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for member in self.members() {
            let rollup = read(&format!("/proc/{member}/smaps_rollup"));
            memory.resident_bytes += kib_of(&rollup, "Rss:") * 1024;
            memory.proportional_bytes += kib_of(&rollup, "Pss:") * 1024;
            memory.peak_bytes += kib_of(&read(&format!("/proc/{member}/status")), "VmHWM:") * 1024;
        }
        memory
    }
}

fn threads_of(process: i32) -> impl Iterator<Item = i32> {
    list(&format!("/proc/{process}/task")).into_iter().filter_map(|name| name.parse().ok())
}

/// Everybody's parent.
fn parents() -> BTreeMap<i32, i32> {
    let pids = list("/proc").into_iter().filter_map(|name| name.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, parent_of(&read(&format!("/proc/{pid}/stat")))?))).collect()
}

/// The fourth field of stat; the second, a name, may contain anything.
fn parent_of(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn switches(status: &str) -> u64 {
    let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

fn kib_of(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn list(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_any_thread_is_seen() {
        let tree = Tree::new(std::process::id());
        let before = tree.used();
        let worker = std::thread::spawn(|| {
            let until = Duration::from_millis(20);
            let clock = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
            while clock() < until {}
        });
        // It has ended when it is measured.
        worker.join().unwrap();
        let spent = tree.used().cpu - before.cpu;
        assert!(spent >= Duration::from_millis(20), "{spent:?}");
        assert!(tree.memory().resident_bytes > 100_000);
    }

    #[test]
    fn fields_are_found() {
        assert_eq!(parent_of("12 (a) b) S 7 12 12"), Some(7));
        assert_eq!(switches("voluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t4\n"), 7);
        assert_eq!(kib_of("Rss:    12 kB\nPss: 3 kB\n", "Pss:"), 3);
    }
}
