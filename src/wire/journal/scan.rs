//! The records of a segment, whatever state its bytes are in.
//!
//! ```text
//!  page │ record │ record │ ? ? ? │ record │ record │ older records, zeros …
//!                          damage                   └ end
//! ```
//! Sequences only go up. What has one that is not above all before it was written when the file was in use
//! the last time, so it ends the segment. Behind bytes that are no record the next one is looked for at every
//! multiple of 8.
//! Deliberately absent: what a record says (`decode`), and what becomes of a damaged file
//! (`control/journal`).

use super::Sequence;
use super::frame::{ALIGN, Frame, HEADER_BYTES, Look, Seed, look};
use super::page::PAGE_BYTES;

/// Something found in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'b> {
    /// A record, and where it begins.
    Record(usize, Frame<'b>),
    /// No records, from here to there; behind it the segment goes on.
    Damage(usize, usize),
}

/// A walk over the bytes of a segment, its page included.
#[derive(Clone, Debug)]
pub struct Scan<'b> {
    bytes: &'b [u8],
    at: usize,
    /// The newest sequence seen.
    last: Sequence,
    seed: Seed,
    /// A record found behind damage that was not told yet.
    held: Option<(usize, Frame<'b>)>,
}

impl<'b> Scan<'b> {
    /// Begins behind the page. Records up to `after` are not of this use of the file.
    #[must_use]
    pub fn new(bytes: &'b [u8], seed: Seed, after: Sequence) -> Self {
        Self::from_place(bytes, PAGE_BYTES, seed, after)
    }

    /// Begins at a place where a record begins.
    #[must_use]
    pub const fn from_place(bytes: &'b [u8], at: usize, seed: Seed, after: Sequence) -> Self {
        Self { bytes, at, last: after, seed, held: None }
    }

    /// Where the last record told ends.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.at
    }

    /// The sequence of the last record told.
    #[must_use]
    pub const fn newest(&self) -> Sequence {
        self.last
    }

    fn at(&self, at: usize) -> Look<'b> {
        self.bytes.get(at..).map_or(Look::Nothing, |bytes| look(bytes, self.seed))
    }

    fn told(&mut self, at: usize, frame: Frame<'b>) -> Found<'b> {
        self.at = at + frame.bytes;
        self.last = frame.sequence;
        Found::Record(at, frame)
    }

    /// The next record that is newer, behind whatever else lies there.
    fn search(&self) -> Option<(usize, Frame<'b>)> {
        let mut at = self.at;
        while at + HEADER_BYTES <= self.bytes.len() {
            match self.at(at) {
                Look::Record(frame) if frame.sequence > self.last => return Some((at, frame)),
                Look::Record(older) => at += older.bytes,
                Look::More | Look::Nothing => at += ALIGN,
            }
        }
        None
    }
}

impl<'b> Iterator for Scan<'b> {
    type Item = Found<'b>;

    fn next(&mut self) -> Option<Found<'b>> {
        if let Some((at, frame)) = self.held.take() {
            return Some(self.told(at, frame));
        }
        if let Look::Record(frame) = self.at(self.at)
            && frame.sequence > self.last
        {
            return Some(self.told(self.at, frame));
        }
        let (at, frame) = self.search()?;
        self.held = Some((at, frame));
        Some(Found::Damage(self.at, at))
    }
}
