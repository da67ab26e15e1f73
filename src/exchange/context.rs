//! What a step may use beyond its own state: the time, the snapshot, and what all exchanges of a core share.
//!
//! Deliberately absent: anything of one request.

use std::sync::Arc;

use crate::base::limits::{INBOX_IDLE_BYTES, SPARE_INBOXES, SPARE_WINDOWS, WINDOW_FIRST_BYTES};
use crate::base::metrics::{Counter, Counters};
use crate::base::time::{Moment, UnixSeconds};
use crate::exchange::Action;
use crate::policy::catalog::Snapshot;
use crate::wire::json::splice::Splice;

/// What a core owns and its exchanges share, lent for each step.
#[derive(Debug)]
pub struct CoreState {
    /// This core's counters.
    pub counters: Arc<Counters>,
    /// Request bytes held by all exchanges of this core.
    pub bodies_bytes: usize,
    /// Storage of `limits::WINDOW_FIRST_BYTES`, for windows and for requests that outgrow the inbox.
    pub spare_windows: Vec<Vec<u8>>,
    /// Storage of `limits::INBOX_IDLE_BYTES`, for inboxes.
    pub spare_inboxes: Vec<Vec<u8>>,
    /// The edits of the request being written, empty between two.
    pub(super) splice: Splice,
    /// State of a small random generator for ids.
    random: u64,
}

impl CoreState {
    /// For a core that begins; `seed` comes from the kernel.
    #[must_use]
    pub fn new(counters: Arc<Counters>, seed: u64) -> Self {
        Self {
            counters,
            bodies_bytes: 0,
            spare_windows: Vec::new(),
            spare_inboxes: Vec::new(),
            splice: Splice::default(),
            random: seed,
        }
    }

    /// Takes storage of one of the two usual sizes for later use, within bounds; anything else is freed.
    pub(super) fn recycle(&mut self, storage: Vec<u8>) {
        match storage.len() {
            INBOX_IDLE_BYTES if self.spare_inboxes.len() < SPARE_INBOXES => self.spare_inboxes.push(storage),
            WINDOW_FIRST_BYTES if self.spare_windows.len() < SPARE_WINDOWS => {
                self.spare_windows.push(storage)
            }
            _ => {}
        }
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
