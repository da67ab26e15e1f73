//! The answer of an attempt, up to the commit: its head, and then either the first real event of a stream,
//! or the whole of anything else (held until complete or `limits::HOLD_BYTES`). An error inside a 200, a
//! truncation, a body that is no answer: all of them are still failures of the attempt here.
//!
//! Deliberately absent: what follows the commit (`relay`).

use core::time::Duration;

use crate::base::fault::{DeadlineKind, Fault};
use memchr::memmem;

use crate::base::limits::{HEAD_BYTES, HOLD_BYTES, INTERIM_RESPONSES, WINDOW_BYTES};
use crate::base::time::UnixSeconds;
use crate::dialect::{Answer as Judged, Places, Signal, dialect};
use crate::exchange::attempt::Then;
use crate::exchange::emit::{BodyOut, Emit};
use crate::exchange::pump::{Content, Flow};
use crate::exchange::request::Subject;
use crate::exchange::{Cx, Exchange, Got, State};
use crate::policy::catalog::Credential;
use crate::policy::health::grant;
use crate::policy::retry::Verdict;
use crate::wire::Parse;
use crate::wire::http1::{
    ChunkDecoder, ResponseField, ResponseFraming, ResponseHead, decode_in_place, read_date,
};
use crate::wire::parcel::Parcel;

/// A `Retry-After` beyond this is cut: SDKs give up above it.
const RETRY_AFTER_SECONDS: u64 = 120;

/// What is shorter is a placeholder such as `x`, and would blot out half of a text.
const SECRET_BYTES_LEAST: usize = 4;

/// How far an attempt is.
#[derive(Debug)]
pub(super) enum Stage {
    /// A connection is being made.
    Dialing,
    /// Waiting for the response head.
    Head {
        /// How far the search for its end came.
        scanned: usize,
        /// Interim responses skipped.
        interim: usize,
    },
    /// Looking for the first real event of a stream.
    Events,
    /// Holding an answer that is not a stream until it is complete.
    Whole {
        /// How the body is coming.
        hold: Hold,
    },
    /// The connection of a failed attempt is being let go.
    Parting(Then),
}

impl Stage {
    pub(super) const fn head() -> Self {
        Self::Head { scanned: 0, interim: 0 }
    }
}

/// What is kept of a response head when its bytes are gone.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) status: u16,
    pub(super) framing: ResponseFraming,
    pub(super) keep_alive: bool,
    pub(super) content_type: Vec<u8>,
    pub(super) content_encoding: Vec<u8>,
    /// `Retry-After` in seconds.
    pub(super) retry_after: Option<u32>,
    /// The provider grants nothing more for so long.
    used_up: Option<Duration>,
}

impl Kept {
    /// Copies what is needed of a head, since its bytes go.
    fn note(&mut self, head: &ResponseHead, bytes: &[u8], now: UnixSeconds) {
        (self.status, self.framing, self.keep_alive) = (head.status, head.framing, head.keep_alive);
        let wait = head.field(ResponseField::RetryAfter);
        self.retry_after = wait.and_then(|span| wait_seconds(span.of(bytes), now));
        let left = |remaining, reset| {
            let (remaining, reset) = (head.field(remaining)?, head.field(reset)?);
            grant::used_up(remaining.of(bytes), reset.of(bytes), now)
        };
        self.used_up = left(ResponseField::RemainingRequests, ResponseField::ResetRequests)
            .max(left(ResponseField::RemainingTokens, ResponseField::ResetTokens));
        let copy = |to: &mut Vec<u8>, field| {
            to.clear();
            if let Some(span) = head.field(field) {
                to.extend_from_slice(span.of(bytes));
            }
        };
        copy(&mut self.content_type, ResponseField::ContentType);
        copy(&mut self.content_encoding, ResponseField::ContentEncoding);
    }

    fn is_event_stream(&self) -> bool {
        const EVENTS: &[u8] = b"text/event-stream";
        self.content_type.get(..EVENTS.len()).is_some_and(|start| start.eq_ignore_ascii_case(EVENTS))
            && self.content_encoding.is_empty()
    }
}

impl Default for Kept {
    /// Of no head.
    fn default() -> Self {
        Self {
            status: 0,
            framing: ResponseFraming::None,
            keep_alive: false,
            content_type: Vec::new(),
            content_encoding: Vec::new(),
            retry_after: None,
            used_up: None,
        }
    }
}

/// A held body: decoded payload lies at the front of the window.
#[derive(Debug)]
pub(super) enum Hold {
    /// This many bytes were announced.
    Length(u64),
    /// `payload` bytes are decoded.
    Chunked {
        /// Where the decoder stands.
        decoder: ChunkDecoder,
        /// Decoded bytes at the front of the window.
        payload: usize,
    },
    /// Until the end of the connection.
    Close,
}

/// How a held body stands.
enum Held {
    /// Not complete and not too long.
    Wait,
    /// Complete: this many bytes at the front of the window.
    Complete(usize),
    /// Longer than is held: this many bytes are here.
    Long(usize),
    /// Broken framing.
    Bad,
}

impl Exchange {
    /// Something came (or the connection ended) before the commit.
    pub(super) fn on_answer_bytes(&mut self, cx: &mut Cx<'_>, got: Got) {
        let State::Attempt(attempt) = &self.state else { return };
        match attempt.run.stage {
            Stage::Head { .. } => self.look_for_head(cx, got),
            Stage::Events if matches!(got, Got::Bytes(_)) => self.look_for_first_event(cx),
            Stage::Events => self.fail(cx, Fault::Truncated),
            Stage::Whole { .. } => self.look_for_whole(cx, got),
            Stage::Dialing | Stage::Parting(_) => {}
        }
    }

    fn look_for_head(&mut self, cx: &mut Cx<'_>, got: Got) {
        let State::Attempt(attempt) = &mut self.state else { return };
        let Stage::Head { scanned, interim } = &mut attempt.run.stage else { return };
        if !matches!(got, Got::Bytes(_)) {
            // Bytes of an interim response or of half a head count as no answer, but not as a stale
            // connection.
            let reused = attempt.run.reused && self.window.is_empty() && *interim == 0;
            let fault =
                if self.window.is_empty() { Fault::ResetBeforeAnswer { reused } } else { Fault::Truncated };
            return self.fail(cx, fault);
        }
        let shape = cx.core.shape(attempt.run.candidate.provider);
        loop {
            let (head, used) = match shape.read(self.window.bytes(), scanned) {
                Parse::Done { value, used } => (value, used),
                Parse::Bad(_) => return self.fail(cx, Fault::BadHead),
                Parse::More => return self.read_on(cx, HEAD_BYTES + 1),
            };
            if head.status >= 200 {
                attempt.run.kept.note(&head, self.window.bytes(), cx.unix);
                self.window.take(used);
                return self.on_head(cx);
            }
            // The client did not ask for interim responses: it is we who are the origin's client.
            *interim += 1;
            if *interim > INTERIM_RESPONSES {
                return self.fail(cx, Fault::BadHead);
            }
            *scanned = 0;
            self.window.take(used);
        }
    }

    fn on_head(&mut self, cx: &mut Cx<'_>) {
        let races = self.races();
        let State::Attempt(attempt) = &mut self.state else { return };
        let (status, framing) = (attempt.run.kept.status, attempt.run.kept.framing);
        // With a refusal it is `Retry-After` that counts.
        if let (Some(wait), Some(ticket), 200..300) = (attempt.run.kept.used_up, &attempt.run.ticket, status)
        {
            cx.core.health.used_up(ticket, wait, cx.now);
        }
        let inference = matches!(attempt.request.subject, Subject::Inference { .. });
        if let Some(seconds) = attempt.run.kept.retry_after {
            attempt.retry_after = Some(attempt.retry_after.map_or(seconds, |least| least.min(seconds)));
        }
        if inference && framing == ResponseFraming::None && status < 300 {
            return self.fail(cx, Fault::BadContent);
        }
        if inference && !(200..300).contains(&status) {
            // Redirects are never followed: the key must not travel.
            let fault = if status < 400 { Fault::BadContent } else { Fault::Status(status) };
            let pass = matches!(status, 400 | 404 | 405 | 409 | 413 | 415 | 422)
                && !attempt.greeted
                && !(races && attempt.yields(fault))
                && attempt.verdict(fault) == Verdict::Report;
            if !pass {
                return self.fail(cx, fault);
            }
        }
        let (sent_at, deadlines) = (attempt.run.sent_at, &attempt.provider().deadlines);
        let (first_event, answer) = (deadlines.first_event, deadlines.answer);
        if status == 200 && attempt.request.wants_events() && attempt.run.kept.is_event_stream() {
            let drop_usage = matches!(attempt.request.subject, Subject::Inference { drop_usage: true, .. });
            attempt.run.pump.restart(framing, Content::Events { drop_usage });
            let terms = cx.core.count_terms(attempt.snapshot(), attempt.run.candidate);
            attempt.run.pump.count_by(terms);
            attempt.run.stage = Stage::Events;
            self.arm(DeadlineKind::FirstEvent, sent_at + first_event);
            return self.look_for_first_event(cx);
        }
        if attempt.greeted {
            // The client was promised a stream; a document cannot follow.
            return self.fail(cx, Fault::BadContent);
        }
        let hold = match framing {
            ResponseFraming::None => Hold::Length(0),
            ResponseFraming::Length(length) => Hold::Length(length),
            ResponseFraming::Chunked => Hold::Chunked { decoder: ChunkDecoder::new(), payload: 0 },
            ResponseFraming::Close => Hold::Close,
        };
        attempt.run.stage = Stage::Whole { hold };
        self.arm(DeadlineKind::FirstEvent, sent_at + answer);
        self.look_for_whole(cx, Got::Bytes(0));
    }

    /// Walks on towards the first real event.
    pub(super) fn look_for_first_event(&mut self, cx: &mut Cx<'_>) {
        // The completion of a waiting comment, and that of a receive, each come back here.
        if self.client.sending || self.origin.receiving {
            return;
        }
        let State::Attempt(attempt) = &mut self.state else { return };
        if !matches!(attempt.run.stage, Stage::Events) {
            return;
        }
        let dialect = dialect(attempt.provider().dialect);
        let pump = &mut attempt.run.pump;
        let mut emit = Emit::new(BodyOut::Chunked);
        let scratch = &mut cx.core.count_scratch;
        let flow = pump.run(&self.window, dialect, &mut emit, &mut Parcel::default(), scratch);
        match flow {
            Flow::First(Signal::Error { status }) => self.fail(cx, Fault::Status(status)),
            Flow::First(_) => self.commit_events(cx),
            Flow::Bad => self.fail(cx, Fault::BadFraming),
            // The body ended and there was no event in it.
            Flow::Complete => self.fail(cx, Fault::BadContent),
            Flow::More => {
                let spent = pump.spent();
                self.window.take(spent);
                pump.shift(spent);
                self.read_on(cx, WINDOW_BYTES + 1);
            }
        }
    }

    /// Reads on from the origin, unless `most` bytes or more are held already.
    fn read_on(&mut self, cx: &mut Cx<'_>, most: usize) {
        if self.window.len() >= most {
            return self.fail(cx, Fault::BadHead);
        }
        self.make_window_room();
        if self.window.room() == 0 {
            return self.fail(cx, Fault::BadContent);
        }
        self.receive_from_origin(cx);
    }

    /// Makes room for a receive: by moving what is held to the front, else by doubling up to the bound.
    pub(super) fn make_window_room(&mut self) {
        self.window.compact();
        if self.window.room() == 0 {
            self.window.grow_to((self.window.capacity() * 2).min(WINDOW_BYTES));
        }
    }

    /// Looks whether a held answer is complete.
    fn look_for_whole(&mut self, cx: &mut Cx<'_>, got: Got) {
        let held = self.held(got);
        let State::Attempt(attempt) = &mut self.state else { return };
        match held {
            Held::Wait if matches!(got, Got::Bytes(_)) => self.read_on(cx, WINDOW_BYTES + 1),
            Held::Wait => self.fail(cx, Fault::Truncated),
            Held::Bad => self.fail(cx, Fault::BadFraming),
            Held::Long(payload) => match &attempt.run.stage {
                // An error is shown only whole, because only then it is certain to hold no key of ours.
                Stage::Whole { .. } if attempt.run.kept.status >= 400 => {
                    let fault = Fault::Status(attempt.run.kept.status);
                    self.fail(cx, fault);
                }
                _ => self.commit_long(cx, payload),
            },
            Held::Complete(payload) => {
                let head = &attempt.run.kept;
                if head.status >= 400 {
                    if !head.content_encoding.is_empty() {
                        let fault = Fault::Status(head.status);
                        return self.fail(cx, fault);
                    }
                    blot_out(&attempt.provider().credential, &mut self.window.bytes_mut()[..payload]);
                }
                let body = &self.window.bytes()[..payload];
                let judged = match &attempt.request.subject {
                    Subject::Inference { .. } if head.status == 200 && head.content_encoding.is_empty() => {
                        dialect(attempt.provider().dialect).judge_answer(body)
                    }
                    Subject::Inference { .. } | Subject::Control => {
                        Judged::Content { usage: None, places: Places::default() }
                    }
                };
                match judged {
                    Judged::Content { usage, places } => self.commit_whole(cx, payload, (usage, places)),
                    Judged::Error { status } => self.fail(cx, Fault::Status(status)),
                    Judged::Unusable => self.fail(cx, Fault::BadContent),
                }
            }
        }
    }

    fn held(&mut self, got: Got) -> Held {
        let State::Attempt(attempt) = &mut self.state else { return Held::Wait };
        let Stage::Whole { hold } = &mut attempt.run.stage else { return Held::Wait };
        let ended = got == Got::End;
        match hold {
            Hold::Length(length) => match usize::try_from(*length) {
                Ok(length) if self.window.len() >= length => Held::Complete(length),
                _ if self.window.len() >= HOLD_BYTES => Held::Long(self.window.len()),
                _ => Held::Wait,
            },
            Hold::Close if ended => Held::Complete(self.window.len()),
            Hold::Close if self.window.len() >= HOLD_BYTES => Held::Long(self.window.len()),
            Hold::Close => Held::Wait,
            Hold::Chunked { decoder, payload } => {
                let at = *payload;
                let Ok(decoded) = decode_in_place(decoder, &mut self.window.bytes_mut()[at..]) else {
                    return Held::Bad;
                };
                *payload += decoded.payload_len;
                self.window.close_gap(at + decoded.payload_len, at + decoded.consumed_raw);
                match *payload {
                    payload if decoded.done => Held::Complete(payload),
                    payload if payload >= HOLD_BYTES => Held::Long(payload),
                    _ => Held::Wait,
                }
            }
        }
    }
}

/// `Retry-After` as seconds from now: a number or a date (RFC 9110 §10.2.3).
fn wait_seconds(value: &[u8], now: UnixSeconds) -> Option<u32> {
    let seconds = match read_date(value) {
        Some(date) => date.0.saturating_sub(now.0),
        None => core::str::from_utf8(value).ok()?.trim().parse().ok()?,
    };
    Some(seconds.min(RETRY_AFTER_SECONDS) as u32)
}

/// Providers quote the key they did not like ("Incorrect API key provided: sk-…"). It is ours, not the
/// client's: its bytes are overwritten, and the length stays.
fn blot_out(credential: &Credential, body: &mut [u8]) {
    let key = match credential {
        Credential::None => return,
        Credential::Bearer(key) | Credential::Header { value: key, .. } => key.expose().as_bytes(),
    };
    if key.len() < SECRET_BYTES_LEAST {
        return;
    }
    let finder = memmem::Finder::new(key);
    let mut from = 0;
    while let Some(at) = finder.find(&body[from..]) {
        body[from + at..from + at + key.len()].fill(b'*');
        from += at + key.len();
    }
}
