//! OpenAI's chat completions, legacy completions and embeddings, as OpenAI and everybody compatible with it
//! speaks them: where requests go, which members are ours and not the provider's, what events and answers
//! say.
//!
//! Deliberately absent: the Responses API, and anything that differs per provider by configuration (the
//! catalogue).

mod delta;
mod error;
mod finish;
mod mention;
mod report;

#[cfg(test)]
mod tests;

use super::{Answer, Api, Dialect, Places, Signal, StreamUsage, TextSink};
use crate::base::span::Span;
use crate::wire::json::escape;
use crate::wire::json::peek::{Key, Member, Peek};
use crate::wire::json::scan::skip_space;
use crate::wire::json::splice::Splice;
use report::Report;

/// The dialect.
pub struct OpenAi;

/// Members that speak to a router; a provider would refuse or misread them. Everything else stays, unknown
/// members included: they may be the provider's own.
const fn is_router_only(key: Key) -> bool {
    match key {
        Key::Models
        | Key::Provider
        | Key::Route
        | Key::SessionId
        | Key::Transforms
        | Key::Plugins
        | Key::Usage
        | Key::Trace
        | Key::Debug => true,
        Key::Model
        | Key::Stream
        | Key::StreamOptions
        | Key::MaxTokens
        | Key::MaxCompletionTokens
        | Key::Messages
        | Key::Tools
        | Key::ResponseFormat
        | Key::User
        | Key::Metadata
        | Key::ServiceTier
        | Key::PromptCacheKey => false,
    }
}

const INCLUDE_USAGE: &[u8] = b"{\"include_usage\":true}";

impl Dialect for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn path(&self, api: Api) -> &'static str {
        match api {
            Api::ChatCompletions => "/chat/completions",
            Api::Completions => "/completions",
            Api::Embeddings => "/embeddings",
        }
    }

    fn splice(&self, peek: &Peek, body: &[u8], model: &str, usage: StreamUsage, splice: &mut Splice) {
        let left = splice.remove_unwanted(peek, body, is_router_only);
        let model_missing = match peek.member(Key::Model) {
            Some(member) => {
                replace_model(peek, body, member, model, splice);
                false
            }
            None => true,
        };
        let ask = peek.stream && usage == StreamUsage::OnRequest;
        let options_missing = match peek.member(Key::StreamOptions) {
            Some(member) => {
                if ask {
                    ask_inside(peek, body, member, splice);
                }
                false
            }
            None => ask,
        };
        if model_missing || options_missing {
            let front = peek.object.start + 1;
            splice.replace_with(Span { start: front, end: front }, |own| {
                if model_missing {
                    own.extend_from_slice(b"\"model\":");
                    push_string(model, own);
                }
                if options_missing {
                    own.extend_from_slice(if model_missing { b"," } else { b"" });
                    own.extend_from_slice(b"\"stream_options\":");
                    own.extend_from_slice(INCLUDE_USAGE);
                }
                own.extend_from_slice(if left > 0 { b"," } else { b"" });
            });
        }
    }

    fn judge_event(&self, data: &[u8]) -> Signal {
        if data == b"[DONE]" {
            return Signal::Done;
        }
        if !mention::error_or_usage(data) {
            return Signal::Content;
        }
        let report = Report::read(data);
        if let Some(status) = report.error {
            return Signal::Error { status };
        }
        report.usage.map_or(Signal::Content, |usage| Signal::Usage { usage, only: report.choices_empty })
    }

    fn is_plain_content(&self, data: &[u8]) -> bool {
        mention::is_plain(data)
    }

    /// A `finish_reason` that is a text. Inside a JSON string its quotes would be escaped.
    fn ends_answer(&self, data: &[u8]) -> bool {
        finish::values(data).any(|at| data.get(at) == Some(&b'"'))
    }

    fn places(&self, data: &[u8]) -> Places {
        let places = report::usage_last(data).unwrap_or_else(|| Report::read(data).places);
        finish::placed(places, data)
    }

    fn names(&self, data: &[u8]) -> Places {
        report::named(data).unwrap_or_else(|| Report::read(data).places)
    }

    fn finish_reason(&self, tail: &[u8]) -> Span {
        finish::reason(tail, Span::new(0, tail.len()))
    }

    fn texts(&self, data: &[u8], sink: &mut dyn TextSink) -> Option<usize> {
        delta::texts(data, sink)
    }

    fn judge_answer(&self, body: &[u8]) -> Answer {
        let report = Report::read(body);
        if !report.complete {
            return Answer::Unusable;
        }
        match report.error {
            Some(status) => Answer::Error { status },
            None if report.answers => {
                Answer::Content { usage: report.usage, places: finish::placed(report.places, body) }
            }
            None => Answer::Unusable,
        }
    }
}

/// Leaves the name alone when it is already the one wanted.
fn replace_model(peek: &Peek, body: &[u8], member: &Member, model: &str, splice: &mut Splice) {
    let same = peek.model.is_some_and(|name| name.of(body) == model.as_bytes());
    if !same || peek.model_escaped {
        splice.replace_with(member.field.value, |own| push_string(model, own));
    }
}

/// Makes sure that `stream_options` asks for usage, and keeps its other members.
fn ask_inside(peek: &Peek, body: &[u8], member: &Member, splice: &mut Splice) {
    match (peek.stream_options, peek.stream_include_usage) {
        (None, _) => splice.replace(member.field.value, INCLUDE_USAGE),
        (Some(_), Some(value)) if value.of(body) == b"true" => {}
        (Some(_), Some(value)) => splice.replace(value, b"true"),
        (Some(options), None) => {
            let inside = options.start as usize + 1;
            let empty = body.get(skip_space(body, inside)) == Some(&b'}');
            splice.insert(inside, if empty { b"\"include_usage\":true" } else { b"\"include_usage\":true," });
        }
    }
}

fn push_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    // Seldom does a name need an escape; looking at every byte lets the loop run in wide steps.
    let plain = |found: bool, byte| found & !matches!(byte, b'"' | b'\\' | 0..0x20);
    if text.bytes().fold(true, plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        escape(text, out);
    }
    out.push(b'"');
}
