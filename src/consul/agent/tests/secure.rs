//! TLS with the agent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;

use super::*;
use crate::consul::agent::settings::TlsSettings;

/// A CA and a leaf of it, as files and for a server.
struct Authority {
    folder: Folder,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { folder: Folder::new(name), issuer };
        std::fs::write(authority.path("ca.pem"), authority.issuer.pem()).unwrap();
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    /// Writes a leaf for `name` to `name`.pem and `name`.key.
    fn leaf(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        (certificate, key)
    }

    fn server(&self, name: &str, clients: Option<&Self>) -> Arc<rustls::ServerConfig> {
        let (certificate, key) = self.leaf(name);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }

    fn file(&self, name: &str) -> File {
        File { path: self.path(name), setting: "--test" }
    }

    fn trusted(&self) -> TlsSettings {
        TlsSettings { ca_file: Some(self.file("ca.pem")), ..TlsSettings::default() }
    }
}

fn secure(at: impl std::fmt::Display, tls: TlsSettings) -> AgentSettings {
    AgentSettings { tls, ..settings(format!("https://{at}")) }
}

/// One question over TLS, on a clock that runs: the resolver has a thread of its own.
fn ask_securely(
    server: Arc<rustls::ServerConfig>,
    tls: TlsSettings,
) -> (SocketAddr, Result<Answer, AgentError>, Vec<Asked>) {
    run(false, async {
        let (fake, address) = Fake::start_with(Some(server), |_| good("3", "[]")).await;
        let client = Client::new(&secure(address, tls)).unwrap();
        let answer = client.get(NODES, &[], LIMITS).await;
        let asked = fake.asked.borrow().clone();
        (address, answer, asked)
    })
}

#[test]
fn certificates_that_were_replaced_are_read_again_when_told_to() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    run(false, async {
        let server = after.server("localhost", None);
        let (_fake, address) = Fake::start_with(Some(server), |_| good("3", "[]")).await;
        let at = format!("localhost:{}", address.port());
        let client = Client::new(&secure(at, before.trusted())).unwrap();
        assert!(client.get(NODES, &[], LIMITS).await.is_err(), "of another authority");
        std::fs::write(before.path("ca.pem"), "half of a file").unwrap();
        assert!(client.renew().is_err(), "what cannot be used is not taken");
        std::fs::write(before.path("ca.pem"), after.issuer.pem()).unwrap();
        assert!(client.get(NODES, &[], LIMITS).await.is_err(), "not before it is told");
        client.renew().unwrap();
        client.get(NODES, &[], LIMITS).await.unwrap();
    });
}

#[test]
fn the_name_to_verify_may_differ_from_the_host() {
    let authority = Authority::new("differs");
    let name = "server.dc1.consul";
    let tls = TlsSettings { server_name: Some(name.into()), ..authority.trusted() };
    let (address, answer, asked) = ask_securely(authority.server(name, None), tls);
    assert_eq!(answer.unwrap().index, Some(3));
    // The name is for TLS alone.
    assert!(asked[0].headers.contains(&format!("host: {address}\r\n")), "{}", asked[0].headers);
    // A host by name, of which TLS is to know nothing.
    run(false, async {
        let server = authority.server(name, None);
        let (_fake, address) = Fake::start_with(Some(server), |_| good("3", "[]")).await;
        let tls = TlsSettings { server_name: Some(name.into()), ..authority.trusted() };
        let at = format!("localhost:{}", address.port());
        let client = Client::new(&secure(at, tls)).unwrap();
        assert_eq!(client.get(NODES, &[], LIMITS).await.unwrap().index, Some(3));
    });
}

#[test]
fn an_address_is_verified_as_one() {
    let authority = Authority::new("address");
    let server = authority.server("127.0.0.1", None);
    let (_, answer, _) = ask_securely(server.clone(), authority.trusted());
    assert_eq!(answer.unwrap().index, Some(3));
    // A directory with the same CA in it, among others.
    let cas = authority.path("cas");
    std::fs::create_dir(&cas).unwrap();
    std::fs::copy(authority.path("ca.pem"), cas.join("own.pem")).unwrap();
    std::fs::copy(Authority::new("among").path("ca.pem"), cas.join("another.pem")).unwrap();
    let tls = TlsSettings { ca_path: Some(authority.file("cas")), ..TlsSettings::default() };
    let (_, answer, _) = ask_securely(server, tls);
    assert_eq!(answer.unwrap().index, Some(3));
}

#[test]
fn an_unknown_ca_is_refused_unless_all_are_trusted() {
    let (authority, other) = (Authority::new("known"), Authority::new("unknown"));
    let (address, answer, asked) =
        ask_securely(other.server("127.0.0.1", None), authority.trusted());
    assert_eq!(
        answer.unwrap_err().to_string(),
        format!(
            "TLS with the Consul agent at https://{address} failed: its certificate is of a CA \
             that is not trusted; name the agent's CA with --ca-file or CONSUL_CACERT"
        )
    );
    assert!(asked.is_empty(), "a token would have gone to a stranger");
    let tls = TlsSettings { verify: false, ..authority.trusted() };
    let (_, answer, _) = ask_securely(other.server("another.name", None), tls);
    assert_eq!(answer.unwrap().index, Some(3));
}

#[test]
fn another_name_is_refused() {
    let authority = Authority::new("name");
    let server = authority.server("server.dc1.consul", None);
    let (address, answer, _) = ask_securely(server, authority.trusted());
    let told = answer.unwrap_err().to_string();
    let start = format!(
        "TLS with the Consul agent at https://{address} failed: its certificate is for another \
         name ("
    );
    assert!(told.starts_with(&start), "{told}");
    let end = "give the name with --tls-server-name or CONSUL_TLS_SERVER_NAME, such as \
               server.dc1.consul";
    assert!(told.ends_with(end), "{told}");
}

#[test]
fn a_client_certificate_is_shown_where_one_is_wanted() {
    let authority = Authority::new("client");
    let server = authority.server("127.0.0.1", Some(&authority));
    let (address, answer, _) = ask_securely(server.clone(), authority.trusted());
    let told = answer.unwrap_err().to_string();
    let start = format!(
        "TLS with the Consul agent at https://{address} failed: it refused our certificate, or \
         that there is none (CertificateRequired); give one"
    );
    assert!(told.starts_with(&start), "{told}");
    authority.leaf("me");
    let client = Some((authority.file("me.pem"), authority.file("me.key")));
    let tls = TlsSettings { client, ..authority.trusted() };
    let (_, answer, _) = ask_securely(server, tls);
    assert_eq!(answer.unwrap().index, Some(3));
}

#[test]
fn the_wrong_one_of_http_and_https_is_told() {
    let authority = Authority::new("scheme");
    // https at a port of http: Go's server answers a hello in plain text.
    run(false, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        spawn_local(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read_u8().await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n400 Bad Request").await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let client = Client::new(&secure(address, authority.trusted())).unwrap();
        assert_eq!(
            client.get(NODES, &[], LIMITS).await.unwrap_err().to_string(),
            format!(
                "TLS with the Consul agent at https://{address} failed: it does not speak TLS; \
                 if this is the right port, write http://{address} in --http-addr or \
                 CONSUL_HTTP_ADDR"
            )
        );
    });
    // http at a port of https.
    let go = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    let (agent, answer) = ask(move |_| Reply::Last(go.into()));
    let https = agent.replace("http", "https");
    assert_eq!(
        answer.unwrap_err().to_string(),
        format!(
            "what answers at {agent} is not a Consul agent's HTTP: it speaks TLS only; if this is \
             the right port, write {https} in --http-addr or CONSUL_HTTP_ADDR"
        )
    );
}

#[test]
fn files_that_cannot_be_used_are_told() {
    let authority = Authority::new("files");
    std::fs::write(authority.path("empty.pem"), "").unwrap();
    std::fs::create_dir(authority.path("bare")).unwrap();
    let unusable =
        |tls: TlsSettings| Client::new(&secure("127.0.0.1:1", tls)).unwrap_err().to_string();
    let of = |name: &str| format!("--test {}: ", authority.path(name).display());
    let ca_file = |name| TlsSettings { ca_file: Some(authority.file(name)), ..Default::default() };
    let told = unusable(ca_file("absent.pem"));
    assert!(told.starts_with(&(of("absent.pem") + "cannot be read: ")), "{told}");
    assert_eq!(unusable(ca_file("empty.pem")), of("empty.pem") + "holds no certificate in PEM");
    let ca_path = |name| TlsSettings { ca_path: Some(authority.file(name)), ..Default::default() };
    assert_eq!(unusable(ca_path("bare")), of("bare") + "has no file in it");
    let told = unusable(ca_path("absent"));
    assert!(told.starts_with(&(of("absent") + "cannot be read as a directory: ")), "{told}");
    authority.leaf("me");
    authority.leaf("you");
    let client = |certificate, key| {
        let client = Some((authority.file(certificate), authority.file(key)));
        unusable(TlsSettings { client, ..authority.trusted() })
    };
    let told = client("me.pem", "empty.pem");
    assert!(told.starts_with(&(of("empty.pem") + "holds no private key: ")), "{told}");
    let told = client("me.pem", "you.key");
    assert!(told.starts_with(&(of("me.pem") + "does not fit the key ")), "{told}");
}
