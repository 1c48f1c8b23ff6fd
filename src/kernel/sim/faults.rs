//! What goes wrong in a simulation, how often, and how often it did.

use std::fmt;

use super::random::Random;

/// A way in which the kernel, or the network, makes life hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// A read gives less than there is; the rest is announced by another edge.
    ShortRead,
    /// A write takes less than there is room for; another edge follows.
    ShortWrite,
    /// A splice in either direction moves less than it could; another edge follows.
    ShortSplice,
    /// An attempt would block although it need not; another edge follows.
    WouldBlock,
    /// Both ends of a connection receive a RST that neither sent.
    Reset,
    /// Accepting fails for want of descriptors or memory.
    AcceptExhausted,
    /// Dialing fails for want of descriptors, memory or ports.
    DialExhausted,
    /// Dialing fails as if by the network.
    DialFailed,
    /// Only a part of the hello is sent along with a dial.
    ShortHello,
    /// A multishot accept ends unasked.
    LostAccept,
    /// A multishot watch ends unasked.
    LostWatch,
    /// A completion is told in a later turn than it could be.
    LateCompletion,
    /// Completions of different tokens are told in another order than they arose.
    Reordered,
    /// A watch reports readiness that nothing caused.
    SpuriousReadiness,
    /// A watch reports only what changed, as io_uring may, and not all that is so, as epoll does.
    NarrowReadiness,
    /// An operation completes although its cancellation came first.
    CancelLost,
    /// A pipe is refused.
    PipeRefused,
    /// A pipe is smaller than asked for.
    PipeSmaller,
    /// No hello buffer is to be had.
    BuffersExhausted,
}

const COUNT: usize = Fault::ALL.len();

impl Fault {
    /// All of them, in order.
    pub const ALL: [Self; 19] = [
        Self::ShortRead,
        Self::ShortWrite,
        Self::ShortSplice,
        Self::WouldBlock,
        Self::Reset,
        Self::AcceptExhausted,
        Self::DialExhausted,
        Self::DialFailed,
        Self::ShortHello,
        Self::LostAccept,
        Self::LostWatch,
        Self::LateCompletion,
        Self::Reordered,
        Self::SpuriousReadiness,
        Self::NarrowReadiness,
        Self::CancelLost,
        Self::PipeRefused,
        Self::PipeSmaller,
        Self::BuffersExhausted,
    ];
}

/// Probabilities, and what came of them.
#[derive(Clone, Debug)]
pub struct Faults {
    chance_per_10k: [u16; COUNT],
    fired: [u64; COUNT],
}

impl Faults {
    /// Nothing goes wrong.
    #[must_use]
    pub fn none() -> Self {
        Self { chance_per_10k: [0; COUNT], fired: [0; COUNT] }
    }

    /// Everything goes wrong now and then: what harms only progress often, what ends a session
    /// rarely.
    #[must_use]
    pub fn usual() -> Self {
        let mut faults = Self::none();
        for fault in Fault::ALL {
            let chance = match fault {
                Fault::Reset => 5,
                Fault::LateCompletion | Fault::NarrowReadiness | Fault::CancelLost => 2_500,
                Fault::Reordered => 5_000,
                Fault::AcceptExhausted | Fault::DialExhausted | Fault::DialFailed => 800,
                _ => 1_000,
            };
            faults.set(fault, chance);
        }
        faults
    }

    /// Sets how often a fault strikes, of 10,000 opportunities.
    pub fn set(&mut self, fault: Fault, chance_per_10k: u16) {
        self.chance_per_10k[fault as usize] = chance_per_10k;
    }

    /// Sets all probabilities to 0, and keeps the counts.
    pub fn stop(&mut self) {
        self.chance_per_10k = [0; COUNT];
    }

    /// How often a fault struck.
    #[must_use]
    pub fn fired(&self, fault: Fault) -> u64 {
        self.fired[fault as usize]
    }

    /// Adds the counts of another simulation.
    pub fn add(&mut self, other: &Self) {
        for (sum, n) in self.fired.iter_mut().zip(other.fired) {
            *sum += n;
        }
    }

    /// Decides whether a fault strikes here, and counts it if so.
    pub(super) fn strikes(&mut self, fault: Fault, random: &mut Random) -> bool {
        let chance = u64::from(self.chance_per_10k[fault as usize]);
        let struck = chance > 0 && random.below(10_000) < chance;
        if struck {
            self.fired[fault as usize] += 1;
        }
        struck
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in Fault::ALL {
            writeln!(f, "{:<20}{:>12}", format!("{fault:?}"), self.fired(fault))?;
        }
        Ok(())
    }
}
