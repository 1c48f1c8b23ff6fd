//! `sluice diff` where no Envoy answers, or something else does: a sentence, and exit code 69.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use serde_json::Value;

use crate::support::*;

/// Answers everybody so, for as long as the tests run.
fn server(answer: impl Fn(&mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            answer(&mut stream);
        }
    });
    address
}

fn complaint(envoy: &str) -> String {
    let output = sluice(&["diff", "--envoy-admin", envoy]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// It says this of a server that answers so.
fn must_say(head: &'static str, body: &'static str, expected: &[&str]) {
    let address = server(move |stream| {
        let _ = write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{body}");
    });
    let text = complaint(&address.to_string());
    for part in expected {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(text.contains(&format!("http://{address}/config_dump")), "{text}");
}

#[test]
fn nobody_there_is_told_with_where_to_look() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = complaint(&gone.to_string());
    assert!(text.contains("refused") && text.contains("-admin-bind"), "{text}");
}

#[test]
fn what_is_no_envoy_is_told_apart() {
    must_say(
        "200 OK",
        "<html>hello</html>",
        &["not the admin server of an Envoy", "expected value"],
    );
    must_say("200 OK", "{\"configs\": []}", &["tells of no listeners and clusters"]);
    must_say("404 Not Found", "{}", &["it says 404 Not Found"]);
    must_say(
        "302 Found\r\nLocation: http://198.18.0.1/",
        "",
        &["redirects to \"http://198.18.0.1/\", which is not followed"],
    );
    must_say("200 OK\r\nContent-Length: 1000", "{\"configs\": [", &["after 13 bytes"]);
    must_say("200 OK", "{\"configs\": [", &["cannot be read: EOF"]);
}

#[test]
fn what_does_not_speak_http_is_told() {
    let address = server(|stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
    });
    let text = complaint(&address.to_string());
    assert!(text.contains("no Envoy answers"), "{text}");
}

#[test]
fn an_answer_without_end_is_not_read_to_its_end() {
    let address = server(|stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 30);
        let spaces = vec![b' '; 1 << 20];
        while stream.write_all(&spaces).is_ok() {}
    });
    let text = complaint(&address.to_string());
    assert!(text.contains("more than 134217728 bytes"), "{text}");
}

/// Routes with all that a route can say.
const ROUTES: &str = r#"
[[route]]
sni = "web.example"
endpoints = ["127.0.0.1:9", { address = "[::1]:10", weight = 3 }]
connect_timeout = "2500ms"

[[route]]
sni = "*.dc2.example"
endpoints = ["127.0.0.2:443"]
"#;

#[test]
fn a_gateway_in_the_place_of_envoy_does_not_differ_from_itself() {
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, ROUTES, &[]);
    let admin = gateway.admin.to_string();
    let output = sluice(&["diff", "--json", "--envoy-admin", &admin, "--admin", &admin]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told:#}");
    assert_eq!(told["is_equal"], true, "{told:#}");
    for of in ["differences", "notes"] {
        assert_eq!(told[of], serde_json::json!([]), "{told:#}");
    }
}

#[test]
fn what_is_no_address_is_a_wrong_flag() {
    for envoy in ["https://127.0.0.1:19000", "", "http://a:1/config_dump"] {
        let output = sluice(&["diff", "--envoy-admin", envoy]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{envoy}: {text}");
        assert!(text.contains("--envoy-admin") && text.contains("127.0.0.1:19000"), "{text}");
    }
    assert_eq!(sluice(&["diff"]).status.code(), Some(64));
}
