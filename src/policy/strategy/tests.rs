//! Laws that every strategy keeps, over the table and with seeds, and what each of them is for.
//!
//! Deliberately absent: filters and health (`route/tests.rs`).

use super::*;
use crate::base::ids::{EndpointId, ModelId, ProviderId};
use crate::policy::catalog::{Endpoint, Model, Snapshot};
use std::collections::HashSet;

/// Words of a small generator (splitmix64).
fn words(seed: u64) -> impl FnMut() -> u64 {
    let mut turn = seed;
    move || {
        turn = turn.wrapping_add(0x9e37_79b9_7f4a_7c15);
        spread(turn)
    }
}

fn task(random: u64) -> Task<'static> {
    Task { random, prompt_tokens: 1_000.0, output_tokens: 500.0, prefix: b"You are a helpful assistant." }
}

/// Figures, costs and weights of every kind, also missing ones.
fn crowd(seed: u64) -> (Vec<Figures>, Vec<(f32, f32)>) {
    let mut next = words(seed);
    let mut some = |most: u64| if next().is_multiple_of(4) { 0.0 } else { (next() % most) as f32 };
    let count = 1 + (spread(seed) % 50) as usize;
    let figures = (0..count).map(|_| Figures {
        error_share: some(100) / 100.0,
        limited_share: some(100) / 100.0,
        tokens_in_flight: some(100_000) as u32,
        ttft_ms: some(10_000),
        tokens_per_second: some(300),
        ..Figures::UNKNOWN
    });
    let figures = figures.collect();
    let mut next = words(!seed);
    let facts = (0..count).map(|_| {
        let cost = if next().is_multiple_of(5) { f32::NAN } else { (next() % 1_000_000_000) as f32 };
        (cost, (next() % 4) as f32)
    });
    (figures, facts.collect())
}

/// Endpoints of one model with these weights; their costs stay beside them.
struct Crowd<'a> {
    snapshot: Snapshot,
    figures: &'a [Figures],
    costs: Vec<f32>,
}

impl<'a> Crowd<'a> {
    fn new(figures: &'a [Figures], facts: &[(f32, f32)]) -> Self {
        let mut snapshot = Snapshot::bare();
        for (turn, (_, weight)) in (0_u32..).zip(facts) {
            let mut endpoint = Endpoint::plain(ProviderId(0), ModelId(0), &format!("e{turn}"));
            endpoint.facts.weight = Some(*weight as u32);
            snapshot.endpoints.push(endpoint);
        }
        let ids = (0..facts.len() as u32).map(EndpointId).collect();
        snapshot.models.push(Model::plain("m", ids));
        Self { snapshot, figures, costs: facts.iter().map(|(cost, _)| *cost).collect() }
    }

    /// What a strategy makes of all but one of them: their places and ranks.
    fn scored(&self, name: StrategyName, task: &Task<'_>, gone: Option<u32>) -> Vec<(u8, Rank)> {
        let live = Live::new(self.figures);
        let there = || (0..self.costs.len() as u32).filter(|turn| Some(*turn) != gone);
        let costs: Vec<f32> = there().map(|turn| self.costs[turn as usize]).collect();
        let briefs: Vec<Brief> = there().map(|turn| live.brief(EndpointId(turn))).collect();
        let places: Vec<u8> = there().map(|turn| turn as u8).collect();
        let lanes = self.snapshot.rows().model(ModelId(0));
        let field = Field { lanes, live, costs: &costs, briefs: &briefs, places: &places };
        let mut ranks = vec![Rank::FIRST; places.len()];
        name.strategy().score(task, &field, &mut ranks);
        places.into_iter().zip(ranks).collect()
    }

    fn ordered(&self, name: StrategyName, task: &Task<'_>, gone: Option<u32>) -> Vec<u32> {
        let mut list = self.scored(name, task, gone);
        list.sort_by(|(_, one), (_, other)| {
            let parts = |rank: &Rank| (rank.tier(), rank.score());
            assert_eq!(parts(one).partial_cmp(&parts(other)), Some(one.cmp(other)), "{one:?} {other:?}");
            one.cmp(other)
        });
        list.iter().map(|(place, _)| u32::from(*place)).collect()
    }
}

fn ordered(name: StrategyName, task: &Task<'_>, figures: &[Figures], facts: &[(f32, f32)]) -> Vec<u32> {
    Crowd::new(figures, facts).ordered(name, task, None)
}

#[test]
fn every_contender_gets_a_score_and_the_same_input_the_same_order() {
    for name in StrategyName::ALL {
        assert_eq!(StrategyName::named(name.name()), Some(*name));
        for seed in 0..200 {
            let (figures, facts) = crowd(seed);
            let crowd = Crowd::new(&figures, &facts);
            for (_, rank) in crowd.scored(*name, &task(seed), None) {
                let score = rank.score();
                assert!(score >= 0.0 && score.is_finite() && rank.tier() < 2, "{name:?} {seed} {rank:?}");
            }
            let once = crowd.ordered(*name, &task(seed), None);
            assert_eq!(once, crowd.ordered(*name, &task(seed), None), "{name:?} {seed}");
            assert_eq!(once.iter().collect::<HashSet<_>>().len(), figures.len(), "{name:?} {seed}");
        }
        assert_eq!(Crowd::new(&[], &[]).scored(*name, &task(1), None), []);
    }
}

#[test]
fn who_is_worse_in_everything_does_not_go_first_more_often() {
    let good =
        Figures { ttft_ms: 200.0, tokens_per_second: 100.0, tokens_in_flight: 100, ..Figures::UNKNOWN };
    let bad = Figures {
        ttft_ms: 900.0,
        tokens_per_second: 20.0,
        tokens_in_flight: 90_000,
        error_share: 0.2,
        limited_share: 0.2,
        ..Figures::UNKNOWN
    };
    let pair = [good, bad];
    for name in StrategyName::ALL {
        let mut first = [0; 2];
        for seed in 0..500 {
            let prefix = seed_text(seed);
            let task = Task { prefix: prefix.as_bytes(), ..task(spread(seed)) };
            first[ordered(*name, &task, &pair, &[(1e9, 3.0), (3e9, 1.0)])[0] as usize] += 1;
        }
        assert!(first[0] > first[1], "{name:?}: {first:?}");
    }
}

fn seed_text(seed: u64) -> String {
    format!("application {seed}: be brief")
}

/// How often each of these goes first, in 20,000 draws.
fn shares(name: StrategyName, figures: &[Figures], facts: &[(f32, f32)]) -> Vec<f32> {
    const DRAWS: u64 = 20_000;
    let mut first = vec![0.0; figures.len()];
    let crowd = Crowd::new(figures, facts);
    for seed in 0..DRAWS {
        first[crowd.ordered(name, &task(spread(seed)), None)[0] as usize] += 1.0 / DRAWS as f32;
    }
    first
}

#[track_caller]
fn check_shares(name: StrategyName, figures: &[Figures], facts: &[(f32, f32)], want: &[f32]) {
    let got = shares(name, figures, facts);
    let near = got.iter().zip(want).all(|(got, want)| (got - want).abs() < 0.015);
    assert!(near, "{name:?}: {got:?}, expected {want:?}");
}

#[test]
fn the_default_draws_by_inverse_square_with_a_share_for_exploration() {
    let plain = [Figures::UNKNOWN; 2];
    // 31 of 32 requests by weight (9 : 1), the rest evenly.
    check_shares(StrategyName::Default, &plain, &[(1e9, 1.0), (3e9, 1.0)], &[0.887, 0.113]);
    check_shares(StrategyName::Default, &plain, &[(1e9, 1.0), (1e9, 1.0)], &[0.5, 0.5]);
    check_shares(StrategyName::Default, &plain, &[(0.0, 1.0), (1e9, 1.0)], &[0.984, 0.016]);
    check_shares(StrategyName::Default, &plain, &[(f32::NAN, 1.0), (1e9, 1.0)], &[0.0, 1.0]);
    // A quarter of errors weighs as a price that is three times higher.
    let failing = [Figures::UNKNOWN, Figures { error_share: 0.25, ..Figures::UNKNOWN }];
    check_shares(StrategyName::Default, &failing, &[(1e9, 1.0), (1e9, 1.0)], &[0.887, 0.113]);
    // Nine times the speed is worth three times the price.
    let fast = [Figures { tokens_per_second: 450.0, ..Figures::UNKNOWN }, Figures::UNKNOWN];
    check_shares(StrategyName::Default, &fast, &[(3e9, 1.0), (1e9, 1.0)], &[0.5, 0.5]);
    let waiting = [Figures::UNKNOWN, Figures { ttft_ms: 20_000.0, ..Figures::UNKNOWN }];
    check_shares(StrategyName::Default, &waiting, &[(1e9, 1.0), (1e9, 1.0)], &[0.79, 0.21]);
}

#[test]
fn weights_are_shares_and_zero_stands_by() {
    let plain = [Figures::UNKNOWN; 3];
    check_shares(StrategyName::Weighted, &plain, &[(1.0, 3.0), (1.0, 1.0), (1.0, 0.0)], &[0.75, 0.25, 0.0]);
    check_shares(StrategyName::LeastBusy, &plain, &[(1.0, 1.0); 3], &[1.0 / 3.0; 3]);
}

#[test]
fn a_prefix_stays_where_it_is() {
    let figures = [Figures::UNKNOWN; 8];
    let facts = [(1.0, 1.0); 8];
    let mut homes = [0; 8];
    for seed in 0..400 {
        let prefix = seed_text(seed);
        let order = |random: u64, gone: Option<u32>| {
            let task = Task { prefix: prefix.as_bytes(), ..task(random) };
            Crowd::new(&figures, &facts).ordered(StrategyName::PrefixAffinity, &task, gone)
        };
        let all = order(1, None);
        assert_eq!(all, order(2, None), "chance plays no part");
        // Who goes takes only its own prefixes with it, and those go to their second choice.
        assert_eq!(order(1, Some(all[0]))[0], all[1]);
        assert_eq!(order(1, Some(all[5]))[0], all[0]);
        homes[all[0] as usize] += 1;
    }
    assert!(homes.iter().all(|count| (20..90).contains(count)), "prefixes are spread: {homes:?}");
}

#[test]
fn a_popular_prefix_spills_over() {
    let facts = [(1.0, 1.0); 4];
    let idle = [Figures::UNKNOWN; 4];
    let order = ordered(StrategyName::PrefixAffinity, &task(1), &idle, &facts);
    let busy =
        |tokens: [u32; 4]| tokens.map(|tokens_in_flight| Figures { tokens_in_flight, ..Figures::UNKNOWN });
    let mut tokens = [10_000; 4];
    let first = |tokens: [u32; 4]| ordered(StrategyName::PrefixAffinity, &task(1), &busy(tokens), &facts)[0];
    assert_eq!(first(tokens), order[0], "an even load is no reason to leave");
    tokens[order[0] as usize] = 20_000;
    assert_eq!(first(tokens), order[1]);
    // Requests that bring their own load: nobody ends far above an even share.
    let mut tokens = [0; 4];
    (0..400).for_each(|_| tokens[first(tokens) as usize] += 1_500);
    let most = tokens.iter().max().copied().unwrap_or_default();
    assert!(most <= 400 * 1_500 / 4 * 5 / 4 + 1_500, "{tokens:?}");
}

#[test]
fn sorts_are_sorts() {
    let with =
        |ttft_ms: f32, tokens_per_second: f32| Figures { ttft_ms, tokens_per_second, ..Figures::UNKNOWN };
    let figures = [with(300.0, 10.0), with(100.0, 30.0), with(0.0, 0.0), with(50.0, 100.0)];
    let facts = [(4.0, 1.0), (f32::NAN, 1.0), (1.0, 1.0), (2.0, 1.0)];
    for (name, want) in [
        (StrategyName::Price, [2, 3, 0, 1]),
        // The one without figures stands just before the average.
        (StrategyName::Latency, [3, 1, 2, 0]),
        (StrategyName::Throughput, [3, 1, 2, 0]),
        (StrategyName::Order, [0, 1, 2, 3]),
    ] {
        assert_eq!(ordered(name, &task(1), &figures, &facts), want, "{name:?}");
    }
}

/// An endpoint is measured only if it is tried: beside peers that are all alike, and beside a single one, the
/// one without figures goes first wherever it is listed.
#[test]
fn who_is_not_measured_gets_measured() {
    let measured = Figures { ttft_ms: 200.0, tokens_per_second: 40.0, ..Figures::UNKNOWN };
    let slow = Figures { ttft_ms: 900.0, tokens_per_second: 5.0, ..Figures::UNKNOWN };
    let unknown = Figures::UNKNOWN;
    for (figures, want) in [
        (&[measured, unknown][..], &[1, 0][..]),
        (&[unknown, measured], &[0, 1]),
        (&[measured, unknown, unknown], &[1, 2, 0]),
        (&[measured, measured, unknown, measured], &[2, 0, 1, 3]),
        (&[slow, measured, unknown], &[1, 2, 0]),
        (&[unknown, unknown], &[0, 1]),
    ] {
        let facts = vec![(1.0, 1.0); figures.len()];
        for name in [StrategyName::Latency, StrategyName::Throughput] {
            assert_eq!(ordered(name, &task(1), figures, &facts), want, "{name:?} {figures:?}");
        }
    }
}

#[test]
fn the_quick_logarithm_is_close_to_the_exact_one() {
    for step in 0..10_000_u64 {
        let u = fraction((step << 18 | step << 9) as u32);
        let (quick, exact) = (minus_ln(u), -u.ln());
        assert!(quick > 0.0 && (quick - exact).abs() < 0.002, "{u}: {quick} for {exact}");
    }
}
