use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{
    Expected, FormatError, NAME, RestoreError, SaveError, State, UNFINISHED, replace, restore,
    save, save_error,
};
use crate::consul::snapshot::tests::fixtures::{TRUST_DOMAIN, World};
use crate::consul::snapshot::{Snapshot, TableOptions};
use crate::consul::watch::Part;

const HOUR: Duration = Duration::from_secs(3600);

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("sluice-state-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    /// One with a state of an hour ago in it.
    fn saved(name: &str) -> Self {
        let folder = Self::new(name);
        save(&folder.0, &state()).unwrap();
        folder
    }

    fn file(&self) -> PathBuf {
        self.0.join(NAME)
    }

    fn unfinished_count(&self) -> usize {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.filter(|e| e.as_ref().unwrap().path() != self.file()).count()
    }

    fn restore(&self) -> Result<super::Restored, RestoreError> {
        restore(&self.0, &expected())
    }

    /// What is wrong with a file of these bytes.
    fn defect(&self, bytes: &[u8]) -> FormatError {
        fs::write(self.file(), bytes).unwrap();
        match self.restore().unwrap_err() {
            RestoreError::Format { why, .. } => why,
            other => panic!("{other}"),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn state() -> State {
    State {
        saved_at: now() - HOUR,
        gateway: "gateway-1".into(),
        snapshot: World::golden().snapshot(),
        definition: Some(b"{\"ID\":\"gateway-1\"}\n".to_vec()),
        server_domain: Some("mesh.example".to_owned()),
    }
}

fn expected() -> Expected<'static> {
    Expected { gateway: "gateway-1", datacenter: Some("dc1"), age_max: 24 * HOUR, now: now() }
}

#[test]
fn what_is_saved_comes_back_as_it_was() {
    let folder = Folder::saved("back");
    let restored = folder.restore().unwrap();
    assert_eq!(restored.age, Some(HOUR));
    let (found, saved) = (restored.state, state());
    assert_eq!(found.saved_at, saved.saved_at);
    assert_eq!(found.gateway, saved.gateway);
    assert_eq!(found.definition, saved.definition);
    assert_eq!(found.server_domain, saved.server_domain);
    for part in Part::ALL {
        let expected = saved.snapshot.body(part).filter(|_| part != Part::Critical);
        assert_eq!(found.snapshot.body(part), expected, "{part:?}");
    }
    let options = TableOptions::default();
    assert_eq!(found.snapshot.table(&options), saved.snapshot.table(&options));
    // For people: who, where, when.
    let text = fs::read_to_string(folder.file()).unwrap();
    assert!(text.lines().nth(1).unwrap().contains(TRUST_DOMAIN));
    // For this user alone, and nothing beside it.
    assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&folder.0).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(folder.unfinished_count(), 0);
}

#[test]
fn the_next_one_takes_the_place_of_the_last() {
    let folder = Folder::saved("next");
    let next = State { saved_at: now(), definition: None, server_domain: None, ..state() };
    save(&folder.0, &next).unwrap();
    let restored = folder.restore().unwrap();
    assert_eq!((restored.age, restored.state.definition), (Some(Duration::ZERO), None));
    assert_eq!(restored.state.server_domain, None);
}

#[test]
fn a_file_that_is_not_there_or_cannot_be_read_is_told_apart() {
    let folder = Folder::new("absent");
    let error = folder.restore().unwrap_err();
    assert!(matches!(error, RestoreError::Absent { .. }), "{error}");
    fs::create_dir_all(folder.file()).unwrap();
    let error = folder.restore().unwrap_err();
    assert!(matches!(error, RestoreError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("not a regular file"), "{error}");
}

#[test]
fn every_byte_that_is_missing_or_changed_is_noticed() {
    let folder = Folder::saved("bytes");
    let whole = fs::read(folder.file()).unwrap();
    for length in [0, 1, 12, 20, 30, 200, whole.len() / 2, whole.len() - 1] {
        let why = folder.defect(&whole[..length]);
        assert!(
            matches!(why, FormatError::Length { .. } | FormatError::Foreign),
            "{length}: {why}"
        );
        let begun = whole.iter().position(|byte| *byte == b'\n').unwrap() < length;
        assert_eq!(matches!(why, FormatError::Length { .. }), begun, "{length}: {why}");
    }
    let longer = [whole.as_slice(), b"x"].concat();
    assert!(matches!(folder.defect(&longer), FormatError::Length { .. }));
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap();
    for at in [first + 1, first + 100, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(matches!(folder.defect(&changed), FormatError::Checksum { .. }), "{at}");
    }
    assert!(matches!(folder.defect(b"#!/bin/sh\n"), FormatError::Foreign));
    assert!(matches!(folder.defect(&[b'x'; 1000]), FormatError::Foreign));
    assert!(matches!(folder.defect(b"sluice-state 1 zz 1\nx"), FormatError::Foreign));
    fs::write(folder.file(), &whole).unwrap();
    folder.restore().unwrap();
}

#[test]
fn another_version_is_said_to_be_one() {
    let folder = Folder::saved("version");
    let why = folder.defect(b"sluice-state 2 00000000 0\n");
    assert_eq!(why.to_string(), "it is of version \"2\" and this program reads version 1");
}

/// A file with a right checksum.
fn sealed(rest: &[u8]) -> Vec<u8> {
    let first = format!("sluice-state 1 {:08x} {}\n", crc32fast::hash(rest), rest.len());
    [first.as_bytes(), rest].concat()
}

#[test]
fn a_right_checksum_is_not_trusted_beyond_what_it_says() {
    let folder = Folder::saved("sealed");
    assert!(matches!(folder.defect(&sealed(b"{}\n")), FormatError::Head(_)));
    assert!(matches!(folder.defect(&sealed(b"{}")), FormatError::Foreign));
    let head = |bodies: &str| {
        let head = r#"{"saved_at":1,"gateway":"gateway-1","datacenter":"","trust_domain":"#;
        format!("{head}\"\",\"bodies\":[{bodies}]}}\n").into_bytes()
    };
    assert!(matches!(folder.defect(&sealed(&head(""))), FormatError::Lacking("roots")));
    let long = head(r#"{"name":"roots","length_bytes":18446744073709551615}"#);
    assert!(matches!(folder.defect(&sealed(&long)), FormatError::Length { .. }));
    let empty = head(r#"{"name":"catalog","length_bytes":0}"#);
    assert!(matches!(folder.defect(&sealed(&empty)), FormatError::Answer(_)));
}

#[test]
fn a_state_without_a_table_is_none() {
    let folder = Folder::new("partly");
    save(&folder.0, &State { snapshot: Snapshot::default(), ..state() }).unwrap();
    let error = folder.restore().unwrap_err();
    let lacking = matches!(&error, RestoreError::Format { why: FormatError::Lacking(_), .. });
    assert!(lacking, "{error}");
}

#[test]
fn a_state_of_another_gateway_or_datacenter_is_not_used() {
    let folder = Folder::saved("other");
    let other = Expected { gateway: "gateway-2", ..expected() };
    let error = restore(&folder.0, &other).unwrap_err().to_string();
    assert!(error.contains("\"gateway-1\"") && error.contains("--state-dir"), "{error}");
    let other = Expected { datacenter: Some("dc2"), ..expected() };
    let error = restore(&folder.0, &other).unwrap_err();
    assert!(matches!(error, RestoreError::OtherDatacenter { .. }), "{error}");
    let anywhere = Expected { datacenter: None, ..expected() };
    restore(&folder.0, &anywhere).unwrap();
}

#[test]
fn too_old_is_told_and_a_clock_that_went_back_is_no_age() {
    let folder = Folder::saved("old");
    let at = |now| restore(&folder.0, &Expected { now, ..expected() });
    let saved_at = now() - HOUR;
    assert_eq!(at(saved_at + 24 * HOUR).unwrap().age, Some(24 * HOUR));
    let error = at(saved_at + 24 * HOUR + Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, RestoreError::TooOld { .. }), "{error}");
    assert!(error.to_string().contains("86401 s old and --state-max-age is 86400 s"), "{error}");
    assert_eq!(at(saved_at - HOUR).unwrap().age, None);
    assert_eq!(at(SystemTime::UNIX_EPOCH).unwrap().age, None);
}

#[test]
fn a_process_that_dies_before_the_rename_leaves_the_old_state() {
    let folder = Folder::saved("crash");
    let left = folder.0.join(format!("{NAME}.1{UNFINISHED}"));
    fs::write(&left, b"sluice-state 1 0000").unwrap();
    folder.restore().unwrap();
    // It may be another process that is writing now: only an old one is removed.
    assert_eq!(folder.unfinished_count(), 1);
    let later = SystemTime::now() + 2 * HOUR;
    let later = Expected { now: later, age_max: Duration::MAX, ..expected() };
    restore(&folder.0, &later).unwrap();
    assert_eq!(folder.unfinished_count(), 0);
    // One with our own id is in nobody's way.
    let own = folder.0.join(format!("{NAME}.{}{UNFINISHED}", std::process::id()));
    fs::write(&own, b"sluice-state 1 0000").unwrap();
    save(&folder.0, &state()).unwrap();
    assert_eq!(folder.unfinished_count(), 0);
    folder.restore().unwrap();
}

#[test]
fn a_disk_that_is_full_in_the_middle_keeps_the_old_state() {
    let folder = Folder::saved("full");
    let error = replace(&folder.0, |file| {
        file.write_all(b"sluice-state 1 ")?;
        Err(io::ErrorKind::StorageFull.into())
    })
    .unwrap_err();
    let error = save_error(&folder.0, error);
    assert!(matches!(error, SaveError::Full { .. }), "{error}");
    assert!(error.to_string().contains("--state-dir"), "{error}");
    assert_eq!(folder.unfinished_count(), 0);
    assert_eq!(folder.restore().unwrap().age, Some(HOUR));
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_and_no_more() {
    let folder = Folder::new("refused");
    // A file where the folder should be, which not even root can write into.
    fs::write(&folder.0, b"").unwrap();
    let error = save(&folder.0, &state()).unwrap_err();
    assert!(matches!(error, SaveError::Failed { .. }), "{error}");
    fs::remove_file(&folder.0).unwrap();
    let error = save(Path::new("/proc/sluice"), &state()).unwrap_err();
    assert!(!matches!(error, SaveError::Full { .. }), "{error}");
    for kind in [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::PermissionDenied] {
        let error = save_error(&folder.0, kind.into());
        assert!(matches!(error, SaveError::Refused { .. }), "{error}");
    }
}
