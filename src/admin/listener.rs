//! What the admin HTTP server listens on: TCP, or a socket in the file system.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, Flock, FlockArg};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::AdminBind;
use crate::error::StartError;
use crate::limits::{ADMIN_CONNECTIONS_MAX, ADMIN_SOCKET_LOCK_PAUSE, ADMIN_SOCKET_LOCK_TIMEOUT};
use crate::sys::listener;

/// A listener of the admin server; nonblocking.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Arc<SocketFile>),
}

impl Listener {
    /// Listens.
    ///
    /// # Errors
    /// Who has the address, or why it cannot be had.
    pub(crate) fn open(bind: &AdminBind) -> Result<Self, StartError> {
        match bind {
            AdminBind::Tcp(address) => Self::open_tcp(*address),
            AdminBind::Unix(path) => {
                let (listener, file) = open_unix(path)?;
                Ok(Self::Unix(listener, Arc::new(file)))
            }
        }
    }

    fn open_tcp(address: SocketAddr) -> Result<Self, StartError> {
        let listener = TcpListener::bind(address)
            .map_err(|source| listener::explain(source, address, "--admin-bind"))?;
        listener.set_nonblocking(true).map_err(StartError::system("ioctl(FIONBIO)"))?;
        Ok(Self::Tcp(listener))
    }

    /// Where it listens, with the port that port 0 became.
    pub(crate) fn bound(&self) -> Option<AdminBind> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(AdminBind::Tcp),
            Self::Unix(_, file) => Some(AdminBind::Unix(file.path.clone())),
        }
    }

    /// Its name, if it has one in the file system.
    pub(crate) fn socket_file(&self) -> Option<Weak<SocketFile>> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(_, file) => Some(Arc::downgrade(file)),
        }
    }
}

/// The name of a socket in the file system. Dropped, it is removed, unless it is another's by
/// then.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// Does what dropping does, where the process ends without.
    pub(crate) fn remove(&self) {
        // Who takes names there right now may take this one; then it stays, and is found to be
        // stale at worst.
        let folder = open_folder(&self.path).ok();
        let held = folder.map(|folder| Flock::lock(folder, FlockArg::LockExclusiveNonblock));
        if matches!(held, Some(Err(_))) {
            return;
        }
        if self.identity.is_some() && self.identity == identity(&self.path) {
            // Else it is found to be stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn open_unix(path: &Path) -> Result<(UnixListener, SocketFile), StartError> {
    let refused = |source| StartError::SocketRefused { path: path.to_owned(), source };
    let _held = lock_folder(path);
    let bound = match bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path)?;
            bind(path)
        }
        bound => bound,
    };
    let socket = bound.map_err(refused)?;
    if let Err(source) = listen(&socket, path) {
        // Nobody was told of it.
        let _ = fs::remove_file(path);
        return Err(refused(source));
    }
    let file = SocketFile { path: path.to_owned(), identity: identity(path) };
    Ok((socket.into(), file))
}

fn listen(socket: &Socket, path: &Path) -> io::Result<()> {
    // Before it listens: nobody else connects meanwhile. By the call that the seccomp profile for
    // containers allows.
    let owner_only = Mode::S_IRUSR | Mode::S_IWUSR;
    fchmodat(AT_FDCWD, path, owner_only, FchmodatFlags::FollowSymlink)?;
    socket.listen(i32::try_from(ADMIN_CONNECTIONS_MAX).unwrap_or(i32::MAX))
}

/// Held while a name in the folder is looked at, removed or taken: of two gateways that find the
/// same name stale, the second would else remove what the first has made meanwhile. It is the
/// folder that is locked (flock(2)), so that no file is left for it. Anybody who may read the
/// folder can keep the lock, and some folders cannot be read: no gateway fails to start for that.
fn lock_folder(path: &Path) -> Option<Flock<File>> {
    let until = Instant::now() + ADMIN_SOCKET_LOCK_TIMEOUT;
    let mut folder = open_folder(path).ok()?;
    loop {
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Some(held),
            Err((unlocked, Errno::EWOULDBLOCK)) if Instant::now() < until => folder = unlocked,
            Err((_, errno)) => {
                tracing::warn!(
                    "the folder of {} is not locked ({errno}; `lslocks` says who has it): do not \
                     start two gateways on that socket at once",
                    path.display()
                );
                return None;
            }
        }
        thread::sleep(ADMIN_SOCKET_LOCK_PAUSE);
    }
}

fn open_folder(path: &Path) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))
}

fn bind(path: &Path) -> io::Result<Socket> {
    let socket = unix_socket()?;
    socket.bind(&SockAddr::unix(path)?)?;
    Ok(socket)
}

fn unix_socket() -> io::Result<Socket> {
    Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)
}

/// Removes what a gateway that was killed has left.
fn remove_stale(path: &Path) -> Result<(), StartError> {
    let path = path.to_owned();
    let is_socket = fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Err(StartError::SocketNoSocket { path });
    }
    // Does not wait: who stands still may never take a connection.
    match unix_socket().and_then(|socket| socket.connect(&SockAddr::unix(&path)?)) {
        Ok(()) => Err(StartError::SocketInUse { path }),
        // It lives, and so many wait for it already that one more would have to.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(StartError::SocketInUse { path })
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(&path).map_err(|source| StartError::SocketRefused { path, source })
        }
        // Gone meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StartError::SocketRefused { path, source }),
    }
}

#[cfg(test)]
mod tests;
