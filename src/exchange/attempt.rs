//! Attempt: one candidate after the other until one has an answer. Nothing of an answer has reached the
//! client, so every failure here may still move on to the next candidate; `policy/retry` decides.
//!
//! A second candidate may race the first one (`hedge`); what is said here is said of the one in hand.
//! Deliberately absent: looking at an answer's body (`answer`), and everything after the commit (`relay`).

mod books;
mod told;

use core::time::Duration;

use crate::base::fault::{DeadlineKind, Fault};
use crate::base::ids::ProviderId;
use crate::base::metrics::Counter;
use crate::base::record::{Attempts, Billed, Outcome};
use crate::base::time::Moment;
use crate::exchange::answer::Stage;
use crate::exchange::close::Answer;
use crate::exchange::context::Held;
use crate::exchange::receipt::Receipt;
use crate::exchange::reply::{self, Refusal};
use crate::exchange::request::Request;
use crate::exchange::run::Run;
use crate::exchange::{Action, Cx, Exchange, OriginSide, State};
use crate::policy::catalog::{Provider, Snapshot};
use crate::policy::hedge::When;
use crate::policy::retry::{self, Allowance, Verdict};
use crate::policy::route::{Candidate, Plan};
use crate::policy::sticky::SoftPin;
use crate::wire::buf::Buf;
use crate::wire::json::peek::Peek;

/// Bytes of a request that make a token, for the count of tokens under way: an estimate.
pub(super) const BYTES_PER_TOKEN: usize = 4;

/// What happens once the connection of a failed attempt is quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Try the candidate in hand.
    Try,
    /// Tell the client.
    Report(Fault),
}

/// A request and the candidates it may still be tried with.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) request: Request,
    /// The snapshot this request lives with; `None` only in a frame that waits for reuse.
    pub(super) snapshot: Option<Held>,
    pub(super) plan: Plan,
    pub(super) turn: usize,
    pub(super) attempts: Attempts,
    /// How it was planned, if the client wants to know.
    pub(super) receipt: Option<Box<Receipt>>,
    pub(super) ambiguous_left: bool,
    /// Smallest `Retry-After` seen, in seconds.
    pub(super) retry_after: Option<u32>,
    /// The head of a stream is out, for the sake of waiting comments.
    pub(super) greeted: bool,
    pub(super) comment_due: Moment,
    /// Whether and when a second candidate is still to be begun.
    pub(super) hedging: When,
    /// When it is; never while it is not known.
    pub(super) hedge_due: Moment,
    /// The candidate in hand.
    pub(super) run: Run,
}

impl Attempt {
    /// A request that begins, in the frame of an earlier one if the core has any.
    pub(super) fn begin(request: Request, plan: &Plan, cx: &mut Cx<'_>) -> Box<Self> {
        let waits = request.wants_events() && !request.terms.http10;
        let delay = cx.snapshot.waiting.delay.filter(|_| waits);
        let mut attempt = match cx.core.spare_attempt() {
            Some(mut frame) => {
                frame.request = request;
                frame.plan = *plan;
                frame
            }
            None => Box::new(Self::framed(request, *plan)),
        };
        attempt.snapshot = Some(cx.core.hold(cx.snapshot));
        attempt.put_behind(cx);
        attempt.turn = 0;
        let first = attempt.plan.get(cx.snapshot, 0).expect("a plan has at least one candidate");
        attempt.run.restart(first, cx.now);
        attempt.ambiguous_left = cx.snapshot.ambiguous_failover;
        attempt.greeted = false;
        attempt.retry_after = None;
        attempt.comment_due = delay.map_or(Moment::NEVER, |delay| cx.now + delay);
        (attempt.hedging, attempt.hedge_due) = (When::Off, Moment::NEVER);
        if cx.snapshot.hedging.in_use {
            attempt.consider_hedging(cx);
        }
        attempt
    }

    fn framed(request: Request, plan: Plan) -> Self {
        Self {
            request,
            snapshot: None,
            plan,
            turn: 0,
            attempts: Attempts::new(),
            receipt: None,
            ambiguous_left: false,
            retry_after: None,
            greeted: false,
            comment_due: Moment::NEVER,
            hedging: When::Off,
            hedge_due: Moment::NEVER,
            run: Run::of(Candidate { provider: ProviderId(0), endpoint: None, model: 0 }, false),
        }
    }

    /// Candidates that are not well go behind the others. The plan was made just now: mostly all are well.
    fn put_behind(&mut self, cx: &mut Cx<'_>) {
        if !self.plan.is_doubtful() {
            return;
        }
        let health = &mut cx.core.health;
        health.follow(cx.snapshot, cx.now);
        self.plan.put_behind(cx.snapshot, 0, |candidate| !health.is_well(cx.snapshot, candidate));
    }

    /// Lets go of what a frame must not keep while it waits for reuse.
    pub(super) fn empty(&mut self) {
        self.snapshot = None;
        self.receipt = None;
        self.run.pump.empty();
        self.attempts.clear();
    }

    /// The snapshot this request lives with.
    pub(super) fn snapshot(&self) -> &Snapshot {
        self.snapshot.as_ref().expect("an attempt that is under way holds its snapshot")
    }

    /// When the next waiting comment is due.
    pub(super) const fn comment_due(&self) -> Moment {
        self.comment_due
    }

    pub(super) const fn candidate(&self) -> Candidate {
        self.run.candidate
    }

    pub(super) fn provider(&self) -> &Provider {
        &self.snapshot().providers[self.run.candidate.provider.index()]
    }

    /// What to remember of the conversation once the candidate has answered.
    pub(super) fn soft_pin(&self, cx: &Cx<'_>) -> Option<SoftPin> {
        let (memory, endpoint) = (cx.core.sticky.as_ref()?, self.run.candidate.endpoint?);
        memory.pin(self.plan.digest()?, self.snapshot(), endpoint)
    }

    /// The plan's next candidate.
    pub(super) fn next_candidate(&mut self) -> Candidate {
        self.turn += 1;
        let next = self.plan.get(self.snapshot(), self.turn);
        next.expect("a plan has a candidate at every turn that was granted")
    }

    /// How long the candidate may take for its response head. The head of an answer that is no stream often
    /// comes only with the answer.
    fn head_wait(&self) -> Duration {
        let deadlines = &self.provider().deadlines;
        if self.request.wants_events() { deadlines.response_head } else { deadlines.answer }
    }

    fn allowance(&self) -> Allowance {
        Allowance {
            attempts_left: self.snapshot().limits.attempts.saturating_sub(self.attempts.len()),
            candidate_left: self.turn + 1 < self.plan.count(),
            ambiguous_left: self.ambiguous_left,
        }
    }

    /// What would be done about this fault now.
    pub(super) fn verdict(&self, fault: Fault) -> Verdict {
        let mut allowance = self.allowance();
        allowance.attempts_left = allowance.attempts_left.saturating_sub(1);
        retry::verdict(fault, allowance)
    }

    /// May the next candidate be tried, or would that storm an endpoint that is not well? Who is well may
    /// have changed since the plan was made.
    fn may_move_on(&mut self, cx: &mut Cx<'_>) -> bool {
        let (Some(held), health) = (&self.snapshot, &mut cx.core.health) else { return false };
        health.settle(cx.now);
        self.plan.put_behind(held, self.turn + 1, |candidate| !health.is_well(held, candidate));
        let Some(next) = self.plan.get(held, self.turn + 1) else { return false };
        let granted = health.may_retry(held, next, cx.now);
        if !granted {
            cx.count(Counter::RetriesDenied);
        }
        granted
    }

    /// Notes the attempt under way, if there is one, as ended by this fault from outside.
    fn note_unfinished(&mut self, cx: &mut Cx<'_>, fault: Fault) {
        let began = self.request.began;
        self.run.give_up(cx, fault, began).into_iter().for_each(|record| self.attempts.push(record));
    }
}

impl Exchange {
    /// Dials the candidate in hand, as soon as the connection before it is quiet. `peek` is what the body
    /// says, if it was read just now: it is not kept, and read once more when a request moves on.
    pub(super) fn try_candidate(&mut self, cx: &mut Cx<'_>, peek: Option<&Peek>) {
        let State::Attempt(attempt) = &mut self.state else { return };
        if !self.origin.quiet() || self.origin.released {
            attempt.run.stage = Stage::Parting(Then::Try);
            return self.arm(DeadlineKind::Connect, Moment::NEVER);
        }
        cx.count(Counter::Attempts);
        attempt.run.stage = Stage::Dialing;
        (attempt.run.began_at, attempt.run.kept.status) = (cx.now, 0);
        let held = attempt.snapshot.as_ref().expect("an attempt that is under way holds its snapshot");
        let tokens = (self.request.len() / BYTES_PER_TOKEN) as u32;
        attempt.run.ticket = cx.core.health.begin(held, attempt.run.candidate, tokens, cx.now);
        attempt.arm_hedge(cx);
        let (provider, fresh) = (attempt.run.candidate.provider, attempt.run.fresh);
        let due = cx.now + attempt.provider().deadlines.connect;
        if attempt.run.candidate.endpoint.is_none() && self.account.is_open() {
            let body = attempt.request.body.of(&self.request);
            self.account.pass_through(attempt.run.candidate, peek, body);
        }
        self.write_request(&mut cx.core.splice, peek);
        self.arm(DeadlineKind::Connect, due);
        self.origin.dialing = true;
        cx.act(Action::Dial { lane: self.lane, provider, fresh });
    }

    pub(super) fn on_dialed(&mut self, cx: &mut Cx<'_>, reused: bool) {
        self.origin.dialing = false;
        self.origin.connected = true;
        cx.count(if reused { Counter::UpstreamReuses } else { Counter::UpstreamConnects });
        if self.origin.released {
            // Nobody wants it any more, but nothing was sent on it: the next request may have it.
            cx.act(Action::Release { lane: self.lane, reusable: true });
            return self.after_release(cx);
        }
        let State::Attempt(attempt) = &mut self.state else { return };
        if !reused && let Some(ticket) = &attempt.run.ticket {
            cx.core.health.connected(ticket, cx.now);
        }
        attempt.run.reused = reused;
        attempt.run.sent_at = cx.now;
        attempt.run.unsent = false;
        attempt.run.stage = Stage::head();
        let due = cx.now + attempt.head_wait();
        self.arm(DeadlineKind::ResponseHead, due);
        self.origin.sending = true;
        cx.act(Action::OriginSend { lane: self.lane });
        if self.window.capacity() == 0 {
            self.window = Buf::over(cx.core.spares.window());
        }
        self.receive_from_origin(cx);
    }

    pub(super) fn on_dial_failed(&mut self, cx: &mut Cx<'_>, fault: Fault) {
        self.origin.dialing = false;
        if self.origin.released {
            return self.after_release(cx);
        }
        self.fail(cx, fault);
    }

    /// The request is with the origin, or could not be sent. A failed send is no verdict yet: the origin may
    /// have answered early and closed; the receive that is in flight tells.
    pub(super) fn after_request_send(&mut self, cx: &mut Cx<'_>, ok: bool) {
        let State::Attempt(attempt) = &mut self.state else { return };
        attempt.run.unsent |= !ok;
        if ok {
            attempt.run.sent_at = cx.now;
            if matches!(attempt.run.stage, Stage::Head { .. }) {
                let due = cx.now + attempt.head_wait();
                self.arm(DeadlineKind::ResponseHead, due);
            }
        }
    }

    /// The attempt in hand failed.
    pub(super) fn fail(&mut self, cx: &mut Cx<'_>, fault: Fault) {
        let races = self.races();
        if self.drain.is_some() {
            return self.end_drain(cx, fault);
        }
        let State::Attempt(attempt) = &mut self.state else { return };
        attempt.run.end(cx, fault);
        if races && attempt.yields(fault) {
            return self.drop_out(cx, fault);
        }
        let verdict = match attempt.verdict(fault) {
            Verdict::Next { .. } if !attempt.may_move_on(cx) => Verdict::Report,
            verdict => verdict,
        };
        let stale = matches!(verdict, Verdict::SameFresh);
        let began = attempt.request.began;
        let record = if stale {
            // It goes on, and counts when it is over.
            attempt.run.recorded(cx.now, Some(fault), Billed::No, began)
        } else {
            attempt.run.record(cx, Some(fault), retry::billed(fault), began)
        };
        attempt.attempts.push(record);
        let then = match verdict {
            Verdict::SameFresh => {
                cx.count(Counter::StaleRetries);
                attempt.run.fresh = true;
                Then::Try
            }
            Verdict::Next { ambiguous } => {
                cx.count(Counter::Failovers);
                if ambiguous {
                    cx.count(Counter::FailoversAmbiguous);
                    attempt.ambiguous_left = false;
                }
                let next = attempt.next_candidate();
                attempt.run.restart(next, cx.now);
                Then::Try
            }
            Verdict::Report => Then::Report(fault),
        };
        attempt.run.stage = Stage::Parting(then);
        if matches!(then, Then::Report(_)) {
            self.give_up_other(cx, Fault::Outrun);
        }
        self.arm(DeadlineKind::Connect, Moment::NEVER);
        self.part(cx);
        self.after_release(cx);
    }

    /// Parts from the origin connection without keeping it. Operations in flight still complete.
    pub(super) fn part(&mut self, cx: &mut Cx<'_>) {
        if self.origin.released {
            return;
        }
        if self.origin.dialing {
            cx.act(Action::AbortDial { lane: self.lane });
            self.origin.released = true;
        } else if self.origin.connected {
            cx.act(Action::Release { lane: self.lane, reusable: false });
            self.origin.released = true;
        }
        self.settle_origin();
    }

    /// A released connection whose operations have all completed is gone; its bytes are nobody's.
    fn settle_origin(&mut self) -> bool {
        let quiet = self.origin.quiet();
        if quiet && (self.origin.released || !self.origin.connected) {
            self.origin = OriginSide::default();
            self.window.take(self.window.len());
        }
        quiet
    }

    /// An operation of a released connection completed: once all have, the next thing may begin.
    pub(super) fn after_release(&mut self, cx: &mut Cx<'_>) {
        if !self.settle_origin() {
            return;
        }
        if let State::Attempt(attempt) = &self.state
            && let Stage::Parting(then) = attempt.run.stage
        {
            match then {
                Then::Try => self.try_candidate(cx, None),
                Then::Report(fault) => self.report(cx, fault),
            }
        } else if matches!(self.state, State::Intake) {
            self.recycle_window(cx);
        }
    }

    /// No candidate is left: tells the client.
    pub(super) fn report(&mut self, cx: &mut Cx<'_>, fault: Fault) {
        if !matches!(self.state, State::Attempt(_)) {
            return;
        }
        if self.drain.is_some() {
            return self.end_drain(cx, fault);
        }
        self.part(cx);
        self.give_up_other(cx, fault);
        let State::Attempt(attempt) = &mut self.state else { return };
        attempt.note_unfinished(cx, fault);
        if self.client.sending {
            attempt.run.stage = Stage::Parting(Then::Report(fault));
            let due = cx.now + attempt.snapshot().deadlines.client_send;
            return self.arm(DeadlineKind::ClientSend, due);
        }
        cx.count(Counter::RequestsFailed);
        let status = reply::fault_status(fault);
        let attempts = attempt.attempts_text(status);
        let closing = attempt.closing(&attempt.attempts, status.max(400));
        attempt.conclude(cx, &mut self.account, Outcome::Failed(status));
        let (id, terms, greeted) = (attempt.request.id, attempt.request.terms, attempt.greeted);
        let retry_after = attempt.retry_after;
        self.forget_request(cx);
        if greeted {
            return self.end_with_error_event(cx, id, fault, closing);
        }
        let refusal = Refusal::Exhausted { fault, retry_after, attempts };
        let answer = Answer { terms, keep_alive: terms.keep_alive, consumed: 0, id: Some(id) };
        let body = |out: &mut Vec<u8>| {
            reply::write_body(out, &refusal);
            closing.iter().for_each(|closing| closing.push_to(out));
        };
        self.answer(cx, status, answer, body, Some(&refusal));
    }

    pub(super) fn attempt_deadline(&mut self, cx: &mut Cx<'_>, kind: DeadlineKind) {
        let fault = Fault::Deadline(kind);
        match kind {
            DeadlineKind::Total => self.report(cx, fault),
            // A waiting comment cannot be delivered: there is nobody to answer.
            DeadlineKind::ClientSend => self.client_left(cx),
            DeadlineKind::Connect
            | DeadlineKind::ResponseHead
            | DeadlineKind::FirstEvent
            | DeadlineKind::Idle
            | DeadlineKind::ClientIdle
            | DeadlineKind::ClientHead
            | DeadlineKind::ClientBody => self.fail(cx, fault),
        }
    }

    /// The client left before or during its answer: nothing more is generated for it, or if it is all the
    /// same, that is read on.
    pub(super) fn client_left(&mut self, cx: &mut Cx<'_>) {
        if self.drain.is_some() {
            return self.end_drain(cx, Fault::ClientGone);
        }
        cx.count(Counter::ClientsGone);
        let raced = self.races();
        self.give_up_other(cx, Fault::ClientGone);
        if self.begin_drain(cx, raced) {
            return;
        }
        match &mut self.state {
            State::Attempt(attempt) => {
                attempt.note_unfinished(cx, Fault::ClientGone);
                attempt.conclude(cx, &mut self.account, Outcome::ClientGone);
            }
            State::Relay(relay) => relay.conclude(cx, &mut self.account, Outcome::ClientGone, None),
            State::Intake | State::Close(_) | State::Ended => {}
        }
        self.forget_request(cx);
        self.close_now(cx);
    }
}
