use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Barrier;

use super::*;
use crate::error::Exit;

/// A folder of its own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path) -> Result<Listener, StartError> {
    Listener::open(&AdminBind::Unix(path.to_owned()))
}

#[test]
fn a_socket_is_for_its_owner_and_gone_when_the_listener_is() {
    let folder = Folder::new("admin-owner");
    let path = folder.socket();
    let listener = open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(listener.bound(), Some(AdminBind::Unix(path.clone())));
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_left_alone() {
    let folder = Folder::new("admin-stale");
    let path = folder.socket();
    // The name of what nobody listens on any more.
    drop(UnixListener::bind(&path).unwrap());
    let Listener::Unix(listener, file) = open(&path).unwrap() else { panic!("not a socket") };
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StartError::SocketInUse { .. }), "{error}");
    assert_eq!(error.exit(), Exit::Address);
    // It was asked whether it lives, and still does.
    drop(listener.accept().unwrap());
    let mut client = UnixStream::connect(&path).unwrap();
    drop(listener.accept().unwrap());
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop(file);
}

#[test]
fn of_those_who_find_a_stale_socket_at_once_one_has_it() {
    const COUNT: usize = 4;
    let folder = Folder::new("admin-race");
    let path = folder.socket();
    for round in 0..200 {
        drop(UnixListener::bind(&path).unwrap());
        let barrier = Barrier::new(COUNT);
        let opened: Vec<Result<Listener, StartError>> = thread::scope(|scope| {
            let open = || {
                barrier.wait();
                open(&path)
            };
            let threads: Vec<_> = (0..COUNT).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1, "{round}: {opened:?}");
        UnixStream::connect(&path).unwrap();
        for error in opened.into_iter().filter_map(Result::err) {
            assert!(matches!(error, StartError::SocketInUse { .. }), "{error}");
        }
        assert!(!path.exists(), "it went with its listener");
    }
}

#[test]
fn who_holds_the_lock_of_the_folder_is_waited_for_but_not_for_ever() {
    let folder = Folder::new("admin-held");
    let path = folder.socket();
    let held = Flock::lock(File::open(&folder.0).unwrap(), FlockArg::LockExclusive).unwrap();
    let began = Instant::now();
    let opened = open(&path).unwrap();
    assert!(began.elapsed() >= ADMIN_SOCKET_LOCK_TIMEOUT);
    drop(held);
    drop(opened);
    assert!(!path.exists());
}

#[test]
fn a_gateway_that_stands_still_keeps_its_socket_and_nobody_waiting() {
    let folder = Folder::new("admin-still");
    let path = folder.socket();
    let listener = open(&path).unwrap();
    // As many as may wait.
    let waiting: Vec<Socket> = std::iter::repeat_with(|| {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).unwrap();
        socket.connect(&SockAddr::unix(&path).unwrap()).map(|()| socket)
    })
    .map_while(Result::ok)
    .collect();
    assert!(waiting.len() >= ADMIN_CONNECTIONS_MAX, "{}", waiting.len());
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StartError::SocketInUse { .. }), "{error}");
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn what_is_no_socket_is_never_removed() {
    let folder = Folder::new("admin-file");
    let path = folder.socket();
    fs::write(&path, "precious").unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StartError::SocketNoSocket { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let error = open(&folder.0.join("nowhere/admin.sock")).unwrap_err();
    assert!(matches!(error, StartError::SocketRefused { .. }), "{error}");
}

#[test]
fn the_socket_of_a_successor_stays() {
    let folder = Folder::new("admin-successor");
    let path = folder.socket();
    let first = open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let second = open(&path).unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}
