//! Reading the journals of all cores as they grow: every record once, those of one core in their order.
//!
//! Deliberately absent: remembering across a restart how far the reading got. The ledger keeps the cursors
//! with what it made of the records, in one transaction, and begins with them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Damage, cores, slot_path, slots};
use crate::wire::journal::decode::decode;
use crate::wire::journal::frame::{NodeId, RECORD_BYTES, Seed};
use crate::wire::journal::marks::Marks;
use crate::wire::journal::page::{PAGE_BYTES, PAGE_USED, Page};
use crate::wire::journal::scan::{Found, Scan};
use crate::wire::journal::{Entry, Sequence};

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;
const _: () = assert!(CHUNK > 4 * RECORD_BYTES);

/// How far the journal of a core was read: up to this record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which core.
    pub core: u16,
    /// The last record that was handed out; 0 is none.
    pub last: Sequence,
}

/// Reads all journals of a data directory.
#[derive(Debug)]
pub struct Tail {
    cores: Vec<CoreTail>,
    chunk: Vec<u8>,
    damages: Vec<Damage>,
    /// Which core is read first: none waits for another one for long.
    turn: usize,
}

#[derive(Debug)]
struct CoreTail {
    core: u16,
    seed: Seed,
    marks: Option<Arc<Marks>>,
    slots: Vec<SlotTail>,
    /// The segment being read.
    current: usize,
    /// The first record of the segment, when it was begun; 0 before it was looked at.
    first: Sequence,
    /// Where its next record begins.
    at: u64,
    /// The last record that was seen in it.
    seen: Sequence,
    /// The last record that was handed out.
    last: Sequence,
}

#[derive(Debug)]
struct SlotTail {
    path: PathBuf,
    file: File,
}

impl SlotTail {
    /// What its page says; `None` when it says nothing.
    fn page(&self) -> io::Result<Option<Page>> {
        let read = || -> io::Result<Option<Page>> {
            let mut bytes = [0; PAGE_USED];
            self.file.read_exact_at(&mut bytes, 0)?;
            Ok(Page::decode(&bytes).ok())
        };
        match read()? {
            // It was sealed after the last record was published, but perhaps between the two readings.
            Some(page) if page.sealed => read(),
            other => Ok(other),
        }
    }
}

/// What came of reading on in one segment.
enum Step {
    /// So many records; there may be more at once.
    Records(usize),
    /// Nothing more for now.
    Waits,
    /// Nothing more ever: the next segment goes on.
    Over,
}

impl Tail {
    /// Begins behind the given cursors; with a core's first record where there is none for it. `marks` are
    /// those of the cores that are written now, by number; others are read too.
    ///
    /// # Errors
    /// A folder or a file cannot be read.
    pub fn open(data_dir: &Path, node: NodeId, marks: &[Arc<Marks>], cursors: &[Cursor]) -> io::Result<Self> {
        let mut tails = Vec::new();
        for core in cores(data_dir)? {
            let slots: io::Result<Vec<SlotTail>> = slots(data_dir, core)?
                .into_iter()
                .map(|slot| {
                    let path = slot_path(data_dir, core, slot);
                    let file = File::open(&path)?;
                    Ok(SlotTail { path, file })
                })
                .collect();
            let slots = slots?;
            if slots.is_empty() {
                continue;
            }
            let last = cursors.iter().find(|cursor| cursor.core == core).map_or(Sequence(0), |own| own.last);
            let marks = marks.get(usize::from(core)).cloned();
            let seed = Seed::new(node, core);
            let (first, seen, at) = (Sequence(0), Sequence(0), PAGE_BYTES as u64);
            let mut tail = CoreTail { core, seed, marks, slots, current: 0, first, at, seen, last };
            tail.current = tail.first_slot()?;
            tails.push(tail);
        }
        Ok(Self { cores: tails, chunk: vec![0; CHUNK], damages: Vec::new(), turn: 0 })
    }

    /// Hands out up to so many records, and says how many there were. Fewer means that there are no more now.
    ///
    /// # Errors
    /// A file cannot be read. What was handed out before that counts; a later call goes on there.
    pub fn read(
        &mut self,
        most_records: usize,
        mut each: impl FnMut(u16, Sequence, &Entry<'_>),
    ) -> io::Result<usize> {
        let (mut count, cores) = (0, self.cores.len());
        for turn in 0..cores {
            let core = &mut self.cores[(self.turn + turn) % cores];
            // Segments in a row with nothing in them: once round is enough, whatever their pages say.
            let mut empty = 0;
            while count < most_records && core.has_more() {
                match core.step(&mut self.chunk, most_records - count, &mut self.damages, &mut each)? {
                    Step::Records(read) => (count, empty) = (count + read, 0),
                    Step::Over if empty < core.slots.len() && core.next_slot()? => empty += 1,
                    Step::Over | Step::Waits => break,
                }
            }
        }
        self.turn = (self.turn + 1) % cores.max(1);
        Ok(count)
    }

    /// How far each core was read.
    pub fn cursors(&self) -> impl Iterator<Item = Cursor> {
        self.cores.iter().map(|tail| Cursor { core: tail.core, last: tail.last })
    }

    /// The records of a core up to this one are kept elsewhere, and a loss of power does not undo that: their
    /// place in the files is written again.
    pub fn folded(&self, core: u16, last: Sequence) {
        let tail = self.cores.iter().find(|tail| tail.core == core);
        if let Some(marks) = tail.and_then(|tail| tail.marks.as_ref()) {
            marks.fold(last);
        }
    }

    /// What could not be read since the last call.
    pub fn take_damages(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damages)
    }
}

impl CoreTail {
    /// The segment with the first record that was not handed out: the last one that begins before it, or else
    /// the oldest.
    fn first_slot(&self) -> io::Result<usize> {
        let mut begun = Vec::new();
        for (slot, file) in self.slots.iter().enumerate() {
            begun.extend(file.page()?.map(|page| (page.first, slot)));
        }
        begun.sort_unstable();
        let next = Sequence(self.last.0 + 1);
        let at = begun.iter().rev().find(|(first, _)| *first <= next).or(begun.first());
        Ok(at.map_or(0, |(_, slot)| *slot))
    }

    /// Could there be more? Asks no file where the writer's mark tells.
    fn has_more(&self) -> bool {
        self.marks.as_ref().is_none_or(|marks| marks.written() > self.last)
    }

    fn step(
        &mut self,
        chunk: &mut [u8],
        most: usize,
        damages: &mut Vec<Damage>,
        each: &mut impl FnMut(u16, Sequence, &Entry<'_>),
    ) -> io::Result<Step> {
        let slot = &self.slots[self.current];
        let Some(page) = slot.page()? else { return Ok(Step::Over) };
        if self.first == Sequence(0) {
            self.first = page.first;
            self.seen = Sequence(page.first.0.saturating_sub(1));
        } else if self.first != page.first {
            // Its place was written again: nobody here holds it back.
            return Ok(Step::Over);
        }
        if self.at >= page.published {
            // Also where the next one goes on although this was never sealed: killed between the two.
            return Ok(if page.sealed || self.next_begun()?.is_some() { Step::Over } else { Step::Waits });
        }
        let left = page.published - self.at;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        let chunk = &mut chunk[..length];
        slot.file.read_exact_at(chunk, self.at)?;
        let mut scan = Scan::from_place(chunk, 0, self.seed, self.seen);
        let mut damage = |from: usize, to: usize, what: String| {
            let (from, to) = (self.at + from as u64, self.at + to as u64);
            damages.push(Damage { file: slot.path.clone(), from, to, what });
        };
        let mut count = 0;
        while count < most
            && let Some(found) = scan.next()
        {
            match found {
                Found::Damage(from, to) => damage(from, to, "no records; they are skipped".to_owned()),
                // Handed out before, to whoever gave the cursor.
                Found::Record(_, frame) if frame.sequence <= self.last => {}
                Found::Record(at, frame) => {
                    self.last = frame.sequence;
                    count += 1;
                    match decode(&frame) {
                        Ok(entry) => each(self.core, frame.sequence, &entry),
                        Err(unread) => damage(at, at + frame.bytes, unread.to_string()),
                    }
                }
            }
        }
        let passed = scan.end();
        if count < most && length as u64 == left && passed < length {
            damage(passed, length, "no records; they are skipped".to_owned());
        }
        self.seen = scan.newest();
        self.at += if count == most {
            passed
        } else if length as u64 == left {
            length
        } else {
            // A record may be cut by the end of the chunk.
            passed.max(length - RECORD_BYTES)
        } as u64;
        Ok(Step::Records(count))
    }

    /// The segment that goes on behind what was handed out, if it was begun. Never the one that is being
    /// read, unless its place was written again: one without a record yet also begins behind what was handed
    /// out.
    fn next_begun(&self) -> io::Result<Option<usize>> {
        let mut next = None;
        for (slot, file) in self.slots.iter().enumerate() {
            if let Some(page) = file.page()?
                && page.first > self.last
                && (slot, page.first) != (self.current, self.first)
                && next.is_none_or(|(first, _)| page.first < first)
            {
                next = Some((page.first, slot));
            }
        }
        Ok(next.map(|(_, slot)| slot))
    }

    fn next_slot(&mut self) -> io::Result<bool> {
        let next = self.next_begun()?;
        if let Some(slot) = next {
            (self.current, self.first, self.at) = (slot, Sequence(0), PAGE_BYTES as u64);
        }
        Ok(next.is_some())
    }
}
