//! The beginnings of answers and of usage objects as nearly every server writes them: these members, in this
//! order, without white space. What is written so is compared and not searched for.
//!
//! Deliberately absent: everything written in another way. `None` says nothing about a text but that it has
//! to be read member by member.

use crate::base::span::Span;
use crate::wire::json::scan::{leading_number, short_text_end, value_end};

/// What the beginning of an answer says.
pub(super) struct Front {
    /// The value of `object`, a string with its quotes.
    pub(super) object: Span,
    /// `choices` is `[]`.
    pub(super) choices_empty: bool,
    /// One past the value of `choices`.
    pub(super) end: usize,
}

/// Reads `{"id":"…","object":"…","created":0,"model":"…","choices":[…]` at `at`, and nothing behind it.
pub(super) fn front(text: &[u8], at: usize) -> Option<Front> {
    let at = behind(text, at, b"{\"id\":\"")?;
    let at = short_text_end(text, at)?;
    let object = behind(text, at, b",\"object\":\"")?;
    let at = short_text_end(text, object)?;
    let object = Span::new(object - 1, at);
    let at = behind(text, at, b",\"created\":")?;
    let (_, at) = number(text, at)?;
    let at = behind(text, at, b",\"model\":\"")?;
    let at = short_text_end(text, at)?;
    let choices = behind(text, at, b",\"choices\":[")?;
    let choices_empty = text.get(choices) == Some(&b']');
    // With a space in it, it would be as empty.
    if !choices_empty && *text.get(choices)? <= b' ' {
        return None;
    }
    let end = value_end(text, choices - 1, 1).ok()?;
    Some(Front { object, choices_empty, end })
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
    use crate::base::record::Usage;

    /// What is read of a text must not depend on how it is written.
    #[track_caller]
    fn check(text: &str) -> Report {
        let (report, spaced) = (Report::read(text.as_bytes()), text.replacen('{', "{ ", 1));
        assert_eq!(Report::read(spaced.as_bytes()), report, "{text}");
        let figures_spaced = text.replace("\"prompt_tokens\":", "\"prompt_tokens\": ");
        assert_eq!(Report::read(figures_spaced.as_bytes()), report, "{text}");
        report
    }

    const FRONT: &str =
        r#"{"id":"a","object":"chat.completion","created":17,"model":"m","choices":[{"i":"]"}]"#;

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
            ("]\"}]", "]\"}],\"error\":{\"code\":503}"),
            ("]\"}]", "]\"}],\"choices\":[]"),
        ] {
            check(&whole.replacen(from, to, 1));
        }
    }
}
