//! The test's hold on a simulation: time, the wire, and what is left at the end.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use super::core::{Core, Nobody, Open, WorldOptions};
use super::faults::Faults;
use super::random::Random;
use crate::kernel::Tick;

/// The test's hold on everything. Cheap to clone.
#[derive(Clone, Debug)]
pub struct World(pub(super) Rc<RefCell<Core>>);

/// One simulated kernel among those of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelId(pub(super) usize);

impl World {
    /// A world with nobody in it.
    #[must_use]
    pub fn new(options: WorldOptions) -> Self {
        Self(Rc::new(RefCell::new(Core::new(options))))
    }

    /// Says what an address does to those who dial it while nobody listens there. Without it,
    /// dials are refused.
    pub fn set_nobody(&self, at: SocketAddr, nobody: Nobody) {
        self.0.borrow_mut().nobody.insert(at, nobody);
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.0.borrow().now
    }

    /// Lets time pass until `to`; it never goes back.
    pub fn advance(&self, to: Tick) {
        let mut core = self.0.borrow_mut();
        core.now = core.now.max(to);
    }

    /// Ends the next waiting turn of a kernel, as its eventfd would.
    pub fn wake(&self, kernel: KernelId) {
        self.0.borrow_mut().kernels[kernel.0].woken = true;
    }

    /// Whether a turn of this kernel would return at once.
    #[must_use]
    pub fn is_ready(&self, kernel: KernelId) -> bool {
        self.0.borrow_mut().is_ready(kernel.0)
    }

    /// When this kernel's waiting turn ends without anything else happening: the time that its
    /// worker asked for, or that a dial has an answer.
    #[must_use]
    pub fn waits_until(&self, kernel: KernelId) -> Option<Tick> {
        self.0.borrow().waits_until(kernel.0)
    }

    /// Lets some of what is on a slow wire arrive.
    pub fn drift(&self) {
        self.0.borrow_mut().drift();
    }

    /// Lets everything arrive that is on a slow wire and can. Returns whether anything was.
    pub fn settle(&self) -> bool {
        self.0.borrow_mut().settle()
    }

    /// What is open, held or under way.
    #[must_use]
    pub fn open(&self) -> Open {
        let core = self.0.borrow();
        let operation_count = core.kernels.iter().map(|k| k.operations.len()).sum();
        Open { operation_count, ..core.open }
    }

    /// How many pipes were closed with bytes in them, so far.
    #[must_use]
    pub fn dirty_pipe_count(&self) -> u64 {
        self.0.borrow().dirty_pipe_count
    }

    /// What went wrong so far.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.0.borrow().options.faults.clone()
    }

    /// Changes what goes wrong from now on, beginning with the present counts.
    pub fn change_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.borrow_mut().options.faults);
    }

    /// A number of the world's own random sequence.
    #[must_use]
    pub fn random(&self) -> Random {
        Random::new(self.0.borrow_mut().random.number())
    }
}
