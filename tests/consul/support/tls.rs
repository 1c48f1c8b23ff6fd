//! Certificates of an agent that speaks https, made by Consul itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::installed::consul;

/// The CA's certificate, in the directory of the datacenter.
pub const CA: &str = "consul-agent-ca.pem";

/// And its key.
const CA_KEY: &str = "consul-agent-ca-key.pem";

/// Makes a CA, a certificate for the server, and one for a client.
pub fn make(directory: &Path, datacenter: &str, host: &str) {
    let address = format!("-additional-ipaddress={host}");
    let datacenter = format!("-dc={datacenter}");
    run(directory, &["ca", "create"]);
    run(directory, &["cert", "create", "-server", &datacenter, &address]);
    run(directory, &["cert", "create", "-client", &datacenter]);
}

/// Makes a certificate for a server that other datacenters call by the name of its node. Its CA is
/// that of the first datacenter, in the directory `first`, or is made here.
pub fn make_for_node(directory: &Path, datacenter: &str, node: &str, first: Option<&Path>) {
    match first {
        Some(first) => {
            for file in [CA, CA_KEY] {
                fs::copy(first.join(file), directory.join(file)).unwrap();
            }
        }
        None => run(directory, &["ca", "create"]),
    }
    let words = [format!("-dc={datacenter}"), format!("-node={node}")];
    run(directory, &["cert", "create", "-server", &words[0], &words[1]]);
}

fn run(directory: &Path, words: &[&str]) {
    let status = Command::new(consul())
        .arg("tls")
        .args(words)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "consul tls {words:?}");
}

/// TLS for the test itself.
pub fn client(directory: &Path) -> Arc<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join(CA)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
