//! How a state is written.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{State, unix_seconds};
use crate::consul::snapshot::{AnswerError, Snapshot};
use crate::consul::watch::Part;

const MAGIC: &str = "sluice-state";
const VERSION: &str = "1";
const DEFINITION: &str = "definition";
const SERVER_DOMAIN: &str = "server_domain";
/// The first line is never longer, whatever the figures.
const FIRST_LINE_BYTES_MAX: usize = 100;

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum FormatError {
    /// Something else.
    #[error("it is no state of a gateway, or only the beginning of one")]
    Foreign,
    /// Written by another version of this program.
    #[error("it is of version {0:?} and this program reads version {VERSION}")]
    Version(String),
    /// Shorter than it says, or longer.
    #[error("it is cut off: it says {expected} bytes and has {found}")]
    Length {
        /// What it says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// Its bytes are not those that were written.
    #[error("its checksum is {found:08x} and should be {expected:08x}: the disk changed it")]
    Checksum {
        /// What it says.
        expected: u32,
        /// What its bytes have.
        found: u32,
    },
    /// Its second line is none of ours, with a checksum that is right.
    #[error("its second line cannot be read: {0}")]
    Head(serde_json::Error),
    /// One of its bodies is none that would be taken from Consul.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// It lacks an answer.
    #[error("it has no answer for {0}")]
    Lacking(&'static str),
}

#[derive(Serialize, Deserialize)]
struct Head {
    saved_at: u64,
    gateway: String,
    /// Both for people who look at the file: what counts is in the bodies.
    datacenter: String,
    trust_domain: String,
    bodies: Vec<BodyHead>,
}

#[derive(Serialize, Deserialize)]
struct BodyHead {
    name: String,
    length_bytes: usize,
}

/// Both lines, and the bodies that follow them.
pub(super) fn encode(state: &State) -> (Vec<u8>, Vec<&[u8]>) {
    let snapshot = &state.snapshot;
    let parts = Part::ALL.into_iter().filter(|part| part.is_lasting());
    let mut named: Vec<(&str, &[u8])> =
        parts.filter_map(|part| Some((part.name(), snapshot.body(part)?))).collect();
    if let Some(definition) = &state.definition {
        named.push((DEFINITION, definition));
    }
    if let Some(domain) = &state.server_domain {
        named.push((SERVER_DOMAIN, domain.as_bytes()));
    }
    let head = Head {
        saved_at: unix_seconds(state.saved_at),
        gateway: state.gateway.clone(),
        datacenter: snapshot.datacenter().unwrap_or_default().to_owned(),
        trust_domain: snapshot.trust_domain().unwrap_or_default().to_owned(),
        bodies: named
            .iter()
            .map(|(name, body)| BodyHead { name: (*name).into(), length_bytes: body.len() })
            .collect(),
    };
    // Texts and numbers: there is no value of it that JSON lacks.
    let mut line = serde_json::to_vec(&head).unwrap_or_default();
    line.push(b'\n');
    let bodies: Vec<&[u8]> = named.into_iter().map(|(_, body)| body).collect();
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&line);
    bodies.iter().for_each(|body| checksum.update(body));
    let length_bytes = bodies.iter().map(|body| body.len()).fold(line.len(), usize::saturating_add);
    let first = format!("{MAGIC} {VERSION} {:08x} {length_bytes}\n", checksum.finalize());
    ([first.into_bytes(), line].concat(), bodies)
}

/// What was encoded.
pub(super) fn decode(bytes: &[u8]) -> Result<State, FormatError> {
    let (head, mut rest) = checked(bytes)?;
    let (mut definition, mut server_domain) = (None, None);
    let mut snapshot = Snapshot::default();
    for BodyHead { name: body_name, length_bytes } in &head.bodies {
        let split = rest.split_at_checked(*length_bytes);
        let (body, after) = split.ok_or(FormatError::Length {
            expected: *length_bytes as u64,
            found: rest.len() as u64,
        })?;
        rest = after;
        match body_name.as_str() {
            DEFINITION => definition = Some(body.to_owned()),
            SERVER_DOMAIN => server_domain = Some(String::from_utf8_lossy(body).into_owned()),
            _ => {}
        }
        // Others are those of a later program that added parts.
        if let Some(part) = Part::ALL.into_iter().find(|part| part.name() == body_name) {
            snapshot.take(part, body)?;
        }
    }
    if let Some(part) = snapshot.missing().first() {
        return Err(FormatError::Lacking(part.name()));
    }
    let saved_at = UNIX_EPOCH.checked_add(Duration::from_secs(head.saved_at));
    let saved_at = saved_at.unwrap_or(UNIX_EPOCH);
    Ok(State { saved_at, gateway: head.gateway, snapshot, definition, server_domain })
}

/// The second line, and the bodies.
fn checked(bytes: &[u8]) -> Result<(Head, &[u8]), FormatError> {
    let (first, rest) = line(bytes, FIRST_LINE_BYTES_MAX).ok_or(FormatError::Foreign)?;
    let first = std::str::from_utf8(first).map_err(|_| FormatError::Foreign)?;
    let mut words = first.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(FormatError::Foreign);
    }
    match words.next() {
        Some(VERSION) => {}
        other => return Err(FormatError::Version(other.unwrap_or_default().to_owned())),
    }
    let checksum = words.next().and_then(|word| u32::from_str_radix(word, 16).ok());
    let length_bytes = words.next().and_then(|word| word.parse::<u64>().ok());
    let (Some(expected), Some(length_bytes)) = (checksum, length_bytes) else {
        return Err(FormatError::Foreign);
    };
    let found = rest.len() as u64;
    if found != length_bytes {
        return Err(FormatError::Length { expected: length_bytes, found });
    }
    let found = crc32fast::hash(rest);
    if found != expected {
        return Err(FormatError::Checksum { expected, found });
    }
    let (head, bodies) = line(rest, rest.len()).ok_or(FormatError::Foreign)?;
    Ok((serde_json::from_slice(head).map_err(FormatError::Head)?, bodies))
}

fn line(bytes: &[u8], length_bytes_max: usize) -> Option<(&[u8], &[u8])> {
    let within = bytes.get(..length_bytes_max).unwrap_or(bytes);
    let end = memchr::memchr(b'\n', within)?;
    Some((bytes.get(..end)?, bytes.get(end.checked_add(1)?..)?))
}
