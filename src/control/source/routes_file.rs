//! The routes file on disk: reads it, and notices when it changes.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::limits::{ROUTES_FILE_BYTES_MAX, ROUTES_SETTLE};

/// What tells one state of a file from another (stat(2), links followed). A change of the link
/// above it, as Kubernetes makes for mounted ConfigMaps, shows as another inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A file that is looked at now and then.
#[derive(Debug)]
pub(crate) struct RoutesFile {
    path: PathBuf,
    /// What was read last, and whether it could still change without its identity telling.
    seen: Option<(Identity, bool)>,
    text: String,
    failure: Option<io::ErrorKind>,
}

/// What a look at the file found.
#[derive(Debug)]
pub(crate) enum Look {
    /// Nothing new.
    Same,
    /// Another text.
    Changed(String),
    /// It cannot be read any more. Told once.
    Unreadable(io::Error),
}

impl RoutesFile {
    /// A file of which nothing is known yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, seen: None, text: String::new(), failure: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks whether the file has changed, and reads it if so.
    pub(crate) fn look(&mut self) -> Look {
        match self.try_look() {
            Ok(look) => {
                self.failure = None;
                look
            }
            Err(error) if self.failure == Some(error.kind()) => Look::Same,
            Err(error) => {
                self.failure = Some(error.kind());
                Look::Unreadable(error)
            }
        }
    }

    /// Looks at the file as if nothing was known of it: for SIGHUP.
    pub(crate) fn look_anew(&mut self) -> Look {
        self.seen = None;
        self.text.clear();
        self.failure = None;
        self.look()
    }

    fn try_look(&mut self) -> io::Result<Look> {
        let now = Identity::of(&fs::metadata(&self.path)?);
        if self.seen == Some((now, true)) {
            return Ok(Look::Same);
        }
        let first = self.seen.is_none();
        let (text, identity, settled) = read(&self.path)?;
        self.seen = Some((identity, settled));
        if text == self.text && !first {
            return Ok(Look::Same);
        }
        self.text.clone_from(&text);
        Ok(Look::Changed(text))
    }
}

/// Reads the file. If it was written to only just now, or while it was read, the next look
/// reads it again: the clock of file systems ticks slower than writers write.
fn read(path: &Path) -> io::Result<(String, Identity, bool)> {
    let mut file = File::open(path)?;
    let before = file.metadata()?;
    if !before.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    if before.len() > ROUTES_FILE_BYTES_MAX {
        let most = format!("it is longer than {} MiB", ROUTES_FILE_BYTES_MAX >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, most));
    }
    let mut bytes = Vec::new();
    (&mut file).take(ROUTES_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))?;
    let after = file.metadata()?;
    let identity = Identity::of(&after);
    let age = after.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    let settled =
        identity == Identity::of(&before) && age.is_some_and(|age: Duration| age > ROUTES_SETTLE);
    Ok((text, identity, settled))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("sluice-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn changed(file: &mut RoutesFile) -> Option<String> {
        match file.look() {
            Look::Changed(text) => Some(text),
            Look::Same => None,
            Look::Unreadable(error) => panic!("{error}"),
        }
    }

    #[test]
    fn sees_every_kind_of_change() {
        let folder = Folder::new("changes");
        let path = folder.0.join("routes.toml");
        fs::write(&path, "one").unwrap();
        let mut file = RoutesFile::new(path.clone());
        assert_eq!(changed(&mut file).as_deref(), Some("one"));
        assert_eq!(changed(&mut file), None);
        // Where timestamps are coarse, only the text tells of a change at once, in place.
        assert!(matches!(file.seen, Some((_, false))), "a fresh file is read again");
        fs::write(&path, "two").unwrap();
        assert_eq!(changed(&mut file).as_deref(), Some("two"));
        // Renamed over it, as editors do.
        fs::write(folder.0.join("new"), "three").unwrap();
        fs::rename(folder.0.join("new"), &path).unwrap();
        assert_eq!(changed(&mut file).as_deref(), Some("three"));
        assert_eq!(changed(&mut file), None);
    }

    #[test]
    fn follows_links() {
        let folder = Folder::new("links");
        let (first, second) = (folder.0.join("first"), folder.0.join("second"));
        fs::write(&first, "first").unwrap();
        fs::write(&second, "second").unwrap();
        let link = folder.0.join("routes.toml");
        std::os::unix::fs::symlink(&first, &link).unwrap();
        let mut file = RoutesFile::new(link.clone());
        assert_eq!(changed(&mut file).as_deref(), Some("first"));
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&second, &link).unwrap();
        assert_eq!(changed(&mut file).as_deref(), Some("second"));
    }

    #[test]
    fn a_settled_file_is_not_read_again() {
        let folder = Folder::new("settled");
        let path = folder.0.join("routes.toml");
        fs::write(&path, "old").unwrap();
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(&path).unwrap().set_modified(hour_ago).unwrap();
        let mut file = RoutesFile::new(path);
        assert!(matches!(file.look(), Look::Changed(_)));
        assert!(matches!(file.seen, Some((_, true))));
        file.text = "what a second read would differ from".into();
        assert!(matches!(file.look(), Look::Same));
        assert!(matches!(file.look_anew(), Look::Changed(text) if text == "old"));
    }

    #[test]
    fn what_cannot_be_read_is_told_once_and_then_found_again() {
        let folder = Folder::new("missing");
        let path = folder.0.join("routes.toml");
        let mut file = RoutesFile::new(path.clone());
        assert!(matches!(file.look(), Look::Unreadable(_)));
        assert!(matches!(file.look(), Look::Same));
        fs::write(&path, "there").unwrap();
        assert_eq!(changed(&mut file).as_deref(), Some("there"));
        fs::write(&path, b"\xff").unwrap();
        assert!(matches!(file.look(), Look::Unreadable(e) if e.to_string().contains("UTF-8")));
    }
}
