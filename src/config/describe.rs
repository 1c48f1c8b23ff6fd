//! The configuration in effect, for whoever asks. No secret is in it: of a token it says where it
//! is from, never what it is.

use std::path::Path;

use serde_json::{Value, json};

use super::consul::ConsulPlan;
use super::{AdminBind, Config, EngineChoice, LogFormat, RoutesFrom, cpu_list};
use crate::consul::agent::AgentSettings;
use crate::consul::register::Registration;
use crate::dataplane::access::Networks;
use crate::dataplane::settings::RefuseWith;

/// Who a gateway is, as Envoy's `node` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The id of its registration.
    pub id: String,
    /// The name of the service it is registered under.
    pub service: String,
}

impl Config {
    /// Who this gateway is.
    #[must_use]
    pub fn node(&self) -> Node {
        let (id, service) = match &self.routes {
            RoutesFrom::File(_) => ("sluice", "sluice"),
            RoutesFrom::Consul(plan) => (plan.registration.id(), plan.registration.service()),
        };
        Node { id: id.to_owned(), service: service.to_owned() }
    }

    /// The same, and what became of the configuration when it was read again: the flags that need
    /// a restart to change, or what is wrong with it.
    #[must_use]
    pub fn describe_reread(&self, reread: Result<&[String], &str>) -> Value {
        let mut told = self.describe();
        if let Some(told) = told.as_object_mut() {
            match reread {
                Ok(flags) => told.insert("needs_restart".to_owned(), json!(flags)),
                Err(wrong) => told.insert("reload_error".to_owned(), json!(wrong)),
            };
        }
        told
    }

    /// Everything that is set, times in seconds.
    #[must_use]
    pub fn describe(&self) -> Value {
        let Self { routes, binds, admin, engine, workers, sessions, drain, .. } = self;
        let keepalive = sessions.keepalive.as_ref().map(|keepalive| keepalive.idle.as_secs_f64());
        json!({
            "routes": match routes {
                RoutesFrom::File(path) => json!({ "file": text(path) }),
                RoutesFrom::Consul(plan) => json!({ "consul": consul(plan) }),
            },
            "bind": binds,
            "admin_bind": admin.iter().map(AdminBind::to_string).collect::<Vec<_>>(),
            "metrics_clusters": self.metrics_cluster_count_max,
            "engine": match engine {
                EngineChoice::Auto => "auto",
                EngineChoice::Uring => "io_uring",
                EngineChoice::Epoll => "epoll",
            },
            "workers": {
                "cpus": workers.cpus.as_deref().map(cpu_list::format),
                "count": workers.worker_count,
                "steer_by_cpu": workers.steer_by_cpu,
                "spin_us": u64::try_from(workers.spin.as_micros()).unwrap_or(u64::MAX),
                "sessions_max": workers.session_count_max,
                "pipes": workers.pipe_count_max,
            },
            "sessions": {
                "hello_timeout_s": sessions.hello_timeout.as_secs_f64(),
                "connect_timeout_s": sessions.connect_timeout.as_secs_f64(),
                "dial_attempts": sessions.dial_attempts_max,
                "panic_threshold_percent": sessions.panic_threshold_percent,
                "idle_timeout_s": sessions.idle_timeout.as_secs_f64(),
                "half_close_timeout_s": sessions.half_close_timeout.as_secs_f64(),
                "keepalive_s": keepalive,
                "refuse": match sessions.refuse_with {
                    RefuseWith::Alert => "alert",
                    RefuseWith::Reset => "reset",
                },
            },
            "listener": {
                "proxy_protocol_from": networks(&sessions.access.proxies),
                "allow": sessions.access.allowed.as_ref().map(|allowed| {
                    let federation = allowed.federation.then(|| "federation".to_owned());
                    let networks = networks(&allowed.networks);
                    federation.into_iter().chain(networks).collect::<Vec<_>>()
                }),
                "hellos_per_source_max": sessions.access.hellos_per_source_max,
                "default_cluster": sessions.default_cluster,
            },
            "drain": {
                "delay_s": drain.delay.as_secs_f64(),
                "timeout_s": drain.timeout.as_secs_f64(),
                "spread_s": drain.spread.as_secs_f64(),
            },
            "access_log": match self.access_log {
                None => "off",
                Some(LogFormat::Text) => "text",
                Some(LogFormat::Json) => "json",
            },
            "access_log_start": self.access_log_moments.at_start,
            "access_log_every_s": self.access_log_moments.every.as_secs_f64(),
            "origins": self.effective.origins(),
        })
    }
}

fn networks(networks: &Networks) -> Vec<String> {
    networks.as_slice().iter().map(ToString::to_string).collect()
}

fn consul(plan: &ConsulPlan) -> Value {
    let registration = match &plan.registration {
        Registration::Owned(owned) => json!({ "id": owned.id(), "service": owned.service() }),
        Registration::Foreign { proxy_id } => json!({ "proxy_id": proxy_id }),
    };
    json!({
        "agent": agent(&plan.agent),
        "registers": matches!(plan.registration, Registration::Owned(_)),
        "registration": registration,
        "server_domain": plan.server_domain,
        "state_dir": plan.state_dir.as_deref().map(text),
        "state_max_age_s": plan.state_age_max.map(|age| age.as_secs_f64()),
    })
}

/// Destructured without a rest: a setting that is added has to be looked at here.
fn agent(settings: &AgentSettings) -> Value {
    let AgentSettings { address, token, token_file, basic_auth, tls, namespace, partition } =
        settings;
    json!({
        "address": address.to_string(),
        "token": match (token_file, token) {
            (Some(_), _) => "from a file",
            (None, Some(_)) => "from the command line or the environment",
            (None, None) => "none",
        },
        "token_file": token_file.as_ref().map(|file| text(&file.path)),
        "basic_auth": basic_auth.is_some(),
        "ca_file": tls.ca_file.as_ref().map(|file| text(&file.path)),
        "ca_path": tls.ca_path.as_ref().map(|file| text(&file.path)),
        "client_cert": tls.client.as_ref().map(|(certificate, _)| text(&certificate.path)),
        "tls_server_name": tls.server_name,
        "tls_verify": tls.verify,
        "namespace": namespace,
        "partition": partition,
    })
}

/// A path, which need not be UTF-8.
fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use crate::cli::{Action, Command};
    use crate::config::Config;
    use clap::Parser;

    #[test]
    fn says_what_was_typed_and_no_secret() {
        let words = [
            "sluice",
            "run",
            "--register",
            "--service",
            "edge",
            "--bind",
            "127.0.0.1:8443",
            "--token",
            "5ec2e7-token",
            "--hello-timeout",
            "1500ms",
            "--metrics-clusters",
            "7",
        ];
        let Action::Run(args) = Command::try_parse_from(words).unwrap().action else {
            panic!("not run");
        };
        let config = Config::from_args(&args).unwrap();
        let told = config.describe();
        assert_eq!(told["sessions"]["hello_timeout_s"], 1.5);
        assert_eq!(told["metrics_clusters"], 7);
        let consul = &told["routes"]["consul"];
        assert_eq!(consul["registration"]["service"], "edge");
        assert_eq!(consul["agent"]["token"], "from the command line or the environment");
        assert!(!told.to_string().contains("5ec2e7"), "{told}");
        assert_eq!(config.node().service, "edge");
    }
}
