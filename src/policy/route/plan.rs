//! The plan of one request: what is tried, in which order.
//!
//! Deliberately absent: how it came about.

use crate::base::ids::{EndpointId, ProviderId};
pub(super) use crate::base::limits::CANDIDATES;
use crate::policy::catalog::Snapshot;
use crate::policy::sticky::{Digest, Recalled};

/// One thing to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where.
    pub provider: ProviderId,
    /// Which endpoint; `None` passes the client's own name on without the `<provider>/` prefix.
    pub endpoint: Option<EndpointId>,
    /// Index into the requested models: which of `model`, `models[0]`, … this candidate serves.
    pub model: u8,
}

/// The ordered candidates of one request: at least one, at most `limits::CANDIDATES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(super) entries: [Entry; CANDIDATES],
    pub(super) count: u8,
    pub(super) doubtful: bool,
    /// The conversation's, where it is worth remembering who serves it.
    pub(super) digest: Option<Digest>,
    pub(super) recalled: Recalled,
}

/// A candidate in one word: its row, above it its model's place in the request, above that whether the row is
/// a provider's, which takes the client's own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(u64);

const MODEL: u32 = 32;
const THROUGH: u64 = 1 << 40;

impl Entry {
    pub(super) const fn endpoint(row: u32, model: u8) -> Self {
        Self(row as u64 | (model as u64) << MODEL)
    }

    pub(super) const fn provider(row: u32, model: u8) -> Self {
        Self(Self::endpoint(row, model).0 | THROUGH)
    }

    const fn row(self) -> u32 {
        self.0 as u32
    }

    const fn model(self) -> u8 {
        (self.0 >> MODEL) as u8
    }

    const fn is_through(self) -> bool {
        self.0 & THROUGH != 0
    }
}

const _: () = assert!(CANDIDATES <= u8::MAX as usize);

impl Plan {
    /// Nothing to try: the place of a plan that is still to be made.
    pub const EMPTY: Self = Self {
        entries: [Entry(0); CANDIDATES],
        count: 0,
        doubtful: false,
        digest: None,
        recalled: Recalled::Unasked,
    };

    /// The digest of the request's conversation, where it is worth remembering who serves it.
    #[must_use]
    pub const fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What was remembered of the conversation with the first model, and what became of it.
    #[must_use]
    pub const fn recalled(&self) -> Recalled {
        self.recalled
    }

    /// How many candidates there are.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The candidates in order. `snapshot` is the one the plan was made from.
    pub fn candidates<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = Candidate> + 'a {
        (0..self.count()).map_while(|turn| self.get(snapshot, turn))
    }

    /// Candidate number `turn`, if there are that many. `snapshot` is the one the plan was made from.
    #[must_use]
    pub fn get(&self, snapshot: &Snapshot, turn: usize) -> Option<Candidate> {
        let entry = *self.entries[..self.count()].get(turn)?;
        let model = entry.model();
        if entry.is_through() {
            return Some(Candidate { provider: ProviderId(entry.row()), endpoint: None, model });
        }
        let endpoint = EndpointId(entry.row());
        let provider = snapshot.endpoints[endpoint.index()].provider;
        Some(Candidate { provider, endpoint: Some(endpoint), model })
    }

    /// Was a candidate not known to be well when the plan was made? Only then is there anybody to
    /// [put behind](Self::put_behind) at once.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// From turn number `from` on, puts the candidates of which `is_behind` is true behind the others; none
    /// is dropped, and each part keeps its order. `snapshot` is the one the plan was made from.
    pub fn put_behind(&mut self, snapshot: &Snapshot, from: usize, is_behind: impl Fn(Candidate) -> bool) {
        let count = self.count();
        if from + 1 >= count {
            return;
        }
        let old = *self;
        let (mut next, mut behind) = (from, 0);
        for turn in from..count {
            let entry = old.entries[turn];
            if old.get(snapshot, turn).is_some_and(&is_behind) {
                self.entries[count - 1 - behind] = entry;
                behind += 1;
            } else {
                self.entries[next] = entry;
                next += 1;
            }
        }
        self.entries[next..count].reverse();
    }

    /// A plan of one candidate, which takes requests as they are.
    #[must_use]
    pub fn single(provider: ProviderId) -> Self {
        let mut plan = Self::EMPTY;
        plan.entries[0] = Entry::provider(provider.0, 0);
        plan.count = 1;
        plan
    }
}
