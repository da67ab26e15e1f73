//! What a step may use beyond its own state: the time, the snapshot, and what all exchanges of a core share.
//!
//! Deliberately absent: anything of one request.

use std::rc::Rc;
use std::sync::Arc;

use crate::base::ids::ProviderId;
use crate::base::metrics::{Counter, Counters};
use crate::base::record::Record;
use crate::base::time::{Moment, UnixSeconds};
use crate::exchange::Action;
use crate::exchange::attempt::Attempt;
use crate::exchange::relay::Relay;
use crate::policy::auth::{Denied, Familiar, Tenant};
use crate::policy::catalog::Snapshot;
use crate::policy::health::{End, Health, Ticket};
use crate::policy::hedge::Budget;
use crate::policy::sticky::Memory;
use crate::wire::http1::ResponseShape;
use crate::wire::journal::Journal;
use crate::wire::json::peek::Peek;
use crate::wire::json::splice::Splice;
use crate::wire::spares::Spares;

/// Frames of requests that a core keeps for reuse. What more are in use at a time are freed.
const SPARE_FRAMES: usize = 256;

/// Providers whose heads a core remembers the look of.
const SHAPES: usize = 16;

/// A snapshot that requests of one core live with. The count that cores share is touched once per snapshot,
/// not twice per request.
pub(super) type Held = Rc<Arc<Snapshot>>;

/// What a core owns and its exchanges share, lent for each step.
#[derive(Debug)]
#[expect(
    clippy::vec_box,
    reason = "what is kept for reuse is the boxes: they move between owners, not what is in them"
)]
pub struct CoreState {
    /// This core's counters.
    pub counters: Arc<Counters>,
    /// Request bytes held by all exchanges of this core.
    pub bodies_bytes: usize,
    /// What is known of the endpoints.
    pub health: Health,
    /// Where conversations were answered last, shared with the other cores; `None` when nobody remembers.
    pub sticky: Option<Arc<Memory>>,
    /// Where requests are written down; `None` where nobody keeps a ledger.
    pub journal: Option<Box<dyn Journal>>,
    /// Answers that are read on without their clients now.
    pub(super) drains: usize,
    /// Whether each request's end is told by [`Action::Record`]: tests look at it, a worker does not.
    pub tells_records: bool,
    /// What is left of the shares of hedges.
    pub(super) hedges: Budget,
    /// Buffers for the next use, shared with the edge that fills them.
    pub spares: Spares,
    /// The edits of the request being written, empty between two.
    pub(super) splice: Splice,
    /// What the body of the newest request said, for the memory; away while that request begins.
    pub(super) peek: Option<Box<Peek>>,
    /// Attempts between two requests, emptied.
    spare_attempts: Vec<Box<Attempt>>,
    /// Relays between two requests, emptied.
    spare_relays: Vec<Box<Relay>>,
    /// What heads of answers look like, by provider; several may share a place.
    shapes: Vec<ResponseShape>,
    /// The snapshot of the newest request on this core.
    held: Option<Held>,
    /// Keys found in that snapshot.
    familiar: Familiar,
    /// State of a small random generator for ids.
    random: u64,
}

impl CoreState {
    /// For a core that begins; `seed` comes from the kernel. Its first word is for ids, which clients see,
    /// the others for what nobody may guess.
    #[must_use]
    pub fn new(counters: Arc<Counters>, seed: [u64; 3]) -> Self {
        let [random, secret @ ..] = seed;
        Self {
            counters,
            bodies_bytes: 0,
            health: Health::default(),
            sticky: None,
            journal: None,
            drains: 0,
            tells_records: false,
            hedges: Budget::default(),
            spares: Spares::default(),
            splice: Splice::default(),
            peek: None,
            spare_attempts: Vec::new(),
            spare_relays: Vec::new(),
            shapes: Vec::new(),
            held: None,
            familiar: Familiar::new(secret),
            random,
        }
    }

    /// The newest snapshot, to be kept for as long as a request runs.
    pub(super) fn hold(&mut self, newest: &Arc<Snapshot>) -> Held {
        Rc::clone(self.held(newest))
    }

    fn held(&mut self, newest: &Arc<Snapshot>) -> &Held {
        if !self.held.as_ref().is_some_and(|held| Arc::ptr_eq(held, newest)) {
            self.familiar.forget();
            self.held = None;
        }
        self.held.get_or_insert_with(|| Rc::new(Arc::clone(newest)))
    }

    /// Whose the presented key is, by the newest snapshot.
    pub(super) fn tenant(
        &mut self,
        newest: &Arc<Snapshot>,
        presented: Option<&[u8]>,
    ) -> Result<Tenant, Denied> {
        self.held(newest);
        self.familiar.tenant(newest, presented)
    }

    /// The frame of an earlier attempt, if there is one.
    pub(super) fn spare_attempt(&mut self) -> Option<Box<Attempt>> {
        self.spare_attempts.pop()
    }

    /// Takes the frame of an attempt that is over.
    pub(super) fn retire_attempt(&mut self, mut attempt: Box<Attempt>) {
        attempt.empty();
        if self.spare_attempts.len() < SPARE_FRAMES {
            self.spare_attempts.push(attempt);
        }
    }

    /// The frame of an earlier relay, if there is one.
    pub(super) fn spare_relay(&mut self) -> Option<Box<Relay>> {
        self.spare_relays.pop()
    }

    /// Takes the frame of a relay that is over.
    pub(super) fn retire_relay(&mut self, mut relay: Box<Relay>) {
        relay.empty();
        if self.spare_relays.len() < SPARE_FRAMES {
            self.spare_relays.push(relay);
        }
    }

    /// What this provider's heads look like.
    pub(super) fn shape(&mut self, provider: ProviderId) -> &mut ResponseShape {
        if self.shapes.is_empty() {
            self.shapes.resize(SHAPES, ResponseShape::default());
        }
        &mut self.shapes[provider.index() % SHAPES]
    }

    /// An attempt is over: what that says about its endpoint is noted. Without a ticket it is not followed.
    pub fn attempt_ended(&mut self, ticket: Option<Ticket>, end: End, now: Moment) {
        if let Some(ticket) = ticket {
            let random = self.random();
            self.health.ended(&ticket, end, now, random);
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

    /// Tells how a request ended, if anybody wants to hear of it.
    pub(super) fn tell(&mut self, record: impl FnOnce() -> Record) {
        if self.core.tells_records {
            let record = Box::new(record());
            self.act(Action::Record(record));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::KeyId;
    use crate::policy::catalog::AuthMode;
    use crate::policy::table::ByDigest;

    const DIGEST_OF_ABC: [u8; 32] = [
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0,
        0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
    ];

    fn core() -> CoreState {
        CoreState::new(Arc::default(), [1; 3])
    }

    #[test]
    fn a_snapshot_is_counted_once_however_many_requests_hold_it() {
        let (mut core, old) = (core(), Arc::new(Snapshot::bare()));
        let first = core.hold(&old);
        let holds: Vec<Held> = (0..10).map(|_| core.hold(&old)).collect();
        assert_eq!(Arc::strong_count(&old), 2);
        assert!(holds.iter().all(|held| Rc::ptr_eq(held, &first)));
        // A newer one takes its place; the old one lives as long as its last request.
        let new = Arc::new(Snapshot::bare());
        assert!(Arc::ptr_eq(&core.hold(&new), &new));
        assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (2, 2));
        drop((first, holds));
        assert_eq!(Arc::strong_count(&old), 1);
    }

    #[test]
    fn a_key_is_forgotten_with_its_snapshot() {
        // The first example of FIPS 180-4, and its SHA-256.
        let (key, digest) = (b"abc", DIGEST_OF_ABC);
        let with =
            |digests| Arc::new(Snapshot { auth: AuthMode::Keys, key_digests: digests, ..Snapshot::bare() });
        let (mut core, known) = (core(), with([(digest, KeyId(4))].into_iter().collect()));
        for _ in 0..2 {
            assert_eq!(core.tenant(&known, Some(key)), Ok(Tenant { key: Some(KeyId(4)) }));
        }
        let revoked = with(ByDigest::default());
        assert_eq!(core.tenant(&revoked, Some(key)), Err(Denied::Unknown));
    }
}
