//! Where `openrouter_metadata` goes: the last member of an answer's object, the first where its end is still
//! to come, a member of a stream's usage event, or an event of its own before the end marker.
//!
//! Deliberately absent: what is in it.

use core::ops::Range;

use crate::base::ids::GenerationId;
use crate::base::span::Span;
use crate::dialect::Api;
use crate::wire::json::Quoted;
use crate::wire::json::scan::{skip_space, value_end};
use crate::wire::parcel::Parcel;

const MEMBER: &str = "\"openrouter_metadata\":";

/// A receipt, ready to be placed: once, anywhere.
#[derive(Debug)]
pub(in crate::exchange) struct Closing {
    /// A whole event that carries nothing else.
    event: Vec<u8>,
    /// The member in it, without a comma.
    member: Range<usize>,
}

impl Closing {
    /// From the object, for an answer with this id. The event is a chunk without choices, as OpenAI's own
    /// usage chunk: what every client of streams passes over.
    pub(in crate::exchange) fn new(object: &str, id: GenerationId, api: Api, model: &str) -> Self {
        let kind = match api {
            Api::ChatCompletions => "chat.completion.chunk",
            Api::Completions => "text_completion",
            Api::Embeddings => "list",
        };
        let (id, created) = (id.as_str(), created(id.as_str()));
        let opening = format!(
            "data: {{\"id\":\"{id}\",\"object\":\"{kind}\",\"created\":{created},\"model\":{},\
             \"choices\":[],",
            Quoted(model)
        );
        let member = format!("{MEMBER}{object}");
        let range = opening.len()..opening.len() + member.len();
        Self { event: [&opening, &member[..], "}\n\n"].concat().into_bytes(), member: range }
    }

    /// A whole event.
    pub(in crate::exchange) fn event(&self) -> &[u8] {
        &self.event
    }

    /// To go before the brace that ends an object with other members.
    pub(in crate::exchange) fn last_member(&self) -> Vec<u8> {
        [b",", &self.event[self.member.clone()]].concat()
    }

    /// To go behind the brace that begins an object with other members.
    pub(in crate::exchange) fn first_member(&self) -> Vec<u8> {
        [&self.event[self.member.clone()], b","].concat()
    }

    /// Adds it to an object of ours, which ends `out` but for line ends.
    pub(in crate::exchange) fn push_to(&self, out: &mut Vec<u8>) {
        let Some(at) = out.iter().rposition(|byte| *byte == b'}') else { return };
        let behind = out.split_off(at);
        out.extend_from_slice(&self.last_member());
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
    /// The last member of a document.
    pub(in crate::exchange) fn last(closing: &Closing, text: &[u8]) -> Option<Self> {
        Some(Self { at: closing_brace(text)?, bytes: closing.last_member() })
    }

    /// The first member of a document whose end is still to come.
    pub(in crate::exchange) fn first(closing: &Closing, text: &[u8]) -> Option<Self> {
        Some(Self { at: opening_brace(text)? + 1, bytes: closing.first_member() })
    }

    /// Appends a stretch of the window, and these bytes in their place.
    pub(in crate::exchange) fn push_into(&self, window: Span, parcel: &mut Parcel) {
        let at = window.start + self.at as u32;
        parcel.push_window(Span { end: at, ..window });
        let from = parcel.own.len();
        parcel.own.extend_from_slice(&self.bytes);
        parcel.push_own(from);
        parcel.push_window(Span { start: at, ..window });
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

/// The brace that ends the object of an event, given its payload in pieces of `bytes`: which piece, and where
/// in it. `None` for an event that is not one `data:` line with an object of members.
pub(in crate::exchange) fn event_brace(pieces: &[Span], bytes: &[u8]) -> Option<(usize, u32)> {
    let whole: Vec<u8> = pieces.iter().flat_map(|span| span.of(bytes)).copied().collect();
    let value = whole.strip_prefix(b"data:")?;
    let line = value.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(value.len());
    if !value[line..].iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
        return None;
    }
    let mut at = b"data:".len() + closing_brace(&value[..line])?;
    for (turn, span) in pieces.iter().enumerate() {
        if at < span.len() {
            return Some((turn, span.start + at as u32));
        }
        at -= span.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UnixSeconds;

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
    fn an_event_is_patched_wherever_it_was_cut() {
        for (event, want) in [
            ("data: {\"usage\":{}}\n\n", Some(17)),
            ("data:{\"usage\":{}}\r\n\r\n", Some(16)),
            ("data: {\"usage\":{}}", Some(17)),
            ("data: {\"usage\":{}\n\n", None),
            ("data: {\"usage\":\ndata: {}}\n\n", None),
            ("data: {\"usage\":{}}\nid: }\n\n", None),
            ("id: 1\ndata: {\"usage\":{}}\n\n", None),
            ("data: {}\n\n", None),
            ("data: [DONE]\n\n", None),
        ] {
            // Each piece lies three bytes behind the one before it, as if chunk sizes stood between.
            for cut in 0..=event.len() {
                let bytes = [&event.as_bytes()[..cut], b"\r\n5", &event.as_bytes()[cut..]].concat();
                let pieces = [Span::new(0, cut), Span::new(cut + 3, bytes.len())];
                let found = event_brace(&pieces, &bytes);
                let moved = want.map(|at| if at < cut { (0, at as u32) } else { (1, at as u32 + 3) });
                assert_eq!(found, moved, "{event:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn an_event_of_its_own_is_a_chunk_without_choices() {
        let id = GenerationId::new(UnixSeconds(1_700_000_000), [1, 2]);
        let closing = Closing::new("{\"attempt\":1}", id, Api::ChatCompletions, "a\"b");
        let text = core::str::from_utf8(closing.event()).expect("UTF-8");
        let json = text.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n")).expect("one event");
        let json: serde_json::Value = serde_json::from_str(json).expect("valid JSON");
        assert_eq!((&json["model"], &json["created"]), (&"a\"b".into(), &1_700_000_000.into()));
        assert_eq!(json["openrouter_metadata"]["attempt"], 1);
        assert_eq!(closing.last_member(), b",\"openrouter_metadata\":{\"attempt\":1}");
        assert_eq!(closing.first_member(), b"\"openrouter_metadata\":{\"attempt\":1},");
        let mut body = b"data: {\"error\":{}}\n\n".to_vec();
        closing.push_to(&mut body);
        assert_eq!(body, b"data: {\"error\":{},\"openrouter_metadata\":{\"attempt\":1}}\n\n");
    }
}
