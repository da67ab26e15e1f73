//! Which row is whose: endpoints first, then providers (for names that are passed through), then accounts
//! (the credential that all of a provider's endpoints share).
//!
//! A row is known by a tag, a hash of the provider's id and the upstream name, so figures outlive the
//! snapshot they began under, and cores that hold different snapshots for a moment understand each other.
//! Endpoints with the same tag (one upstream model under two names) share the first one's row.
//! Deliberately absent: the figures.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;

use crate::base::ids::ProviderId;
use crate::policy::catalog::Snapshot;
use crate::policy::route::Candidate;

/// No row, or no place.
pub const NONE: u32 = u32::MAX;

/// A row, and the tag that tells whether it is still the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowKey {
    /// Place in the layout it was looked up in.
    pub row: u32,
    /// Whose it is, in every layout.
    pub tag: u64,
}

/// Tags are hashes already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

/// What a tag is made of besides the provider's id.
#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    Endpoint(&'a str),
    Passthrough,
    Account,
}

/// FNV-1a with a last mix (splitmix64), never zero.
fn tag(provider: &str, part: Part<'_>) -> u64 {
    let (kind, name) = match part {
        Part::Endpoint(name) => (0, name),
        Part::Passthrough => (1, ""),
        Part::Account => (2, ""),
    };
    // A byte that no text in UTF-8 holds stands between the two.
    let bytes = provider.bytes().chain([0xff, kind]).chain(name.bytes());
    let mut word = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        word = (word ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (word ^ (word >> 31)).max(1)
}

/// The tag of an endpoint, for whoever looks for it on the board.
#[must_use]
pub fn endpoint_tag(provider: &str, name: &str) -> u64 {
    tag(provider, Part::Endpoint(name))
}

/// The tag of a provider's passed-through names.
#[must_use]
pub fn passthrough_tag(provider: &str) -> u64 {
    tag(provider, Part::Passthrough)
}

/// The tag of a provider's account.
#[must_use]
pub fn account_tag(provider: &str) -> u64 {
    tag(provider, Part::Account)
}

/// The rows of one snapshot. Made once with it ([`Snapshot::layout`]), and read by all cores.
#[derive(Debug)]
pub struct Layout {
    /// Providers by endpoint.
    providers_of: Box<[ProviderId]>,
    providers: u32,
    tags: Box<[u64]>,
    by_tag: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    /// For endpoints whose tag an earlier one has: that one's row. Few, if any; sorted by the later row.
    twins: Vec<(u32, u32)>,
}

impl Layout {
    pub(in crate::policy) fn new(snapshot: &Snapshot) -> Self {
        let providers = || snapshot.providers.iter().map(|provider| &*provider.id);
        let endpoints = snapshot
            .endpoints
            .iter()
            .map(|endpoint| endpoint_tag(&snapshot.providers[endpoint.provider.index()].id, &endpoint.name));
        let tags: Box<[u64]> =
            endpoints.chain(providers().map(passthrough_tag)).chain(providers().map(account_tag)).collect();
        let mut by_tag: HashMap<u64, u32, BuildHasherDefault<AsIs>> = HashMap::default();
        by_tag.reserve(tags.len());
        let mut twins = Vec::new();
        for (row, tag) in (0_u32..).zip(&tags) {
            let first = *by_tag.entry(*tag).or_insert(row);
            if first != row {
                twins.push((row, first));
            }
        }
        let providers_of = snapshot.endpoints.iter().map(|endpoint| endpoint.provider).collect();
        Self { providers_of, providers: snapshot.providers.len() as u32, tags, by_tag, twins }
    }

    /// How many rows there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.tags.len()
    }

    /// The tag of a row.
    #[must_use]
    pub fn tag(&self, row: u32) -> u64 {
        self.tags[row as usize]
    }

    /// The row of a tag.
    #[must_use]
    pub fn find(&self, tag: u64) -> Option<u32> {
        self.by_tag.get(&tag).copied()
    }

    /// The row of a key, whichever layout it comes from.
    #[must_use]
    pub fn resolve(&self, key: RowKey) -> Option<u32> {
        match self.tags.get(key.row as usize) {
            Some(tag) if *tag == key.tag => Some(key.row),
            Some(_) | None => self.find(key.tag),
        }
    }

    /// The row and the account of a candidate of a plan from this layout's snapshot.
    #[must_use]
    pub fn keys(&self, candidate: Candidate) -> [RowKey; 2] {
        let provider = candidate.provider.0;
        let row = match candidate.endpoint {
            Some(endpoint) => self.first(endpoint.0),
            None => self.endpoints() + provider,
        };
        let account = self.endpoints() + self.providers + provider;
        [row, account].map(|row| RowKey { row, tag: self.tag(row) })
    }

    /// How many endpoints there are: the row of the first provider.
    #[must_use]
    pub const fn endpoints(&self) -> u32 {
        self.providers_of.len() as u32
    }

    /// The rows of the endpoints of a provider.
    pub fn endpoints_of(&self, provider: ProviderId) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).zip(&self.providers_of).filter(move |(_, own)| **own == provider).map(|(row, _)| row)
    }

    /// The row that an endpoint's figures are kept in.
    fn first(&self, row: u32) -> u32 {
        if self.twins.is_empty() {
            return row;
        }
        match self.twins.binary_search_by_key(&row, |twin| twin.0) {
            Ok(place) => self.twins[place].1,
            Err(_) => row,
        }
    }

    /// Rows that show the figures of `row`, apart from itself.
    pub fn twins_of(&self, row: u32) -> impl Iterator<Item = u32> + '_ {
        self.twins.iter().filter(move |twin| twin.1 == row).map(|twin| twin.0)
    }

    /// The provider whose account this row is.
    #[must_use]
    pub fn account_of(&self, row: u32) -> Option<ProviderId> {
        row.checked_sub(self.endpoints() + self.providers).map(ProviderId)
    }

    /// The provider that this row belongs to, and the row of its account.
    #[must_use]
    pub fn provider_of(&self, row: u32) -> (ProviderId, u32) {
        let provider = match self.providers_of.get(row as usize) {
            Some(provider) => *provider,
            None => ProviderId((row - self.endpoints()) % self.providers),
        };
        (provider, self.endpoints() + self.providers + provider.0)
    }
}
