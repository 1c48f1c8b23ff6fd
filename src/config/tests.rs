use clap::Parser;

use super::*;
use crate::cli::{Action, Command};
use crate::consul::register::Registration;

fn parse(flags: &[&str]) -> Result<Config, FlagError> {
    let base = ["sluice", "run", "--routes", "routes.toml"];
    let bind: &[&str] = if flags.contains(&"--bind") { &[] } else { &["--bind", "127.0.0.1:0"] };
    let words = base.iter().chain(bind).chain(flags);
    let Action::Run(args) = Command::try_parse_from(words).unwrap().action else {
        panic!("not run");
    };
    LogConfig::from_args(&args)?;
    Config::from_args(&args).map_err(|error| match error {
        ConfigError::Flag(error) => error,
        other => panic!("{other}"),
    })
}

#[test]
fn the_defaults_of_the_command_line_are_those_of_the_library() {
    let typed = parse(&[]).unwrap();
    let mut built = Config::new("routes.toml".into(), vec!["127.0.0.1:0".parse().unwrap()]);
    assert_eq!(typed.admin, [AdminBind::Tcp("127.0.0.1:19000".parse().unwrap())]);
    built.admin.clone_from(&typed.admin);
    assert_eq!(format!("{typed:?}"), format!("{built:?}"));
}

#[test]
fn every_flag_reaches_its_setting() {
    let config = parse(&[
        "--bind",
        "[::1]:8443",
        "--bind",
        "10.0.0.1:1",
        "--admin-bind",
        "off",
        "--metrics-clusters",
        "12",
        "--engine",
        "epoll",
        "--cpus",
        "0-1,3",
        "--workers",
        "2",
        "--spin-us",
        "50",
        "--steer-by-cpu",
        "--sessions-max",
        "9",
        "--pipes",
        "7",
        "--hello-timeout",
        "1s",
        "--connect-timeout",
        "2s",
        "--dial-attempts",
        "4",
        "--panic-threshold",
        "40",
        "--idle-timeout",
        "0",
        "--half-close-timeout",
        "3s",
        "--keepalive",
        "8s",
        "--refuse",
        "reset",
        "--drain-delay",
        "0",
        "--drain-timeout",
        "6s",
        "--drain-spread",
        "250ms",
        "--access-log",
        "json",
    ])
    .unwrap();
    assert_eq!(config.binds.len(), 2);
    assert!(config.binds.first().unwrap().is_ipv6());
    assert_eq!((config.admin, config.engine), (Vec::new(), EngineChoice::Epoll));
    assert_eq!(config.metrics_cluster_count_max, 12);
    assert_eq!(config.workers.cpus, Some(vec![0, 1, 3]));
    assert_eq!(config.workers.worker_count, Some(2));
    assert_eq!(config.workers.spin, Duration::from_micros(50));
    assert!(config.workers.steer_by_cpu);
    assert_eq!(config.workers.session_count_max, Some(9));
    assert_eq!(config.workers.pipe_count_max, Some(7));
    assert_eq!(config.sessions.hello_timeout, Duration::from_secs(1));
    assert_eq!(config.sessions.connect_timeout, Duration::from_secs(2));
    assert_eq!(config.sessions.dial_attempts_max, 4);
    assert_eq!(config.sessions.panic_threshold_percent, 40);
    assert_eq!(config.sessions.idle_timeout, Duration::ZERO);
    assert_eq!(config.sessions.half_close_timeout, Duration::from_secs(3));
    let keepalive = config.sessions.keepalive.unwrap();
    assert_eq!(keepalive.idle, Duration::from_secs(8));
    assert_eq!(keepalive.interval, Duration::from_secs(2));
    assert_eq!(config.sessions.refuse_with, RefuseWith::Reset);
    assert_eq!(config.drain.delay, Duration::ZERO);
    assert_eq!(config.drain.timeout, Duration::from_secs(6));
    assert_eq!(config.drain.spread, Duration::from_millis(250));
    assert_eq!(config.access_log, Some(LogFormat::Json));
}

#[test]
fn a_wrong_value_is_named_with_its_flag_and_what_was_expected() {
    for (flag, value) in [
        ("--bind", "localhost:8443"),
        ("--bind", "8443"),
        ("--bind", "::1:8443"),
        ("--admin-bind", "none"),
        ("--engine", "iouring"),
        ("--cpus", "3-1"),
        ("--workers", "0"),
        ("--workers", "+1"),
        ("--spin-us", "10001"),
        ("--sessions-max", "many"),
        ("--pipes", "70000"),
        ("--hello-timeout", "5"),
        ("--connect-timeout", "fast"),
        ("--dial-attempts", "0"),
        ("--panic-threshold", "101"),
        ("--idle-timeout", "1 h"),
        ("--half-close-timeout", ""),
        ("--keepalive", "10ms"),
        ("--refuse", "close"),
        ("--drain-delay", "-1s"),
        ("--drain-timeout", "1y"),
        ("--drain-spread", "s"),
        ("--access-log", "JSON"),
        ("--log", "xml"),
        ("--log-level", "loud"),
    ] {
        let typed = format!("{flag}={value}");
        let flags: &[&str] = if flag == "--bind" { &["--bind", value] } else { &[&typed] };
        let error = parse(flags).unwrap_err();
        assert_eq!(error.flag, flag);
        let text = error.to_string();
        assert!(text.starts_with(&format!("{flag} {value:?}: expected ")), "{text}");
    }
}

#[test]
fn an_address_given_twice_is_refused() {
    let error = parse(&["--bind", "127.0.0.1:8443", "--bind", "127.0.0.1:8443"]).unwrap_err();
    assert_eq!(error.expected, "each address once");
    assert!(parse(&["--bind", "127.0.0.1:0", "--bind", "127.0.0.1:0"]).is_ok());
}

#[test]
fn a_gateway_that_registers_itself_says_what_it_accepts_on() {
    let parse = |flags: &[&str]| {
        let words = ["sluice", "run", "--register"].iter().chain(flags);
        let Action::Run(args) = Command::try_parse_from(words).unwrap().action else {
            panic!("not run");
        };
        let RoutesFrom::Consul(plan) = Config::from_args(&args).unwrap().routes else {
            panic!("not from Consul");
        };
        let Registration::Owned(owned) = plan.registration else { panic!("not our own") };
        let definition = owned.definition();
        (definition.address.to_string(), definition.binds())
    };
    let told = |address: &str, binds: &[&str]| {
        (address.to_owned(), binds.iter().map(|bind| bind.parse().unwrap()).collect::<Vec<_>>())
    };
    assert_eq!(parse(&[]), told(":443", &["0.0.0.0:443"]));
    assert_eq!(parse(&["--bind", "127.0.0.1:8443"]), told(":8443", &["127.0.0.1:8443"]));
    assert_eq!(parse(&["--bind", "127.0.0.1:0"]), told(":443", &["0.0.0.0:443"]));
    let both = ["--bind", "127.0.0.1:8443", "--bind", "127.0.0.2:8444", "--address", ":9"];
    assert_eq!(parse(&both), told(":9", &["127.0.0.2:8444", "127.0.0.1:8443"]));
    let balanced = ["--bind", "127.0.0.1:8443", "--address", "lb.example.com:443"];
    assert_eq!(parse(&balanced), told("lb.example.com:443", &["127.0.0.1:8443"]));
}
