//! Reading HTTP responses from raw bytes, as a client that trusts nobody: an answer is whole only if its
//! framing says so.

use std::fmt;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order.
    Fin,
    /// With a reset, or for TLS without close_notify.
    Reset,
    /// It did not: nothing came for as long as we wait.
    Silence,
}

/// One response.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    /// The payload, without its framing.
    pub(crate) body: Vec<u8>,
    /// The framing says that this is all of it.
    pub(crate) whole: bool,
    /// The bytes as they came.
    pub(crate) raw: Vec<u8>,
    /// How the connection ended, if it did before the answer was whole.
    pub(crate) end: Option<End>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| &**value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `Null` if it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A clear error of the router or passed on by it: whole, a status of at least 400, and JSON with an
    /// `error`.
    pub(crate) fn is_clear_error(&self) -> bool {
        self.whole && self.status >= 400 && self.json()["error"].is_object()
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.raw[..self.raw.len().min(1500)];
        write!(f, "[whole={} end={:?}] {}", self.whole, self.end, String::from_utf8_lossy(shown))
    }
}

/// How a body is framed.
enum Body {
    Length(usize),
    Chunked,
    Close,
}

/// The response at the front of `bytes`, as soon as it is whole. With `end`, what is there of it: a
/// response of which not even the head came has status 0.
pub(crate) fn parse(bytes: &[u8], end: Option<End>) -> Option<Answer> {
    let mut answer =
        Answer { status: 0, fields: Vec::new(), body: Vec::new(), whole: false, raw: bytes.to_vec(), end };
    let Some(head_len) = find(bytes, b"\r\n\r\n").map(|at| at + 4) else {
        return end.map(|_| answer);
    };
    let head = String::from_utf8_lossy(&bytes[..head_len - 4]).into_owned();
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap_or_default();
    assert!(start.starts_with("HTTP/1.1 "), "not a response: {start}");
    answer.status = start[9..12].parse().unwrap_or_else(|_| panic!("no status: {start}"));
    answer.fields = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line}"));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect();
    let rest = &bytes[head_len..];
    let (body, used, whole) = match framing(&answer) {
        Body::Length(length) => {
            (rest[..length.min(rest.len())].to_vec(), length.min(rest.len()), rest.len() >= length)
        }
        Body::Chunked => unchunk(rest),
        Body::Close => (rest.to_vec(), rest.len(), end == Some(End::Fin)),
    };
    answer.body = body;
    answer.whole = whole;
    answer.raw.truncate(head_len + used);
    if whole {
        answer.end = None;
    }
    (whole || end.is_some()).then_some(answer)
}

/// All responses of a connection that has ended, in order, and what could not be read as one.
pub(crate) fn parse_all(bytes: &[u8], end: End) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Some(answer) = parse(&bytes[at..], Some(end)) else { break };
        at += answer.raw.len();
        answers.push(answer);
    }
    answers
}

fn framing(answer: &Answer) -> Body {
    let coding = answer.field("transfer-encoding");
    let lengths: Vec<_> = answer.fields.iter().filter(|(name, _)| name == "content-length").collect();
    assert!(lengths.len() <= 1 && (coding.is_none() || lengths.is_empty()), "ambiguous framing: {answer:?}");
    if answer.status < 200 || matches!(answer.status, 204 | 304) {
        return Body::Length(0);
    }
    match (coding, lengths.first()) {
        (Some(coding), _) => {
            assert_eq!(coding, "chunked", "{answer:?}");
            Body::Chunked
        }
        (None, Some((_, length))) => Body::Length(length.parse().expect("a length is a number")),
        (None, None) => Body::Close,
    }
}

/// Payload, bytes used, and whether the last chunk was seen.
fn unchunk(bytes: &[u8]) -> (Vec<u8>, usize, bool) {
    let (mut payload, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else { return (payload, bytes.len(), false) };
        let text = String::from_utf8_lossy(&bytes[at..at + line]).into_owned();
        let size = text.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("not a chunk size: {text:?}"));
        let data = at + line + 2;
        if size == 0 {
            let end = data + 2;
            let whole = bytes.len() >= end;
            assert!(!whole || &bytes[data..end] == b"\r\n", "a trailer that nobody asked for");
            return (payload, end.min(bytes.len()), whole);
        }
        let have = size.min(bytes.len().saturating_sub(data));
        payload.extend_from_slice(&bytes[data..data + have]);
        if bytes.len() < data + size + 2 {
            return (payload, bytes.len(), false);
        }
        assert_eq!(&bytes[data + size..data + size + 2], b"\r\n", "chunk data without its end");
        at = data + size + 2;
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, needle)
}
