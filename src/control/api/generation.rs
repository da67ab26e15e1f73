//! `GET /generation` and `POST /generation/feedback`: one request, by our id or the provider's.
//!
//! The members are OpenRouter's; what it has no member for stands in `millrace`.
//! Deliberately absent: content; nobody has kept it.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::error;
use super::key::{Caller, Data, Parameters, asked, bad};
use crate::control::calendar::rfc3339;
use crate::control::config::shipped_provider_name;
use crate::control::ledger::Money;
use crate::control::ledger::read::{Attempted, Feedback, Generation, is_open, user_text};
use crate::wire::journal::Flags;

/// What feedback may be about.
const CATEGORIES: [&str; 7] =
    ["latency", "incoherence", "incorrect_response", "formatting", "billing", "api_error", "other"];
/// Most characters of a comment.
const COMMENT_MAX: usize = 1_000;

#[derive(Serialize)]
struct Item {
    id: String,
    request_id: String,
    upstream_id: Option<String>,
    model: String,
    provider_name: String,
    router: Option<&'static str>,
    api_type: &'static str,
    created_at: String,
    streamed: bool,
    cancelled: bool,
    finish_reason: Option<String>,
    native_finish_reason: Option<String>,
    latency: Option<f64>,
    generation_time: Option<f64>,
    moderation_latency: Option<f64>,
    tokens_prompt: i64,
    tokens_completion: i64,
    native_tokens_prompt: i64,
    native_tokens_completion: i64,
    native_tokens_reasoning: i64,
    native_tokens_cached: i64,
    native_tokens_completion_images: Option<i64>,
    num_media_prompt: i64,
    num_media_completion: Option<i64>,
    num_input_audio_prompt: Option<i64>,
    num_search_results: Option<i64>,
    num_fetches: Option<i64>,
    web_search_engine: Option<&'static str>,
    usage: Option<Money>,
    total_cost: Option<Money>,
    upstream_inference_cost: Option<Money>,
    cache_discount: Option<Money>,
    is_byok: bool,
    service_tier: Option<String>,
    data_region: &'static str,
    session_id: Option<&'static str>,
    external_user: Option<String>,
    preset_id: Option<&'static str>,
    app_id: Option<i64>,
    http_referer: Option<&'static str>,
    origin: &'static str,
    user_agent: Option<&'static str>,
    workspace_id: Option<String>,
    response_cache_source_id: Option<&'static str>,
    provider_responses: Vec<Answered>,
    millrace: Own,
}

/// One attempt. OpenRouter's clients refuse a `null` where these two are unknown: there is nothing then.
#[derive(Serialize)]
struct Answered {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    endpoint_id: String,
    model_permaslug: String,
    provider_name: String,
    status: Option<u16>,
    latency: f64,
    is_byok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    routed_service_tier: Option<String>,
    fault: Option<String>,
    billed: &'static str,
    hedged: bool,
    began: f64,
    tokens_prompt: i64,
    tokens_completion: i64,
    cost: Option<Money>,
}

/// What only this router says.
#[derive(Serialize)]
struct Own {
    key: String,
    endpoint: String,
    ended_at: String,
    ending: &'static str,
    fault: Option<String>,
    status: u16,
    usage_source: &'static str,
    counted_tokens: i64,
    tokens_cache_write: i64,
    tokens_audio: i64,
    upstream_cost: Option<Money>,
    prompt_cost: Option<Money>,
    completion_cost: Option<Money>,
    price_version: u64,
    unpriced: bool,
    insured: bool,
    drained: bool,
    answer_bytes: i64,
}

fn some(text: String) -> Option<String> {
    if text.is_empty() { None } else { Some(text) }
}

fn provider_name(id: &str) -> String {
    shipped_provider_name(id).unwrap_or(id).to_owned()
}

fn millis(micros: i64) -> f64 {
    micros as f64 / 1_000.0
}

impl From<Generation> for Item {
    fn from(row: Generation) -> Self {
        let (is_byok, first) = (row.flags.has(Flags::BYOK), row.first_byte_micros);
        let amount = |pico: i64| row.priced(pico).map(Money::from);
        let answered = row.attempts.iter().map(|attempt| Answered::new(attempt, &row)).collect();
        let finish_reason = some(row.finish_reason.clone());
        Self {
            request_id: row.id.clone(),
            upstream_id: some(row.upstream_id.clone()),
            provider_name: provider_name(&row.provider),
            router: None,
            api_type: if row.api == "embeddings" { "embeddings" } else { "completions" },
            created_at: rfc3339(row.created_at),
            streamed: row.flags.has(Flags::STREAMED),
            cancelled: row.ending_word() == "client-gone",
            native_finish_reason: finish_reason.clone(),
            finish_reason,
            latency: (first > 0).then(|| millis(first)),
            generation_time: (first > 0).then(|| millis((row.took_micros - first).max(0))),
            moderation_latency: None,
            tokens_prompt: row.prompt_tokens,
            tokens_completion: row.completion_tokens,
            native_tokens_prompt: row.prompt_tokens,
            native_tokens_completion: row.completion_tokens,
            native_tokens_reasoning: row.reasoning_tokens,
            native_tokens_cached: row.cached_tokens,
            native_tokens_completion_images: None,
            num_media_prompt: row.images,
            num_media_completion: None,
            num_input_audio_prompt: None,
            num_search_results: None,
            num_fetches: None,
            web_search_engine: None,
            usage: amount(row.cost),
            total_cost: amount(row.cost),
            // As in the usage of answers: only of the caller's own credential, else clients count it twice.
            upstream_inference_cost: if is_byok { amount(row.upstream_cost) } else { None },
            cache_discount: amount(row.cache_discount),
            is_byok,
            service_tier: some(row.service_tier.clone()),
            data_region: "global",
            session_id: None,
            external_user: user_text(row.user),
            preset_id: None,
            app_id: None,
            http_referer: None,
            origin: "",
            user_agent: None,
            workspace_id: some(row.team.clone()),
            response_cache_source_id: None,
            provider_responses: answered,
            millrace: Own::new(&row),
            model: row.model,
            id: row.id,
        }
    }
}

impl Answered {
    fn new(attempt: &Attempted, row: &Generation) -> Self {
        let served = attempt.fault.is_empty();
        Self {
            id: if served { some(row.upstream_id.clone()) } else { None },
            endpoint_id: attempt.endpoint.clone(),
            model_permaslug: row.model.clone(),
            provider_name: provider_name(&attempt.provider),
            status: (attempt.status > 0).then_some(attempt.status),
            latency: millis(attempt.took_micros),
            is_byok: row.flags.has(Flags::BYOK),
            routed_service_tier: if served { some(row.service_tier.clone()) } else { None },
            fault: some(attempt.fault.clone()),
            billed: attempt.billed,
            hedged: attempt.hedged,
            began: millis(attempt.began_micros),
            tokens_prompt: attempt.prompt_tokens,
            tokens_completion: attempt.completion_tokens,
            cost: row.priced(attempt.cost).map(Money::from),
        }
    }
}

impl Own {
    fn new(row: &Generation) -> Self {
        let amount = |pico: i64| row.priced(pico).map(Money::from);
        Self {
            key: row.key.clone(),
            endpoint: row.endpoint.clone(),
            ended_at: rfc3339(row.ended_at),
            ending: row.ending_word(),
            fault: some(row.fault.clone()),
            status: row.status,
            usage_source: row.source_word(),
            counted_tokens: row.counted_tokens,
            tokens_cache_write: row.cache_write_tokens,
            tokens_audio: row.audio_tokens,
            upstream_cost: amount(row.upstream_cost),
            prompt_cost: amount(row.prompt_cost),
            completion_cost: amount(row.completion_cost),
            price_version: row.price_version,
            unpriced: row.flags.has(Flags::UNPRICED),
            insured: row.flags.has(Flags::INSURED),
            drained: row.flags.has(Flags::DRAINED),
            answer_bytes: row.answer_bytes,
        }
    }
}

pub(super) async fn one(caller: Caller, parameters: Parameters) -> Response {
    let Some(id) = parameters.value("id").map(str::to_owned) else {
        return bad("id: expected the id of a generation, ours or the provider's");
    };
    match found(caller, id).await {
        Ok((_, found)) => Json(Data { data: Item::from(found) }).into_response(),
        Err(response) => response,
    }
}

/// The request, or why it is not shown. One of another key is not there.
async fn found(caller: Caller, id: String) -> Result<(Caller, Generation), Response> {
    let (ledger, scope) = (caller.ledger.clone(), caller.scope());
    let asked_id = id.clone();
    let (found, open) = asked(move || {
        let found = ledger.generation(&asked_id, &scope)?;
        let open = found.is_none() && ledger.read(|connection| is_open(connection, &asked_id))?;
        Ok((found, open))
    })
    .await?;
    match found {
        Some(found) => Ok((caller, found)),
        None if open => {
            Err(error(StatusCode::NOT_FOUND, "not_found", &format!("generation {id} is still under way")))
        }
        None => Err(error(StatusCode::NOT_FOUND, "not_found", &format!("generation {id} is not known here"))),
    }
}

pub(super) async fn feedback(caller: Caller, body: String) -> Response {
    let (id, category, comment) = match read_feedback(&body) {
        Ok(read) => read,
        Err(wrong) => return bad(&wrong),
    };
    let (caller, found) = match found(caller, id).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let feedback = Feedback { id: found.id, at: caller.now, key: caller.name, category, comment };
    match asked(move || caller.ledger.feedback(feedback)).await {
        Ok(()) => Json(json!({"data": {"success": true}})).into_response(),
        Err(response) => response,
    }
}

fn read_feedback(body: &str) -> Result<(String, String, String), String> {
    let body: Value = serde_json::from_str(body).map_err(|flaw| format!("the body: {flaw}"))?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let id = text("generation_id");
    if id.is_empty() {
        return Err("generation_id: expected the id of a generation".to_owned());
    }
    let category = text("category");
    if !CATEGORIES.contains(&&*category) {
        return Err(format!("category: expected one of {}", CATEGORIES.join(", ")));
    }
    let comment = match body.get("comment") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(comment)) if comment.chars().count() <= COMMENT_MAX => comment.clone(),
        Some(_) => return Err(format!("comment: expected a text of at most {COMMENT_MAX} characters")),
    };
    Ok((id, category, comment))
}
