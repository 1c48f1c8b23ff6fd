//! `sluice-bench`: measures Sluice side by side with other proxies.
//!
//! ```text
//!   workloads.toml ─┐                       ┌─▶ results (JSON) ─▶ report: Markdown, HTML
//!   peers/*.toml ───┴─▶ run ─▶ round ─▶ ────┘                  ─▶ check: targets.toml
//!                              │  load: clients and backend    ─▶ compare: regressions
//!                              └  peer: the proxy, started for every round
//! ```

use std::fs;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use cli::{Action, Command};

mod check;
mod churn;
mod cli;
mod compare;
mod figures;
mod floor;
mod load;
mod peer;
mod report;
mod results;
mod run;
mod statistics;
#[allow(unsafe_code, reason = "submissions to a ring, and memory shared with it")]
mod sys;
mod tokio_relay;
mod workload;

fn main() -> ExitCode {
    let command = Command::parse();
    match act(command.action) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "sluice-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(action: Action) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match action {
        Action::Run(args) => {
            let failed = run::run(&args.plan()?)?;
            Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Action::Report(args) => {
            report(&args)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Check { results } => {
            let results = results::Results::read(&results)?;
            let lines = check::check(&results, &toml::from_str(check::DEFINITIONS)?);
            let mut out = std::io::stdout().lock();
            lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            let missed = lines.iter().filter(|line| line.is_missed()).count();
            writeln!(out, "\n{missed} of {} missed", lines.len())?;
            Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Action::Compare(args) => compare(&args),
        Action::Figures { results, sluice } => {
            figures::add_to(&results, &sluice.unwrap_or_else(run::default_sluice))?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Instructions { part, times } => {
            figures::instructions::run(part, times)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Floor { engine, bind, backend } => {
            floor::run(engine, bind, backend)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Churn { bind, backend, routes, times_per_s } => {
            churn::run(bind, backend, routes, times_per_s)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::TokioRelay { bind, backend } => {
            tokio_relay::run(bind, backend)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn report(args: &cli::ReportArgs) -> Result<(), Box<dyn std::error::Error>> {
    let results = results::Results::read(&args.results)?;
    let page = report::markdown(&results);
    match &args.markdown {
        Some(path) => fs::write(path, page)?,
        None => std::io::stdout().write_all(page.as_bytes())?,
    }
    if let Some(path) = &args.html {
        fs::write(path, report::html(&results, &toml::from_str(check::DEFINITIONS)?))?;
    }
    if let Some(folder) = &args.hgrm {
        report::write_hgrm(&results, folder)?;
    }
    Ok(())
}

fn compare(args: &cli::CompareArgs) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let before = results::Results::read(&args.before)?;
    let after = results::Results::read(&args.after)?;
    if !args.ratios && before.machine != after.machine {
        writeln!(std::io::stderr(), "the two runs are not of the same machine; try --ratios")?;
    }
    let peer = (args.peer != "all").then_some(args.peer.as_str());
    let lines = if args.ratios {
        compare::compare_ratios(&before, &after)
    } else {
        compare::compare(&before, &after, peer)
    };
    let mut out = std::io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    let worse = lines.iter().any(|line| line.change == compare::Change::Worse);
    Ok(if worse { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
