//! Response heads (RFC 9112 §4 and §5), read strictly.
//!
//! Deliberately absent: fields that nothing here needs; they are checked for form and dropped.

use super::Parse;

/// Longest head in bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// Most fields of a head.
const FIELDS: usize = 100;

/// How the body is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
}

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// The status code, 200 to 599.
    pub(crate) status: u16,
    /// How long the body is.
    pub(crate) framing: Framing,
    /// The connection may be used again.
    pub(crate) keep_alive: bool,
    /// The body is `text/event-stream`.
    pub(crate) events: bool,
    /// Bytes of the head, the empty line included.
    pub(crate) len: usize,
}

/// What was gathered from the fields so far.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    events: bool,
}

/// Reads the head at the front of `bytes`.
pub(crate) fn response_head(bytes: &[u8]) -> Parse<ResponseHead> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES { Parse::Bad("head too long") } else { Parse::More };
    };
    if end > HEAD_BYTES {
        return Parse::Bad("head too long");
    }
    match read(&bytes[..end], end + 4) {
        Ok(head) => Parse::Done(head),
        Err(what) => Parse::Bad(what),
    }
}

fn read(text: &[u8], len: usize) -> Result<ResponseHead, &'static str> {
    let mut lines = Lines { rest: Some(text) };
    let status = status_line(lines.next().unwrap_or_default())?;
    let mut fields = Fields::default();
    for (index, line) in lines.enumerate() {
        if index >= FIELDS {
            return Err("too many fields");
        }
        field(line, &mut fields)?;
    }
    let framing = match (fields.length, fields.chunked) {
        (Some(_), true) => return Err("a length beside chunked coding"),
        (Some(length), false) => Framing::Length(length),
        (None, true) => Framing::Chunked,
        // A body that the end of the connection ends cannot be told from a cut one.
        (None, false) => return Err("neither a length nor chunked coding"),
    };
    Ok(ResponseHead { status, framing, keep_alive: !fields.close, events: fields.events, len })
}

/// The lines between CRLFs. A lone CR or LF stays in its line and is refused there as a control byte.
struct Lines<'b> {
    rest: Option<&'b [u8]>,
}

impl<'b> Iterator for Lines<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        let rest = self.rest?;
        match memchr::memmem::find(rest, b"\r\n") {
            Some(end) => {
                self.rest = Some(&rest[end + 2..]);
                Some(&rest[..end])
            }
            None => self.rest.take(),
        }
    }
}

fn status_line(line: &[u8]) -> Result<u16, &'static str> {
    let Some(rest) = line.strip_prefix(b"HTTP/1.1 ") else { return Err("not an HTTP/1.1 status line") };
    let (digits, reason) = rest.split_at_checked(3).ok_or("a short status line")?;
    if !digits.iter().all(u8::is_ascii_digit) || reason.first() != Some(&b' ') {
        return Err("a status line out of form");
    }
    if reason.iter().any(u8::is_ascii_control) {
        return Err("a control byte in the status line");
    }
    let status = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    // We ask for no interim answer (no Expect, no Upgrade), so none may come.
    if (200..600).contains(&status) { Ok(status) } else { Err("a status out of range") }
}

fn field(line: &[u8], fields: &mut Fields) -> Result<(), &'static str> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or("a field without a colon")?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err("a field name out of form");
    }
    if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err("a control byte in a field");
    }
    if name.eq_ignore_ascii_case(b"content-length") {
        if fields.length.is_some() {
            return Err("two lengths");
        }
        fields.length = Some(decimal(value).ok_or("a length that is no number")?);
    } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
        if fields.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err("a transfer coding other than chunked, once");
        }
        fields.chunked = true;
    } else if name.eq_ignore_ascii_case(b"connection") {
        fields.close |= value.split(|b| *b == b',').any(|o| o.trim_ascii().eq_ignore_ascii_case(b"close"));
    } else if name.eq_ignore_ascii_case(b"content-type") {
        let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
        fields.events = kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream");
    }
    Ok(())
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every shorter prefix must ask for more: nothing is decided early, and nothing late.
    #[track_caller]
    fn check(input: &str, want: Result<(u16, Framing, bool, bool), &'static str>) {
        for cut in 0..input.len() {
            assert_eq!(response_head(&input.as_bytes()[..cut]), Parse::More, "{input:?} cut at {cut}");
        }
        let with_body = format!("{input}surplus");
        let want = match want {
            Ok((status, framing, keep_alive, events)) => {
                Parse::Done(ResponseHead { status, framing, keep_alive, events, len: input.len() })
            }
            Err(what) => Parse::Bad(what),
        };
        assert_eq!(response_head(with_body.as_bytes()), want, "{input:?}");
    }

    #[test]
    fn heads_are_read() {
        use Framing::{Chunked, Length};
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Ok((200, Length(5), true, false)));
        check(
            "HTTP/1.1 503 \r\ncontent-length:0\r\nconnection: Close\r\n\r\n",
            Ok((503, Length(0), false, false)),
        );
        check(
            "HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream; charset=utf-8\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            Ok((200, Chunked, true, true)),
        );
        check(
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: x, close\r\n\r\n",
            Ok((200, Length(1), false, false)),
        );
    }

    #[test]
    fn doubtful_heads_are_refused() {
        check("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", Err("not an HTTP/1.1 status line"));
        check("HTTP/1.1 2x0 OK\r\ncontent-length: 5\r\n\r\n", Err("a status line out of form"));
        check("HTTP/1.1 20\r\n\r\n", Err("a short status line"));
        check("HTTP/1.1 100 Continue\r\n\r\n", Err("a status out of range"));
        check("HTTP/1.1 200 OK\r\n\r\n", Err("neither a length nor chunked coding"));
        check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n", Err("two lengths"));
        check("HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n", Err("a length that is no number"));
        check("HTTP/1.1 200 OK\r\ncontent-length: 5 5\r\n\r\n", Err("a length that is no number"));
        check(
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            Err("a length beside chunked coding"),
        );
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            Err("a transfer coding other than chunked, once"),
        );
        check("HTTP/1.1 200 OK\r\nfolded: a\r\n b: c\r\n\r\n", Err("a field name out of form"));
        check("HTTP/1.1 200 OK\r\nspace : c\r\n\r\n", Err("a field name out of form"));
        check("HTTP/1.1 200 OK\r\nnothing\r\n\r\n", Err("a field without a colon"));
        check("HTTP/1.1 200 OK\r\na: b\nc: d\r\n\r\n", Err("a control byte in a field"));
    }

    #[test]
    fn a_head_without_end_is_refused() {
        assert_eq!(response_head(&[b'a'; HEAD_BYTES]), Parse::More);
        assert_eq!(response_head(&[b'a'; HEAD_BYTES + 1]), Parse::Bad("head too long"));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(FIELDS + 1));
        assert_eq!(response_head(many.as_bytes()), Parse::Bad("too many fields"));
    }
}
