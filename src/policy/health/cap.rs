//! How many requests at once an endpoint takes, learned from its refusals (additive increase, multiplicative
//! decrease), and the way back after its breaker was open.
//!
//! There is no cap until there is a reason for one. A refusal for load lowers it to seven tenths of what was
//! under way; each round of answers raises it by one. After an open breaker it begins at one and grows with
//! each answer, so a crowd that waited does not come back at once.
//! Deliberately absent: queueing. An endpoint at its cap goes behind the others and is still tried last.

use core::time::Duration;

use crate::base::time::Moment;

/// Parts of a request that the cap is counted in, so that it can grow by fractions.
const PARTS: u32 = 256;
/// No cap.
const NONE: u32 = u32::MAX;
/// Refusals with fewer requests than this under way are about the rate, not about how many at once.
const CROWD_LEAST: u32 = 4;
/// A cap that has not been lowered for this long is forgotten.
const MEMORY: Duration = Duration::from_secs(300);

/// The learned concurrency of one endpoint on one core.
#[derive(Clone, Debug)]
pub struct Cap {
    /// In [`PARTS`] of a request, or [`NONE`].
    parts: u32,
    /// Up to here each answer raises the cap by a whole request.
    threshold: u32,
    /// A refusal taught it, not only an open breaker.
    learned: bool,
    lowered_at: Moment,
}

impl Default for Cap {
    fn default() -> Self {
        Self { parts: NONE, threshold: 0, learned: false, lowered_at: Moment::default() }
    }
}

impl Cap {
    /// Requests that may be under way at once; `u32::MAX` when there is no cap.
    #[must_use]
    pub const fn requests(&self) -> u32 {
        if self.parts == NONE { NONE } else { self.parts / PARTS }
    }

    /// Its breaker opened with so many requests under way: the way back begins at one.
    pub fn opened(&mut self, now: Moment, under_way: u32) {
        if self.parts == NONE {
            self.threshold = under_way.clamp(CROWD_LEAST, NONE / PARTS / 2) * PARTS;
        }
        (self.parts, self.lowered_at) = (PARTS, now);
    }

    /// An attempt that began at `begun` was refused for load, with so many (itself included) under way.
    pub fn refused(&mut self, begun: Moment, now: Moment, under_way: u32) {
        // One lesson per round: what was under way at the last one was part of it.
        if under_way < CROWD_LEAST || begun < self.lowered_at {
            return;
        }
        let crowd = self.requests().min(under_way).min(NONE / PARTS / 2) * PARTS;
        self.parts = (crowd / 10 * 7).max(PARTS);
        self.threshold = self.parts;
        (self.learned, self.lowered_at) = (true, now);
    }

    /// Forgets what was learnt long ago. Also without an answer: an endpoint whose few long answers fill its
    /// cap is sent nothing, so no answer would ever come to say so.
    pub fn age(&mut self, now: Moment) {
        if self.learned && now.since(self.lowered_at) > MEMORY {
            *self = Self::default();
        }
    }

    /// An attempt that began at `begun` was served, with so many (itself included) under way.
    pub fn served(&mut self, begun: Moment, now: Moment, under_way: u32) {
        // What began before the cap was lowered says nothing about what it allows.
        if self.parts == NONE || begun < self.lowered_at {
            return;
        }
        self.age(now);
        if self.parts == NONE {
            return;
        }
        // A cap that is not made use of has not proved that it may grow.
        if under_way * 2 < self.requests() {
            return;
        }
        let growth = if self.parts < self.threshold { PARTS } else { PARTS * PARTS / self.parts + 1 };
        self.parts = (self.parts + growth).min(NONE / 2);
        if !self.learned && self.parts >= self.threshold {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn there_is_no_cap_without_a_reason() {
        let mut cap = Cap::default();
        (1..100).for_each(|second| cap.served(at(second), at(second), 5));
        assert_eq!(cap.requests(), u32::MAX);
        (1..100).for_each(|second| cap.refused(at(second), at(second), CROWD_LEAST - 1));
        assert_eq!(cap.requests(), u32::MAX);
    }

    #[test]
    fn it_finds_what_an_endpoint_takes() {
        // The endpoint takes 40 at once and refuses what is above; 100 want in.
        let (mut cap, mut widest, mut least) = (Cap::default(), 0, u32::MAX);
        for second in 1..300 {
            let under_way = cap.requests().min(100);
            if under_way > 40 {
                cap.refused(at(second), at(second), under_way);
            } else {
                (0..under_way).for_each(|_| cap.served(at(second), at(second), under_way));
            }
            if second > 10 {
                widest = widest.max(cap.requests());
                least = least.min(cap.requests());
            }
        }
        assert!((26..=29).contains(&least) && (40..=42).contains(&widest), "{least} to {widest}");
    }

    #[test]
    fn a_burst_of_refusals_is_one_lesson() {
        let mut cap = Cap::default();
        (0..50).for_each(|left| cap.refused(at(1), at(2), 50 - left));
        assert_eq!(cap.requests(), 35);
    }

    #[test]
    fn the_way_back_after_an_open_breaker_is_slow_and_ends() {
        let mut cap = Cap::default();
        cap.opened(at(1), 12);
        let mut seen = Vec::new();
        while cap.requests() < u32::MAX {
            seen.push(cap.requests());
            let under_way = cap.requests();
            cap.served(at(1), at(1), under_way);
            assert!(seen.len() < 100);
        }
        assert_eq!(seen, (1..12).collect::<Vec<u32>>());
        // Opened again on the way back: from one again, to the same goal.
        cap.opened(at(1), 12);
        cap.served(at(1), at(1), 1);
        cap.opened(at(1), 2);
        assert_eq!((cap.requests(), cap.threshold), (1, 12 * PARTS));
    }

    #[test]
    fn lessons_are_forgotten_after_a_while() {
        let mut cap = Cap::default();
        cap.refused(at(1), at(1), 10);
        cap.served(at(300), at(300), 1);
        assert_eq!(cap.requests(), 7);
        cap.served(at(302), at(302), 1);
        assert_eq!(cap.requests(), u32::MAX);
        // And without an answer; but the way back after an open breaker is not forgotten.
        cap.refused(at(400), at(400), 10);
        cap.age(at(700));
        assert_eq!(cap.requests(), 7);
        cap.age(at(701));
        assert_eq!(cap.requests(), u32::MAX);
        cap.opened(at(800), 10);
        cap.age(at(2_000));
        assert_eq!(cap.requests(), 1);
    }
}
