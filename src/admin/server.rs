//! Takes connections and answers them: one request for each, and all within bounds, because
//! whoever can reach the server is not necessarily a friend.

use std::io;
use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_local;

use super::listener::{Listener, SocketFile};
use super::unread;
use crate::limits::{ACCEPT_PAUSE, ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_BYTES_MAX, ADMIN_TIMEOUT};

/// Serves on all of these, on tasks of this thread.
pub(super) fn serve(listeners: Vec<Listener>, router: &Router) {
    // The descriptors of connections are taken from the reserve, and the rest of it belongs to
    // others.
    let free = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
    for listener in listeners {
        match Accepting::new(listener) {
            Ok(accepting) => drop(spawn_local(listen(accepting, router.clone(), free.clone()))),
            Err(error) => tracing::error!(%error, "the admin HTTP server does not listen"),
        }
    }
}

/// Serves on one, until it is dropped.
pub(super) async fn serve_one(listener: Listener, router: Router) {
    match Accepting::new(listener) {
        Ok(accepting) => {
            listen(accepting, router, Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX))).await;
        }
        Err(error) => tracing::error!(%error, "metrics are not served"),
    }
}

enum Accepting {
    Tcp(TcpListener),
    /// Its name goes when it does.
    Unix(UnixListener, #[allow(dead_code, reason = "dropped with it")] Arc<SocketFile>),
}

impl Accepting {
    fn new(listener: Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Listener::Unix(listener, file) => Self::Unix(UnixListener::from_std(listener)?, file),
        })
    }

    async fn answer_next(&self, router: &Router, place: OwnedSemaphorePermit) -> io::Result<()> {
        let router = router.clone();
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                spawn_local(answer(stream, router, place));
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                spawn_local(answer(stream, router, place));
            }
        }
        Ok(())
    }
}

async fn listen(accepting: Accepting, router: Router, free: Arc<Semaphore>) {
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&free).acquire_owned().await else { return };
        if accepting.answer_next(&router, place).await.is_err() {
            // Out of descriptors, or a connection that is gone already.
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    router: Router,
    place: OwnedSemaphorePermit,
) {
    let mut builder = http1::Builder::new();
    builder.keep_alive(false).max_buf_size(ADMIN_HEAD_BYTES_MAX).header_read_timeout(None);
    // What went wrong is the client's affair.
    let _ = tokio::time::timeout(ADMIN_TIMEOUT, unread::serve(&builder, stream, router)).await;
    drop(place);
}
