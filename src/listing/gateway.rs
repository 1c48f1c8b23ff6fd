//! What `sluice routes` prints of a gateway that runs: asks its admin HTTP server.

use std::io::Write;

use reqwest::Method;
use serde_json::Value;

use super::admin::Admin;
use super::value::{array, text};

pub use super::admin::AskError;

/// Prints the table in force.
///
/// # Errors
/// See [`AskError`].
pub fn table(admin: &str, out: &mut dyn Write) -> Result<(), AskError> {
    let answer = ask(admin, Method::GET, "/routes", None)?;
    for line in source(&answer) {
        writeln!(out, "# {line}")?;
    }
    let routes = array(&answer, "routes");
    let width = routes.iter().map(|route| text(route, "route").len()).max().unwrap_or(0);
    for route in routes {
        let target = match route.get("refused") {
            Some(why) => format!("refused: {}", why.as_str().unwrap_or_default()),
            None => endpoints(route),
        };
        writeln!(out, "{:width$}  {target}", text(route, "route"))?;
    }
    Ok(())
}

/// Prints what becomes of a name. Returns whether it is routed.
///
/// # Errors
/// See [`AskError`].
pub fn explain(admin: &str, name: &str, out: &mut dyn Write) -> Result<bool, AskError> {
    let answer = ask(admin, Method::GET, "/routes", Some(("sni", name)))?;
    let because = text(&answer, "because");
    let refused = answer.get("refused").and_then(Value::as_str);
    match refused {
        Some(why) => writeln!(out, "{name:?} is refused ({why}): {because}")?,
        None => writeln!(out, "{name:?} leads to {}: {because}", endpoints(&answer))?,
    }
    Ok(refused.is_none())
}

/// Has the gateway take the routes that it holds back. Returns whether there were any.
///
/// # Errors
/// See [`AskError`].
pub fn accept(admin: &str, out: &mut dyn Write) -> Result<bool, AskError> {
    let answer = ask(admin, Method::POST, "/routes/accept", None)?;
    let accepted = answer.get("accepted").and_then(Value::as_bool).unwrap_or(false);
    writeln!(out, "{}", if accepted { "accepted" } else { "nothing is held back" })?;
    Ok(accepted)
}

/// What is said of a table's source, a line each.
fn source(answer: &Value) -> Vec<String> {
    let source = answer.get("source").unwrap_or(&Value::Null);
    let version = answer.get("table_version").and_then(Value::as_u64).unwrap_or(0);
    let age_s = source.get("published_age_s").and_then(Value::as_u64);
    let age = age_s.map_or_else(|| "not published yet".into(), |age| format!("{age} s old"));
    let mut lines = vec![format!("table {version}, {age}, from {}", text(source, "from"))];
    for part in array(source, "parts") {
        let number = |name| part.get(name).and_then(Value::as_u64);
        let index = number("index").map_or_else(String::new, |index| format!(", index {index}"));
        let age = number("age_s").map_or_else(|| "never".into(), |age| format!("{age} s ago"));
        let failing = match part.get("failing").and_then(Value::as_str) {
            Some(reason) => format!("; failing: {reason}"),
            None => String::new(),
        };
        lines.push(format!("{}: read {age}{index}{failing}", text(part, "part")));
    }
    for (what, name) in [("registration", "registration"), ("from disk", "restored")] {
        if let Some(told) = source.get(name).and_then(Value::as_str) {
            lines.push(format!("{what}: {told}"));
        }
    }
    for (what, name) in [("held back", "held"), ("left out", "notes")] {
        let told = array(source, name).iter().filter_map(Value::as_str);
        lines.extend(told.map(|told| format!("{what}: {told}")));
    }
    lines
}

fn endpoints(of: &Value) -> String {
    let listed: Vec<String> = array(of, "endpoints")
        .iter()
        .map(|endpoint| {
            let mut told = text(endpoint, "address").to_owned();
            match endpoint.get("weight").and_then(Value::as_u64) {
                Some(1) | None => {}
                Some(weight) => told += &format!(" (weight {weight})"),
            }
            if endpoint.get("healthy") == Some(&Value::Bool(false)) {
                told += " (critical)";
            }
            told
        })
        .collect();
    if listed.is_empty() { "no endpoint".to_owned() } else { listed.join(", ") }
}

/// Asks a gateway's admin HTTP server one question.
///
/// # Errors
/// See [`AskError`].
pub(crate) fn ask(
    admin: &str,
    method: Method,
    path: &str,
    question: Option<(&str, &str)>,
) -> Result<Value, AskError> {
    Admin::at(admin)?.json(method, path, question.as_slice())
}
