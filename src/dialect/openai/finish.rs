//! Why an answer ends: `finish_reason`, which stands at the end of its choices.
//!
//! Inside a JSON string a quote is always escaped, so text of the model can never look like this member, and
//! it can be searched for wherever a text was cut.
//! Deliberately absent: what a reason means.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::report::inside_quotes;
use crate::base::span::Span;
use crate::dialect::Places;
use crate::wire::json::scan::{skip_space, value_end};

const MEMBER: &[u8] = b"\"finish_reason\":";

/// It stands among the last members of a choice, and few bytes follow.
const TAIL_BYTES: usize = 256;

// Built once: a searcher costs more to build than one event costs to search.
static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MEMBER));

/// Where the values of these members begin.
pub(super) fn values(data: &[u8]) -> impl Iterator<Item = usize> {
    FINDER.find_iter(data).map(|at| skip_space(data, at + MEMBER.len()))
}

/// The reason of the last choice that has one in this stretch of a text, without quotes.
pub(super) fn reason(text: &[u8], stretch: Span) -> Span {
    let part = &text[..stretch.end as usize];
    let start = stretch.start as usize;
    let late = (stretch.len() > TAIL_BYTES).then(|| part.len() - TAIL_BYTES);
    let last = |from: usize| {
        let of = |at| {
            let end = value_end(part, from + at, 0).ok()?;
            Some(inside_quotes(part, Span::new(from + at, end))).filter(|span| !span.is_empty())
        };
        values(&part[from..]).filter_map(of).last()
    };
    late.and_then(last).or_else(|| last(start)).unwrap_or_default()
}

/// With the reason that the choices end with.
pub(super) fn placed(mut places: Places, text: &[u8]) -> Places {
    places.finish_reason = reason(text, places.choices);
    places
}
