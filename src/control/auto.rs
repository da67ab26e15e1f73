//! From the table `[auto]` to the tiers that workers choose from: patterns become models of the snapshot,
//! prices become places among them.
//!
//! Deliberately absent: the choice (`policy::auto`), and the reading of the table (`config::auto`).

use super::config::{AutoTable, Config, TierTable};
use crate::base::ids::ModelId;
use crate::base::money::PicoDollars;
use crate::policy::auto::pattern::matches;
use crate::policy::auto::{Auto, AutoModel, MODELS, Tier};
use crate::policy::catalog::{Modality, Model, Prices, Snapshot};

/// Prompt tokens per completion token in the price by which models are ordered: what chats have in common.
const PROMPT_SHARE: i128 = 3;

/// The tiers of a snapshot whose models are complete. Nothing is on when no tier has a model.
///
/// Where no provider is configured the tiers have their stand-ins. Where there are providers and no pattern
/// matches, the operator's own models are all of the default tier.
#[must_use]
pub fn tiers(config: &Config, snapshot: &Snapshot) -> Auto {
    let table = &config.auto;
    let Some(default_tier) = table.default_tier().filter(|_| table.enabled) else { return Auto::default() };
    let mut models = chosen(table, snapshot, |tier| &tier.models);
    if models.is_empty() && config.upstreams.is_empty() {
        models = chosen(table, snapshot, |tier| &tier.stand_ins);
    }
    if models.is_empty() {
        let own = config.models.iter().filter_map(|model| snapshot.model_ids.get(&model.id));
        let own = own.filter(|id| writes(&snapshot.models[id.index()]));
        models = own.map(|id| (default_tier as u8, *id)).take(MODELS).collect();
    }
    if models.is_empty() {
        return Auto::default();
    }
    let tier = |tier: &TierTable| Tier { name: tier.name.clone(), from_score: tier.from_score as u16 };
    Auto {
        tiers: table.tier.iter().map(tier).collect(),
        models: placed(snapshot, &models),
        default_tier,
        cost_tier: table.cost_tier,
        weights: table.weights.clone(),
    }
}

/// The models of each tier, in the order of its patterns.
fn chosen(
    table: &AutoTable,
    snapshot: &Snapshot,
    patterns: impl Fn(&TierTable) -> &[Box<str>],
) -> Vec<(u8, ModelId)> {
    let mut chosen = Vec::new();
    let any = |list: &[Box<str>], name: &str| list.iter().any(|one| matches(one.as_bytes(), name.as_bytes()));
    let allowed = |name: &str| {
        (table.allowed_models.is_empty() || any(&table.allowed_models, name))
            && !any(&table.excluded_models, name)
    };
    let share = MODELS / table.tier.len().max(1);
    for (place, tier) in (0_u8..).zip(&table.tier) {
        let from = chosen.len();
        for pattern in patterns(tier) {
            let models = (0..).map(ModelId).zip(&snapshot.models);
            let fits = |model: &Model| {
                matches(pattern.as_bytes(), model.id.as_bytes())
                    && allowed(&model.id)
                    && writes(model)
                    && affordable(tier, snapshot, model)
            };
            let mut found: Vec<(ModelId, &Model)> = models.filter(|(_, model)| fits(model)).collect();
            // Versions and dates count up: the last name is the newest.
            found.sort_by(|one, other| other.1.id.cmp(&one.1.id));
            for (id, _) in found {
                if chosen.len() - from < share && !chosen[from..].contains(&(place, id)) {
                    chosen.push((place, id));
                }
            }
        }
    }
    chosen
}

/// Does it write text? Unknown is yes.
fn writes(model: &Model) -> bool {
    model.facts.output.is_none_or(|kinds| kinds.has(Modality::Text))
}

/// The known base prices of a model's endpoints.
fn prices<'s>(snapshot: &'s Snapshot, model: &'s Model) -> impl Iterator<Item = &'s Prices> {
    let endpoints = model.endpoints.iter().map(|id| &snapshot.endpoints[id.index()]);
    endpoints
        .filter_map(|endpoint| Some(&endpoint.facts.prices.as_ref()?.base))
        .filter(|prices| prices.known())
}

/// Has it an endpoint within the tier's bounds?
fn affordable(tier: &TierTable, snapshot: &Snapshot, model: &Model) -> bool {
    let within = |price: Option<PicoDollars>, most: Option<PicoDollars>| {
        most.is_none_or(|most| price.is_some_and(|price| price <= most))
    };
    let bounds = (tier.max_prompt_price, tier.max_completion_price);
    bounds == (None, None)
        || prices(snapshot, model).any(|one| within(one.prompt, bounds.0) && within(one.completion, bounds.1))
}

/// The models with their places among all of them by price.
fn placed(snapshot: &Snapshot, models: &[(u8, ModelId)]) -> Box<[AutoModel]> {
    let price_of = |id: ModelId| {
        let amount = |one: Option<PicoDollars>| one.map_or(0, |PicoDollars(pico)| pico);
        let blended = |one: &Prices| amount(one.prompt) * PROMPT_SHARE + amount(one.completion);
        prices(snapshot, &snapshot.models[id.index()]).map(blended).min()
    };
    let known: Vec<i128> = models.iter().filter_map(|(_, id)| price_of(*id)).collect();
    let percentile = |id: ModelId| {
        price_of(id)
            .map_or(100, |own| (known.iter().filter(|other| **other < own).count() * 100 / known.len()) as u8)
    };
    models
        .iter()
        .map(|(tier, model)| AutoModel { model: *model, tier: *tier, percentile: percentile(*model) })
        .collect()
}

#[cfg(test)]
mod tests;
