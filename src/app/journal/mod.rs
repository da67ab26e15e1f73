//! The journal of the process: its data directory, the files of each core, and the thread that has them
//! written to disk. And `millrace journal`, which looks at them from outside.
//!
//! ```text
//!  lock ─► recover (report damage) ─► make sure of space ─► a writer per core ─► workers
//!                                                              marks ─► sync thread, ledger
//! ```
//! Deliberately absent: the ledger that reads it.

mod look;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Thread};

use tracing::{error, info, warn};

pub use look::{InspectOptions, VerifyOptions, inspect, verify};

use crate::control::config::{Config, Ledger};
use crate::control::journal::{
    DataDir, Durability, FoundCore, FoundSlot, NoDataDir, OnDiskError, Repair, SyncCore, Syncer, make_folder,
    recover, slot_path,
};
use crate::io::journal::{Setup, Slot, Writer, free_bytes, preallocate};
use crate::io::{Message, Post, clock};
use crate::wire::journal::Sequence;
use crate::wire::journal::frame::RECORD_BYTES;
use crate::wire::journal::marks::Marks;
use crate::wire::journal::page::PAGE_BYTES;
use crate::worker::{AskSync, CoreJournal};

/// The journals of all cores, ready to be written.
#[derive(Debug)]
pub struct Journals {
    /// The directory, which is this process's as long as this lives.
    pub dir: DataDir,
    /// Of each core, by number.
    pub marks: Vec<Arc<Marks>>,
    /// Who writes them, likewise.
    pub writers: Vec<Writer>,
    /// What is to be synced.
    pub files: Vec<SyncCore>,
}

/// Opens the journals of so many cores. `after` says up to which record of a core the ledger has them: new
/// ones
/// come behind it, also when a loss of power has taken some of the journal. `None` when nothing is recorded.
///
/// # Errors
/// What is wrong and what to do, for the operator.
pub fn open(
    config: &Config,
    cores: usize,
    after: impl Fn(u16) -> Sequence,
) -> Result<Option<Journals>, String> {
    let ledger = &config.ledger;
    if !ledger.enabled {
        return Ok(None);
    }
    let Some(path) = &ledger.data_dir else {
        return Err(
            "there is no directory for the journal: name one with --data-dir (or MILLRACE_DATA_DIR, or \
                    ledger.data_dir), or switch the ledger off with ledger.enabled = false"
                .to_owned(),
        );
    };
    match Journals::open(path, ledger, cores, after) {
        Ok(journals) => Ok(Some(journals)),
        Err(NoDataDir::Disk(problem)) if ledger.on_disk_error == OnDiskError::Continue => {
            error!(
                "{problem}; NOTHING IS RECORDED until the next start (ledger.on_disk_error = \"continue\")"
            );
            Ok(None)
        }
        Err(problem) => Err(problem.to_string()),
    }
}

impl Journals {
    fn open(
        path: &Path,
        ledger: &Ledger,
        cores: usize,
        after: impl Fn(u16) -> Sequence,
    ) -> Result<Self, NoDataDir> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| NoDataDir::Disk(format!("no random bytes from the kernel: {error}")))?;
        let dir = DataDir::open(path, random)?;
        let failed = |error| NoDataDir::Disk(format!("the journals in {}: {error}", path.display()));
        let found = recover(path, dir.node(), Repair::Yes(clock::unix_seconds())).map_err(failed)?;
        for damage in found.damages() {
            warn!("journal: {damage}");
        }
        if found.records() > 0 {
            info!("journal: {} records of earlier runs in {}", found.records(), path.display());
        }
        let mut journals = Self { dir, marks: Vec::new(), writers: Vec::new(), files: Vec::new() };
        for core in 0..u16::try_from(cores).unwrap_or(u16::MAX) {
            journals.open_core(core, ledger, (found.core(core), cores), after(core))?;
        }
        Ok(journals)
    }

    fn open_core(
        &mut self,
        core: u16,
        ledger: &Ledger,
        (found, cores): (Option<&FoundCore>, usize),
        after: Sequence,
    ) -> Result<(), NoDataDir> {
        let wanted = ledger.segments as u16;
        let known: &[FoundSlot] = found.map_or(&[], |found| &found.slots);
        let count = known.iter().map(|slot| slot.slot + 1).max().unwrap_or(0).max(wanted);
        let mut slots = Vec::with_capacity(usize::from(count));
        for number in 0..count {
            let path = slot_path(self.dir.path(), core, number);
            let slot = known.iter().find(|slot| slot.slot == number);
            slots.push(take_space(path, slot, ledger, cores, after)?);
        }
        let paths: Vec<PathBuf> = slots.iter().map(|slot| slot.path.clone()).collect();
        let marks = Arc::new(Marks::default());
        let setup = Setup { node: self.dir.node(), core, slots, after, marks: Arc::clone(&marks) };
        let writer = Writer::open(setup).map_err(|error| {
            NoDataDir::Disk(format!("the journal of core {core} in {}: {error}", self.dir.path().display()))
        })?;
        // Recovery has left all of it on disk.
        marks.sync(marks.written());
        self.files.push(SyncCore { core, marks: Arc::clone(&marks), slots: paths });
        self.marks.push(marks);
        self.writers.push(writer);
        Ok(())
    }

    /// Starts the thread that has the journals written to disk, and gives each worker its own.
    ///
    /// # Errors
    /// A file cannot be opened, or no thread be started.
    pub(super) fn run(self, ledger: &Ledger, posts: &[Post]) -> Result<(Syncing, Vec<CoreJournal>), String> {
        let Self { dir, marks: _, writers, files } = self;
        let is_strict = ledger.durability == Durability::Strict;
        let posts = if is_strict { posts.to_vec() } else { Vec::new() };
        let told = move |core: u16| {
            posts.get(usize::from(core)).is_none_or(|post| post.post(Message::Synced).is_ok())
        };
        let failed = |error| format!("the journals cannot be synced: {error}");
        let syncer = Syncer::new(files, ledger.on_disk_error, told).map_err(failed)?;
        let (stop, every) = (Arc::new(AtomicBool::new(false)), ledger.sync_every);
        let until = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || syncer.run(every, &until))
            .map_err(failed)?;
        let ask = is_strict.then(|| ask(thread.thread().clone()));
        let journals =
            writers.into_iter().map(|writer| CoreJournal { writer, strict: ask.clone() }).collect();
        Ok((Syncing { thread, stop, _dir: dir }, journals))
    }
}

fn ask(thread: Thread) -> AskSync {
    Arc::new(move || thread.unpark())
}

/// How long a segment with records in it is to be. One that somebody has cut gets its length back.
fn whole_length(found: &FoundSlot, configured: u64) -> u64 {
    let length = found.page.map_or(0, |page| page.segment_bytes).max(found.bytes);
    // Less is no segment; then its page is lost, too, which would say more.
    if length < (PAGE_BYTES + 2 * RECORD_BYTES) as u64 { configured } else { length }
}

/// Makes sure of the space of one segment.
fn take_space(
    path: PathBuf,
    found: Option<&FoundSlot>,
    ledger: &Ledger,
    cores: usize,
    after: Sequence,
) -> Result<Slot, NoDataDir> {
    let bytes = ledger.segment_bytes as u64;
    // The size can be another one from now on where nothing is lost with the old file.
    let kept = found.filter(|found| found.bytes == bytes || found.last > after);
    if kept.is_none() && found.is_some_and(|found| found.bytes > 0) {
        let _replaced = fs::remove_file(&path);
    }
    let bytes = kept.map_or(bytes, |found| whole_length(found, bytes));
    let made = path.parent().map_or(Ok(()), make_folder).and_then(|()| preallocate(&path, bytes));
    made.map_err(|error| {
        let free = path.parent().and_then(|folder| free_bytes(folder).ok());
        let free = free.map(|free| format!(", {free} are free")).unwrap_or_default();
        let all = ledger.segment_bytes as u64 * ledger.segments as u64 * cores as u64;
        NoDataDir::Disk(format!(
            "the journal needs {all} bytes ({cores} cores × ledger.segments × ledger.segment_bytes){free}: \
             making {} failed: {error}",
            path.display()
        ))
    })?;
    let blank = Slot { path: path.clone(), end: PAGE_BYTES as u64, ..Slot::default() };
    Ok(kept.map_or(blank, |found| Slot {
        path,
        last: found.last,
        end: found.end,
        generation: found.page.map_or(0, |page| page.generation),
    }))
}

/// The thread that has the journals written to disk.
pub(super) struct Syncing {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    _dir: DataDir,
}

impl Syncing {
    /// Has everything written to disk, and ends. Call it when no worker writes any more.
    pub(super) fn end(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            error!("the thread that syncs the journals has panicked; this is a bug");
        }
    }
}
