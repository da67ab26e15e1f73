//! The text of a turn, read once, byte by byte: what it is made of, and which words stand in it.
//!
//! The text comes as the inside of JSON strings and is unescaped on the way, so `\n` ends a line and `\u4f60`
//! is a letter that is not Latin. Nothing is copied but the current word and the first bytes of the current
//! line.
//! Deliberately absent: which text to read and how much of it (`read`), grammar, and any claim to understand.

use super::signal::{Signal, Signals};
use super::words::{self, Kind, WORD_BYTES};

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

/// What was counted so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
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
    /// Backticks, dollars in a row.
    ticks: u32,
    dollars: u32,
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
    word: [u8; WORD_BYTES],
    word_len: usize,
    /// What stood before the current word, and before the current byte.
    before_word: u8,
    last: u8,
    /// The last byte that was no white space.
    last_visible: u8,
    line: [u8; LINE_BYTES],
    line_len: usize,
}

impl Reading {
    /// Reads the inside of a JSON string, or a part of one. Parts may be cut anywhere: half an escape is
    /// dropped.
    pub(super) fn read(&mut self, raw: &[u8]) {
        let mut rest = raw;
        while let Some((byte, behind)) = rest.split_first() {
            rest = behind;
            if *byte != b'\\' {
                self.push(*byte);
                continue;
            }
            let Some((kind, behind)) = rest.split_first() else { break };
            rest = behind;
            match kind {
                b'n' => self.push(b'\n'),
                b't' => self.push(b'\t'),
                b'u' => {
                    let Some((hex, behind)) = rest.split_at_checked(4) else { break };
                    rest = behind;
                    // Above ASCII one byte stands for all of them: only the share counts.
                    let code =
                        core::str::from_utf8(hex).ok().and_then(|hex| u32::from_str_radix(hex, 16).ok());
                    self.push(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(0xff));
                }
                b'b' | b'f' | b'r' => self.push(b' '),
                other => self.push(*other),
            }
        }
    }

    /// The text ends here, or something of it is left out.
    pub(super) fn end(&mut self) {
        self.push(b'\n');
        self.last_visible = 0;
    }

    fn push(&mut self, byte: u8) {
        self.bytes += 1;
        if byte.is_ascii_alphabetic() || byte >= 0x80 {
            self.foreign += u32::from(byte >= 0x80);
            if self.word_len == 0 {
                self.before_word = self.last;
            }
            if let Some(slot) = self.word.get_mut(self.word_len) {
                *slot = byte.to_ascii_lowercase();
            }
            self.word_len += 1;
        } else {
            if self.word_len > 0 {
                self.end_word();
            }
            self.mark(byte);
        }
        match byte {
            b'\n' => self.end_line(),
            _ => {
                if let Some(slot) = self.line.get_mut(self.line_len) {
                    *slot = byte;
                    self.line_len += 1;
                }
            }
        }
        self.last = byte;
        if byte > b' ' {
            self.last_visible = byte;
        }
    }

    /// A byte that belongs to no word.
    fn mark(&mut self, byte: u8) {
        self.ticks = if byte == b'`' { self.ticks + 1 } else { 0 };
        self.dollars = if byte == b'$' { self.dollars + 1 } else { 0 };
        match byte {
            b'0'..=b'9' => self.digits += 1,
            b'?' => self.questions += 1,
            b'\t' => self.tabs += 1,
            b'`' => self.fences += u32::from(self.ticks == 3),
            b'$' => self.latex += u32::from(self.dollars == 2),
            b'"' => self.opened += u32::from(matches!(self.last_visible, b'{' | b'[')),
            b'\n' => self.code_marks += u32::from(matches!(self.last, b';' | b'{')),
            b'+' | b'*' | b'^' | b'<' => self.operators += 1,
            b'=' => {
                self.operators += 1;
                self.code_marks += u32::from(matches!(self.last, b'=' | b'!' | b'+'));
            }
            b'>' => {
                self.operators += 1;
                self.code_marks += u32::from(matches!(self.last, b'=' | b'-'));
            }
            b':' => {
                self.json_keys += u32::from(self.last == b'"');
                self.code_marks += u32::from(self.last == b':');
            }
            b')' => self.code_marks += u32::from(self.last == b'('),
            b';' => self.code_marks += u32::from(self.last == b')'),
            b'&' | b'|' if self.last == byte => self.code_marks += 1,
            _ => {}
        }
    }

    fn end_word(&mut self) {
        let len = core::mem::take(&mut self.word_len);
        self.words += 1;
        let Some(kind) = self.word.get(..len).and_then(words::kind) else { return };
        match kind {
            Kind::Plain => self.plain += u32::from(self.words <= OPENING_WORDS),
            Kind::Greeting => self.greetings += 1,
            Kind::Code => self.code_words += 1,
            Kind::Math => self.math_words += 1,
            Kind::Hard => self.hard += 1,
            Kind::Thoughtful => self.thoughtful += 1,
            Kind::Latex => self.latex += u32::from(self.before_word == b'\\'),
        }
    }

    fn end_line(&mut self) {
        let line = &self.line[..core::mem::take(&mut self.line_len)];
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
    pub(super) fn signals(&self) -> Signals {
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
        let mut reading = Reading::default();
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
        let mut reading = Reading::default();
        for part in ["pro", "ve ", "\\", "n", "x\\u00"] {
            reading.read(part.as_bytes());
        }
        reading.end();
        assert!(reading.signals().has(Signal::HardWords));
    }
}
