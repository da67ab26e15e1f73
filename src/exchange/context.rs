//! What a step may use beyond its own state: the time, the snapshot, and what all exchanges of a core share.
//!
//! Deliberately absent: anything of one request.

use std::sync::Arc;

use crate::base::metrics::{Counter, Counters};
use crate::base::time::{Moment, UnixSeconds};
use crate::exchange::Action;
use crate::policy::catalog::Snapshot;
use crate::wire::json::splice::Splice;
use crate::wire::spares::Spares;

/// What a core owns and its exchanges share, lent for each step.
#[derive(Debug)]
pub struct CoreState {
    /// This core's counters.
    pub counters: Arc<Counters>,
    /// Request bytes held by all exchanges of this core.
    pub bodies_bytes: usize,
    /// Buffers for the next use, shared with the edge that fills them.
    pub spares: Spares,
    /// The edits of the request being written, empty between two.
    pub(super) splice: Splice,
    /// State of a small random generator for ids.
    random: u64,
}

impl CoreState {
    /// For a core that begins; `seed` comes from the kernel.
    #[must_use]
    pub fn new(counters: Arc<Counters>, seed: u64) -> Self {
        Self { counters, bodies_bytes: 0, spares: Spares::default(), splice: Splice::default(), random: seed }
    }

    /// Next random word (splitmix64: ids need spread, not secrecy).
    pub fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.random;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

/// Everything a step may use beyond its own state.
pub struct Cx<'a> {
    /// The time, read once per loop turn.
    pub now: Moment,
    /// Wall time, for ids.
    pub unix: UnixSeconds,
    /// The newest snapshot; a running request keeps its own.
    pub snapshot: &'a Arc<Snapshot>,
    /// The core's own state.
    pub core: &'a mut CoreState,
    /// Where actions go.
    pub actions: &'a mut Vec<Action>,
}

impl Cx<'_> {
    pub(super) fn count(&self, counter: Counter) {
        self.core.counters.add(counter, 1);
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }
}
