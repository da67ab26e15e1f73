//! What is counted while a simulation runs: totals, per provider, per model, and over time.
//!
//! Deliberately absent: how any of it is shown (`report`).

use core::time::Duration;
use std::collections::BTreeMap;

use super::histogram::Histogram;
use crate::base::fault::{DeadlineKind, Fault};
use crate::base::money::PicoDollars;
use crate::policy::catalog::Snapshot;

/// Tokens, at least, that tell a speed (as in `policy::health`).
const TOKENS_LEAST: u32 = 16;

/// What happened under one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The policy's name.
    pub name: String,
    /// Requests; each is in one of the next four.
    pub requests: u64,
    /// Answered whole.
    pub served: u64,
    /// Answered in part: the stream broke off.
    pub cut: u64,
    /// Every candidate failed.
    pub failed: u64,
    /// There was no candidate.
    pub refused: u64,
    /// Requests sent to providers.
    pub attempts: u64,
    /// Those that failed before an answer, 429s among them.
    pub attempts_failed: u64,
    /// 429s.
    pub limited: u64,
    /// Requests that went on to another candidate, each time.
    pub failovers: u64,
    /// Those behind a failure that may be billed.
    pub failovers_ambiguous: u64,
    /// Failovers that the retry budget did not allow.
    pub retries_denied: u64,
    /// Served at an endpoint whose price is unknown: their cost is not in `cost`.
    pub unpriced: u64,
    /// What providers bill for answers.
    pub cost: PicoDollars,
    /// Tokens of billed prompts.
    pub prompt_tokens: u64,
    /// Tokens of billed answers.
    pub completion_tokens: u64,
    /// Times to the first token of streams, failovers included, in microseconds.
    pub ttft_us: Histogram,
    /// Times to the whole answer, failovers included, in microseconds.
    pub answer_us: Histogram,
    /// Thousandths of tokens per second, waiting included.
    pub speed: Histogram,
    /// By `ProviderId`.
    pub providers: Vec<Part>,
    /// By `ModelId`, and behind them one for names that are passed through.
    pub models: Vec<Part>,
    /// What clients saw fail, by cause.
    pub faults: BTreeMap<String, u64>,
    /// Requests without a candidate, by model and reason.
    pub refusals: BTreeMap<String, u64>,
    /// Width of a slot in nanoseconds.
    pub slot_nanos: u64,
    /// What happened when.
    pub slots: Vec<Slot>,
}

/// One provider, or one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its id.
    pub name: String,
    /// Requests sent there.
    pub attempts: u64,
    /// Those that failed before an answer, 429s among them.
    pub attempts_failed: u64,
    /// 429s.
    pub limited: u64,
    /// Answered whole.
    pub served: u64,
    /// Clients that saw a failure: their stream broke off there, or it was the last one that failed.
    pub visible: u64,
    /// What it bills.
    pub cost: PicoDollars,
    /// Times to the first token from the beginning of the attempt, in microseconds.
    pub ttft_us: Histogram,
    /// Thousandths of tokens per second.
    pub speed: Histogram,
    /// Requests under way now.
    pub under_way: u32,
    /// The most at once.
    pub under_way_most: u32,
}

/// A part of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Clients that saw a failure.
    pub visible: u32,
    /// What was billed.
    pub cost: PicoDollars,
    /// Times to the first token, in microseconds.
    pub ttft_us: Histogram,
    /// By `ProviderId`.
    pub providers: Vec<Cell>,
}

/// One provider in one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Requests sent there.
    pub attempts: u32,
    /// Those that failed before an answer.
    pub failed: u32,
    /// 429s among them.
    pub limited: u32,
    /// Answered whole.
    pub served: u32,
    /// The most under way at once.
    pub under_way_most: u32,
}

/// Where an attempt went: rows of `providers` and `models`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Where {
    pub(super) provider: usize,
    pub(super) model: usize,
}

/// An answer, or a part of one, that is billed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bill {
    pub(super) cost: Option<PicoDollars>,
    pub(super) prompt_tokens: u32,
    pub(super) completion_tokens: u32,
}

impl Tally {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(name: &str, snapshot: &Snapshot, length: Duration, slot: Duration) -> Self {
        let part = |name: &str| Part { name: name.to_owned(), ..Part::default() };
        let slot_nanos = (slot.as_nanos() as u64).max(1);
        let cells = vec![Cell::default(); snapshot.providers.len()];
        let slots = length.as_nanos() as u64 / slot_nanos + 1;
        let models = snapshot.models.iter().map(|model| part(&model.id));
        Self {
            name: name.to_owned(),
            requests: 0,
            served: 0,
            cut: 0,
            failed: 0,
            refused: 0,
            attempts: 0,
            attempts_failed: 0,
            limited: 0,
            failovers: 0,
            failovers_ambiguous: 0,
            retries_denied: 0,
            unpriced: 0,
            cost: PicoDollars(0),
            prompt_tokens: 0,
            completion_tokens: 0,
            ttft_us: Histogram::default(),
            answer_us: Histogram::default(),
            speed: Histogram::default(),
            providers: snapshot.providers.iter().map(|provider| part(&provider.id)).collect(),
            models: models.chain([part("(passed through)")]).collect(),
            faults: BTreeMap::new(),
            refusals: BTreeMap::new(),
            slot_nanos,
            slots: (0..slots).map(|_| Slot { providers: cells.clone(), ..Slot::default() }).collect(),
        }
    }

    /// Clients that saw a failure that another endpoint might have answered.
    #[must_use]
    pub const fn visible(&self) -> u64 {
        self.cut + self.failed
    }

    /// The slot of a moment; none behind the last request.
    fn slot(&mut self, at: u64) -> Option<&mut Slot> {
        self.slots.get_mut((at / self.slot_nanos) as usize)
    }

    pub(super) fn begins(&mut self, at: u64, to: Where) {
        self.attempts += 1;
        let mut most = 0;
        for part in [&mut self.providers[to.provider], &mut self.models[to.model]] {
            part.attempts += 1;
            part.under_way += 1;
            part.under_way_most = part.under_way_most.max(part.under_way);
        }
        most = most.max(self.providers[to.provider].under_way);
        if let Some(slot) = self.slot(at) {
            let cell = &mut slot.providers[to.provider];
            cell.attempts += 1;
            cell.under_way_most = cell.under_way_most.max(most);
        }
    }

    pub(super) fn leaves(&mut self, to: Where) {
        self.providers[to.provider].under_way -= 1;
        self.models[to.model].under_way -= 1;
    }

    /// The first token of a stream, so long after the request and after the attempt.
    pub(super) fn first_token(&mut self, at: u64, to: Where, waited: Duration, attempt: Duration) {
        let (waited, attempt) = (waited.as_micros() as u64, attempt.as_micros() as u64);
        self.ttft_us.add(waited);
        self.providers[to.provider].ttft_us.add(attempt);
        self.models[to.model].ttft_us.add(waited);
        if let Some(slot) = self.slot(at) {
            slot.ttft_us.add(waited);
        }
    }

    pub(super) fn attempt_failed(&mut self, at: u64, to: Where, fault: Fault) {
        let limited = fault == Fault::Status(429);
        self.attempts_failed += 1;
        self.limited += u64::from(limited);
        for part in [&mut self.providers[to.provider], &mut self.models[to.model]] {
            part.attempts_failed += 1;
            part.limited += u64::from(limited);
        }
        if let Some(slot) = self.slot(at) {
            let cell = &mut slot.providers[to.provider];
            cell.failed += 1;
            cell.limited += u32::from(limited);
        }
    }

    /// A whole answer, so long after the request and after the attempt.
    pub(super) fn served(&mut self, at: u64, to: Where, waited: Duration, attempt: Duration, bill: Bill) {
        self.served += 1;
        self.answer_us.add(waited.as_micros() as u64);
        let micros = attempt.as_micros().max(1) as u64;
        let speed = u64::from(bill.completion_tokens) * 1_000_000_000 / micros;
        let tells = bill.completion_tokens >= TOKENS_LEAST;
        if tells {
            self.speed.add(speed);
        }
        for part in [&mut self.providers[to.provider], &mut self.models[to.model]] {
            part.served += 1;
            if tells {
                part.speed.add(speed);
            }
        }
        if let Some(slot) = self.slot(at) {
            slot.providers[to.provider].served += 1;
        }
        self.bill(at, to, bill);
    }

    /// A stream that broke off.
    pub(super) fn cut(&mut self, at: u64, to: Where, fault: Fault, bill: Bill) {
        self.cut += 1;
        self.saw(at, to, &format!("cut mid-stream: {}", fault_text(fault)));
        self.bill(at, to, bill);
    }

    /// The last candidate failed.
    pub(super) fn failed(&mut self, at: u64, to: Where, fault: Fault) {
        self.failed += 1;
        self.saw(at, to, &fault_text(fault));
    }

    fn saw(&mut self, at: u64, to: Where, cause: &str) {
        *self.faults.entry(cause.to_owned()).or_default() += 1;
        self.providers[to.provider].visible += 1;
        self.models[to.model].visible += 1;
        if let Some(slot) = self.slot(at) {
            slot.visible += 1;
        }
    }

    fn bill(&mut self, at: u64, to: Where, bill: Bill) {
        self.prompt_tokens += u64::from(bill.prompt_tokens);
        self.completion_tokens += u64::from(bill.completion_tokens);
        let Some(PicoDollars(cost)) = bill.cost else {
            self.unpriced += 1;
            return;
        };
        self.cost.0 += cost;
        self.providers[to.provider].cost.0 += cost;
        self.models[to.model].cost.0 += cost;
        if let Some(slot) = self.slot(at) {
            slot.cost.0 += cost;
        }
    }
}

/// A fault in words.
fn fault_text(fault: Fault) -> String {
    match fault {
        Fault::Status(status) => format!("status {status}"),
        Fault::ConnectRefused => "connection refused".to_owned(),
        Fault::Deadline(DeadlineKind::Connect) => "connect deadline".to_owned(),
        Fault::Deadline(DeadlineKind::FirstEvent) => "first-event deadline".to_owned(),
        Fault::Deadline(_) => "answer deadline".to_owned(),
        Fault::ResetBeforeAnswer { .. } => "reset before an answer".to_owned(),
        Fault::Truncated => "truncated".to_owned(),
        // Endpoints of a world fail in no other way.
        other => format!("{other:?}"),
    }
}
