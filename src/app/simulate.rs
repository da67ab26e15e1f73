//! `millrace simulate`: runs recorded or invented traffic under one policy, or under two side by side, and
//! says what it would have cost and how it would have gone.
//!
//! Deliberately absent: the simulation itself (`control::simulate`).

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clap::Args;

use super::cli::{EXIT_CONFIG, EXIT_IO};
use crate::control::config::CONFIG_BYTES_MAX;
use crate::control::simulate::engine::CORES_MAX;
use crate::control::simulate::report::{Run, json, page, table};
use crate::control::simulate::traffic::read::{BadTraffic, read};
use crate::control::simulate::traffic::synthetic::Spec;
use crate::control::simulate::world::file::WORLD_BYTES_MAX;
use crate::control::simulate::{Options, Setup, Tally, Traffic, World, simulate};

/// Options of `simulate`.
#[derive(Args, Clone, Debug)]
pub struct SimulateOptions {
    /// A JSONL file of request metadata, or synthetic[:requests=N,models=N,rate=N,stream=SHARE]
    #[arg(long, value_name = "FILE|synthetic[:…]")]
    pub traffic: String,
    /// Configuration file whose routing is simulated
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// A second one, to compare with the first
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// How endpoints behave and what happens to them (TOML); without one, as guessed from the catalogue
    #[arg(long, value_name = "FILE")]
    pub endpoints: Option<PathBuf>,
    /// Where all chance comes from: the same seed gives the same report
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Simulated cores, among which requests are spread
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = cores)]
    pub cores: usize,
    /// Write everything that was counted as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

fn cores(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=CORES_MAX).contains(count));
    count.ok_or_else(|| format!("expected a whole number from 1 to {CORES_MAX}"))
}

/// Runs `simulate`: 0 when it worked, [`EXIT_CONFIG`] when an input is refused, [`EXIT_IO`] when a file or
/// the output could not be read or written. With `shows_progress`, `errors` is a terminal.
pub fn run(
    options: &SimulateOptions,
    out: &mut dyn Write,
    errors: &mut (dyn Write + Send),
    shows_progress: bool,
) -> ExitCode {
    let (code, reason) = match attempt(options, out, errors, shows_progress) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Refused(reason)) => (EXIT_CONFIG, reason),
        Err(Failure::Io(reason)) => (EXIT_IO, reason),
    };
    // Nothing better can be done when this cannot be written either.
    let _ = writeln!(errors, "{reason}");
    ExitCode::from(code)
}

enum Failure {
    Refused(String),
    Io(String),
}

fn attempt(
    options: &SimulateOptions,
    out: &mut dyn Write,
    errors: &mut (dyn Write + Send),
    shows_progress: bool,
) -> Result<(), Failure> {
    let paths = [Some(&options.policy), options.against.as_ref()];
    let setups = paths.into_iter().flatten().map(|path| policy(path)).collect::<Result<Vec<_>, _>>()?;
    let world = world(options.endpoints.as_deref())?;
    if let Some(unknown) = world.unknown_target(&setups.iter().collect::<Vec<_>>()) {
        let name = options.endpoints.as_deref().unwrap_or(Path::new("")).display();
        return Err(Failure::Refused(format!("{name}: {unknown}")));
    }
    let traffic = traffic(options, &setups[0])?;
    let run = Run {
        traffic: options.traffic.clone(),
        start: traffic.start,
        length: traffic.length(),
        seed: options.seed,
        cores: options.cores,
        tallies: tallies(options, &traffic, &setups, &world, shows_progress.then_some(errors)),
    };
    if let Some(path) = &options.json {
        write(path, &format!("{:#}\n", json(&run)))?;
    }
    if let Some(path) = &options.html {
        write(path, &page(&run))?;
    }
    let failed = |error: io::Error| Failure::Io(format!("the output: {error}"));
    out.write_all(table(&run).as_bytes()).and_then(|()| out.flush()).map_err(failed)
}

/// Runs the policies at the same time: each has a thread of its own, and neither knows of the other.
fn tallies(
    options: &SimulateOptions,
    traffic: &Traffic,
    setups: &[Setup],
    world: &World,
    terminal: Option<&mut (dyn Write + Send)>,
) -> Vec<Tally> {
    let progress = Progress {
        done: AtomicUsize::new(0),
        shown: AtomicUsize::new(usize::MAX),
        all: traffic.requests.len() * setups.len(),
        terminal: Mutex::new(terminal),
    };
    let how = Options { seed: options.seed, cores: options.cores, slot: None };
    let tallies = thread::scope(|scope| {
        let start = |setup| {
            let progress = &progress;
            scope.spawn(move || {
                let mut told = 0;
                simulate(traffic, setup, world, how, &mut |done| {
                    progress.more(done - told);
                    told = done;
                })
            })
        };
        let running: Vec<_> = setups.iter().map(start).collect();
        let end = |one: thread::ScopedJoinHandle<'_, Tally>| {
            one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().map(end).collect()
    });
    progress.end();
    tallies
}

/// A line on a terminal that says how far the runs are.
struct Progress<'t> {
    done: AtomicUsize,
    /// The percentage that was shown last.
    shown: AtomicUsize,
    all: usize,
    terminal: Mutex<Option<&'t mut (dyn Write + Send)>>,
}

impl Progress<'_> {
    fn more(&self, requests: usize) {
        let done = self.done.fetch_add(requests, Ordering::Relaxed) + requests;
        let percent = done * 100 / self.all.max(1);
        if self.shown.swap(percent, Ordering::Relaxed) != percent {
            self.print(&format!("\rsimulating: {percent} %"));
        }
    }

    fn end(&self) {
        self.print("\r                    \r");
    }

    /// Progress that cannot be shown is no reason to stop.
    fn print(&self, text: &str) {
        if let Ok(mut terminal) = self.terminal.lock()
            && let Some(terminal) = terminal.as_mut()
        {
            let _ = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
        }
    }
}

fn policy(path: &Path) -> Result<Setup, Failure> {
    // One byte more than allowed, so that a file that is too large is told from one that just fits.
    let bytes = bounded(path, CONFIG_BYTES_MAX as u64 + 1)?;
    Setup::read(path, &bytes).map_err(|problems| Failure::Refused(problems.to_string()))
}

fn world(path: Option<&Path>) -> Result<World, Failure> {
    let Some(path) = path else { return Ok(World::default()) };
    let refused = |why: String| Failure::Refused(format!("{}: {why}", path.display()));
    let bytes = bounded(path, WORLD_BYTES_MAX + 1)?;
    if bytes.len() as u64 > WORLD_BYTES_MAX {
        return Err(refused("larger than 1 MiB".to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("not UTF-8".to_owned()))?;
    World::parse(&text).map_err(refused)
}

fn traffic(options: &SimulateOptions, setup: &Setup) -> Result<Traffic, Failure> {
    let given = options.traffic.as_str();
    if let Some(rest) = given.strip_prefix("synthetic")
        && (rest.is_empty() || rest.starts_with(':'))
    {
        let refused = |why: String| Failure::Refused(format!("--traffic {given}: {why}"));
        let spec = Spec::parse(rest.trim_start_matches(':')).map_err(refused)?;
        return spec.traffic(&setup.snapshot, options.seed).map_err(refused);
    }
    let file = File::open(given).map_err(|error| Failure::Io(format!("{given}: {error}")))?;
    read(BufReader::with_capacity(1 << 18, file)).map_err(|bad| match bad {
        BadTraffic::Io(_) => Failure::Io(format!("{given}: {bad}")),
        BadTraffic::Line { .. } | BadTraffic::Empty => Failure::Refused(format!("{given}: {bad}")),
    })
}

fn bounded(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|error| Failure::Io(format!("{}: {error}", path.display())))?;
    Ok(bytes)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::Io(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests;
