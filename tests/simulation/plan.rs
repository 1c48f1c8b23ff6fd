//! What a seed is: the world, the settings, and who does what in which manner.

use std::time::Duration;

use sluice::dataplane::access::Access;
use sluice::dataplane::orders::Stage;
use sluice::dataplane::settings::{RefuseWith, Settings};
use sluice::kernel::sim::{Fault, Faults, Random, WorldOptions};

use super::build::{self, Hello};
use super::end::{Cut, FinWhen, Manner};
use super::routes::NAMES;
use super::stream::Stream;

/// A seed.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) world: WorldOptions,
    pub(crate) settings: Settings,
    pub(crate) connect_timeout: Duration,
    pub(crate) hello_buffer_count: u16,
    pub(crate) sessions: Vec<SessionPlan>,
    /// Clients come through a proxy, which says whose connection each is.
    pub(crate) is_announced: bool,
    /// Some endpoints do not answer.
    pub(crate) some_dead: bool,
    /// Backends that end a connection before they read a byte: one in so many; 0 for none.
    pub(crate) mute_one_in: u64,
    /// Bounds of backends' accept queues.
    pub(crate) backlog_max: usize,
    /// Rounds after which another table is published.
    pub(crate) publish_at: Vec<u64>,
    /// A session is handed over in one of so many rounds; 0 for none.
    pub(crate) handover_one_in: u64,
    /// When the workers are ordered to stop, unless every session has ended before.
    pub(crate) drain_at_us: u64,
    /// When the next stage comes, after that.
    pub(crate) close_after_us: u64,
    pub(crate) close_stage: Stage,
}

/// What a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Name(&'static str),
    NoName,
    Address,
    Malformed,
    NotTls,
    /// A part of a hello, and FIN.
    Truncated,
    /// Nothing, or nothing before it resets.
    Nothing,
}

/// One client, and the backend that it will be led to.
#[derive(Debug)]
pub(crate) struct SessionPlan {
    pub(crate) says: Says,
    pub(crate) hello_bytes: usize,
    pub(crate) up: Stream,
    pub(crate) client: Manner,
    pub(crate) backend: Manner,
    pub(crate) down_bytes: usize,
    pub(crate) down_key: u64,
    /// So many connections to backends end before they are answered.
    pub(crate) vanish_count: usize,
    pub(crate) connect_at_us: u64,
}

impl SessionPlan {
    /// What the backend sends on its n-th connection for this session.
    pub(crate) fn down(&self, nth: usize) -> Stream {
        let head = vec![0x17, 0x40 + u8::try_from(nth).unwrap()];
        Stream::new(head, self.down_key + nth as u64, self.down_bytes)
    }

    /// Whether it ends by itself with every byte delivered, unless something goes wrong.
    pub(crate) fn is_polite(&self) -> bool {
        self.client.is_polite() && self.backend.is_polite()
    }
}

impl Says {
    /// The name that is looked up; an empty one stands for none.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Name(name) => Some(name),
            Self::NoName | Self::Address => Some(""),
            Self::Malformed | Self::NotTls | Self::Truncated | Self::Nothing => None,
        }
    }
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x51_u64.rotate_left(40));
        let random = &mut random;
        let calm = random.one_in(3);
        let session_count = 8 + random.count_below(5);
        let mut sessions: Vec<_> =
            (0..session_count).map(|number| session(random, number, calm)).collect();
        make_enough(random, &mut sessions);
        let patient = !random.one_in(3);
        let connect_timeout = Duration::from_secs(1 + random.below(4));
        let mut publish_at: Vec<u64> =
            (0..=random.below(3)).map(|_| 1 + random.below(80)).collect();
        publish_at.sort_unstable();
        let is_announced = random.one_in(4);
        Self {
            world: world(random, seed, calm, connect_timeout),
            settings: settings(random, calm, is_announced),
            is_announced,
            connect_timeout,
            hello_buffer_count: random.pick(&[0, 1, 3, 16, 16]),
            sessions,
            some_dead: !calm && random.one_in(3),
            mute_one_in: if calm { 0 } else { random.pick(&[0, 0, 12]) },
            backlog_max: if !calm && random.one_in(10) { 1 } else { 64 },
            publish_at,
            handover_one_in: random.pick(&[0, 8, 40]),
            drain_at_us: if patient { 60_000_000 } else { random.below(1_500_000) },
            close_after_us: random.pick(&[0, 300_000, 3_000_000]),
            close_stage: random.pick(&[Stage::Closing, Stage::Closing, Stage::Stopping]),
        }
    }
}

fn world(random: &mut Random, seed: u64, calm: bool, connect_timeout: Duration) -> WorldOptions {
    let mut faults = if random.one_in(10) { Faults::none() } else { Faults::usual() };
    for fault in [Fault::Reset, Fault::DialFailed, Fault::DialExhausted] {
        if calm || random.one_in(3) {
            faults.set(fault, 0);
        }
    }
    let slow_dial_us = u64::try_from(connect_timeout.as_micros()).unwrap() * 2;
    WorldOptions {
        seed,
        faults,
        stepwise: true,
        slow_wire: !random.one_in(4),
        merged_segments: random.one_in(2),
        socket_buffer_bytes: random.pick(&[20_000, 100_000, 400_000, 1 << 20]),
        dial_us_max: match random.below(6) {
            0 | 1 => 0,
            2 if !calm => slow_dial_us,
            _ => 200_000,
        },
    }
}

fn settings(random: &mut Random, calm: bool, is_announced: bool) -> Settings {
    let seconds = |n: u64| Duration::from_secs(n);
    Settings {
        hello_timeout: seconds(1 + random.below(4)),
        idle_timeout: seconds(random.pick(&[0, 8, 20])),
        half_close_timeout: seconds(random.pick(&[0, 4, 12])),
        dial_attempts_max: if calm { 3 } else { random.pick(&[1, 2, 3, 3]) },
        refuse_with: if random.one_in(8) { RefuseWith::Reset } else { RefuseWith::Alert },
        upstream_keepalive: None,
        session_count_max: random.pick(&[3, 8, 64, 64]),
        pipe_count_max: random.pick(&[0, 1, 2, 16, 64]),
        drain_spread: Duration::from_millis(random.pick(&[0, 500, 3000])),
        access: match is_announced {
            true => Access {
                proxies: ["0.0.0.0/0".parse().unwrap()].into_iter().collect(),
                hellos_per_source_max: if calm { 0 } else { random.pick(&[0, 0, 1, 2]) },
                ..Access::default()
            },
            false => Access::default(),
        },
        access_log: true,
        access_log_start: random.one_in(2),
        access_log_every: seconds(random.pick(&[0, 0, 1, 5])),
    }
}

fn session(random: &mut Random, number: usize, calm: bool) -> SessionPlan {
    let says = match random.below(24) {
        0 => Says::NoName,
        1 => Says::Address,
        2 => Says::Malformed,
        3 => Says::NotTls,
        4 => Says::Truncated,
        5 => Says::Nothing,
        _ => Says::Name(random.pick(&NAMES)),
    };
    let hello = hello(random, says, number);
    let up_bytes = match says {
        Says::Truncated | Says::Nothing => 0,
        _ => size(random, 80_000),
    };
    let down_bytes = size(random, 80_000);
    let hello_bytes = hello.len();
    let up = Stream::new(hello, random.number(), up_bytes);
    let mut client = manner(random, up.length_bytes() + down_bytes);
    let mut backend = manner(random, up.length_bytes() + down_bytes);
    // One of the two has to begin with the ends.
    match random.below(6) {
        0 => client.fin = FinWhen::InputEnded,
        1 => backend.fin = FinWhen::InputEnded,
        2 => backend.answers_last = true,
        3 => {
            client.fin = FinWhen::InputEnded;
            backend.answers_after_bytes = up.length_bytes();
        }
        _ => {}
    }
    client.pieces = pieces(random, &mut client.goes_on, hello_bytes, up.length_bytes());
    match says {
        Says::Truncated => (client.goes_on, client.fin) = (true, FinWhen::Sent),
        Says::Nothing if random.one_in(3) => client.cut = Some((0, Cut::Reset)),
        _ => {}
    }
    let vanish_count = if !calm && random.one_in(6) { random.count_to(3) } else { 0 };
    if vanish_count > 0 && random.one_in(3) {
        backend.fin = FinWhen::Never;
    }
    SessionPlan {
        says,
        hello_bytes,
        up,
        client,
        backend,
        down_bytes,
        down_key: random.number() >> 8,
        vanish_count,
        connect_at_us: if random.one_in(2) { 0 } else { random.below(20_000) },
    }
}

/// At least 256 KiB in polite sessions, and in some seeds much more in one: streams long enough
/// for splice, and to use up budgets.
fn make_enough(random: &mut Random, sessions: &mut [SessionPlan]) {
    let more_bytes = if random.one_in(6) { 1_500_000 } else { 262_144 };
    let first = &mut sessions[0];
    let name = random.pick(&NAMES);
    let hello = hello(random, Says::Name(name), 0);
    first.says = Says::Name(name);
    first.hello_bytes = hello.len();
    let up_bytes = random.count_below(more_bytes);
    first.up = Stream::new(hello, random.number(), up_bytes);
    first.down_bytes = more_bytes - up_bytes;
    first.client = Manner::default();
    first.backend = Manner::default();
    first.vanish_count = 0;
}

/// A size whose magnitude is uniform.
fn size(random: &mut Random, most_bytes: usize) -> usize {
    let magnitude = random.count_below(18);
    random.count_below((1 << magnitude).min(most_bytes))
}

fn manner(random: &mut Random, total_bytes: usize) -> Manner {
    let mut manner = Manner {
        chunk_bytes_max: random.pick(&[64, 1460, 4096, 65_536, 65_536]).max(total_bytes / 30),
        ..Manner::default()
    };
    match random.below(16) {
        0 => {
            let cut = random.pick(&[Cut::Reset, Cut::Reset, Cut::Close]);
            manner.cut = Some((random.count_below(total_bytes + 1), cut));
        }
        1 => manner.fin = FinWhen::Never,
        2 => manner.stall = Some((random.count_below(total_bytes + 1), u64::MAX)),
        3 | 4 => {
            manner.stall = Some((random.count_below(total_bytes + 1), random.below(900_000)));
        }
        _ => {}
    }
    manner
}

/// When the hello is sent: at once, in pieces, too slowly, or never to its end.
fn pieces(
    random: &mut Random,
    goes_on: &mut bool,
    hello_bytes: usize,
    up_bytes: usize,
) -> Vec<(usize, u64)> {
    match random.below(16) {
        0..=3 => {
            // Within the hello, or a little beyond.
            let most_bytes = random.pick(&[hello_bytes, up_bytes.min(hello_bytes + 300)]);
            let mut cuts: Vec<usize> =
                (0..=random.below(4)).map(|_| random.count_below(most_bytes + 1)).collect();
            cuts.sort_unstable();
            let gap_us = random.below(60_000);
            let rest = (most_bytes, 5 * gap_us);
            (0..).zip(cuts).map(|(n, cut)| (cut, n * gap_us)).chain([rest]).collect()
        }
        4 => {
            // A byte at a time, each with progress, and never done in time.
            let gap_us = 100_000 + random.below(200_000);
            let last = hello_bytes.min(90);
            (0..last as u64).map(|n| (n as usize + 1, n * gap_us)).collect()
        }
        5 => {
            *goes_on = false;
            vec![(random.count_below(hello_bytes.max(1)), 0)]
        }
        _ => Vec::new(),
    }
}

fn hello(random: &mut Random, says: Says, number: usize) -> Vec<u8> {
    let mut hello = match says {
        Says::Name(name) => Hello::named(cased(random, name).as_bytes()),
        Says::Malformed | Says::Truncated => Hello::named(b"one.service.example"),
        Says::Address => Hello::named(b"192.0.2.1"),
        Says::NoName => Hello::with(&[]),
        Says::NotTls => return b"GET / HTTP/1.1\r\nhost: one.service.example\r\n\r\n".to_vec(),
        Says::Nothing => return Vec::new(),
    };
    if says == Says::Malformed {
        hello.legacy_version = 0x0300;
    }
    // Tells the sessions apart.
    hello.session_id = vec![u8::try_from(number).unwrap(); 32];
    let padding = match random.below(8) {
        0 => 3_000 + random.count_below(2_000),
        1 => 4_500 + random.count_below(8_000),
        2 if says != Says::Truncated => 20_000 + random.count_below(20_000),
        _ => random.count_below(1_000),
    };
    if let Some(extensions) = &mut hello.extensions {
        extensions.push((build::PADDING, vec![0; padding]));
    }
    let message = hello.message();
    let most = if padding > 12_000 || random.one_in(4) { 9_000 } else { 16_384 };
    let sizes: Vec<usize> = match most {
        9_000 if padding < 300 => vec![random.count_to(40), random.count_to(200)],
        9_000 => vec![1000 + random.count_below(8_000), 500 + random.count_below(2_000)],
        _ => vec![16_384],
    };
    let mut wire = build::in_records(&message, &sizes);
    if says == Says::Truncated {
        wire.truncate(random.count_to(wire.len() - 1));
    }
    wire
}

/// The name as clients may write it.
fn cased(random: &mut Random, name: &str) -> String {
    match random.below(4) {
        0 => name.to_uppercase(),
        1 => format!("{name}."),
        _ => name.to_owned(),
    }
}
