//! A price map: `{"models": [{"id", "provider", "mode", "input_cost_per_token", …}]}`, prices in USD per
//! token, capabilities as `supports_…` flags.
//!
//! Deliberately absent: batch prices and prices of speech, which no endpoint here serves.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::names::{canonical, own_name, provider, tokenizer};
use super::{Collected, assumed, fits, flag, has_address, tokens, usd};
use crate::base::money::PicoDollars;
use crate::control::catalog::merge::News;
use crate::control::config::EndpointEntry;
use crate::policy::catalog::{
    EndpointFacts, Modalities, Modality, ModelFacts, Parameter, Parameters, PriceRule, PriceRules, Prices,
    ServiceTier, Window,
};

/// Prompt sizes at which the map's prices change: the ending of a key, and the tokens.
const STEPS: [(&str, u32); 5] = [
    ("_above_100k_tokens", 100_000),
    ("_above_128k_tokens", 128_000),
    ("_above_200k_tokens", 200_000),
    ("_above_272k_tokens", 272_000),
    ("_above_512k_tokens", 512_000),
];

/// The tiers, with the ending of their keys.
const TIERS: [(&str, Option<ServiceTier>); 3] =
    [("", None), ("_flex", Some(ServiceTier::Flex)), ("_priority", Some(ServiceTier::Priority))];

/// Reads the rows.
pub(super) fn read(rows: &[Value]) -> News {
    let mut collected = Collected::default();
    let mut complete = HashSet::new();
    // Long names first: the short ones of the same model are not what the provider calls it.
    let mut rows: Vec<&Map<String, Value>> = rows.iter().filter_map(Value::as_object).collect();
    rows.sort_by_key(|row| !text(row, "id").contains("/accounts/"));
    for row in rows {
        match one(row) {
            Ok((id, facts, endpoints)) => {
                for endpoint in endpoints {
                    complete.insert(endpoint.provider.clone());
                    collected.add(id.clone(), facts.clone(), endpoint);
                }
            }
            Err(reason) => collected.skipped.push(format!("{}: {reason}", text(row, "id"))),
        }
    }
    collected.finish(complete.into_iter())
}

fn text<'a>(row: &'a Map<String, Value>, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

type Understood = (Box<str>, ModelFacts, Vec<EndpointEntry>);

fn one(row: &Map<String, Value>) -> Result<Understood, &'static str> {
    let theirs = text(row, "provider");
    let provider =
        provider(theirs).filter(|id| has_address(id)).ok_or("its provider has no known address")?;
    let full = text(row, "id");
    let name = full.strip_prefix(theirs).and_then(|rest| rest.strip_prefix('/')).unwrap_or(full);
    if !fits(name) {
        return Err("a name that cannot be written");
    }
    if name.starts_with("together-ai-") || name.starts_with("fireworks-ai-") {
        return Err("a class of prices, no model");
    }
    let embeds = text(row, "mode") == "embedding";
    let paths = row.get("supported_endpoints").and_then(Value::as_array);
    let chat = |path: &Value| path.as_str().is_some_and(|path| path.contains("completions"));
    if !embeds && (text(row, "mode") == "responses" || paths.is_some_and(|paths| !paths.iter().any(chat))) {
        return Err("takes no chat completions");
    }
    if provider == "fireworks" && !name.starts_with("accounts/") {
        return Err("a short name, which the provider does not take");
    }
    let read = canonical(provider, name);
    let parameters = if embeds { Parameters::NONE } else { parameters(row, provider) };
    let facts = ModelFacts {
        aliases: own_name(&read.id, provider, name),
        context_tokens: tokens(row, "max_input_tokens").or_else(|| tokens(row, "max_tokens")),
        output_tokens: if embeds { None } else { tokens(row, "max_output_tokens") },
        input: Some(input(row)),
        output: Some(output(row, embeds)),
        parameters: Some(parameters),
        tokenizer: tokenizer(&read.id),
        ..ModelFacts::default()
    };
    let endpoint = |(ending, tier): &(&str, Option<ServiceTier>)| {
        let prices = prices(row, ending, embeds);
        // The default tier is there without a price too: then its price is unknown.
        (prices.is_some() || tier.is_none()).then(|| EndpointEntry {
            provider: provider.into(),
            name: name.into(),
            facts: EndpointFacts {
                prices,
                quantization: read.quantization,
                variant: read.variant.clone(),
                service_tier: *tier,
                context_tokens: facts.context_tokens,
                output_tokens: facts.output_tokens,
                parameters: Some(parameters),
                ..EndpointFacts::default()
            },
            private_to: None,
        })
    };
    let endpoints = TIERS.iter().filter_map(endpoint).collect();
    Ok((read.id.clone(), facts, endpoints))
}

/// What goes without saying, and what the flags say.
fn parameters(row: &Map<String, Value>, provider: &str) -> Parameters {
    let mut all = assumed(provider);
    for (key, given) in [
        ("supports_function_calling", &[Parameter::Tools][..]),
        ("supports_tool_choice", &[Parameter::ToolChoice]),
        ("supports_parallel_function_calling", &[Parameter::ParallelToolCalls]),
        ("supports_response_schema", &[Parameter::StructuredOutputs]),
        ("supports_web_search", &[Parameter::WebSearchOptions]),
        (
            "supports_reasoning",
            &[Parameter::Reasoning, Parameter::ReasoningEffort, Parameter::IncludeReasoning],
        ),
    ] {
        if flag(row, key) {
            all = all.union(Parameters::of(given));
        }
    }
    if row.get("supports_sampling_params").and_then(Value::as_bool) == Some(false) {
        let sampling = [Parameter::Temperature, Parameter::TopP, Parameter::TopK, Parameter::MinP];
        all = all.without(Parameters::of(&sampling));
    }
    all
}

fn listed(row: &Map<String, Value>, key: &str) -> Modalities {
    let list = row.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let named = list.iter().filter_map(|name| Modality::named(name.as_str()?));
    named.fold(Modalities::NONE, Modalities::with)
}

fn input(row: &Map<String, Value>) -> Modalities {
    let mut all = listed(row, "supported_modalities").with(Modality::Text);
    for (key, modality) in [
        ("supports_vision", Modality::Image),
        ("supports_image_input", Modality::Image),
        ("supports_embedding_image_input", Modality::Image),
        ("supports_pdf_input", Modality::File),
        ("supports_audio_input", Modality::Audio),
        ("supports_video_input", Modality::Video),
    ] {
        if flag(row, key) {
            all = all.with(modality);
        }
    }
    all
}

fn output(row: &Map<String, Value>, embeds: bool) -> Modalities {
    if embeds {
        return Modalities::of(&[Modality::Embeddings]);
    }
    let all = listed(row, "supported_output_modalities").with(Modality::Text);
    if flag(row, "supports_audio_output") { all.with(Modality::Audio) } else { all }
}

/// The prices of a tier; `None` when one of the token prices is not there.
fn prices(row: &Map<String, Value>, tier: &str, embeds: bool) -> Option<PriceRules> {
    let mut base = step(row, "", tier);
    if embeds {
        // Nothing is generated, so whatever this is it is not charged.
        base.completion = base.completion.or(Some(PicoDollars(0)));
    }
    // Nothing for anything is how the map says that it is charged in some other way, or not yet: unknown.
    let nothing = PicoDollars(0);
    if !base.known() || (base.prompt, base.completion) == (Some(nothing), Some(nothing)) {
        return None;
    }
    let mut rules = Vec::new();
    for (ending, tokens) in STEPS {
        let prices = step(row, ending, tier);
        if prices != Prices::default() {
            rules.push(PriceRule { above_prompt_tokens: Some(tokens), window: None, prices });
        }
    }
    if tier.is_empty() {
        rules.extend(off_peak(row));
    }
    Some(PriceRules { base, rules: rules.into() })
}

/// The prices whose keys have these endings.
fn step(row: &Map<String, Value>, step: &str, tier: &str) -> Prices {
    let price = |key: &str| usd(row.get(&format!("{key}{step}{tier}")));
    let prompt = price("input_cost_per_token");
    // A price of zero for writes means that they are not charged beside the prompt's tokens.
    let cache_write = price("cache_creation_input_token_cost").filter(|price| price.0 > 0);
    let plain = step.is_empty() && tier.is_empty();
    Prices {
        prompt,
        completion: price("output_cost_per_token"),
        cache_read: price("cache_read_input_token_cost").or_else(|| price("input_cost_per_token_cache_hit")),
        cache_write,
        cache_write_1h: price("cache_creation_input_token_cost_above_1hr").filter(|price| price.0 > 0),
        reasoning: price("output_cost_per_reasoning_token"),
        request: price("input_cost_per_request").filter(|_| plain),
        image: price("input_cost_per_image").filter(|_| plain),
        audio: price("input_cost_per_audio_token").filter(|price| price.0 > 0),
    }
}

/// Cheaper hours. Prices have no days of the week here: only hours that are cheap on all seven count.
fn off_peak(row: &Map<String, Value>) -> Vec<PriceRule> {
    let Some(all) = row.get("off_peak_pricing").and_then(Value::as_object) else { return Vec::new() };
    let prices = step(all, "", "");
    let windows: Vec<(Vec<u64>, Vec<Window>)> = all
        .get("windows")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_object).map(window).collect())
        .unwrap_or_default();
    let cheap = |day: u64, minute: u16| {
        windows.iter().any(|(days, hours)| {
            (days.is_empty() || days.contains(&day))
                && hours.iter().any(|one| one.start == one.end || one.holds(minute))
        })
    };
    let spans = windows.iter().flat_map(|(_, hours)| hours).filter(|one| one.start != one.end);
    let mut taken: Vec<Window> = Vec::new();
    for span in spans {
        let mut minutes = (0..24 * 60).filter(|minute| span.holds(*minute));
        if !taken.contains(span) && minutes.all(|minute| (1..=7).all(|day| cheap(day, minute))) {
            taken.push(*span);
        }
    }
    taken
        .into_iter()
        .map(|window| PriceRule { above_prompt_tokens: None, window: Some(window), prices })
        .collect()
}

/// Days of the week (1 is Monday; none is all) and hours. The same hour twice means the whole day.
fn window(object: &Map<String, Value>) -> (Vec<u64>, Vec<Window>) {
    let days = object.get("weekdays").and_then(Value::as_array);
    let days = days.map(|days| days.iter().filter_map(Value::as_u64).collect()).unwrap_or_default();
    let hours = match object.get("hours_utc") {
        Some(Value::String(one)) => span(one).into_iter().collect(),
        Some(Value::Array(all)) => all.iter().filter_map(|one| span(one.as_str()?)).collect(),
        _ => Vec::new(),
    };
    (days, hours)
}

/// `10:00-00:30`.
fn span(text: &str) -> Option<Window> {
    let minute = |text: &str| {
        let (hours, minutes) = text.trim().split_once(':')?;
        let (hours, minutes) = (hours.parse::<u16>().ok()?, minutes.parse::<u16>().ok()?);
        (hours <= 24 && minutes < 60).then_some((hours % 24) * 60 + minutes)
    };
    let (start, end) = text.split_once('-')?;
    Some(Window { start: minute(start)?, end: minute(end)? })
}
