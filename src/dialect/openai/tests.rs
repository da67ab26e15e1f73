//! Tests of the dialect: fixtures with the expected judgement beside each event, and splices with the
//! expected body.
//!
//! Deliberately absent: framing of events (`wire/sse`) and which provider is asked.

use super::*;
use crate::base::record::Usage;
use crate::wire::json::exercise::Entries;
use crate::wire::json::peek::peek;

/// `(name, text)`: lines `> input` and `= expectation`, comments with `#`.
const EVENTS: &[(&str, &str)] = &[
    ("openai", include_str!("../fixtures/openai/openai.txt")),
    ("providers", include_str!("../fixtures/openai/providers.txt")),
    ("errors", include_str!("../fixtures/openai/errors.txt")),
];
const ANSWERS: (&str, &str) = ("answers", include_str!("../fixtures/openai/answers.txt"));

/// Runs every pair of a fixture; says how many there were.
fn walk(name: &str, text: &str, judge: impl Fn(&[u8]) -> String) -> usize {
    let mut input = None;
    let mut pairs = 0;
    for (number, line) in text.lines().enumerate() {
        let at = format!("{name}.txt:{}", number + 1);
        match line.split_at_checked(1) {
            None => {}
            Some(("#", _)) => {}
            Some((">", rest)) => {
                assert!(input.is_none(), "{at}: two inputs in a row");
                input = Some(rest.strip_prefix(' ').unwrap_or(rest).replace("\\n", "\n"));
            }
            Some(("=", want)) => {
                let input = input.take().unwrap_or_else(|| panic!("{at}: an expectation without input"));
                assert_eq!(judge(input.as_bytes()), want.trim(), "{at}: {input}");
                pairs += 1;
            }
            Some(_) => panic!("{at}: neither input nor expectation: {line}"),
        }
    }
    assert!(input.is_none(), "{name}.txt ends with an input");
    pairs
}

/// Tokens of prompt and answer, and of their parts if there are any.
fn figures(usage: Usage) -> String {
    let mut text = format!("{} {}", usage.prompt_tokens, usage.completion_tokens);
    for (word, tokens) in [
        ("cached", usage.cached_tokens),
        ("written", usage.cache_write_tokens),
        ("hour", usage.cache_write_1h_tokens),
        ("reasoning", usage.reasoning_tokens),
        ("audio", usage.audio_tokens),
    ] {
        if tokens > 0 {
            text += &format!(" {word} {tokens}");
        }
    }
    text
}

fn event(data: &[u8]) -> String {
    match OpenAi.judge_event(data) {
        Signal::Content => "content".to_owned(),
        Signal::Usage { usage, only } => {
            let figures = format!("usage {}", figures(usage));
            if only { figures + " only" } else { figures }
        }
        Signal::Error { status } => format!("error {status}"),
        Signal::Done => "done".to_owned(),
    }
}

fn answer(body: &[u8]) -> String {
    match OpenAi.judge_answer(body) {
        Answer::Content { usage: None, .. } => "content".to_owned(),
        Answer::Content { usage: Some(usage), .. } => {
            format!("content {}", figures(usage))
        }
        Answer::Error { status } => format!("error {status}"),
        Answer::Unusable => "unusable".to_owned(),
    }
}

#[test]
fn events_are_judged_as_their_fixtures_say() {
    let pairs: usize = EVENTS.iter().map(|(name, text)| walk(name, text, event)).sum();
    assert!(pairs >= 60, "only {pairs} events: were fixtures lost?");
}

#[test]
fn answers_are_judged_as_their_fixtures_say() {
    assert!(walk(ANSWERS.0, ANSWERS.1, answer) >= 20, "were fixtures lost?");
}

#[test]
fn only_the_exact_marker_ends_a_stream() {
    for data in ["[DONE] ", " [DONE]", "[done]", "\"[DONE]\"", "[DONE]\n", ""] {
        assert_eq!(event(data.as_bytes()), "content", "{data:?}");
    }
}

/// A truncated answer must never look complete.
#[test]
fn an_answer_cut_anywhere_is_unusable() {
    let whole = br#"{"id":"c","choices":[{"message":{"content":"a \"b\" ]}"}}],"usage":{"prompt_tokens":1}}"#;
    assert_eq!(answer(whole), "content 1 0");
    for cut in 0..whole.len() {
        assert_eq!(answer(&whole[..cut]), "unusable", "cut at {cut}");
    }
}

#[test]
fn an_event_cut_anywhere_does_no_harm() {
    for (_, text) in EVENTS {
        for input in text.lines().filter_map(|line| line.strip_prefix("> ")) {
            for cut in 0..input.len() {
                let _ = OpenAi.judge_event(&input.as_bytes()[..cut]);
                let _ = OpenAi.judge_answer(&input.as_bytes()[cut..]);
            }
        }
    }
}

#[test]
fn names_of_errors_are_sorted_and_known_once() {
    for pair in error::NAMES.windows(2) {
        assert!(pair[0].0.to_lowercase() < pair[1].0.to_lowercase(), "{} before {}", pair[0].0, pair[1].0);
    }
    assert!(error::NAMES.iter().all(|(_, status)| (400..=599).contains(status)));
}

#[track_caller]
fn spliced(body: &str, model: &str, usage: StreamUsage) -> String {
    let peek = peek(body.as_bytes()).unwrap_or_else(|flaw| panic!("{flaw:?}: {body}"));
    let mut splice = Splice::new();
    OpenAi.splice(&peek, body.as_bytes(), model, usage, &mut splice);
    let edited = splice.apply(body.as_bytes());
    assert_eq!(splice.len(body.len()), edited.len());
    let entries: Entries = serde_json::from_slice(&edited)
        .unwrap_or_else(|error| panic!("{error}: {body} became {}", String::from_utf8_lossy(&edited)));
    let value = |key: &str| entries.0.iter().find(|(known, _)| known == key).map(|(_, value)| value);
    assert_eq!(value("model").and_then(serde_json::Value::as_str), Some(model), "{body}");
    assert_eq!(entries.0.iter().filter(|(key, _)| key == "model").count(), 1, "{body}");
    assert!(Key::ALL.iter().all(|key| !is_router_only(*key) || value(key.text()).is_none()), "{body}");
    if peek.stream && usage == StreamUsage::OnRequest {
        let options = value("stream_options").expect("usage is asked for");
        assert_eq!(options["include_usage"], serde_json::Value::Bool(true), "{body}");
    }
    String::from_utf8(edited).expect("text stays text")
}

#[track_caller]
fn check(body: &str, want: &str) {
    assert_eq!(spliced(body, "gpt-4o", StreamUsage::OnRequest), want, "{body}");
}

#[test]
fn the_model_is_replaced_and_the_rest_stays() {
    check(r#"{"model":"openai/gpt-4o","messages":[ ]}"#, r#"{"model":"gpt-4o","messages":[ ]}"#);
    check(r#"{ "messages" : [] , "model" : "a" }"#, r#"{ "messages" : [] , "model" : "gpt-4o" }"#);
    check(r#"{"model":null,"x":1}"#, r#"{"model":"gpt-4o","x":1}"#);
    check(r#"{"model":"gpt\u002d4o"}"#, r#"{"model":"gpt-4o"}"#);
    check(r#"{"messages":[]}"#, r#"{"model":"gpt-4o","messages":[]}"#);
    check(r#" { } "#, r#" {"model":"gpt-4o" } "#);
    check(
        r#"{"stream":false,"stream_options":null}"#,
        r#"{"model":"gpt-4o","stream":false,"stream_options":null}"#,
    );
    let quoted = spliced(r#"{"model":"a"}"#, "we\"ird\\é\n", StreamUsage::Always);
    assert_eq!(quoted, r#"{"model":"we\"ird\\é\n"}"#);
}

#[test]
fn a_body_that_is_already_right_is_not_touched() {
    for body in [
        r#"{"model":"gpt-4o","messages":[],"user":"u","metadata":{},"cache_control":{},"unknown":1}"#,
        r#"{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true}}"#,
    ] {
        let peek = peek(body.as_bytes()).expect("well formed");
        let mut splice = Splice::new();
        OpenAi.splice(&peek, body.as_bytes(), "gpt-4o", StreamUsage::OnRequest, &mut splice);
        assert_eq!(splice.pieces(body.len()).count(), 1, "{body}");
    }
}

#[test]
fn router_only_members_go() {
    check(
        r#"{"provider":{"order":["a"]},"model":"x","models":["y"],"route":"","user":"u","usage":{}}"#,
        r#"{"model":"gpt-4o","user":"u"}"#,
    );
    check(r#"{"provider":{},"trace":{},"debug":{},"session_id":"s"}"#, r#"{"model":"gpt-4o"}"#);
    check(
        r#"{"plugins":[],"stream":true}"#,
        r#"{"model":"gpt-4o","stream_options":{"include_usage":true},"stream":true}"#,
    );
    check(
        "{\n  \"transforms\": [],\n  \"model\": \"a\",\n  \"provider\": null\n}",
        "{\n  \n  \"model\": \"gpt-4o\"\n}",
    );
}

#[test]
fn usage_is_asked_for_where_it_must_be() {
    let options = |options: &str| format!(r#"{{"model":"gpt-4o","stream":true,"stream_options":{options}}}"#);
    for (before, after) in [
        ("null", r#"{"include_usage":true}"#),
        ("{}", r#"{"include_usage":true}"#),
        ("{ }", r#"{"include_usage":true }"#),
        (r#"{"include_usage":false}"#, r#"{"include_usage":true}"#),
        (r#"{"include_usage":null,"x":1}"#, r#"{"include_usage":true,"x":1}"#),
        (r#"{ "x" : [1] }"#, r#"{"include_usage":true, "x" : [1] }"#),
        (r#"{"x":1,"include_usage" : true}"#, r#"{"x":1,"include_usage" : true}"#),
    ] {
        check(&options(before), &options(after));
        assert_eq!(spliced(&options(before), "gpt-4o", StreamUsage::Always), options(before));
    }
    check(
        r#"{"model":"gpt-4o","stream":true}"#,
        r#"{"stream_options":{"include_usage":true},"model":"gpt-4o","stream":true}"#,
    );
    let always = spliced(r#"{"stream":true}"#, "m", StreamUsage::Always);
    assert_eq!(always, r#"{"model":"m","stream":true}"#);
}

#[test]
fn every_mix_of_members_splices_into_valid_json() {
    const MEMBERS: [&str; 9] = [
        r#""provider":{"a":"},"}"#,
        r#""model":"x/y""#,
        r#""stream":true"#,
        r#""models":["a","b"]"#,
        r#""x":{"model":"inner"}"#,
        r#""stream_options":{"y":1}"#,
        r#""usage":{"include":true}"#,
        r#""messages":[]"#,
        r#""debug":{}"#,
    ];
    for subset in 0..1_usize << MEMBERS.len() {
        let mut chosen: Vec<_> =
            (0..MEMBERS.len()).filter(|at| subset & (1 << at) != 0).map(|at| MEMBERS[at]).collect();
        for _ in 0..2 {
            spliced(&format!("{{{}}}", chosen.join(",")), "m", StreamUsage::OnRequest);
            spliced(&format!("{{ {} }}", chosen.join(" , ")), "m", StreamUsage::Always);
            chosen.reverse();
        }
    }
}

#[test]
fn every_api_has_its_path() {
    assert_eq!(OpenAi.path(Api::ChatCompletions), "/chat/completions");
    assert_eq!(OpenAi.path(Api::Completions), "/completions");
    assert_eq!(OpenAi.path(Api::Embeddings), "/embeddings");
}
