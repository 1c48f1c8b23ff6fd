use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::RouteFile;
use crate::refusal::Refusal;
use crate::route::{Address, Pattern, RoutingTable};

fn problems(text: &str) -> Vec<String> {
    let errors = RouteFile::parse(text, "routes.toml").expect_err("this file is wrong");
    errors.iter().map(ToString::to_string).collect()
}

/// The one thing that is wrong with a route of these two lines of TOML, at lines 2 and 3.
fn problem(sni: &str, endpoints: &str) -> String {
    let found = problems(&format!("[[route]]\nsni = {sni}\nendpoints = {endpoints}\n"));
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

#[test]
fn a_file_with_everything_is_read() {
    let text = r#"
        [[route]]
        sni = "Web.Example.com."
        endpoints = ["10.0.0.1:8443", { address = "[2001:db8::1]:8443", weight = 128 }]
        connect_timeout = "250ms"
        name = "web"
        proxy_protocol = "v2"

        [[route]]
        sni = "*.example.com"
        endpoints = [{ address = "Backend.internal.:443" }]
    "#;
    let file = RouteFile::parse(text, "routes.toml").unwrap();
    assert_eq!(file.routes.len(), 2);
    let web = &file.routes[0];
    assert_eq!((web.name.as_str(), web.connect_timeout), ("web", Some(Duration::from_millis(250))));
    assert_eq!(web.pattern, Pattern::parse("web.example.com").unwrap());
    let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 8443));
    assert_eq!((&web.endpoints[1].address, web.endpoints[1].weight), (&Address::Socket(v6), 128));
    assert_eq!(file.routes[1].name, "*.example.com");
    assert_eq!(file.routes[1].connect_timeout, None);
    assert!(web.is_announced && !file.routes[1].is_announced);
    assert_eq!(file.hosts().collect::<Vec<_>>(), [("backend.internal", 443)]);
}

#[test]
fn hosts_become_their_addresses() {
    let text = r#"
        route = [
            { sni = "a", endpoints = [{ address = "many:1", weight = 7 }, "10.0.0.9:9"] },
            { sni = "b", endpoints = ["none:2"] },
        ]
    "#;
    let file = RouteFile::parse(text, "routes.toml").unwrap();
    let routes = file.resolve(Duration::from_secs(9), |host, port| match host {
        "many" => (1..=2).map(|last| SocketAddr::from(([10, 0, 0, last], port))).collect(),
        _ => Vec::new(),
    });
    let endpoints = &routes.clusters[0].endpoints;
    let listed: Vec<_> = endpoints.iter().map(|e| (e.address.to_string(), e.weight)).collect();
    let expected = [("10.0.0.1:1", 7), ("10.0.0.2:1", 7), ("10.0.0.9:9", 1)];
    assert_eq!(listed, expected.map(|(address, weight)| (address.to_owned(), weight)));
    let table = RoutingTable::from_routes(&routes).unwrap();
    let empty = table.cluster(table.lookup("b").unwrap()).unwrap();
    assert_eq!(empty.endpoint_count(), 0, "the route stays, without endpoints");
    assert_eq!(table.lookup("c"), Err(Refusal::UnknownName));
}

#[test]
fn wrong_server_names_are_explained() {
    let good = r#"["a:1"]"#;
    for (sni, message) in [
        (r#""""#, "\"\" is no server name: a server name cannot be empty"),
        (r#""a..b""#, "\"a..b\" is no server name: a server name cannot have an empty label"),
        (r#""a b""#, "\"a b\" is no server name: ' ' cannot be part of one"),
        (r#""https://a""#, "\"https://a\" is no server name: ':' cannot be part of one"),
        (r#""müller.de""#, "\"müller.de\" is no server name: 'ü' cannot be part of one"),
        (r#""a.example:443""#, "\"a.example:443\" has a port; a server name has none"),
        (r#""10.0.0.1""#, "\"10.0.0.1\" is an IP address; clients never send one"),
        (r#""[::1]""#, "\"[::1]\" is an IP address; clients never send one"),
        (r#""a.*.b""#, "\"a.*.b\" has a `*` where none can be"),
        (r#""*""#, "\"*\" has a `*` where none can be"),
        (r#""*a.b""#, "\"*a.b\" has a `*` where none can be"),
        ("7", "expected a server name, found the number 7"),
        ("[]", "expected a server name, found an array"),
    ] {
        let found = problem(sni, good);
        assert!(found.starts_with(&format!("routes.toml:2:7: {message}")), "{sni}: {found}");
    }
}

#[test]
fn wrong_endpoints_are_explained() {
    for (endpoints, column, message) in [
        ("[]", 13, "`endpoints` is empty: expected at least one"),
        (r#""a:1""#, 13, "expected a list of endpoints, as in [\"10.0.0.1:8443\"], found a string"),
        (r#"["a"]"#, 14, "\"a\" has no port: expected `host:port`"),
        (r#"["a:1", "b:0"]"#, 21, "\"b:0\" has the port \"0\": expected a number from 1 to 65535"),
        (r#"["b:65536"]"#, 14, "\"b:65536\" has the port \"65536\""),
        (r#"["b:+1"]"#, 14, "\"b:+1\" has the port \"+1\""),
        (r#"["b:"]"#, 14, "\"b:\" has the port \"\""),
        (r#"["::1:443"]"#, 14, "\"::1:443\" is an IPv6 address without brackets"),
        (r#"["[::1]"]"#, 14, "\"[::1]\" has no port"),
        (r#"["[::g]:1"]"#, 14, "\"[::g]:1\" is no IPv6 address with port"),
        (r#"["[::1:1"]"#, 14, "\"[::1:1\" is no IPv6 address with port"),
        (r#"["10.0.0.256:1"]"#, 14, "\"10.0.0.256:1\" is no IPv4 address with port"),
        (r#"["10.0.1:1"]"#, 14, "\"10.0.1:1\" is no IPv4 address with port"),
        (r#"["https://a:1"]"#, 14, "\"https://a:1\" is a URL"),
        (r#"["-a..b:1"]"#, 14, "\"-a..b:1\" has no valid host name"),
        (r#"[":1"]"#, 14, "\":1\" has no valid host name"),
        (r#"["a:1", "A:1"]"#, 21, "`a:1` is already in this list, on line 3"),
        (
            r#"[1]"#,
            14,
            "expected \"host:port\", or { address = \"host:port\", weight = 1 }, found the",
        ),
        ("[{ weight = 1 }]", 14, "the endpoint has no `address`"),
        (
            r#"[{ address = "a:1", weight = 0 }]"#,
            42,
            "expected a weight from 1 to 128, found the number 0",
        ),
        (
            r#"[{ address = "a:1", weight = 129 }]"#,
            42,
            "expected a weight from 1 to 128, found the number 129",
        ),
        (
            r#"[{ address = "a:1", weight = -1 }]"#,
            42,
            "expected a weight from 1 to 128, found the number -1",
        ),
        (
            r#"[{ address = "a:1", weight = 1.5 }]"#,
            42,
            "expected a weight from 1 to 128, found a float",
        ),
        (r#"[{ address = "a:1", wieght = 1 }]"#, 33, "unknown key `wieght`: an endpoint has"),
    ] {
        let found = problem(r#""a.example""#, endpoints);
        let expected = format!("routes.toml:3:{column}: {message}");
        assert!(found.starts_with(&expected), "{endpoints}: {found}");
    }
}

#[test]
fn durations_have_a_unit_and_a_bound() {
    let timeout = |value: &str| {
        let text =
            format!("[[route]]\nsni = \"a\"\nendpoints = [\"a:1\"]\nconnect_timeout = {value}");
        RouteFile::parse(&text, "routes.toml")
            .map(|file| file.routes[0].connect_timeout)
            .map_err(|errors| errors[0].to_string())
    };
    assert_eq!(timeout("\"5s\""), Ok(Some(Duration::from_secs(5))));
    assert_eq!(timeout("\"60m\""), Ok(Some(Duration::from_secs(3600))));
    assert_eq!(timeout("\"0s\""), Ok(Some(Duration::ZERO)));
    for (value, message) in [
        ("\"5\"", "\"5\" is no duration"),
        ("\"s\"", "\"s\" is no duration"),
        ("\"-5s\"", "\"-5s\" is no duration"),
        ("\"5 s\"", "\"5 s\" is no duration"),
        ("\"61m\"", "\"61m\" is too long"),
        ("\"99999999999999999999s\"", "\"99999999999999999999s\" is too long"),
        ("5", "expected a duration in quotes, as in \"5s\", found the number 5"),
    ] {
        let found = timeout(value).unwrap_err();
        assert!(found.starts_with(&format!("routes.toml:4:19: {message}")), "{found}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once_in_order() {
    let text = r#"
[[route]]
sni = "a"
endpoints = ["x", "y:0"]
timeout = "5s"

[[route]]
endpoints = ["a:1"]

[[route]]
sni = "A."
name = ""

[[rout]]
"#;
    let expected = [
        "routes.toml:4:14: \"x\" has no port: expected `host:port`, as in `10.0.0.1:8443`",
        "routes.toml:4:19: \"y:0\" has the port \"0\": expected a number from 1 to 65535",
        "routes.toml:5:1: unknown key `timeout`: a route has `sni`, `endpoints`, \
         `connect_timeout`, `name` and `proxy_protocol`",
        "routes.toml:7:1: the route has no `sni`: expected a name, or `*.` and a name",
        "routes.toml:10:1: the route has no `endpoints`: expected a list, as in \
         [\"10.0.0.1:8443\"]",
        "routes.toml:11:7: `a` already has a route, on line 3",
        "routes.toml:12:8: `name` must not be empty or have control characters",
        "routes.toml:14:3: unknown key `rout`: expected only `[[route]]` tables",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn names_may_not_meet() {
    let text = "[[route]]\nsni = \"a\"\nendpoints = [\"a:1\"]\n\
                [[route]]\nsni = \"b\"\nname = \"a\"\nendpoints = [\"a:1\"]\n";
    assert_eq!(problems(text), ["routes.toml:6:8: the name `a` is already in use, on line 2"]);
}

#[test]
fn a_file_without_a_route_is_wrong() {
    let none = "routes.toml:1:1: there is no route: expected at least one `[[route]]`";
    assert_eq!(problems(""), [none]);
    assert_eq!(problems("# nothing\n"), [none]);
    assert!(problems("route = []")[0].contains("there is no route"));
    let single = problems("[route]\nsni = \"a\"");
    assert_eq!(single.len(), 1);
    assert!(single[0].contains("write `[[route]]`"), "{single:?}");
}

#[test]
fn toml_mistakes_have_their_place() {
    let found = problems("[[route]]\nsni = \"a\nendpoints = [\"a:1\"]\n");
    assert!(found[0].starts_with("routes.toml:2:"), "{found:?}");
    let found = problems("[[route]]\nsni = \"a\"\nsni = \"b\"\n");
    assert!(found[0].starts_with("routes.toml:3:1: "), "{found:?}");
    assert!(found.iter().all(|line| !line.contains('\n')));
}

fn toml_pieces() -> impl Strategy<Value = String> {
    let pieces = ["[[route]]", "sni", "endpoints", "=", "\"", "{", "}", "[", "]", ",", "\n", "a:1"];
    let pieces = prop::sample::select([&pieces[..], &[":", ".", "*", "ü", " "]].concat());
    prop::collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in toml_pieces()) {
        if let Err(errors) = RouteFile::parse(&text, "x") {
            prop_assert!(!errors.is_empty());
        }
    }

    #[test]
    fn no_value_breaks_a_field(value in ".{0,40}", other in "[0-9a-z:.\\[\\]*%/-]{0,20}") {
        for text in [value, other] {
            if let Ok(pattern) = super::fields::pattern(&text) {
                prop_assert_eq!(Pattern::parse(&pattern.to_string()), Ok(pattern));
            }
            if let Ok(address) = super::fields::address(&text) {
                prop_assert_eq!(super::fields::address(&address.to_string()), Ok(address));
            }
            let _ = super::fields::duration(&text);
        }
    }
}
