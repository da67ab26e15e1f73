//! The bytes of requests, answers and events, with numbers in fixed places.
//!
//! Deliberately absent: reading them; clients and origin each do that for what they get.

use std::time::Duration;

use super::{Door, Gateway};

/// Digits of every number, so that it can be written over the one before.
pub(super) const DIGITS: usize = 20;
/// Bytes of a chat answer's body.
pub(super) const ANSWER_BYTES: usize = 1024;
/// The model that contenders are asked for, and the one behind TLS.
pub(in crate::compare) const MODEL: &str = "bench/model";
pub(in crate::compare) const SECURE_MODEL: &str = "bench/secure";

/// Writes `number` with leading zeroes over `place`.
pub(super) fn write_number(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Reads digits; anything else is none.
pub(super) fn read_number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |sum, digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(value)
    })
}

/// A request whose body is about `body_bytes` long. Its number is the last run of digits in it: the user, or
/// the last word of the prompt for a gateway, since some do not tell the origin who the user is.
pub(super) fn request(stream: bool, body_bytes: usize, key: &str, door: Door) -> Vec<u8> {
    let (model, host) = (door.model, door.address);
    let stream = if stream { "\"stream\":true," } else { "" };
    let front = format!("{{\"model\":\"{model}\",{stream}\"messages\":[{{\"role\":\"user\",\"content\":\"");
    let back = match door.gateway {
        None => format!("\"}}],\"user\":\"{:0DIGITS$}\"}}", 0),
        Some(_) => format!(" {:0DIGITS$}\"}}]}}", 0),
    };
    let content = "words and more ".chars().cycle().take(body_bytes.saturating_sub(front.len() + back.len()));
    let body: String = front.chars().chain(content).chain(back.chars()).collect();
    let told = match door.gateway {
        Some(Gateway::Portkey { origin }) => {
            format!("x-portkey-provider: openai\r\nx-portkey-custom-host: http://{origin}/v1\r\n")
        }
        Some(Gateway::Litellm) | None => String::new(),
    };
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\naccept: */*\r\nuser-agent: millrace-loadtest\r\n\
         {told}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Where a request's number is.
pub(super) fn request_number_at(request: &[u8]) -> core::ops::Range<usize> {
    let end = request.iter().rposition(u8::is_ascii_digit).map_or(DIGITS, |last| last + 1);
    end - DIGITS..end
}

/// What stands before an answer's number in its body.
pub(super) const ANSWER_FRONT: &str = "{\"id\":\"chatcmpl-";

/// The number in the id of an answer that somebody wrote anew: white space and the order of members are
/// theirs.
pub(super) fn rewritten_number(body: &[u8]) -> Option<u64> {
    const ID: &[u8] = b"chatcmpl-";
    let rest = &body[memchr::memmem::find(body, ID)? + ID.len()..];
    read_number(rest.get(..DIGITS)?)
}

/// A whole chat answer, head and body, with room for a number at the returned place.
pub(super) fn answer() -> (Vec<u8>, usize) {
    let front = format!(
        "{ANSWER_FRONT}{:0DIGITS$}\",\"object\":\"chat.completion\",\"created\":1700000000,\
         \"model\":\"{MODEL}\",\"choices\":[{{\"index\":0,\
         \"message\":{{\"role\":\"assistant\",\"content\":\"",
        0
    );
    let back = "\"},\"finish_reason\":\"stop\"}],\
                \"usage\":{\"prompt_tokens\":310,\"completion_tokens\":120,\"total_tokens\":430}}";
    let content = "an answer of words ".chars().cycle().take(ANSWER_BYTES - front.len() - back.len());
    let body: String = front.chars().chain(content).chain(back.chars()).collect();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let at = head.len() + ANSWER_FRONT.len();
    ((head + &body).into_bytes(), at)
}

/// The head of a streamed answer.
pub(super) const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
    cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

/// What stands between an event's number and its time.
const EVENT_TIME: &str = "\",\"t\":\"";
/// An event's end, behind its time.
const EVENT_END: &str = "\"}\n\n";

/// An event as a chunk of its own, its number and time all zeroes.
pub(super) fn event() -> Vec<u8> {
    let text = format!(
        "data: {{\"id\":\"chatcmpl-7\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\
         \"model\":\"{MODEL}\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" word\"}},\
         \"finish_reason\":null}}],\"n\":\"{:0DIGITS$}{EVENT_TIME}{:0DIGITS$}{EVENT_END}",
        0, 0
    );
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// Writes number and time into what `event` made. Both are found from the end.
pub(super) fn stamp(event: &mut [u8], number: u64, time: Duration) {
    let time_end = event.len() - 2 - EVENT_END.len();
    let number_end = time_end - DIGITS - EVENT_TIME.len();
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    write_number(&mut event[time_end - DIGITS..time_end], nanos);
    write_number(&mut event[number_end - DIGITS..number_end], number);
}

/// Number and time of an event without its chunk's frame; none if it has none.
pub(super) fn stamps(event: &[u8]) -> Option<(u64, Duration)> {
    let rest = event.strip_suffix(EVENT_END.as_bytes())?;
    let (rest, time) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
    let rest = rest.strip_suffix(EVENT_TIME.as_bytes())?;
    let number = &rest[rest.len().checked_sub(DIGITS)?..];
    Some((read_number(number)?, Duration::from_nanos(read_number(time)?)))
}

/// The usage event, `[DONE]` and the end of the body, each a chunk.
pub(super) fn last_words() -> Vec<u8> {
    let usage = format!(
        "data: {{\"id\":\"chatcmpl-7\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\
         \"model\":\"{MODEL}\",\"choices\":[],\
         \"usage\":{{\"prompt_tokens\":310,\"completion_tokens\":120,\"total_tokens\":430}}}}\n\n"
    );
    format!("{:x}\r\n{usage}\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n", usage.len()).into_bytes()
}

/// What stands behind the last figure of usage once a router has added what it costs: 310 tokens at 5 USD and
/// 120 at 30 USD per million, as the configurations of contenders say.
const PRICED: &[u8] = b",\"cost\":0.00515,";

/// Is this the answer with its cost added to its usage?
pub(super) fn is_priced(answer: &[u8]) -> bool {
    let added = answer.get(ANSWER_BYTES - b"}}".len()..).unwrap_or_default();
    added.starts_with(PRICED) && added.ends_with(b"}}")
}
