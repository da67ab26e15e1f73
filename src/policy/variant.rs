//! Suffixes of a model's name: `author/slug:floor:free`.
//!
//! A routing suffix changes how an endpoint is chosen and may follow any model; a catalogue suffix belongs to
//! the model's id, which must be configured that way. They combine in any order; of two that sort, the last
//! one wins.
//! Deliberately absent: what is configured (`route` looks names up, and first of all as they are written, for
//! names of private models may contain colons), and prices.

use crate::base::limits::MODEL_NAME_BYTES;
use crate::policy::prefs::SortBy;

/// A suffix that says how to choose, not what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Routing {
    Floor,
    Nitro,
    Unserved(Unserved),
}

/// A suffix that Millrace knows and cannot serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unserved {
    /// `:exacto`: there are no quality figures to sort by.
    Exacto,
    /// `:online`: there is no web search.
    Online,
}

impl Unserved {
    /// The suffix, colon included.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Exacto => ":exacto",
            Self::Online => ":online",
        }
    }

    /// Why it is refused, and what to send instead.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Exacto => {
                "the variant :exacto is not served, because this router has no quality figures; \
                 use :nitro or :floor, or name providers in provider.order"
            }
            Self::Online => {
                "the variant :online is not served, because this router has no web search; \
                 remove the suffix, or offer the model a search tool"
            }
        }
    }
}

/// What the routing suffixes of a name ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variants {
    /// The last suffix that sorts.
    pub sort: Option<SortBy>,
    /// `:nitro`: endpoints of the priority tier take part.
    pub priority: bool,
    /// `:floor`: endpoints of the flex tier take part.
    pub flex: bool,
    /// The first suffix that cannot be served.
    pub unserved: Option<Unserved>,
}

/// A name without its routing suffixes; a catalogue suffix is still there.
#[derive(Clone, Copy, Debug)]
pub struct Bare {
    bytes: [u8; MODEL_NAME_BYTES],
    len: usize,
    /// What the suffixes ask for.
    pub variants: Variants,
}

impl Bare {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    fn push(&mut self, text: &str) -> Option<()> {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Some(())
    }
}

/// Suffixes that are a part of a model's id.
#[must_use]
pub fn is_catalogue(suffix: &str) -> bool {
    matches!(suffix, "free" | "batch" | "thinking" | "extended")
}

fn routing(suffix: &str) -> Option<Routing> {
    Some(match suffix {
        "floor" => Routing::Floor,
        "nitro" => Routing::Nitro,
        "exacto" => Routing::Unserved(Unserved::Exacto),
        "online" => Routing::Unserved(Unserved::Online),
        _ => return None,
    })
}

/// Takes the routing suffixes off a name. `None` when there are none, when a part between colons is no known
/// suffix, or at more than one catalogue suffix: then the name is only what it is.
#[must_use]
pub fn bare(name: &str) -> Option<Bare> {
    let (base, suffixes) = name.split_once(':')?;
    let mut bare = Bare { bytes: [0; MODEL_NAME_BYTES], len: 0, variants: Variants::default() };
    bare.push(base)?;
    let (mut catalogue, mut routed) = (false, false);
    for suffix in suffixes.split(':') {
        if is_catalogue(suffix) {
            if core::mem::replace(&mut catalogue, true) {
                return None;
            }
            bare.push(":")?;
            bare.push(suffix)?;
            continue;
        }
        routed = true;
        match routing(suffix)? {
            Routing::Floor => {
                bare.variants.flex = true;
                bare.variants.sort = Some(SortBy::Price);
            }
            Routing::Nitro => {
                bare.variants.priority = true;
                bare.variants.sort = Some(SortBy::Throughput);
            }
            Routing::Unserved(unserved) => {
                bare.variants.unserved = bare.variants.unserved.or(Some(unserved));
            }
        }
    }
    routed.then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, want: Option<(&str, Variants)>) {
        let found = bare(name);
        assert_eq!(found.as_ref().map(|bare| (bare.name(), bare.variants)), want, "{name}");
    }

    #[test]
    fn suffixes_combine_in_any_order_and_the_last_sort_wins() {
        let none = Variants::default();
        let floor = Variants { sort: Some(SortBy::Price), flex: true, ..none };
        let nitro = Variants { sort: Some(SortBy::Throughput), priority: true, ..none };
        let both = Variants { flex: true, priority: true, ..none };
        check("a/b:floor", Some(("a/b", floor)));
        check("a/b:nitro", Some(("a/b", nitro)));
        check("a/b:free:floor", Some(("a/b:free", floor)));
        check("a/b:floor:free", Some(("a/b:free", floor)));
        check("a/b:floor:nitro", Some(("a/b", Variants { sort: Some(SortBy::Throughput), ..both })));
        check(
            "a/b:nitro:thinking:floor",
            Some(("a/b:thinking", Variants { sort: Some(SortBy::Price), ..both })),
        );
        check("a/b:online", Some(("a/b", Variants { unserved: Some(Unserved::Online), ..none })));
        check("a/b:exacto:floor", Some(("a/b", Variants { unserved: Some(Unserved::Exacto), ..floor })));
        for plain in ["a/b", "a/b:free", "llama3:8b", "llama3:8b:floor", "a/b:", "a/b:floor:", "a/b::floor"] {
            check(plain, None);
        }
        check("a/b:free:batch:floor", None);
        check(&format!("{}:floor", "x".repeat(MODEL_NAME_BYTES + 1)), None);
    }

    #[test]
    fn what_cannot_be_served_says_so_by_name() {
        for one in [Unserved::Exacto, Unserved::Online] {
            assert!(one.text().contains(one.suffix()));
        }
    }
}
