//! Where `openrouter_metadata` goes: the last member of an answer's object, the first where its end is still
//! to come, a member of a stream's usage event, or an event of its own before the end marker.
//!
//! Deliberately absent: what is in it.

use memchr::memchr2;

use crate::wire::json::scan::{skip_space, value_end};

const MEMBER: &str = "\"openrouter_metadata\":";

/// A receipt, ready to be placed: once, anywhere.
#[derive(Debug)]
pub(in crate::exchange) struct Closing {
    /// The member with the comma before it.
    member: Vec<u8>,
}

impl Closing {
    /// From the object.
    pub(in crate::exchange) fn new(object: &str) -> Self {
        Self { member: [b",", MEMBER.as_bytes(), object.as_bytes()].concat() }
    }

    /// To go before the brace that ends an object with other members.
    pub(in crate::exchange) fn last_member(&self) -> &[u8] {
        &self.member
    }

    /// To go behind the brace that begins an object with other members.
    pub(in crate::exchange) fn first_member(&self) -> Vec<u8> {
        [&self.member[1..], b","].concat()
    }

    /// Adds it to an object of ours, which ends `out` but for line ends.
    pub(in crate::exchange) fn push_to(&self, out: &mut Vec<u8>) {
        let Some(at) = out.iter().rposition(|byte| *byte == b'}') else { return };
        let behind = out.split_off(at);
        out.extend_from_slice(self.last_member());
        out.extend_from_slice(&behind);
    }
}

/// Bytes of our own in the payload of an answer.
#[derive(Debug)]
pub(in crate::exchange) struct Place {
    /// Where they go, from the front of the payload.
    pub(in crate::exchange) at: usize,
    pub(in crate::exchange) bytes: Vec<u8>,
}

impl Place {
    /// The first member of a document whose end is still to come.
    pub(in crate::exchange) fn first(closing: &Closing, text: &[u8]) -> Option<Self> {
        Some(Self { at: opening_brace(text)? + 1, bytes: closing.first_member() })
    }
}

/// Seconds in a generation's id, which begins with the time of the request.
pub(in crate::exchange) fn created(id: &str) -> u64 {
    id.get(4..14).and_then(|seconds| seconds.parse().ok()).unwrap_or(0)
}

/// The brace that ends `text`, when that is one whole JSON object with members, and only white space around.
pub(in crate::exchange) fn closing_brace(text: &[u8]) -> Option<usize> {
    let start = opening_brace(text)?;
    let end = value_end(text, start, 0).ok()?;
    (skip_space(text, end) == text.len()).then(|| end - 1)
}

/// The brace that begins an object with members, when that is what `text` begins with.
pub(in crate::exchange) fn opening_brace(text: &[u8]) -> Option<usize> {
    let start = skip_space(text, 0);
    let first = skip_space(text, start + 1);
    (text.get(start) == Some(&b'{') && text.get(first) == Some(&b'"')).then_some(start)
}

/// Writes an event, given as it came, with other data: its first `data:` line has them, and it has no second
/// one. Line ends and other fields stay. False, and nothing written, when there is no such line.
pub(in crate::exchange) fn write_event(raw: &[u8], data: &[&[u8]], out: &mut Vec<u8>) -> bool {
    let (mut rest, mut placed) = (raw, false);
    let mark = raw.strip_prefix(b"\xEF\xBB\xBF");
    let begun = out.len();
    if let Some(behind) = mark {
        out.extend_from_slice(&raw[..raw.len() - behind.len()]);
        rest = behind;
    }
    while !rest.is_empty() {
        let line = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let ends = match &rest[line..] {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        let (whole, behind) = rest.split_at(line + ends);
        rest = behind;
        let is_data = whole.starts_with(b"data:") || &whole[..line] == b"data";
        if !is_data {
            out.extend_from_slice(whole);
        } else if !placed {
            out.extend_from_slice(b"data: ");
            // A line end in the data is white space between two members: several lines were joined by it.
            let plain = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
            data.iter().for_each(|part| out.extend(part.iter().map(plain)));
            out.extend_from_slice(&whole[line..]);
            placed = true;
        }
    }
    if !placed {
        out.truncate(begun);
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_objects_with_members_take_one_more() {
        for (text, want) in [
            ("{\"a\":1}", Some(6)),
            (" \r\n{\"a\":{}} \n", Some(10)),
            ("{\"a\":\"}\"}", Some(8)),
            ("{}", None),
            ("{ }", None),
            ("", None),
            ("[1]", None),
            ("{\"a\":1", None),
            ("{\"a\":1}}", None),
            ("{\"a\":1} x", None),
            ("x{\"a\":1}", None),
        ] {
            assert_eq!(closing_brace(text.as_bytes()), want, "{text}");
        }
        assert_eq!(
            (opening_brace(b" {\"a"), opening_brace(b"{"), opening_brace(b"{}")),
            (Some(1), None, None)
        );
    }

    #[test]
    fn an_event_keeps_all_but_its_data() {
        for (raw, want) in [
            ("data: {old}\n\n", Some("data: {new }\n\n")),
            ("data:{old}\r\n\r\n", Some("data: {new }\r\n\r\n")),
            ("data: {old}\r\r", Some("data: {new }\r\r")),
            ("data: {old}", Some("data: {new }")),
            ("\u{feff}data: {old}\n\n", Some("\u{feff}data: {new }\n\n")),
            ("id: 1\ndata: {\ndata: old}\r\n: c\n\n", Some("id: 1\ndata: {new }\n: c\n\n")),
            ("data\ndata:{old}\n\n", Some("data: {new }\n\n")),
            ("event: x\n\n", None),
            ("", None),
        ] {
            let mut out = b"before ".to_vec();
            let placed = write_event(raw.as_bytes(), &[b"{", b"new\n}"], &mut out);
            let want = format!("before {}", want.unwrap_or_default());
            assert_eq!((placed, &*String::from_utf8_lossy(&out)), (want != "before ", &*want), "{raw:?}");
        }
    }

    #[test]
    fn a_receipt_is_a_member_wherever_it_goes() {
        let closing = Closing::new("{\"attempt\":1}");
        assert_eq!(closing.last_member(), b",\"openrouter_metadata\":{\"attempt\":1}");
        assert_eq!(closing.first_member(), b"\"openrouter_metadata\":{\"attempt\":1},");
        let mut body = b"data: {\"error\":{}}\n\n".to_vec();
        closing.push_to(&mut body);
        assert_eq!(body, b"data: {\"error\":{},\"openrouter_metadata\":{\"attempt\":1}}\n\n");
    }
}
