//! The same decision, told: what happened to each endpoint on the way.
//!
//! It is not a second implementation: the planner tells what it does while it does it.
//! Deliberately absent: words (callers print them), and the data path, which only comes here when it has to
//! say why there is no plan.

use super::crowd::Crowd;
use super::{Ask, At, NoPlan, Plan, Scene, Watch, run};
use crate::base::ids::{EndpointId, ProviderId};
use crate::policy::auth::Tenant;
use crate::policy::filter::Filter;
use crate::policy::rows::Lanes;
use crate::policy::strategy::StrategyName;

/// What happened to one endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Considered {
    /// Index into the requested models.
    pub model: u8,
    /// Where.
    pub provider: ProviderId,
    /// Which endpoint; `None` is a name that is passed through.
    pub endpoint: Option<EndpointId>,
    /// What excluded it; `None` when nothing did.
    pub excluded: Option<Filter>,
    /// How it was scored, unless it was excluded.
    pub scored: Option<Scored>,
    /// Its place in the plan, from 0.
    pub place: Option<usize>,
}

/// How a strategy placed an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Which strategy.
    pub strategy: StrategyName,
    /// Its tier: lower goes first.
    pub tier: u8,
    /// Its score within the tier: lower goes first.
    pub score: f32,
    /// What the request would cost there, in pico-dollars; NaN is unknown.
    pub cost: f32,
    /// It is well.
    pub healthy: bool,
    /// What goes before tier and score: the bits that the head of `route` lists, lower goes first.
    pub standing: u32,
    /// It served the conversation last, and goes first of its model for that.
    pub pinned: bool,
}

struct Notes<'a> {
    scene: &'a Scene<'a>,
    list: Vec<Considered>,
}

impl Notes<'_> {
    fn add(&mut self, model: u8, at: At, excluded: Option<Filter>, scored: Option<Scored>) {
        let (provider, endpoint) = match at {
            At::Provider(id) => (id, None),
            At::Endpoint(id) => (self.scene.snapshot.endpoints[id.index()].provider, Some(id)),
        };
        self.list.push(Considered { model, provider, endpoint, excluded, scored, place: None });
    }
}

impl Watch for Notes<'_> {
    fn excluded(&mut self, model: u8, at: At, filter: Filter) {
        self.add(model, at, Some(filter), None);
    }

    fn scored(
        &mut self,
        model: u8,
        strategy: StrategyName,
        lanes: Lanes<'_>,
        crowd: &Crowd<'_>,
        pinned: Option<usize>,
    ) {
        for turn in 0..crowd.count() {
            let scored = Scored {
                strategy,
                tier: crowd.ranks[turn].tier(),
                score: crowd.ranks[turn].score(),
                cost: crowd.costs[turn],
                healthy: crowd.briefs[turn].is_well(),
                standing: u32::from(crowd.standings[turn]),
                pinned: pinned == Some(turn),
            };
            let endpoint = lanes.id(usize::from(crowd.places[turn]));
            self.add(model, At::Endpoint(endpoint), None, Some(scored));
        }
    }
}

/// Plans as [`super::plan`] does, and tells what happened to each endpoint. Endpoints that other keys alone
/// may use are not mentioned.
///
/// # Errors
/// As [`super::plan`], beside the list.
pub fn considered<M: AsRef<str>>(
    scene: &Scene<'_>,
    tenant: Tenant,
    ask: &Ask<'_>,
    models: impl Iterator<Item = M>,
) -> (Vec<Considered>, Result<Plan, NoPlan>) {
    let mut notes = Notes { scene, list: Vec::new() };
    let plan = run(scene, tenant, ask, models, &mut notes);
    let mut list = notes.list;
    list.retain(|one| one.excluded != Some(Filter::Private));
    for (place, candidate) in plan.iter().flat_map(|plan| plan.candidates(scene.snapshot)).enumerate() {
        let same = |one: &&mut Considered| {
            (one.model, one.provider, one.endpoint)
                == (candidate.model, candidate.provider, candidate.endpoint)
        };
        match list.iter_mut().find(same) {
            Some(one) => one.place = Some(place),
            None => list.push(Considered {
                model: candidate.model,
                provider: candidate.provider,
                endpoint: candidate.endpoint,
                excluded: None,
                scored: None,
                place: Some(place),
            }),
        }
    }
    (list, plan)
}
