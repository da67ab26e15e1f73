//! `millrace eval-router`: scores the policy of `millrace/auto` on a labelled file, beside the simple ways
//! that it must beat.
//!
//! | file | what it does |
//! |---|---|
//! | `data` | reads the labelled file |
//! | `judge` | asks the policy |
//! | `figures` | AUC, curves, thresholds, intervals |
//! | `noise` | noise that leaves the meaning alone |
//! | `report` | prints |
//!
//! Deliberately absent: any training, and any request to a model.

mod data;
mod figures;
mod judge;
mod noise;
mod report;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::cli::{EXIT_CONFIG, EXIT_IO, ServeOptions};
use crate::io::clock;
use crate::wire::json::peek::peek;
use data::{Data, FILE_BYTES_MAX};
use figures::{Random, Row};
use judge::Judge;
use noise::Noise;
use report::Page;

/// Options of `eval-router`.
#[derive(Args, Clone, Debug)]
pub struct EvalOptions {
    /// Configuration whose [auto] is judged (TOML); without one, the defaults
    #[arg(long, value_name = "CONFIG")]
    pub policy: Option<PathBuf>,
    /// Labelled requests, one JSON object per line (docs/auto.md)
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Show this domain only in the table of held-out domains
    #[arg(long, value_name = "DOMAIN")]
    pub held_out: Option<String>,
    /// Seed of ties, noise and resampling
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Leave the times out: what is left is the same on every run
    #[arg(long)]
    pub no_latency: bool,
}

/// Runs `eval-router`: 0 when it worked, [`EXIT_CONFIG`] when the configuration or the data are wrong,
/// [`EXIT_IO`] when a file could not be read or the page not be written.
pub fn eval_router(options: &EvalOptions, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    let (code, why) = match run(options, out) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Wrong(why)) => (EXIT_CONFIG, why),
        Err(Failure::Io(why)) => (EXIT_IO, why),
    };
    // Nothing better can be done when this cannot be written either.
    let _ = writeln!(errors, "{why}");
    ExitCode::from(code)
}

enum Failure {
    Wrong(String),
    Io(String),
}

fn run(options: &EvalOptions, out: &mut dyn Write) -> Result<(), Failure> {
    let serve = ServeOptions { config: options.policy.clone(), ..ServeOptions::default() };
    let (config, exposure) = serve.load().map_err(|problems| Failure::Wrong(problems.to_string()))?;
    let judge = Judge::new(&config, exposure).map_err(Failure::Wrong)?;
    let file = options.data.display().to_string();
    let text = read_text(options).map_err(|error| Failure::Io(format!("{file}: {error}")))?;
    let data = data::read(&text).map_err(|why| Failure::Wrong(format!("{file}: {why}")))?;
    let domains = domains(&data);
    let held_out = match &options.held_out {
        None => None,
        Some(wanted) => Some(domains.iter().position(|domain| domain == wanted).ok_or_else(|| {
            Failure::Wrong(format!(
                "{file}: no domain is called {wanted:?}; there are {}",
                domains.join(", ")
            ))
        })?),
    };
    let (rows, unusable) = rows(&judge, &data, &domains);
    if rows.is_empty() {
        let why = unusable.1.unwrap_or_default();
        return Err(Failure::Wrong(format!("{file}: no line can be used, the first because {why}")));
    }
    let page = Page {
        file,
        about: data.about.as_deref(),
        tiers: judge.tiers(),
        priced: judge.priced,
        domains: &domains,
        rows: &rows,
        unusable,
        held_out,
        seed: options.seed,
        flips: flips(&judge, &data, options.seed),
        latencies: if options.no_latency {
            Vec::new()
        } else {
            SIZES.map(|bytes| latency(&judge, bytes)).to_vec()
        },
    };
    page.print(out).map_err(|error| Failure::Io(format!("the output: {error}")))
}

fn read_text(options: &EvalOptions) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(&options.data)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 256 MiB"));
    }
    Ok(text)
}

/// The domains, in alphabetical order.
fn domains(data: &Data) -> Vec<String> {
    let mut domains: Vec<String> = data.records.iter().map(|record| record.domain.clone()).collect();
    domains.sort();
    domains.dedup();
    domains
}

/// The records as rows; how many are of no use, and why the first is not.
fn rows(judge: &Judge, data: &Data, domains: &[String]) -> (Vec<Row>, (usize, Option<String>)) {
    let (mut rows, mut unusable) = (Vec::with_capacity(data.records.len()), (0, None));
    for record in &data.records {
        let domain = domains.partition_point(|domain| *domain < record.domain);
        match judge.row(record, domain) {
            Ok(row) => rows.push(row),
            Err(why) => {
                unusable.0 += 1;
                unusable.1.get_or_insert(why);
            }
        }
    }
    (rows, unusable)
}

/// How many decisions each kind of noise changes, and how many of them to a weaker tier.
fn flips(judge: &Judge, data: &Data, seed: u64) -> Vec<(Noise, usize, usize, usize)> {
    let count = |noise: Noise| {
        let mut random = Random(seed);
        let (mut all, mut changed, mut weaker) = (0, 0, 0);
        for record in &data.records {
            let mut noisy = record.clone();
            let Some(text) = noisy.last_turn_mut() else { continue };
            *text = noise.over(text, &mut random);
            if let (Ok(before), Ok(after)) = (judge.decide(&record.body()), judge.decide(&noisy.body())) {
                all += 1;
                changed += usize::from(before.tier != after.tier);
                weaker += usize::from(after.tier < before.tier);
            }
        }
        (noise, all, changed, weaker)
    };
    Noise::ALL.into_iter().map(count).collect()
}

/// Bodies that are timed, in bytes.
const SIZES: [usize; 3] = [100, 2_000, 100_000];
/// Decisions that are timed, after some that are not.
const RUNS: usize = 2_000;
const WARM_RUNS: usize = 200;

/// Microseconds of one decision on a body of this size, at p50 and p99.
fn latency(judge: &Judge, bytes: usize) -> (usize, f64, f64) {
    let frame = r#"{"model":"millrace/auto","messages":[{"role":"user","content":""}]}"#.len();
    let words = "Why does the tide come twice a day, and what would change if the moon were closer? ";
    let text: String = words.chars().cycle().take(bytes.saturating_sub(frame)).collect();
    let body = format!(r#"{{"model":"millrace/auto","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let Ok(peek) = peek(body.as_bytes()) else { return (bytes, f64::NAN, f64::NAN) };
    let mut times = Vec::with_capacity(RUNS);
    for run in 0..WARM_RUNS + RUNS {
        let began = clock::now();
        let choice = std::hint::black_box(judge.choose(&peek, std::hint::black_box(body.as_bytes())));
        let took = clock::now().since(began);
        if run >= WARM_RUNS && choice.is_some() {
            times.push(took.as_nanos() as f64 / 1_000.0);
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(f64::NAN);
    (body.len(), at(50), at(99))
}
