//! `sluice demo`: two gateways and an mTLS service in this process, and a proof that they work.
//!
//! ```text
//!   client (dc1) ─▶ gateway of dc1 ─▶ gateway of dc2 ─▶ service web (dc2)
//!          *.dc2.internal.… ───▶ web.default.dc2.internal.…
//! ```

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{AlertDescription, ClientConfig};

use crate::config::{Config, DrainTimes};
use crate::control::Gateway;
use crate::dataplane::stats::Stats;
use crate::error::{RunError, StartError};
use crate::refusal::Refusal;

mod certificates;
mod peers;
mod tls;

const TRUST_DOMAIN: &str = "5a1ce000-da7a-4a7e-9a7e-0123456789ab.consul";
const SENT_BYTES: usize = 16 * 1024 * 1024;
/// How long counters may take to show what has happened.
const SOON: Duration = Duration::from_secs(5);

/// What went wrong in a demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Something was other than it must be.
    #[error("the demo failed: {0}")]
    Mismatch(String),
    /// A gateway did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A gateway ended.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A connection or a file failed.
    #[error("the demo failed at {what}: {source}")]
    Failed {
        /// What was done.
        what: &'static str,
        /// How it failed.
        source: io::Error,
    },
}

/// Runs the demo and tells its story as it goes.
///
/// # Errors
/// Anything that is not as it must be.
pub fn run(out: &mut dyn Write) -> Result<(), DemoError> {
    let mut story = Story { out, started: Instant::now() };
    let stage = Stage::set(&mut story)?;
    forwarded(&stage, &mut story)?;
    refused(&stage, &mut story)?;
    stage.clear()?;
    story.tell("Both gateways stopped; nothing is left behind.");
    let took = story.started.elapsed().as_millis();
    story.tell(&format!("All of it was proved, in {took} ms."));
    Ok(())
}

/// A call that goes through both gateways.
fn forwarded(stage: &Stage, story: &mut Story<'_>) -> Result<(), DemoError> {
    let name = format!("web.default.dc2.internal.{TRUST_DOMAIN}");
    let bytes = noise(SENT_BYTES);
    let sent = tls::digest(&bytes).map_err(failed("hashing"))?;
    story.tell(&format!("The client calls {name} through dc1's gateway, by mTLS."));
    let reply = peers::call(&stage.client, stage.dc1.address(), &name, &bytes)
        .map_err(failed("the call through both gateways"))?;
    expect(reply.server_names == [stage.server_id.as_str()], || {
        format!("the server proved to be {:?}, not {}", reply.server_names, stage.server_id)
    })?;
    story.proved(&format!("the server's certificate says {}", stage.server_id));
    let received = tls::digest(&reply.bytes).map_err(failed("hashing"))?;
    expect(reply.bytes.len() == SENT_BYTES && received == sent, || {
        format!("{} bytes with SHA-256 {received} came back, not {sent}", reply.bytes.len())
    })?;
    story.proved(&format!("{SENT_BYTES} bytes went there and back, SHA-256 {received}"));
    for gateway in [&stage.dc1, &stage.dc2] {
        let counted = |stats: &Stats| stats.routed.get() == 1 && stats.closed.get() == 1;
        gateway.wait_until(counted, "one session routed and closed")?;
        let [up, down, spliced] = gateway.totals([
            |stats| stats.bytes_up.get(),
            |stats| stats.bytes_down.get(),
            |stats| stats.bytes_spliced.get(),
        ]);
        expect(up > SENT_BYTES as u64 && down > SENT_BYTES as u64, || {
            format!("{} counted {up} bytes up and {down} down", gateway.name)
        })?;
        let share = spliced.saturating_mul(100).checked_div(up.saturating_add(down)).unwrap_or(0);
        story.proved(&format!(
            "{} counted the session: {up} bytes up, {down} down, {share} % of them by splice",
            gateway.name
        ));
    }
    Ok(())
}

/// A name that no gateway knows.
fn refused(stage: &Stage, story: &mut Story<'_>) -> Result<(), DemoError> {
    let name = format!("web.default.dc3.internal.{TRUST_DOMAIN}");
    story.tell(&format!("The client calls {name}, which no route has."));
    let alert = peers::refused(&stage.client, stage.dc1.address(), &name)
        .map_err(failed("the call of an unknown name"))?;
    expect(alert == AlertDescription::UnrecognisedName, || format!("the alert was {alert:?}"))?;
    story.proved("the client got the TLS alert unrecognized_name (112)");
    let why = Refusal::UnknownName;
    let counted = |stats: &Stats| stats.refusals().any(|(w, count)| w == why && count == 1);
    stage.dc1.wait_until(counted, "one refusal")?;
    let sessions = stage.dc2.totals([|stats| stats.accepted.get()]);
    expect(sessions == [1], || "the refused call reached dc2's gateway".to_owned())?;
    story.proved(&format!("dc1's gateway counted it as {}: {}", why.name(), why.sentence()));
    Ok(())
}

/// The gateways, the service, and what the client needs.
struct Stage {
    dc1: Site,
    dc2: Site,
    client: Arc<ClientConfig>,
    server_id: String,
    folder: Folder,
}

impl Stage {
    fn set(story: &mut Story<'_>) -> Result<Self, DemoError> {
        let identity = |dc: &str, service: &str| {
            format!("spiffe://{TRUST_DOMAIN}/ns/default/dc/{dc}/svc/{service}")
        };
        let (server_id, client_id) = (identity("dc2", "web"), identity("dc1", "api"));
        let (server, client) = credentials(&server_id, &client_id)?;
        let service = peers::serve(server).map_err(failed("starting the service"))?;
        story.tell(&format!("The service web of dc2 listens on {service}, for mTLS only."));

        let folder = Folder::new().map_err(failed("making a temporary folder"))?;
        let name = format!("web.default.dc2.internal.{TRUST_DOMAIN}");
        let dc2 = Site::start("dc2's gateway", &folder.0.join("dc2.toml"), &name, service)?;
        story.tell(&format!("dc2's gateway, on {}, leads {name} to the service.", dc2.address()));
        let suffix = format!("*.dc2.internal.{TRUST_DOMAIN}");
        let dc1 = Site::start("dc1's gateway", &folder.0.join("dc1.toml"), &suffix, dc2.address())?;
        let engine = dc1.gateway.shared().engine.name;
        story.tell(&format!(
            "dc1's gateway, on {}, leads {suffix} to dc2's. Both forward with {engine}.",
            dc1.address()
        ));
        Ok(Self { dc1, dc2, client: Arc::new(client), server_id, folder })
    }

    fn clear(self) -> Result<(), DemoError> {
        for site in [self.dc1, self.dc2] {
            site.gateway.stop();
            site.gateway.wait()?;
        }
        drop(self.folder);
        Ok(())
    }
}

fn credentials(
    server_id: &str,
    client_id: &str,
) -> Result<(rustls::ServerConfig, ClientConfig), DemoError> {
    let uncertified = |error: rcgen::Error| failed("certifying")(io::Error::other(error));
    let unconfigured = |error: rustls::Error| failed("setting up TLS")(io::Error::other(error));
    let authority = certificates::Authority::new().map_err(uncertified)?;
    let leaf = authority.leaf(server_id).map_err(uncertified)?;
    let server = tls::server(&authority, leaf).map_err(unconfigured)?;
    let leaf = authority.leaf(client_id).map_err(uncertified)?;
    let client = tls::client(&authority, leaf, server_id).map_err(unconfigured)?;
    Ok((server, client))
}

/// A gateway with one route.
struct Site {
    name: &'static str,
    gateway: Gateway,
}

impl Site {
    fn start(
        name: &'static str,
        routes: &Path,
        sni: &str,
        endpoint: SocketAddr,
    ) -> Result<Self, DemoError> {
        let text = format!("[[route]]\nsni = \"{sni}\"\nendpoints = [\"{endpoint}\"]\n");
        std::fs::write(routes, text).map_err(failed("writing a routes file"))?;
        let mut config = Config::new(routes.into(), vec![SocketAddr::from(([127, 0, 0, 1], 0))]);
        config.workers.worker_count = Some(1);
        let drain = Duration::ZERO;
        config.drain = DrainTimes { delay: drain, timeout: drain, spread: drain };
        Ok(Self { name, gateway: Gateway::start(config)? })
    }

    fn address(&self) -> SocketAddr {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        self.gateway.addresses().first().copied().unwrap_or(any)
    }

    fn totals<const N: usize>(&self, of: [fn(&Stats) -> u64; N]) -> [u64; N] {
        of.map(|of| self.gateway.shared().total(of))
    }

    /// Counters are written after the bytes they count have gone: they show soon, not at once.
    fn wait_until(&self, holds: impl Fn(&Stats) -> bool, what: &str) -> Result<(), DemoError> {
        let deadline = Instant::now() + SOON;
        while !self.gateway.shared().workers.iter().any(|stats| holds(stats)) {
            expect(Instant::now() < deadline, || format!("{} never counted {what}", self.name))?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// A temporary folder, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        Ok(Self(nix::unistd::mkdtemp(&std::env::temp_dir().join("sluice-demo-XXXXXX"))?))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the reader sees.
struct Story<'a> {
    out: &'a mut dyn Write,
    started: Instant,
}

impl Story<'_> {
    fn tell(&mut self, line: &str) {
        // A reader who left does not make the proof wrong.
        let _ = writeln!(self.out, "{line}");
    }

    fn proved(&mut self, line: &str) {
        let _ = writeln!(self.out, "  proved: {line}");
    }
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), DemoError> {
    if holds { Ok(()) } else { Err(DemoError::Mismatch(otherwise())) }
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> DemoError {
    move |source| DemoError::Failed { what, source }
}

/// Bytes in which any loss, repetition or exchange shows (xorshift).
fn noise(length_bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proves_what_it_says() {
        let mut told = Vec::new();
        run(&mut told).unwrap();
        let told = String::from_utf8(told).unwrap();
        assert_eq!(told.matches("  proved: ").count(), 6, "{told}");
    }
}
