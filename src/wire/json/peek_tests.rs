//! Tests of `peek`: tables of accepted and refused bodies, bounds, and agreement with a full JSON reader.
//!
//! Deliberately absent: splicing (`splice_tests`).

use super::exercise::exercise;
use super::generate::{Random, body, damaged};
use super::peek::{Key, model_names, peek};
use crate::base::limits::{JSON_DEPTH, JSON_MEMBERS, MODEL_NAME_BYTES};
use crate::wire::flaw::Flaw;

#[track_caller]
fn refused(body: &str, flaw: Flaw) {
    assert_eq!(peek(body.as_bytes()).err(), Some(flaw), "{body}");
    exercise(body.as_bytes());
}

#[track_caller]
fn accepted(body: &str) -> super::peek::Peek {
    exercise(body.as_bytes());
    for cut in 0..body.trim_end().len() {
        assert!(peek(&body.as_bytes()[..cut]).is_err(), "{body} cut at {cut}");
    }
    peek(body.as_bytes()).unwrap_or_else(|flaw| panic!("{flaw:?}: {body}"))
}

#[test]
fn finds_what_a_router_needs() {
    let body = r#" {"messages":[{"role":"user","content":"a \"quoted\" \\ text }]"}], "model":"a/b",
        "models":["c","d\u002fe"],"stream":true,"stream_options":{"include_usage":true,"x":1},"max_tokens":7,
        "max_completion_tokens":8,"provider":{"order":["x"]},"tools":[],"user":"u","session_id":"s",
        "metadata":{"k":"v"},"response_format":{"type":"text"},"temperature":0.5} "#;
    let peek = accepted(body);
    let text = |span: Option<crate::base::span::Span>| {
        span.map(|span| String::from_utf8_lossy(span.of(body.as_bytes())).into_owned())
    };
    assert_eq!(text(peek.model).as_deref(), Some("a/b"));
    assert!(!peek.model_escaped && peek.stream && peek.include_usage);
    assert_eq!(model_names(body.as_bytes(), &peek).collect::<Vec<_>>(), ["c", "d/e"]);
    assert_eq!(text(peek.stream_include_usage).as_deref(), Some("true"));
    assert_eq!((peek.max_tokens, peek.max_completion_tokens), (Some(7), Some(8)));
    assert_eq!(text(peek.user).as_deref(), Some("\"u\""));
    assert_eq!(
        text(peek.messages),
        Some(body[13..body.find("], \"model").expect("it is there") + 1].to_owned())
    );
    assert_eq!((peek.member_count, peek.members().len(), peek.object.start), (14, 13, 1));
    assert_eq!(peek.member(Key::Model).map(|member| member.ordinal), Some(1));
    assert_eq!(peek.member(Key::Plugins), None);
}

#[test]
fn null_counts_as_absent() {
    let peek = accepted(
        r#"{"model":null,"models":null,"stream":null,"stream_options":null,"max_tokens":null,
            "provider":null}"#,
    );
    assert!(peek.model.is_none() && peek.models.is_none() && !peek.stream && peek.stream_options.is_none());
    assert!(peek.max_tokens.is_none() && peek.provider.is_none());
    assert_eq!(peek.members().len(), 6);
    let peek = accepted(r#"{"stream_options":{"include_usage":null}}"#);
    assert!(!peek.include_usage && peek.stream_include_usage.is_some());
}

#[test]
fn an_escaped_model_is_decoded_on_demand() {
    let body = br#"{"model":"a\/\u0062"}"#;
    let peek = peek(body).expect("fine");
    assert!(peek.model_escaped);
    assert_eq!(peek.model_name(body).as_deref(), Some("a/b"));
}

#[test]
fn wrong_types_are_named() {
    let long = "x".repeat(MODEL_NAME_BYTES + 1);
    for bad in ["7", "\"\"", "[]", "\"a\\n\"", "\"\\x\"", "\"a\nb\"", "\"\\ud800\"", &format!("\"{long}\"")] {
        refused(&format!("{{\"model\":{bad}}}"), Flaw::Model);
    }
    accepted(&format!("{{\"model\":\"{}\"}}", &long[1..]));
    for bad in [
        "\"a\"",
        "[]",
        "{}",
        "[1]",
        "[\"\"]",
        "[\"a\",null]",
        "[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]",
    ] {
        refused(&format!("{{\"models\":{bad}}}"), Flaw::Models);
    }
    for bad in ["\"true\"", "1", "[]", "{}"] {
        refused(&format!("{{\"stream\":{bad}}}"), Flaw::Stream);
    }
    for bad in ["true", "[]", "\"\"", "{\"include_usage\":1}"] {
        refused(&format!("{{\"stream_options\":{bad}}}"), Flaw::StreamOptions);
    }
    for bad in ["0", "-1", "1.0", "1e2", "\"5\"", "true", "18446744073709551616"] {
        refused(&format!("{{\"max_tokens\":{bad}}}"), Flaw::MaxTokens);
        refused(&format!("{{\"max_completion_tokens\":{bad}}}"), Flaw::MaxTokens);
    }
}

#[test]
fn the_name_of_a_conversation_is_a_text_of_at_most_256_characters() {
    for (value, fits) in [
        (String::new(), true),
        ("x".repeat(256), true),
        ("x".repeat(257), false),
        ("ä".repeat(256), true),
        ("ä".repeat(257), false),
        ("\\u0041".repeat(256), true),
        ("\\u0041".repeat(257), false),
    ] {
        let body = format!("{{\"session_id\":\"{value}\"}}");
        let found = peek(body.as_bytes()).map(|peek| peek.session_id.map(|span| span.len()));
        assert_eq!(found, if fits { Ok(Some(value.len() + 2)) } else { Err(Flaw::SessionId) }, "{body}");
    }
    for bad in ["1", "true", "{}", "[\"a\"]"] {
        refused(&format!("{{\"session_id\":{bad}}}"), Flaw::SessionId);
    }
    assert_eq!(accepted("{\"session_id\":null}").session_id, None);
    // The cache key is the provider's member, and the provider's to refuse.
    for (value, taken) in [("\"k\"", true), ("7", false), ("null", false), ("{}", false)] {
        let peek = accepted(&format!("{{\"prompt_cache_key\":{value}}}"));
        assert_eq!((peek.prompt_cache_key.is_some(), peek.members().len()), (taken, 1), "{value}");
    }
    refused(r#"{"prompt_cache_key":"a","prompt_cache_key":"a"}"#, Flaw::JsonDuplicateKey);
}

#[test]
fn two_readers_cannot_disagree() {
    refused(r#"{"model":"a","model":"b"}"#, Flaw::JsonDuplicateKey);
    refused(r#"{"model":"a","x":1,"stream":true,"model":"a"}"#, Flaw::JsonDuplicateKey);
    refused(r#"{"x":1,"xy":2,"x":1}"#, Flaw::JsonDuplicateKey);
    refused(r#"{"":1,"":2}"#, Flaw::JsonDuplicateKey);
    refused(r#"{"model":"a","Model":"b"}"#, Flaw::JsonDuplicateKey);
    refused(r#"{"MAX_TOKENS":1}"#, Flaw::JsonDuplicateKey);
    refused(r#"{"mod\u0065l":"a"}"#, Flaw::JsonEscapedKey);
    refused(r#"{"x\n":"a"}"#, Flaw::JsonEscapedKey);
    refused(r#"{"stream_options":{"include_usage":true,"include_usage":false}}"#, Flaw::JsonDuplicateKey);
    refused(r#"{"stream_options":{"include_us\u0061ge":true}}"#, Flaw::JsonEscapedKey);
    accepted(r#"{"x":{"model":"a","model":"b"},"xx":1,"xxx":2,"User":1}"#);
}

#[test]
fn what_is_not_one_object_is_refused() {
    for bad in [
        "",
        " ",
        "[]",
        "\"a\"",
        "1",
        "null",
        "{",
        "}",
        "{}{}",
        "{} x",
        "{},",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":tru}",
        "{\"a\":True}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":+1}",
        "{\"a\":NaN}",
        "{\"a\":\"}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":[}",
        "{\"a\":[1}]",
        "{\"a\" 1}",
        "{\"a\":1;}",
        "{\"a\":1 \"b\":2}",
        "{/**/}",
        "\u{feff}{}",
        "{\"a\":\"\\\"}",
        "{\u{a0}}",
    ] {
        refused(bad, Flaw::Json);
    }
    accepted(" \t\r\n{ } \n");
}

#[test]
fn bounds_hold() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    accepted(&nested(JSON_DEPTH - 1));
    refused(&nested(JSON_DEPTH), Flaw::JsonDepth);
    refused(&format!("{{\"a\":{}", "[".repeat(100_000)), Flaw::JsonDepth);
    let many = |count: usize| {
        let members: Vec<_> = (0..count).map(|number| format!("\"k{number}\":{number}")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(accepted(&many(JSON_MEMBERS)).member_count, 256);
    refused(&many(JSON_MEMBERS + 1), Flaw::JsonMembers);
    let mut twice = many(JSON_MEMBERS - 1);
    twice.insert_str(1, "\"k254\":0,");
    refused(&twice, Flaw::JsonDuplicateKey);
    let late = many(200).replace('}', ",\"k100\":0}");
    refused(&late, Flaw::JsonDuplicateKey);
}

#[test]
fn random_bodies_agree_with_a_full_reader() {
    let mut fine = 0;
    for seed in 1..=4000 {
        let mut random = Random::new(seed);
        let text = body(&mut random);
        let broken = damaged(&mut random);
        let run = std::panic::catch_unwind(|| {
            exercise(text.as_bytes());
            exercise(&broken);
        });
        assert!(run.is_ok(), "seed {seed}: {text}\n{}", String::from_utf8_lossy(&broken));
        fine += usize::from(peek(text.as_bytes()).is_ok());
    }
    assert!((1000..3900).contains(&fine), "{fine} of 4000 accepted: the generator is lopsided");
}

#[test]
fn a_frame_that_is_used_again_says_what_a_fresh_one_does() {
    let says = |peek: &super::peek::Peek, text: &[u8]| {
        let spans = [peek.model, peek.models, peek.stream_options, peek.stream_include_usage, peek.provider];
        let more =
            [peek.tools, peek.response_format, peek.user, peek.session_id, peek.metadata, peek.messages];
        let flags = (peek.model_escaped, peek.stream, peek.include_usage, peek.prompt_cache_key);
        let numbers = (peek.max_tokens, peek.max_completion_tokens, peek.member_count, peek.object);
        let names: Vec<String> = model_names(text, peek).map(|name| name.into_owned()).collect();
        (spans, more, flags, numbers, names, peek.members().to_vec())
    };
    let (mut used, mut random) = (super::peek::Peek::default(), Random::new(7));
    for _ in 0..1000 {
        for text in [body(&mut random).into_bytes(), damaged(&mut random)] {
            let fresh = peek(&text);
            assert_eq!(used.read(&text), fresh.as_ref().map(|_| ()).map_err(|flaw| *flaw));
            if let Ok(fresh) = fresh {
                assert_eq!(says(&used, &text), says(&fresh, &text), "{}", text.escape_ascii());
            }
        }
    }
}
