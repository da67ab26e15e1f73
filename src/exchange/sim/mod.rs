//! The simulator: exchanges run against virtual clients and origins under virtual time, with every choice
//! drawn from a seed. It is the proof of the state machine, and it knows nothing of the code it checks: its
//! HTTP reading, its idea of events and its arithmetic are its own.
//!
//! ```text
//!  case text ──► Case ──► World (clients ⇄ Exchange ⇄ origins, one seed, one way of cutting) ──► Report
//!  seed ──► generate ──► case text                                  Report ──► laws, expectations
//! ```
//!
//! A case file says everything about a scenario; a seed is turned into the text of a case first, so a
//! failing seed prints as one. `World` plays the kernel: at most one receive and one send in flight per
//! socket, lent memory is scribbled over, receives come back short, completions come in any order that a
//! kernel could choose.
//! Deliberately absent: real sockets (the same cases run there elsewhere), and everything that ships.

mod abandon;
pub mod case;
mod check;
#[cfg(test)]
mod check_tests;
mod client;
mod costs;
pub mod exercise;
mod expect;
pub mod generate;
pub mod http;
pub mod ledger;
mod origin;
mod parse;
mod perform;
pub mod report;
mod setup;
mod socket;
mod told;
mod tuning;
pub mod world;

pub use case::Case;
pub use check::laws;
pub use expect::{outcome_of, verify};
pub use report::Report;
pub use setup::CLIENT_KEY;
#[cfg(test)]
pub(super) use setup::snapshot;
pub use tuning::{Cut, Tuning};
pub use world::World;

/// A small generator of random words (splitmix64). The same seed gives the same words everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins at `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next word.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.word() >> 16) as usize % bound.max(1)
    }

    /// True `percent` times out of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}
