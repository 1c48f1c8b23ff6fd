//! Random scripts.

use std::fmt;

use sluice::kernel::Take;
use sluice::kernel::sim::Random;

const LENGTHS: [usize; 9] = [1, 2, 100, 1000, 4095, 4096, 4097, 9000, 20_000];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Send { side: usize, bytes: usize },
    Recv { side: usize, most_bytes: usize, take: Take },
    Discard { side: usize, most_bytes: usize },
    LowWater { side: usize, bytes: usize },
    Stash { pipe: usize, bytes: usize },
    Fill { side: usize, pipe: usize, most_bytes: usize },
    Flush { pipe: usize, side: usize },
    Finish { side: usize },
    Reset { side: usize },
    Close { side: usize },
    Rewatch { side: usize },
}

pub(crate) struct Script {
    pub(crate) pipe_bytes: [usize; 2],
    pub(crate) steps: Vec<Step>,
}

impl Script {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let pipe_bytes = [(); 2].map(|()| random.pick(&[16_384, 65_536, 262_144]));
        let count = random.count_to(50);
        // Half of the scripts end nothing: there bytes pile up, and pipes fill.
        let kinds = if random.one_in(2) { 87 } else { 100 };
        Self { pipe_bytes, steps: (0..count).map(|_| Step::random(&mut random, kinds)).collect() }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pipes of {:?} bytes", self.pipe_bytes)?;
        self.steps.iter().enumerate().try_for_each(|(n, step)| writeln!(f, "{n:3} {step:?}"))
    }
}

impl Step {
    fn random(random: &mut Random, kinds: u64) -> Self {
        let (side, pipe) = (random.count_below(2), random.count_below(2));
        let most_bytes = random.pick(&[1, 10, 1000, 4096, 10_000, 65_536]);
        // Small sends are preferred: they are what makes slots interesting.
        let bytes = if random.one_in(2) { random.pick(&LENGTHS) } else { random.count_to(30) };
        match random.below(kinds) {
            0..25 => Self::Send { side, bytes },
            25..35 => Self::Recv { side, most_bytes, take: Take::Consume },
            35..42 => Self::Recv { side, most_bytes, take: Take::Peek },
            42..46 => Self::Discard { side, most_bytes },
            46..51 => Self::LowWater { side, bytes },
            51..61 => Self::Stash { pipe, bytes: random.pick(&LENGTHS) },
            61..74 => Self::Fill { side, pipe, most_bytes },
            74..83 => Self::Flush { pipe, side },
            83..87 => Self::Rewatch { side },
            87..95 => Self::Finish { side },
            95..98 => Self::Reset { side },
            _ => Self::Close { side },
        }
    }
}
