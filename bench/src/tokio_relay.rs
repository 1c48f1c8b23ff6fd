//! A copy relay on tokio-uring, as one would write it with the crate alone: what raw rings and
//! readiness buy over it.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;

use tokio_uring::net::{TcpListener, TcpStream};

const BUFFER_BYTES: usize = 16_384;

/// Relays until the process is ended.
///
/// # Errors
/// Setting up failed.
pub(crate) fn run(bind: SocketAddr, backend: SocketAddr) -> io::Result<()> {
    crate::run::limits::raise_descriptors();
    tokio_uring::builder().entries(4096).start(async {
        let listener = TcpListener::bind(bind)?;
        loop {
            let Ok((down, _)) = listener.accept().await else { continue };
            tokio_uring::spawn(async move {
                // A broken connection ends its session and nothing else.
                let _ = relay(down, backend).await;
            });
        }
    })
}

/// One session: dialed after its first bytes.
async fn relay(down: TcpStream, backend: SocketAddr) -> io::Result<()> {
    down.set_nodelay(true)?;
    let (read, first) = down.read(Vec::with_capacity(BUFFER_BYTES)).await;
    if read? == 0 {
        return Ok(());
    }
    let up = TcpStream::connect(backend).await?;
    up.set_nodelay(true)?;
    up.write_all(first).await.0?;
    let (down, up) = (Rc::new(down), Rc::new(up));
    let back = tokio_uring::spawn(copy(Rc::clone(&up), Rc::clone(&down)));
    copy(down, up).await?;
    back.await.map_err(io::Error::other)?
}

async fn copy(from: Rc<TcpStream>, to: Rc<TcpStream>) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        let (read, filled) = from.read(buffer).await;
        if read? == 0 {
            return to.shutdown(Shutdown::Write);
        }
        let (written, emptied) = to.write_all(filled).await;
        written?;
        buffer = emptied;
        buffer.clear();
    }
}
