//! Another parser as a witness: what we accept, `httparse` accepts too, with the same start line and the same
//! fields. Every vector and every exercise passes here; so do heads put together from parts.
//!
//! Deliberately absent: the other direction. We refuse more than it does, and the vectors say what.

use super::head::{Message, read_fields};
use super::{RequestField, RequestHead, ResponseField, ResponseHead, Version, request_head, response_head};
use crate::base::limits::HEAD_FIELDS;
use crate::base::span::Span;
use crate::wire::Parse;
use crate::wire::flaw::Flaw;

/// The fields in their order, as they were sent.
struct Listed(Vec<(Vec<u8>, Vec<u8>)>);

impl Message for Listed {
    const LINE_BYTES: usize = 0;
    const LINE_TOO_LONG: Flaw = Flaw::RequestLineTooLong;

    fn opening(_: &[u8]) -> Result<(), Flaw> {
        Ok(())
    }

    fn start_line(_: &[u8], _: Span) -> Result<Self, Flaw> {
        Ok(Self(Vec::new()))
    }

    fn field(&mut self, bytes: &[u8], name: &[u8], value: Span) -> Result<(), Flaw> {
        self.0.push((name.to_vec(), value.of(bytes).to_vec()));
        Ok(())
    }
}

/// Compares what we make of the fields from `at` on with what `httparse` does.
fn compare_fields(text: &[u8], at: usize, theirs: &[httparse::Header<'_>]) {
    let mut listed = Listed(Vec::new());
    assert_eq!(read_fields(text, at, &mut listed), Some(Ok(text.len())), "{}", text.escape_ascii());
    let theirs: Vec<(Vec<u8>, Vec<u8>)> =
        theirs.iter().map(|field| (field.name.as_bytes().to_vec(), trim(field.value))).collect();
    assert_eq!(listed.0, theirs, "{}", text.escape_ascii());
}

/// `httparse` leaves a tab before the end of the line.
fn trim(value: &[u8]) -> Vec<u8> {
    super::trim(value).to_vec()
}

/// One past the start line, and past the empty lines before it.
fn fields_at(text: &[u8]) -> usize {
    let start = text.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(0);
    start + text[start..].iter().position(|byte| *byte == b'\n').expect("a start line ends") + 1
}

/// The one value that both say the field `name` has.
fn value_of<'a>(theirs: &[httparse::Header<'a>], name: &str) -> Option<&'a [u8]> {
    theirs.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| super::trim(field.value))
}

/// `text` is all of a request head that we have read as `ours`.
pub(super) fn agree_on_request(text: &[u8], ours: &RequestHead) {
    let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS];
    let mut theirs = httparse::Request::new(&mut fields);
    let verdict = theirs.parse(text);
    if verdict == Err(httparse::Error::Version) {
        // It knows no version between 1.1 and 2.
        return assert_eq!(ours.version, Version::Http11);
    }
    assert_eq!(verdict, Ok(httparse::Status::Complete(text.len())), "{}", text.escape_ascii());
    assert_eq!(theirs.method, Some(ours.method.name()));
    assert_eq!(theirs.version, Some(u8::from(ours.version == Version::Http11)));
    let target = theirs.path.unwrap_or_default().as_bytes();
    assert!(target.windows(ours.target.len()).any(|part| part == ours.target.of(text)));
    assert!(ours.query.is_none_or(|query| target.ends_with(query.of(text))));
    for (field, name) in [
        (RequestField::Authorization, "authorization"),
        (RequestField::ContentType, "content-type"),
        (RequestField::Accept, "accept"),
        (RequestField::UserAgent, "user-agent"),
    ] {
        assert_eq!(ours.field(field).map(|value| value.of(text)), value_of(theirs.headers, name), "{name}");
    }
    compare_fields(text, fields_at(text), theirs.headers);
}

/// `text` is all of a response head that we have read as `ours`.
pub(super) fn agree_on_response(text: &[u8], ours: &ResponseHead) {
    let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS];
    let mut theirs = httparse::Response::new(&mut fields);
    let verdict = theirs.parse(text);
    if verdict == Err(httparse::Error::Version) {
        return assert_eq!(ours.version, Version::Http11);
    }
    assert_eq!(verdict, Ok(httparse::Status::Complete(text.len())), "{}", text.escape_ascii());
    assert_eq!(
        (theirs.code, theirs.version),
        (Some(ours.status), Some(u8::from(ours.version == Version::Http11)))
    );
    let kind = ours.field(ResponseField::ContentType).map(|value| value.of(text));
    assert_eq!(kind, value_of(theirs.headers, "content-type"));
    compare_fields(text, fields_at(text), theirs.headers);
}

/// Heads put together from parts, most of which we accept.
#[test]
fn heads_of_parts_are_read_alike() {
    let lines = ["GET / HTTP/1.1", "POST /v1/chat/completions?a=%20b HTTP/1.1", "PUT /x HTTP/1.0"];
    let fields = [
        "Host: a.example:80\r\n",
        "host:\ta\r\n",
        "Content-Length: 12\r\n",
        "accept:*/*  \r\n",
        "X-Empty:\r\n",
        "authorization: Bearer sk-12345678901234567890\r\n",
        "x.y~z!: \u{e9}\t;\"q\" \t\r\n",
        "Transfer-Encoding: chunked\r\n",
    ];
    let (mut requests, mut responses) = (0, 0);
    for picks in 0..(1_usize << fields.len()) {
        let section: String = fields
            .iter()
            .enumerate()
            .filter(|(at, _)| picks >> at & 1 == 1)
            .map(|(_, field)| *field)
            .collect();
        for line in lines {
            let text = format!("{line}\r\n{section}\r\n");
            if let Parse::Done { value, used } = request_head(text.as_bytes(), &mut 0) {
                agree_on_request(&text.as_bytes()[..used], &value);
                requests += 1;
            }
        }
        for line in ["HTTP/1.1 200 OK", "HTTP/1.0 429 ", "HTTP/1.1 503"] {
            let text = format!("{line}\r\n{section}\r\n");
            if let Parse::Done { value, used } = response_head(text.as_bytes(), &mut 0) {
                agree_on_response(&text.as_bytes()[..used], &value);
                responses += 1;
            }
        }
    }
    assert!(requests > 100 && responses > 100, "{requests} {responses}");
}
