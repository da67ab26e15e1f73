//! The end of an answer, in the books: what the health table, the ledger and the simulator hear of it.
//!
//! Deliberately absent: when an answer is over (`relay`), and how the figures are come by (`bill`).

use super::Relay;
use crate::base::fault::Fault;
use crate::base::record::{Billed, Outcome, Record};
use crate::base::time::Moment;
use crate::exchange::Cx;
use crate::exchange::attempt::BYTES_PER_TOKEN;
use crate::exchange::bill::{Bill, figures};
use crate::exchange::drain::Drain;
use crate::exchange::ledger::{Account, Settlement, ending_of};
use crate::exchange::run::micros;
use crate::policy::count::Counted;
use crate::policy::health::End;
use crate::policy::health::outcome::Phase;
use crate::wire::journal::Flags;

impl Relay {
    /// How the request ends, now that the answer was relayed to its end.
    pub(super) fn outcome(&self) -> Outcome {
        let status = self.facts.status;
        match self.pump.seen().error {
            Some(status) => Outcome::Cut(Fault::Status(status)),
            None if status < 400 => Outcome::Complete,
            None => Outcome::Failed(status),
        }
    }

    /// The request is over: tells the health table, the ledger, and whoever wants to hear of it. An answer
    /// that was not relayed to its end was not served.
    pub(in crate::exchange) fn conclude(
        &mut self,
        cx: &mut Cx<'_>,
        account: &mut Account,
        outcome: Outcome,
        drain: Option<&Drain>,
    ) {
        self.close_attempt(cx.now, outcome, drain);
        self.tell_health(cx, outcome);
        self.settle(cx, account, outcome, drain);
        let (facts, now) = (self.facts, cx.now);
        cx.tell(|| Record {
            id: facts.id,
            key: facts.key,
            outcome,
            attempts: self.attempts.clone(),
            usage: self.pump.seen().usage,
            answer_bytes: self.delivered_bytes(drain),
            first_byte_nanos: facts.first_byte_at.since(facts.began).as_nanos() as u64,
            total_nanos: now.since(facts.began).as_nanos() as u64,
        });
        self.attempts.clear();
    }

    /// Writes the settlement down at once, before the last bytes of the answer are asked to leave, where the
    /// ledger demands that. A client that does not take them has had them all the same.
    pub(super) fn settle_first(&mut self, cx: &mut Cx<'_>, account: &mut Account, drain: Option<&Drain>) {
        if account.is_strict() && drain.is_none() {
            let outcome = self.outcome();
            self.close_attempt(cx.now, outcome, drain);
            self.settle(cx, account, outcome, drain);
        }
    }

    /// The attempt that has answered is over.
    pub(in crate::exchange) fn close_attempt(
        &mut self,
        now: Moment,
        outcome: Outcome,
        drain: Option<&Drain>,
    ) {
        let fault = match outcome {
            Outcome::Cut(fault) => Some(fault),
            Outcome::ClientGone => Some(Fault::ClientGone),
            Outcome::Complete | Outcome::Refused(_) | Outcome::Failed(_) => None,
        };
        let Some(last) = self.attempts.last_mut() else { return };
        let ended = self.answered_at.unwrap_or(now);
        last.took_micros = micros(ended.since(self.facts.began)).saturating_sub(last.began_micros);
        if fault.is_some() && last.fault.is_none() {
            // To its end it was read all the same, if there is nobody left who does not want it.
            let whole = drain.is_some() && self.answered_at.is_some();
            (last.fault, last.billed) = (fault, if whole { Billed::Yes } else { Billed::Estimated });
        }
    }

    /// May its answer be read on without its client? Not when its end is here, or it is no answer.
    pub(in crate::exchange) fn may_drain(&self) -> bool {
        let is_open = matches!(self.ending, super::Ending::Open) && self.facts.status < 300;
        is_open && self.facts.drains && self.pump.seen().error.is_none()
    }

    /// Answer bytes that the client was given so far.
    pub(in crate::exchange) const fn given_bytes(&self) -> u64 {
        self.pump.seen().payload_bytes
    }

    fn tell_health(&mut self, cx: &mut Cx<'_>, outcome: Outcome) {
        let (seen, now) = (self.pump.seen(), cx.now);
        let end = End {
            fault: match outcome {
                Outcome::Failed(status) | Outcome::Refused(status) => Some(Fault::Status(status)),
                Outcome::Cut(fault) => Some(fault),
                Outcome::ClientGone => Some(Fault::ClientGone),
                Outcome::Complete => None,
            },
            phase: if matches!(outcome, Outcome::Failed(_)) { Phase::Asked } else { Phase::Relaying },
            wait: None,
            completion_tokens: self.pump.completion_tokens(seen.usage, outcome, &mut cx.core.count_fits),
            answer_bytes: seen.payload_bytes,
            answered_at: self.answered_at.unwrap_or(now),
        };
        cx.core.attempt_ended(self.ticket.take(), end, now);
    }

    /// Answer bytes that the client was given.
    fn delivered_bytes(&self, drain: Option<&Drain>) -> u64 {
        drain.map_or(self.pump.seen().payload_bytes, |drain| drain.delivered.unwrap_or(0))
    }

    fn settle(&self, cx: &mut Cx<'_>, account: &mut Account, outcome: Outcome, drain: Option<&Drain>) {
        if !account.is_open() {
            return;
        }
        let now = (cx.now, cx.unix);
        let settlement = self.settlement(outcome, drain);
        account.settle(cx.core, now, &settlement);
    }

    /// What the answer came to, ending like this.
    pub(in crate::exchange) fn settlement(&self, outcome: Outcome, drain: Option<&Drain>) -> Settlement<'_> {
        let (ending, fault) = ending_of(outcome, &self.attempts);
        let blank = Settlement::unanswered(outcome, &self.attempts);
        // Of an answer that nobody was given, nothing was given.
        let given = drain.is_none_or(|drain| drain.delivered.is_some());
        let (told, counted) = (self.pump.told(), self.counted());
        let settlement = Settlement {
            ending,
            fault,
            status: if given { self.facts.status } else { 0 },
            told,
            counted_tokens: self.pump.counted().tokens,
            answer_bytes: self.delivered_bytes(drain),
            first_byte_at: given.then_some(self.facts.first_byte_at),
            ..blank
        };
        let Some(bill) = self.pump.bill().filter(|_| self.facts.status < 400) else { return settlement };
        let seen = self.pump.seen();
        // A report is of all that came if nothing came behind it.
        let is_final = self.answered_at.is_some() || seen.usage_at == seen.events;
        let reported = seen.usage;
        let (usage, source) = figures(reported, is_final, counted, bill.prompt_estimate());
        let (cost, flags) = match bill.cost(&usage, told, ending) {
            Some((cost, flags)) => (Some(cost), flags),
            None => (None, Flags::default().with(Flags::BYOK, bill.is_byok())),
        };
        let drained = drain.is_some() && self.answered_at.is_some();
        Settlement { usage, source, cost, flags: flags.with(Flags::DRAINED, drained), ..settlement }
    }

    /// What was counted of the answer. A document is counted by its bytes, which are more than its text.
    fn counted(&self) -> Counted {
        let counted = self.pump.counted();
        if self.events || counted.tokens > 0 || !self.pump.bill().is_some_and(Bill::completes) {
            return counted;
        }
        let bytes = self.pump.seen().payload_bytes;
        let tokens = u32::try_from(bytes / BYTES_PER_TOKEN as u64).unwrap_or(u32::MAX);
        Counted { tokens, text_bytes: bytes, ..Counted::default() }
    }
}
