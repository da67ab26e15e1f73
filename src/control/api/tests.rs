//! Tests of the control API over its real listener.
//!
//! Deliberately absent: the workers that stand before it.

use core::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::base::ids::{EndpointId, HostId, ModelId, PoolId, ProviderId};
use crate::base::limits::{Deadlines, Limits};
use crate::base::metrics::{COUNTERS, Counter};
use crate::base::money::PicoDollars;
use crate::dialect::{DialectName, StreamUsage};
use crate::policy::auto::Auto;
use crate::policy::catalog::{
    AuthMode, Credential, Endpoint, EndpointFacts, Model, PriceRules, Prices, Provider, WaitingComment,
};
use crate::policy::heads::Heads;
use crate::policy::health::board::{Board, Cell};
use crate::policy::health::breaker::Position;
use crate::policy::health::layout::{endpoint_tag, passthrough_tag};
use crate::policy::hedge::Terms;
use crate::policy::table::{ByDigest, ByName};

pub(super) fn snapshot() -> Snapshot {
    let provider = Provider {
        id: "acme".into(),
        dialect: DialectName::OpenAi,
        tls: true,
        host: HostId(0),
        port: 443,
        authority: "api.acme.test".into(),
        base_path: "/v1".into(),
        credential: Credential::None,
        stream_usage: StreamUsage::OnRequest,
        deadlines: Deadlines::default(),
        pool: PoolId(0),
        sticky_ttl: crate::base::limits::STICKY_TTL,
        on_client_gone: crate::policy::catalog::OnClientGone::Cut,
        passthrough: false,
        heads: Heads::default(),
    };
    let (prompt, completion) = (Some(PicoDollars(5_000_000)), Some(PicoDollars(30_000_000)));
    let base = Prices { prompt, completion, ..Prices::default() };
    let endpoint = |prices, model| {
        let facts = EndpointFacts { prices, ..EndpointFacts::default() };
        Endpoint { facts, ..Endpoint::plain(ProviderId(0), ModelId(model), "m") }
    };
    let model = |id: &str, endpoint| Model::plain(id, vec![EndpointId(endpoint)]);
    Snapshot {
        rows: crate::policy::rows::Rows::default(),
        hosts: Vec::new(),
        providers: vec![provider],
        provider_ids: ByName::default(),
        endpoints: vec![endpoint(Some(PriceRules { base, rules: [].into() }), 0), endpoint(None, 1)],
        models: vec![model("openai/gpt-x", 0), model("plain", 1)],
        model_ids: [("openai/gpt-x".into(), ModelId(0)), ("plain".into(), ModelId(1))].into_iter().collect(),
        keys: Vec::new(),
        key_digests: ByDigest::default(),
        auth: AuthMode::Open,
        control: None,
        limits: Limits::default(),
        deadlines: Deadlines::default(),
        waiting: WaitingComment { text: "WAITING".into(), delay: None },
        ambiguous_failover: true,
        auto: Auto::default(),
        hedging: Terms::default(),
        ledger: crate::policy::catalog::LedgerTerms::default(),
    }
}

async fn api() -> (Api, ApiState) {
    let state = ApiState {
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot())),
        complete: Arc::new(snapshot()),
        counters: vec![Arc::default(), Arc::default()],
        health: Arc::new(Board::new(2)),
        sim: Some(Arc::default()),
        started: UnixSeconds(1_790_000_000),
        ledger: None,
        journals: Vec::new(),
        now: || UnixSeconds(1_790_000_000),
    };
    (start(state.clone()).await.unwrap(), state)
}

/// One request on a connection of its own: status, head in lower case, body.
async fn send(api: &Api, line: &str, fields: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: control\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut text)).await;
    read.expect("in time").unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

async fn ask(api: &Api, line: &str) -> (u16, String, String) {
    send(api, line, &format!("{TOKEN_FIELD}: {}\r\n", api.token.expose())).await
}

fn not_found(message: &str) -> Value {
    json!({"error": {"code": 404, "message": message, "metadata": {"error_type": "not_found"}}})
}

/// A model of [`snapshot`], as OpenRouter's clients read it.
fn described(id: &str, owner: &str, pricing: &Value) -> Value {
    json!({
        "id": id, "canonical_slug": id, "object": "model", "created": 1_790_000_000, "owned_by": owner,
        "name": id, "description": "", "context_length": null,
        "architecture": {
            "modality": "text->text", "input_modalities": ["text"], "output_modalities": ["text"],
            "tokenizer": "Other", "instruct_type": null,
        },
        "pricing": pricing,
        "top_provider": {"context_length": null, "max_completion_tokens": null, "is_moderated": false},
        "per_request_limits": null, "supported_parameters": [], "default_parameters": null,
        "supported_voices": null,
        "links": {"details": format!("/api/v1/models/{id}/endpoints")},
    })
}

#[tokio::test]
async fn paths_have_their_answers() {
    let (api, _state) = api().await;
    let gpt = described("openai/gpt-x", "openai", &json!({"prompt": "0.000005", "completion": "0.00003"}));
    let plain = described("plain", "acme", &json!({"prompt": "-1", "completion": "-1"}));
    let list = json!({"object": "list", "data": [gpt, plain], "total_count": 2, "links": {"next": null}});
    let page = json!({
        "object": "list", "data": [gpt], "total_count": 2,
        "links": {"next": "/api/v1/models?offset=1&limit=1&q="},
    });
    let bad = json!({"error": {
        "code": 400, "message": "zdr: expected true or false", "metadata": {"error_type": "invalid_request"},
    }});
    let stats = json!({"requests": 0, "completed": 0, "disconnects": 0, "faults": 0, "active": 0});
    let nothing = not_found("there is nothing at this path");
    let cases = [
        ("/models", 200, list.clone()),
        ("/models/openai/gpt-x", 200, gpt.clone()),
        ("/models/openai%2Fgpt-x", 200, gpt.clone()),
        ("/models/plain", 200, plain.clone()),
        ("/models/plain:free", 200, plain.clone()),
        ("/models/user", 200, list.clone()),
        ("/models?q=&limit=1", 200, page),
        ("/models?zdr=perhaps", 400, bad),
        ("/models/count", 200, json!({"data": {"count": 2}})),
        ("/models/count?model_authors=openai", 200, json!({"data": {"count": 1}})),
        ("/model/openai/gpt-x", 200, json!({"data": gpt})),
        ("/model/gone/gpt-x", 404, not_found("gone/gpt-x is not a model of this server")),
        ("/models/gone/x/endpoints", 404, not_found("gone/x is not a model of this server")),
        ("/endpoints/zdr", 200, json!({"data": []})),
        ("/providers", 200, json!({"data": []})),
        ("/models/gone", 404, not_found("gone is not a model of this server")),
        ("/models/", 404, nothing.clone()),
        ("/sim/stats", 200, stats),
        ("/metrics", 404, nothing.clone()),
        ("/nothing", 404, nothing),
    ];
    for prefix in ["/v1", "/api/v1"] {
        for (path, status, body) in &cases {
            let (got, head, text) = ask(&api, &format!("GET {prefix}{path}")).await;
            let json: Value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"));
            assert_eq!((got, &json), (*status, body), "{prefix}{path}");
            assert!(head.contains("content-type: application/json"), "{head}");
        }
    }
}

#[tokio::test]
async fn a_new_snapshot_counts_at_once() {
    let (api, state) = api().await;
    let empty = Snapshot { models: Vec::new(), model_ids: ByName::default(), ..snapshot() };
    state.snapshot.store(Arc::new(empty));
    let (_, _, body) = ask(&api, "GET /v1/models").await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["total_count"], 0);
    assert_eq!(ask(&api, "GET /v1/models/plain").await.0, 404);
}

#[tokio::test]
async fn nothing_exists_without_the_token() {
    let (api, state) = api().await;
    let token = api.token.expose();
    let changed: String = token.chars().rev().collect();
    assert_ne!(changed, token, "a palindrome of 256 random bits");
    let cases = [
        String::new(),
        format!("{TOKEN_FIELD}:\r\n"),
        format!("{TOKEN_FIELD}: {changed}\r\n"),
        format!("{TOKEN_FIELD}: {}\r\n", &token[1..]),
        format!("{TOKEN_FIELD}: {token}0\r\n"),
        format!("{TOKEN_FIELD}: {token}\r\n{TOKEN_FIELD}: {token}\r\n"),
        format!("authorization: Bearer {token}\r\n"),
    ];
    for fields in cases {
        for line in ["GET /v1/models", "GET /metrics", "POST /v1/models", "GET /nothing"] {
            let (status, head, body) = send(&api, line, &fields).await;
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!((status, body), (404, not_found("there is nothing at this path")), "{line} {fields}");
            assert!(!head.contains("allow:"), "{head}");
        }
    }
    let other = start(state).await.unwrap();
    assert_ne!(other.token.expose(), token, "every process has its own");
    assert_eq!(token.len(), 2 * TOKEN_BYTES);
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let (api, _state) = api().await;
    for path in ["/v1/models", "/api/v1/models/plain", "/metrics", "/v1/sim/stats"] {
        for method in ["POST", "DELETE", "PUT"] {
            let (status, head, body) = ask(&api, &format!("{method} {path}")).await;
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!((status, &body["error"]["code"]), (405, &json!(405)), "{method} {path}");
            assert_eq!(head.matches("allow: get, head\r\n").count(), 1, "{head}");
        }
        let (status, _, body) = ask(&api, &format!("HEAD {path}")).await;
        assert_eq!((status, body.as_str()), (200, ""));
    }
}

#[tokio::test]
async fn metrics_are_summed_over_the_cores() {
    let (api, state) = api().await;
    state.counters[0].add(Counter::Requests, 40);
    state.counters[1].add(Counter::Requests, 2);
    state.counters[1].connections.store(7, core::sync::atomic::Ordering::Relaxed);
    let (status, head, body) = ask(&api, "GET /metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    let expected = "# HELP millrace_requests_total Requests whose head was read.\n\
                    # TYPE millrace_requests_total counter\nmillrace_requests_total 42\n";
    assert!(body.contains(expected), "{body}");
    assert!(body.contains("millrace_client_connections{core=\"0\"} 0\n"), "{body}");
    assert!(body.contains("millrace_client_connections{core=\"1\"} 7\n"), "{body}");
    for (_, name, _) in COUNTERS {
        let samples = body.lines().filter(|line| line.split(' ').next() == Some(name)).count();
        assert_eq!(samples, 1, "{name}");
    }
}

#[tokio::test]
async fn metrics_show_the_endpoints_that_cores_have_used() {
    let (api, state) = api().await;
    let snapshot = state.snapshot.load();
    let provider = &*snapshot.providers[0].id;
    let used = Cell { under_way: 2, connect_ms: 500.0, totals: [9, 1, 0, 0, 0, 0, 3], ..Cell::default() };
    for (core, (tag, position)) in [
        (
            endpoint_tag(provider, &snapshot.endpoints[0].name),
            Position { tripped: true, ..Position::default() },
        ),
        (endpoint_tag(provider, &snapshot.endpoints[0].name), Position::default()),
    ]
    .into_iter()
    .enumerate()
    {
        state.health.write(core, 0, &Cell { tag, position, ..used });
        state.health.write(core, 1, &Cell { tag: passthrough_tag(provider), ..used });
        state.health.set_count(core, 1 + core);
    }
    let (_, _, body) = ask(&api, "GET /metrics").await;
    let labels = format!("provider=\"{provider}\",endpoint=\"{}\"", snapshot.endpoints[0].name);
    for expected in [
        format!("millrace_endpoint_in_flight{{{labels}}} 4\n"),
        format!("millrace_endpoint_in_flight{{provider=\"{provider}\",endpoint=\"*\"}} 2\n"),
        format!("millrace_endpoint_tripped_cores{{{labels}}} 1\n"),
        format!("millrace_endpoint_attempts_total{{{labels},outcome=\"served\"}} 18\n"),
        format!("millrace_endpoint_attempts_total{{{labels},outcome=\"limited\"}} 6\n"),
        format!("millrace_endpoint_connect_seconds{{{labels}}} 0.5\n"),
    ] {
        assert!(body.contains(&expected), "{expected}{body}");
    }
}

#[test]
fn equality_is_equality() {
    for (left, right, expected) in
        [("", "", true), ("a", "a", true), ("a", "b", false), ("a", "ab", false), ("ab", "aB", false)]
    {
        assert_eq!(same(left.as_bytes(), right.as_bytes()), expected, "{left:?} {right:?}");
    }
}
