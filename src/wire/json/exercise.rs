//! The properties a fuzzer checks: `peek` sees what a full JSON reader sees, and a spliced body is the body
//! without the removed members.
//!
//! Deliberately absent: the fuzz target itself and its corpus; speed.

use core::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::peek::{Key, Peek, model_names, peek};
use super::splice::Splice;
use crate::base::limits::{JSON_MEMBERS, MODEL_NAME_BYTES, MODELS_PER_REQUEST, SESSION_ID_CHARS};
use crate::base::span::Span;
use crate::wire::flaw::Flaw;

/// The members of an object in order, duplicates kept.
#[derive(Debug, PartialEq)]
pub struct Entries(pub Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Fuzz body: any bytes. Panics when a property does not hold.
pub fn exercise(body: &[u8]) {
    let entries: Option<Entries> = serde_json::from_slice(body).ok();
    let seen = peek(body);
    read_again(body);
    if let Some(entries) = &entries {
        agree(body, &seen, entries);
    }
    let Ok(peek) = seen else { return };
    // Every subset of few members, some subsets of many.
    let count = peek.members().len();
    let step = if count <= 6 { 1 } else { (1 << count) / 61 + 1 };
    for subset in (0..1_u32 << count).step_by(step) {
        let kept = |key: Key| {
            let place = peek.members().iter().position(|member| member.key == key);
            place.is_none_or(|place| subset & (1 << place) == 0)
        };
        removal_leaves_the_rest(body, &peek, entries.as_ref(), kept);
    }
}

/// What a frame says of a body does not depend on what it has read before.
fn read_again(body: &[u8]) {
    let mut frame = Peek::default();
    let first = (frame.read(body), format!("{frame:?}"));
    for _ in 0..2 {
        assert_eq!((frame.read(body), format!("{frame:?}")), first, "{}", String::from_utf8_lossy(body));
    }
    for other in [r#"{"messages":[],"model":"x","stream":true,"user":"y"}"#, r#"{"stream":true,"model":"x"}"#]
    {
        let _ = frame.read(other.as_bytes());
        let again = frame.read(body);
        assert_eq!(again, first.0, "{}", String::from_utf8_lossy(body));
        assert!(again.is_err() || frame.members() == peek(body).expect("as before").members());
    }
}

/// What `peek` says about a body that a full reader accepts.
fn agree(body: &[u8], seen: &Result<Peek, Flaw>, entries: &Entries) {
    let text = String::from_utf8_lossy(body);
    let flaws = flaws(entries);
    match seen {
        Ok(peek) => {
            assert_eq!(flaws, [], "accepted {text}");
            same_fields(body, peek, entries);
        }
        // Escapes are gone from what the full reader reports, and so are duplicates below the top level.
        Err(Flaw::JsonEscapedKey) => assert!(body.contains(&b'\\'), "no escape in {text}"),
        Err(Flaw::JsonDuplicateKey) => {
            let nested = text.matches("include").count() > 1;
            assert!(flaws.contains(&Flaw::JsonDuplicateKey) || nested, "no duplicate in {text}");
        }
        Err(flaw) => assert!(flaws.contains(flaw), "{flaw:?} but {flaws:?} for {text}"),
    }
}

fn value<'e>(entries: &'e Entries, key: &str) -> Option<&'e Value> {
    let found = entries.0.iter().find(|(known, _)| known == key);
    found.map(|(_, value)| value).filter(|value| !value.is_null())
}

fn is_name(value: &Value) -> bool {
    value.as_str().is_some_and(|name| {
        (1..=MODEL_NAME_BYTES).contains(&name.len()) && !name.bytes().any(|byte| byte.is_ascii_control())
    })
}

/// Every flaw of a body that is valid JSON.
fn flaws(entries: &Entries) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut check = |fine: bool, flaw: Flaw| {
        if !fine {
            flaws.push(flaw);
        }
    };
    check(entries.0.len() <= JSON_MEMBERS, Flaw::JsonMembers);
    for (place, (key, _)) in entries.0.iter().enumerate() {
        let twice = entries.0[..place].iter().any(|(known, _)| known == key);
        let other_case = Key::ALL[..=Key::Usage as usize]
            .iter()
            .any(|known| known.text() != key && known.text().eq_ignore_ascii_case(key));
        check(!twice && !other_case, Flaw::JsonDuplicateKey);
    }
    check(value(entries, "model").is_none_or(is_name), Flaw::Model);
    let names = |list: &Value| {
        list.as_array()
            .is_some_and(|list| (1..=MODELS_PER_REQUEST).contains(&list.len()) && list.iter().all(is_name))
    };
    check(value(entries, "models").is_none_or(names), Flaw::Models);
    check(value(entries, "stream").is_none_or(Value::is_boolean), Flaw::Stream);
    let options = |options: &Value| {
        options.is_object() && matches!(options["include_usage"], Value::Null | Value::Bool(_))
    };
    check(value(entries, "stream_options").is_none_or(options), Flaw::StreamOptions);
    for key in ["max_tokens", "max_completion_tokens"] {
        let fine = value(entries, key).is_none_or(|number| number.as_u64().is_some_and(|number| number > 0));
        check(fine, Flaw::MaxTokens);
    }
    let is_short = |id: &Value| id.as_str().is_some_and(|id| id.chars().count() <= SESSION_ID_CHARS);
    check(value(entries, "session_id").is_none_or(is_short), Flaw::SessionId);
    flaws
}

fn same_fields(body: &[u8], peek: &Peek, entries: &Entries) {
    assert_eq!(usize::from(peek.member_count), entries.0.len());
    assert_eq!(peek.model_name(body).as_deref(), value(entries, "model").and_then(Value::as_str));
    let names: Vec<_> = model_names(body, peek).map(|name| Value::String(name.into_owned())).collect();
    let list = value(entries, "models").and_then(Value::as_array);
    assert_eq!(names, list.cloned().unwrap_or_default());
    assert_eq!(peek.stream, value(entries, "stream") == Some(&Value::Bool(true)));
    assert_eq!(peek.max_tokens, value(entries, "max_tokens").and_then(Value::as_u64));
    assert_eq!(peek.max_completion_tokens, value(entries, "max_completion_tokens").and_then(Value::as_u64));
    let flag =
        |key: &str, name: &str| value(entries, key).is_some_and(|object| object[name] == Value::Bool(true));
    assert_eq!(peek.include_usage, flag("stream_options", "include_usage") || flag("usage", "include"));
    let spans = [
        ("stream_options", peek.stream_options),
        ("provider", peek.provider),
        ("tools", peek.tools),
        ("response_format", peek.response_format),
        ("user", peek.user),
        ("session_id", peek.session_id),
        ("metadata", peek.metadata),
        ("messages", peek.messages),
    ];
    for (key, span) in spans {
        assert_eq!(span.and_then(|span| parsed(body, span)).as_ref(), value(entries, key), "{key}");
    }
    let whole: Option<Entries> = serde_json::from_slice(peek.object.of(body)).ok();
    assert_eq!(whole.as_ref(), Some(entries));
    for member in peek.members() {
        let (key, expected) = &entries.0[usize::from(member.ordinal)];
        assert_eq!(
            (key.as_str(), Some(expected)),
            (member.key.text(), parsed(body, member.field.value).as_ref())
        );
    }
}

fn parsed(body: &[u8], span: Span) -> Option<Value> {
    serde_json::from_slice(span.of(body)).ok()
}

fn removal_leaves_the_rest(body: &[u8], peek: &Peek, entries: Option<&Entries>, kept: impl Fn(Key) -> bool) {
    let mut splice = Splice::new();
    let left = splice.remove_members(peek, |key| !kept(key));
    let edited = splice.apply(body);
    assert_eq!(edited.len(), splice.len(body.len()));
    let Some(entries) = entries else { return };
    let known = |key: &str| Key::ALL.iter().find(|known| known.text() == key);
    let want = entries.0.iter().filter(|(key, _)| known(key).is_none_or(|key| kept(*key)));
    let want = Entries(want.cloned().collect());
    let text = String::from_utf8_lossy(&edited);
    let found: Option<Entries> = serde_json::from_slice(&edited).ok();
    assert_eq!((found, left), (Some(want), left), "left {text}");
    assert_eq!(left, serde_json::from_slice::<Entries>(&edited).map_or(0, |entries| entries.0.len()));
}
