//! The layers of a configuration: flags before variables, variables before the file, the file
//! before defaults.
//!
//! What is not typed is added to the command line as if it were, so that every value is read by
//! the same code, whatever it is from. All of it follows from clap's definitions of the flags.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Id};

use super::effective::{Effective, Origin};
use super::file::{self, Entry};
use super::{Config, ConfigError, LogConfig};
use crate::cli;
use crate::cli::words::{self, Flag, Takes};
use crate::error::Exit;
use crate::limits::CONFIG_FILE_BYTES_MAX;
use crate::located::{self, Problem};

/// Looks a variable up.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Variables of Consul's own commands, which stand beside ours.
pub(super) const CONSUL_VARIABLES: [(&str, &str); 10] = [
    ("http-addr", "CONSUL_HTTP_ADDR"),
    ("token", "CONSUL_HTTP_TOKEN"),
    ("token-file", "CONSUL_HTTP_TOKEN_FILE"),
    ("ca-file", "CONSUL_CACERT"),
    ("ca-path", "CONSUL_CAPATH"),
    ("client-cert", "CONSUL_CLIENT_CERT"),
    ("client-key", "CONSUL_CLIENT_KEY"),
    ("tls-server-name", "CONSUL_TLS_SERVER_NAME"),
    ("namespace", "CONSUL_NAMESPACE"),
    ("partition", "CONSUL_PARTITION"),
];

/// Of two flags that say the same thing, whichever layer says one has said both: a token of the
/// command line is not overruled by a token file of the configuration file.
const SAYING_THE_SAME: [[&str; 2]; 2] = [["token", "token-file"], ["ca-file", "ca-path"]];

/// Why there is no command to be obeyed.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The words are none of ours; or they ask for help.
    #[error("{error}{note}")]
    Words {
        /// What clap says.
        error: Box<clap::Error>,
        /// What of it was not typed.
        note: String,
    },
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unread {
        /// The file.
        path: PathBuf,
        /// What Linux said.
        source: std::io::Error,
    },
    /// The configuration file breaks rules of its form; a line for each.
    #[error("{}", lines(.0))]
    File(Vec<Problem>),
    /// A variable of the environment.
    #[error("{name} {value}: expected {expected}")]
    Variable {
        /// Its name.
        name: String,
        /// Its value, quoted.
        value: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// A value is wrong.
    #[error("{}{error}", place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default())]
    Value {
        /// Where it is from, if not from the command line.
        place: Option<Origin>,
        /// What is wrong.
        error: Box<ConfigError>,
    },
}

impl LayerError {
    /// The exit code that tells it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Words { error, .. } if !error.use_stderr() => Exit::Success,
            Self::Words { note, .. } if note.is_empty() => Exit::Usage,
            Self::Value { error, .. } => error.exit(),
            _ => Exit::Config,
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A command line, with what is in effect for a command that takes the flags of `sluice run`.
#[derive(Debug)]
pub struct Parsed {
    /// What to do.
    pub command: cli::Command,
    /// Each flag, and where its value is from.
    pub effective: Effective,
}

/// A configuration that is right.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The gateway.
    pub config: Config,
    /// The log of its process.
    pub log: LogConfig,
}

/// Reads a command line, the environment and the configuration file that one of them names.
///
/// # Errors
/// See [`LayerError`].
pub fn parse(words: Vec<OsString>, environment: Environment<'_>) -> Result<Parsed, LayerError> {
    let (words, denied) = words::respelled(words);
    let Some(command) = words::command_with_flags_of_run(&words) else {
        let command = clap::Parser::try_parse_from(words).map_err(|error| plain(error, ""))?;
        return Ok(Parsed { command, effective: Effective::default() });
    };
    let typed = lenient().try_get_matches_from(&words).map_err(|error| plain(error, ""))?;
    let Some((_, typed)) = typed.subcommand() else { return Err(plain(no_command(), "")) };
    if typed.try_contains_id("file").unwrap_or(false) {
        // A routes file, alone.
        let command = clap::Parser::try_parse_from(words).map_err(|error| plain(error, ""))?;
        return Ok(Parsed { command, effective: Effective::default() });
    }
    let flags = words::flags_of_run();
    let mut layers = Layers { flags: &flags, environment, said: HashMap::new() };
    layers.typed(typed, denied);
    let mut added = layers.variables()?;
    let config = typed.get_raw("config").and_then(|mut files| files.next_back());
    let config = config.map(OsStr::to_owned).or_else(|| given_by(environment, &variable("config")));
    if let Some(config) = config {
        added.extend(layers.file(Path::new(&config))?);
    }
    let said = layers.said;
    let at = command.saturating_add(1).min(words.len());
    let mut whole = words;
    whole.splice(at..at, added);
    finish(whole, &flags, &said, environment)
}

/// What a parsed command line means for a gateway.
///
/// # Errors
/// [`LayerError::Value`].
pub fn load(args: &cli::RunArgs, effective: Effective) -> Result<Loaded, LayerError> {
    let loaded = LogConfig::from_args(args)
        .map_err(ConfigError::from)
        .and_then(|log| Ok(Loaded { config: Config::from_args(args)?, log }));
    match loaded {
        Ok(mut loaded) => {
            loaded.config.effective = effective;
            Ok(loaded)
        }
        Err(error) => {
            let place = effective.place_of(&error).cloned();
            Err(LayerError::Value { place, error: Box::new(error) })
        }
    }
}

/// The command line, with values of other layers in it.
fn finish(
    words: Vec<OsString>,
    flags: &[Flag],
    said: &HashMap<String, Origin>,
    environment: Environment<'_>,
) -> Result<Parsed, LayerError> {
    let matches = cli::Command::command().try_get_matches_from(words);
    let matches = matches.map_err(|error| plain(error, &note(said)))?;
    let command = cli::Command::from_arg_matches(&matches).map_err(|error| plain(error, ""))?;
    let effective = match matches.subcommand() {
        Some((_, of_run)) => Effective::new(
            of_run,
            flags,
            |flag| said.get(flag).cloned(),
            |flag| of_consul(environment, flag),
        ),
        None => Effective::default(),
    };
    Ok(Parsed { command, effective })
}

/// Who has said something so far, and what the layers below may still say.
struct Layers<'a> {
    flags: &'a [Flag],
    environment: Environment<'a>,
    said: HashMap<String, Origin>,
}

impl Layers<'_> {
    /// What was typed needs no words any more.
    fn typed(&mut self, typed: &ArgMatches, denied: Vec<String>) {
        let is_typed =
            |flag: &&Flag| typed.value_source(&flag.id()) == Some(ValueSource::CommandLine);
        let given = self.flags.iter().filter(is_typed).map(|flag| flag.name.clone());
        self.said.extend(given.chain(denied).map(|name| (name, Origin::Flag)));
    }

    /// Whether a layer above has said it.
    fn is_said(&self, name: &str) -> bool {
        let same = SAYING_THE_SAME.iter().find(|same| same.contains(&name));
        self.said.contains_key(name)
            || same.is_some_and(|same| same.iter().any(|name| self.said.contains_key(*name)))
    }

    fn variables(&mut self) -> Result<Vec<OsString>, LayerError> {
        let mut added = Vec::new();
        let mut said = Vec::new();
        for flag in self.flags.iter().filter(|flag| !self.is_said(&flag.name)) {
            let variable = variable(&flag.name);
            if let Some(value) = given_by(self.environment, &variable) {
                added.extend(words_of_variable(flag, &variable, value)?);
                said.push((flag.name.clone(), Origin::Variable(variable)));
            } else if let Some((variable, _)) = of_consul(self.environment, &flag.name) {
                // Consul's own is read where it always was.
                said.push((flag.name.clone(), Origin::Variable(variable)));
            }
        }
        self.said.extend(said);
        Ok(added)
    }

    fn file(&mut self, path: &Path) -> Result<Vec<OsString>, LayerError> {
        let unread = |source| LayerError::Unread { path: path.to_owned(), source };
        let text = located::read_text(path, CONFIG_FILE_BYTES_MAX).map_err(unread)?;
        let shown = path.display().to_string();
        let entries = file::read(&text, &shown, self.flags).map_err(LayerError::File)?;
        let path = Arc::new(path.to_owned());
        let mut added = Vec::new();
        let mut said = Vec::new();
        for Entry { flag, values, line } in entries {
            if !self.is_said(&flag.name) {
                added.extend(values.iter().filter_map(|value| word(&flag, value.as_ref())));
                said.push((flag.name, Origin::File { path: Arc::clone(&path), line }));
            }
        }
        self.said.extend(said);
        Ok(added)
    }
}

/// The variable that is the flag's: `SLUICE_IDLE_TIMEOUT` of `idle-timeout`.
#[must_use]
pub fn variable(flag: &str) -> String {
    format!("SLUICE_{}", flag.replace('-', "_").to_ascii_uppercase())
}

/// A variable with something in it: an empty one is as if unset, as those of Consul are.
fn given_by(environment: Environment<'_>, variable: &str) -> Option<OsString> {
    environment(variable).filter(|value| !value.is_empty())
}

/// Consul's variable for a flag, and what it says.
fn of_consul(environment: Environment<'_>, flag: &str) -> Option<(String, String)> {
    let (_, variable) = CONSUL_VARIABLES.iter().find(|(name, _)| *name == flag)?;
    let value = given_by(environment, variable)?;
    Some(((*variable).to_owned(), value.to_string_lossy().into_owned()))
}

fn words_of_variable(
    flag: &Flag,
    variable: &str,
    value: OsString,
) -> Result<Vec<OsString>, LayerError> {
    let wrong = |expected| {
        let value = format!("{:?}", value.to_string_lossy());
        Err(LayerError::Variable { name: variable.to_owned(), value, expected })
    };
    Ok(match flag.takes {
        Takes::Value => word(flag, &value).into_iter().collect(),
        Takes::Values => match value.to_str() {
            Some(list) => {
                let ones = list.split(',').map(str::trim);
                ones.filter_map(|one| word(flag, one.as_ref())).collect()
            }
            None => return wrong("UTF-8"),
        },
        Takes::Nothing => match value.to_str() {
            Some("true" | "1") => word(flag, "true".as_ref()).into_iter().collect(),
            Some("false" | "0") => Vec::new(),
            _ => return wrong("true or false"),
        },
    })
}

/// A flag as a word of the command line; none for one that is not given.
fn word(flag: &Flag, value: &OsStr) -> Option<OsString> {
    let mut word = OsString::from(format!("--{}", flag.name));
    if flag.takes == Takes::Nothing {
        return (value == "true").then_some(word);
    }
    word.push("=");
    word.push(value);
    Some(word)
}

/// The definitions without what binds flags to each other: another layer may have the other one.
fn lenient() -> Command {
    cli::Command::command().mut_subcommands(|command| {
        command.mut_args(|argument| {
            let free = argument.requires(Resettable::<Id>::Reset);
            free.conflicts_with(Resettable::<Id>::Reset)
        })
    })
}

fn no_command() -> clap::Error {
    cli::Command::command().error(clap::error::ErrorKind::MissingSubcommand, "no command")
}

fn plain(error: clap::Error, note: &str) -> LayerError {
    let text = error.to_string();
    let named = |line: &&str| line.split_once(' ').is_some_and(|(flag, _)| text.contains(flag));
    let note: String = note.lines().filter(named).map(|line| format!("{line}\n")).collect();
    LayerError::Words { error: Box::new(error), note }
}

/// A line for each flag that was not typed.
fn note(said: &HashMap<String, Origin>) -> String {
    let elsewhere = said.iter().filter(|(_, origin)| **origin != Origin::Flag);
    let mut lines: Vec<_> =
        elsewhere.map(|(flag, origin)| format!("--{flag} is from {origin}")).collect();
    lines.sort();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
