//! Answers of our own, and the end of a connection.
//!
//! An answer given while request bytes are still coming must not be lost to a reset: our side is half-closed,
//! what still arrives is read and dropped within bounds, then the connection closes (RFC 9112 §9.6).
//! Deliberately absent: which answer is given (`reply`).

use core::time::Duration;

use crate::base::fault::{DeadlineKind, Fault};
use crate::base::ids::GenerationId;
use crate::base::metrics::Counter;
use crate::base::record::{Outcome, Record};
use crate::base::time::Moment;
use crate::exchange::reply::{self, Refusal};
use crate::exchange::request::ClientTerms;
use crate::exchange::{Action, Cx, Exchange, State};
use crate::policy::auth::Denied;
use crate::wire::http1::HeadWriter;

/// Most bytes read and dropped after our last answer.
const LINGER_BYTES: usize = 1 << 20;
/// What a client is told to wait while the ledger has no room.
const LEDGER_RETRY_SECONDS: u64 = 1;
/// Longest time for that.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// How an answer of our own is framed and what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) terms: ClientTerms,
    /// The connection goes on.
    pub(super) keep_alive: bool,
    /// Bytes at the front of the inbox that belong to the answered request; only used with `keep_alive`.
    pub(super) consumed: usize,
    /// Sent as `X-Generation-Id`.
    pub(super) id: Option<GenerationId>,
}

impl Answer {
    /// To a client of whom nothing is known, closing.
    pub(super) const fn closing() -> Self {
        let terms = ClientTerms { http10: false, keep_alive: false, head_only: false };
        Self { terms, keep_alive: false, consumed: 0, id: None }
    }

    /// To a known request, closing.
    pub(super) const fn closing_for(terms: ClientTerms, id: GenerationId) -> Self {
        Self { terms, keep_alive: false, consumed: 0, id: Some(id) }
    }
}

/// What is left to do on a connection whose request is over.
#[derive(Debug)]
pub(super) enum Close {
    /// The last bytes are being sent.
    Sending {
        /// Afterwards the next request is taken in.
        keep_alive: bool,
    },
    /// Our side is ended; what the client still sends is dropped.
    Lingering {
        /// Bytes dropped so far.
        dropped: usize,
    },
}

impl Close {
    /// The last bytes are still on their way.
    pub(super) const fn is_sending(&self) -> bool {
        matches!(self, Self::Sending { .. })
    }
}

impl Exchange {
    /// Answers with an error of our own.
    pub(super) fn refuse(&mut self, cx: &mut Cx<'_>, refusal: &Refusal, answer: Answer) {
        cx.count(Counter::RequestsRefused);
        let status = reply::status(refusal);
        if let Some(id) = answer.id {
            let outcome = Outcome::Refused(status);
            cx.tell(|| Record { outcome, ..Record::empty(id) });
        }
        self.answer(cx, status, answer, |out| reply::write_body(out, refusal), Some(refusal));
    }

    /// Sends an answer of our own: status, JSON body, and what the refusal needs besides.
    pub(super) fn answer(
        &mut self,
        cx: &mut Cx<'_>,
        status: u16,
        answer: Answer,
        body: impl FnOnce(&mut Vec<u8>),
        refusal: Option<&Refusal>,
    ) {
        let keep_alive = answer.keep_alive && !self.client.draining;
        let mut text = Vec::new();
        body(&mut text);
        let mut head = HeadWriter::response(&mut self.to_client.own, status);
        head.field("content-type", b"application/json").number("content-length", text.len() as u64);
        match refusal {
            Some(Refusal::MethodWrong { allow }) => {
                head.field("allow", allow.as_bytes());
            }
            Some(Refusal::Denied(Denied::Missing | Denied::Unknown)) => {
                head.field("www-authenticate", b"Bearer");
            }
            // It has room again as soon as its reader has caught up.
            Some(Refusal::LedgerFull) => {
                head.number("retry-after", LEDGER_RETRY_SECONDS);
            }
            // Every candidate was tried: an SDK that repeats the call would multiply the attempts.
            Some(Refusal::Exhausted { retry_after, attempts, .. }) => {
                head.field("x-should-retry", b"false");
                if !attempts.is_empty() {
                    head.field("x-millrace-attempts", attempts.as_bytes());
                }
                if let Some(seconds) = retry_after {
                    head.number("retry-after", u64::from(*seconds));
                }
            }
            Some(_) | None => {}
        }
        if let Some(id) = &answer.id {
            head.field("x-generation-id", id.as_bytes());
        }
        if !keep_alive {
            head.field("connection", b"close");
        }
        head.end();
        if !answer.terms.head_only {
            self.to_client.own.extend_from_slice(&text);
        }
        self.to_client.push_own(0);
        self.discharge(cx);
        if keep_alive {
            self.inbox.take(answer.consumed);
        }
        self.state = State::Close(Close::Sending { keep_alive });
        self.total_due = Moment::NEVER;
        self.arm(DeadlineKind::ClientSend, cx.now + cx.snapshot.deadlines.client_send);
        self.send_to_client(cx);
    }

    /// The last bytes of an answer are out.
    pub(super) fn after_close_send(&mut self, cx: &mut Cx<'_>) {
        let State::Close(Close::Sending { keep_alive }) = self.state else { return };
        if keep_alive && !self.client.draining {
            return self.next_request(cx);
        }
        self.half_close(cx);
    }

    /// Ends our side and lets the client's last bytes come in.
    pub(super) fn half_close(&mut self, cx: &mut Cx<'_>) {
        self.discharge(cx);
        self.state = State::Close(Close::Lingering { dropped: 0 });
        self.total_due = Moment::NEVER;
        self.arm(DeadlineKind::ClientIdle, cx.now + LINGER_TIME);
        cx.act(Action::ClientHalfClose);
        self.linger(cx);
    }

    /// Drops what the client still sends.
    pub(super) fn linger(&mut self, cx: &mut Cx<'_>) {
        let State::Close(Close::Lingering { dropped }) = &mut self.state else { return };
        if self.client.receiving {
            return;
        }
        *dropped += self.inbox.len();
        if *dropped > LINGER_BYTES {
            return self.close_now(cx);
        }
        self.inbox.take(self.inbox.len());
        self.receive_from_client(cx);
    }

    /// The connection takes its next request.
    pub(super) fn next_request(&mut self, cx: &mut Cx<'_>) {
        self.discharge(cx);
        self.state = State::Intake;
        self.intake.restart();
        self.total_due = Moment::NEVER;
        self.arm(DeadlineKind::ClientIdle, cx.now + cx.snapshot.deadlines.client_idle);
        // A receive may still be in flight from the request before; its bytes are then the next request's.
        if self.origin.quiet() {
            self.recycle_window(cx);
        }
        if !self.client.receiving {
            self.shrink_inbox(cx);
            self.take_in(cx);
        }
    }

    /// A client that does not take the last bytes is reset: an orderly end could look like theirs. One that
    /// only does not close has had its time.
    pub(super) fn close_deadline(&mut self, cx: &mut Cx<'_>) {
        let reset = matches!(&self.state, State::Close(close) if close.is_sending());
        self.end(cx, reset);
    }

    /// No further request is taken.
    pub(super) fn on_drain(&mut self, cx: &mut Cx<'_>) {
        self.client.draining = true;
        if self.is_idle() {
            self.close_now(cx);
        }
    }

    /// The drain time is over.
    pub(super) fn on_stop(&mut self, cx: &mut Cx<'_>) {
        self.client.draining = true;
        match &self.state {
            State::Intake | State::Close(_) => self.close_now(cx),
            State::Attempt(_) => self.report(cx, Fault::Draining),
            State::Relay(_) => self.cut(cx, Fault::Draining),
            State::Ended => {}
        }
    }

    /// Closes without a further word.
    pub(super) fn close_now(&mut self, cx: &mut Cx<'_>) {
        self.end(cx, false);
    }

    fn end(&mut self, cx: &mut Cx<'_>, reset: bool) {
        self.discharge(cx);
        self.part(cx);
        self.part_other(cx);
        self.state = State::Ended;
        cx.act(Action::Close { reset });
    }
}

/// Which counter a passed deadline goes to.
pub(super) const fn deadline_counter(kind: DeadlineKind) -> Counter {
    match kind {
        DeadlineKind::ClientIdle => Counter::DeadlineClientIdle,
        DeadlineKind::ClientHead => Counter::DeadlineClientHead,
        DeadlineKind::ClientBody => Counter::DeadlineClientBody,
        DeadlineKind::ClientSend => Counter::DeadlineClientSend,
        DeadlineKind::Connect => Counter::DeadlineConnect,
        DeadlineKind::ResponseHead => Counter::DeadlineResponseHead,
        DeadlineKind::FirstEvent => Counter::DeadlineFirstEvent,
        DeadlineKind::Idle => Counter::DeadlineIdle,
        DeadlineKind::Total => Counter::DeadlineTotal,
    }
}
