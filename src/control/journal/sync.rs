//! Having the journals written to disk: one thread for all cores, one `fdatasync` for all records that wait.
//!
//! When the disk does not take a file, the kernel forgets that its pages are to be written. So before the
//! next try the records in question are written into the file again, byte for byte; then a success is one.
//! Deliberately absent: closing files that are written to (`io/journal` has its own), and starting the
//! thread.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use crate::wire::journal::marks::{Marks, Place};
use crate::wire::journal::page::{PAGE_BYTES, PAGE_USED};

/// While the disk does not take what is written, it is tried again this often.
const RETRY: Duration = Duration::from_millis(500);
/// Bytes rewritten at once.
const CHUNK: usize = 64 * 1024;

/// When a request is sent and an answer ends, as far as the disk has a say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// At once. A loss of power forgets what was written since the last sync.
    #[default]
    Fast,
    /// A request when its admission is on disk, the end of an answer when its settlement is.
    Strict,
}

/// What happens while the disk does not take what is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDiskError {
    /// New requests are refused.
    #[default]
    Refuse,
    /// They are served; a loss of power forgets them.
    Continue,
}

/// The journal of one core, as it is synced.
#[derive(Debug)]
pub struct SyncCore {
    /// Which core.
    pub core: u16,
    /// Its marks.
    pub marks: Arc<Marks>,
    /// The files of its ring, in order.
    pub slots: Vec<PathBuf>,
}

struct Synced {
    core: u16,
    marks: Arc<Marks>,
    slots: Vec<(PathBuf, File)>,
    /// Up to there all is on disk.
    at: Place,
    /// When it is tried again, while the disk does not take it.
    failing: Option<Instant>,
    /// The segment behind the one in use was read, so that its pages are in memory when its turn comes.
    warmed: Option<u16>,
    /// There are news that nobody has heard yet.
    untold: bool,
}

/// Tells the disk.
type Flush = Box<dyn FnMut(&File) -> io::Result<()> + Send>;

/// Syncs the journals of all cores.
pub struct Syncer {
    cores: Vec<Synced>,
    on_error: OnDiskError,
    /// Told which core has news: more of it is on disk, or will not be. False when it could not be passed on.
    told: Box<dyn FnMut(u16) -> bool + Send>,
    flush: Flush,
}

impl Syncer {
    /// For these cores. `told` is called after each sync with the core's number, and again in the next round
    /// when it says that nobody has heard it.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub fn new(
        cores: Vec<SyncCore>,
        on_error: OnDiskError,
        told: impl FnMut(u16) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let cores: io::Result<Vec<Synced>> = cores
            .into_iter()
            .map(|SyncCore { core, marks, slots }| {
                let slots: io::Result<Vec<(PathBuf, File)>> = slots
                    .into_iter()
                    .map(|path| Ok((path.clone(), OpenOptions::new().read(true).write(true).open(path)?)))
                    .collect();
                let at = marks.place();
                Ok(Synced { core, marks, slots: slots?, at, failing: None, warmed: None, untold: false })
            })
            .collect();
        Ok(Self { cores: cores?, on_error, told: Box::new(told), flush: Box::new(File::sync_data) })
    }

    /// The same with another way to tell the disk: tests have it fail.
    #[must_use]
    pub fn with_flush(self, flush: impl FnMut(&File) -> io::Result<()> + Send + 'static) -> Self {
        Self { flush: Box::new(flush), ..self }
    }

    /// Syncs every `every`, and when the calling thread is unparked, until `stop` is set; then once more.
    pub fn run(mut self, every: Duration, stop: &AtomicBool) {
        loop {
            let is_last = stop.load(Ordering::Acquire);
            self.round(Instant::now());
            if is_last {
                return;
            }
            std::thread::park_timeout(every);
        }
    }

    /// Syncs what was written since the last round. True when all of it is on disk.
    pub fn round(&mut self, now: Instant) -> bool {
        let mut is_all = true;
        for core in &mut self.cores {
            let written = core.marks.written();
            let is_done = written <= core.marks.synced() && core.failing.is_none();
            if is_done || core.failing.is_some_and(|again| now < again) {
                is_all &= is_done;
                core.untold = core.untold && !(self.told)(core.core);
                continue;
            }
            // After the mark: no earlier than its record.
            let place = core.marks.place();
            match core.sync(place, &mut self.flush) {
                Ok(()) => {
                    core.at = place;
                    core.marks.sync(written);
                    if core.failing.take().is_some() {
                        core.marks.refuse(false);
                        info!("the disk takes the journal of core {} again; nothing is missing", core.core);
                    }
                }
                Err((path, error)) => {
                    is_all = false;
                    core.marks.sync_failed();
                    if core.failing.replace(now + RETRY).is_none() {
                        fault(&path, &error, self.on_error);
                    }
                    match self.on_error {
                        OnDiskError::Refuse => core.marks.refuse(true),
                        // Whoever waits for the disk goes on, and these records are given up.
                        OnDiskError::Continue => {
                            core.at = place;
                            core.marks.sync(written);
                        }
                    }
                }
            }
            core.warm();
            core.untold = !(self.told)(core.core);
        }
        is_all
    }
}

fn fault(path: &std::path::Path, error: &io::Error, policy: OnDiskError) {
    let what = match policy {
        OnDiskError::Refuse => "new requests are refused until it does (ledger.on_disk_error)",
        OnDiskError::Continue => "requests are served, and a loss of power would forget them",
    };
    error!("the disk does not take the journal {}: {error}; {what}", path.display());
}

impl Synced {
    /// All segments from the one that was synced last to the one in use.
    fn sync(&mut self, place: Place, flush: &mut Flush) -> Result<(), (PathBuf, io::Error)> {
        let mut slot = self.at.slot;
        loop {
            let (path, file) = &self.slots[usize::from(slot)];
            let failed = |error| (path.clone(), error);
            if self.failing.is_some() {
                let from = if slot == self.at.slot { self.at.end } else { PAGE_BYTES as u64 };
                let to =
                    if slot == place.slot { Ok(place.end) } else { file.metadata().map(|all| all.len()) };
                let to = to.map_err(failed)?;
                // Of the page bytes that are never in use: the numbers in it change meanwhile.
                rewrite(file, PAGE_USED as u64, PAGE_USED as u64 + 8).map_err(failed)?;
                rewrite(file, from, to).map_err(failed)?;
            }
            flush(file).map_err(failed)?;
            if slot == place.slot {
                return Ok(());
            }
            slot = (slot + 1) % self.slots.len() as u16;
        }
    }

    /// Reads the next segment while the one in use still has half of its room: what a core stores into has to
    /// be in memory, or the core waits for the disk.
    fn warm(&mut self) {
        let next = (self.at.slot + 1) % self.slots.len() as u16;
        let half = self.slots[usize::from(self.at.slot)].1.metadata().map_or(u64::MAX, |all| all.len() / 2);
        if self.at.end < half || self.warmed == Some(next) {
            return;
        }
        self.warmed = Some(next);
        let (path, file) = &self.slots[usize::from(next)];
        let mut chunk = vec![0; CHUNK];
        let mut at = 0;
        loop {
            match file.read_at(&mut chunk, at) {
                Ok(0) => return,
                Ok(count) => at += count as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return warn!("the journal {} cannot be read: {error}", path.display());
                }
            }
        }
    }
}

/// Writes the bytes of a file that are there already, so that the kernel knows they are to be written. Nobody
/// changes them meanwhile: a segment is used again only when it is on disk.
fn rewrite(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut at = from;
    while at < to {
        let length = CHUNK.min(usize::try_from(to - at).unwrap_or(CHUNK));
        file.read_exact_at(&mut chunk[..length], at)?;
        file.write_all_at(&chunk[..length], at)?;
        at += length as u64;
    }
    Ok(())
}
