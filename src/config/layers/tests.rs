use std::fs;
use std::path::Path;

use super::*;
use crate::cli::words::flags_of_run;
use crate::config::Setting;

struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("sluice-layers-{name}-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn read(words: &[&str], variables: &[(&str, &str)]) -> Result<Parsed, LayerError> {
    let words = ["sluice", "run"].iter().chain(words).map(OsString::from).collect();
    let environment = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| OsString::from(value))
    };
    parse(words, &environment)
}

fn setting(parsed: &Parsed, name: &str) -> (String, String) {
    let settings = parsed.effective.settings();
    let setting = settings.iter().find(|setting| setting.name == name).unwrap();
    (setting.values.join(" "), setting.origin.to_string())
}

fn told(value: &str, origin: &str) -> (String, String) {
    (value.to_owned(), origin.to_owned())
}

fn wrong(words: &[&str], variables: &[(&str, &str)]) -> (String, Exit) {
    let error = match read(words, variables) {
        Ok(Parsed { command, effective }) => {
            let cli::Action::Run(args) = command.action else { panic!("not run") };
            load(&args, effective).unwrap_err()
        }
        Err(error) => error,
    };
    (error.to_string(), error.exit())
}

const ALONE: [&str; 4] = ["--routes", "r.toml", "--bind", "127.0.0.1:0"];

#[test]
fn a_flag_goes_before_a_variable_a_variable_before_the_file_and_the_file_before_the_default() {
    let text = "\nidle-timeout = \"1m\"\nhello_timeout = \"1s\"\ndial-attempts = 4\n";
    let file = File::new("order", text);
    let words = [&ALONE[..], &["--config", file.path(), "--idle-timeout", "3m"]].concat();
    let variables = [("SLUICE_IDLE_TIMEOUT", "2m"), ("SLUICE_HELLO_TIMEOUT", "2s")];
    let parsed = read(&words, &variables).unwrap();
    assert_eq!(setting(&parsed, "idle-timeout"), told("3m", "flag"));
    assert_eq!(setting(&parsed, "hello-timeout"), told("2s", "SLUICE_HELLO_TIMEOUT"));
    let line = format!("{}:4", file.path());
    assert_eq!(setting(&parsed, "dial-attempts"), told("4", &line));
    assert_eq!(setting(&parsed, "drain-delay"), told("5s", "default"));
    assert_eq!(setting(&parsed, "pipes"), told("", "default"));
    let cli::Action::Run(args) = parsed.command.action else { panic!("not run") };
    assert_eq!(
        (&*args.idle_timeout, &*args.hello_timeout, &*args.dial_attempts),
        ("3m", "2s", "4")
    );
}

#[test]
fn consuls_variables_stand_between_ours_and_the_file() {
    let file = File::new("consul", "http-addr = \"file:1\"\nnamespace = \"of-file\"\n");
    let words = ["--register", "--config", file.path()];
    let of_consul = ("CONSUL_HTTP_ADDR", "consul:1");
    let parsed = read(&words, &[of_consul]).unwrap();
    assert_eq!(setting(&parsed, "http-addr"), told("consul:1", "CONSUL_HTTP_ADDR"));
    assert_eq!(setting(&parsed, "namespace").0, "of-file");
    let cli::Action::Run(args) = parsed.command.action else { panic!("not run") };
    assert_eq!(args.consul.agent.http_addr, None, "read where it always was");
    let parsed = read(&words, &[of_consul, ("SLUICE_HTTP_ADDR", "ours:1")]).unwrap();
    assert_eq!(setting(&parsed, "http-addr"), told("ours:1", "SLUICE_HTTP_ADDR"));
    // The definitions name the same variables.
    let command = cli::Command::command();
    let run = command.find_subcommand("run").unwrap();
    for (flag, variable) in CONSUL_VARIABLES {
        let argument = run.get_arguments().find(|argument| argument.get_long() == Some(flag));
        let help = argument.unwrap().get_help().unwrap().to_string();
        assert!(help.contains(&format!("[{variable}")), "{flag}: {help}");
    }
}

#[test]
fn a_token_of_the_command_line_is_not_overruled_by_a_token_file_of_the_file() {
    let file = File::new("token", "token-file = \"/secret\"\nca-file = \"/ca\"\n");
    let words = ["--register", "--config", file.path(), "--token", "t", "--ca-path", "/cas"];
    let parsed = read(&words, &[]).unwrap();
    let cli::Action::Run(args) = parsed.command.action else { panic!("not run") };
    let agent = &args.consul.agent;
    assert_eq!((agent.token.as_deref(), agent.token_file.as_deref()), (Some("t"), None));
    assert_eq!((agent.ca_path.as_deref(), agent.ca_file.as_deref()), (Some("/cas"), None));
}

/// A value for each flag, whichever it is: what is new among them is tried without being added
/// here, as long as one of these texts will do.
fn samples(flag: &Flag) -> [&'static str; 1] {
    match flag.takes {
        Takes::Nothing => ["true"],
        _ if flag.name == "gateway" => ["mesh"],
        _ => ["7"],
    }
}

#[test]
fn each_flag_of_run_can_be_set_in_the_file_and_in_the_environment() {
    let flags = flags_of_run();
    assert!(flags.len() > 40, "the flags were not found");
    for flag in flags.iter().filter(|flag| flag.name != "config") {
        let [value] = samples(flag);
        // Flags that need another one, or bear none.
        let with = match flag.name.as_str() {
            "routes" => vec!["--bind", "127.0.0.1:0"],
            "address" | "wan-address" | "bind-address" | "expose-servers" => vec!["--register"],
            _ => vec![],
        };
        let quoted = if flag.takes == Takes::Nothing { value.into() } else { format!("{value:?}") };
        for name in [flag.name.clone(), flag.id()] {
            let file = File::new(&flag.name, &format!("{name} = {quoted}\n"));
            let words = [&with[..], &["--config", file.path()]].concat();
            let parsed = read(&words, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
            let from = format!("{}:1", file.path());
            assert_eq!(setting(&parsed, &flag.name), told(value, &from));
        }
        let variable = variable(&flag.name);
        let parsed = read(&with, &[(&variable, value)]);
        let parsed = parsed.unwrap_or_else(|error| panic!("{variable}: {error}"));
        assert_eq!(setting(&parsed, &flag.name), told(value, &variable));
    }
}

#[test]
fn what_takes_nothing_can_be_denied_above_and_what_takes_several_is_replaced_whole() {
    let text = "steer-by-cpu = true\nbind = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nroutes = \"r\"\n";
    let file = File::new("lists", text);
    let parsed = read(&["--config", file.path(), "--steer-by-cpu=false"], &[]).unwrap();
    assert_eq!(setting(&parsed, "steer-by-cpu"), told("false", "flag"));
    assert_eq!(setting(&parsed, "bind").0, "127.0.0.1:1 127.0.0.1:2");
    let parsed = read(&["--config", file.path()], &[("SLUICE_BIND", "[::1]:3, [::1]:4")]).unwrap();
    assert_eq!(setting(&parsed, "bind"), told("[::1]:3 [::1]:4", "SLUICE_BIND"));
    assert_eq!(setting(&parsed, "steer-by-cpu").0, "true");
    let parsed = read(&["--config", file.path()], &[("SLUICE_STEER_BY_CPU", "0")]).unwrap();
    assert_eq!(setting(&parsed, "steer-by-cpu"), told("false", "SLUICE_STEER_BY_CPU"));
    // The file itself can be named by a variable.
    let parsed = read(&[], &[("SLUICE_CONFIG", file.path())]).unwrap();
    assert_eq!(setting(&parsed, "routes").0, "r");
}

#[test]
fn a_wrong_value_is_refused_in_the_words_of_its_flag_and_with_its_place() {
    let flag = wrong(&[&ALONE[..], &["--idle-timeout", "5"]].concat(), &[]);
    assert!(flag.0.starts_with("--idle-timeout \"5\": expected "), "{}", flag.0);
    let file = File::new("value", "# of old\nidle-timeout = \"5\"\n");
    let words = [&ALONE[..], &["--config", file.path()]].concat();
    assert_eq!(wrong(&words, &[]), (format!("{}:2: {}", file.path(), flag.0), Exit::Config));
    let variables = [("SLUICE_IDLE_TIMEOUT", "5")];
    assert_eq!(wrong(&ALONE, &variables).0, format!("SLUICE_IDLE_TIMEOUT: {}", flag.0));
    let (said, exit) = wrong(&ALONE, &[("SLUICE_STEER_BY_CPU", "often")]);
    assert_eq!(said, "SLUICE_STEER_BY_CPU \"often\": expected true or false");
    assert_eq!(exit, Exit::Config);
    // One that names no flag is found by its value.
    let file = File::new("address", "register = true\nwan-address = \"nowhere\"\n");
    let (said, _) = wrong(&["--config", file.path()], &[]);
    assert!(said.starts_with(&format!("{}:2: ", file.path())), "{said}");
}

#[test]
fn a_file_of_the_wrong_form_is_told_with_every_line() {
    let text = "idel-timeout = \"5s\"\nsomething-else = 1\n\nregister = \"yes\"\nbind = [1.5]\n\
                idle_timeout = \"1s\"\nidle-timeout = \"1s\"\nconfig = \"x\"\n[workers]\n";
    let file = File::new("form", text);
    let (said, exit) = wrong(&["--config", file.path()], &[]);
    assert_eq!(exit, Exit::Config);
    let lines: Vec<&str> = said.lines().collect();
    let expected = [
        (1, "unknown key `idel-timeout`: did you mean `idle-timeout`?"),
        (2, "unknown key `something-else`: the keys are the flags of `sluice run`"),
        (4, "`register`: expected true or false, found a string"),
        (5, "`bind`: expected text in quotes, or a list of such, found a float"),
        (7, "`idle-timeout` is already set, on line 6"),
        (8, "`config` is for the command line: a file names no other"),
        (9, "`workers`: expected text in quotes, or a number, found a table"),
    ];
    assert_eq!(lines.len(), expected.len(), "{said}");
    for (line, (number, message)) in lines.iter().zip(expected) {
        assert!(line.starts_with(&format!("{}:{number}:", file.path())), "{line}");
        assert!(line.ends_with(message), "{line} is not {message}");
    }
    let file = File::new("syntax", "bind = \n");
    assert!(wrong(&["--config", file.path()], &[]).0.contains(&format!("{}:1:", file.path())));
    let (said, exit) = wrong(&["--config", "/nonexistent/sluice.toml"], &[]);
    assert!(said.starts_with("cannot read the configuration file /nonexistent/"), "{said}");
    assert_eq!(exit, Exit::Config);
    assert!(!Path::new("/nonexistent").exists());
}

#[test]
fn flags_that_do_not_go_together_are_refused_with_the_place_of_the_one_that_was_not_typed() {
    let file = File::new("conflict", "register = true\n");
    let words = [&ALONE[..], &["--config", file.path()]].concat();
    let (said, exit) = wrong(&words, &[]);
    assert!(said.contains(&format!("--register is from {}:1", file.path())), "{said}");
    assert_eq!(exit, Exit::Config);
    // It can be overruled where it was typed.
    assert!(read(&[&words[..], &["--register=false"]].concat(), &[]).is_ok());
    assert_eq!(wrong(&["--routes", "r.toml"], &[]).1, Exit::Usage);
}

#[test]
fn a_secret_is_not_shown() {
    let file = File::new("secret", "register = true\ntoken = \"5ec2e7\"\n");
    let parsed = read(&["--config", file.path()], &[]).unwrap();
    let shown: Vec<String> = parsed.effective.settings().iter().map(Setting::shown).collect();
    assert!(!shown.join(" ").contains("5ec2e7") && shown.contains(&"(hidden)".to_owned()));
    assert!(!format!("{:?}", parsed.effective).contains("5ec2e7"));
    let parsed = read(&["--register"], &[("CONSUL_HTTP_TOKEN", "5ec2e7")]).unwrap();
    assert!(!format!("{:?}", parsed.effective).contains("5ec2e7"));
}
