//! TLS as others speak it, through the gateway to a service that wants a client certificate.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use crate::support::certificates::{Authority, Leaf, server_name};
use crate::support::directory::Directory;
use crate::support::gateway::free_address;
use crate::support::{Engine, Gateway};

on_both_engines!(openssl_s_client, curl, python, rustls_client, refusals_as_clients_tell_them);

const BODY: &str = "it is I, billing";

/// A gateway in front of an HTTPS service, and the files that a client needs.
struct Setup {
    gateway: Gateway,
    name: String,
    files: Directory,
    authority: Authority,
    client: Leaf,
}

impl Setup {
    fn new(engine: Engine) -> Self {
        let authority = Authority::new();
        let (service, client) = (authority.leaf("billing", "dc1"), authority.leaf("web", "dc1"));
        let address = serve(authority.server(&service));
        let name = server_name("billing", "dc1");
        let gateway = Gateway::start(engine, &[(&name, address)]);
        let files = Directory::new();
        authority.write(&client, files.path());
        Self { gateway, name, files, authority, client }
    }

    /// A program that runs among the files.
    fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.files.path());
        command
    }

    fn assert_routed(&self, count: u64) {
        let stats = self.gateway.wait_until_quiet();
        assert_eq!((stats.get("routed"), stats.refused_in_all()), (count, 0), "{stats:#?}");
    }
}

/// An HTTPS service that answers each request with [`BODY`] and closes.
fn serve(config: Arc<ServerConfig>) -> SocketAddr {
    let address = free_address();
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            // A client that fails is its own test's business.
            let _ = answer(StreamOwned::new(connection, stream));
        }
    });
    address
}

fn answer(mut stream: StreamOwned<ServerConnection, TcpStream>) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        request.extend(&buffer[..count]);
    }
    let length = BODY.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{BODY}"
    )?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn finish(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn assert_answered(output: &Output) {
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    assert!(text.contains(BODY), "{text}\n{errors}");
}

fn s_client(setup: &Setup, name: &str, more: &[&str]) -> Output {
    let mut command = setup.program("openssl");
    command.args(["s_client", "-connect", &setup.gateway.address.to_string()]);
    command.args(["-servername", name, "-verify_hostname", name, "-verify_return_error"]);
    command.args(["-CAfile", "ca.pem", "-cert", "cert.pem", "-key", "key.pem", "-ign_eof"]);
    command.args(more);
    finish(command, "GET / HTTP/1.1\r\nHost: billing\r\n\r\n")
}

fn openssl_s_client(engine: Engine) {
    let setup = Setup::new(engine);
    let ways: [&[&str]; 3] = [&["-tls1_3"], &["-tls1_2"], &["-tls1_2", "-split_send_frag", "512"]];
    for more in ways {
        assert_answered(&s_client(&setup, &setup.name, more));
    }
    setup.assert_routed(3);
}

fn run_curl(setup: &Setup, name: &str, more: &[&str]) -> Output {
    let mut command = setup.program("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]);
    command.args(["--cacert", "ca.pem", "--cert", "cert.pem", "--key", "key.pem"]);
    command.args(["--connect-to", &format!("::{}", setup.gateway.address)]).args(more);
    command.arg(format!("https://{name}/"));
    finish(command, "")
}

fn curl(engine: Engine) {
    let setup = Setup::new(engine);
    assert_answered(&run_curl(&setup, &setup.name, &["--tlsv1.3"]));
    assert_answered(&run_curl(&setup, &setup.name, &["--tls-max", "1.2"]));
    assert_answered(&run_curl(&setup, &setup.name.to_uppercase(), &[]));
    setup.assert_routed(3);
}

const PYTHON: &str = "
import socket, ssl, sys
host, port, name, version = sys.argv[1:]
context = ssl.create_default_context(cafile='ca.pem')
context.load_cert_chain('cert.pem', 'key.pem')
context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
with socket.create_connection((host, int(port)), 20) as plain:
    with context.wrap_socket(plain, server_hostname=name) as stream:
        stream.sendall(b'GET / HTTP/1.1\\r\\nHost: billing\\r\\n\\r\\n')
        while data := stream.recv(4096):
            sys.stdout.write(data.decode())
";

fn run_python(setup: &Setup, name: &str, version: &str) -> Output {
    let mut command = setup.program("python3");
    let address = setup.gateway.address;
    command.args(["-c", PYTHON, &address.ip().to_string(), &address.port().to_string()]);
    command.args([name, version]);
    finish(command, "")
}

fn python(engine: Engine) {
    let setup = Setup::new(engine);
    for version in ["TLSv1_3", "TLSv1_2"] {
        assert_answered(&run_python(&setup, &setup.name, version));
    }
    setup.assert_routed(2);
}

fn run_rustls(setup: &Setup, name: &str) -> std::io::Result<String> {
    let config = setup.authority.client(&setup.client);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(config, name).unwrap();
    let mut stream = StreamOwned::new(connection, setup.gateway.connect());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: billing\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn rustls_client(engine: Engine) {
    let setup = Setup::new(engine);
    let answer = run_rustls(&setup, &setup.name).unwrap();
    assert!(answer.ends_with(BODY), "{answer}");
    setup.assert_routed(1);
}

fn refusals_as_clients_tell_them(engine: Engine) {
    let setup = Setup::new(engine);
    let unknown = server_name("nobody", "dc1");
    for (output, told) in [
        (s_client(&setup, &unknown, &[]), "unrecognized name"),
        (run_curl(&setup, &unknown, &[]), "unrecognized name"),
        (run_python(&setup, &unknown, "TLSv1_3"), "UNRECOGNIZED_NAME"),
    ] {
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains(told), "{told}: {errors}");
    }
    let error = run_rustls(&setup, &unknown).unwrap_err().to_string();
    assert!(error.contains("UnrecognisedName"), "{error}");
    let stats = setup.gateway.wait_until_quiet();
    assert_eq!((stats.refused("unknown_name"), stats.get("routed")), (4, 0));
}
