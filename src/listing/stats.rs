//! What `sluice stats` prints: how a gateway is, on a page.

use std::fmt::Write as _;
use std::io::Write;

use reqwest::Method;
use serde_json::Value;

use super::admin::{Admin, AskError};
use super::sessions::{bytes, columns, seconds};
use super::value::{array, number, text};
use crate::cli::admin::StatsArgs;

/// Prints how the gateway is.
///
/// # Errors
/// See [`AskError`].
pub fn print(args: &StatsArgs, out: &mut dyn Write) -> Result<(), AskError> {
    let stats = Admin::at(&args.admin.admin)?.json(Method::GET, "/stats", &[])?;
    match args.json {
        true => writeln!(out, "{stats:#}")?,
        false => write!(out, "{}", summary(&stats))?,
    }
    Ok(())
}

fn summary(stats: &Value) -> String {
    let part = |name: &str| stats.get(name).unwrap_or(&Value::Null);
    let (totals, source) = (part("totals"), part("source"));
    let total = |name: &str| number(totals, name);
    let workers = array(stats, "workers");
    let capacity = number(stats, "session_count_max").saturating_mul(workers.len() as u64);
    let mut rows = vec![
        line(
            "gateway",
            format!(
                "sluice {}, {} for {}, {}, {} workers, {} of memory",
                text(stats, "version"),
                text(stats, "phase"),
                age(number(stats, "uptime_s")),
                text(stats, "engine"),
                workers.len(),
                bytes(number(stats, "resident_bytes")),
            ),
        ),
        line("accepts on", addresses(stats)),
        line("routes", routes(source)),
        line(
            "sessions",
            format!(
                "{} of at most {capacity}; {} accepted, {} reached an endpoint, {} health probes",
                total("sessions"),
                total("accepted"),
                total("routed"),
                total("probes"),
            ),
        ),
        line(
            "ended",
            format!(
                "{}; of them {} reset, {} idle, {} by a drain",
                total("closed"),
                total("reset"),
                total("idle_closed"),
                total("drain_closed"),
            ),
        ),
        line("refused", refused(totals)),
        line(
            "dials",
            format!(
                "{}; {} failed, of them {} took too long; {} times an endpoint was left aside",
                total("dials"),
                total("dials_failed"),
                total("dials_timed_out"),
                total("ejections"),
            ),
        ),
        line(
            "relayed",
            format!(
                "{} up, {} down; {} by splice",
                bytes(total("bytes_up")),
                bytes(total("bytes_down")),
                bytes(total("bytes_spliced")),
            ),
        ),
    ];
    for kind in ["hello", "dial", "session"] {
        if let Some(times) = times(part("times_us"), kind) {
            rows.push(line(&format!("{kind} times"), times));
        }
    }
    columns(&rows) + "\n" + &of_workers(workers)
}

fn line(name: &str, told: String) -> [String; 2] {
    [name.to_owned(), told]
}

fn addresses(stats: &Value) -> String {
    let addresses = array(stats, "addresses").iter().filter_map(Value::as_str);
    let mut told = addresses.collect::<Vec<_>>().join(" ");
    if stats.get("accepting") == Some(&Value::Bool(false)) {
        told += ", no more: the listeners are closed";
    }
    told
}

fn routes(source: &Value) -> String {
    let published = source.get("published_age_s").and_then(Value::as_u64);
    let published =
        published.map_or_else(|| "not published yet".into(), |s| format!("{} old", age(s)));
    let behind = source.get("behind_s").and_then(Value::as_u64);
    let behind = behind
        .map_or_else(String::new, |s| format!(", and Consul has not answered for {}", age(s)));
    format!("from {}, {published}{behind}", text(source, "from"))
}

fn refused(totals: &Value) -> String {
    let reasons = totals.get("refused").and_then(Value::as_object);
    let mut reasons: Vec<(&String, u64)> = reasons
        .into_iter()
        .flatten()
        .filter_map(|(reason, count)| Some((reason, count.as_u64().filter(|count| *count > 0)?)))
        .collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut told = reasons.iter().map(|(_, count)| count).sum::<u64>().to_string();
    for (at, (reason, count)) in reasons.iter().enumerate() {
        let before = if at == 0 { ":" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(told, "{before} {count} {reason}");
    }
    told
}

fn times(times: &Value, kind: &str) -> Option<String> {
    let of_kind = times.get(kind)?;
    let quantile = |name: &str| Some(micros(of_kind.get(name)?.as_u64()?));
    let [p50, p90, p99] = [quantile("p50")?, quantile("p90")?, quantile("p99")?];
    Some(format!("half within {p50}, 90 % within {p90}, 99 % within {p99}"))
}

fn micros(us: u64) -> String {
    match us {
        us if us < 1000 => format!("{us} µs"),
        us if us < 1_000_000 => format!("{} ms", us / 1000),
        us => age(us / 1_000_000),
    }
}

fn of_workers(workers: &[Value]) -> String {
    let head = ["WORKER", "SESSIONS", "ACCEPTED", "UP", "DOWN", "PIPES LENT", "TABLE"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(workers.iter().map(|worker| {
        let count = |name: &str| number(worker, name);
        [
            count("id").to_string(),
            count("sessions").to_string(),
            count("accepted").to_string(),
            bytes(count("bytes_up")),
            bytes(count("bytes_down")),
            count("pipes_lent").to_string(),
            count("table_version").to_string(),
        ]
    }));
    columns(&rows)
}

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn age(s: u64) -> String {
    seconds(s as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_says_how_it_is() {
        let stats = json!({
            "version": "0.1.0", "phase": "serving", "uptime_s": 7300, "engine": "io_uring",
            "resident_bytes": 20 << 20, "addresses": ["10.0.0.5:8443"], "accepting": true,
            "session_count_max": 1000,
            "source": {"from": "the routes file r.toml", "published_age_s": 5},
            "times_us": {"dial": {"count": 2, "p50": 300, "p90": 2000, "p99": 3_000_000},
                         "hello": {"count": 0}},
            "totals": {"sessions": 3, "accepted": 12, "routed": 8, "probes": 1, "closed": 9,
                       "bytes_up": 2048, "bytes_down": 1 << 30,
                       "refused": {"not_tls": 1, "unknown_name": 2, "no_endpoints": 0}},
            "workers": [{"id": 0, "sessions": 3}, {"id": 1, "sessions": 0}],
        });
        let told = summary(&stats);
        for part in [
            "sluice 0.1.0, serving for 2h, io_uring, 2 workers, 20.0 MiB of memory\n",
            "from the routes file r.toml, 5.0s old\n",
            "3 of at most 2000; 12 accepted, 8 reached an endpoint, 1 health probes\n",
            "3: 2 unknown_name, 1 not_tls\n",
            "2.0 KiB up, 1.0 GiB down",
            "dial times  half within 300 µs, 90 % within 2 ms, 99 % within 3.0s\n",
            "accepts on  10.0.0.5:8443\n",
        ] {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
        assert!(!told.contains("hello times"), "{told}");
    }

    #[test]
    fn what_is_not_as_usual_is_said() {
        let stats = json!({
            "addresses": ["10.0.0.5:8443"], "accepting": false,
            "source": {"from": "Consul", "behind_s": 90},
        });
        let told = summary(&stats);
        assert!(told.contains("the listeners are closed"), "{told}");
        assert!(told.contains("not published yet, and Consul has not answered for 90s"), "{told}");
        assert!(told.contains("refused     0\n"), "{told}");
    }
}
