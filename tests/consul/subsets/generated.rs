//! Instances and filters, made by a seed: the same ones in every run.

use serde_json::{Value, json};

use crate::support::random::Random;

pub struct Generator(Random);

/// Selectors of texts, with texts that some of the instances have there.
const TEXTS: [(&str, &[&str]); 24] = [
    ("Node.ID", &["", "8e0f"]),
    ("Node.Node", &["n1", "n17", "dc1-s1"]),
    ("Node.Address", &["10.0.0.1", "10.0.0.17"]),
    ("Node.Datacenter", &["dc1", "dc2"]),
    ("Node.TaggedAddresses.lan", &["10.0.0.3"]),
    ("Node.Meta.rack", &["r1", "r2", "gr\u{fc}n"]),
    ("Node.Meta[\"a.b\"]", &["x", ""]),
    ("Service.Kind", &["connect-proxy", ""]),
    ("Service.ID", &["w1", "w9"]),
    ("Service.Service", &["web-sidecar-proxy", "web"]),
    ("Service.Address", &["", "10.1.0.4"]),
    ("Service.TaggedAddresses.lan.Address", &["10.2.0.4", "10.2.0.9"]),
    ("Service.Meta.version", &["v1", "v2", "1", ""]),
    ("Service.Meta[`version`]", &["v1", "v2"]),
    ("Service.Meta.nothing", &["v1", ""]),
    ("Service.Proxy.DestinationServiceName", &["web"]),
    ("Service.Proxy.DestinationServiceID", &["web-1", ""]),
    ("Service.Proxy.MeshGateway.Mode", &["local", "remote", ""]),
    ("Service.Proxy.Upstreams.DestinationName", &["db", "queue"]),
    ("Service.Proxy.Upstreams.Datacenter", &["dc2", ""]),
    ("Service.Proxy.Expose.Paths.Path", &["/health"]),
    ("Checks.Status", &["passing", "warning", "critical"]),
    ("Checks.CheckID", &["c1", "c2"]),
    ("Checks.Name", &["first", "second"]),
];
const NUMBERS: [&str; 8] = [
    "Service.Port",
    "Service.Weights.Passing",
    "Service.Weights.Warning",
    "Service.TaggedAddresses.lan.Port",
    "Service.Proxy.LocalServicePort",
    "Service.Proxy.Upstreams.LocalBindPort",
    "Service.Proxy.Expose.Paths.ListenerPort",
    "Service.TaggedAddresses[`nothing`].Port",
];
const NUMBER_VALUES: [&str; 12] =
    ["1", "2", "0", "-1", "5432", "\"0x2\"", "\"0b1\"", "\"1_0\"", "`01`", "1.5", "two", "007"];
const FLAGS: [&str; 4] = [
    "Service.EnableTagOverride",
    "Service.Connect.Native",
    "Service.Proxy.Expose.Checks",
    "Service.Proxy.Expose.Paths.ParsedFromCheck",
];
const FLAG_VALUES: [&str; 7] = ["true", "false", "1", "F", "True", "yes", "\"\""];
const COLLECTIONS: [(&str, &[&str]); 8] = [
    ("Service.Tags", &["a", "b", "gr\u{fc}n"]),
    ("Service.Meta", &["version", "empty"]),
    ("Service.TaggedAddresses", &["lan", "wan"]),
    ("Node.Meta", &["rack", "a.b"]),
    ("Node.TaggedAddresses", &["lan", "wan"]),
    ("Checks.ServiceTags", &["a", "b"]),
    ("Service.Proxy.Upstreams", &["db"]),
    ("Checks", &["c1"]),
];
const WRONG: [&str; 8] = [
    "Service.Nothing",
    "service.Port",
    "Meta.version",
    "Service",
    "Service.Meta.version.x",
    "Checks.CheckId",
    "Service.Proxy.Config",
    "Node.ModifyIndex",
];
const PATTERNS: [&str; 14] = [
    "^v",
    "v[12]$",
    "1",
    "",
    "^$",
    "(?i)V1",
    "(local|remote)",
    "pass.*",
    "^[^0-9]+$",
    "w.?1",
    "[",
    "(",
    "a{2,1}",
    "*",
];

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// A registration of a sidecar or a native, on a node of its own.
    pub fn instance(&mut self, number: usize) -> Value {
        let mut service = json!({
            "Kind": "connect-proxy", "ID": format!("w{number}"), "Service": "web-sidecar-proxy",
            "Port": 1 + self.0.below(3), "Proxy": {"DestinationServiceName": "web"},
        });
        if self.0.chance(60) {
            let version = self.0.one(&["v1", "v2", "1"]);
            service["Meta"] = json!({"version": version});
            if self.0.chance(30) {
                service["Meta"]["empty"] = "".into();
            }
        }
        if self.0.chance(60) {
            let tag = self.0.one(&["a", "b", "gr\u{fc}n"]);
            service["Tags"] = json!([tag, "c"]);
        }
        if self.0.chance(50) {
            service["Address"] = format!("10.1.0.{number}").into();
            let lan = json!({"Address": format!("10.2.0.{number}"), "Port": self.0.below(3)});
            service["TaggedAddresses"] = json!({"lan": lan});
        }
        if self.0.chance(50) {
            service["Weights"] =
                json!({"Passing": 1 + self.0.below(3), "Warning": self.0.below(2)});
        }
        service["EnableTagOverride"] = self.0.chance(50).into();
        if self.0.chance(20) {
            service["Kind"] = "".into();
            service["Service"] = "web".into();
            service["Connect"] = json!({"Native": true});
            service["Proxy"] = json!({});
        } else {
            self.proxy(&mut service["Proxy"]);
        }
        let mut registration = json!({
            "Node": format!("n{number}"), "Address": format!("10.0.0.{number}"),
            "Service": service,
        });
        if self.0.chance(50) {
            let address = format!("10.0.0.{number}");
            registration["TaggedAddresses"] = json!({"lan": address});
            let rack = self.0.one(&["r1", "r2", "gr\u{fc}n"]);
            registration["NodeMeta"] = json!({"rack": rack, "a.b": "x"});
        }
        let mut checks = Vec::new();
        for (id, name, of) in [("c1", "first", ""), ("c2", "second", "service")] {
            if self.0.chance(60) {
                let status = self.0.one(&["passing", "warning", "critical"]);
                let service_id = if of.is_empty() { String::new() } else { format!("w{number}") };
                checks.push(json!({"CheckID": id, "Name": name, "Status": status,
                    "ServiceID": service_id}));
            }
        }
        registration["Checks"] = checks.into();
        registration
    }

    fn proxy(&mut self, proxy: &mut Value) {
        if self.0.chance(50) {
            proxy["DestinationServiceID"] = "web-1".into();
            proxy["LocalServicePort"] = self.0.below(3).into();
        }
        if self.0.chance(60) {
            proxy["MeshGateway"] = json!({"Mode": self.0.one(&["local", "remote", "none"])});
        }
        if self.0.chance(50) {
            let mut upstreams = vec![json!({"DestinationName": "db", "LocalBindPort": 5432})];
            if self.0.chance(50) {
                upstreams.push(json!({
                    "DestinationName": "queue", "LocalBindPort": 2, "Datacenter": "dc2",
                }));
            }
            proxy["Upstreams"] = upstreams.into();
        }
        if self.0.chance(40) {
            let path = json!({
                "Path": "/health", "ListenerPort": 1 + self.0.below(2), "LocalPathPort": 5432,
                "Protocol": "http", "ParsedFromCheck": self.0.chance(50),
            });
            proxy["Expose"] = json!({"Checks": self.0.chance(50), "Paths": [path]});
        }
    }

    /// A filter: now and then one that is damaged.
    pub fn filter(&mut self) -> String {
        let filter = self.expression(3);
        if !self.0.chance(12) {
            return filter;
        }
        let characters: Vec<char> = filter.chars().collect();
        let at = self.0.below(characters.len());
        let (before, after) = characters.split_at(at);
        let put_in = self.0.one(&["", " ", "\"", "`", "(", ")", "[", "x", "1", "not ", ".", "\\"]);
        let skipped = self.0.below(3);
        before
            .iter()
            .copied()
            .chain(put_in.chars())
            .chain(after.iter().skip(skipped).copied())
            .collect()
    }

    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 || self.0.chance(45) {
            return self.condition();
        }
        let space = self.0.one(&[" ", " ", "  ", "\t", "\n"]);
        match self.0.below(5) {
            0 => format!("not{space}{}", self.expression(depth - 1)),
            1 => format!("({})", self.expression(depth - 1)),
            2 => format!("( {} )", self.expression(depth - 1)),
            word => {
                let (left, right) = (self.expression(depth - 1), self.expression(depth - 1));
                let word = if word == 3 { "and" } else { "or" };
                format!("{left}{space}{word}{space}{right}")
            }
        }
    }

    fn condition(&mut self) -> String {
        match self.0.below(20) {
            0 => format!("{} == 1", self.0.one(&WRONG)),
            1..=2 => {
                let (field, operator) = (self.0.one(&NUMBERS), self.0.one(&["==", "!=", " == "]));
                format!("{field}{operator}{}", self.0.one(&NUMBER_VALUES))
            }
            3..=4 => {
                let (field, operator) = (self.0.one(&FLAGS), self.0.one(&["==", "!=", " != "]));
                format!("{field}{operator}{}", self.0.one(&FLAG_VALUES))
            }
            5..=8 => {
                let (field, values) = self.0.one(&COLLECTIONS);
                match self.0.below(3) {
                    0 => format!("{field} {}", self.0.one(&["is empty", "is not empty"])),
                    _ => self.contained(field, values),
                }
            }
            9..=10 => {
                let (field, _) = self.0.one(&TEXTS);
                let operator = self.0.one(&["matches", "not matches"]);
                format!("{field} {operator} `{}`", self.0.one(&PATTERNS))
            }
            11..=12 => {
                let (field, values) = self.0.one(&TEXTS);
                self.contained(field, values)
            }
            13 => {
                // Anything with anything.
                let operator = self.0.one(&["==", "!=", "contains", "not matches", "matches"]);
                let (text, _) = self.0.one(&TEXTS);
                let (collection, _) = self.0.one(&COLLECTIONS);
                let field = [text, collection, self.0.one(&NUMBERS), self.0.one(&FLAGS)];
                format!("{} {operator} 1", self.0.one(&field))
            }
            _ => {
                let (field, values) = self.0.one(&TEXTS);
                let operator = self.0.one(&["==", " == ", "!=", " !="]);
                format!("{field}{operator}{}", self.value(values))
            }
        }
    }

    fn contained(&mut self, field: &str, values: &[&str]) -> String {
        let value = self.value(values);
        match self.0.below(4) {
            0 => format!("{value} in {field}"),
            1 => format!("{value} not in {field}"),
            2 => format!("{field} contains {value}"),
            _ => format!("{field} not contains {value}"),
        }
    }

    /// One of these, bare where that can be read, or in quotes.
    fn value(&mut self, of: &[&str]) -> String {
        let value = self.0.one(of);
        let is_bare = value.starts_with(|c: char| c.is_ascii_alphabetic())
            && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match self.0.below(3) {
            0 if is_bare => value.to_owned(),
            0 | 1 => format!("\"{value}\""),
            _ => format!("`{value}`"),
        }
    }
}

/// What chance does not find.
pub fn by_hand() -> Vec<String> {
    let filters = [
        "  ",
        "Service.Meta.nothing matches `x`",
        "Service.Meta.nothing not matches `x`",
        r#"Service.Port == "0_1""#,
        r#"Service.Port == "+1""#,
        r#"Service.Port == "0x""#,
        r#"Service.Port == "1__0""#,
        r#"Service.Port == "9223372036854775808""#,
        r#"Service.Port == "-9223372036854775808""#,
        r#"Service.Meta.version == "\x76\061""#,
        r#"Service.Meta.version == "\ud800""#,
        r#"Service.Meta.version == "\U00110000""#,
        r#"Service.Meta.version == "\'""#,
        "Service.Meta.version == `v\r1`",
        "Service.Meta.version == \"v\r1\"",
        "Service.Meta.version == \"v\n1\"",
        "Service.Meta[ `version` ] == v1",
        "Service[\"Meta\"][\"version\"] == v1",
        "Service.Meta[version] == v1",
        "Service.Meta[`version` == v1",
        r#"Service.Meta["\xff"] != v1"#,
        r#""\xff" in Service.Meta"#,
        "Service.Meta.version == v1.2",
        "Service.Meta.version == v1.x",
        "`v1` == Service.Meta.version",
        "( Service.Port ==1 )and Service.Port == 1",
        "Service.Port == 1 and(Service.Port == 1)",
        "Service.Tags is emptyx",
        "not in Service.Tags",
        "not not in Service.Tags",
        "not contains contains ",
        "and in Service.Tags or or in Service.Tags",
        "not not not Service.Port == 1",
        "((((Service.Port == 1))))",
        "Service.Port == 1\u{a0}",
        "Service.Port in 1",
        "Service.Port == -0",
    ];
    let patterns = GO_PATTERNS.map(|pattern| format!("Node.Meta.rack matches `{pattern}`"));
    filters.map(str::to_owned).into_iter().chain(patterns).collect()
}

/// Where Go's regular expressions are read otherwise than others.
const GO_PATTERNS: [&str; 78] = [
    r"^\w+$",
    r"\W",
    r"^\d",
    r"r\d$",
    r"\D\d",
    r"\s",
    r"\S",
    r"gr\b",
    r"\Bn",
    r"r\B",
    r"\C",
    r"\Ar",
    r"1\z",
    r"1\Z",
    r"\Qr1\E",
    r"\Qr.\E",
    r"\Qr1",
    r"r{1}",
    r"r{,1}",
    r"r{1,2}1",
    r"r{2,1}",
    r"r{01}",
    r"r{1001}",
    r"r{1000}",
    r"(r{100}){11}",
    r"(r{100}){10}",
    r"((r{0,10}){10}){11}",
    r"r**",
    r"r+?",
    r"r+??",
    r"r{1}{2}",
    r"(r*)*",
    r"*r",
    r"(*)",
    r"(|r)",
    r"^*",
    r"(?i)R1",
    r"(?i:R)1",
    r"(?i:R)R",
    r"(?-i)r",
    r"(?i-s)R",
    r"(?ii)R",
    r"(?)r",
    r"(?-)r",
    r"(?i-)r",
    r"(?x)r",
    r"(?P<a>r)",
    r"(?P<a>r)(?P<a>1)",
    r"(?P<>r)",
    r"(?<a>r)",
    r"(?=r)",
    r"(?!r)",
    r"(?:r)",
    r"(?#r)",
    r"\x72",
    r"\x{72}",
    r"\x7",
    r"\162",
    r"\1",
    r"\01",
    r"\u0072",
    r"\_",
    r"\<",
    r"\-",
    r"\pL",
    r"\PL",
    r"\p{Latin}",
    r"\p{latin}",
    r"\p{^L}",
    r"\pl",
    r"[[:alpha:]]",
    r"[[:^alpha:]]$",
    r"[[:nothing:]]",
    r"[[a]r",
    r"[]r]",
    r"[^]r]",
    r"[r-a]",
    r"[a&&r]",
];
