//! models.dev's `api.json`: `{"<provider>": {"models": {"<name>": {"cost", "limit", "modalities", …}}}}`,
//! prices in USD per million tokens.
//!
//! Deliberately absent: its addresses of providers (`catalog/providers.toml` has ours).

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::names::{canonical, own_name, provider, tokenizer};
use super::{Collected, assumed, fits, flag, has_address, label, tokens, usd_per_million};
use crate::base::time::UnixSeconds;
use crate::control::catalog::merge::News;
use crate::control::config::EndpointEntry;
use crate::policy::catalog::{
    EndpointFacts, Modalities, Modality, ModelFacts, Parameter, Parameters, PriceRule, PriceRules, Prices,
};

/// Reads every provider whose address is known.
pub(super) fn read(providers: &Map<String, Value>) -> News {
    let mut collected = Collected::default();
    let mut complete: HashSet<Box<str>> = HashSet::new();
    for (theirs, about) in providers {
        let Some(models) = about.get("models").and_then(Value::as_object) else { continue };
        let Some(id) = provider(theirs).filter(|id| has_address(id)) else {
            collected.skipped.push(format!("{theirs}: a provider without a known address"));
            continue;
        };
        complete.insert(id.into());
        for (name, model) in models {
            match model.as_object() {
                Some(model) if fits(name) => one(&mut collected, id, name, model),
                _ => collected.skipped.push(format!("{theirs}/{name}: not a model")),
            }
        }
    }
    collected.finish(complete.into_iter())
}

fn one(collected: &mut Collected, provider: &str, name: &str, model: &Map<String, Value>) {
    let read = canonical(provider, name);
    let limit = model.get("limit").and_then(Value::as_object);
    let facts = ModelFacts {
        aliases: own_name(&read.id, provider, name),
        name: label(model.get("name")),
        context_tokens: limit.and_then(|limit| tokens(limit, "context")),
        output_tokens: limit.and_then(|limit| tokens(limit, "output")),
        input: modalities(model, "input"),
        output: modalities(model, "output"),
        parameters: Some(parameters(model, provider)),
        tokenizer: tokenizer(&read.id),
        created: model.get("release_date").and_then(Value::as_str).and_then(seconds),
        ..ModelFacts::default()
    };
    let endpoint = EndpointEntry {
        provider: provider.into(),
        name: name.into(),
        facts: EndpointFacts {
            prices: model.get("cost").and_then(Value::as_object).and_then(prices),
            quantization: read.quantization,
            variant: read.variant,
            context_tokens: facts.context_tokens,
            output_tokens: facts.output_tokens,
            parameters: facts.parameters,
            ..EndpointFacts::default()
        },
        private_to: None,
    };
    collected.add(read.id, facts, endpoint);
}

fn modalities(model: &Map<String, Value>, side: &str) -> Option<Modalities> {
    let list = model.get("modalities")?.get(side)?.as_array()?;
    let named = list.iter().filter_map(|name| match name.as_str()? {
        "pdf" => Some(Modality::File),
        name => Modality::named(name),
    });
    Some(named.fold(Modalities::NONE, Modalities::with))
}

fn parameters(model: &Map<String, Value>, provider: &str) -> Parameters {
    let mut all = assumed(provider);
    if flag(model, "tool_call") {
        all = all.union(Parameters::of(&[Parameter::Tools, Parameter::ToolChoice]));
    }
    if flag(model, "structured_output") {
        all = all.with(Parameter::StructuredOutputs);
    }
    if flag(model, "reasoning") {
        let reasoning = [Parameter::Reasoning, Parameter::ReasoningEffort, Parameter::IncludeReasoning];
        all = all.union(Parameters::of(&reasoning));
    }
    if model.get("temperature").and_then(Value::as_bool) == Some(false) {
        all = all.without(Parameters::of(&[Parameter::Temperature, Parameter::TopP]));
    }
    all
}

fn prices(cost: &Map<String, Value>) -> Option<PriceRules> {
    let base = step(cost);
    if !base.known() {
        return None;
    }
    let above = cost.get("context_over_200k").and_then(Value::as_object).map(step);
    let rules = above.into_iter().map(|prices| PriceRule {
        above_prompt_tokens: Some(200_000),
        window: None,
        prices,
    });
    Some(PriceRules { base, rules: rules.collect() })
}

fn step(cost: &Map<String, Value>) -> Prices {
    let price = |key: &str| usd_per_million(cost.get(key));
    Prices {
        prompt: price("input"),
        completion: price("output"),
        cache_read: price("cache_read"),
        cache_write: price("cache_write").filter(|price| price.0 > 0),
        cache_write_1h: None,
        reasoning: price("reasoning"),
        request: None,
        image: None,
        audio: price("input_audio").filter(|price| price.0 > 0),
    }
}

/// `2025-04-16`, or `2025-04`, at midnight UTC.
fn seconds(date: &str) -> Option<UnixSeconds> {
    let mut parts = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(1))?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 of a date of the Gregorian calendar, years beginning in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    u64::try_from(days * 86_400).ok().map(UnixSeconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seconds() {
        for (date, want) in [
            ("1970-01-01", Some(0)),
            ("2000-02-29", Some(951_782_400)),
            ("2025-04", Some(1_743_465_600)),
            ("2026-11-20", Some(1_795_132_800)),
            ("2025", None),
            ("2025-13-01", None),
            ("soon", None),
        ] {
            assert_eq!(seconds(date).map(|at| at.0), want, "{date}");
        }
    }
}
