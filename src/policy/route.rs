//! From the model a request names to the plan: which endpoints are tried, in which order.
//!
//! Deliberately absent: price, health and stickiness (they come with the balance strategies); the order is
//! the configuration's.

use crate::base::ids::{EndpointId, ModelId, ProviderId};
use crate::base::limits::{CANDIDATES, MODELS_PER_REQUEST};
use crate::policy::auth::Tenant;
use crate::policy::catalog::Snapshot;

/// One thing to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where.
    pub provider: ProviderId,
    /// Which endpoint; `None` passes the client's own name on without the `<provider>/` prefix.
    pub endpoint: Option<EndpointId>,
    /// Index into the requested models: which of `model`, `models[0]`, … this candidate serves.
    pub model: u8,
}

/// The ordered candidates of one request: at least one, at most `limits::CANDIDATES`.
///
/// What is stored is the requested models. A candidate is looked up when its turn comes, which for nearly all
/// requests is the first one only: the rows of the others are not even touched.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    choices: [Choice; CHOICES],
    choice_count: u8,
    candidate_count: u8,
    /// Places of the list by turn.
    order: [u8; CANDIDATES],
}

/// Every place at its own turn.
const IN_ORDER: [u8; CANDIDATES] = {
    let mut order = [0; CANDIDATES];
    let mut place = 0;
    while place < CANDIDATES {
        order[place] = place as u8;
        place += 1;
    }
    order
};

/// `model` and the entries of `models`.
const CHOICES: usize = 1 + MODELS_PER_REQUEST;

const _: () = assert!(CANDIDATES <= u8::MAX as usize);
const _: () = assert!(CHOICES <= u8::MAX as usize);

/// One requested model that can be served.
#[derive(Clone, Copy, Debug)]
struct Choice {
    by: By,
    /// Index into the requested models.
    model: u8,
}

#[derive(Clone, Copy, Debug)]
enum By {
    /// A configured model: by its endpoints.
    Model(ModelId),
    /// A name that is passed through.
    Provider(ProviderId),
}

/// No candidate: none of the requested models is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEndpoint;

impl Plan {
    const EMPTY: Self = Self {
        choices: [Choice { by: By::Provider(ProviderId(0)), model: 0 }; CHOICES],
        choice_count: 0,
        candidate_count: 0,
        order: IN_ORDER,
    };

    /// How many candidates there are.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.candidate_count)
    }

    /// The candidates in order. `snapshot` is the one the plan was made from.
    pub fn candidates<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = Candidate> + 'a {
        (0..self.count()).map_while(|turn| self.get(snapshot, turn))
    }

    /// Candidate number `turn`, if there are that many. `snapshot` is the one the plan was made from.
    #[must_use]
    pub fn get(&self, snapshot: &Snapshot, turn: usize) -> Option<Candidate> {
        if turn >= self.count() {
            return None;
        }
        self.listed(snapshot, usize::from(self.order[turn]))
    }

    /// From turn number `from` on, puts the candidates of which `is_behind` is true behind the others; none
    /// is dropped, and each part keeps its order.
    pub fn put_behind(&mut self, snapshot: &Snapshot, from: usize, is_behind: impl Fn(Candidate) -> bool) {
        let count = self.count();
        if from + 1 >= count {
            return;
        }
        let old = self.order;
        let (mut next, mut behind) = (from, 0);
        for place in &old[from..count] {
            if self.listed(snapshot, usize::from(*place)).is_some_and(&is_behind) {
                self.order[count - 1 - behind] = *place;
                behind += 1;
            } else {
                self.order[next] = *place;
                next += 1;
            }
        }
        self.order[next..count].reverse();
    }

    /// The candidate at a place of the list.
    fn listed(&self, snapshot: &Snapshot, place: usize) -> Option<Candidate> {
        let mut left = place;
        for choice in &self.choices[..usize::from(self.choice_count)] {
            let model = choice.model;
            match choice.by {
                By::Provider(provider) if left == 0 => {
                    return Some(Candidate { provider, endpoint: None, model });
                }
                By::Provider(_) => left -= 1,
                By::Model(id) => {
                    let endpoints = &snapshot.models[id.index()].endpoints;
                    if let Some(endpoint) = endpoints.get(left) {
                        let provider = snapshot.endpoints[endpoint.index()].provider;
                        return Some(Candidate { provider, endpoint: Some(*endpoint), model });
                    }
                    left -= endpoints.len();
                }
            }
        }
        None
    }

    /// A plan of one candidate, which takes requests as they are.
    #[must_use]
    pub fn single(provider: ProviderId) -> Self {
        let mut plan = Self::EMPTY;
        plan.push(By::Provider(provider), 0, 1);
        plan
    }

    /// Adds a model with so many candidates, as far as there is room for them.
    fn push(&mut self, by: By, model: u8, candidates: usize) {
        let count = (self.count() + candidates).min(CANDIDATES);
        if count > self.count()
            && let Some(slot) = self.choices.get_mut(usize::from(self.choice_count))
        {
            *slot = Choice { by, model };
            self.choice_count += 1;
            self.candidate_count = count as u8;
        }
    }
}

/// Plans for the requested models, first choice first. Endpoints beyond `limits::CANDIDATES` are not tried.
///
/// # Errors
/// [`NoEndpoint`] when no requested model is configured and none names a provider that takes any model.
pub fn plan<M: AsRef<str>>(
    snapshot: &Snapshot,
    _tenant: Tenant,
    models: impl Iterator<Item = M>,
) -> Result<Plan, NoEndpoint> {
    let mut plan = Plan::EMPTY;
    for (turn, name) in models.take(CHOICES).enumerate() {
        let name = name.as_ref();
        if let Some(model) = snapshot.model_ids.get(name) {
            plan.push(By::Model(*model), turn as u8, snapshot.models[model.index()].endpoints.len());
        } else if let Some(provider) = passthrough(snapshot, name) {
            plan.push(By::Provider(provider), turn as u8, 1);
        }
    }
    if plan.candidate_count == 0 { Err(NoEndpoint) } else { Ok(plan) }
}

/// The provider of `<provider>/<name>` when it takes models that no configuration names.
fn passthrough(snapshot: &Snapshot, name: &str) -> Option<ProviderId> {
    let (provider, rest) = name.split_once('/')?;
    let id = snapshot.provider_ids.get(provider)?;
    (!rest.is_empty() && snapshot.providers[id.index()].passthrough).then_some(*id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{HostId, PoolId};
    use crate::base::limits::Deadlines;
    use crate::dialect::{DialectName, StreamUsage};
    use crate::policy::catalog::{Credential, Endpoint, Model, Provider};
    use crate::policy::heads::Heads;
    use crate::policy::table::ByName;

    /// Providers `p0` (takes any model) and `p1`; one model for each given number of endpoints: `m0`, `m1` …
    fn snapshot(endpoints_of: &[usize]) -> Snapshot {
        let provider = |turn: u32| Provider {
            id: format!("p{turn}").into(),
            dialect: DialectName::OpenAi,
            tls: false,
            host: HostId(0),
            port: 80,
            authority: "h".into(),
            base_path: "".into(),
            credential: Credential::None,
            stream_usage: StreamUsage::OnRequest,
            deadlines: Deadlines::default(),
            pool: PoolId(0),
            passthrough: turn == 0,
            heads: Heads::default(),
        };
        let (mut endpoints, mut models, mut model_ids) = (Vec::new(), Vec::new(), ByName::default());
        for (turn, count) in (0_u32..).zip(endpoints_of) {
            let first = endpoints.len() as u32;
            endpoints.extend((0..*count as u32).map(|step| Endpoint {
                provider: ProviderId(step % 2),
                name: "x".into(),
                price: None,
            }));
            let id: Box<str> = format!("m{turn}").into();
            model_ids.insert(id.clone(), ModelId(turn));
            models.push(Model { id, endpoints: (first..first + *count as u32).map(EndpointId).collect() });
        }
        Snapshot {
            providers: vec![provider(0), provider(1)],
            provider_ids: (0..2).map(|turn| (format!("p{turn}").into(), ProviderId(turn))).collect(),
            endpoints,
            models,
            model_ids,
            ..Snapshot::bare()
        }
    }

    /// The candidates' endpoints (`None`: passed through) with the model each of them serves.
    #[track_caller]
    fn check(endpoints_of: &[usize], models: &[&str], want: &[(Option<u32>, u8)]) {
        let snapshot = snapshot(endpoints_of);
        let Ok(plan) = plan(&snapshot, Tenant { key: None }, models.iter()) else {
            return assert!(want.is_empty(), "{models:?} gives no plan");
        };
        let got: Vec<(Option<u32>, u8)> =
            plan.candidates(&snapshot).map(|one| (one.endpoint.map(|id| id.0), one.model)).collect();
        assert_eq!((&got[..], plan.count()), (want, want.len()), "{models:?}");
        assert_eq!(plan.get(&snapshot, want.len()), None);
        for one in plan.candidates(&snapshot) {
            let provider = one.endpoint.map_or(ProviderId(0), |id| snapshot.endpoints[id.index()].provider);
            assert_eq!(one.provider, provider);
        }
    }

    #[test]
    fn candidates_come_in_the_order_of_the_request_and_the_configuration() {
        check(&[1], &["m0"], &[(Some(0), 0)]);
        check(
            &[2, 3],
            &["m1", "m0"],
            &[(Some(2), 0), (Some(3), 0), (Some(4), 0), (Some(0), 1), (Some(1), 1)],
        );
        check(&[2], &["m9", "p0/any/thing", "m0"], &[(None, 1), (Some(0), 2), (Some(1), 2)]);
        check(&[1], &["m0", "m0"], &[(Some(0), 0), (Some(0), 1)]);
        check(&[1], &["m9", "p1/any", "p0/", ""], &[]);
        check(&[1], &[], &[]);
    }

    #[test]
    fn what_is_not_well_goes_behind_and_nothing_is_dropped() {
        for from in 0..6 {
            for sick in 0..64_u32 {
                let snapshot = snapshot(&[4, 2]);
                let mut plan = plan(&snapshot, Tenant { key: None }, ["m0", "m1"].iter()).unwrap();
                let before: Vec<u32> =
                    plan.candidates(&snapshot).filter_map(|one| one.endpoint.map(|id| id.0)).collect();
                plan.put_behind(&snapshot, from, |one| one.endpoint.is_some_and(|id| sick >> id.0 & 1 == 1));
                let got: Vec<u32> =
                    plan.candidates(&snapshot).filter_map(|one| one.endpoint.map(|id| id.0)).collect();
                let mut want = before;
                want[from..].sort_by_key(|id| sick >> id & 1);
                assert_eq!(got, want, "from {from}, sick {sick:b}");
            }
        }
    }

    #[test]
    fn there_are_never_more_than_the_limit() {
        let all: Vec<(Option<u32>, u8)> = (0..CANDIDATES as u32).map(|id| (Some(id), 0)).collect();
        check(&[CANDIDATES], &["m0"], &all);
        check(&[CANDIDATES + 1, 1], &["m0", "m1", "p0/x"], &all);
        let mut cut = all;
        cut[CANDIDATES - 1].1 = 1;
        check(&[CANDIDATES - 1, 5], &["m0", "m1"], &cut);
        cut[CANDIDATES - 1] = (None, 1);
        check(&[CANDIDATES - 1], &["m0", "p0/x", "p0/y"], &cut);
    }
}
