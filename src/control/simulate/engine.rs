//! The simulation: arrivals in order of time, a heap of what comes of them, and for each core the health
//! table that a worker has.
//!
//! What a worker and an exchange do around a decision is done here in the same order: the pauses that are
//! over end, the plan is made, who is not well goes behind, an attempt begins, its end is told to the health
//! table, `policy::retry` gives the verdict, and before the next attempt who is well is asked again.
//! Deliberately absent: what endpoints do (`world`) and what is counted (`tally`).

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::random::Random;
use super::tally::{Bill, Where};
use super::world::{Asked, Fate, Manner, place};
use super::{Setup, Tally, Traffic, World, slot_width};
use crate::base::fault::Fault;
use crate::base::ids::KeyId;
use crate::base::money::PicoDollars;
use crate::base::time::Moment;
use crate::control::simulate::traffic::Request;
use crate::policy::auth::Tenant;
use crate::policy::catalog::{Parameter, Snapshot};
use crate::policy::filter::Needs;
use crate::policy::health::board::Board;
use crate::policy::health::outcome::Phase;
use crate::policy::health::{End, Health, Ticket};
use crate::policy::prefs::{Preferences, preferences};
use crate::policy::retry::{Allowance, Verdict, verdict};
use crate::policy::route::{Ask, Candidate, NoPlan, Plan, Scene, plan};
use crate::policy::sticky::Conversation;

/// Most simulated cores.
pub const CORES_MAX: usize = 64;
/// The moment of the first request: a clock that begins at zero would make "never" look like "just now".
const EPOCH_NANOS: u64 = 1_000_000_000;
/// Bytes of JSON text that a prompt token is taken for (as `policy::filter` does).
const BYTES_PER_TOKEN: usize = 4;
/// How often progress is told, in requests.
const PROGRESS_EVERY: usize = 1 << 14;

/// How to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where all chance comes from.
    pub seed: u64,
    /// Simulated cores, from 1 to [`CORES_MAX`].
    pub cores: usize,
    /// Width of the timeline's slots; `None` as suits the traffic.
    pub slot: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, cores: 1, slot: None }
    }
}

/// Runs the traffic under a policy. `progress` is told now and then how many requests have come.
#[must_use]
pub fn simulate(
    traffic: &Traffic,
    setup: &Setup,
    world: &World,
    options: Options,
    progress: &mut dyn FnMut(usize),
) -> Tally {
    Engine::new(traffic, setup, world, options).run(progress)
}

/// A core as a worker has it, as far as endpoints are concerned.
struct Core {
    health: Health,
    random: Random,
}

/// What happens next to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    First,
    End,
}

/// A request under way.
struct Flight {
    request: usize,
    core: usize,
    plan: Plan,
    turn: usize,
    candidate: Candidate,
    /// Attempts that are over.
    attempts: usize,
    ambiguous_left: bool,
    ticket: Option<Ticket>,
    /// When the attempt began.
    begun: u64,
    fate: Fate,
    place: usize,
    to: Where,
    /// What the answer costs per unit, by the prices of the time it was asked for.
    bill: Bill,
}

struct Engine<'a> {
    traffic: &'a Traffic,
    world: &'a World,
    options: Options,
    /// With the prices of the files.
    original: Arc<Snapshot>,
    /// With those of the moment.
    snapshot: Arc<Snapshot>,
    price_changes: Vec<u64>,
    price_changes_made: usize,
    manners: Vec<Manner>,
    /// Requests under way, by place.
    under_way: Vec<u32>,
    preferences: Vec<Preferences<'a>>,
    keys: Vec<Option<KeyId>>,
    /// Stands for the text of prompts: only its length and its beginning count.
    prompt: Vec<u8>,
    cores: Vec<Core>,
    flights: Vec<Option<Flight>>,
    free: Vec<usize>,
    queue: BinaryHeap<Reverse<(u64, u64, usize, Next)>>,
    order: u64,
    now: u64,
    tally: Tally,
}

fn moment(at: u64) -> Moment {
    Moment::from_nanos(EPOCH_NANOS.saturating_add(at))
}

impl<'a> Engine<'a> {
    fn new(traffic: &'a Traffic, setup: &Setup, world: &'a World, options: Options) -> Self {
        let snapshot = Arc::clone(&setup.snapshot);
        let count = options.cores.clamp(1, CORES_MAX);
        let board = Arc::new(Board::new(count));
        let core = |core: usize| {
            let mut health = Health::default();
            if count > 1 {
                health.join(Arc::clone(&board), core);
            }
            Core { health, random: Random::of(&[options.seed, 2, core as u64]) }
        };
        let key_of = |name: &str| {
            let found = snapshot.keys.iter().position(|key| &*key.name == name)?;
            u32::try_from(found).ok().map(KeyId)
        };
        let slot = options.slot.unwrap_or_else(|| slot_width(traffic.length()));
        let manners = world.manners(&snapshot);
        Self {
            under_way: vec![0; manners.len()],
            manners,
            price_changes: world.price_changes(),
            price_changes_made: 0,
            // Whoever made the traffic has checked them; one that cannot be read prefers nothing.
            preferences: traffic
                .preferences
                .iter()
                .map(|text| preferences(text.as_bytes()).unwrap_or(Preferences::NONE))
                .collect(),
            keys: traffic.keys.iter().map(|name| key_of(name)).collect(),
            prompt: vec![b' '; (traffic.longest_prompt() as usize * BYTES_PER_TOKEN).max(16)],
            cores: (0..count).map(core).collect(),
            flights: Vec::new(),
            free: Vec::new(),
            queue: BinaryHeap::new(),
            order: 0,
            now: 0,
            tally: Tally::new(&setup.name, &snapshot, traffic.length(), slot),
            original: Arc::clone(&snapshot),
            snapshot,
            traffic,
            world,
            options,
        }
    }

    fn run(mut self, progress: &mut dyn FnMut(usize)) -> Tally {
        let traffic = self.traffic;
        for (index, request) in traffic.requests.iter().enumerate() {
            self.happen_until(request.at);
            self.now = request.at;
            self.arrive(index, request);
            if index % PROGRESS_EVERY == 0 {
                progress(index);
            }
        }
        self.happen_until(u64::MAX);
        progress(traffic.requests.len());
        self.tally
    }

    /// What is due before `end`.
    fn happen_until(&mut self, end: u64) {
        while let Some(Reverse((at, _, flight, next))) =
            self.queue.peek().copied().filter(|next| next.0.0 < end)
        {
            self.queue.pop();
            self.now = at;
            self.happen(flight, next);
        }
    }

    fn schedule(&mut self, after: Duration, flight: usize, next: Next) {
        self.order += 1;
        let at = self.now.saturating_add(after.as_nanos() as u64);
        self.queue.push(Reverse((at, self.order, flight, next)));
    }

    /// Prices change: the router gets a new snapshot, as after an import.
    fn follow_prices(&mut self) {
        let made = self.price_changes.partition_point(|at| *at <= self.now);
        if made > self.price_changes_made {
            self.price_changes_made = made;
            self.snapshot = Arc::new(self.world.priced(&self.original, self.now));
        }
    }

    /// One turn of a core's loop begins.
    fn turn(&mut self, core: usize) {
        let (Core { health, random }, now) = (&mut self.cores[core], moment(self.now));
        if health.is_due(now) {
            health.tick(&self.snapshot, now, random.word());
        }
    }

    fn arrive(&mut self, index: usize, request: &Request) {
        self.follow_prices();
        self.tally.requests += 1;
        let core = Random::of(&[self.options.seed, 3, index as u64]).below(self.cores.len());
        self.turn(core);
        let now = moment(self.now);
        self.prompt[..8].copy_from_slice(&request.session.to_le_bytes());
        let prompt = &self.prompt[..request.prompt_tokens as usize * BYTES_PER_TOKEN];
        let ask = Ask {
            preferences: request.preferences.map_or(Preferences::NONE, |id| self.preferences[id as usize]),
            needs: Needs {
                parameters: match request.max_tokens {
                    Some(_) => request.parameters.with(Parameter::MaxTokens),
                    None => request.parameters,
                },
                output_tokens: request.max_tokens,
                tier: request.tier,
                prompt,
            },
            conversation: Conversation::Unknown,
        };
        let tenant = Tenant { key: request.key.and_then(|key| self.keys[key as usize]) };
        let Core { health, random } = &mut self.cores[core];
        health.follow(&self.snapshot, now);
        health.request(now);
        let scene = Scene {
            snapshot: &self.snapshot,
            live: health.live(),
            random: random.word(),
            minute: self.traffic.minute_at(self.now),
            sticky: None,
        };
        let choices = &self.traffic.choices[request.choice as usize];
        let mut plan = match plan(&scene, tenant, &ask, choices.iter()) {
            Ok(plan) => plan,
            Err(why) => return self.refuse(&choices[0], why),
        };
        plan.put_behind(&self.snapshot, 0, |candidate| !health.is_well(&self.snapshot, candidate));
        let Some(candidate) = plan.get(&self.snapshot, 0) else { return };
        let flight = Flight {
            request: index,
            core,
            plan,
            turn: 0,
            candidate,
            attempts: 0,
            ambiguous_left: self.snapshot.ambiguous_failover,
            ticket: None,
            begun: 0,
            fate: Fate::Served { first: Duration::ZERO, whole: Duration::ZERO },
            place: 0,
            to: Where { provider: 0, model: 0 },
            bill: Bill { cost: None, prompt_tokens: 0, completion_tokens: 0 },
        };
        let at = self.free.pop().unwrap_or(self.flights.len());
        if at == self.flights.len() {
            self.flights.push(None);
        }
        self.attempt(at, flight);
    }

    fn refuse(&mut self, model: &str, why: NoPlan) {
        let reason = match why {
            NoPlan::Unknown => "not configured",
            NoPlan::Variant(unserved) => unserved.suffix(),
            NoPlan::Excluded => "every endpoint is excluded",
        };
        self.tally.refused += 1;
        *self.tally.refusals.entry(format!("{model}: {reason}")).or_default() += 1;
    }

    /// Sends a request to the candidate in hand.
    fn attempt(&mut self, at: usize, mut flight: Flight) {
        let request = &self.traffic.requests[flight.request];
        let (candidate, now) = (flight.candidate, moment(self.now));
        flight.place = place(&self.snapshot, candidate);
        flight.to = Where {
            provider: candidate.provider.index(),
            model: match candidate.endpoint {
                Some(endpoint) => self.snapshot.endpoints[endpoint.index()].model.index(),
                None => self.snapshot.models.len(),
            },
        };
        flight.bill = self.bill(candidate, request);
        flight.begun = self.now;
        let health = &mut self.cores[flight.core].health;
        flight.ticket = health.begin(&self.snapshot, candidate, request.prompt_tokens, now);
        let under_way = &mut self.under_way[flight.place];
        *under_way += 1;
        let asked = Asked {
            at: self.now,
            under_way: *under_way,
            completion_tokens: request.completion_tokens,
            stream: request.stream,
            deadlines: &self.snapshot.providers[candidate.provider.index()].deadlines,
        };
        flight.fate = self.manners[flight.place].fate(&asked, [self.options.seed, flight.request as u64]);
        self.tally.begins(self.now, flight.to);
        let (after, next) = match flight.fate {
            Fate::Served { first, .. } | Fate::Dies { first, .. } if request.stream => (first, Next::First),
            Fate::Served { whole: end, .. } | Fate::Dies { at: end, .. } | Fate::Fails { at: end, .. } => {
                (end, Next::End)
            }
        };
        self.flights[at] = Some(flight);
        self.schedule(after, at, next);
    }

    /// What the whole answer costs there now.
    fn bill(&self, candidate: Candidate, request: &Request) -> Bill {
        let (prompt_tokens, completion_tokens) = (request.prompt_tokens, request.completion_tokens);
        let endpoint = candidate.endpoint.map(|id| &self.snapshot.endpoints[id.index()]);
        let cost = endpoint.and_then(|endpoint| endpoint.facts.prices.as_ref()).and_then(|rules| {
            let prices = rules.at(prompt_tokens, self.traffic.minute_at(self.now));
            let (PicoDollars(prompt), PicoDollars(completion)) = (prices.prompt?, prices.completion?);
            let fee = prices.request.map_or(0, |PicoDollars(fee)| fee);
            let tokens = prompt * i128::from(prompt_tokens) + completion * i128::from(completion_tokens);
            Some(PicoDollars(tokens + fee))
        });
        Bill { cost, prompt_tokens, completion_tokens }
    }

    fn happen(&mut self, at: usize, next: Next) {
        let flight = self.flights[at].take().expect("invariant: an event belongs to a request under way");
        self.turn(flight.core);
        match (next, flight.fate) {
            (Next::First, Fate::Served { first, whole: end } | Fate::Dies { first, at: end, .. }) => {
                let health = &mut self.cores[flight.core].health;
                if let Some(ticket) = &flight.ticket {
                    health.first_event(ticket, moment(self.now));
                }
                let waited = Duration::from_nanos(self.now - self.traffic.requests[flight.request].at);
                self.tally.first_token(self.now, flight.to, waited, first);
                self.flights[at] = Some(flight);
                self.schedule(end.saturating_sub(first), at, Next::End);
            }
            (_, Fate::Served { .. }) => {
                let tokens = flight.bill.completion_tokens;
                let flight = self.leave(flight, None, Phase::Relaying, None, tokens);
                let waited = Duration::from_nanos(self.now - self.traffic.requests[flight.request].at);
                let attempt = Duration::from_nanos(self.now - flight.begun);
                self.tally.served(self.now, flight.to, waited, attempt, flight.bill);
                self.free.push(at);
            }
            (_, Fate::Dies { part, .. }) => {
                let tokens = (f64::from(flight.bill.completion_tokens) * part) as u32;
                let fault = Fault::Truncated;
                let flight = self.leave(flight, Some(fault), Phase::Relaying, None, tokens);
                let bill = self.part_of(&flight, tokens);
                self.tally.cut(self.now, flight.to, fault, bill);
                self.free.push(at);
            }
            (_, Fate::Fails { fault, wait, .. }) => {
                let flight = self.leave(flight, Some(fault), Phase::Asked, wait, 0);
                self.fail(at, flight, fault);
            }
        }
    }

    /// What a part of an answer costs: its prompt, and the tokens that came.
    fn part_of(&self, flight: &Flight, completion_tokens: u32) -> Bill {
        let request = &self.traffic.requests[flight.request];
        self.bill(flight.candidate, &Request { completion_tokens, ..*request })
    }

    /// The attempt in hand is over: the endpoint has a place again, and its health is told.
    fn leave(
        &mut self,
        mut flight: Flight,
        fault: Option<Fault>,
        phase: Phase,
        wait: Option<Duration>,
        tokens: u32,
    ) -> Flight {
        let now = moment(self.now);
        self.under_way[flight.place] -= 1;
        self.tally.leaves(flight.to);
        let Core { health, random } = &mut self.cores[flight.core];
        let end = End {
            fault,
            phase,
            wait,
            completion_tokens: fault.is_none().then_some(u64::from(tokens)),
            answer_bytes: u64::from(tokens) * BYTES_PER_TOKEN as u64,
            answered_at: if fault.is_none() { now } else { Moment::NEVER },
        };
        if let Some(ticket) = flight.ticket.take() {
            health.ended(&ticket, end, now, random.word());
        }
        flight
    }

    /// The attempt failed before an answer: another candidate, or the end.
    fn fail(&mut self, at: usize, mut flight: Flight, fault: Fault) {
        let now = moment(self.now);
        self.tally.attempt_failed(self.now, flight.to, fault);
        flight.attempts += 1;
        let allowance = Allowance {
            attempts_left: self.snapshot.limits.attempts.saturating_sub(flight.attempts),
            candidate_left: flight.turn + 1 < flight.plan.count(),
            ambiguous_left: flight.ambiguous_left,
        };
        let health = &mut self.cores[flight.core].health;
        if let Verdict::Next { ambiguous } = verdict(fault, allowance) {
            health.settle(now);
            flight
                .plan
                .put_behind(&self.snapshot, flight.turn + 1, |one| !health.is_well(&self.snapshot, one));
            let next = flight.plan.get(&self.snapshot, flight.turn + 1);
            if let Some(next) = next.filter(|next| health.may_retry(&self.snapshot, *next, now)) {
                flight.turn += 1;
                flight.candidate = next;
                flight.ambiguous_left &= !ambiguous;
                self.tally.failovers += 1;
                self.tally.failovers_ambiguous += u64::from(ambiguous);
                return self.attempt(at, flight);
            }
            self.tally.retries_denied += 1;
        }
        self.tally.failed(self.now, flight.to, fault);
        self.free.push(at);
    }
}
