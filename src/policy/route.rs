//! From the model a request names to the plan: which endpoints are tried, in which order.
//!
//! Deliberately absent: price, health and stickiness (they come with the balance strategies); the order is
//! the configuration's.

use crate::base::ids::{EndpointId, ProviderId};
use crate::base::limits::CANDIDATES;
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

/// The ordered candidates of one request. At least one, at most `limits::CANDIDATES`.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    candidates: [Candidate; CANDIDATES],
    len: u8,
}

/// No candidate: none of the requested models is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEndpoint;

impl Plan {
    /// The candidates in order.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates[..usize::from(self.len)]
    }

    /// Candidate number `turn`, if there are that many.
    #[must_use]
    pub fn get(&self, turn: usize) -> Option<Candidate> {
        self.candidates().get(turn).copied()
    }

    /// A plan of one candidate.
    #[must_use]
    pub const fn single(candidate: Candidate) -> Self {
        Self { candidates: [candidate; CANDIDATES], len: 1 }
    }
}

/// Plans for the requested models, first choice first. Endpoints beyond `limits::CANDIDATES` are not tried.
///
/// # Errors
/// [`NoEndpoint`] when no requested model is configured and none names a provider that takes any model.
pub fn plan<'m>(
    snapshot: &Snapshot,
    _tenant: Tenant,
    models: impl Iterator<Item = &'m str>,
) -> Result<Plan, NoEndpoint> {
    let mut plan: Option<Plan> = None;
    for (turn, name) in models.enumerate() {
        if let Some(model) = snapshot.model_ids.get(name) {
            for endpoint in &snapshot.models[model.index()].endpoints {
                let provider = snapshot.endpoints[endpoint.index()].provider;
                push(&mut plan, Candidate { provider, endpoint: Some(*endpoint), model: turn as u8 });
            }
        } else if let Some(provider) = passthrough(snapshot, name) {
            push(&mut plan, Candidate { provider, endpoint: None, model: turn as u8 });
        }
    }
    plan.ok_or(NoEndpoint)
}

/// The provider of `<provider>/<name>` when it takes models that no configuration names.
fn passthrough(snapshot: &Snapshot, name: &str) -> Option<ProviderId> {
    let (provider, rest) = name.split_once('/')?;
    let id = snapshot.provider_ids.get(provider)?;
    (!rest.is_empty() && snapshot.providers[id.index()].passthrough).then_some(*id)
}

fn push(plan: &mut Option<Plan>, candidate: Candidate) {
    match plan {
        None => *plan = Some(Plan::single(candidate)),
        Some(plan) if usize::from(plan.len) < CANDIDATES => {
            plan.candidates[usize::from(plan.len)] = candidate;
            plan.len += 1;
        }
        Some(_) => {}
    }
}
