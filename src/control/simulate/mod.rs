//! `millrace simulate`: what recorded or invented traffic would have met under a policy. Discrete events in
//! simulated time; the plan, the health tables and the retry verdict are the data plane's own (`policy`), so
//! what is learnt here is about the code that serves.
//!
//! ```text
//!  traffic (JSONL, or synthetic) ─┐
//!  policy (a configuration file) ─┼─► engine: arrivals and a heap of events ─► tally ─► report
//!  world (how endpoints behave)  ─┘      │ plan · put_behind · begin · first_event · ended · verdict
//!                                        └─ one health table per simulated core, joined by a board
//! ```
//!
//! | room | what it does |
//! |---|---|
//! | [`clock`] | spans and points in time as text |
//! | [`random`] | words from a seed, and draws from them |
//! | [`traffic`] | requests: read from a file, or invented |
//! | [`setup`] | a configuration file to the snapshot it would serve with |
//! | [`world`] | how endpoints behave, and what happens to them when |
//! | [`engine`] | the simulation |
//! | [`tally`] | what is counted |
//! | [`report`] | the counts as a table, as JSON and as a page |
//!
//! Everything follows from the inputs and the seed: two runs are equal to the byte. What an endpoint does
//! with a request depends on the seed, the request and the endpoint alone, so that two policies that send the
//! same request to the same endpoint see the same answer.
//!
//! The small world in the tests of `policy::health` stays where it is: its floor cannot see this one.
//! Deliberately absent: HTTP, bodies, client connections, DNS, clients that leave, and any reading of files
//! (`app` does that).

pub mod clock;
pub mod engine;
pub mod histogram;
pub mod random;
pub mod report;
pub mod setup;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod traffic;
pub mod world;

use core::time::Duration;

pub use engine::{Options, simulate};
pub use setup::Setup;
pub use tally::Tally;
pub use traffic::Traffic;
pub use world::World;

/// The least time that a slot of a timeline covers.
const SLOT_LEAST: Duration = Duration::from_secs(1);
/// About so many slots make a timeline.
const SLOTS: u32 = 120;

/// The width of a timeline's slots for traffic of this length: a round number of seconds.
#[must_use]
pub fn slot_width(length: Duration) -> Duration {
    const ROUND: [u64; 12] = [1, 2, 5, 10, 30, 60, 300, 600, 900, 1_800, 3_600, 7_200];
    let wanted = (length / SLOTS).max(SLOT_LEAST);
    let round = ROUND.into_iter().map(Duration::from_secs).find(|width| *width >= wanted);
    // Beyond that, whole days: 120 slots are then at least ten days.
    round.unwrap_or_else(|| Duration::from_secs(wanted.as_secs().div_ceil(86_400) * 86_400))
}
