//! The thread that folds, and what a query asks it for: to catch up first, so that a request can be read the
//! moment its answer has ended.
//!
//! | what goes wrong | what happens |
//! |---|---|
//! | disk full, database locked or read-only | the journal keeps its records, the fold tries again |
//! | database deleted or replaced while in use | a new one is filled with what the journal still has |
//! | database damaged | it is kept aside under another name, and the same |
//! | the fold cannot catch up | requests of the journal's tail are read from a ledger in memory |
//!
//! Deliberately absent: SQL.

mod gauges;
mod run;

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tracing::warn;

use super::read::{self, Scope};
use super::{LedgerError, Records, schema};
use crate::control::watch::FileId;
pub(super) use gauges::Gauges;
use run::{Command, Work};

pub use super::retention::Keep;

/// How long a query waits for the fold to catch up.
const PATIENCE: Duration = Duration::from_secs(2);

/// Questions that may wait for the fold.
const WAITING_MAX: usize = 256;

/// Idle connections for queries.
const READERS: usize = 4;

/// What a keeper is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database's file.
    pub path: PathBuf,
    /// How long rows are kept.
    pub keep: Keep,
    /// Seconds since 1970.
    pub now: fn() -> u64,
    /// Time between two looks at the journal.
    pub every: Duration,
}

/// The running fold. Dropping it stops the thread, after a last fold.
#[derive(Debug)]
pub struct Keeper {
    commands: SyncSender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread. To be called before anybody writes to the journal: what is in it now and was never
    /// settled is charged as reserved.
    ///
    /// # Errors
    /// When the journal cannot be read or the thread cannot be started. A database that cannot be opened is
    /// no error: it is tried again.
    pub fn start(options: Options, mut records: Box<dyn Records>) -> Result<(Self, Ledger), LedgerError> {
        let ends = records.ends()?;
        let (commands, inbox) = sync_channel(WAITING_MAX);
        let gauges = Arc::new(Gauges::default());
        let ledger = Ledger {
            commands: commands.clone(),
            path: options.path.as_path().into(),
            gauges: Arc::clone(&gauges),
            readers: Arc::default(),
        };
        let mut work = Work::new(options, records, ends, gauges);
        let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || work.run(&inbox))?;
        Ok((Self { commands, thread: Some(thread) }, ledger))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // It fails only when the thread is gone already.
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the ledger's thread panicked");
        }
    }
}

/// An idle connection, and the file that it is of.
type Reader = (Option<FileId>, Connection);

/// What queries go through. Cheap to clone. Everything here may block for seconds, so never call it on a
/// thread of the runtime.
#[derive(Clone, Debug)]
pub struct Ledger {
    commands: SyncSender<Command>,
    path: Arc<Path>,
    gauges: Arc<Gauges>,
    readers: Arc<Mutex<Vec<Reader>>>,
}

impl Ledger {
    /// Waits until everything that is in the journal now can be read, if that is soon. Says whether it can.
    #[must_use]
    pub fn catch_up(&self) -> bool {
        let (reply, answer) = sync_channel(1);
        self.commands.try_send(Command::CatchUp { reply }).is_ok()
            && answer.recv_timeout(PATIENCE).unwrap_or(false)
    }

    /// Asks the database, after it has caught up.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub fn read<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        let _ = self.catch_up();
        self.read_now(ask)
    }

    /// Asks the database as it is.
    fn read_now<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        let stamp = file_of(&self.path);
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some((of, connection)) if of == stamp => connection,
            _ => schema::open_reader(&self.path)?,
        };
        let answer = ask(&connection)?;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS {
            readers.push((stamp, connection));
        }
        drop(readers);
        Ok(answer)
    }

    /// One request by our id or the provider's, the one the journal has just been told of too.
    ///
    /// # Errors
    /// When neither the database nor the journal can be read.
    pub fn generation(&self, id: &str, scope: &Scope) -> Result<Option<read::Generation>, LedgerError> {
        let caught_up = self.catch_up();
        let found = self.read_now(|connection| read::generation(connection, id, scope));
        match found {
            Ok(Some(found)) => Ok(Some(found)),
            found if caught_up => found,
            found => {
                // What the database could not take yet is still in the journal.
                let (reply, answer) = sync_channel(1);
                let ask = Command::Find { id: id.into(), scope: scope.clone(), reply };
                let sent = self.commands.try_send(ask).is_ok();
                let tail = if sent { answer.recv_timeout(PATIENCE).ok().flatten() } else { None };
                match tail {
                    Some(tail) => Ok(Some(*tail)),
                    None => found,
                }
            }
        }
    }

    /// Keeps what somebody says about a request.
    ///
    /// # Errors
    /// When it cannot be written now.
    pub fn feedback(&self, feedback: read::Feedback) -> Result<(), LedgerError> {
        let (reply, answer) = sync_channel(1);
        self.commands
            .try_send(Command::Feedback { feedback, reply })
            .map_err(|_| LedgerError::Unavailable)?;
        answer.recv_timeout(PATIENCE).map_err(|_| LedgerError::Unavailable)?
    }

    /// What there is to measure, in Prometheus' text format.
    #[must_use]
    pub fn metrics(&self, now: u64) -> String {
        self.gauges.text(now)
    }
}

/// Which file this is, whatever is in it.
fn file_of(path: &Path) -> Option<FileId> {
    FileId::of(path)
}
