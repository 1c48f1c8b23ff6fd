//! Instruction counts, by callgrind: the same whatever else the machine does. Each is the
//! difference of two runs, so that what happens once is not in it.

use std::error::Error;
use std::hint::black_box;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use clap::ValueEnum;
use sluice::dataplane::settings::Settings;
use sluice::dataplane::worker::{Worker, WorkerParts};
use sluice::kernel::sim::{Far, FarListener, Sim, World, WorldOptions};
use sluice::kernel::{Event, Kernel, ListenerId, Op, Take, Token, Tried, Wait};
use sluice::route::{Delivery, Interner, Loads, Mailbox, RoutingTable};
use sluice::tls::client_hello::{Scratch, parse};

use super::{Measured, figure};
use crate::churn::routes;
use crate::load::SERVER_NAME;
use crate::load::hello::{Hello, HelloKind};

const MESSAGE: [u8; 64] = [7; 64];

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The parser, on a hello of 517 bytes.
    Hello,
    /// A lookup among 10,000 routes.
    Lookup,
    /// A turn of the worker that relays 64 bytes, the simulated kernel included.
    Turn,
    /// The same calls to the simulated kernel without a worker.
    BareTurn,
}

/// Counts all parts. Needs valgrind.
pub(super) fn measure() -> Measured {
    let parts = [
        (Part::Hello, "figure-hello-instructions", "parse a hello of 517 B"),
        (Part::Lookup, "figure-lookup-instructions", "look a name up in 10,000 routes"),
        (Part::Turn, "figure-turn-instructions", "relay 64 B, simulated kernel included"),
        (Part::BareTurn, "figure-bare-turn-instructions", "the simulated kernel's part of it"),
    ];
    let mut figures = Vec::new();
    for (part, name, title) in parts {
        let (few, many) = (200, 1200);
        let instructions = count(part, many)?.saturating_sub(count(part, few)?);
        let each = instructions as f64 / f64::from(many - few);
        figures.push(figure(name, title, "instructions", vec![each]));
    }
    Ok(figures)
}

/// The instructions of a whole run of this program that does a part so many times.
fn count(part: Part, times: u32) -> Result<u64, Box<dyn Error>> {
    const SECONDS_MAX: &str = "120";
    let own = std::env::current_exe()?;
    let part = part.to_possible_value().ok_or("no name")?.get_name().to_owned();
    let output = Command::new("timeout")
        .args([SECONDS_MAX, "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["instructions", "--part", &part, "--times", &times.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let last = said.lines().last().unwrap_or_default();
        return Err(format!("valgrind, {part}: {}: {last}", output.status).into());
    }
    collected(&said).ok_or_else(|| "valgrind printed no count".into())
}

/// What callgrind prints at the end: `==12== Collected : 345`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(':').next()?.split_whitespace().next()?.parse().ok()
}

/// Does a part so many times.
///
/// # Errors
/// It could not be set up, or did not do what it should.
pub(crate) fn run(part: Part, times: u32) -> Result<(), Box<dyn Error>> {
    match part {
        Part::Hello => {
            let mut hello = Hello::new(SERVER_NAME, HelloKind::Classic);
            let (bytes, mut scratch) = (hello.of(0, 1).to_vec(), Scratch::default());
            for _ in 0..times {
                black_box(parse(black_box(&bytes), &mut scratch));
            }
            Ok(())
        }
        Part::Lookup => {
            let table = RoutingTable::from_routes(&routes(10_000, backend(), "one")?)?;
            for _ in 0..times {
                black_box(table.lookup(black_box(SERVER_NAME))).map_err(|_| "no such name")?;
            }
            Ok(())
        }
        Part::Turn => worker_turns(times),
        Part::BareTurn => bare_turns(times),
    }
}

/// Where the simulated gateway listens, and where its backend does.
fn gate() -> SocketAddr {
    ([192, 0, 2, 1], 8443).into()
}

fn backend() -> SocketAddr {
    ([192, 0, 2, 2], 9000).into()
}

fn worker_turns(times: u32) -> Result<(), Box<dyn Error>> {
    let world = World::new(WorldOptions::default());
    let listener = world.listen(backend(), 16);
    let mut interner = Interner::default();
    let table = RoutingTable::build(&routes(2, backend(), "one")?, &mut interner, 1)?;
    let (clusters, endpoints) = interner.counts();
    let (mailbox, inbox) = Mailbox::new();
    mailbox.publish(Delivery::new(table, Loads::default().grown(clusters, endpoints)));
    let parts = WorkerParts {
        id: 0,
        settings: Settings { session_count_max: 16, ..Settings::default() },
        stats: Arc::default(),
        orders: Arc::default(),
        inbox,
        records: None,
        refusals: None,
        listener_count: 1,
    };
    let mut worker = Worker::new(world.kernel(&[gate()], 4), parts);
    let mut turn = || {
        world.wake(worker.kernel().id());
        worker.turn();
    };
    let client = world.connect(gate())?;
    let hello = Hello::new(SERVER_NAME, HelloKind::Classic).of(0, 1).to_vec();
    let server = open_session(&client, &listener, &hello, &mut turn)?;
    for _ in 0..times {
        client.send(&MESSAGE);
        turn();
        expect_message(&server)?;
    }
    Ok(())
}

/// Opens a session and has it answered, so that the worker is in its plainest state.
fn open_session(
    client: &Far,
    listener: &FarListener,
    hello: &[u8],
    turn: &mut impl FnMut(),
) -> Result<Far, Box<dyn Error>> {
    const TURNS: usize = 10;
    let mut bytes = vec![0; 4096];
    client.send(hello);
    (0..TURNS).for_each(|_| turn());
    let server = listener.accept().ok_or("the worker did not dial")?;
    (0..TURNS).for_each(|_| turn());
    if server.recv(&mut bytes) != Tried::Did(hello.len()) {
        return Err("the backend did not get the hello".into());
    }
    server.send(&MESSAGE);
    (0..TURNS).for_each(|_| turn());
    expect_message(client)?;
    Ok(server)
}

fn expect_message(far: &Far) -> Result<(), Box<dyn Error>> {
    let mut bytes = [0; 128];
    match far.recv(&mut bytes) {
        Tried::Did(count) if bytes.get(..count) == Some(&MESSAGE) => Ok(()),
        other => Err(format!("64 bytes did not arrive: {other:?}").into()),
    }
}

/// What a worker asks of its kernel for 64 bytes: the turn, one read, one write.
fn bare_turns(times: u32) -> Result<(), Box<dyn Error>> {
    let world = World::new(WorldOptions::default());
    let mut kernel: Sim = world.kernel(&[gate()], 4);
    kernel.accept(ListenerId(0), Token::new(Op::Accept, 0, 0));
    let sockets: Result<Vec<_>, Box<dyn Error>> = (0..2)
        .map(|slot| {
            let far = world.connect(gate())?;
            let mut told = Vec::new();
            kernel.turn(Wait::No, &mut told);
            let accepted = told.into_iter().find_map(|completion| match completion.event {
                Event::Accepted(socket) => Some(socket),
                _ => None,
            });
            let socket = accepted.ok_or("nothing was accepted")?;
            kernel.watch(&socket, Token::new(Op::WatchDownstream, 0, slot));
            Ok((far, socket))
        })
        .collect();
    let sockets = sockets?;
    let [(client, down), (server, up)] = sockets.as_slice() else { return Err("two".into()) };
    let mut told = Vec::new();
    kernel.turn(Wait::No, &mut told);
    let mut buffer = vec![0; 65_536];
    for _ in 0..times {
        client.send(&MESSAGE);
        world.wake(kernel.id());
        told.clear();
        kernel.turn(Wait::No, &mut told);
        if let Tried::Did(count) = kernel.recv(down, &mut buffer, Take::Consume) {
            kernel.send(up, buffer.get(..count).unwrap_or_default());
        }
        expect_message(server)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_does_what_is_counted() {
        for part in Part::value_variants() {
            run(*part, 3).unwrap_or_else(|error| panic!("{part:?}: {error}"));
        }
    }

    #[test]
    fn the_count_is_found() {
        let said = "==12== Events    : Ir\n==12== Collected : 345\n==12== \n";
        assert_eq!(collected(said), Some(345));
        assert_eq!(collected("==12== killed"), None);
    }
}
