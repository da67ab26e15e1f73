//! Request heads: RFC 9112 §3 (request line), §5 (fields), §6 (framing), read the strict way.
//!
//! Deliberately absent: bodies, limits on their length, and any opinion on paths.

use super::fields::{Framing, Name, RequestField, Settled, Version, request_name, version};
use super::head::{self, Message};
use super::target::{self, Target, is_authority};
use super::{TCHAR, only};
use crate::base::limits::{LEADING_EMPTY_LINES, REQUEST_LINE_BYTES};
use crate::base::span::Span;
use crate::wire::Parse;
use crate::wire::block::{Block, none};
use crate::wire::flaw::Flaw;
use memchr::memchr;

/// Request methods we know. Method names are case-sensitive (RFC 9110 §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
}

impl Method {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFraming {
    /// There is no body.
    None,
    /// The body has this many bytes; may be 0, and may be far beyond any limit.
    Length(u64),
    /// The body is in the chunked coding.
    Chunked,
}

/// What the client waits for before it sends the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    None,
    /// `100 (Continue)`, or a final status if the request is refused.
    Continue,
}

/// A request head. Spans count from the first byte given to [`request_head`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The path, exactly as sent and without its query: begins with `/`, or is `*` (OPTIONS only).
    pub target: Span,
    /// What follows the first `?` of the target.
    pub query: Option<Span>,
    /// Host name and port the request is for: the target's, else the `Host` field's; empty if HTTP/1.0 sent
    /// none.
    pub host: Span,
    /// The protocol version.
    pub version: Version,
    /// How the body is framed.
    pub framing: RequestFraming,
    /// Whether the client waits for a `100 (Continue)`; only ever set for HTTP/1.1 with a body that is not
    /// empty.
    pub expect: Expect,
    /// Another request may follow on the connection: HTTP/1.1 without `Connection: close`.
    pub keep_alive: bool,
    /// Position of each kept value; no value starts at byte 0, so the empty span at 0 says "absent".
    fields: [Span; RequestField::ALL.len()],
    /// Which of them are there.
    kept: u32,
}

impl RequestHead {
    /// Fields that nearly every client sends.
    const USUAL: u32 = RequestField::Authorization.bit()
        | RequestField::ContentType.bit()
        | RequestField::Accept.bit()
        | RequestField::UserAgent.bit();

    /// True when it has a field beside `Authorization`, `Content-Type`, `Accept` and `User-Agent`.
    #[must_use]
    pub const fn has_unusual(&self) -> bool {
        self.kept & !Self::USUAL != 0
    }

    /// Value of a field, without white space around it; may be empty.
    #[must_use]
    pub fn field(&self, field: RequestField) -> Option<Span> {
        let span = self.fields[field as usize];
        (span.start > 0).then_some(span)
    }
}

/// Reads a request head from the front of `bytes`.
///
/// `scanned` says how far an earlier call on the same bytes has looked; 0 for the first call. What can never
/// become an acceptable head is `Bad` as soon as that shows: foreign protocols, overlong lines and heads, a
/// malformed request line, a bare LF. Everything else is judged when the head is complete. `used` is the
/// length of the head with the empty lines before it.
pub fn request_head(bytes: &[u8], scanned: &mut usize) -> Parse<RequestHead> {
    let start = match leading_empty_lines(bytes) {
        Parse::Done { used, .. } => used,
        Parse::More => return Parse::More,
        Parse::Bad(flaw) => return Parse::Bad(flaw),
    };
    let mut place = None;
    match head::parse::<Builder>(bytes, start, scanned, &mut place) {
        Parse::Done { value, used } => match value.finish() {
            Ok(()) => Parse::Done { value: value.head, used },
            Err(flaw) => Parse::Bad(flaw),
        },
        Parse::More => Parse::More,
        Parse::Bad(flaw) => Parse::Bad(flaw),
    }
}

/// Skips empty lines before the request line: RFC 9112 §2.2 asks for at least one to be ignored.
fn leading_empty_lines(bytes: &[u8]) -> Parse<()> {
    let mut start = 0;
    loop {
        match &bytes[start..] {
            [b'\r', b'\n', ..] if start == 2 * LEADING_EMPTY_LINES => return Parse::Bad(Flaw::RequestLine),
            [b'\r', b'\n', ..] => start += 2,
            [] | [b'\r'] => return Parse::More,
            [b'\r' | b'\n', ..] => return Parse::Bad(Flaw::LineEnd),
            _ => return Parse::Done { value: (), used: start },
        }
    }
}

/// A request head whose fields are still coming in.
struct Builder {
    head: RequestHead,
    framing: Framing,
    authority: Option<Span>,
    expects: bool,
}

impl Message for Builder {
    const LINE_BYTES: usize = REQUEST_LINE_BYTES;
    const LINE_TOO_LONG: Flaw = Flaw::RequestLineTooLong;

    fn opening(bytes: &[u8]) -> Result<(), Flaw> {
        // A TLS hello and most other protocols differ from a method in the first byte.
        match bytes.first() {
            Some(&byte) if !TCHAR[byte as usize] => Err(Flaw::RequestLine),
            Some(_) | None => Ok(()),
        }
    }

    #[inline]
    fn start_line(bytes: &[u8], line: Span) -> Result<Self, Flaw> {
        if let Some((method, path)) = usual_request_line(bytes, line) {
            let target = Target { path, query: None, authority: None };
            return Ok(Self::new(method, target, Version::Http11));
        }
        any_request_line(bytes, line).map_err(|flaw| match memchr(b'\r', line.of(bytes)) {
            Some(_) => Flaw::LineEnd,
            None => flaw,
        })
    }

    #[inline]
    fn field(&mut self, bytes: &[u8], name: &[u8], value: Span) -> Result<(), Flaw> {
        match request_name(name) {
            Name::Other => Ok(()),
            Name::Kept(field) => self.keep(field, value),
            Name::Host => self.host(bytes, value),
            Name::ContentLength => self.framing.content_length(value.of(bytes)),
            Name::TransferEncoding => self.framing.transfer_encoding(value.of(bytes), self.head.version),
            Name::Connection => self.framing.connection(value.of(bytes), nominate),
            Name::Expect => self.expect(value.of(bytes)),
            Name::Underscore => Err(Flaw::Underscore),
        }
    }
}

impl Builder {
    #[inline]
    fn new(method: Method, target: Target, version: Version) -> Self {
        Self {
            head: RequestHead {
                method,
                target: target.path,
                query: target.query,
                host: Span::default(),
                version,
                framing: RequestFraming::None,
                expect: Expect::None,
                keep_alive: false,
                fields: [Span::default(); RequestField::ALL.len()],
                kept: 0,
            },
            framing: Framing::default(),
            authority: target.authority,
            expects: false,
        }
    }

    fn keep(&mut self, field: RequestField, value: Span) -> Result<(), Flaw> {
        let slot = &mut self.head.fields[field as usize];
        match (*slot == Span::default(), field.first_wins()) {
            (true, _) => {
                *slot = value;
                self.head.kept |= field.bit();
            }
            (false, true) => {}
            (false, false) => return Err(Flaw::RepeatedField),
        }
        Ok(())
    }

    fn host(&mut self, bytes: &[u8], value: Span) -> Result<(), Flaw> {
        // RFC 9112 §3.2: more than one Host, or an invalid one, is a 400 even where the target overrules it.
        let fine = target::is_usual_authority(bytes, value) || is_authority(value.of(bytes));
        if self.head.host != Span::default() || !fine {
            return Err(Flaw::Host);
        }
        self.head.host = value;
        Ok(())
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Flaw> {
        // RFC 9110 §10.1.1: a recipient ignores the expectation of an HTTP/1.0 request.
        if self.head.version == Version::Http10 {
            return Ok(());
        }
        if self.expects || !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Flaw::Expectation);
        }
        self.expects = true;
        Ok(())
    }

    /// What only the whole set of fields can say.
    fn finish(&mut self) -> Result<(), Flaw> {
        let head = &mut self.head;
        let is_http11 = head.version == Version::Http11;
        if is_http11 && head.host == Span::default() {
            return Err(Flaw::Host);
        }
        head.host = self.authority.unwrap_or(head.host);
        head.framing = match self.framing.settle()? {
            Settled::Length(length) => RequestFraming::Length(length),
            Settled::Chunked => RequestFraming::Chunked,
            Settled::Unframed => RequestFraming::None,
        };
        let has_body = !matches!(head.framing, RequestFraming::None | RequestFraming::Length(0));
        head.expect = if self.expects && has_body { Expect::Continue } else { Expect::None };
        head.keep_alive = is_http11 && !self.framing.close;
        Ok(())
    }
}

/// The method and the path of the lines that nearly every client sends: `POST` or `GET`, a path of letters,
/// digits and a few signs, HTTP/1.1. The general way would find the same.
#[inline]
fn usual_request_line(bytes: &[u8], line: Span) -> Option<(Method, Span)> {
    let line = line.range();
    let (method, name) = match bytes[line.clone()] {
        [b'P', b'O', b'S', b'T', b' ', b'/', ..] => (Method::Post, "POST "),
        [b'G', b'E', b'T', b' ', b'/', ..] => (Method::Get, "GET "),
        _ => return None,
    };
    let (start, end) = (line.start + name.len(), line.end - " HTTP/1.1".len().min(line.len()));
    let fits = start < end
        && bytes[end..line.end] == *b" HTTP/1.1"
        && none(bytes, start, end, Block::not_path, |byte| !is_path_byte(byte));
    fits.then(|| (method, Span::new(start, end)))
}

/// Letters, digits and `-`, `.`, `/`, `_`: what [`Block::not_path`] leaves out.
const fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/' | b'_')
}

/// `method SP request-target SP HTTP-version` (RFC 9112 §3), one space each.
fn any_request_line(bytes: &[u8], line: Span) -> Result<Builder, Flaw> {
    let text = line.of(bytes);
    let first = memchr(b' ', text).ok_or(Flaw::RequestLine)?;
    let second = memchr(b' ', &text[first + 1..]).map(|at| first + 1 + at).ok_or(Flaw::RequestLine)?;
    let name = &text[..first];
    // The HTTP/2 preface is built to be refused as a malformed request (RFC 9113 §3.4).
    if !only(&TCHAR, name) || name == b"PRI" {
        return Err(Flaw::RequestLine);
    }
    let version = version(&text[second + 1..], Flaw::RequestLine)?;
    let method = method(name).ok_or(Flaw::MethodUnknown)?;
    let start = line.start as usize;
    let target = Span::new(start + first + 1, start + second);
    let target = target::parse(bytes, target, method == Method::Options)?;
    Ok(Builder::new(method, target, version))
}

/// CONNECT and TRACE are unknown on purpose: a gateway that tunnels or echoes is an open door.
fn method(name: &[u8]) -> Option<Method> {
    match name {
        b"GET" => Some(Method::Get),
        b"HEAD" => Some(Method::Head),
        b"POST" => Some(Method::Post),
        b"PUT" => Some(Method::Put),
        b"PATCH" => Some(Method::Patch),
        b"DELETE" => Some(Method::Delete),
        b"OPTIONS" => Some(Method::Options),
        _ => None,
    }
}

/// Judges a name in `Connection`. A client that nominates a field with end-to-end meaning tries to have it
/// removed before somebody looks at it (RFC 9110 §7.6.1 forbids it); any other field is dropped anyway.
fn nominate(option: &[u8]) -> Result<(), Flaw> {
    if !only(&TCHAR, option) {
        return Err(Flaw::Field);
    }
    match request_name(option) {
        Name::Kept(_) | Name::Host | Name::ContentLength | Name::TransferEncoding | Name::Expect => {
            Err(Flaw::ConnectionOption)
        }
        Name::Connection | Name::Underscore | Name::Other => Ok(()),
    }
}
