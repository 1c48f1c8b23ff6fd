//! A service in the mesh, a gateway on each engine before it, and traffic through both.

use std::sync::Arc;

use serde_json::Value;

use super::datacenter::Datacenter;
use super::program::{ENGINES, Launch, Line, Program};
use super::steady_traffic::{Echo, SteadyTraffic};

/// The service.
pub const SERVICE: &str = "web";

/// The service with its gateways, and what goes through them.
pub struct Scene {
    pub echo: Arc<Echo>,
    pub gateways: Vec<Program>,
    traffic: Vec<SteadyTraffic>,
    log_lengths: Vec<usize>,
}

impl Scene {
    /// Registers the service with a datacenter, and starts a gateway on each engine, which
    /// registers itself with the agent at `agent` under `gateway-ENGINE`; `with` has more flags.
    pub fn start(datacenter: &Datacenter, agent: &str, with: impl Fn(Launch) -> Launch) -> Self {
        Self::before(register_service(datacenter), agent, with)
    }

    /// The same before a service that the agent knows of already.
    pub fn before(echo: Arc<Echo>, agent: &str, with: impl Fn(Launch) -> Launch) -> Self {
        let launch = |engine: &&str| with(Launch::registered(engine, agent, &id(engine))).start();
        let mut gateways: Vec<Program> = ENGINES.iter().map(launch).collect();
        for gateway in &mut gateways {
            gateway.wait_ready();
            gateway.wait_routed(&echo.name, true);
            gateway.wait_routes("it is registered", |routes| {
                (routes["source"]["registration"] == "passing").then_some(())
            });
        }
        let mut scene = Self { echo, gateways, traffic: Vec::new(), log_lengths: Vec::new() };
        scene.begin_traffic();
        scene.forget_lines();
        scene
    }

    /// Begins anew, after the gateways were.
    pub fn begin_traffic(&mut self) {
        let begin = |gateway: &Program| SteadyTraffic::start(&self.echo, gateway.address());
        self.traffic = self.gateways.iter().map(begin).collect();
    }

    /// New sessions and the old ones are well through each gateway, and were so all the time.
    pub fn must_flow(&self, when: &str) {
        self.traffic.iter().for_each(|traffic| traffic.must_flow(when));
    }

    /// No session has failed until now. Ends the traffic.
    pub fn end_traffic(&mut self) {
        self.must_flow("at the end");
        for traffic in self.traffic.drain(..) {
            traffic.end();
        }
    }

    /// Each gateway's `/routes` becomes something that holds.
    pub fn wait_routes(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        for gateway in &self.gateways {
            gateway.wait_routes(what, |routes| holds(routes).then_some(()));
        }
    }

    /// Everything that is known comes from Consul, which knows the gateways.
    pub fn wait_well(&self, what: &str) {
        self.wait_routes(what, is_well);
    }

    /// What was logged until now is not among what [`Scene::lines`] has.
    pub fn forget_lines(&mut self) {
        self.log_lengths = self.gateways.iter().map(|gateway| gateway.log().len()).collect();
    }

    /// What each gateway logged since [`Scene::forget_lines`], but for new tables.
    pub fn lines(&self) -> Vec<Vec<Line>> {
        let pairs = self.gateways.iter().zip(&self.log_lengths);
        let of_one = |(gateway, &length): (&Program, &usize)| {
            let mut lines = gateway.log().split_off(length);
            lines.retain(|line| line.text != "routes published");
            lines
        };
        pairs.map(of_one).collect()
    }

    /// Since [`Scene::forget_lines`], each gateway logged exactly one line with each of these
    /// texts, and no other.
    pub fn must_have_logged_once(&self, texts: &[&str]) {
        for lines in self.lines() {
            let told = |text: &str| lines.iter().filter(|line| line.text.contains(text)).count();
            let once = texts.iter().all(|text| told(text) == 1);
            assert!(once && lines.len() == texts.len(), "not {texts:?}, but {lines:#?}");
        }
    }
}

/// The id of the gateway on an engine.
pub fn id(engine: &str) -> String {
    format!("gateway-{engine}")
}

/// Starts the service, and registers its sidecar with the datacenter's server.
pub fn register_service(datacenter: &Datacenter) -> Arc<Echo> {
    let echo = Arc::new(Echo::start(&server_name(datacenter, SERVICE)));
    datacenter.register(&echo.sidecar_of(SERVICE));
    echo
}

/// The name that sidecars ask for a service of the datacenter by.
pub fn server_name(datacenter: &Datacenter, service: &str) -> String {
    let trust_domain = datacenter.wait("a trust domain", "/v1/connect/ca/roots", |roots| {
        Some(roots["TrustDomain"].as_str()?.to_owned()).filter(|name| !name.is_empty())
    });
    format!("{service}.default.{}.internal.{trust_domain}", datacenter.name)
}

/// Whether Consul answers everything, and knows the gateway as passing.
pub fn is_well(routes: &Value) -> bool {
    routes["source"]["registration"] == "passing"
        && parts(routes).iter().all(|part| part["failing"].is_null() && !part["age_s"].is_null())
}

/// Why each part fails that does.
pub fn failing(routes: &Value) -> Vec<&str> {
    parts(routes).iter().filter_map(|part| part["failing"].as_str()).collect()
}

pub fn parts(routes: &Value) -> &[Value] {
    routes["source"]["parts"].as_array().map_or(&[], Vec::as_slice)
}
