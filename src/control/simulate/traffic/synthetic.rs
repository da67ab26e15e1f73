//! Invented traffic: a mix of models, sizes and hours that resembles what chat services see.
//!
//! Arrivals are a Poisson process; over half a day or more its rate follows the hour, with its peak at 15:00
//! UTC. Of the models, the second is asked for half as often as the first, the third a third as often, and so
//! on. Sizes are log-normal.
//! Deliberately absent: bursts, retries of clients, and sessions that grow.

use super::{REQUESTS_MAX, Request, TOKENS_MAX, Traffic};
use crate::control::simulate::random::{LogNormal, Random};
use crate::policy::catalog::{Parameters, Snapshot};
use crate::policy::filter::TierAsk;

/// 2026-01-05, a Monday, at midnight UTC, in nanoseconds since 1970.
const START: u64 = 1_767_571_200 * 1_000_000_000;
/// Seconds in a day.
const DAY: f64 = 86_400.0;
/// How far the rate goes up and down over a day, as a share of its mean.
const WAVE: f64 = 0.6;
/// The hour of the peak, as a share of the day.
const PEAK: f64 = 15.0 / 24.0;
/// Different sessions.
const SESSIONS: usize = 1_000;

/// What to invent.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Requests.
    pub requests: usize,
    /// Which models.
    pub models: Models,
    /// Requests per second on average; `None` spreads them over a day.
    pub rate: Option<f64>,
    /// Share of requests that want a stream.
    pub stream: f64,
}

/// Which models are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Models {
    /// So many of those with the most endpoints.
    Count(usize),
    /// These.
    Named(Vec<Box<str>>),
}

impl Default for Spec {
    fn default() -> Self {
        Self { requests: 100_000, models: Models::Count(8), rate: None, stream: 0.8 }
    }
}

impl Spec {
    /// Reads `requests=N,models=N,rate=N,stream=SHARE`, each of which may be left out; `models` may also be
    /// names with `+` between them.
    ///
    /// # Errors
    /// The first part that is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut spec = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let wrong = |expected: &str| format!("{name}: expected {expected}, not {value:?}");
            let real = |least: f64, most: f64| {
                value.parse().ok().filter(|number: &f64| *number >= least && *number <= most)
            };
            let whole = |most: usize| value.parse().ok().filter(|number| (1..=most).contains(number));
            match name {
                "requests" => {
                    let expected = format!("a whole number from 1 to {REQUESTS_MAX}");
                    spec.requests = whole(REQUESTS_MAX).ok_or_else(|| wrong(&expected))?;
                }
                "models" => {
                    spec.models = match whole(1_000) {
                        Some(count) => Models::Count(count),
                        None if value.is_empty() || value.parse::<f64>().is_ok() => {
                            return Err(wrong("a whole number from 1 to 1000, or names with + between them"));
                        }
                        None => Models::Named(value.split('+').map(Into::into).collect()),
                    };
                }
                "rate" => {
                    let rate = real(1e-6, 1e6).ok_or_else(|| wrong("requests per second, up to 1000000"))?;
                    spec.rate = Some(rate);
                }
                "stream" => spec.stream = real(0.0, 1.0).ok_or_else(|| wrong("a share from 0 to 1"))?,
                _ => return Err(format!("{name}: expected requests, models, rate or stream")),
            }
        }
        Ok(spec)
    }

    /// The requests. `snapshot` says which models there are.
    ///
    /// # Errors
    /// When it has no model to ask for.
    pub fn traffic(&self, snapshot: &Snapshot, seed: u64) -> Result<Traffic, String> {
        let models = match &self.models {
            Models::Named(names) => names.clone(),
            Models::Count(count) => most_hosted(snapshot, *count),
        };
        if models.is_empty() {
            return Err("the policy has no model: name some with models=, or add a provider".to_owned());
        }
        let mut random = Random::of(&[seed, 1]);
        let rate = self.rate.unwrap_or(self.requests as f64 / DAY);
        let wave = if self.requests as f64 / rate >= DAY / 2.0 { WAVE } else { 0.0 };
        let shares: Vec<f64> = (1..=models.len()).map(|rank| 1.0 / rank as f64).collect();
        let (prompt, answer) = (LogNormal::new(800.0, 8_000.0), LogNormal::new(250.0, 1_500.0));
        let tokens = |size: f64| (size.round() as u32).clamp(1, TOKENS_MAX);
        let mut seconds = 0.0;
        let mut requests = Vec::with_capacity(self.requests);
        for _ in 0..self.requests {
            let phase = (seconds / DAY - PEAK) * core::f64::consts::TAU;
            seconds += -random.fraction().ln() / (rate * (1.0 + wave * phase.cos()));
            requests.push(Request {
                at: (seconds * 1e9) as u64,
                choice: ranked(&shares, &mut random),
                preferences: None,
                key: None,
                session: random.below(SESSIONS) as u64 + 1,
                prompt_tokens: tokens(prompt.draw(&mut random)),
                completion_tokens: tokens(answer.draw(&mut random)),
                max_tokens: None,
                parameters: Parameters::NONE,
                tier: TierAsk::Unsaid,
                stream: random.chance(self.stream),
            });
        }
        let first = requests.first().map_or(0, |request| request.at);
        requests.iter_mut().for_each(|request| request.at -= first);
        let choices = models.into_iter().map(|model| vec![model]).collect();
        Ok(Traffic { requests, choices, start: START, ..Traffic::default() })
    }
}

/// A place in the list, by its share.
fn ranked(shares: &[f64], random: &mut Random) -> u32 {
    let mut left = random.fraction() * shares.iter().sum::<f64>();
    let found = shares.iter().position(|share| {
        left -= share;
        left < 0.0
    });
    found.unwrap_or(0) as u32
}

/// The models with the most endpoints; of equals, those first in the snapshot.
fn most_hosted(snapshot: &Snapshot, count: usize) -> Vec<Box<str>> {
    let mut models: Vec<_> = snapshot.models.iter().collect();
    models.sort_by_key(|model| core::cmp::Reverse(model.endpoints.len()));
    models.into_iter().take(count).map(|model| model.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::simulate::tests::setup;

    #[test]
    fn a_spec_says_what_is_wrong_with_it() {
        let spec = Spec::parse("requests=5,models=a/b+c/d,rate=2.5,stream=0").unwrap();
        let named = Models::Named(vec!["a/b".into(), "c/d".into()]);
        assert_eq!(spec, Spec { requests: 5, models: named, rate: Some(2.5), stream: 0.0 });
        assert_eq!(Spec::parse("").unwrap(), Spec::default());
        for (text, says) in [
            ("requests=0", "requests: expected a whole number from 1 to 20000000, not \"0\""),
            ("requests=x", "not \"x\""),
            ("models=0", "models: expected a whole number"),
            ("models=", "models: expected"),
            ("rate=-1", "rate: expected requests per second"),
            ("rate=NaN", "rate: expected"),
            ("stream=2", "stream: expected a share"),
            ("speed=1", "speed: expected requests, models, rate or stream"),
        ] {
            let error = Spec::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn it_is_as_long_and_as_mixed_as_asked_for() {
        let setup = setup("");
        let spec = Spec { requests: 40_000, ..Spec::default() };
        let traffic = spec.traffic(&setup.snapshot, 3).unwrap();
        let hours = traffic.length().as_secs_f64() / 3_600.0;
        assert!((23.0..25.0).contains(&hours), "{hours}");
        let at = |hour: u64| {
            let slot = hour * 3_600_000_000_000..(hour + 1) * 3_600_000_000_000;
            traffic.requests.iter().filter(|one| slot.contains(&one.at)).count()
        };
        assert!(at(15) > 3 * at(3), "{} at its peak, {} at night", at(15), at(3));
        let streams = traffic.requests.iter().filter(|one| one.stream).count();
        assert!((31_000..33_000).contains(&streams), "{streams}");
        assert!(traffic.requests.is_sorted_by_key(|one| one.at));
        assert_eq!(spec.traffic(&setup.snapshot, 3).unwrap().requests, traffic.requests);
        assert_ne!(spec.traffic(&setup.snapshot, 4).unwrap().requests, traffic.requests);
    }
}
