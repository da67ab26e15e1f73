//! Relay: an answer is on its way. What the origin sends is forwarded from the buffer it was received into;
//! the window is the only thing between the two, so a slow client stops the reading and nothing piles up.
//!
//! Deliberately absent: the request, the plan, and therefore any way to try another candidate.

mod books;
mod pins;

use crate::base::fault::{DeadlineKind, Fault};
use crate::base::ids::{GenerationId, KeyId};
use crate::base::metrics::Counter;
use crate::base::record::{Attempts, Billed, Outcome, Usage};
use crate::base::span::Span;
use crate::base::time::Moment;
use crate::dialect::{Dialect, Places, dialect};
use crate::exchange::answer::{Hold, Stage};
use crate::exchange::answer_head::{DocumentBody, write_document_head, write_events_head};
use crate::exchange::attempt::Attempt;
use crate::exchange::bill::Bill;
use crate::exchange::close::Close;
use crate::exchange::emit::{BodyOut, Emit};
use crate::exchange::pump::{Content, Flow, Pump};
use crate::exchange::receipt::{Closing, Place};
use crate::exchange::request::ClientTerms;
use crate::exchange::{Action, Cx, Exchange, Got, OriginSide, State, reply};
use crate::policy::catalog::OnClientGone;
use crate::policy::health::Ticket;
use core::time::Duration;
use pins::Pins;

/// After the end marker an origin may take this long to end its body.
const AFTER_DONE: Duration = Duration::from_secs(1);

/// How a relay ends once the parcel in flight is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Not yet.
    Open,
    /// Whole: the end of the body is in the parcel.
    Complete,
    /// Cut by this fault.
    Cut(Fault),
}

/// A committed answer.
#[derive(Debug)]
pub(super) struct Relay {
    facts: Facts,
    attempts: Attempts,
    /// For the health table.
    pub(super) ticket: Option<Ticket>,
    /// What to remember of the conversation once the end of the answer is here.
    pins: Pins,
    /// When the end of the answer was here, however long its client takes for it.
    answered_at: Option<Moment>,
    pump: Pump,
    emit: Emit,
    events: bool,
    /// The client's head announced a length: a cut answer is visibly short.
    announced: bool,
    /// The origin connection may serve again if the body ends as it should.
    reusable: bool,
    /// Window bytes that the parcel in flight uses up.
    spent: usize,
    ending: Ending,
}

/// What does not change any more at the commit.
#[derive(Clone, Copy)]
struct Facts {
    id: GenerationId,
    key: Option<KeyId>,
    terms: ClientTerms,
    status: u16,
    began: Moment,
    first_byte_at: Moment,
    dialect: &'static dyn Dialect,
    /// Its provider bills it to its end, whoever reads it.
    drains: bool,
    idle: Duration,
    client_send: Duration,
}

impl core::fmt::Debug for Facts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Facts").field("id", &self.id).field("status", &self.status).finish_non_exhaustive()
    }
}

impl Relay {
    /// The relay of an attempt's answer, in the frame of an earlier one if the core has any. Its pump is
    /// still to be set going.
    fn begin(attempt: &mut Attempt, out: BodyOut, cx: &mut Cx<'_>, sending: bool) -> Box<Self> {
        let status = attempt.run.kept.status;
        let ok = (200..300).contains(&status);
        let fault = (!ok).then_some(Fault::Status(status));
        let billed = if ok { Billed::Yes } else { Billed::No };
        let record = attempt.run.record(cx, fault, billed, attempt.request.began);
        attempt.attempts.push(record);
        let provider = attempt.provider();
        let facts = Facts {
            id: attempt.request.id,
            key: attempt.request.tenant.key,
            terms: attempt.request.terms,
            status,
            began: attempt.request.began,
            first_byte_at: cx.now,
            dialect: dialect(provider.dialect),
            drains: provider.on_client_gone == OnClientGone::Drain,
            idle: provider.deadlines.idle,
            client_send: attempt.snapshot().deadlines.client_send,
        };
        let mut relay = match cx.core.spare_relay() {
            Some(mut frame) => {
                frame.facts = facts;
                frame.emit.restart(out);
                frame
            }
            None => Box::new(Self::framed(facts, out)),
        };
        relay.reusable = attempt.run.kept.keep_alive && !sending && !attempt.run.unsent;
        (relay.events, relay.announced, relay.spent) = (false, false, 0);
        relay.ending = Ending::Open;
        relay.answered_at = None;
        relay.pins = Pins::of(attempt, cx);
        relay.ticket = attempt.run.ticket.take();
        if let (Some(ticket), Stage::Events) = (&relay.ticket, &attempt.run.stage) {
            cx.core.health.first_event(ticket, cx.now);
        }
        relay.attempts.clear();
        core::mem::swap(&mut relay.attempts, &mut attempt.attempts);
        relay
    }

    fn framed(facts: Facts, out: BodyOut) -> Self {
        Self {
            facts,
            attempts: Attempts::new(),
            ticket: None,
            pins: Pins::NONE,
            answered_at: None,
            pump: Pump::idle(),
            emit: Emit::new(out),
            events: false,
            announced: false,
            reusable: false,
            spent: 0,
            ending: Ending::Open,
        }
    }

    /// Lets go of what a frame must not keep while it waits for reuse.
    pub(super) fn empty(&mut self) {
        self.pump.empty();
    }

    /// Neither over nor cut, and no last words were heard.
    pub(super) fn is_midway(&self) -> bool {
        self.ending == Ending::Open && !self.pump.ended() && !self.pump.seen().done
    }
}

impl Exchange {
    /// Takes the attempt out at the commit: from here on there is no request and no plan, and one origin.
    fn commit(&mut self, cx: &mut Cx<'_>) -> Option<Box<Attempt>> {
        self.give_up_other(cx, Fault::Outrun);
        match core::mem::replace(&mut self.state, State::Ended) {
            State::Attempt(attempt) => Some(attempt),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// The first real event is here.
    pub(super) fn commit_events(&mut self, cx: &mut Cx<'_>) {
        let Some(mut attempt) = self.commit(cx) else { return };
        let (terms, greeted) = (attempt.request.terms, attempt.greeted);
        let out = if terms.http10 { BodyOut::Plain } else { BodyOut::Chunked };
        let mut relay = Relay::begin(&mut attempt, out, cx, self.origin.sending);
        relay.events = true;
        core::mem::swap(&mut relay.pump, &mut attempt.run.pump);
        relay.pump.charge(Bill::of(&attempt));
        relay.pump.close_with(attempt.closing(&relay.attempts, 200));
        relay.pump.accept_first(greeted.then(|| self.window.bytes()), &mut relay.emit);
        if !greeted {
            let close = terms.http10 || !terms.keep_alive || self.client.draining;
            let (told, kind) = (attempt.told(&relay.attempts), &attempt.run.kept.content_type);
            write_events_head(&mut self.to_client.own, &attempt, Some(told), kind, out, close);
            self.to_client.push_own(0);
        }
        self.enter_relay(cx, attempt, relay);
        self.advance(cx);
    }

    /// A whole answer is here, `payload` bytes at the front of the window. `said` is what its dialect found
    /// in it: usage, and where things stand.
    pub(super) fn commit_whole(&mut self, cx: &mut Cx<'_>, payload: usize, said: (Option<Usage>, Places)) {
        let Some(mut attempt) = self.commit(cx) else { return };
        let terms = attempt.request.terms;
        let mut relay = Relay::begin(&mut attempt, BodyOut::Plain, cx, self.origin.sending);
        relay.pump.hold_whole(payload, said.0);
        // After a body that the end of the connection ends, there is no connection to keep.
        relay.reusable &= !matches!(attempt.run.stage, Stage::Whole { hold: Hold::Close });
        relay.announced = true;
        let close = !terms.keep_alive || self.client.draining;
        relay.pump.charge(Bill::of(&attempt));
        let closing = attempt.document_closing(&relay.attempts);
        relay.pump.tell_document(&self.window.bytes()[..payload], &said.1, closing);
        let body = DocumentBody::Length(relay.pump.seen().payload_bytes);
        write_document_head(&mut self.to_client.own, &attempt, &relay.attempts, body, close);
        self.to_client.push_own(0);
        let base = self.window.cursors().0;
        relay.pump.push_document(Span::new(base, base + payload), &mut self.to_client);
        relay.spent = payload;
        relay.answered(cx);
        relay.settle_first(cx, &mut self.account, self.drain.as_ref());
        let due = cx.now + relay.facts.client_send;
        self.enter_relay(cx, attempt, relay);
        self.send_relayed(cx, due);
    }

    /// An answer is longer than is held: `payload` decoded bytes are at the front of the window, the rest
    /// follows.
    pub(super) fn commit_long(&mut self, cx: &mut Cx<'_>, payload: usize) {
        let Some(mut attempt) = self.commit(cx) else { return };
        let (terms, bill) = (attempt.request.terms, Bill::of(&attempt));
        let kept = &attempt.run.kept;
        let is_answer = bill.is_some() && kept.status == 200 && kept.content_encoding.is_empty();
        // With its cost, the answer has a length that nobody knows yet.
        let grows = is_answer && bill.as_ref().is_some_and(Bill::tells_cost);
        let announced = match attempt.run.stage {
            Stage::Whole { hold: Hold::Length(length) } if !grows => Some(length),
            _ => None,
        };
        let out = if announced.is_some() || terms.http10 { BodyOut::Plain } else { BodyOut::Chunked };
        let close = !terms.keep_alive || self.client.draining || terms.http10;
        let mut relay = Relay::begin(&mut attempt, out, cx, self.origin.sending);
        let front = &self.window.bytes()[..payload];
        let closing = attempt.document_closing(&relay.attempts);
        let place = closing.and_then(|closing| Place::first(&closing, front));
        let added = place.as_ref().map_or(0, |place| place.bytes.len());
        let body = match announced {
            Some(length) => DocumentBody::Length(length + added as u64),
            None if out == BodyOut::Chunked => DocumentBody::Chunked,
            None => DocumentBody::UntilClose,
        };
        write_document_head(&mut self.to_client.own, &attempt, &relay.attempts, body, close);
        self.to_client.push_own(0);
        match attempt.run.stage {
            Stage::Whole { hold: Hold::Chunked { decoder, .. } } => relay.pump.resume(decoder, payload),
            _ => relay.pump.restart(attempt.run.kept.framing, Content::Opaque),
        }
        relay.pump.charge(bill);
        if is_answer {
            relay.pump.seek_usage(front, relay.facts.dialect);
        }
        if let Some(place) = place {
            relay.pump.pass_front(front, place.at, &mut relay.emit);
            relay.emit.insert(|out| out.extend_from_slice(&place.bytes));
        }
        relay.announced = announced.is_some();
        self.enter_relay(cx, attempt, relay);
        self.advance(cx);
    }

    fn enter_relay(&mut self, cx: &mut Cx<'_>, attempt: Box<Attempt>, relay: Box<Relay>) {
        cx.core.retire_attempt(attempt);
        self.forget_request(cx);
        self.state = State::Relay(relay);
    }

    /// Sends what was taken from the window, with the window itself. Without a client it goes nowhere.
    fn send_relayed(&mut self, cx: &mut Cx<'_>, due: Moment) {
        if self.drain.is_some() {
            self.to_client.clear();
            return self.after_relay_send(cx);
        }
        self.to_client.window = self.window.lend();
        self.arm(DeadlineKind::ClientSend, due);
        self.send_to_client(cx);
    }

    /// Forwards everything that is complete in the window.
    fn advance(&mut self, cx: &mut Cx<'_>) {
        let State::Relay(relay) = &mut self.state else { return };
        let before = relay.pump.seen().events;
        debug_assert!(!self.client.sending);
        let (Relay { pump, emit, facts, .. }, scratch) = (&mut **relay, &mut cx.core.count_scratch);
        let flow = pump.run(&self.window, facts.dialect, emit, &mut self.to_client, scratch);
        cx.core.counters.add(Counter::Events, relay.pump.seen().events - before);
        match flow {
            Flow::More | Flow::First(_) => {}
            Flow::Bad => relay.ending = Ending::Cut(Fault::BadFraming),
            Flow::Complete => {
                relay.emit.finish(&mut self.to_client);
                relay.answered(cx);
                relay.settle_first(cx, &mut self.account, self.drain.as_ref());
            }
        }
        relay.spent = relay.pump.spent();
        if self.to_client.pieces.is_empty() {
            return self.after_relay_send(cx);
        }
        let due = cx.now + relay.facts.client_send;
        self.send_relayed(cx, due);
    }

    /// A parcel is out: make room and read on, or end.
    pub(super) fn after_relay_send(&mut self, cx: &mut Cx<'_>) {
        let State::Relay(relay) = &mut self.state else { return };
        if !self.origin.receiving {
            let spent = core::mem::take(&mut relay.spent);
            self.window.take(spent);
            relay.pump.shift(spent);
        }
        match relay.ending {
            Ending::Complete => self.finish(cx),
            Ending::Cut(fault) => self.cut(cx, fault),
            Ending::Open => {
                let wait = if relay.pump.seen().done { AFTER_DONE } else { relay.facts.idle };
                self.arm(DeadlineKind::Idle, cx.now + wait);
                self.make_window_room();
                if self.window.room() == 0 {
                    return self.cut(cx, Fault::BadFraming);
                }
                self.receive_from_origin(cx);
            }
        }
    }

    /// More of the answer, or the end of the connection.
    pub(super) fn on_relay_bytes(&mut self, cx: &mut Cx<'_>, got: Got) {
        let State::Relay(relay) = &mut self.state else { return };
        match got {
            Got::Bytes(_) => self.advance(cx),
            Got::End if relay.pump.end_of_connection() => {
                relay.reusable = false;
                self.advance(cx);
            }
            Got::End | Got::Failed => self.cut(cx, Fault::Truncated),
        }
    }

    pub(super) fn relay_deadline(&mut self, cx: &mut Cx<'_>, kind: DeadlineKind) {
        let State::Relay(relay) = &mut self.state else { return };
        match kind {
            DeadlineKind::Idle if relay.pump.seen().done && self.drain.is_some() => {
                // Whole, as far as anybody wants it.
                relay.reusable = false;
                relay.answered(cx);
                self.finish(cx);
            }
            // The end marker was seen: the answer is whole although its origin does not end the body.
            DeadlineKind::Idle if relay.pump.seen().done && !self.client.sending => {
                relay.reusable = false;
                relay.answered(cx);
                relay.emit.finish(&mut self.to_client);
                relay.settle_first(cx, &mut self.account, None);
                let due = cx.now + relay.facts.client_send;
                self.part(cx);
                if self.to_client.total() == 0 {
                    return self.finish(cx);
                }
                self.arm(DeadlineKind::ClientSend, due);
                self.send_to_client(cx);
            }
            // The last send to a client that has left takes too long: its answer is not read on, either.
            DeadlineKind::ClientSend if self.drain.is_some() => self.end_drain(cx, Fault::ClientGone),
            DeadlineKind::ClientSend => {
                let outcome = Outcome::Cut(Fault::Deadline(kind));
                relay.conclude(cx, &mut self.account, outcome, None);
                cx.count(Counter::AnswersCut);
                self.part(cx);
                self.state = State::Ended;
                cx.act(Action::Close { reset: true });
            }
            DeadlineKind::Total
            | DeadlineKind::Idle
            | DeadlineKind::Connect
            | DeadlineKind::ResponseHead
            | DeadlineKind::FirstEvent
            | DeadlineKind::ClientIdle
            | DeadlineKind::ClientHead
            | DeadlineKind::ClientBody => self.cut(cx, Fault::Deadline(kind)),
        }
    }

    /// The answer cannot be completed: say so if the client can still be told, and never let it look
    /// complete.
    pub(super) fn cut(&mut self, cx: &mut Cx<'_>, fault: Fault) {
        if let State::Relay(relay) = &self.state
            && relay.ending == Ending::Complete
        {
            return; // The whole rest is on its way already; how long it may take has its own deadline.
        }
        if self.drain.is_some() {
            return self.end_drain(cx, fault);
        }
        self.part(cx);
        let State::Relay(relay) = &mut self.state else { return };
        relay.ending = Ending::Cut(fault);
        if self.client.sending {
            return; // What is on its way ends complete framing; the rest follows it.
        }
        cx.count(Counter::AnswersCut);
        relay.conclude(cx, &mut self.account, Outcome::Cut(fault), None);
        let (id, tell) = (relay.facts.id, relay.events && !relay.pump.seen().done);
        let (out, mid_event) = (relay.emit.out(), relay.pump.mid_event());
        let silent_end = out == BodyOut::Plain && !relay.announced;
        let closing = relay.pump.take_closing();
        if tell {
            if mid_event {
                Emit::new(out).own(b"\n\n", &mut self.to_client);
            }
            return self.end_with_error_event_as(cx, id, fault, out, closing);
        }
        self.state = State::Ended;
        self.discharge(cx);
        cx.act(Action::Close { reset: silent_end });
    }

    /// Ends a stream that is out with an error event; the body is left unfinished.
    pub(super) fn end_with_error_event(
        &mut self,
        cx: &mut Cx<'_>,
        id: GenerationId,
        fault: Fault,
        closing: Option<Box<Closing>>,
    ) {
        self.end_with_error_event_as(cx, id, fault, BodyOut::Chunked, closing);
    }

    fn end_with_error_event_as(
        &mut self,
        cx: &mut Cx<'_>,
        id: GenerationId,
        fault: Fault,
        out: BodyOut,
        closing: Option<Box<Closing>>,
    ) {
        let mut event = Vec::new();
        reply::write_error_event(&mut event, id.as_str(), fault);
        closing.iter().for_each(|closing| closing.push_to(&mut event));
        Emit::new(out).own(&event, &mut self.to_client);
        self.state = State::Close(Close::Sending { keep_alive: false });
        self.total_due = Moment::NEVER;
        self.arm(DeadlineKind::ClientSend, cx.now + cx.snapshot.deadlines.client_send);
        self.send_to_client(cx);
    }

    /// Gives the window back to the core's spares.
    pub(super) fn recycle_window(&mut self, cx: &mut Cx<'_>) {
        cx.core.spares.recycle(core::mem::take(&mut self.window).into_storage());
    }

    /// The whole answer is with the client.
    fn finish(&mut self, cx: &mut Cx<'_>) {
        let State::Relay(relay) = &mut self.state else { return };
        let drain = self.drain.take();
        let outcome = if drain.is_some() { Outcome::ClientGone } else { relay.outcome() };
        cx.count(match outcome {
            Outcome::ClientGone => Counter::AnswersDrainedWhole,
            Outcome::Cut(_) => Counter::AnswersCut,
            Outcome::Complete | Outcome::Refused(_) | Outcome::Failed(_) => Counter::RequestsCompleted,
        });
        relay.conclude(cx, &mut self.account, outcome, drain.as_ref());
        let clean = relay.reusable && relay.pump.ended() && self.window.is_empty() && self.origin.quiet();
        let terms = relay.facts.terms;
        let keep_alive = terms.keep_alive && !terms.http10 && !self.client.draining;
        if clean && self.origin.connected && !self.origin.released {
            cx.act(Action::Release { lane: self.lane, reusable: true });
            self.origin = OriginSide::default();
        } else {
            self.part(cx);
        }
        self.recycle_window(cx);
        if let State::Relay(relay) = core::mem::replace(&mut self.state, State::Ended) {
            cx.core.retire_relay(relay);
        }
        if drain.is_some() {
            cx.core.drains -= 1;
            return self.close_now(cx);
        }
        if keep_alive {
            return self.next_request(cx);
        }
        self.half_close(cx);
    }
}
