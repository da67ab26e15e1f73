//! The control API: what Millrace itself answers behind its public port. Workers relay every path that is no
//! inference here, over loopback, like to any other upstream.
//!
//! | path | answer |
//! |---|---|
//! | `GET /v1/models`, `/v1/models/user` | the models that the caller can use; `?all=true`: every known one |
//! | `GET /v1/models/count` | how many there are |
//! | `GET /v1/models/{id}` | one model; the id may hold slashes, plain or as `%2F` |
//! | `GET /v1/models/{id}/endpoints` | its endpoints |
//! | `GET /v1/model/{id}` | one model in OpenRouter's envelope |
//! | `GET /v1/providers` | the providers |
//! | `GET /v1/endpoints/zdr` | the endpoints with zero data retention |
//! | `GET /v1/sim/stats` | the simulator's counters, when it runs |
//! | `GET /v1/generation?id=` | one request, by our id or the provider's |
//! | `POST /v1/generation/feedback` | what somebody says about it |
//! | `GET /v1/key` | what the caller's key has used |
//! | `GET /v1/activity` | what was used each day; needs a management key, as do the next ones |
//! | `GET /v1/credits` | what everything has cost |
//! | `GET /v1/analytics/meta`, `POST /v1/analytics/query` | questions about anything that was used |
//! | `GET /metrics` | counters and gauges in Prometheus' text format |
//!
//! All but the last are there under `/api/v1` too. Every request must carry the token that only the workers
//! of this process know; without it nothing exists here.
//! Deliberately absent: the texts of client keys (the worker has checked them), TLS, and the public port.

mod activity;
mod analytics;
mod credits;
mod generation;
mod health;
mod journal;
mod key;
#[cfg(test)]
mod ledger_tests;
mod live;
mod metrics;
mod models;
#[cfg(test)]
mod models_tests;
#[cfg(test)]
mod tests;

use core::net::{Ipv4Addr, SocketAddr};
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use live::Watch;

use crate::base::ids::KeyId;
use crate::base::metrics::Counters;
use crate::base::secret::Secret;
use crate::base::time::UnixSeconds;
use crate::control::ledger::Ledger;
use crate::control::sim::Seen;
use crate::policy::catalog::Snapshot;
use crate::policy::health::board::Board;
use crate::wire::journal::marks::Marks;

/// The field that carries the internal token. Workers drop it from clients' requests and set their own.
pub const TOKEN_FIELD: &str = "x-millrace-internal";

/// The field in which a worker names the client's key, when there is one. It comes from nobody else.
pub const KEY_FIELD: &str = "x-millrace-key";

/// Random bytes of a token; its text is twice as long.
const TOKEN_BYTES: usize = 32;

/// What the API reads. Everything in it is shared; only feedback is written, by the ledger.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// The current snapshot.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// All models, those at providers that are not configured too. Nothing is sent there.
    pub complete: Arc<Snapshot>,
    /// The counters of every core.
    pub counters: Vec<Arc<Counters>>,
    /// What the cores know of the endpoints.
    pub health: Arc<Board>,
    /// The simulator's counters, when it runs.
    pub sim: Option<Arc<Seen>>,
    /// When this process started: the `created` of every model, because nothing better is known.
    pub started: UnixSeconds,
    /// What was recorded; `None` when nothing is.
    pub ledger: Option<Ledger>,
    /// The journals of the cores; none when nothing is recorded.
    pub journals: Vec<Arc<Marks>>,
    /// The wall clock.
    pub now: fn() -> UnixSeconds,
}

/// The running API. Dropping it closes the listener.
#[derive(Debug)]
pub struct Api {
    /// Where it listens: loopback, an ephemeral port.
    pub address: SocketAddr,
    /// The value of [`TOKEN_FIELD`] it demands.
    pub token: Secret,
    serving: AbortHandle,
    /// The history of endpoints.
    watching: AbortHandle,
}

/// Starts the API on the current tokio runtime, with a fresh token.
///
/// # Errors
/// When no loopback port can be bound or the kernel gives no random bytes.
pub async fn start(state: ApiState) -> io::Result<Api> {
    let mut random = [0_u8; TOKEN_BYTES];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    // A socket that refuses the option is already dead, and serving it ends by itself.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let watch = Watch::new(&state.health);
    let watching = tokio::spawn(watch.clone().run()).abort_handle();
    let router = router(Shared { state, watch }, Secret::new(token.as_str()));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
    Ok(Api { address, token: Secret::new(token), serving, watching })
}

impl Drop for Api {
    fn drop(&mut self) {
        self.serving.abort();
        self.watching.abort();
    }
}

/// What the handlers read.
#[derive(Clone, Debug)]
struct Shared {
    state: ApiState,
    watch: Watch,
}

fn router(state: Shared, token: Secret) -> Router {
    let shared = Router::new()
        .route("/models", get(list))
        .route("/models/count", get(count))
        .route("/models/user", get(list))
        .route("/models/{*id}", get(one))
        .route("/model/{*id}", get(model))
        .route("/providers", get(providers))
        .route("/endpoints/zdr", get(zdr))
        .route("/sim/stats", get(simulator))
        .route("/generation", get(generation::one))
        .route("/generation/feedback", post(generation::feedback))
        .route("/activity", get(activity::list))
        .route("/analytics/meta", get(analytics::meta))
        .route("/analytics/query", post(analytics::query))
        .route("/credits", get(credits::credits))
        // The second one is an older name that clients still use.
        .route("/key", get(key::key))
        .route("/auth/key", get(key::key));
    let paths = Router::new()
        .nest("/v1", shared.clone())
        .nest("/api/v1", shared)
        .route("/metrics", get(metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .with_state(state);
    // The check stands around the whole router, not inside: a layer on the routes would run before axum adds
    // `Allow` to the answer, and so tell strangers which paths exist.
    let check = middleware::from_fn_with_state(Arc::new(token), demand_token);
    Router::new().fallback_service(paths).layer(check)
}

/// What a request for models is answered from: which snapshot, for whom, in which selection.
struct Asked {
    snapshot: Arc<Snapshot>,
    key: Option<KeyId>,
    started: UnixSeconds,
    query: models::Query,
}

impl Asked {
    fn view(&self) -> models::View<'_> {
        models::View { snapshot: &self.snapshot, key: self.key, started: self.started }
    }
}

impl FromRequestParts<Shared> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let state = &shared.state;
        let text = parts.uri.query().unwrap_or_default();
        let mut query = models::Query::read(text)
            .map_err(|message| error(StatusCode::BAD_REQUEST, "invalid_request", &message))?;
        query.anthropic |= parts.headers.contains_key("anthropic-version");
        let snapshot = if query.all { Arc::clone(&state.complete) } else { state.snapshot.load_full() };
        let name = parts.headers.get(KEY_FIELD).map(HeaderValue::as_bytes);
        let row = name.and_then(|name| snapshot.keys.iter().position(|key| key.name.as_bytes() == name));
        let key = row.and_then(|row| u32::try_from(row).ok()).map(KeyId);
        Ok(Self { snapshot, key, started: state.started, query })
    }
}

async fn list(asked: Asked) -> Json<Value> {
    let (view, query) = (asked.view(), &asked.query);
    Json(if query.anthropic { view.anthropic_list(query) } else { view.list(query) })
}

async fn count(asked: Asked) -> Json<Value> {
    Json(asked.view().count(&asked.query))
}

/// One model, or its endpoints: an id may hold slashes, so the path is cut here.
async fn one(Path(path): Path<String>, State(shared): State<Shared>, asked: Asked) -> Response {
    if let Some(id) = path.strip_suffix("/endpoints") {
        return found(asked.view().endpoints_of(id, &shared.watch.read()), id);
    }
    found(asked.view().one(&path), &path)
}

/// As [`one`], in OpenRouter's envelope.
async fn model(Path(id): Path<String>, asked: Asked) -> Response {
    found(asked.view().one(&id).map(|model| json!({"data": model})), &id)
}

fn found(answer: Option<Value>, id: &str) -> Response {
    match answer {
        Some(answer) => Json(answer).into_response(),
        None => error(StatusCode::NOT_FOUND, "not_found", &format!("{id} is not a model of this server")),
    }
}

async fn providers(asked: Asked) -> Json<Value> {
    Json(asked.view().providers())
}

async fn zdr(State(shared): State<Shared>, asked: Asked) -> Json<Value> {
    Json(asked.view().zdr(&shared.watch.read()))
}

async fn simulator(State(shared): State<Shared>) -> Response {
    match &shared.state.sim {
        Some(seen) => Json(seen.counts()).into_response(),
        None => error(StatusCode::NOT_FOUND, "not_found", "the simulator is not running"),
    }
}

async fn metrics(State(Shared { state, .. }): State<Shared>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let mut text = metrics::text(&state.counters, &state.snapshot.load(), &state.health);
    journal::write(&mut text, &state.journals);
    if let Some(ledger) = &state.ledger {
        text.push_str(&ledger.metrics((state.now)().0));
    }
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
}

/// A known path with another method; nearly every route here is read-only. RFC 9110 §15.5.6 demands the
/// `Allow` field.
async fn not_allowed(uri: Uri) -> Response {
    let posted = ["/analytics/query", "/generation/feedback"].iter().any(|end| uri.path().ends_with(end));
    let (text, allow) = match posted {
        true => ("this path only takes POST", "POST"),
        false => ("this path only takes GET and HEAD", "GET, HEAD"),
    };
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", text);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// The envelope of OpenRouter's errors: the HTTP status as `code`, the class under `metadata.error_type`.
fn error(status: StatusCode, error_type: &str, message: &str) -> Response {
    let code = status.as_u16();
    let body = json!({"error": {"code": code, "message": message, "metadata": {"error_type": error_type}}});
    (status, Json(body)).into_response()
}

/// Lets only the workers in. Everybody else on this machine sees a server without any path.
async fn demand_token(State(token): State<Arc<Secret>>, request: Request, next: Next) -> Response {
    if presents(request.headers(), &token) { next.run(request).await } else { not_found().await }
}

/// Is the token presented, exactly once?
fn presents(headers: &HeaderMap, token: &Secret) -> bool {
    let mut presented = headers.get_all(TOKEN_FIELD).iter();
    match (presented.next(), presented.next()) {
        (Some(value), None) => same(value.as_bytes(), token.expose().as_bytes()),
        _ => false,
    }
}

/// Compares in a time that depends on the lengths only, so that it does not tell how many bytes were right.
fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let differing = left.iter().zip(right).fold(0_u8, |bits, (a, b)| core::hint::black_box(bits | (a ^ b)));
    core::hint::black_box(differing) == 0
}
