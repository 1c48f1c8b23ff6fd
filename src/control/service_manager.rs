//! What systemd is told (sd_notify(3)), and what it wants. Nothing happens where there is none.

use std::time::Duration;

use sd_notify::NotifyState;

use super::shared::Shared;
use crate::limits::SERVICE_MANAGER_PATIENCE;

/// The service manager that has started this process and wants to hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceManager {
    /// How long it waits for a sign of life before it starts the gateway anew (`WatchdogSec=` in
    /// the unit); `None`: it does not wait for one.
    pub watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one of this process, if there is any.
    #[must_use]
    pub fn here() -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET")?;
        let mut us = 0;
        let waits = sd_notify::watchdog_enabled(false, &mut us) && us > 0;
        Some(Self { watchdog: waits.then(|| Duration::from_micros(us)) })
    }
}

/// The gateway does not serve yet, because of this.
pub(crate) fn starting(why: &str) {
    tell(&[NotifyState::Status(why)]);
}

/// The gateway serves. `but`: what is not as its operator wants.
pub(crate) fn ready(shared: &Shared, but: Option<&str>) {
    let (engine, workers) = (shared.engine.name, shared.workers.len());
    let but = but.map(|but| format!("; {but}")).unwrap_or_default();
    let status = format!("Serving with {engine} on {workers} workers{but}");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The gateway reads its files again; [`ready`] ends it. The time is what `Type=notify-reload`
/// tells this reload from an earlier one by.
pub(crate) fn reloading() {
    let mut states = vec![NotifyState::Reloading, NotifyState::Status("Reading its files again")];
    states.extend(NotifyState::monotonic_usec_now().ok());
    tell(&states);
}

/// The gateway goes down.
pub(crate) fn stopping(shared: &Shared) {
    let sessions = shared.total(|stats| stats.sessions.get());
    let status = format!("Draining {sessions} sessions");
    tell(&[NotifyState::Stopping, NotifyState::Status(&status)]);
}

/// Starting or stopping takes longer; to be told again and again while it does.
pub(crate) fn busy() {
    let us = u32::try_from(SERVICE_MANAGER_PATIENCE.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(us)]);
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
