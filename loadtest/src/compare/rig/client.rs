//! The client's end of a connection: sends requests, checks answers and events, takes their times.
//!
//! Deliberately absent: when a request is sent; the rig decides.

use std::time::{Duration, Instant};

use super::{Counts, Door, Load, Step, text};
use crate::http::{Chunked, Framing, Parse, response_head};

/// Bytes of a request body where the load does not say.
const SHORT_BODY_BYTES: usize = 1500;

/// Where an answer is.
enum At {
    /// No request is out.
    Idle,
    /// The head is awaited; so much of it is in `inbox`.
    Head,
    /// A body of known length.
    Length(usize),
    /// A body that a gateway sends in chunks.
    Chunks(Chunked),
    /// A stream.
    Stream(Chunked),
}

/// One connection.
pub(super) struct Client {
    template: Vec<u8>,
    /// The request as sent last, used again; empty until it is back from the kernel.
    pub(super) spare: Vec<u8>,
    inbox: Vec<u8>,
    at: At,
    number: u64,
    intended: Instant,
    /// Number that the next event must have.
    event: u64,
    stream: bool,
    /// Its answers are written anew on the way: see [`text::rewritten_number`].
    rewritten: bool,
    /// The origin's connection that its stream comes from.
    pub(super) origin: Option<u32>,
}

impl Client {
    /// A client of a contender.
    pub(super) fn new(load: Load, key: &str, door: Door) -> Self {
        let body_bytes = match load {
            Load::Closed { body_bytes, .. } | Load::Rate { body_bytes, .. } => body_bytes,
            Load::Once { .. } | Load::Streams { .. } => SHORT_BODY_BYTES,
        };
        let stream = load.is_stream();
        let template = text::request(stream, body_bytes, key, door);
        let (spare, inbox) = (Vec::new(), Vec::new());
        Self {
            template,
            spare,
            inbox,
            at: At::Idle,
            number: 0,
            intended: Instant::now(),
            event: 0,
            stream,
            rewritten: door.gateway.is_some(),
            origin: None,
        }
    }

    /// The bytes of the request with this number.
    pub(super) fn request(&mut self, number: u64, intended: Instant) -> Vec<u8> {
        let mut request = std::mem::take(&mut self.spare);
        if request.is_empty() {
            request.clone_from(&self.template);
        }
        let at = text::request_number_at(&request);
        text::write_number(&mut request[at], number);
        (self.number, self.intended, self.event, self.at) = (number, intended, 0, At::Head);
        self.inbox.clear();
        request
    }

    /// True between two requests.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.at, At::Idle)
    }

    /// Reads bytes of an answer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn take(&mut self, bytes: &[u8], begin: Instant, counts: &mut Counts) -> Result<Step, String> {
        if matches!(self.at, At::Idle) {
            return Err("bytes that nobody asked for".to_owned());
        }
        if matches!(self.at, At::Head) {
            self.inbox.extend_from_slice(bytes);
            let head = match response_head(&self.inbox) {
                Parse::More => return Ok(Step::Wait),
                Parse::Bad(what) => return Err(format!("an answer's head: {what}")),
                Parse::Done(head) => head,
            };
            if head.status != 200 {
                return Err(format!("an answer of status {}", head.status));
            }
            let body = self.inbox.split_off(head.len);
            self.inbox.clear();
            self.at = match head.framing {
                Framing::Length(length) if !self.stream => At::Length(usize::try_from(length).unwrap_or(0)),
                Framing::Chunked if self.rewritten && !self.stream => At::Chunks(Chunked::default()),
                Framing::Chunked if self.stream => At::Stream(Chunked::default()),
                Framing::Length(_) | Framing::Chunked => return Err("an answer of the other kind".to_owned()),
            };
            return self.body(&body, begin, counts);
        }
        self.body(bytes, begin, counts)
    }

    fn body(&mut self, bytes: &[u8], begin: Instant, counts: &mut Counts) -> Result<Step, String> {
        match &mut self.at {
            At::Length(length) => {
                self.inbox.extend_from_slice(bytes);
                if self.inbox.len() < *length {
                    return Ok(Step::Wait);
                }
                let length = *length;
                self.answered(length, counts)
            }
            At::Chunks(chunked) => {
                let used =
                    chunked.decode(bytes, &mut self.inbox).map_err(|what| format!("an answer: {what}"))?;
                if used < bytes.len() {
                    return Err("bytes behind an answer's end".to_owned());
                }
                if !chunked.is_done() {
                    return Ok(Step::Wait);
                }
                let length = self.inbox.len();
                self.answered(length, counts)
            }
            At::Stream(chunked) => {
                let used =
                    chunked.decode(bytes, &mut self.inbox).map_err(|what| format!("a stream: {what}"))?;
                if used < bytes.len() {
                    return Err("bytes behind a stream's end".to_owned());
                }
                let done = chunked.is_done();
                self.events(begin.elapsed(), counts)?;
                if !done {
                    return Ok(Step::Wait);
                }
                self.at = At::Idle;
                if self.inbox.as_slice() == b"data: [DONE]\n\n" {
                    Ok(Step::Answered)
                } else {
                    Err("a stream that ends without [DONE]".to_owned())
                }
            }
            At::Idle | At::Head => Ok(Step::Wait),
        }
    }

    /// The whole answer is there: is it the one that was asked for?
    fn answered(&mut self, length: usize, counts: &mut Counts) -> Result<Step, String> {
        let as_sent = self.rewritten || length == text::ANSWER_BYTES || text::is_priced(&self.inbox);
        let whole = self.inbox.len() == length && as_sent;
        if !whole || !self.is_our_answer() {
            return Err("an answer to another request, or one of another length".to_owned());
        }
        self.at = At::Idle;
        counts.record(self.intended.elapsed());
        Ok(Step::Answered)
    }

    fn is_our_answer(&self) -> bool {
        if self.rewritten {
            return text::rewritten_number(&self.inbox) == Some(self.number);
        }
        let body = self.inbox.strip_prefix(text::ANSWER_FRONT.as_bytes());
        body.and_then(|rest| text::read_number(rest.get(..text::DIGITS)?)) == Some(self.number)
    }

    /// Checks and counts the whole events of the inbox, and removes them; `[DONE]` stays.
    fn events(&mut self, now: Duration, counts: &mut Counts) -> Result<(), String> {
        let mut used = 0;
        while let Some(end) = memchr::memmem::find(&self.inbox[used..], b"\n\n") {
            let event = &self.inbox[used..used + end + 2];
            if event == b"data: [DONE]\n\n" {
                break;
            }
            match text::stamps(event) {
                Some((number, sent)) if number == self.event => {
                    self.event += 1;
                    counts.record(now.saturating_sub(sent));
                }
                Some((number, _)) => return Err(format!("event {number} where {} was due", self.event)),
                // Usage, which a router may rewrite, and comments.
                None if event.starts_with(b":") || memchr::memmem::find(event, b"\"usage\"").is_some() => {}
                None => return Err("an event that was not sent".to_owned()),
            }
            used += end + 2;
        }
        self.inbox.drain(..used);
        Ok(())
    }
}
