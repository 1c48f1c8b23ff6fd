//! What others tell Consul.

use serde_json::{Value, json};
use sluice::consul::snapshot::Snapshot;
use sluice::consul::watch::Part;

use super::datacenter::Datacenter;

impl Datacenter {
    /// Registers a service with the agent; `definition` as the agent's API has it.
    pub fn register(&self, definition: &Value) {
        self.put("/v1/agent/service/register", definition);
    }

    /// Removes it.
    pub fn deregister(&self, id: &str) {
        self.put(&format!("/v1/agent/service/deregister/{id}"), &Value::Null);
    }

    /// Sets a TTL check: `pass`, `warn` or `fail`.
    pub fn check(&self, id: &str, verb: &str) {
        self.put(&format!("/v1/agent/check/{verb}/{id}"), &Value::Null);
    }

    /// Puts a service into maintenance, or takes it out.
    pub fn maintenance(&self, id: &str, enable: bool) {
        let path = format!("/v1/agent/service/maintenance/{id}?enable={enable}");
        self.put(&path, &Value::Null);
    }

    /// The same for the whole node.
    pub fn node_maintenance(&self, enable: bool) {
        self.put(&format!("/v1/agent/maintenance?enable={enable}"), &Value::Null);
    }

    /// Writes a configuration entry.
    pub fn config_entry(&self, entry: &Value) {
        self.put("/v1/config", entry);
    }

    /// Allows or denies one service the other: `allow` or `deny`.
    pub fn intention(&self, source: &str, destination: &str, action: &str) {
        let body = json!({
            "SourceName": source, "DestinationName": destination, "Action": action,
        });
        self.post("/v1/connect/intentions", &body);
    }

    /// What the agent says of a service; `None` if it has none of that id.
    pub fn service(&self, id: &str) -> Option<Value> {
        let answer = self.get(&format!("/v1/agent/service/{id}"));
        (answer.status == 200).then(|| answer.json())
    }

    /// The status of a check of the agent's, and its output.
    pub fn agent_check(&self, id: &str) -> Option<(String, String)> {
        let checks = self.get("/v1/agent/checks").json();
        let check = checks.get(id)?;
        let field = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        Some((field("Status"), field("Output")))
    }

    /// What it answers, as far as a table needs it.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for part in Part::ALL.into_iter().filter(|part| !part.is_optional()) {
            snapshot.take(part, self.get(part.path()).body.as_bytes()).unwrap();
        }
        snapshot
    }

    /// Waits until the catalog shows all instances of a service with these statuses of their
    /// service checks, by id.
    pub fn wait_for_checks(&self, service: &str, expected: &[(&str, &str)]) {
        let what = format!("{service} with {expected:?}");
        self.wait(&what, &format!("/v1/health/checks/{service}"), |checks| {
            let mut found: Vec<(&str, &str)> = checks
                .as_array()?
                .iter()
                .filter_map(|check| Some((check["CheckID"].as_str()?, check["Status"].as_str()?)))
                .collect();
            found.sort_unstable();
            (found == expected).then_some(())
        });
    }
}
