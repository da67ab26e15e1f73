//! Models, endpoints and providers in the shapes that OpenAI's, OpenRouter's and Anthropic's clients read.
//!
//! A caller sees the models that have an endpoint for it; what is private to other keys does not exist.
//! Deliberately absent: HTTP (`super`), the reading of queries (`query`), and where live figures come from
//! (`live`).

mod query;

use serde_json::{Map, Value, json};

use super::live::Live;
use crate::base::ids::KeyId;
use crate::base::time::UnixSeconds;
use crate::control::calendar::rfc3339;
use crate::control::config::shipped_provider_name;
use crate::policy::catalog::{
    Endpoint, EndpointFacts, Modalities, Modality, Model, Parameter, Parameters, PriceRules, Prices, Snapshot,
};

use crate::policy::health::layout::endpoint_tag;
pub(super) use query::{Query, decoded};

/// What an answer is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// The models.
    pub(super) snapshot: &'a Snapshot,
    /// Who asks.
    pub(super) key: Option<KeyId>,
    /// `created` of models whose date is unknown.
    pub(super) started: UnixSeconds,
}

impl<'a> View<'a> {
    /// The endpoints of a model that this caller may know of.
    fn endpoints(&self, model: &'a Model) -> impl Iterator<Item = &'a Endpoint> + use<'a> {
        let (snapshot, key) = (self.snapshot, self.key);
        let rows = model.endpoints.iter().filter_map(move |id| snapshot.endpoints.get(id.index()));
        rows.filter(move |endpoint| endpoint.visible_to(key))
    }

    /// The model of this id or alias, when the caller may know of it.
    fn model(&self, id: &str) -> Option<&'a Model> {
        let row = self.snapshot.model_ids.get(id)?;
        let model = self.snapshot.models.get(row.index())?;
        self.endpoints(model).next().map(|_| model)
    }

    fn selected(&self, query: &Query) -> Vec<&'a Model> {
        let mut all: Vec<&Model> = self.snapshot.models.iter().filter(|one| query.takes(self, one)).collect();
        query.sort(self, &mut all);
        all
    }

    /// `{"object":"list","data":[…],"total_count":n,"links":{"next"}}`.
    pub(super) fn list(&self, query: &Query) -> Value {
        let all = self.selected(query);
        let page = query.page(all.len());
        let next = (page.end < all.len())
            .then(|| format!("/api/v1/models?offset={}&limit={}{}", page.end, page.len(), query.rest()));
        let data: Vec<Value> = all[page].iter().map(|model| self.describe(model)).collect();
        json!({"object": "list", "data": data, "total_count": all.len(), "links": {"next": next}})
    }

    /// `{"data":{"count"}}`.
    pub(super) fn count(&self, query: &Query) -> Value {
        json!({"data": {"count": self.selected(query).len()}})
    }

    /// Anthropic's list: newest first, a page at a time.
    pub(super) fn anthropic_list(&self, query: &Query) -> Value {
        let all = self.selected(query);
        let (page, more) = query.cursor(&all);
        let entry = |model: &&Model| {
            json!({
                "type": "model",
                "id": model.id,
                "display_name": name_of(model),
                "created_at": rfc3339(self.created(model)),
            })
        };
        json!({
            "data": page.iter().map(entry).collect::<Vec<Value>>(),
            "has_more": more,
            "first_id": page.first().map(|model| &model.id),
            "last_id": page.last().map(|model| &model.id),
        })
    }

    /// One model by its id, alias, or its id with a variant behind a colon.
    pub(super) fn one(&self, id: &str) -> Option<Value> {
        let base = id.rsplit_once(':').map_or(id, |(base, _)| base);
        let model = self.model(id).or_else(|| self.model(base))?;
        let mut told = self.describe(model);
        if [id, base].iter().all(|name| **name != *model.id) {
            told["alias_target"] = json!({"slug": model.id, "name": name_of(model)});
        }
        Some(told)
    }

    /// The endpoints of a model. A variant that is no model of its own has none.
    pub(super) fn endpoints_of(&self, id: &str, live: &Live) -> Option<Value> {
        let base = id.rsplit_once(':').map_or(id, |(base, _)| base);
        let (model, exact) = match self.model(id) {
            Some(model) => (model, true),
            None => (self.model(base)?, false),
        };
        let shown = self.endpoints(model).filter(|_| exact);
        let endpoints: Vec<Value> = shown.map(|endpoint| self.endpoint(model, endpoint, live)).collect();
        Some(json!({"data": {
            "id": model.id,
            "name": name_of(model),
            "created": self.created(model),
            "description": "",
            "architecture": architecture(model),
            "endpoints": endpoints,
        }}))
    }

    /// Every endpoint that promises zero data retention.
    pub(super) fn zdr(&self, live: &Live) -> Value {
        let of_model = |model: &'a Model| self.endpoints(model).map(move |endpoint| (model, endpoint));
        let all = self.snapshot.models.iter().flat_map(of_model);
        let kept = all.filter(|(_, endpoint)| endpoint.facts.data.zdr());
        let shown = kept.map(|(model, endpoint)| self.endpoint(model, endpoint, live));
        json!({"data": shown.collect::<Vec<Value>>()})
    }

    /// The providers that clients can name.
    pub(super) fn providers(&self) -> Value {
        let mut ids: Vec<&str> = self.snapshot.provider_ids.keys().map(|id| &**id).collect();
        ids.sort_unstable();
        let entry = |id: &str| {
            json!({
                "name": shipped_provider_name(id).unwrap_or(id),
                "slug": id,
                "privacy_policy_url": null,
                "terms_of_service_url": null,
                "status_page_url": null,
                "headquarters": null,
                "datacenters": null,
            })
        };
        json!({"data": ids.into_iter().map(entry).collect::<Vec<Value>>()})
    }

    fn created(&self, model: &Model) -> u64 {
        model.facts.created.unwrap_or(self.started).0
    }

    fn provider(&self, endpoint: &Endpoint) -> &'a str {
        &self.snapshot.providers[endpoint.provider.index()].id
    }

    fn describe(&self, model: &'a Model) -> Value {
        // A view only holds models with an endpoint for the caller; the first one is what the top says.
        let first = self.endpoints(model).next();
        let facts = first.map(|endpoint| &endpoint.facts);
        let owner = match (model.id.split_once('/'), first) {
            (Some((author, _)), _) => author,
            (None, Some(endpoint)) => self.provider(endpoint),
            (None, None) => "millrace",
        };
        let context = model.facts.context_tokens.or_else(|| facts?.context_tokens);
        json!({
            "id": model.id,
            "canonical_slug": model.id,
            "object": "model",
            "created": self.created(model),
            "owned_by": owner,
            "name": name_of(model),
            "description": "",
            "context_length": context,
            "architecture": architecture(model),
            "pricing": pricing(facts.and_then(|facts| facts.prices.as_ref())),
            "top_provider": {
                "context_length": facts.and_then(|facts| facts.context_tokens),
                "max_completion_tokens": facts.and_then(|facts| facts.output_tokens),
                "is_moderated": false,
            },
            "per_request_limits": null,
            "supported_parameters": names(model.facts.parameters.or_else(|| facts?.parameters)),
            "supported_voices": null,
            "default_parameters": null,
            "links": {"details": format!("/api/v1/models/{}/endpoints", model.id)},
        })
    }

    fn endpoint(&self, model: &Model, endpoint: &Endpoint, live: &Live) -> Value {
        let EndpointFacts { prices, quantization, data, .. } = &endpoint.facts;
        let id = self.provider(endpoint);
        let provider = shipped_provider_name(id).unwrap_or(id);
        let cached = prices.as_ref().is_some_and(|prices| prices.base.cache_read.is_some());
        let choice = Parameters::of(&[Parameter::ToolChoice]);
        // Unknown parameters are not stripped from requests, so they count as taken.
        let chooses = endpoint.facts.parameters.is_none_or(|taken| taken.has_all(choice));
        let mut told = json!({
            "name": format!("{provider} | {}", model.id),
            "model_id": model.id,
            "model_name": name_of(model),
            "provider_name": provider,
            "tag": if endpoint.tag.is_empty() { id } else { &*endpoint.tag },
            "quantization": quantization.map(|one| one.name()),
            // Their clients want a number here; an endpoint whose size nobody knows has none to give.
            "context_length": endpoint.facts.context_tokens.or(model.facts.context_tokens).unwrap_or(0),
            "max_prompt_tokens": endpoint.facts.prompt_tokens,
            "max_completion_tokens": endpoint.facts.output_tokens,
            "pricing": pricing(prices.as_ref()),
            "supported_parameters": names(endpoint.facts.parameters),
            "supports_implicit_caching": cached,
            "supports_tool_choice": {
                "auto": chooses, "function": chooses, "none": chooses, "required": chooses,
            },
            "data_policy": {"retains": data.retains(), "trains": data.trains(), "zdr": data.zdr()},
        });
        live.describe(endpoint_tag(id, &endpoint.name), &mut told);
        told
    }
}

fn name_of(model: &Model) -> &str {
    model.facts.name.as_deref().unwrap_or(&model.id)
}

fn names(parameters: Option<Parameters>) -> Vec<&'static str> {
    parameters.unwrap_or_default().iter().map(|one| one.name()).collect()
}

/// What a model reads and writes. Text goes without saying.
fn architecture(model: &Model) -> Value {
    let text = Modalities::of(&[Modality::Text]);
    let list = |set: Option<Modalities>| -> Vec<&'static str> {
        set.unwrap_or(text).iter().map(Modality::name).collect()
    };
    let (input, output) = (list(model.facts.input), list(model.facts.output));
    json!({
        "modality": format!("{}->{}", input.join("+"), output.join("+")),
        "input_modalities": input,
        "output_modalities": output,
        "tokenizer": model.facts.tokenizer.map_or("Other", |one| one.name()),
        "instruct_type": null,
    })
}

/// What the members that must be there say where no price is known: never that it is free. It is what
/// OpenRouter writes where a price depends on what a router model chooses.
const UNKNOWN_PRICE: &str = "-1";

/// Prices as exact decimal texts in USD per unit. `prompt` and `completion` are always there.
fn pricing(prices: Option<&PriceRules>) -> Value {
    let Some(prices) = prices else {
        return json!({"prompt": UNKNOWN_PRICE, "completion": UNKNOWN_PRICE});
    };
    let mut all = price_members(&prices.base);
    for member in ["prompt", "completion"] {
        all.entry(member).or_insert_with(|| UNKNOWN_PRICE.into());
    }
    let rule = |rule: &crate::policy::catalog::PriceRule| {
        let mut members = price_members(&rule.prices);
        let mut conditions = Map::new();
        if let Some(tokens) = rule.above_prompt_tokens {
            conditions.insert("min_prompt_tokens".to_owned(), tokens.into());
        }
        if let Some(window) = rule.window {
            let clock = |minute: u16| Value::from(format!("{:02}{:02}", minute / 60, minute % 60));
            conditions.insert("utc_start".to_owned(), clock(window.start));
            conditions.insert("utc_end".to_owned(), clock(window.end));
        }
        members.insert("conditions".to_owned(), conditions.into());
        Value::Object(members)
    };
    if !prices.rules.is_empty() {
        all.insert("overrides".to_owned(), prices.rules.iter().map(rule).collect());
    }
    Value::Object(all)
}

fn price_members(prices: &Prices) -> Map<String, Value> {
    let members = [
        ("prompt", prices.prompt),
        ("completion", prices.completion),
        ("request", prices.request),
        ("image", prices.image),
        ("audio", prices.audio),
        ("internal_reasoning", prices.reasoning),
        ("input_cache_read", prices.cache_read),
        ("input_cache_write", prices.cache_write),
        ("input_cache_write_1h", prices.cache_write_1h),
    ];
    let known = members.into_iter().filter_map(|(key, amount)| Some((key, amount?)));
    known.map(|(key, amount)| (key.to_owned(), Value::from(amount.as_usd()))).collect()
}
