//! The last good answers on disk, so that a gateway that starts while Consul is away serves.
//!
//! ```text
//!   sluice-state 1 <CRC-32 of the rest, hexadecimal> <length of the rest, bytes>
//!   {"saved_at":1700000000,"gateway":"…","datacenter":"…","trust_domain":"…","bodies":[…]}
//!   the bodies, one after the other, as Consul sent them
//! ```
//!
//! A restored table is made of the same bodies by the same code as a live one. The file is
//! replaced as a whole: written beside, synced, renamed. It holds no token.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;

use crate::consul::snapshot::Snapshot;
use crate::limits::{STATE_FILE_BYTES_MAX, STATE_LEFTOVER_AGE};

mod format;

pub use format::FormatError;

/// The name of the file within its folder.
const NAME: &str = "sluice.state";
/// The end of the name of a file that is being written.
const UNFINISHED: &str = ".unfinished";

/// What is kept.
#[derive(Clone, Debug)]
pub struct State {
    /// When it was saved.
    pub saved_at: SystemTime,
    /// The id of the gateway in Consul.
    pub gateway: String,
    /// The answers.
    pub snapshot: Snapshot,
    /// What Consul says of a registration that others made.
    pub definition: Option<Vec<u8>>,
    /// The domain of Consul's agents, where it is known.
    pub server_domain: Option<String>,
}

/// What a state file must be for this gateway to use it.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The id of the gateway in Consul.
    pub gateway: &'a str,
    /// Its datacenter, where it is known without Consul.
    pub datacenter: Option<&'a str>,
    /// Older ones are not used.
    pub age_max: Duration,
    /// The time.
    pub now: SystemTime,
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The state.
    pub state: State,
    /// Its age. `None`: it was saved later than now, so the clock has gone back since; nobody
    /// knows then how old it is, and an old table is better than none.
    pub age: Option<Duration>,
}

/// Why there is nothing to restore. One sentence for the operator; the gateway waits for Consul.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// There is none.
    #[error("there is no saved state in {}: it is written after the first table", folder.display())]
    Absent {
        /// The folder.
        folder: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read the saved state {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
    /// It is longer than any state.
    #[error("the saved state {} has {length_bytes} bytes, more than one can have: it is not used, \
             and will be replaced", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        length_bytes: u64,
    },
    /// It is damaged, of another version, or has what would not be taken from Consul.
    #[error("the saved state {} is not used, and will be replaced: {why}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: FormatError,
    },
    /// Another gateway's.
    #[error(
        "the saved state {} is of the gateway {found:?}, and this one is {expected:?}: give each \
         gateway a --state-dir of its own", path.display()
    )]
    OtherGateway {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// Of another datacenter.
    #[error(
        "the saved state {} is of the datacenter {found:?}, and this gateway is in {expected:?}: \
         it is not used, and will be replaced", path.display()
    )]
    OtherDatacenter {
        /// The file.
        path: PathBuf,
        /// Where it is from.
        found: String,
        /// Where it should be from.
        expected: String,
    },
    /// Too old.
    #[error(
        "the saved state {} is {} s old and --state-max-age is {} s: it is not used; to serve \
         from it all the same, raise --state-max-age", path.display(), age.as_secs(),
        age_max.as_secs()
    )]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its age.
        age: Duration,
        /// What is allowed.
        age_max: Duration,
    },
}

/// Why the state was not saved. One sentence for the operator; the gateway goes on without, and
/// what was saved before is still there.
#[derive(Debug, Error)]
pub enum SaveError {
    /// No room.
    #[error(
        "no room to save the state in {}: make some, or name another folder with --state-dir; \
         routing goes on", folder.display()
    )]
    Full {
        /// The folder.
        folder: PathBuf,
    },
    /// Not allowed.
    #[error(
        "Linux refuses to write in {} ({source}): make it writable for this user, or name \
         another folder with --state-dir; routing goes on", folder.display()
    )]
    Refused {
        /// The folder.
        folder: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot save the state in {}: {source}; routing goes on", folder.display())]
    Failed {
        /// The folder.
        folder: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
}

/// Saves a state, in place of the one that is there. Makes the folder if need be. Takes as long
/// as the disk does: not for the control thread.
///
/// # Errors
/// See [`SaveError`].
pub fn save(folder: &Path, state: &State) -> Result<(), SaveError> {
    let (head, bodies) = format::encode(state);
    replace(folder, |file| {
        file.write_all(&head)?;
        bodies.iter().try_for_each(|body| file.write_all(body))
    })
    .map_err(|source| save_error(folder, source))
}

/// Reads a state back.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore(folder: &Path, expected: &Expected<'_>) -> Result<Restored, RestoreError> {
    let path = folder.join(NAME);
    sweep(folder, expected.now);
    let bytes = read(folder, &path)?;
    let state = match format::decode(&bytes) {
        Ok(state) => state,
        Err(why) => return Err(RestoreError::Format { path, why }),
    };
    if state.gateway != expected.gateway {
        let (found, expected) = (state.gateway, expected.gateway.to_owned());
        return Err(RestoreError::OtherGateway { path, found, expected });
    }
    let found = state.snapshot.datacenter().unwrap_or_default();
    if let Some(datacenter) = expected.datacenter.filter(|name| *name != found) {
        let (found, expected) = (found.to_owned(), datacenter.to_owned());
        return Err(RestoreError::OtherDatacenter { path, found, expected });
    }
    let age = expected.now.duration_since(state.saved_at).ok();
    match age.filter(|age| *age > expected.age_max) {
        Some(age) => Err(RestoreError::TooOld { path, age, age_max: expected.age_max }),
        None => Ok(Restored { state, age }),
    }
}

fn read(folder: &Path, path: &Path) -> Result<Vec<u8>, RestoreError> {
    let unreadable = |source| RestoreError::Unreadable { path: path.to_owned(), source };
    // A FIFO in its place must not hold the start.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(RestoreError::Absent { folder: folder.to_owned() });
        }
        Err(error) => return Err(unreadable(error)),
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        let why = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
        return Err(unreadable(why));
    }
    let length_bytes = metadata.len();
    if length_bytes > STATE_FILE_BYTES_MAX {
        return Err(RestoreError::TooLong { path: path.to_owned(), length_bytes });
    }
    let mut bytes = Vec::new();
    file.take(STATE_FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// Writes a file beside, and then puts it in the place of the old one. Whatever fails, and
/// whenever the process dies, the old one or the new one is there, whole.
fn replace(folder: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // During an upgrade two processes may save at once.
    let beside = folder.join(format!("{NAME}.{}{UNFINISHED}", std::process::id()));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let replaced = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        write(&mut file)?;
        file.sync_all()?;
        fs::rename(&beside, folder.join(NAME))
    })();
    if replaced.is_err() {
        let _ = fs::remove_file(&beside);
        return replaced;
    }
    // The name, too, is to outlive a power cut.
    File::open(folder)?.sync_all()
}

/// Removes what processes left that died while they wrote.
fn sweep(folder: &Path, now: SystemTime) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|n| n.starts_with(NAME) && n.ends_with(UNFINISHED));
        let modified = || entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = || now.duration_since(modified()?).ok();
        if is_ours && age().is_some_and(|age| age > STATE_LEFTOVER_AGE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn save_error(folder: &Path, source: io::Error) -> SaveError {
    let folder = folder.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SaveError::Full { folder },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            SaveError::Refused { folder, source }
        }
        _ => SaveError::Failed { folder, source },
    }
}

/// Seconds since 1970; before it: 0.
fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
