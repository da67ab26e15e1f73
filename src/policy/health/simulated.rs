//! Cores, origins and requests in simulated time: what the health table does to traffic when origins die,
//! slow down or refuse.
//!
//! Each request asks its candidates in order, those that are not well last, and moves on as `policy::retry`
//! says. Everything follows from the seed.
//! Deliberately absent: HTTP, and strategies (the order is the configuration's, or a random rotation of it).

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::board::Board;
use super::outcome::Phase;
use super::tests::snapshot;
use super::{End, Health, Ticket};
use crate::base::fault::Fault;
use crate::base::time::Moment;
use crate::policy::auth::Tenant;
use crate::policy::catalog::Snapshot;
use crate::policy::retry::{Allowance, Verdict, verdict};
use crate::policy::route::{Ask, Candidate, Scene, plan};

/// No request failed.
const NOBODY: [u64; 0] = [];

/// What an origin does with a request now.
#[derive(Clone, Copy, Debug)]
pub(super) enum Does {
    /// Answers after so many milliseconds.
    Serve(u64),
    /// Fails like this after so many milliseconds, asking for a wait of so many seconds.
    Fail(Fault, u64, Option<u64>),
    /// Answers after so many milliseconds, but refuses with a 429 what is above so many at once.
    Crowd(u64, u32),
}

/// What an origin does, by the second.
pub(super) type Script = fn(second: u64) -> Does;

enum Event {
    Arrival(usize),
    Tick(usize),
    End { core: usize, request: Request, ticket: Ticket, fault: Option<Fault>, wait: Option<u64> },
}

struct Request {
    candidates: Vec<Candidate>,
    turn: usize,
    ambiguous_left: bool,
}

/// What an origin saw.
#[derive(Debug, Default)]
pub(super) struct Origin {
    pub(super) under_way: u32,
    /// When attempts came, in milliseconds, and how many were under way with each.
    pub(super) attempts: Vec<(u64, u32)>,
    /// Those that were refused with a 429.
    pub(super) limited: Vec<u64>,
}

impl Origin {
    /// Attempts in these seconds.
    pub(super) fn within(&self, seconds: core::ops::Range<u64>) -> usize {
        self.attempts.iter().filter(|(at, _)| seconds.contains(&(at / 1000))).count()
    }
}

pub(super) struct World {
    snapshot: Arc<Snapshot>,
    scripts: Vec<Script>,
    pub(super) cores: Vec<Health>,
    pub(super) origins: Vec<Origin>,
    /// When requests failed for their client, in milliseconds.
    pub(super) failed: Vec<u64>,
    pub(super) served: usize,
    /// Candidates begin anywhere, not with the first one.
    pub(super) rotate: bool,
    gap_micros: u64,
    queue: BTreeMap<(u64, u64), Event>,
    order: u64,
    now: u64,
    random: u64,
}

impl World {
    /// So many cores with so many requests per second each, to one endpoint per script.
    pub(super) fn new(seed: u64, cores: usize, per_second: u64, scripts: &[Script]) -> Self {
        let snapshot = snapshot(&[scripts.len()]);
        let board = Arc::new(Board::new(cores));
        let healths = (0..cores).map(|core| {
            let mut health = Health::default();
            health.join(Arc::clone(&board), core);
            health
        });
        let mut world = Self {
            cores: healths.collect(),
            origins: scripts.iter().map(|_| Origin::default()).collect(),
            scripts: scripts.to_vec(),
            failed: Vec::new(),
            served: 0,
            rotate: false,
            gap_micros: 1_000_000 / per_second,
            queue: BTreeMap::new(),
            order: 0,
            now: 1_000_000_000,
            random: seed,
            snapshot,
        };
        for core in 0..cores {
            let first = world.word() % 100_000_000;
            world.schedule(first, Event::Tick(core));
            world.schedule(first, Event::Arrival(core));
        }
        world
    }

    pub(super) fn moment(&self) -> Moment {
        Moment::from_nanos(self.now)
    }

    fn word(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.random;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn schedule(&mut self, nanos: u64, event: Event) {
        self.order += 1;
        self.queue.insert((self.now + nanos, self.order), event);
    }

    /// Milliseconds since the beginning.
    fn elapsed_ms(&self) -> u64 {
        (self.now - 1_000_000_000) / 1_000_000
    }

    /// Runs for so many seconds from the beginning; arrivals end then, and what is under way is waited for.
    pub(super) fn run(&mut self, seconds: u64) {
        let end = 1_000_000_000 + seconds * 1_000_000_000;
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            match event {
                Event::Arrival(core) if at < end => self.arrive(core),
                Event::Tick(core) if at < end => {
                    let (now, random) = (self.moment(), self.word());
                    if self.cores[core].is_due(now) {
                        self.cores[core].tick(&self.snapshot, now, random);
                    }
                    self.schedule(10_000_000, Event::Tick(core));
                }
                Event::Arrival(_) | Event::Tick(_) => {}
                Event::End { core, request, ticket, fault, wait } => {
                    self.end(core, request, &ticket, fault, wait);
                }
            }
        }
    }

    fn arrive(&mut self, core: usize) {
        let gap = self.word() % (2 * self.gap_micros) * 1_000;
        self.schedule(gap, Event::Arrival(core));
        let (now, turn) = (self.moment(), self.word());
        let health = &mut self.cores[core];
        health.follow(&self.snapshot, now);
        health.request(now);
        let mut plan =
            plan(&Scene::plain(&self.snapshot), Tenant { key: None }, &Ask::ANYTHING, ["m0"].iter()).unwrap();
        plan.put_behind(&self.snapshot, 0, |candidate| !health.is_well(&self.snapshot, candidate));
        let mut candidates: Vec<Candidate> = plan.candidates(&self.snapshot).collect();
        if self.rotate {
            let well = candidates.iter().filter(|one| health.is_well(&self.snapshot, **one)).count();
            candidates[..well].rotate_left(turn as usize % well.max(1));
        }
        self.attempt(core, Request { candidates, turn: 0, ambiguous_left: true });
    }

    fn attempt(&mut self, core: usize, request: Request) {
        let now = self.moment();
        let candidate = request.candidates[request.turn];
        let place = candidate.endpoint.unwrap().index();
        let ticket = self.cores[core].begin(&self.snapshot, candidate, 100, now).unwrap();
        let elapsed = self.elapsed_ms();
        let origin = &mut self.origins[place];
        origin.under_way += 1;
        origin.attempts.push((elapsed, origin.under_way));
        let (fault, ms, wait) = match self.scripts[place](elapsed / 1000) {
            Does::Serve(ms) => (None, ms, None),
            Does::Fail(fault, ms, wait) => (Some(fault), ms, wait),
            Does::Crowd(_, most) if origin.under_way > most => (Some(Fault::Status(429)), 5, None),
            Does::Crowd(ms, _) => (None, ms, None),
        };
        if fault == Some(Fault::Status(429)) {
            origin.limited.push(elapsed);
        }
        let nanos = ms * 1_000_000 * (75 + self.word() % 50) / 100;
        self.schedule(nanos, Event::End { core, request, ticket, fault, wait });
    }

    fn end(
        &mut self,
        core: usize,
        mut request: Request,
        ticket: &Ticket,
        fault: Option<Fault>,
        wait: Option<u64>,
    ) {
        let (now, random, elapsed) = (self.moment(), self.word(), self.elapsed_ms());
        let place = request.candidates[request.turn].endpoint.unwrap().index();
        self.origins[place].under_way -= 1;
        let Some(fault) = fault else {
            self.served += 1;
            self.cores[core].first_event(ticket, now);
            let end = End {
                fault: None,
                phase: Phase::Relaying,
                wait: None,
                completion_tokens: Some(100),
                answer_bytes: 1_000,
                answered_at: now,
            };
            return self.cores[core].ended(ticket, end, now, random);
        };
        let end = End::failed(fault, Phase::Asked, wait.map(Duration::from_secs));
        self.cores[core].ended(ticket, end, now, random);
        let left = request.candidates.len() - request.turn - 1;
        let allowance = Allowance {
            attempts_left: left,
            candidate_left: left > 0,
            ambiguous_left: request.ambiguous_left,
        };
        match verdict(fault, allowance) {
            Verdict::Next { ambiguous } => {
                request.turn += 1;
                let health = &mut self.cores[core];
                health.settle(now);
                request.candidates[request.turn..].sort_by_key(|one| !health.is_well(&self.snapshot, *one));
                request.ambiguous_left &= !ambiguous;
                let next = request.candidates[request.turn];
                if self.cores[core].may_retry(&self.snapshot, next, now) {
                    return self.attempt(core, request);
                }
                self.failed.push(elapsed);
            }
            Verdict::SameFresh | Verdict::Report => self.failed.push(elapsed),
        }
    }

    /// Nothing is under way any more, on any core.
    pub(super) fn assert_quiet(&self) {
        assert!(self.origins.iter().all(|origin| origin.under_way == 0));
        for health in &self.cores {
            assert!(health.rows.iter().all(|row| row.under_way == 0), "something is counted as under way");
        }
    }
}

fn well(_: u64) -> Does {
    Does::Serve(100)
}

fn outage(second: u64) -> Does {
    if (10..40).contains(&second) { Does::Fail(Fault::ConnectRefused, 1, None) } else { Does::Serve(100) }
}

#[test]
fn an_outage_drains_at_once_and_nobody_sees_it() {
    for (seed, cores, per_second) in [(1, 1, 50), (2, 4, 50), (3, 8, 5), (4, 2, 200), (5, 16, 1)] {
        let mut world = World::new(seed, cores, per_second, &[outage, well]);
        world.run(100);
        let all = cores * per_second as usize;
        assert_eq!(world.failed, NOBODY, "seed {seed}");
        let sick = &world.origins[0];
        // Once it is known, only the one probe per core and pause goes there.
        let probes = sick.within(11..40);
        assert!(probes <= cores * 8, "seed {seed}: {probes} of {}", 29 * all);
        let (before, after) = (sick.within(0..10), sick.within(85..95));
        assert!(after * 10 >= before * 8, "seed {seed}: {before} before, {after} after");
        world.assert_quiet();
    }
}

#[test]
fn what_comes_back_is_not_stormed() {
    for seed in 0..4 {
        let cores = 4;
        let mut world = World::new(seed, cores, 100, &[outage, well]);
        world.run(90);
        let back: Vec<(u64, u32)> =
            world.origins[0].attempts.iter().copied().filter(|(at, _)| *at >= 40_000).collect();
        let first = back[0].0;
        let most = |ms: u64| back.iter().filter(|(at, _)| *at < first + ms).map(|one| one.1).max();
        // An answer takes 75 to 125 ms; each one lets two in.
        assert!(most(70).unwrap() <= cores as u32, "seed {seed}: {:?}", most(70));
        assert!(most(140).unwrap() <= 2 * cores as u32, "seed {seed}: {:?}", most(140));
        assert!(most(40_000).unwrap() >= 30, "seed {seed}: it takes its share again");
    }
}

#[test]
fn a_brown_out_is_seen_by_comparison_with_peers() {
    fn brown(second: u64) -> Does {
        Does::Serve(if (20..80).contains(&second) { 4_000 } else { 100 })
    }
    for seed in 0..3 {
        let mut world = World::new(seed, 2, 60, &[brown, well, well]);
        world.rotate = true;
        world.run(160);
        assert_eq!(world.failed, NOBODY, "seed {seed}");
        let share = |seconds: core::ops::Range<u64>| {
            let hits: Vec<usize> = world.origins.iter().map(|one| one.within(seconds.clone())).collect();
            hits[0] * 100 / hits.iter().sum::<usize>()
        };
        assert!((28..=38).contains(&share(5..19)), "seed {seed}: {}", share(5..19));
        assert!(share(30..80) <= 5, "seed {seed}: {}", share(30..80));
        assert!(share(140..160) >= 25, "seed {seed}: {}", share(140..160));
        world.assert_quiet();
    }
}

#[test]
fn a_storm_of_429s_is_answered_with_a_pause() {
    fn asks(second: u64) -> Does {
        let fault = Fault::Status(429);
        if (10..40).contains(&second) { Does::Fail(fault, 20, Some(5)) } else { Does::Serve(100) }
    }
    fn mute(second: u64) -> Does {
        let fault = Fault::Status(429);
        if (10..40).contains(&second) { Does::Fail(fault, 20, None) } else { Does::Serve(100) }
    }
    for seed in 0..3 {
        for (script, most) in [(asks as Script, 6), (mute, 6)] {
            let cores = 4;
            let mut world = World::new(seed, cores, 50, &[script, well]);
            world.run(120);
            assert_eq!(world.failed, NOBODY, "seed {seed}");
            // Each core may learn by itself, within one exchange and one answer of each other.
            let bursts = world.origins[0].limited.chunk_by(|one, next| next - one < 300).count();
            assert!((2..=most * 2).contains(&bursts), "seed {seed}: {bursts} bursts");
            let limited = world.origins[0].limited.len();
            assert!(limited <= bursts * cores * 12, "seed {seed}: {limited} in {bursts}");
            assert!(world.origins[0].within(110..119) >= 9 * 200 * 8 / 10, "seed {seed}: it takes all again");
            world.assert_quiet();
        }
    }
}

#[test]
fn a_wait_that_is_asked_for_is_kept_by_all_cores() {
    fn asks(_: u64) -> Does {
        Does::Fail(Fault::Status(429), 20, Some(5))
    }
    let mut world = World::new(7, 8, 40, &[asks, well]);
    world.run(60);
    let limited = &world.origins[0].limited;
    for gap in limited.windows(2).map(|pair| pair[1] - pair[0]) {
        // Within a burst, or after the wait; nothing in between.
        assert!(gap <= 300 || gap >= 4_600, "{gap} ms between two refusals");
    }
    assert_eq!(world.failed, NOBODY);
}

#[test]
fn an_endpoint_that_takes_so_many_at_once_is_used_within_that() {
    fn crowd(_: u64) -> Does {
        Does::Crowd(500, 40)
    }
    for seed in 0..3 {
        let mut world = World::new(seed, 2, 100, &[crowd, well]);
        world.run(120);
        assert_eq!(world.failed, NOBODY, "seed {seed}");
        let origin = &world.origins[0];
        let (attempts, limited) =
            (origin.within(30..120), origin.limited.iter().filter(|at| **at >= 30_000).count());
        assert!(limited * 50 <= attempts, "seed {seed}: {limited} of {attempts} refused");
        // 40 at once, half a second each: 80 a second, and at least a third of that is made use of.
        assert!(attempts >= 90 * 80 / 3, "seed {seed}: {attempts}");
        world.assert_quiet();
    }
}

#[test]
fn when_everything_is_down_each_request_asks_about_once() {
    fn down(_: u64) -> Does {
        Does::Fail(Fault::Status(503), 10, None)
    }
    for seed in 0..3 {
        let mut world = World::new(seed, 2, 100, &[down, down, down]);
        world.run(60);
        let requests = world.failed.len();
        assert_eq!(world.served, 0);
        let attempts: usize = world.origins.iter().map(|one| one.attempts.len()).sum();
        let late: usize = world.origins.iter().map(|one| one.within(20..60)).sum();
        assert!(late * 10 <= 40 * 200 * 13, "seed {seed}: {late} attempts by {} requests", 40 * 200);
        // The last candidate of a request is tried although its breaker is open: none is refused unasked.
        assert!(attempts >= requests, "seed {seed}");
        world.assert_quiet();
    }
}

#[test]
fn as_long_as_one_is_well_no_client_sees_a_failure() {
    /// Trouble of some kind in some seconds, by a hash of both.
    fn trouble<const ORIGIN: u64>(second: u64) -> Does {
        let word = (second / 7 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(13) ^ ORIGIN;
        match word.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 60 {
            0 | 1 => Does::Fail(Fault::ConnectRefused, 2, None),
            2 | 3 => Does::Fail(Fault::Status(503), 40, None),
            4 => Does::Fail(Fault::Status(429), 5, Some(3)),
            5 => Does::Fail(Fault::Status(401), 5, None),
            6 => Does::Fail(Fault::TlsHandshake, 30, None),
            7 => Does::Crowd(200, 3),
            _ => Does::Serve(80),
        }
    }
    for seed in 0..8 {
        let scripts: [Script; 4] = [trouble::<1>, trouble::<22>, well, trouble::<333>];
        let mut world = World::new(seed, 1 + seed as usize % 4, 30, &scripts);
        world.rotate = seed % 2 == 0;
        world.run(100);
        assert_eq!(world.failed, NOBODY, "seed {seed}");
        assert!(world.served > 2_000, "seed {seed}");
        let tried = world.origins.iter().filter(|origin| !origin.attempts.is_empty()).count();
        assert!(tried >= if world.rotate { 4 } else { 2 }, "seed {seed}: {tried}");
        world.assert_quiet();
    }
}

#[test]
fn the_same_seed_gives_the_same_day() {
    let day = |seed| {
        let mut world = World::new(seed, 3, 40, &[outage, well]);
        world.run(60);
        world.origins.iter().map(|origin| origin.attempts.clone()).collect::<Vec<_>>()
    };
    assert_eq!(day(5), day(5));
    assert_ne!(day(5), day(6));
}
