//! Hedging: a request that waits long for its first event is given to a second candidate too. The first of
//! the two to bring an answer serves the request; the other is shut down at once, recorded, and no fault of
//! its endpoint. One of them that fails drops out, and the other goes on alone: a hedge never makes an answer
//! worse, and there is never a third.
//!
//! Deliberately absent: when and how often (`policy::hedge` decides), and the two lanes (`lane`).

use crate::base::fault::Fault;
use crate::base::metrics::Counter;
use crate::base::time::Moment;
use crate::exchange::answer::Stage;
use crate::exchange::attempt::{Attempt, BYTES_PER_TOKEN};
use crate::exchange::request::Subject;
use crate::exchange::run::Run;
use crate::exchange::{Cx, Exchange, State};
use crate::policy::catalog::Snapshot;
use crate::policy::hedge::{When, estimated_cost};
use crate::policy::retry::{self, Work};
use crate::policy::route::Candidate;

/// What a request of so many bytes costs at a candidate, as far as its prices are known.
fn cost_at(snapshot: &Snapshot, candidate: Candidate, bytes: usize, minute: u16) -> Option<i64> {
    let facts = &snapshot.endpoints[candidate.endpoint?.index()].facts;
    estimated_cost(facts, u32::try_from(bytes / BYTES_PER_TOKEN).unwrap_or(u32::MAX), minute)
}

impl Attempt {
    /// Whether this request may be hedged; one that may be counts for what is granted.
    pub(super) fn consider_hedging(&mut self, cx: &mut Cx<'_>) {
        if !matches!(self.request.subject, Subject::Inference { .. }) {
            return;
        }
        let (snapshot, candidate) = (&**cx.snapshot, self.run.candidate);
        let model = candidate.endpoint.map(|endpoint| snapshot.endpoints[endpoint.index()].model);
        let rule = model.and_then(|model| snapshot.models[model.index()].facts.hedge);
        let terms = &snapshot.hedging;
        self.hedging = terms.when(rule, self.request.hedge, self.request.wants_events());
        if self.hedging != When::Off {
            let bytes = self.request.body.len();
            let cost = cost_at(snapshot, candidate, bytes, cx.unix.minute_of_day());
            cx.core.hedges.request(terms, cost.unwrap_or(0));
        }
    }

    /// A candidate was begun: notes when a second one is, if that is still to come.
    pub(super) fn arm_hedge(&mut self, cx: &Cx<'_>) {
        if self.hedging == When::Off {
            return;
        }
        let Some(held) = &self.snapshot else { return };
        let p95_ms = cx.core.health.figures(held, self.run.candidate).ttft_ms_p95;
        let delay = held.hedging.delay(self.hedging, p95_ms);
        self.hedge_due = delay.map_or(Moment::NEVER, |delay| cx.now + delay);
    }

    /// The candidate for a hedge, if one may be begun now. It must be well, and serve the model that the one
    /// in hand serves: a model that a request names as its second choice is not for when the first is slow.
    fn hedge_candidate(&mut self, cx: &mut Cx<'_>) -> Option<Candidate> {
        let waits = matches!(self.run.stage, Stage::Dialing | Stage::Head { .. } | Stage::Events);
        let snapshot = self.snapshot.as_ref().filter(|_| waits)?;
        // The one in hand has no record yet.
        if self.attempts.len() + 2 > snapshot.limits.attempts {
            return None;
        }
        let health = &mut cx.core.health;
        health.settle(cx.now);
        let (first, next) = (self.run.candidate, self.turn + 1);
        let is_fit =
            |candidate: Candidate| candidate.model == first.model && health.is_well(snapshot, candidate);
        self.plan.put_behind(snapshot, next, |candidate| !is_fit(candidate));
        let candidate = self.plan.get(snapshot, next).filter(|candidate| is_fit(*candidate))?;
        let cost = |candidate| cost_at(snapshot, candidate, self.request.body.len(), cx.unix.minute_of_day());
        // Where the price of a hedge is unknown, that of the first candidate stands for it.
        let cost = cost(candidate).or_else(|| cost(first)).unwrap_or(0);
        let granted = cx.core.hedges.grant(&snapshot.hedging, cost);
        if !granted {
            cx.count(Counter::HedgesDenied);
        }
        granted.then_some(candidate)
    }

    /// Does the candidate in hand, which ends by this fault while another one is under way, just drop out?
    /// Not when its connection was stale: it begins once more. Nor does the first candidate when it says that
    /// the request itself is at fault: its client hears that as it would have without a hedge.
    pub(super) fn yields(&self, fault: Fault) -> bool {
        let stale = matches!(fault, Fault::ResetBeforeAnswer { reused: true });
        !stale && (self.run.hedged || retry::work(fault) != Work::Useless)
    }
}

impl Exchange {
    /// The delay is over and nothing has come: begins the second candidate, if one may be begun.
    pub(super) fn begin_hedge(&mut self, cx: &mut Cx<'_>) {
        let State::Attempt(attempt) = &mut self.state else { return };
        attempt.hedge_due = Moment::NEVER;
        // Bytes that wait for a comment to be out may be the first event: then it is the client that is slow.
        let unseen = self.client.sending && !self.origin.receiving && !self.window.is_empty();
        // What is left of an earlier race still holds the other lane.
        if self.client.draining || self.other.is_some() || unseen {
            return;
        }
        let Some(candidate) = attempt.hedge_candidate(cx) else { return };
        cx.count(Counter::HedgesStarted);
        attempt.hedging = When::Off;
        let taken = attempt.next_candidate();
        debug_assert_eq!(taken, candidate);
        self.set_aside(Run::of(candidate, true));
        self.try_candidate(cx, None);
    }

    /// The candidate in hand has failed while another one is under way, which goes on alone.
    pub(super) fn drop_out(&mut self, cx: &mut Cx<'_>, fault: Fault) {
        let State::Attempt(attempt) = &mut self.state else { return };
        let record = attempt.run.record(cx, Some(fault), retry::billed(fault), attempt.request.began);
        attempt.attempts.push(record);
        if retry::work(fault) == Work::Perhaps {
            // The one that goes on is what a failover would have been.
            attempt.ambiguous_left = false;
        }
        self.turn();
        self.part_other(cx);
    }

    /// Ends the other candidate, if it is still under way, by a fault that is not its own.
    pub(super) fn give_up_other(&mut self, cx: &mut Cx<'_>, fault: Fault) {
        let (State::Attempt(attempt), Some(other)) = (&mut self.state, &mut self.other) else { return };
        if !other.races() {
            return;
        }
        if let (Some(ticket), Fault::Outrun, true) =
            (&other.run.ticket, fault, attempt.request.wants_events())
        {
            cx.core.health.outrun(ticket, cx.now);
        }
        let began = attempt.request.began;
        other.run.give_up(cx, fault, began).into_iter().for_each(|record| attempt.attempts.push(record));
        self.part_other(cx);
    }
}
