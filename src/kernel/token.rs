//! What a completion is addressed to: operation, generation and slot in 64 bits.

/// The kind of operation a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// Accepting on a listener; the slot is the listener's index.
    Accept = 1,
    /// Connecting to an endpoint, and sending the hello.
    Dial = 2,
    /// Watching the downstream socket of a session.
    WatchDownstream = 3,
    /// Watching the upstream socket of a session.
    WatchUpstream = 4,
}

/// `op (8 bits) | generation (24) | slot (32)`: fits `user_data` of io_uring and epoll alike.
///
/// A slot's generation changes when it is used again, so that a late completion of an earlier
/// session can be told from one of the present session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

impl Token {
    /// Generations wrap here.
    pub const GENERATION_MAX: u32 = (1 << 24) - 1;

    /// A token. Only the low 24 bits of the generation are kept.
    #[must_use]
    pub const fn new(op: Op, generation: u32, slot: u32) -> Self {
        let generation = (generation & Self::GENERATION_MAX) as u64;
        Self(((op as u64) << 56) | (generation << 32) | slot as u64)
    }

    /// The 64 bits, for `user_data`.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The token of these bits; `None` if their operation is none of ours.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match bits >> 56 {
            1..=4 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The operation.
    #[must_use]
    pub const fn op(self) -> Op {
        match self.0 >> 56 {
            1 => Op::Accept,
            2 => Op::Dial,
            3 => Op::WatchDownstream,
            _ => Op::WatchUpstream,
        }
    }

    /// The generation of the slot.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "masked to 24 bits")]
    pub const fn generation(self) -> u32 {
        ((self.0 >> 32) as u32) & Self::GENERATION_MAX
    }

    /// The slot.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "the low half is meant")]
    pub const fn slot(self) -> u32 {
        self.0 as u32
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}#{}", self.op(), self.slot(), self.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_the_round_trip() {
        for op in [Op::Accept, Op::Dial, Op::WatchDownstream, Op::WatchUpstream] {
            let token = Token::new(op, Token::GENERATION_MAX, u32::MAX - 1);
            let back = Token::from_bits(token.to_bits()).unwrap();
            assert_eq!((back.op(), back.generation(), back.slot()), (op, 0xff_ffff, u32::MAX - 1));
        }
        assert_eq!(Token::from_bits(0), None);
        assert_eq!(Token::from_bits(u64::MAX), None);
    }

    #[test]
    fn generations_wrap_without_touching_the_operation() {
        let token = Token::new(Op::Dial, Token::GENERATION_MAX + 1, 7);
        assert_eq!((token.op(), token.generation(), token.slot()), (Op::Dial, 0, 7));
    }
}
