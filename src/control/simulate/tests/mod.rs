//! The laws of the whole: what routing must do on any day, proved on scripted ones with the code that serves.
//!
//! Deliberately absent: tests of single rooms, which stand in them.

mod day;
mod laws;

use core::ops::Range;
use core::time::Duration;
use std::path::Path;

use super::traffic::synthetic::Spec;
use super::{Options, Setup, Tally, Traffic, World, simulate};

/// A policy from the text of a configuration file.
pub(super) fn setup(text: &str) -> Setup {
    Setup::read(Path::new("policy.toml"), text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// One model at three providers: `alpha` is the cheapest, the first and (see [`WORLD`]) the fastest.
pub(super) fn three(strategy: &str) -> String {
    let mut text = String::from("[deadlines]\nconnect = \"500ms\"\nfirst_event = \"30s\"\n");
    for provider in ["alpha", "beta", "gamma"] {
        text.push_str(&format!(
            "[[provider]]\nid = \"{provider}\"\nbase_url = \"http://{provider}.test/v1\"\nauth = \"none\"\n"
        ));
    }
    text.push_str(&format!("[[model]]\nid = \"team/m\"\nstrategy = \"{strategy}\"\n"));
    for (provider, prompt, completion) in [("alpha", "1", "2"), ("beta", "1.2", "2.4"), ("gamma", "3", "6")] {
        text.push_str(&format!(
            "[[model.endpoint]]\nprovider = \"{provider}\"\nname = \"m\"\n\
             price = {{ prompt = \"{prompt}\", completion = \"{completion}\" }}\n"
        ));
    }
    text
}

/// Nothing fails by itself.
pub(super) const WORLD: &str = "
[[endpoint]]
ttft_ms = { median = 300, p95 = 600 }
tokens_per_second = 150
failure_rate = 0
death_rate = 0
[[endpoint]]
provider = \"alpha\"
ttft_ms = { median = 150, p95 = 300 }
tokens_per_second = 300
";

/// A world with events on top of [`WORLD`].
pub(super) fn world(events: &str) -> World {
    World::parse(&format!("{WORLD}{events}")).unwrap_or_else(|why| panic!("{why}"))
}

/// Streams for `team/m`, so many a second for so many seconds.
pub(super) fn traffic(setup: &Setup, seconds: usize, rate: usize, seed: u64) -> Traffic {
    let text = format!("requests={},rate={rate},models=team/m,stream=1", seconds * rate);
    Spec::parse(&text)
        .and_then(|spec| spec.traffic(&setup.snapshot, seed))
        .unwrap_or_else(|why| panic!("{why}"))
}

/// A day, with a slot to each second.
#[derive(Clone, Copy)]
pub(super) struct Day<'d> {
    pub(super) strategy: &'d str,
    pub(super) events: &'d str,
    pub(super) seconds: usize,
    pub(super) rate: usize,
    pub(super) cores: usize,
    pub(super) seed: u64,
}

impl Day<'_> {
    pub(super) fn run(self) -> Seen {
        let setup = setup(&three(self.strategy));
        let traffic = traffic(&setup, self.seconds, self.rate, self.seed);
        let options = Options { seed: self.seed, cores: self.cores, slot: Some(Duration::from_secs(1)) };
        let tally = simulate(&traffic, &setup, &world(self.events), options, &mut |_| {});
        conserves(&tally);
        Seen(tally)
    }
}

/// What came out of a day.
pub(super) struct Seen(pub(super) Tally);

impl Seen {
    fn row(&self, provider: &str) -> usize {
        self.0.providers.iter().position(|part| part.name == provider).expect("one of the three")
    }

    /// Attempts at a provider in these seconds.
    pub(super) fn attempts(&self, provider: &str, seconds: Range<usize>) -> u32 {
        let row = self.row(provider);
        self.0.slots[seconds].iter().map(|slot| slot.providers[row].attempts).sum()
    }

    /// Its share of all attempts in these seconds, in percent.
    pub(super) fn share(&self, provider: &str, seconds: Range<usize>) -> u32 {
        let names = ["alpha", "beta", "gamma"];
        let all: u32 = names.iter().map(|name| self.attempts(name, seconds.clone())).sum();
        self.attempts(provider, seconds) * 100 / all.max(1)
    }

    /// The most under way at once there in these seconds, as seen when attempts began.
    pub(super) fn most(&self, provider: &str, seconds: Range<usize>) -> u32 {
        let row = self.row(provider);
        self.0.slots[seconds].iter().map(|slot| slot.providers[row].under_way_most).max().unwrap_or(0)
    }
}

/// Every request ends once and in one way, and every attempt too.
pub(super) fn conserves(tally: &Tally) {
    assert_eq!(tally.requests, tally.served + tally.cut + tally.failed + tally.refused);
    assert_eq!(tally.attempts, tally.served + tally.cut + tally.attempts_failed);
    assert_eq!(tally.attempts, tally.requests - tally.refused + tally.failovers);
    for parts in [&tally.providers, &tally.models] {
        let sum = |of: fn(&super::tally::Part) -> u64| parts.iter().map(of).sum::<u64>();
        assert_eq!(sum(|part| part.attempts), tally.attempts);
        assert_eq!(sum(|part| part.served), tally.served);
        assert_eq!(sum(|part| part.visible), tally.visible());
        assert_eq!(parts.iter().map(|part| part.cost.0).sum::<i128>(), tally.cost.0);
        assert!(parts.iter().all(|part| part.under_way == 0), "something is still under way");
    }
    assert_eq!(tally.faults.values().sum::<u64>(), tally.visible());
    assert_eq!(tally.refusals.values().sum::<u64>(), tally.refused);
}
