//! Requests, as far as a fake fleet needs them: where one ends, and what it asks for.
//!
//! Deliberately absent: chunked requests (refused with 411), and checks that a real server would make.

use memchr::memmem;

use super::numbered;
use crate::http::Parse;

/// Longest head in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// Longest body in bytes.
const BODY_BYTES: usize = 32 << 20;

/// Where a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes of the head, the empty line included.
    pub(super) head: usize,
    /// Bytes of the body.
    pub(super) body: usize,
    /// It is a POST.
    pub(super) post: bool,
    /// The client closes behind the answer.
    pub(super) close: bool,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// Its number; 0 if the prompt is not one of ours.
    pub(super) request: u64,
    /// A streamed answer.
    pub(super) stream: bool,
    /// A streamed answer with usage.
    pub(super) usage: bool,
}

/// Reads the head at the front of `bytes`.
pub(super) fn frame(bytes: &[u8]) -> Parse<Frame> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES { Parse::Bad("a head too long") } else { Parse::More };
    };
    let mut frame = Frame { head: end + 4, body: 0, post: bytes.starts_with(b"POST "), close: false };
    let mut rest = &bytes[..end];
    while let Some(at) = memmem::find(rest, b"\r\n") {
        rest = &rest[at + 2..];
        let line = &rest[..memmem::find(rest, b"\r\n").unwrap_or(rest.len())];
        if let Some(value) = field(line, b"content-length:") {
            let digits = core::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            let Some(length) = digits.filter(|length| *length <= BODY_BYTES) else {
                return Parse::Bad("a length out of form");
            };
            frame.body = length;
        } else if field(line, b"transfer-encoding:").is_some() {
            return Parse::Bad("a chunked request");
        } else if let Some(value) = field(line, b"connection:") {
            frame.close |= value.eq_ignore_ascii_case(b"close");
        }
    }
    Parse::Done(frame)
}

fn field<'b>(line: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    let (front, value) = line.split_at_checked(name.len())?;
    front.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

/// What a body asks for. `words` are those of the scenario's prompt.
///
/// # Errors
/// The prompt is one of ours and was changed on the way.
pub(super) fn ask(body: &[u8], words: &[u8]) -> Result<Ask, &'static str> {
    let request = numbered::read_prompt(body, words)?.unwrap_or_default();
    // The switches stand in front of a prompt of ours; a router may have moved them behind it.
    let ends = [&body[..body.len().min(2048)], &body[body.len().saturating_sub(2048)..]];
    let has = |name: &[u8]| ends.iter().any(|end| is_true(end, name));
    Ok(Ask { request, stream: has(b"\"stream\""), usage: has(b"\"include_usage\"") })
}

fn is_true(text: &[u8], quoted: &[u8]) -> bool {
    memmem::find_iter(text, quoted).any(|at| {
        let rest = text[at + quoted.len()..].trim_ascii_start();
        rest.strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().starts_with(b"true"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, want: Parse<Frame>) {
        for cut in 0..input.len() {
            assert_eq!(frame(&input.as_bytes()[..cut]), Parse::More, "{input:?} cut at {cut}");
        }
        assert_eq!(frame(format!("{input}surplus").as_bytes()), want, "{input:?}");
    }

    #[test]
    fn frames_are_found() {
        let done = |head, body, post, close| Parse::Done(Frame { head, body, post, close });
        check("GET /v1/models HTTP/1.1\r\n\r\n", done(27, 0, false, false));
        check("POST / HTTP/1.1\r\nContent-Length: 12\r\n\r\n", done(39, 12, true, false));
        check("POST / HTTP/1.1\r\nConnection: Close\r\nx: y\r\n\r\n", done(44, 0, true, true));
        check("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", Parse::Bad("a chunked request"));
        check("POST / HTTP/1.1\r\ncontent-length: 1x\r\n\r\n", Parse::Bad("a length out of form"));
        check("POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", Parse::Bad("a length out of form"));
        assert_eq!(frame(&[b'a'; HEAD_BYTES + 1]), Parse::Bad("a head too long"));
    }

    #[test]
    fn switches_are_found() {
        for (body, stream, usage) in [
            (r#"{"stream":true,"stream_options":{"include_usage":true}}"#, true, true),
            (r#"{"stream" : true}"#, true, false),
            (r#"{"stream":false,"include_usage":null}"#, false, false),
            (r#"{"x":"stream"}"#, false, false),
            ("", false, false),
        ] {
            assert_eq!(ask(body.as_bytes(), b""), Ok(Ask { request: 0, stream, usage }), "{body}");
            let moved = format!("{}{body}", "x".repeat(100_000));
            assert_eq!(
                ask(moved.as_bytes(), b""),
                Ok(Ask { request: 0, stream, usage }),
                "{body} at the end"
            );
        }
    }
}
