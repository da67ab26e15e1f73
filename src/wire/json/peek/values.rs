//! The values of members, with their types checked.
//!
//! Deliberately absent: which member takes which (`peek`).

use crate::base::limits::{MODEL_NAME_BYTES, MODELS_PER_REQUEST};
use crate::base::span::Span;
use crate::wire::block::{Block, none};
use crate::wire::flaw::Flaw;
use crate::wire::json::scan::{Fields, Items, unsigned};
use crate::wire::json::text::unescaped;

/// `Some(false)` for an absent value, `None` for something that is no boolean.
pub(super) fn boolean(body: &[u8], value: Option<Span>) -> Option<bool> {
    match value.map(|value| value.of(body)) {
        None | Some(b"false") => Some(false),
        Some(b"true") => Some(true),
        Some(_) => None,
    }
}

pub(super) fn whole_number(body: &[u8], value: Option<Span>) -> Result<Option<u64>, Flaw> {
    let Some(value) = value else { return Ok(None) };
    match unsigned(value.of(body)) {
        None | Some(0) => Err(Flaw::MaxTokens),
        number => Ok(number),
    }
}

/// The inside of a string value that can be a model's name: 1 to `limits::MODEL_NAME_BYTES` bytes of text
/// once decoded, without control characters.
pub(super) fn name_inside(body: &[u8], value: Span) -> Option<Span> {
    let raw = value.of(body).strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let inside = Span { start: value.start + 1, end: value.end - 1 };
    if is_plain(body, inside) {
        return (1..=MODEL_NAME_BYTES).contains(&inside.len()).then_some(inside);
    }
    let name = unescaped(raw)?;
    let fits =
        (1..=MODEL_NAME_BYTES).contains(&name.len()) && !name.bytes().any(|byte| byte.is_ascii_control());
    fits.then_some(inside)
}

/// True for printable ASCII that a JSON string shows as it is, as nearly all names of models are.
pub(super) fn is_plain(body: &[u8], text: Span) -> bool {
    let unusual = |byte| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\');
    none(body, text.start as usize, text.end as usize, Block::not_plain_text, unusual)
}

pub(super) fn check_models(body: &[u8], list: Span) -> Result<(), Flaw> {
    let mut items = Items::open(body, list.start as usize, 1).map_err(|_| Flaw::Models)?;
    let mut count = 0;
    while let Some(item) = items.next_item()? {
        count += 1;
        if count > MODELS_PER_REQUEST || name_inside(body, item).is_none() {
            return Err(Flaw::Models);
        }
    }
    if count == 0 { Err(Flaw::Models) } else { Ok(()) }
}

/// The value of one member of the object at `object`. The same strictness as at the top level: the member may
/// not come twice, and no key may be escaped, for that one could be it.
pub(super) fn member_of(body: &[u8], object: Span, key: &[u8]) -> Result<Option<Span>, Flaw> {
    let mut fields = Fields::open(body, object.start as usize, 1)?;
    let mut found = None;
    while let Some(field) = fields.next_field()? {
        if field.key_escaped {
            return Err(Flaw::JsonEscapedKey);
        }
        if field.key.of(body) == key && found.replace(field.value).is_some() {
            return Err(Flaw::JsonDuplicateKey);
        }
    }
    Ok(found)
}

/// `usage: {"include": true}`. Any other shape is somebody else's member and asks for nothing.
pub(super) fn usage_included(body: &[u8], value: Span) -> Result<bool, Flaw> {
    if value.of(body).first() != Some(&b'{') {
        return Ok(false);
    }
    Ok(member_of(body, value, b"include")?.is_some_and(|value| value.of(body) == b"true"))
}
