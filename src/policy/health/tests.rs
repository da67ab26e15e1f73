//! Tests of one core's table: snapshots that change, accounts, twins, bounds.
//!
//! Deliberately absent: several cores over time (`simulated`).

use core::time::Duration;
use std::sync::Arc;

use super::board::{Board, ROWS};
use super::breaker::State;
use super::outcome::Phase;
use super::{EXCHANGE_EVERY, End, Health, Ticket};
use crate::base::fault::Fault;
use crate::base::ids::{EndpointId, HostId, ModelId, PoolId, ProviderId};
use crate::base::limits::Deadlines;
use crate::base::time::Moment;
use crate::dialect::{DialectName, StreamUsage};
use crate::policy::catalog::{Credential, Endpoint, Model, Provider, Snapshot};
use crate::policy::heads::Heads;
use crate::policy::route::Candidate;
use crate::policy::strategy::StrategyName;

fn provider(id: &str) -> Provider {
    Provider {
        id: id.into(),
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
        sticky_ttl: crate::base::limits::STICKY_TTL,
        on_client_gone: crate::policy::catalog::OnClientGone::Cut,
        passthrough: true,
        heads: Heads::default(),
    }
}

/// Endpoints as `provider/name`, all of them of the one model `m0`.
fn named(endpoints: &[&str]) -> Arc<Snapshot> {
    let mut snapshot = Snapshot::bare();
    for text in endpoints {
        let (id, name) = text.split_once('/').unwrap();
        let known = snapshot.providers.iter().position(|provider| &*provider.id == id);
        let place = known.unwrap_or_else(|| {
            snapshot.providers.push(provider(id));
            snapshot.providers.len() - 1
        });
        let provider = ProviderId(place as u32);
        snapshot.endpoints.push(Endpoint::plain(provider, ModelId(0), name));
    }
    let endpoints = (0..endpoints.len() as u32).map(EndpointId).collect();
    snapshot.models.push(in_order("m0", endpoints));
    snapshot.model_ids.insert("m0".into(), ModelId(0));
    Arc::new(snapshot)
}

/// A model whose endpoints are tried in their order.
fn in_order(id: &str, endpoints: Vec<EndpointId>) -> Model {
    let mut model = Model::plain(id, endpoints);
    model.facts.strategy = Some(StrategyName::Order);
    model
}

/// One model for each number of endpoints, each endpoint at a provider of its own.
pub(super) fn snapshot(endpoints_of: &[usize]) -> Arc<Snapshot> {
    let mut all = Snapshot::bare();
    for (turn, count) in (0_u32..).zip(endpoints_of) {
        let first = all.endpoints.len() as u32;
        for endpoint in first..first + *count as u32 {
            all.providers.push(provider(&format!("p{endpoint}")));
            all.endpoints.push(Endpoint::plain(ProviderId(endpoint), ModelId(turn), "x"));
        }
        let id: Box<str> = format!("m{turn}").into();
        all.model_ids.insert(id.clone(), ModelId(turn));
        all.models.push(in_order(&id, (first..first + *count as u32).map(EndpointId).collect()));
    }
    Arc::new(all)
}

fn at(ms: u64) -> Moment {
    Moment::from_nanos((1_000 + ms) * 1_000_000)
}

fn endpoint(snapshot: &Snapshot, id: u32) -> Candidate {
    let provider = snapshot.endpoints[id as usize].provider;
    Candidate { provider, endpoint: Some(EndpointId(id)), model: 0 }
}

fn passed(provider: u32) -> Candidate {
    Candidate { provider: ProviderId(provider), endpoint: None, model: 0 }
}

/// One core and its snapshot.
struct One {
    health: Health,
    snapshot: Arc<Snapshot>,
}

impl One {
    fn new(endpoints: &[&str]) -> Self {
        let (mut health, snapshot) = (Health::default(), named(endpoints));
        health.follow(&snapshot, at(0));
        Self { health, snapshot }
    }

    fn begin(&mut self, candidate: Candidate, ms: u64) -> Ticket {
        self.health.begin(&self.snapshot, candidate, 10, at(ms)).unwrap()
    }

    /// An attempt that ends at once.
    fn fails(&mut self, candidate: Candidate, ms: u64, fault: Fault, wait: Option<u64>) {
        let ticket = self.begin(candidate, ms);
        let end = End::failed(fault, Phase::Asked, wait.map(Duration::from_secs));
        self.health.ended(&ticket, end, at(ms), 0);
    }

    /// Which endpoints are well.
    fn well(&mut self, ms: u64) -> Vec<bool> {
        self.health.settle(at(ms));
        let ids = (0..self.snapshot.endpoints.len() as u32).map(EndpointId);
        ids.map(|id| self.health.live().of(id).healthy).collect()
    }
}

#[test]
fn figures_outlive_a_snapshot_and_what_is_gone_is_forgotten() {
    let mut one = One::new(&["a/x", "b/y", "c/z"]);
    let (b, c) = (endpoint(&one.snapshot, 1), endpoint(&one.snapshot, 2));
    one.fails(b, 0, Fault::Status(429), Some(60));
    let (old, running, gone) = (Arc::clone(&one.snapshot), one.begin(b, 10), one.begin(c, 10));
    assert_eq!(one.well(20), [true, false, true]);
    // The same endpoint at another place; `a/x` and `c/z` are gone.
    one.snapshot = named(&["d/x", "e/x", "f/x", "b/y"]);
    one.health.follow(&one.snapshot, at(30));
    assert_eq!(one.well(30), [true, true, true, false]);
    assert!(!one.health.is_well(&old, b), "a plan of the old snapshot is still understood");
    assert!(one.health.is_well(&old, c));
    assert!(one.health.begin(&old, c, 10, at(30)).is_none(), "what is gone is not followed");
    // Attempts that began under the old one end where they belong, or nowhere.
    for (ticket, under_way) in [(&running, 0), (&gone, 0)] {
        let end = End::failed(Fault::Status(429), Phase::Asked, Some(Duration::from_secs(100)));
        one.health.ended(ticket, end, at(40), 0);
        assert!(one.health.rows.iter().all(|row| row.under_way == under_way));
    }
    assert_eq!(one.well(61_000), [true, true, true, false]);
    assert_eq!(one.well(100_041), [true; 4]);
}

#[test]
fn one_limited_model_is_its_own_matter_and_two_are_the_accounts() {
    let mut one = One::new(&["a/x", "a/y", "a/z", "b/x"]);
    let ids: Vec<Candidate> = (0..4).map(|id| endpoint(&one.snapshot, id)).collect();
    one.fails(ids[0], 0, Fault::Status(429), Some(30));
    one.fails(ids[0], 1, Fault::Status(429), Some(30));
    assert_eq!(one.well(2), [false, true, true, true]);
    one.fails(ids[1], 3, Fault::Status(429), Some(10));
    assert_eq!(one.well(4), [false, false, false, true]);
    assert!(!one.health.is_well(&one.snapshot, passed(0)) && one.health.is_well(&one.snapshot, passed(1)));
    // Each ends at its own time.
    assert_eq!(one.well(11_500), [false, true, true, true]);
    assert_eq!(one.well(34_000), [true; 4]);
}

#[test]
fn a_refused_credential_puts_all_its_endpoints_behind() {
    let mut one = One::new(&["a/x", "b/x", "a/y"]);
    let (first, last) = (endpoint(&one.snapshot, 0), endpoint(&one.snapshot, 2));
    one.fails(first, 0, Fault::Status(401), None);
    assert_eq!(one.well(1), [false, true, false]);
    assert_eq!(one.well(1_300), [true; 3]);
    // Again, and for longer.
    one.fails(last, 1_400, Fault::Status(402), None);
    assert_eq!(one.well(2_800), [false, true, false]);
    assert_eq!(one.well(4_000), [true; 3]);
    assert_eq!(one.health.state(EndpointId(0), at(4_000)), State::Closed);
}

#[test]
fn names_that_are_passed_through_have_a_row_of_their_own() {
    let mut one = One::new(&["a/x"]);
    (0..3).for_each(|ms| one.fails(passed(0), ms, Fault::ConnectRefused, None));
    assert!(!one.health.is_well(&one.snapshot, passed(0)));
    assert_eq!(one.well(3), [true]);
}

#[test]
fn one_upstream_model_under_two_names_is_one_endpoint() {
    let mut one = One::new(&["a/x", "b/y", "a/x"]);
    let twin = endpoint(&one.snapshot, 2);
    (0..3).for_each(|ms| one.fails(twin, ms, Fault::ConnectRefused, None));
    assert_eq!(one.well(3), [false, true, false]);
    assert_eq!(one.health.rows.len(), 1);
}

#[test]
fn the_callers_faults_change_nothing() {
    let mut one = One::new(&["a/x"]);
    let candidate = endpoint(&one.snapshot, 0);
    for turn in 0..100 {
        let faults = [Fault::ClientGone, Fault::Status(400), Fault::Status(404), Fault::Status(422)];
        one.fails(candidate, turn, faults[turn as usize % 4], None);
    }
    let figures = *one.health.live().of(EndpointId(0));
    assert_eq!((figures.healthy, figures.error_share, figures.limited_share), (true, 0.0, 0.0));
    assert_eq!(figures.tokens_in_flight, 0);
}

#[test]
fn half_open_lets_one_through_at_a_time() {
    let mut one = One::new(&["a/x", "b/x"]);
    let sick = endpoint(&one.snapshot, 0);
    (0..3).for_each(|ms| one.fails(sick, ms, Fault::ConnectRefused, None));
    assert_eq!(
        (one.well(1_000), one.health.state(EndpointId(0), at(1_000))),
        (vec![false, true], State::Open)
    );
    assert_eq!(one.well(2_600), [true, true]);
    assert_eq!(one.health.state(EndpointId(0), at(2_600)), State::HalfOpen);
    let probe = one.begin(sick, 2_600);
    assert_eq!(one.well(2_601), [false, true], "one is enough");
    let end = End {
        fault: None,
        phase: Phase::Relaying,
        wait: None,
        completion_tokens: Some(50),
        answer_bytes: 10,
        answered_at: at(3_600),
    };
    one.health.ended(&probe, end, at(3_600), 0);
    assert_eq!(one.well(3_600), [true, true]);
    assert_eq!(one.health.live().of(EndpointId(0)).tokens_per_second, 0.0, "it shows at the next tick");
    one.health.tick(&Arc::clone(&one.snapshot), at(3_600), 0);
    assert_eq!(one.health.live().of(EndpointId(0)).tokens_per_second, 50.0);
}

#[test]
fn figures_are_measured() {
    let mut one = One::new(&["a/x"]);
    let candidate = endpoint(&one.snapshot, 0);
    let ticket = one.begin(candidate, 0);
    assert_eq!(one.health.live().of(EndpointId(0)).tokens_in_flight, 10);
    one.health.connected(&ticket, at(20));
    one.health.first_event(&ticket, at(200));
    let end = End {
        fault: None,
        phase: Phase::Relaying,
        wait: None,
        completion_tokens: Some(200),
        answer_bytes: 4_000,
        answered_at: at(2_000),
    };
    one.health.ended(&ticket, end, at(9_000), 0);
    one.health.tick(&Arc::clone(&one.snapshot), at(9_000), 0);
    let figures = *one.health.live().of(EndpointId(0));
    assert_eq!((figures.ttft_ms, figures.tokens_per_second, figures.tokens_in_flight), (200.0, 100.0, 0));
    assert!((figures.ttft_ms_at.p50 - 200.0).abs() < 13.0, "{figures:?}");
    assert!((figures.tokens_per_second_at.p99 - 100.0).abs() < 7.0, "{figures:?}");
    let cell = one.health.rows[0].cell(at(9_000));
    assert_eq!((cell.connect_ms, cell.bytes_per_second), (20.0, 2_000.0));
}

#[test]
fn what_one_core_learns_all_know_after_one_exchange() {
    let (board, snapshot) = (Arc::new(Board::new(2)), named(&["a/x", "b/x"]));
    let core = |number| {
        let mut health = Health::default();
        health.join(Arc::clone(&board), number);
        health.tick(&snapshot, at(0), 0);
        One { health, snapshot: Arc::clone(&snapshot) }
    };
    let (mut here, mut there) = (core(0), core(1));
    let (first, second) = (endpoint(&snapshot, 0), endpoint(&snapshot, 1));
    there.fails(first, 1, Fault::Status(429), Some(20));
    (0..3).for_each(|ms| there.fails(second, ms, Fault::ConnectRefused, None));
    let _under_way = there.begin(first, 5);
    assert_eq!((there.well(10), here.well(10)), (vec![false, false], vec![true, true]));
    let next = at(0) + EXCHANGE_EVERY;
    assert!(!here.health.is_due(at(99)) && here.health.is_due(next));
    there.health.tick(&snapshot, next, 0);
    here.health.tick(&snapshot, next, 0);
    assert_eq!(here.well(101), [false, false]);
    assert_eq!(here.health.live().of(EndpointId(0)).tokens_in_flight, 10);
    assert_eq!(here.health.live().of(EndpointId(0)).limited_share, 1.0);
    assert_eq!(here.well(20_002), [true, true]);
    assert_eq!(here.health.state(EndpointId(1), at(20_002)), State::HalfOpen);
}

#[test]
fn little_on_each_of_many_cores_is_enough_together() {
    const CORES: usize = 8;
    let (board, snapshot) = (Arc::new(Board::new(CORES)), named(&["a/x", "b/x"]));
    let mut cores: Vec<One> = (0..CORES)
        .map(|number| {
            let mut health = Health::default();
            health.join(Arc::clone(&board), number);
            health.tick(&snapshot, at(0), 0);
            One { health, snapshot: Arc::clone(&snapshot) }
        })
        .collect();
    let sick = endpoint(&snapshot, 0);
    for core in &mut cores {
        core.fails(sick, 10, Fault::Status(500), None);
        assert_eq!(core.well(11), [true, true], "one failure is not enough");
    }
    for turn in 1..=2 {
        cores.iter_mut().for_each(|core| core.health.tick(&snapshot, at(100 * turn), turn));
    }
    assert!(cores.iter_mut().all(|core| core.well(201) == [false, true]));
}

#[test]
fn the_table_is_bounded_and_the_idle_make_room() {
    let texts: Vec<String> = (0..ROWS + 2).map(|number| format!("a/{number}")).collect();
    let mut one = One::new(&texts.iter().map(String::as_str).collect::<Vec<&str>>());
    let busy: Vec<Ticket> = (0..ROWS as u32)
        .map(|id| {
            let candidate = endpoint(&one.snapshot, id);
            one.begin(candidate, 0)
        })
        .collect();
    let late = endpoint(&one.snapshot, ROWS as u32);
    assert!(one.health.begin(&one.snapshot, late, 0, at(1_000_000)).is_none(), "all are busy");
    one.health.ended(&busy[7], End::failed(Fault::ClientGone, Phase::Asked, None), at(1), 0);
    assert!(one.health.begin(&one.snapshot, late, 0, at(30_000)).is_none(), "it was used just now");
    let ticket = one.health.begin(&one.snapshot, late, 0, at(1_000_000)).unwrap();
    assert_eq!(one.health.rows.len(), ROWS);
    one.health.ended(&ticket, End::failed(Fault::ClientGone, Phase::Asked, None), at(1_000_001), 0);
    assert!(one.health.is_well(&one.snapshot, endpoint(&one.snapshot, 7)));
}

#[test]
fn the_control_plane_is_not_followed() {
    let mut one = One::new(&["a/x"]);
    let mut snapshot = Snapshot::clone(&one.snapshot);
    snapshot.control = Some(ProviderId(0));
    one.snapshot = Arc::new(snapshot);
    one.health.follow(&one.snapshot, at(0));
    assert!(one.health.begin(&one.snapshot, passed(0), 0, at(0)).is_none());
}

#[test]
fn the_95th_percentile_needs_twenty_and_is_heard_by_other_cores() {
    let (board, snapshot) = (Arc::new(Board::new(2)), named(&["a/x"]));
    let core = |number| {
        let mut health = Health::default();
        health.join(Arc::clone(&board), number);
        health.tick(&snapshot, at(0), 0);
        One { health, snapshot: Arc::clone(&snapshot) }
    };
    let (mut here, mut there) = (core(0), core(1));
    let candidate = endpoint(&snapshot, 0);
    let p95 = |one: &One| one.health.figures(&one.snapshot, candidate).ttft_ms_p95;
    // Twenty first events, after 1 to 20 ms.
    for turn in 1..=20 {
        there.health.tick(&snapshot, at(1_000 * turn), 0);
        assert_eq!(p95(&there), 0.0, "{} are too few", turn - 1);
        let ticket = there.begin(candidate, 1_000 * turn);
        there.health.first_event(&ticket, at(1_000 * turn + turn));
        let end = End { fault: None, ..End::failed(Fault::Outrun, Phase::Relaying, None) };
        there.health.ended(&ticket, end, at(1_000 * turn + turn), 0);
    }
    there.health.tick(&snapshot, at(22_000), 0);
    assert!((18.0..=20.0).contains(&p95(&there)), "{}", p95(&there));
    assert_eq!(p95(&here), 0.0);
    here.health.tick(&snapshot, at(22_100), 0);
    assert_eq!(p95(&here), p95(&there));
    // Less than a millisecond is measured, too.
    for turn in 0..400 {
        let ticket = there.begin(candidate, 23_000 + turn);
        there.health.first_event(&ticket, at(23_000 + turn));
    }
    there.health.tick(&snapshot, at(25_000), 0);
    assert_eq!(p95(&there), 1.0);
}

#[test]
fn who_is_outrun_is_well_and_its_long_wait_counts() {
    let mut one = One::new(&["a/x"]);
    let candidate = endpoint(&one.snapshot, 0);
    let usual = |one: &One| one.health.figures(&one.snapshot, candidate).ttft_ms;
    let outrun = |one: &mut One, begun: u64, ms: u64| {
        let ticket = one.begin(candidate, begun);
        one.health.outrun(&ticket, at(begun + ms));
        one.health.ended(&ticket, End::failed(Fault::Outrun, Phase::Asked, None), at(begun + ms), 0);
    };
    let served = |one: &mut One, begun: u64, ms: u64| {
        let ticket = one.begin(candidate, begun);
        one.health.first_event(&ticket, at(begun + ms));
        let end = End { fault: None, ..End::failed(Fault::Outrun, Phase::Relaying, None) };
        one.health.ended(&ticket, end, at(begun + ms), 0);
        one.health.tick(&Arc::clone(&one.snapshot), at(begun + ms), 0);
    };
    outrun(&mut one, 0, 500);
    assert_eq!(usual(&one), 0.0, "with nothing to compare it says nothing");
    served(&mut one, 1_000, 80);
    assert_eq!(usual(&one), 80.0);
    outrun(&mut one, 2_000, 40);
    assert_eq!(usual(&one), 80.0, "it might have come in time");
    outrun(&mut one, 3_000, 480);
    assert_eq!(usual(&one), 130.0);
    // However often it happens, it is no failure.
    (4..40).for_each(|turn| outrun(&mut one, turn * 1_000, 480));
    assert_eq!((one.well(50_000), one.health.under_way()), (vec![true], 0));
    assert_eq!(one.health.live().of(EndpointId(0)).error_share, 0.0);
}
