//! The tables, and how a database is opened.
//!
//! Rows are `STRICT`: an integer column holds integers, so no sum ever turns into a float unseen. The page
//! `docs/ledger.md` explains every column for people who bring their own SQL.
//! Deliberately absent: what is written into them (`fold`) and read from them (`read`).

use core::fmt::Write;
use core::time::Duration;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::sums;
use super::{Cursors, LedgerError};
use crate::wire::journal::Sequence;

/// The database's file in the data directory.
pub const FILE_NAME: &str = "ledger.sqlite";

/// SQLite's name of a database that is no file.
pub(super) const IN_MEMORY: &str = ":memory:";

/// Version of the tables, as `PRAGMA user_version` says.
pub(super) const VERSION: i64 = 1;

/// How long a statement waits for somebody else's lock. The fold tries again anyway.
const BUSY: Duration = Duration::from_millis(250);

/// Memory for pages, in KiB (SQLite takes a negative number for that).
const CACHE_KIB: i64 = 32 * 1024;

/// Statements kept ready.
const STATEMENTS: usize = 64;

/// What every table beside the roll-ups looks like. `number`s are row ids; moments are seconds since 1970;
/// amounts are pico-dollars.
const TABLES: &str = "
CREATE TABLE words (number INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE callers (
  number INTEGER PRIMARY KEY, digest BLOB NOT NULL, key TEXT NOT NULL, team TEXT NOT NULL,
  UNIQUE (digest, key, team)
) STRICT;
CREATE TABLE served (
  number INTEGER PRIMARY KEY, model TEXT NOT NULL, provider TEXT NOT NULL, endpoint TEXT NOT NULL,
  UNIQUE (model, provider, endpoint)
) STRICT;
CREATE TABLE requests (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL, ended_at INTEGER NOT NULL,
  caller INTEGER NOT NULL, user INTEGER NOT NULL, served INTEGER NOT NULL, api INTEGER NOT NULL,
  ending INTEGER NOT NULL, status INTEGER NOT NULL, fault INTEGER NOT NULL,
  finish_reason INTEGER NOT NULL, service_tier INTEGER NOT NULL,
  flags INTEGER NOT NULL, source INTEGER NOT NULL,
  upstream_id TEXT NOT NULL, upstream_key INTEGER NOT NULL, price_version INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL, audio_tokens INTEGER NOT NULL, images INTEGER NOT NULL,
  counted_tokens INTEGER NOT NULL,
  cost INTEGER NOT NULL, upstream_cost INTEGER NOT NULL, prompt_cost INTEGER NOT NULL,
  completion_cost INTEGER NOT NULL, cache_discount INTEGER NOT NULL,
  answer_bytes INTEGER NOT NULL, first_byte_micros INTEGER NOT NULL, took_micros INTEGER NOT NULL,
  node INTEGER NOT NULL, core INTEGER NOT NULL, sequence INTEGER NOT NULL
) STRICT;
CREATE INDEX requests_upstream ON requests (created_at / 86400, upstream_key) WHERE upstream_key <> 0;
CREATE TABLE attempts (
  request INTEGER NOT NULL, turn INTEGER NOT NULL, served INTEGER NOT NULL,
  status INTEGER NOT NULL, fault INTEGER NOT NULL, billed INTEGER NOT NULL, hedged INTEGER NOT NULL,
  began_micros INTEGER NOT NULL, took_micros INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost INTEGER NOT NULL,
  PRIMARY KEY (request, turn)
) STRICT, WITHOUT ROWID;
CREATE TABLE open (
  id TEXT PRIMARY KEY, at INTEGER NOT NULL, caller INTEGER NOT NULL, user INTEGER NOT NULL,
  served INTEGER NOT NULL, price_version INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
  most_completion_tokens INTEGER NOT NULL, reserved INTEGER NOT NULL,
  node INTEGER NOT NULL, core INTEGER NOT NULL, sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE cursors (
  node INTEGER NOT NULL, core INTEGER NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (node, core)
) STRICT, WITHOUT ROWID;
CREATE TABLE feedback (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL, at INTEGER NOT NULL, key TEXT NOT NULL,
  category TEXT NOT NULL, comment TEXT NOT NULL
) STRICT;
CREATE INDEX feedback_id ON feedback (id);
";

/// All of the tables as SQL.
fn ddl() -> String {
    let mut sql = TABLES.to_owned();
    for view in sums::VIEWS {
        for (grain, _) in sums::GRAINS {
            let keys = view.keys;
            write!(sql, "CREATE TABLE {grain}_{} (", view.name).expect("writing to a String cannot fail");
            for column in keys.iter().chain(sums::COLUMNS) {
                write!(sql, "{column} INTEGER NOT NULL, ").expect("writing to a String cannot fail");
            }
            writeln!(sql, "PRIMARY KEY ({})) STRICT, WITHOUT ROWID;", keys.join(", "))
                .expect("writing to a String cannot fail");
        }
    }
    sql
}

/// Opens the database for writing, and makes its tables when they are not there.
///
/// # Errors
/// When it cannot be opened, is no database, or is newer than this program.
pub(super) fn open_writer(path: &Path) -> Result<Connection, LedgerError> {
    if path != Path::new(IN_MEMORY) {
        // Made here for its owner only, and SQLite gives the files beside it the same mode. Where this fails,
        // because it is there or cannot be made, SQLite finds the same and says why.
        let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    }
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let version = version(&connection)?;
    if version == 0 {
        // Only possible before the first table. Freed pages can then be given back in small steps.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
    }
    // FULL: a commit is on disk when it returns. The journal uses its space again right after it, so a commit
    // that a loss of power undoes would be lost for good. One sync per batch is all it costs.
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -{CACHE_KIB};
         PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864;"
    ))?;
    if version == 0 {
        connection
            .execute_batch(&format!("BEGIN IMMEDIATE; {} PRAGMA user_version = {VERSION}; COMMIT;", ddl()))?;
    }
    Ok(connection)
}

/// Opens the database for reading only, beside a running Millrace or without one.
///
/// # Errors
/// When it is not there, cannot be read, or is newer than this program.
pub fn open_reader(path: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(&format!("PRAGMA cache_size = -{CACHE_KIB}; PRAGMA temp_store = MEMORY;"))?;
    version(&connection)?;
    Ok(connection)
}

/// As [`open_reader`]; an empty one where there is none yet.
///
/// # Errors
/// When it is there and cannot be read.
pub fn open_or_empty(path: &Path) -> Result<Connection, LedgerError> {
    if path.exists() { open_reader(path) } else { open_writer(Path::new(IN_MEMORY)) }
}

/// How far each core's journal is in the database; nothing when there is none that can be read.
#[must_use]
pub fn known(path: &Path) -> Cursors {
    let read = || -> Result<Cursors, LedgerError> {
        let connection = open_reader(path)?;
        let mut statement = connection.prepare("SELECT core, max(sequence) FROM cursors GROUP BY core")?;
        let rows = statement.query_map((), |row| {
            Ok((row.get::<_, u16>(0)?, Sequence(row.get::<_, i64>(1)?.unsigned_abs())))
        })?;
        Ok(rows.collect::<rusqlite::Result<Cursors>>()?)
    };
    read().unwrap_or_default()
}

fn version(connection: &Connection) -> Result<i64, LedgerError> {
    let found = connection.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    if found > VERSION { Err(LedgerError::Newer { found }) } else { Ok(found) }
}
