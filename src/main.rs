//! The `sluice` command.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use sluice::cli::diff::DiffArgs;
use sluice::cli::{self, Action, Command, RunArgs};
use sluice::config::{Config, ConfigError, LogConfig, cpu_list};
use sluice::control::service_manager::ServiceManager;
use sluice::control::shared::Shared;
use sluice::control::{Gateway, logging, signals};
use sluice::doctor::Report;
use sluice::error::{Exit, StartError};
use sluice::sys::inherited;
use sluice::{demo, diff, doctor, listing, manual, path};

fn main() -> ExitCode {
    let command = match Command::try_parse_from(cli::with_two_dashes(std::env::args_os())) {
        Ok(command) => command,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Success }.into();
        }
    };
    let exit = match command.action {
        Action::Run(args) => run(&args),
        Action::Check { file } => print(|out| listing::file::check(&file, out)),
        Action::Routes { routes: Some(file), name, .. } => routes_of_file(&file, name.as_deref()),
        Action::Routes { routes: None, admin, name } => routes_of_gateway(&admin, name.as_deref()),
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

fn run(args: &RunArgs) -> Exit {
    let configured = LogConfig::from_args(args)
        .map_err(ConfigError::from)
        .and_then(|log| Ok((log, Config::from_args(args)?)));
    let (log, config) = match configured {
        Ok(configured) => configured,
        Err(error) => return complain(&error, error.exit()),
    };
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
    let addresses: Vec<_> = shared.addresses.iter().map(ToString::to_string).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        engine = shared.engine.name,
        workers = shared.workers.len(),
        cpus = if shared.cpus.is_empty() { "any".into() } else { cpu_list::format(&shared.cpus) },
        sessions_max = shared.capacity(),
        addresses = addresses.join(" "),
        admin = shared.admin.map_or_else(|| "off".to_owned(), |admin| admin.to_string()),
        "serving"
    );
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

fn routes_of_gateway(admin: &str, name: Option<&str>) -> Exit {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let told = match name {
        None => listing::gateway::table(admin, &mut out).map(|()| true),
        Some("accept") => listing::gateway::accept(admin, &mut out),
        Some(name) => listing::gateway::explain(admin, name, &mut out),
    };
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
