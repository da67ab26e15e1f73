//! Who asks, and `GET /key`: what the caller's key is and has used.
//!
//! Deliberately absent: limits and their resets; no key has any yet, so they are shown as none.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::models::decoded;
use super::{KEY_FIELD, Shared, error};
use crate::control::ledger::read::{Scope, totals};
use crate::control::ledger::{Ledger, LedgerError, Money};
use crate::policy::catalog::AuthMode;

/// Who asks, and the ledger to ask.
pub(super) struct Caller {
    pub(super) ledger: Ledger,
    /// Name of the key; empty without one.
    pub(super) name: String,
    /// SHA-256 of the key; zeros without one, as in records.
    digest: [u8; 32],
    /// May see what everybody has used: a management key, or anybody where nobody has a key.
    is_admin: bool,
    is_management: bool,
    /// Seconds since 1970.
    pub(super) now: u64,
}

impl Caller {
    /// Whose requests the caller may see.
    pub(super) const fn scope(&self) -> Scope {
        if self.is_admin { Scope::All } else { Scope::Key(self.digest) }
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let state = &shared.state;
        let Some(ledger) = state.ledger.clone() else {
            let text = "nothing is recorded here: the ledger is switched off (ledger.enabled)";
            return Err(error(StatusCode::NOT_FOUND, "not_found", text));
        };
        let snapshot = state.snapshot.load();
        let name = parts.headers.get(KEY_FIELD).map(HeaderValue::as_bytes);
        let key = name.and_then(|name| snapshot.keys.iter().find(|key| key.name.as_bytes() == name));
        let is_open = snapshot.auth == AuthMode::Open;
        if key.is_none() && !is_open {
            // It was removed between the worker's look and ours.
            return Err(error(StatusCode::UNAUTHORIZED, "authentication", "the API key is not known here"));
        }
        let is_management = key.is_some_and(|key| key.management);
        Ok(Self {
            ledger,
            name: key.map(|key| key.name.to_string()).unwrap_or_default(),
            digest: key.map(|key| key.sha256).unwrap_or_default(),
            is_admin: is_open || is_management,
            is_management,
            now: (state.now)().0,
        })
    }
}

/// A caller that may see what everybody has used.
pub(super) struct Admin(pub(super) Caller);

impl FromRequestParts<Shared> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let caller = Caller::from_request_parts(parts, shared).await?;
        if caller.is_admin {
            return Ok(Self(caller));
        }
        let text = "this needs a management key: a [[key]] with management = true";
        Err(error(StatusCode::FORBIDDEN, "permission_denied", text))
    }
}

/// The parameters of a query, decoded.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The value of a parameter that is there and not empty.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| &**value)
    }
}

impl FromRequestParts<Shared> for Parameters {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _shared: &Shared) -> Result<Self, Response> {
        let text = parts.uri.query().unwrap_or_default();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        };
        Ok(Self(pairs.map(pair).collect()))
    }
}

/// Asks the ledger where blocking is allowed.
pub(super) async fn asked<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, Response> {
    let failed = |text: String| error(StatusCode::SERVICE_UNAVAILABLE, "server", &text);
    match tokio::task::spawn_blocking(ask).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(flaw)) => Err(failed(format!("the ledger cannot be read now: {flaw}"))),
        Err(_) => Err(failed("the ledger cannot be read now".to_owned())),
    }
}

/// A request that says something wrong.
pub(super) fn bad(message: &str) -> Response {
    error(StatusCode::BAD_REQUEST, "invalid_request", message)
}

/// The envelope of most answers.
#[derive(Serialize)]
pub(super) struct Data<T> {
    pub(super) data: T,
}

#[derive(Serialize)]
struct KeyInfo {
    label: String,
    limit: Option<Money>,
    limit_remaining: Option<Money>,
    limit_reset: Option<&'static str>,
    include_byok_in_limit: bool,
    usage: Money,
    usage_daily: Money,
    usage_weekly: Money,
    usage_monthly: Money,
    byok_usage: Money,
    byok_usage_daily: Money,
    byok_usage_weekly: Money,
    byok_usage_monthly: Money,
    is_free_tier: bool,
    is_management_key: bool,
    is_provisioning_key: bool,
    creator_user_id: Option<&'static str>,
    expires_at: Option<&'static str>,
    rate_limit: RateLimit,
}

/// Deprecated by OpenRouter; its clients still read it.
#[derive(Serialize)]
struct RateLimit {
    requests: i64,
    interval: &'static str,
    note: &'static str,
}

pub(super) async fn key(caller: Caller) -> Response {
    let Caller { ledger, name, digest, is_management, now, .. } = caller;
    let used = asked(move || ledger.read(|connection| totals::of_key(connection, &digest, now))).await;
    let (used, byok) = match used {
        Ok(used) => used,
        Err(response) => return response,
    };
    let rate_limit =
        RateLimit { requests: -1, interval: "10s", note: "This field is deprecated and safe to ignore." };
    Json(Data {
        data: KeyInfo {
            label: name,
            limit: None,
            limit_remaining: None,
            limit_reset: None,
            include_byok_in_limit: false,
            usage: used.all,
            usage_daily: used.day,
            usage_weekly: used.week,
            usage_monthly: used.month,
            byok_usage: byok.all,
            byok_usage_daily: byok.day,
            byok_usage_weekly: byok.week,
            byok_usage_monthly: byok.month,
            is_free_tier: false,
            is_management_key: is_management,
            is_provisioning_key: is_management,
            creator_user_id: None,
            expires_at: None,
            rate_limit,
        },
    })
    .into_response()
}
