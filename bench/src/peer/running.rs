//! A peer that runs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::counters::{self, Counted};
use super::{Counters, Peer, PeerError, fill_in, place_left};
use crate::load::SERVER_NAME;
use crate::run::process::Tree;
use crate::run::{affinity, limits, ports};

/// The last so many bytes of what a peer complained of are shown.
const COMPLAINT_BYTES: usize = 600;

/// How peers are started.
#[derive(Clone, Debug)]
pub(crate) struct Start<'a> {
    pub(crate) backend: SocketAddr,
    pub(crate) workers: usize,
    /// CPUs that the peer may use.
    pub(crate) cpus: &'a [usize],
    /// Those that this thread goes back to.
    pub(crate) own_cpu: usize,
    /// The gateway's program.
    pub(crate) sluice: &'a Path,
    /// Where each peer gets a folder of its own.
    pub(crate) scratch: &'a Path,
}

/// A peer that runs, until it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: Option<Child>,
    folder: PathBuf,
    /// Where it accepts connections.
    pub(crate) address: SocketAddr,
    counters: Option<Counters>,
    stderr_must_be_empty: bool,
}

impl Peer {
    /// The version that its program tells; empty for what is part of the bench itself.
    ///
    /// # Errors
    /// It is not installed.
    pub(crate) fn version(&self, sluice: &Path) -> Result<String, PeerError> {
        let Some(program) = self.program.as_ref().filter(|_| !self.version.is_empty()) else {
            return Ok(String::new());
        };
        let program = resolve(program, sluice);
        let output = Command::new(&program).args(&self.version).output();
        let output = output.map_err(|_| PeerError::Missing(program.display().to_string()))?;
        let said = [output.stdout, output.stderr].concat();
        Ok(version_in(&String::from_utf8_lossy(&said)).to_owned())
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub(crate) fn start(&self, start: &Start<'_>) -> Result<Running, PeerError> {
        let failed =
            |error: &dyn ToString| PeerError::NotStarted(self.name.clone(), error.to_string());
        let address = ports::free_address().map_err(|error| failed(&error))?;
        let admin = ports::free_address().map_err(|error| failed(&error))?;
        let folder = start.scratch.join(format!("{}-{}", self.name, address.port()));
        fs::create_dir_all(&folder).map_err(|error| failed(&error))?;
        let mut running = Running {
            name: self.name.clone(),
            child: None,
            folder,
            address: if self.is_direct() { start.backend } else { address },
            counters: None,
            stderr_must_be_empty: self.stderr_must_be_empty,
        };
        let Some(program) = &self.program else { return Ok(running) };
        let values = self.values(start, address, admin, &running.folder)?;
        let arguments: Vec<String> =
            self.arguments.iter().map(|argument| fill_in(argument, &values)).collect();
        running.counters = self
            .counters
            .clone()
            .map(|counters| Counters { url: fill_in(&counters.url, &values), ..counters });
        affinity::pin(start.cpus).map_err(|errno| failed(&errno))?;
        let spawned = spawn(&resolve(program, start.sluice), &arguments, &running.folder);
        affinity::pin(&[start.own_cpu]).map_err(|errno| failed(&errno))?;
        running.child = match spawned {
            Ok(child) => Some(child),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(PeerError::Missing(program.clone()));
            }
            Err(error) => return Err(failed(&error)),
        };
        running.wait_until_it_listens()?;
        Ok(running)
    }

    fn values(
        &self,
        start: &Start<'_>,
        address: SocketAddr,
        admin: SocketAddr,
        folder: &Path,
    ) -> Result<BTreeMap<String, String>, PeerError> {
        let mut values = self.values.clone();
        let mut add = |name: &str, value: String| values.insert(name.to_owned(), value);
        add("port", address.port().to_string());
        add("admin_port", admin.port().to_string());
        add("backend", start.backend.to_string());
        add("backend_host", start.backend.ip().to_string());
        add("backend_port", start.backend.port().to_string());
        add("name", SERVER_NAME.to_owned());
        add("workers", start.workers.to_string());
        // Pipes, logs and listeners need some, too.
        let connections_max = limits::descriptors().saturating_sub(1000).clamp(100, 200_000);
        add("connections_max", connections_max.to_string());
        add("sessions_max", (connections_max / 2).to_string());
        add("folder", folder.display().to_string());
        if let Some(config) = &self.config {
            let wrong = |path: &Path, error: &dyn ToString| {
                PeerError::File(path.to_owned(), error.to_string())
            };
            let template = self.folder.join(config);
            let text = fs::read_to_string(&template).map_err(|error| wrong(&template, &error))?;
            let text = fill_in(&text, &values);
            if let Some(place) = place_left(&text) {
                return Err(wrong(&template, &format!("there is no value for @{place}@")));
            }
            let path = folder.join(config);
            fs::write(&path, text).map_err(|error| wrong(&path, &error))?;
            values.insert("config".to_owned(), path.display().to_string());
        }
        Ok(values)
    }
}

impl Running {
    /// Its processes; none if there is no proxy.
    pub(crate) fn tree(&self) -> Option<Tree> {
        self.child.as_ref().map(|child| Tree::new(child.id()))
    }

    /// What it has counted, if it counts.
    pub(crate) fn counted(&self) -> Option<Counted> {
        let counters = self.counters.as_ref()?;
        counters::ask(&counters.url, &counters.completions, &counters.turns).ok()
    }

    /// # Errors
    /// It has ended, or complained.
    pub(crate) fn check(&mut self) -> Result<(), PeerError> {
        let said = self.said();
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => {
                Err(PeerError::Ended(self.name.clone(), format!("{status}; {said}")))
            }
            Some(Err(error)) => Err(PeerError::Ended(self.name.clone(), error.to_string())),
            _ if self.stderr_must_be_empty && !said.is_empty() => {
                Err(PeerError::Complained(self.name.clone(), said))
            }
            _ => Ok(()),
        }
    }

    fn wait_until_it_listens(&mut self) -> Result<(), PeerError> {
        const TIME: Duration = Duration::from_secs(20);
        const STEP: Duration = Duration::from_millis(5);
        let began = Instant::now();
        while !ports::is_listening(self.address.port()) {
            self.check()?;
            if began.elapsed() > TIME {
                let why = format!("it did not listen within {TIME:?}; {}", self.said());
                return Err(PeerError::NotStarted(self.name.clone(), why));
            }
            sleep(STEP);
        }
        Ok(())
    }

    /// The end of what it wrote to standard error.
    fn said(&self) -> String {
        let text = fs::read(self.folder.join("stderr")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let start = text.len().saturating_sub(COMPLAINT_BYTES);
        let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.get(start..).unwrap_or_default().trim().replace('\n', " | ")
    }
}

/// Ends all its processes.
impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            for member in Tree::new(child.id()).members() {
                // One that has just ended by itself is as good.
                let _ = kill(Pid::from_raw(member), Signal::SIGKILL);
            }
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn spawn(program: &Path, arguments: &[String], folder: &Path) -> io::Result<Child> {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(File::create(folder.join("stdout"))?)
        .stderr(File::create(folder.join("stderr"))?)
        .spawn()
}

/// The first word that looks like a version: a digit in front and a dot in it.
pub(super) fn version_in(said: &str) -> &str {
    let mut words = said.split(|c: char| c.is_whitespace() || c == '/');
    let is_version =
        |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    words.find(is_version).unwrap_or("unknown")
}

/// Where a program is. Debian has some in folders that are not in everybody's PATH.
fn resolve(program: &str, sluice: &Path) -> PathBuf {
    match program {
        "@sluice@" => sluice.to_owned(),
        "@self@" => std::env::current_exe().unwrap_or_else(|_| "sluice-bench".into()),
        _ => {
            let beside = Path::new("/usr/sbin").join(program);
            if beside.is_file() { beside } else { program.into() }
        }
    }
}
