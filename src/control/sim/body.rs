//! The body of an answer: whole, or one event per frame at the script's pace, with one timer per stream.
//!
//! Deliberately absent: what the events say (`render`) and noticing that the peer left: hyper then drops the
//! body, and with it the ticket.

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::render::{Events, Stamp};
use super::script::Script;
use super::seen::Ticket;

/// A response body.
#[derive(Debug)]
pub(super) struct AnswerBody {
    kind: Kind,
    /// `None` for answers that are not counted.
    ticket: Option<Ticket>,
}

#[derive(Debug)]
enum Kind {
    /// Not yet handed over.
    Whole(Bytes),
    Stream(Box<Stream>),
    /// Everything was handed over.
    Ended,
}

/// A stream on its way.
#[derive(Debug)]
struct Stream {
    script: Script,
    events: Events,
    step: Step,
    /// First byte of the next token.
    at: usize,
    /// Tokens sent.
    sent: u32,
    /// When the first token was due. Later ones are due at fixed distances from it, so a late one does not
    /// delay the rest.
    started: Option<Instant>,
    /// Made when the first pause begins; streams without pauses have none.
    timer: Option<Pin<Box<Sleep>>>,
}

/// The next event.
#[derive(Clone, Copy, Debug)]
enum Step {
    Role,
    Token,
    Usage,
    Done,
}

impl AnswerBody {
    /// A body in one piece.
    pub(super) fn whole(bytes: Bytes, ticket: Option<Ticket>) -> Self {
        Self { kind: Kind::Whole(bytes), ticket }
    }

    /// A stream of events.
    pub(super) fn stream(script: Script, created: u64, ticket: Ticket) -> Self {
        let events = Events::new(&script, Stamp { number: ticket.number, created });
        let step = if script.chat { Step::Role } else { Step::Token };
        let stream = Stream { script, events, step, at: 0, sent: 0, started: None, timer: None };
        Self { kind: Kind::Stream(Box::new(stream)), ticket: Some(ticket) }
    }

    fn end(&mut self) {
        self.kind = Kind::Ended;
        if let Some(mut ticket) = self.ticket.take() {
            ticket.complete();
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match &mut self.kind {
            Kind::Ended => return Poll::Ready(None),
            Kind::Whole(bytes) => {
                let bytes = core::mem::take(bytes);
                self.end();
                bytes
            }
            Kind::Stream(stream) => {
                let (event, last) = ready!(stream.poll_event(cx));
                if last {
                    self.end();
                }
                event
            }
        };
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.kind, Kind::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(_) => SizeHint::default(),
            Kind::Ended => SizeHint::with_exact(0),
        }
    }
}

impl Stream {
    /// The next event, and whether it is the last one.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<(Bytes, bool)> {
        match self.step {
            Step::Role => {
                self.step = Step::Token;
                Poll::Ready((self.events.role(&self.script.output), false))
            }
            Step::Token if self.at < self.script.output.content().len() => {
                ready!(self.poll_due(cx));
                let end = self.script.output.token_end(self.at);
                let token = &self.script.output.content()[self.at..end];
                let event = self.events.token(&self.script.output, token);
                (self.at, self.sent) = (end, self.sent.saturating_add(1));
                Poll::Ready((event, false))
            }
            Step::Token => {
                self.step = if self.script.include_usage { Step::Usage } else { Step::Done };
                Poll::Ready((self.events.finish(self.script.finish_reason), false))
            }
            Step::Usage => {
                self.step = Step::Done;
                Poll::Ready((self.events.usage(&self.script.usage()), false))
            }
            Step::Done => Poll::Ready((Bytes::from_static(b"data: [DONE]\n\n"), true)),
        }
    }

    /// Ready once the next token is due.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.script.gap.is_zero() {
            return Poll::Ready(());
        }
        let started = *self.started.get_or_insert_with(Instant::now);
        if self.sent == 0 {
            return Poll::Ready(());
        }
        let due = started + self.script.gap.saturating_mul(self.sent);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }
}
