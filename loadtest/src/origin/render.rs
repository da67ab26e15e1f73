//! Answers, rendered once at start; per event only the numbers are put in.
//!
//! Deliberately absent: when and in which writes they go out (`stream`).

use core::ops::Range;

use super::numbered::{self, WORDS_AT};
use crate::scenario::{Fault, Origin};

/// A text with a numbered content in it.
#[derive(Debug)]
struct Template {
    text: Vec<u8>,
    content: Range<usize>,
}

impl Template {
    /// `before`, a content of `words` and `after`.
    fn new(before: &str, words: &str, after: &str) -> Self {
        let content = numbered::blank_content(words);
        let place = before.len()..before.len() + content.len();
        Self { text: format!("{before}{content}{after}").into_bytes(), content: place }
    }

    fn append(&mut self, out: &mut Vec<u8>, request: u64, number: u64, time_ns: u64) {
        numbered::fill_content(&mut self.text[self.content.clone()], request, number, time_ns);
        out.extend_from_slice(&self.text);
    }
}

/// Everything that is sent.
#[derive(Debug)]
pub(super) struct Rendered {
    event: Template,
    answer: Template,
    end: Vec<u8>,
    end_with_usage: Vec<u8>,
    /// Whole answers by fault, for those that are answers.
    refusals: Vec<Vec<Vec<u8>>>,
}

/// In front of a streamed body.
const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
      transfer-encoding: chunked\r\n\r\n";
/// The answer to everything that is no inference: health checks and model lists.
pub(super) const MODELS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 73\
      \r\n\r\n{\"object\":\"list\",\"data\":[{\"id\":\"loadtest\",\"object\":\"model\",\"created\":0}]}";
const CHUNK: &str = "data: {\"id\":\"chatcmpl-loadtest\",\"object\":\"chat.completion.chunk\",\
     \"created\":1700000000,\"model\":\"loadtest\",\"choices\":[";
const COUNTS: &str = "\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":50,\"total_tokens\":150}";
/// End of a numbered event, and of a chunk.
const EVENT_END: &str = "\"},\"finish_reason\":null}]}\n\n";

impl Rendered {
    /// Renders the answers of a scenario whose members have these faults.
    pub(super) fn new(origin: &Origin, faults: &[Vec<Fault>]) -> Self {
        let end = format!("{CHUNK}{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n");
        let usage = format!("{CHUNK}],{COUNTS}}}\n\n");
        let done = "data: [DONE]\n\n";
        let refusals = |faults: &Vec<Fault>| faults.iter().map(refusal).collect();
        Self {
            event: event(origin),
            answer: answer(origin),
            end: [chunk(&end), chunk(done), "0\r\n\r\n".to_owned()].concat().into_bytes(),
            end_with_usage: [chunk(&end), chunk(&usage), chunk(done), "0\r\n\r\n".to_owned()]
                .concat()
                .into_bytes(),
            refusals: faults.iter().map(refusals).collect(),
        }
    }

    /// The head of a streamed answer.
    pub(super) fn append_head(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(STREAM_HEAD);
    }

    /// `count` events in one chunk, the first one with `number`.
    pub(super) fn append_events(
        &mut self,
        out: &mut Vec<u8>,
        request: u64,
        number: u64,
        count: u64,
        time_ns: u64,
    ) {
        let bytes = self.event.text.len() as u64 * count;
        let mut digits = [0; 16];
        out.extend_from_slice(hexadecimal(bytes, &mut digits));
        out.extend_from_slice(b"\r\n");
        for number in number..number + count {
            self.event.append(out, request, number, time_ns);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Bytes of one numbered event.
    pub(super) fn event_bytes(&self) -> u64 {
        self.event.text.len() as u64
    }

    /// What follows the numbered events, the terminal chunk included.
    pub(super) fn append_end(&self, out: &mut Vec<u8>, usage: bool) {
        out.extend_from_slice(if usage { &self.end_with_usage } else { &self.end });
    }

    /// A whole answer that is not streamed.
    pub(super) fn append_answer(&mut self, out: &mut Vec<u8>, request: u64, time_ns: u64) {
        self.answer.append(out, request, 0, time_ns);
    }

    /// The error answer of a member's fault.
    pub(super) fn append_refusal(&self, out: &mut Vec<u8>, member: usize, fault: usize) {
        out.extend_from_slice(&self.refusals[member][fault]);
    }
}

fn event(origin: &Origin) -> Template {
    let before = format!("{CHUNK}{{\"index\":0,\"delta\":{{\"content\":\"");
    let words = words_for(origin.event_bytes, before.len() + EVENT_END.len());
    Template::new(&before, &words, EVENT_END)
}

fn answer(origin: &Origin) -> Template {
    let before = "{\"id\":\"chatcmpl-loadtest\",\"object\":\"chat.completion\",\"created\":1700000000,\
         \"model\":\"loadtest\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"";
    let counts = if origin.usage { format!(",{COUNTS}") } else { String::new() };
    let after = format!("\"}},\"finish_reason\":\"stop\"}}]{counts}}}");
    let words = words_for(origin.answer_bytes, before.len() + after.len());
    let length = before.len() + WORDS_AT + words.len() + after.len();
    let head = format!("{}content-length: {length}\r\n\r\n", json_head("200 OK"));
    Template::new(&format!("{head}{before}"), &words, &after)
}

fn words_for(bytes: u64, around: usize) -> String {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    numbered::words(bytes.saturating_sub(around + WORDS_AT))
}

/// The words of a scenario's events and of its other answers, for whoever checks them.
pub(crate) fn words_of(origin: &Origin) -> (Vec<u8>, Vec<u8>) {
    let words = |template: Template| template.text[template.content][WORDS_AT..].to_vec();
    (words(event(origin)), words(answer(origin)))
}

fn json_head(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n")
}

/// An error answer that keeps the connection. An empty one for faults that are none.
fn refusal(fault: &Fault) -> Vec<u8> {
    let Some(status) = fault.status else { return Vec::new() };
    let retry = fault.retry_after_s.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
    error(status, "as the scenario says", &retry)
}

/// An error answer with further fields.
pub(super) fn error(status: u16, message: &str, fields: &str) -> Vec<u8> {
    let kind = if status == 429 { "rate_limit_error" } else { "server_error" };
    let body = format!("{{\"error\":{{\"message\":\"{message}\",\"type\":\"{kind}\",\"code\":{status}}}}}");
    let head = json_head(&format!("{status} {}", reason(status)));
    format!("{head}{fields}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Refused",
    }
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn hexadecimal(mut value: u64, digits: &mut [u8; 16]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[(value % 16) as usize];
        value /= 16;
        if value == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Chunked, Framing, Parse, response_head};
    use crate::scenario::FaultKind;

    fn body_of(answer: &[u8]) -> (u16, Vec<u8>) {
        let Parse::Done(head) = response_head(answer) else { panic!("no head: {answer:?}") };
        match head.framing {
            Framing::Length(length) => {
                assert_eq!(answer.len() - head.len, usize::try_from(length).expect("small"));
                (head.status, answer[head.len..].to_vec())
            }
            Framing::Chunked => {
                let (mut chunked, mut body) = (Chunked::default(), Vec::new());
                assert_eq!(chunked.decode(&answer[head.len..], &mut body), Ok(answer.len() - head.len));
                assert!(chunked.is_done() && head.events);
                (head.status, body)
            }
        }
    }

    #[test]
    fn sizes_are_as_the_scenario_says() {
        for (event_bytes, answer_bytes, usage) in [(320, 320, true), (500, 1024, false), (4096, 70_000, true)]
        {
            let origin = Origin { event_bytes, answer_bytes, usage, ..Origin::default() };
            let mut rendered = Rendered::new(&origin, &[]);
            let mut out = Vec::new();
            rendered.append_answer(&mut out, 1, 2);
            let (status, body) = body_of(&out);
            assert_eq!((status, body.len() as u64), (200, answer_bytes));
            serde_json::from_slice::<serde_json::Value>(&body).expect("JSON");
            out.clear();
            rendered.append_head(&mut out);
            rendered.append_events(&mut out, 1, 1, 1, 5);
            rendered.append_events(&mut out, 1, 2, 2, 5);
            rendered.append_end(&mut out, usage);
            let (_, body) = body_of(&out);
            let text = String::from_utf8(body).expect("text");
            let events: Vec<&str> = text.split_terminator("\n\n").collect();
            assert_eq!(events.len(), if usage { 6 } else { 5 });
            assert_eq!(events[0].len() as u64 + 2, event_bytes);
            for event in &events[..events.len() - 1] {
                let data = event.strip_prefix("data: ").expect("data");
                serde_json::from_str::<serde_json::Value>(data).expect("JSON");
            }
            assert_eq!(events.last(), Some(&"data: [DONE]"));
        }
    }

    #[test]
    fn refusals_and_lists_are_answers() {
        let fault = Fault {
            share: 1.0,
            kind: FaultKind::Status,
            status: Some(429),
            retry_after_s: Some(3),
            after_events: 0,
        };
        let rendered = Rendered::new(&Origin::default(), &[vec![fault]]);
        let mut out = Vec::new();
        rendered.append_refusal(&mut out, 0, 0);
        assert!(String::from_utf8_lossy(&out).contains("\r\nretry-after: 3\r\n"));
        assert_eq!(body_of(&out).0, 429);
        assert_eq!(body_of(MODELS).0, 200);
    }
}
