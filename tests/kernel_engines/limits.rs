//! Descriptors: none leaks, and none left is an ordinary state. Each test has a process of its
//! own, because descriptors are counted by process.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sluice::kernel::epoll::Epoll;
use sluice::kernel::uring::Ring;
use sluice::kernel::{DialOptions, Event, ListenerId, Op};

use crate::support::*;

#[test]
fn ring_leaks_no_descriptor() {
    alone("limits::ring_leaks_no_descriptor", leaks_no_descriptor::<Ring>);
}

#[test]
fn epoll_leaks_no_descriptor() {
    alone("limits::epoll_leaks_no_descriptor", leaks_no_descriptor::<Epoll>);
}

#[test]
fn ring_recovers_from_descriptor_exhaustion() {
    let name = "limits::ring_recovers_from_descriptor_exhaustion";
    alone(name, recovers_from_descriptor_exhaustion::<Ring>);
}

#[test]
fn epoll_recovers_from_descriptor_exhaustion() {
    let name = "limits::epoll_recovers_from_descriptor_exhaustion";
    alone(name, recovers_from_descriptor_exhaustion::<Epoll>);
}

fn leaks_no_descriptor<K: Engine>() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (listener, fillers, full) = full_listener();
    let outside = descriptor_count();
    let mut bench = Bench::<K>::new();
    let before = descriptor_count();
    for _ in 0..20 {
        let (downstream, client) = bench.accepted();
        let (upstream, server) = bench.dialed();
        let (watch, _) = bench.watched(&downstream, Op::WatchDownstream);
        let pipe = bench.kernel.pipe(65_536, 4096).unwrap();
        bench.kernel.close_pipe(pipe);
        bench.close_watched(downstream, watch);
        bench.kernel.close(upstream);
        drop((client, server));
        for to in [nobody, full] {
            let token = bench.token(Op::Dial);
            bench.kernel.dial(to, &DialOptions::default(), None, token);
            bench.turn();
            bench.kernel.cancel(token);
            assert!(matches!(bench.last(token), Event::Failed(_)));
        }
    }
    assert_eq!(descriptor_count(), before);
    // A kernel that ends in the middle of a dial.
    let token = bench.token(Op::Dial);
    let id = bench.kernel.buffers().hold(b"hello").unwrap();
    bench.kernel.dial(full, &DialOptions::default(), Some(&id), token);
    bench.turn();
    assert_eq!(descriptor_count(), before + 1);
    let begun = sluice_now();
    drop(bench);
    // The dial was ended, not waited for: that gives up after a second.
    assert!(sluice_now().since_us(begun) < 900_000);
    assert_eq!(descriptor_count(), outside);
    drop((listener, fillers));
}

fn recovers_from_descriptor_exhaustion<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let client = connect(bench.address);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // Not even one more than are open.
    let top = std::fs::File::open("/dev/null").unwrap();
    let used = u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&top)).unwrap();
    drop(top);
    setrlimit(Resource::RLIMIT_NOFILE, used, hard).unwrap();

    let token = bench.token(Op::Accept);
    bench.kernel.accept(ListenerId(0), token);
    let completion = bench.next(token);
    assert!(matches!(completion.event, Event::Failed(Errno::EMFILE)), "{completion:?}");
    assert!(completion.last, "it would fail again at once, for ever");
    bench.assert_silent(token);
    let dial = bench.token(Op::Dial);
    bench.kernel.dial(bench.address, &DialOptions::default(), None, dial);
    assert!(matches!(bench.last(dial), Event::Failed(Errno::EMFILE)));
    assert!(matches!(bench.kernel.pipe(65_536, 4096), Err(Errno::EMFILE)));

    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let token = bench.token(Op::Accept);
    bench.kernel.accept(ListenerId(0), token);
    let Event::Accepted(socket) = bench.next(token).event else { panic!() };
    say(&client, b"kept waiting");
    assert_eq!(bench.kernel.peer_address(&socket), Some(client.local_addr().unwrap()));
}
