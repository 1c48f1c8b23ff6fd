//! A real Envoy that does what Consul tells it. Consul 1.8 says it in a version of Envoy's
//! discovery service that Envoy no longer speaks: so it is translated, and handed over in files,
//! which Envoy follows.

mod dialer;
mod translate;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use serde_json::{Value, json};

use super::directory::Directory;
use super::hosts::free_host;
use super::http::{Endpoint, ask};
use super::installed::envoy;
use super::process::Process;
use super::until;

pub use dialer::{Dialer, healthy_count};
pub use translate::Resources;

/// A running Envoy. Killed when dropped.
pub struct Envoy {
    /// Its admin server.
    pub admin: SocketAddr,
    /// What it was handed last.
    resources: Resources,
    /// Of clusters, and of listeners: what is the same as before it does not take again.
    versions: [u64; 2],
    process: Process,
    /// Behind the process, which reads there while it runs.
    folder: Directory,
}

impl Envoy {
    /// Starts one with these listeners, clusters and endpoints, and waits until it has them.
    pub fn start(resources: &Resources) -> Self {
        let (admin, folder) = (SocketAddr::from((free_host(), 19_000)), Directory::new());
        let source = |name: &str| {
            let path = folder.path().join(name);
            json!({ "resource_api_version": "V3", "path_config_source": { "path": path } })
        };
        let bootstrap = json!({
            "node": { "id": "envoy", "cluster": "envoy" },
            "admin": { "address": { "socket_address": {
                "address": admin.ip().to_string(), "port_value": admin.port(),
            }}},
            "dynamic_resources": {
                "cds_config": source("clusters.json"), "lds_config": source("listeners.json"),
            },
        });
        let path = folder.path().join("bootstrap.json");
        fs::write(&path, bootstrap.to_string()).unwrap();
        write_clusters(folder.path(), resources, 0);
        put(&folder.path().join("listeners.json"), 0, &resources.listeners);
        let log = File::create(folder.path().join("log")).unwrap();
        let words = [
            "--config-path",
            path.to_str().unwrap(),
            "--disable-hot-restart",
            "--concurrency",
            "1",
            "--drain-time-s",
            "1",
            "--log-level",
            "warning",
        ];
        let process = Process::start(envoy(), &words, log);
        let resources = resources.clone();
        let mut envoy = Self { admin, resources, versions: [0; 2], process, folder };
        until("Envoy is ready", || {
            assert!(envoy.process.is_running(), "Envoy has ended:\n{}", envoy.log());
            TcpStream::connect(admin).ok()?;
            ask(&Endpoint::Envoy(admin), "GET", "/ready", None, "")
                .filter(|answer| answer.status == 200)
        });
        envoy.wait_taken();
        envoy
    }

    /// Hands it others, and waits until it has them.
    pub fn set(&mut self, resources: &Resources) {
        let folder = self.folder.path();
        let Resources { listeners, clusters, assignments } = &self.resources;
        if *clusters != resources.clusters || *assignments != resources.assignments {
            self.versions[0] += 1;
            write_clusters(folder, resources, self.versions[0]);
        }
        if *listeners != resources.listeners {
            self.versions[1] += 1;
            put(&folder.join("listeners.json"), self.versions[1], &resources.listeners);
        }
        self.resources = resources.clone();
        self.wait_taken();
    }

    /// A page of its admin server.
    pub fn page(&self, path: &str) -> String {
        let answer = ask(&Endpoint::Envoy(self.admin), "GET", path, None, "");
        let answer = answer.unwrap_or_else(|| panic!("no answer\n{}", self.log()));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// All that it wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn wait_taken(&self) {
        until(&format!("Envoy takes {:?}:\n{}", self.versions, self.log()), || {
            let dump: Value = serde_json::from_str(&self.page("/config_dump")).ok()?;
            let sections = dump["configs"].as_array()?;
            let has = |kind: &str, version: &str| {
                sections.iter().any(|section| {
                    section["@type"].as_str().is_some_and(|it| it.ends_with(kind))
                        && section["version_info"] == version
                })
            };
            let is_warm = |key: &str| sections.iter().all(|section| section[key].is_null());
            let [clusters, listeners] = self.versions.map(|version| version.to_string());
            let taken =
                has(".ClustersConfigDump", &clusters) && has(".ListenersConfigDump", &listeners);
            let figures = self.page("/stats?filter=%5Elistener_manager");
            let figure = |name: &str, value: usize| {
                let line = format!("listener_manager.{name}: {value}");
                figures.lines().any(|told| told == line)
            };
            let listens = figure("workers_started", 1)
                && figure("total_listeners_active", self.resources.listeners.len())
                && figure("total_listeners_warming", 0);
            (taken && listens && is_warm("dynamic_warming_clusters")).then_some(())
        });
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let figures = "/stats?usedonly&filter=%5E(cluster%7Clistener%7Ctcp%7Ctls)";
            let endpoint = Endpoint::Envoy(self.admin);
            let figures = ask(&endpoint, "GET", figures, None, "").map(|answer| answer.body);
            eprintln!("log of Envoy at {}:\n{}", self.admin, self.log());
            eprintln!("its figures:\n{}", figures.unwrap_or_default());
        }
    }
}

/// Endpoints first: Envoy wants the files that clusters name.
fn write_clusters(folder: &Path, resources: &Resources, version: u64) {
    let mut clusters = resources.clusters.clone();
    for (number, cluster) in clusters.iter_mut().enumerate() {
        if cluster["type"] != "EDS" {
            continue;
        }
        let name = cluster["name"].clone();
        let none = json!({ "cluster_name": name });
        let found = resources.assignments.iter().find(|it| it["cluster_name"] == name);
        let mut assignment = found.cloned().unwrap_or(none);
        assignment["@type"] =
            "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment".into();
        // A file of its own each time: a cluster that another one comes before keeps its own.
        let path = folder.join(format!("endpoints-{version}-{number}.json"));
        put(&path, version, &[assignment]);
        cluster["eds_cluster_config"] = json!({ "eds_config": {
            "resource_api_version": "V3", "path_config_source": { "path": path },
        }});
    }
    put(&folder.join("clusters.json"), version, &clusters);
}

/// Put in place by renaming it, which is what Envoy looks out for.
fn put(path: &Path, version: u64, resources: &[Value]) {
    let body = json!({ "version_info": version.to_string(), "resources": resources });
    let temporary = path.with_extension("new");
    fs::write(&temporary, body.to_string()).unwrap();
    fs::rename(&temporary, path).unwrap();
}
