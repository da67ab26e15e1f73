//! The beginnings of answers and of usage objects as nearly every server writes them: these members, in this
//! order, without white space. What is written so is compared and not searched for.
//!
//! Deliberately absent: everything written in another way. `None` says nothing about a text but that it has
//! to be read member by member.

use memchr::memmem;

use crate::base::span::Span;
use crate::dialect::Places;
use crate::wire::json::scan::{leading_number, short_text_end, value_end};

/// What the beginning of an answer says.
pub(super) struct Front {
    /// The text of `id`.
    pub(super) id: Span,
    /// The text of `model`.
    pub(super) model: Span,
    /// The value of `object`, a string with its quotes.
    pub(super) object: Span,
    /// The value of `choices`.
    pub(super) choices: Span,
    /// `choices` is `[]`.
    pub(super) choices_empty: bool,
}

/// Reads `{"id":"…","object":"…","created":0,"model":"…","choices":[…]` at `at`, and nothing behind it.
pub(super) fn front(text: &[u8], at: usize) -> Option<Front> {
    let (Names { id, object, model }, at) = names(text, at)?;
    let choices = behind(text, at, b",\"choices\":[")?;
    let choices_empty = text.get(choices) == Some(&b']');
    // With a space in it, it would be as empty.
    if !choices_empty && *text.get(choices)? <= b' ' {
        return None;
    }
    let end = value_end(text, choices - 1, 1).ok()?;
    Some(Front { id, model, object, choices: Span::new(choices - 1, end), choices_empty })
}

/// The texts that an answer begins with.
struct Names {
    id: Span,
    /// With its quotes.
    object: Span,
    model: Span,
}

/// Reads `{"id":"…","object":"…","created":0,"model":"…"` at `at`: its texts, and one past it.
#[inline(always)]
fn names(text: &[u8], at: usize) -> Option<(Names, usize)> {
    let id = behind(text, at, b"{\"id\":\"")?;
    let at = short_text_end(text, id)?;
    let id = Span::new(id, at - 1);
    let object = behind(text, at, b",\"object\":\"")?;
    let at = short_text_end(text, object)?;
    let object = Span::new(object - 1, at);
    let at = behind(text, at, b",\"created\":")?;
    let (_, at) = number(text, at)?;
    let model = behind(text, at, b",\"model\":\"")?;
    let at = short_text_end(text, model)?;
    Some((Names { id, object, model: Span::new(model, at - 1) }, at))
}

/// Where the provider's own id and its name of the model stand in an event that says nothing of its tier.
pub(in crate::dialect::openai) fn named(text: &[u8]) -> Option<Places> {
    let (Names { id, model, .. }, at) = names(text, 0)?;
    behind(text, at, b",\"choices\":[")?;
    memmem::find(text, b"\"service_tier\"").is_none().then(|| Places { id, model, ..Places::default() })
}

/// Where things stand in an event that ends with its usage.
pub(in crate::dialect::openai) fn usage_last(text: &[u8]) -> Option<Places> {
    let Front { id, model, choices, .. } = front(text, 0)?;
    let start = behind(text, choices.end as usize, b",\"usage\":{")? - 1;
    let end = value_end(text, start, 1).ok()?;
    let usage = Span::new(start, end);
    let costed =
        [b"\"cost".as_slice(), b"\"is_byok"].iter().any(|key| memmem::find(usage.of(text), key).is_some());
    let figures = first_figures(text, start).is_some();
    let last = text.get(end..) == Some(b"}");
    (last && figures && !costed).then(|| Places { id, model, choices, usage, ..Places::default() })
}

/// Reads `{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0` at `at`: the figures, and one past the
/// last.
pub(super) fn first_figures(text: &[u8], at: usize) -> Option<([u64; 3], usize)> {
    let at = behind(text, at, b"{\"prompt_tokens\":")?;
    let (prompt, at) = number(text, at)?;
    let at = behind(text, at, b",\"completion_tokens\":")?;
    let (completion, at) = number(text, at)?;
    let at = behind(text, at, b",\"total_tokens\":")?;
    let (total, at) = number(text, at)?;
    Some(([prompt, completion, total], at))
}

/// Reads `{"reasoning_tokens":0` at `at`: the figure, and one past the object.
pub(super) fn first_reasoning(text: &[u8], at: usize) -> Option<(u64, usize)> {
    let (figure, behind) = number(text, behind(text, at, b"{\"reasoning_tokens\":")?)?;
    let goes_on = matches!(text.get(behind), Some(b',' | b'}'));
    Some((figure, value_end(text, at, 2).ok().filter(|_| goes_on)?))
}

/// One past `written`, if that is what stands at `at`.
#[inline(always)]
fn behind<const LENGTH: usize>(text: &[u8], at: usize, written: &[u8; LENGTH]) -> Option<usize> {
    (text.get(at..)?.first_chunk::<LENGTH>()? == written).then_some(at + LENGTH)
}

/// A whole number without leading zero, and one past it. Whether it goes on there, with a fraction perhaps,
/// whoever looks for a comma finds out.
#[inline(always)]
fn number(text: &[u8], at: usize) -> Option<(u64, usize)> {
    let (number, end) = leading_number(text, at)?;
    (text[at] != b'0' || end == at + 1).then_some((number, end))
}

#[cfg(test)]
mod tests {
    use super::super::Report;
    use super::*;
    use crate::base::record::Usage;

    /// What is read of a text must not depend on how it is written.
    #[track_caller]
    fn check(text: &str) -> Report {
        let read = |text: &str| {
            let report = Report::read(text.as_bytes());
            let Places { id, model, choices, service_tier, costed, usage, .. } = report.places;
            let words = [id, model, choices, service_tier].map(|span| text[span.range()].to_owned());
            let braces = text[usage.range()].chars().next().zip(text[usage.range()].chars().last());
            (Report { places: Places::default(), ..report }, words, costed, braces)
        };
        let (said, spaced) = (read(text), text.replacen('{', "{ ", 1));
        assert_eq!(read(&spaced), said, "{text}");
        let figures_spaced = text.replace("\"prompt_tokens\":", "\"prompt_tokens\": ");
        assert_eq!(read(&figures_spaced), said, "{text}");
        said.0
    }

    const FRONT: &str =
        r#"{"id":"a","object":"chat.completion","created":17,"model":"m","choices":[{"i":"]"}]"#;

    #[test]
    fn places_are_the_same_however_they_are_found() {
        let event = |choices: &str, rest: &str| {
            format!(
                "{{\"id\":\"a\",\"object\":\"o\",\"created\":1,\"model\":\"m\",\"choices\":{choices}{rest}}}"
            )
        };
        let usage = ",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7";
        for (rest, usual) in [
            (format!("{usage}}}"), true),
            (format!("{usage},\"prompt_tokens_details\":{{\"cached_tokens\":1}}}}"), true),
            (format!("{usage},\"cost\":1}}"), false),
            (format!("{usage}}},\"service_tier\":\"flex\""), false),
            (",\"usage\":{\"total_tokens\":7}".to_owned(), false),
            (String::new(), false),
        ] {
            for choices in ["[]", "[{\"index\":0,\"delta\":{}}]", "null"] {
                let text = event(choices, &rest);
                let whole = Report::read(text.as_bytes()).places;
                let found = usage_last(text.as_bytes());
                assert_eq!(found.is_some(), usual && choices != "null", "{text}");
                assert_eq!(found.unwrap_or(whole), whole, "{text}");
                for cut in 0..text.len() {
                    assert_eq!(usage_last(&text.as_bytes()[..cut]), None, "{text} cut at {cut}");
                }
                let words = named(text.as_bytes()).map(|one| (one.id, one.model));
                let usual = choices != "null" && !text.contains("service_tier");
                assert_eq!(words, usual.then_some((whole.id, whole.model)), "{text}");
            }
        }
    }

    #[test]
    fn the_usual_way_and_every_other_way_say_the_same() {
        let usage = r#","usage":{"prompt_tokens":31,"completion_tokens":12,"total_tokens":43}"#;
        let whole = format!("{FRONT}{usage},\"x\":1}}");
        let report = check(&whole);
        assert_eq!(
            report.usage,
            Some(Usage { prompt_tokens: 31, completion_tokens: 12, ..Usage::default() })
        );
        assert!(report.complete && report.answers && !report.choices_empty);
        for cut in 0..whole.len() {
            assert!(!check(&whole[..cut]).complete, "cut at {cut}");
        }
        for (from, to) in [
            ("[{\"i\":\"]\"}]", "[]"),
            ("[{\"i\":\"]\"}]", "[ ]"),
            ("[{\"i\":\"]\"}]", "null"),
            ("[{\"i\":\"]\"}]", "[}]"),
            ("chat.completion", "error"),
            (":17", ":017"),
            (":17", ":17.5"),
            (":17", ":-17"),
            (":17", ":null"),
            (":17", ":17x"),
            (":31", ":031"),
            (":31", ":3.1"),
            (":31", ":null"),
            (":43", ":43e1"),
            (":43", ":44"),
            (":43}", ":43,\"prompt_tokens\":5}"),
            (":43}", ":43,\"details\":{\"prompt_tokens\":5}}"),
            (":43}", ":43 }"),
            (":43}", ":43]"),
            ("\"a\"", "\"a\\\"b\""),
            ("\"m\"", "\"m\" "),
            (":43}", ":43,\"completion_tokens_details\":{\"reasoning_tokens\":5}}"),
            (":43}", ":43,\"completion_tokens_details\":{\"reasoning_tokens\":5.5}}"),
            (":43}", ":43,\"completion_tokens_details\":{\"reasoning_tokens\":05}}"),
            (":43}", ":43,\"completion_tokens_details\":{\"reasoning_tokens\":5"),
            (":43}", ":43,\"cost\":5}"),
            ("]\"}]", "]\"}],\"error\":{\"code\":503}"),
            ("]\"}]", "]\"}],\"choices\":[]"),
        ] {
            check(&whole.replacen(from, to, 1));
        }
    }
}
