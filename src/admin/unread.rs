//! What is answered to bytes that are no request.
//!
//! hyper answers them by itself, with a status alone, and lets nobody else do it. So what it writes
//! before it has read a request goes nowhere, and its error is answered here, with a sentence.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Router;
use hyper::server::conn::http1::Builder;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, copy, sink};

use super::complaint::Complaint;
use crate::limits::ADMIN_UNREAD_BYTES_MAX;

/// Answers the one request of a connection, or what is there in place of one.
pub(super) async fn serve(
    builder: &Builder,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
) {
    let is_read = Cell::new(false);
    let service = TowerToHyperService::new(router);
    let service = service_fn(|request| {
        is_read.set(true);
        service.call(request)
    });
    let unread = Unread { stream: &mut stream, is_read: &is_read };
    let ended = builder.serve_connection(TokioIo::new(unread), service).await;
    if let (Err(error), false) = (ended, is_read.get()) {
        // What went wrong then is the client's affair.
        let _ = refuse(&mut stream, &error).await;
    }
}

async fn refuse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    error: &hyper::Error,
) -> io::Result<()> {
    let Some(complaint) = Complaint::unread(error) else { return Ok(()) };
    stream.write_all(complaint.on_the_wire().as_bytes()).await?;
    stream.shutdown().await?;
    // Closed with bytes that nobody has read, it would be reset, and the answer lost with it.
    copy(&mut stream.take(ADMIN_UNREAD_BYTES_MAX), &mut sink()).await?;
    Ok(())
}

/// A connection that is written to only once a request was read.
struct Unread<'a, S> {
    stream: &'a mut S,
    is_read: &'a Cell<bool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Unread<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unread<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.is_read.get() {
            true => Pin::new(&mut *self.stream).poll_write(context, bytes),
            false => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.is_read.get() {
            true => Pin::new(&mut *self.stream).poll_write_vectored(context, parts),
            false => Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_read.get() {
            ready!(Pin::new(&mut *self.stream).poll_shutdown(context))?;
        }
        Poll::Ready(Ok(()))
    }
}
