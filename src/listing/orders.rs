//! What `sluice drain` and `sluice logging` order, and print of what comes of it.

use std::io::Write;

use reqwest::Method;

use super::admin::{Admin, AskError};
use super::value::number;
use crate::cli::admin::{DrainArgs, LoggingArgs};
use crate::limits::DRAIN_WAIT_INTERVAL;

/// Has the gateway drain.
///
/// # Errors
/// See [`AskError`].
pub fn drain(args: &DrainArgs, out: &mut dyn Write) -> Result<(), AskError> {
    let admin = Admin::at(&args.admin.admin)?;
    let (path, question, said) = match (args.end, args.now) {
        (true, _) => ("/drain", &[][..], "it drains, and ends then"),
        (false, true) => {
            ("/drain_listeners", &[][..], "its listeners are closed; sessions go on until they end")
        }
        (false, false) => (
            "/drain_listeners",
            &[("graceful", "")][..],
            "its listeners close after --drain-delay; sessions go on until they end",
        ),
    };
    admin.text(Method::POST, path, question)?;
    writeln!(out, "{said}")?;
    if args.wait { wait(&admin, args.end, out) } else { Ok(()) }
}

fn wait(admin: &Admin, ends: bool, out: &mut dyn Write) -> Result<(), AskError> {
    let mut told = None;
    loop {
        let stats = match admin.json(Method::GET, "/stats", &[]) {
            // It has ended, as it was told to.
            Err(AskError::NoAnswer { .. }) if ends => {
                writeln!(out, "ended")?;
                return Ok(());
            }
            stats => stats?,
        };
        let totals = stats.get("totals").unwrap_or(&serde_json::Value::Null);
        let sessions = number(totals, "sessions");
        if told != Some(sessions) {
            writeln!(out, "{sessions} sessions")?;
            out.flush()?;
            told = Some(sessions);
        }
        if sessions == 0 && !ends {
            return Ok(());
        }
        std::thread::sleep(DRAIN_WAIT_INTERVAL);
    }
}

/// Has the gateway log from another level on, or says from which it does.
///
/// # Errors
/// See [`AskError`].
pub fn logging(args: &LoggingArgs, out: &mut dyn Write) -> Result<(), AskError> {
    let admin = Admin::at(&args.admin.admin)?;
    let level = args.level.as_deref().map(|level| ("level", level));
    let answer = admin.text(Method::POST, "/logging", level.as_slice())?;
    // As Envoy lists it: `active loggers:`, and a line for each.
    let level = answer.lines().find_map(|line| line.trim().strip_prefix("sluice: "));
    writeln!(out, "{}", level.unwrap_or(answer.trim()))?;
    Ok(())
}
