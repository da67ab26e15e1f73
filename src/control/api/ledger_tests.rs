//! Tests of what the API says of the ledger, over its real listener, with a real fold behind it.
//!
//! Deliberately absent: the workers that stand before it, and files of the journal.

use core::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::tests::snapshot;
use super::*;
use crate::control::ledger::tests::Scratch;
use crate::control::ledger::tests::traffic::{Shared, Traffic};
use crate::control::ledger::{Keep, Keeper, Options};
use crate::policy::catalog::{AuthMode, Key};
use crate::wire::journal::{Attempt, Caller, Cost, Flags, Served, Source};

const NOW: u64 = 1_790_000_000;

struct World {
    api: Api,
    records: Shared,
    traffic: Traffic,
    _keeper: Keeper,
    _scratch: Scratch,
}

fn key(name: &str, byte: u8, management: bool) -> Key {
    Key { name: name.into(), sha256: [byte; 32], debug: false, regions: Box::default(), management }
}

/// An API with the keys `one`, `two` and `boss`, or without any.
async fn world(auth: AuthMode) -> World {
    let (scratch, records) = (Scratch::new(), Shared::default());
    let keep = Keep { requests: None, hours: None, days: None };
    let options = Options { path: scratch.file(), keep, now: || NOW, every: Duration::from_millis(50) };
    let (keeper, ledger) = Keeper::start(options, Box::new(records.clone())).unwrap();
    let keys = vec![key("one", 1, false), key("two", 2, false), key("boss", 9, true)];
    let state = ApiState {
        snapshot: Arc::new(ArcSwap::from_pointee(Snapshot { keys, auth, ..snapshot() })),
        complete: Arc::new(snapshot()),
        counters: vec![Arc::default()],
        health: Arc::new(Board::new(1)),
        sim: None,
        started: UnixSeconds(NOW),
        ledger: Some(ledger),
        now: || UnixSeconds(NOW),
        journals: Vec::new(),
    };
    let api = start(state).await.unwrap();
    World { api, records, traffic: Traffic::new(50), _keeper: keeper, _scratch: scratch }
}

impl World {
    /// Settles a request of the key at this moment; our id.
    fn settle(&mut self, key: &'static str, byte: u8, at: u64, cost: i64) -> String {
        let mut list = self.records.0.lock().unwrap();
        let id = self.traffic.settle(&mut list, 0, UnixSeconds(at), |settle| {
            settle.caller = Caller { key_digest: [byte; 32], key, team: "red", user_hash: 7 };
            settle.served =
                Served { model: "openai/gpt-x", provider: "openai", endpoint: "openai/eu", price_version: 1 };
            settle.upstream_id = "chatcmpl-1";
            settle.at = UnixSeconds(at + 2);
            settle.flags = Flags::STREAMED;
            settle.source = Source::Reported;
            settle.usage.completion_tokens = 30;
            settle.counted_tokens = 31;
            settle.cost = Cost { total: cost, upstream: cost, cache_discount: -5, ..Cost::default() };
            (settle.first_byte_micros, settle.took_micros) = (250_500, 1_250_500);
            settle.attempts.to_mut().truncate(1);
            for attempt in settle.attempts.to_mut() {
                *attempt = Attempt { provider: "openai", endpoint: "openai/eu", fault: "", ..*attempt };
            }
        });
        id.as_str().to_owned()
    }

    async fn send(&self, line: &str, key: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.api.address).await.unwrap();
        let token = self.api.token.expose();
        let key = if key.is_empty() { String::new() } else { format!("{KEY_FIELD}: {key}\r\n") };
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: control\r\nConnection: close\r\n{TOKEN_FIELD}: {token}\r\n{key}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_string(&mut text)).await;
        read.expect("in time").unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    async fn ask(&self, line: &str, key: &str, body: &str) -> (u16, Value) {
        let (status, body) = self.send(line, key, body).await;
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{line}: {error}: {body}")))
    }
}

#[tokio::test]
async fn a_generation_has_its_members_at_once_and_by_either_id() {
    let mut world = world(AuthMode::Keys).await;
    let id = world.settle("one", 1, NOW, 1_234_567_890_123);
    let (status, text) = world.send(&format!("GET /api/v1/generation?id={id}"), "one", "").await;
    assert_eq!(status, 200, "{text}");
    // Text: a float would not have all of the digits.
    assert!(text.contains("\"total_cost\":1.234567890123,"), "{text}");
    let data = &serde_json::from_str::<Value>(&text).unwrap()["data"];
    for (name, want) in [
        ("id", json!(id)),
        ("upstream_id", json!("chatcmpl-1")),
        ("model", json!("openai/gpt-x")),
        ("api_type", json!("completions")),
        ("created_at", json!("2026-09-21T14:13:20Z")),
        ("streamed", json!(true)),
        ("latency", json!(250.5)),
        ("generation_time", json!(1000.0)),
        ("native_tokens_completion", json!(30)),
        ("is_byok", json!(false)),
        ("upstream_inference_cost", json!(null)),
        ("workspace_id", json!("red")),
        ("external_user", json!("0000000000000007")),
        ("router", json!(null)),
    ] {
        assert_eq!(data[name], want, "{name}");
    }
    assert_eq!(data["provider_responses"][0]["endpoint_id"], "openai/eu");
    assert_eq!(data["millrace"]["usage_source"], "reported");
    let (_, by_upstream) = world.ask("GET /v1/generation?id=chatcmpl-1", "one", "").await;
    assert_eq!(by_upstream["data"], *data);
}

#[tokio::test]
async fn a_key_sees_its_own_generations_only() {
    let mut world = world(AuthMode::Keys).await;
    let id = world.settle("one", 1, NOW, 5);
    let path = format!("GET /v1/generation?id={id}");
    assert_eq!(world.ask(&path, "one", "").await.0, 200);
    assert_eq!(world.ask(&path, "boss", "").await.0, 200);
    let (status, body) = world.ask(&path, "two", "").await;
    assert_eq!((status, &body["error"]["metadata"]["error_type"]), (404, &json!("not_found")));
    assert_eq!(world.ask(&path, "nobody", "").await.0, 401);
    assert_eq!(world.ask(&path, "", "").await.0, 401);
    let (status, body) = world.ask("GET /v1/generation", "one", "").await;
    assert_eq!(status, 400);
    assert!(body["error"]["message"].as_str().unwrap().starts_with("id: "), "{body}");
}

#[tokio::test]
async fn what_is_under_way_is_said_to_be() {
    let mut world = world(AuthMode::Open).await;
    let id = world.traffic.admit_only(&mut world.records.0.lock().unwrap(), 0);
    let (status, body) = world.ask(&format!("GET /v1/generation?id={}", id.as_str()), "", "").await;
    let message = body["error"]["message"].as_str().unwrap();
    assert!(status == 404 && message.ends_with("is still under way"), "{message}");
}

#[tokio::test]
async fn admin_reads_need_a_management_key() {
    let mut closed = world(AuthMode::Keys).await;
    closed.settle("one", 1, NOW, 5);
    let question = r#"{"metrics":["request_count"]}"#;
    for line in
        ["GET /v1/activity", "GET /v1/credits", "GET /api/v1/analytics/meta", "POST /v1/analytics/query"]
    {
        let (status, body) = closed.ask(line, "one", question).await;
        assert_eq!(
            (status, &body["error"]["metadata"]["error_type"]),
            (403, &json!("permission_denied")),
            "{line}"
        );
        let (status, body) = closed.ask(line, "boss", question).await;
        assert!(status == 200 && !body["data"].is_null(), "{line}: {body}");
    }
    let open = world(AuthMode::Open).await;
    assert_eq!(open.ask("GET /v1/activity", "", "").await.0, 200);
}

#[tokio::test]
async fn the_same_digits_stand_everywhere() {
    let mut world = world(AuthMode::Keys).await;
    // Yesterday, so that activity shows it.
    let id = world.settle("one", 1, NOW - 86_400, 3_000_000_000_001);
    let cost = "3.000000000001";
    for (line, key, member) in [
        (format!("GET /v1/generation?id={id}"), "one", "\"usage\":"),
        ("GET /v1/activity".to_owned(), "boss", "\"usage\":"),
        ("GET /v1/credits".to_owned(), "boss", "\"total_usage\":"),
        ("GET /v1/key".to_owned(), "one", "\"usage\":"),
        ("GET /v1/auth/key".to_owned(), "one", "\"usage_monthly\":"),
    ] {
        let (status, text) = world.send(&line, key, "").await;
        assert!(status == 200 && text.contains(&format!("{member}{cost}")), "{line}: {text}");
    }
    let question = r#"{"metrics":["total_usage"],"dimensions":["api_key_id"]}"#;
    let (_, text) = world.send("POST /v1/analytics/query", "boss", question).await;
    assert!(text.contains("\"total_usage\":3.000000000001"), "{text}");
}

#[tokio::test]
async fn a_key_tells_what_it_is() {
    let mut world = world(AuthMode::Keys).await;
    world.settle("one", 1, NOW, 5);
    world.settle("two", 2, NOW, 7);
    let (_, body) = world.ask("GET /v1/key", "two", "").await;
    let data = &body["data"];
    assert_eq!(
        (&data["label"], &data["is_management_key"], &data["limit"]),
        (&json!("two"), &json!(false), &json!(null))
    );
    assert_eq!(data["usage_daily"].to_string(), "7e-12", "seven pico-dollars, read as a float by this test");
    assert_eq!(data["rate_limit"]["requests"], -1);
    let (_, body) = world.ask("GET /v1/key", "boss", "").await;
    assert_eq!((&body["data"]["usage"], &body["data"]["is_management_key"]), (&json!(0), &json!(true)));
}

#[tokio::test]
async fn activity_names_what_is_wrong_and_filters() {
    let mut world = world(AuthMode::Keys).await;
    world.settle("one", 1, NOW - 86_400, 5);
    world.settle("two", 2, NOW - 2 * 86_400, 7);
    // Today is not over: only shown to who names it.
    world.settle("one", 1, NOW, 11);
    for (query, want) in [
        ("date=2026-09-22", "date: expected today or one of the 30 days before it, in UTC, as 2026-09-21"),
        ("date=2026-08-01", "date: "),
        ("date=soon", "date: "),
        ("api_key_hash=zz", "api_key_hash: expected 64"),
        ("group_by=model", "group_by: expected workspace"),
    ] {
        let (status, body) = world.ask(&format!("GET /v1/activity?{query}"), "boss", "").await;
        let message = body["error"]["message"].as_str().unwrap();
        assert!(status == 400 && message.starts_with(want), "{query}: {message}");
    }
    for (query, rows) in [
        ("", 2),
        ("date=2026-09-21", 1),
        ("date=2026-09-20", 1),
        ("date=2026-09-18", 0),
        ("api_key_hash=0202020202020202020202020202020202020202020202020202020202020202", 1),
        ("user_id=0000000000000007", 2),
        ("user_id=somebody+else", 0),
        ("group_by=workspace&workspace_id=red", 2),
        ("workspace_id=blue", 0),
    ] {
        let (status, body) = world.ask(&format!("GET /v1/activity?{query}"), "boss", "").await;
        assert_eq!((status, body["data"].as_array().map(Vec::len)), (200, Some(rows)), "{query}: {body}");
    }
}

#[tokio::test]
async fn feedback_is_kept_of_what_one_may_see() {
    let mut world = world(AuthMode::Keys).await;
    let id = world.settle("one", 1, NOW, 5);
    let say = |category: &str, comment: Value| {
        json!({"generation_id": id, "category": category, "comment": comment}).to_string()
    };
    let line = "POST /v1/generation/feedback";
    let good = say("latency", json!("slow"));
    assert_eq!(world.ask(line, "one", &good).await, (200, json!({"data": {"success": true}})));
    assert_eq!(world.ask(line, "boss", &say("other", json!(null))).await.0, 200);
    assert_eq!(world.ask(line, "two", &good).await.0, 404);
    for (body, want) in [
        ("nonsense".to_owned(), "the body: "),
        ("{}".to_owned(), "generation_id: "),
        (say("mood", json!("x")), "category: expected one of latency"),
        (say("other", json!("x".repeat(1_001))), "comment: "),
        (say("other", json!(5)), "comment: "),
    ] {
        let (status, answer) = world.ask(line, "one", &body).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status == 400 && message.starts_with(want), "{body}: {message}");
    }
    let (status, body) = world.ask("GET /v1/generation/feedback", "one", "").await;
    assert_eq!((status, &body["error"]["message"]), (405, &json!("this path only takes POST")));
}

#[tokio::test]
async fn metrics_tell_what_was_counted_and_what_was_reported() {
    let mut world = world(AuthMode::Open).await;
    let id = world.settle("one", 1, NOW, 5);
    assert_eq!(world.ask(&format!("GET /v1/generation?id={id}"), "", "").await.0, 200);
    let (_, text) = world.send("GET /metrics", "", "").await;
    for want in [
        "millrace_tokens_counted_total{provider=\"openai\",model=\"openai/gpt-x\"} 31\n",
        "millrace_tokens_reported_total{provider=\"openai\",model=\"openai/gpt-x\"} 30\n",
        "millrace_ledger_folded_records_total 2\n",
        "millrace_ledger_requests_total 1\n",
        "millrace_ledger_unpriced_requests_total 0\n",
        "millrace_ledger_fold_lag_records 0\n",
    ] {
        assert!(text.contains(want), "{want}{text}");
    }
}

#[tokio::test]
async fn without_a_ledger_there_is_nothing() {
    let world = world(AuthMode::Open).await;
    let state = ApiState {
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot())),
        complete: Arc::new(snapshot()),
        counters: Vec::new(),
        health: Arc::new(Board::new(1)),
        sim: None,
        started: UnixSeconds(NOW),
        ledger: None,
        now: || UnixSeconds(NOW),
        journals: Vec::new(),
    };
    let world = World { api: start(state).await.unwrap(), ..world };
    for path in ["generation?id=x", "key", "credits", "activity", "analytics/meta"] {
        let (status, body) = world.ask(&format!("GET /v1/{path}"), "", "").await;
        let message = body["error"]["message"].as_str().unwrap();
        assert!(status == 404 && message.contains("ledger.enabled"), "{path}: {message}");
    }
}
