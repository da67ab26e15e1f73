//! Floor 6, the process edge: the command line, the order of starting and stopping, threads and signals. The
//! only place that prints.
//!
//! Deliberately absent: anything a request passes through.

pub mod catalog;
pub mod cli;
pub mod eval_router;
pub mod explain;
pub mod journal;
pub mod ledger;
mod listen;
mod serve;
pub mod simulate;
mod upstream_tls;

use std::io::{IsTerminal, stderr, stdout};
use std::process::ExitCode;

use clap::Parser;

use cli::{CatalogCommand, Cli, Command, JournalCommand, KeyCommand, LedgerCommand};

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().into_command() {
        Command::Serve(options) => serve::serve(&options),
        Command::Check(options) => cli::check(&options, &mut stdout().lock(), &mut stderr().lock()),
        Command::Catalog(CatalogCommand::Import(options)) => {
            catalog::import(&options, &mut stdout().lock(), &mut stderr().lock())
        }
        Command::Journal(JournalCommand::Inspect(options)) => {
            journal::inspect(&options, &mut stdout().lock(), &mut stderr().lock())
        }
        Command::Journal(JournalCommand::Verify(options)) => {
            journal::verify(&options, &mut stdout().lock(), &mut stderr().lock())
        }
        Command::Ledger(LedgerCommand::Export(options)) => {
            ledger::export(&options, &mut stdout().lock(), &mut stderr())
        }
        Command::Ledger(LedgerCommand::Reconcile(options)) => {
            ledger::reconcile(&options, &mut stdout().lock(), &mut stderr())
        }
        Command::EvalRouter(options) => {
            eval_router::eval_router(&options, &mut stdout().lock(), &mut stderr().lock())
        }
        Command::Explain(options) => explain::explain(&options, &mut stdout().lock(), &mut stderr().lock()),
        Command::Simulate(options) => {
            let terminal = stderr().is_terminal();
            simulate::run(&options, &mut stdout().lock(), &mut stderr(), terminal)
        }
        Command::Key(KeyCommand::New(options)) => {
            cli::key_new(&options, &mut stdout().lock(), &mut stderr().lock())
        }
    }
}
