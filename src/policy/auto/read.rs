//! The signals of a request, from the bytes of its body and what `peek` has found there.
//!
//! Messages are passed over with the scanner, which looks at quotes and brackets only; of their text just the
//! last user turn is read, its first 2 KiB and its last 1 KiB. So the cost is bounded, whatever the body's
//! size, but for the passing over.
//! Deliberately absent: any check of the body. What is not as expected gives no signal.

use super::signal::{Signal, Signals};
use super::text::Reading;
use crate::base::span::Span;
use crate::policy::catalog::{Modalities, Parameter};
use crate::policy::route::used_parameters;
use crate::wire::json::peek::Peek;
use crate::wire::json::scan::{Fields, Items, unsigned};

/// Bytes read from the beginning of the last user turn.
const HEAD_BYTES: usize = 2 << 10;
/// Bytes read from its end.
const TAIL_BYTES: usize = 1 << 10;
/// Parts of one message that are looked at.
const PARTS: usize = 64;

const LONG_TURN_BYTES: usize = 1 << 10;
const LONG_PROMPT_BYTES: usize = 8 << 10;
const HUGE_PROMPT_BYTES: usize = 64 << 10;
const INSTRUCTIONS_BYTES: usize = 4 << 10;
const MANY_TURNS: u32 = 6;
const MANY_TOOLS: usize = 10;
const MANY_TOOLS_BYTES: usize = 8 << 10;
const TOOL_RESULTS: u32 = 3;
const SHORT_ANSWER_TOKENS: u64 = 64;
const LONG_ANSWER_TOKENS: u64 = 8_192;

/// What is noticed about a request whose body `peek` has read. `content` are the kinds of content in its
/// prompt beside text (`Needs::content`). Allocates nothing and never fails: what cannot be read is passed
/// over.
#[must_use]
pub fn signals(peek: &Peek, body: &[u8], content: Modalities) -> Signals {
    let turns = turns(peek, body);
    let prompt_bytes = peek.messages.map_or(0, Span::len);
    let output = [peek.max_tokens, peek.max_completion_tokens].into_iter().flatten().max();
    let results =
        turns.results >= TOOL_RESULTS || (turns.results_bytes * 4 >= prompt_bytes && turns.results > 0);
    Signals::NONE
        .with_if(Signal::Content, content != Modalities::NONE)
        .with_if(Signal::LongPrompt, prompt_bytes >= LONG_PROMPT_BYTES)
        .with_if(Signal::HugePrompt, prompt_bytes >= HUGE_PROMPT_BYTES)
        .with_if(Signal::Instructions, turns.system_bytes >= INSTRUCTIONS_BYTES)
        .with_if(Signal::ManyTurns, turns.user >= MANY_TURNS)
        .with_if(Signal::ToolResults, results)
        .with_if(Signal::ShortAnswer, output.is_some_and(|tokens| tokens <= SHORT_ANSWER_TOKENS))
        .with_if(Signal::LongAnswer, output.is_some_and(|tokens| tokens > LONG_ANSWER_TOKENS))
        .with_if(Signal::Schema, has_schema(peek, body))
        .union(tools(peek, body))
        .union(effort(peek, body))
        .union(turns.last.map_or(Signals::NONE, |message| last_turn(body, message)))
}

/// Who said how much.
#[derive(Default)]
struct Turns {
    user: u32,
    system_bytes: usize,
    results: u32,
    results_bytes: usize,
    /// The last message of the user.
    last: Option<Span>,
}

fn turns(peek: &Peek, body: &[u8]) -> Turns {
    let mut turns = Turns::default();
    let items = peek.messages.and_then(|messages| Items::open(body, messages.start as usize, 1).ok());
    let Some(mut items) = items else { return turns };
    while let Ok(Some(message)) = items.next_item() {
        match role(body, message) {
            b"user" => {
                turns.user += 1;
                turns.last = Some(message);
            }
            b"system" | b"developer" => turns.system_bytes += message.len(),
            b"tool" | b"function" => {
                turns.results += 1;
                turns.results_bytes += message.len();
            }
            _ => {}
        }
    }
    turns
}

/// The role of a message, without its quotes. Nearly all programs write it first, and then no member has to
/// be passed over.
fn role(body: &[u8], message: Span) -> &[u8] {
    if let Some(rest) = message.of(body).strip_prefix(b"{\"role\":") {
        let rest = rest.trim_ascii_start().strip_prefix(b"\"").unwrap_or_default();
        // No role is longer than "developer".
        let near = rest.get(..10).unwrap_or(rest);
        if let Some(end) = near.iter().position(|byte| *byte == b'"') {
            return &near[..end];
        }
    }
    member(body, message, b"role").map_or(&[], |value| inside(value.of(body)))
}

/// The first member of this name in the object at `object`.
fn member(body: &[u8], object: Span, name: &[u8]) -> Option<Span> {
    let mut fields = Fields::open(body, object.start as usize, 2).ok()?;
    while let Ok(Some(field)) = fields.next_field() {
        if field.key.of(body) == name {
            return Some(field.value);
        }
    }
    None
}

/// The inside of a string; empty for any other value.
fn inside(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or_default()
}

/// What the text of the last user turn shows.
fn last_turn(body: &[u8], message: Span) -> Signals {
    let Some(content) = member(body, message, b"content") else { return Signals::NONE };
    let mut sample = Sample::default();
    if content.of(body).first() == Some(&b'[') {
        let Ok(mut parts) = Items::open(body, content.start as usize, 3) else { return Signals::NONE };
        let mut count = 0;
        while let (true, Ok(Some(part))) = (count < PARTS, parts.next_item()) {
            count += 1;
            if let Some(text) = member(body, part, b"text") {
                sample.take(inside(text.of(body)));
            }
        }
    } else {
        sample.take(inside(content.of(body)));
    }
    sample.finish()
}

/// Reads the first and the last part of a text that comes in pieces.
#[derive(Default)]
struct Sample<'b> {
    reading: Reading,
    /// How much of it there was.
    bytes: usize,
    /// The last piece, as far as it is not read.
    tail: &'b [u8],
}

impl<'b> Sample<'b> {
    fn take(&mut self, text: &'b [u8]) {
        let room = HEAD_BYTES.saturating_sub(self.bytes);
        self.bytes += text.len();
        let (head, rest) = text.split_at(room.min(text.len()));
        self.reading.read(head);
        if room > 0 {
            self.reading.end();
        }
        if !rest.is_empty() {
            self.tail = rest;
        }
    }

    fn finish(mut self) -> Signals {
        let from = self.tail.len().saturating_sub(TAIL_BYTES);
        // The cut may fall into an escape, which then reads as a letter or two: no harm in a sample.
        self.reading.read(&self.tail[from..]);
        self.reading.end();
        self.reading.signals().with_if(Signal::LongTurn, self.bytes >= LONG_TURN_BYTES)
    }
}

/// `tools`: how many, and how long their descriptions are.
fn tools(peek: &Peek, body: &[u8]) -> Signals {
    let Some(tools) = peek.tools else { return Signals::NONE };
    let Ok(mut items) = Items::open(body, tools.start as usize, 1) else { return Signals::NONE };
    let mut count = 0;
    while let (true, Ok(Some(_))) = (count < MANY_TOOLS, items.next_item()) {
        count += 1;
    }
    let many = count >= MANY_TOOLS || (count > 0 && tools.len() >= MANY_TOOLS_BYTES);
    Signals::NONE.with_if(Signal::Tools, count > 0).with_if(Signal::ManyTools, many)
}

/// `response_format: {"type": "json_schema"}`.
fn has_schema(peek: &Peek, body: &[u8]) -> bool {
    let kind = peek.response_format.and_then(|format| member(body, format, b"type"));
    kind.is_some_and(|kind| inside(kind.of(body)) == b"json_schema")
}

/// `reasoning_effort`, and OpenRouter's `reasoning`.
fn effort(peek: &Peek, body: &[u8]) -> Signals {
    let used = used_parameters(peek);
    let mut signals = Signals::NONE;
    if used.has(Parameter::ReasoningEffort)
        && let Some(value) = member(body, peek.object, b"reasoning_effort")
    {
        signals = signals.union(of_effort(inside(value.of(body))));
    }
    if used.has(Parameter::Reasoning)
        && let Some(value) = member(body, peek.object, b"reasoning")
    {
        let part = |name: &[u8]| member(body, value, name).map_or(&b""[..], |value| value.of(body));
        let tokens = unsigned(part(b"max_tokens")).unwrap_or(0);
        signals = signals
            .union(of_effort(inside(part(b"effort"))))
            .with_if(Signal::Reasoning, part(b"enabled") == b"true" || tokens > 0)
            .with_if(Signal::HighEffort, tokens > LONG_ANSWER_TOKENS);
    }
    signals
}

fn of_effort(word: &[u8]) -> Signals {
    match word {
        b"none" | b"minimal" | b"low" => Signals::NONE.with(Signal::LowEffort),
        b"medium" => Signals::NONE.with(Signal::Reasoning),
        b"high" | b"xhigh" | b"max" => Signals::NONE.with(Signal::Reasoning).with(Signal::HighEffort),
        _ => Signals::NONE,
    }
}
