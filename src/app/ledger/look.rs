//! `millrace ledger export` and `reconcile`: they only read, and may be used while a server writes.
//!
//! Deliberately absent: the formats themselves (`control/ledger`).

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;

use super::super::cli::{EXIT_CONFIG, EXIT_IO, ServeOptions};
use crate::base::time::UnixSeconds;
use crate::control::calendar::{date, read_moment};
use crate::control::journal::read_node;
use crate::control::ledger::{
    self, Export, FILE_NAME, FORMATS, Format, Invoice, Journaled, LedgerError, Report, Tail,
};

/// What `reconcile` returns when something differs.
const EXIT_DIFFERS: u8 = 1;
/// `EX_DATAERR` of sysexits(3): the invoice cannot be read.
const EXIT_DATA: u8 = 65;

/// Where the ledger is.
#[derive(Args, Clone, Debug, Default)]
struct Place {
    /// Data directory [default: as `millrace serve` would use]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration file (TOML) that names it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Options of `ledger export`.
#[derive(Args, Clone, Debug)]
pub struct ExportOptions {
    /// csv, jsonl or parquet
    #[arg(long, value_parser = format_parser())]
    pub format: Format,
    /// First moment: a day, or an RFC 3339 timestamp (UTC) [default: everything that is kept]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<UnixSeconds>,
    /// First moment that is not exported [default: everything until now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<UnixSeconds>,
    /// File to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Options of `ledger reconcile`.
#[derive(Args, Clone, Debug)]
pub struct ReconcileOptions {
    /// The provider's invoice or usage export: CSV, JSON or JSON lines
    pub file: PathBuf,
    /// Id of the provider whose invoice it is
    #[arg(long, value_name = "ID")]
    pub provider: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    place: Place,
}

fn format_parser() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(FORMATS.map(|(name, _)| name)).try_map(|given| {
        let found = FORMATS.iter().find(|(name, _)| *name == given);
        found.map(|(_, format)| *format).ok_or("not a format")
    })
}

fn moment(text: &str) -> Result<UnixSeconds, String> {
    read_moment(text).ok_or_else(|| "expected a day (2026-11-20) or a time (2026-11-20T08:00:00Z)".to_owned())
}

/// Why a command ends early: its exit code, and what to say.
struct Failed(u8, String);

impl From<LedgerError> for Failed {
    fn from(error: LedgerError) -> Self {
        match error {
            // A reader that has seen enough closes the pipe.
            LedgerError::File(error) if error.kind() == io::ErrorKind::BrokenPipe => Self(0, String::new()),
            error => Self(EXIT_IO, error.to_string()),
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        LedgerError::File(error).into()
    }
}

fn code(done: Result<u8, Failed>, errors: &mut dyn Write) -> ExitCode {
    ExitCode::from(done.unwrap_or_else(|Failed(code, text)| {
        if !text.is_empty() {
            let _ = writeln!(errors, "millrace: {text}");
        }
        code
    }))
}

impl Place {
    fn dir(&self) -> Result<PathBuf, Failed> {
        if let Some(dir) = &self.data_dir {
            return Ok(dir.clone());
        }
        let options = ServeOptions { config: self.config.clone(), ..ServeOptions::default() };
        let (config, _) = options.load().map_err(|problems| Failed(EXIT_CONFIG, problems.to_string()))?;
        config.ledger.data_dir.ok_or_else(|| {
            Failed(EXIT_CONFIG, "no data directory is known: name it with --data-dir".to_owned())
        })
    }

    /// The ledger, and what the journal has and it has not.
    fn open(&self) -> Result<(ledger::Connection, Option<Tail>), Failed> {
        let dir = self.dir()?;
        if !dir.is_dir() {
            return Err(Failed(EXIT_IO, format!("{} is no directory", dir.display())));
        }
        let connection = ledger::open_or_empty(&dir.join(FILE_NAME))?;
        let tail = unfolded(&dir, &connection)?;
        Ok((connection, tail))
    }
}

/// Writes the requests of a time to a file or to `out`.
pub fn export(options: &ExportOptions, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    let told = io::stderr().is_terminal();
    let done = export_to(options, out, &mut |rows, at| {
        if told {
            let _ = write!(errors, "\r{rows} requests, up to {}", date(at));
        }
    });
    if told && done.is_ok() {
        let _ = writeln!(errors);
    }
    code(done.map(|_| 0), errors)
}

fn export_to(
    options: &ExportOptions,
    out: &mut dyn Write,
    progress: &mut ledger::Progress<'_>,
) -> Result<u64, Failed> {
    let (connection, tail) = options.place.open()?;
    let what = Export {
        since: options.since.map_or(0, |since| since.0),
        until: options.until.map_or(u64::MAX, |until| until.0),
        format: options.format,
    };
    let Some(path) = &options.out else {
        return Ok(what.run(&connection, tail.as_ref(), &mut BufWriter::new(out), progress)?);
    };
    // Beside its place first, so that a file under this name is whole.
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let file = File::create(&partial)?;
    let rows = what.run(&connection, tail.as_ref(), &mut BufWriter::new(&file), progress)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    Ok(rows)
}

/// What the journal has and the ledger does not, when there is a journal.
fn unfolded(dir: &Path, connection: &ledger::Connection) -> Result<Option<Tail>, Failed> {
    match read_node(dir) {
        Ok(node) => {
            let mut records = Journaled::new(dir.to_owned(), node, Vec::new())?;
            Ok(Some(Tail::read(connection, &mut records)?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Compares an invoice with the ledger.
pub fn reconcile(options: &ReconcileOptions, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    let told = io::stderr().is_terminal();
    let done = compared(options, &mut |lines| {
        if told && lines > 0 {
            let _ = write!(errors, "\r{lines} lines");
        }
    });
    let done = done.and_then(|report| {
        if options.json { print_json(&report, out) } else { print(&report, out) }?;
        Ok(if report.is_clean() { 0 } else { EXIT_DIFFERS })
    });
    code(done, errors)
}

fn compared(options: &ReconcileOptions, progress: &mut dyn FnMut(usize)) -> Result<Report, Failed> {
    let file = options.file.display();
    let text = std::fs::read_to_string(&options.file)
        .map_err(|error| Failed(EXIT_DATA, format!("{file} cannot be read: {error}")))?;
    let invoice = Invoice::read(&text).map_err(|wrong| Failed(EXIT_DATA, format!("{file}: {wrong}")))?;
    let (connection, tail) = options.place.open()?;
    Ok(ledger::reconcile(&connection, tail.as_ref(), &invoice, options.provider.as_deref(), progress)?)
}

/// Lines shown of each kind; JSON has all of them.
const SHOWN: usize = 100;

fn print(report: &Report, out: &mut dyn Write) -> Result<(), Failed> {
    let mut out = BufWriter::new(out);
    let Report { matched, differing, missing_here, missing_there, .. } = report;
    writeln!(out, "matched:              {matched}")?;
    writeln!(out, "differing:            {}", differing.len())?;
    for one in differing.iter().take(SHOWN) {
        writeln!(out, "  {}: {}: ledger {}, invoice {}", one.what, one.figure, one.ledger, one.invoice)?;
    }
    writeln!(out, "not in the ledger:    {}", missing_here.len())?;
    for line in missing_here.iter().take(SHOWN) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "not in the invoice:   {}", missing_there.len())?;
    for line in missing_there.iter().take(SHOWN) {
        writeln!(out, "  {line}")?;
    }
    let (ledger, invoice) = (report.ledger_cost, report.invoice_cost);
    let difference = ledger::Money(invoice.0 - ledger.0);
    writeln!(
        out,
        "cost of what both have: ledger {} USD, invoice {} USD, invoice less ledger {} USD",
        ledger.text(),
        invoice.text(),
        difference.text()
    )?;
    Ok(out.flush()?)
}

fn print_json(report: &Report, out: &mut dyn Write) -> Result<(), Failed> {
    let differing: Vec<_> = report
        .differing
        .iter()
        .map(|one| {
            json!({"what": one.what, "figure": one.figure, "ledger": one.ledger, "invoice": one.invoice})
        })
        .collect();
    let all = json!({
        "matched": report.matched,
        "differing": differing,
        "not_in_the_ledger": report.missing_here,
        "not_in_the_invoice": report.missing_there,
        "ledger_cost": report.ledger_cost.text(),
        "invoice_cost": report.invoice_cost.text(),
    });
    Ok(writeln!(out, "{all}")?)
}
