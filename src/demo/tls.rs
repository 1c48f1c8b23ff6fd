//! Both ends of an mTLS connection, authenticated by SPIFFE id as Consul's proxies do.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use super::certificates::{Authority, Leaf};

/// The service's side: every client needs a certificate of the authority.
pub(super) fn server(authority: &Authority, leaf: Leaf) -> Result<ServerConfig, Error> {
    let roots = Arc::new(roots(authority)?);
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![leaf.certificate], leaf.key)
}

/// The client's side: talks only to a server with this SPIFFE id.
pub(super) fn client(
    authority: &Authority,
    leaf: Leaf,
    server_id: &str,
) -> Result<ClientConfig, Error> {
    let verifier = SpiffeVerifier {
        roots: roots(authority)?,
        expected: server_id.to_owned(),
        provider: provider(),
    };
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(vec![leaf.certificate], leaf.key)
}

/// The URI SANs of a certificate.
pub(super) fn uri_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let parsed = webpki::EndEntityCert::try_from(certificate);
    parsed.map(|leaf| leaf.valid_uri_names().map(str::to_owned).collect()).unwrap_or_default()
}

/// SHA-256, in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> io::Result<String> {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13();
    let suite = suite.ok_or_else(|| io::Error::other("no SHA-256"))?;
    let hash = suite.common.hash_provider.hash(bytes);
    Ok(hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(authority: &Authority) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root.clone())?;
    Ok(roots)
}

/// Accepts the one server whose certificate the authority signed for the expected id.
#[derive(Debug)]
struct SpiffeVerifier {
    roots: RootCertStore,
    expected: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for SpiffeVerifier {
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
        if uri_names(end_entity) == [self.expected.as_str()] {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
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
