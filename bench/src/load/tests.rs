use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::*;
use crate::workload::Workloads;

const TIME: Duration = Duration::from_millis(30);

fn row(group: &str) -> Row {
    let text = format!("[[row]]\nname = 'a'\ntitle = 'a'\npeers = []\ngroup = [{group}]\n");
    toml::from_str::<Workloads>(&text).unwrap().rows.remove(0)
}

/// Runs a workload without a proxy, or towards one.
fn run(row: &Row, proxy: impl FnOnce(SocketAddr) -> SocketAddr) -> Result<Vec<Tally>, LoadError> {
    let mut load = Load::new(row)?;
    let target = proxy(load.backend());
    load.open(target)?;
    load.warm_up(TIME, None)?;
    let measured = load.measure(TIME)?;
    load.finish()?;
    Ok(measured.tallies)
}

/// A proxy of one session that changes what the backend sends.
fn distorting(
    change: impl Fn(&mut Vec<u8>) + Send + 'static,
) -> impl FnOnce(SocketAddr) -> SocketAddr {
    move |backend| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut down, _) = listener.accept().unwrap();
            let mut up = TcpStream::connect(backend).unwrap();
            let (mut from, mut to) = (down.try_clone().unwrap(), up.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            let mut buffer = vec![0; 65_536];
            while let Ok(count @ 1..) = up.read(&mut buffer) {
                let mut bytes = buffer[..count].to_vec();
                change(&mut bytes);
                if down.write_all(&bytes).is_err() {
                    break;
                }
            }
        });
        address
    }
}

#[test]
fn every_kind_moves_something() {
    for group in [
        "{ kind = 'conn', sessions = 4 }",
        "{ kind = 'rpc', sessions = 4, size_bytes = 20000 }",
        "{ kind = 'bulk', sessions = 2, direction = 'up' }",
        "{ kind = 'bulk', sessions = 2, direction = 'down' }",
        "{ kind = 'bulk', sessions = 2, direction = 'up', receive = 'discard' }",
        "{ kind = 'bulk', sessions = 2, direction = 'down', receive = 'discard' }",
    ] {
        let tallies = run(&row(group), |backend| backend).unwrap();
        assert!(tallies[0].units() > 1.0, "{group}");
    }
}

#[test]
fn groups_are_counted_apart_and_idle_ones_have_had_an_answer() {
    let groups = "{ kind = 'rpc', sessions = 4 }, { kind = 'bulk', sessions = 1 }, \
                  { kind = 'idle', sessions = 20 }";
    let tallies = run(&row(groups), |backend| backend).unwrap();
    assert!(tallies[0].units() > 1.0 && tallies[0].bytes == 0);
    assert!(tallies[1].bytes > 0);
    assert_eq!(tallies[2].units(), 0.0);
}

#[test]
fn hellos_in_pieces_arrive() {
    let mut row = row("{ kind = 'conn', sessions = 4 }");
    row.hello = hello::HelloKind::PostQuantum;
    row.hello_pieces = 8;
    assert!(run(&row, |backend| backend).unwrap()[0].units() > 1.0);
}

#[test]
fn an_open_loop_keeps_its_rate() {
    const RATE_PER_S: f64 = 2000.0;
    let row = row("{ kind = 'rpc', sessions = 4 }");
    let mut load = Load::new(&row).unwrap();
    load.open(load.backend()).unwrap();
    load.warm_up(TIME, Some(RATE_PER_S)).unwrap();
    let measured = load.measure(Duration::from_millis(200)).unwrap();
    load.finish().unwrap();
    let rate = measured.tallies[0].units() / measured.elapsed.as_secs_f64();
    assert!((0.8..1.2).contains(&(rate / RATE_PER_S)), "{rate}");
}

#[test]
fn a_proxy_that_changes_a_byte_is_found_out() {
    let row = row("{ kind = 'rpc', sessions = 1, size_bytes = 1000 }");
    let flip = |bytes: &mut Vec<u8>| {
        if bytes.len() >= 1000 {
            bytes[999] ^= 1;
        }
    };
    let error = run(&row, distorting(flip)).unwrap_err();
    assert!(matches!(error, LoadError::Wrong { role: Role::Client, .. }), "{error}");
}

#[test]
fn a_proxy_that_invents_a_byte_is_found_out() {
    let row = row("{ kind = 'rpc', sessions = 1, size_bytes = 1000 }");
    let error = run(&row, distorting(|bytes| bytes.push(bytes[0]))).unwrap_err();
    assert!(
        matches!(error, LoadError::TooMany(Role::Client, 1) | LoadError::Wrong { .. }),
        "{error}"
    );
}

#[test]
fn a_stream_that_loses_its_tail_is_found_out() {
    let row = row("{ kind = 'bulk', sessions = 1, direction = 'down', receive = 'discard' }");
    // Bytes of the first answer stay; of the stream, a reader that looks seldom would miss it.
    let lose = |bytes: &mut Vec<u8>| {
        if bytes.len() > 4096 {
            bytes.pop();
        }
    };
    let error = run(&row, distorting(lose)).unwrap_err();
    assert!(matches!(error, LoadError::Wrong { .. } | LoadError::Incomplete { .. }), "{error}");
}
