//! Writes the access log, away from the workers: a reader that does not read makes records be
//! dropped and counted, and nothing wait.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use super::access_log::{WallClock, format_line};
use crate::config::LogFormat;
use crate::dataplane::record::SessionRecord;
use crate::limits::{ACCESS_LOG_QUEUE, ACCESS_LOG_TICK, ACCESS_LOG_TICK_IDLE};
use crate::route::directory::Directory;

/// Formats and writes what the workers recorded.
pub(crate) struct LogWriter<W> {
    /// `None`: it is off, for now.
    pub(crate) format: Option<LogFormat>,
    pub(crate) queues: Vec<rtrb::Consumer<SessionRecord>>,
    pub(crate) directory: Directory,
    pub(crate) output: W,
}

impl<W: Write> LogWriter<W> {
    /// Works until the sender of `orders` is dropped; then writes what is left, and ends. An order
    /// is another form of the log, or that it is off.
    pub(crate) fn run(mut self, orders: &Receiver<Option<LogFormat>>) {
        crate::sys::process::lower_thread_priority();
        let mut lines = Vec::new();
        let mut pause = ACCESS_LOG_TICK;
        loop {
            let order = match self.format {
                Some(_) => orders.recv_timeout(pause),
                // It waits without looking: workers record nothing.
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let last = order == Err(RecvTimeoutError::Disconnected);
            // To look where nothing is costs more than all else that an idle gateway does.
            pause = (pause * 2).min(ACCESS_LOG_TICK_IDLE);
            // What is not taken here, a bounded amount, waits for the next time.
            while self.take(&mut lines) {
                pause = ACCESS_LOG_TICK;
                if self.write(&lines).is_err() {
                    // Nobody reads any more. Queues fill up, and workers count what they drop.
                    tracing::error!("the access log cannot be written any more; it ends here");
                    return;
                }
                lines.clear();
            }
            if last {
                return;
            }
            if let Ok(format) = order {
                self.format = format;
                pause = ACCESS_LOG_TICK;
            }
        }
    }

    fn take(&mut self, lines: &mut Vec<u8>) -> bool {
        let Some(format) = self.format else { return false };
        let clock = WallClock::now();
        for queue in &mut self.queues {
            for _ in 0..ACCESS_LOG_QUEUE {
                let Ok(record) = queue.pop() else { break };
                format_line(format, &record, clock, |id| self.directory.cluster(id), lines);
            }
        }
        !lines.is_empty()
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.output.write_all(lines)?;
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::record::End;
    use crate::kernel::Tick;
    use crate::refusal::Refusal;

    #[test]
    fn writes_all_that_was_recorded_before_it_ends() {
        let (mut records, queue) = rtrb::RingBuffer::new(8);
        let (orders, ordered) = std::sync::mpsc::channel();
        for worker in 0..8 {
            let end = End::Refused(Refusal::UnknownName);
            let mut record = SessionRecord::new(end, Tick(0), Tick(1), worker);
            record.set_server_name("nobody.example");
            records.push(record).unwrap();
        }
        assert!(records.is_full());
        drop(orders);
        let mut written = Vec::new();
        let writer = LogWriter {
            format: Some(LogFormat::Json),
            queues: vec![queue],
            directory: Directory::default(),
            output: &mut written,
        };
        std::thread::scope(|scope| scope.spawn(move || writer.run(&ordered)).join()).unwrap();
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written.lines().count(), 8);
        assert!(written.lines().all(|line| line.contains("\"reason\":\"unknown_name\"")));
        assert!(written.lines().all(|line| line.contains("nobody.example")));
    }
}
