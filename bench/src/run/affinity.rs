//! Who runs where: the proxy on the first CPUs, the load generator on the last.

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The CPUs of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) proxy: Vec<usize>,
    pub(crate) load: usize,
}

impl Places {
    /// Chooses from what this process may use: the last for the load, the others for the proxy.
    ///
    /// # Errors
    /// sched_getaffinity(2) failed.
    pub(crate) fn choose() -> Result<Self, Errno> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let is_allowed = |cpu: &usize| allowed.is_set(*cpu) == Ok(true);
        let mut cpus: Vec<usize> = (0..CpuSet::count()).filter(is_allowed).collect();
        let load = cpus.pop().ok_or(Errno::EINVAL)?;
        if cpus.is_empty() {
            cpus.push(load);
        }
        Ok(Self { proxy: cpus, load })
    }

    /// Those of a proxy with so many workers: one each as far as there are.
    pub(crate) fn of_proxy(&self, worker_count: usize) -> &[usize] {
        self.proxy.get(..worker_count.max(1)).unwrap_or(&self.proxy)
    }
}

/// Runs this thread, and what it starts from now on, on these CPUs only.
///
/// # Errors
/// sched_setaffinity(2) failed.
pub(crate) fn pin(cpus: &[usize]) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    cpus.iter().try_for_each(|cpu| set.set(*cpu))?;
    sched_setaffinity(Pid::from_raw(0), &set)
}
