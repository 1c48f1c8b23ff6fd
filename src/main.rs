//! The `sluice` command.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use sluice::cli::diff::DiffArgs;
use sluice::cli::{Action, CheckArgs, RunArgs, secrets};
use sluice::config::layers::{self, LayerError, Loaded, Parsed};
use sluice::config::{Effective, Rereader, cpu_list};
use sluice::control::service_manager::ServiceManager;
use sluice::control::shared::Shared;
use sluice::control::{Gateway, logging, signals};
use sluice::doctor::Report;
use sluice::error::{Exit, StartError};
use sluice::listing::admin::AskError;
use sluice::sys::{arguments, inherited};
use sluice::{demo, diff, doctor, listing, manual, path};

fn main() -> ExitCode {
    let parsed = parse();
    // Without /proc there is nothing to see either.
    let _ = arguments::hide(secrets::places);
    let Parsed { command, effective } = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return refuse(&error).into(),
    };
    let exit = match command.action {
        Action::Run(args) => run(&args, effective),
        Action::Check(args) => check(&args, effective),
        Action::Routes { routes: Some(file), name, .. } => routes_of_file(&file, name.as_deref()),
        Action::Routes { routes: None, admin, name } => {
            told(|out| routes_of_gateway(&admin.admin, name.as_deref(), out))
        }
        Action::Sessions(args) => told(|out| listing::sessions::list(&args, out).map(|()| true)),
        Action::Stats(args) => told(|out| listing::stats::print(&args, out).map(|()| true)),
        Action::Drain(args) => told(|out| listing::orders::drain(&args, out).map(|()| true)),
        Action::Logging(args) => told(|out| listing::orders::logging(&args, out).map(|()| true)),
        Action::Debug(args) => told(|out| listing::debug::write(&args, out).map(|()| true)),
        Action::Doctor(args) => report(doctor::examine(&args.subject), args.json),
        Action::Path(args) => report(path::trace(&args), args.json),
        Action::Diff(args) => difference(&args),
        Action::Demo => match demo::run(&mut io::stdout()) {
            Ok(()) => Exit::Success,
            Err(error) => complain(&error, Exit::Mismatch),
        },
        Action::Completions { shell } => print(|out| manual::completions(shell, out)),
        Action::Man { folder } => print(|_| manual::pages(&folder)),
    };
    exit.into()
}

fn parse() -> Result<Parsed, LayerError> {
    // As they were before secrets among them were hidden.
    static WORDS: OnceLock<Vec<OsString>> = OnceLock::new();
    let words = WORDS.get_or_init(|| std::env::args_os().collect());
    layers::parse(words.clone(), &|name| std::env::var_os(name))
}

/// Reads again all that the process was started with, files anew.
fn reread() -> Result<Loaded, String> {
    let read = parse().and_then(|Parsed { command, effective }| match command.action {
        Action::Run(args) => layers::load(&args, effective).map(Some),
        _ => Ok(None),
    });
    read.map_err(|error| error.to_string())?.ok_or_else(|| "it is not a gateway's".to_owned())
}

fn refuse(error: &LayerError) -> Exit {
    let LayerError::Words { error: words, note } = error else {
        return complain(error, error.exit());
    };
    let _ = words.print();
    let _ = write!(io::stderr(), "{note}");
    error.exit()
}

fn check(args: &CheckArgs, effective: Effective) -> Exit {
    if let Some(file) = &args.file {
        return print(|out| listing::file::check(file, out));
    }
    match layers::load(&args.run, effective) {
        Ok(loaded) => print(|out| listing::settings::check(&loaded.config, out)),
        Err(error) => refuse(&error),
    }
}

fn run(args: &RunArgs, effective: Effective) -> Exit {
    let Loaded { mut config, log } = match layers::load(args, effective) {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    config.rereader = Some(Rereader::new(reread));
    logging::begin(log);
    let passed = match inherited::listeners() {
        Ok(passed) => passed,
        Err(error) => return complain(&error, error.exit()),
    };
    let started = signals::Started::default();
    let following = signals::hold_back().and_then(|()| signals::follow(Arc::clone(&started)));
    if let Err(error) = following {
        return complain(&error, Exit::System);
    }
    let drain = config.drain;
    let gateway = match Gateway::start_with(config, passed) {
        Ok(gateway) => gateway,
        Err(error) => return complain(&error, error.exit()),
    };
    let _ = started.set(gateway.remote());
    announce(gateway.shared());
    if let Some(manager) = ServiceManager::here() {
        gateway.remote().report_to(manager);
    }
    match gateway.wait() {
        Ok(()) => {
            tracing::info!(delay = ?drain.delay, timeout = ?drain.timeout, "ended as ordered");
            Exit::Success
        }
        Err(error) => {
            tracing::error!("{error}");
            error.exit()
        }
    }
}

fn announce(shared: &Shared) {
    if let Some(why) = &shared.engine.fallback {
        tracing::warn!("forwarding with epoll, which costs 2 to 9 % more CPU: {why}");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        engine = shared.engine.name,
        workers = shared.workers.len(),
        cpus = if shared.cpus.is_empty() { "any".into() } else { cpu_list::format(&shared.cpus) },
        sessions_max = shared.capacity(),
        addresses = listed(&shared.addresses),
        admin = if shared.admin.is_empty() { "off".to_owned() } else { listed(&shared.admin) },
        "serving"
    );
}

fn listed(addresses: &[impl ToString]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn routes_of_file(file: &Path, name: Option<&str>) -> Exit {
    match name {
        None => print(|out| listing::file::table(file, out)),
        Some(name) => match listing::file::explain(file, name, &mut io::stdout()) {
            Ok(true) => Exit::Success,
            Ok(false) => Exit::Mismatch,
            Err(error) => complain(&error, error.exit()),
        },
    }
}

fn routes_of_gateway(
    admin: &str,
    name: Option<&str>,
    out: &mut dyn Write,
) -> Result<bool, AskError> {
    match name {
        None => listing::gateway::table(admin, out).map(|()| true),
        Some("accept") => listing::gateway::accept(admin, out),
        Some(name) => listing::gateway::explain(admin, name, out),
    }
}

/// Prints what a gateway that runs says.
fn told(ask: impl FnOnce(&mut dyn Write) -> Result<bool, AskError>) -> Exit {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let told = ask(&mut out);
    let _ = out.flush();
    match told {
        Ok(true) => Exit::Success,
        Ok(false) => Exit::Mismatch,
        Err(error) if error.exit() == Exit::Success => Exit::Success,
        Err(error) => complain(&error, error.exit()),
    }
}

fn report(found: Result<Report, StartError>, json: bool) -> Exit {
    match found {
        Ok(report) => {
            // Whoever closed the pipe has seen enough.
            let _ = report.write(json, &mut io::BufWriter::new(io::stdout().lock()));
            report.exit()
        }
        Err(error) => complain(&error, error.exit()),
    }
}

fn difference(args: &DiffArgs) -> Exit {
    match diff::compare(args) {
        Ok(outcome) => {
            // Whoever closed the pipe has seen enough.
            let _ = outcome.write(args.json, &mut io::BufWriter::new(io::stdout().lock()));
            outcome.exit()
        }
        Err(error) => complain(&error, error.exit()),
    }
}

fn print(list: impl FnOnce(&mut dyn Write) -> Result<(), StartError>) -> Exit {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let listed = list(&mut out);
    // Whoever closed the pipe has seen enough.
    let _ = out.flush();
    match listed {
        Ok(()) => Exit::Success,
        Err(error) => complain(&error, error.exit()),
    }
}

fn complain(error: &dyn Display, exit: Exit) -> Exit {
    let mut stderr = io::stderr().lock();
    for line in error.to_string().lines() {
        let _ = writeln!(stderr, "sluice: {line}");
    }
    exit
}
