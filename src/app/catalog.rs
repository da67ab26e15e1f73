//! `millrace catalog import`: brings facts from a file into a catalogue, shows what that changes, and writes
//! it only when told to.
//!
//! Deliberately absent: fetching the file, and what the facts mean (`control::catalog`).

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::cli::{EXIT_CONFIG, EXIT_IO};
use crate::control::catalog::merge::{Change, Merged, merge};
use crate::control::catalog::{Catalogue, import, render};

/// Options of `catalog import`.
#[derive(Args, Clone, Debug)]
pub struct ImportOptions {
    /// A price map, OpenRouter's list of models or of endpoints, or models.dev's api.json
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The catalogue to bring the facts into
    #[arg(long, value_name = "FILE", default_value = "catalog/models.toml")]
    pub into: PathBuf,
    /// Write the catalogue; without this, only show what would change
    #[arg(long)]
    pub write: bool,
    /// Let endpoints go whose price was known and is not any more
    #[arg(long)]
    pub allow_unknown_prices: bool,
    /// Say what could not be used, and why
    #[arg(long)]
    pub verbose: bool,
}

/// Runs `catalog import`: 0 when it worked, [`EXIT_CONFIG`] when the facts are refused, [`EXIT_IO`] when a
/// file or the output could not be read or written.
pub fn import(options: &ImportOptions, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    let code = match run(options, out) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Refused(reason)) => (EXIT_CONFIG, reason),
        Err(Failure::Io(reason)) => (EXIT_IO, reason),
    };
    // Nothing better can be done when this cannot be written either.
    let _ = writeln!(errors, "{}", code.1);
    ExitCode::from(code.0)
}

enum Failure {
    Refused(String),
    Io(String),
}

fn run(options: &ImportOptions, out: &mut dyn Write) -> Result<(), Failure> {
    let text = read_text(&options.file)?;
    let news = import::read(&text)
        .map_err(|reason| Failure::Refused(format!("{}: {reason}", options.file.display())))?;
    let into = options.into.display().to_string();
    let old = match options.into.try_exists() {
        Ok(false) => Catalogue::default(),
        _ => Catalogue::read(&into, &read_text(&options.into)?)
            .map_err(|problems| Failure::Refused(problems.to_string()))?,
    };
    let merged = merge(&old, news);
    show(&merged, options.verbose, out).map_err(|error| Failure::Io(format!("the output: {error}")))?;
    if !merged.prices_lost.is_empty() && !options.allow_unknown_prices {
        return Err(Failure::Refused(format!(
            "{} known prices would become unknown; --allow-unknown-prices lets these endpoints go:\n  {}",
            merged.prices_lost.len(),
            merged.prices_lost.join("\n  ")
        )));
    }
    let text = render(&merged.catalogue);
    // What is written must be readable: the same check as at start.
    Catalogue::read(&into, &text).map_err(|problems| Failure::Refused(problems.to_string()))?;
    if options.write {
        replace(&options.into, &text).map_err(|error| Failure::Io(format!("{into}: {error}")))?;
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::Io(format!("{}: {error}", path.display()));
    let mut text = String::new();
    let most = import::IMPORT_BYTES_MAX;
    let file = File::open(path).map_err(failed)?;
    let read = file.take(most + 1).read_to_string(&mut text).map_err(failed)?;
    if read as u64 > most {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 MiB")));
    }
    Ok(text)
}

/// Writes beside the file and moves it over, so that a reader never sees half of it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}

fn show(merged: &Merged, verbose: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut counts = [0_usize; 3];
    for change in &merged.changes {
        writeln!(out, "{change}")?;
        counts[match change {
            Change::Added(_) => 0,
            Change::Changed(..) => 1,
            Change::Removed(_) => 2,
        }] += 1;
    }
    for reason in merged.skipped.iter().filter(|_| verbose) {
        writeln!(out, "skipped {reason}")?;
    }
    let models = merged.catalogue.models();
    let endpoints: usize = models.iter().map(|model| model.endpoints.len()).sum();
    let [added, changed, removed] = counts;
    writeln!(
        out,
        "{added} added, {changed} changed, {removed} removed, {} skipped; {} models, {endpoints} endpoints",
        merged.skipped.len(),
        models.len()
    )?;
    out.flush()
}

#[cfg(test)]
mod tests;
