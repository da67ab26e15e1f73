//! Splits a head into its start line and its fields, once its end has arrived; says early what can never
//! become a head. One pass reads and judges: names and values are looked at by blocks, and the first byte
//! that is no ordinary part of one decides what happens next.
//!
//! ```text
//!   0        start          line                 fields                          used
//!   │ CRLF…  │ start line   │ CR LF │ name ":" value CR LF …              │ CR LF │ body …
//! ```
//!
//! Whatever way the bytes are cut into reads, the verdict is the same. That holds because there is one order
//! of judgement: the opening bytes, the start line, bare LFs, the length, and only in a head whose end has
//! been found the fields.
//!
//! Deliberately absent: what a field means (`fields`, `request`, `response`).

use super::{TCHAR, is_value_byte, only};
use crate::base::limits::{HEAD_BYTES, HEAD_FIELDS};
use crate::base::span::Span;
use crate::wire::Parse;
use crate::wire::block::{BLOCK, Block};
use crate::wire::flaw::Flaw;
use memchr::{memchr, memchr_iter, memmem};

/// A request or a response under construction.
pub(super) trait Message: Sized {
    /// Longest start line in bytes, without its CR LF.
    const LINE_BYTES: usize;
    /// What a longer one is.
    const LINE_TOO_LONG: Flaw;

    /// Judges the first bytes of the start line, of which there may be any number, before its end is in
    /// sight.
    fn opening(bytes: &[u8]) -> Result<(), Flaw>;

    /// Reads the start line, which is `line` of `bytes`.
    fn start_line(bytes: &[u8], line: Span) -> Result<Self, Flaw>;

    /// Takes one field; its value is `value` of `bytes`, without white space around it.
    fn field(&mut self, bytes: &[u8], name: &[u8], value: Span) -> Result<(), Flaw>;
}

/// Reads the head that begins at `start` into `place`, where it stays: it is too large to be handed up step
/// by step. `scanned` is how far an earlier call has looked.
#[inline]
pub(super) fn parse<'p, M: Message>(
    bytes: &[u8],
    start: usize,
    scanned: &mut usize,
    place: &'p mut Option<M>,
) -> Parse<&'p mut M> {
    let window = &bytes[..bytes.len().min(start + HEAD_BYTES)];
    let looked = (*scanned).clamp(start, window.len());
    let verdict = M::opening(&window[start..]).and_then(|()| complete(window, start, looked, place));
    match verdict {
        Ok(Some((value, used))) => Parse::Done { value, used },
        Err(flaw) => Parse::Bad(flaw),
        Ok(None) => match incomplete::<M>(window, start, looked) {
            Err(flaw) => Parse::Bad(flaw),
            Ok(()) => {
                *scanned = window.len();
                Parse::More
            }
        },
    }
}

/// The message and the bytes it took, or `None` while the head's end is missing.
#[inline]
fn complete<'p, M: Message>(
    window: &[u8],
    start: usize,
    looked: usize,
    place: &'p mut Option<M>,
) -> Result<Option<(&'p mut M, usize)>, Flaw> {
    // A first call hopes that everything is there; a later one pays for a parse only when the end is.
    if looked > start && end_of_head(window, start, looked).is_none() {
        return Ok(None);
    }
    let Some(line) = start_line::<M>(window, start)? else { return Ok(None) };
    let message = place.insert(M::start_line(window, line)?);
    let fields = line.end as usize + 2;
    match read_fields(window, fields, message) {
        Some(verdict) => verdict.map(|used| Some((message, used))),
        None => match end_of_head(window, start, start) {
            Some(end) => Err(diagnose(&window[fields..end])),
            None => Ok(None),
        },
    }
}

/// Judges what is there of a head whose end is missing.
#[cold]
fn incomplete<M: Message>(window: &[u8], start: usize, looked: usize) -> Result<(), Flaw> {
    let Some(line) = start_line::<M>(window, start)? else { return Ok(()) };
    let fields = line.end as usize + 2;
    if fields > looked {
        M::start_line(window, line)?;
    }
    bare_line_feed(window, fields.max(looked))?;
    if window.len() - start == HEAD_BYTES { Err(Flaw::HeadTooLong) } else { Ok(()) }
}

/// The start line without its CR LF, or `None` while its end is missing.
fn start_line<M: Message>(window: &[u8], start: usize) -> Result<Option<Span>, Flaw> {
    if let Some(end) = line_end(window, start)
        && end - start <= M::LINE_BYTES
    {
        return Ok(Some(Span::new(start, end)));
    }
    let rest = &window[start..];
    let reach = M::LINE_BYTES + 2;
    match memchr(b'\n', &rest[..rest.len().min(reach)]) {
        Some(feed) if feed > 0 && rest[feed - 1] == b'\r' => Ok(Some(Span::new(start, start + feed - 1))),
        Some(_) => Err(Flaw::LineEnd),
        None if rest.len() >= reach => Err(M::LINE_TOO_LONG),
        None => Ok(None),
    }
}

/// One past the empty line that ends the head; bytes before `looked` are known not to complete one.
fn end_of_head(window: &[u8], start: usize, looked: usize) -> Option<usize> {
    let from = looked.saturating_sub(3).max(start);
    memmem::find(&window[from..], b"\r\n\r\n").map(|at| from + at + 4)
}

/// RFC 9112 §2.2 lets a recipient take a bare LF for a line end; parsers that do and parsers that do not
/// disagree about where a head ends, so we do not.
fn bare_line_feed(window: &[u8], from: usize) -> Result<(), Flaw> {
    let bare = |feed: usize| from + feed == 0 || window[from + feed - 1] != b'\r';
    if memchr_iter(b'\n', &window[from..]).any(bare) { Err(Flaw::LineEnd) } else { Ok(()) }
}

/// Gives the fields from `at` on to `message`: its verdict with one past the empty line; `None` when there is
/// no empty line, or when something is wrong with a line. What is wrong with a line comes before what is
/// wrong with a field, so the message's verdict waits for the end.
#[inline]
pub(super) fn read_fields<M: Message>(
    window: &[u8],
    mut at: usize,
    message: &mut M,
) -> Option<Result<usize, Flaw>> {
    let mut verdict = Ok(());
    for _ in 0..=HEAD_FIELDS {
        if window.get(at) == Some(&b'\r') {
            return (window.get(at + 1) == Some(&b'\n')).then(|| verdict.map(|()| at + 2));
        }
        let colon = name_end(window, at)?;
        let (value, end) = field_value(window, colon + 1)?;
        if verdict.is_ok() {
            verdict = message.field(window, &window[at..colon], value);
        }
        at = end + 2;
    }
    None
}

/// Position of the colon behind the field name that begins at `start`; `None` when no name and colon are
/// there.
#[inline(always)]
pub(super) fn name_end(window: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        match Block::at(window, at).map(Block::not_word) {
            Some(0) => {
                at += BLOCK;
                continue;
            }
            Some(marks) => at += marks.trailing_zeros() as usize,
            None => {}
        }
        match *window.get(at)? {
            b':' => return (at > start).then_some(at),
            byte if TCHAR[byte as usize] => at += 1,
            _ => return None,
        }
    }
}

/// The value that begins at `start`, without white space around it, and where its line's CR LF is.
#[inline(always)]
pub(super) fn field_value(window: &[u8], start: usize) -> Option<(Span, usize)> {
    let line = line_end(window, start)?;
    // One space before the value and none behind it: what everybody sends.
    let start = start + usize::from(window[start] == b' ');
    if start < line && window[start] > b' ' && window[line - 1] > b' ' {
        return Some((Span::new(start, line), line));
    }
    Some((trimmed(window, start, line), line))
}

/// `window[start..end]` without white space at both ends.
#[cold]
fn trimmed(window: &[u8], mut start: usize, mut end: usize) -> Span {
    while start < end && matches!(window[start], b' ' | b'\t') {
        start += 1;
    }
    while start < end && matches!(window[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    Span::new(start, end)
}

/// Position of the CR LF that ends the line at `at`; `None` when none is there, or when another control byte
/// comes first.
#[inline(always)]
fn line_end(window: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match Block::at(window, at).map(Block::controls) {
            Some(0) => {
                at += BLOCK;
                continue;
            }
            Some(marks) => at += marks.trailing_zeros() as usize,
            None => at += window.get(at..)?.iter().position(|&byte| !is_value_byte(byte))?,
        }
        return (window.get(at..at + 2)? == b"\r\n").then_some(at);
    }
}

/// Says what is wrong with a field section (empty line included) that [`read_fields`] refused.
#[cold]
fn diagnose(section: &[u8]) -> Flaw {
    section_flaw(section).unwrap_or(Flaw::Field)
}

/// The plain reading of a field section, line by line: the first flaw, or `None`. Slow and obvious; the
/// exercises compare it with [`read_fields`].
pub(super) fn section_flaw(section: &[u8]) -> Option<Flaw> {
    if bare_line_feed(section, 0).is_err() {
        return Some(Flaw::LineEnd);
    }
    let mut count = 0;
    let mut rest = section;
    while let Some(feed) = memchr(b'\n', rest) {
        let line = &rest[..feed - 1];
        rest = &rest[feed + 1..];
        if line.is_empty() {
            return None;
        }
        if let Err(flaw) = field_line(line) {
            return Some(flaw);
        }
        count += 1;
        if count > HEAD_FIELDS {
            return Some(Flaw::TooManyFields);
        }
    }
    Some(Flaw::Field)
}

/// `field-line = field-name ":" OWS field-value OWS` (RFC 9112 §5) for `line` without its CR LF.
pub(super) fn field_line(line: &[u8]) -> Result<(), Flaw> {
    if let [b' ' | b'\t', ..] = line {
        return Err(Flaw::Folded);
    }
    if memchr(b'\r', line).is_some() {
        return Err(Flaw::LineEnd);
    }
    // RFC 9112 §5.1: white space before the colon is refused; it is no `tchar`.
    let colon = memchr(b':', line).ok_or(Flaw::Field)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if only(&TCHAR, name) && value.iter().all(|&byte| is_value_byte(byte)) {
        Ok(())
    } else {
        Err(Flaw::Field)
    }
}
