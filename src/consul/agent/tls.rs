//! TLS with the agent: whom to trust, and what to show.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::error::SettingsError;
use super::settings::{File, TlsSettings};

/// The configuration that settings mean.
///
/// # Errors
/// A file cannot be used, or the system has no CAs.
pub(super) fn config(settings: &TlsSettings) -> Result<ClientConfig, SettingsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::Client(error.to_string()))?;
    let builder = if settings.verify {
        builder.with_root_certificates(roots(settings)?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAll(provider)))
    };
    let Some((certificate, key)) = &settings.client else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate, &certificate.path)?;
    let private = PrivateKeyDer::from_pem_file(&key.path)
        .map_err(|error| unusable(key, &key.path, format!("holds no private key: {error}")))?;
    builder.with_client_auth_cert(chain, private).map_err(|error| {
        let reason = format!("does not fit the key {}: {error}", key.path.display());
        unusable(certificate, &certificate.path, reason)
    })
}

fn roots(settings: &TlsSettings) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    match (&settings.ca_file, &settings.ca_path) {
        (Some(file), _) => add(&mut roots, file, &file.path)?,
        (None, Some(folder)) => {
            for path in files(folder)? {
                add(&mut roots, folder, &path)?;
            }
        }
        (None, None) => {
            let found = rustls_native_certs::load_native_certs();
            let (usable, _) = roots.add_parsable_certificates(found.certs);
            if usable == 0 {
                let reason = found.errors.first().map(ToString::to_string);
                let reason = reason.unwrap_or_else(|| "there are none".to_owned());
                return Err(SettingsError::SystemCas { reason });
            }
        }
    }
    Ok(roots)
}

fn add(roots: &mut RootCertStore, setting: &File, path: &Path) -> Result<(), SettingsError> {
    for certificate in certificates(setting, path)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(setting, path, format!("holds no usable CA: {error}")))?;
    }
    Ok(())
}

/// The files of a directory, in the order of their names. It must have one.
fn files(folder: &File) -> Result<Vec<std::path::PathBuf>, SettingsError> {
    let unreadable = |error: std::io::Error| {
        unusable(folder, &folder.path, format!("cannot be read as a directory: {error}"))
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder.path).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(unusable(folder, &folder.path, "has no file in it".to_owned()));
    }
    Ok(paths)
}

fn certificates(
    setting: &File,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => {
            Err(unusable(setting, path, "holds no certificate in PEM".to_owned()))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(setting, path, format!("cannot be read: {error}"))),
    }
}

fn unusable(setting: &File, path: &Path, reason: String) -> SettingsError {
    SettingsError::File { setting: setting.setting, path: path.display().to_string(), reason }
}

/// What `CONSUL_HTTP_SSL_VERIFY=false` asks for: any certificate is as good as another. That the
/// agent has its key is still proved.
#[derive(Debug)]
struct TrustAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
