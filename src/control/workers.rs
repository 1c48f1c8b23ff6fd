//! The workers' threads: each makes its kernel, and serves when it is told to begin.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use crate::dataplane::orders::{Orders, Stage};
use crate::dataplane::survey::{Found, Survey};
use crate::dataplane::worker::{Worker, WorkerParts};
use crate::kernel::epoll::Epoll;
use crate::kernel::uring::{Ring, RingRefused};
use crate::kernel::{Kernel, KernelOptions};
use crate::limits::SURVEY_PATIENCE;
use crate::sys::affinity;
use crate::sys::waker::Waker;

/// The engine a worker runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Uring,
    Epoll,
}

impl Engine {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Uring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

/// A worker's thread and the way to reach it.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) thread: JoinHandle<()>,
    pub(crate) orders: Arc<Orders>,
    pub(crate) waker: Arc<Waker>,
}

impl Handle {
    pub(crate) fn order(&self, stage: Stage) {
        self.orders.advance(stage);
        self.waker.wake();
    }

    /// What asks it for its sessions.
    pub(crate) fn asker(&self) -> Asker {
        Asker { orders: Arc::clone(&self.orders), waker: Arc::clone(&self.waker) }
    }
}

/// Asks a worker for its sessions.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    orders: Arc<Orders>,
    waker: Arc<Waker>,
}

impl Asker {
    /// The sessions in its next slots from this one on; `None` if it does not answer.
    pub(crate) async fn sessions(&self, first_slot: u32) -> Option<Found> {
        let (survey, answer) = Survey::new(first_slot);
        self.orders.ask(survey);
        self.waker.wake();
        timeout(SURVEY_PATIENCE, answer).await.ok()?.ok()
    }
}

/// A worker's thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) worker: u16,
    pub(crate) panicked: bool,
}

/// What a worker's thread is started with.
pub(crate) struct Seed {
    pub(crate) id: u16,
    pub(crate) engine: Engine,
    pub(crate) options: KernelOptions,
    pub(crate) cpu: Option<usize>,
}

/// What a worker begins to serve with.
pub(crate) struct Begin {
    pub(crate) parts: WorkerParts,
    /// Told when the worker has ended, whatever the reason.
    pub(crate) ended: UnboundedSender<Ended>,
}

/// A worker's thread that waits to begin. It ends if `begin` is dropped.
#[derive(Debug)]
pub(crate) struct Recruit {
    pub(crate) thread: JoinHandle<()>,
    pub(crate) begin: Sender<Begin>,
}

/// Whether a worker's kernel could be made, and if not, why.
pub(crate) type Made = (u16, Result<(), Unmade>);

/// Why a worker's kernel could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unmade {
    /// It would be no ring; epoll could still do.
    #[error(transparent)]
    Ring(RingRefused),
    /// No engine could do.
    #[error("{0}")]
    Any(String),
}

impl From<RingRefused> for Unmade {
    fn from(refused: RingRefused) -> Self {
        match refused {
            RingRefused::Listener(_) => Self::Any(refused.to_string()),
            refused => Self::Ring(refused),
        }
    }
}

impl From<Errno> for Unmade {
    fn from(errno: Errno) -> Self {
        Self::Any(errno.to_string())
    }
}

/// Starts a worker's thread, which makes its kernel and tells `made`.
///
/// # Errors
/// No thread could be started.
pub(crate) fn start(seed: Seed, made: Sender<Made>) -> io::Result<Recruit> {
    let (begin, beginning) = channel();
    let id = seed.id;
    let body = move || {
        if let Some(cpu) = seed.cpu
            && let Err(error) = affinity::pin(cpu)
        {
            tracing::warn!(worker = id, cpu, %error, "not pinned");
        }
        match seed.engine {
            Engine::Uring => serve(id, Ring::new(seed.options), made, &beginning),
            Engine::Epoll => serve(id, Epoll::new(seed.options), made, &beginning),
        }
    };
    let thread = thread::Builder::new().name(format!("sluice-{id}")).spawn(body)?;
    Ok(Recruit { thread, begin })
}

fn serve<K: Kernel, E: Into<Unmade>>(
    id: u16,
    kernel: Result<K, E>,
    made: Sender<Made>,
    beginning: &Receiver<Begin>,
) {
    let kernel = match kernel {
        Ok(kernel) => kernel,
        Err(why) => {
            let _ = made.send((id, Err(why.into())));
            return;
        }
    };
    let _ = made.send((id, Ok(())));
    // Whoever waits for all workers waits until no sender is left.
    drop(made);
    // If it never comes, another worker got no kernel.
    let Ok(Begin { parts, ended }) = beginning.recv() else { return };
    let _farewell = Farewell { worker: id, ended };
    Worker::new(kernel, parts).run();
}

/// Says that the thread has ended, also when it unwinds.
struct Farewell {
    worker: u16,
    ended: UnboundedSender<Ended>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let _ = self.ended.send(Ended { worker: self.worker, panicked: thread::panicking() });
    }
}
