//! What the control thread asks of a worker, besides a new table.

use std::sync::atomic::{AtomicU8, Ordering};

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

/// The stage that a worker is to be in, and the question that it is to answer. Set by control,
/// which wakes the worker afterwards.
#[derive(Debug, Default)]
pub struct Orders {
    stage: AtomicU8,
    survey: Slot<Survey>,
}

impl Orders {
    /// Orders the worker into a stage; an earlier stage than ordered before is ignored.
    pub fn advance(&self, to: Stage) {
        self.stage.fetch_max(to as u8, Ordering::Release);
    }

    /// The stage ordered.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Serving,
            1 => Stage::Draining,
            2 => Stage::Closing,
            _ => Stage::Stopping,
        }
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
