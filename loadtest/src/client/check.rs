//! Checks answers: every numbered event once, in order, unchanged and for this request; then the reason it
//! ended, the usage, `[DONE]`, and nothing behind it.
//!
//! Searched, not parsed, as a parser would cost the client more than the router costs. A member's name
//! inside a string has escaped quotes, so it cannot be mistaken for one. Deliberately absent: HTTP.

use memchr::{memchr, memmem};

use crate::origin::numbered::{WORDS_AT, read_content};

/// Longest event in bytes.
const EVENT_BYTES: usize = 17 << 20;

/// What is the same for all right answers of a scenario.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) events: u64,
    pub(super) event_words: Vec<u8>,
    pub(super) answer_words: Vec<u8>,
    pub(super) usage: bool,
}

/// A streamed answer so far.
#[derive(Debug, Default)]
pub(super) struct Check {
    request: u64,
    /// Bytes of the event that is not complete.
    pending: Vec<u8>,
    /// Numbered events seen.
    seen: u64,
    finished: bool,
    usage: bool,
    done: bool,
}

impl Check {
    /// Begins anew, with the answer to `request`.
    pub(super) fn begin(&mut self, request: u64) {
        self.pending.clear();
        *self = Self { request, pending: core::mem::take(&mut self.pending), ..Self::default() };
    }

    /// Takes the next bytes and appends the time of each numbered event to `times`.
    ///
    /// # Errors
    /// What is wrong with the answer.
    pub(super) fn feed(
        &mut self,
        expected: &Expected,
        bytes: &[u8],
        times: &mut Vec<u64>,
    ) -> Result<(), &'static str> {
        if self.pending.is_empty() {
            let used = self.events(expected, bytes, 0, times)?;
            self.pending.extend_from_slice(&bytes[used..]);
        } else {
            let mut pending = core::mem::take(&mut self.pending);
            let searched = pending.len() - 1;
            pending.extend_from_slice(bytes);
            let used = self.events(expected, &pending, searched, times)?;
            pending.drain(..used);
            self.pending = pending;
        }
        if self.pending.len() > EVENT_BYTES { Err("an event without an end") } else { Ok(()) }
    }

    /// The body is over: it must have been all.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn finish(&self, expected: &Expected) -> Result<(), &'static str> {
        if !self.pending.is_empty() {
            Err("a part of an event at the end")
        } else if self.seen < expected.events {
            Err("it ended before the last event")
        } else if !self.finished {
            Err("no finish_reason")
        } else if expected.usage && !self.usage {
            Err("no usage")
        } else if !self.done {
            Err("no [DONE]")
        } else {
            Ok(())
        }
    }

    fn events(
        &mut self,
        expected: &Expected,
        bytes: &[u8],
        searched: usize,
        times: &mut Vec<u64>,
    ) -> Result<usize, &'static str> {
        let (mut from, mut search) = (0, searched);
        while let Some(at) = memmem::find(&bytes[search..], b"\n\n") {
            self.event(expected, &bytes[from..search + at], times)?;
            from = search + at + 2;
            search = from;
        }
        Ok(from)
    }

    fn event(&mut self, expected: &Expected, event: &[u8], times: &mut Vec<u64>) -> Result<(), &'static str> {
        if self.done {
            return Err("an event behind [DONE]");
        }
        if event.first() == Some(&b':') {
            return Ok(());
        }
        let data = event.strip_prefix(b"data:").ok_or("a line that is not data")?.trim_ascii_start();
        if data == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        if !(data.starts_with(b"{") && data.ends_with(b"}")) {
            return Err("data that is not an object");
        }
        if let Some(content) = text(data, b"\"content\"").filter(|content| !content.is_empty()) {
            if self.finished {
                return Err("an event behind the finish_reason");
            }
            times.push(self.numbered(expected, content)?);
            return Ok(());
        }
        if memmem::find(data, b"\"error\"").is_some() {
            return Err("an error event");
        }
        match text(data, b"\"finish_reason\"") {
            Some(b"stop") if self.seen < expected.events => return Err("it ended before the last event"),
            Some(b"stop") if self.finished => return Err("two finish_reasons"),
            Some(b"stop") => self.finished = true,
            Some(_) => return Err("a finish_reason other than stop"),
            None => {}
        }
        self.usage |= memmem::find(data, b"\"usage\":{").is_some();
        Ok(())
    }

    fn numbered(&mut self, expected: &Expected, content: &[u8]) -> Result<u64, &'static str> {
        let (request, number, time_ns, words) = read_content(content).ok_or("content without numbers")?;
        if request != self.request {
            return Err("an event of another request");
        }
        if number > self.seen + 1 {
            return Err(if number > expected.events {
                "more events than asked for"
            } else {
                "an event is lost"
            });
        }
        if number <= self.seen {
            return Err("an event came twice or late");
        }
        if words != expected.event_words {
            return Err("an event with other words");
        }
        if number > expected.events {
            return Err("more events than asked for");
        }
        self.seen += 1;
        Ok(time_ns)
    }
}

/// Checks an answer that is not streamed and returns the time in it.
///
/// # Errors
/// What is wrong with the answer.
pub(super) fn check_answer(expected: &Expected, body: &[u8], request: u64) -> Result<u64, &'static str> {
    if !(body.starts_with(b"{") && body.trim_ascii_end().ends_with(b"}")) {
        return Err("a body that is not an object");
    }
    let content = text(body, b"\"content\"").ok_or("no content")?;
    let (number, _, time_ns, words) = read_content(content).ok_or("content without numbers")?;
    if number != request {
        return Err("the answer to another request");
    }
    if words != expected.answer_words {
        return Err("an answer with other words");
    }
    let rest = &body[WORDS_AT + words.len()..];
    if expected.usage && memmem::rfind(rest, b"\"usage\"").is_none() {
        return Err("no usage");
    }
    Ok(time_ns)
}

/// The text of a string member; ours have no escapes.
fn text<'b>(object: &'b [u8], quoted: &[u8]) -> Option<&'b [u8]> {
    memmem::find_iter(object, quoted).find_map(|at| {
        let value = object[at + quoted.len()..].trim_ascii_start().strip_prefix(b":")?;
        let text = value.trim_ascii_start().strip_prefix(b"\"")?;
        Some(&text[..memchr(b'"', text)?])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        Expected { events: 3, event_words: b"abc".to_vec(), answer_words: b"xyz".to_vec(), usage: true }
    }

    fn event(request: u64, number: u64) -> String {
        content(&format!("{request:016} {number:08} {:020} abc", 1000 + number))
    }

    fn content(content: &str) -> String {
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{content}\"}},\"finish_reason\":null}}]}}\n\n"
        )
    }

    const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"total_tokens\":7}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    fn run(pieces: &[&[u8]]) -> Result<Vec<u64>, &'static str> {
        let (mut check, mut times) = (Check::default(), Vec::new());
        check.begin(9);
        for piece in pieces {
            check.feed(&expected(), piece, &mut times)?;
        }
        check.finish(&expected()).map(|()| times)
    }

    /// The answer is the concatenation of `parts`.
    #[track_caller]
    fn check(parts: &[&str], want: Result<&[u64], &'static str>) {
        let input = parts.concat();
        for cut in 0..=input.len() {
            let (a, b) = input.as_bytes().split_at(cut);
            assert_eq!(run(&[a, b]), want.map(<[u64]>::to_vec), "{input:?} cut at {cut}");
        }
        let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
        assert_eq!(run(&bytes), want.map(<[u64]>::to_vec), "{input:?} byte by byte");
    }

    #[test]
    fn whole_answers_pass() {
        let words: String = (1..=3).map(|number| event(9, number)).collect();
        check(&[": waiting\n\n", &words, STOP, USAGE, DONE], Ok(&[1001, 1002, 1003]));
        let spaced = words.replace("\":", "\" : ");
        check(&[&content(""), &spaced, STOP, USAGE, DONE], Ok(&[1001, 1002, 1003]));
    }

    #[test]
    fn every_fault_is_seen() {
        let [one, two, three, four] = [1, 2, 3, 4].map(|number| event(9, number));
        check(&[&one, &three], Err("an event is lost"));
        check(&[&one, &two, &two], Err("an event came twice or late"));
        check(&[&two], Err("an event is lost"));
        check(&[&one, &two, &three, &four], Err("more events than asked for"));
        check(&[&one, &event(8, 2)], Err("an event of another request"));
        check(&[&one.replace("abc", "abd")], Err("an event with other words"));
        check(&[&one.replace("abc", "ab")], Err("an event with other words"));
        check(&[&content("hello")], Err("content without numbers"));
        check(&[&one, &two, STOP], Err("it ended before the last event"));
        check(&[&one, &two], Err("it ended before the last event"));
        check(&[&one, &two, &three, DONE], Err("no finish_reason"));
        check(&[&one, &two, &three, STOP, DONE], Err("no usage"));
        check(&[&one, &two, &three, STOP, USAGE], Err("no [DONE]"));
        check(&[&one, &two, &three, STOP, STOP], Err("two finish_reasons"));
        check(&[&one, &two, &three, STOP, &one], Err("an event behind the finish_reason"));
        check(&[&one, &two, &three, STOP, USAGE, DONE, DONE], Err("an event behind [DONE]"));
        check(&[&one, &two, &three, STOP, USAGE, DONE, "x"], Err("a part of an event at the end"));
        check(&["data: {\"error\":{\"code\":502}}\n\n"], Err("an error event"));
        check(&["data: {\"choices\n\n"], Err("data that is not an object"));
        check(&["event: x\n\n"], Err("a line that is not data"));
        check(&[&STOP.replace("stop", "length")], Err("a finish_reason other than stop"));
    }

    #[test]
    fn whole_bodies_are_checked() {
        let body = "{\"choices\":[{\"message\":{\"content\":\"0000000000000009 00000000 \
                    00000000000000001234 xyz\"}}],\"usage\":{}}";
        for (body, want) in [
            (body.to_owned(), Ok(1234)),
            (body.replace("0009", "0008"), Err("the answer to another request")),
            (body.replace("xyz", "xyy"), Err("an answer with other words")),
            (body.replace("usage", "sage"), Err("no usage")),
            (body.replace("content", "tent"), Err("no content")),
            (body.replace("00000000 ", ""), Err("content without numbers")),
            (body[..60].to_owned(), Err("a body that is not an object")),
        ] {
            assert_eq!(check_answer(&expected(), body.as_bytes(), 9), want, "{body}");
        }
    }
}
