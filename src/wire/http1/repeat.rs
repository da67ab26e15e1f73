//! A request head that is like the one before it on its connection: then it is compared instead of read.
//! Clients send the same fields with every request; what changes is the length of the body, and behind a
//! gateway the key.
//!
//! ```text
//!  POST /v1/chat/completions HTTP/1.1 CR LF authorization: ░░░░░░ CR LF … content-length: ░░░ CR LF CR LF
//!  └────────────── equal, byte for byte ──────────────────┘      └─────── equal ─────────┘   └─ equal ─┘
//! ```
//!
//! Heads that are equal but for two kinds of values, which are as long as before and hold nothing that could
//! end a line, have the same fields at the same places; so [`request_head`](super::request_head) would say of
//! the second what it said of the first, but for the length. Keys are not kept: their places are blank.
//! Deliberately absent: reading a head for the first time (`request`).

use super::fields::{Name, decimal, request_name};
use super::head::{Message, read_fields};
use super::request::{RequestFraming, RequestHead};
use super::{RequestField, is_value_byte};
use crate::base::span::Span;
use crate::wire::block::{Block, none};
use crate::wire::flaw::Flaw;
use memchr::memchr;

/// Longest head that is kept, in bytes: connections wait with it.
const KEPT_BYTES: usize = 1024;
/// Heads in a row that are unlike the one before, until keeping them is given up.
const UNLIKE_MOST: u8 = 4;
/// Values that may differ: three fields for keys, and the length.
const VALUES: usize = 4;

/// The newest head of a connection.
#[derive(Debug, Default)]
pub struct Repeat {
    /// Its bytes, blank where values may differ. Empty when nothing is kept.
    text: Vec<u8>,
    head: Option<RequestHead>,
    values: Values,
    unlike: u8,
}

/// Values that may differ, in their order, and which of them is the length.
#[derive(Clone, Copy, Debug, Default)]
struct Values {
    spans: [Span; VALUES],
    count: usize,
    length: Option<usize>,
}

impl Message for Values {
    const LINE_BYTES: usize = 0;
    const LINE_TOO_LONG: Flaw = Flaw::RequestLineTooLong;

    fn opening(_: &[u8]) -> Result<(), Flaw> {
        Ok(())
    }

    fn start_line(_: &[u8], _: Span) -> Result<Self, Flaw> {
        Ok(Self::default())
    }

    fn field(&mut self, _: &[u8], name: &[u8], value: Span) -> Result<(), Flaw> {
        use RequestField as R;
        let is_length = match request_name(name) {
            Name::ContentLength => true,
            Name::Kept(R::Authorization | R::XApiKey | R::ApiKey) if !value.is_empty() => false,
            _ => return Ok(()),
        };
        // An accepted head has each of them once.
        let place = self.spans.get_mut(self.count).ok_or(Flaw::RepeatedField)?;
        *place = value;
        self.length = if is_length { Some(self.count) } else { self.length };
        self.count += 1;
        Ok(())
    }
}

impl Repeat {
    /// Keeps a head that [`request_head`](super::request_head) has just accepted, `text` being all of its
    /// bytes. Heads that are too long, and those of connections on which each is another, are not kept.
    pub fn keep(&mut self, text: &[u8], head: &RequestHead) {
        self.head = None;
        self.unlike = self.unlike.saturating_add(1);
        let begins = text.first().is_some_and(u8::is_ascii_uppercase);
        let worth = begins && head.keep_alive && text.len() <= KEPT_BYTES && self.unlike <= UNLIKE_MOST;
        let fields = memchr(b'\n', text).map(|feed| feed + 1).filter(|_| worth);
        let mut values = Values::default();
        // Of a body without bytes nobody waits to send it: such a head is read on its own.
        let read = fields.and_then(|fields| read_fields(text, fields, &mut values));
        if read != Some(Ok(text.len())) || head.framing == RequestFraming::Length(0) {
            self.text = Vec::new();
            return;
        }
        self.text.clear();
        self.text.extend_from_slice(text);
        for span in &values.spans[..values.count] {
            self.text[span.range()].fill(b' ');
        }
        (self.head, self.values) = (Some(*head), values);
    }

    /// The head at the front of `bytes`, and its length, if it is like the one that is kept.
    pub fn read(&mut self, bytes: &[u8]) -> Option<(&RequestHead, usize)> {
        let kept = self.head.as_mut()?;
        let (text, values) = (&self.text[..], &self.values);
        let bytes = bytes.get(..text.len())?;
        let (mut from, mut framing) = (0, kept.framing);
        for (turn, span) in values.spans[..values.count].iter().enumerate() {
            let value = span.range();
            if text[from..value.start] != bytes[from..value.start] {
                return None;
            }
            if values.length == Some(turn) {
                let length = decimal(&bytes[value.clone()]).filter(|length| *length > 0)?;
                framing = RequestFraming::Length(length);
            } else if !is_value(bytes, *span) {
                return None;
            }
            from = value.end;
        }
        if text[from..] != bytes[from..] {
            return None;
        }
        self.unlike = 0;
        kept.framing = framing;
        Some((kept, text.len()))
    }
}

/// True for a value that begins and ends where the one before it did: no white space around it, and nothing
/// in it that no value may have.
fn is_value(bytes: &[u8], span: Span) -> bool {
    let (start, end) = (span.start as usize, span.end as usize);
    bytes[start] > b' '
        && bytes[end - 1] > b' '
        && none(bytes, start, end, Block::controls, |byte| !is_value_byte(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Parse;
    use crate::wire::http1::request_head;

    const HEAD: &str = "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n\
                        Authorization: Bearer sk-1234567890abcdef\r\nX-Api-Key: k2\r\n\
                        Accept: */*\r\nContent-Length: 120\r\nUser-Agent: x\r\n\r\n";

    fn kept(head: &[u8]) -> Repeat {
        let mut repeat = Repeat::default();
        if let Parse::Done { value, used } = request_head(head, &mut 0) {
            repeat.keep(&head[..used], &value);
        }
        repeat
    }

    /// What is recognised is what reading it would say.
    #[track_caller]
    fn agrees(repeat: &mut Repeat, bytes: &[u8]) -> bool {
        let found = repeat.read(bytes);
        if let Some((&value, used)) = found {
            let read = request_head(bytes, &mut 0);
            assert_eq!(Parse::Done { value, used }, read, "{}", bytes.escape_ascii());
        }
        found.is_some()
    }

    #[test]
    fn a_head_like_the_one_before_is_known_without_its_key() {
        let mut repeat = kept(HEAD.as_bytes());
        assert!(!repeat.text.windows(7).any(|text| text == b"sk-1234") && !HEAD.contains("\0"));
        for (from, to, known) in [
            ("", "", true),
            ("sk-1234567890abcdef", "sk-fedcba0987654321", true),
            ("sk-1234567890abcdef", "sk-fedcba09876543210", false),
            ("120", "999", true),
            ("120", "007", true),
            ("120", "000", false),
            ("120", "1 0", false),
            ("120", "+12", false),
            ("120", "12", false),
            ("k2", "\t2", false),
            ("k2", "2 ", false),
            ("k2", "\r\n", false),
            ("sk-1234567890abcdef", "sk-12345\r\nx:bcdef", false),
            ("Accept", "accept", false),
            ("completions", "Completions", false),
        ] {
            let other = HEAD.replacen(from, to, 1);
            assert_eq!(agrees(&mut repeat, other.as_bytes()), known, "{from} -> {to}");
            for cut in 0..other.len() {
                assert!(repeat.read(&other.as_bytes()[..cut]).is_none(), "cut at {cut}");
            }
            assert_eq!(agrees(&mut repeat, format!("{other}body").as_bytes()), known);
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_given_up_when_heads_differ() {
        let other = |turn: usize| HEAD.replace("User-Agent: x", &format!("Traceparent: {turn}"));
        let mut repeat = kept(HEAD.as_bytes());
        for turn in 0..10 {
            let text = other(turn);
            let Parse::Done { value, used } = request_head(text.as_bytes(), &mut 0) else { panic!("{text}") };
            assert_eq!(repeat.read(text.as_bytes()), None);
            repeat.keep(&text.as_bytes()[..used], &value);
        }
        assert_eq!((repeat.text.capacity(), repeat.head), (0, None));
        let long = HEAD.replace("User-Agent: x", &format!("User-Agent: {}", "x".repeat(KEPT_BYTES)));
        assert_eq!(kept(long.as_bytes()).text.capacity(), 0);
    }
}
