//! The writer of one core: a ring of segments, and the room put aside for records that must still be written.
//!
//! Every admit record puts aside room for the longest settle record, so that a settle never fails. A
//! segment's
//! end is wasted when the next record does not fit, less than the longest record each time; room is counted
//! without it.
//! Deliberately absent: locks and waiting. Where there is no room, the caller is told.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::segment::Segment;
use crate::base::time::UnixSeconds;
use crate::wire::journal::frame::{NodeId, RECORD_BYTES, Seed};
use crate::wire::journal::marks::{Marks, Place};
use crate::wire::journal::page::{PAGE_BYTES, Page};
use crate::wire::journal::{Admit, Full, Journal, Sequence, Settle, encode};

/// A segment as it was found, or made, at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Its file; as long as it shall be, and with its space taken.
    pub path: PathBuf,
    /// Its newest record; 0 when there is none.
    pub last: Sequence,
    /// Where that ends; not below the length of the page.
    pub end: u64,
    /// Its generation; 0 when it was never begun, or its page cannot be read.
    pub generation: u64,
}

/// What a writer begins with.
#[derive(Debug)]
pub struct Setup {
    /// Which installation.
    pub node: NodeId,
    /// Which core.
    pub core: u16,
    /// Its segments, in the order of the ring.
    pub slots: Vec<Slot>,
    /// All records have a sequence above this one.
    pub after: Sequence,
    /// How far it is, on disk and folded.
    pub marks: Arc<Marks>,
}

/// One segment in use.
#[derive(Debug)]
struct Mapped {
    segment: Segment,
    /// Its newest record.
    last: Sequence,
}

impl Mapped {
    /// Bytes of it that are surely of use.
    const fn room(&self) -> u64 {
        usable(self.segment.length() - PAGE_BYTES)
    }
}

/// Bytes that are surely of use where so many are left: less than a record's length is lost at the end.
const fn usable(left: usize) -> u64 {
    left.saturating_sub(RECORD_BYTES) as u64
}

/// Writes the journal of one core.
#[derive(Debug)]
pub struct Writer {
    slots: Vec<Mapped>,
    /// The slot being written.
    current: usize,
    /// Where the next record goes in it.
    at: usize,
    /// The newest record.
    last: Sequence,
    generation: u64,
    /// Requests that were admitted and did not settle yet.
    open: u64,
    /// Bytes surely of use in the segments behind the current one that are known to be free.
    behind: u64,
    seed: Seed,
    node: NodeId,
    core: u16,
    marks: Arc<Marks>,
}

impl Writer {
    /// Takes the ring over and goes on where it ends.
    ///
    /// # Errors
    /// There are fewer than two segments, one is too short for two records, or a file cannot be mapped.
    pub fn open(setup: Setup) -> io::Result<Self> {
        let Setup { node, core, slots, after, marks } = setup;
        let newest = slots.iter().enumerate().rev().max_by_key(|(_, slot)| (slot.last, slot.generation));
        let Some((current, slot)) = newest.filter(|_| slots.len() >= 2) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a journal needs two segments"));
        };
        let (at, is_new) = ((slot.end as usize).max(PAGE_BYTES), slot.generation == 0);
        let generation = slots.iter().map(|slot| slot.generation).max().unwrap_or(0);
        let mapped: io::Result<Vec<Mapped>> = slots
            .iter()
            .map(|slot| {
                let segment = Segment::open(&slot.path)?;
                if segment.length() < PAGE_BYTES + 2 * RECORD_BYTES || slot.end > segment.length() as u64 {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a segment is too short"));
                }
                Ok(Mapped { segment, last: slot.last })
            })
            .collect();
        let last = after.max(slot.last);
        let mut writer = Self {
            slots: mapped?,
            current,
            at,
            last,
            generation,
            open: 0,
            behind: 0,
            seed: Seed::new(node, core),
            node,
            core,
            marks,
        };
        if is_new && writer.slots[current].last == Sequence(0) {
            writer.begin(current, UnixSeconds(0));
        } else {
            // What lies behind the last good record is cut: nobody reads it again.
            writer.slots[current].segment.publish(at);
        }
        writer.mark();
        Ok(writer)
    }

    /// The marks that it writes.
    #[must_use]
    pub fn marks(&self) -> &Arc<Marks> {
        &self.marks
    }

    fn mark(&self) {
        self.marks.write(self.last, Place { slot: self.current as u16, end: self.at as u64 });
    }

    fn begin(&mut self, slot: usize, at: UnixSeconds) {
        self.generation += 1;
        let (generation, first) = (self.generation, Sequence(self.last.0 + 1));
        let Mapped { segment, last } = &mut self.slots[slot];
        let segment_bytes = segment.length() as u64;
        let (node, core) = (self.node, self.core);
        let published = PAGE_BYTES as u64;
        let page =
            Page { node, core, generation, first, created: at, segment_bytes, published, sealed: false };
        segment.begin(&page);
        *last = Sequence(0);
        (self.current, self.at) = (slot, PAGE_BYTES);
    }

    /// Bytes surely of use, without those of segments that were not yet known to be free.
    fn room(&self) -> u64 {
        usable(self.slots[self.current].segment.length() - self.at) + self.behind
    }

    /// Counts the segments behind the current one that the ledger is done with.
    #[cold]
    fn count_behind(&mut self) {
        let reusable = self.marks.reusable();
        let count = self.slots.len();
        let free = (1..count).map(|step| &self.slots[(self.current + step) % count]);
        self.behind = free.take_while(|slot| slot.last <= reusable).map(Mapped::room).sum();
    }

    /// Is there room for this many more records at their longest, besides what is put aside?
    #[inline]
    fn has_room(&mut self, records: u64) -> bool {
        let needed = (self.open + records) * RECORD_BYTES as u64;
        if self.room() >= needed {
            return true;
        }
        self.count_behind();
        self.room() >= needed
    }

    /// Where the next record goes: in the next segment, when this one may be too short for it.
    #[inline]
    fn place(&mut self, at: UnixSeconds) -> bool {
        if self.slots[self.current].segment.length() - self.at < RECORD_BYTES {
            return self.next_segment(at);
        }
        true
    }

    #[cold]
    fn next_segment(&mut self, at: UnixSeconds) -> bool {
        let next = (self.current + 1) % self.slots.len();
        if self.slots[next].last > self.marks.reusable() {
            return false;
        }
        self.slots[self.current].segment.seal();
        self.begin(next, at);
        self.count_behind();
        true
    }

    #[inline]
    fn write(&mut self, at: UnixSeconds, record: impl FnOnce(&mut [u8], Sequence, Seed) -> usize) -> bool {
        if !self.place(at) {
            return false;
        }
        let sequence = Sequence(self.last.0 + 1);
        let (start, seed) = (self.at, self.seed);
        let slot = &mut self.slots[self.current];
        let bytes = &mut slot.segment.bytes_mut()[start..start + RECORD_BYTES];
        self.at += record(bytes, sequence, seed);
        slot.segment.publish(self.at);
        slot.last = sequence;
        self.last = sequence;
        self.mark();
        true
    }
}

impl Journal for Writer {
    fn admit(&mut self, admit: &Admit<'_>) -> Result<Sequence, Full> {
        // This record, and the one that must follow it.
        if self.marks.is_refusing() || !self.has_room(2) {
            return Err(Full);
        }
        let written =
            self.write(admit.at, |bytes, sequence, seed| encode::admit(bytes, admit, sequence, seed));
        if !written {
            return Err(Full);
        }
        self.open += 1;
        Ok(self.last)
    }

    fn settle(&mut self, settle: &Settle<'_>) -> Sequence {
        let written =
            self.write(settle.at, |bytes, sequence, seed| encode::settle(bytes, settle, sequence, seed));
        debug_assert!(written || self.open == 0, "room was put aside for every admitted request");
        self.open = self.open.saturating_sub(1);
        self.last
    }
}
