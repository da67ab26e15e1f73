//! New facts into a catalogue: what is added, changed and removed, and which prices would be lost.
//!
//! Deliberately absent: where the facts come from (`import`), and writing the file.

use core::fmt;
use std::collections::{BTreeMap, HashSet};

use super::super::config::{AliasEntry, EndpointEntry, ModelEntry};
use super::text::{endpoint_pairs, model_pairs};
use super::{Catalogue, facts_over};

/// Facts to bring in.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// Models, each id once. An endpoint without a price says that it is there and its price is unknown.
    pub models: Vec<ModelEntry>,
    /// Providers about which everything is said: what they do not offer here they offer no more.
    pub complete: HashSet<Box<str>>,
    /// Endpoints about which only those facts are said that known ones get; the others are not added. Their
    /// names are unknown, so they are found by provider, variant, region and tier.
    pub nameless: Vec<(Box<str>, EndpointEntry)>,
    /// What could not be used, for people.
    pub skipped: Vec<String>,
}

/// A line of a diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something that was not there.
    Added(String),
    /// Something whose facts differ: what, and for each key the old and the new value.
    Changed(String, Vec<(&'static str, String, String)>),
    /// Something that is no longer there.
    Removed(String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(what) => write!(f, "+ {what}"),
            Self::Removed(what) => write!(f, "- {what}"),
            Self::Changed(what, keys) => {
                write!(f, "~ {what}")?;
                keys.iter().try_for_each(|(key, old, new)| write!(f, "\n    {key}: {old} → {new}"))
            }
        }
    }
}

/// What bringing facts in would do.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The catalogue after it.
    pub catalogue: Catalogue,
    /// What differs, in the order of ids.
    pub changes: Vec<Change>,
    /// Endpoints whose known price would become unknown.
    pub prices_lost: Vec<String>,
    /// What could not be used.
    pub skipped: Vec<String>,
}

/// Brings facts into a catalogue. An endpoint whose price is unknown is never in the result: when its price
/// was known, that is in `prices_lost`.
#[must_use]
pub fn merge(old: &Catalogue, news: News) -> Merged {
    let mut prices_lost = Vec::new();
    let mut skipped = news.skipped;
    let mut models: BTreeMap<Box<str>, ModelEntry> =
        old.models().iter().map(|model| (model.id.clone(), model.clone())).collect();
    let mut offered = HashSet::new();
    for model in news.models {
        let known = models.remove(&model.id).unwrap_or_default();
        let mut endpoints = known.endpoints.clone();
        for endpoint in model.endpoints {
            offered.insert((model.id.clone(), title(&endpoint)));
            let place = endpoints.iter().position(|one| one.same_offer(&endpoint));
            match (place, endpoint.facts.prices.is_some()) {
                (Some(place), true) => endpoints[place] = endpoint.laid_over(&endpoints[place]),
                (Some(place), false) => {
                    prices_lost.push(format!("{} at {}", model.id, title(&endpoint)));
                    endpoints.remove(place);
                }
                (None, true) => endpoints.push(endpoint),
                (None, false) => skipped.push(format!("{} at {}: no price", model.id, title(&endpoint))),
            }
        }
        let facts = facts_over(model.facts, &known.facts);
        models.insert(model.id.clone(), ModelEntry { id: model.id, facts, endpoints });
    }
    for (id, endpoint) in news.nameless {
        if let Some(reason) = refine(&mut models, &id, endpoint, &mut prices_lost) {
            skipped.push(reason);
        }
    }
    for model in models.values_mut() {
        let id = model.id.clone();
        model.endpoints.retain(|endpoint| {
            !news.complete.contains(&endpoint.provider) || offered.contains(&(id.clone(), title(endpoint)))
        });
    }
    models.retain(|_, model| !model.endpoints.is_empty());
    for model in models.values_mut() {
        // The default tier comes first, so that nobody pays for another one by accident; then the cheaper
        // one.
        model.endpoints.sort_by_cached_key(|endpoint| {
            let base = endpoint.facts.prices.as_ref().map(|prices| prices.base).unwrap_or_default();
            (endpoint.facts.tier(), base.prompt, base.completion, title(endpoint))
        });
    }
    let aliases: Vec<AliasEntry> = old.aliases().to_vec();
    let catalogue = Catalogue::unchecked(models.into_values().collect(), aliases);
    let changes = changes(old, &catalogue);
    Merged { catalogue, changes, prices_lost, skipped }
}

/// Lays facts over the known endpoints of the same provider, variant, region and tier. Says why it could not.
fn refine(
    models: &mut BTreeMap<Box<str>, ModelEntry>,
    id: &str,
    news: EndpointEntry,
    prices_lost: &mut Vec<String>,
) -> Option<String> {
    let offer = |one: &EndpointEntry| {
        (one.provider.clone(), one.facts.variant.clone(), one.facts.region.clone(), one.facts.tier())
    };
    let Some(model) = models.get_mut(id) else { return Some(format!("{id}: not in the catalogue")) };
    let Some(place) = model.endpoints.iter().position(|one| offer(one) == offer(&news)) else {
        return Some(format!(
            "{id} at {}: not in the catalogue, and its name there is unknown",
            news.provider
        ));
    };
    if news.facts.prices.is_none() {
        prices_lost.push(format!("{id} at {}", title(&model.endpoints[place])));
        model.endpoints.remove(place);
        return None;
    }
    let known = &mut model.endpoints[place];
    *known = EndpointEntry { name: known.name.clone(), ..news }.laid_over(known);
    None
}

/// An endpoint for people, and the same text only for the same offer.
fn title(endpoint: &EndpointEntry) -> String {
    let facts = &endpoint.facts;
    let tier = facts.service_tier.map(|tier| tier.name()).filter(|name| *name != "default");
    let parts = [facts.variant.as_deref(), facts.region.as_deref(), tier];
    let rest: String = parts.into_iter().flatten().map(|part| format!("/{part}")).collect();
    format!("{}{rest} ({})", endpoint.provider, endpoint.name)
}

/// What differs between two catalogues: models first, each followed by its endpoints.
#[must_use]
pub fn changes(old: &Catalogue, new: &Catalogue) -> Vec<Change> {
    let rows = |catalogue: &Catalogue| -> BTreeMap<String, Vec<(&'static str, String)>> {
        let mut rows = BTreeMap::new();
        for model in catalogue.models() {
            rows.insert(model.id.to_string(), model_pairs(model));
            for endpoint in &model.endpoints {
                rows.insert(format!("{} at {}", model.id, title(endpoint)), endpoint_pairs(endpoint));
            }
        }
        rows
    };
    let (old, new) = (rows(old), rows(new));
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let one = |name: &String| match (old.get(name), new.get(name)) {
        (None, _) => Some(Change::Added(name.clone())),
        (_, None) => Some(Change::Removed(name.clone())),
        (Some(old), Some(new)) => {
            let value = |pairs: &[(&'static str, String)], key: &str| {
                let found = pairs.iter().find(|pair| pair.0 == key);
                found.map_or_else(|| "unknown".to_owned(), |pair| pair.1.clone())
            };
            let keys: std::collections::BTreeSet<&'static str> =
                old.iter().chain(new).map(|pair| pair.0).collect();
            let differing: Vec<_> = keys
                .into_iter()
                .map(|key| (key, value(old, key), value(new, key)))
                .filter(|(_, old, new)| old != new)
                .collect();
            (!differing.is_empty()).then(|| Change::Changed(name.clone(), differing))
        }
    };
    names.into_iter().filter_map(one).collect()
}
