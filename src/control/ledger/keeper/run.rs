//! What the thread does, turn by turn.
//!
//! Deliberately absent: what a batch is (`fold`).

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Instant;

use tracing::{error, info, warn};

use super::super::fold::{Folded, Folder};
use super::super::read::{self, Feedback, Generation, Scope};
use super::super::schema::IN_MEMORY;
use super::super::{Cursors, LedgerError, Records, retention};
use super::{Gauges, Options, file_of};
use crate::control::calendar::DAY;
use crate::control::watch::FileId;

/// Most records of one transaction: more share the cost of the sums, fewer keep a reader of the journal's
/// tail waiting less.
const BATCH: usize = 32_768;

/// Most records of the tail that are read into memory for one question.
const TAIL_MAX: usize = 200_000;

/// How long catching up may take before the question is answered without it.
const CATCH_UP: Duration = Duration::from_millis(1_500);

/// Waiting times after failures.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MOST: Duration = Duration::from_secs(5);

/// How often a failure that goes on is told again.
const TELL_AGAIN: Duration = Duration::from_secs(30);

/// How often old rows are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(2);

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Command {
    /// Fold what is there.
    CatchUp {
        /// Whether everything is in.
        reply: SyncSender<bool>,
    },
    /// Look for a request in what is not folded.
    Find {
        /// Ours or the provider's.
        id: Box<str>,
        /// Who asks.
        scope: Scope,
        /// What was found.
        reply: SyncSender<Option<Box<Generation>>>,
    },
    /// Keep what somebody says about a request.
    Feedback {
        /// That.
        feedback: Feedback,
        /// Whether it is kept.
        reply: SyncSender<Result<(), LedgerError>>,
    },
    /// Fold once more and end.
    Stop,
}

/// A database that is open, and the file that it is.
struct Current {
    folder: Folder,
    file: Option<FileId>,
}

pub(super) struct Work {
    options: Options,
    records: Box<dyn Records>,
    /// Where the journal ended before this process wrote to it; `None` once orphans are charged.
    ends: Option<Cursors>,
    gauges: Arc<Gauges>,
    current: Option<Current>,
    /// As committed, whatever became of the database.
    cursors: Cursors,
    /// The database has been open before.
    opened: bool,
    backoff: Option<Duration>,
    told: Option<Instant>,
    /// The day on which old sums were deleted.
    pruned: u64,
    /// When old rows are looked for next.
    tidy_at: Instant,
}

impl Work {
    pub(super) fn new(
        options: Options,
        records: Box<dyn Records>,
        ends: Cursors,
        gauges: Arc<Gauges>,
    ) -> Self {
        Self {
            options,
            records,
            ends: Some(ends),
            gauges,
            current: None,
            cursors: Cursors::new(),
            opened: false,
            backoff: None,
            told: None,
            pruned: 0,
            tidy_at: Instant::now(),
        }
    }

    /// Until it is told to stop.
    pub(super) fn run(&mut self, inbox: &Receiver<Command>) {
        let mut more = true;
        loop {
            let wait = match self.backoff {
                Some(backoff) => backoff,
                None if more => Duration::ZERO,
                None => self.options.every,
            };
            match inbox.recv_timeout(wait) {
                Ok(Command::CatchUp { reply }) => {
                    let done = self.catch_up();
                    // Who asked may have given up.
                    let _ = reply.try_send(done);
                }
                Ok(Command::Find { id, scope, reply }) => {
                    let found = self.find(&id, &scope).unwrap_or_default();
                    let _ = reply.try_send(found.map(Box::new));
                }
                Ok(Command::Feedback { feedback, reply }) => {
                    let _ = reply.try_send(self.feedback(&feedback));
                }
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.catch_up();
                    return;
                }
                Err(RecvTimeoutError::Timeout) => more = self.turn(),
            }
        }
    }

    /// Folds one batch, and does the housework when there is none. Says whether there may be more.
    fn turn(&mut self) -> bool {
        match self.fold() {
            Ok(folded) if folded.records > 0 => true,
            Ok(_) => self.housework(),
            Err(_) => false,
        }
    }

    /// Folds until nothing is left; says whether that was so.
    fn catch_up(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < CATCH_UP {
            match self.fold() {
                Ok(folded) if folded.records > 0 => {}
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
        false
    }

    /// One batch. A failure is told, and makes the next turn wait.
    fn fold(&mut self) -> Result<Folded, LedgerError> {
        let folded = self.try_fold();
        let now = (self.options.now)();
        match &folded {
            Ok(folded) => {
                if self.backoff.take().is_some() {
                    info!("the ledger can be written again");
                    self.told = None;
                }
                if folded.unsettled > 0 {
                    warn!(
                        "{} requests were under way when Millrace ended last: charged as reserved, marked as \
                         unsettled",
                        folded.unsettled
                    );
                }
                self.gauges.folded(*folded);
            }
            Err(flaw) => {
                self.gauges.failed();
                self.backoff = Some(self.backoff.map_or(BACKOFF_FIRST, |wait| (wait * 2).min(BACKOFF_MOST)));
                if self.told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
                    self.told = Some(Instant::now());
                    let path = self.options.path.display();
                    error!("the ledger {path} cannot be written, the journal keeps what is new: {flaw}");
                }
            }
        }
        let behind = self.records.ends().map_or(0, |ends| distance(&self.cursors, &ends));
        self.gauges.behind(behind, now);
        folded
    }

    fn try_fold(&mut self) -> Result<Folded, LedgerError> {
        self.forget_if_replaced();
        if self.current.is_none() {
            self.current = Some(self.open()?);
        }
        let Some(Current { folder, file }) = &mut self.current else { return Err(LedgerError::Unavailable) };
        let before = folder.compared.clone();
        let folded = match folder.fold(&mut *self.records, BATCH) {
            Ok(folded) => folded,
            Err(error) => {
                if !error.is_locked() {
                    // Opened afresh the next time: what is remembered of a broken file means nothing.
                    self.current = None;
                }
                return Err(error);
            }
        };
        self.ends = folder.orphans_before();
        self.cursors.clone_from(folder.cursors());
        for (served, sums) in &folder.compared {
            let old = before.get(served).copied().unwrap_or_default();
            if *sums != old
                && let Ok((provider, model)) = read::provider_and_model(&folder.connection, *served)
            {
                self.gauges.compared(&provider, &model, sums.since(old));
            }
        }
        // Only what is in a file that can still be found is safe; the journal may then use its space again.
        if folded.records > 0 && *file == file_of(&self.options.path) {
            self.records.folded(&self.cursors);
        }
        Ok(folded)
    }

    /// Lets go of a database whose file is gone or another one.
    fn forget_if_replaced(&mut self) {
        let now = file_of(&self.options.path);
        if self.current.as_ref().is_some_and(|current| current.file != now) {
            self.current = None;
        }
    }

    /// Opens the database, or makes it. One that is damaged is kept aside.
    fn open(&mut self) -> Result<Current, LedgerError> {
        let path = &*self.options.path;
        let is_there = path.exists();
        let open = || Folder::open(path, self.records.node(), self.ends.clone());
        let folder = match open() {
            Err(LedgerError::Database(flaw)) if is_damage(&flaw) => {
                let aside = path.with_extension(format!("damaged-{}", (self.options.now)()));
                std::fs::rename(path, &aside)?;
                remove_side_files(path);
                error!("the ledger is damaged ({flaw}); it is now {}, a new one begins", aside.display());
                open()?
            }
            opened => opened?,
        };
        if self.opened && !is_there {
            error!(
                "the ledger {} was deleted: a new one is filled with what the journal still has",
                path.display()
            );
        }
        self.opened = true;
        Ok(Current { folder, file: file_of(path) })
    }

    /// Deletes what is too old; says whether there may be more of it.
    fn housework(&mut self) -> bool {
        let Some(Current { folder, .. }) = &self.current else { return false };
        if Instant::now() < self.tidy_at {
            return false;
        }
        self.tidy_at = Instant::now() + TIDY_EVERY;
        let (keep, now) = (self.options.keep, (self.options.now)());
        let deleted = retention::old_requests(&folder.connection, keep, now);
        let today = now / DAY;
        let sums =
            if today == self.pruned { Ok(0) } else { retention::old_sums(&folder.connection, keep, now) };
        match (deleted, sums) {
            (Ok(deleted), Ok(_)) => {
                self.pruned = today;
                if deleted > 0 {
                    self.tidy_at = Instant::now();
                }
                deleted > 0
            }
            (Err(flaw), _) | (_, Err(flaw)) => {
                warn!("old rows of the ledger could not be deleted: {flaw}");
                self.tidy_at = Instant::now() + TELL_AGAIN;
                false
            }
        }
    }

    /// A request of the journal's tail, when the database cannot take it in now: read into a ledger in
    /// memory.
    fn find(&mut self, id: &str, scope: &Scope) -> Result<Option<Generation>, LedgerError> {
        let mut memory = Folder::open(Path::new(IN_MEMORY), self.records.node(), None)?;
        memory.start_after(self.cursors.clone());
        let mut left = TAIL_MAX;
        while left > 0 {
            let folded = memory.fold(&mut *self.records, left.min(BATCH))?;
            if folded.records == 0 {
                break;
            }
            left = left.saturating_sub(folded.records);
        }
        Ok(read::generation(&memory.connection, id, scope)?)
    }

    fn feedback(&mut self, feedback: &Feedback) -> Result<(), LedgerError> {
        self.forget_if_replaced();
        if self.current.is_none() {
            self.current = Some(self.open()?);
        }
        let current = self.current.as_ref().ok_or(LedgerError::Unavailable)?;
        Ok(feedback.insert(&current.folder.connection)?)
    }
}

/// Records from one place to the other.
fn distance(from: &Cursors, to: &Cursors) -> u64 {
    to.iter().map(|(core, end)| end.0.saturating_sub(from.get(core).copied().unwrap_or_default().0)).sum()
}

/// Is the file no database, or a broken one?
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// The log and the index beside a database belong to it alone.
fn remove_side_files(path: &Path) {
    for end in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        // It may not be there.
        let _ = std::fs::remove_file(name);
    }
}
