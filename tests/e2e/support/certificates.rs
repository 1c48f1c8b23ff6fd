//! A mesh's certificates: one authority, and a leaf for each service, named as Consul does.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The trust domain of all names.
pub const TRUST_DOMAIN: &str = "4a1c9d52-0a3e-4f6b-9d6f-6f1f0f3b2a77.consul";

/// The server name of a service in a datacenter.
pub fn server_name(service: &str, datacenter: &str) -> String {
    format!("{service}.default.{datacenter}.internal.{TRUST_DOMAIN}")
}

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
pub struct Leaf {
    pub certificate: CertificateDer<'static>,
    certificate_pem: String,
    key: KeyPair,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "the mesh's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    /// A leaf for a service: a SPIFFE id and the DNS name that its clients ask for.
    pub fn leaf(&self, service: &str, datacenter: &str) -> Leaf {
        let names = vec![server_name(service, datacenter)];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, service);
        let id = format!("spiffe://{TRUST_DOMAIN}/ns/default/dc/{datacenter}/svc/{service}");
        params.subject_alt_names.push(SanType::URI(Ia5String::try_from(id).unwrap()));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Leaf { certificate: certificate.der().clone(), certificate_pem: certificate.pem(), key }
    }

    /// A client's settings: its own certificate, and this authority to check the server's.
    pub fn client(&self, leaf: &Leaf) -> Arc<ClientConfig> {
        let config = ClientConfig::builder().with_root_certificates(self.roots());
        let chain = vec![leaf.certificate.clone()];
        Arc::new(config.with_client_auth_cert(chain, leaf.private_key()).unwrap())
    }

    /// A server's settings: its own certificate; clients must have one too.
    pub fn server(&self, leaf: &Leaf) -> Arc<ServerConfig> {
        let verifier = WebPkiClientVerifier::builder(Arc::new(self.roots())).build().unwrap();
        let config = ServerConfig::builder().with_client_cert_verifier(verifier);
        let chain = vec![leaf.certificate.clone()];
        Arc::new(config.with_single_cert(chain, leaf.private_key()).unwrap())
    }

    /// Writes `ca.pem`, `cert.pem` and `key.pem` for programs that read files.
    pub fn write(&self, leaf: &Leaf, directory: &Path) {
        fs::write(directory.join("ca.pem"), self.issuer.pem()).unwrap();
        fs::write(directory.join("cert.pem"), &leaf.certificate_pem).unwrap();
        fs::write(directory.join("key.pem"), leaf.key.serialize_pem()).unwrap();
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }
}

impl Leaf {
    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}
