//! The journals of all cores, as files: where they lie, what is in them after a crash, reading them as they
//! grow, and having them written to disk.
//!
//! ```text
//!  <data directory>/lock                      held by the one process that writes here
//!                   node                      which installation this is: 32 hexadecimal digits
//!                   journal/core-0/0.mrj …    the segments of a core, used in turn
//!                   journal/core-0/2.mrj.damaged-1783514921   a copy of a file that was found damaged
//! ```
//! | file | what it does |
//! |---|---|
//! | `recover` | at the start: what is whole, what is damaged, where each core goes on |
//! | `tail` | hands out records in order, each once, while the cores write on |
//! | `sync` | `fdatasync`, and what happens when the disk does not take it |
//!
//! The format is in `docs/journal.md`; `wire/journal` reads and writes its bytes.
//! Deliberately absent: memory maps (`io/journal`), and what becomes of a record (`ledger`).

mod recover;
mod sync;
mod tail;

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub use recover::{FoundCore, FoundSlot, Recovered, Repair, examine, recover};
pub use sync::{Durability, OnDiskError, SyncCore, Syncer};
pub use tail::{Cursor, Tail};

use crate::wire::journal::frame::NodeId;

/// The end of a segment's name.
const EXTENSION: &str = "mrj";
/// Most cores, and most segments of one, that are looked for.
const NUMBERS_MAX: u16 = 4096;

/// Bytes of a file that are no records although they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which file.
    pub file: PathBuf,
    /// Where it begins, in bytes.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
    /// What is wrong, and what it means for the operator.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, from, to, what } = self;
        write!(f, "{}: bytes {from} to {to}: {what}", file.display())
    }
}

/// Why a data directory cannot be used, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoDataDir {
    /// Another process has it.
    Busy(String),
    /// The disk does not let us.
    Disk(String),
}

impl fmt::Display for NoDataDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Busy(what) | Self::Disk(what)) = self;
        f.write_str(what)
    }
}

/// A data directory that belongs to this process until the value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    node: NodeId,
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be, and locks it. `random` names a new installation.
    ///
    /// # Errors
    /// What is wrong, and with which path: it cannot be made or written to, or another process has it.
    pub fn open(path: &Path, random: [u8; 16]) -> Result<Self, NoDataDir> {
        let failed = |what: &str, path: &Path, error: &io::Error| {
            NoDataDir::Disk(format!(
                "{what} {} failed: {error}; choose another directory with --data-dir",
                path.display()
            ))
        };
        let folder = path.join("journal");
        make_folder(&folder).map_err(|error| failed("making", &folder, &error))?;
        let lock_path = path.join("lock");
        let lock = private(&lock_path, false).map_err(|error| failed("opening", &lock_path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(NoDataDir::Busy(format!(
                    "another Millrace uses the data directory {}; give each its own with --data-dir",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed("locking", &lock_path, &error)),
        }
        let node_path = path.join("node");
        let node = node_of(&node_path, random).map_err(|error| failed("reading", &node_path, &error))?;
        Ok(Self { path: path.to_owned(), node, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which installation this is.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }
}

/// Makes a folder that only its owner enters, with those above it.
///
/// # Errors
/// It cannot be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file that only its owner reads, making it if need be.
fn private(path: &Path, new: bool) -> io::Result<File> {
    OpenOptions::new()
        .create(!new)
        .create_new(new)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
}

/// Reads the name of the installation, or writes a new one: beside its place first, so that it is never half
/// there.
fn node_of(path: &Path, random: [u8; 16]) -> io::Result<NodeId> {
    match fs::read_to_string(path) {
        Ok(text) => parse_node(&text).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "it does not hold 32 hexadecimal digits")
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            let beside = path.with_extension("new");
            let mut file = private(&beside, false)?;
            file.set_len(0)?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            fs::rename(&beside, path)?;
            Ok(NodeId(random))
        }
        Err(error) => Err(error),
    }
}

fn parse_node(text: &str) -> Option<NodeId> {
    let text = text.trim();
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    let mut node = NodeId::default();
    for (turn, byte) in node.0.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * turn..2 * turn + 2], 16).ok()?;
    }
    Some(node)
}

/// The node of a data directory, for a reader that does not own it.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn read_node(data_dir: &Path) -> io::Result<NodeId> {
    let text = fs::read_to_string(data_dir.join("node"))?;
    parse_node(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The folder of one core's segments.
#[must_use]
pub fn core_folder(data_dir: &Path, core: u16) -> PathBuf {
    data_dir.join("journal").join(format!("core-{core}"))
}

/// The file of one of its segments.
#[must_use]
pub fn slot_path(data_dir: &Path, core: u16, slot: u16) -> PathBuf {
    core_folder(data_dir, core).join(format!("{slot}.{EXTENSION}"))
}

/// The cores that have a folder, ascending.
///
/// # Errors
/// The folder of the journals cannot be read.
pub fn cores(data_dir: &Path) -> io::Result<Vec<u16>> {
    numbers(&data_dir.join("journal"), |name| name.strip_prefix("core-"))
}

/// The segments of a core, ascending; none when it has no folder.
///
/// # Errors
/// Its folder cannot be read.
pub fn slots(data_dir: &Path, core: u16) -> io::Result<Vec<u16>> {
    numbers(&core_folder(data_dir, core), |name| name.strip_suffix(EXTENSION)?.strip_suffix('.'))
}

fn numbers(folder: &Path, number: impl Fn(&str) -> Option<&str>) -> io::Result<Vec<u16>> {
    let children = match fs::read_dir(folder) {
        Ok(children) => children,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for child in children {
        let name = child?.file_name();
        let parsed = name.to_str().and_then(&number).and_then(|digits| digits.parse::<u16>().ok());
        found.extend(parsed.filter(|number| *number < NUMBERS_MAX));
    }
    found.sort_unstable();
    Ok(found)
}
