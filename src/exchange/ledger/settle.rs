//! Settlement: how a request ended, with every attempt in it, what it is charged for, and what that costs.
//!
//! | ended | figures of the request | its last attempt |
//! |---|---|---|
//! | whole | the provider's; counted here where it gave none | billed |
//! | cut, client gone in the middle | what was reported so far, and counted since | estimated |
//! | client gone, then read to its end | the provider's | billed |
//! | client gone before the answer began | the prompt, if it was sent | maybe billed |
//! | failed | none | as the fault says |
//!
//! An attempt that may be billed although another one served carries an estimate of its prompt.
//! Deliberately absent: where the figures of an answer come from (`bill`), and the record's bytes.

use std::borrow::Cow;

use super::{Account, Entry, caller, served};
use crate::base::fault::Fault;
use crate::base::ids::EndpointId;
use crate::base::metrics::Counter;
use crate::base::record::{AttemptRecord, Billed, Outcome, Usage};
use crate::base::time::{Moment, UnixSeconds};
use crate::dialect::Api;
use crate::exchange::CoreState;
use crate::exchange::pump::Told;
use crate::exchange::run::micros;
use crate::policy::price;
use crate::policy::route::Candidate;
use crate::wire::journal::{Attempt, Cost, Ending, Flags, Settle, Source};

/// What a request came to.
#[derive(Clone, Copy, Debug)]
pub(in crate::exchange) struct Settlement<'a> {
    pub(in crate::exchange) ending: Ending,
    /// The status that the client got; 0 when it got none.
    pub(in crate::exchange) status: u16,
    /// Word of the fault that ended it.
    pub(in crate::exchange) fault: &'a str,
    pub(in crate::exchange) attempts: &'a [AttemptRecord],
    pub(in crate::exchange) told: Told<'a>,
    pub(in crate::exchange) usage: Usage,
    pub(in crate::exchange) source: Source,
    pub(in crate::exchange) counted_tokens: u32,
    /// `None` where nobody knows a price.
    pub(in crate::exchange) cost: Option<Cost>,
    pub(in crate::exchange) flags: Flags,
    /// Answer bytes sent to the client.
    pub(in crate::exchange) answer_bytes: u64,
    /// When the first of them was.
    pub(in crate::exchange) first_byte_at: Option<Moment>,
}

impl<'a> Settlement<'a> {
    /// A request without an answer.
    pub(in crate::exchange) fn unanswered(outcome: Outcome, attempts: &'a [AttemptRecord]) -> Self {
        let (ending, fault) = ending_of(outcome, attempts);
        Self {
            ending,
            status: if let Outcome::Failed(status) = outcome { status } else { 0 },
            fault,
            attempts,
            told: Told::default(),
            usage: Usage::default(),
            source: Source::None,
            counted_tokens: 0,
            cost: Some(Cost::default()),
            flags: Flags::default(),
            answer_bytes: 0,
            first_byte_at: None,
        }
    }
}

/// How a record says this outcome, and the word of the fault that led to it.
pub(in crate::exchange) fn ending_of(outcome: Outcome, attempts: &[AttemptRecord]) -> (Ending, &'static str) {
    match outcome {
        Outcome::Complete => (Ending::Complete, ""),
        Outcome::Refused(_) | Outcome::Failed(_) => {
            let last = attempts.last().and_then(|last| last.fault);
            (Ending::Failed, last.map_or("", Fault::word))
        }
        Outcome::Cut(fault) => (Ending::Cut, fault.word()),
        Outcome::ClientGone => (Ending::ClientGone, Fault::ClientGone.word()),
    }
}

impl Account {
    /// Settles the request that was admitted, if one was and it is not settled yet.
    pub(in crate::exchange) fn settle(
        &mut self,
        core: &mut CoreState,
        (now, at): (Moment, UnixSeconds),
        end: &Settlement<'_>,
    ) {
        let Some(entry) = self.open.take() else { return };
        let Some(journal) = &mut core.journal else { return };
        let end = &entry.with_prompt(end);
        let who = end.attempts.last().map_or(entry.first, |last| Candidate {
            provider: last.provider,
            endpoint: last.endpoint,
            model: 0,
        });
        let unpriced = end.source != Source::None && end.cost.is_none();
        if unpriced {
            core.counters.add(Counter::RequestsUnpriced, 1);
        }
        let one;
        let attempts = match end.attempts {
            [] => Cow::Borrowed(&[][..]),
            [only] => {
                one = [entry.attempt(only, end)];
                Cow::Borrowed(&one[..])
            }
            // Failed over: there is time for an allocation.
            several => Cow::Owned(several.iter().map(|attempt| entry.attempt(attempt, end)).collect()),
        };
        journal.settle(&Settle {
            id: entry.id,
            upstream_id: end.told.upstream_id,
            at,
            caller: caller(&entry.held, entry.key, entry.user_hash),
            served: served(&entry.held, who, self.passed.as_deref()),
            api: match entry.api {
                Api::ChatCompletions => "chat.completions",
                Api::Completions => "completions",
                Api::Embeddings => "embeddings",
            },
            ending: end.ending,
            status: end.status,
            fault: end.fault,
            finish_reason: end.told.finish_reason,
            service_tier: end.told.service_tier,
            flags: end.flags.with(Flags::STREAMED, entry.streamed).with(Flags::UNPRICED, unpriced),
            usage: end.usage,
            source: end.source,
            counted_tokens: end.counted_tokens,
            cost: end.cost.unwrap_or_default(),
            answer_bytes: end.answer_bytes,
            first_byte_micros: end.first_byte_at.map_or(0, |first| micros(first.since(entry.began)).max(1)),
            took_micros: micros(now.since(entry.began)),
            attempts,
        });
    }
}

impl Entry {
    /// A client that left before the answer began is charged for its prompt, if that was sent: the provider
    /// has read it.
    fn with_prompt<'a>(&self, end: &Settlement<'a>) -> Settlement<'a> {
        let last = end.attempts.last().filter(|last| last.billed == Billed::Maybe);
        let Some(last) = last.filter(|_| end.ending == Ending::ClientGone && end.source == Source::None)
        else {
            return *end;
        };
        let usage = Usage { prompt_tokens: u64::from(self.prompt_tokens), ..Usage::default() };
        Settlement { usage, source: Source::Bytes, cost: self.cost_at(last.endpoint, &usage), ..*end }
    }

    /// What these tokens cost at an endpoint; `None` when nobody knows.
    fn cost_at(&self, endpoint: Option<EndpointId>, usage: &Usage) -> Option<Cost> {
        let rules = self.held.endpoints[endpoint?.index()].facts.prices.as_ref()?;
        let prompt_tokens = u32::try_from(usage.prompt_tokens).unwrap_or(u32::MAX);
        price::cost(&rules.at(prompt_tokens, self.minute), usage)
    }

    /// What is written down of one attempt.
    fn attempt<'a>(&'a self, record: &AttemptRecord, end: &Settlement<'_>) -> Attempt<'a> {
        let (usage, cost) = match record.billed {
            Billed::No => (Usage::default(), None),
            // Only the last attempt may come to that.
            Billed::Yes | Billed::Estimated => (end.usage, end.cost),
            Billed::Maybe => {
                let usage = Usage { prompt_tokens: u64::from(self.prompt_tokens), ..Usage::default() };
                (usage, self.cost_at(record.endpoint, &usage))
            }
        };
        let who = Candidate { provider: record.provider, endpoint: record.endpoint, model: 0 };
        let named = served(&self.held, who, None);
        let few = |tokens: u64| u32::try_from(tokens).unwrap_or(u32::MAX);
        Attempt {
            provider: named.provider,
            endpoint: named.endpoint,
            status: record.status,
            fault: record.fault.map_or("", Fault::word),
            billed: record.billed,
            hedged: record.hedged,
            began_micros: record.began_micros,
            took_micros: record.took_micros,
            prompt_tokens: few(usage.prompt_tokens),
            completion_tokens: few(usage.completion_tokens),
            cost: cost.map_or(0, |cost| cost.upstream),
        }
    }
}
