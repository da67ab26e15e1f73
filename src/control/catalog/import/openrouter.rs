//! OpenRouter's answers: `/models` (`{"data": [model, …]}`) is what OpenRouter itself offers, one endpoint
//! per model at the provider `openrouter`; `/models/{author}/{slug}/endpoints` (`{"data": {"id",
//! "endpoints"}}`, or a model of the list that holds `endpoints`) tells about other providers. It does not
//! tell how they call the model, so that only endpoints that are known already learn from it.
//!
//! Deliberately absent: status and speed, which are of the moment.

use serde_json::{Map, Value};

use super::names::{canonical, provider, tokenizer};
use super::{Collected, fits, has_address, label, tokens, usd};
use crate::base::time::UnixSeconds;
use crate::control::catalog::merge::News;
use crate::control::config::EndpointEntry;
use crate::policy::catalog::{
    DataPolicy, EndpointFacts, Modalities, Modality, ModelFacts, Parameter, Parameters, PriceRule,
    PriceRules, Prices, Quantization, ServiceTier, Window,
};

/// The provider of the list.
const OPENROUTER: &str = "openrouter";

/// Reads a list of models, or one model with its endpoints.
pub(super) fn read(data: &Value) -> News {
    let mut collected = Collected::default();
    let mut nameless = Vec::new();
    let list = data.as_array().map_or(core::slice::from_ref(data), Vec::as_slice);
    for model in list {
        let Some(model) = model.as_object() else { continue };
        let Some(name) = model.get("id").and_then(Value::as_str).filter(|name| fits(name)) else {
            collected.skipped.push("a model without a usable id".to_owned());
            continue;
        };
        let id = canonical(OPENROUTER, name).id;
        for endpoint in model.get("endpoints").and_then(Value::as_array).into_iter().flatten() {
            match endpoint.as_object().and_then(of_provider) {
                Some(endpoint) => nameless.push((id.clone(), endpoint)),
                None => collected.skipped.push(format!("{id}: an endpoint without a known provider")),
            }
        }
        if let Some(pricing) = model.get("pricing").and_then(Value::as_object) {
            let facts = facts(model, &id);
            let top = model.get("top_provider").and_then(Value::as_object);
            let endpoint = EndpointEntry {
                provider: OPENROUTER.into(),
                name: name.into(),
                facts: EndpointFacts {
                    prices: prices(pricing),
                    context_tokens: top.and_then(|top| tokens(top, "context_length")),
                    output_tokens: facts.output_tokens,
                    parameters: facts.parameters,
                    ..EndpointFacts::default()
                },
                private_to: None,
            };
            collected.add(id, facts, endpoint);
        }
    }
    // Only the whole list says what is no longer there.
    let whole = data.is_array() && !collected.models.is_empty();
    let complete = whole.then(|| Box::from(OPENROUTER));
    News { nameless, ..collected.finish(complete.into_iter()) }
}

fn facts(model: &Map<String, Value>, id: &str) -> ModelFacts {
    let architecture = model.get("architecture").and_then(Value::as_object);
    let modalities = |key: &str| {
        let list = architecture?.get(key)?.as_array()?;
        let named = list.iter().filter_map(|name| Modality::named(name.as_str()?));
        Some(named.fold(Modalities::NONE, Modalities::with))
    };
    let top = model.get("top_provider").and_then(Value::as_object);
    ModelFacts {
        name: label(model.get("name")),
        context_tokens: tokens(model, "context_length"),
        output_tokens: top.and_then(|top| tokens(top, "max_completion_tokens")),
        input: modalities("input_modalities"),
        output: modalities("output_modalities"),
        parameters: parameters(model),
        tokenizer: tokenizer(id),
        created: model.get("created").and_then(Value::as_u64).map(UnixSeconds),
        ..ModelFacts::default()
    }
}

fn parameters(object: &Map<String, Value>) -> Option<Parameters> {
    let list = object.get("supported_parameters")?.as_array()?;
    let named = list.iter().filter_map(|name| Parameter::named(name.as_str()?));
    Some(named.fold(Parameters::NONE, Parameters::with))
}

/// An endpoint at another provider. Its `tag` is the provider, and behind a slash a variant, a region or a
/// tier.
fn of_provider(endpoint: &Map<String, Value>) -> Option<EndpointEntry> {
    let tag = endpoint.get("tag").and_then(Value::as_str)?;
    let (theirs, rest) = tag.split_once('/').unwrap_or((tag, ""));
    let provider = provider(theirs).filter(|id| has_address(id))?;
    let quantization = endpoint.get("quantization").and_then(Value::as_str).and_then(Quantization::named);
    let (mut variant, mut service_tier) = (None, None);
    match ServiceTier::named(rest) {
        Some(tier) => service_tier = Some(tier),
        // Some tags name the number format, which is no other offer.
        None if rest.is_empty() || Quantization::named(rest).is_some() => {}
        None => variant = Some(Box::from(rest)),
    }
    let policy = endpoint.get("data_policy").and_then(Value::as_object);
    let said = |key: &str| policy.and_then(|policy| policy.get(key)).and_then(Value::as_bool);
    Some(EndpointEntry {
        provider: provider.into(),
        name: "".into(),
        facts: EndpointFacts {
            weight: None,
            prices: endpoint.get("pricing").and_then(Value::as_object).and_then(prices),
            quantization,
            region: None,
            variant,
            service_tier,
            context_tokens: tokens(endpoint, "context_length"),
            prompt_tokens: tokens(endpoint, "max_prompt_tokens"),
            output_tokens: tokens(endpoint, "max_completion_tokens"),
            parameters: parameters(endpoint),
            data: DataPolicy { retains: said("retainsPrompts"), trains: said("training"), zdr: None },
        },
        private_to: None,
    })
}

/// `pricing`: USD per unit as texts, and `overrides` with conditions.
fn prices(pricing: &Map<String, Value>) -> Option<PriceRules> {
    let base = step(pricing);
    if !base.known() {
        return None;
    }
    let overrides = pricing.get("overrides").and_then(Value::as_array);
    let rules = overrides.into_iter().flatten().filter_map(Value::as_object).filter_map(rule).collect();
    Some(PriceRules { base, rules })
}

fn step(pricing: &Map<String, Value>) -> Prices {
    let price = |key: &str| usd(pricing.get(key));
    // OpenRouter writes "0" for what is not charged for itself.
    let charged = |key: &str| price(key).filter(|price| price.0 > 0);
    Prices {
        prompt: price("prompt"),
        completion: price("completion"),
        cache_read: charged("input_cache_read"),
        cache_write: charged("input_cache_write"),
        cache_write_1h: charged("input_cache_write_1h"),
        reasoning: charged("internal_reasoning"),
        request: charged("request"),
        image: charged("image"),
        audio: charged("audio"),
    }
}

/// An override; `None` when it has a condition that is not known here.
fn rule(object: &Map<String, Value>) -> Option<PriceRule> {
    let conditions = object.get("conditions").and_then(Value::as_object).unwrap_or(object);
    let minute = |key: &str| {
        let text = conditions.get(key)?;
        let clock = text.as_str().and_then(|text| text.parse().ok()).or_else(|| text.as_u64())?;
        let (hours, minutes) = (clock / 100, clock % 100);
        (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) as u16)
    };
    let window = minute("utc_start").zip(minute("utc_end")).map(|(start, end)| Window { start, end });
    let above_prompt_tokens = tokens(conditions, "min_prompt_tokens");
    let known = window.is_some_and(|window| window.start != window.end) || above_prompt_tokens.is_some();
    known.then(|| PriceRule { above_prompt_tokens, window, prices: step(object) })
}
