//! What an answer will be, decided before its first byte: its text or tool call, its usage, why it ends, its
//! pace.
//!
//! The token rule: a token of a text is a word together with the white space before it (white space at the
//! very end belongs to the last word); a token of a tool call is up to eight characters of its arguments.
//! `completion_tokens` counts these, and a stream sends one of them per event. `prompt_tokens` counts the
//! words of all messages (ids, for a prompt of token ids), and is at least 1.
//!
//! Deliberately absent: JSON and HTTP (`render`), and the clock (`body`).

use core::time::Duration;

use serde_json::Value;

use super::request::{Chat, Completion, Prompt, Refusal, Terms};
use super::tool;

/// Numbered words of `steady` when the request does not say how many.
const STEADY_TOKENS: u64 = 50;
/// Pause between two tokens of `steady`.
const STEADY_GAP: Duration = Duration::from_millis(20);
/// Silence of `slow-start`.
const SLOW_START: Duration = Duration::from_secs(3);
/// Words of the conversation that an answer repeats.
const QUOTED_WORDS: usize = 32;
/// Most characters it repeats: a word may be as long as the request.
const QUOTED_CHARS: usize = 1024;
/// Characters of one token of a tool call's arguments.
const ARGUMENT_TOKEN_CHARS: usize = 8;

/// The upstream models that answer with text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextModel {
    Fast,
    Steady,
    SlowStart,
    Tools,
}

/// What is generated.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Text.
    Text(String),
    /// One call of a tool.
    Call {
        /// The function's name.
        name: String,
        /// JSON text, cut when the answer's length was limited.
        arguments: String,
    },
}

/// The whole answer.
#[derive(Debug)]
pub(super) struct Script {
    /// Upstream name, repeated in the answer.
    pub(super) model: String,
    /// Chat or legacy completion.
    pub(super) chat: bool,
    /// Answer as a stream of events.
    pub(super) stream: bool,
    /// End the stream with a usage chunk.
    pub(super) include_usage: bool,
    /// What is generated.
    pub(super) output: Output,
    /// `stop`, `length` or `tool_calls`.
    pub(super) finish_reason: &'static str,
    /// By the rule above.
    pub(super) prompt_tokens: u64,
    /// How many of them come from a cache; `None` where there is none.
    pub(super) cached_tokens: Option<u64>,
    /// By the rule above.
    pub(super) completion_tokens: u64,
    /// Silence before the first byte.
    pub(super) first: Duration,
    /// Pause between two tokens.
    pub(super) gap: Duration,
}

/// Writes the script of a chat request.
///
/// # Errors
/// A refusal as a provider would give it.
pub(super) fn chat(request: &Chat) -> Result<Script, Refusal> {
    let terms = request.common.terms()?;
    let model = text_model(&request.common.model)?;
    let Some(last) = request.messages.last() else {
        return Err(Refusal::bad("messages", "`messages` must hold at least one message."));
    };
    let texts: Vec<String> = request.messages.iter().map(super::request::Message::text).collect();
    let call = match model {
        // After a tool's result the conversation goes on in words; otherwise agents would call for ever.
        TextModel::Tools if last.role != "tool" => tool::choose(request)?,
        TextModel::Fast | TextModel::Steady | TextModel::SlowStart | TextModel::Tools => None,
    };
    let prompt_tokens = texts.iter().map(|text| words(text)).sum();
    let is_cached = super::routed::CACHED.contains(&request.common.model.as_str());
    let cached_tokens = texts[..texts.len() - 1].iter().map(|text| words(text)).sum();
    let output = match call {
        Some(call) => Output::Call { name: call.name, arguments: call.arguments.to_string() },
        None => Output::Text(sentence(model, &terms, &last.role, texts.last().map_or("", String::as_str))),
    };
    let script = script(&request.common.model, model, true, output, &terms, prompt_tokens);
    Ok(Script { cached_tokens: is_cached.then_some(cached_tokens), ..script })
}

/// Writes the script of a legacy completion.
///
/// # Errors
/// A refusal as a provider would give it.
pub(super) fn completion(request: &Completion) -> Result<Script, Refusal> {
    let terms = request.common.terms()?;
    let model = text_model(&request.common.model)?;
    let (text, prompt_tokens) = match &request.prompt {
        Prompt::Text(text) => (text.as_str(), words(text)),
        Prompt::Texts(texts) if texts.len() == 1 => (texts[0].as_str(), words(&texts[0])),
        Prompt::Ids(ids) if !ids.is_empty() => ("", ids.len() as u64),
        Prompt::IdLists(lists) if lists.len() == 1 => ("", lists[0].len() as u64),
        Prompt::Texts(_) | Prompt::Ids(_) | Prompt::IdLists(_) => {
            return Err(Refusal::bad(
                "prompt",
                "`prompt` must be exactly one text or one list of token ids.",
            ));
        }
    };
    let output = Output::Text(sentence(model, &terms, "user", text));
    Ok(script(&request.common.model, model, false, output, &terms, prompt_tokens))
}

/// Applies the limits on length and the stop sequences, and counts.
fn script(
    name: &str,
    model: TextModel,
    chat: bool,
    output: Output,
    terms: &Terms,
    prompt_tokens: u64,
) -> Script {
    let (output, finish_reason) = bounded(output, terms);
    Script {
        model: name.to_owned(),
        chat,
        stream: terms.stream,
        include_usage: terms.include_usage,
        finish_reason,
        prompt_tokens: prompt_tokens.max(1),
        cached_tokens: None,
        completion_tokens: output.tokens(),
        output,
        first: terms.first.unwrap_or(if model == TextModel::SlowStart { SLOW_START } else { Duration::ZERO }),
        gap: terms.gap.unwrap_or(if model == TextModel::Steady { STEADY_GAP } else { Duration::ZERO }),
    }
}

fn text_model(name: &str) -> Result<TextModel, Refusal> {
    match name {
        "fast" | "flaky" => Ok(TextModel::Fast),
        routed if super::routed::NAMES.contains(&routed) => Ok(TextModel::Fast),
        cached if super::routed::CACHED.contains(&cached) => Ok(TextModel::Fast),
        "steady" => Ok(TextModel::Steady),
        "slow-start" => Ok(TextModel::SlowStart),
        "tools" => Ok(TextModel::Tools),
        other => Err(Refusal::no_model(other)),
    }
}

/// The words of the answer before any limit.
fn sentence(model: TextModel, terms: &Terms, role: &str, said: &str) -> String {
    let default = (model == TextModel::Steady).then_some(STEADY_TOKENS);
    if let Some(count) = terms.tokens.or(default) {
        let numbered: Vec<String> = (1..=count).map(|number| format!("word-{number}")).collect();
        return numbered.join(" ");
    }
    let quoted: Vec<&str> = said.split_whitespace().take(QUOTED_WORDS).collect();
    let quoted: String = quoted.join(" ").chars().take(QUOTED_CHARS).collect();
    match (quoted.is_empty(), role) {
        (true, _) => "This is the built-in simulator; there was nothing to answer.".to_owned(),
        (false, "tool") => format!("The tool answered: {quoted}"),
        (false, _) => format!("This is the built-in simulator. You said: {quoted}"),
    }
}

fn bounded(output: Output, terms: &Terms) -> (Output, &'static str) {
    let most = terms.tokens_max.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let limited = output.cut_after(most);
    let whole = limited == output.content().len();
    match output {
        Output::Call { name, mut arguments } => {
            arguments.truncate(limited);
            (Output::Call { name, arguments }, if whole { "tool_calls" } else { "length" })
        }
        Output::Text(mut text) => {
            text.truncate(limited);
            // The stop sequence ends generation as soon as it would appear, and is not part of the answer.
            match terms.stops.iter().filter_map(|stop| text.find(stop.as_str())).min() {
                Some(at) => {
                    text.truncate(at);
                    (Output::Text(text), "stop")
                }
                None => (Output::Text(text), if whole { "stop" } else { "length" }),
            }
        }
    }
}

impl Output {
    /// The generated characters: the text, or the call's arguments.
    pub(super) fn content(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Call { arguments, .. } => arguments,
        }
    }

    /// Where the token that starts at byte `from` ends; `from` itself when nothing is left.
    pub(super) fn token_end(&self, from: usize) -> usize {
        let rest = &self.content()[from..];
        match self {
            Self::Call { .. } => {
                rest.char_indices().nth(ARGUMENT_TOKEN_CHARS).map_or(rest.len(), |(at, _)| at) + from
            }
            Self::Text(_) => {
                let word = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
                let end = rest[word..].find(char::is_whitespace).map_or(rest.len(), |at| word + at);
                let last = rest[end..].trim_start().is_empty();
                from + if last { rest.len() } else { end }
            }
        }
    }

    /// How many tokens it has.
    fn tokens(&self) -> u64 {
        let (mut at, mut count) = (0, 0);
        while at < self.content().len() {
            at = self.token_end(at);
            count += 1;
        }
        count
    }

    /// Where the first `most` tokens end, in bytes.
    fn cut_after(&self, most: usize) -> usize {
        let (mut at, mut count) = (0, 0);
        while at < self.content().len() && count < most {
            at = self.token_end(at);
            count += 1;
        }
        at
    }
}

impl Script {
    /// The pause of an answer that is not a stream: as long as the stream's last token would have taken.
    pub(super) fn whole_after(&self) -> Duration {
        let gaps = u32::try_from(self.completion_tokens.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_add(self.gap.saturating_mul(gaps))
    }

    /// OpenAI's usage object.
    pub(super) fn usage(&self) -> Value {
        let mut usage = serde_json::json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        });
        if let Some(cached) = self.cached_tokens {
            usage["prompt_tokens_details"] = serde_json::json!({"cached_tokens": cached});
        }
        usage
    }
}

/// Words of a text: runs of characters that are not white space.
pub(super) fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}
