//! The dashboard, as somebody sees it who opens it in a browser.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "tests assert by panicking, also in their helpers"
)]

mod browser;
#[allow(dead_code, reason = "shared with the tests of the command, which need more of it")]
#[path = "../cli/support.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use browser::Browser;
use nix::sys::signal::Signal;
use support::*;

/// Two datacenters: services here, and another with two gateways, one of which is down.
fn routes(backend: SocketAddr, extra: &str) -> String {
    let trust_domain = "5a1ce000-da7a-4a7e-9a7e-0123456789ab";
    let mut text = format!("[[route]]\nsni = \"{NAME}\"\nendpoints = [\"{backend}\"]\n");
    for service in ["api", "billing", "search"] {
        text += &format!(
            "[[route]]\nsni = \"{service}.default.dc1.internal.{trust_domain}.consul\"\n\
             endpoints = [\"{backend}\", \"127.0.0.2:21000\"]\n"
        );
    }
    text += &format!(
        "[[route]]\nsni = \"*.dc2.internal.{trust_domain}.consul\"\n\
         endpoints = [\"127.0.2.1:8443\", \"127.0.2.2:8443\"]\n{extra}"
    );
    text
}

fn refused(gateway: &Gateway, name: &str) {
    let mut stranger = TcpStream::connect(gateway.address).unwrap();
    stranger.write_all(&new_hello(name)).unwrap();
    stranger.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn whoever_opens_it_sees_what_is_there_finds_routes_and_follows_what_happens() {
    let folder = Folder::new();
    let Some(mut browser) = Browser::start(&folder) else {
        println!("figure: dashboard was left out: there is no Chromium (apt install chromium)");
        return;
    };
    let backend = backend();
    let gateway = Gateway::start(&folder, &routes(backend, ""), &["--workers", "2"]);
    let mut session = Session::open(gateway.address);
    session.echo(b"there and back");
    browser.open(&format!("http://{}/", gateway.admin));

    browser.wait("it says that it is ready", "byId('state').textContent === 'ready'");
    browser.wait("the session", "byId('sessions').textContent === '1'");
    browser.wait("the datacenters", "byId('places').innerText.includes('Datacenter dc2')");
    browser.wait("its gateways", "byId('places').innerText.includes('127.0.2.2:8443')");
    browser.wait("links are drawn", "byId('links').children.length >= 3");
    browser.wait("workers", "byId('workers').tBodies[0].rows.length === 2");
    browser.wait("all routes", "byId('route-table').tBodies[0].rows.length === 5");

    // By keyboard alone.
    browser.press("/");
    "billing".chars().for_each(|letter| browser.press(&letter.to_string()));
    browser.wait("one route is found", "byId('route-table').tBodies[0].rows.length === 1");
    browser.wait("and how many", "byId('found').textContent === '1 match'");
    browser.press("Escape");
    browser.wait("all again", "byId('route-table').tBodies[0].rows.length === 5");

    let extra = |name| format!("[[route]]\nsni = \"{name}\"\nendpoints = [\"127.0.0.3:1\"]\n");
    folder.routes(&routes(backend, &extra("late.example")));
    browser.wait("a new route", "byId('route-table').innerText.includes('late.example')");
    browser.wait("and what happened", "byId('events').innerText.includes('routes=6')");
    folder.routes(&routes(backend, &extra("<img/src=x/onerror=alert(1)>")));
    browser.wait("a complaint", "byId('events').innerText.includes('<img/src=x/onerror=')");
    assert_eq!(browser.evaluate("document.images.length"), 0, "what others write is text");

    session.echo(&vec![7; 3_000_000]);
    browser.wait("traffic", "byId('throughput').textContent !== '0 B/s'");

    refused(&gateway, "nobody.example");
    browser.wait("the refusal", "byId('refusals').innerText.includes('nobody.example')");
    browser.wait("why", "byId('refusals').innerText.includes('no route has this server name')");
    browser.wait("a remedy", "byId('refusals').innerText.includes('sluice routes NAME')");
    browser.wait("the count", "byId('reasons').innerText.includes('unknown_name 1')");

    gateway.signal(Signal::SIGTERM);
    browser.wait("the drain", "byId('state').textContent.startsWith('draining')");
    drop(session);
    drop(gateway);
    browser.wait("that it is gone", "!byId('lost').hidden");

    let elsewhere = browser.requested.iter().filter(|url| !url.starts_with("http://127.0.0.1:"));
    let elsewhere: Vec<_> = elsewhere.filter(|url| !url.starts_with("data:")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    // But for what the last polls found.
    let is_gone = |complaint: &String| complaint.contains("ERR_CONNECTION_REFUSED");
    browser.complaints.retain(|complaint| !is_gone(complaint));
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
}

#[test]
fn it_fits_a_phone_and_is_readable_by_night() {
    let folder = Folder::new();
    let Some(mut browser) = Browser::start(&folder) else { return };
    let gateway = Gateway::start(&folder, &routes(backend(), ""), &[]);
    refused(&gateway, "a-name-that-is-as-long-as-names-may-well-be.default.dc9.example");
    browser.open(&format!("http://{}/", gateway.admin));
    for (width, scheme) in [(360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")] {
        browser.emulate(width, 800, scheme);
        browser.wait("routes", "byId('route-table').tBodies[0].rows.length === 5");
        let overflow =
            "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.evaluate(overflow), 0, "{width} {scheme}: it must not scroll sideways");
        // WCAG 2.1, 1.4.3: at least 4.5 to 1 between text and what is behind it.
        let least = browser.evaluate(CONTRAST);
        assert!(least[0].as_f64().unwrap() >= 4.5, "{width} {scheme}: contrast {least}");
    }
}

/// The least contrast of any text that is seen with what is behind it.
const CONTRAST: &str = "(() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = numbers(color).map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if ((numbers(color)[3] ?? 1) > 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  let least = [21, ''];
  for (const element of document.querySelectorAll('body *')) {
    const hasText = [...element.childNodes].some((node) =>
      node.nodeType === Node.TEXT_NODE && node.textContent.trim() !== '');
    const box = element.getBoundingClientRect();
    if (!hasText || box.width === 0 || box.right < 0) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < least[0]) least = [contrast, element.outerHTML.slice(0, 200)];
  }
  return least;
})()";
