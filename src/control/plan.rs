//! How many workers, on which CPUs, and what each may have. Pure.

use crate::config::{FlagError, WorkerPlan, cpu_list};
use crate::error::StartError;
use crate::limits::{
    DESCRIPTOR_RESERVE, PIPE_COUNT, PIPE_DESCRIPTOR_SHARE, SESSION_COUNT_LEAST, SESSION_COUNT_MOST,
};

/// Where the workers run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Each worker's CPU; `None`: wherever Linux puts it.
    pub cpus: Vec<Option<usize>>,
}

impl Placement {
    /// Places the workers on the CPUs of `allowed`, the affinity mask of the process.
    ///
    /// They are pinned when there is one for every CPU, or when the operator named the CPUs. A
    /// CPU quota below that leaves them free: all containers of a host that took their first
    /// CPUs would meet on the same ones.
    ///
    /// # Errors
    /// A flag that names what is not there.
    pub fn new(
        allowed: &[usize],
        quota: Option<u16>,
        plan: &WorkerPlan,
    ) -> Result<Self, FlagError> {
        let cpus = match &plan.cpus {
            Some(named) if named.iter().any(|cpu| !allowed.contains(cpu)) => {
                return Err(FlagError {
                    flag: "--cpus",
                    value: cpu_list::format(named),
                    expected: "CPUs that this process may use (`taskset -p $$` shows its mask)",
                });
            }
            Some(named) => named.as_slice(),
            None => allowed,
        };
        let by_quota = quota.map_or(cpus.len(), |quota| cpus.len().min(usize::from(quota)));
        let worker_count = match plan.worker_count {
            Some(count) => usize::from(count),
            None if plan.cpus.is_some() => cpus.len(),
            None => by_quota.max(1),
        };
        let pinned = plan.cpus.is_some() || worker_count >= cpus.len();
        let cpu_of = |worker: usize| cpus.iter().cycle().nth(worker).copied();
        let cpus: Vec<_> =
            (0..worker_count).map(|worker| cpu_of(worker).filter(|_| pinned)).collect();
        if plan.steer_by_cpu && !(pinned && distinct(&cpus)) {
            return Err(FlagError {
                flag: "--steer-by-cpu",
                value: format!("with {worker_count} workers"),
                expected: "a CPU of its own for every worker: name as many with --cpus",
            });
        }
        Ok(Self { cpus })
    }

    /// How many workers.
    #[must_use]
    pub fn worker_count(&self) -> u16 {
        u16::try_from(self.cpus.len()).unwrap_or(u16::MAX)
    }

    /// The workers' CPUs, if all are pinned.
    #[must_use]
    pub fn pinned(&self) -> Option<Vec<usize>> {
        self.cpus.iter().copied().collect()
    }
}

fn distinct(cpus: &[Option<usize>]) -> bool {
    cpus.iter().enumerate().all(|(index, cpu)| !cpus.iter().take(index).any(|c| c == cpu))
}

/// What each worker may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Sessions of a worker, two descriptors each.
    pub session_count_max: u32,
    /// Pipes of a worker, two descriptors each.
    pub pipe_count_max: usize,
}

impl Budget {
    /// Shares out `nofile` descriptors: the reserve, listeners and per-worker ones first, then
    /// pipes, then sessions.
    ///
    /// # Errors
    /// [`StartError::TooFewDescriptors`].
    pub fn new(
        nofile: u64,
        worker_count: u16,
        bind_count: usize,
        plan: &WorkerPlan,
    ) -> Result<Self, StartError> {
        /// A ring or epoll set, and both ends of the waker.
        const PER_WORKER: u64 = 3;
        let workers = u64::from(worker_count).max(1);
        let fixed = (bind_count as u64 + PER_WORKER) * workers + DESCRIPTOR_RESERVE as u64;
        let free = nofile.saturating_sub(fixed);
        let pipes = match plan.pipe_count_max {
            Some(wanted) => wanted as u64,
            None => (free / PIPE_DESCRIPTOR_SHARE / 2 / workers).min(PIPE_COUNT as u64),
        };
        let possible = free.saturating_sub(2 * pipes * workers) / 2 / workers;
        let possible = possible.min(SESSION_COUNT_MOST);
        let wanted = plan.session_count_max.map(|all| u64::from(all).div_ceil(workers));
        let session_count = wanted.map_or(possible, |wanted| wanted.min(possible));
        let needed = wanted.map_or(SESSION_COUNT_LEAST, |wanted| wanted.min(SESSION_COUNT_LEAST));
        if session_count < needed {
            return Err(StartError::TooFewDescriptors {
                nofile,
                worker_count,
                session_count,
                needed,
            });
        }
        Ok(Self {
            session_count_max: u32::try_from(session_count).unwrap_or(u32::MAX - 1),
            pipe_count_max: usize::try_from(pipes).unwrap_or(PIPE_COUNT),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(cpus: Option<&[usize]>, worker_count: Option<u16>) -> WorkerPlan {
        WorkerPlan { cpus: cpus.map(<[usize]>::to_vec), worker_count, ..WorkerPlan::default() }
    }

    fn place(quota: Option<u16>, plan: &WorkerPlan) -> Vec<Option<usize>> {
        Placement::new(&[0, 1, 4, 5], quota, plan).unwrap().cpus
    }

    #[test]
    fn one_pinned_worker_per_cpu_of_the_mask() {
        assert_eq!(place(None, &plan(None, None)), [Some(0), Some(1), Some(4), Some(5)]);
        assert_eq!(place(Some(8), &plan(None, None)).len(), 4);
    }

    #[test]
    fn a_quota_bounds_the_workers_and_leaves_them_unpinned() {
        assert_eq!(place(Some(2), &plan(None, None)), [None, None]);
        assert_eq!(place(Some(0), &plan(None, None)).len(), 1);
    }

    #[test]
    fn named_cpus_are_taken_in_their_order_whatever_the_quota() {
        assert_eq!(place(Some(1), &plan(Some(&[5, 0]), None)), [Some(5), Some(0)]);
        assert_eq!(place(None, &plan(Some(&[5, 0]), Some(3))), [Some(5), Some(0), Some(5)]);
        let error = Placement::new(&[0, 1], None, &plan(Some(&[0, 2]), None)).unwrap_err();
        assert_eq!(error.flag, "--cpus");
    }

    #[test]
    fn steering_needs_a_cpu_of_its_own_for_every_worker() {
        let steered = |plan: WorkerPlan| WorkerPlan { steer_by_cpu: true, ..plan };
        assert!(Placement::new(&[0, 1], None, &steered(plan(None, None))).is_ok());
        assert!(Placement::new(&[0, 1], None, &steered(plan(None, Some(3)))).is_err());
        assert!(Placement::new(&[0, 1], Some(1), &steered(plan(None, None))).is_err());
    }

    #[test]
    fn descriptors_are_shared_out_and_never_exceeded() {
        for nofile in [256, 1024, 4096, 20_000, 1_048_576] {
            for workers in [1, 2, 16] {
                let Ok(budget) = Budget::new(nofile, workers, 2, &plan(None, None)) else {
                    assert!(nofile <= 1024, "{nofile} are enough for {workers}");
                    continue;
                };
                let each =
                    2 * u64::from(budget.session_count_max) + 2 * budget.pipe_count_max as u64 + 5;
                let used = each * u64::from(workers) + DESCRIPTOR_RESERVE as u64;
                assert!(used <= nofile, "{used} of {nofile} with {workers}: {budget:?}");
            }
        }
    }

    #[test]
    fn twenty_thousand_descriptors_carry_nine_thousand_sessions() {
        let budget = Budget::new(20_000, 2, 1, &plan(None, None)).unwrap();
        assert!(budget.session_count_max >= 4600, "{budget:?}");
        assert!(budget.pipe_count_max >= 256, "{budget:?}");
    }

    #[test]
    fn too_few_descriptors_are_an_error_that_says_how_many() {
        let error = Budget::new(150, 4, 1, &plan(None, None)).unwrap_err();
        assert!(matches!(error, StartError::TooFewDescriptors { nofile: 150, .. }), "{error}");
        let hungry = WorkerPlan { pipe_count_max: Some(5000), ..WorkerPlan::default() };
        assert!(Budget::new(10_000, 1, 1, &hungry).is_err());
    }

    #[test]
    fn a_limit_without_meaning_does_not_make_a_table_without_end() {
        let budget = Budget::new(u64::MAX, 1, 1, &plan(None, None)).unwrap();
        assert_eq!(u64::from(budget.session_count_max), SESSION_COUNT_MOST);
        assert_eq!(budget.pipe_count_max, PIPE_COUNT);
    }

    #[test]
    fn a_cap_on_sessions_is_shared_by_the_workers() {
        let capped = WorkerPlan { session_count_max: Some(9), ..WorkerPlan::default() };
        assert_eq!(Budget::new(20_000, 2, 1, &capped).unwrap().session_count_max, 5);
    }
}
