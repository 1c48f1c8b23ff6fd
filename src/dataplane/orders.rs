//! What the control thread asks of a worker, besides a new table.

use std::sync::atomic::{AtomicU32, Ordering};

use super::settings::Settings;
use super::survey::Survey;
use crate::sys::slot::Slot;

/// The stages of a worker's life, in order; it never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    /// Accepting and relaying.
    Serving = 0,
    /// Listeners closed; sessions go on. The worker ends when the last one has ended.
    Draining = 1,
    /// What is left is closed, spread over [`super::settings::Settings::drain_spread`].
    Closing = 2,
    /// Everything is closed at once.
    Stopping = 3,
}

/// The stage that a worker is to be in, new settings for it, and a question that it is to answer.
/// Given by control, which wakes the worker afterwards. A worker that is to do nothing new pays one
/// load for stage and settings, and one for the question.
#[derive(Debug, Default)]
pub struct Orders {
    /// The stage in the low byte; above it a count that grows with every change of settings.
    word: AtomicU32,
    settings: Slot<Settings>,
    survey: Slot<Survey>,
}

const STAGE_MASK: u32 = 0xff;
const CHANGE: u32 = STAGE_MASK + 1;

/// Orders as a worker saw them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen(u32);

impl Seen {
    /// The stage ordered.
    pub(super) const fn stage(self) -> Stage {
        match self.0 & STAGE_MASK {
            0 => Stage::Serving,
            1 => Stage::Draining,
            2 => Stage::Closing,
            _ => Stage::Stopping,
        }
    }
}

impl Orders {
    /// Orders the worker into a stage; an earlier stage than ordered before is ignored.
    pub fn advance(&self, to: Stage) {
        let later = |word: u32| {
            let ordered = word & STAGE_MASK;
            (ordered < to as u32).then_some(word & !STAGE_MASK | to as u32)
        };
        // It fails where that stage is ordered already.
        let _ = self.word.fetch_update(Ordering::Release, Ordering::Relaxed, later);
    }

    /// Gives the worker other settings. Those that it did not take yet are replaced.
    pub fn change(&self, settings: Settings) {
        drop(self.settings.put(Box::new(settings)));
        // Release: whoever sees the count finds the settings. The count wraps around.
        self.word.fetch_add(CHANGE, Ordering::Release);
    }

    /// The stage ordered.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.seen().stage()
    }

    /// All that was ordered.
    #[inline]
    pub(super) fn seen(&self) -> Seen {
        Seen(self.word.load(Ordering::Acquire))
    }

    /// Settings that the worker has not taken yet.
    pub(super) fn settings(&self) -> Option<Box<Settings>> {
        self.settings.take()
    }

    /// Asks the worker for its sessions. An earlier question that it has not taken yet gets no
    /// answer.
    pub fn ask(&self, survey: Box<Survey>) {
        drop(self.survey.put(survey));
    }

    /// The question, on the worker's thread: a load where there is none.
    #[inline]
    pub(super) fn take_survey(&self) -> Option<Box<Survey>> {
        self.survey.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_only_advance_and_settings_do_not_touch_them() {
        let orders = Orders::default();
        let before = orders.seen();
        orders.change(Settings { dial_attempts_max: 9, ..Settings::default() });
        assert_ne!(orders.seen(), before, "a change shows");
        assert_eq!(orders.stage(), Stage::Serving);
        orders.advance(Stage::Closing);
        orders.advance(Stage::Draining);
        assert_eq!(orders.stage(), Stage::Closing);
        orders.change(Settings::default());
        assert_eq!(orders.stage(), Stage::Closing);
        assert_eq!(orders.settings().map(|settings| settings.dial_attempts_max), Some(3));
        assert!(orders.settings().is_none(), "taken");
    }
}
