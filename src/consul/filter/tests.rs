//! Filters over instances made by hand. What is expected here is what Consul 1.8.7 answers.

use proptest::prelude::*;
use serde_json::json;

use super::{Filter, FilterError, Subject};
use crate::consul::model::CheckServiceNode;
use crate::limits::{FILTER_BYTES_MAX, FILTER_DEPTH_MAX};

/// A sidecar with everything, and one with as little as there can be.
fn instances() -> [CheckServiceNode; 2] {
    let full = json!({
        "Node": {"ID": "8e0f", "Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc1",
            "TaggedAddresses": {"lan": "10.0.0.1", "wan": "198.18.0.1"}, "Meta": {"rack": "r1"}},
        "Service": {"Kind": "connect-proxy", "ID": "w1", "Service": "web-sidecar-proxy",
            "Tags": ["blue", "b"], "Address": "10.0.0.11", "Port": 21000,
            "TaggedAddresses": {"lan": {"Address": "10.0.0.11", "Port": 1}},
            "Meta": {"version": "v1", "a.b": "dotted", "empty": "", "umlaut": "gr\u{fc}n"},
            "Weights": {"Passing": 5, "Warning": -2}, "EnableTagOverride": true,
            "Connect": {"Native": true},
            "Proxy": {"DestinationServiceName": "web", "DestinationServiceID": "web-1",
                "LocalServiceAddress": "127.0.0.1", "LocalServicePort": 8080,
                "MeshGateway": {"Mode": "local"},
                "Upstreams": [
                    {"DestinationName": "db", "LocalBindPort": 5432, "DestinationType": "service",
                        "MeshGateway": {"Mode": "remote"}},
                    {"DestinationName": "queue", "LocalBindPort": 5672, "Datacenter": "dc2",
                        "DestinationNamespace": "ns", "LocalBindAddress": "127.0.0.9"},
                ],
                "Expose": {"Checks": true, "Paths": [{"Path": "/health", "ListenerPort": 21500,
                    "LocalPathPort": 8080, "Protocol": "http2", "ParsedFromCheck": true}]}}},
        "Checks": [
            {"Node": "n1", "CheckID": "serfHealth", "Name": "Serf", "Status": "passing"},
            {"Node": "n1", "CheckID": "c1", "Name": "One", "Status": "warning", "Notes": "look",
                "ServiceID": "w1", "ServiceName": "web-sidecar-proxy", "ServiceTags": ["blue"],
                "Type": "tcp"},
        ],
    });
    let bare = json!({
        "Node": {"Node": "n2", "Address": "10.0.0.2", "TaggedAddresses": null, "Meta": null},
        "Service": {"Kind": "connect-proxy", "ID": "w2", "Service": "web-sidecar-proxy",
            "Port": 2, "Tags": null, "Meta": null, "Proxy": {"DestinationServiceName": "web"}},
        "Checks": null,
    });
    [full, bare].map(|value| serde_json::from_value(value).unwrap())
}

/// Which of the two a filter selects: a bit for each.
fn selected(filter: &str) -> Result<u8, FilterError> {
    let filter = Filter::parse(filter)?;
    let mut found = 0;
    for (bit, instance) in instances().iter().enumerate() {
        let CheckServiceNode { node, service, checks } = instance;
        let checks: Vec<_> = checks.iter().collect();
        let subject = Subject { datacenter: "dc1", node, service, checks: &checks };
        found |= u8::from(filter.matches(&subject)) << bit;
    }
    Ok(found)
}

const NONE: u8 = 0;
const FULL: u8 = 1;
const BARE: u8 = 2;
const BOTH: u8 = 3;

fn assert_selected(expected: &[(&str, u8)]) {
    for (filter, expected) in expected {
        assert_eq!(selected(filter), Ok(*expected), "{filter}");
    }
}

#[test]
fn every_field_is_read() {
    assert_selected(&[
        ("Node.ID == `8e0f`", FULL),
        ("Node.Node == n2", BARE),
        ("Node.Address == `10.0.0.1`", FULL),
        ("Node.Datacenter == dc1", BOTH),
        ("Node.TaggedAddresses.wan == `198.18.0.1`", FULL),
        ("Node.TaggedAddresses is empty", BARE),
        ("Node.Meta.rack == r1", FULL),
        ("rack in Node.Meta", FULL),
        ("Service.Kind == `connect-proxy`", BOTH),
        ("Service.ID == w2", BARE),
        ("Service.Service == `web-sidecar-proxy`", BOTH),
        ("Service.Tags contains blue", FULL),
        ("Service.Address == `10.0.0.11`", FULL),
        ("lan in Service.TaggedAddresses", FULL),
        ("Service.TaggedAddresses.lan.Address == `10.0.0.11`", FULL),
        ("Service.TaggedAddresses.lan.Port == 1", FULL),
        ("Service.Meta.version == v1", FULL),
        ("Service.Port == 21000", FULL),
        ("Service.Weights.Passing == 5", FULL),
        ("Service.Weights.Warning == -2", FULL),
        // Consul's defaults, where none are said.
        ("Service.Weights.Passing == 1", BARE),
        ("Service.EnableTagOverride == true", FULL),
        ("Service.Connect.Native == t", FULL),
        ("Service.Proxy.DestinationServiceName == web", BOTH),
        ("Service.Proxy.DestinationServiceID == `web-1`", FULL),
        ("Service.Proxy.LocalServiceAddress == `127.0.0.1`", FULL),
        ("Service.Proxy.LocalServicePort == 8080", FULL),
        ("Service.Proxy.MeshGateway.Mode == local", FULL),
        ("Service.Proxy.Upstreams is not empty", FULL),
        ("Service.Proxy.Upstreams.DestinationType == service", FULL),
        ("Service.Proxy.Upstreams.DestinationNamespace == ns", FULL),
        ("Service.Proxy.Upstreams.DestinationName == queue", FULL),
        ("Service.Proxy.Upstreams.Datacenter == dc2", FULL),
        ("Service.Proxy.Upstreams.LocalBindAddress == `127.0.0.9`", FULL),
        ("Service.Proxy.Upstreams.LocalBindPort == 5432", FULL),
        ("Service.Proxy.Upstreams.MeshGateway.Mode == remote", FULL),
        ("Service.Proxy.Expose.Checks == 1", FULL),
        ("Service.Proxy.Expose.Paths is empty", BARE),
        ("Service.Proxy.Expose.Paths.ListenerPort == 21500", FULL),
        ("Service.Proxy.Expose.Paths.Path == `/health`", FULL),
        ("Service.Proxy.Expose.Paths.LocalPathPort == 8080", FULL),
        ("Service.Proxy.Expose.Paths.Protocol == http2", FULL),
        ("Service.Proxy.Expose.Paths.ParsedFromCheck == true", FULL),
        ("Checks is empty", BARE),
        ("Checks.Node == n1", FULL),
        ("Checks.CheckID == serfHealth", FULL),
        ("Checks.Name == One", FULL),
        ("Checks.Status == warning", FULL),
        ("Checks.Notes == look", FULL),
        ("Checks.ServiceID == w1", FULL),
        ("Checks.ServiceName == `web-sidecar-proxy`", FULL),
        ("Checks.ServiceTags contains blue", FULL),
        ("Checks.Type == tcp", FULL),
    ]);
}

#[test]
fn operators_are_go_bexprs() {
    assert_selected(&[
        ("Service.Meta.version != v1", BARE),
        ("Service.Meta.version==v1", FULL),
        ("v in Service.Meta.version", FULL),
        ("v not in Service.Meta.version", BARE),
        ("Service.Meta.version contains ``", FULL),
        ("Service.Meta contains version", FULL),
        ("Service.Meta not contains version", BARE),
        ("Service.Tags not contains red", BOTH),
        ("blue in Service.Tags", FULL),
        ("blu in Service.Tags", NONE),
        ("Service.Tags is empty", BARE),
        ("Service.Tags is not empty", FULL),
        ("Service.Meta is empty", BARE),
        ("Node.Node matches `^n[12]$`", BOTH),
        ("Node.Node matches `^[0-9]`", NONE),
        ("Node.Node not matches 1", BARE),
        ("Service.Port != 2", FULL),
        ("Service.EnableTagOverride != true", BARE),
    ]);
}

#[test]
fn missing_keys_equal_nothing_and_match_everything() {
    assert_selected(&[
        ("Service.Meta.nothing == v1", NONE),
        ("Service.Meta.nothing != v1", BOTH),
        ("v1 in Service.Meta.nothing", NONE),
        ("v1 not in Service.Meta.nothing", BOTH),
        ("Service.Meta.nothing matches v1", BOTH),
        ("Service.Meta.nothing not matches v1", BOTH),
        ("Service.Meta.Version == v1", NONE),
        ("Service.TaggedAddresses.nothing.Port == 1", NONE),
        ("Service.TaggedAddresses.nothing.Port != 1", BOTH),
        ("Service.Meta.empty == ``", FULL),
        (r#"Service.Meta["\xff"] != v1"#, BOTH),
        (r#""\xff" in Service.Meta"#, NONE),
    ]);
}

#[test]
fn of_things_in_a_list_one_has_to_fit() {
    assert_selected(&[
        ("Checks.Status == passing", FULL),
        // One of them is other than passing.
        ("Checks.Status != passing", FULL),
        ("not Checks.Status == passing", BARE),
        ("Checks.Status matches `^crit`", NONE),
        ("Checks.ServiceTags is empty", FULL),
        ("Checks.ServiceTags not contains blue", FULL),
        ("Service.Proxy.Upstreams.LocalBindPort != 5432", FULL),
        ("Service.Proxy.Upstreams.LocalBindPort != 1", FULL),
    ]);
}

#[test]
fn and_binds_closer_than_or_and_not_closer_than_and() {
    let (yes, no) = ("Service.Port != 0", "Service.Port == 0");
    for (filter, expected) in [
        ("Y or N and N", true),
        ("(Y or N) and N", false),
        ("N and N or Y", true),
        ("N and (N or Y)", false),
        ("not N and N", false),
        ("not (N and N)", true),
        ("not not Y", true),
        ("not Y or Y", true),
        ("not (Y or Y)", false),
        ("N or N or Y", true),
        ("Y and Y and N", false),
        ("( ( Y ) )", true),
        ("\t\r\nY\n and\tY ", true),
        ("((Y) or (N)) and (Y)", true),
    ] {
        let text = filter.replace('Y', yes).replace('N', no);
        let expected = if expected { BOTH } else { NONE };
        assert_eq!(selected(&text), Ok(expected), "{filter}");
    }
}

#[test]
fn values_and_selectors_are_written_in_several_ways() {
    assert_selected(&[
        (r#"Service.Meta["version"] == "v1""#, FULL),
        ("Service[`Meta`][ `version` ] == `v1`", FULL),
        ("Service.Meta[`a.b`] == dotted", FULL),
        ("Service.Meta.version == `v\r1`", FULL),
        (r#"Service.Meta.version == "\x76\u0031""#, FULL),
        (r#"Service.Meta.umlaut == "gr\u00fcn""#, FULL),
        ("Service.Meta.umlaut == `gr\u{fc}n`", FULL),
        // What has a dot is read as a selector, and then taken as it stands.
        ("Service.Meta.version == v1.x", NONE),
        (r#"Service.Port == "0x5208""#, FULL),
        (r#"Service.Port == "21_000""#, FULL),
        (r#"Service.Port == "+2""#, BARE),
        ("Service.Port == -2", NONE),
        ("Service.Weights.Warning == -2", FULL),
        ("Service.Meta.version == 1.5", NONE),
        ("Service.EnableTagOverride == FALSE", BARE),
        ("not in Service.Tags", NONE),
        ("and in Service.Tags or or in Service.Tags", NONE),
    ]);
}

#[test]
fn patterns_are_found_anywhere() {
    assert_selected(&[
        ("Service.Meta.version matches 1", BOTH),
        ("Service.ID matches 1", FULL),
        ("Service.ID matches `W1`", NONE),
        ("Service.ID matches `(?i)W1`", FULL),
        ("Service.ID matches ``", BOTH),
        (r"Service.ID matches `^\w\d$`", BOTH),
    ]);
}

#[test]
fn patterns_are_gos() {
    let matches = |pattern: &str, text: &str| {
        let found = super::pattern::Pattern::read(pattern.as_bytes());
        found.map(|pattern| pattern.is_match(text)).ok()
    };
    for (pattern, text, expected) in [
        // Classes are ASCII, and so are the edges of words.
        (r"^\w+$", "gr\u{fc}n", Some(false)),
        (r"^\d$", "\u{663}", Some(false)),
        (r"gr\b", "gr\u{fc}n", Some(true)),
        (r"^\s$", "\u{b}", Some(false)),
        // But one character is one, whatever its bytes.
        ("^gr.n$", "gr\u{fc}n", Some(true)),
        ("(?i)^GR\u{dc}N$", "gr\u{fc}n", Some(true)),
        (r"\pL", "1", Some(false)),
        (r"^\p{^L}$", "1", Some(true)),
        (r"^\p{latin}", "a", None),
        // Braces and brackets that are letters.
        ("^a{,2}$", "a{,2}", Some(true)),
        ("^a{$", "a{", Some(true)),
        ("^a{01}$", "a{01}", Some(true)),
        ("^[[]$", "[", Some(true)),
        ("^[]a]+$", "]a", Some(true)),
        ("^[^]a]$", "b", Some(true)),
        ("^[a&&b]+$", "a&b", Some(true)),
        ("^[a-]+$", "-a", Some(true)),
        (r"^[\d-x]+$", "1-x", Some(true)),
        (r"^[[:alpha:]\]]+$", "a]", Some(true)),
        ("^[[:^alpha:]]$", "a", Some(false)),
        ("[[:letter:]]", "a", None),
        ("[z-a]", "b", None),
        (r"[a-\d]", "b", None),
        ("[a", "a", None),
        // Escapes.
        (r"^\Qa.b\E$", "a.b", Some(true)),
        (r"^\Qa.b", "axb", Some(false)),
        (r"^\x41\x{42}\103\07?\_\-\.$", "ABC_-.", Some(true)),
        (r"\u0041", "A", None),
        (r"\1", "1", None),
        (r"\x{110000}", "", None),
        (r"\x4", "", None),
        (r"\Z", "", None),
        ("a\\", "", None),
        // Groups and flags.
        ("^(?P<n>a)(?:b)$", "ab", Some(true)),
        ("(?P<n>a)(?P<n>b)", "ab", Some(true)),
        ("(?P<>a)", "a", None),
        ("(?<n>a)", "a", None),
        ("(?x)a b", "ab", None),
        ("^(?i)a(?-i)b$", "Ab", Some(true)),
        ("^(?i:a)b$", "AB", Some(false)),
        ("^((?i)a)b$", "AB", Some(false)),
        ("^(?)a$", "a", Some(true)),
        ("(?-)a", "a", None),
        ("(?s)^a.b$", "a\nb", Some(true)),
        ("^a.b$", "a\nb", Some(false)),
        ("(?m)^b$", "a\nb", Some(true)),
        ("^b$", "a\nb", Some(false)),
        ("(a", "a", None),
        ("a)", "a", None),
        // Repetitions.
        ("a**", "", None),
        ("a{2}{2}", "", None),
        ("a*??", "", None),
        ("(a*)*?", "", Some(true)),
        ("*a", "", None),
        ("(|*)", "", None),
        ("a{1001}", "", None),
        ("a{3,2}", "", None),
        ("(a{40}){30}", "", None),
        ("(a{40}){25}", "", Some(false)),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
    }
}

#[test]
fn what_consul_refuses_is_refused() {
    for filter in [
        " ",
        "Service.Port",
        "Service.Port == ",
        "== 1",
        "Service.Port = 1",
        "Service.Port == 1 and",
        "Service.Port == 1 and(Service.Port == 1)",
        "(Service.Port == 1)and Service.Port == 1",
        "(Service.Port == 1",
        "Service.Port == 1)",
        "Service.Port == 1 Service.Port == 1",
        "Service.Port == 007",
        "Service.Port == 1.",
        "Service.Port == 1a",
        "Service.Port == 1\u{a0}",
        "Service.Meta.version == v1.2",
        "Service.Meta.1 == a",
        "Service.Meta.gr\u{fc}n == a",
        "Service.Meta[version] == a",
        "Service.Meta[`version` == a",
        "Service.Meta.version == \"a",
        "Service.Meta.version == `a",
        r#"Service.Meta.version == "a\"b""#,
        r#"Service.Meta.version == "\d""#,
        "Service.Meta.version == \"a\nb\"",
        "Service.Tags is emptyx",
        "1 in 1",
        "`v1` == Service.Meta.version",
    ] {
        let found = selected(filter);
        assert!(matches!(found, Err(FilterError::Syntax { .. })), "{filter}: {found:?}");
    }
    for filter in [
        "Meta.version == 1",
        "service.port == 1",
        "Service == 1",
        "Service.Weights == 1",
        "Service.Connect is empty",
        "Service.Meta.version.x == 1",
        "Service.TaggedAddresses.lan == 1",
        "Service.Proxy.Config is empty",
        "Node.ModifyIndex == 1",
        "Checks.Definition is empty",
        "Checks.CheckId == a",
        "Service.Namespace == a",
        "not contains and",
    ] {
        let found = selected(filter);
        assert!(matches!(found, Err(FilterError::Selector { .. })), "{filter}: {found:?}");
    }
    for filter in [
        "Service.Meta.version is empty",
        "Service.Meta == a",
        "Service.Tags == a",
        "Service.Tags matches a",
        "Service.Port matches 1",
        "1 in Service.Port",
        "Service.Port is empty",
        "Service.EnableTagOverride contains t",
        "Checks == 1",
        "a in Checks",
        "a in Service.Proxy.Upstreams",
    ] {
        let found = selected(filter);
        assert!(matches!(found, Err(FilterError::Operator { .. })), "{filter}: {found:?}");
    }
    for filter in [
        "Service.Port == a",
        "Service.Port == 1.0",
        "Service.Port == ``",
        "Service.Port == `9223372036854775808`",
        "Service.EnableTagOverride == yes",
        "Service.EnableTagOverride == 2",
    ] {
        let found = selected(filter);
        assert!(matches!(found, Err(FilterError::Value { .. })), "{filter}: {found:?}");
    }
    for filter in ["Node.Node matches `[`", "Node.Node matches `(`", r#"Node.Node matches "\xff""#]
    {
        let found = selected(filter);
        assert!(matches!(found, Err(FilterError::Pattern { .. })), "{filter}: {found:?}");
    }
    assert_eq!(selected("Checks.Output == a"), Err(FilterError::CheckOutput));
}

#[test]
fn errors_say_where_and_what() {
    let text = |filter: &str| selected(filter).unwrap_err().to_string();
    let error = text("Service.Meta.gr\u{fc}n == a");
    assert!(error.contains("from character 16 on (\"\u{fc}n == a\")"), "{error}");
    let error = text("Service.Port == 1 and (Service.Port == 2");
    assert!(error.contains("(its end): the parenthesis is not closed"), "{error}");
    assert!(text("Service.Port == 1x").contains("from character 17 on (\"1x\"): a number"));
    assert!(text("Service.Port == x").contains("\"Service.Port\" is a whole number"));
    let long = format!("{} == 1", "a".repeat(5000));
    assert!(text(&long).len() < 300);
}

#[test]
fn length_and_depth_are_bounded() {
    let nested =
        |count: usize| format!("{}Service.Port == 2{}", "(".repeat(count), ")".repeat(count));
    assert_eq!(selected(&nested(FILTER_DEPTH_MAX)), Ok(BARE));
    assert_eq!(selected(&nested(FILTER_DEPTH_MAX + 1)), Err(FilterError::TooDeep));
    let nots = |count: usize| format!("{}Service.Port == 2", "not ".repeat(count));
    assert_eq!(selected(&nots(FILTER_DEPTH_MAX)), Ok(BARE));
    assert_eq!(selected(&nots(FILTER_DEPTH_MAX + 1)), Err(FilterError::TooDeep));
    // Side by side there is no such bound.
    let side = "(Service.Port == 2) or ".repeat(FILTER_DEPTH_MAX + 1);
    assert_eq!(selected(&format!("{side}Service.Port == 3")), Ok(BARE));
    let padded = |length: usize| format!("Service.Port == 2{}", " ".repeat(length - 17));
    assert_eq!(selected(&padded(FILTER_BYTES_MAX)), Ok(BARE));
    assert_eq!(selected(&padded(FILTER_BYTES_MAX + 1)), Err(FilterError::TooLong));
    assert_eq!(selected(&"(".repeat(FILTER_BYTES_MAX)), Err(FilterError::TooDeep));
    assert!(selected("Node.Node matches `(a{1000}){1000}`").is_err());
}

/// Words that filters are made of.
const WORDS: [&str; 34] = [
    "Service", "Port", "Meta", "Tags", "Checks", "Node", "Status", ".", ".", "[", "]", "(", ")",
    " ", " ", " ", "==", "!=", "in", "not", "is", "empty", "contains", "matches", "and", "or",
    "\"", "`", "\\", "1", "-", "x", "\u{fc}", "{9}",
];

proptest! {
    /// No text breaks it, and what it says of one is short.
    #[test]
    fn any_text_is_a_filter_or_an_error(text in ".{0,200}") {
        if let Err(error) = selected(&text) {
            prop_assert!(error.to_string().len() < 1000);
        }
    }

    #[test]
    fn any_text_is_a_pattern_or_an_error(
        text in r"[\\\[\](){}^$|*+?.:,<>0-3a-dxpPQE\u{fc}-]{0,40}",
    ) {
        let _ = super::pattern::Pattern::read(text.as_bytes());
    }

    #[test]
    fn any_words_are_a_filter_or_an_error(
        words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..60),
    ) {
        if let Err(error) = selected(&words.concat()) {
            prop_assert!(error.to_string().len() < 1000);
        }
    }
}
