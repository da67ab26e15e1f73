//! Load generator for inference routers. It shares no code with the router, so that neither can hide the
//! other's mistakes, and it checks every answer that it counts.
//!
//! | subcommand | file | what it does |
//! |---|---|---|
//! | `origin` | `origin/` | a fake fleet of models, as a scenario file describes it |
//! | `client` | `client/` | sends a scenario's requests, open or closed loop; latencies, gaps, plots |
//! | `hold` | `hold.rs` | holds idle connections and paced streams at once; measures gaps and memory |
//! | `floor` | `floor/` | relays raw bytes: the yardstick |
//! | `compare` | `compare/` | CPU, latency and rate of Millrace, the floor and other proxies, in turns |
//!
//! A new subcommand is one file, one variant of `Command` and one line in `main`.
//! Deliberately absent: what a subcommand measures.

mod answer;
mod certificate;
mod client;
mod compare;
mod event_loop;
mod failure;
mod floor;
mod hold;
mod http;
mod memory;
mod origin;
mod report;
mod scenario;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "millrace-loadtest", version, about = "Load generator for inference routers")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run a fake fleet of models, as a scenario file describes it
    Origin(origin::Options),
    /// Send a scenario's requests, check every answer, and measure
    Client(client::Options),
    /// Hold idle keep-alive connections and paced streams at once, and check every one of them
    Hold(hold::Options),
    /// Relay raw bytes: the cost that no proxy can go below
    Floor(floor::Options),
    /// Measure Millrace beside that relay, nginx and HAProxy, each alone on a core
    Compare(compare::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Origin(options) => origin::origin(&options),
        Command::Client(options) => client::client(&options),
        Command::Hold(options) => hold::hold(&options),
        Command::Floor(options) => floor::floor(&options),
        Command::Compare(options) => compare::compare(&options),
    };
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing better can be done when this cannot be written either.
            let _ = writeln!(io::stderr().lock(), "millrace-loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Raises the limit of file descriptors as far as the kernel lets us, and says whether `needed` fit.
///
/// # Errors
/// The limit could not be changed, or is too low even so.
fn raise_descriptor_limit(needed: u64) -> Result<(), String> {
    let limit = rlimit::increase_nofile_limit(u64::MAX)
        .map_err(|error| format!("the limit of file descriptors could not be raised: {error}"))?;
    if limit < needed {
        return Err(format!("{needed} file descriptors are needed, {limit} allowed (ulimit -Hn)"));
    }
    Ok(())
}
