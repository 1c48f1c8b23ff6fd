//! What systemd is told (sd_notify(3)). Nothing happens where there is none.

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

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!(%error, "systemd not told");
    }
}
