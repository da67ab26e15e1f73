//! The endpoints once more, as routing looks at them for every request: small numbers in lanes, model after
//! model.
//!
//! An endpoint with its names, price rules and keys fills several cache lines, and a model may have fifty
//! of them. So what filters and strategies ask is kept apart: each model has one line of its own, with
//! what holds for all of its endpoints (most requests need to look no further), and behind it one lane
//! per property, in which its endpoints lie side by side. All of this follows from the snapshot and is
//! made once with it.
//! Deliberately absent: anything that an endpoint does not say, and exact amounts of money (where a bound on
//! prices is too close to tell, the endpoint's own integers are compared).

mod ask;
mod lanes;

use core::fmt;
use std::sync::{Arc, OnceLock};

use crate::base::ids::{EndpointId, ProviderId};
use crate::base::money::PicoDollars;
use crate::policy::catalog::{
    Endpoint, Host, Parameters, PriceRules, Prices, Quantization, ServiceTier, Snapshot,
};
use crate::policy::count::Families;
use crate::policy::health::layout::Layout;

pub(super) use ask::{Bounds, Price};
pub(super) use lanes::Lanes;
pub use lanes::Tables;

/// Keeps, or trains on, what it is sent; or nobody knows.
pub const COLLECTS: u16 = 1;
/// Promises no zero data retention.
pub const RETAINS: u16 = 1 << 1;
/// Only some keys may use it.
pub const PRIVATE: u16 = 1 << 2;
/// Its model's author does not permit training on answers, or nobody knows.
pub const CLOSED: u16 = 1 << 3;
/// Its prices depend on the prompt's size or the time of day.
pub const PRICE_RULES: u16 = 1 << 4;
/// Of the flex tier.
pub const FLEX: u16 = 1 << 5;
/// Of the priority tier.
pub const PRIORITY: u16 = 1 << 6;

/// Prompt tokens that are read from its cache are known to cost less than others.
pub const CHEAP_CACHE: u16 = 1 << 7;

/// The bit of an unknown number format.
pub const QUANTIZATION_UNKNOWN: u16 = 1 << 15;

const _: () = assert!(Quantization::ALL.len() < 15);

/// What routing needs of one endpoint. Unknown sizes are without bound, unknown capabilities are all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Where.
    pub provider: ProviderId,
    /// Bits from this file's constants.
    pub flags: u16,
    /// One bit: its number format.
    pub quantization: u16,
    /// Kinds of content it reads.
    pub input: u8,
    /// Parameters it takes.
    pub parameters: Parameters,
    /// Tokens of prompt and answer together.
    pub context_tokens: u32,
    /// Tokens of a prompt.
    pub prompt_tokens: u32,
    /// Tokens of an answer.
    pub output_tokens: u32,
    /// Its share where endpoints are chosen by weight.
    pub weight: f32,
    /// What stays the same when other endpoints come and go: a hash of provider and name.
    pub identity: u64,
    /// Base prices in pico-dollars; NaN is unknown.
    pub prices: RowPrices,
}

/// Prices for comparison among endpoints, in pico-dollars; NaN is unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowPrices {
    /// Per prompt token.
    pub prompt: f32,
    /// Per completion token.
    pub completion: f32,
    /// Per request.
    pub request: f32,
}

impl RowPrices {
    /// From exact ones.
    #[must_use]
    pub fn of(prices: &Prices) -> Self {
        let amount = |price: Option<PicoDollars>| price.map_or(f32::NAN, |PicoDollars(pico)| pico as f32);
        Self {
            prompt: amount(prices.prompt),
            completion: amount(prices.completion),
            request: prices.request.map_or(0.0, |PicoDollars(pico)| pico as f32),
        }
    }

    /// One of them.
    pub(super) const fn of_unit(&self, price: Price) -> f32 {
        match price {
            Price::Prompt => self.prompt,
            Price::Completion => self.completion,
            Price::Request => self.request,
        }
    }

    /// What a request of so many tokens costs; NaN when a price is unknown.
    #[must_use]
    pub fn cost(&self, prompt_tokens: f32, output_tokens: f32) -> f32 {
        self.prompt * prompt_tokens + self.completion * output_tokens + self.request
    }
}

/// What follows from a snapshot, made when it is first needed. A clone makes its own: what it was cloned from
/// may be changed before.
#[derive(Default)]
pub struct Rows {
    tables: OnceLock<Arc<Tables>>,
    layout: OnceLock<Arc<Layout>>,
    /// Versions of price rules, by endpoint.
    versions: OnceLock<Arc<[u64]>>,
    families: OnceLock<Arc<Families>>,
}

impl Clone for Rows {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows(…)")
    }
}

impl Snapshot {
    /// The same with other addresses. What follows from models and endpoints is not made again, so workers
    /// take it over without a pause.
    #[must_use]
    pub fn with_hosts(&self, hosts: Vec<Host>) -> Self {
        let _ = (self.rows(), self.layout(), self.families());
        let Rows { tables, layout, versions, families } = &self.rows;
        let (tables, layout) = (tables.clone(), layout.clone());
        let rows = Rows { tables, layout, versions: versions.clone(), families: families.clone() };
        Self { hosts, rows, ..self.clone() }
    }

    /// What routing looks at. Whoever builds a snapshot calls this once, so that no request has to wait for
    /// it.
    #[must_use]
    pub fn rows(&self) -> &Tables {
        self.rows.tables.get_or_init(|| Arc::new(Tables::of(self)))
    }

    /// Which version of its price rules an endpoint has; 0 when it has none.
    #[must_use]
    pub fn price_version(&self, endpoint: EndpointId) -> u64 {
        let version = |one: &Endpoint| one.facts.prices.as_ref().map_or(0, PriceRules::version);
        let versions = self.rows.versions.get_or_init(|| self.endpoints.iter().map(version).collect());
        versions.get(endpoint.index()).copied().unwrap_or(0)
    }

    /// Which row of the health table is whose. As with [`rows`](Self::rows), whoever builds a snapshot calls
    /// this once.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        self.rows.layout.get_or_init(|| Arc::new(Layout::new(self)))
    }

    /// How the tokens of each endpoint are counted. As with [`rows`](Self::rows), whoever builds a snapshot
    /// calls this once.
    #[must_use]
    pub fn families(&self) -> &Families {
        self.rows.families.get_or_init(|| Arc::new(Families::new(self)))
    }
}

/// What the endpoint says, in one piece.
fn row(snapshot: &Snapshot, endpoint: &Endpoint) -> Row {
    let facts = &endpoint.facts;
    let model = snapshot.models.get(endpoint.model.index()).map(|model| &model.facts);
    let flag = |bit: u16, set: bool| if set { bit } else { 0 };
    let prices = facts.prices.as_ref();
    Row {
        provider: endpoint.provider,
        flags: flag(COLLECTS, facts.data.retains() || facts.data.trains())
            | flag(RETAINS, !facts.data.zdr())
            | flag(PRIVATE, endpoint.private_to.is_some())
            | flag(CLOSED, model.and_then(|facts| facts.distillable) != Some(true))
            | flag(PRICE_RULES, prices.is_some_and(|prices| !prices.rules.is_empty()))
            | flag(FLEX, facts.tier() == ServiceTier::Flex)
            | flag(PRIORITY, facts.tier() == ServiceTier::Priority)
            | flag(CHEAP_CACHE, prices.is_some_and(|prices| has_cheap_cache(&prices.base))),
        quantization: facts.quantization.map_or(QUANTIZATION_UNKNOWN, |one| 1 << one as u8),
        input: model.and_then(|facts| facts.input).map_or(u8::MAX, |kinds| kinds.0),
        parameters: facts.parameters.unwrap_or(Parameters(u32::MAX)),
        context_tokens: facts.context_tokens.unwrap_or(u32::MAX),
        prompt_tokens: facts.prompt_tokens.unwrap_or(u32::MAX),
        output_tokens: facts.output_tokens.unwrap_or(u32::MAX),
        weight: facts.weight.unwrap_or(1) as f32,
        identity: identity_of(snapshot, endpoint),
        prices: RowPrices::of(&prices.map_or_else(Prices::default, |prices| prices.base)),
    }
}

fn has_cheap_cache(prices: &Prices) -> bool {
    matches!((prices.cache_read, prices.prompt), (Some(read), Some(prompt)) if read < prompt)
}

/// What stays the same of an endpoint when others come and go.
#[must_use]
pub fn identity_of(snapshot: &Snapshot, endpoint: &Endpoint) -> u64 {
    let provider = snapshot.providers.get(endpoint.provider.index()).map_or("", |one| &*one.id);
    identity(&[provider, &endpoint.name, &endpoint.tag])
}

/// FNV-1a over the parts and their ends, spread once more: the low bits are as good as the high ones.
fn identity(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    super::strategy::spread(hash)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::ids::ModelId;
    use crate::policy::catalog::Model;

    /// Whether the endpoints of a model are neighbours or not, and have fees or not, the lanes say the same.
    #[test]
    fn lanes_say_what_the_endpoints_say() {
        for ids in [vec![0, 1, 2, 3, 4], vec![1, 2, 3], vec![3, 2, 1], vec![0, 2, 4], vec![4], vec![]] {
            for fee in [None, Some(0), Some(7)] {
                let mut snapshot = Snapshot::bare();
                for turn in 0..5_i128 {
                    let mut endpoint = Endpoint::plain(ProviderId(turn as u32 % 2), ModelId(0), "m");
                    let price = |pico| Some(PicoDollars(pico));
                    // The second has no price for its prompt, and the last alone may have a fee.
                    let prompt = price(100 + turn).filter(|_| turn != 1);
                    let request = fee.map(PicoDollars).filter(|_| turn == 4);
                    let base = Prices { prompt, completion: price(10), request, ..Prices::default() };
                    endpoint.facts.prices = Some(PriceRules { base, rules: Box::default() });
                    snapshot.endpoints.push(endpoint);
                }
                let own = ids.iter().copied().map(EndpointId).collect();
                snapshot.models.push(Model::plain("m", own));
                let lanes = snapshot.rows().model(ModelId(0));
                let mut costs = vec![0.0; ids.len()];
                lanes.base_costs(2.0, 3.0, &mut costs);
                for (place, id) in ids.iter().copied().map(EndpointId).enumerate() {
                    let row = row(&snapshot, &snapshot.endpoints[id.index()]);
                    assert_eq!((lanes.id(place), lanes.place(id)), (id, Some(place)));
                    assert_eq!(format!("{:?}", lanes.row(place)), format!("{row:?}"));
                    assert_eq!(
                        costs[place].to_bits(),
                        row.prices.cost(2.0, 3.0).to_bits(),
                        "{ids:?} {fee:?}"
                    );
                    assert_eq!(format!("{:?}", lanes.base().at(place)), format!("{:?}", row.prices));
                    assert_eq!(lanes.of_provider(row.provider.0) >> place & 1, 1);
                    assert_eq!(lanes.of_provider(1 - row.provider.0) >> place & 1, 0);
                }
                assert_eq!(lanes.place(EndpointId(9)), None);
                assert_eq!(lanes.without(CLOSED), 0, "all of them are");
                assert_eq!(lanes.without(FLEX), lanes.all());
            }
        }
    }

    #[test]
    fn other_addresses_keep_the_tables_and_another_endpoint_makes_new_ones() {
        let mut old = Snapshot::bare();
        old.models.push(Model::plain("m", vec![EndpointId(0), EndpointId(1)]));
        assert_eq!(old.clone().rows().model(ModelId(0)).count(), 0, "no endpoint of it is known");
        let moved = old.with_hosts(Vec::new());
        assert!(Arc::ptr_eq(old.layout(), moved.layout()) && core::ptr::eq(old.rows(), moved.rows()));
        let other = old.clone();
        assert!(!Arc::ptr_eq(old.layout(), other.layout()) && !core::ptr::eq(old.rows(), other.rows()));
    }
}
