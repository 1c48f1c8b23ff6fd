//! What the admin HTTP server listens on: TCP, or a socket in the file system.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
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
        let Ok(folder) = open_folder(&self.path) else { return };
        let Ok(_held) = Flock::lock(folder, FlockArg::LockExclusiveNonblock) else { return };
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
    let _held = lock_folder(path)?;
    let bound = match bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path)?;
            bind(path)
        }
        bound => bound,
    };
    let socket = bound.map_err(refused)?;
    let file = SocketFile { path: path.to_owned(), identity: identity(path) };
    // Before it listens: nobody else connects meanwhile. By the call that the seccomp profile for
    // containers allows.
    let owner_only = Mode::S_IRUSR | Mode::S_IWUSR;
    fchmodat(AT_FDCWD, path, owner_only, FchmodatFlags::FollowSymlink)
        .map_err(|errno| refused(errno.into()))?;
    let backlog = i32::try_from(ADMIN_CONNECTIONS_MAX).unwrap_or(i32::MAX);
    socket.listen(backlog).map_err(refused)?;
    Ok((socket.into(), file))
}

/// Held while a name in the folder is looked at, removed or taken: of two gateways that find the
/// same name stale, the second would else remove what the first has made meanwhile. It is the
/// folder that is locked (flock(2)), so that no file is left for it.
fn lock_folder(path: &Path) -> Result<Flock<File>, StartError> {
    let until = Instant::now() + ADMIN_SOCKET_LOCK_TIMEOUT;
    let refused = |source| StartError::SocketRefused { path: path.to_owned(), source };
    let mut folder = open_folder(path).map_err(refused)?;
    loop {
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(held),
            Err((_, Errno::EWOULDBLOCK)) if Instant::now() > until => {
                return Err(StartError::SocketFolderHeld { path: path.to_owned() });
            }
            Err((unlocked, Errno::EWOULDBLOCK)) => folder = unlocked,
            Err((_, errno)) => return Err(refused(errno.into())),
        }
        thread::sleep(ADMIN_SOCKET_LOCK_PAUSE);
    }
}

fn open_folder(path: &Path) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))
}

fn bind(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    Ok(socket)
}

/// Removes what a gateway that was killed has left.
fn remove_stale(path: &Path) -> Result<(), StartError> {
    let path = path.to_owned();
    let is_socket = fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Err(StartError::SocketNoSocket { path });
    }
    match UnixStream::connect(&path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(&path).map_err(|source| StartError::SocketRefused { path, source })
        }
        // Gone meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(StartError::SocketInUse { path }),
        Err(source) => Err(StartError::SocketRefused { path, source }),
    }
}

#[cfg(test)]
mod tests;
