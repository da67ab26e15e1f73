//! The ledger: every request and what it cost, folded from the cores' journals into one SQLite database, and
//! what is read from there.
//!
//! ```text
//!  journal of core 0 ─┐                      ┌─► requests, attempts (one row each, kept `retention_days`)
//!  journal of core 1 ─┼─► fold: one          ├─► open (admitted, not settled yet)
//!  journal of core n ─┘   transaction        ├─► hours_*, days_* (sums, by key, team, user, model, endpoint)
//!                         per batch          └─► cursors (how far each core's journal is in here)
//! ```
//! The cursors are written in the transaction of the records they stand for, so a kill at any instant neither
//! loses a record nor takes one twice; only then is the journal told that it may use the space again. When
//! the database cannot be written (disk full, locked), the journal keeps everything and the fold tries again.
//!
//! | file | what it does |
//! |---|---|
//! | `schema` | tables, and how a database is opened |
//! | `names` | words to numbers |
//! | `sums` | the columns of the roll-ups, and what a request adds to them |
//! | `journaled` | the journal's files as the fold reads them |
//! | `fold` | records to rows |
//! | `retention` | old rows go |
//! | `keeper` | the thread that folds, and what a query asks it for |
//! | `read` | queries |
//! | `export` | rows for other programs: CSV, JSON lines, Parquet |
//! | `reconcile` | a provider's invoice against the rows |
//!
//! Deliberately absent: how records lie in the journal (`control/journal`), the HTTP side (`control/api`),
//! and budgets.

mod export;
mod fold;
mod journaled;
mod keeper;
mod money;
mod names;
mod parquet;
pub mod read;
mod reconcile;
mod retention;
mod schema;
mod sums;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::io;

pub use export::{Export, FORMATS, Format, Progress, Tail};
pub use fold::Folded;
pub use journaled::Journaled;
pub use keeper::{Keep, Keeper, Ledger, Options};
pub use money::Money;
pub use reconcile::{Differing, Invoice, Report, reconcile};
pub use rusqlite::Connection;
pub use schema::{FILE_NAME, known, open_or_empty, open_reader};

use crate::wire::journal::{Entry, Sequence};

/// How far each core's journal was read: the last record of it.
pub type Cursors = BTreeMap<u16, Sequence>;

/// What a record is handed over to.
pub type Take<'a> = dyn FnMut(u16, Sequence, &Entry<'_>) + 'a;

/// The journal as the ledger sees it.
pub trait Records: Send {
    /// The node whose journal this is: the same after a restart.
    fn node(&self) -> u64;

    /// Hands over the records behind `after`, of each core in their order, at most about `most` of them;
    /// returns how many. 0 means that there are no more now.
    ///
    /// # Errors
    /// When the journal cannot be read.
    fn read(&mut self, after: &Cursors, most: usize, take: &mut Take<'_>) -> io::Result<usize>;

    /// How far the last reading came, with records that could not be read and were passed over.
    fn passed(&self) -> Cursors {
        Cursors::new()
    }

    /// The last record of each core that is there now.
    ///
    /// # Errors
    /// When the journal cannot be read.
    fn ends(&mut self) -> io::Result<Cursors>;

    /// Everything up to these is in the ledger, and will still be there after a kill: the space may be used
    /// again.
    fn folded(&mut self, upto: &Cursors);
}

/// Why something of the ledger did not work.
#[derive(Debug)]
pub enum LedgerError {
    /// SQLite says no.
    Database(rusqlite::Error),
    /// The journal or another file cannot be read or written.
    File(io::Error),
    /// The database was written by a newer version of Millrace.
    Newer {
        /// Its version of the tables.
        found: i64,
    },
    /// The thread that folds is gone or did not answer in time.
    Unavailable,
}

impl LedgerError {
    /// Is somebody else holding the database?
    #[must_use]
    pub fn is_locked(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        matches!(self, Self::Database(error)
            if matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked)))
    }
}

impl core::fmt::Display for LedgerError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Database(error) => write!(f, "{error}"),
            Self::File(error) => write!(f, "{error}"),
            Self::Newer { found } => write!(
                f,
                "the ledger has tables of version {found}, this Millrace knows {}: use the newer one",
                schema::VERSION
            ),
            Self::Unavailable => f.write_str("the ledger is busy"),
        }
    }
}

impl core::error::Error for LedgerError {}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<io::Error> for LedgerError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}
