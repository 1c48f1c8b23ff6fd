//! What README.md prints about a service of another datacenter, and about the token, is run as it
//! is printed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::support::datacenter::{Datacenter, Plan};
use crate::support::directory::Directory;
use crate::support::federation::joined;
use crate::support::installed::consul;
use crate::support::mesh::backend::Backend;
use crate::support::mesh::sluice::Launch;
use crate::support::until;

const README: &str = include_str!("../../README.md");
const EXAMPLE: &str = "\n### A service of another datacenter\n";
const TOKEN: &str = "\n### The token\n";

/// A block between fences: what it is of, and its lines.
struct Block {
    kind: &'static str,
    lines: Vec<&'static str>,
}

/// The blocks of a section.
fn blocks(section: &str) -> Vec<Block> {
    let (_, section) = README.split_once(section).expect("the section has another title");
    let section = section.split("\n### ").next().unwrap();
    let mut blocks = Vec::new();
    for fenced in section.split("\n```").collect::<Vec<_>>().chunks_exact(2) {
        let (kind, text) = fenced[1].split_once('\n').unwrap();
        blocks.push(Block { kind, lines: text.lines().collect() });
    }
    blocks
}

/// Writes each file whose name is in its first line.
fn write_files(blocks: &[Block], folder: &Path) -> usize {
    let files = blocks.iter().filter(|block| block.kind == "hcl");
    files
        .map(|file| {
            let name = file.lines[0].strip_prefix("# ").expect("a file without a name");
            fs::write(folder.join(name), file.lines.join("\n")).unwrap();
        })
        .count()
}

/// The commands of the block that has this in it, each with the lines that it prints.
fn commands<'a>(blocks: &'a [Block], part: &str) -> Vec<(&'a str, &'a [&'static str])> {
    let has = |block: &&Block| {
        block.kind == "console" && block.lines.iter().any(|line| line.contains(part))
    };
    let lines = &blocks.iter().find(has).unwrap_or_else(|| panic!("no {part}")).lines;
    let starts: Vec<usize> = (0..lines.len()).filter(|&at| lines[at].starts_with("$ ")).collect();
    let ends = starts.iter().skip(1).copied().chain([lines.len()]);
    starts.iter().zip(ends).map(|(&at, end)| (&lines[at][2..], &lines[at + 1..end])).collect()
}

/// Runs a command as an operator would, with both programs at hand.
fn run(command: &str, folder: &Path, datacenter: &Datacenter, token: Option<&str>) -> Output {
    let sluice = Path::new(env!("CARGO_BIN_EXE_sluice"));
    let programs = [consul(), sluice].map(|it| it.parent().unwrap().to_str().unwrap());
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(folder)
        .env("PATH", format!("{}:{}", programs.join(":"), std::env::var("PATH").unwrap()))
        .env("CONSUL_HTTP_ADDR", datacenter.url())
        .envs(token.map(|token| ("CONSUL_HTTP_TOKEN", token)))
        .stdin(Stdio::null());
    shell.output().unwrap()
}

/// Whether a line is the printed one, in which `…` stands for anything.
fn is_printed(line: &str, printed: &str) -> bool {
    let mut rest = line;
    let mut parts = printed.split('…');
    let Some(after) = rest.strip_prefix(parts.next().unwrap()) else { return false };
    rest = after;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || printed.ends_with('…')
}

#[test]
fn the_worked_example_says_what_is_printed() {
    let [first, second] = joined();
    let backend = Backend::with_identity(&second.identity("web"), 1);
    second.register(&json!({ "Name": "web", "Port": 80 }));
    second.put_sidecar("web", "web-1", backend.address);
    let gateways = [&first, &second].map(|it| Launch::registered(it, "epoll", "gateway").start());
    until("dc1 knows the gateway of dc2", || {
        let states = first.get("/v1/internal/federation-states/mesh-gateways").json();
        let passes = |name: &str| {
            let checks = states[name][0]["Checks"].as_array()?;
            checks.iter().all(|check| check["Status"] == "passing").then_some(())
        };
        passes("dc1").and(passes("dc2"))
    });
    let (blocks, folder) = (blocks(EXAMPLE), Directory::new());
    assert_eq!(write_files(&blocks, folder.path()), 3);
    let commands = commands(&blocks, "sluice path");
    assert_eq!(commands.len(), 4);
    for (command, printed) in &commands {
        let output = run(command, folder.path(), &first, None);
        assert!(output.status.success(), "{command}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        if printed.is_empty() {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), printed.len(), "{command}:\n{text}");
        for (line, printed) in lines.iter().zip(*printed) {
            assert!(is_printed(line, printed), "{command}: {line:?} is not {printed:?}");
        }
    }
    // What is next nearest wins where the nearest says nothing.
    let client = fs::read_to_string(folder.path().join("client.hcl")).unwrap();
    let of_upstream = "          mesh_gateway {\n            mode = \"local\"\n          }\n";
    let of_instance = "        mesh_gateway {\n          mode = \"none\"\n        }\n";
    let path = commands.last().unwrap().0;
    let says = |expected: &str| {
        until(expected, || {
            let output = run(path, folder.path(), &first, None);
            String::from_utf8_lossy(&output.stdout).contains(expected).then_some(())
        });
    };
    let register = |text: &str| {
        fs::write(folder.path().join("client.hcl"), text).unwrap();
        let output = run(commands[2].0, folder.path(), &first, None);
        assert!(output.status.success(), "{output:?}");
    };
    let cut = |text: &str, part: &str| {
        assert!(text.contains(part), "{part} is not in {text}");
        text.replace(part, "")
    };
    let client = cut(&client, of_upstream);
    register(&client);
    says("none, set by the service instance");
    register(&cut(&client, of_instance));
    says("remote, set by service-defaults of \"client\"");
    first.delete("/v1/config/service-defaults/client");
    says("local, set by proxy-defaults");
    drop(gateways);
}

#[test]
fn the_rights_that_are_printed_are_enough() {
    let datacenter = Plan::new("dc1").with_acls().start();
    let (blocks, folder) = (blocks(TOKEN), Directory::new());
    assert_eq!(write_files(&blocks, folder.path()), 1);
    let mut told = String::new();
    for (command, _) in commands(&blocks, "consul acl token create") {
        let master = Some(crate::support::acl::MASTER);
        let output = run(command, folder.path(), &datacenter, master);
        assert!(output.status.success(), "{command}: {output:?}");
        told = String::from_utf8(output.stdout).unwrap();
    }
    let secret = told.lines().find_map(|line| line.strip_prefix("SecretID:")).unwrap().trim();
    let file = folder.path().join("token");
    fs::write(&file, secret).unwrap();
    let gateway = Launch::registered(&datacenter, "epoll", "gateway")
        .flag("--token-file", file.display())
        .start();
    until("it is registered", || {
        (gateway.get("/routes")["source"]["registration"] == "passing").then_some(())
    });
    let words = format!("sluice doctor consul --proxy-id gateway --token-file {}", file.display());
    let output = run(&words, folder.path(), &datacenter, None);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
