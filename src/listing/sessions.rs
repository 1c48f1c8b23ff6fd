//! What `sluice sessions` prints, and `/sessions?format=text` answers: a line for each session.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use reqwest::Method;
use serde_json::{Value, json};

use super::admin::{Admin, AskError};
use super::value::{array, number, text};
use crate::cli::admin::SessionsArgs;
use crate::limits::{FOLLOW_INTERVAL, FOLLOW_SESSIONS_MAX};

/// What stands above the columns.
const HEAD: [&str; 9] =
    ["ID", "STANDS", "AGE", "IDLE", "SOURCE", "ENDPOINT", "UP", "DOWN", "SERVER NAME"];

/// Prints the sessions that are wanted; with `--follow` those that come and go, until the gateway
/// ends or nobody reads any more.
///
/// # Errors
/// See [`AskError`].
pub fn list(args: &SessionsArgs, out: &mut dyn Write) -> Result<(), AskError> {
    let admin = Admin::at(&args.admin.admin)?;
    if args.follow {
        return follow(&admin, args, out);
    }
    let (sessions, is_all) = collect(&admin, &wanted(args))?;
    if args.json {
        for session in &sessions {
            writeln!(out, "{session}")?;
        }
    } else {
        write!(out, "{}", table(&sessions))?;
    }
    match (is_all, args.json) {
        (true, _) => {}
        (false, true) => writeln!(out, "{}", json!({ "more": true }))?,
        (false, false) => writeln!(out, "there are more: ask for fewer")?,
    }
    Ok(())
}

/// Prints what changes, once a second: `+` for a session that is new, `-` for one that is gone,
/// with what was seen of it last.
fn follow(admin: &Admin, args: &SessionsArgs, out: &mut dyn Write) -> Result<(), AskError> {
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    loop {
        let (sessions, is_all) = collect(admin, &wanted(args))?;
        let now: BTreeMap<String, Value> =
            sessions.into_iter().map(|one| (text(&one, "id").to_owned(), one)).collect();
        let opened = now.iter().filter(|(id, _)| !known.contains_key(*id));
        // Those beyond the last page may live on.
        let closed = known.iter().filter(|(id, _)| is_all && !now.contains_key(*id));
        for (sign, event, session) in opened
            .map(|(_, session)| ('+', "opened", session))
            .chain(closed.map(|(_, session)| ('-', "closed", session)))
        {
            match args.json {
                true => writeln!(out, "{}", json!({ "event": event, "session": session }))?,
                false => writeln!(out, "{sign} {}", row(session).join("  "))?,
            }
        }
        out.flush()?;
        known = now;
        std::thread::sleep(FOLLOW_INTERVAL);
    }
}

/// All that there are, but no more than [`FOLLOW_SESSIONS_MAX`] and a page.
pub(super) fn all(admin: &Admin) -> Result<Vec<Value>, AskError> {
    Ok(collect(admin, &[])?.0)
}

fn wanted(args: &SessionsArgs) -> Vec<(&str, &str)> {
    let filters = [
        ("sni", &args.sni),
        ("cluster", &args.cluster),
        ("source", &args.source),
        ("worker", &args.worker),
        ("older_than", &args.older_than),
    ];
    filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect()
}

/// All that are wanted, and whether it is all of them.
fn collect(admin: &Admin, wanted: &[(&str, &str)]) -> Result<(Vec<Value>, bool), AskError> {
    let mut sessions = Vec::new();
    let mut from: Option<String> = None;
    loop {
        let mut question = vec![("limit", "1000")];
        question.extend_from_slice(wanted);
        question.extend(from.as_deref().map(|from| ("from", from)));
        let mut page = admin.json(Method::GET, "/sessions", &question)?;
        if let Some(Value::Array(listed)) = page.get_mut("sessions") {
            sessions.append(listed);
        }
        from = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if from.is_none() || sessions.len() >= FOLLOW_SESSIONS_MAX {
            return Ok((sessions, from.is_none()));
        }
    }
}

/// A page as `/sessions` answers it, as a table.
pub(crate) fn page(page: &Value) -> String {
    let mut told = table(array(page, "sessions"));
    if let Some(next) = page.get("next").and_then(Value::as_str) {
        // Writing to a string does not fail.
        let _ = writeln!(told, "there are more: from={next}");
    }
    told
}

/// Sessions as a table.
pub(super) fn table(sessions: &[Value]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(sessions.iter().map(row));
    columns(&rows)
}

fn row(session: &Value) -> [String; 9] {
    let known = |name: &str| match text(session, name) {
        "" => "-".to_owned(),
        text => text.to_owned(),
    };
    let time = |name: &str| seconds(session.get(name).and_then(Value::as_f64).unwrap_or(0.0));
    // Quoted as Rust would: a name is the peer's.
    let name = match text(session, "sni") {
        "" => "-".to_owned(),
        name => format!("{name:?}").trim_matches('"').to_owned(),
    };
    [
        known("id"),
        known("stands"),
        time("age_s"),
        time("idle_s"),
        known("source"),
        known("endpoint"),
        bytes(number(session, "bytes_up")),
        bytes(number(session, "bytes_down")),
        name,
    ]
}

/// Rows with their columns below each other; the last one as long as it is.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut told = String::new();
    for row in rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        told.push_str(line.join("  ").trim_end());
        told.push('\n');
    }
    told
}

/// A time as people read it.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1}s"),
        s if s < 120.0 => format!("{s:.0}s"),
        s if s < 7200.0 => format!("{:.0}m", s / 60.0),
        s if s < 172_800.0 => format!("{:.0}h", s / 3600.0),
        s => format!("{:.0}d", s / 86_400.0),
    }
}

/// A count of bytes as people read it.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(count: u64) -> String {
    let mut scaled = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if scaled < 1024.0 {
            let digits = usize::from(unit != "B" && scaled < 100.0);
            return format!("{scaled:.digits$} {unit}");
        }
        scaled /= 1024.0;
    }
    format!("{scaled:.1} TiB")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_is_a_table_and_says_that_there_is_more() {
        let told = page(&json!({
            "sessions": [
                {"id": "0.1.2", "stands": "relaying", "age_s": 90.0, "idle_s": 0.25,
                 "source": "10.0.0.1:4000", "endpoint": "10.0.0.2:80", "bytes_up": 2048,
                 "bytes_down": 3, "sni": "web.example"},
                {"id": "1.10.0", "stands": "hello", "age_s": 0.0, "idle_s": 0.0, "source": null,
                 "endpoint": null, "bytes_up": 0, "bytes_down": 0, "sni": null},
            ],
            "next": "1.11",
        }));
        let expected = "\
ID      STANDS    AGE   IDLE  SOURCE         ENDPOINT     UP       DOWN  SERVER NAME
0.1.2   relaying  90s   0.2s  10.0.0.1:4000  10.0.0.2:80  2.0 KiB  3 B   web.example
1.10.0  hello     0.0s  0.0s  -              -            0 B      0 B   -
there are more: from=1.11
";
        assert_eq!(told, expected);
    }

    #[test]
    fn numbers_are_short() {
        for (count, told) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (150 << 20, "150 MiB"),
            (5 << 40, "5.0 TiB"),
            (9999 << 40, "9999.0 TiB"),
        ] {
            assert_eq!(bytes(count), told);
        }
        for (s, told) in
            [(0.04, "0.0s"), (59.6, "60s"), (600.0, "10m"), (9000.0, "2h"), (864_000.0, "10d")]
        {
            assert_eq!(seconds(s), told);
        }
    }
}
