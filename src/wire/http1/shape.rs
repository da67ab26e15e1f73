//! Response heads whose lines have the same names as those of the head before them. A provider writes the
//! same fields in the same order with every answer; what changes are values, and their lengths. So a name is
//! compared with the one that was there last time, which says what it is, instead of read and looked up.
//!
//! ```text
//!  HTTP/1.1 200 OK CR LF  date: ░░░░░ CR LF  x-request-id: ░░░░░░░░ CR LF  content-length: ░░░ CR LF  CR LF
//!                         └eq.┘              └── equal ──┘                 └─── equal ────┘
//! ```
//!
//! Values are judged as [`response_head`] judges them, and whatever is unusual is left to it: what is read
//! here is read as there, or not at all.
//! Deliberately absent: values (nothing of them is kept), and heads of requests (`repeat`).

use super::fields::{Name, ResponseField, Version, response_name};
use super::head::{Message, field_value, name_end, read_fields};
use super::response::{Builder, ResponseHead, response_head};
use crate::base::limits::{HEAD_BYTES, HEAD_FIELDS};
use crate::base::span::Span;
use crate::wire::Parse;
use crate::wire::block::{BLOCK, Block};
use crate::wire::flaw::Flaw;
use memchr::memchr;

/// Longest name that is kept, in bytes, its colon included.
const NAME_BYTES: usize = 2 * BLOCK;
/// Most lines that are kept.
const LINES: usize = 48;

const _: () = assert!(LINES <= HEAD_FIELDS);

/// The names of the lines of a provider's newest heads. It takes 2 KiB at most.
#[derive(Clone, Debug, Default)]
pub struct ResponseShape {
    lines: Vec<Line>,
}

/// A name, its colon included, and what it says.
#[derive(Clone, Copy, Debug)]
struct Line {
    name: [u8; NAME_BYTES],
    /// One bit for each byte of the name.
    bytes: u32,
    /// Length of the name in bytes.
    length: u8,
    kind: Name<ResponseField>,
}

impl Line {
    /// The line of this name; `None` for one that is too long to be kept.
    fn of(name: &[u8], kind: Name<ResponseField>) -> Option<Self> {
        let mut line = Self { name: [0; NAME_BYTES], bytes: 0, length: name.len() as u8 + 1, kind };
        line.name.get_mut(..name.len())?.copy_from_slice(name);
        *line.name.get_mut(name.len())? = b':';
        line.bytes = u32::MAX >> (NAME_BYTES - usize::from(line.length));
        Some(line)
    }

    /// Does the line at `at` begin with this name? Says no, too, where hardly anything follows.
    #[inline(always)]
    fn begins(&self, window: &[u8], at: usize) -> bool {
        let Some(here) = window.get(at..).and_then(|rest| rest.first_chunk::<NAME_BYTES>()) else {
            return false;
        };
        let equal = |at: usize| {
            let blocks = (Block::at(here, at), Block::at(&self.name, at));
            if let (Some(here), Some(name)) = blocks { here.same(name) } else { 0 }
        };
        (equal(0) | equal(BLOCK) << BLOCK) & self.bytes == self.bytes
    }
}

impl ResponseShape {
    /// As [`response_head`], which it asks where a head is not like those before.
    pub fn read(&mut self, bytes: &[u8], scanned: &mut usize) -> Parse<ResponseHead> {
        if *scanned == 0
            && let Some((value, used)) = self.read_alike(bytes)
        {
            return Parse::Done { value, used };
        }
        let parsed = response_head(bytes, scanned);
        if let Parse::Done { value: ResponseHead { status: 200, .. }, used } = &parsed {
            self.keep(&bytes[..*used]);
        }
        parsed
    }

    /// A whole head at the front of `bytes` with nothing wrong about it, if its lines are those that are kept
    /// but for a few that have come or gone.
    #[inline]
    fn read_alike(&self, bytes: &[u8]) -> Option<(ResponseHead, usize)> {
        const STATUS_LINE: &[u8; 17] = b"HTTP/1.1 200 OK\r\n";
        let window = &bytes[..bytes.len().min(HEAD_BYTES)];
        if self.lines.is_empty() || window.first_chunk() != Some(STATUS_LINE) {
            return None;
        }
        let mut builder = Builder::new(200, Version::Http11);
        let (mut at, mut turn) = (STATUS_LINE.len(), 0);
        for _ in 0..=HEAD_FIELDS {
            if window.get(at) == Some(&b'\r') {
                let used = (window.get(at + 1) == Some(&b'\n')).then_some(at + 2)?;
                return Some((builder.finish().ok()?, used));
            }
            let ahead = self.lines.get(turn..).unwrap_or_default();
            let (name_bytes, kind) = match ahead {
                [line, ..] if line.begins(window, at) => {
                    turn += 1;
                    (usize::from(line.length), line.kind)
                }
                [_, line, ..] if line.begins(window, at) => {
                    turn += 2;
                    (usize::from(line.length), line.kind)
                }
                _ => {
                    let colon = name_end(window, at)?;
                    (colon + 1 - at, response_name(&window[at..colon]))
                }
            };
            let (value, end) = field_value(window, at + name_bytes)?;
            builder.take(window, kind, value).ok()?;
            at = end + 2;
        }
        None
    }

    /// Keeps the names of a head that was accepted.
    fn keep(&mut self, head: &[u8]) {
        self.lines.clear();
        let mut names = Names(&mut self.lines);
        let fields = memchr(b'\n', head).map_or(head.len(), |feed| feed + 1);
        // The same lines were read just now, so nothing is found wrong with them.
        let _ = read_fields(head, fields, &mut names);
    }
}

/// Collects the names of a head.
struct Names<'l>(&'l mut Vec<Line>);

impl Message for Names<'_> {
    const LINE_BYTES: usize = 0;
    const LINE_TOO_LONG: Flaw = Flaw::HeadTooLong;

    fn opening(_: &[u8]) -> Result<(), Flaw> {
        Ok(())
    }

    fn start_line(_: &[u8], _: Span) -> Result<Self, Flaw> {
        Err(Flaw::StatusLine)
    }

    fn field(&mut self, _: &[u8], name: &[u8], _: Span) -> Result<(), Flaw> {
        if self.0.len() < LINES {
            self.0.extend(Line::of(name, response_name(name)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nDate: Thu, 20 Nov 2025 08:00:00 GMT\r\n\
                        Content-Type: application/json\r\nContent-Length: 120\r\nConnection: keep-alive\r\n\
                        access-control-expose-headers-of-a-long-name: X-Request-ID\r\n\
                        x-ratelimit-remaining-requests: 9999\r\nx-request-id: req_1\r\n\r\n";
    const BODY: &str = "{\"a\":\"a body that follows its head at once\"}";

    fn shape() -> ResponseShape {
        let mut shape = ResponseShape::default();
        assert!(matches!(shape.read(HEAD.as_bytes(), &mut 0), Parse::Done { .. }));
        shape
    }

    /// Says what the plain way says of it, and whether it did so by itself.
    #[track_caller]
    fn check(text: &str) -> bool {
        let bytes = text.as_bytes();
        assert_eq!(shape().read(bytes, &mut 0), response_head(bytes, &mut 0), "{}", bytes.escape_ascii());
        shape().read_alike(bytes).is_some()
    }

    #[test]
    fn heads_of_the_same_names_are_read_alike() {
        for (from, to, alike) in [
            ("", "", true),
            ("120", "7", true),
            ("req_1", "req_0123456789abcdef0123456789abcdef", true),
            ("08:00:00", "09:10:11", true),
            ("x-request-id: req_1", "x-request-id:", true),
            ("x-request-id: ", "x-request-id:\t ", true),
            ("Connection: keep-alive\r\n", "", true),
            ("Connection: keep-alive", "Connection: close", true),
            ("Connection: keep-alive", "Connection: keep-alive\r\nset-cookie: a", true),
            ("Content-Length: 120", "Transfer-Encoding: chunked", true),
            ("x-request-id", "X-Request-Id", true),
            ("200 OK", "204 OK", false),
            ("120", "x", false),
            ("120", "120\r\nContent-Length: 120", false),
            ("120", "120\r\nTransfer-Encoding: chunked", false),
            ("application/json", "application/json\r\nContent-Type: text/html", false),
            ("req_1", "req\r1", false),
            ("req_1", "req\n1", false),
            ("req_1", "req\x001", false),
            ("Date:", "Date :", false),
            ("Date:", " Date:", false),
            ("\r\n\r\n", "\r\n\rx", false),
        ] {
            let text = HEAD.replacen(from, to, 1) + BODY;
            assert_eq!(check(&text), alike, "{from} -> {to}");
            (0..text.len()).for_each(|cut| {
                check(&text[..cut]);
            });
        }
    }

    #[test]
    fn every_byte_counts() {
        let text = HEAD.to_owned() + BODY;
        for at in 0..HEAD.len() {
            for byte in "\r\n\t :,0aA\x7f".bytes() {
                let mut other = text.clone().into_bytes();
                other[at] = byte;
                check(core::str::from_utf8(&other).expect("ASCII"));
            }
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_is_no_value() {
        let many: String = (0..HEAD_FIELDS).map(|turn| format!("x-{turn}: secret\r\n")).collect();
        let mut shape = ResponseShape::default();
        let head = format!("HTTP/1.1 200 OK\r\n{many}\r\n");
        for _ in 0..2 {
            assert_eq!(shape.read(head.as_bytes(), &mut 0), response_head(head.as_bytes(), &mut 0));
        }
        assert_eq!(shape.lines.len(), LINES);
        assert!(shape.lines.iter().all(|line| !line.name.windows(3).any(|text| text == b"sec")));
        let more = format!("HTTP/1.1 200 OK\r\nx: 1\r\n{many}\r\n");
        assert_eq!(shape.read(more.as_bytes(), &mut 0), Parse::Bad(Flaw::TooManyFields));
    }
}
