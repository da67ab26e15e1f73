//! The lists of a request: `only`, `ignore` and `order`, and the regions of the key.
//!
//! Names are looked up once for a request; which endpoints of a model they mean is asked of all endpoints at
//! once.
//! Deliberately absent: every other filter.

use super::TIERS;
use crate::base::ids::{EndpointId, KeyId, ProviderId};
use crate::policy::catalog::{Endpoint, Snapshot, UnknownPrice};
use crate::policy::prefs::{Names, PROVIDER_NAME_BYTES, PROVIDERS_PER_LIST, Preferences};
use crate::policy::rows::Lanes;

/// A list of provider names, looked up.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Slugs<'b> {
    list: [Slug<'b>; PROVIDERS_PER_LIST],
    count: usize,
}

/// One entry: a provider, or one of its variants, regions or tiers.
#[derive(Clone, Copy, Debug)]
struct Slug<'b> {
    /// `u32::MAX` is a provider nobody knows.
    provider: u32,
    /// What follows the `/`; empty is every endpoint of the default tier.
    rest: &'b str,
}

impl<'b> Slugs<'b> {
    #[inline(never)]
    fn looked_up(snapshot: &Snapshot, names: Names<'b>) -> Self {
        let mut slugs = Self { list: [Slug { provider: u32::MAX, rest: "" }; PROVIDERS_PER_LIST], count: 0 };
        for (slot, name) in slugs.list.iter_mut().zip(names.iter()) {
            let slash = name.bytes().position(|byte| byte == b'/');
            let (base, rest) = slash.map_or((name, ""), |slash| (&name[..slash], &name[slash + 1..]));
            *slot = Slug { provider: provider(snapshot, base), rest };
            slugs.count += 1;
        }
        slugs
    }

    /// Tells, entry by entry, which endpoints of a model it is the first to mean: its place and a bit for
    /// each of them.
    pub(in crate::policy) fn each(
        &self,
        snapshot: &Snapshot,
        lanes: Lanes<'_>,
        mut tell: impl FnMut(usize, u64),
    ) {
        let mut rest = lanes.all();
        for (place, slug) in self.list[..self.count].iter().enumerate() {
            let meant = rest & slug.meant(snapshot, lanes);
            rest &= !meant;
            tell(place, meant);
        }
    }

    /// A bit for each endpoint of a model that any entry means.
    fn meant(&self, snapshot: &Snapshot, lanes: Lanes<'_>) -> u64 {
        let mut all = 0;
        self.each(snapshot, lanes, |_, meant| all |= meant);
        all
    }

    /// The place of the first entry that means this endpoint.
    pub(in crate::policy) fn place(&self, subject: Subject<'_>) -> Option<usize> {
        self.list[..self.count]
            .iter()
            .position(|slug| slug.provider == subject.provider.0 && slug.means(subject))
    }
}

/// The row of the provider of this name, in whatever case; `u32::MAX` when there is none.
fn provider(snapshot: &Snapshot, name: &str) -> u32 {
    let row = |name: &str| snapshot.provider_ids.get(name).map(|id| id.0);
    row(name).or_else(|| row(lowered(name, &mut [0; PROVIDER_NAME_BYTES])?)).unwrap_or(u32::MAX)
}

/// The name in lower case, if it has capitals; `None` as well for one that is too long for a list.
fn lowered<'t>(name: &str, text: &'t mut [u8; PROVIDER_NAME_BYTES]) -> Option<&'t str> {
    let text = text.get_mut(..name.len()).filter(|_| name.bytes().any(|byte| byte.is_ascii_uppercase()))?;
    text.copy_from_slice(name.as_bytes());
    text.make_ascii_lowercase();
    core::str::from_utf8(text).ok()
}

/// Whom an entry of a list may mean.
#[derive(Clone, Copy)]
pub(in crate::policy) struct Subject<'s> {
    pub(in crate::policy) provider: ProviderId,
    pub(in crate::policy) flags: u16,
    /// `None`: a name that is passed through.
    pub(in crate::policy) endpoint: Option<EndpointId>,
    pub(in crate::policy) snapshot: &'s Snapshot,
}

impl<'s> Subject<'s> {
    /// An endpoint of a model.
    pub(in crate::policy) fn at(snapshot: &'s Snapshot, lanes: Lanes<'_>, place: usize) -> Self {
        let endpoint = Some(lanes.id(place));
        Self { provider: lanes.provider(place), flags: lanes.flags(place), endpoint, snapshot }
    }

    pub(in crate::policy) fn endpoint(self) -> Option<&'s Endpoint> {
        self.snapshot.endpoints.get(self.endpoint?.index())
    }

    pub(in crate::policy) fn is_visible_to(self, key: Option<KeyId>) -> bool {
        self.endpoint().is_some_and(|one| one.visible_to(key))
    }
}

impl Slug<'_> {
    /// A bit for each endpoint of a model that it means.
    fn meant(&self, snapshot: &Snapshot, lanes: Lanes<'_>) -> u64 {
        let own = lanes.of_provider(self.provider);
        if self.rest.is_empty() {
            return own & lanes.without(TIERS);
        }
        places(own).filter(|place| !self.means(Subject::at(snapshot, lanes, *place))).fold(own, without)
    }

    /// A provider's bare name means all of its endpoints but those of a service tier (they cost another price
    /// and must be named).
    fn means(&self, subject: Subject<'_>) -> bool {
        let tiered = subject.flags & TIERS != 0;
        if self.rest.is_empty() {
            return !tiered;
        }
        let Some(Endpoint { facts, tag, .. }) = subject.endpoint() else { return false };
        let same = |text: &str| text.eq_ignore_ascii_case(self.rest);
        let tag = tag.split_once('/').is_some_and(|(_, rest)| same(rest));
        let part = facts.variant.as_deref().is_some_and(same) || facts.region.as_deref().is_some_and(same);
        let format = facts.quantization.is_some_and(|one| same(one.name()));
        tag || (tiered && same(facts.tier().name())) || (!tiered && (part || format))
    }
}

/// The lists of a request, looked up. Hundreds of bytes when they are given, so they stay where they are.
#[derive(Debug)]
pub(in crate::policy) struct Lists<'b> {
    /// The only regions the key may use; empty is everywhere.
    pub(in crate::policy) regions: &'b [Box<str>],
    pub(in crate::policy) only: Option<Slugs<'b>>,
    pub(in crate::policy) ignore: Option<Slugs<'b>>,
    pub(in crate::policy) order: Option<Slugs<'b>>,
    /// Only endpoints whose price is known.
    pub(in crate::policy) priced_only: bool,
}

impl<'b> Lists<'b> {
    #[inline(always)]
    pub(in crate::policy) fn of(
        snapshot: &'b Snapshot,
        key: Option<KeyId>,
        preferences: &Preferences<'b>,
    ) -> Self {
        let regions = key.and_then(|key| snapshot.keys.get(key.index())).map_or(&[][..], |key| &key.regions);
        let priced_only = snapshot.ledger.unknown_price == UnknownPrice::Deny;
        let mut lists = Self { regions, only: None, ignore: None, order: None, priced_only };
        let Preferences { only, ignore, order, .. } = preferences;
        // What is not there is not moved either: a list is large.
        if only.given() || ignore.given() || order.given() {
            lists.look_up(snapshot, preferences);
        }
        lists
    }

    #[inline(never)]
    fn look_up(&mut self, snapshot: &Snapshot, preferences: &Preferences<'b>) {
        let Preferences { only, ignore, order, .. } = preferences;
        let lists = [(&mut self.only, only), (&mut self.ignore, ignore), (&mut self.order, order)];
        for (slugs, names) in lists.into_iter().filter(|(_, names)| names.given()) {
            *slugs = Some(Slugs::looked_up(snapshot, *names));
        }
    }

    /// A bit for each endpoint of a model that the lists do not exclude. Of the tiers in `tier_flags` there
    /// are only those that a list names; beside `order` there are others only if `allow_fallbacks`.
    pub(super) fn admit(
        &self,
        snapshot: &Snapshot,
        lanes: Lanes<'_>,
        tier_flags: u16,
        allow_fallbacks: bool,
    ) -> u64 {
        let Self { only, ignore, order, regions, .. } = self;
        let (mut keeping, mut named) = (lanes.all(), 0);
        let is_tiered = lanes.any_flags() & tier_flags != 0;
        if let Some(only) = only {
            named |= only.meant(snapshot, lanes);
            keeping &= named;
        }
        // What is allowed beside the list comes by `allow_fallbacks`; but tiers must be named.
        if let Some(order) = order
            && (is_tiered || !allow_fallbacks)
        {
            let meant = order.meant(snapshot, lanes);
            named |= meant;
            keeping &= if allow_fallbacks { keeping } else { meant };
        }
        if let Some(ignore) = ignore {
            keeping &= !ignore.meant(snapshot, lanes);
        }
        if is_tiered {
            keeping &= named | lanes.without(tier_flags);
        }
        if !regions.is_empty() {
            let outside =
                |place: &usize| !in_regions(Subject::at(snapshot, lanes, *place).endpoint(), regions);
            keeping = places(keeping).filter(outside).fold(keeping, without);
        }
        keeping
    }
}

/// Does it compute in one of these regions? `eu` is `eu` and every region whose name begins with `eu-`. What
/// is not known to be inside is outside.
pub(super) fn in_regions(endpoint: Option<&Endpoint>, regions: &[Box<str>]) -> bool {
    if regions.is_empty() {
        return true;
    }
    let Some(own) = endpoint.and_then(|one| one.facts.region.as_deref()) else { return false };
    regions.iter().any(|region| {
        let (inside, behind) = own.as_bytes().split_at_checked(region.len()).unwrap_or_default();
        inside.eq_ignore_ascii_case(region.as_bytes()) && matches!(behind.first(), None | Some(b'-'))
    })
}

/// The places of the bits that are set.
pub(in crate::policy) fn places(mut bits: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let place = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
        Some(place)
    })
}

/// The bits without the one at `place`.
pub(super) const fn without(bits: u64, place: usize) -> u64 {
    bits & !(1 << place)
}
