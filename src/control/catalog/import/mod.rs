//! Facts about models from the files of others, each in its own form:
//!
//! | form | known by | what it is |
//! |---|---|---|
//! | price map | a list `models` | one row per model and provider, USD per token |
//! | OpenRouter | `data` | the answer of `/models`, or of `/models/{author}/{slug}/endpoints` |
//! | models.dev | objects with `models` by provider | `api.json`, USD per million tokens |
//!
//! Deliberately absent: fetching the file, and what happens to the facts (`merge`).

mod models_dev;
mod names;
mod openrouter;
mod price_map;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::config::{self, EndpointEntry, ModelEntry};
use super::merge::News;
use crate::base::money::PicoDollars;
use crate::policy::catalog::{ModelFacts, Parameter, Parameters};

/// Largest file that is read, in bytes.
pub const IMPORT_BYTES_MAX: u64 = 64 << 20;

/// Reads a file in any of the three forms.
///
/// # Errors
/// When it is no JSON, or in none of these forms.
pub fn read(text: &str) -> Result<News, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let Some(object) = value.as_object() else { return Err("not a JSON object".to_owned()) };
    if let Some(rows) = object.get("models").and_then(Value::as_array) {
        return Ok(price_map::read(rows));
    }
    if let Some(data) = object.get("data") {
        return Ok(openrouter::read(data));
    }
    if object.values().any(|provider| provider.get("models").is_some_and(Value::is_object)) {
        return Ok(models_dev::read(object));
    }
    Err("neither a price map, nor OpenRouter's list of models, nor models.dev's api.json".to_owned())
}

/// Models by id, filled endpoint by endpoint.
#[derive(Default)]
struct Collected {
    models: BTreeMap<Box<str>, ModelEntry>,
    skipped: Vec<String>,
}

impl Collected {
    /// Adds an endpoint of a model. Of two names of one offer the first stays.
    fn add(&mut self, id: Box<str>, facts: ModelFacts, endpoint: EndpointEntry) {
        let entry =
            self.models.entry(id.clone()).or_insert_with(|| ModelEntry { id, ..ModelEntry::default() });
        let offer = |one: &EndpointEntry| {
            (one.provider.clone(), one.facts.variant.clone(), one.facts.region.clone(), one.facts.tier())
        };
        if entry.endpoints.iter().any(|one| offer(one) == offer(&endpoint)) {
            self.skipped.push(format!(
                "{} at {}: {} is a second name of the same offer",
                entry.id, endpoint.provider, endpoint.name
            ));
            return;
        }
        let known = core::mem::take(&mut entry.facts);
        entry.facts = joined(known, facts);
        entry.endpoints.push(endpoint);
    }

    /// What was collected. What all endpoints of a model say is said once, by the model.
    fn finish(self, complete: impl Iterator<Item = Box<str>>) -> News {
        let mut models: Vec<ModelEntry> = self.models.into_values().collect();
        for model in &mut models {
            let facts = &model.facts;
            let (context, output) = (facts.context_tokens, facts.output_tokens);
            let parameters = facts.parameters;
            for endpoint in &mut model.endpoints {
                let own = &mut endpoint.facts;
                own.context_tokens = own.context_tokens.filter(|_| own.context_tokens != context);
                own.output_tokens = own.output_tokens.filter(|_| own.output_tokens != output);
                own.parameters = own.parameters.filter(|_| own.parameters != parameters);
            }
        }
        News { models, complete: complete.collect(), nameless: Vec::new(), skipped: self.skipped }
    }
}

/// Two descriptions of one model by two hosts: the larger size, every capability that any of them has.
fn joined(one: ModelFacts, two: ModelFacts) -> ModelFacts {
    ModelFacts {
        name: one.name.or(two.name),
        aliases: super::all_names(one.aliases, two.aliases),
        context_tokens: one.context_tokens.max(two.context_tokens),
        output_tokens: one.output_tokens.max(two.output_tokens),
        input: either(one.input, two.input, crate::policy::catalog::Modalities::union),
        output: either(one.output, two.output, crate::policy::catalog::Modalities::union),
        parameters: either(one.parameters, two.parameters, Parameters::union),
        tokenizer: one.tokenizer.or(two.tokenizer),
        created: one.created.or(two.created),
        distillable: one.distillable.or(two.distillable),
        strategy: one.strategy.or(two.strategy),
        hedge: one.hedge.or(two.hedge),
    }
}

fn either<T: Copy>(one: Option<T>, two: Option<T>, both: impl Fn(T, T) -> T) -> Option<T> {
    match (one, two) {
        (Some(one), Some(two)) => Some(both(one, two)),
        (one, two) => one.or(two),
    }
}

/// Is this a provider that ships with Millrace? Only their addresses are known.
fn has_address(provider: &str) -> bool {
    config::shipped_provider_ids().any(|id| id == provider)
}

/// A name that the tables of models can hold.
fn fits(name: &str) -> bool {
    (1..=256).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

/// A name for people that the tables can hold.
fn label(text: Option<&Value>) -> Option<Box<str>> {
    let text = text?.as_str()?;
    let fits = (1..=64).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then(|| text.into())
}

fn tokens(object: &Map<String, Value>, key: &str) -> Option<u32> {
    let count = object.get(key)?;
    let count = count.as_u64().or_else(|| count.as_f64().map(|count| count as u64))?;
    u32::try_from(count).ok().filter(|count| *count > 0)
}

fn flag(object: &Map<String, Value>, key: &str) -> bool {
    object.get(key).and_then(Value::as_bool) == Some(true)
}

/// An amount of dollars, per token or per thing, rounded to the pico-dollar: the files hold results of
/// floating point arithmetic. Negative is how OpenRouter says that it depends; unknown.
fn usd(value: Option<&Value>) -> Option<PicoDollars> {
    scaled(value, 12)
}

/// An amount of dollars per million tokens, as pico-dollars per token.
fn usd_per_million(value: Option<&Value>) -> Option<PicoDollars> {
    scaled(value, 6)
}

/// A decimal number, or its text, in units of ten to the power of minus `places`.
fn scaled(value: Option<&Value>, places: usize) -> Option<PicoDollars> {
    let text = match value? {
        Value::String(text) => text.clone(),
        // The shortest text that means this number, without an exponent: the digits of the file.
        Value::Number(number) => format!("{}", number.as_f64()?),
        _ => return None,
    };
    let number = text.trim();
    let plain =
        if number.contains(['e', 'E']) { format!("{}", number.parse::<f64>().ok()?) } else { number.into() };
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    if whole.is_empty() || !(whole.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = &fraction[..fraction.len().min(places)];
    let digits = format!("{whole}{kept:0<places$}");
    let up = fraction.as_bytes().get(places).is_some_and(|digit| *digit >= b'5');
    Some(PicoDollars(digits.parse::<i128>().ok()? + i128::from(up))).filter(|amount| amount.0 < 1 << 80)
}

/// Parameters that nearly every model takes. Sources that only say what is special get them.
const COMMON: Parameters = Parameters::of(&[
    Parameter::Temperature,
    Parameter::TopP,
    Parameter::FrequencyPenalty,
    Parameter::PresencePenalty,
    Parameter::MaxTokens,
    Parameter::MaxCompletionTokens,
    Parameter::LogitBias,
    Parameter::Logprobs,
    Parameter::TopLogprobs,
    Parameter::Seed,
    Parameter::Stop,
    Parameter::ResponseFormat,
]);

/// What servers of open weights take beside them.
const OPEN_WEIGHTS: Parameters =
    Parameters::of(&[Parameter::TopK, Parameter::MinP, Parameter::RepetitionPenalty]);

/// Providers that are no such server.
const CLOSED: [&str; 5] = ["openai", "anthropic", "google", "xai", "perplexity"];

/// The parameters that go without saying at this provider.
fn assumed(provider: &str) -> Parameters {
    if CLOSED.contains(&provider) { COMMON } else { COMMON.union(OPEN_WEIGHTS) }
}
