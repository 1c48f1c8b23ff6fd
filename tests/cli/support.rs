//! The real binary, a backend behind it, and clients in front of it.

#[path = "../e2e/support/directory.rs"]
mod directory;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use directory::Directory;

/// How long anything may take that takes milliseconds on an idle machine.
pub const SOON: Duration = Duration::from_secs(20);
pub const NAME: &str = "web.example";
pub const ROUTE: &str = "[[route]]\nsni = \"web.example\"\nendpoints = [\"127.0.0.1:9\"]\n";

/// Whether this shell script gets on in a mount namespace of its own, with a folder for its mounts:
/// some containers and roots allow none.
pub fn can_mount(script: &str) -> bool {
    let folder = Directory::new();
    let mut tried = Command::new("unshare");
    tried.args(["--mount", "--", "sh", "-ec", script, "sh"]).arg(folder.path());
    let output = tried.output().unwrap();
    if !output.status.success() {
        println!("left out, no mounts here: {}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

pub fn sluice(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sluice")).args(words).stdin(Stdio::null()).output().unwrap()
}

pub fn route_to(backend: SocketAddr) -> String {
    format!("[[route]]\nsni = \"{NAME}\"\nendpoints = [\"{backend}\"]\n")
}

/// A running gateway; killed when dropped.
pub struct Gateway {
    pub child: Child,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    log: Receiver<String>,
    /// Lines of its log that were not the ones waited for.
    pub passed: Vec<String>,
}

impl Gateway {
    pub fn start(folder: &Folder, routes: &str, flags: &[&str]) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        Self::start_with(command, folder, routes, flags)
    }

    /// Starts it with a command that ends in the binary.
    pub fn start_with(mut command: Command, folder: &Folder, routes: &str, flags: &[&str]) -> Self {
        let routes = folder.routes(routes);
        command.args(["run", "--routes", &routes, "--bind", "127.0.0.1:0"]);
        Self::start_as(command, flags)
    }

    /// Starts it with a command that lacks only the flags by which it is followed.
    pub fn start_as(mut command: Command, flags: &[&str]) -> Self {
        let mut child = command
            .args(flags)
            .args(["--admin-bind", "127.0.0.1:0", "--log", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let passed = Vec::new();
        let mut gateway = Self { child, address: unknown, admin: unknown, log, passed };
        let serving: Value = serde_json::from_str(&gateway.wait_for_line("\"serving\"")).unwrap();
        // The last of them, which the flags of a test name.
        let addresses = serving["addresses"].as_str().unwrap();
        gateway.address = addresses.split(' ').next_back().unwrap().parse().unwrap();
        let admin = serving["admin"].as_str().unwrap();
        gateway.admin = admin.split(' ').next_back().unwrap().parse().unwrap();
        gateway
    }

    pub fn wait_for_line(&mut self, part: &str) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("never: {part}"));
            if line.contains(part) {
                return line;
            }
            self.passed.push(line);
        }
    }

    pub fn lines(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    pub fn ready(&self) -> Option<u16> {
        self.get("/ready").map(|(status, _)| status)
    }

    pub fn get(&self, path: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(SOON)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap_or_default()))
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the gateway ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub fn access_log(&mut self) -> String {
        let mut log = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection through a gateway to a backend that echoes what follows the hello.
pub struct Session(TcpStream);

impl Session {
    pub fn open(gateway: SocketAddr) -> Self {
        Self::begin(TcpStream::connect(gateway).unwrap())
    }

    /// On a connection that is there already.
    pub fn begin(mut stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(&hello(NAME)).unwrap();
        Self(stream)
    }

    pub fn echo(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        let mut back = vec![0; bytes.len()];
        self.0.read_exact(&mut back).unwrap();
        assert_eq!(back, bytes);
    }

    /// Waits until the gateway closes it.
    pub fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// Reads a hello of [`NAME`], then echoes.
pub fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut first = vec![0; hello(NAME).len()];
                connection.read_exact(&mut first)?;
                assert_eq!(first, hello(NAME));
                let mut to = connection.try_clone()?;
                std::io::copy(&mut connection, &mut to)
            });
        }
    });
    address
}

/// A real ClientHello. The same bytes each time for [`NAME`], so that a backend knows them.
pub fn hello(name: &str) -> Vec<u8> {
    static KNOWN: LazyLock<Vec<u8>> = LazyLock::new(|| new_hello(NAME));
    if name == NAME { KNOWN.clone() } else { new_hello(name) }
}

pub fn new_hello(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = name.to_owned().try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Asks again and again; what is waited for comes from another process.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A directory of its own, with a routes file.
pub struct Folder(Directory);

impl Folder {
    pub fn new() -> Self {
        Self(Directory::new())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts a whole routes file in place, and returns its path.
    pub fn routes(&self, text: &str) -> String {
        let path = self.path().join("routes.toml");
        let written = self.path().join("routes.new");
        fs::write(&written, text).unwrap();
        fs::rename(&written, &path).unwrap();
        as_text(&path)
    }
}

pub fn as_text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
