//! How endpoints behave: how long they take, how often they fail, how many requests they take at once, and
//! what happens to them when.
//!
//! A world is written in a TOML file (`file`). What no file says is guessed from the catalogue's facts
//! (`guess`): a stand-in, not a measurement.
//! Deliberately absent: what the router makes of it (`engine`), and any effect of what a request says.

mod effect;
pub mod file;
mod guess;
#[cfg(test)]
mod tests;

use core::time::Duration;

use super::Setup;
use super::random::{LogNormal, Random};
use crate::base::fault::{DeadlineKind, Fault};
use crate::base::ids::{EndpointId, ProviderId};
use crate::base::limits::Deadlines;
use crate::base::money::PicoDollars;
use crate::policy::catalog::{PriceRule, PriceRules, Prices, Snapshot};
use crate::policy::route::Candidate;

pub use effect::{Effect, Outage, Price, What};

/// A refused connection is known after a round trip.
const REFUSED_AFTER: Duration = Duration::from_millis(20);
/// A 429 or 503 comes after two.
const REJECTED_AFTER: Duration = Duration::from_millis(40);
/// How much speeds differ between answers of one endpoint: the deviation of their logarithm.
const SPEED_DEVIATION: f64 = 0.15;
/// Of the failures that just happen, one in so many is a 500, of which nobody knows whether it is billed; the
/// others are 503s.
const FAILURES_PER_500: u64 = 4;

/// Which endpoints something is said about. What is `None` is any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Id of the provider.
    pub provider: Option<Box<str>>,
    /// Id or alias of the model.
    pub model: Option<Box<str>>,
}

/// What a file says about some endpoints; what is `None` it leaves as it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Which.
    pub target: Target,
    /// Milliseconds to the first token: median and 95th percentile.
    pub ttft_ms: Option<(f64, f64)>,
    /// Tokens per second behind the first token.
    pub tokens_per_second: Option<f64>,
    /// Share of requests that fail before an answer, 0 to 1.
    pub failure_rate: Option<f64>,
    /// Share of answers that break off, 0 to 1.
    pub death_rate: Option<f64>,
    /// Requests at once; what is above gets a 429.
    pub capacity: Option<u32>,
    /// What these 429s ask to wait.
    pub retry_after: Option<Duration>,
}

/// How endpoints behave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// Later ones go before earlier ones.
    pub rules: Vec<Rule>,
    /// What happens.
    pub effects: Vec<Effect>,
}

/// How one endpoint behaves.
#[derive(Clone, Debug)]
pub struct Manner {
    ttft_ms: LogNormal,
    tokens_per_second: f64,
    failure_rate: f64,
    death_rate: f64,
    capacity: u32,
    retry_after: Option<Duration>,
    /// Tells its luck from that of others.
    identity: u64,
    /// What happens to it, without prices.
    effects: Vec<(u64, u64, What)>,
}

/// What becomes of an attempt, and when, counted from its beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// The first token, and the whole answer.
    Served {
        /// When the first token is here.
        first: Duration,
        /// When all of it is here.
        whole: Duration,
    },
    /// The answer begins and breaks off.
    Dies {
        /// When the first token is here.
        first: Duration,
        /// When it breaks off.
        at: Duration,
        /// How much of the answer has come by then, 0 to 1.
        part: f64,
    },
    /// It fails before an answer.
    Fails {
        /// When.
        at: Duration,
        /// How.
        fault: Fault,
        /// What the provider asks to wait.
        wait: Option<Duration>,
    },
}

/// An attempt as the endpoint sees it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Nanoseconds since the first request of the run.
    pub at: u64,
    /// Requests under way there, this one included.
    pub under_way: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
    /// It is streamed.
    pub stream: bool,
    /// The router's patience.
    pub deadlines: &'a Deadlines,
}

impl Target {
    fn holds(&self, snapshot: &Snapshot, endpoint: EndpointId) -> bool {
        let row = &snapshot.endpoints[endpoint.index()];
        let provider = &snapshot.providers[row.provider.index()].id;
        let model = |id: &str| snapshot.model_ids.get(id) == Some(&row.model);
        self.provider.as_ref().is_none_or(|id| id == provider) && self.model.as_deref().is_none_or(model)
    }

    fn is_known(&self, snapshot: &Snapshot) -> bool {
        self.provider.as_ref().is_none_or(|id| snapshot.provider_ids.contains_key(id))
            && self.model.as_ref().is_none_or(|id| snapshot.model_ids.contains_key(id))
    }
}

impl World {
    /// The first target that none of these policies has, in words.
    #[must_use]
    pub fn unknown_target(&self, setups: &[&Setup]) -> Option<String> {
        let targets = self.rules.iter().map(|rule| &rule.target);
        let unknown = |target: &&Target| !setups.iter().any(|setup| target.is_known(&setup.snapshot));
        let Target { provider, model } =
            targets.chain(self.effects.iter().map(|one| &one.target)).find(unknown)?;
        let part = |word: &str, id: &Option<Box<str>>| id.as_ref().map(|id| format!("{word} {id:?}"));
        let parts: Vec<String> =
            [part("provider", provider), part("model", model)].into_iter().flatten().collect();
        Some(format!("{}: no policy has it", parts.join(", ")))
    }

    /// How each endpoint of a policy behaves, by its place (see [`place`]).
    #[must_use]
    pub fn manners(&self, snapshot: &Snapshot) -> Vec<Manner> {
        let endpoints = (0..snapshot.endpoints.len() as u32).map(EndpointId).map(|id| {
            let mut manner = guess::manner(snapshot, id);
            let rules = self.rules.iter().filter(|rule| rule.target.holds(snapshot, id));
            rules.for_each(|rule| manner.follow(rule));
            let effects = self.effects.iter().filter(|effect| effect.target.holds(snapshot, id));
            manner.effects = effects.filter(|one| !one.is_price()).map(Effect::window).collect();
            manner
        });
        // A name that is passed through is no model of ours: only what is said about providers alone holds.
        let providers = (0..snapshot.providers.len() as u32).map(ProviderId).map(|id| {
            let own = &snapshot.providers[id.index()].id;
            let holds = |target: &Target| {
                target.model.is_none() && target.provider.as_ref().is_none_or(|one| one == own)
            };
            let mut manner = guess::passed_through(own);
            self.rules.iter().filter(|rule| holds(&rule.target)).for_each(|rule| manner.follow(rule));
            let effects = self.effects.iter().filter(|effect| holds(&effect.target));
            manner.effects = effects.filter(|one| !one.is_price()).map(Effect::window).collect();
            manner
        });
        endpoints.chain(providers).collect()
    }

    /// The moments at which a price changes, ascending, in nanoseconds since the first request.
    #[must_use]
    pub fn price_changes(&self) -> Vec<u64> {
        let prices = self.effects.iter().filter(|effect| effect.is_price());
        let mut moments: Vec<u64> = prices.flat_map(|effect| [effect.from, effect.until]).collect();
        moments.sort_unstable();
        moments.dedup();
        moments.retain(|at| *at < u64::MAX);
        moments
    }

    /// A snapshot with the prices of this moment. `original` has those of the files.
    #[must_use]
    pub fn priced(&self, original: &Snapshot, at: u64) -> Snapshot {
        let mut snapshot = original.clone();
        for id in (0..original.endpoints.len() as u32).map(EndpointId) {
            for effect in self.effects.iter().filter(|one| (one.from..one.until).contains(&at)) {
                if let What::Price(price) = &effect.what
                    && effect.target.holds(original, id)
                {
                    let prices = &mut snapshot.endpoints[id.index()].facts.prices;
                    *prices = Some(changed(prices.take().unwrap_or_default(), price));
                }
            }
        }
        // Here, as when a snapshot is built, and not on the way of a request.
        let _ = snapshot.rows();
        snapshot
    }
}

fn changed(prices: PriceRules, change: &Price) -> PriceRules {
    match change {
        Price::Times(factor) => {
            let scale = |price: Option<PicoDollars>| {
                price.map(|PicoDollars(pico)| PicoDollars((pico as f64 * factor).round() as i128))
            };
            let all = |prices: Prices| Prices {
                prompt: scale(prices.prompt),
                completion: scale(prices.completion),
                cache_read: scale(prices.cache_read),
                cache_write: scale(prices.cache_write),
                cache_write_1h: scale(prices.cache_write_1h),
                reasoning: scale(prices.reasoning),
                request: scale(prices.request),
                image: scale(prices.image),
                audio: scale(prices.audio),
            };
            let rules = prices.rules.iter().map(|rule| PriceRule { prices: all(rule.prices), ..*rule });
            PriceRules { base: all(prices.base), rules: rules.collect() }
        }
        // A price that is written out holds for every prompt and at every hour.
        Price::Is { prompt, completion } => {
            let new = Prices { prompt: *prompt, completion: *completion, ..Prices::default() };
            PriceRules { base: prices.base.replaced_by(&new), rules: Box::default() }
        }
    }
}

/// Where a candidate stands among the manners of a snapshot: endpoints, then providers.
#[must_use]
pub fn place(snapshot: &Snapshot, candidate: Candidate) -> usize {
    let provider = snapshot.endpoints.len() + candidate.provider.index();
    candidate.endpoint.map_or(provider, EndpointId::index)
}

impl Manner {
    fn follow(&mut self, rule: &Rule) {
        if let Some((median, p95)) = rule.ttft_ms {
            self.ttft_ms = LogNormal::new(median, p95);
        }
        self.tokens_per_second = rule.tokens_per_second.unwrap_or(self.tokens_per_second);
        self.failure_rate = rule.failure_rate.unwrap_or(self.failure_rate);
        self.death_rate = rule.death_rate.unwrap_or(self.death_rate);
        self.capacity = rule.capacity.unwrap_or(self.capacity);
        self.retry_after = rule.retry_after.or(self.retry_after);
    }

    /// What becomes of an attempt. `seeds` name the request: the same request has the same luck here whatever
    /// the policy.
    #[must_use]
    pub fn fate(&self, asked: &Asked<'_>, seeds: [u64; 2]) -> Fate {
        let mut random = Random::of(&[seeds[0], seeds[1], self.identity]);
        // Always the same draws in the same order, whichever of them count.
        let (fails, dies) = (random.chance(self.failure_rate), random.chance(self.death_rate));
        let (kind, limited, breaks_at) = (random.word(), random.fraction(), random.fraction());
        let ttft_ms = self.ttft_ms.draw(&mut random);
        let pace = (SPEED_DEVIATION * random.normal()).exp();
        let mut slower = 1.0;
        for (_, _, what) in self.effects.iter().filter(|(from, until, _)| (*from..*until).contains(&asked.at))
        {
            match what {
                What::Outage(outage) => return outage.fate(asked.deadlines),
                What::Storm { share, wait } if limited < *share => return rejected(429, *wait),
                What::BrownOut(factor) => slower *= factor,
                What::Storm { .. } | What::Price(_) => {}
            }
        }
        if asked.under_way > self.capacity {
            return rejected(429, self.retry_after);
        }
        let first = Duration::from_secs_f64((ttft_ms * slower / 1_000.0).min(86_400.0));
        if fails && kind.is_multiple_of(FAILURES_PER_500) {
            return Fate::Fails { at: first, fault: Fault::Status(500), wait: None };
        }
        if fails {
            return rejected(503, None);
        }
        let behind_first = asked.completion_tokens.saturating_sub(1);
        let seconds = f64::from(behind_first) * slower * pace / self.tokens_per_second;
        let whole = first + Duration::from_secs_f64(seconds.min(86_400.0));
        let fate = if dies {
            Fate::Dies { first, at: first + (whole - first).mul_f64(breaks_at), part: breaks_at }
        } else {
            Fate::Served { first, whole }
        };
        self.within_deadlines(self.cut_by_outage(fate, asked.at), asked)
    }

    /// An outage that cuts what is under way ends an answer before its time.
    fn cut_by_outage(&self, fate: Fate, at: u64) -> Fate {
        let (Fate::Served { first, whole: end } | Fate::Dies { first, at: end, .. }) = fate else {
            return fate;
        };
        let cuts = self.effects.iter().filter_map(|(from, _, what)| match what {
            What::Outage(outage) if outage.cuts => Some(*from),
            What::Outage(_) | What::Storm { .. } | What::BrownOut(_) | What::Price(_) => None,
        });
        let next = cuts.filter(|from| *from >= at).map(|from| Duration::from_nanos(from - at)).min();
        match next {
            Some(cut) if cut < first => {
                let fault = Fault::ResetBeforeAnswer { reused: false };
                Fate::Fails { at: cut, fault, wait: None }
            }
            Some(cut) if cut < end => {
                let before = match fate {
                    Fate::Dies { part, .. } => part,
                    Fate::Served { .. } | Fate::Fails { .. } => 1.0,
                };
                let part = before * (cut - first).as_secs_f64() / (end - first).as_secs_f64();
                Fate::Dies { first, at: cut, part }
            }
            Some(_) | None => fate,
        }
    }

    /// The router does not wait longer than its deadlines say.
    fn within_deadlines(&self, fate: Fate, asked: &Asked<'_>) -> Fate {
        let (Fate::Served { first, whole: end } | Fate::Dies { first, at: end, .. }) = fate else {
            return fate;
        };
        let deadlines = asked.deadlines;
        // The head of a stream comes with its first event; that of another answer with all of it.
        let (waits, most, kind) = if asked.stream {
            let most = deadlines.first_event.min(deadlines.response_head);
            (first, most, DeadlineKind::FirstEvent)
        } else {
            (end, deadlines.answer, DeadlineKind::ResponseHead)
        };
        if waits > most {
            return Fate::Fails { at: most, fault: Fault::Deadline(kind), wait: None };
        }
        // An answer that is no stream is held back until it is whole: nothing of it was sent.
        match fate {
            Fate::Dies { at, .. } if !asked.stream => Fate::Fails { at, fault: Fault::Truncated, wait: None },
            Fate::Dies { .. } | Fate::Served { .. } | Fate::Fails { .. } => fate,
        }
    }
}

const fn rejected(status: u16, wait: Option<Duration>) -> Fate {
    Fate::Fails { at: REJECTED_AFTER, fault: Fault::Status(status), wait }
}
