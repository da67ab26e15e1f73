//! The paths Millrace answers, matched exactly: no normalisation before or after authentication. Every path
//! exists under `/v1` and under `/api/v1`.
//!
//! Deliberately absent: what is behind a path.

use crate::dialect::Api;
use crate::wire::http1::Method;

/// What a method and path ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surface {
    /// An inference API.
    Inference {
        /// Which.
        api: Api,
        /// Reached under `/api/v1`, as OpenRouter's clients do: they expect usage on every stream.
        openrouter: bool,
    },
    /// Is this process well?
    Health,
    /// Relayed to the control plane.
    Control,
    /// The path exists with another method.
    MethodWrong {
        /// The methods it takes.
        allow: &'static str,
    },
    /// No such path.
    Unknown,
}

/// Matches method and path.
#[must_use]
pub(super) fn surface(method: Method, path: &[u8]) -> Surface {
    // What nearly every request asks for; the general way below would find the same.
    if method == Method::Post && path == b"/v1/chat/completions" {
        return Surface::Inference { api: Api::ChatCompletions, openrouter: false };
    }
    surface_of(method, core::str::from_utf8(path).unwrap_or(""))
}

fn surface_of(method: Method, path: &str) -> Surface {
    let (openrouter, rest) = match path.strip_prefix("/api/v1/") {
        Some(rest) => (true, Some(rest)),
        None => (false, path.strip_prefix("/v1/")),
    };
    let api = match rest {
        Some("chat/completions") => Some(Api::ChatCompletions),
        Some("completions") => Some(Api::Completions),
        Some("embeddings") => Some(Api::Embeddings),
        _ => None,
    };
    let reads = matches!(method, Method::Get | Method::Head);
    if let Some(api) = api {
        return if method == Method::Post {
            Surface::Inference { api, openrouter }
        } else {
            Surface::MethodWrong { allow: "POST" }
        };
    }
    if path == "/healthz" || rest == Some("healthz") {
        return if reads { Surface::Health } else { Surface::MethodWrong { allow: "GET" } };
    }
    match rest {
        Some(rest) if POSTED.contains(&rest) => match method {
            Method::Post => Surface::Control,
            _ => Surface::MethodWrong { allow: "POST" },
        },
        Some(rest) if method == Method::Get && (plain(rest) || is_model(rest)) => Surface::Control,
        Some(rest) if rest == "models" || is_model(rest) => wrong_but_get(),
        None if path == "/metrics" && method == Method::Get => Surface::Control,
        None if path == "/metrics" => wrong_but_get(),
        Some(_) | None => Surface::Unknown,
    }
}

/// Paths of the control plane, behind the version, that take a body with POST.
const POSTED: [&str; 2] = ["analytics/query", "generation/feedback"];

/// Is this path of the control plane sent on with POST, and with its body? It has been matched.
#[must_use]
pub(super) fn is_posted(target: &[u8]) -> bool {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let path = path.strip_prefix(b"/api").unwrap_or(path);
    path.strip_prefix(b"/v1/").is_some_and(|rest| POSTED.iter().any(|posted| posted.as_bytes() == rest))
}

/// Everything else of the control plane only reads.
const fn wrong_but_get() -> Surface {
    Surface::MethodWrong { allow: "GET" }
}

/// `models/<id>`. OpenAI's SDKs write the slash of an id as `%2F`; behind `models/` it can mean nothing else.
fn is_model(path: &str) -> bool {
    path.strip_prefix("models/").is_some_and(|id| plain(&id.replace("%2F", "/").replace("%2f", "/")))
}

/// Only what needs no decoding and cannot climb: letters, digits, `.` `_` `~` `:` `@` `-` in non-empty
/// segments that are not `.` or `..`.
fn plain(path: &str) -> bool {
    path.split('/').all(|segment| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~:@-".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_posted_is_known_by_its_path() {
        for (target, want) in [
            ("/v1/analytics/query", true),
            ("/api/v1/generation/feedback?x=/v1/models", true),
            ("/v1/activity?x=/v1/analytics/query", false),
            ("/v1/models/v1/analytics/query", false),
            ("/analytics/query", false),
        ] {
            assert_eq!(is_posted(target.as_bytes()), want, "{target}");
        }
    }

    #[test]
    fn paths_match_exactly() {
        let chat = |openrouter| Surface::Inference { api: Api::ChatCompletions, openrouter };
        for (method, path, want) in [
            (Method::Post, "/v1/chat/completions", chat(false)),
            (Method::Post, "/api/v1/chat/completions", chat(true)),
            (Method::Post, "/v1/embeddings", Surface::Inference { api: Api::Embeddings, openrouter: false }),
            (
                Method::Post,
                "/v1/completions",
                Surface::Inference { api: Api::Completions, openrouter: false },
            ),
            (Method::Get, "/v1/chat/completions", Surface::MethodWrong { allow: "POST" }),
            (Method::Get, "/healthz", Surface::Health),
            (Method::Get, "/v1/generation", Surface::Control),
            (Method::Post, "/v1/analytics/query", Surface::Control),
            (Method::Post, "/api/v1/generation/feedback", Surface::Control),
            (Method::Get, "/v1/analytics/query", Surface::MethodWrong { allow: "POST" }),
            (Method::Post, "/v1/activity", Surface::Unknown),
            (Method::Head, "/api/v1/healthz", Surface::Health),
            (Method::Post, "/healthz", Surface::MethodWrong { allow: "GET" }),
            (Method::Get, "/v1/models", Surface::Control),
            (Method::Get, "/v1/models/sim/fast", Surface::Control),
            (Method::Get, "/v1/models/sim%2Ffast", Surface::Control),
            (Method::Get, "/v1/models/..%2Fmetrics", Surface::Unknown),
            (Method::Get, "/v1/models/%2Fmetrics", Surface::Unknown),
            (Method::Get, "/v1/sim%2Fstats", Surface::Unknown),
            (Method::Delete, "/v1/models", Surface::MethodWrong { allow: "GET" }),
            (Method::Get, "/metrics", Surface::Control),
            (Method::Post, "/v1/chat/completions/", Surface::Unknown),
            (Method::Post, "/v1/responses", Surface::Unknown),
            (Method::Get, "/v1/../metrics", Surface::Unknown),
            (Method::Get, "/v1/%2e%2e/metrics", Surface::Unknown),
            (Method::Get, "/v1//models", Surface::Unknown),
            (Method::Get, "//v1/models", Surface::Unknown),
            (Method::Post, "/v1%2fchat/completions", Surface::Unknown),
            (Method::Get, "/", Surface::Unknown),
        ] {
            assert_eq!(surface(method, path.as_bytes()), want, "{method:?} {path}");
            assert_eq!(surface_of(method, path), want, "{method:?} {path}");
        }
    }
}
