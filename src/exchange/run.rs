//! One candidate that a request is tried with: how far it is, and what is recorded when it is over.
//!
//! Deliberately absent: which candidate comes next (`attempt`), and the connection it runs on (`lane`).

use core::time::Duration;

use crate::base::fault::Fault;
use crate::base::metrics::Counter;
use crate::base::record::{AttemptRecord, Billed};
use crate::base::time::Moment;
use crate::exchange::Cx;
use crate::exchange::answer::{Kept, Stage};
use crate::exchange::attempt::Then;
use crate::exchange::pump::Pump;
use crate::policy::health::outcome::Phase;
use crate::policy::health::{End, Ticket};
use crate::policy::route::Candidate;

/// One candidate being tried.
#[derive(Debug)]
pub(super) struct Run {
    /// What the plan says at its turn.
    pub(super) candidate: Candidate,
    /// For the health table.
    pub(super) ticket: Option<Ticket>,
    /// The next dial must not come from the pool.
    pub(super) fresh: bool,
    /// The connection came from the pool.
    pub(super) reused: bool,
    /// When it was begun, by asking for a connection.
    pub(super) began_at: Moment,
    /// When the request was sent.
    pub(super) sent_at: Moment,
    /// The candidate did not take the whole request: its connection serves no other one.
    pub(super) unsent: bool,
    /// It was begun while another candidate was under way.
    pub(super) hedged: bool,
    pub(super) stage: Stage,
    /// The response head, in the stages behind [`Stage::Head`].
    pub(super) kept: Kept,
    /// The walk over the body, in [`Stage::Events`].
    pub(super) pump: Pump,
}

impl Run {
    /// A candidate that nobody has asked yet.
    pub(super) fn of(candidate: Candidate, hedged: bool) -> Self {
        Self {
            candidate,
            ticket: None,
            fresh: false,
            reused: false,
            began_at: Moment::NEVER,
            sent_at: Moment::NEVER,
            unsent: false,
            hedged,
            stage: Stage::Dialing,
            kept: Kept::default(),
            pump: Pump::idle(),
        }
    }

    /// Another candidate, in the same frame.
    pub(super) fn restart(&mut self, candidate: Candidate, now: Moment) {
        self.candidate = candidate;
        (self.fresh, self.reused, self.unsent, self.hedged) = (false, false, false, false);
        self.sent_at = now;
        self.stage = Stage::Parting(Then::Try);
    }

    /// Tells the health table how it ended.
    pub(super) fn end(&mut self, cx: &mut Cx<'_>, fault: Fault) {
        let phase = match self.stage {
            Stage::Dialing | Stage::Head { .. } | Stage::Parting(_) => Phase::Asked,
            Stage::Events => Phase::Answering,
            Stage::Whole { .. } if self.kept.status < 400 => Phase::Answering,
            Stage::Whole { .. } => Phase::Asked,
        };
        let wait = match fault {
            Fault::Status(_) => self.kept.retry_after,
            _ => None,
        };
        let wait = wait.map(|seconds| Duration::from_secs(u64::from(seconds)));
        cx.core.attempt_ended(self.ticket.take(), End::failed(fault, phase, wait), cx.now);
    }

    /// Ends it by a fault from outside; `since` is when the request was complete. `None` when it has ended
    /// already.
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>, fault: Fault, since: Moment) -> Option<AttemptRecord> {
        self.end(cx, fault);
        let billed = self.billed_so_far()?;
        Some(self.record(cx, Some(fault), billed, since))
    }

    /// May it be charged, if it is given up now? `None` when it has ended already.
    pub(super) const fn billed_so_far(&self) -> Option<Billed> {
        match self.stage {
            Stage::Parting(_) => None,
            Stage::Dialing => Some(Billed::No),
            Stage::Head { .. } | Stage::Events | Stage::Whole { .. } => Some(Billed::Maybe),
        }
    }

    /// What is recorded of it, now that it is over; `since` is when the request was complete.
    pub(super) fn record(
        &self,
        cx: &Cx<'_>,
        fault: Option<Fault>,
        billed: Billed,
        since: Moment,
    ) -> AttemptRecord {
        if self.hedged {
            cx.count(if fault.is_none() { Counter::HedgesWon } else { Counter::HedgesLost });
        }
        self.recorded(cx.now, fault, billed, since)
    }

    /// The same of one that goes on under another name, and does not count.
    pub(super) fn recorded(
        &self,
        now: Moment,
        fault: Option<Fault>,
        billed: Billed,
        since: Moment,
    ) -> AttemptRecord {
        let Self { candidate, hedged, began_at, .. } = *self;
        AttemptRecord {
            provider: candidate.provider,
            fault,
            billed,
            hedged,
            endpoint: candidate.endpoint,
            status: self.kept.status,
            began_micros: micros(began_at.since(since)),
            took_micros: micros(now.since(began_at)),
        }
    }
}

/// Whole microseconds, as far as a record's figure goes.
pub(super) fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
