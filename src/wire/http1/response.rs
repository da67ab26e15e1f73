//! Response heads of upstreams, for requests that are GET or POST: RFC 9112 §4 (status line), §6.3 (framing).
//!
//! Deliberately absent: responses to HEAD and CONNECT, whose framing depends on the request; the upstream's
//! other fields, which end here.

use super::fields::{Framing, Name, ResponseField, Settled, Version, response_name, version};
use super::head::{self, Message};
use super::is_value_byte;
use crate::base::limits::HEAD_BYTES;
use crate::base::span::Span;
use crate::wire::Parse;
use crate::wire::flaw::Flaw;

/// How the body of a response is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFraming {
    /// There is no body: 1xx, 204 and 304, whatever the fields say.
    None,
    /// The body has this many bytes.
    Length(u64),
    /// The body is in the chunked coding.
    Chunked,
    /// The body ends where the connection does.
    Close,
}

/// A response head. Spans count from the first byte given to [`response_head`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status code, 100 to 599 and never 101.
    pub status: u16,
    /// The protocol version.
    pub version: Version,
    /// How the body is framed.
    pub framing: ResponseFraming,
    /// The connection may be used again once the body is complete.
    pub keep_alive: bool,
    /// Position of each kept value; no value starts at byte 0, so the empty span at 0 says "absent".
    fields: [Span; ResponseField::ALL.len()],
}

impl ResponseHead {
    /// Value of a field, without white space around it; may be empty.
    #[must_use]
    pub fn field(&self, field: ResponseField) -> Option<Span> {
        let span = self.fields[field as usize];
        (span.start > 0).then_some(span)
    }
}

/// Reads a response head from the front of `bytes`; an interim (1xx) head is a head of its own.
///
/// `scanned` says how far an earlier call on the same bytes has looked; 0 for the first call. `used` is the
/// length of the head. `Bad` means that nothing on this connection can be trusted any more.
pub fn response_head(bytes: &[u8], scanned: &mut usize) -> Parse<ResponseHead> {
    let mut place = None;
    match head::parse::<Builder>(bytes, 0, scanned, &mut place) {
        Parse::Done { value, used } => match value.finish() {
            Ok(value) => Parse::Done { value, used },
            Err(flaw) => Parse::Bad(flaw),
        },
        Parse::More => Parse::More,
        Parse::Bad(flaw) => Parse::Bad(flaw),
    }
}

/// A response head whose fields are still coming in.
pub(super) struct Builder {
    head: ResponseHead,
    framing: Framing,
}

impl Message for Builder {
    const LINE_BYTES: usize = HEAD_BYTES - 2;
    const LINE_TOO_LONG: Flaw = Flaw::HeadTooLong;

    fn opening(bytes: &[u8]) -> Result<(), Flaw> {
        let begins = match bytes.first_chunk() {
            Some(first) => first == b"HTTP/",
            None => b"HTTP/".starts_with(bytes),
        };
        if begins { Ok(()) } else { Err(Flaw::StatusLine) }
    }

    #[inline]
    fn start_line(bytes: &[u8], line: Span) -> Result<Self, Flaw> {
        let line = line.of(bytes);
        // What nearly every answer begins with; the general way would find the same.
        if line == b"HTTP/1.1 200 OK" { Ok(Self::new(200, Version::Http11)) } else { status_line(line) }
    }

    #[inline]
    fn field(&mut self, bytes: &[u8], name: &[u8], value: Span) -> Result<(), Flaw> {
        self.take(bytes, response_name(name), value)
    }
}

impl Builder {
    #[inline]
    pub(super) fn new(status: u16, version: Version) -> Self {
        let fields = [Span::default(); ResponseField::ALL.len()];
        let framing = ResponseFraming::None;
        Self {
            head: ResponseHead { status, version, framing, keep_alive: false, fields },
            framing: Framing::default(),
        }
    }

    /// Takes a field whose name says this.
    #[inline(always)]
    pub(super) fn take(&mut self, bytes: &[u8], name: Name<ResponseField>, value: Span) -> Result<(), Flaw> {
        match name {
            Name::Other | Name::Host | Name::Expect | Name::Underscore => Ok(()),
            Name::Kept(field) => self.keep(field, value),
            Name::ContentLength => self.framing.content_length(value.of(bytes)),
            Name::TransferEncoding => self.framing.transfer_encoding(value.of(bytes), self.head.version),
            // No received field is forwarded, so nominating one changes nothing.
            Name::Connection => self.framing.connection(value.of(bytes), |_| Ok(())),
        }
    }

    fn keep(&mut self, field: ResponseField, value: Span) -> Result<(), Flaw> {
        let slot = &mut self.head.fields[field as usize];
        match (*slot == Span::default(), field.first_wins()) {
            (true, _) => *slot = value,
            (false, true) => {}
            (false, false) => return Err(Flaw::RepeatedField),
        }
        Ok(())
    }

    /// RFC 9112 §6.3, in its order: the status, then the coding, then the length, then the connection's end.
    #[inline]
    pub(super) fn finish(&mut self) -> Result<ResponseHead, Flaw> {
        let mut head = self.head;
        if head.status == 101 {
            return Err(Flaw::Upgrade);
        }
        let settled = self.framing.settle()?;
        head.framing = match (head.status, settled) {
            (100..=199 | 204 | 304, _) => ResponseFraming::None,
            (_, Settled::Chunked) => ResponseFraming::Chunked,
            (_, Settled::Length(length)) => ResponseFraming::Length(length),
            (_, Settled::Unframed) => ResponseFraming::Close,
        };
        let delimited = head.framing != ResponseFraming::Close;
        head.keep_alive = head.version == Version::Http11 && !self.framing.close && delimited;
        Ok(head)
    }
}

/// `HTTP-version SP status-code SP [ reason-phrase ]` (RFC 9112 §4). The second space may be missing where
/// there is no reason: many servers leave it out, and nothing is ambiguous then.
fn status_line(line: &[u8]) -> Result<Builder, Flaw> {
    let (protocol, rest) = line.split_at_checked(8).ok_or(Flaw::StatusLine)?;
    let (code, reason) = rest.split_at_checked(4).ok_or(Flaw::StatusLine)?;
    let version = version(protocol, Flaw::StatusLine)?;
    let [b' ', hundreds @ b'1'..=b'5', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = code else {
        return Err(Flaw::StatusLine);
    };
    let digit = |byte: &u8| u16::from(byte - b'0');
    match reason {
        [] => {}
        [b' ', reason @ ..] if reason.iter().all(|&byte| is_value_byte(byte)) => {}
        _ => return Err(Flaw::StatusLine),
    }
    Ok(Builder::new(digit(hundreds) * 100 + digit(tens) * 10 + digit(ones), version))
}
