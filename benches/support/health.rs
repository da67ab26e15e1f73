//! One core's health table under traffic: an attempt recorded, what routing reads, the board read and
//! written.
//!
//! Deliberately absent: what is done with the numbers; criterion and the gate on instructions share this.

use std::sync::Arc;
use std::time::Duration;

use millrace::base::ids::EndpointId;
use millrace::base::time::Moment;
use millrace::policy::catalog::Snapshot;
use millrace::policy::health::board::Board;
use millrace::policy::health::outcome::Phase;
use millrace::policy::health::{End, Health};
use millrace::policy::route::Candidate;

/// Cores that take part in the board.
const CORES: usize = 4;
/// Endpoints that each of them uses.
pub(crate) const USED: u32 = 64;

/// A core with its peers, all of which have used some endpoints.
pub(crate) struct Core {
    snapshot: Arc<Snapshot>,
    health: Health,
    now: Moment,
    turn: u32,
}

impl Core {
    pub(crate) fn new(snapshot: &Arc<Snapshot>) -> Self {
        let board = Arc::new(Board::new(CORES));
        let begin = Moment::from_nanos(1_000_000_000_000);
        let mut core = None;
        for index in (0..CORES).rev() {
            let mut health = Health::default();
            health.join(Arc::clone(&board), index);
            health.follow(snapshot, begin);
            let mut one = Self { snapshot: Arc::clone(snapshot), health, now: begin, turn: 0 };
            (0..4 * USED).for_each(|_| assert_eq!(one.record(), 1));
            one.merge();
            core = Some(one);
        }
        core.expect("there are cores")
    }

    fn candidate(&self) -> Candidate {
        let endpoint = EndpointId(self.turn % USED);
        let provider = self.snapshot.endpoints[endpoint.index()].provider;
        Candidate { provider, endpoint: Some(endpoint), model: 0 }
    }

    /// An attempt from its begin to the end of its answer; 1 when it was followed.
    pub(crate) fn record(&mut self) -> usize {
        self.turn += 1;
        self.now = self.now + Duration::from_micros(300);
        let candidate = self.candidate();
        self.health.request(self.now);
        let Some(ticket) = self.health.begin(&self.snapshot, candidate, 400, self.now) else { return 0 };
        let first = self.now + Duration::from_millis(200);
        self.health.first_event(&ticket, first);
        let end = End {
            fault: None,
            phase: Phase::Relaying,
            wait: None,
            completion_tokens: Some(200),
            answer_bytes: 9_000,
            answered_at: first + Duration::from_secs(2),
        };
        self.health.ended(&ticket, end, self.now, u64::from(self.turn));
        1
    }

    /// What a plan reads of one endpoint; 1 when it is well.
    pub(crate) fn view(&mut self) -> usize {
        self.turn += 1;
        let candidate = self.candidate();
        let live = self.health.live();
        let brief = candidate.endpoint.map(|endpoint| live.brief(endpoint));
        let well = self.health.is_well(&self.snapshot, candidate);
        usize::from(well && brief.is_some_and(|brief| brief.is_well() && brief.handicap() > 0.0))
    }

    /// The board read and written: how many rows the core knows.
    pub(crate) fn merge(&mut self) -> usize {
        self.now = self.now + Duration::from_millis(100);
        self.health.tick(&self.snapshot, self.now, 7);
        self.health.rows()
    }
}
