//! Which HTTP status an error object stands for, when it comes inside a 200: providers write it as a number,
//! as a number in quotes, or as one of many names.
//!
//! Deliberately absent: what to do about it (`policy/retry`), and the message (nobody may match on prose).

use simd_json::BorrowedValue;
use simd_json::prelude::*;

use crate::base::span::Span;
use crate::wire::json::scan::unsigned;

/// An error that says nothing about itself: the provider failed.
const UNNAMED: u16 = 500;

/// Names in use, compared without case: OpenAI's codes and types, OpenRouter's `error_type`, Anthropic's
/// types and Google's states where compatible servers pass them on, and exception names of vLLM.
pub(super) const NAMES: &[(&str, u16)] = &[
    ("api_error", 500),
    ("authentication", 401),
    ("authentication_error", 401),
    ("bad_request", 400),
    ("BadRequestError", 400),
    ("billing_error", 402),
    ("content_filter", 400),
    ("content_policy_violation", 400),
    ("context_length_exceeded", 400),
    ("DEADLINE_EXCEEDED", 504),
    ("engine_overloaded", 503),
    ("engine_overloaded_error", 503),
    ("image_not_found", 404),
    ("insufficient_quota", 429),
    ("INTERNAL", 500),
    ("internal_error", 500),
    ("internal_server_error", 500),
    ("InternalServerError", 500),
    ("invalid_api_key", 401),
    ("INVALID_ARGUMENT", 400),
    ("invalid_prompt", 400),
    ("invalid_request", 400),
    ("invalid_request_error", 400),
    ("max_tokens_exceeded", 400),
    ("model_not_found", 404),
    ("not_found", 404),
    ("not_found_error", 404),
    ("NotFoundError", 404),
    ("overloaded", 503),
    ("overloaded_error", 529),
    ("payload_too_large", 413),
    ("payment_required", 402),
    ("permission_denied", 403),
    ("permission_error", 403),
    ("precondition_failed", 412),
    ("provider_overloaded", 503),
    ("provider_unavailable", 502),
    ("rate_limit_error", 429),
    ("rate_limit_exceeded", 429),
    ("RateLimitError", 429),
    ("refusal", 400),
    ("request_too_large", 413),
    ("requests", 429),
    ("RESOURCE_EXHAUSTED", 429),
    ("server", 500),
    ("server_error", 500),
    ("service_unavailable", 503),
    ("ServiceUnavailableError", 503),
    ("string_too_long", 400),
    ("timeout", 504),
    ("timeout_error", 504),
    ("token_limit_exceeded", 400),
    ("tokens", 429),
    ("too_many_requests", 429),
    ("UNAUTHENTICATED", 401),
    ("unauthorized", 401),
    ("UNAVAILABLE", 503),
    ("unprocessable", 422),
];

/// Longest error object that is looked into, in bytes; a longer one is an error that names nothing.
const OBJECT_BYTES: usize = 64 * 1024;

/// The status of the value of an `error` member (or of an object that is the error itself). `None` when the
/// value says that there is no error: `null`, `false` or an empty string. Errors are rare and small, so a
/// copy is parsed in full, escapes and all.
pub(super) fn status(text: &[u8], value: Span) -> Option<u16> {
    let raw = value.of(text);
    if matches!(raw, b"null" | b"false" | b"\"\"") {
        return None;
    }
    if raw.len() > OBJECT_BYTES {
        return Some(UNNAMED);
    }
    let mut copy = raw.to_vec();
    let Ok(error) = simd_json::to_borrowed_value(&mut copy) else { return Some(UNNAMED) };
    if error.as_object().is_none() {
        return Some(number(&error).or_else(|| named(&error)).unwrap_or(UNNAMED));
    }
    let mut best = Best { rank: u8::MAX, status: UNNAMED };
    best.read(&error);
    Some(best.status)
}

/// The most telling member so far. Ranks, best first: a number under `code`, a number elsewhere, a name under
/// `code`, an `error_type`, a `status`, a `type` (OpenAI's `type` is only the family).
struct Best {
    rank: u8,
    status: u16,
}

impl Best {
    fn read(&mut self, error: &BorrowedValue<'_>) {
        self.offer(0, error.get("code").and_then(number));
        self.offer(1, error.get("http_status").and_then(number));
        self.offer(1, error.get("status_code").and_then(number));
        self.offer(1, error.get("status").and_then(number));
        self.offer(2, error.get("code").and_then(named));
        self.offer(3, error.get("error_type").and_then(named));
        // OpenRouter's place for `error_type`; what else is in there belongs to the provider behind it.
        self.offer(3, error.get("metadata").and_then(|metadata| metadata.get("error_type")).and_then(named));
        self.offer(4, error.get("status").and_then(named));
        self.offer(5, error.get("type").and_then(named));
    }

    fn offer(&mut self, rank: u8, status: Option<u16>) {
        if let Some(status) = status
            && rank < self.rank
        {
            *self = Self { rank, status };
        }
    }
}

/// A status written as a number, with or without quotes. Numbers that are no error status are some provider's
/// own.
fn number(value: &BorrowedValue<'_>) -> Option<u16> {
    let status = value.as_u64().or_else(|| unsigned(value.as_str()?.as_bytes()))?;
    u16::try_from(status).ok().filter(|status| (400..=599).contains(status))
}

fn named(value: &BorrowedValue<'_>) -> Option<u16> {
    let name = value.as_str()?;
    let known = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.map(|(_, status)| *status)
}
