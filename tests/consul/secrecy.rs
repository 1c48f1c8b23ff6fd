//! A token is told to nobody but the agent, whatever fails.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::Signal;

use crate::support::acl::GATEWAY_RULES;
use crate::support::datacenter::{Datacenter, Plan};
use crate::support::fake_agent::{FakeAgent, Manner};
use crate::support::fake_answers::answers;
use crate::support::hosts::free_host;
use crate::support::program::{Launch, Program, sluice};
use crate::support::scene::failing;
use crate::support::secrets::Secret;

use sluice::consul::watch::Part;

/// Looks wherever a gateway tells something.
fn must_not_tell(gateway: &Program, secrets: &[&str], when: &str) {
    let bundle = bundle_of(gateway);
    for secret in secrets.iter().map(|secret| Secret(secret)) {
        let look = |what: &str, text: &str| secret.must_not_be_in(&format!("{what}, {when}"), text);
        look("the log", &gateway.text());
        for page in pages() {
            look(&page, &gateway.page("GET", &page));
        }
        for level in ["trace", "debug"] {
            look("/logging", &gateway.page("POST", &format!("/logging?level={level}")));
        }
        secret.must_not_be_below(&bundle);
        look("`sluice routes`", &gateway.list(&[]).1);
        look("`sluice routes NAME`", &gateway.list(&["web"]).1);
        look("/proc/PID/cmdline", &command_line(gateway));
    }
}

/// What `sluice debug` writes.
fn bundle_of(gateway: &Program) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = gateway.folder().join(format!("bundle-{number}"));
    let admin = Launch::admin(gateway.host());
    let output = sluice(&["debug", "--admin", &admin, "--output", folder.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    folder
}

/// Every page that the admin server has for those who read.
fn pages() -> Vec<String> {
    let source = include_str!("../../src/admin/mod.rs");
    let lines = source.lines().filter(|line| line.contains(", get("));
    let pages: Vec<String> =
        lines.filter_map(|line| Some(line.split('"').nth(1)?.to_owned())).collect();
    assert!(pages.len() > 10, "the pages were not found: {pages:?}");
    pages
}

/// What `ps` shows.
fn command_line(gateway: &Program) -> String {
    fs::read_to_string(format!("/proc/{}/cmdline", gateway.pid())).unwrap()
}

/// What the other commands say to an agent, by a token in a flag.
fn must_not_print(datacenter: &Datacenter, token: &str) {
    let url = datacenter.url();
    let agent = ["--http-addr", &url, "--token", token];
    for command in [
        &["doctor", "consul"][..],
        &["doctor", "connectivity", "--admin", "off"],
        &["path", "--from", "nobody", "web"],
        &["check", "--register"],
        &["path", "--no-such-flag", "web"],
    ] {
        let output = sluice(&[command, &agent].concat());
        let text = [output.stdout, output.stderr].concat();
        Secret(token).must_not_be_in(&command.join(" "), text);
    }
}

#[test]
fn a_token_is_nowhere_but_in_its_file() {
    let mut datacenter = Plan::new("dc1").with_acls().with_short_cache().start();
    datacenter.put_sidecar("web", "web-1", (free_host(), 21_000).into());
    let filed = datacenter.new_token("gateway", GATEWAY_RULES);
    let typed = datacenter.another_token("gateway");
    let next = datacenter.another_token("gateway");
    let secrets = [&*filed.secret, &typed.secret, &next.secret];
    let file = datacenter.path().join("token");
    fs::write(&file, &filed.secret).unwrap();
    let folder = datacenter.path().to_owned();
    let state = |name: &str| folder.join(name);
    let url = datacenter.url();
    let launch = |engine: &str, id: &str| {
        let launch = Launch::registered(engine, &url, id);
        launch.flag("--log-level", "trace").path("--state-dir", &state(id))
    };
    let mut gateways = [
        launch("io_uring", "filed").path("--token-file", &file).start_ready(),
        launch("epoll", "typed").flag("--token", &typed.secret).start_ready(),
        launch("epoll", "equals").word(&format!("-token={}", typed.secret)).start_ready(),
    ];
    assert!(command_line(&gateways[1]).contains("--token\0*"), "{}", command_line(&gateways[1]));
    let look = |gateways: &[Program], when: &str| {
        gateways.iter().for_each(|gateway| must_not_tell(gateway, &secrets, when));
    };
    look(&gateways, "while all is well");
    must_not_print(&datacenter, &typed.secret);

    datacenter.delete_token(&typed);
    datacenter.delete_token(&filed);
    for gateway in &gateways {
        gateway.wait_routes("it says why", |routes| {
            routes["source"]["registration"].as_str()?.contains("ACL not found").then_some(())
        });
    }
    look(&gateways, "after the tokens were deleted");
    must_not_print(&datacenter, &typed.secret);
    // No header can carry it, and then there is another one.
    fs::write(&file, format!("{} and more", next.secret)).unwrap();
    gateways[0].wait_line("the token file cannot be used; its last token stays in use");
    fs::write(&file, &next.secret).unwrap();
    gateways[0].wait_line("the token file has another token");
    gateways[0].signal(Signal::SIGHUP);
    datacenter.kill();
    for gateway in &gateways {
        gateway.wait_routes("it says why", |routes| {
            failing(routes).concat().contains("cannot be reached").then_some(())
        });
    }
    look(&gateways, "while the agent is away");
    for id in ["filed", "typed", "equals"] {
        for secret in secrets {
            assert!(Secret(secret).must_not_be_below(&state(id)) > 0, "nothing was kept");
        }
    }
}

/// An agent that repeats what it was shown, in places that are told.
#[test]
fn a_token_that_the_agent_repeats_is_taken_out() {
    const TOKEN: &str = "5ec2e75e-c2e7-5ec2-e75e-c2e75ec2e75e";
    const TOLD: &str = "the token 5ec2e75e-c2e7-5ec2-e75e-c2e75ec2e75e is not known";
    let agent = FakeAgent::start(&answers(&["web"], (free_host(), 21_000).into()));
    let launch = Launch::registered("epoll", &agent.url(), "edge");
    let gateway = launch.flag("--log-level", "trace").flag("--token", TOKEN).start_ready();
    for status in [403, 500] {
        for part in Part::ALL {
            agent.behave(part, Manner::Status(status, TOLD));
        }
        gateway.wait_routes("it fails", |routes| {
            let told = failing(routes).concat();
            told.contains(&format!("{status} (the token (hidden) is not known")).then_some(())
        });
        must_not_tell(&gateway, &[TOKEN], "told by the agent");
    }
}
