//! Answers of our own: the only place where a status is chosen, and the only place where error bodies are
//! written.
//!
//! Bodies have OpenRouter's shape (`error.code`, `error.message`, `error.metadata.error_type`) and carry
//! `error.type` besides, which OpenAI's SDKs read. Texts contain nothing of a key and of the input only a
//! model's name.
//! Deliberately absent: when to answer.

use crate::base::fault::{DeadlineKind, Fault};
use crate::exchange::availability::Availability;
use crate::exchange::receipt;
use crate::policy::auth::Denied;
use crate::policy::prefs::BadPreference;
use crate::policy::variant::Unserved;
use crate::wire::flaw::Flaw;

/// Why Millrace itself says no, or what it says by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes are not acceptable.
    Flaw(Flaw),
    /// No or an unknown key.
    Denied(Denied),
    /// No such path.
    PathUnknown,
    /// The path exists, with this other method.
    MethodWrong {
        /// What is allowed.
        allow: &'static str,
    },
    /// The requested model is not configured.
    ModelUnknown {
        /// As asked for.
        model: String,
    },
    /// The request allows none of the models that `millrace/auto` chooses from.
    NoneAllowed,
    /// A member of `provider`, or one beside it, is malformed.
    Preference(BadPreference),
    /// A model's suffix asks for what cannot be served.
    Variant(Unserved),
    /// Every endpoint is excluded by a filter.
    Unavailable(Availability),
    /// The core holds as many request bytes as it may.
    Busy,
    /// The journal has no room for the request's records.
    LedgerFull,
    /// The client was too slow.
    Slow(DeadlineKind),
    /// Every candidate failed; this was the last fault.
    Exhausted {
        /// The last fault.
        fault: Fault,
        /// Smallest `Retry-After` of all attempts, in seconds.
        retry_after: Option<u32>,
        /// What was tried, as `X-Millrace-Attempts` tells it.
        attempts: String,
    },
}

/// Status, error type and message of a refusal.
struct Words {
    status: u16,
    kind: &'static str,
    message: String,
}

/// The status a client sees for bytes that are not acceptable. RFC 9110 and RFC 9112 name the 414, 417, 431,
/// 501 and 505; everything else that is malformed is a 400.
#[must_use]
pub const fn flaw_status(flaw: Flaw) -> u16 {
    match flaw {
        Flaw::RequestLineTooLong => 414,
        Flaw::MethodUnknown => 501,
        Flaw::Version => 505,
        Flaw::TooManyFields | Flaw::HeadTooLong => 431,
        Flaw::TransferEncodingUnknown => 501,
        Flaw::Expectation => 417,
        Flaw::BodyTooLarge => 413,
        Flaw::ContentEncoding => 415,
        Flaw::RequestLine
        | Flaw::Target
        | Flaw::Field
        | Flaw::LineEnd
        | Flaw::Folded
        | Flaw::Host
        | Flaw::ContentLength
        | Flaw::TransferEncoding
        | Flaw::LengthAndChunked
        | Flaw::Underscore
        | Flaw::RepeatedField
        | Flaw::ConnectionOption
        | Flaw::StatusLine
        | Flaw::Upgrade
        | Flaw::ChunkSize
        | Flaw::ChunkExtension
        | Flaw::ChunkEnd
        | Flaw::Trailer
        | Flaw::BodyMissing
        | Flaw::Json
        | Flaw::JsonDepth
        | Flaw::JsonMembers
        | Flaw::JsonDuplicateKey
        | Flaw::JsonEscapedKey
        | Flaw::Model
        | Flaw::Models
        | Flaw::Stream
        | Flaw::StreamOptions
        | Flaw::MaxTokens
        | Flaw::SessionId => 400,
    }
}

/// The status a client sees when the last candidate failed with this fault. A provider's 401 or 403 is about
/// our credential, not the client's, so it becomes a 502.
#[must_use]
pub const fn fault_status(fault: Fault) -> u16 {
    match fault {
        Fault::ClientGone => 499,
        Fault::Draining | Fault::Outrun => 503,
        Fault::Deadline(kind) => match kind {
            DeadlineKind::ClientIdle
            | DeadlineKind::ClientHead
            | DeadlineKind::ClientBody
            | DeadlineKind::ClientSend => 408,
            DeadlineKind::Connect => 502,
            DeadlineKind::ResponseHead
            | DeadlineKind::FirstEvent
            | DeadlineKind::Idle
            | DeadlineKind::Total => 504,
        },
        Fault::ConnectRefused
        | Fault::NameUnresolved
        | Fault::TlsHandshake
        | Fault::ResetBeforeAnswer { .. }
        | Fault::BadHead
        | Fault::BadFraming
        | Fault::Truncated
        | Fault::BadContent => 502,
        Fault::Status(status) => match status {
            400 | 404 | 405 | 409 | 413 | 415 | 422 | 429 => status,
            503 | 529 => 503,
            504 | 524 => 504,
            500 => 500,
            _ => 502,
        },
    }
}

/// The text for a fault: what happened at the provider, without its name or its own words.
#[must_use]
pub const fn fault_text(fault: Fault) -> &'static str {
    match fault {
        Fault::ClientGone => "the client closed the connection",
        Fault::Draining => "the router is shutting down; repeat the request",
        Fault::Outrun => "another attempt of the request answered first",
        Fault::Deadline(kind) => match kind {
            DeadlineKind::ClientIdle => "the connection was idle for too long",
            DeadlineKind::ClientHead => "the request head did not arrive in time",
            DeadlineKind::ClientBody => "the request body did not arrive in time",
            DeadlineKind::ClientSend => "the client did not read the answer in time",
            DeadlineKind::Connect => "the provider could not be reached in time",
            DeadlineKind::ResponseHead => "the provider did not answer in time",
            DeadlineKind::FirstEvent => "the provider did not begin its answer in time",
            DeadlineKind::Idle => "the provider stopped sending in the middle of its answer",
            DeadlineKind::Total => "the request took longer than allowed",
        },
        Fault::ConnectRefused => "the provider refused the connection",
        Fault::NameUnresolved => "the provider's host name has no address",
        Fault::TlsHandshake => "no trusted TLS connection to the provider could be made",
        Fault::ResetBeforeAnswer { .. } => "the provider closed the connection without an answer",
        Fault::BadHead => "the provider's answer is not valid HTTP",
        Fault::BadFraming => "the framing of the provider's answer is broken",
        Fault::Truncated => "the provider's answer ended before it was complete",
        Fault::BadContent => "the provider's answer has no usable content",
        Fault::Status(429) => "the provider's rate limit is reached",
        Fault::Status(503 | 529) => "the provider is overloaded",
        Fault::Status(_) => "the provider returned an error",
    }
}

/// OpenRouter's `error_type` for a status.
#[must_use]
pub const fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication",
        402 => "payment_required",
        403 => "permission_denied",
        404 => "not_found",
        408 | 504 => "timeout",
        413 => "payload_too_large",
        422 => "unprocessable",
        429 => "rate_limit_exceeded",
        500 => "server",
        502 => "provider_unavailable",
        503 => "provider_overloaded",
        _ => "invalid_request",
    }
}

fn words(refusal: &Refusal) -> Words {
    let (status, message) = match refusal {
        Refusal::Flaw(flaw) => (flaw_status(*flaw), flaw.text().to_owned()),
        Refusal::Denied(Denied::Missing) => {
            (401, "no API key; send Authorization: Bearer <key> or x-api-key: <key>".to_owned())
        }
        Refusal::Denied(Denied::Unknown) => (401, "the API key is not known here".to_owned()),
        Refusal::Denied(Denied::Management) => {
            (403, "this is a management key, which is not for inference; use another key".to_owned())
        }
        Refusal::PathUnknown => (
            404,
            "no such path; inference is under /v1/chat/completions, /v1/completions and /v1/embeddings"
                .to_owned(),
        ),
        Refusal::MethodWrong { allow } => (405, format!("this path takes {allow}")),
        Refusal::ModelUnknown { model } => {
            (400, format!("{model} is not a valid model ID; GET /v1/models lists what is configured"))
        }
        Refusal::NoneAllowed => (404, "No models match your request and model restrictions".to_owned()),
        Refusal::Preference(BadPreference { field, allowed }) => (400, format!("{field} must be {allowed}")),
        Refusal::Variant(unserved) => (400, unserved.text().to_owned()),
        Refusal::Unavailable(availability) => (availability.status(), availability.message()),
        Refusal::Busy => {
            (503, "the router holds as many request bytes as it may; repeat the request".to_owned())
        }
        Refusal::LedgerFull => (503, "the router's ledger has no room for a request; repeat it".to_owned()),
        Refusal::Slow(kind) => (408, fault_text(Fault::Deadline(*kind)).to_owned()),
        Refusal::Exhausted { fault, .. } => (fault_status(*fault), fault_text(*fault).to_owned()),
    };
    Words { status, kind: error_type(status), message }
}

/// The status of a refusal.
#[must_use]
pub fn status(refusal: &Refusal) -> u16 {
    match refusal {
        Refusal::Flaw(flaw) => flaw_status(*flaw),
        other => words(other).status,
    }
}

/// Appends the JSON body of a refusal.
pub fn write_body(out: &mut Vec<u8>, refusal: &Refusal) {
    let Words { status, kind, message } = words(refusal);
    let extra = match refusal {
        Refusal::ModelUnknown { .. } => {
            ",\"availability\":{\"code\":\"model_not_found\",\"retryable\":false}".to_owned()
        }
        Refusal::Unavailable(availability) => format!(",\"availability\":{}", availability.json()),
        _ => String::new(),
    };
    let param = match refusal {
        Refusal::Preference(bad) => format!("\"{}\"", bad.field),
        _ => "null".to_owned(),
    };
    let metadata = match refusal {
        Refusal::Unavailable(Availability { metadata: Some(object), .. }) => {
            format!(",\"openrouter_metadata\":{object}")
        }
        _ => String::new(),
    };
    out.extend_from_slice(b"{\"error\":{\"message\":\"");
    write_json_text(out, &message);
    out.extend_from_slice(
        format!(
            "\",\"code\":{status},\"type\":\"{kind}\",\"param\":{param},\
             \"metadata\":{{\"error_type\":\"{kind}\"}}{extra}}}{metadata}}}"
        )
        .as_bytes(),
    );
}

/// Appends the in-band error event of a chat stream that has begun: OpenRouter's shape, one chunk with a
/// top-level `error` and a `finish_reason` of `error`. No `[DONE]` follows: the answer is not complete.
pub fn write_error_event(out: &mut Vec<u8>, id: &str, fault: Fault) {
    let status = fault_status(fault);
    let (kind, text) = (error_type(status), fault_text(fault));
    let created = receipt::created(id);
    out.extend_from_slice(
        format!(
            "data: {{\"id\":\"{id}\",\"object\":\"chat.completion.chunk\",\"created\":{created},\
             \"model\":\"\",\"error\":{{\"code\":{status},\"message\":\"{text}\",\
             \"metadata\":{{\"error_type\":\"{kind}\"}}}},\
             \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"\"}},\"finish_reason\":\"error\"}}]}}\n\n"
        )
        .as_bytes(),
    );
}

/// Appends `text` as the inside of a JSON string.
pub(super) fn write_json_text(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flaw_has_a_client_status_and_a_json_body() {
        for flaw in Flaw::ALL {
            let refusal = Refusal::Flaw(*flaw);
            let mut body = Vec::new();
            write_body(&mut body, &refusal);
            let json: serde_json::Value = serde_json::from_slice(&body).expect("valid JSON");
            let code = json["error"]["code"].as_u64().expect("code");
            assert_eq!(code, u64::from(status(&refusal)));
            assert!((400..=505).contains(&code), "{flaw:?}");
            assert!(json["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
        }
    }

    #[test]
    fn a_hostile_model_name_stays_a_string() {
        let mut body = Vec::new();
        write_body(&mut body, &Refusal::ModelUnknown { model: "a\"},\n{\\".to_owned() });
        let json: serde_json::Value = serde_json::from_slice(&body).expect("valid JSON");
        assert!(json["error"]["message"].as_str().is_some_and(|text| text.starts_with("a\"},\n{\\ is not")));
        assert_eq!(json["error"]["availability"]["code"], "model_not_found");
    }

    #[test]
    fn the_error_event_is_one_event_of_valid_json() {
        let mut out = Vec::new();
        write_error_event(&mut out, "gen-1", Fault::Truncated);
        let text = String::from_utf8(out).expect("UTF-8");
        let json = text.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n")).expect("one event");
        let json: serde_json::Value = serde_json::from_str(json).expect("valid JSON");
        assert_eq!(json["error"]["code"], 502);
        assert_eq!(json["choices"][0]["finish_reason"], "error");
    }

    #[test]
    fn a_providers_authentication_failure_is_not_the_clients() {
        assert_eq!(fault_status(Fault::Status(401)), 502);
        assert_eq!(fault_status(Fault::Status(429)), 429);
    }
}
