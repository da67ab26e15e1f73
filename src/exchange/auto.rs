//! `millrace/auto` in a request: the names to plan for in its place.
//!
//! A conversation keeps its model: the one that served it last goes first, whatever its next request shows.
//!
//! Deliberately absent: the choice itself (`policy/auto`), and what is remembered after an answer
//! (`relay/pins`).

use std::borrow::Cow;

use crate::base::ids::ModelId;
use crate::exchange::reply::Refusal;
use crate::policy::auth::Tenant;
use crate::policy::auto::{self, Choice, Decision, Wishes};
use crate::policy::prefs::BadPreference;
use crate::policy::route::{Ask, CHOICES, Scene};
use crate::policy::sticky::Digest;
use crate::wire::json::peek::Peek;

/// What `millrace/auto` has become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    /// What was decided.
    pub(super) decision: Decision,
    /// The conversation that is to keep the model.
    pub(super) conversation: Option<Digest>,
}

/// The requested models, with models chosen in place of `millrace/auto`.
#[derive(Debug)]
pub(super) struct Names<'n> {
    list: [Cow<'n, str>; CHOICES],
    count: usize,
    /// Why these.
    pub(super) chosen: Chosen,
}

const NO_MESSAGES: BadPreference = BadPreference {
    field: "messages",
    allowed: "a list of messages, from which millrace/auto takes a model",
};

/// The names to plan for, when the body names `millrace/auto` and the operator has models for it. Further
/// mentions of it are left out, and the models named beside it keep their places.
///
/// # Errors
/// When its plugin is malformed or allows no model, or there is nothing to choose by.
pub(super) fn names<'n, M: Iterator<Item = Cow<'n, str>>>(
    scene: &Scene<'n>,
    tenant: Tenant,
    ask: &Ask<'_>,
    (peek, body): (&Peek, &[u8]),
    requested: impl Fn() -> M,
) -> Result<Option<Names<'n>>, Refusal> {
    let snapshot = scene.snapshot;
    let ours = |name: &str| auto::suffix(name).is_some() && !snapshot.model_ids.contains_key(name);
    if !snapshot.auto.is_on() || !requested().any(|name| ours(&name)) {
        return Ok(None);
    }
    if peek.messages.is_none() {
        return Err(Refusal::Preference(NO_MESSAGES));
    }
    let wishes = Wishes::read(peek, body).map_err(Refusal::Preference)?;
    let others = requested().filter(|name| !ours(name)).count();
    let content = ask.needs.content();
    let seen = (auto::signals(peek, body, content), content);
    let most = CHOICES.saturating_sub(others).max(1);
    let conversation =
        scene.sticky.and_then(|recall| recall.memory.digest(snapshot, tenant, &ask.conversation));
    let kept = conversation.and_then(|digest| model_of(scene, digest));
    let choice = auto::choose(scene, tenant, ask, &wishes, seen, most, kept).ok_or(Refusal::NoneAllowed)?;
    let chosen = Chosen { decision: choice.decision, conversation };
    let mut names = Names { list: Default::default(), count: 0, chosen };
    let mut expanded = false;
    for name in requested() {
        if !ours(&name) {
            names.push(name);
        } else if !core::mem::replace(&mut expanded, true) {
            names.expand(scene, &choice, auto::suffix(&name).unwrap_or_default());
        }
    }
    Ok(Some(names))
}

/// The model that served the conversation last. Its two names are one router model.
fn model_of(scene: &Scene<'_>, digest: Digest) -> Option<ModelId> {
    let candidates = scene.snapshot.auto.models.iter().map(|one| one.model);
    let recall = scene.sticky?;
    recall.memory.model(digest, auto::NAMES[0], scene.snapshot, candidates, recall.now)
}

impl<'n> Names<'n> {
    /// The names, first choice first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Cow<'n, str>> + use<'n, '_> {
        self.list[..self.count].iter().cloned()
    }

    fn push(&mut self, name: Cow<'n, str>) {
        if let Some(slot) = self.list.get_mut(self.count) {
            *slot = name;
            self.count += 1;
        }
    }

    /// The chosen models. Routing suffixes of `millrace/auto` are theirs.
    fn expand(&mut self, scene: &Scene<'n>, choice: &Choice, suffix: &str) {
        for model in choice.models() {
            let id = &*scene.snapshot.models[model.index()].id;
            self.push(if suffix.is_empty() {
                Cow::Borrowed(id)
            } else {
                Cow::Owned(format!("{id}{suffix}"))
            });
        }
    }
}
