//! The signals of a request, from the bytes of its body and what `peek` has found there.
//!
//! The first 32 messages are walked member by member. Behind them only the last 32 KiB are looked at, and
//! there just for the places where a message begins with its role, as nearly all programs write it; if one
//! does not, the walk goes on over all messages. So a body of hundreds of messages costs no more than one of
//! fifty, and a message in the middle of it, or an object inside of one that begins with a role, may be
//! miscounted. Of all text just the last user turn is read, its first 2 KiB and its last 1 KiB.
//! Deliberately absent: any check of the body. What is not as expected gives no signal.

use super::signal::{Signal, Signals};
use super::text::{PIECE_BYTES, Reading};
use crate::base::span::Span;
use crate::policy::catalog::{Modalities, Parameter};
use crate::policy::route::used_parameters;
use crate::wire::json::content::places;
use crate::wire::json::peek::Peek;
use crate::wire::json::scan::{Fields, Items, skip_space, unsigned, value_end};

/// Bytes read from the beginning of the last user turn.
const HEAD_BYTES: usize = PIECE_BYTES;
/// Bytes read from its end.
const TAIL_BYTES: usize = 1 << 10;
/// Messages that are walked one by one.
const MESSAGES: u32 = 32;
/// How far from the end later ones are looked for, in bytes.
const REACH_BYTES: usize = 32 << 10;
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
        .union(turns.last.map_or(Signals::NONE, |content| last_turn(body, content)))
}

/// Who said how much.
#[derive(Clone, Copy, Default)]
struct Turns {
    user: u32,
    system_bytes: usize,
    results: u32,
    results_bytes: usize,
    /// The content of the user's last message.
    last: Option<Span>,
}

fn turns(peek: &Peek, body: &[u8]) -> Turns {
    let mut turns = Turns::default();
    let Some(messages) = peek.messages.filter(|list| list.of(body).first() == Some(&b'[')) else {
        return turns;
    };
    let mut at = skip_space(body, messages.start as usize + 1);
    let mut seen = 0;
    while let Some(message) = Message::read(body, at) {
        turns.add(message.role(body), || message.end - at);
        if message.role(body) == b"user" {
            turns.last = message.content;
        }
        seen += 1;
        if seen == MESSAGES
            && let Some(all) = later(body, message.end, messages.end as usize, turns)
        {
            return all;
        }
        let comma = skip_space(body, message.end);
        if body.get(comma) != Some(&b',') {
            break;
        }
        at = skip_space(body, comma + 1);
    }
    turns
}

impl Turns {
    /// One more message; `bytes` says how long it is.
    fn add(&mut self, role: &[u8], bytes: impl FnOnce() -> usize) {
        match role {
            b"user" => self.user += 1,
            b"system" | b"developer" => self.system_bytes += bytes(),
            b"tool" | b"function" => {
                self.results += 1;
                // So many are enough, whatever their size.
                if self.results < TOOL_RESULTS {
                    self.results_bytes += bytes();
                }
            }
            _ => {}
        }
    }
}

/// Adds the messages between `from` and `end`, or the last ones of these, by the key that they begin with.
/// `None` when one has other members before its role. Inside a JSON string a quote is always escaped, so no
/// text is taken for a key.
fn later(body: &[u8], from: usize, end: usize, mut turns: Turns) -> Option<Turns> {
    const KEY: &[u8] = b"\"role\"";
    let from = from.max(end.saturating_sub(REACH_BYTES));
    let rest = body.get(from..end)?;
    let mut last = None;
    for place in places(rest, KEY) {
        let colon = skip_space(rest, place + KEY.len());
        if rest.get(colon) != Some(&b':') {
            continue;
        }
        // The brace may lie just outside.
        let Some((before, inside)) = rest[..place].trim_ascii_end().split_last() else { continue };
        if *before != b'{' {
            return None;
        }
        let message = from + inside.len();
        let role = role_at(rest.get(skip_space(rest, colon + 1)..).unwrap_or_default());
        turns.add(role, || value_end(body, message, 2).map_or(0, |end| end - message));
        if role == b"user" {
            last = Some(message);
        }
    }
    if let Some(message) = last {
        turns.last = Message::read(body, message).and_then(|message| message.content);
    }
    Some(turns)
}

/// The text at the front of `value`, if it may be a role. No role is longer than "developer".
fn role_at(value: &[u8]) -> &[u8] {
    let rest = value.strip_prefix(b"\"").unwrap_or_default();
    let near = rest.get(..10).unwrap_or(rest);
    near.iter().position(|byte| *byte == b'"').map_or(&[], |end| &near[..end])
}

/// A message, as far as it matters here.
struct Message {
    role: Option<Span>,
    content: Option<Span>,
    /// One past it.
    end: usize,
}

impl Message {
    /// The message at `at`; what is no object has no members. `None` when its text is broken.
    fn read(body: &[u8], at: usize) -> Option<Self> {
        let mut message = Self { role: None, content: None, end: at };
        if body.get(at) != Some(&b'{') {
            message.end = value_end(body, at, 2).ok()?;
            return Some(message);
        }
        let mut fields = Fields::open(body, at, 2).ok()?;
        while let Some(field) = fields.next_field().ok()? {
            // The first of a name counts.
            match field.key.of(body) {
                b"role" => message.role = message.role.or(Some(field.value)),
                b"content" => message.content = message.content.or(Some(field.value)),
                _ => {}
            }
        }
        message.end = fields.end();
        Some(message)
    }

    fn role<'b>(&self, body: &'b [u8]) -> &'b [u8] {
        self.role.map_or(&[], |role| role_at(role.of(body)))
    }
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
fn last_turn(body: &[u8], content: Span) -> Signals {
    let mut sample = Sample { reading: Reading::new(), bytes: 0, tail: &[] };
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
