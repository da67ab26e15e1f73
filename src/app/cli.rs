//! The command line: its shape, and the commands that need no running server (`check`, `key new`).
//!
//! Deliberately absent: `serve` itself. Output goes to the writers that are passed in, so the commands are
//! tested without a process.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use sha2::{Digest, Sha256};

use super::catalog::ImportOptions;
use super::eval_router::EvalOptions;
use super::explain::ExplainOptions;
use super::journal::{InspectOptions, VerifyOptions};
use super::ledger::{ExportOptions, ReconcileOptions};
use super::simulate::SimulateOptions;
use crate::base::address::Address;
use crate::base::secret::Secret;
use crate::control::config::{
    self, CONFIG_BYTES_MAX, Config, Cores, DRIVERS, Driver, Exposure, Overrides, Problem, Problems, Sources,
};

/// `EX_CONFIG` of sysexits(3): something in the configuration is wrong.
pub const EXIT_CONFIG: u8 = 78;
/// `EX_IOERR` of sysexits(3): the answer could not be written, or the kernel gave no random bytes.
pub const EXIT_IO: u8 = 74;

/// What every client key starts with.
pub const KEY_PREFIX: &str = "sk-mr-";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "millrace",
    version,
    about = "One OpenAI-compatible address in front of many model providers",
    long_about = "One OpenAI-compatible address in front of many model providers. \
                  Without a command it serves; without a configuration file every shipped provider \
                  whose key is in the environment is active.",
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeOptions,
}

impl Cli {
    /// The command to run; none given is `serve`.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve clients until told to stop (the default)
    Serve(ServeOptions),
    /// Read the configuration and say what is wrong with it
    Check(CheckOptions),
    /// Say how a request would be routed, and why
    Explain(ExplainOptions),
    /// Client keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// The journals of a data directory
    #[command(subcommand)]
    Journal(JournalCommand),
    /// The catalogue of models
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// The ledger: what requests have cost
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Score the policy of millrace/auto on labelled requests
    EvalRouter(EvalOptions),
    /// What traffic would have cost, and how it would have gone, under a policy or two
    Simulate(SimulateOptions),
}

/// What to do with journals.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Print the records of a data directory or of one segment file
    Inspect(InspectOptions),
    /// Check every record of a data directory or of one segment file; fails when any is damaged
    Verify(VerifyOptions),
}

/// What to do with the ledger.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Write requests to a file: CSV, JSON lines or Parquet
    Export(ExportOptions),
    /// Compare a provider's invoice with the ledger
    Reconcile(ReconcileOptions),
}

/// What to do with the catalogue.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Bring facts about models into a catalogue file, and show what changes
    Import(ImportOptions),
}

/// Options of `serve`. Each goes before its key in the configuration file.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeOptions {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port for clients, or unix:/path; may be given several times
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<Address>,
    /// Worker threads: a number, or all
    #[arg(long, value_name = "N")]
    pub cores: Option<Cores>,
    /// Kernel interface of the data plane
    #[arg(long, value_parser = driver_parser())]
    pub driver: Option<Driver>,
    /// Directory for journal and ledger; each process needs its own [env: MILLRACE_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Options of `check`.
#[derive(Args, Clone, Debug, Default)]
pub struct CheckOptions {
    /// Configuration file (TOML); without one, the defaults and the environment are checked
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What to do with client keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Print a new client key once, and the [[key]] table that lets it in
    New(KeyNewOptions),
}

/// Options of `key new`.
#[derive(Args, Clone, Debug)]
pub struct KeyNewOptions {
    /// Name for records; not secret
    #[arg(long, default_value = "default", value_parser = config::key_name)]
    pub name: String,
}

fn driver_parser() -> impl TypedValueParser<Value = Driver> {
    PossibleValuesParser::new(DRIVERS.map(|(name, _)| name)).try_map(|given| {
        let found = DRIVERS.iter().find(|(name, _)| *name == given);
        found.map(|(_, driver)| *driver).ok_or("not a driver")
    })
}

impl ServeOptions {
    /// Reads the configuration from file, environment and these options, and checks how open the listener
    /// would be.
    ///
    /// # Errors
    /// Everything that is wrong, for the operator; the process should end with [`EXIT_CONFIG`].
    pub fn load(&self) -> Result<(Config, Exposure), Problems> {
        self.load_from(process_sources())
    }

    fn load_from(&self, sources: Sources<'_>) -> Result<(Config, Exposure), Problems> {
        config::check_listen(&self.listen).map_err(|wrong| Problem {
            file: "command line".into(),
            position: None,
            key: "server.listen".into(),
            value: None,
            message: wrong.into(),
        })?;
        let overrides = Overrides {
            listen: self.listen.clone(),
            cores: self.cores,
            driver: self.driver,
            data_dir: self.data_dir.clone(),
        };
        let config = load_file(self.config.as_deref(), overrides, sources)?;
        let exposure = config::check_exposure(&config)?;
        Ok((config, exposure))
    }
}

/// The environment and the files of this process.
fn process_sources() -> Sources<'static> {
    Sources { environment: &|name| std::env::var(name).ok(), read_file: &config::read_side_file }
}

/// Reads a configuration file, or the defaults.
fn load_file(path: Option<&Path>, overrides: Overrides, sources: Sources<'_>) -> Result<Config, Problems> {
    let Some(path) = path else { return config::load(None, overrides, sources) };
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a file that is too large is told from one that just fits.
    let most = CONFIG_BYTES_MAX as u64 + 1;
    match File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)) {
        Ok(_) => config::load(Some((path, &bytes)), overrides, sources),
        Err(error) => Err(Problems::from(Problem {
            file: path.display().to_string().into(),
            position: None,
            key: "".into(),
            value: None,
            message: format!("cannot be read: {error}").into(),
        })),
    }
}

/// `millrace check`: prints one line to `out` and returns 0, or every problem to `errors` and
/// [`EXIT_CONFIG`].
pub fn check(options: &CheckOptions, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    ExitCode::from(check_from(options, process_sources(), out, errors).unwrap_or(EXIT_IO))
}

fn check_from(
    options: &CheckOptions,
    sources: Sources<'_>,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<u8> {
    let serve = ServeOptions { config: options.config.clone(), ..ServeOptions::default() };
    match serve.load_from(sources) {
        Ok((config, _)) => {
            let (providers, models) = (config.upstreams.len(), config.models.len());
            writeln!(out, "ok: {providers} providers, {models} models, {} keys", config.keys.len())?;
            Ok(0)
        }
        Err(problems) => {
            writeln!(errors, "{problems}")?;
            Ok(EXIT_CONFIG)
        }
    }
}

/// `millrace key new`: prints a fresh key and its `[[key]]` table to `out`.
pub fn key_new(options: &KeyNewOptions, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    let mut random = [0; 32];
    if let Err(error) = getrandom::fill(&mut random) {
        // Nothing better can be done when this cannot be written either.
        let _ = writeln!(errors, "no random bytes from the kernel: {error}");
        return ExitCode::from(EXIT_IO);
    }
    match print_key(&options.name, &random, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(EXIT_IO),
    }
}

fn print_key(name: &str, random: &[u8; 32], out: &mut dyn Write) -> io::Result<()> {
    let key = client_key(random);
    let table = config::key_table(name, &Sha256::digest(key.expose()).into());
    writeln!(out, "{}\n", key.expose())?;
    writeln!(out, "# The key above is shown this once; the configuration holds only its digest:")?;
    write!(out, "{table}")?;
    out.flush()
}

/// A client key from 256 random bits: [`KEY_PREFIX`] and 43 characters of base64url without padding (RFC 4648
/// §5).
fn client_key(random: &[u8; 32]) -> Secret {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut key = String::with_capacity(KEY_PREFIX.len() + 43);
    key.push_str(KEY_PREFIX);
    for group in random.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(bits);
        for turn in 0..=group.len() {
            key.push(char::from(LETTERS[(bits >> (18 - 6 * turn)) as usize & 63]));
        }
    }
    Secret::new(key)
}

#[cfg(test)]
mod tests;
