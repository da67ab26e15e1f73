//! What the edge may see of an exchange beyond its actions: whom to dial, and what it holds of the core's
//! budget.
//!
//! Deliberately absent: anything that changes it, but for taking the ticket of an attempt that nobody ends.

use crate::exchange::{Exchange, Lane, State};
use crate::policy::catalog::{Provider, Snapshot};
use crate::policy::health::Ticket;

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

    /// Takes the ticket of an attempt that is under way, if there is one: again and again until there is
    /// none, since two may race. For an exchange that ends by no step of its own.
    pub fn take_ticket(&mut self) -> Option<Ticket> {
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
