//! `sluice debug`: a folder with all that somebody needs who was not there.
//!
//! Everything is taken from pages that show no secret, so nothing has to be taken out.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Method;

use super::admin::{Admin, AskError};
use super::sessions;
use crate::cli::admin::DebugArgs;
use crate::control::access_log::Timestamp;
use crate::doctor::host::examine_defaults;

/// Names and values of a query.
type Question = &'static [(&'static str, &'static str)];

/// The files, and the pages that they are; besides `stats.json`, by which it is seen that a gateway
/// answers.
const PAGES: [(&str, &str, Question); 11] = [
    ("version.json", "/server_info", &[]),
    ("config.json", "/config", &[]),
    ("routes.json", "/routes", &[]),
    ("stats.txt", "/stats", &[("format", "text")]),
    ("metrics.txt", "/metrics", &[]),
    ("clusters.json", "/clusters", &[("format", "json")]),
    ("listeners.json", "/listeners", &[("format", "json")]),
    ("config_dump.json", "/config_dump", &[("include_eds", "")]),
    ("memory.json", "/memory", &[]),
    ("refusals.json", "/refusals", &[]),
    ("events.json", "/events", &[]),
];

/// Writes the folder.
///
/// # Errors
/// No gateway answers, or the folder cannot be made. What the gateway does not tell is missing,
/// and that is said in the folder.
pub fn write(args: &DebugArgs, out: &mut dyn Write) -> Result<(), AskError> {
    let admin = Admin::at(&args.admin.admin)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp(u64::try_from(now.as_micros()).unwrap_or(u64::MAX)).to_string();
    let folder = match &args.output {
        Some(folder) => folder.clone(),
        None => PathBuf::from(format!("sluice-debug-{}", now.replace([':', '.'], "-"))),
    };
    // Before the folder is made: without a gateway there is nothing to put there.
    let stats = admin.text(Method::GET, "/stats", &[])?;
    // Names and addresses are in it: for who asked alone.
    let made = fs::DirBuilder::new().mode(0o700).create(&folder);
    made.map_err(|error| AskError::Wrong(cannot(&folder, &error)))?;
    let mut about = format!(
        "What the gateway at {} said at {now}.\n\nIt has names and addresses of services and of \
         clients. It has no token and no key.\n\n",
        args.admin.admin
    );
    note(&mut about, &folder, "stats.json", Ok(stats))?;
    for (file, path, question) in PAGES {
        note(&mut about, &folder, file, admin.text(Method::GET, path, question))?;
    }
    let listed = sessions::all(&admin)
        .map(|sessions| sessions.iter().map(|session| format!("{session}\n")).collect::<String>());
    note(&mut about, &folder, "sessions.jsonl", listed)?;
    // Limits are those of this user, and not of the gateway's.
    let mut host = Vec::new();
    examine_defaults().write(false, &mut host)?;
    fs::write(folder.join("host.txt"), host)?;
    about.push_str("host.txt: sluice doctor host, as the user who asked\n");
    fs::write(folder.join("about.txt"), about)?;
    let name = folder.display();
    writeln!(out, "written to {name}; to send it: tar czf {name}.tar.gz {name}")?;
    Ok(())
}

/// Writes a file, or why there is none.
fn note(
    about: &mut String,
    folder: &Path,
    file: &str,
    told: Result<String, AskError>,
) -> Result<(), AskError> {
    // Writing to a string does not fail.
    let _ = match told {
        Ok(text) => {
            fs::write(folder.join(file), text)?;
            writeln!(about, "{file}")
        }
        Err(error) => writeln!(about, "{file} is missing: {error}"),
    };
    Ok(())
}

fn cannot(folder: &Path, error: &io::Error) -> String {
    format!(
        "{} cannot be made ({error}): choose another folder with --output, one that is not there \
         yet",
        folder.display()
    )
}
