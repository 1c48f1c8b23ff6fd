//! The words of a command line, before clap reads them.

use std::ffi::{OsStr, OsString};

use clap::{ArgAction, Command, CommandFactory};

/// The commands that take the flags of `sluice run`.
const WITH_FLAGS_OF_RUN: [&str; 2] = ["run", "check"];

/// A flag of `sluice run`, as its definition has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Its name, without dashes.
    pub name: String,
    /// What it takes.
    pub takes: Takes,
}

impl Flag {
    /// What clap knows it by.
    #[must_use]
    pub fn id(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: it is there, or it is not.
    Nothing,
    /// A value.
    Value,
    /// A value each time that it is given.
    Values,
}

/// The flags of `sluice run`, in the order of its help.
#[must_use]
pub fn flags_of_run() -> Vec<Flag> {
    let command = super::Command::command();
    let arguments = command.find_subcommand("run").into_iter().flat_map(Command::get_arguments);
    let flag = |argument: &clap::Arg| {
        let takes = match argument.get_action() {
            ArgAction::SetTrue => Takes::Nothing,
            ArgAction::Append => Takes::Values,
            _ => Takes::Value,
        };
        Some(Flag { name: argument.get_long()?.to_owned(), takes })
    };
    arguments.filter_map(flag).collect()
}

/// Where the name of a command that takes the flags of `sluice run` is among the words.
#[must_use]
pub fn command_with_flags_of_run(words: &[OsString]) -> Option<usize> {
    let command = super::Command::command();
    let named = words.get(1)?.to_str()?;
    let found = command.find_subcommand(named)?;
    WITH_FLAGS_OF_RUN.contains(&found.get_name()).then_some(1)
}

/// The words with Consul's spelling of flags made ours: a single dash, and `-register=true` for
/// what takes nothing. Which of those were given as `false` comes beside them.
#[must_use]
pub fn respelled(words: Vec<OsString>) -> (Vec<OsString>, Vec<String>) {
    let Some(command) = command_with_flags_of_run(&words) else { return (words, Vec::new()) };
    let flags = flags_of_run();
    let mut denied = Vec::new();
    let mut respelled = Vec::with_capacity(words.len());
    for (number, word) in words.into_iter().enumerate() {
        let spelled = if number > command { spelled(&word, &flags) } else { Spelled::As(word) };
        match spelled {
            Spelled::As(word) => respelled.push(word),
            Spelled::Denied(flag) => denied.push(flag),
        }
    }
    (respelled, denied)
}

enum Spelled {
    As(OsString),
    /// A flag that takes nothing is not given, and that is said.
    Denied(String),
}

fn spelled(word: &OsStr, flags: &[Flag]) -> Spelled {
    let same = || Spelled::As(word.to_owned());
    let Some((dashes, text)) = word.to_str().and_then(dashed) else { return same() };
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    match (flags.iter().find(|flag| flag.name == name), value) {
        (Some(Flag { takes: Takes::Nothing, .. }), Some("true")) => {
            Spelled::As(format!("--{name}").into())
        }
        (Some(Flag { takes: Takes::Nothing, .. }), Some("false")) => {
            Spelled::Denied(name.to_owned())
        }
        (Some(_), _) if dashes == 1 => Spelled::As(format!("--{text}").into()),
        _ => same(),
    }
}

/// How many dashes a word begins with, one or two, and what follows.
fn dashed(word: &str) -> Option<(usize, &str)> {
    let rest = word.strip_prefix('-')?;
    let (dashes, rest) = rest.strip_prefix('-').map_or((1, rest), |rest| (2, rest));
    (!rest.starts_with('-')).then_some((dashes, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> (Vec<String>, Vec<String>) {
        let (words, denied) = respelled(words.iter().map(OsString::from).collect());
        (words.into_iter().map(|word| word.into_string().unwrap()).collect(), denied)
    }

    #[test]
    fn consuls_spelling_is_taken_for_flags_of_run_alone() {
        let (words, denied) =
            of(&["sluice", "run", "-register", "-address=-x", "--bind", "-bindx"]);
        assert_eq!(words, ["sluice", "run", "--register", "--address=-x", "--bind", "-bindx"]);
        assert_eq!(denied, [""; 0]);
        let elsewhere = ["sluice", "routes", "-register", "run"];
        assert_eq!(of(&elsewhere).0, elsewhere);
    }

    #[test]
    fn what_takes_nothing_may_say_whether_it_is_given() {
        let (words, denied) = of(&["sluice", "check", "-register=true", "--expose-servers=false"]);
        assert_eq!(words, ["sluice", "check", "--register"]);
        assert_eq!(denied, ["expose-servers"]);
        // Anything else is for clap to complain of.
        assert_eq!(of(&["sluice", "run", "--register=maybe"]).0[2], "--register=maybe");
    }
}
