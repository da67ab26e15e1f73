//! Splits a head into its start line and its fields, once its end has arrived; says early what can never
//! become a head. The only file that names `httparse`: it tokenises fields, our strictness stands around it.
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
use crate::wire::flaw::Flaw;
use memchr::{memchr, memchr_iter, memmem};

/// Fields of an ordinary head; more of them cost a second pass with room for `HEAD_FIELDS`.
const FIELDS_USUAL: usize = 24;

const _: () = assert!(FIELDS_USUAL < HEAD_FIELDS);

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

/// Reads the head that begins at `start`; `scanned` is how far an earlier call has looked.
#[inline]
pub(super) fn parse<M: Message>(bytes: &[u8], start: usize, scanned: &mut usize) -> Parse<M> {
    let window = &bytes[..bytes.len().min(start + HEAD_BYTES)];
    let looked = (*scanned).clamp(start, window.len());
    let verdict = M::opening(&window[start..]).and_then(|()| complete::<M>(window, start, looked));
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
fn complete<M: Message>(window: &[u8], start: usize, looked: usize) -> Result<Option<(M, usize)>, Flaw> {
    // A first call hopes that everything is there; a later one pays for a parse only when the end is.
    if looked > start && end_of_head(window, start, looked).is_none() {
        return Ok(None);
    }
    let Some(line) = start_line::<M>(window, start)? else { return Ok(None) };
    let mut message = M::start_line(window, line)?;
    let fields = line.end as usize + 2;
    match tokenise(window, fields, |name, value| message.field(window, name, value))? {
        Some(used) => Ok(Some((message, used))),
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

/// Visits the fields from `fields` on and returns one past the empty line; `None` when there is none, or when
/// something is wrong with a line. No field is visited unless all lines are well formed.
#[inline]
fn tokenise<'b>(
    window: &'b [u8],
    fields: usize,
    visit: impl FnMut(&'b [u8], Span) -> Result<(), Flaw>,
) -> Result<Option<usize>, Flaw> {
    let mut usual = [httparse::EMPTY_HEADER; FIELDS_USUAL];
    match httparse::parse_headers(&window[fields..], &mut usual) {
        Ok(httparse::Status::Complete((used, found))) => visit_all(window, fields + used, found, visit),
        Err(httparse::Error::TooManyHeaders) => tokenise_many(window, fields, visit),
        Ok(httparse::Status::Partial) | Err(_) => Ok(None),
    }
}

/// The same for a head with many fields.
#[cold]
fn tokenise_many<'b>(
    window: &'b [u8],
    fields: usize,
    visit: impl FnMut(&'b [u8], Span) -> Result<(), Flaw>,
) -> Result<Option<usize>, Flaw> {
    let mut many = [httparse::EMPTY_HEADER; HEAD_FIELDS];
    match httparse::parse_headers(&window[fields..], &mut many) {
        Ok(httparse::Status::Complete((used, found))) => visit_all(window, fields + used, found, visit),
        Ok(httparse::Status::Partial) | Err(_) => Ok(None),
    }
}

/// Checks what httparse is lenient about, line ends, then visits. A name begins where its line does, so the
/// two bytes before it are the line end of the line above.
#[inline]
fn visit_all<'b>(
    window: &'b [u8],
    used: usize,
    found: &[httparse::Header<'b>],
    mut visit: impl FnMut(&'b [u8], Span) -> Result<(), Flaw>,
) -> Result<Option<usize>, Flaw> {
    let position = |part: &[u8]| part.as_ptr().addr() - window.as_ptr().addr();
    let ended = |at: usize| at >= 2 && window[at - 2..at] == *b"\r\n";
    if !(window[..used].ends_with(b"\r\n\r\n")
        && found.iter().all(|field| ended(position(field.name.as_bytes()))))
    {
        return Ok(None);
    }
    for field in found {
        let value = position(field.value);
        visit(field.name.as_bytes(), Span::new(value, value + field.value.len()))?;
    }
    Ok(Some(used))
}

/// Says what is wrong with a field section (empty line included) that the tokeniser refused.
#[cold]
fn diagnose(section: &[u8]) -> Flaw {
    section_flaw(section).unwrap_or(Flaw::Field)
}

/// The plain reading of a field section, line by line: the first flaw, or `None`. Slow and obvious; the
/// exercises compare it with the tokeniser.
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
