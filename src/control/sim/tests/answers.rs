//! Sound answers: text, tools, embeddings, usage, limits, pace, refusals.
//!
//! Deliberately absent: the listeners that misbehave and clients that leave (`trouble`).

use core::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::{Simulator, models, routed};
use super::{chat, exchange, post, request};

const HELLO: &str =
    r#"[{"role":"system","content":"Be brief."},{"role":"user","content":"Hello there, mill"}]"#;

/// The text of a whole answer or of a stream's chunks, whichever API.
fn text_of(answer: &Value) -> String {
    let choice = &answer["choices"][0];
    [&choice["message"]["content"], &choice["delta"]["content"], &choice["text"]]
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn all_messages_but_the_last_come_from_a_cache() {
    let sim = Simulator::start().await.unwrap();
    let main = sim.addresses().main;
    for model in routed::CACHED {
        for (messages, cached) in [(HELLO, 2), (r#"[{"role":"user","content":"Hello there"}]"#, 0)] {
            let reply = chat(main, &format!(r#"{{"model":"{model}","messages":{messages}}}"#)).await;
            let answer = reply.json();
            assert_eq!((&answer["model"], reply.status), (&json!(model), 200));
            assert_eq!(answer["usage"]["prompt_tokens_details"], json!({"cached_tokens": cached}));
        }
    }
    let reply = chat(main, &format!(r#"{{"model":"fast","messages":{HELLO}}}"#)).await;
    assert_eq!(reply.json()["usage"]["prompt_tokens_details"], json!(null));
}

#[tokio::test(start_paused = true)]
async fn answers_follow_the_rules() {
    let sim = Simulator::start().await.unwrap();
    let main = sim.addresses().main;
    // Members beside model and messages; then text, finish_reason, completion_tokens.
    let whole = "This is the built-in simulator. You said: Hello there, mill";
    let cases = [
        (r#""model":"fast""#, whole, "stop", 10),
        (r#""model":"flaky""#, whole, "stop", 10),
        (r#""model":"fast","max_tokens":3"#, "This is the", "length", 3),
        (r#""model":"fast","max_tokens":3,"max_completion_tokens":2"#, "This is", "length", 2),
        (r#""model":"fast","max_tokens":10"#, whole, "stop", 10),
        (r#""model":"fast","stop":" built""#, "This is the", "stop", 3),
        (r#""model":"fast","stop":["zebra","is"]"#, "Th", "stop", 1),
        (r#""model":"fast","stop":"This""#, "", "stop", 0),
        (r#""model":"fast","stop":"mill","max_tokens":2"#, "This is", "length", 2),
        (r#""model":"fast","metadata":{"tokens":"3"}"#, "word-1 word-2 word-3", "stop", 3),
        (r#""model":"steady","metadata":{"tokens":"2"}"#, "word-1 word-2", "stop", 2),
        (r#""model":"slow-start","n":1"#, whole, "stop", 10),
        (r#""model":"tools""#, whole, "stop", 10),
    ];
    for (members, text, finish_reason, tokens) in cases {
        let body = format!("{{{members},\"messages\":{HELLO}}}");
        let reply = chat(main, &body).await;
        let answer = reply.json();
        assert_eq!((reply.status, &answer["object"]), (200, &json!("chat.completion")), "{members}");
        assert_eq!(text_of(&answer), text, "{members}");
        assert_eq!(answer["choices"][0]["finish_reason"], finish_reason, "{members}");
        let usage = json!({"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens});
        assert_eq!(answer["usage"], usage, "{members}");

        let body = format!("{{{members},\"stream\":true,\"messages\":{HELLO}}}");
        let reply = chat(main, &body).await;
        let chunks = reply.chunks();
        assert_eq!(chunks.iter().map(text_of).collect::<String>(), text, "{members}");
        assert_eq!(chunks.len(), tokens + 2, "role, one event per token, finish: {members}");
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], finish_reason, "{members}");
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        assert!(!reply.body.contains("usage"), "nobody asked for usage: {members}");
    }
    assert_eq!(sim.seen.counts().completed, 2 * cases.len() as u64);
}

#[tokio::test]
async fn usage_comes_in_a_chunk_of_its_own_when_asked_for() {
    let sim = Simulator::start().await.unwrap();
    let asked = r#""model":"fast","stream":true,"stream_options":{"include_usage":true}"#;
    let reply = chat(sim.addresses().main, &format!("{{{asked},\"messages\":{HELLO}}}")).await;
    let chunks = reply.chunks();
    let (usage, others) = chunks.split_last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"], json!({"prompt_tokens": 5, "completion_tokens": 10, "total_tokens": 15}));
    for chunk in others {
        assert_eq!(chunk.get("usage"), Some(&Value::Null), "{chunk}");
        assert_eq!((&chunk["id"], &chunk["object"]), (&usage["id"], &json!("chat.completion.chunk")));
    }
}

#[tokio::test]
async fn what_is_repeated_is_bounded() {
    let sim = Simulator::start().await.unwrap();
    let word = "é".repeat(1 << 20);
    let body = format!(r#"{{"model":"fast","messages":[{{"role":"user","content":"{word}"}}]}}"#);
    let answer = chat(sim.addresses().main, &body).await.json();
    assert_eq!(text_of(&answer).matches('é').count(), 1024);
    assert_eq!(answer["usage"]["prompt_tokens"], 1);
}

#[tokio::test]
async fn legacy_completions_answer_too() {
    let sim = Simulator::start().await.unwrap();
    let main = sim.addresses().main;
    for prompt in [r#""one two""#, r#"["one two"]"#, "[7,8]", "[[7,8]]"] {
        let body = format!(r#"{{"model":"fast","prompt":{prompt},"max_tokens":4}}"#);
        let whole = post(main, "/v1/completions", &body).await.json();
        assert_eq!(
            (&whole["object"], text_of(&whole).as_str()),
            (&json!("text_completion"), "This is the built-in")
        );
        assert_eq!(whole["usage"], json!({"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}));
        let body = body.replace("\"max", "\"stream\":true,\"max");
        let chunks = post(main, "/v1/completions", &body).await.chunks();
        assert_eq!(chunks.iter().map(text_of).collect::<String>(), "This is the built-in");
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "length");
    }
}

const TOOLS: &str = r#"[{"type":"function","function":{"name":"weather","parameters":{"type":"object",
    "properties":{"city":{"type":"string"},"days":{"type":"integer","minimum":2},"unit":{"enum":["C","F"]},
    "extra":{"type":"string"}},"required":["city","days","unit"]}}},
    {"type":"function","function":{"name":"now"}}]"#;

#[tokio::test]
async fn tools_are_called() {
    let sim = Simulator::start().await.unwrap();
    let main = sim.addresses().main;
    let weather = json!({"city": "Paris", "days": 2, "unit": "C"});
    let named = r#""tool_choice":{"type":"function","function":{"name":"now"}},"#;
    for (choice, name, arguments) in [("", "weather", weather), (named, "now", json!({}))] {
        let body = format!(r#"{{"model":"tools",{choice}"tools":{TOOLS},"messages":{HELLO}}}"#);
        let whole = chat(main, &body).await.json();
        assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
        let call = &whole["choices"][0]["message"]["tool_calls"][0];
        assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!(name)));
        let text = call["function"]["arguments"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), arguments);

        let body = body.replace("\"model\"", "\"stream\":true,\"model\"");
        let chunks = chat(main, &body).await.chunks();
        let calls: Vec<&Value> = chunks.iter().map(|c| &c["choices"][0]["delta"]["tool_calls"][0]).collect();
        assert_eq!(calls[0]["function"]["name"], name);
        assert!(calls[0]["id"].as_str().is_some_and(|id| id.starts_with("call_")));
        let streamed: String =
            calls.iter().filter_map(|call| call["function"]["arguments"].as_str()).collect();
        assert_eq!(streamed, text, "the pieces together are the whole");
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    }
    let none = format!(r#"{{"model":"tools","tool_choice":"none","tools":{TOOLS},"messages":{HELLO}}}"#);
    assert!(text_of(&chat(main, &none).await.json()).contains("Hello"));
    let result =
        r#"[{"role":"user","content":[{"type":"text","text":"?"}]},{"role":"tool","content":"21 degrees"}]"#;
    let after = format!(r#"{{"model":"tools","tools":{TOOLS},"messages":{result}}}"#);
    assert_eq!(text_of(&chat(main, &after).await.json()), "The tool answered: 21 degrees");
}

#[tokio::test]
async fn embeddings_are_unit_vectors() {
    let sim = Simulator::start().await.unwrap();
    let main = sim.addresses().main;
    let body = r#"{"model":"embed","input":["mill race","stone","mill race"],"dimensions":10}"#;
    let answer = post(main, "/v1/embeddings", body).await.json();
    let vectors: Vec<Vec<f32>> =
        (0..3).map(|i| serde_json::from_value(answer["data"][i]["embedding"].clone()).unwrap()).collect();
    for vector in &vectors {
        let length: f32 = vector.iter().map(|x| x * x).sum();
        assert!(vector.len() == 10 && (length - 1.0).abs() < 1e-5, "{vector:?}");
    }
    assert_eq!(vectors[0], vectors[2]);
    assert_ne!(vectors[0], vectors[1]);
    assert_eq!(answer["usage"], json!({"prompt_tokens": 5, "total_tokens": 5}));

    let body = body.replace("\"dim", "\"encoding_format\":\"base64\",\"dim");
    let answer = post(main, "/v1/embeddings", &body).await.json();
    let text = answer["data"][0]["embedding"].as_str().unwrap();
    let bytes = base64_decoded(text);
    let decoded: Vec<f32> =
        bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    assert_eq!(decoded, vectors[0], "both encodings hold the same numbers");

    let plain = post(main, "/v1/embeddings", r#"{"model":"embed","input":[1,2]}"#).await.json();
    assert_eq!(plain["data"][0]["embedding"].as_array().map(Vec::len), Some(256));
}

/// A slow decoder of its own, so that the encoder is not checked against itself.
fn base64_decoded(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("{other} is not base64"),
    };
    assert!(text.len().is_multiple_of(4), "padded");
    let letters = text.trim_end_matches('=').bytes();
    let bits: Vec<u8> = letters.flat_map(|c| (0..6).rev().map(move |bit| value(c) >> bit & 1)).collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit)).collect()
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let sim = Simulator::start().await.unwrap();
    let main = sim.addresses().main;
    let fast = |members: &str| format!(r#"{{"model":"fast","messages":{HELLO},{members}}}"#);
    let embed = |members: &str| format!(r#"{{"model":"embed",{members}}}"#);
    let cases = [
        ("/v1/chat/completions", "{".to_owned(), 400, Value::Null),
        ("/v1/chat/completions", String::new(), 400, Value::Null),
        ("/v1/chat/completions", r#"{"model":"fast"}"#.to_owned(), 400, Value::Null),
        ("/v1/chat/completions", r#"{"model":"fast","messages":[]}"#.to_owned(), 400, json!("messages")),
        (
            "/v1/chat/completions",
            r#"{"model":"gone","messages":[{"role":"user"}]}"#.to_owned(),
            404,
            json!("model"),
        ),
        ("/v1/chat/completions", fast(r#""n":2"#), 400, json!("n")),
        ("/v1/chat/completions", fast(r#""max_tokens":0"#), 400, json!("max_tokens")),
        ("/v1/chat/completions", fast(r#""max_tokens":-1"#), 400, Value::Null),
        ("/v1/chat/completions", fast(r#""stop":["a","b","c","d","e"]"#), 400, json!("stop")),
        ("/v1/chat/completions", fast(r#""stop":"""#), 400, json!("stop")),
        ("/v1/chat/completions", fast(r#""metadata":{"tokens":"10001"}"#), 400, json!("metadata")),
        ("/v1/chat/completions", fast(r#""metadata":{"gap_ms":"soon"}"#), 400, json!("metadata")),
        ("/v1/completions", r#"{"model":"fast","prompt":["a","b"]}"#.to_owned(), 400, json!("prompt")),
        ("/v1/embeddings", embed(r#""input":[]"#), 400, json!("input")),
        ("/v1/embeddings", embed(r#""input":"""#), 400, json!("input")),
        ("/v1/embeddings", embed(r#""input":"a","dimensions":0"#), 400, json!("dimensions")),
        ("/v1/embeddings", embed(r#""input":"a","encoding_format":"int8""#), 400, json!("encoding_format")),
        ("/v1/embeddings", r#"{"model":"fast","input":"a"}"#.to_owned(), 404, json!("model")),
        ("/v1/nothing", "{}".to_owned(), 404, Value::Null),
    ];
    for (path, body, status, param) in cases {
        let reply = post(main, path, &body).await;
        let answer = reply.json();
        assert_eq!((reply.status, &answer["error"]["param"]), (status, &param), "{path} {body}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    let reply = exchange(main, &[b"GET /v1/embeddings HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n"])
        .await
        .unwrap();
    assert!(reply.status == 405 && reply.head.contains("allow: post"), "{}", reply.head);
}

#[tokio::test(start_paused = true)]
async fn the_pace_is_kept() {
    let sim = Simulator::start().await.unwrap();
    let main = sim.addresses().main;
    let cases = [
        (r#""model":"fast""#, 0),
        (r#""model":"steady""#, 49 * 20),
        (r#""model":"steady","metadata":{"tokens":"200","gap_ms":"5"}"#, 199 * 5),
        (r#""model":"steady","max_tokens":11"#, 10 * 20),
        (r#""model":"slow-start""#, 3000),
        (r#""model":"fast","metadata":{"first_ms":"700"}"#, 700),
    ];
    for (members, millis) in cases {
        for stream in ["", ",\"stream\":true"] {
            let started = Instant::now();
            let reply = chat(main, &format!("{{{members}{stream},\"messages\":{HELLO}}}")).await;
            let took = started.elapsed();
            assert_eq!(reply.status, 200);
            // The paused clock moves only to due timers, so nothing but rounding to whole milliseconds is
            // added.
            let expected = Duration::from_millis(millis);
            let slack = Duration::from_millis(5);
            assert!(expected <= took && took <= expected + slack, "{members}{stream}: {took:?}");
        }
    }
}

#[tokio::test]
async fn a_request_may_arrive_in_any_two_pieces() {
    let sim = Simulator::start().await.unwrap();
    let bytes =
        request("/v1/chat/completions", &format!(r#"{{"model":"fast","stream":true,"messages":{HELLO}}}"#));
    for cut in 0..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        let reply = exchange(sim.addresses().main, &[first, second]).await.unwrap();
        assert_eq!(reply.chunks().len(), 12, "cut at {cut}");
    }
}

#[test]
fn the_table_names_what_the_listeners_serve() {
    let flaky = models().iter().find(|model| model.id == "sim/flaky").unwrap();
    let order: Vec<&str> = flaky.endpoints.iter().map(|(listener, _)| listener.provider_id()).collect();
    assert_eq!(order, ["sim-refusing", "sim-troubled", "sim"]);
    for model in models() {
        for (_, name) in model.endpoints {
            assert_eq!(Some(*name), model.id.strip_prefix("sim/"));
        }
    }
}
