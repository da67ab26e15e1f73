//! From what a request asks for to the plan: which endpoints are tried, in which order.
//!
//! For each requested model, first choice first: filters exclude, the model's strategy scores what is left,
//! and each contender gets one number that says where it stands:
//!
//! | bits | lower goes first |
//! |---|---|
//! | misses | keeps the preferred throughput and latency, before not |
//! | model | the order of `models`; no difference with `partition: "none"` |
//! | listed | the order of `provider.order`, before what it does not name |
//! | unwell | healthy, before not |
//! | group | of the tier asked for, before others |
//! | pinned | the endpoint that served the conversation last, before others (`pinned`) |
//! | tier, score | as the strategy says |
//!
//! The plan is the lowest `limits::CANDIDATES` of all. Nothing is allocated, and nothing here asks what time
//! it is or throws dice: both are arguments.
//! Deliberately absent: what an endpoint is excluded by (`filter`), how contenders of a model are scored
//! (`strategy`), and what is remembered of conversations (`sticky`).

mod ask;
mod best;
mod crowd;
mod explain;
mod pinned;
mod plan;
mod receipt;
mod wishes;

#[cfg(test)]
pub(super) mod tests;

use crate::base::ids::{EndpointId, ModelId, ProviderId};
use crate::base::limits::MODELS_PER_REQUEST;
use crate::policy::auth::Tenant;
use crate::policy::catalog::{Modalities, Model, Parameters, Snapshot};
use crate::policy::filter::{
    Filter, Gate, Lists, PREFERRED_PARAMETERS, Priced, Subject, TIERS, TierAsk, passed_through,
};
use crate::policy::live::Live;
use crate::policy::rows::{self, Lanes};
use crate::policy::sticky::{Digest, Recall, Recalled};
use crate::policy::strategy::{Rank, StrategyName, Task};
use crate::policy::variant::{self, Unserved, Variants};

pub use ask::{Ask, kept_parameters, used_parameters};
pub use explain::{Considered, Scored, considered};
pub use plan::{Candidate, Plan};
pub use receipt::{Receipt, usd};

use crowd::{Common, Crowd, Room};
use plan::Entry;

/// `model` and the entries of `models`.
pub const CHOICES: usize = 1 + MODELS_PER_REQUEST;

/// Endpoints of one model that are looked at, in the configuration's order; further ones stand by for the
/// operator to reorder.
pub const ENDPOINTS_PER_MODEL: usize = 64;

/// What a decision is taken from beside the request.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Models and endpoints.
    pub snapshot: &'a Snapshot,
    /// What is known about endpoints right now.
    pub live: Live<'a>,
    /// A fresh random word.
    pub random: u64,
    /// Minutes since midnight, UTC, for prices that depend on the hour.
    pub minute: u16,
    /// What is remembered of conversations; `None` is nothing.
    pub sticky: Option<Recall<'a>>,
}

impl<'a> Scene<'a> {
    /// Nothing is measured, and it is midnight: for tests and measurements.
    #[must_use]
    pub const fn plain(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, live: Live::unknown(), random: 0x9e37_79b9_7f4a_7c15, minute: 0, sticky: None }
    }
}

/// Why there is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlan {
    /// None of the requested models is configured, and none names a provider that takes any model.
    Unknown,
    /// A requested variant cannot be served.
    Variant(Unserved),
    /// Every endpoint is excluded by a filter: [`considered`] says by which.
    Excluded,
}

/// Plans for the requested models, first choice first.
///
/// # Errors
/// [`NoPlan`] when there is nothing to try.
pub fn plan<M: AsRef<str>>(
    scene: &Scene<'_>,
    tenant: Tenant,
    ask: &Ask<'_>,
    models: impl Iterator<Item = M>,
) -> Result<Plan, NoPlan> {
    run(scene, tenant, ask, models, &mut ())
}

/// Is told what happens to each endpoint on the way to a plan.
trait Watch {
    /// False when nobody listens: then no reason is looked for either.
    const LISTENS: bool = true;
    fn excluded(&mut self, model: u8, at: At, filter: Filter);
    /// `pinned` is which of the crowd is the one that is remembered.
    fn scored(
        &mut self,
        model: u8,
        strategy: StrategyName,
        lanes: Lanes<'_>,
        crowd: &Crowd<'_>,
        pinned: Option<usize>,
    );
}

/// Nobody looks.
impl Watch for () {
    const LISTENS: bool = false;
    fn excluded(&mut self, _: u8, _: At, _: Filter) {}
    fn scored(&mut self, _: u8, _: StrategyName, _: Lanes<'_>, _: &Crowd<'_>, _: Option<usize>) {}
}

/// What can be tried: an endpoint, or a provider that takes any name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Endpoint(EndpointId),
    Provider(ProviderId),
}

fn run<M: AsRef<str>>(
    scene: &Scene<'_>,
    tenant: Tenant,
    ask: &Ask<'_>,
    models: impl Iterator<Item = M>,
    watch: &mut impl Watch,
) -> Result<Plan, NoPlan> {
    let lists = Lists::of(scene.snapshot, tenant.key, &ask.preferences);
    let mut run = Run {
        scene,
        ask,
        tenant,
        digest: None,
        recalled: Recalled::Unasked,
        gate: Gate::new(&lists, tenant.key, &ask.preferences, &ask.needs),
        looked: false,
        prompt_tokens: ask.needs.prompt_tokens(Modalities::NONE),
        choices: [By::Provider(ProviderId(0)); CHOICES],
        best: [u64::MAX; plan::CANDIDATES],
        count: 0,
        doubtful: false,
    };
    let mut known = false;
    for (turn, name) in (0_u8..).zip(models.take(CHOICES)) {
        let Some((by, variants)) = resolve(scene.snapshot, name.as_ref())? else { continue };
        known = true;
        run.choices[usize::from(turn)] = by;
        match by {
            By::Provider(provider) => run.add_provider(provider, turn, watch),
            By::Model(id) => {
                let model = &scene.snapshot.models[id.index()];
                // Places for contenders are cleared before use: no more of them than the model may need.
                let lanes = scene.snapshot.rows().model(id);
                match lanes.count() {
                    0..=4 => run.add_model::<4>(model, lanes, variants, turn, watch),
                    5..=16 => run.add_model::<16>(model, lanes, variants, turn, watch),
                    _ => run.add_model::<ENDPOINTS_PER_MODEL>(model, lanes, variants, turn, watch),
                }
            }
        }
    }
    match run.count {
        0 if known => Err(NoPlan::Excluded),
        0 => Err(NoPlan::Unknown),
        _ => Ok(run.finish()),
    }
}

/// What serves a requested name.
#[derive(Clone, Copy, Debug)]
enum By {
    /// A configured model: its endpoints.
    Model(ModelId),
    /// A provider that takes names nobody has configured.
    Provider(ProviderId),
}

/// Looks a name up: as it is, then without its routing suffixes, then as a name to pass through.
fn resolve(snapshot: &Snapshot, name: &str) -> Result<Option<(By, Variants)>, NoPlan> {
    if let Some(id) = snapshot.model_ids.get(name) {
        return Ok(Some((By::Model(*id), Variants::default())));
    }
    if let Some(bare) = variant::bare(name)
        && let Some(id) = snapshot.model_ids.get(bare.name())
    {
        return match bare.variants.unserved {
            Some(unserved) => Err(NoPlan::Variant(unserved)),
            None => Ok(Some((By::Model(*id), bare.variants))),
        };
    }
    Ok(passthrough(snapshot, name).map(|provider| (By::Provider(provider), Variants::default())))
}

/// The provider of `<provider>/<name>` when it takes models that no configuration names.
fn passthrough(snapshot: &Snapshot, name: &str) -> Option<ProviderId> {
    let (provider, rest) = name.split_once('/')?;
    let id = snapshot.provider_ids.get(provider)?;
    (!rest.is_empty() && snapshot.providers[id.index()].passthrough).then_some(*id)
}

/// The place among `provider.order` of what it does not name.
const UNLISTED: usize = 63;

/// Where the parts of a standing begin, from the lowest bit; see the head of this file.
const OTHER_GROUP: u32 = 1;
const UNWELL: u32 = 2;
const LISTED: u32 = 3;
const MODEL: u32 = 9;
const MISSES: u32 = 13;

const _: () = assert!(super::prefs::PROVIDERS_PER_LIST < UNLISTED && UNLISTED < 1 << (MODEL - LISTED));
const _: () = assert!(CHOICES <= 16);

/// One decision under way.
struct Run<'a, 'b> {
    scene: &'a Scene<'a>,
    ask: &'a Ask<'b>,
    tenant: Tenant,
    /// The conversation's, once it is of use.
    digest: Option<Digest>,
    recalled: Recalled,
    gate: Gate<'a, 'b>,
    /// The prompt was looked through for content that is no text.
    looked: bool,
    /// About how many tokens the prompt has.
    prompt_tokens: u32,
    /// What serves the requested models, by their place among them.
    choices: [By; CHOICES],
    /// The best so far, ascending: where each stands, and who it is (see [`packed`]).
    best: [u64; plan::CANDIDATES],
    count: usize,
    /// See [`Plan::is_doubtful`].
    doubtful: bool,
}

impl Run<'_, '_> {
    fn priced(&self) -> Priced {
        Priced { prompt_tokens: self.prompt_tokens, minute: self.scene.minute }
    }

    fn add_provider(&mut self, provider: ProviderId, turn: u8, watch: &mut impl Watch) {
        let row = passed_through(provider);
        let subject = Subject { provider, flags: row.flags, endpoint: None, snapshot: self.scene.snapshot };
        if let Some(filter) = self.gate.excludes(&row, subject, TIERS, self.priced()) {
            return watch.excluded(turn, At::Provider(provider), filter);
        }
        let listed = self.listed(|| subject);
        // Whether it is well is not known here.
        self.doubtful = true;
        self.insert(packed(self.standing(turn) | u32::from(listed) << LISTED, Rank::FIRST, turn, 0));
    }

    fn add_model<const N: usize>(
        &mut self,
        model: &Model,
        lanes: Lanes<'_>,
        variants: Variants,
        turn: u8,
        watch: &mut impl Watch,
    ) {
        let admitted = self.admitted(lanes, variants, turn, watch);
        let mut room = Room::<N>::EMPTY;
        let mut crowd = room.hold(admitted);
        self.gather(lanes, turn, &mut crowd);
        let count = crowd.count();
        let strategy = self.strategy(model, variants);
        // One contender needs no score.
        if count > 1 {
            let task = Task {
                random: super::strategy::spread(self.scene.random ^ u64::from(turn)),
                prompt_tokens: self.prompt_tokens as f32,
                output_tokens: self.ask.needs.answer_tokens() as f32,
                prefix: self.ask.needs.prompt,
            };
            let (field, ranks) = crowd.field(lanes, self.scene.live);
            strategy.strategy().score(&task, &field, ranks);
        }
        let pinned = self.pin(model, lanes, &mut crowd);
        watch.scored(turn, strategy, lanes, &crowd, pinned);
        let preferences = &self.ask.preferences;
        let single = !preferences.allow_fallbacks && !preferences.order.given();
        let mut standings = [u64::MAX; N];
        crowd.pack(&mut standings, turn);
        let wanted = if single { 1 } else { plan::CANDIDATES };
        let kept = best::lowest(&mut standings, count, wanted);
        if self.count == 0 {
            self.best[..kept].copy_from_slice(&standings[..kept]);
            self.count = kept;
        } else {
            standings[..kept].iter().for_each(|standing| self.insert(*standing));
        }
    }

    /// A bit for each endpoint that may serve the request.
    fn admitted<W: Watch>(&mut self, lanes: Lanes<'_>, variants: Variants, turn: u8, watch: &mut W) -> u64 {
        self.look(lanes);
        let (needs, tiers, priced) = (&self.ask.needs, self.tiers(variants), self.priced());
        let admitted = self.gate.admits(self.scene.snapshot, lanes, tiers, priced);
        if W::LISTENS {
            self.tell(lanes, admitted, tiers, turn, watch);
        }
        let mut lacking = lanes.lacking(Parameters(needs.parameters.0 & PREFERRED_PARAMETERS.0));
        if needs.tier == TierAsk::Flex {
            lacking |= lanes.without(rows::FLEX);
        }
        // Who lacks something serves only where all do.
        if admitted & !lacking == 0 { admitted } else { admitted & !lacking }
    }

    /// Fills in what is known of the contenders before they are scored.
    fn gather(&mut self, lanes: Lanes<'_>, turn: u8, crowd: &mut Crowd<'_>) {
        // Whom `order` names is found later.
        let listed = if self.gate.lists.order.is_some() { (UNLISTED << LISTED) as u16 } else { 0 };
        self.doubtful |= crowd.fill(&Common {
            lanes,
            live: self.scene.live,
            priced: self.priced(),
            answer_tokens: self.ask.needs.answer_tokens() as f32,
            standing: self.standing(turn) as u16 | listed,
            is_ruled: lanes.any_flags() & rows::PRICE_RULES != 0,
        });
        if let Some(order) = &self.gate.lists.order {
            self.list(order, lanes, crowd);
        }
        if self.asks_for_figures() || self.is_for_priority() {
            for (standing, place) in crowd.standings.iter_mut().zip(&*crowd.places) {
                *standing |= self.special(lanes, usize::from(*place));
            }
        }
    }

    /// Tells by which filter each endpoint that is not admitted was excluded.
    fn tell(&self, lanes: Lanes<'_>, admitted: u64, tiers: u16, turn: u8, watch: &mut impl Watch) {
        for place in 0..lanes.count() {
            let subject = Subject::at(self.scene.snapshot, lanes, place);
            let filter = self.gate.excludes(&lanes.row(place), subject, tiers, self.priced());
            debug_assert_eq!(filter.is_none(), admitted >> place & 1 == 1, "{filter:?}");
            if let Some(filter) = filter {
                watch.excluded(turn, At::Endpoint(lanes.id(place)), filter);
            }
        }
    }

    /// Looks for content that is no text, once, if a model's endpoints tell any difference.
    fn look(&mut self, lanes: Lanes<'_>) {
        if !self.looked && lanes.restricted() {
            self.looked = true;
            let content = self.ask.needs.content();
            self.prompt_tokens = self.ask.needs.prompt_tokens(content);
            self.gate.measure(content, &self.ask.needs);
        }
    }

    /// Takes a candidate in if it stands better than the last one, or if there is room.
    fn insert(&mut self, standing: u64) {
        if standing >= self.best[plan::CANDIDATES - 1] {
            return;
        }
        let behind = self.count.min(plan::CANDIDATES - 1);
        let place = self.best[..behind].iter().rposition(|other| *other < standing).map_or(0, |at| at + 1);
        self.best.copy_within(place..behind, place + 1);
        self.best[place] = standing;
        self.count = (self.count + 1).min(plan::CANDIDATES);
    }

    /// The plan of the best.
    fn finish(&self) -> Plan {
        let mut plan = Plan::EMPTY;
        let tables = self.scene.snapshot.rows();
        let (mut best, mut entries) = (&self.best[..self.count], &mut plan.entries[..]);
        // Neighbours are mostly of the same model: what serves it is looked up once for all of them.
        while let Some(first) = best.first() {
            let model = model_of(*first);
            let alike = best.iter().position(|one| model_of(*one) != model).unwrap_or(best.len());
            let (same, other) = best.split_at(alike);
            let (room, behind) = entries.split_at_mut(alike);
            match self.choices[usize::from(model)] {
                By::Model(id) => {
                    let lanes = tables.model(id);
                    for (packed, entry) in same.iter().zip(room) {
                        *entry = Entry::endpoint(lanes.id((packed & 63) as usize).0, model);
                    }
                }
                By::Provider(provider) => room.fill(Entry::provider(provider.0, model)),
            }
            (best, entries) = (other, behind);
        }
        (plan.count, plan.doubtful) = (self.count as u8, self.doubtful);
        (plan.digest, plan.recalled) = (self.digest, self.recalled);
        plan
    }
}

/// Everything that says where a contender stands, and behind it who it is: its model's place in the request
/// and its own in the model. Of equals, those configured first go first.
///
/// Standing (14 bits), rank (32), model (4), place (6).
#[inline]
fn packed(standing: u32, rank: Rank, turn: u8, place: u8) -> u64 {
    let rank = u64::from(standing) << 32 | u64::from(rank.bits());
    rank << 10 | u64::from(turn) << 6 | u64::from(place)
}

/// The model's place in the request, out of [`packed`].
const fn model_of(packed: u64) -> u8 {
    (packed >> 6 & 15) as u8
}

const _: () = assert!(CHOICES <= 16 && ENDPOINTS_PER_MODEL <= 64);

const _: () = assert!(ENDPOINTS_PER_MODEL <= u64::BITS as usize && plan::CANDIDATES == best::MOST);
