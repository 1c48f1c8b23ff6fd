use std::net::{TcpListener, TcpStream};

use super::*;
use crate::sys::affinity;

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[test]
fn all_workers_listen_on_the_port_that_the_first_one_got() {
    let (group, address) = open_group(any(), 3, None).unwrap();
    assert_eq!(group.len(), 3);
    assert_ne!(address.port(), 0);
    assert_eq!(listening_inodes(address).len(), 3);
}

#[test]
fn a_listener_is_found_even_if_it_would_share_its_port() {
    let (_group, address) = open_group(any(), 1, None).unwrap();
    let error = prove_free(address, "--bind").unwrap_err();
    let StartError::AddressInUse { owners, .. } = &error else { panic!("{error}") };
    assert!(owners.iter().any(|owner| owner.pid == std::process::id()), "{error}");
    let wildcard = SocketAddr::new([0, 0, 0, 0].into(), address.port());
    assert!(prove_free(wildcard, "--bind").is_err(), "the wildcard covers it");
}

#[test]
fn connections_in_time_wait_do_not_keep_an_address() {
    let (group, address) = open_group(any(), 1, None).unwrap();
    let listener = TcpListener::from(group.into_iter().next().unwrap());
    listener.set_nonblocking(false).unwrap();
    let client = TcpStream::connect(address).unwrap();
    let (server, _) = listener.accept().unwrap();
    // The side that closes first is left in TIME_WAIT.
    drop(server);
    drop(client);
    drop(listener);
    prove_free(address, "--bind").unwrap();
}

#[test]
fn an_address_of_no_interface_is_named() {
    let address = "192.0.2.1:8443".parse().unwrap();
    let error = prove_free(address, "--bind").unwrap_err();
    assert!(matches!(error, StartError::AddressUnknown { .. }), "{error}");
}

#[test]
fn both_families_can_have_the_same_port() {
    // A port that is free for IPv6 may be taken for IPv4 by chance, by another test, too; twenty in
    // a row are not.
    let both = (0..20).find_map(|_| {
        let (six, address) = open_group("[::]:0".parse().unwrap(), 1, None).unwrap();
        let four = SocketAddr::new([0, 0, 0, 0].into(), address.port());
        match open_group(four, 1, None) {
            Err(StartError::AddressInUse { .. }) => None,
            four => Some((six, four.unwrap())),
        }
    });
    assert!(both.is_some(), "no port could be had for both families");
}

#[test]
fn accepted_connections_inherit_the_options() {
    let seconds = std::time::Duration::from_secs;
    let keepalive = Keepalive { idle: seconds(7), interval: seconds(2), probe_count: 5 };
    let (group, address) = open_group(any(), 1, Some(keepalive)).unwrap();
    let listener = TcpListener::from(group.into_iter().next().unwrap());
    listener.set_nonblocking(false).unwrap();
    let _client = TcpStream::connect(address).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let accepted = Socket::from(accepted);
    assert!(accepted.tcp_nodelay().unwrap());
    assert!(accepted.out_of_band_inline().unwrap());
    assert!(accepted.keepalive().unwrap());
    assert_eq!(accepted.tcp_keepalive_time().unwrap(), seconds(7));
}

#[test]
fn connections_go_to_the_listener_of_their_cpu() {
    let cpus = affinity::allowed().unwrap();
    let count = u16::try_from(cpus.len()).unwrap();
    // Reversed, so that a mapping by index alone would be wrong.
    let order: Vec<usize> = cpus.iter().rev().copied().collect();
    let (group, address) = open_group(any(), count, None).unwrap();
    steer_by_cpu(group.first().unwrap(), &order).unwrap();
    let listeners: Vec<TcpListener> = group.into_iter().map(TcpListener::from).collect();
    for (listener, &cpu) in listeners.iter().zip(&order) {
        let connect = move || {
            affinity::pin(cpu).unwrap();
            (0..8).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>()
        };
        let _connections = std::thread::spawn(connect).join().unwrap();
        for _ in 0..8 {
            listener.accept().unwrap();
        }
    }
}
