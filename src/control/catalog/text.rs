//! A catalogue as the text of its file, and an entry as keys and values: what the file says and what a diff
//! compares are the same.
//!
//! Deliberately absent: reading (`config` does it, with the tables of the configuration).

use std::fmt::Write as _;

use super::super::config::{AliasEntry, EndpointEntry, ModelEntry};
use super::Catalogue;
use crate::base::money::PicoDollars;
use crate::policy::catalog::{PriceRules, Prices};

const HEADER: &str = "\
# The models Millrace ships with, and their endpoints at the providers of providers.toml. Prices are in USD
# per million tokens. The tables are those of docs/configuration.md; what is missing is unknown. Written by
# `millrace catalog import`; hand-written facts about known entries survive the next import.
";

/// A key and its value as TOML text.
pub(super) type Pair = (&'static str, String);

/// The whole file.
#[must_use]
pub fn render(catalogue: &Catalogue) -> String {
    let mut text = HEADER.to_owned();
    for model in catalogue.models() {
        text.push_str("\n[[model]]\n");
        for (key, value) in model_pairs(model) {
            push(&mut text, format_args!("{key} = {value}\n"));
        }
        text.push_str("endpoint = [\n");
        for endpoint in &model.endpoints {
            push(&mut text, format_args!("    {},\n", inline(&endpoint_pairs(endpoint))));
        }
        text.push_str("]\n");
    }
    for AliasEntry { name, model } in catalogue.aliases() {
        push(&mut text, format_args!("\n[[alias]]\nname = {}\nmodel = {}\n", quoted(name), quoted(model)));
    }
    text
}

fn push(text: &mut String, what: core::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("invariant: writing to a String cannot fail");
}

/// A model without its endpoints.
pub(super) fn model_pairs(model: &ModelEntry) -> Vec<Pair> {
    let facts = &model.facts;
    let aliases = (!facts.aliases.is_empty()).then(|| list(facts.aliases.iter().map(|one| &**one)));
    pairs([
        ("id", Some(quoted(&model.id))),
        ("name", facts.name.as_deref().map(quoted)),
        ("aliases", aliases),
        ("context_tokens", facts.context_tokens.map(|count| count.to_string())),
        ("output_tokens", facts.output_tokens.map(|count| count.to_string())),
        ("input", facts.input.map(|set| list(set.iter().map(|one| one.name())))),
        ("output", facts.output.map(|set| list(set.iter().map(|one| one.name())))),
        ("parameters", facts.parameters.map(|set| list(set.iter().map(|one| one.name())))),
        ("tokenizer", facts.tokenizer.map(|one| quoted(one.name()))),
        ("created", facts.created.map(|at| at.0.to_string())),
        ("distillable", facts.distillable.map(|yes| yes.to_string())),
    ])
}

/// An endpoint.
pub(super) fn endpoint_pairs(endpoint: &EndpointEntry) -> Vec<Pair> {
    let facts = &endpoint.facts;
    pairs([
        ("provider", Some(quoted(&endpoint.provider))),
        ("name", Some(quoted(&endpoint.name))),
        ("variant", facts.variant.as_deref().map(quoted)),
        ("region", facts.region.as_deref().map(quoted)),
        ("service_tier", facts.service_tier.map(|tier| quoted(tier.name()))),
        ("price", facts.prices.as_ref().map(price)),
        ("quantization", facts.quantization.map(|one| quoted(one.name()))),
        ("context_tokens", facts.context_tokens.map(|count| count.to_string())),
        ("prompt_tokens", facts.prompt_tokens.map(|count| count.to_string())),
        ("output_tokens", facts.output_tokens.map(|count| count.to_string())),
        ("parameters", facts.parameters.map(|set| list(set.iter().map(|one| one.name())))),
        ("retains", facts.data.retains.map(|yes| yes.to_string())),
        ("trains", facts.data.trains.map(|yes| yes.to_string())),
        ("zdr", facts.data.zdr.map(|yes| yes.to_string())),
        ("private_to", endpoint.private_to.as_ref().map(|keys| list(keys.iter().map(|key| &**key)))),
    ])
}

/// A price as an inline table.
pub(super) fn price(rules: &PriceRules) -> String {
    let mut all = price_pairs(&rules.base);
    if !rules.rules.is_empty() {
        let time = |minute: u16| quoted(&format!("{:02}:{:02}", minute / 60, minute % 60));
        let tables: Vec<String> = rules
            .rules
            .iter()
            .map(|rule| {
                let mut keys = pairs([
                    ("above_prompt_tokens", rule.above_prompt_tokens.map(|count| count.to_string())),
                    ("utc_from", rule.window.map(|window| time(window.start))),
                    ("utc_to", rule.window.map(|window| time(window.end))),
                ]);
                keys.extend(price_pairs(&rule.prices));
                inline(&keys)
            })
            .collect();
        all.push(("rule", format!("[{}]", tables.join(", "))));
    }
    inline(&all)
}

fn price_pairs(prices: &Prices) -> Vec<Pair> {
    // A price per token in dollars per million of them: the same digits, six places further on.
    let million = |amount: PicoDollars| quoted(&PicoDollars(amount.0.saturating_mul(1_000_000)).as_usd());
    pairs([
        ("prompt", prices.prompt.map(million)),
        ("completion", prices.completion.map(million)),
        ("cache_read", prices.cache_read.map(million)),
        ("cache_write", prices.cache_write.map(million)),
        ("cache_write_1h", prices.cache_write_1h.map(million)),
        ("reasoning", prices.reasoning.map(million)),
        ("request", prices.request.map(|amount| quoted(&amount.as_usd()))),
        ("image", prices.image.map(|amount| quoted(&amount.as_usd()))),
        ("audio", prices.audio.map(million)),
    ])
}

fn pairs<const N: usize>(all: [(&'static str, Option<String>); N]) -> Vec<Pair> {
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn inline(pairs: &[Pair]) -> String {
    let all: Vec<String> = pairs.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", all.join(", "))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<String> = names.map(quoted).collect();
    format!("[{}]", all.join(", "))
}

/// The `toml` crate knows how to quote a text.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
