//! Answers as bytes: whole JSON objects, and the events of a stream, one per token.
//!
//! Deliberately absent: HTTP and when to send what.

use bytes::Bytes;
use serde_json::{Value, json};

use super::request::Refusal;
use super::script::{Output, Script};

/// Names an answer: its number and when it was made (Unix seconds).
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// Number of the request.
    pub(super) number: u64,
    /// Unix seconds.
    pub(super) created: u64,
}

/// The answer in one piece.
pub(super) fn whole(script: &Script, stamp: Stamp) -> Bytes {
    let choice = match (&script.output, script.chat) {
        (Output::Text(text), true) => json!({
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": null},
            "logprobs": null,
            "finish_reason": script.finish_reason,
        }),
        (Output::Text(text), false) => json!({
            "index": 0, "text": text, "logprobs": null, "finish_reason": script.finish_reason,
        }),
        (Output::Call { name, arguments }, _) => json!({
            "index": 0,
            "message": {
                "role": "assistant", "content": null, "refusal": null,
                "tool_calls": [{
                    "id": call_id(stamp), "type": "function",
                    "function": {"name": name, "arguments": arguments},
                }],
            },
            "logprobs": null,
            "finish_reason": script.finish_reason,
        }),
    };
    let answer = json!({
        "id": id(script, stamp),
        "object": if script.chat { "chat.completion" } else { "text_completion" },
        "created": stamp.created,
        "model": script.model,
        "system_fingerprint": null,
        "choices": [choice],
        "usage": script.usage(),
    });
    bytes_of(&answer)
}

/// A refusal as OpenAI words it.
pub(super) fn refusal(refusal: &Refusal) -> Bytes {
    error(&refusal.message, "invalid_request_error", refusal.param, refusal.code.map(Value::from))
}

/// OpenAI's error object.
pub(super) fn error(message: &str, kind: &str, param: Option<&str>, code: Option<Value>) -> Bytes {
    bytes_of(&json!({"error": {"message": message, "type": kind, "param": param, "code": code}}))
}

/// One server-sent event.
pub(super) fn event(data: &[u8]) -> Bytes {
    Bytes::from([b"data: ", data, b"\n\n"].concat())
}

/// The unchanging parts of a stream's events, made once, so that an event costs one allocation.
#[derive(Debug)]
pub(super) struct Events {
    /// From `data: ` up to and including `"choices":`.
    before: String,
    /// What follows the list of choices: `"usage":null` when usage was asked for.
    after: &'static str,
    chat: bool,
    stamp: Stamp,
}

impl Events {
    /// Prepares the events of a stream.
    pub(super) fn new(script: &Script, stamp: Stamp) -> Self {
        let object = if script.chat { "chat.completion.chunk" } else { "text_completion" };
        let (id, created, model) = (id(script, stamp), stamp.created, Value::from(script.model.as_str()));
        let before = format!(
            "data: {{\"id\":\"{id}\",\"object\":\"{object}\",\"created\":{created},\"model\":{model},\
             \"system_fingerprint\":null,\"choices\":"
        );
        let after = if script.include_usage { ",\"usage\":null}\n\n" } else { "}\n\n" };
        Self { before, after, chat: script.chat, stamp }
    }

    /// The first event of a chat answer: the role, and the head of a tool call.
    pub(super) fn role(&self, output: &Output) -> Bytes {
        let delta = match output {
            Output::Text(_) => json!({"role": "assistant", "content": "", "refusal": null}),
            Output::Call { name, .. } => json!({
                "role": "assistant", "content": null,
                "tool_calls": [{
                    "index": 0, "id": call_id(self.stamp), "type": "function",
                    "function": {"name": name, "arguments": ""},
                }],
            }),
        };
        self.choice(&delta.to_string(), "null")
    }

    /// One token.
    pub(super) fn token(&self, output: &Output, token: &str) -> Bytes {
        let text = Value::from(token);
        let delta = match output {
            Output::Text(_) if self.chat => format!("{{\"content\":{text}}}"),
            Output::Text(_) => text.to_string(),
            Output::Call { .. } => {
                format!("{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":{text}}}}}]}}")
            }
        };
        self.choice(&delta, "null")
    }

    /// Why the answer ended.
    pub(super) fn finish(&self, reason: &str) -> Bytes {
        self.choice(if self.chat { "{}" } else { "\"\"" }, &Value::from(reason).to_string())
    }

    /// The usage chunk: no choices.
    pub(super) fn usage(&self, usage: &Value) -> Bytes {
        Bytes::from(format!("{}[],\"usage\":{usage}}}\n\n", self.before))
    }

    fn choice(&self, content: &str, finish: &str) -> Bytes {
        let member = if self.chat { "delta" } else { "text" };
        let (before, after) = (&self.before, self.after);
        Bytes::from(format!(
            "{before}[{{\"index\":0,\"{member}\":{content},\"logprobs\":null,\
             \"finish_reason\":{finish}}}]{after}"
        ))
    }
}

fn id(script: &Script, stamp: Stamp) -> String {
    format!("{}-sim{}", if script.chat { "chatcmpl" } else { "cmpl" }, stamp.number)
}

fn call_id(stamp: Stamp) -> String {
    format!("call_sim{}", stamp.number)
}

fn bytes_of(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}
