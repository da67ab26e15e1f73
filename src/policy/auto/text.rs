//! The text of a turn, read once: what it is made of, and which words stand in it.
//!
//! The text comes as the inside of JSON strings and is unescaped first, so `\n` ends a line and `\u4f60` is a
//! letter that is not Latin. Then sixty-four bytes are looked at together: where words begin and end, and
//! where something stands that is neither a letter nor a space. Only words that may be in the list, and these
//! other bytes, are looked at one by one.
//! Deliberately absent: which text to read and how much of it (`read`), grammar, and any claim to understand.

use super::signal::{Signal, Signals};
use super::words::{self, Kind};
use crate::wire::block::{FOUR_BLOCKS, Four};
use crate::wire::json::content::first_escape;

/// Most bytes between two ends, unescaped; what is beyond is passed over.
pub(super) const PIECE_BYTES: usize = 2 << 10;
/// Room for them and the end of their last line, in whole blocks.
const ROOM_BYTES: usize = (PIECE_BYTES / FOUR_BLOCKS + 1) * FOUR_BLOCKS;
/// Bytes of a line that tell what kind of line it is.
const LINE_BYTES: usize = 32;
/// A plain task says so at once: among this many words.
const OPENING_WORDS: u32 = 6;
/// A greeting of more words is the beginning of something else.
const GREETING_WORDS: u32 = 8;
/// Marks of a programming language from which on a text is code.
const CODE_MARKS: u32 = 3;
/// Letters from which on a share of them says anything.
const SHARE_BYTES: u32 = 40;

/// Reads pieces of text.
pub(super) struct Reading {
    counts: Counts,
    /// The current piece, unescaped.
    text: [u8; ROOM_BYTES],
    len: usize,
}

impl Reading {
    pub(super) const fn new() -> Self {
        Self { counts: Counts::NONE, text: [0; ROOM_BYTES], len: 0 }
    }

    /// Takes the inside of a JSON string, or a part of one. Parts may be cut anywhere: half an escape is
    /// dropped.
    pub(super) fn read(&mut self, raw: &[u8]) {
        let mut rest = raw;
        while let Some(place) = first_escape(rest) {
            let (plain, behind) = rest.split_at(place);
            self.push(plain);
            let Some((kind, behind)) = behind[1..].split_first() else { return };
            rest = behind;
            let byte = match kind {
                b'n' => b'\n',
                b't' => b'\t',
                b'u' => {
                    let Some((hex, behind)) = rest.split_at_checked(4) else { return };
                    rest = behind;
                    // Above ASCII one byte stands for all of them: only the share counts.
                    let code =
                        core::str::from_utf8(hex).ok().and_then(|hex| u32::from_str_radix(hex, 16).ok());
                    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(0xff)
                }
                b'b' | b'f' | b'r' => b' ',
                other => *other,
            };
            self.push(&[byte]);
        }
        self.push(rest);
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = &mut self.text[self.len..PIECE_BYTES];
        let taken = bytes.len().min(room.len());
        room[..taken].copy_from_slice(&bytes[..taken]);
        self.len += taken;
    }

    /// The text ends here, or something of it is left out.
    pub(super) fn end(&mut self) {
        self.text[self.len] = b'\n';
        let len = core::mem::take(&mut self.len) + 1;
        Piece { text: &self.text, line: 0, ticks: Run::NONE, dollars: Run::NONE, counts: &mut self.counts }
            .read(len);
    }

    /// What all that amounts to.
    pub(super) fn signals(&self) -> Signals {
        self.counts.signals()
    }
}

/// What was counted so far.
struct Counts {
    bytes: u32,
    digits: u32,
    operators: u32,
    foreign: u32,
    questions: u32,
    tabs: u32,
    /// Words of each kind.
    plain: u32,
    greetings: u32,
    code_words: u32,
    math_words: u32,
    hard: u32,
    thoughtful: u32,
    latex: u32,
    words: u32,
    /// `();`, `=>`, `::` and the like.
    code_marks: u32,
    fences: u32,
    /// Lines that begin with `|`.
    rows: u32,
    hunks: u32,
    old_file: bool,
    new_file: bool,
    /// Indented lines that begin with `at `.
    frames: u32,
    trace: bool,
    /// `{` or `[`, then perhaps space, then `"`; and `":`.
    opened: u32,
    json_keys: u32,
}

/// The same mark several times, with at most letters between.
struct Run {
    count: u32,
    /// One past the last of them.
    end: usize,
}

impl Run {
    const NONE: Self = Self { count: 0, end: 0 };

    /// One more at `at`: how many there are now.
    fn add(&mut self, text: &[u8], at: usize) -> u32 {
        let on = text[self.end..at].iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
        *self = Self { count: if on { self.count + 1 } else { 1 }, end: at + 1 };
        self.count
    }
}

/// A text without a gap; its last byte ends a line.
struct Piece<'t> {
    text: &'t [u8; ROOM_BYTES],
    /// Where the current line begins.
    line: usize,
    /// Backticks, dollars.
    ticks: Run,
    dollars: Run,
    counts: &'t mut Counts,
}

impl Piece<'_> {
    fn read(&mut self, len: usize) {
        self.counts.bytes += len as u32;
        let (blocks, _) = self.text.as_chunks::<FOUR_BLOCKS>();
        // Where the current word begins, and whether there is one at the end of the block before.
        let (mut word, mut open) = (0, 0);
        for (block, at) in blocks.iter().zip((0..len).step_by(FOUR_BLOCKS)) {
            let block = Four::of(block);
            let known = u64::MAX >> (FOUR_BLOCKS - (len - at).min(FOUR_BLOCKS));
            let letters = block.letters() & known;
            self.counts.foreign += (block.beyond_ascii() & known).count_ones();
            let behind = letters << 1 | open;
            let (mut starts, mut ends) = (letters & !behind, !letters & behind);
            let mut next = || {
                let start = at + starts.trailing_zeros() as usize;
                starts &= starts.wrapping_sub(1);
                start
            };
            if open == 0 {
                word = next();
            }
            while ends != 0 {
                self.end_word(word, at + ends.trailing_zeros() as usize);
                ends &= ends - 1;
                word = next();
            }
            open = letters >> (u64::BITS - 1);
            let mut marks = known & !letters & !block.spaces();
            while marks != 0 {
                self.mark(at + marks.trailing_zeros() as usize);
                marks &= marks - 1;
            }
        }
    }

    fn before(&self, at: usize) -> u8 {
        at.checked_sub(1).map_or(0, |before| self.text[before])
    }

    /// A byte that belongs to no word and is no space.
    fn mark(&mut self, at: usize) {
        let (byte, last) = (self.text[at], self.before(at));
        let counts = &mut *self.counts;
        match byte {
            b'0'..=b'9' => counts.digits += 1,
            b'?' => counts.questions += 1,
            b'\t' => counts.tabs += 1,
            b'`' => counts.fences += u32::from(self.ticks.add(self.text, at) == 3),
            b'$' => counts.latex += u32::from(self.dollars.add(self.text, at) == 2),
            b'"' => {
                let visible = self.text[..at].iter().rev().find(|byte| **byte > b' ');
                counts.opened += u32::from(matches!(visible, Some(b'{' | b'[')));
            }
            b'\n' => {
                counts.code_marks += u32::from(matches!(last, b';' | b'{'));
                let line = core::mem::replace(&mut self.line, at + 1);
                counts.end_line(&self.text[line..at.min(line + LINE_BYTES)]);
            }
            b'+' | b'*' | b'^' | b'<' => counts.operators += 1,
            b'=' => {
                counts.operators += 1;
                counts.code_marks += u32::from(matches!(last, b'=' | b'!' | b'+'));
            }
            b'>' => {
                counts.operators += 1;
                counts.code_marks += u32::from(matches!(last, b'=' | b'-'));
            }
            b':' => {
                counts.json_keys += u32::from(last == b'"');
                counts.code_marks += u32::from(last == b':');
            }
            b')' => counts.code_marks += u32::from(last == b'('),
            b';' => counts.code_marks += u32::from(last == b')'),
            b'&' | b'|' if last == byte => counts.code_marks += 1,
            _ => {}
        }
    }

    #[inline]
    fn end_word(&mut self, from: usize, end: usize) {
        self.counts.words += 1;
        let Some(kind) = words::kind(&self.text[from..], end - from) else { return };
        let before = self.before(from);
        let counts = &mut *self.counts;
        match kind {
            Kind::Plain => counts.plain += u32::from(counts.words <= OPENING_WORDS),
            Kind::Greeting => counts.greetings += 1,
            Kind::Code => counts.code_words += 1,
            Kind::Math => counts.math_words += 1,
            Kind::Hard => counts.hard += 1,
            Kind::Thoughtful => counts.thoughtful += 1,
            Kind::Latex => counts.latex += u32::from(before == b'\\'),
        }
    }
}

impl Counts {
    const NONE: Self = Self {
        bytes: 0,
        digits: 0,
        operators: 0,
        foreign: 0,
        questions: 0,
        tabs: 0,
        plain: 0,
        greetings: 0,
        code_words: 0,
        math_words: 0,
        hard: 0,
        thoughtful: 0,
        latex: 0,
        words: 0,
        code_marks: 0,
        fences: 0,
        rows: 0,
        hunks: 0,
        old_file: false,
        new_file: false,
        frames: 0,
        trace: false,
        opened: 0,
        json_keys: 0,
    };

    /// `line` is the beginning of one, as much of it as tells.
    fn end_line(&mut self, line: &[u8]) {
        let text = line.trim_ascii_start();
        let indented = text.len() < line.len();
        match text.first() {
            Some(b'|') => self.rows += 1,
            Some(b'@') => self.hunks += u32::from(text.starts_with(b"@@ -")),
            Some(b'd') => self.hunks += u32::from(line.starts_with(b"diff --git ")),
            Some(b'-') => self.old_file |= line.starts_with(b"--- "),
            Some(b'+') => self.new_file |= line.starts_with(b"+++ "),
            Some(b'a') => self.frames += u32::from(indented && text.starts_with(b"at ")),
            Some(b'F') => self.frames += u32::from(indented && text.starts_with(b"File \"")),
            Some(b'T') => self.trace |= text.starts_with(b"Traceback (most recent"),
            Some(b't') => self.trace |= text.starts_with(b"thread '"),
            Some(b'g') => self.trace |= text.starts_with(b"goroutine "),
            Some(b'C') => self.trace |= text.starts_with(b"Caused by: "),
            Some(b'E') => self.trace |= text.starts_with(b"Exception in thread"),
            _ => {}
        }
    }

    /// What all that amounts to.
    fn signals(&self) -> Signals {
        let share = |count: u32, of_hundred: u32| {
            self.bytes >= SHARE_BYTES
                && u64::from(count) * 100 >= u64::from(self.bytes) * u64::from(of_hundred)
        };
        let greeting = self.greetings > 0 && self.words <= GREETING_WORDS && self.questions == 0;
        let fenced = self.fences > 0;
        let code = fenced || self.code_marks >= CODE_MARKS || self.code_words >= 2;
        let figures = self.digits >= 3 && self.operators >= 3 && !fenced && self.code_marks < CODE_MARKS;
        let math =
            self.latex > 0 || self.math_words >= 2 || (self.math_words == 1 && self.digits > 0) || figures;
        Signals::NONE
            .with_if(Signal::Plain, self.plain > 0 || greeting)
            .with_if(Signal::Code, code)
            .with_if(Signal::Diff, self.hunks > 0 || (self.old_file && self.new_file))
            .with_if(Signal::StackTrace, self.trace || self.frames >= 2)
            .with_if(Signal::Math, math)
            .with_if(Signal::HardWords, self.hard > 0 || self.thoughtful >= 2)
            .with_if(Signal::Table, self.rows >= 2 || self.tabs >= 6)
            .with_if(Signal::Json, self.opened > 0 && self.json_keys >= 2)
            .with_if(Signal::Digits, self.digits >= 8 && share(self.digits, 8))
            .with_if(Signal::Questions, self.questions >= 3)
            .with_if(Signal::Script, share(self.foreign, 25))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(raw: &[u8]) -> Vec<&'static str> {
        let mut reading = Reading::new();
        reading.read(raw);
        reading.end();
        reading.signals().iter().map(Signal::name).collect()
    }

    #[track_caller]
    fn check(raw: &str, want: &[&str]) {
        assert_eq!(names(raw.as_bytes()), want, "{raw}");
        for cut in 0..raw.len() {
            // Any cut is a text as well.
            let _ = names(&raw.as_bytes()[..cut]);
            let _ = names(&raw.as_bytes()[cut..]);
        }
    }

    #[test]
    fn texts_show_what_they_are() {
        check("", &[]);
        check("What is the capital of France?", &[]);
        check("Hello there!", &["plain"]);
        check("Hi! Could you tell me how the tides work?", &[]);
        check("Please translate this into German: good morning", &["plain"]);
        check("The minutes of a meeting about how we could one day summarize things", &[]);
        check("Write a Python function that reverses a list", &["code"]);
        check("fix this:\\n```\\nlet x = 1\\n```", &["code"]);
        check("if (a == b && c != d) { run(); }", &["code"]);
        check("diff --git a/x b/x\\n@@ -1,2 +1,3 @@\\n", &["diff"]);
        check("--- a/x\\n+++ b/x\\n", &["diff"]);
        check("--- and a rule", &[]);
        check("Traceback (most recent call last):\\n  File \\\"x.py\\\", line 3", &["stack_trace"]);
        check(
            "\\tat com.example.A.run(A.java)\\n\\tat com.example.B.run(B.java)\\n",
            &["code", "stack_trace"],
        );
        check("Show that \\\\frac{a}{b} is rational", &["math"]);
        check("C:\\\\Users\\\\fraction", &[]);
        check("what is 12 + 30 * (4 + 5)", &["math"]);
        check("Prove it.", &["hard_words"]);
        check("I approve of proverbs", &[]);
        check("compare the two and justify your choice", &["hard_words"]);
        check("| a | b |\\n|---|---|\\n| c | d |", &["table"]);
        check("{\\\"a\\\":1, \\\"b\\\":[true]}", &["json"]);
        check("really? now? why not?", &["questions"]);
        check("сколько будет стоить доставка в Казань и когда она придёт", &["script"]);
        check(&"\\u4f60\\u597d".repeat(25), &["script"]);
        check("\\u0041\\u00e9\\u00", &[]);
        check("Invoice 20231107 total 48211 paid 31.07.2023 rest 12", &["digits"]);
    }

    #[test]
    fn text_may_come_in_parts() {
        let mut reading = Reading::new();
        for part in ["pro", "ve ", "\\", "n", "x\\u00"] {
            reading.read(part.as_bytes());
        }
        reading.end();
        assert!(reading.signals().has(Signal::HardWords));
    }
}
