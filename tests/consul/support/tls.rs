//! Certificates of an agent that speaks https, made by Consul itself.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::installed::consul;

/// The CA's certificate, in the directory of the datacenter.
pub const CA: &str = "consul-agent-ca.pem";

/// Makes a CA, a certificate for the server, and one for a client.
pub fn make(directory: &Path, datacenter: &str, host: &str) {
    let address = format!("-additional-ipaddress={host}");
    let datacenter = format!("-dc={datacenter}");
    for words in [
        &["tls", "ca", "create"][..],
        &["tls", "cert", "create", "-server", &datacenter, &address],
        &["tls", "cert", "create", "-client", &datacenter],
    ] {
        let status = Command::new(consul())
            .args(words)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "consul {words:?}");
    }
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
