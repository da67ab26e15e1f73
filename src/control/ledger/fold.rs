//! Records to rows: one transaction per batch, with the cursors in it.
//!
//! A request that was admitted and not settled is a row of `open`. Those that an earlier process left behind
//! are charged what was reserved for them and marked as unsettled, once the fold has read everything that
//! process has written.
//! Deliberately absent: when a batch is read, and what happens when it fails (`keeper`).

mod orphans;
mod rows;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rusqlite::{Connection, params};
use tracing::warn;

pub(super) use rows::upstream_key;
use rows::{Request, created_at};

use super::names::{CallerNumbers, Names};
use super::schema;
use super::sums::{Batch, Facts, whole};
use super::{Cursors, LedgerError, Records};
use crate::base::ids::GenerationId;
use crate::wire::journal::{Admit, Attempt, Entry, Flags, Sequence, Settle, Source};

/// Bytes of an id.
type IdText = [u8; GenerationId::LEN];

/// What a fold has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Records taken in.
    pub records: usize,
    /// Requests that have become rows.
    pub requests: usize,
    /// Requests without a known price among them.
    pub unpriced: usize,
    /// Those of `requests` that an earlier process never settled.
    pub unsettled: usize,
    /// Settles of requests that are in the ledger already.
    pub repeated: usize,
}

/// A request under way, as a row of `open` names it.
#[derive(Clone, Copy, Debug)]
struct Open {
    at: i64,
    caller: CallerNumbers,
    user: i64,
    served: i64,
    price_version: i64,
    prompt_tokens: u32,
    most_completion_tokens: u32,
    reserved: i64,
    core: u16,
    sequence: u64,
}

/// The database as it is written.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) connection: Connection,
    /// As a column holds it.
    pub(super) node: i64,
    names: Names,
    /// As committed.
    cursors: Cursors,
    /// Admitted in this batch and not settled in it.
    opened: HashMap<IdText, Open>,
    /// Rows of `open`.
    open: HashSet<IdText>,
    batch: Batch,
    /// Where each core's journal ended when this process started; empty when its orphans are charged.
    orphans_before: Option<Cursors>,
    /// Of this batch, by row of `served`.
    comparing: HashMap<i64, Compared>,
    /// Since this database was opened.
    pub(super) compared: HashMap<i64, Compared>,
    /// Statements that still succeed.
    #[cfg(test)]
    pub(super) fuse: core::cell::Cell<Option<usize>>,
}

/// Completion tokens of answers that were both counted and reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) counted: u64,
    pub(super) reported: u64,
}

impl Compared {
    /// What came after `old`.
    pub(super) const fn since(self, old: Self) -> Self {
        Self { counted: self.counted - old.counted, reported: self.reported - old.reported }
    }
}

impl Folder {
    /// Opens the database; it is made when it is not there. `ends` is where the journal ends before this
    /// process writes to it.
    pub(super) fn open(path: &Path, node: u64, ends: Option<Cursors>) -> Result<Self, LedgerError> {
        let mut folder = Self {
            connection: schema::open_writer(path)?,
            node: node.cast_signed(),
            names: Names::default(),
            cursors: Cursors::new(),
            opened: HashMap::new(),
            open: HashSet::new(),
            batch: Batch::default(),
            orphans_before: ends,
            comparing: HashMap::new(),
            compared: HashMap::new(),
            #[cfg(test)]
            fuse: core::cell::Cell::new(None),
        };
        folder.reload()?;
        Ok(folder)
    }

    /// As committed.
    pub(super) const fn cursors(&self) -> &Cursors {
        &self.cursors
    }

    /// Takes in only what is behind these, for a ledger that holds nothing but the journal's tail.
    pub(super) fn start_after(&mut self, cursors: Cursors) {
        self.cursors = cursors;
    }

    /// Where orphans end that are not charged yet.
    pub(super) fn orphans_before(&self) -> Option<Cursors> {
        self.orphans_before.clone()
    }

    /// Reads one batch from the journal and commits it. Either all of it is in the database afterwards or
    /// nothing.
    pub(super) fn fold(&mut self, records: &mut dyn Records, most: usize) -> Result<Folded, LedgerError> {
        let done = self.try_fold(records, most);
        if done.is_err() {
            self.roll_back();
        }
        done
    }

    fn try_fold(&mut self, records: &mut dyn Records, most: usize) -> Result<Folded, LedgerError> {
        let mut folded = Folded::default();
        let mut reached = self.cursors.clone();
        let mut flaw: Option<rusqlite::Error> = None;
        self.opened.clear();
        self.batch.clear();
        self.comparing.clear();
        let after = self.cursors.clone();
        records.read(&after, most, &mut |core, sequence, entry| {
            if flaw.is_some() || reached.get(&core).is_some_and(|last| *last >= sequence) {
                return;
            }
            let taken = self.begin().and_then(|()| self.take(core, sequence, entry, &mut folded));
            match taken {
                Ok(()) => {
                    folded.records += 1;
                    reached.insert(core, sequence);
                }
                Err(error) => flaw = Some(error),
            }
        })?;
        if let Some(flaw) = flaw {
            return Err(flaw.into());
        }
        for (core, last) in records.passed() {
            let reached = reached.entry(core).or_default();
            *reached = last.max(*reached);
        }
        let orphans = self.orphans_before.take_if(|ends| {
            ends.iter().all(|(core, end)| reached.get(core).copied().unwrap_or_default() >= *end)
        });
        let charged = orphans.as_ref().map_or(Ok(()), |ends| self.charge_orphans(ends, &mut folded));
        if charged.is_err() {
            self.orphans_before = orphans;
            charged?;
        } else if let Err(error) = self.commit(&reached) {
            self.orphans_before = orphans;
            return Err(error.into());
        }
        self.cursors = reached;
        Ok(folded)
    }

    /// Begins a transaction, unless one is under way.
    fn begin(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() {
            self.step()?;
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        Ok(())
    }

    fn commit(&mut self, reached: &Cursors) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        for (id, open) in &self.opened {
            self.step()?;
            rows::insert_open(&self.connection, self.node, id, open)?;
        }
        self.batch.write(&self.connection, || self.step())?;
        for (core, sequence) in reached {
            self.step()?;
            self.connection
                .prepare_cached(
                    "INSERT INTO cursors (node, core, sequence) VALUES (?1, ?2, ?3)
                     ON CONFLICT (node, core) DO UPDATE SET sequence = excluded.sequence",
                )?
                .execute(params![self.node, core, whole(sequence.0)])?;
        }
        self.step()?;
        self.connection.execute_batch("COMMIT")?;
        self.open.extend(self.opened.drain().map(|(id, _)| id));
        for (served, added) in self.comparing.drain() {
            let sums = self.compared.entry(served).or_default();
            sums.counted += added.counted;
            sums.reported += added.reported;
        }
        Ok(())
    }

    /// Back to what is committed.
    fn roll_back(&mut self) {
        // Without a transaction this fails, which is as well.
        let _ = self.connection.execute_batch("ROLLBACK");
        self.names.forget();
        self.opened.clear();
        self.batch.clear();
        if let Err(error) = self.reload() {
            warn!("the ledger's state could not be read again: {error}");
        }
    }

    /// Reads what is remembered of the database.
    fn reload(&mut self) -> Result<(), LedgerError> {
        let mut statement = self.connection.prepare("SELECT core, sequence FROM cursors WHERE node = ?1")?;
        let rows = statement.query_map([self.node], |row| {
            Ok((row.get::<_, u16>(0)?, Sequence(row.get::<_, i64>(1)?.unsigned_abs())))
        })?;
        let cursors: rusqlite::Result<Cursors> = rows.collect();
        let mut statement = self.connection.prepare("SELECT id FROM open WHERE node = ?1")?;
        let rows = statement.query_map([self.node], |row| row.get::<_, String>(0))?;
        let mut open = HashSet::new();
        for id in rows {
            open.extend(IdText::try_from(id?.as_bytes()));
        }
        (self.cursors, self.open) = (cursors?, open);
        Ok(())
    }

    fn take(
        &mut self,
        core: u16,
        sequence: Sequence,
        entry: &Entry<'_>,
        folded: &mut Folded,
    ) -> rusqlite::Result<()> {
        match entry {
            Entry::Admit(admit) => self.admit(core, sequence, admit),
            Entry::Settle(settle) => self.settle(core, sequence, settle, folded),
        }
    }

    fn admit(&mut self, core: u16, sequence: Sequence, admit: &Admit<'_>) -> rusqlite::Result<()> {
        self.step()?;
        let served = &admit.served;
        let open = Open {
            at: whole(admit.at.0),
            caller: self.names.caller(&self.connection, &admit.caller)?,
            user: admit.caller.user_hash.cast_signed(),
            served: self.names.served(&self.connection, served.model, served.provider, served.endpoint)?,
            price_version: served.price_version.cast_signed(),
            prompt_tokens: admit.prompt_tokens,
            most_completion_tokens: admit.most_completion_tokens,
            reserved: admit.reserved,
            core,
            sequence: sequence.0,
        };
        self.opened.insert(*admit.id.as_bytes(), open);
        Ok(())
    }

    fn settle(
        &mut self,
        core: u16,
        sequence: Sequence,
        settle: &Settle<'_>,
        folded: &mut Folded,
    ) -> rusqlite::Result<()> {
        self.step()?;
        let id = *settle.id.as_bytes();
        let opened = self.opened.remove(&id);
        if opened.is_none() && self.open.contains(&id) {
            // It stays in `self.open` until the commit has succeeded; a second look-up finds no row.
            self.connection
                .prepare_cached("DELETE FROM open WHERE id = ?1")?
                .execute([settle.id.as_str()])?;
            self.open.remove(&id);
        }
        let caller = self.names.caller(&self.connection, &settle.caller)?;
        let served = &settle.served;
        let served = self.names.served(&self.connection, served.model, served.provider, served.endpoint)?;
        let facts = Facts {
            created_at: created_at(&id, settle.at.0),
            caller: caller.caller,
            team: caller.team,
            user: settle.caller.user_hash.cast_signed(),
            served,
            ending: settle.ending as i64,
            flags: settle.flags,
            source: settle.source,
            usage: settle.usage,
            counted_tokens: settle.counted_tokens,
            cost: settle.cost,
            answer_bytes: settle.answer_bytes,
            first_byte_micros: settle.first_byte_micros,
            took_micros: settle.took_micros,
        };
        let request = Request {
            id: settle.id.as_str(),
            facts: &facts,
            ended_at: whole(settle.at.0),
            status: settle.status,
            words: self.words(settle)?,
            upstream_id: settle.upstream_id,
            price_version: settle.served.price_version.cast_signed(),
            place: (self.node, core, sequence),
        };
        self.step()?;
        let Some(number) = request.insert(&self.connection)? else {
            folded.repeated += 1;
            return Ok(());
        };
        for (turn, attempt) in settle.attempts.iter().enumerate() {
            self.attempt(number, turn, settle.served.model, attempt)?;
        }
        self.batch.add(&facts);
        folded.requests += 1;
        folded.unpriced += usize::from(facts.flags.has(Flags::UNPRICED));
        if facts.source == Source::Reported && facts.counted_tokens > 0 {
            let sums = self.comparing.entry(served).or_default();
            sums.counted += u64::from(facts.counted_tokens);
            sums.reported += facts.usage.completion_tokens;
        }
        Ok(())
    }

    fn attempt(
        &mut self,
        request: i64,
        turn: usize,
        model: &str,
        attempt: &Attempt<'_>,
    ) -> rusqlite::Result<()> {
        self.step()?;
        let served = self.names.served(&self.connection, model, attempt.provider, attempt.endpoint)?;
        let fault = self.names.word(&self.connection, attempt.fault)?;
        rows::insert_attempt(&self.connection, (request, turn), (served, fault), attempt)
    }

    /// The numbers of what a record says in words.
    fn words(&mut self, settle: &Settle<'_>) -> rusqlite::Result<[i64; 4]> {
        let mut numbers = [0; 4];
        let words = [settle.api, settle.fault, settle.finish_reason, settle.service_tier];
        for (number, word) in numbers.iter_mut().zip(words) {
            *number = self.names.word(&self.connection, word)?;
        }
        Ok(numbers)
    }

    /// Called before every statement; a test can make it fail at any of them.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "a test build counts statements here")]
    const fn step(&self) -> rusqlite::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self) -> rusqlite::Result<()> {
        match self.fuse.get() {
            Some(0) => Err(rusqlite::Error::ExecuteReturnedResults),
            left => {
                self.fuse.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }
}
