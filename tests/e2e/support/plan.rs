//! What a session does, drawn at random from a seed.

use super::pattern::Random;

/// Bytes of a request's head on the wire.
pub const HEAD_BYTES: usize = 64;
/// The largest stream of a session.
pub const STREAM_BYTES_MAX: u64 = 64 << 20;

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ending {
    /// Both sides send at once and end when they have sent everything.
    Both = 0,
    /// The backend sends only after the client has ended: half-closed one way.
    ClientFirst = 1,
    /// The client sends only after the backend has ended: half-closed the other way.
    BackendFirst = 2,
    /// The client resets in the middle of what it receives.
    ClientResets = 3,
    /// The backend resets in the middle of what it receives.
    BackendResets = 4,
}

impl Ending {
    const ALL: [Self; 5] = [
        Self::Both,
        Self::ClientFirst,
        Self::BackendFirst,
        Self::ClientResets,
        Self::BackendResets,
    ];
}

/// One session.
#[derive(Clone, Copy, Debug)]
pub struct SessionPlan {
    /// Identifies the session; the seed of its streams.
    pub nonce: u64,
    /// The backend that it is for.
    pub backend: usize,
    /// Bytes from client to backend, head not included.
    pub up_bytes: u64,
    /// Bytes from backend to client, head not included.
    pub down_bytes: u64,
    /// How it ends.
    pub ending: Ending,
    /// Where a side that resets does so, in what it receives.
    pub reset_at_bytes: u64,
    /// How long the client, or the backend, stops reading in the middle, in milliseconds.
    pub client_stall_ms: u16,
    /// The same for the backend.
    pub backend_stall_ms: u16,
}

impl SessionPlan {
    /// A plain one, of these sizes.
    pub fn plain(nonce: u64, backend: usize, up_bytes: u64, down_bytes: u64) -> Self {
        Self {
            nonce,
            backend,
            up_bytes,
            down_bytes,
            ending: Ending::Both,
            reset_at_bytes: 0,
            client_stall_ms: 0,
            backend_stall_ms: 0,
        }
    }

    /// As the request's head.
    pub fn to_head(self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        let numbers =
            [self.nonce, self.backend as u64, self.up_bytes, self.down_bytes, self.reset_at_bytes];
        for (slot, number) in head.chunks_exact_mut(8).zip(numbers) {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        head[40] = self.ending as u8;
        head[41..43].copy_from_slice(&self.client_stall_ms.to_le_bytes());
        head[43..45].copy_from_slice(&self.backend_stall_ms.to_le_bytes());
        head
    }

    /// From a request's head.
    pub fn from_head(head: &[u8; HEAD_BYTES]) -> Self {
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
        let short = |at: usize| u16::from_le_bytes(head[at..at + 2].try_into().unwrap());
        Self {
            nonce: number(0),
            backend: number(8) as usize,
            up_bytes: number(16),
            down_bytes: number(24),
            ending: Ending::ALL[usize::from(head[40])],
            reset_at_bytes: number(32),
            client_stall_ms: short(41),
            backend_stall_ms: short(43),
        }
    }
}

/// Plans so many sessions to so many backends, of so many bytes in all at most.
pub fn sessions(seed: u64, count: usize, backends: usize, budget_bytes: u64) -> Vec<SessionPlan> {
    let mut random = Random::new(seed);
    let mut rest_bytes = budget_bytes;
    (0..count).map(|_| one(&mut random, backends, count, budget_bytes, &mut rest_bytes)).collect()
}

fn one(
    random: &mut Random,
    backends: usize,
    count: usize,
    budget_bytes: u64,
    rest_bytes: &mut u64,
) -> SessionPlan {
    // The mean of a log-uniform size up to 64 MiB is 3.6 MiB, up to 1 MiB it is 74 KiB. As many
    // sessions are drawn from the wide range as the budget allows on average.
    let share_bytes = budget_bytes / count as u64;
    let wide_percent = (share_bytes.saturating_sub(74 << 10) * 100 / (3600 << 10)).min(100);
    let most = if random.percent(wide_percent) { STREAM_BYTES_MAX } else { 1 << 20 };
    let bytes = random.log_uniform(most).min(*rest_bytes).max(1);
    *rest_bytes = rest_bytes.saturating_sub(bytes);
    let small = random.log_uniform(bytes.min(64 << 10));
    let (up_bytes, down_bytes) = if random.percent(50) { (bytes, small) } else { (small, bytes) };
    let ending = match random.below(100) {
        0..60 => Ending::Both,
        60..75 => Ending::ClientFirst,
        75..90 => Ending::BackendFirst,
        90..95 => Ending::ClientResets,
        _ => Ending::BackendResets,
    };
    let received = if ending == Ending::ClientResets { down_bytes } else { up_bytes };
    let mut stall_ms = |percent| {
        if random.percent(percent) { 20 + random.below(180) as u16 } else { 0 }
    };
    let (client_stall_ms, backend_stall_ms) = (stall_ms(2), stall_ms(2));
    SessionPlan {
        nonce: random.number(),
        backend: random.below(backends as u64) as usize,
        up_bytes,
        down_bytes,
        ending,
        reset_at_bytes: random.below(received),
        client_stall_ms,
        backend_stall_ms,
    }
}
