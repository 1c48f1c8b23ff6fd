//! Templates on made hosts. On a real one, and as Consul has it: `tests/consul/templates.rs`.

use nix::net::if_::InterfaceFlags;

use super::*;

/// A host: its interfaces each with `IP/BITS`; `eth0` has the default route.
fn host(addresses: &[(&str, &str)]) -> Host {
    let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_BROADCAST | InterfaceFlags::IFF_MULTICAST;
    let address = |(interface, text): &(&str, &str)| {
        let (ip, bits) = text.split_once('/').unwrap();
        let flags = match *interface {
            "lo" => InterfaceFlags::IFF_UP | InterfaceFlags::IFF_LOOPBACK,
            "down0" => InterfaceFlags::IFF_BROADCAST,
            _ => up,
        };
        InterfaceAddress {
            interface: (*interface).to_owned(),
            flags,
            ip: ip.parse().unwrap(),
            mask_bits: bits.parse().unwrap(),
        }
    };
    let addresses = addresses.iter().map(address).collect();
    Host { addresses, default_interface: Some("eth0".to_owned()) }
}

fn usual() -> Host {
    host(&[
        ("lo", "127.0.0.1/8"),
        ("lo", "::1/128"),
        ("eth1", "192.168.7.2/24"),
        ("eth1", "fd00::7/64"),
        ("eth0", "10.1.2.3/16"),
        ("eth0", "8.8.4.4/32"),
        ("eth0", "fe80::1/64"),
        ("down0", "172.16.0.9/12"),
    ])
}

fn rendered(text: &str) -> String {
    render(text, &usual()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn what_is_written_most_comes_to_addresses() {
    for (text, expected) in [
        ("10.0.0.1:8443", "10.0.0.1:8443"),
        ("{{ GetPrivateIP }}", "10.1.2.3"),
        ("{{GetPrivateIP}}:8443", "10.1.2.3:8443"),
        ("{{ GetPublicIP }}:443", "8.8.4.4:443"),
        ("{{ GetInterfaceIP \"eth1\" }}:8443", "192.168.7.2:8443"),
        ("{{ GetInterfaceIP `^eth1$` }}", "192.168.7.2"),
        ("{{ GetInterfaceIPs \"eth1\" }}", "192.168.7.2 fd00::7"),
        ("{{ GetPrivateIPs }}", "172.16.0.9 10.1.2.3 192.168.7.2 fd00::7"),
        ("{{ GetPublicIPs }}", "8.8.4.4"),
        ("{{ GetDefaultInterfaces | attr \"address\" }}", "10.1.2.3"),
        ("{{ GetInterfaceIP \"nothing\" }}:8443", ":8443"),
    ] {
        assert_eq!(rendered(text), expected, "{text}");
    }
}

#[test]
fn the_interface_of_the_default_route_comes_first() {
    let host = host(&[("eth1", "10.9.9.9/8"), ("eth0", "192.168.7.2/24"), ("eth1", "9.9.9.9/8")]);
    assert_eq!(render("{{ GetPrivateIP }}", &host).unwrap(), "192.168.7.2");
    let lost = Host { default_interface: None, ..host };
    assert_eq!(render("{{ GetPrivateIP }}", &lost).unwrap(), "10.9.9.9");
}

#[test]
fn lists_are_selected_sorted_and_cut() {
    for (pipeline, expected) in [
        ("include \"type\" \"IPv6\"", "::1 fd00::7 fe80::1"),
        (
            "exclude \"type\" \"ipv6\" | exclude \"name\" \"lo\"",
            "192.168.7.2 10.1.2.3 8.8.4.4 172.16.0.9",
        ),
        ("include \"flags\" \"loopback\"", "127.0.0.1 ::1"),
        // Any of what an address is will do, and so all that is up.
        ("include \"flags\" \"forwardable|up\" | exclude \"name\" \"lo|eth\"", "172.16.0.9"),
        ("exclude \"flag\" \"up\"", "172.16.0.9"),
        ("include \"network\" \"10.0.0.0/8|192.168.0.0/16\"", "10.1.2.3 192.168.7.2"),
        ("include \"rfc\" \"1918\" | include \"size\" \"16\"", "10.1.2.3"),
        ("include \"address\" \"^10\\\\.\"", "10.1.2.3"),
        ("include \"port\" \"0\" | limit 1", "127.0.0.1"),
        ("include \"type\" \"IPv4\" | sort \"-address\" | limit 2", "192.168.7.2 172.16.0.9"),
        ("sort \"default,type,size\" | limit 3", "10.1.2.3 8.8.4.4 fe80::1"),
        (
            "sort \"name\" | unique \"name\" | exclude \"name\" \"lo\"",
            "172.16.0.9 10.1.2.3 192.168.7.2",
        ),
        ("sort \"private\" | include \"type\" \"IPv4\" | offset -1", "8.8.4.4"),
        ("offset 6 | limit 1", "fe80::1"),
    ] {
        let text = format!("{{{{ GetAllInterfaces | {pipeline} | join \"address\" \" \" }}}}");
        assert_eq!(rendered(&text), expected, "{text}");
        let by_dot = text.replacen("GetAllInterfaces", ".", 1);
        assert_eq!(rendered(&by_dot), expected, "{by_dot}");
    }
}

#[test]
fn attributes_are_those_of_addresses() {
    for (attribute, expected) in [
        ("address", "192.168.7.2"),
        ("HOST", "192.168.7.2"),
        ("string", "192.168.7.2/24"),
        ("network", "192.168.7.0"),
        ("netmask", "255.255.255.0"),
        ("broadcast", "192.168.7.255"),
        ("mask_bits", "24"),
        ("type", "IPv4"),
        ("name", "eth1"),
        ("port", "0"),
    ] {
        let text =
            format!("{{{{ GetAllInterfaces | include \"name\" \"eth1\" | attr {attribute:?} }}}}");
        assert_eq!(rendered(&text), expected, "{attribute}");
    }
    let v6 = "{{ . | include \"name\" \"eth1\" | include \"type\" \"IPv6\" | attr \"netmask\" }}";
    assert_eq!(rendered(v6), "ffff:ffff:ffff:ffff::");
}

#[test]
fn blanks_and_comments_are_gos() {
    for (text, expected) in [
        ("a {{- GetPrivateIP -}} b", "a10.1.2.3b"),
        ("[ {{- \"x\" -}} ]", "[x]"),
        ("{{/* why */}}{{ \"x\" }}", "x"),
        ("{{\n\t\"x\\\"\\u0041\"\n}}", "x\"A"),
    ] {
        assert_eq!(rendered(text), expected, "{text}");
    }
}

#[test]
fn what_is_not_taken_is_named_with_what_to_type() {
    for (text, told) in [
        ("{{ GetPrivateIP", "\"{{ GetPrivateIP\" cannot be read"),
        ("{{ GetInterfaceIP 'eth0' }}", "cannot be read: in braces there is FUNCTION"),
        ("{{ }}", "cannot be read"),
        ("{{ .Name }}", "cannot be read"),
        ("{{ \"open }}", "cannot be read"),
        ("{{ math \"address\" \"+1\" }}", "math is not taken here: write the address"),
        ("{{ printf \"%s:1\" GetPrivateIP }}", "printf is not taken here: write the text around"),
        ("{{ range GetAllInterfaces }}", "range is not taken here: choose with include"),
        ("{{ getPrivateIP }}", "getPrivateIP is not taken here: there are GetPrivateIP"),
        ("{{ $x }}", "$x is not taken here: there are no variables"),
        ("{{ GetPrivateIP \"eth0\" }}", "GetPrivateIP is given \"eth0\": expected no argument"),
        ("{{ GetInterfaceIP }}", "GetInterfaceIP is given nothing: expected the name"),
        ("{{ GetAllInterfaces }}", "put | attr \"address\" at its end"),
        ("{{ . | include \"color\" \"red\" }}", "expected address, flag, name, network"),
        ("{{ . | include \"flag\" \"down\" }}", "expected broadcast, forwardable"),
        ("{{ . | include \"rfc\" \"1\" }}", "expected 1122, 1918"),
        ("{{ . | include \"size\" \"64\" }}", "expected the bits of a network mask"),
        ("{{ . | include \"name\" \"(\" }}", "expected a regular expression"),
        ("{{ . | offset \"-2\" }}", "offset is given \"-2\" and interfaces: expected a count"),
        ("{{ . | offset 9 | attr \"address\" }}", "not larger than that of the interfaces"),
        ("{{ . | attr \"colour\" }}", "expected address, broadcast"),
        ("{{ GetInterfaceIP \"nothing\" }}", "on this host it comes to nothing"),
        (
            "{{ . | include \"type\" \"IPv6\" | offset 1 | attr \"address\" }}:8443",
            "the IPv6 address fd00::7: write brackets around it",
        ),
    ] {
        let error = render(text, &usual()).expect_err(text).to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
    let bracketed = "[{{ . | include \"type\" \"IPv6\" | offset 1 | attr \"address\" }}]:8443";
    assert_eq!(rendered(bracketed), "[fd00::7]:8443");
    let lost = Host { default_interface: None, ..usual() };
    let error = render("{{ GetDefaultInterfaces | attr \"address\" }}", &lost).unwrap_err();
    assert_eq!(error, TemplateError::NoDefaultRoute);
}
