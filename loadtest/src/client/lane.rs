//! One connection of the client: a request out, its answer in, byte by byte through the checks.
//!
//! Deliberately absent: when requests are sent and what becomes of failures (`engine`).

use std::io::ErrorKind;

use super::check::{Check, Expected, check_answer};
use crate::event_loop::poll::Interest;
use crate::event_loop::transport::Transport;
use crate::failure::Failure;
use crate::http::{Chunked, Framing, Parse, response_head};

/// Longest answer that is not streamed.
const BODY_BYTES: u64 = 32 << 20;

/// Why a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is the load, and measured.
    Load,
    /// It makes a connection a used one, which is then idle.
    Hold,
    /// It proves that an idle connection was kept.
    HoldAgain,
}

/// A request that is to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) purpose: Purpose,
    /// When it was meant to be sent.
    pub(super) intended_ns: u64,
    /// When it was first sent; 0 before.
    pub(super) sent_ns: u64,
    /// Times that it was sent again.
    pub(super) attempt: u32,
}

/// Where an answer is.
#[derive(Debug)]
enum At {
    Head,
    Length(u64),
    Chunked,
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// More is due.
    More,
    /// It is right; the connection may be used again if `keep`.
    Right { keep: bool },
    /// An error answer, complete.
    Refused { status: u16, keep: bool },
    /// It is wrong, and the connection of no more use.
    Wrong(Failure),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) transport: Transport,
    pub(super) target: usize,
    /// One of those that the load's bound counts.
    pub(super) of_load: bool,
    pub(super) connecting: bool,
    pub(super) interest: Interest,
    pub(super) job: Option<Job>,
    /// Idle on purpose.
    pub(super) held: bool,
    /// When something last moved while an answer was due.
    pub(super) moved_ns: u64,
    /// A time for its silence is queued.
    pub(super) watched: bool,
    /// Not reading, by intention.
    pub(super) paused: bool,
    /// When the last numbered event was read; 0 before the first.
    pub(super) event_ns: u64,
    /// A part of the request that the socket had no room for.
    unsent: Vec<u8>,
    /// A head that is not complete, or a body that is not streamed.
    inbox: Vec<u8>,
    at: At,
    status: u16,
    keep: bool,
    chunked: Chunked,
    check: Check,
}

/// Room that all lanes share, as only one reads at a time.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    payload: Vec<u8>,
    /// Times inside the events of the last read.
    pub(super) times: Vec<u64>,
}

impl Lane {
    /// A connection that is being made.
    pub(super) fn new(transport: Transport, target: usize, of_load: bool) -> Self {
        Self {
            transport,
            target,
            of_load,
            connecting: true,
            interest: Interest::Both,
            job: None,
            held: false,
            moved_ns: 0,
            watched: false,
            paused: false,
            event_ns: 0,
            unsent: Vec::new(),
            inbox: Vec::new(),
            at: At::Head,
            status: 0,
            keep: false,
            chunked: Chunked::default(),
            check: Check::default(),
        }
    }

    /// The answer has begun, so that nothing may be sent again.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.at, At::Head) || !self.inbox.is_empty()
    }

    /// Sends the request of `job`; false if a part must wait for room.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn send(&mut self, job: Job, request: &[u8]) -> Result<bool, Failure> {
        self.at = At::Head;
        self.event_ns = 0;
        self.inbox.clear();
        self.check.begin(job.number);
        self.job = Some(job);
        let count = self.write(request)?;
        self.unsent.extend_from_slice(&request[count..]);
        Ok(self.is_sent())
    }

    /// Sends what had to wait; false if a part still must.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn send_rest(&mut self) -> Result<bool, Failure> {
        let unsent = core::mem::take(&mut self.unsent);
        let count = self.write(&unsent)?;
        self.unsent = unsent;
        self.unsent.drain(..count);
        self.transport.flush().map_err(Failure::io("send"))?;
        Ok(self.is_sent())
    }

    fn is_sent(&self) -> bool {
        self.unsent.is_empty() && !self.transport.holds_output()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.transport.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::io("send")(error)),
            }
        }
        Ok(sent)
    }

    /// Takes the next bytes of the answer. The times of its events are left in `scratch`.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        expected: &Expected,
        stream: bool,
        scratch: &mut Scratch,
    ) -> Outcome {
        scratch.times.clear();
        let outcome = if matches!(self.at, At::Head) {
            self.take_head(bytes, expected, stream, scratch)
        } else {
            self.take_body(bytes, expected, stream, scratch)
        };
        outcome.unwrap_or_else(Outcome::Wrong)
    }

    fn take_head(
        &mut self,
        bytes: &[u8],
        expected: &Expected,
        stream: bool,
        scratch: &mut Scratch,
    ) -> Result<Outcome, Failure> {
        // Nearly every head comes whole, with its body behind it: then nothing is copied.
        let mut inbox = core::mem::take(&mut self.inbox);
        let all = if inbox.is_empty() {
            bytes
        } else {
            inbox.extend_from_slice(bytes);
            &inbox
        };
        let head = match response_head(all) {
            Parse::Done(head) => head,
            Parse::Bad(what) => return Err(Failure::Http(what)),
            Parse::More => {
                if inbox.is_empty() {
                    inbox.extend_from_slice(bytes);
                }
                self.inbox = inbox;
                return Ok(Outcome::More);
            }
        };
        (self.status, self.keep) = (head.status, head.keep_alive);
        self.at = match head.framing {
            Framing::Length(length) if length > BODY_BYTES => return Err(Failure::Http("body too long")),
            Framing::Length(length) => At::Length(length),
            Framing::Chunked => At::Chunked,
        };
        if stream && head.status == 200 && !head.events {
            return Err(Failure::Http("a stream that is not text/event-stream"));
        }
        self.chunked = Chunked::default();
        let outcome = self.take_body(&all[head.len..], expected, stream, scratch);
        // Keep the room, unless the body has taken it over.
        if self.inbox.capacity() == 0 {
            inbox.clear();
            self.inbox = inbox;
        }
        outcome
    }

    fn take_body(
        &mut self,
        bytes: &[u8],
        expected: &Expected,
        stream: bool,
        scratch: &mut Scratch,
    ) -> Result<Outcome, Failure> {
        scratch.payload.clear();
        let surplus = Failure::Http("bytes behind the answer");
        let (payload, done) = match &mut self.at {
            At::Length(left) => {
                if bytes.len() as u64 > *left {
                    return Err(surplus);
                }
                *left -= bytes.len() as u64;
                (bytes, *left == 0)
            }
            At::Chunked | At::Head => {
                let used = self.chunked.decode(bytes, &mut scratch.payload).map_err(Failure::Http)?;
                if used < bytes.len() {
                    return Err(surplus);
                }
                (scratch.payload.as_slice(), self.chunked.is_done())
            }
        };
        let request = self.job.map_or(0, |job| job.number);
        if self.status == 200 && stream {
            self.check.feed(expected, payload, &mut scratch.times).map_err(Failure::Answer)?;
            if done {
                self.check.finish(expected).map_err(Failure::Answer)?;
            }
        } else if self.status == 200 && done && self.inbox.is_empty() {
            scratch.times.push(check_answer(expected, payload, request).map_err(Failure::Answer)?);
        } else if self.status == 200 {
            self.inbox.extend_from_slice(payload);
            if self.inbox.len() as u64 > BODY_BYTES {
                return Err(Failure::Http("body too long"));
            }
            if done {
                scratch.times.push(check_answer(expected, &self.inbox, request).map_err(Failure::Answer)?);
            }
        }
        let keep = self.keep;
        Ok(match (done, self.status) {
            (false, _) => Outcome::More,
            (true, 200) => Outcome::Right { keep },
            (true, status) => Outcome::Refused { status, keep },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    const ANSWER: &str = "{\"choices\":[{\"message\":{\"content\":\"0000000000000009 00000000 \
                          00000000000000001234 xyz\"}}]}";

    fn events() -> String {
        let data = |json: &str| format!("data: {json}\n\n");
        [
            data("{\"content\":\"0000000000000009 00000001 00000000000000001234 abc\"}"),
            data("{\"finish_reason\":\"stop\"}"),
            data("[DONE]"),
        ]
        .concat()
    }

    fn with_length(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn chunked(kind: &str, body: &str) -> String {
        let (front, back) = body.split_at(body.len() / 3);
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n{}{}0\r\n\r\n",
            chunk(front),
            chunk(back)
        )
    }

    /// The last outcome, and the times of all events.
    fn run(lane: &mut Lane, stream: bool, pieces: &[&[u8]]) -> (Outcome, Vec<u64>) {
        let expected =
            Expected { events: 1, event_words: b"abc".to_vec(), answer_words: b"xyz".to_vec(), usage: false };
        let job = Job { number: 9, purpose: Purpose::Load, intended_ns: 1, sent_ns: 1, attempt: 0 };
        assert_eq!(lane.send(job, b""), Ok(true));
        let (mut scratch, mut times) = (Scratch::default(), Vec::new());
        let mut last = Outcome::More;
        for piece in pieces {
            last = lane.take(piece, &expected, stream, &mut scratch);
            times.extend_from_slice(&scratch.times);
            if matches!(last, Outcome::Wrong(_)) {
                break;
            }
        }
        (last, times)
    }

    /// A lane to nobody: what it takes, the test gives it.
    fn lane() -> Lane {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let socket = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        Lane::new(Transport::new(socket, None), 0, true)
    }

    /// One connection takes the same answer again and again, cut everywhere: nothing may be left over.
    #[track_caller]
    fn check(input: &str, stream: bool, want: &Outcome, times: &[u64]) {
        let mut lane = lane();
        for cut in 1..input.len() {
            let (a, b) = input.as_bytes().split_at(cut);
            assert_eq!(run(&mut lane, stream, &[a, b]), (want.clone(), times.to_vec()), "{input:?} at {cut}");
        }
        let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
        assert_eq!(run(&mut lane, stream, &bytes), (want.clone(), times.to_vec()), "{input:?} by bytes");
        assert_eq!(run(&mut lane, stream, &[input.as_bytes()]).0, *want, "{input:?} at once");
    }

    #[test]
    fn answers_are_taken_however_they_are_cut() {
        let right = Outcome::Right { keep: true };
        check(&with_length("200 OK", ANSWER), false, &right, &[1234]);
        check(&chunked("application/json", ANSWER), false, &right, &[1234]);
        check(&chunked("text/event-stream", &events()), true, &right, &[1234]);
        let last = with_length("200 OK\r\nconnection: close", ANSWER);
        check(&last, false, &Outcome::Right { keep: false }, &[1234]);
        let refused = Outcome::Refused { status: 503, keep: true };
        check(&with_length("503 No", "{}"), true, &refused, &[]);
        check(&with_length("503 No", "{}"), false, &refused, &[]);
    }

    #[test]
    fn wrong_answers_are_seen_however_they_are_cut() {
        let wrong = |failure| Outcome::Wrong(failure);
        let other = ANSWER.replace("0009", "0008");
        let answer = Failure::Answer("the answer to another request");
        check(&with_length("200 OK", &other), false, &wrong(answer), &[]);
        let kind = Failure::Http("a stream that is not text/event-stream");
        check(&chunked("text/plain", &events()), true, &wrong(kind), &[]);
        let cut = Failure::Answer("no [DONE]");
        let text = events().replace("data: [DONE]\n\n", "");
        check(&chunked("text/event-stream", &text), true, &wrong(cut), &[1234]);
    }

    /// Behind an answer that is over, surplus is bytes without a request, which the engine refuses.
    #[test]
    fn surplus_in_the_same_read_is_seen() {
        let surplus = Outcome::Wrong(Failure::Http("bytes behind the answer"));
        for (answer, stream) in
            [(with_length("200 OK", ANSWER), false), (chunked("text/event-stream", &events()), true)]
        {
            let input = format!("{answer}x");
            for cut in 1..answer.len() {
                let (a, b) = input.as_bytes().split_at(cut);
                assert_eq!(run(&mut lane(), stream, &[a, b]).0, surplus, "{input:?} at {cut}");
            }
        }
    }
}
