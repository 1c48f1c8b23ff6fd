//! The runtime that the control thread runs on.

use std::future::Future;
use std::io;

/// Runs `future` to its end on this thread: on tokio-uring, or where io_uring is refused or not
/// wanted, on plain tokio. The same code runs on both.
///
/// # Errors
/// No runtime could be made.
pub(crate) fn block_on<F: Future>(with_uring: bool, future: F) -> io::Result<F::Output> {
    if with_uring {
        // Control has few operations in flight; the ring counts against RLIMIT_MEMLOCK.
        let mut ring = tokio_uring::builder();
        ring.entries(16);
        match tokio_uring::Runtime::new(&ring) {
            Ok(runtime) => return Ok(runtime.block_on(future)),
            Err(error) => tracing::warn!(%error, "control runs without io_uring"),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    Ok(local.block_on(&runtime, future))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_future_runs_on_both() {
        for with_uring in [true, false] {
            let timed = async {
                tokio::task::spawn_local(tokio::time::sleep(std::time::Duration::ZERO)).await
            };
            block_on(with_uring, timed).unwrap().unwrap();
        }
    }
}
