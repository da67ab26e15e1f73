//! `~author/family-latest`: the newest model of each family, under a name that does not change.
//!
//! A family is what is left of a model's slug without its version and its date: `claude-sonnet-4.5` and
//! `claude-3.7-sonnet` are both `claude-sonnet`. Newest is the one published last where that is known of all
//! members; otherwise the highest version, and of equal versions the latest date in the name.
//! Deliberately absent: aliases of the configuration (they go first), variants such as `:free`, and names
//! that say `latest` themselves.

use std::collections::HashMap;

use crate::base::time::UnixSeconds;

/// One model of a family.
struct Member<'a> {
    id: &'a str,
    created: Option<UnixSeconds>,
    version: Vec<u32>,
    date: u32,
}

/// The alias of each family, and the id of the newest of these models. Each model is its id and when it was
/// published.
pub fn latest<'a>(
    models: impl Iterator<Item = (&'a str, Option<UnixSeconds>)>,
) -> impl Iterator<Item = (String, &'a str)> {
    let mut families: HashMap<String, Vec<Member<'a>>> = HashMap::new();
    for (id, created) in models {
        let Some((author, slug)) = id.split_once('/') else { continue };
        if let Some((family, version, date)) = family(slug) {
            let alias = format!("~{author}/{family}-latest");
            families.entry(alias).or_default().push(Member { id, created, version, date });
        }
    }
    families.into_iter().filter_map(|(alias, members)| {
        let dated = members.iter().all(|one| one.created.is_some());
        let newest = members.iter().max_by(|a, b| {
            let published = if dated { a.created.cmp(&b.created) } else { core::cmp::Ordering::Equal };
            // The shorter of two ids that say the same is the one without a decoration.
            let by_name = || (&a.version, a.date).cmp(&(&b.version, b.date));
            published.then_with(by_name).then_with(|| (b.id.len(), b.id).cmp(&(a.id.len(), a.id)))
        });
        newest.map(|newest| (alias, newest.id))
    })
}

/// The family of a slug, its version, and the date in it; `None` for what belongs to no family.
fn family(slug: &str) -> Option<(String, Vec<u32>, u32)> {
    if slug.contains([':', '@']) || slug.ends_with("-latest") {
        return None;
    }
    let (mut words, mut version, mut date) = (Vec::new(), Vec::new(), 0_u32);
    for word in slug.split('-') {
        let numbers = numbers(word);
        match numbers.as_deref() {
            // Four digits and more are a day or a month: 0613, 2507, 20250929.
            Some([number]) if word.len() >= 4 => date = date.saturating_mul(10_000).saturating_add(*number),
            Some(numbers) => version.extend_from_slice(numbers),
            None => words.push(word),
        }
    }
    let family = words.join("-");
    (!family.is_empty()).then_some((family, version, date))
}

/// The numbers of a version: `4`, `4.5`, `v3.1`, `4o`. Sizes (`70b`, `8x7b`) are none.
fn numbers(word: &str) -> Option<Vec<u32>> {
    let word = word.strip_prefix('v').unwrap_or(word);
    let word = word.strip_suffix('o').unwrap_or(word);
    word.split('.').map(|part| part.parse().ok().filter(|_| !part.starts_with('+'))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(models: &str, want: &str) {
        let read = models.split_whitespace().map(|text| match text.split_once('@') {
            Some((id, created)) => (id, created.parse().ok().map(UnixSeconds)),
            None => (text, None),
        });
        let mut found: Vec<String> = latest(read).map(|(alias, id)| format!("{alias}={id}")).collect();
        found.sort();
        assert_eq!(found.join(" "), want, "{models}");
    }

    #[test]
    fn the_newest_of_a_family_is_found() {
        check("a/m-1 a/m-2", "~a/m-latest=a/m-2");
        check(
            "a/claude-3.7-sonnet a/claude-sonnet-4 a/claude-sonnet-4.5",
            "~a/claude-sonnet-latest=a/claude-sonnet-4.5",
        );
        check("o/gpt-4o o/gpt-4.1 o/gpt-4", "~o/gpt-latest=o/gpt-4.1");
        check("o/gpt-5-mini o/gpt-4o-mini o/gpt-5", "~o/gpt-latest=o/gpt-5 ~o/gpt-mini-latest=o/gpt-5-mini");
        check("g/x-9.5 g/x-10.0", "~g/x-latest=g/x-10.0");
        check("d/v-v3 d/v-v3.1 d/v-v3-0324", "~d/v-latest=d/v-v3.1");
        check("d/v-v3 d/v-v3-0324", "~d/v-latest=d/v-v3-0324");
        check("a/m-4-20250101 a/m-4-20240601", "~a/m-latest=a/m-4-20250101");
        check(
            "m/llama-3.1-70b m/llama-3.3-70b m/llama-3.1-8b",
            "~m/llama-70b-latest=m/llama-3.3-70b ~m/llama-8b-latest=m/llama-3.1-8b",
        );
    }

    #[test]
    fn a_date_of_publication_goes_before_the_name() {
        check("a/m-2@100 a/m-1@200", "~a/m-latest=a/m-1");
        // Of one member it is not known, so the names decide.
        check("a/m-2@100 a/m-1@200 a/m-3", "~a/m-latest=a/m-3");
    }

    #[test]
    fn what_is_no_family_has_no_alias() {
        check("plain a/m-1:free a/m-latest a/4 a/ /", "");
        check("a/only", "~a/only-latest=a/only");
        check("a/m-+1 a/m-1..2", "~a/m-+1-latest=a/m-+1 ~a/m-1..2-latest=a/m-1..2");
    }
}
