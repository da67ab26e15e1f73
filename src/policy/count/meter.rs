//! Counting a stream while it passes: each text is cut into pieces as it comes, and what can no longer change
//! is counted at once.
//!
//! The last two pieces of a text that goes on may still change (`word'` and then `s`), those before never do:
//! so two are held back, and the count is the same wherever a text is cut. Cutting waits until some bytes
//! have come together, which spares most events the work. What is held is bounded: a piece that grows
//! beyond [`PIECE_BYTES`] is counted as it is, which may cost a token in a thousand.
//! Deliberately absent: where the texts of an event lie (`dialect/`).

use super::class::whole_characters;
use super::escape::{self, Half};
use super::family::{Family, Rate};
use super::fit::{Fits, Raw};
use super::merge::{PIECE_BYTES, Scratch, cut_at};
use super::split::{MARKER, plain_spaces};
use super::template::Template;
use super::{Counted, Vocabularies, Vocabulary};
use crate::base::record::Usage;
use crate::dialect::{Dialect, Section, Text, TextSink};

/// Bytes that come together before they are cut into pieces.
const BATCH_BYTES: usize = 64;
/// Most bytes that are held of one text.
const TAIL_BYTES: usize = 2 * PIECE_BYTES;
/// Answers of one stream that are counted; those beyond are taken by their bytes.
const CHOICES: usize = 8;

/// Counts one answer at a time. Without a vocabulary it takes what its bytes usually come to.
#[derive(Debug)]
pub struct Meter {
    terms: Terms,
    template: Template,
    tallies: Tallies,
    first: Tail,
    /// Further choices; empty for nearly every stream.
    more: Vec<Tail>,
}

/// How an answer is counted.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    vocabulary: Option<&'static Vocabulary>,
    rate: Rate,
    family: Family,
    /// The endpoint's, for the correction of its rate.
    tag: u64,
}

impl Terms {
    /// By its bytes, at no endpoint.
    pub const PLAIN: Self = Self { vocabulary: None, rate: Rate::PLAIN, family: Family::Other, tag: 0 };

    /// With this vocabulary, and what it counts is the result.
    #[doc(hidden)]
    #[must_use]
    pub const fn plainly(vocabulary: &'static Vocabulary) -> Self {
        Self { vocabulary: Some(vocabulary), ..Self::PLAIN }
    }

    /// That of a family's model at the endpoint of this tag. A vocabulary that is missing is asked for.
    #[must_use]
    #[inline]
    pub fn of(vocabularies: &Vocabularies, fits: &Fits, family: Family, tag: u64) -> Self {
        let vocabulary = vocabularies.get(family.vocabulary());
        Self { vocabulary, rate: fits.rate(tag, family), family, tag }
    }
}

/// What was counted, before the family's rate.
#[derive(Clone, Copy, Debug, Default)]
struct Tallies {
    tokens: u64,
    reasoning_tokens: u64,
    text_bytes: u64,
    reasoning_bytes: u64,
    /// Text that was not cut into pieces.
    rough_bytes: u64,
}

/// What is held of one choice.
#[derive(Debug)]
struct Tail {
    section: Section,
    half: Half,
    /// How long `bytes` must be to be cut.
    due: usize,
    bytes: Vec<u8>,
}

impl Tail {
    const fn new() -> Self {
        Self { section: Section::Text, half: 0, due: BATCH_BYTES, bytes: Vec::new() }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        (self.section, self.half, self.due) = (Section::Text, 0, BATCH_BYTES);
    }
}

impl Meter {
    /// With nothing counted.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            terms: Terms::PLAIN,
            template: Template::new(),
            tallies: Tallies {
                tokens: 0,
                reasoning_tokens: 0,
                text_bytes: 0,
                reasoning_bytes: 0,
                rough_bytes: 0,
            },
            first: Tail::new(),
            more: Vec::new(),
        }
    }

    /// Begins the next answer, in the memory of the one before.
    pub fn restart(&mut self, terms: Terms) {
        self.terms = terms;
        self.tallies = Tallies::default();
        self.template.clear();
        self.first.clear();
        self.more.iter_mut().for_each(Tail::clear);
    }

    /// Counts the texts of a whole answer that is no stream: for one without a report of its usage.
    #[must_use]
    pub fn document(terms: Terms, dialect: &dyn Dialect, body: &[u8], scratch: &mut Scratch) -> Counted {
        let mut meter = Self::new();
        meter.restart(terms);
        meter.event(dialect, body, scratch);
        meter.counted()
    }

    /// Counts the data of an event.
    #[inline]
    pub fn event(&mut self, dialect: &dyn Dialect, data: &[u8], scratch: &mut Scratch) {
        if let Some(text) = self.template.fits(data) {
            return self.text(text, data, scratch);
        }
        let mut template = core::mem::replace(&mut self.template, Template::new());
        template.walk(dialect, data, &mut Sink { meter: self, data, scratch });
        self.template = template;
    }

    /// An event whose text cannot be found: this many of its bytes are taken for text.
    pub fn rough(&mut self, bytes: u64) {
        self.tallies.text_bytes += bytes;
        self.tallies.rough_bytes += bytes;
    }

    fn text(&mut self, text: Text, data: &[u8], scratch: &mut Scratch) {
        let Self { terms, tallies, first, more, .. } = self;
        let raw = text.at.of(data);
        let reasoning = text.section == Section::Reasoning;
        let choice = text.choice as usize;
        let Some(vocabulary) = terms.vocabulary.filter(|_| choice < CHOICES) else {
            let mut bytes = 0;
            escape::unescape(raw, &mut first.half, |part| bytes += part.len() as u64);
            tallies.text_bytes += bytes;
            tallies.rough_bytes += bytes;
            tallies.reasoning_bytes += if reasoning { bytes } else { 0 };
            return;
        };
        if choice > more.len() {
            more.resize_with(choice, Tail::new);
        }
        let tail = if choice == 0 { first } else { &mut more[choice - 1] };
        if tail.section != text.section {
            tallies.finish(tail, vocabulary, scratch);
            tail.section = text.section;
        }
        let mut half = tail.half;
        escape::unescape(raw, &mut half, |part| {
            tallies.text_bytes += part.len() as u64;
            tallies.reasoning_bytes += if reasoning { part.len() as u64 } else { 0 };
            tallies.push(tail, part, vocabulary, scratch);
        });
        tail.half = half;
    }

    /// What was counted so far, what is held included.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let (raw, text_bytes, exact) = self.totals();
        Counted {
            tokens: self.terms.rate.billed(raw.tokens, raw.reasoning_tokens > 0),
            reasoning_tokens: self.terms.rate.billed_part(raw.reasoning_tokens),
            text_bytes,
            exact,
        }
    }

    /// The answer is whole, and this is what its provider reports of it: corrects the endpoint's rate. False
    /// when that says nothing about the rate.
    pub fn compare(&self, reported: Usage, fits: &mut Fits) -> bool {
        let (raw, _, exact) = self.totals();
        exact && fits.note(self.terms.tag, self.terms.family, raw, reported)
    }

    fn totals(&self) -> (Raw, u64, bool) {
        let mut tallies = self.tallies;
        if let Some(vocabulary) = self.terms.vocabulary {
            let mut scratch = Scratch::default();
            for tail in core::iter::once(&self.first).chain(&self.more) {
                let tokens = vocabulary.tokens_of(&tail.bytes, &mut scratch) + u64::from(tail.half != 0);
                tallies.add(tail.section, tokens);
            }
        }
        let tokens = tallies.tokens + self.terms.rate.tokens_of_bytes(tallies.rough_bytes);
        let reasoning_tokens = match self.terms.vocabulary {
            Some(_) => tallies.reasoning_tokens,
            None => self.terms.rate.tokens_of_bytes(tallies.reasoning_bytes),
        };
        let raw = Raw { tokens, reasoning_tokens: reasoning_tokens.min(tokens) };
        let exact = self.terms.vocabulary.is_some() && tallies.rough_bytes == 0;
        (raw, tallies.text_bytes, exact)
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

/// Gives the texts of one event to its meter.
struct Sink<'m> {
    meter: &'m mut Meter,
    data: &'m [u8],
    scratch: &'m mut Scratch,
}

impl TextSink for Sink<'_> {
    fn text(&mut self, text: Text) {
        self.meter.text(text, self.data, self.scratch);
    }
}

impl Tallies {
    fn add(&mut self, section: Section, tokens: u64) {
        self.tokens += tokens;
        if section == Section::Reasoning {
            self.reasoning_tokens += tokens;
        }
    }

    /// Takes the next bytes of a text.
    fn push(&mut self, tail: &mut Tail, mut part: &[u8], vocabulary: &Vocabulary, scratch: &mut Scratch) {
        loop {
            let held = tail.bytes.len();
            let (now, later) = part.split_at(part.len().min(TAIL_BYTES - held));
            if tail.bytes.capacity() == 0 {
                // Once per frame of a stream: as much as is held of nearly every text.
                tail.bytes.reserve(2 * BATCH_BYTES);
            }
            tail.bytes.extend_from_slice(now);
            if vocabulary.marks_spaces() && now.iter().any(|byte| MARKER.contains(byte)) {
                plain_spaces(&mut tail.bytes, held);
            }
            if tail.bytes.len() >= tail.due {
                self.settle(tail, vocabulary, scratch);
            }
            if later.is_empty() {
                return;
            }
            part = later;
        }
    }

    /// Counts all pieces but the last two.
    #[inline(never)]
    fn settle(&mut self, tail: &mut Tail, vocabulary: &Vocabulary, scratch: &mut Scratch) {
        let bytes = &tail.bytes[..whole_characters(&tail.bytes)];
        // Where the last two pieces begin that were found.
        let (mut at, mut last, mut second) = (0, 0, 0);
        let mut tokens = 0;
        while at < bytes.len() {
            if last > second {
                tokens += u64::from(vocabulary.piece_tokens(&bytes[second..last], scratch));
            }
            (second, last) = (last, at);
            at = vocabulary.piece_end(bytes, at);
        }
        let mut done = second;
        while bytes.len() - done >= PIECE_BYTES {
            let end = if last > done { last } else { done + cut_at(&bytes[done..]) };
            tokens += u64::from(vocabulary.piece_tokens(&bytes[done..end], scratch));
            done = end;
        }
        tail.bytes.drain(..done);
        tail.due = (2 * tail.bytes.len()).clamp(BATCH_BYTES, TAIL_BYTES);
        self.add(tail.section, tokens);
    }

    /// The text is over: counts what is held.
    fn finish(&mut self, tail: &mut Tail, vocabulary: &Vocabulary, scratch: &mut Scratch) {
        let mut half = core::mem::take(&mut tail.half);
        escape::end(&mut half, &mut |part| tail.bytes.extend_from_slice(part));
        let tokens = vocabulary.tokens_of(&tail.bytes, scratch);
        self.add(tail.section, tokens);
        tail.clear();
    }
}
