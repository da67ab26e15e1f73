//! The ledger of the process: the thread that folds the journals into it. And `millrace ledger`, which reads
//! it from outside.
//!
//! Deliberately absent: what is in it (`control/ledger`).

mod look;
#[cfg(test)]
mod tests;

use core::time::Duration;

use tracing::error;

pub use look::{ExportOptions, ReconcileOptions, export, reconcile};

use super::journal::Journals;
use crate::control::config::Config;
use crate::control::ledger::{Cursors, FILE_NAME, Journaled, Keep, Keeper, Ledger, Options, known};
use crate::io::clock;

/// Time between two looks at the journal while nobody asks.
const EVERY: Duration = Duration::from_millis(50);

/// How far each core's journal is in the ledger of the configured directory.
pub(super) fn folded(config: &Config) -> Cursors {
    config.ledger.data_dir.as_ref().map(|dir| known(&dir.join(FILE_NAME))).unwrap_or_default()
}

/// Starts the thread. To be called before a worker writes.
///
/// # Errors
/// When the journals cannot be read.
pub(super) fn start(config: &Config, journals: &Journals) -> Result<(Keeper, Ledger), String> {
    let dir = journals.dir.path();
    let failed = |error: &dyn core::fmt::Display| {
        format!("the journals in {} cannot be read for the ledger: {error}", dir.display())
    };
    let records = Journaled::new(dir.to_owned(), journals.dir.node(), journals.marks.clone());
    let records = records.map_err(|error| failed(&error))?;
    let days = |days: usize| u32::try_from(days).ok().filter(|days| *days > 0);
    let ledger = &config.ledger;
    let options = Options {
        path: dir.join(FILE_NAME),
        keep: Keep {
            requests: days(ledger.retention_days),
            hours: days(ledger.hours_retention_days),
            days: days(ledger.days_retention_days),
        },
        now: || clock::unix_seconds().0,
        every: EVERY,
    };
    Keeper::start(options, Box::new(records)).map_err(|flaw| {
        error!("the ledger cannot be started: {flaw}");
        failed(&flaw)
    })
}
