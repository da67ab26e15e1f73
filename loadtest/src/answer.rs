//! Checks a streamed chat answer of numbered words (`word-1 word-2 …`) while it comes: every word once and
//! in order, then the reason it ended, then `[DONE]`, then nothing.
//!
//! The events are searched, not parsed: a full JSON parser would cost the generator more than the router
//! costs. A member's name inside a string has escaped quotes, so it cannot be mistaken for a member.
//! Deliberately absent: HTTP and time.

use core::ops::Range;

use memchr::memmem;

/// Longest event in bytes.
const EVENT_BYTES: usize = 64 * 1024;

/// What a piece of the answer added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Complete events, comments not counted.
    pub(crate) events: u64,
    /// Words.
    pub(crate) words: u64,
}

/// The answer so far.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Bytes of the event that is not complete.
    pending: Vec<u8>,
    /// The next word's number.
    due: u64,
    /// Words asked for.
    words: u64,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Words may come.
    Open,
    /// A reason to end was given.
    Finished,
    /// `[DONE]` was read.
    Done,
}

impl Answer {
    /// An answer that should have `words` words.
    pub(crate) fn new(words: u64) -> Self {
        Self { pending: Vec::new(), due: 1, words, end: End::Open }
    }

    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// What is wrong with the answer.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Progress, &'static str> {
        let searched = self.pending.len().saturating_sub(1);
        self.pending.extend_from_slice(bytes);
        let (mut progress, mut from, mut search) = (Progress::default(), 0, searched);
        while let Some(at) = memmem::find(&self.pending[search..], b"\n\n") {
            let end = search + at;
            self.event(from..end, &mut progress)?;
            (from, search) = (end + 2, end + 2);
        }
        self.pending.drain(..from);
        if self.pending.len() > EVENT_BYTES { Err("an event without an end") } else { Ok(progress) }
    }

    /// The body is over: it must have been all.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn finish(&self) -> Result<(), &'static str> {
        match self.end {
            End::Done if self.pending.is_empty() => Ok(()),
            End::Done => Err("bytes behind [DONE]"),
            End::Finished => Err("no [DONE]"),
            End::Open => Err("no finish_reason"),
        }
    }

    fn event(&mut self, place: Range<usize>, progress: &mut Progress) -> Result<(), &'static str> {
        let event = &self.pending[place];
        if event.first() == Some(&b':') {
            return if self.end == End::Done { Err("a comment behind [DONE]") } else { Ok(()) };
        }
        let Some(data) = event.strip_prefix(b"data: ") else { return Err("a line that is not data") };
        if data.contains(&b'\n') {
            return Err("an event of several lines");
        }
        progress.events += 1;
        match (data, self.end) {
            (_, End::Done) => Err("an event behind [DONE]"),
            (b"[DONE]", End::Open) => Err("[DONE] before the finish_reason"),
            (b"[DONE]", End::Finished) => {
                self.end = End::Done;
                Ok(())
            }
            (chunk, _) => {
                let (due, end) = self.chunk(chunk)?;
                progress.words += due - self.due;
                (self.due, self.end) = (due, end);
                Ok(())
            }
        }
    }

    /// The next word due and the end, behind this chunk.
    fn chunk(&self, chunk: &[u8]) -> Result<(u64, End), &'static str> {
        if !(chunk.starts_with(b"{") && chunk.ends_with(b"}")) {
            return Err("data that is not an object");
        }
        if member(chunk, b"\"error\"").is_some() {
            return Err("an error event");
        }
        let mut due = self.due;
        if let Some(content) = member(chunk, b"\"content\"").filter(|content| !content.is_empty()) {
            if self.end != End::Open {
                return Err("a word behind the finish_reason");
            }
            self.word(content)?;
            due += 1;
        }
        let end = match member(chunk, b"\"finish_reason\"") {
            None => self.end,
            Some(_) if self.end != End::Open => return Err("two finish_reasons"),
            Some(_) if due <= self.words => return Err("it ended before the last word"),
            Some(b"stop") => End::Finished,
            Some(_) => return Err("a finish_reason other than stop"),
        };
        Ok((due, end))
    }

    fn word(&self, content: &[u8]) -> Result<(), &'static str> {
        let text = if self.due == 1 { Some(content) } else { content.strip_prefix(b" ") };
        let digits = text.and_then(|text| text.strip_prefix(b"word-")).ok_or("content that is no word")?;
        let number: u64 = core::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or("content that is no word")?;
        match number {
            number if number > self.words => Err("more words than asked for"),
            number if number > self.due => Err("a word is missing"),
            number if number < self.due => Err("a word came twice or late"),
            _ => Ok(()),
        }
    }
}

/// The text between the quotes of a string member, or all that follows the colon of another one; `None` when
/// the member is absent or null.
fn member<'b>(object: &'b [u8], quoted: &[u8]) -> Option<&'b [u8]> {
    let mut from = 0;
    while let Some(at) = memmem::find(&object[from..], quoted) {
        from += at + quoted.len();
        // The same text may also be a value.
        let Some(value) = object[from..].trim_ascii_start().strip_prefix(b":") else { continue };
        let value = value.trim_ascii_start();
        if value.starts_with(b"null") {
            return None;
        }
        let Some(text) = value.strip_prefix(b"\"") else { return Some(value) };
        let end = (0..text.len()).find(|&at| text[at] == b'"' && !is_escaped(text, at))?;
        return Some(&text[..end]);
    }
    None
}

/// An odd number of backslashes stands before `at`.
fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(number: u64) -> String {
        let space = if number == 1 { "" } else { " " };
        chunk(&format!("{{\"content\":\"{space}word-{number}\"}}"), "null")
    }

    fn chunk(delta: &str, finish: &str) -> String {
        format!("data: {{\"id\":\"x\",\"choices\":[{{\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n")
    }

    fn role() -> String {
        chunk("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "null")
    }

    fn stop() -> String {
        chunk("{}", "\"stop\"")
    }

    const DONE: &str = "data: [DONE]\n\n";

    fn run(pieces: &[&[u8]]) -> Result<Progress, &'static str> {
        let (mut answer, mut sum) = (Answer::new(3), Progress::default());
        for piece in pieces {
            let progress = answer.feed(piece)?;
            sum = Progress { events: sum.events + progress.events, words: sum.words + progress.words };
        }
        answer.finish().map(|()| sum)
    }

    /// Three words are asked for; the answer is the concatenation of `parts`.
    #[track_caller]
    fn check(parts: &[String], want: Result<(u64, u64), &'static str>) {
        let input = parts.concat();
        let want = want.map(|(events, words)| Progress { events, words });
        for cut in 0..=input.len() {
            let (a, b) = input.as_bytes().split_at(cut);
            assert_eq!(run(&[a, b]), want, "{input:?} cut at {cut}");
        }
    }

    #[test]
    fn whole_answers_pass() {
        let words = || (1..=3).map(word).collect::<String>();
        check(&[role(), words(), stop(), DONE.to_owned()], Ok((6, 3)));
        let usage = "data: {\"choices\":[],\"usage\":{\"total_tokens\":7}}\n\n".to_owned();
        check(&[": waiting\n\n".to_owned(), words(), stop(), usage, DONE.to_owned()], Ok((6, 3)));
        let spaced = words().replace("\":", "\" : ");
        check(&[spaced, stop(), DONE.to_owned()], Ok((5, 3)));
    }

    #[test]
    fn every_fault_is_seen() {
        let done = || DONE.to_owned();
        check(&[word(1), word(3), stop(), done()], Err("a word is missing"));
        check(&[word(1), word(2), word(2), word(3), stop(), done()], Err("a word came twice or late"));
        check(&[word(1), word(2), stop(), done()], Err("it ended before the last word"));
        check(&[word(1), word(2), word(3), word(4), stop(), done()], Err("more words than asked for"));
        check(&[word(1), word(2), word(3), done()], Err("[DONE] before the finish_reason"));
        check(&[word(1), word(2), word(3), stop()], Err("no [DONE]"));
        check(&[word(1), word(2), word(3)], Err("no finish_reason"));
        check(&[word(1), word(2), word(3), stop(), stop(), done()], Err("two finish_reasons"));
        let length = chunk("{}", "\"length\"");
        check(&[word(1), word(2), word(3), length, done()], Err("a finish_reason other than stop"));
        check(&[word(1), word(2), word(3), stop(), word(3), done()], Err("a word behind the finish_reason"));
        check(&[word(1), word(2), word(3), stop(), done(), done()], Err("an event behind [DONE]"));
        check(&[word(1), word(2), word(3), stop(), done(), "data".to_owned()], Err("bytes behind [DONE]"));
        let error = "data: {\"error\":{\"code\":502},\"choices\":[]}\n\n".to_owned();
        check(&[word(1), error], Err("an error event"));
        check(&["data: {\"choices\n\n".to_owned()], Err("data that is not an object"));
        check(&["event: x\n\n".to_owned()], Err("a line that is not data"));
        check(&[chunk("{\"content\":\"word-1 word-2\"}", "null")], Err("content that is no word"));
    }

    #[test]
    fn members_are_found() {
        for (object, want) in [
            (r#"{"content":"a"}"#, Some(&b"a"[..])),
            (r#"{"x":"content","content" : "a"}"#, Some(b"a")),
            (r#"{"content":"a\"b"}"#, Some(br#"a\"b"#)),
            (r#"{"content":"a\\"}"#, Some(br"a\\")),
            (r#"{"content":null}"#, None),
            (r#"{"x":"\"content\":\"b\""}"#, None),
            (r#"{"content":{"#, Some(b"{")),
            (r#"{"content":"a"#, None),
            ("{}", None),
        ] {
            assert_eq!(member(object.as_bytes(), b"\"content\""), want, "{object}");
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut answer = Answer::new(1);
        assert_eq!(answer.feed(&vec![b'x'; EVENT_BYTES]), Ok(Progress::default()));
        assert_eq!(answer.feed(b"x"), Err("an event without an end"));
    }
}
