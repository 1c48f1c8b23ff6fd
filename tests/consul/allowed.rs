//! An allow-list that follows the gateways that Consul knows.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::support::federation::joined;
use crate::support::hosts::free_host;
use crate::support::mesh::sluice::{Launch, Sluice};
use crate::support::{SOON, until};

/// access_denied (RFC 8446 §6).
const ACCESS_DENIED: [u8; 7] = [21, 3, 1, 0, 2, 2, 49];

/// Whether a gateway takes connections of a host. What this one sends is no TLS: one that is let
/// in is refused for that, without an alert.
fn lets_in(gateway: &Sluice, host: Ipv4Addr) -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((host, 0)).into()).unwrap();
    socket.connect(&gateway.lan.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"G").unwrap();
    let mut told = Vec::new();
    stream.read_to_end(&mut told).unwrap();
    assert!(told.is_empty() || told == ACCESS_DENIED, "{told:?}");
    told.is_empty()
}

#[test]
fn gateways_that_consul_knows_are_let_in_while_it_knows_them() {
    let [first, second] = joined();
    let [lan, wan, other, stranger, named] = [(); 5].map(|()| free_host());
    let launch = Launch::registered(&first, "io_uring", "near");
    let gateway = launch.flag("--allow", "federation").flag("--allow", named).start();
    assert!(lets_in(&gateway, named), "a network of its own");
    for host in [lan, wan, other, stranger] {
        assert!(!lets_in(&gateway, host), "nobody knows {host}");
    }

    let at = |host: Ipv4Addr, port| SocketAddr::from((host, port));
    second.put_gateway("far", at(lan, 8443), at(wan, 8444));
    for host in [lan, wan] {
        until("its addresses are let in", || lets_in(&gateway, host).then_some(()));
    }
    second.put_gateway("far", at(lan, 8443), at(other, 8444));
    until("where it has moved to is let in", || lets_in(&gateway, other).then_some(()));
    until("where it was is not", || (!lets_in(&gateway, wan)).then_some(()));
    assert!(lets_in(&gateway, lan) && lets_in(&gateway, named));
    assert!(!lets_in(&gateway, stranger));
    assert!(gateway.refused("not_allowed") >= 5);
}
