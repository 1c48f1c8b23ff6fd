//! One far end of a connection, a client's or a backend's: sends its stream, reads what comes,
//! and behaves as well or as badly as it was told.

use sluice::kernel::sim::{Far, Random};
use sluice::kernel::{Errno, Readiness, Tick, Tried};

use super::stream::Stream;

/// When an end sends its FIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FinWhen {
    /// After its last byte.
    Sent,
    /// After that, and after the other side's FIN.
    InputEnded,
    Never,
}

/// An end that goes away before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Reset,
    /// close(2): FIN, or RST if something was not read.
    Close,
}

/// How an end behaves.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// What it sends or reads at once, at most.
    pub(crate) chunk_bytes_max: usize,
    /// Offsets up to which it sends from a time on (counted from its beginning), in order.
    pub(crate) pieces: Vec<(usize, u64)>,
    /// Whether it goes on after the last of them.
    pub(crate) goes_on: bool,
    /// Whether it sends nothing before the other side's FIN.
    pub(crate) answers_last: bool,
    pub(crate) fin: FinWhen,
    /// Goes away once so many bytes were sent and received.
    pub(crate) cut: Option<(usize, Cut)>,
    /// Stops reading once so many bytes were received, for so long.
    pub(crate) stall: Option<(usize, u64)>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            chunk_bytes_max: 65_536,
            pieces: Vec::new(),
            goes_on: true,
            answers_last: false,
            fin: FinWhen::Sent,
            cut: None,
            stall: None,
        }
    }
}

impl Manner {
    /// Whether a session with such an end can end by itself.
    pub(crate) fn is_polite(&self) -> bool {
        let stalls_long = self.stall.is_some_and(|(_, us)| us > 1_000_000);
        self.goes_on && self.fin != FinWhen::Never && self.cut.is_none() && !stalls_long
    }
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Open,
    Fin,
    Reset(Errno),
}

/// Where an end reads to.
#[derive(Debug)]
pub(crate) struct Read {
    bytes: Box<[u8]>,
    length_bytes: usize,
}

impl Read {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; 65_536].into(), length_bytes: 0 }
    }

    /// What was read last.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length_bytes]
    }
}

#[derive(Debug)]
pub(crate) struct End {
    /// None once it is closed.
    pub(crate) far: Option<Far>,
    pub(crate) manner: Manner,
    /// What it sends; a backend does not know before it knows whose the session is.
    pub(crate) out: Option<Stream>,
    pub(crate) sent_bytes: usize,
    pub(crate) received_bytes: usize,
    pub(crate) input: Input,
    /// It sent its FIN after all of `out`.
    pub(crate) finished: bool,
    /// It saw that the connection is broken.
    pub(crate) broken: bool,
    /// It went away by itself.
    pub(crate) left: bool,
    pub(crate) began: Tick,
    stalled_until: Option<Tick>,
    /// When it had sent how much, ascending.
    pub(crate) sends: Vec<(usize, Tick)>,
    pub(crate) received_last: Tick,
}

impl End {
    pub(crate) fn new(far: Far, manner: Manner, out: Option<Stream>, now: Tick) -> Self {
        Self {
            far: Some(far),
            manner,
            out,
            sent_bytes: 0,
            received_bytes: 0,
            input: Input::Open,
            finished: false,
            broken: false,
            left: false,
            began: now,
            stalled_until: None,
            sends: Vec::new(),
            received_last: now,
        }
    }

    /// Whether it saw, or made, a broken connection.
    pub(crate) fn is_reset(&self) -> bool {
        self.broken || self.left
    }

    /// Whether it has nothing more to do.
    pub(crate) fn is_done(&self) -> bool {
        self.far.is_none()
    }

    /// When it has something to do without anything happening to it.
    pub(crate) fn wakes_at(&self, now: Tick) -> Option<Tick> {
        self.far.as_ref()?;
        let piece = self.manner.pieces.iter().map(|(_, us)| Tick(self.began.0 + us));
        let stall = self.stalled_until.filter(|tick| tick.0 < u64::MAX);
        piece.chain(stall).filter(|tick| *tick > now).min()
    }

    /// Does one thing. Returns whether there was anything to do.
    pub(crate) fn act(&mut self, now: Tick, random: &mut Random, read: &mut Read) -> bool {
        read.length_bytes = 0;
        if self.far.is_none() {
            return false;
        }
        if self.cut_off() {
            return true;
        }
        let send_first = random.one_in(2);
        if send_first && self.send(now, random) {
            return true;
        }
        self.receive(now, random, read) || (!send_first && self.send(now, random)) || self.end()
    }

    fn cut_off(&mut self) -> bool {
        let Some((at, cut)) = self.manner.cut else { return false };
        if self.sent_bytes + self.received_bytes < at {
            return false;
        }
        let Some(far) = self.far.take() else { return false };
        self.left = true;
        match cut {
            Cut::Reset => far.reset(),
            Cut::Close => {
                // Its FIN, if it sends one, stands behind what it has sent.
                self.out.get_or_insert_default().cut_at(self.sent_bytes);
                self.finished = true;
            }
        }
        true
    }

    fn receive(&mut self, now: Tick, random: &mut Random, read: &mut Read) -> bool {
        let Some(far) = &self.far else { return false };
        if self.input != Input::Open || self.is_stalled(now) {
            return false;
        }
        let most_bytes = random.count_to(self.manner.chunk_bytes_max.min(read.bytes.len()));
        match far.recv(&mut read.bytes[..most_bytes]) {
            Tried::Did(0) => self.input = Input::Fin,
            Tried::Did(count) => {
                self.received_last = now;
                read.length_bytes = count;
                self.received_bytes += count;
                if let Some((at, us)) = self.manner.stall
                    && self.stalled_until.is_none()
                    && self.received_bytes >= at
                {
                    self.stalled_until = Some(Tick(now.0.saturating_add(us)));
                }
            }
            Tried::Later => return false,
            Tried::Failed(errno) => {
                self.input = Input::Reset(errno);
                self.give_up();
            }
        }
        true
    }

    /// One that reads nothing looks up when its connection is over.
    fn is_stalled(&self, now: Tick) -> bool {
        let over = self.far.as_ref().is_some_and(|far| far.readiness().any(Readiness::BROKEN));
        self.stalled_until.is_some_and(|until| now < until) && !over
    }

    fn send(&mut self, now: Tick, random: &mut Random) -> bool {
        let (Some(far), Some(out)) = (&self.far, &self.out) else { return false };
        if self.finished || (self.manner.answers_last && self.input != Input::Fin) {
            return false;
        }
        let us = now.since_us(self.began);
        let due = |piece: &&(usize, u64)| piece.1 <= us;
        let limit_bytes = match self.manner.pieces.iter().take_while(due).last() {
            _ if self
                .manner
                .pieces
                .last()
                .is_none_or(|piece| piece.1 <= us && self.manner.goes_on) =>
            {
                usize::MAX
            }
            Some((bytes, _)) => *bytes,
            None => 0,
        };
        let left_bytes = limit_bytes.saturating_sub(self.sent_bytes);
        let most_bytes = random.count_to(self.manner.chunk_bytes_max).min(left_bytes);
        let piece = out.piece(self.sent_bytes, most_bytes);
        if piece.is_empty() {
            return false;
        }
        match far.send(piece) {
            Tried::Did(count) => {
                self.sent_bytes += count;
                self.sends.push((self.sent_bytes, now));
                true
            }
            Tried::Later => false,
            Tried::Failed(errno) => {
                if self.input == Input::Open {
                    self.input = Input::Reset(errno);
                }
                self.give_up();
                true
            }
        }
    }

    /// Sends its FIN when it is time, and closes when both directions are over.
    fn end(&mut self) -> bool {
        let (Some(far), Some(out)) = (&self.far, &self.out) else { return false };
        let sent_all = self.sent_bytes == out.length_bytes();
        let fin_due = match self.manner.fin {
            FinWhen::Sent => !self.manner.answers_last || self.input == Input::Fin,
            FinWhen::InputEnded => self.input == Input::Fin,
            FinWhen::Never => false,
        };
        if sent_all && fin_due && !self.finished && self.manner.goes_on {
            far.finish();
            self.finished = true;
            return true;
        }
        if self.finished && self.input == Input::Fin {
            self.far = None;
            return true;
        }
        // After a FIN, nothing but this tells that the connection broke.
        let broken = !self.finished && far.readiness().any(Readiness::BROKEN);
        if self.input == Input::Fin && broken {
            self.give_up();
            return true;
        }
        false
    }

    /// The gateway is gone: reads what there is, sends nothing more, and closes.
    pub(crate) fn wind_up(&mut self) {
        self.out.get_or_insert_default().cut_at(self.sent_bytes);
        self.manner = Manner::default();
        self.stalled_until = None;
    }

    fn give_up(&mut self) {
        self.broken = true;
        self.far = None;
    }

    /// What it did, for the trace.
    pub(crate) fn summary(&self, read: &[u8]) -> String {
        let beginning = &read[..read.len().min(8)];
        format!(
            "sent {} of {}, received {} ({beginning:02x?}), input {:?}, finished {}, broken {}, left {}",
            self.sent_bytes,
            self.out.as_ref().map_or(0, Stream::length_bytes),
            self.received_bytes,
            self.input,
            self.finished,
            self.broken,
            self.left,
        )
    }

    /// When the byte before this offset was sent.
    pub(crate) fn sent_at(&self, offset: usize) -> Option<Tick> {
        self.sends.iter().find(|(sent, _)| *sent >= offset).map(|(_, at)| *at)
    }
}
