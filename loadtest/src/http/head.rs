//! Response heads (RFC 9112 §4 and §5), read strictly, with `httparse`: what checks the proxy must not share
//! its codecs.
//!
//! Deliberately absent: fields that nothing here needs; they are checked for form and dropped.

use core::mem::MaybeUninit;

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
    match read(&bytes[..end + 4]) {
        Ok(head) => Parse::Done(head),
        Err(what) => Parse::Bad(what),
    }
}

fn read(text: &[u8]) -> Result<ResponseHead, &'static str> {
    // The parser takes a lone LF for a line end; what others may read differently is refused here.
    if memchr::memchr_iter(b'\n', text).any(|feed| feed == 0 || text[feed - 1] != b'\r') {
        return Err("a bare line end");
    }
    let mut room = [const { MaybeUninit::uninit() }; FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut response, text, &mut room) {
        Ok(httparse::Status::Complete(len)) if len == text.len() => {}
        Ok(_) => return Err("an end that is none"),
        Err(error) => return Err(out_of_form(error)),
    }
    if response.version != Some(1) {
        return Err("not an HTTP/1.1 status line");
    }
    // We ask for no interim answer (no Expect, no Upgrade), so none may come.
    let status = response.code.filter(|code| (200..600).contains(code)).ok_or("a status out of range")?;
    let mut fields = Fields::default();
    for header in response.headers.iter() {
        field(header.name, header.value.trim_ascii(), &mut fields)?;
    }
    let framing = match (fields.length, fields.chunked) {
        (Some(_), true) => return Err("a length beside chunked coding"),
        (Some(length), false) => Framing::Length(length),
        (None, true) => Framing::Chunked,
        // A body that the end of the connection ends cannot be told from a cut one.
        (None, false) => return Err("neither a length nor chunked coding"),
    };
    let (keep_alive, events) = (!fields.close, fields.events);
    Ok(ResponseHead { status, framing, keep_alive, events, len: text.len() })
}

const fn out_of_form(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::Version => "not an HTTP/1.1 status line",
        httparse::Error::Status | httparse::Error::Token => "a status line out of form",
        httparse::Error::HeaderName => "a field name out of form",
        httparse::Error::HeaderValue => "a control byte in a field",
        httparse::Error::NewLine => "a bare line end",
        httparse::Error::TooManyHeaders => "too many fields",
    }
}

fn field(name: &str, value: &[u8], fields: &mut Fields) -> Result<(), &'static str> {
    if name.eq_ignore_ascii_case("content-length") {
        if fields.length.is_some() {
            return Err("two lengths");
        }
        fields.length = Some(decimal(value).ok_or("a length that is no number")?);
    } else if name.eq_ignore_ascii_case("transfer-encoding") {
        if fields.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err("a transfer coding other than chunked, once");
        }
        fields.chunked = true;
    } else if name.eq_ignore_ascii_case("connection") {
        fields.close |= value.split(|b| *b == b',').any(|o| o.trim_ascii().eq_ignore_ascii_case(b"close"));
    } else if name.eq_ignore_ascii_case("content-type") {
        let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
        fields.events = kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream");
    }
    Ok(())
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
        check("HTTP/1.1 20\r\n\r\n", Err("a status line out of form"));
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
        check("HTTP/1.1 200 OK\r\nnothing\r\n\r\n", Err("a field name out of form"));
        check("HTTP/1.1 200 OK\r\na: b\nc: d\r\n\r\n", Err("a bare line end"));
        check("HTTP/1.1 200 OK\r\na: b\x01\r\n\r\n", Err("a control byte in a field"));
    }

    #[test]
    fn a_head_without_end_is_refused() {
        assert_eq!(response_head(&[b'a'; HEAD_BYTES]), Parse::More);
        assert_eq!(response_head(&[b'a'; HEAD_BYTES + 1]), Parse::Bad("head too long"));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(FIELDS + 1));
        assert_eq!(response_head(many.as_bytes()), Parse::Bad("too many fields"));
    }
}
