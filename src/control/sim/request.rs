//! Reading requests of the OpenAI dialect, as strictly as a provider would, into what the simulator needs of
//! them.
//!
//! Deliberately absent: sampling parameters (they are accepted and mean nothing here) and what the answer
//! will be.

use core::time::Duration;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

/// Most numbered words of an answer.
const TOKENS_MAX: u64 = 10_000;
/// Longest pause between two tokens, in milliseconds.
const GAP_MS_MAX: u64 = 10_000;
/// Longest pause before the first byte, in milliseconds.
const FIRST_MS_MAX: u64 = 60_000;
/// Most stop sequences, as in OpenAI's API.
const STOPS_MAX: usize = 4;

/// Why a request is refused, in the terms of OpenAI's error object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// HTTP status.
    pub(super) status: u16,
    /// The member at fault.
    pub(super) param: Option<&'static str>,
    /// OpenAI's machine-readable code.
    pub(super) code: Option<&'static str>,
    /// What is wrong and what would be right.
    pub(super) message: String,
}

impl Refusal {
    /// A 400 about one member.
    pub(super) fn bad(param: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, param: Some(param), code: None, message: message.into() }
    }

    /// The 404 of an upstream model that does not exist for this API.
    pub(super) fn no_model(name: &str) -> Self {
        let message = format!("The model `{name}` does not exist or does not serve this API.");
        Self { status: 404, param: Some("model"), code: Some("model_not_found"), message }
    }

    /// A body that is not JSON of the expected shape.
    fn shape(error: &serde_json::Error) -> Self {
        Self {
            status: 400,
            param: None,
            code: None,
            message: format!("We could not parse the JSON body: {error}"),
        }
    }
}

/// `POST /v1/chat/completions`
#[derive(Debug, Deserialize)]
pub(super) struct Chat {
    /// The conversation.
    pub(super) messages: Vec<Message>,
    /// Tools offered.
    #[serde(default)]
    pub(super) tools: Option<Vec<Value>>,
    /// Which of them to use.
    #[serde(default)]
    pub(super) tool_choice: Option<Value>,
    /// What both text APIs have.
    #[serde(flatten)]
    pub(super) common: Common,
}

/// `POST /v1/completions`
#[derive(Debug, Deserialize)]
pub(super) struct Completion {
    /// One prompt.
    pub(super) prompt: Prompt,
    /// What both text APIs have.
    #[serde(flatten)]
    pub(super) common: Common,
}

/// `POST /v1/embeddings`
#[derive(Debug, Deserialize)]
pub(super) struct Embedding {
    /// Upstream name.
    pub(super) model: String,
    /// One or many inputs.
    pub(super) input: Prompt,
    /// Length of the vectors.
    #[serde(default)]
    pub(super) dimensions: Option<u64>,
    /// `float` or `base64`.
    #[serde(default)]
    pub(super) encoding_format: Option<String>,
}

/// Members that chat and legacy completions share.
#[derive(Debug, Deserialize)]
pub(super) struct Common {
    /// Upstream name.
    pub(super) model: String,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    max_completion_tokens: Option<u64>,
    #[serde(default)]
    stop: Option<OneOrMany>,
    #[serde(default)]
    n: Option<u64>,
    #[serde(default)]
    metadata: Option<HashMap<String, Value>>,
}

/// One message; other members are accepted.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    /// `system`, `user`, `assistant`, `tool`, …
    pub(super) role: String,
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Text or token ids, one or many: the shapes of `prompt` and `input`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Prompt {
    /// `"…"`
    Text(String),
    /// `[1, 2]`
    Ids(Vec<i64>),
    /// `["…", "…"]`
    Texts(Vec<String>),
    /// `[[1, 2], [3]]`
    IdLists(Vec<Vec<i64>>),
}

/// The checked members that chat and legacy completions share.
#[derive(Debug)]
pub(super) struct Terms {
    /// Answer as a stream of events.
    pub(super) stream: bool,
    /// End the stream with a usage chunk.
    pub(super) include_usage: bool,
    /// Most tokens of the answer.
    pub(super) tokens_max: Option<u64>,
    /// The answer ends before the first of these.
    pub(super) stops: Vec<String>,
    /// Numbered words wanted instead of a sentence.
    pub(super) tokens: Option<u64>,
    /// Pause between two tokens.
    pub(super) gap: Option<Duration>,
    /// Pause before the first byte.
    pub(super) first: Option<Duration>,
}

/// Reads a body.
///
/// # Errors
/// A 400 when it is not JSON of the expected shape.
pub(super) fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::shape(&error))
}

impl Message {
    /// The text of the message: its content, or its text parts separated by blanks.
    pub(super) fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => {
                let texts: Vec<&str> = parts.iter().filter_map(|part| part.text.as_deref()).collect();
                texts.join(" ")
            }
        }
    }
}

impl Common {
    /// Checks the shared members.
    ///
    /// # Errors
    /// A 400 that names the member at fault.
    pub(super) fn terms(&self) -> Result<Terms, Refusal> {
        if self.n.is_some_and(|n| n != 1) {
            return Err(Refusal::bad("n", "`n` must be 1: this provider gives one answer per request."));
        }
        let limits = [self.max_tokens, self.max_completion_tokens];
        if limits.contains(&Some(0)) {
            return Err(Refusal::bad("max_tokens", "The most tokens of an answer must be at least 1."));
        }
        let stops = match &self.stop {
            None => Vec::new(),
            Some(OneOrMany::One(stop)) => vec![stop.clone()],
            Some(OneOrMany::Many(stops)) => stops.clone(),
        };
        if stops.len() > STOPS_MAX || stops.iter().any(String::is_empty) {
            return Err(Refusal::bad("stop", "`stop` must be one to four strings that are not empty."));
        }
        let millis = |value: Option<u64>| value.map(Duration::from_millis);
        Ok(Terms {
            stream: self.stream.unwrap_or(false),
            include_usage: self
                .stream_options
                .as_ref()
                .and_then(|options| options.include_usage)
                .unwrap_or(false),
            tokens_max: limits.into_iter().flatten().min(),
            stops,
            tokens: self.override_of("tokens", 1, TOKENS_MAX)?,
            gap: millis(self.override_of("gap_ms", 0, GAP_MS_MAX)?),
            first: millis(self.override_of("first_ms", 0, FIRST_MS_MAX)?),
        })
    }

    /// A number in `metadata`, whose values are strings in OpenAI's API.
    fn override_of(&self, key: &str, least: u64, most: u64) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.metadata.as_ref().and_then(|metadata| metadata.get(key)) else {
            return Ok(None);
        };
        let number = match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        match number.filter(|number| (least..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let message = format!("`metadata.{key}` must be a whole number from {least} to {most}.");
                Err(Refusal::bad("metadata", message))
            }
        }
    }
}
