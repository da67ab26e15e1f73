//! Server-sent events as they pass by: where each event ends and what its `data:` says (WHATWG HTML §9.2).
//!
//! The watcher never changes, delays or rebuilds a byte; it is handed the pieces of a stream in the order
//! they are sent on and names the end of each event. Pieces may be cut anywhere: the events are the same for
//! every cut.
//!
//! How a value gets out without being copied: while a value lies inside the piece at hand it is only a range
//! of that piece. It is copied into a bounded carry when the piece ends in the middle of the event, or when a
//! second `data:` line has to be joined to the first. So a stream whose pieces hold whole events is never
//! copied, and a giant event costs no more memory than the bound.
//!
//! Deliberately absent: dialect knowledge (`dialect/` judges the data), `id:` and `retry:` values (a relay
//! does not reconnect), UTF-8 decoding (a relay works on bytes).

#[doc(hidden)]
pub mod exercise;
mod value;

#[cfg(test)]
mod tests;

use memchr::{memchr2, memchr3};

use crate::base::limits::EVENT_HOLD_BYTES;
use value::Value;

/// Longest `event:` value that is kept, in bytes; a longer one is given cut to this length.
pub const EVENT_NAME_BYTES: usize = 64;

const BOM: &[u8; 3] = b"\xEF\xBB\xBF";
/// Longest field name that means something here is `event`.
const NAME_BYTES: usize = 5;
const DONE: &[u8] = b"[DONE]";

/// Watches one stream. Holds at most `limits::EVENT_HOLD_BYTES` + [`EVENT_NAME_BYTES`], and nothing at all as
/// long as every event lies within one piece.
#[derive(Debug)]
pub struct Watch {
    line: Line,
    /// Bytes of a byte order mark seen at the start of the stream; `BOM.len()` once it can no longer come.
    bom: u8,
    /// The last byte was a CR that ended a line: a LF that follows belongs to it.
    after_cr: bool,
    /// At least one line of the event at hand is complete.
    begun: bool,
    /// The event at hand was handed out; its values are dropped at the next feed.
    ended: bool,
    data: Value,
    name: Value,
}

/// What a piece brought.
#[derive(Debug, PartialEq, Eq)]
pub struct Fed<'a> {
    /// Bytes of the piece that were looked at: up to and including the blank line that ended `event`, or all
    /// of it.
    pub used: usize,
    /// The event that ended there, if one did.
    pub event: Option<Event<'a>>,
}

/// One complete event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// What kind of event.
    pub kind: EventKind,
    /// Value of `data:`, several lines joined by LF; at most `limits::EVENT_HOLD_BYTES`.
    pub data: &'a [u8],
    /// The value was longer than that: `data` is only its beginning.
    pub truncated: bool,
    /// Value of `event:`, at most [`EVENT_NAME_BYTES`]; empty when there is none.
    pub name: &'a [u8],
}

/// What an event is, as far as framing tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It has a `data:` line.
    Data,
    /// It has none: comments, blank lines, `id:`, `retry:`, or an `event:` alone (which a client ignores).
    Comment,
    /// Its data is exactly `[DONE]`.
    Done,
}

/// Which value a line gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    /// A comment, `id`, `retry`, or anything a client ignores.
    Other,
}

/// Position in the current line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Nothing of it was seen.
    Start,
    /// Inside the field name; `len` saturates above `NAME_BYTES`, where no name matches any more.
    Name { seen: [u8; NAME_BYTES], len: u8 },
    /// Right behind the colon, where one space does not count.
    Gap(Field),
    /// Inside the value.
    Value(Field),
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Watch {
    /// A watcher at the start of a stream. Allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            line: Line::Start,
            bom: 0,
            after_cr: false,
            begun: false,
            ended: false,
            data: Value::new(EVENT_HOLD_BYTES),
            name: Value::new(EVENT_NAME_BYTES),
        }
    }

    /// True when bytes of an event were seen that no blank line has ended yet: a stream that ends now was
    /// cut.
    #[must_use]
    pub fn in_event(&self) -> bool {
        let bom_part = self.bom > 0 && usize::from(self.bom) < BOM.len();
        self.begun || bom_part || self.line != Line::Start
    }

    /// True between two events, with nothing of the next one seen and the start of the stream behind: whole
    /// events may then be taken past the watcher.
    #[must_use]
    pub fn is_between_events(&self) -> bool {
        !self.begun && !self.after_cr && usize::from(self.bom) == BOM.len() && self.line == Line::Start
    }

    /// Looks at the next bytes of the stream, up to the end of the first event that ends in them. The caller
    /// feeds `piece[used..]` next, until nothing is left.
    pub fn feed<'a>(&'a mut self, piece: &'a [u8]) -> Fed<'a> {
        if self.ended {
            self.ended = false;
            self.data.clear();
            self.name.clear();
        }
        if let Some((used, value)) = self.usual_event(piece) {
            let data = &value[..value.len().min(EVENT_HOLD_BYTES)];
            let kind = if data == DONE { EventKind::Done } else { EventKind::Data };
            let event = Event { kind, data, truncated: data.len() < value.len(), name: &[] };
            return Fed { used, event: Some(event) };
        }
        let (used, complete) = self.walk(piece);
        if !complete {
            self.data.settle(piece);
            self.name.settle(piece);
            return Fed { used, event: None };
        }
        (self.ended, self.begun) = (true, false);
        let this: &'a Self = self;
        let (data, truncated) = this.data.of(piece);
        let kind = if !this.data.is_present() {
            EventKind::Comment
        } else if data == DONE {
            EventKind::Done
        } else {
            EventKind::Data
        };
        Fed { used, event: Some(Event { kind, data, truncated, name: this.name.of(piece).0 }) }
    }

    /// The event that nearly every stream consists of, `data: … LF LF`, if the piece begins with a whole one
    /// and nothing came before it: its length and its value. It leaves no trace; the general way below would
    /// find the same.
    #[inline]
    fn usual_event<'a>(&self, piece: &'a [u8]) -> Option<(usize, &'a [u8])> {
        const START: &[u8] = b"data: ";
        let fresh = self.line == Line::Start && usize::from(self.bom) == BOM.len();
        if !fresh || self.begun || self.after_cr {
            return None;
        }
        let rest = piece.strip_prefix(START)?;
        let end = memchr2(b'\n', b'\r', rest)?;
        rest[end..].starts_with(b"\n\n").then(|| (START.len() + end + 2, &rest[..end]))
    }

    /// Walks line by line; stops behind a blank line (`true`) or at the end of the piece (`false`).
    fn walk(&mut self, piece: &[u8]) -> (usize, bool) {
        let mut at = 0;
        if self.after_cr && !piece.is_empty() {
            self.after_cr = false;
            at = usize::from(piece[0] == b'\n');
        }
        if usize::from(self.bom) < BOM.len() {
            at = self.skip_bom(piece, at);
        }
        while at < piece.len() {
            at = match self.line {
                Line::Start if matches!(piece[at], b'\n' | b'\r') => {
                    return (self.end_line(piece, at), true);
                }
                // The line nearly every stream consists of; the general way below would find the same.
                Line::Start if piece[at..].starts_with(b"data:") => {
                    self.line = Line::Gap(Field::Data);
                    at + b"data:".len()
                }
                Line::Start => self.read_name(piece, at, [0; NAME_BYTES], 0),
                Line::Name { seen, len } => self.read_name(piece, at, seen, len),
                Line::Gap(field) => {
                    let at = at + usize::from(piece[at] == b' ');
                    self.begin_value(piece, at, field);
                    at
                }
                Line::Value(field) => self.read_value(piece, at, field),
            };
        }
        (at, false)
    }

    /// A byte order mark at the start of a stream does not count. Bytes that only look like the start of one
    /// are the start of a field name.
    fn skip_bom(&mut self, piece: &[u8], mut at: usize) -> usize {
        while at < piece.len() {
            let matched = usize::from(self.bom);
            if piece[at] != BOM[matched] {
                if matched > 0 {
                    let mut seen = [0; NAME_BYTES];
                    seen[..matched].copy_from_slice(&BOM[..matched]);
                    self.line = Line::Name { seen, len: self.bom };
                }
                self.bom = BOM.len() as u8;
                return at;
            }
            at += 1;
            self.bom += 1;
            if usize::from(self.bom) == BOM.len() {
                return at;
            }
        }
        at
    }

    /// Reads a field name up to its colon. A line without a colon is a name with an empty value.
    fn read_name(&mut self, piece: &[u8], at: usize, mut seen: [u8; NAME_BYTES], len: u8) -> usize {
        let end = memchr3(b':', b'\n', b'\r', &piece[at..]).map_or(piece.len(), |found| at + found);
        let mut len = usize::from(len);
        for byte in piece[at..end].iter().take(NAME_BYTES + 1) {
            if let Some(slot) = seen.get_mut(len) {
                *slot = *byte;
            }
            len = (len + 1).min(NAME_BYTES + 1);
        }
        let Some(stop) = piece.get(end) else {
            self.line = Line::Name { seen, len: len as u8 };
            return end;
        };
        let field = match seen.get(..len) {
            Some(b"data") => Field::Data,
            Some(b"event") => Field::Event,
            _ => Field::Other,
        };
        if *stop == b':' {
            self.line = Line::Gap(field);
            return end + 1;
        }
        self.begin_value(piece, end, field);
        self.end_line(piece, end)
    }

    fn begin_value(&mut self, piece: &[u8], at: usize, field: Field) {
        self.line = Line::Value(field);
        match field {
            Field::Data => self.data.begin_joined(piece, at),
            Field::Event => self.name.begin(at),
            Field::Other => {}
        }
    }

    fn read_value(&mut self, piece: &[u8], at: usize, field: Field) -> usize {
        let end = memchr2(b'\n', b'\r', &piece[at..]).map_or(piece.len(), |found| at + found);
        match field {
            Field::Data => self.data.extend(piece, at, end),
            Field::Event => self.name.extend(piece, at, end),
            Field::Other => {}
        }
        if end == piece.len() { end } else { self.end_line(piece, end) }
    }

    /// Takes the line end at `at`: LF, CR, or CR LF. When the piece ends behind a CR the line ends all the
    /// same, and a LF at the start of the next piece is swallowed there.
    fn end_line(&mut self, piece: &[u8], at: usize) -> usize {
        self.line = Line::Start;
        self.begun = true;
        if piece[at] == b'\n' {
            return at + 1;
        }
        match piece.get(at + 1) {
            Some(b'\n') => at + 2,
            Some(_) => at + 1,
            None => {
                self.after_cr = true;
                at + 1
            }
        }
    }
}
