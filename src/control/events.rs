//! The last lines of the log, for whoever asks what happened: the dashboard, `sluice debug`.

use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::Mutex;
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event as Traced, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::shared::lock;
use crate::limits::{EVENT_BYTES_MAX, EVENTS_KEPT};

/// As the log itself: one for the process.
static KEPT: Mutex<VecDeque<Event>> = Mutex::new(VecDeque::new());

/// A line of the log.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: SystemTime,
    pub(crate) level: Level,
    /// The sentence, and what goes with it.
    pub(crate) text: String,
}

/// The lines that are kept, oldest first; none where the log is not Sluice's.
pub(crate) fn latest() -> Vec<Event> {
    lock(&KEPT).iter().cloned().collect()
}

/// Keeps what is traced.
pub(super) struct Remember;

impl<S: Subscriber> Layer<S> for Remember {
    fn on_event(&self, event: &Traced<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut kept = lock(&KEPT);
        if kept.len() >= EVENTS_KEPT {
            kept.pop_front();
        }
        let text = line.finish();
        kept.push_back(Event { at: SystemTime::now(), level: *event.metadata().level(), text });
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn finish(self) -> String {
        let mut text = self.message + &self.fields;
        // Back to where a character ends.
        let end = (0..=EVENT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.fields, " {name}={value}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_last_lines_are_kept_whole_sentence_first_and_none_too_long() {
        let subscriber = tracing_subscriber::Registry::default().with(Remember);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(part = "catalog", count = 3, "it works");
            let text = |event: &Event| event.text.clone();
            assert_eq!(latest().last().map(text).unwrap(), "it works part=catalog count=3");
            tracing::warn!("{}", "ä".repeat(EVENT_BYTES_MAX));
            let last = latest().pop().unwrap();
            assert_eq!((last.level, last.text.len()), (Level::WARN, EVENT_BYTES_MAX));
            for number in 0..=EVENTS_KEPT {
                tracing::info!(number, "again");
            }
            let kept = latest();
            assert_eq!(kept.len(), EVENTS_KEPT);
            assert_eq!(kept.last().unwrap().text, format!("again number={EVENTS_KEPT}"));
        });
    }
}
