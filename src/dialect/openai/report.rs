//! What one JSON object of a provider, an event's data or a whole answer, reports at its top level: an error,
//! usage, an answer. Read in place, nothing is copied.
//!
//! Deliberately absent: the content of the answer, and which status an error stands for (`error.rs`).

mod figures;
mod usual;

use super::error;
use crate::base::record::Usage;
use crate::base::span::Span;
use crate::dialect::Places;
use crate::wire::json::scan::{leading_number, short_text_end, skip_space, unsigned, value_end};

use usual::{Front, front};
pub(super) use usual::{named, usage_last};

/// The top level of one object. When the text breaks off or is no JSON, what was read up to there counts and
/// `complete` is false.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// One whole object, and nothing but white space around it (some servers send empty lines while they
    /// work).
    pub(super) complete: bool,
    /// The HTTP status of the error it reports.
    pub(super) error: Option<u16>,
    /// Usage, if it is there with figures.
    pub(super) usage: Option<Usage>,
    /// `choices` is `[]`.
    pub(super) choices_empty: bool,
    /// It has a member that only answers have: `choices`, `data` or `object`.
    pub(super) answers: bool,
    /// Where things stand in it. The finish reason is not looked for.
    pub(super) places: Places,
}

impl Report {
    /// Reads an object.
    pub(super) fn read(text: &[u8]) -> Self {
        let mut report = Self::default();
        let start = skip_space(text, 0);
        let Some(mut members) = Members::open(text, start, 0) else { return report };
        let mut flat_error = false;
        let mut groq_usage = None;
        if let Some(front) = front(text, start)
            && let Some(()) = members.pass(Some(front.choices.end as usize))
        {
            (report.answers, report.choices_empty) = (true, front.choices_empty);
            let Front { id, model, choices, .. } = front;
            report.places = Places { id, model, choices, ..Places::default() };
            flat_error = front.object.of(text) == b"\"error\"";
        }
        while let Some(key) = members.top_key() {
            if key == b"usage" && members.value_starts_with(b'{') {
                // The figures lie inside: read them on the way, instead of once to skip and once to read.
                let (found, start) = (figures::read(text, members.at), members.at);
                if let (Some(_), Some(end)) = (found.usage, found.end) {
                    (report.places.usage, report.places.costed) = (Span::new(start, end), found.costed);
                }
                let Some(()) = members.pass(found.end) else { break };
                report.usage = found.usage.or(report.usage);
                continue;
            }
            let Some(value) = members.skip_value() else { break };
            let text_of = || value.of(text);
            match key {
                b"error" if text_of() != b"null" => {
                    report.error = error::status(text, value).or(report.error);
                }
                b"choices" if text_of() != b"null" => {
                    (report.answers, report.places.choices) = (true, value);
                    report.choices_empty = is_empty_array(text_of());
                }
                b"data" => report.answers |= text_of() != b"null",
                b"object" | b"type" if text_of() == b"\"error\"" => flat_error = true,
                b"object" => report.answers |= text_of() != b"null",
                b"id" => report.places.id = inside_quotes(text, value),
                b"model" => report.places.model = inside_quotes(text, value),
                b"service_tier" => report.places.service_tier = inside_quotes(text, value),
                b"x_groq" => report.read_groq(text, value, &mut groq_usage),
                _ => {}
            }
        }
        report.complete = members.ended && skip_space(text, members.at) == text.len();
        report.settled(text, start, flat_error, groq_usage)
    }

    /// Some servers put the error's members at the top level instead of under `error`; Groq once reported
    /// usage only inside its own member.
    fn settled(mut self, text: &[u8], start: usize, flat_error: bool, groq_usage: Option<Usage>) -> Self {
        if flat_error && self.error.is_none() {
            self.error = error::status(text, Span::new(start, text.len()));
        }
        self.usage = self.usage.or(groq_usage);
        self
    }

    fn read_groq(&mut self, text: &[u8], value: Span, groq_usage: &mut Option<Usage>) {
        let Some(mut members) = Members::open(text, value.start as usize, 1) else { return };
        while let Some(key) = members.next_key()
            && let Some(value) = members.skip_value()
        {
            match key {
                b"usage" => *groq_usage = figures::read(text, value.start as usize).usage,
                b"error" => self.error = error::status(text, value).or(self.error),
                _ => {}
            }
        }
    }
}

/// The members of one object, in order; each value is skipped, or read and passed by the caller. The same
/// strictness as `scan::Fields`, without the positions that nobody asks for here.
struct Members<'t> {
    text: &'t [u8],
    /// The next thing: a key, a value, or what follows the object.
    at: usize,
    /// Levels of nesting around the values, this object included.
    levels: usize,
    /// The closing brace was passed.
    ended: bool,
}

impl<'t> Members<'t> {
    /// Opens the object at `at`, with `outside` levels around it; `None` when there is none.
    fn open(text: &'t [u8], at: usize, outside: usize) -> Option<Self> {
        if text.get(at) != Some(&b'{') {
            return None;
        }
        let at = skip_space(text, at + 1);
        let ended = text.get(at) == Some(&b'}');
        Some(Self { text, at: at + usize::from(ended), levels: outside + 1, ended })
    }

    /// The next key, as written; then `at` is where its value begins. `None` at the end, and where the text
    /// is broken.
    #[inline]
    fn next_key(&mut self) -> Option<&'t [u8]> {
        let start = self.at;
        if self.ended || self.text.get(start) != Some(&b'"') {
            return None;
        }
        let end = self.end_of_text(start)?;
        let colon = skip_space(self.text, end);
        if self.text.get(colon) != Some(&b':') {
            return None;
        }
        self.at = skip_space(self.text, colon + 1);
        self.text.get(start + 1..end - 1)
    }

    /// Takes the next key, if it and its colon are written just so and the value follows at once: like
    /// [`Members::next_key`], without looking for ends.
    #[inline(always)]
    fn take_key<const LENGTH: usize>(&mut self, written: &[u8; LENGTH]) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let fits = !self.ended
            && rest.first_chunk::<LENGTH>() == Some(written)
            && rest.get(LENGTH).is_some_and(|byte| *byte > b' ');
        self.at += if fits { LENGTH } else { 0 };
        fits
    }

    /// The next key of an answer, of which nearly all have usage behind their choices.
    #[inline(always)]
    fn top_key(&mut self) -> Option<&'t [u8]> {
        if self.take_key(b"\"usage\":") { Some(b"usage") } else { self.next_key() }
    }

    fn value_starts_with(&self, byte: u8) -> bool {
        self.text.get(self.at) == Some(&byte)
    }

    #[inline]
    fn skip_value(&mut self) -> Option<Span> {
        let start = self.at;
        let end = if self.value_starts_with(b'"') {
            self.end_of_text(start)?
        } else {
            end_of_value(self.text, start, self.levels)?
        };
        self.behind(end)?;
        Some(Span::new(start, end))
    }

    /// A value that should be a number, passed; `Some(None)` is any other one.
    #[inline]
    fn figure(&mut self) -> Option<Option<u64>> {
        let start = self.at;
        if let Some((number, end)) = leading_number(self.text, start)
            && matches!(self.text.get(end), Some(b',' | b'}'))
            && (self.text[start] != b'0' || end == start + 1)
        {
            self.behind(end)?;
            return Some(Some(number));
        }
        self.skip_value().map(|value| unsigned(value.of(self.text)))
    }

    /// Goes on behind the value, which the caller found to end at `end`. A value that was no use to the
    /// caller is skipped like any other.
    fn pass(&mut self, end: Option<usize>) -> Option<()> {
        match end {
            Some(end) => self.behind(end),
            None => self.skip_value().map(|_| ()),
        }
    }

    /// Takes what must follow a value: a comma, or the closing brace.
    #[inline]
    fn behind(&mut self, end: usize) -> Option<()> {
        let at = skip_space(self.text, end);
        match self.text.get(at)? {
            b',' => self.at = skip_space(self.text, at + 1),
            b'}' => (self.at, self.ended) = (at + 1, true),
            _ => return None,
        }
        Some(())
    }

    /// One past the string whose quote is at `start`.
    #[inline]
    fn end_of_text(&self, start: usize) -> Option<usize> {
        short_text_end(self.text, start + 1).or_else(|| end_of_value(self.text, start, self.levels))
    }
}

/// One copy of the scanner for all that is read here.
#[inline(never)]
fn end_of_value(text: &[u8], at: usize, outside: usize) -> Option<usize> {
    value_end(text, at, outside).ok()
}

/// The inside of a string without escapes; an empty span is anything else.
pub(super) fn inside_quotes(text: &[u8], value: Span) -> Span {
    match value.of(text) {
        [b'"', inside @ .., b'"'] if !inside.contains(&b'\\') => {
            Span { start: value.start + 1, end: value.end - 1 }
        }
        _ => Span::default(),
    }
}

fn is_empty_array(value: &[u8]) -> bool {
    value.first() == Some(&b'[') && value.get(skip_space(value, 1)) == Some(&b']')
}
