//! Which conversation a request belongs to: the one that it names, else the one that begins as it does.
//!
//! A conversation is named by, first of all, `session_id` in the body, then `X-Session-Id`, then the header
//! of a coding harness, then `prompt_cache_key`. Without a name it is known by its opening: the first system
//! or developer message and the first other one, which every later request of the conversation repeats.
//! Deliberately absent: hashing, and the length of `session_id` (`wire/json/peek` has checked it).

use super::hash::TEXT_BYTES;
use crate::base::limits::SESSION_ID_CHARS;
use crate::base::span::Span;
use crate::wire::flaw::Flaw;
use crate::wire::json::peek::Peek;
use crate::wire::json::scan::{Fields, skip_space, value_end};

/// A longer header of a harness is none of ours to refuse, and names nothing.
const HEADER_BYTES: usize = TEXT_BYTES;
/// How far into the messages an opening is looked for, in bytes.
const REACH_BYTES: usize = 256 * 1024;
/// How many messages may be passed on the way to the first one that is not the system's.
const SYSTEM_MESSAGES: usize = 8;

/// What a request says about its conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conversation<'b> {
    /// Nothing.
    #[default]
    Unknown,
    /// Its name, at least one byte.
    Named(&'b [u8]),
    /// The messages, as JSON text: their opening tells.
    Opening(&'b [u8]),
}

impl<'b> Conversation<'b> {
    /// Reads what `peek` has found in `body`; `session` is the value of `X-Session-Id`, `harness` that of a
    /// harness's header, each empty when it is not there.
    ///
    /// # Errors
    /// [`Flaw::SessionId`] when `X-Session-Id` is longer than a `session_id` may be.
    pub fn of(peek: &Peek, body: &'b [u8], session: &'b [u8], harness: &'b [u8]) -> Result<Self, Flaw> {
        if session.len() > SESSION_ID_CHARS
            && core::str::from_utf8(session).map_or(session.len(), |text| text.chars().count())
                > SESSION_ID_CHARS
        {
            return Err(Flaw::SessionId);
        }
        let harness = if harness.len() > HEADER_BYTES { &[] } else { harness };
        let inside = |quoted: &'b [u8]| quoted.strip_prefix(b"\"")?.strip_suffix(b"\"");
        let text = |span: Option<Span>| span.and_then(|span| inside(span.of(body)));
        let names = [text(peek.session_id), Some(session), Some(harness), text(peek.prompt_cache_key)];
        if let Some(name) = names.into_iter().flatten().find(|name| !name.is_empty()) {
            return Ok(Self::Named(name));
        }
        Ok(peek.messages.map_or(Self::Unknown, |messages| Self::Opening(messages.of(body))))
    }

    /// Is it named by the request itself?
    #[must_use]
    pub const fn is_named(&self) -> bool {
        matches!(self, Self::Named(_))
    }

    /// Whether it is named, and the texts to know it by.
    pub(super) fn texts(&self) -> Option<(bool, [&'b [u8]; 2])> {
        match *self {
            Self::Unknown => None,
            Self::Named(name) => Some((true, [name, &[]])),
            Self::Opening(messages) => opening(messages).map(|texts| (false, texts)),
        }
    }
}

/// The first system message and the first other one, as written; either may be empty. Only what is within
/// reach is looked at, and of the last message no more than counts: what ends beyond that is known by its
/// beginning.
fn opening(messages: &[u8]) -> Option<[&[u8]; 2]> {
    let within = &messages[..messages.len().min(REACH_BYTES)];
    if within.first() != Some(&b'[') {
        return None;
    }
    let (mut system, mut at): (&[u8], usize) = (&[], skip_space(within, 1));
    for _ in 0..SYSTEM_MESSAGES {
        if matches!(within.get(at), None | Some(b']')) {
            break;
        }
        let is_system = is_system(within, at);
        let reach = if is_system { within } else { &within[..within.len().min(at + TEXT_BYTES)] };
        let end = value_end(reach, at, 1);
        let text = &reach[at..end.unwrap_or(reach.len())];
        if !is_system {
            return Some([system, text]);
        }
        if system.is_empty() {
            system = text;
        }
        let comma = end.map_or(within.len(), |end| skip_space(within, end));
        if within.get(comma) != Some(&b',') {
            break;
        }
        at = skip_space(within, comma + 1);
    }
    (!system.is_empty()).then_some([system, &[]])
}

/// Is the message at `at` the system's, or the developer's?
fn is_system(messages: &[u8], at: usize) -> bool {
    let Ok(mut fields) = Fields::open(messages, at, 1) else { return false };
    while let Ok(Some(field)) = fields.next_field() {
        if field.key.of(messages) == b"role" {
            return matches!(field.value.of(messages), b"\"system\"" | b"\"developer\"");
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::peek::peek;

    #[test]
    fn the_name_is_the_first_there_is() {
        let long = "x".repeat(HEADER_BYTES + 1);
        for (body, session, harness, want) in [
            (r#"{"session_id":"a","prompt_cache_key":"d","messages":[]}"#, "b", "c", "a"),
            (r#"{"prompt_cache_key":"d","messages":[]}"#, "b", "c", "b"),
            (r#"{"session_id":null,"prompt_cache_key":"d","messages":[]}"#, "", "c", "c"),
            (r#"{"session_id":"","prompt_cache_key":"d","messages":[]}"#, "", "", "d"),
            (r#"{"prompt_cache_key":"d"}"#, "", &long, "d"),
        ] {
            let peek = peek(body.as_bytes()).unwrap();
            let found = Conversation::of(&peek, body.as_bytes(), session.as_bytes(), harness.as_bytes());
            assert_eq!(found, Ok(Conversation::Named(want.as_bytes())), "{body}");
        }
        for (body, want) in [
            (r#"{"messages":[1]}"#, Conversation::Opening(b"[1]")),
            (r#"{"messages":[1],"prompt_cache_key":7}"#, Conversation::Opening(b"[1]")),
            (r#"{"messages":[1],"prompt_cache_key":""}"#, Conversation::Opening(b"[1]")),
            (r#"{"messages":null}"#, Conversation::Unknown),
            ("{}", Conversation::Unknown),
        ] {
            let peek = peek(body.as_bytes()).unwrap();
            assert_eq!(Conversation::of(&peek, body.as_bytes(), b"", b""), Ok(want), "{body}");
        }
    }

    #[test]
    fn a_long_session_header_is_refused() {
        let peek = peek(b"{}").unwrap();
        for (value, fits) in [
            ("x".repeat(256), true),
            ("x".repeat(257), false),
            ("ä".repeat(256), true),
            ("ä".repeat(257), false),
        ] {
            let found = Conversation::of(&peek, b"{}", value.as_bytes(), b"");
            assert_eq!(found.is_ok(), fits, "{} bytes", value.len());
        }
        assert!(Conversation::of(&peek, b"{}", &[0xff; 257], b"").is_err());
    }

    #[test]
    fn an_opening_is_what_later_requests_repeat() {
        const S: &str = r#"{"role":"system","content":"be kind"}"#;
        const D: &str = r#"{"content":"be brief","role":"developer"}"#;
        const U: &str = r#"{"role":"user","content":"hello"}"#;
        const A: &str = r#"{"role":"assistant","content":"hi"}"#;
        for (messages, system, first) in [
            (format!("[{U}]"), "", U),
            (format!("[{U},{A},{U}]"), "", U),
            (format!("[{S},{U}]"), S, U),
            (format!(" [ {S} , {D} , {U} , {A} ] ").trim().to_owned(), S, U),
            (format!("[{D},{A},{U}]"), D, A),
            (format!("[{S}]"), S, ""),
            (r#"["hello",1]"#.to_owned(), "", "\"hello\""),
        ] {
            let texts = opening(messages.as_bytes()).expect("an opening");
            assert_eq!(texts, [system.as_bytes(), first.as_bytes()], "{messages}");
        }
        for none in ["", "[]", "\"text\"", "{}", "7"] {
            assert_eq!(opening(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn messages_cut_anywhere_do_no_harm() {
        let whole = r#"[{"role":"system","content":"a \" b"},{"content":[{"x":1}],"role":"user"},{}]"#;
        for cut in 0..whole.len() {
            let _ = Conversation::Opening(&whole.as_bytes()[..cut]).texts();
            let _ = Conversation::Opening(&whole.as_bytes()[cut..]).texts();
        }
    }

    #[test]
    fn only_so_much_is_looked_at() {
        let long = "x".repeat(REACH_BYTES);
        let system = r#"{"role":"system","content":"s"}"#;
        let first = format!(r#"[{system},{{"role":"user","content":"{long}"}}]"#);
        let next = format!("{},{{\"role\":\"assistant\"}}]", first.strip_suffix(']').unwrap());
        let [found, rest] = opening(first.as_bytes()).unwrap();
        assert_eq!((found, rest.len()), (system.as_bytes(), TEXT_BYTES));
        assert_eq!(opening(next.as_bytes()), Some([found, rest]));
        let long = format!(r#"[{{"role":"system","content":"{long}"}},{{"role":"user"}}]"#);
        let [found, rest] = opening(long.as_bytes()).unwrap();
        assert_eq!((found.len(), rest), (REACH_BYTES - 1, b"".as_slice()));
        let many = format!("[{}]", [system; SYSTEM_MESSAGES + 1].join(","));
        assert_eq!(opening(many.as_bytes()), Some([system.as_bytes(), b"".as_slice()]));
    }
}
