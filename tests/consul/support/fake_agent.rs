//! An agent that can be made to answer as no real one does. Until it is told to, it answers as a
//! real one: it holds questions until there is something new, and takes registrations.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use sluice::consul::watch::Part;

use super::hosts::free_host;

/// What it does with the questions for a part.
#[derive(Clone, Debug)]
pub enum Manner {
    /// What Consul does.
    Usual,
    /// Answers with this status and body, at once.
    Status(u16, &'static str),
    /// Redirects to there.
    Redirect(SocketAddr),
    /// Says how long the body is, sends half of it, and closes the connection.
    CutOff,
    /// Announces so many bytes, and sends them for as long as anybody reads.
    Huge(u64),
    /// Sends so many bytes, packed by gzip into few.
    Packed(u64),
    /// Sends one byte of the body each second.
    Trickle,
    /// Holds no question, and has this to say of the index.
    AtOnce(Index),
}

/// What an answer that comes at once says of its index.
#[derive(Clone, Copy, Debug)]
pub enum Index {
    /// The right one.
    Right,
    /// One less than was asked for.
    Backwards,
    Zero,
    Missing,
    /// One more than was asked for, although nothing is new.
    Rising,
    /// No number.
    Garbage,
}

/// The agent. It lasts as long as the tests.
pub struct FakeAgent {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The answers, each with its index.
    answers: BTreeMap<&'static str, (u64, Vec<u8>)>,
    manners: BTreeMap<&'static str, Manner>,
    /// Counts the changes of manners: who holds a question answers it then.
    manner_count: u64,
    asked: BTreeMap<String, u64>,
    services: BTreeMap<String, Value>,
}

impl FakeAgent {
    /// Starts one that has an answer for every part.
    pub fn start(answers: &BTreeMap<Part, Value>) -> Self {
        let listener = TcpListener::bind((free_host(), 8500)).unwrap();
        let address = listener.local_addr().unwrap();
        let agent = Self { address, shared: Arc::default() };
        for (&part, answer) in answers {
            agent.set(part, answer);
        }
        let shared = Arc::clone(&agent.shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                // Whoever asks may go away at any time.
                std::thread::spawn(move || shared.serve(&stream));
            }
        });
        agent
    }

    /// As `CONSUL_HTTP_ADDR` has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same by an address that is none of this host's loopback addresses (RFC 4291
    /// §2.5.5.2): whoever asks there takes the agent for another host.
    pub fn url_from_afar(&self) -> String {
        format!("http://[::ffff:{}]:{}", self.address.ip(), self.address.port())
    }

    /// Has a new answer for a part; those who wait for it get it.
    pub fn set(&self, part: Part, answer: &Value) {
        self.set_bytes(part, answer.to_string().into_bytes());
    }

    /// The same, of any bytes.
    pub fn set_bytes(&self, part: Part, body: Vec<u8>) {
        let mut state = self.shared.lock();
        let index = state.answers.get(part.path()).map_or(1_000, |(index, _)| index + 1);
        state.answers.insert(part.path(), (index, body));
        self.shared.changed.notify_all();
    }

    /// Answers the questions for a part like this from now on, also those that it holds.
    pub fn behave(&self, part: Part, manner: Manner) {
        let mut state = self.shared.lock();
        state.manners.insert(part.path(), manner);
        state.manner_count += 1;
        self.shared.changed.notify_all();
    }

    /// How many times it was asked for a part.
    pub fn asked(&self, part: Part) -> u64 {
        self.shared.lock().asked.get(part.path()).copied().unwrap_or(0)
    }
}

/// One request.
struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut length_bytes = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(digits) = line.strip_prefix("content-length: ") {
                length_bytes = digits.parse().unwrap();
            }
        }
        let mut body = vec![0; length_bytes];
        reader.read_exact(&mut body)?;
        let mut words = first.split(' ');
        let method = words.next().unwrap().to_owned();
        let (path, query) = words.next().unwrap().split_once('?').unwrap_or_else(|| {
            let path = first.split(' ').nth(1).unwrap();
            (path, "")
        });
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        });
        Ok(Some(Self { method, path: path.to_owned(), query: query.collect(), body }))
    }

    fn index(&self) -> Option<u64> {
        self.query.get("index")?.parse().ok()
    }

    /// How long the question may be held; the gateway asks in milliseconds or seconds.
    fn wait(&self) -> Duration {
        let Some(text) = self.query.get("wait") else { return Duration::ZERO };
        match text.strip_suffix("ms") {
            Some(digits) => Duration::from_millis(digits.parse().unwrap()),
            None => Duration::from_secs(text.trim_end_matches('s').parse().unwrap()),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut writer = stream;
        while let Some(request) = Request::read(&mut reader)? {
            let part = Part::ALL.into_iter().find(|part| part.path() == request.path);
            match part {
                Some(part) => self.answer_part(part, &request, &mut writer)?,
                None => writer.write_all(&self.answer_other(&request))?,
            }
        }
        Ok(())
    }

    fn answer_part(&self, part: Part, request: &Request, to: &mut impl Write) -> io::Result<()> {
        let mut state = self.lock();
        *state.asked.entry(part.path().to_owned()).or_default() += 1;
        let until = Instant::now() + request.wait();
        let manner_count = state.manner_count;
        loop {
            let manner = state.manners.get(part.path()).cloned().unwrap_or(Manner::Usual);
            let (index, body) = state.answers[part.path()].clone();
            let left = until.saturating_duration_since(Instant::now());
            let is_new = request.index().is_none_or(|asked| asked < index);
            let has_time = !left.is_zero() && state.manner_count == manner_count;
            if !matches!(manner, Manner::Usual) || is_new || !has_time {
                drop(state);
                return misbehave(&manner, request, index, &body, to);
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// What a gateway asks and tells beside.
    fn answer_other(&self, request: &Request) -> Vec<u8> {
        let mut state = self.lock();
        let (method, path) = (request.method.as_str(), request.path.as_str());
        let id = path.strip_prefix("/v1/agent/service/").unwrap_or_default();
        match (method, path) {
            ("PUT", "/v1/agent/service/register") => {
                let mut service: Value = serde_json::from_slice(&request.body).unwrap();
                service["Service"] = service["Name"].take();
                let id = service["ID"].as_str().unwrap().to_owned();
                state.services.insert(id, service);
                reply("200 OK", "", b"")
            }
            ("PUT", _) => reply("200 OK", "", b""),
            ("GET", _) if !id.is_empty() => match state.services.get(id) {
                Some(service) => reply("200 OK", "", service.to_string().as_bytes()),
                None => reply("404 Not Found", "", format!("unknown service ID: {id}").as_bytes()),
            },
            ("GET", "/v1/agent/checks") => reply("200 OK", "", b"{}"),
            _ => reply("200 OK", "", b"[]"),
        }
    }
}

/// Sends what the manner has instead of the right answer; the usual one sends that.
fn misbehave(
    manner: &Manner,
    request: &Request,
    index: u64,
    body: &[u8],
    to: &mut impl Write,
) -> io::Result<()> {
    let indexed = |index: &str| reply("200 OK", &format!("X-Consul-Index: {index}\r\n"), body);
    let length = |length_bytes: u64, more: &str| {
        format!("HTTP/1.1 200 OK\r\n{more}Content-Length: {length_bytes}\r\n\r\n")
    };
    let asked = request.index().unwrap_or(index);
    match manner {
        Manner::Usual | Manner::AtOnce(Index::Right) => to.write_all(&indexed(&index.to_string())),
        Manner::AtOnce(Index::Backwards) => to.write_all(&indexed(&(asked - 1).to_string())),
        Manner::AtOnce(Index::Rising) => to.write_all(&indexed(&(asked + 1).to_string())),
        Manner::AtOnce(Index::Zero) => to.write_all(&indexed("0")),
        Manner::AtOnce(Index::Garbage) => to.write_all(&indexed("-1e9")),
        Manner::AtOnce(Index::Missing) => to.write_all(&reply("200 OK", "", body)),
        Manner::Status(status, text) => {
            to.write_all(&reply(&format!("{status} Whatever"), "", text.as_bytes()))
        }
        Manner::Redirect(address) => {
            let location = format!("Location: http://{address}{}\r\n", request.path);
            to.write_all(&reply("307 Temporary Redirect", &location, b""))
        }
        Manner::CutOff => {
            to.write_all(length(body.len() as u64, "").as_bytes())?;
            to.write_all(&body[..body.len() / 2])?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        Manner::Huge(length_bytes) => {
            to.write_all(length(*length_bytes, "").as_bytes())?;
            send_blanks(*length_bytes, to)
        }
        Manner::Packed(length_bytes) => {
            // Packed once; a gateway asks again.
            static PACKED: OnceLock<Vec<u8>> = OnceLock::new();
            let packed = PACKED.get_or_init(|| {
                let level = flate2::Compression::fast();
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), level);
                send_blanks(*length_bytes, &mut packer).unwrap();
                packer.finish().unwrap()
            });
            let head = length(packed.len() as u64, "Content-Encoding: gzip\r\n");
            to.write_all(head.as_bytes())?;
            to.write_all(packed)
        }
        Manner::Trickle => {
            to.write_all(length(body.len() as u64, "").as_bytes())?;
            for byte in body {
                std::thread::sleep(Duration::from_secs(1));
                to.write_all(&[*byte])?;
            }
            Ok(())
        }
    }
}

/// As JSON may begin with.
fn send_blanks(length_bytes: u64, to: &mut impl Write) -> io::Result<()> {
    io::copy(&mut io::repeat(b' ').take(length_bytes), to).map(drop)
}

fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
