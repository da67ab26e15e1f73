//! What an answer tells of its way: it agrees with the record, and without it the answer is the origin's.
//!
//! Deliberately absent: what the told object says (cases name that).

use std::borrow::Cow;

use crate::base::fault::Fault;
use crate::base::record::Record;
use crate::exchange::sim::case::Config;
use crate::exchange::sim::http::Message;
use crate::wire::json::scan::value_end;

const MEMBER: &[u8] = b"\"openrouter_metadata\":";

/// `X-Millrace-Attempts` names the attempts of the record, in order. Of the last one it may say the status,
/// when the answer was cut later; and a stream that began with a comment has no such field.
pub(super) fn attempts_agree(config: &Config, answer: &Message, record: &Record) -> bool {
    let Some(value) = answer.field("x-millrace-attempts") else {
        return record.attempts.is_empty() || answer.body.starts_with(b":");
    };
    let told: Vec<&str> = value.split(',').collect();
    let last = record.attempts.len().saturating_sub(1);
    let known = record.attempts.iter().enumerate().map(|(turn, attempt)| {
        let name = &config.providers[attempt.provider.index()].name;
        let status = format!("{name}:{}", answer.status());
        match attempt.fault {
            None => status,
            Some(_) if turn == last && told.last() == Some(&&*status) => status,
            Some(Fault::Status(status)) => format!("{name}:{status}"),
            Some(fault) => format!("{name}:{}", fault.word()),
        }
    });
    known.eq(told.iter().map(|one| (*one).to_owned()))
}

/// The answer without `openrouter_metadata`, if its request asked for that; `None` when it is told twice.
pub(super) fn untold<'m>(answer: &'m Message, request: Option<&Message>) -> Option<Cow<'m, Message>> {
    let asks = |name| request.is_some_and(|one| one.field(name).is_some());
    let is_asked = asks("x-openrouter-metadata") || asks("x-millrace-debug");
    let at = memchr::memmem::find(&answer.body, MEMBER);
    let Some(at) = at.filter(|_| is_asked) else {
        let begun = if is_asked { begun_bytes(&answer.body) } else { 0 };
        if begun == 0 {
            return Some(Cow::Borrowed(answer));
        }
        let body = answer.body[..answer.body.len() - begun].to_vec();
        return Some(Cow::Owned(Message { body, ..answer.clone() }));
    };
    let body = &answer.body;
    let end = value_end(body, at + MEMBER.len(), 0).unwrap_or(body.len());
    let (before, behind) = (&body[..at], &body[end..]);
    let own_event = before.ends_with(b"\"choices\":[],") && behind.starts_with(b"}\n\n");
    let body = if own_event {
        let start = before.windows(6).rposition(|bytes| bytes == b"data: ")?;
        [&before[..start], &behind[3..]].concat()
    } else if let Some(before) = before.strip_suffix(b",") {
        [before, behind].concat()
    } else {
        [before, behind.strip_prefix(b",").unwrap_or(behind)].concat()
    };
    let once = memchr::memmem::find(&body, MEMBER).is_none();
    once.then(|| Cow::Owned(Message { body, ..answer.clone() }))
}

/// Bytes of the comma and the member's name at the end of an answer that broke off in them. No whole document
/// ends with a comma.
fn begun_bytes(body: &[u8]) -> usize {
    let opening = [b",", MEMBER].concat();
    (1..opening.len()).rev().find(|count| body.ends_with(&opening[..*count])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_taken_out_again() {
        let message = |fields: &str, body: &str| Message {
            fields: fields
                .split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
            body: body.as_bytes().to_vec(),
            ..Message::default()
        };
        let asks = message("x-openrouter-metadata=enabled", "");
        for (body, want) in [
            (r#"{"a":1}"#, Some(r#"{"a":1}"#)),
            (r#"{"a":1,"openrouter_metadata":{"b":{}}}"#, Some(r#"{"a":1}"#)),
            (r#"{"openrouter_metadata":{"b":"}"},"a":1}"#, Some(r#"{"a":1}"#)),
            (
                "data: {}\n\ndata: {\"id\":1,\"choices\":[],\"openrouter_metadata\":{}}\n\ndata: [DONE]\n\n",
                Some("data: {}\n\ndata: [DONE]\n\n"),
            ),
            (r#"{"a":1,"openrouter_metadata":{"b"#, Some(r#"{"a":1"#)),
            (r#"{"a":1,"openrouter_metadata":{},"openrouter_metadata":{}}"#, None),
        ] {
            let answer = message("", body);
            let found =
                untold(&answer, Some(&asks)).map(|one| String::from_utf8_lossy(&one.body).into_owned());
            assert_eq!(found.as_deref(), want, "{body}");
            assert_eq!(untold(&answer, None).map(|one| one.body == answer.body), Some(true));
        }
    }
}
