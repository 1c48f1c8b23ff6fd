//! Starting the workers, each on its thread, and reaching them.

use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::UnboundedSender;

use crate::dataplane::orders::{Orders, Stage};
use crate::dataplane::worker::{Worker, WorkerParts};
use crate::kernel::epoll::Epoll;
use crate::kernel::uring::Ring;
use crate::kernel::{Kernel, KernelOptions};
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
}

/// A worker's thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) worker: u16,
    pub(crate) panicked: bool,
}

/// What a worker's thread is started with.
pub(crate) struct Seed {
    pub(crate) parts: WorkerParts,
    pub(crate) options: KernelOptions,
    pub(crate) engine: Engine,
    pub(crate) cpu: Option<usize>,
}

/// Whether a worker's kernel could be made, and if not, why.
pub(crate) type Made = (u16, Result<(), String>);

/// Starts a worker. It tells `made` when its kernel is made, and `ended` when it has ended,
/// whatever the reason.
///
/// # Errors
/// No thread could be started.
pub(crate) fn start(
    seed: Seed,
    made: Sender<Made>,
    ended: UnboundedSender<Ended>,
) -> io::Result<JoinHandle<()>> {
    let id = seed.parts.id;
    let body = move || {
        let _farewell = Farewell { worker: id, ended };
        if let Some(cpu) = seed.cpu
            && let Err(error) = affinity::pin(cpu)
        {
            tracing::warn!(worker = id, cpu, %error, "not pinned");
        }
        match seed.engine {
            Engine::Uring => serve(Ring::new(seed.options), seed.parts, made),
            Engine::Epoll => serve(Epoll::new(seed.options), seed.parts, made),
        }
    };
    thread::Builder::new().name(format!("sluice-{id}")).spawn(body)
}

fn serve<K: Kernel, E: Display>(kernel: Result<K, E>, parts: WorkerParts, made: Sender<Made>) {
    let id = parts.id;
    match kernel {
        Ok(kernel) => {
            let _ = made.send((id, Ok(())));
            // Whoever waits for all workers waits until no sender is left.
            drop(made);
            Worker::new(kernel, parts).run();
        }
        Err(error) => {
            let _ = made.send((id, Err(error.to_string())));
        }
    }
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
