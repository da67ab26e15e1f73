//! Texts of events: as people write them, and against a slow reading with serde_json.
//!
//! Deliberately absent: what is counted of them.

use serde_json::{Value, json};

use super::*;
use crate::wire::json::text::unescape;

/// Texts of each choice and section, in order of appearance; parts of one text are joined.
type Found = Vec<(u32, Section, String)>;

struct Sink<'t> {
    data: &'t [u8],
    found: Found,
}

impl TextSink for Sink<'_> {
    fn text(&mut self, text: Text) {
        assert!(!text.at.is_empty());
        let raw = text.at.of(self.data);
        let part = unescape(raw).unwrap_or_else(|| String::from_utf8_lossy(raw).into_owned());
        push(&mut self.found, text.choice, text.section, &part);
    }
}

fn push(found: &mut Found, choice: u32, section: Section, part: &str) {
    if part.is_empty() {
        return;
    }
    match found.iter_mut().find(|one| (one.0, one.1) == (choice, section)) {
        Some(one) => one.2.push_str(part),
        None => found.push((choice, section, part.to_owned())),
    }
}

fn found(data: &[u8]) -> (Found, Option<usize>) {
    let mut sink = Sink { data, found: Vec::new() };
    let end = texts(data, &mut sink);
    (sink.found, end)
}

#[track_caller]
fn check(data: &str, want: &[(u32, Section, &str)]) {
    let want: Found = want.iter().map(|one| (one.0, one.1, one.2.to_owned())).collect();
    let (texts, end) = found(data.as_bytes());
    assert_eq!(texts, want, "{data}");
    let end = end.expect("whole");
    // What is behind the place that was said is not looked at.
    let (again, same) = found(&[&data.as_bytes()[..end], b"\"},{[\"choices\":"].concat());
    assert_eq!((again, same), (texts, Some(end)), "{data}");
    for cut in 0..end {
        let (_, end) = found(&data.as_bytes()[..cut]);
        assert_eq!(end, None, "cut at {cut}: {data}");
    }
}

use Section::{Reasoning, ToolArguments, ToolName};

#[test]
fn events_as_providers_write_them() {
    let openai = [
        r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"#,
        r#""delta":{"content":"Hi \"you\"\n"},"logprobs":null,"finish_reason":null}],"obfuscation":"x"}"#,
    ];
    check(&openai.concat(), &[(0, Section::Text, "Hi \"you\"\n")]);
    check(r#"{"choices":[{"delta":{"role":"assistant","content":""},"index":0}]}"#, &[]);
    check(r#"{"choices":[{"delta":{"role":"assistant","content":null},"index":0}]}"#, &[]);
    check(r#"{"choices":[{"delta":{"content":"b"},"index":3}]}"#, &[(3, Section::Text, "b")]);
    check(
        r#"{"choices":[{"index":0,"delta":{"content":null,"reasoning_content":"Hm"}}]}"#,
        &[(0, Reasoning, "Hm")],
    );
    check(
        r#"{"choices":[{"delta":{"content":"","reasoning":"Hm","reasoning_details":[{"text":"Hm"}]}}]}"#,
        &[(0, Reasoning, "Hm")],
    );
    check(
        r#"{"choices":[{"index":0,"delta":{"reasoning":"Hm","reasoning_content":"Hm","content":"a"}}]}"#,
        &[(0, Reasoning, "Hm"), (0, Section::Text, "a")],
    );
    check(
        &[
            r#"{"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":["#,
            r#"{"type":"text","text":"Well"}]},{"type":"text","text":"Yes"}]}}]}"#,
        ]
        .concat(),
        &[(0, Reasoning, "Well"), (0, Section::Text, "Yes")],
    );
    check(
        &[
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"t","type":"function","#,
            r#""function":{"name":"look","arguments":"{\"a\":"}}]}}]}"#,
        ]
        .concat(),
        &[(0, ToolName(1), "look"), (0, ToolArguments(1), "{\"a\":")],
    );
    check(
        r#"{"id":"c","choices":[{"text":" world","index":0}],"usage":null}"#,
        &[(0, Section::Text, " world")],
    );
    check(
        &[
            r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"All","refusal":null}},"#,
            r#"{"index":1,"message":{"content":"Two"}}]}"#,
        ]
        .concat(),
        &[(0, Section::Text, "All"), (1, Section::Text, "Two")],
    );
    check(r#"{"choices":[{"index":0,"delta":{"refusal":"No."}}]}"#, &[(0, Section::Text, "No.")]);
    check(r#"{"choices":[],"usage":{"prompt_tokens":1}}"#, &[]);
    check(r#"{"choices":null}"#, &[]);
    check("{}", &[]);
}

#[test]
fn other_texts_and_broken_ones() {
    for data in [
        "",
        "[DONE]",
        "[]",
        "{",
        "\"choices\"",
        "{\"choices\":[{]}",
        "{\"choices\":[{\"delta\":{\"content\":\"a",
    ] {
        let (texts, end) = found(data.as_bytes());
        assert_eq!((texts.len(), end), (0, None), "{data}");
    }
    // Text that looks like an event is text.
    let inner = r#"{"choices":[{"delta":{"content":"x"}}]}"#;
    let data =
        json!({ "note": inner, "choices": [{ "index": 0, "delta": { "content": inner } }] }).to_string();
    check(&data, &[(0, Section::Text, inner)]);
}

#[test]
fn more_texts_than_are_held() {
    let calls: Vec<Value> = (0..40)
        .map(|index| json!({ "index": index, "function": { "name": "n", "arguments": "{}" } }))
        .collect();
    let data = json!({ "choices": [{ "delta": { "tool_calls": calls } }] }).to_string();
    assert_eq!(found(data.as_bytes()).0.len(), 80);
}

/// The slow reading.
fn slow(data: &[u8]) -> Found {
    let mut found = Found::new();
    let Ok(event) = serde_json::from_slice::<Value>(data) else { return found };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for (turn, choice) in list(&event["choices"]).iter().enumerate() {
        let index = choice["index"].as_u64().map_or(turn as u32, |index| index as u32);
        let mut add = |section, value: &Value| push(&mut found, index, section, value.as_str().unwrap_or(""));
        add(Section::Text, &choice["text"]);
        for delta in [&choice["delta"], &choice["message"]] {
            add(Section::Text, &delta["content"]);
            for part in list(&delta["content"]) {
                add(Section::Text, &part["text"]);
                add(Reasoning, &part["thinking"]);
                list(&part["thinking"]).iter().for_each(|thought| add(Reasoning, &thought["text"]));
            }
            add(Section::Text, &delta["refusal"]);
            let long = &delta["reasoning_content"];
            add(
                Reasoning,
                if long.as_str().is_some_and(|text| !text.is_empty()) { long } else { &delta["reasoning"] },
            );
            for (turn, call) in list(&delta["tool_calls"]).iter().enumerate() {
                let index = call["index"].as_u64().map_or(turn as u32, |index| index as u32);
                add(ToolName(index), &call["function"]["name"]);
                add(ToolArguments(index), &call["function"]["arguments"]);
            }
        }
    }
    found
}

/// A small random generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn string(&mut self) -> Value {
        const PARTS: [&str; 10] = [
            "",
            "a",
            "\"",
            "\\",
            "\n",
            "é",
            "😀",
            "\"delta\":{\"content\":\"",
            "}],",
            " the quick brown fox jumps over it",
        ];
        let count = self.below(4);
        Value::String((0..count).map(|_| PARTS[self.below(PARTS.len())]).collect())
    }

    /// Something where a text may be, or what else servers and others put there.
    fn value(&mut self) -> Value {
        match self.below(8) {
            0 => Value::Null,
            1 => json!(self.below(1000)),
            2 => json!({ "text": self.string() }),
            3 => json!([]),
            _ => self.string(),
        }
    }

    fn delta(&mut self) -> Value {
        let mut delta = json!({ "role": "assistant" });
        for _ in 0..self.below(4) {
            match self.below(6) {
                0 | 1 => delta["content"] = self.value(),
                2 => {
                    let (text, thought, string) = (self.value(), self.value(), self.string());
                    let text = json!({ "type": "text", "text": text });
                    let thoughts = json!({ "thinking": [{ "text": thought }] });
                    delta["content"] = json!([text, thoughts, { "thinking": string }, 7]);
                }
                3 => {
                    let text = self.string();
                    delta["reasoning_content"] = if self.below(2) == 0 { text.clone() } else { Value::Null };
                    delta["reasoning"] = text;
                }
                4 => {
                    let (index, name, arguments) = (self.below(3), self.value(), self.value());
                    let first =
                        json!({ "index": index, "function": { "name": name, "arguments": arguments } });
                    let second = json!({ "function": { "arguments": self.string() } });
                    delta["tool_calls"] = json!([first, second, "x"]);
                }
                _ => delta["extra"] = json!({ "delta": { "content": self.string() } }),
            }
        }
        delta
    }

    fn event(&mut self) -> Value {
        let choices: Vec<Value> = (0..self.below(3))
            .map(|_| match self.below(8) {
                0 => json!({ "text": self.value() }),
                1 => json!({ "index": self.below(5), "message": self.delta(), "finish_reason": "stop" }),
                2 => self.value(),
                _ => {
                    let logprobs = json!({ "content": [self.string()] });
                    json!({ "delta": self.delta(), "index": self.below(3), "logprobs": logprobs })
                }
            })
            .collect();
        json!({ "id": self.string(), "choices": choices, "usage": null, "x": self.value() })
    }
}

#[test]
fn random_events_are_read_as_serde_json_reads_them() {
    let (mut random, mut with_text) = (Random(0x9e37_79b9_7f4a_7c15), 0);
    for turn in 0..6000 {
        let event = random.event();
        let data =
            if turn % 3 == 0 { serde_json::to_string_pretty(&event) } else { serde_json::to_string(&event) };
        let data = data.expect("it is JSON");
        let sorted = |mut found: Found| {
            found.sort_by_key(|one| format!("{one:?}"));
            found
        };
        let want = sorted(slow(data.as_bytes()));
        with_text += usize::from(!want.is_empty());
        assert_eq!(sorted(found(data.as_bytes()).0), want, "{data}");
        if turn % 20 == 0 {
            (0..data.len()).for_each(|cut| drop(found(&data.as_bytes()[..cut])));
        }
    }
    assert!(with_text > 2000, "{with_text} events with text");
}
