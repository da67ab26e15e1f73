//! `millrace explain`: how a request would be routed, told endpoint by endpoint. It reads a request's body,
//! plans with the configuration as `serve` would, and sends nothing.
//!
//! Deliberately absent: live figures. They live in the cores of a running process, so here every endpoint is
//! well and unmeasured; a running one tells them in the same form to keys with `debug = true`.

use core::fmt::Write as _;
use core::net::{Ipv4Addr, SocketAddr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::cli::{EXIT_CONFIG, EXIT_IO, ServeOptions};
use super::serve::{simulator_models, simulator_providers};
use crate::base::ids::KeyId;
use crate::base::limits::BODY_BYTES_CEILING;
use crate::control::catalog;
use crate::control::config::{Config, Exposure};
use crate::control::snapshot::{Extras, Interner, build};
use crate::io::clock;
use crate::policy::auth::Tenant;
use crate::policy::catalog::Snapshot;
use crate::policy::live::Live;
use crate::policy::route::{Ask, CHOICES, Considered, NoPlan, Receipt, Scene, usd};
use crate::wire::json::peek::{self, Peek};

/// `EX_DATAERR` of sysexits(3): the request itself is malformed.
pub const EXIT_DATA: u8 = 65;
/// The request is well formed and nothing is left to serve it.
pub const EXIT_NO_ENDPOINT: u8 = 1;

/// Options of `explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainOptions {
    /// A request's body as JSON; - reads standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Configuration file (TOML); without one, as `serve` without one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of the key that asks; without it, nothing that is private to a key takes part
    #[arg(long, value_name = "NAME")]
    pub key: Option<String>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Chance, where endpoints are drawn: the same number draws the same
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

/// Why nothing was explained: exit code and text.
struct Failure(u8, String);

/// Runs `explain`: 0 with a plan, [`EXIT_NO_ENDPOINT`] without one, [`EXIT_DATA`], [`EXIT_CONFIG`] or
/// [`EXIT_IO`] when the request, the configuration or a file is at fault.
pub fn explain(options: &ExplainOptions, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    let loaded = ServeOptions { config: options.config.clone(), ..ServeOptions::default() }.load();
    let told = match loaded {
        Ok((config, exposure)) => read_body(&options.file)
            .and_then(|body| told(options, &config, exposure, &body, clock::unix_seconds().minute_of_day())),
        Err(problems) => Err(Failure(EXIT_CONFIG, problems.to_string())),
    };
    match told {
        Ok((code, text)) => match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => ExitCode::from(code),
            Err(_) => ExitCode::from(EXIT_IO),
        },
        Err(Failure(code, text)) => {
            // Nothing better can be done when this cannot be written either.
            let _ = writeln!(errors, "{text}");
            ExitCode::from(code)
        }
    }
}

fn read_body(path: &Path) -> Result<Vec<u8>, Failure> {
    let most = BODY_BYTES_CEILING as u64;
    let mut body = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut body)
    } else {
        File::open(path).and_then(|file| file.take(most).read_to_end(&mut body))
    };
    match read {
        Ok(_) => Ok(body),
        Err(error) => Err(Failure(EXIT_IO, format!("{}: {error}", path.display()))),
    }
}

/// The snapshot that `serve` would begin with, but for addresses.
fn snapshot(config: &Config, exposure: Exposure) -> Result<Snapshot, Failure> {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let internals = simulator_providers(|_| nowhere, config);
    let models = simulator_models();
    let catalogue = catalog::shipped().map_err(|problems| Failure(EXIT_CONFIG, problems.to_string()))?;
    let extras =
        Extras { internals: &internals, models: &models, catalogue: Some(catalogue), ..Extras::default() };
    Ok(build(config, exposure, extras, &mut Interner::default()).snapshot)
}

/// The exit code and the text.
fn told(
    options: &ExplainOptions,
    config: &Config,
    exposure: Exposure,
    body: &[u8],
    minute: u16,
) -> Result<(u8, String), Failure> {
    let snapshot = snapshot(config, exposure)?;
    let key = options.key.as_deref().map(|name| key_named(&snapshot, name)).transpose()?;
    let bad = |what: String| Failure(EXIT_DATA, format!("{}: {what}", options.file.display()));
    let peek = peek::peek(body).map_err(|flaw| bad(flaw.text().to_owned()))?;
    let ask =
        Ask::read(&peek, body).map_err(|wrong| bad(format!("{} must be {}", wrong.field, wrong.allowed)))?;
    let names = requested(&peek, body);
    if names.is_empty() {
        return Err(bad("it names no model".to_owned()));
    }
    let scene =
        Scene { snapshot: &snapshot, live: Live::unknown(), random: options.seed, minute, sticky: None };
    let (receipt, plan) = Receipt::new(&scene, Tenant { key }, &ask, names);
    let code = if plan.is_ok() { 0 } else { EXIT_NO_ENDPOINT };
    let text = match (options.json, plan) {
        (true, _) => format!("{}\n", receipt.json()),
        (false, Err(NoPlan::Unknown)) => unknown(&receipt),
        (false, Err(NoPlan::Variant(unserved))) => format!("{}\n", unserved.text()),
        (false, Ok(_) | Err(NoPlan::Excluded)) => table(&receipt, options),
    };
    Ok((code, text))
}

fn key_named(snapshot: &Snapshot, name: &str) -> Result<KeyId, Failure> {
    let known = (0..).zip(&snapshot.keys).find(|(_, key)| &*key.name == name);
    known.map(|(id, _)| KeyId(id)).ok_or_else(|| Failure(EXIT_CONFIG, format!("no key is called {name}")))
}

fn requested(peek: &Peek, body: &[u8]) -> Vec<String> {
    let names = peek.model_name(body).into_iter().chain(peek::model_names(body, peek));
    names.take(CHOICES).map(|name| name.into_owned()).collect()
}

fn unknown(receipt: &Receipt<'_>) -> String {
    format!(
        "{} is not a model of this configuration; `GET /v1/models` lists them\n",
        receipt.names().join(", ")
    )
}

/// Rows of words, in columns as wide as their longest word.
fn table(receipt: &Receipt<'_>, options: &ExplainOptions) -> String {
    let mut rows = vec![["place", "endpoint", "model", "strategy", "score", "cost USD"].map(str::to_owned)];
    rows.extend(receipt.rows().iter().map(|row| cells(receipt, row)));
    let mut widths = [0; 6];
    for row in &rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = cell.len().max(*width));
    }
    let notes = [String::new()].into_iter().chain(receipt.rows().iter().map(|row| note(receipt, row)));
    let mut text = format!("asked for: {}\n\n", receipt.names().join(", "));
    for (row, note) in rows.iter().zip(notes) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        line.push_str(&note);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    match receipt.winner() {
        Some(why) => drop(write!(text, "\nThe first is first because {why}.\n")),
        None => text.push_str("\nNo endpoint is left.\n"),
    }
    if options.key.is_none() {
        text.push_str("No key is named (--key): nothing that is private to a key takes part.\n");
    }
    let _ = writeln!(
        text,
        "Live figures are absent here: every endpoint is taken for well and unmeasured; seed {}.",
        options.seed
    );
    text
}

fn cells(receipt: &Receipt<'_>, row: &Considered) -> [String; 6] {
    let dash = || "-".to_owned();
    let scored = row.scored.as_ref();
    [
        row.place.map_or_else(dash, |place| (place + 1).to_string()),
        receipt.tag(row).to_owned(),
        receipt.model(row).to_owned(),
        scored.map_or_else(dash, |scored| scored.strategy.name().to_owned()),
        scored.map_or_else(dash, |scored| format!("{:.4}", scored.score)),
        scored.map_or_else(dash, |scored| usd(scored.cost).unwrap_or_else(|| "unknown".to_owned())),
    ]
}

fn note(receipt: &Receipt<'_>, row: &Considered) -> String {
    let stripped: Vec<&str> = receipt.stripped(row).iter().map(|one| one.name()).collect();
    match row.excluded {
        Some(_) => receipt.because(row),
        None if stripped.is_empty() => String::new(),
        None => format!("not sent: {}", stripped.join(", ")),
    }
}

#[cfg(test)]
mod tests;
