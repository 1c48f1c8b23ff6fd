//! Tokens.

use serde_json::json;

use super::datacenter::Datacenter;

/// The token that may everything.
pub const MASTER: &str = "3b6a1d0c-7d55-4b1e-9b0f-0e3a5b6c7d8e";

/// What Consul's documentation asks for a mesh gateway of the usual name.
pub const GATEWAY_RULES: &str = r#"
    service "mesh-gateway" { policy = "write" }
    service_prefix "" { policy = "read" }
    node_prefix "" { policy = "read" }
"#;

/// A token, and what it is known by to those who may not see it.
pub struct Token {
    pub secret: String,
    pub accessor: String,
}

impl Datacenter {
    /// A new token with one policy.
    pub fn new_token(&self, name: &str, rules: &str) -> Token {
        self.put("/v1/acl/policy", &json!({ "Name": name, "Rules": rules }));
        self.another_token(name)
    }

    /// One more with a policy that there is.
    pub fn another_token(&self, name: &str) -> Token {
        let token = self.put("/v1/acl/token", &json!({ "Policies": [{ "Name": name }] }));
        let field = |key: &str| token[key].as_str().unwrap().to_owned();
        Token { secret: field("SecretID"), accessor: field("AccessorID") }
    }

    /// What the token of that name may from now on; its secret stays.
    pub fn set_rules(&self, name: &str, rules: &str) {
        let policies = self.get("/v1/acl/policies").json();
        let policy = policies.as_array().unwrap().iter().find(|policy| policy["Name"] == name);
        let id = policy.unwrap()["ID"].as_str().unwrap();
        let body = json!({ "ID": id, "Name": name, "Rules": rules });
        self.put(&format!("/v1/acl/policy/{id}"), &body);
    }

    /// Takes a token back.
    pub fn delete_token(&self, token: &Token) {
        self.delete(&format!("/v1/acl/token/{}", token.accessor));
    }
}
