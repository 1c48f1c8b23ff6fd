//! go-sockaddr templates in addresses: Consul's own command and Sluice register the same, on a host
//! with interfaces of every kind.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::SOON;
use crate::support::directory::Directory;
use crate::support::installed::consul;
use crate::support::until;

const SLUICE: &str = env!("CARGO_BIN_EXE_sluice");

/// A network namespace with interfaces of its own, for as long as its process lives.
struct Namespace(Child);

impl Namespace {
    fn new() -> Self {
        let user: &[&str] = if is_root() { &[] } else { &["--user", "--map-root-user"] };
        let mut unshare = Command::new("unshare");
        unshare.args(user).args(["--net", "setpriv", "--pdeathsig=KILL", "sleep", "infinity"]);
        let namespace = Self(unshare.stdin(Stdio::null()).spawn().expect("unshare (util-linux)"));
        let pid = namespace.0.id();
        let here = std::fs::read_link("/proc/self/ns/net").unwrap();
        until("the namespace is another", || {
            let there = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
            (there != here).then_some(())
        });
        namespace
    }

    /// What runs in it.
    fn command(&self, program: &str) -> Command {
        let user: &[&str] = if is_root() { &[] } else { &["--user", "--preserve-credentials"] };
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.0.id().to_string(), "--net"]).args(user);
        command.args(["setpriv", "--pdeathsig=KILL", "--", program]).env_clear();
        // Consul asks `ip` for the default route.
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command
    }

    fn ip(&self, words: &str) {
        let output = self.command("ip").args(words.split(' ')).output().unwrap();
        assert!(output.status.success(), "ip {words}: {output:?}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// An edge host: a private network with the default route, a second one, a public address, IPv6.
fn edge_host() -> Namespace {
    let namespace = Namespace::new();
    for words in [
        "link set lo up",
        "link add eth0 type bridge",
        "link add eth1 type bridge",
        "link add wan0 type bridge",
        "link add spare0 type bridge",
        "addr add 192.168.7.2/24 dev eth1",
        "addr add fd00::7/64 dev eth1 nodad",
        "addr add 10.1.2.3/16 dev eth0",
        "addr add 10.1.2.4/16 dev eth0 label eth0:1",
        "addr add 52.1.2.3/28 dev wan0",
        "addr add 100.64.9.9/10 dev wan0",
        "link set eth0 up",
        "link set eth1 up",
        "link set wan0 up",
        "addr add 172.16.9.9/12 dev spare0",
        "route add default via 10.1.0.1 dev eth0",
    ] {
        namespace.ip(words);
    }
    namespace
}

/// An agent on a unix socket, which reaches through namespaces. It takes registrations, and knows
/// nothing else.
struct Agent {
    directory: Directory,
    registered: Receiver<Value>,
}

impl Agent {
    fn start() -> Self {
        let directory = Directory::new();
        let listener = UnixListener::bind(directory.path().join("http.sock")).unwrap();
        let (tell, registered) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let tell = tell.clone();
                // Whoever asks may go away at any time.
                thread::spawn(move || answer(&stream, &tell));
            }
        });
        Self { directory, registered }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("http.sock")
    }

    fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }
}

fn answer(stream: &UnixStream, tell: &Sender<Value>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(digits) = line.strip_prefix("content-length: ") {
            length = digits.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (status, text) = match first.split(['?', ' ']).nth(1)? {
        "/v1/agent/service/register" => {
            tell.send(serde_json::from_slice(&body).ok()?).ok()?;
            ("200 OK", "")
        }
        "/v1/catalog/service/mesh-gateway" => ("200 OK", "[]"),
        _ => ("404 Not Found", "unknown service ID"),
    };
    let length = text.len();
    let mut to = stream;
    write!(to, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{text}")
        .ok()
}

/// What a registration says of addresses.
type Told = BTreeMap<&'static str, Value>;

fn addresses(body: &Value) -> Told {
    let config = &body["Proxy"]["Config"];
    [
        ("Address", &body["Address"]),
        ("Port", &body["Port"]),
        ("TaggedAddresses", &body["TaggedAddresses"]),
        ("binds", &config["envoy_gateway_bind_addresses"]),
    ]
    // What is left out and what is empty say the same.
    .map(|(key, value)| match value.as_str() == Some("") || *value == json!({}) {
        true => (key, Value::Null),
        false => (key, value.clone()),
    })
    .into()
}

struct Lab {
    namespace: Namespace,
    agent: Agent,
}

impl Lab {
    fn new() -> Self {
        Self { namespace: edge_host(), agent: Agent::start() }
    }

    /// What Consul's own command registers with these flags; `Err`: what it says instead.
    fn consuls(&self, flags: &[String]) -> Result<Told, String> {
        let mut command = self.namespace.command(consul().to_str().unwrap());
        command.args(["connect", "envoy", "-gateway=mesh", "-register", "-bootstrap"]);
        command.args(["-service", "mesh-gateway", "-http-addr", &self.agent.url()]).args(flags);
        let output = command.output().unwrap();
        self.registration().ok_or_else(|| said(&output))
    }

    /// What Sluice registers.
    fn ours(&self, flags: &[String]) -> Result<Told, String> {
        let mut command = self.namespace.command(SLUICE);
        command.args(["run", "--register", "--engine", "epoll", "--workers", "1"]);
        command.args(["--admin-bind", "off", "--http-addr", &self.agent.url()]).args(flags);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nsenter");
        let deadline = Instant::now() + SOON;
        while child.try_wait().unwrap().is_none() {
            if let Some(told) = self.registration() {
                child.kill().unwrap();
                child.wait().unwrap();
                // It may have registered twice by then.
                while self.registration().is_some() {}
                return Ok(told);
            }
            assert!(Instant::now() < deadline, "it neither registers nor ends");
            thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
        Err(said(&output))
    }

    fn registration(&self) -> Option<Told> {
        self.agent.registered.try_recv().ok().as_ref().map(addresses)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(flag, value)| format!("{flag}={value}")).collect()
}

#[test]
fn they_come_to_what_consul_registers() {
    let lab = Lab::new();
    let address = |template: &str| flags(&[("-address", template)]);
    let mut cases: Vec<Vec<String>> = [
        "{{ GetPrivateIP }}:8443",
        "{{GetPrivateIP}}",
        "{{ GetPublicIP }}:8443",
        "{{ GetInterfaceIP \"eth1\" }}:8443",
        "{{ GetInterfaceIP \"^wan\" }}:8443",
        "{{ GetInterfaceIP \"spare0\" }}:8443",
        "{{ GetInterfaceIP \"nothing\" }}:8443",
        "{{ GetDefaultInterfaces | attr \"address\" }}:8443",
        "{{ GetDefaultInterfaces | offset 1 | limit 1 | join \"address\" \"-\" }}:8443",
        "{{ GetPrivateInterfaces | attr \"address\" }}:8443",
        "{{ GetPrivateInterfaces | sort \"-address\" | attr \"address\" }}:8443",
        "{{ GetPrivateInterfaces | exclude \"network\" \"10.0.0.0/8\" | attr \"address\" }}:8443",
        "{{ GetPublicInterfaces | include \"type\" \"IPv4\" | attr \"address\" }}:8443",
        "{{ GetAllInterfaces | include \"rfc\" \"6598\" | attr \"address\" }}:8443",
        "{{ . | include \"name\" \"eth\" | include \"size\" \"24\" | attr \"address\" }}",
        "{{ GetAllInterfaces | include \"flags\" \"forwardable|up\" | exclude \"name\" \"lo\" | \
         include \"type\" \"IPv4\" | sort \"size,address\" | attr \"address\" }}:8443",
        "{{ GetAllInterfaces | exclude \"flags\" \"loopback\" | include \"type\" \"IPv4\" | sort \
         \"name,address\" | unique \"name\" | offset -1 | attr \"address\" }}:8443",
        "{{ . | include \"name\" \"eth0\" | include \"address\" \"1.2.4\" | attr \"address\" }}:1",
        "[{{ . | include \"name\" \"eth1\" | include \"network\" \"fd00::/8\" | attr \"address\" \
         }}]:8443",
        "{{- /* the LAN */ -}} {{ GetInterfaceIP `eth0` -}} :8443",
        "10.1.2.3:8443",
    ]
    .map(address)
    .into();
    cases.push(flags(&[
        ("-address", "{{ GetPrivateIP }}:8443"),
        ("-wan-address", "{{ GetPublicIP }}:443"),
    ]));
    cases.push(flags(&[
        ("-address", "{{ . | include \"name\" \"eth1\" | attr \"network\" }}:8443"),
        ("-bind-address", "default=10.1.2.3:8443"),
    ]));
    cases.push(flags(&[
        ("-address", "lb.example.com:443"),
        ("-bind-address", "default={{ GetInterfaceIP \"eth1\" }}:8443"),
        ("-bind-address", "more={{ GetInterfaceIP \"wan0\" }}:8443"),
    ]));
    let mut differences = Vec::new();
    for case in &cases {
        let (consuls, ours) = (lab.consuls(case), lab.ours(case));
        if consuls.as_ref().ok() != ours.as_ref().ok() || consuls.is_err() {
            differences.push(format!("{case:?}\n  Consul: {consuls:?}\n  here:   {ours:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn what_consul_refuses_is_refused_and_what_is_not_taken_is_named() {
    let lab = Lab::new();
    for (template, told) in [
        ("{{ GetPrivateIP", "cannot be read"),
        ("{{ GetInterfaceIP }}:1", "GetInterfaceIP is given nothing"),
        ("{{ GetInterfaceIP \"nothing\" }}", "on this host it comes to nothing"),
        ("{{ . | include \"color\" \"red\" | attr \"address\" }}:1", "expected address, flag"),
        ("{{ . | include \"name\" \"(\" | attr \"address\" }}:1", "a regular expression"),
        ("{{ . | sort \"colour\" | attr \"address\" }}:1", "expected address, default, name"),
        ("{{ . | offset 99 | attr \"address\" }}:1", "not larger than that of the interfaces"),
        ("{{ . | attr \"colour\" }}:1", "expected address, broadcast"),
        ("{{ getprivateip }}:1", "getprivateip is not taken here: there are GetPrivateIP"),
    ] {
        let case = flags(&[("-address", template)]);
        let consuls = lab.consuls(&case);
        assert!(consuls.is_err(), "{template}: {consuls:?}");
        let ours = lab.ours(&case).expect_err(template);
        assert!(ours.contains(told) && ours.contains("--address"), "{template}: {ours}");
    }
    // Those that Consul takes.
    for (template, told) in [
        (
            "{{ GetPrivateInterfaces | math \"address\" \"+0\" | attr \"address\" }}:1",
            "math is not",
        ),
        ("{{ printf \"%s:1\" GetPrivateIP }}", "write the text around the braces"),
        ("{{ with GetPrivateIP }}{{ . }}{{ end }}:1", "with is not taken here: choose"),
    ] {
        let case = flags(&[("-address", template)]);
        lab.consuls(&case).unwrap_or_else(|said| panic!("{template}: {said}"));
        let ours = lab.ours(&case).expect_err(template);
        assert!(ours.contains(told), "{template}: {ours}");
    }
}
