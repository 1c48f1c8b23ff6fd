//! What flags and variables mean, and how wrong ones are told.

use super::*;

fn read(flags: &AgentFlags, variables: &[(&str, &str)]) -> Result<AgentSettings, SettingsError> {
    AgentSettings::from_flags_and_environment(flags, |name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| OsString::from(value))
    })
}

fn address_of(flag: Option<&str>, variables: &[(&str, &str)]) -> String {
    let flags = AgentFlags { http_addr: flag.map(str::to_owned), ..AgentFlags::default() };
    read(&flags, variables).unwrap().address.to_string()
}

fn wrong(variables: &[(&str, &str)]) -> String {
    read(&AgentFlags::default(), variables).unwrap_err().to_string()
}

#[test]
fn addresses_are_those_of_consuls_own_client() {
    assert_eq!(address_of(None, &[]), "http://127.0.0.1:8500");
    assert_eq!(address_of(None, &[("CONSUL_HTTP_SSL", "1")]), "https://127.0.0.1:8500");
    let at = |text| [("CONSUL_HTTP_ADDR", text), ("CONSUL_HTTP_SSL", "true")];
    assert_eq!(address_of(None, &at("10.0.0.1:8501")), "https://10.0.0.1:8501");
    assert_eq!(address_of(None, &at("http://10.0.0.1:8501")), "http://10.0.0.1:8501");
    assert_eq!(address_of(None, &at("unix:///run/consul.sock")), "unix:///run/consul.sock");
    assert_eq!(address_of(None, &at("[::1]:8501")), "https://[::1]:8501");
    assert_eq!(address_of(None, &at("localhost:8501/prefix")), "https://localhost:8501/prefix");
    assert_eq!(address_of(Some("10.0.0.9:8500"), &at("x:1")), "https://10.0.0.9:8500");
    // Empty is unset.
    let empty = [("CONSUL_HTTP_ADDR", ""), ("CONSUL_HTTP_SSL", "")];
    assert_eq!(address_of(None, &empty), "http://127.0.0.1:8500");
}

#[test]
fn an_address_of_this_host_is_known() {
    let here = ["unix:///run/consul.sock", "127.0.0.1:8500", "127.9.9.9:1", "[::1]:8500"];
    for (texts, expected) in [
        (&here[..], true),
        (&["LOCALHOST:8500", "https://localhost/prefix"], true),
        (&["10.0.0.1:8500", "[fe80::1]:8500", "localhost.example:8500", "consul:8500"], false),
    ] {
        for text in texts {
            let address = Address::parse(text, false).unwrap();
            assert_eq!(address.is_local(), expected, "{text}");
        }
    }
}

#[test]
fn a_wrong_address_is_told_with_its_variable() {
    for text in ["ftp://a:1", "a b:8500", "unix://relative", "a:99999", "http://", "a:0", "a:1?b"] {
        assert_eq!(
            wrong(&[("CONSUL_HTTP_ADDR", text)]),
            format!("CONSUL_HTTP_ADDR {text:?}: expected {}", Address::EXPECTED)
        );
    }
    let told = wrong(&[("CONSUL_HTTP_ADDR", "http://me:hunter2@a:1")]);
    assert_eq!(
        told,
        "CONSUL_HTTP_ADDR: expected an address without a user; CONSUL_HTTP_AUTH=user:password \
         gives one"
    );
}

#[test]
fn booleans_are_those_of_go() {
    let verify = |text: &str| {
        read(&AgentFlags::default(), &[("CONSUL_HTTP_SSL_VERIFY", text)]).map(|s| s.tls.verify)
    };
    for text in ["0", "f", "F", "false", "FALSE", "False"] {
        assert_eq!(verify(text), Ok(false));
    }
    for text in ["", "1", "t", "T", "true", "TRUE", "True"] {
        assert_eq!(verify(text), Ok(true));
    }
    assert_eq!(
        wrong(&[("CONSUL_HTTP_SSL_VERIFY", "no")]),
        "CONSUL_HTTP_SSL_VERIFY \"no\": expected true or false"
    );
    assert_eq!(
        wrong(&[("CONSUL_HTTP_SSL", "yes")]),
        "CONSUL_HTTP_SSL \"yes\": expected true or false"
    );
}

#[test]
fn the_token_typed_wins_and_of_each_the_file() {
    let both = [("CONSUL_HTTP_TOKEN", "variable"), ("CONSUL_HTTP_TOKEN_FILE", "/variable")];
    let settings = read(&AgentFlags::default(), &both).unwrap();
    assert_eq!(settings.token, Some(Secret::new("variable")));
    assert_eq!(settings.token_file.unwrap().setting, "CONSUL_HTTP_TOKEN_FILE");
    let flags = AgentFlags { token: Some("typed".into()), ..AgentFlags::default() };
    let settings = read(&flags, &both).unwrap();
    assert_eq!((settings.token, settings.token_file), (Some(Secret::new("typed")), None));
    let flags = AgentFlags { token_file: Some("/typed".into()), ..AgentFlags::default() };
    let settings = read(&flags, &both).unwrap();
    assert_eq!(settings.token, None);
    let file = File { path: "/typed".into(), setting: "--token-file" };
    assert_eq!(settings.token_file, Some(file));
}

#[test]
fn no_secret_is_shown() {
    let flags = AgentFlags { token: Some("s3cret".into()), ..AgentFlags::default() };
    let settings = read(&flags, &[("CONSUL_HTTP_AUTH", "me:s3cret")]).unwrap();
    let auth = settings.basic_auth.clone().unwrap();
    assert_eq!((auth.user.as_str(), auth.password), ("me", Some(Secret::new("s3cret"))));
    assert!(!format!("{settings:#?}").contains("s3cret"));
    let told = wrong(&[("CONSUL_HTTP_TOKEN", "s3cret with blanks")]);
    assert_eq!(told, "CONSUL_HTTP_TOKEN: expected a token of visible ASCII characters");
    let settings = read(&AgentFlags::default(), &[("CONSUL_HTTP_AUTH", "me")]).unwrap();
    assert_eq!(settings.basic_auth, Some(BasicAuth { user: "me".into(), password: None }));
}

#[test]
fn a_client_certificate_has_both_halves() {
    assert_eq!(
        wrong(&[("CONSUL_CLIENT_CERT", "a.pem")]),
        "CONSUL_CLIENT_CERT is set, but --client-key or CONSUL_CLIENT_KEY is not: a client \
         certificate needs both"
    );
    assert_eq!(
        wrong(&[("CONSUL_CLIENT_KEY", "a.pem")]),
        "CONSUL_CLIENT_KEY is set, but --client-cert or CONSUL_CLIENT_CERT is not: a client \
         certificate needs both"
    );
    let flags = AgentFlags { client_cert: Some("typed.pem".into()), ..AgentFlags::default() };
    let settings = read(&flags, &[("CONSUL_CLIENT_KEY", "k"), ("CONSUL_CLIENT_CERT", "c")]);
    let (certificate, key) = settings.unwrap().tls.client.unwrap();
    assert_eq!((certificate.setting, key.setting), ("--client-cert", "CONSUL_CLIENT_KEY"));
}

#[test]
fn every_other_setting_is_read_and_checked() {
    let settings = read(
        &AgentFlags::default(),
        &[
            ("CONSUL_CACERT", "ca.pem"),
            ("CONSUL_CAPATH", "cas"),
            ("CONSUL_TLS_SERVER_NAME", "server.dc1.consul"),
            ("CONSUL_NAMESPACE", "team-a"),
            ("CONSUL_PARTITION", "edge"),
        ],
    )
    .unwrap();
    assert_eq!(settings.tls.ca_file.unwrap().path, PathBuf::from("ca.pem"));
    assert_eq!(settings.tls.ca_path.unwrap().path, PathBuf::from("cas"));
    assert_eq!(settings.tls.server_name.as_deref(), Some("server.dc1.consul"));
    assert_eq!(settings.namespace.as_deref(), Some("team-a"));
    assert_eq!(settings.partition.as_deref(), Some("edge"));
    assert_eq!(
        wrong(&[("CONSUL_TLS_SERVER_NAME", "10.0.0.1")]),
        "CONSUL_TLS_SERVER_NAME \"10.0.0.1\": expected a DNS name, such as server.dc1.consul"
    );
    assert_eq!(
        wrong(&[("CONSUL_NAMESPACE", "a b")]),
        "CONSUL_NAMESPACE \"a b\": expected a name of up to 64 letters, digits and hyphens"
    );
    let flags = AgentFlags { ca_file: Some(String::new()), ..AgentFlags::default() };
    assert_eq!(read(&flags, &[]).unwrap_err().to_string(), "--ca-file \"\": expected a value");
}

#[test]
fn a_variable_that_is_no_text_is_told() {
    use std::os::unix::ffi::OsStringExt;
    let told = AgentSettings::from_flags_and_environment(&AgentFlags::default(), |name| {
        (name == "CONSUL_CACERT").then(|| OsString::from_vec(vec![0xff]))
    });
    assert_eq!(told.unwrap_err().to_string(), "CONSUL_CACERT: expected UTF-8");
}
