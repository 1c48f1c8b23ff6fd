//! What systemd is told (sd_notify(3)). Nothing happens where there is none.

use std::time::Duration;

use sd_notify::NotifyState;

use super::shared::Shared;

/// The gateway serves.
pub fn ready(shared: &Shared) {
    let status = format!("Serving with {} on {} workers", shared.engine.name, shared.workers.len());
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The gateway goes down.
pub fn stopping(shared: &Shared) {
    let sessions = shared.total(|stats| stats.sessions.get());
    let status = format!("Draining {sessions} sessions");
    tell(&[NotifyState::Stopping, NotifyState::Status(&status)]);
}

/// How long systemd waits for a sign of life before it starts the gateway anew (`WatchdogSec=`
/// in its unit); `None`: it does not wait for one.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    let mut us = 0;
    (sd_notify::watchdog_enabled(false, &mut us) && us > 0).then(|| Duration::from_micros(us))
}

/// The sign of life.
pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!(%error, "systemd not told");
    }
}
