//! Reading on without a client: where a provider bills an abandoned answer in full anyway, the answer is read
//! to its end, so that the ledger learns what it really came to.
//!
//! ```text
//!  client gone ──► its connection is ended ──► origin read on, nothing sent ──► usage, end ──► settled
//!                                                    │ bound, failure, stop
//!                                                    └──► settled with what was counted so far
//! ```
//!
//! Bounded in time, in bytes, and in how many of them a core has. A request that was not sent whole, or that
//! two candidates race for, is given up at once, as is one that nobody keeps a ledger of. There is no
//! failover any more: nobody waits for an answer.
//! Deliberately absent: which providers bill like that (`catalog/providers.toml`).

use crate::base::fault::Fault;
use crate::base::metrics::Counter;
use crate::base::record::Outcome;
use crate::base::time::Moment;
use crate::exchange::answer::Stage;
use crate::exchange::{Action, Cx, Exchange, State};
use crate::policy::catalog::{LedgerTerms, OnClientGone};
use crate::policy::hedge::When;
use crate::policy::retry;

/// An answer that is read on without its client.
#[derive(Debug)]
pub(super) struct Drain {
    /// Bytes that may still come from the origin.
    left: u64,
    /// Answer bytes that the client was given before it left; `None` when the answer had not begun.
    pub(super) delivered: Option<u64>,
}

impl Exchange {
    /// The client has left: begins to read on without it, if that is to be done. Nothing of the other lane
    /// is under way, unless `raced`.
    pub(super) fn begin_drain(&mut self, cx: &mut Cx<'_>, raced: bool) -> bool {
        let (wanted, delivered) = match &self.state {
            State::Attempt(attempt) => {
                let asked =
                    matches!(attempt.run.stage, Stage::Head { .. } | Stage::Events | Stage::Whole { .. });
                let drains = attempt.provider().on_client_gone == OnClientGone::Drain;
                (asked && drains && !raced && !self.origin.sending && !self.origin.released, None)
            }
            State::Relay(relay) => (relay.may_drain(), Some(relay.given_bytes())),
            State::Intake | State::Close(_) | State::Ended => (false, None),
        };
        let Some(terms) = self.account.terms().filter(|_| wanted) else { return false };
        let LedgerTerms { drain_timeout, drain_bytes, drains_per_core, .. } = *terms;
        if cx.core.drains >= drains_per_core {
            cx.count(Counter::DrainsDenied);
            return false;
        }
        self.total_due = self.total_due.min(cx.now + drain_timeout);
        self.drain = Some(Drain { left: drain_bytes, delivered });
        cx.core.drains += 1;
        cx.count(Counter::AnswersDrained);
        if let State::Attempt(attempt) = &mut self.state {
            // Nobody waits, so nobody is told to.
            (attempt.comment_due, attempt.hedge_due) = (Moment::NEVER, Moment::NEVER);
            attempt.hedging = When::Off;
        }
        self.forget_inbox(cx);
        cx.act(Action::ClientEnd);
        true
    }

    /// The bytes of a client that has left are nobody's.
    pub(super) fn forget_inbox(&mut self, cx: &mut Cx<'_>) {
        if !self.client.receiving {
            cx.core.spares.recycle(core::mem::take(&mut self.inbox).into_storage());
        }
    }

    /// A send to the client that has left is over, taken or not: what waited for it goes on.
    pub(super) fn after_lost_send(&mut self, cx: &mut Cx<'_>) {
        match &self.state {
            State::Attempt(_) => self.after_comment(cx),
            State::Relay(_) => self.after_relay_send(cx),
            State::Intake | State::Close(_) | State::Ended => {}
        }
    }

    /// So many bytes more came from the origin, and were looked at: enough may be enough.
    pub(super) fn spend_drain(&mut self, cx: &mut Cx<'_>, count: usize) {
        let Some(drain) = &mut self.drain else { return };
        drain.left = drain.left.saturating_sub(count as u64);
        if drain.left == 0 {
            self.end_drain(cx, Fault::ClientGone);
        }
    }

    /// Reads no further: by a bound, or by a fault of the origin's, which ended the attempt in hand.
    pub(super) fn end_drain(&mut self, cx: &mut Cx<'_>, fault: Fault) {
        let Some(drain) = self.drain.take() else { return };
        cx.core.drains -= 1;
        self.part(cx);
        match &mut self.state {
            State::Attempt(attempt) => {
                attempt.run.end(cx, fault);
                let began = attempt.request.began;
                let record = attempt.run.record(cx, Some(fault), retry::billed(fault), began);
                attempt.attempts.push(record);
                attempt.conclude(cx, &mut self.account, Outcome::ClientGone);
            }
            State::Relay(relay) => relay.conclude(cx, &mut self.account, Outcome::ClientGone, Some(&drain)),
            State::Intake | State::Close(_) | State::Ended => {}
        }
        self.forget_request(cx);
        self.close_now(cx);
    }
}
