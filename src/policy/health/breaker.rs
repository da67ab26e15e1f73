//! The breaker of one endpoint: closed while it is well, open after trouble, half-open when its pause is
//! over.
//!
//! ```text
//!            3 connects in a row, 5 failures in a row,
//!            or half of the window and at least 5
//!   Closed ──────────────────────────────────────────────► Open ──┐ pause over
//!     ▲                                                      ▲     ▼
//!     └───────────── 3 served in a row ──────── HalfOpen ◄───│─────┘
//!                                                  └─────────┘ one failure: twice the pause
//! ```
//!
//! Half-open needs no state of its own: the pause is over, and `cap` lets one request at a time through.
//! An attempt that began before the last change says nothing about the time since and is ignored, so a
//! thousand requests that die together open a breaker once.
//! Deliberately absent: dropping a candidate. Open means "behind the others"; the last one is always tried.

use core::time::Duration;

use crate::base::time::Moment;
use crate::policy::health::outcome::{KINDS, Kind};

/// Failures to connect in a row that open the breaker: there is nothing to wait for.
const CONNECTS: u16 = 3;
/// Failures of any kind in a row that open it, however much time lies between them.
const STREAK: u16 = 5;
/// Failures in the window, at least, before their share opens it.
const FAILURES_LEAST: u32 = 5;
/// Served in a row, once half-open, before it closes.
const PASSES: u8 = 3;
/// The first pause.
const PAUSE_FIRST: Duration = Duration::from_secs(2);
/// The longest pause.
const PAUSE_MOST: Duration = Duration::from_secs(30);
/// Doublings of the first pause that reach the longest one.
const DOUBLINGS: u32 = 4;

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Well.
    Closed,
    /// The pause is over and it has not proved itself yet.
    HalfOpen,
    /// Pausing.
    Open,
}

impl State {
    /// The value of the gauge in `/metrics`.
    #[must_use]
    pub const fn gauge(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// What cores tell each other of a breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// It is open or half-open.
    pub tripped: bool,
    /// When it opened or closed last.
    pub changed_at: Moment,
    /// End of the pause.
    pub until: Moment,
    /// Openings in a row, for the length of the next pause.
    pub trips: u32,
}

/// Failures and answers in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Failures of every kind; 429s are none.
    pub failed: u32,
    /// Answers served whole.
    pub served: u32,
}

impl Tally {
    /// From counts by kind.
    #[must_use]
    pub fn of(counts: &[u32; KINDS]) -> Self {
        let failed = Kind::ALL.into_iter().filter(|kind| kind.is_failure()).map(|kind| counts[kind as usize]);
        Self { failed: failed.sum(), served: counts[Kind::Served as usize] }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { failed: self.failed + other.failed, served: self.served + other.served }
    }

    /// Half of what ended failed, and not by chance.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        self.failed >= FAILURES_LEAST && self.failed >= self.served
    }

    /// Failed among all, 0 to 1; 0 when there was nothing.
    #[must_use]
    pub fn share(self) -> f32 {
        self.failed as f32 / (self.failed + self.served).max(1) as f32
    }
}

/// What an event did to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It opened, or opened again.
    Opened,
    /// It closed.
    Closed,
}

/// The breaker of one endpoint on one core.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    position: Position,
    connects: u16,
    streak: u16,
    passes: u8,
}

impl Breaker {
    /// What others may know.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Where it stands at `now`.
    #[must_use]
    pub fn state(&self, now: Moment) -> State {
        match self.position {
            Position { tripped: false, .. } => State::Closed,
            Position { until, .. } if now < until => State::Open,
            Position { .. } => State::HalfOpen,
        }
    }

    /// An attempt that began at `begun` was served.
    pub fn served(&mut self, begun: Moment, now: Moment) -> Change {
        (self.connects, self.streak) = (0, 0);
        if !self.position.tripped || begun < self.position.changed_at {
            return Change::None;
        }
        self.passes += 1;
        if self.passes < PASSES {
            return Change::None;
        }
        (self.position.tripped, self.position.changed_at) = (false, now);
        Change::Closed
    }

    /// An attempt that began at `begun` failed; `tally` is the window with this failure in it.
    pub fn failed(&mut self, kind: Kind, begun: Moment, now: Moment, tally: Tally, random: u64) -> Change {
        if begun < self.position.changed_at {
            return Change::None;
        }
        self.passes = 0;
        if self.position.tripped {
            // A last candidate is tried while it pauses; that alone does not prolong the pause.
            return if now < self.position.until { Change::None } else { self.open(now, random) };
        }
        self.streak = self.streak.saturating_add(1);
        self.connects = if kind == Kind::Connect { self.connects.saturating_add(1) } else { 0 };
        if self.connects >= CONNECTS || self.streak >= STREAK || tally.is_bad() {
            return self.open(now, random);
        }
        Change::None
    }

    /// The window of all cores together. One core alone may see too little to judge.
    pub fn merged(&mut self, now: Moment, tally: Tally, random: u64) -> Change {
        if self.position.tripped || !tally.is_bad() { Change::None } else { self.open(now, random) }
    }

    /// What another core has found out since this breaker changed last.
    pub fn hear(&mut self, now: Moment, other: Position) -> Change {
        if other.changed_at <= self.position.changed_at {
            return Change::None;
        }
        match (self.position.tripped, other.tripped) {
            (true, true) => {
                self.position.until = self.position.until.max(other.until);
                self.position.trips = self.position.trips.max(other.trips);
                Change::None
            }
            (false, true) if now < other.until => {
                self.position = other;
                self.passes = 0;
                Change::Opened
            }
            // It is well again over there; here it may prove itself at once.
            (true, false) => {
                self.position.until = self.position.until.min(now);
                Change::None
            }
            (false, _) => Change::None,
        }
    }

    fn open(&mut self, now: Moment, random: u64) -> Change {
        let Position { tripped, changed_at, trips, .. } = self.position;
        // Well for longer than it had paused: this is a new trouble, not the old one.
        let recovered = !tripped && now.since(changed_at) > pause(trips);
        let trips = if recovered { 1 } else { (trips + 1).min(DOUBLINGS + 1) };
        let until = now + spread(pause(trips), random);
        self.position = Position { tripped: true, changed_at: now, until, trips };
        (self.connects, self.streak, self.passes) = (0, 0, 0);
        Change::Opened
    }
}

/// The pause after so many openings in a row.
fn pause(trips: u32) -> Duration {
    (PAUSE_FIRST * (1 << trips.saturating_sub(1).min(DOUBLINGS))).min(PAUSE_MOST)
}

/// Three to five quarters of a time, by a random word: those who began to wait together do not end together.
#[must_use]
pub fn spread(time: Duration, random: u64) -> Duration {
    time * 3 / 4 + time / 2 * (random >> 48) as u32 / (1 << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_nanos((1_000_000 + ms) * 1_000_000)
    }

    /// What happens, a letter a second: `c` connect failure, `f` other failure, `s` served, `.` nothing;
    /// and the state after each.
    #[track_caller]
    fn check(events: &str, want: &str) {
        let (mut breaker, mut tally) = (Breaker::default(), Tally::default());
        let mut got = String::new();
        for (second, event) in events.chars().enumerate() {
            let now = at(1_000 * second as u64);
            match event {
                's' => {
                    tally.served += 1;
                    if breaker.served(now, now) == Change::Closed {
                        tally = Tally::default();
                    }
                }
                'c' | 'f' => {
                    tally.failed += 1;
                    let kind = if event == 'c' { Kind::Connect } else { Kind::Failed };
                    // The middle of the range: pauses of 2, 4, 8 … seconds.
                    breaker.failed(kind, now, now, tally, 1 << 63);
                }
                _ => {}
            }
            got.push(match breaker.state(now) {
                State::Closed => '-',
                State::HalfOpen => 'h',
                State::Open => 'O',
            });
        }
        assert_eq!(got, want, "{events}");
    }

    #[test]
    fn it_opens_for_a_reason_and_closes_for_one() {
        check("ccc...", "--OOhh");
        check("ccfcc", "----O");
        check("cscscs", "------");
        check("fffff..", "----OOh");
        check("ssssffffsfs", "---------OO");
        check("ssssssffffsfs", "-------------");
        check("fsfsfsfsf", "--------O");
        check("ccc..sss", "--OOhhh-");
        // A failure when half-open doubles the pause.
        check("ccc..f...f.......s", "--OOhOOOOOOOOOOOOh");
    }

    #[test]
    fn what_began_before_a_change_says_nothing_about_the_time_since() {
        let mut breaker = Breaker::default();
        let bad = Tally { failed: 9, served: 0 };
        assert_eq!(breaker.failed(Kind::Failed, at(0), at(5_000), bad, 0), Change::Opened);
        let first = breaker.position();
        for late in 0..1_000 {
            assert_eq!(breaker.failed(Kind::Failed, at(late), at(60_000), bad, late), Change::None);
            assert_eq!(breaker.served(at(late), at(60_000)), Change::None);
        }
        assert_eq!(breaker.position(), first);
        assert_eq!(breaker.failed(Kind::Failed, at(60_000), at(60_001), bad, 0), Change::Opened);
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_recovery() {
        let (mut breaker, mut now, mut pauses) = (Breaker::default(), at(0), Vec::new());
        for _ in 0..9 {
            breaker.failed(Kind::Failed, now, now, Tally { failed: 5, served: 0 }, 1 << 63);
            let until = breaker.position().until;
            pauses.push(until.since(now).as_secs());
            now = until;
        }
        assert_eq!(pauses, [2, 4, 8, 16, 30, 30, 30, 30, 30]);
        let last = (0..PASSES).map(|_| breaker.served(now, now)).last();
        assert_eq!(last, Some(Change::Closed));
        assert_eq!(breaker.state(now), State::Closed);
        now = now + Duration::from_secs(500);
        breaker.failed(Kind::Failed, now, now, Tally { failed: 5, served: 0 }, 1 << 63);
        assert_eq!(breaker.position().until.since(now).as_secs(), 2);
    }

    #[test]
    fn cores_hear_of_trouble_and_of_recovery() {
        let bad = Tally { failed: 5, served: 0 };
        let (mut here, mut there) = (Breaker::default(), Breaker::default());
        there.failed(Kind::Failed, at(10), at(10), bad, 0);
        assert_eq!(here.hear(at(20), there.position()), Change::Opened);
        assert_eq!((here.state(at(20)), here.position()), (State::Open, there.position()));
        assert_eq!(here.hear(at(30), there.position()), Change::None);
        // It closes there: here it is half-open at once, and closed by its own proof only.
        let last = (0..PASSES).map(|_| there.served(at(40), at(50))).last();
        assert_eq!(last, Some(Change::Closed));
        here.hear(at(60), there.position());
        assert_eq!((here.state(at(60)), there.state(at(60))), (State::HalfOpen, State::Closed));
        // What is old news there stays closed.
        assert_eq!(there.hear(at(70), here.position()), Change::None);
        assert_eq!(there.state(at(70)), State::Closed);
    }

    #[test]
    fn the_spread_is_three_to_five_quarters() {
        let second = Duration::from_secs(1);
        assert_eq!(spread(second, 0), Duration::from_millis(750));
        assert_eq!(spread(second, 1 << 63), second);
        assert!(spread(second, u64::MAX) < Duration::from_millis(1250));
        assert!(spread(second, u64::MAX) > Duration::from_millis(1249));
    }
}
