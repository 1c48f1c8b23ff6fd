//! Who takes part in the mesh: leaf certificates of Consul's, and what they prove.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use serde_json::{Value, json};

use crate::support::datacenter::Datacenter;
use crate::support::until;

/// What a sidecar has of a service: its leaf with the key, and the roots of the mesh.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: RootCertStore,
}

/// A service as those who dial it know it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server name that is asked for.
    pub server_name: String,
    /// The SPIFFE id that the other side must prove.
    pub id: String,
}

impl Datacenter {
    /// The trust domain of its mesh.
    pub fn trust_domain(&self) -> String {
        self.wait("a trust domain", "/v1/connect/ca/roots", |roots| {
            roots["TrustDomain"].as_str().filter(|name| !name.is_empty()).map(str::to_owned)
        })
    }

    /// A service of this datacenter, as those who dial it know it.
    pub fn target(&self, service: &str) -> Target {
        let (datacenter, trust_domain) = (&self.name, self.trust_domain());
        Target {
            server_name: format!("{service}.default.{datacenter}.internal.{trust_domain}"),
            id: format!("spiffe://{trust_domain}/ns/default/dc/{datacenter}/svc/{service}"),
        }
    }

    /// The identity of a service, as the agent hands it to its sidecars.
    pub fn identity(&self, service: &str) -> Identity {
        let path = format!("/v1/agent/connect/ca/leaf/{service}");
        // A secondary datacenter signs nothing until its primary has signed for it.
        let leaf = until(&path, || {
            let answer = self.ask("GET", &path, None, &json!(null))?;
            (answer.status == 200).then(|| answer.json())
        });
        let pem = |value: &Value| value.as_str().unwrap().as_bytes().to_vec();
        let chain = CertificateDer::pem_slice_iter(&pem(&leaf["CertPEM"]))
            .collect::<Result<_, _>>()
            .unwrap();
        let key = PrivateKeyDer::from_pem_slice(&pem(&leaf["PrivateKeyPEM"])).unwrap();
        let mut roots = RootCertStore::empty();
        for root in self.get("/v1/connect/ca/roots").json()["Roots"].as_array().unwrap() {
            roots.add(CertificateDer::from_pem_slice(&pem(&root["RootCert"])).unwrap()).unwrap();
        }
        Identity { chain, key, roots }
    }
}

impl Identity {
    /// The settings of one who dials. Whom it has reached is for [`uri_names`].
    pub fn client(&self) -> Arc<ClientConfig> {
        let verifier = ChainVerifier { roots: self.roots.clone(), provider: provider() };
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .unwrap();
        Arc::new(config)
    }

    /// The settings of one who is dialed: clients must be of the mesh.
    pub fn server(&self) -> Arc<ServerConfig> {
        let roots = Arc::new(self.roots.clone());
        let clients =
            WebPkiClientVerifier::builder_with_provider(roots, provider()).build().unwrap();
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .unwrap();
        Arc::new(config)
    }
}

/// The URI SANs of a certificate.
pub fn uri_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let leaf = webpki::EndEntityCert::try_from(certificate).unwrap();
    leaf.valid_uri_names().map(str::to_owned).collect()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Accepts whoever the roots of the mesh vouch for: leaves have no DNS name.
#[derive(Debug)]
struct ChainVerifier {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
