//! What an answer's usage says of its cost, and the usage event of our own where a provider sends none.
//!
//! The members are OpenRouter's: `cost` is what the caller is charged, in USD; `upstream_inference_cost` is
//! `null` unless the caller's own credential pays the provider, since clients add the two. Amounts are exact
//! decimals. An unknown price is `null` under OpenRouter's path and absent under OpenAI's, never 0.
//! Deliberately absent: the amounts (`bill`), and where in an answer this goes (`pump/closing`).

use crate::base::money::PicoDollars;
use crate::base::record::Usage;
use crate::dialect::Api;
use crate::exchange::bill::Bill;
use crate::exchange::receipt::created;
use crate::wire::journal::Cost;
use crate::wire::json::Quoted;

/// Members of a usage object that the router writes; a provider's own say what somebody else is charged.
pub(in crate::exchange) const MEMBERS: [&[u8]; 3] = [b"cost", b"cost_details", b"is_byok"];

/// Writes the members, each behind a comma; nothing where an unknown price is not spoken of.
pub(in crate::exchange) fn write_members(out: &mut Vec<u8>, bill: &Bill, cost: Option<&Cost>) {
    let amount = |out: &mut Vec<u8>, pico: Option<i64>| match pico {
        Some(pico) => PicoDollars::write_usd(pico, out),
        None => out.extend_from_slice(b"null"),
    };
    if cost.is_none() && !bill.is_openrouter() {
        return;
    }
    out.extend_from_slice(b",\"cost\":");
    amount(out, cost.map(|cost| cost.total));
    out.extend_from_slice(b",\"cost_details\":{\"upstream_inference_cost\":");
    amount(out, cost.filter(|_| bill.is_byok()).map(|cost| cost.upstream));
    out.extend_from_slice(b",\"upstream_inference_prompt_cost\":");
    amount(out, cost.map(|cost| cost.prompt));
    out.extend_from_slice(b",\"upstream_inference_completions_cost\":");
    amount(out, cost.map(|cost| cost.completion));
    out.extend_from_slice(if bill.is_byok() { b"},\"is_byok\":true" } else { b"},\"is_byok\":false" });
}

/// Writes `choices` of a usage event: OpenAI's are empty; OpenRouter repeats the end of the answer in one
/// without content, since many of its clients look at the first choice of every event.
pub(in crate::exchange) fn write_choices(out: &mut Vec<u8>, bill: &Bill, finish_reason: &str) {
    if !bill.is_openrouter() {
        return out.extend_from_slice(b"[]");
    }
    out.extend_from_slice(match bill.api() {
        Api::Completions => b"[{\"index\":0,\"text\":\"\",\"finish_reason\":".as_slice(),
        Api::ChatCompletions | Api::Embeddings => {
            b"[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":"
        }
    });
    let reason = |out: &mut Vec<u8>| match finish_reason {
        "" => out.extend_from_slice(b"null"),
        // It was read between quotes without an escape.
        text => [b"\"", text.as_bytes(), b"\""].iter().for_each(|part| out.extend_from_slice(part)),
    };
    reason(out);
    out.extend_from_slice(b",\"native_finish_reason\":");
    reason(out);
    out.extend_from_slice(b"}]");
}

/// Writes a usage object of our own.
pub(in crate::exchange) fn write_usage(out: &mut Vec<u8>, usage: &Usage, bill: &Bill, cost: Option<&Cost>) {
    let Usage { prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, .. } = usage;
    let text = format!(
        "{{\"prompt_tokens\":{prompt_tokens},\"completion_tokens\":{completion_tokens},\"total_tokens\":{},\
         \"prompt_tokens_details\":{{\"cached_tokens\":{cached_tokens},\
         \"cache_write_tokens\":{cache_write_tokens},\"audio_tokens\":{}}},\
         \"completion_tokens_details\":{{\"reasoning_tokens\":{}}}",
        prompt_tokens.saturating_add(*completion_tokens),
        usage.audio_tokens,
        usage.reasoning_tokens
    );
    out.extend_from_slice(text.as_bytes());
    write_members(out, bill, cost);
    out.push(b'}');
}

/// Writes the beginning of an event of our own, up to its `choices`.
pub(in crate::exchange) fn write_opening(out: &mut Vec<u8>, bill: &Bill, model: &str) {
    let kind = match bill.api() {
        Api::ChatCompletions => "chat.completion.chunk",
        Api::Completions => "text_completion",
        Api::Embeddings => "list",
    };
    let id = bill.id();
    let text = format!(
        "data: {{\"id\":\"{}\",\"object\":\"{kind}\",\"created\":{},\"model\":{},\"choices\":",
        id.as_str(),
        created(id.as_str()),
        Quoted(model)
    );
    out.extend_from_slice(text.as_bytes());
}
