//! What an answer says of its cost, taken out again: without it, the answer is the origin's.
//!
//! Deliberately absent: whether the amounts are right (cases name them).

use crate::exchange::sim::http::Message;
use crate::wire::json::scan::{skip_space, value_end};

/// Members of a usage object that are the router's, whoever wrote some before.
const MEMBERS: [&str; 3] = ["\"cost\":", "\"cost_details\":", "\"is_byok\":"];
/// The content-free choice of a usage event, up to its reasons.
const CHOICES: [&str; 2] = [
    "[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":",
    "[{\"index\":0,\"text\":\"\",\"finish_reason\":",
];

/// The message without what a router says of cost, and without its own usage event; `None` when there are
/// two of those.
pub(super) fn uncosted(message: &Message) -> Option<Message> {
    let mut body = message.body.clone();
    if message.is_events() {
        take_own_event(&mut body);
        if own_event(&body).is_some() {
            return None;
        }
        CHOICES.iter().for_each(|choices| empty_choices(&mut body, choices));
    }
    MEMBERS.iter().for_each(|member| take_member(&mut body, member));
    Some(Message { body, ..message.clone() })
}

fn find(body: &[u8], part: &str, from: usize) -> Option<usize> {
    Some(from + memchr::memmem::find(body.get(from..)?, part.as_bytes())?)
}

/// An event with an id of ours that reports usage: from its first byte to its end.
fn own_event(body: &[u8]) -> Option<(usize, usize)> {
    const OPENING: &str = "data: {\"id\":\"gen-";
    let mut from = 0;
    loop {
        let start = find(body, OPENING, from)?;
        let end = find(body, "\n\n", start).map_or(body.len(), |end| end + 2);
        let event = &body[start..end];
        let ours = event.get(OPENING.len() + 10) == Some(&b'-');
        if ours && find(event, "\"usage\":{\"prompt_tokens\":", 0).is_some() {
            return Some((start, end));
        }
        from = end;
    }
}

fn take_own_event(body: &mut Vec<u8>) {
    if let Some((start, end)) = own_event(body) {
        body.drain(start..end);
    }
}

/// What stands in place of an empty list of choices.
fn empty_choices(body: &mut Vec<u8>, opening: &str) {
    let mut from = 0;
    while let Some(start) = find(body, opening, from) {
        let end = value_end(body, start, 0).unwrap_or(body.len());
        from = start + 1;
        let usage = body.get(end..).is_some_and(|behind| behind.starts_with(b",\"usage\":{"));
        if usage && find(&body[..end], "\"native_finish_reason\":", start).is_some() {
            body.splice(start..end, *b"[]");
        }
    }
}

/// Takes a member out wherever it is, with one comma. Of a cut answer it may be there in part.
fn take_member(body: &mut Vec<u8>, member: &str) {
    while let Some(at) = find(body, member, 0) {
        let value = skip_space(body, at + member.len());
        let end = value_end(body, value, 0).unwrap_or(body.len());
        let before = at.checked_sub(1).filter(|before| body[*before] == b',');
        let behind = if before.is_none() && body.get(end) == Some(&b',') { end + 1 } else { end };
        body.drain(before.unwrap_or(at)..behind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_router_says_is_taken_out() {
        let own = "data: {\"id\":\"gen-1700000000-AAAA\",\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
        let usage = r#"{"usage":{"prompt_tokens":1,"cost":0.5,"cost_details":{"a":null},"is_byok":false}}"#;
        let choice = "[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\
            \"finish_reason\":\"stop\",\"native_finish_reason\":\"stop\"}]";
        for (events, body, want) in [
            (false, usage.to_owned(), Some(r#"{"usage":{"prompt_tokens":1}}"#.to_owned())),
            (false, r#"{"cost":1,"a":2,"is_byok":tr"#.to_owned(), Some(r#"{"a":2"#.to_owned())),
            (
                true,
                format!("data: {usage}\n\n"),
                Some("data: {\"usage\":{\"prompt_tokens\":1}}\n\n".to_owned()),
            ),
            (
                true,
                format!("data: {{}}\n\n{own}data: [DONE]\n\n"),
                Some("data: {}\n\ndata: [DONE]\n\n".to_owned()),
            ),
            (true, format!("{own}{own}"), None),
            (
                true,
                format!("data: {{\"choices\":{choice},\"usage\":{{}}}}"),
                Some("data: {\"choices\":[],\"usage\":{}}".to_owned()),
            ),
            (
                true,
                format!("data: {{\"choices\":{choice}}}"),
                Some(format!("data: {{\"choices\":{choice}}}")),
            ),
        ] {
            let fields = vec![("content-type".to_owned(), "text/event-stream".to_owned())];
            let fields = if events { fields } else { Vec::new() };
            let message = Message { body: body.clone().into_bytes(), fields, ..Message::default() };
            let got = uncosted(&message).map(|one| String::from_utf8_lossy(&one.body).into_owned());
            assert_eq!(got, want, "{body}");
        }
    }
}
