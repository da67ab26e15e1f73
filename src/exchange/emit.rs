//! From payload stretches of the upstream's window to what the client receives: framing written around them,
//! and whole upstream chunks passed on as they came.
//!
//! Every flush leaves the client's framing complete: each chunk size we announce is followed by all of its
//! data in the same parcel. So at the end of any parcel an error event, a comment or the end can follow.
//! Deliberately absent: what the payload means.

use crate::base::span::Span;
use crate::wire::http1::{LAST_CHUNK, write_chunk_size};
use crate::wire::parcel::Parcel;

/// How the client's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyOut {
    /// Chunked coding, written by us or passed on verbatim.
    Chunked,
    /// Bare payload: the head announced a length, or the end of the connection ends it (HTTP/1.0).
    Plain,
}

/// Collects payload until it is flushed into a parcel. Spans count from the first held byte of the window.
#[derive(Debug)]
pub(super) struct Emit {
    out: BodyOut,
    group: Vec<Span>,
    group_bytes: usize,
    /// Bytes of our own in the group: those of each span that begins with [`OWN`], one after the other.
    inserted: Vec<u8>,
}

/// Begins a span that stands for bytes of our own, and ends with their count; no window reaches so far.
const OWN: u32 = u32::MAX;

/// A point of the current group to return to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    len: usize,
    last: Option<Span>,
    bytes: usize,
}

impl Emit {
    /// Nothing collected.
    #[must_use]
    pub(super) const fn new(out: BodyOut) -> Self {
        Self { out, group: Vec::new(), group_bytes: 0, inserted: Vec::new() }
    }

    /// Nothing collected; keeps its memory.
    pub(super) fn restart(&mut self, out: BodyOut) {
        self.out = out;
        self.group.clear();
        self.inserted.clear();
        self.group_bytes = 0;
    }

    /// How the client's body is framed.
    #[must_use]
    pub(super) const fn out(&self) -> BodyOut {
        self.out
    }

    /// Adds payload.
    pub(super) fn payload(&mut self, span: Span) {
        match self.group.last_mut() {
            _ if span.is_empty() => return,
            Some(last) if last.end == span.start && last.start != OWN => last.end = span.end,
            _ => self.group.push(span),
        }
        self.group_bytes += span.len();
    }

    /// Adds what `write` appends to the payload, as bytes of our own. Says how many they are.
    pub(super) fn insert(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let from = self.inserted.len();
        write(&mut self.inserted);
        let count = self.inserted.len() - from;
        if count > 0 {
            self.group.push(Span { start: OWN, end: count as u32 });
            self.group_bytes += count;
        }
        count
    }

    /// Where the group stands now.
    #[must_use]
    pub(super) fn mark(&self) -> Mark {
        Mark { len: self.group.len(), last: self.group.last().copied(), bytes: self.group_bytes }
    }

    /// Payload added since the mark, in bytes.
    #[must_use]
    pub(super) const fn since(&self, mark: Mark) -> usize {
        self.group_bytes - mark.bytes
    }

    /// Forgets what was added since the mark; nothing may have been flushed in between.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.group.truncate(mark.len);
        if let (Some(last), Some(was)) = (self.group.last_mut(), mark.last) {
            *last = was;
        }
        self.group_bytes = mark.bytes;
    }

    /// Passes whole upstream chunks on as they came. Only for [`BodyOut::Chunked`].
    pub(super) fn verbatim(&mut self, span: Span, base: usize, parcel: &mut Parcel) {
        debug_assert_eq!(self.out, BodyOut::Chunked);
        self.flush(base, parcel);
        parcel.push_window(span.shifted(base));
    }

    /// Writes the group into the parcel. `base` is where the window's first held byte lies in its storage.
    pub(super) fn flush(&mut self, base: usize, parcel: &mut Parcel) {
        if self.group.is_empty() {
            return;
        }
        if self.out == BodyOut::Chunked {
            let from = parcel.own.len();
            write_chunk_size(&mut parcel.own, self.group_bytes);
            parcel.push_own(from);
        }
        let mut inserted = 0;
        for span in &self.group {
            if span.start == OWN {
                let (from, end) = (parcel.own.len(), inserted + span.end as usize);
                parcel.own.extend_from_slice(&self.inserted[inserted..end]);
                parcel.push_own(from);
                inserted = end;
                continue;
            }
            parcel.push_window(span.shifted(base));
        }
        self.inserted.clear();
        if self.out == BodyOut::Chunked {
            let from = parcel.own.len();
            parcel.own.extend_from_slice(b"\r\n");
            parcel.push_own(from);
        }
        self.group.clear();
        self.group_bytes = 0;
    }

    /// Writes bytes of our own as payload (a comment, an error event); the group must have been flushed.
    pub(super) fn own(&self, bytes: &[u8], parcel: &mut Parcel) {
        debug_assert!(self.group.is_empty());
        let from = parcel.own.len();
        if self.out == BodyOut::Chunked {
            write_chunk_size(&mut parcel.own, bytes.len());
            parcel.own.extend_from_slice(bytes);
            parcel.own.extend_from_slice(b"\r\n");
        } else {
            parcel.own.extend_from_slice(bytes);
        }
        parcel.push_own(from);
    }

    /// Writes the end of the body: only after the upstream's own end was seen.
    pub(super) fn finish(&self, parcel: &mut Parcel) {
        debug_assert!(self.group.is_empty());
        if self.out == BodyOut::Chunked {
            let from = parcel.own.len();
            parcel.own.extend_from_slice(LAST_CHUNK);
            parcel.push_own(from);
        }
    }
}
