//! A process of a test, which outlives neither it nor its thread.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::until;

/// A running process. Killed and waited for when dropped.
pub struct Process(Child);

impl Process {
    /// Starts it, with its output going to a file. It is killed with the thread that starts it.
    pub fn start(program: &Path, words: &[&str], log: File) -> Self {
        let child = Command::new("setpriv")
            .args(["--pdeathsig=KILL", "--"])
            .arg(program)
            .args(words)
            // What the environment says of an agent is for others.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("setpriv (util-linux): {error}"));
        Self(child)
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }

    /// Waits for its end, which was asked for.
    pub fn wait(mut self) {
        until("a process ends", || (!self.is_running()).then_some(()));
    }

    /// Whether it runs still.
    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL also ends what was stopped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
