//! How far a core's journal is written, on disk, and in the ledger: what its writer, the thread that has it
//! put on disk and the ledger tell each other.
//!
//! Each number has one writer and only goes up; a reader sees at least what its writer saw.
//! Deliberately absent: the records themselves; they go through the file.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Sequence;

/// Bits of a place that are the offset in the file.
const OFFSET_BITS: u32 = 48;

/// The end of the last record written: the number of the file, and bytes from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Which file of the core's ring.
    pub slot: u16,
    /// Bytes of it that hold whole records.
    pub end: u64,
}

/// On cache lines of its own, since another core reads what this one writes.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

/// The marks of one core's journal.
#[derive(Debug, Default)]
pub struct Marks {
    written: Padded<(AtomicU64, AtomicU64)>,
    synced: Padded<(AtomicU64, AtomicU64)>,
    folded: Padded<AtomicU64>,
    /// New requests are refused: what is written does not reach the disk.
    refusing: AtomicBool,
}

impl Marks {
    /// Of a journal that goes on after this record, all of which is on disk.
    #[must_use]
    pub fn new(last: Sequence, place: Place) -> Self {
        let marks = Self::default();
        marks.write(last, place);
        marks.sync(last);
        marks
    }

    /// The writer: this record and all before it are in the file, up to this place.
    #[inline]
    pub fn write(&self, sequence: Sequence, place: Place) {
        let packed = u64::from(place.slot) << OFFSET_BITS | place.end;
        self.written.0.1.store(packed, Ordering::Release);
        self.written.0.0.store(sequence.0, Ordering::Release);
    }

    /// The newest record in the file.
    #[inline]
    #[must_use]
    pub fn written(&self) -> Sequence {
        Sequence(self.written.0.0.load(Ordering::Acquire))
    }

    /// Where it ends, or a later one.
    #[must_use]
    pub fn place(&self) -> Place {
        let packed = self.written.0.1.load(Ordering::Acquire);
        Place { slot: (packed >> OFFSET_BITS) as u16, end: packed & ((1 << OFFSET_BITS) - 1) }
    }

    /// The syncing thread: this record and all before it are on disk.
    pub fn sync(&self, sequence: Sequence) {
        self.synced.0.0.store(sequence.0, Ordering::Release);
    }

    /// The newest record that is on disk.
    #[inline]
    #[must_use]
    pub fn synced(&self) -> Sequence {
        Sequence(self.synced.0.0.load(Ordering::Acquire))
    }

    /// The syncing thread: the disk did not take what was written.
    pub fn sync_failed(&self) {
        self.synced.0.1.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the disk did not take what was written.
    #[must_use]
    pub fn sync_failures(&self) -> u64 {
        self.synced.0.1.load(Ordering::Relaxed)
    }

    /// The ledger: this record and all before it are kept elsewhere, and safe there.
    pub fn fold(&self, sequence: Sequence) {
        self.folded.0.store(sequence.0, Ordering::Release);
    }

    /// The newest record whose place in a file may be written again: it is folded, and nobody is about to
    /// have the file written to disk for its sake.
    #[must_use]
    pub fn reusable(&self) -> Sequence {
        self.folded().min(self.synced())
    }

    /// The newest record that the ledger has.
    #[must_use]
    pub fn folded(&self) -> Sequence {
        Sequence(self.folded.0.load(Ordering::Acquire))
    }

    /// The syncing thread: take new requests, or refuse them.
    pub fn refuse(&self, refuse: bool) {
        self.refusing.store(refuse, Ordering::Release);
    }

    /// Are new requests to be refused?
    #[inline]
    #[must_use]
    pub fn is_refusing(&self) -> bool {
        self.refusing.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place = Place { slot: u16::MAX, end: (1 << OFFSET_BITS) - 1 };
        let marks = Marks::new(Sequence(5), place);
        assert_eq!(
            (marks.written(), marks.synced(), marks.folded()),
            (Sequence(5), Sequence(5), Sequence(0))
        );
        assert_eq!(marks.place(), place);
        marks.write(Sequence(6), Place { slot: 1, end: 8 });
        assert_eq!((marks.written(), marks.synced()), (Sequence(6), Sequence(5)));
        assert_eq!(marks.place(), Place { slot: 1, end: 8 });
    }
}
