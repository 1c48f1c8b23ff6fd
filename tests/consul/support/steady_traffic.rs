//! Mutual TLS through gateways without a pause: new sessions one after the other, and one that
//! lives through all of it. Every byte is compared; the first failure is remembered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::StreamOwned;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use serde_json::{Value, json};

use super::hosts::free_host;
use super::until;

/// How long one exchange may take; a gateway that loses a session would never answer.
const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(20);
/// What one exchange carries each way.
const MESSAGE_BYTES: usize = 2048;
/// Between two sessions; the machine has other things to do.
const PACE: Duration = Duration::from_millis(10);
/// So many sessions tell that traffic flows.
const FLOWING_COUNT: u64 = 5;

/// A service that sends back what it gets, and proves who it is.
pub struct Echo {
    /// The server name that it has a certificate for.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    client: Arc<ClientConfig>,
    certificate: CertificateDer<'static>,
}

impl Echo {
    /// Starts one with a server name, at a host of its own. It lasts as long as the tests.
    pub fn start(name: &str) -> Self {
        let authority = authority();
        let (certificate, key) = leaf(&authority, name);
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots.clone()),
            Arc::clone(&provider),
        );
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let (shown, key) = leaf(&authority, "client");
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![shown], key)
            .unwrap();
        // A whole handshake each time, with both certificates.
        client.resumption = rustls::client::Resumption::disabled();
        let address = serve(Arc::new(server));
        Self { name: name.to_owned(), address, client: Arc::new(client), certificate }
    }

    /// As a sidecar of a service, for the catalog.
    pub fn sidecar_of(&self, service: &str) -> Value {
        json!({
            "Kind": "connect-proxy", "Name": format!("{service}-sidecar-proxy"),
            "ID": format!("{service}-sidecar-proxy"),
            "Address": self.address.ip().to_string(), "Port": self.address.port(),
            "Proxy": { "DestinationServiceName": service },
        })
    }

    /// One session through a gateway, to its orderly end.
    pub fn visit(&self, gateway: SocketAddr) -> Result<(), String> {
        let mut session = self.open(gateway)?;
        session.exchange()?;
        session.stream.conn.send_close_notify();
        session.stream.flush().map_err(|error| format!("close: {error}"))
    }

    /// A session through a gateway.
    pub fn open(&self, gateway: SocketAddr) -> Result<Session, String> {
        let stream = TcpStream::connect_timeout(&gateway, EXCHANGE_TIME_MAX)
            .map_err(|error| format!("connect: {error}"))?;
        stream.set_read_timeout(Some(EXCHANGE_TIME_MAX)).unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from(self.name.clone()).unwrap();
        let client = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        let mut stream = StreamOwned::new(client, stream);
        while stream.conn.is_handshaking() {
            stream
                .conn
                .complete_io(&mut stream.sock)
                .map_err(|error| format!("handshake: {error}"))?;
        }
        let shown = stream.conn.peer_certificates().and_then(<[_]>::first);
        if shown != Some(&self.certificate) {
            return Err("somebody else answered".to_owned());
        }
        Ok(Session { stream, count: 0 })
    }
}

/// An open session.
pub struct Session {
    stream: StreamOwned<ClientConnection, TcpStream>,
    count: u64,
}

impl Session {
    /// Sends a message that no other is like, and has it come back.
    pub fn exchange(&mut self) -> Result<(), String> {
        self.count += 1;
        let count = self.count;
        let message: Vec<u8> = (0..MESSAGE_BYTES as u64)
            .map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(count * 40_503) >> 7) as u8)
            .collect();
        self.stream.write_all(&message).map_err(|error| format!("send {count}: {error}"))?;
        self.stream.flush().map_err(|error| format!("send {count}: {error}"))?;
        let mut back = vec![0; message.len()];
        self.stream.read_exact(&mut back).map_err(|error| format!("receive {count}: {error}"))?;
        if back == message { Ok(()) } else { Err(format!("message {count} came back changed")) }
    }
}

/// Traffic through one gateway. Stopped when dropped.
pub struct SteadyTraffic {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    session_count: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl SteadyTraffic {
    /// Starts it, and waits until it flows.
    pub fn start(echo: &Arc<Echo>, gateway: SocketAddr) -> Self {
        let seen = Arc::new(Seen::default());
        let (echo, shared) = (Arc::clone(echo), Arc::clone(&seen));
        let thread = std::thread::spawn(move || shared.run(&echo, gateway));
        let traffic = Self { seen, thread: Some(thread) };
        traffic.must_flow("at the beginning");
        traffic
    }

    /// New sessions succeed, and none has failed so far.
    pub fn must_flow(&self, when: &str) {
        let count = || self.seen.session_count.load(Ordering::Relaxed);
        let until_count = count() + FLOWING_COUNT;
        until(&format!("traffic flows, {when}"), || {
            self.must_be_well(when);
            (count() >= until_count).then_some(())
        });
    }

    /// Ends it; nothing may have failed. Returns how many sessions there were.
    pub fn end(mut self) -> u64 {
        self.stop();
        self.must_be_well("at the end");
        self.seen.session_count.load(Ordering::Relaxed)
    }

    fn must_be_well(&self, when: &str) {
        let failures = self.seen.failures.lock().unwrap();
        assert!(failures.is_empty(), "{when}: {failures:?}");
    }

    fn stop(&mut self) {
        self.seen.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for SteadyTraffic {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Seen {
    fn run(&self, echo: &Echo, gateway: SocketAddr) {
        let mut live = match echo.open(gateway) {
            Ok(live) => live,
            Err(why) => return self.failed(format!("the live session: {why}")),
        };
        let begun = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let outcome = echo.visit(gateway);
            let outcome =
                outcome.and_then(|()| live.exchange().map_err(|why| format!("live: {why}")));
            if let Err(why) = outcome {
                return self.failed(format!("after {} ms: {why}", begun.elapsed().as_millis()));
            }
            self.session_count.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(PACE);
        }
    }

    fn failed(&self, why: String) {
        self.failures.lock().unwrap().push(why);
    }
}

fn serve(config: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind((free_host(), 21_000)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            std::thread::spawn(move || echo(StreamOwned::new(connection, stream)));
        }
    });
    address
}

fn echo(mut stream: StreamOwned<ServerConnection, TcpStream>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(
    authority: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap().der().clone();
    (certificate, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}
