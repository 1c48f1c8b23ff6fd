//! The client against agents that answer rightly, wrongly and not at all.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::spawn_local;

use super::explain::Exchange;
use super::fake::{Asked, Fake, Reply, good, reply, run};
use super::*;

mod secure;

const LIMITS: Limits = Limits { bytes_max: 1 << 20, timeout: Duration::from_secs(40) };
const NODES: &str = "/v1/internal/ui/nodes";

fn settings(address: impl std::fmt::Display) -> AgentSettings {
    AgentSettings::at(Address::parse(&address.to_string(), false).unwrap())
}

fn client(address: impl std::fmt::Display) -> Client {
    Client::new(&settings(address)).unwrap()
}

/// Asks an agent that answers thus, with its clock paused.
fn ask(answer: impl Fn(&Asked) -> Reply + 'static) -> (String, Result<Answer, AgentError>) {
    run(true, async {
        let (_fake, address) = Fake::start(answer).await;
        let answer = client(address).get(NODES, &[], LIMITS).await;
        (format!("http://{address}"), answer)
    })
}

/// The same where the agent seems to be on another host: answers may come packed.
fn ask_afar(answer: impl Fn(&Asked) -> Reply + 'static) -> (String, Result<Answer, AgentError>) {
    run(true, async {
        let (_fake, address) = Fake::start(answer).await;
        let client = client(afar(address));
        (client.address().to_string(), client.get(NODES, &[], LIMITS).await)
    })
}

/// An address of this host that is none of its loopback addresses (RFC 4291 §2.5.5.2).
fn afar(address: SocketAddr) -> String {
    format!("[::ffff:{}]:{}", address.ip(), address.port())
}

/// A directory that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_answer_is_its_body_and_what_its_headers_say() {
    let headers = "X-Consul-Index: 42\r\nX-Consul-Knownleader: true\r\nX-Consul-LastContact: 7\r\n\
                   X-Consul-ContentHash: abc\r\nX-Consul-Results-Filtered-By-ACLs: true\r\n";
    let (_, answer) = ask(move |_| Reply::Raw(reply("200 OK", headers, "[1]")));
    let answer = answer.unwrap();
    assert_eq!(answer.body, "[1]");
    assert_eq!(answer.index, Some(42));
    assert_eq!(answer.known_leader, Some(true));
    assert_eq!(answer.last_contact, Some(Duration::from_millis(7)));
    assert_eq!(answer.content_hash.as_deref(), Some("abc"));
    assert!(answer.filtered_by_acls);
}

#[test]
fn an_index_that_is_no_number_is_none() {
    for index in ["", "-1", "abc", "1.5", "99999999999999999999999"] {
        let (_, answer) = ask(move |_| good(index, "[]"));
        assert_eq!(answer.unwrap().index, None, "{index:?}");
    }
    let (_, answer) = ask(|_| Reply::Raw(reply("200 OK", "", "[]")));
    let answer = answer.unwrap();
    assert_eq!((answer.index, answer.known_leader, answer.filtered_by_acls), (None, None, false));
}

#[test]
fn requests_carry_the_token_the_scope_and_share_a_connection() {
    run(true, async {
        let (fake, address) = Fake::start(|_| good("1", "[]")).await;
        let client = Client::new(&AgentSettings {
            token: Some(Secret::new("s3cret")),
            basic_auth: Some(BasicAuth { user: "me".into(), password: Some(Secret::new("pw")) }),
            namespace: Some("team".into()),
            partition: Some("edge".into()),
            ..settings(format!("{address}/prefix"))
        });
        let client = client.unwrap();
        client.get("/v1/a", &[("stale", ""), ("index", "5")], LIMITS).await.unwrap();
        client.get("/v1/b", &[("ns", "*"), ("partition", "")], LIMITS).await.unwrap();
        let path = format!("/v1/agent/service/{}", segment("gw 1/ü?"));
        let body = serde_json::json!({"Name": "gw"});
        client.put(&path, &[], Some(&body)).await.unwrap();
        assert_eq!(
            fake.lines(),
            [
                "GET /prefix/v1/a?stale=&index=5&ns=team&partition=edge",
                "GET /prefix/v1/b?ns=*",
                "PUT /prefix/v1/agent/service/gw%201%2F%C3%BC%3F?ns=team&partition=edge",
            ]
        );
        let asked = fake.asked.borrow();
        for asked in asked.iter() {
            assert!(asked.headers.contains("x-consul-token: s3cret\r\n"));
            assert!(asked.headers.contains("authorization: basic bwu6chc=\r\n"));
        }
        assert_eq!(asked[2].body, r#"{"Name":"gw"}"#);
        assert!(!format!("{client:?}").contains("s3cret"));
        assert_eq!(fake.connections.get(), 1);
    });
}

#[test]
fn a_token_file_is_read_again_and_its_last_token_stays() {
    let folder = Folder::new("token");
    let path = folder.0.join("token");
    std::fs::write(&path, " first\n").unwrap();
    run(true, async {
        let (fake, address) = Fake::start(|_| good("1", "[]")).await;
        let client = Client::new(&AgentSettings {
            token: Some(Secret::new("fixed")),
            token_file: Some(File { path: path.clone(), setting: "--token-file" }),
            ..settings(address)
        });
        let client = client.unwrap();
        let steps: [(&dyn Fn(), &str); 5] = [
            (&|| (), "first"),
            (&|| std::fs::write(&path, "second").unwrap(), "second"),
            (&|| std::fs::write(&path, "two words").unwrap(), "second"),
            (&|| std::fs::remove_file(&path).unwrap(), "second"),
            (&|| std::fs::write(&path, "\n").unwrap(), "fixed"),
        ];
        for (change, token) in steps {
            change();
            client.get("/v1/a", &[], LIMITS).await.unwrap();
            let headers = fake.asked.borrow().last().unwrap().headers.clone();
            assert!(headers.contains(&format!("x-consul-token: {token}\r\n")), "{headers}");
        }
    });
    std::fs::remove_file(&path).unwrap();
    let absent = AgentSettings {
        token_file: Some(File { path: path.clone(), setting: "--token-file" }),
        ..settings("127.0.0.1:1")
    };
    assert_eq!(
        Client::new(&absent).unwrap_err().to_string(),
        format!(
            "--token-file {}: cannot be read: No such file or directory (os error 2)",
            path.display()
        )
    );
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(body).unwrap();
    packer.finish().unwrap()
}

fn packed_reply(body: Vec<u8>) -> Reply {
    Reply::Last(reply("200 OK", "Content-Encoding: gzip\r\n", body))
}

#[test]
fn it_runs_on_the_runtime_of_the_control_thread() {
    for with_uring in [true, false] {
        let exchange = async {
            let (_fake, address) = Fake::start(|_| good("5", "[]")).await;
            client(address).get(NODES, &[], LIMITS).await
        };
        let answer = crate::control::runtime::block_on(with_uring, exchange).unwrap();
        assert_eq!(answer.unwrap().index, Some(5));
    }
}

#[test]
fn beside_the_agent_nothing_is_packed() {
    run(true, async {
        let (fake, address) = Fake::start(|_| good("1", "[]")).await;
        for (agent, is_packed) in [(address.to_string(), false), (afar(address), true)] {
            client(agent).get(NODES, &[], LIMITS).await.unwrap();
            let asked = fake.asked.borrow();
            let headers = &asked.last().unwrap().headers;
            assert_eq!(headers.contains("accept-encoding: gzip\r\n"), is_packed, "{headers}");
        }
    });
}

#[test]
fn what_is_packed_is_unpacked_and_bounded_afterwards() {
    let (_, answer) = ask_afar(|_| packed_reply(packed(b"[1,2]")));
    assert_eq!(answer.unwrap().body, "[1,2]");
    let (agent, answer) = ask_afar(|_| packed_reply(packed(&vec![b' '; LIMITS.bytes_max + 1])));
    assert_eq!(
        answer.unwrap_err().to_string(),
        format!(
            "the Consul agent at {agent} answered {NODES} with more than 1048576 bytes: this is \
             no answer of Consul's, or a catalog larger than this gateway is made for"
        )
    );
    let (_, answer) = ask_afar(|_| packed_reply(packed(&vec![b' '; LIMITS.bytes_max])));
    assert_eq!(answer.unwrap().body.len(), LIMITS.bytes_max);
}

#[test]
fn what_is_packed_wrongly_is_told() {
    let (agent, answer) = ask_afar(|_| packed_reply(b"this is no gzip at all".to_vec()));
    let told = answer.unwrap_err().to_string();
    let expected = format!(
        "what answers at {agent} is not a Consul agent's HTTP: its gzip content cannot be unpacked"
    );
    assert!(told.starts_with(&expected), "{told}");
    let (_, answer) = ask_afar(|_| {
        let mut body = packed(&[7; 100_000]);
        body.truncate(body.len() / 2);
        packed_reply(body)
    });
    assert!(matches!(answer, Err(AgentError::CutOff { .. })), "{answer:?}");
}

#[test]
fn unpacking_lets_others_on_the_thread_have_their_turn() {
    run(false, async {
        let body = packed(&vec![b' '; 8 << 20]);
        let (_fake, address) = Fake::start(move |_| packed_reply(body.clone())).await;
        let turns = std::rc::Rc::new(std::cell::Cell::new(0_usize));
        let own = turns.clone();
        let other = spawn_local(async move {
            loop {
                own.set(own.get() + 1);
                tokio::task::yield_now().await;
            }
        });
        let client = client(afar(address));
        // The clock starts when the answer begins to come.
        let limits = Limits { bytes_max: 16 << 20, ..LIMITS };
        let answer = client.get(NODES, &[], limits).await.unwrap();
        other.abort();
        assert_eq!(answer.body.len(), 8 << 20);
        // 8 MiB in slices of 64 KiB.
        assert!(turns.get() >= 128, "{} turns", turns.get());
    });
}

#[test]
fn equal_bodies_have_equal_digests_however_they_come() {
    let whole = ask(|_| good("1", "[1,2,3]")).1.unwrap();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = "1\r\n[\r\n3\r\n1,2\r\n3\r\n,3]\r\n0\r\n\r\n";
    let chunked = ask(move |_| Reply::Trickle(head.into(), chunks.into())).1.unwrap();
    assert_eq!(chunked.body, whole.body);
    assert_eq!(chunked.digest, whole.digest);
    assert_ne!(ask(|_| good("1", "[1,2,4]")).1.unwrap().digest, whole.digest);
}

#[test]
fn an_answer_cut_off_is_none() {
    let cut = |bytes: &'static str| ask(move |_| Reply::Last(bytes.into()));
    let (agent, answer) = cut("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1,2");
    assert_eq!(
        answer.unwrap_err().to_string(),
        format!(
            "the Consul agent at {agent} closed the connection after 4 bytes of its answer to \
             {NODES}"
        )
    );
    let (_, answer) = cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n[1,2\r\n");
    assert!(matches!(answer, Err(AgentError::CutOff { bytes_count: 4, .. })), "{answer:?}");
    for nothing in ["", "HTTP/1.1 200"] {
        let (agent, answer) = cut(nothing);
        assert_eq!(
            answer.unwrap_err().to_string(),
            format!(
                "the Consul agent at {agent} closed the connection without answering {NODES}: it \
                 does so when it stops, and when this host has more connections to it than its \
                 limits.http_max_conns_per_client"
            )
        );
    }
}

#[test]
fn a_body_without_end_is_left_at_the_limit() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 500 Internal Server Error\r\n\r\n",
    ] {
        run(false, async {
            let (fake, address) = Fake::start(move |_| Reply::Endless(head.into())).await;
            let answer = client(address).get(NODES, &[], LIMITS).await;
            match head.contains("500") {
                false => assert!(matches!(answer, Err(AgentError::TooLarge { .. })), "{answer:?}"),
                true => assert_eq!(answer.unwrap_err().status(), Some(500)),
            }
            // What was on its way, and not more.
            assert!(fake.sent_bytes.get() < LIMITS.bytes_max + (16 << 20));
        });
    }
}

#[test]
fn a_slow_answer_is_given_up_however_it_goes_on() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let (agent, answer) = ask(move |_| Reply::Trickle(head.into(), vec![b' '; 1000]));
    assert_eq!(
        answer.unwrap_err().to_string(),
        format!(
            "the Consul agent at {agent} sent only 39 bytes of its answer to {NODES} within 40000 \
             ms: is it stopped, or overloaded?"
        )
    );
    let (agent, answer) = ask(|_| Reply::Silence);
    assert_eq!(
        answer.unwrap_err().to_string(),
        format!(
            "the Consul agent at {agent} did not answer {NODES} within 40000 ms: is it stopped, \
             or overloaded?"
        )
    );
}

#[test]
fn refusals_are_explained() {
    let cases = [
        (
            "403 Forbidden",
            "ACL not found",
            "403 (ACL not found): it does not know the token, which was deleted or has expired, \
             or is of another cluster; give another with --token-file or CONSUL_HTTP_TOKEN_FILE",
        ),
        (
            "403 Forbidden",
            "Permission denied: Missing service:write on mesh-gateway",
            "403 (Permission denied: Missing service:write on mesh-gateway): the token lacks a \
             right; give one with service:write on the gateway's name, and service:read and \
             node:read on all, with --token-file or CONSUL_HTTP_TOKEN_FILE",
        ),
        (
            "500 Internal Server Error",
            "No cluster leader",
            "500 (No cluster leader): its servers have no leader; see `consul operator raft \
             list-peers`",
        ),
        ("500 Internal Server Error", "a\r\n\x1b[31m b", "500 (a [31m b)"),
        ("404 Not Found", "", "404 (no reason given)"),
        (
            "401 Unauthorized",
            "no",
            "401 (no): a proxy before it wants CONSUL_HTTP_AUTH=user:password",
        ),
        (
            "429 Too Many Requests",
            "slow down",
            "429 (slow down): raise limits.http_max_conns_per_client or request_limits in its \
             configuration",
        ),
    ];
    for (status, body, told) in cases {
        let (agent, answer) = ask(move |_| Reply::Raw(reply(status, "", body)));
        let error = answer.unwrap_err();
        let expected = format!("the Consul agent at {agent} answered {NODES} with {told}");
        assert_eq!(error.to_string(), expected);
    }
    let (_, answer) = ask(|_| Reply::Raw(reply("500 No", "", "x".repeat(60_000))));
    assert_eq!(answer.unwrap_err().message().unwrap().chars().count(), 201);
}

#[test]
fn a_redirect_is_not_followed() {
    run(true, async {
        let (fake, address) = Fake::start(|_| {
            Reply::Raw(reply("301 Moved Permanently", "Location: http://other/ui/\r\n", ""))
        })
        .await;
        let answer = client(address).get(NODES, &[], LIMITS).await;
        assert_eq!(
            answer.unwrap_err().to_string(),
            format!(
                "the Consul agent at http://{address} answered {NODES} with 301 (no reason \
                 given): it redirects to http://other/ui/, which is not followed; name the agent \
                 itself with --http-addr or CONSUL_HTTP_ADDR"
            )
        );
        assert_eq!(fake.lines().len(), 1);
    });
}

#[test]
fn a_token_that_is_sent_back_is_hidden() {
    run(true, async {
        let answer = |_: &Asked| Reply::Raw(reply("500 No", "", "the token s3cret is bad"));
        let (_fake, address) = Fake::start(answer).await;
        let token = Some(Secret::new("s3cret"));
        let client = Client::new(&AgentSettings { token, ..settings(address) }).unwrap();
        let error = client.get(NODES, &[], LIMITS).await.unwrap_err();
        assert_eq!(error.message(), Some("the token (hidden) is bad"));
        assert!(!format!("{error:?} {error}").contains("s3cret"));
    });
}

#[test]
fn nobody_there_is_explained() {
    run(true, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = client(address).get(NODES, &[], LIMITS).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the Consul agent at http://{address} cannot be reached: nobody listens there; \
                 start the agent, or name its address with --http-addr or CONSUL_HTTP_ADDR"
            )
        );
        assert!(error.is_of_the_agent());
    });
    run(false, async {
        let error = client("name.invalid:8500").get(NODES, &[], LIMITS).await.unwrap_err();
        let told = error.to_string();
        let start = "the Consul agent at http://name.invalid:8500 cannot be reached: name.invalid \
                     has no address: ";
        assert!(told.starts_with(start), "{told}");
        assert!(told.ends_with("; correct --http-addr or CONSUL_HTTP_ADDR"), "{told}");
    });
}

#[test]
fn what_is_no_http_is_told() {
    let (agent, answer) = ask(|_| Reply::Last(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()));
    let told = answer.unwrap_err().to_string();
    let start = format!("what answers at {agent} is not a Consul agent's HTTP: ");
    assert!(told.starts_with(&start), "{told}");
    let https = agent.replace("http", "https");
    let end =
        format!("; if this is the right port, write {https} in --http-addr or CONSUL_HTTP_ADDR");
    assert!(told.ends_with(&end), "{told}");
}

#[test]
fn unix_sockets_are_spoken_to_and_explained() {
    let folder = Folder::new("unix");
    let path = folder.0.join("http.sock");
    let agent = format!("unix://{}", path.display());
    run(true, async {
        let told = client(&agent).get(NODES, &[], LIMITS).await.unwrap_err().to_string();
        assert_eq!(
            told,
            format!(
                "the Consul agent at {agent} cannot be reached: there is no such socket; start \
                 the agent, and see addresses.http in its configuration for where its socket is"
            )
        );
        let fake = Fake::start_unix(&path, |_| good("9", "[]"));
        let client = client(&agent);
        for _ in 0..3 {
            assert_eq!(client.get(NODES, &[], LIMITS).await.unwrap().index, Some(9));
        }
        assert_eq!(fake.connections.get(), 1);
    });
    // The runtime is gone, and its listener with it.
    run(true, async {
        let told = client(&agent).get(NODES, &[], LIMITS).await.unwrap_err().to_string();
        assert_eq!(
            told,
            format!(
                "the Consul agent at {agent} cannot be reached: the socket is there, but nobody \
                 listens on it; start the agent"
            )
        );
    });
    // Root may connect to any: only the explanation can be seen here.
    let address = Address::parse(&agent, false).unwrap();
    let exchange = Exchange { address: &address, path: NODES, bytes_count: 0 };
    let forbidden = io::Error::from_raw_os_error(libc::EACCES);
    assert_eq!(
        exchange.explain(&forbidden).to_string(),
        format!(
            "the Consul agent at {agent} cannot be reached: this user may not connect to the \
             socket; set unix_sockets.group and unix_sockets.mode in the agent's configuration, \
             or run as its user"
        )
    );
}
