//! Accepting and dialing.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use sluice::kernel::{DialOptions, Event, Keepalive, ListenerId, Op, Take, Tried};
use socket2::SockRef;

use crate::segments::segments_received;
use crate::support::*;

on_both_engines!(
    accept_dial_and_echo,
    the_hello_goes_along,
    the_hello_acknowledges_the_handshake,
    refused_is_told_once,
    no_address_family_of_that_kind_is_an_error_too,
    accepted_sockets_inherit_what_the_listener_was_given,
    dialed_sockets_have_what_was_asked,
    addresses_of_both_ends,
    a_listener_closes,
    an_accept_goes_on,
);

fn accept_dial_and_echo<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (downstream, client) = bench.accepted();
    let (upstream, server) = bench.dialed();
    say(&client, b"ping");
    let (watch, _) = bench.watched(&downstream, Op::WatchDownstream);
    let mut buffer = [0; 16];
    assert_eq!(bench.kernel.recv(&downstream, &mut buffer, Take::Consume), Tried::Did(4));
    assert_eq!(bench.kernel.send(&upstream, &buffer[..4]), Tried::Did(4));
    hear(&server, b"ping");
    assert_eq!(bench.kernel.recv(&downstream, &mut buffer, Take::Consume), Tried::Later);
    bench.close_watched(downstream, watch);
    bench.kernel.close(upstream);
}

fn the_hello_goes_along<K: Engine>() {
    let mut bench = Bench::<K>::new();
    for size in [1, 517, 4096] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hello = pattern(size);
        let id = bench.kernel.buffers().hold(&hello).unwrap();
        let token = bench.token(Op::Dial);
        let to = listener.local_addr().unwrap();
        bench.kernel.dial(to, &DialOptions::default(), Some(&id), token);
        let completion = bench.next(token);
        let Event::Dialed { socket, sent_bytes } = completion.event else { panic!() };
        assert!(completion.last);
        assert_eq!(sent_bytes, size);
        hear(&patient(listener.accept().unwrap().0), &hello);
        bench.assert_silent(token);
        bench.kernel.buffers().give_back(id);
        bench.kernel.close(socket);
    }
}

fn the_hello_acknowledges_the_handshake<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    say(&plain, b"hello");
    let server = patient(listener.accept().unwrap().0);
    hear(&server, b"hello");
    let usual = segments_received(&server);
    // On a machine that is busy for 40 ms, the acknowledgement does not wait for the hello.
    let segment_count = (0..10).map(|_| {
        let id = bench.kernel.buffers().hold(b"hello").unwrap();
        let token = bench.token(Op::Dial);
        let to = listener.local_addr().unwrap();
        bench.kernel.dial(to, &DialOptions::default(), Some(&id), token);
        let Event::Dialed { socket, .. } = bench.next(token).event else { panic!() };
        let server = patient(listener.accept().unwrap().0);
        hear(&server, b"hello");
        bench.kernel.buffers().give_back(id);
        let count = segments_received(&server);
        bench.kernel.close(socket);
        count
    });
    assert_eq!(segment_count.min(), Some(usual - 1));
}

fn refused_is_told_once<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for with_hello in [false, true] {
        let id = bench.kernel.buffers().hold(b"hello").unwrap();
        let token = bench.token(Op::Dial);
        let hello = with_hello.then_some(&id);
        bench.kernel.dial(nobody, &DialOptions::default(), hello, token);
        let completion = bench.next(token);
        assert!(matches!(completion.event, Event::Failed(Errno::ECONNREFUSED)), "{completion:?}");
        assert!(completion.last);
        bench.assert_silent(token);
        bench.kernel.buffers().give_back(id);
    }
}

fn no_address_family_of_that_kind_is_an_error_too<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let token = bench.token(Op::Dial);
    // Broadcast: connect(2) fails at once, without a packet.
    let to = SocketAddr::from(([255, 255, 255, 255], 9));
    bench.kernel.dial(to, &DialOptions::default(), None, token);
    let completion = bench.next(token);
    assert!(matches!(completion.event, Event::Failed(_)) && completion.last, "{completion:?}");
    bench.assert_silent(token);
}

fn accepted_sockets_inherit_what_the_listener_was_given<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, _client) = bench.accepted();
    let socket = SockRef::from(&socket);
    assert!(socket.nonblocking().unwrap());
    assert!(closes_on_exec(&socket));
    assert!(socket.tcp_nodelay().unwrap());
    assert!(socket.out_of_band_inline().unwrap());
}

fn dialed_sockets_have_what_was_asked<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let token = bench.token(Op::Dial);
    let keepalive = Keepalive {
        idle: Duration::from_secs(61),
        interval: Duration::from_secs(7),
        probe_count: 5,
    };
    let options = DialOptions { keepalive: Some(keepalive) };
    bench.kernel.dial(listener.local_addr().unwrap(), &options, None, token);
    let Event::Dialed { socket, .. } = bench.next(token).event else { panic!() };
    let socket = SockRef::from(&socket);
    assert!(socket.nonblocking().unwrap() && socket.tcp_nodelay().unwrap());
    assert!(closes_on_exec(&socket) && socket.out_of_band_inline().unwrap());
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), keepalive.idle);
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), keepalive.interval);
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), keepalive.probe_count);
}

fn addresses_of_both_ends<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    assert_eq!(bench.kernel.peer_address(&socket), Some(client.local_addr().unwrap()));
    assert_eq!(bench.kernel.local_address(&socket), Some(bench.address));
    bench.kernel.reset(&socket);
    assert_eq!(bench.kernel.peer_address(&socket), None);
}

fn a_listener_closes<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let token = bench.token(Op::Accept);
    bench.kernel.accept(ListenerId(0), token);
    bench.turn();
    bench.kernel.cancel(token);
    assert!(matches!(bench.last(token), Event::Failed(Errno::ECANCELED)));
    bench.kernel.close_listener(ListenerId(0));
    let refused = std::net::TcpStream::connect(bench.address).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let token = bench.token(Op::Accept);
    bench.kernel.accept(ListenerId(0), token);
    assert!(matches!(bench.last(token), Event::Failed(Errno::EBADF)));
}

fn an_accept_goes_on<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let mut token = bench.token(Op::Accept);
    bench.kernel.accept(ListenerId(0), token);
    // More than one turn of epoll takes.
    let clients: Vec<_> = (0..100).map(|_| connect(bench.address)).collect();
    let mut names = std::collections::HashSet::new();
    while names.len() < clients.len() {
        let completion = bench.next(token);
        let Event::Accepted(socket) = completion.event else { panic!("{completion:?}") };
        assert!(names.insert(bench.kernel.peer_address(&socket).unwrap()));
        assert!(socket.as_fd().try_clone_to_owned().is_ok());
        if completion.last {
            token = bench.token(Op::Accept);
            bench.kernel.accept(ListenerId(0), token);
        }
    }
    let all = clients.iter().map(|client| client.local_addr().unwrap()).collect();
    assert_eq!(names, all);
}

fn closes_on_exec(socket: &SockRef<'_>) -> bool {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    let flags = fcntl(socket.as_fd(), FcntlArg::F_GETFD).unwrap();
    FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC)
}
