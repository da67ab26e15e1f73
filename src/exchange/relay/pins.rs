//! What a request's conversation is remembered by once its answer is whole: the endpoint that served it, and
//! the model that `millrace/auto` stood for.
//!
//! Deliberately absent: how the end of an answer is found (`relay`), and the memory itself (`policy/sticky`).

use super::{Ending, Relay};
use crate::base::record::Usage;
use crate::exchange::Cx;
use crate::exchange::attempt::Attempt;
use crate::exchange::request::Subject;
use crate::policy::auto::NAMES;
use crate::policy::sticky::SoftPin;

/// What is to be remembered.
#[derive(Debug, Default)]
pub(super) struct Pins {
    endpoint: Option<SoftPin>,
    model: Option<SoftPin>,
}

impl Pins {
    pub(super) const NONE: Self = Self { endpoint: None, model: None };

    /// Of the candidate in hand.
    pub(super) fn of(attempt: &Attempt, cx: &Cx<'_>) -> Self {
        Self { endpoint: attempt.soft_pin(cx), model: model_pin(attempt, cx) }
    }

    /// The answer is whole: remembers them, once.
    fn keep(&mut self, usage: Option<Usage>, cx: &Cx<'_>) {
        let Some(memory) = &cx.core.sticky else { return };
        let is_cache_used = usage.is_some_and(Usage::is_cache_used);
        for pin in [self.endpoint.take(), self.model.take()].into_iter().flatten() {
            memory.keep(&pin, is_cache_used, cx.now);
        }
    }
}

impl Relay {
    /// The end of the answer is here. The conversation is remembered now and not when its client has taken
    /// everything: that client's next request may come to another core before this one hears of it.
    pub(super) fn answered(&mut self, cx: &Cx<'_>) {
        self.ending = Ending::Complete;
        self.answered_at = Some(cx.now);
        let seen = self.pump.seen();
        if self.facts.status < 400 && seen.error.is_none() {
            self.pins.keep(seen.usage, cx);
        }
    }
}

/// The model of the candidate in hand, if `millrace/auto` may stand for it: one that the request named beside
/// it says nothing about the choice.
fn model_pin(attempt: &Attempt, cx: &Cx<'_>) -> Option<SoftPin> {
    let Subject::Inference { auto: Some(chosen), .. } = &attempt.request.subject else { return None };
    let (digest, memory) = (chosen.conversation?, cx.core.sticky.as_ref()?);
    let snapshot = attempt.snapshot();
    let model = snapshot.endpoints.get(attempt.candidate().endpoint?.index())?.model;
    let is_ours = snapshot.auto.models.iter().any(|one| one.model == model);
    let ttl = attempt.provider().sticky_ttl;
    is_ours.then(|| memory.pin_model(digest, NAMES[0], snapshot, model, ttl))
}
