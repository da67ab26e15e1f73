//! What the edge may see of an exchange beyond its actions: whom to dial, and what it holds of the core's
//! budget.
//!
//! Deliberately absent: anything that changes it, but for the end of one that nobody ends.

use crate::base::fault::Fault;
use crate::base::record::Outcome;
use crate::base::time::{Moment, UnixSeconds};
use crate::exchange::ledger::{ABANDONED, Settlement};
use crate::exchange::{CoreState, Exchange, Lane, State};
use crate::policy::catalog::{Provider, Snapshot};
use crate::policy::health::outcome::Phase;
use crate::policy::health::{End, Ticket};

impl Exchange {
    /// The provider of the candidate on a lane, in the snapshot the request lives with.
    #[must_use]
    pub fn dialed_provider(&self, lane: Lane) -> Option<(&Snapshot, &Provider)> {
        match &self.state {
            State::Attempt(attempt) => {
                let other = self.other.as_ref().filter(|_| lane != self.lane);
                let candidate = other.map_or(attempt.candidate(), |other| other.run.candidate);
                let snapshot = attempt.snapshot();
                Some((snapshot, &snapshot.providers[candidate.provider.index()]))
            }
            State::Intake | State::Relay(_) | State::Close(_) | State::Ended => None,
        }
    }

    /// In the middle of an answer: when the send to the client that was asked for last is over, nothing will
    /// be asked for but more of the answer.
    #[must_use]
    pub fn is_midway(&self) -> bool {
        matches!(&self.state, State::Relay(relay) if relay.is_midway())
    }

    /// This exchange ends by no step of its own: its task has panicked, or the process has no more time for
    /// it. What it was charged goes back to the core, its attempts are under way no longer, and a request
    /// that was admitted is settled.
    pub fn abandon(&mut self, core: &mut CoreState, now: Moment, unix: UnixSeconds) {
        core.bodies_bytes = core.bodies_bytes.saturating_sub(core::mem::take(&mut self.charged));
        if self.drain.is_some() {
            core.drains = core.drains.saturating_sub(1);
        }
        while let Some(ticket) = self.take_ticket() {
            core.attempt_ended(Some(ticket), End::failed(Fault::ClientGone, Phase::Asked, None), now);
        }
        let (fault, other) = (Fault::Draining, self.other.as_ref().filter(|other| other.races()));
        let settlement = match &mut self.state {
            State::Attempt(attempt) => {
                let began = attempt.request.began;
                for run in [Some(&attempt.run), other.map(|other| &other.run)].into_iter().flatten() {
                    if let Some(billed) = run.billed_so_far() {
                        attempt.attempts.push(run.recorded(now, Some(fault), billed, began));
                    }
                }
                attempt.settlement(Outcome::Failed(0))
            }
            State::Relay(relay) => {
                relay.close_attempt(now, Outcome::Cut(fault), self.drain.as_ref());
                relay.settlement(Outcome::Cut(fault), self.drain.as_ref())
            }
            State::Intake | State::Close(_) | State::Ended => Settlement::unanswered(Outcome::Failed(0), &[]),
        };
        self.account.settle(core, (now, unix), &Settlement { fault: ABANDONED, ..settlement });
        (self.drain, self.state) = (None, State::Ended);
    }

    /// Takes the ticket of an attempt that is under way, if there is one: again and again until there is
    /// none, since two may race.
    fn take_ticket(&mut self) -> Option<Ticket> {
        let ticket = match &mut self.state {
            State::Attempt(attempt) => attempt.run.ticket.take(),
            State::Relay(relay) => relay.ticket.take(),
            State::Intake | State::Close(_) | State::Ended => None,
        };
        ticket.or_else(|| self.other.as_mut()?.run.ticket.take())
    }

    /// Request bytes charged to the core's budget by this exchange.
    #[must_use]
    pub const fn charged(&self) -> usize {
        self.charged
    }
}
