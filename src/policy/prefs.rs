//! The `provider` member of a request: which endpoints its sender allows, prefers and would pay for.
//!
//! The contract is OpenRouter's `ProviderPreferences`. Every member may be `null`, which is the same as not
//! there. A malformed member is refused by name, together with what would be right; a member that is not
//! known is counted and otherwise ignored, as OpenRouter does. The names of providers stay where they are, in
//! the client's bytes.
//! Deliberately absent: which endpoints these are (`filter`, `route`), and any document tree.

mod value;

#[cfg(test)]
mod tests;

use crate::policy::catalog::{Quantization, Quantizations};
use crate::policy::live::Percentiles;
use crate::wire::json::scan::{Fields, Items};

/// Most entries of `order`, `only` and `ignore`, each.
pub const PROVIDERS_PER_LIST: usize = 32;
/// Longest entry of one of these lists, in bytes.
pub const PROVIDER_NAME_BYTES: usize = 64;

/// A member of `provider` that is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPreference {
    /// Its path in the body: `provider.sort`.
    pub field: &'static str,
    /// What is allowed there, to follow the words "must be".
    pub allowed: &'static str,
}

/// Names of providers, as the client wrote them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names<'b> {
    /// The array's text; empty when there is no list.
    list: &'b [u8],
}

impl<'b> Names<'b> {
    /// Was a list given? An empty one is none.
    #[must_use]
    pub const fn given(&self) -> bool {
        !self.list.is_empty()
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'b str> + use<'b> {
        // The list was read once, and no name has a quote inside: names are what lies between two of them.
        let mut rest = core::str::from_utf8(self.list).unwrap_or_default();
        core::iter::from_fn(move || {
            let quote = |text: &str| text.bytes().position(|byte| byte == b'"');
            let inside = &rest[quote(rest)? + 1..];
            let end = quote(inside)?;
            rest = &inside[end + 1..];
            Some(&inside[..end])
        })
    }
}

/// What endpoints are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// Cheapest first.
    Price,
    /// Most tokens per second first.
    Throughput,
    /// Shortest time to the first token first.
    Latency,
}

/// What is sorted together when a request names several models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partition {
    /// Each model's endpoints; all of the first model come before those of the second.
    #[default]
    Model,
    /// All endpoints of all models, so that a fallback model may be served first.
    None,
}

/// The most a request may cost per unit, in pico-dollars; `None` is without bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxPrice {
    /// Per prompt token.
    pub prompt: Option<i128>,
    /// Per completion token.
    pub completion: Option<i128>,
    /// Per request.
    pub request: Option<i128>,
    /// Per image in the prompt.
    pub image: Option<i128>,
    /// Per token of sound in the prompt.
    pub audio: Option<i128>,
}

impl MaxPrice {
    /// Is anything bounded?
    #[must_use]
    pub const fn given(&self) -> bool {
        self.prompt.is_some()
            || self.completion.is_some()
            || self.request.is_some()
            || self.image.is_some()
            || self.audio.is_some()
    }
}

/// What `provider` says; the default is what a request without it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preferences<'b> {
    /// Try these first, in this order.
    pub order: Names<'b>,
    /// Try only these.
    pub only: Names<'b>,
    /// Never try these.
    pub ignore: Names<'b>,
    /// Others than `order` names, or than the best one, may be tried.
    pub allow_fallbacks: bool,
    /// Endpoints must know every parameter of the request.
    pub require_parameters: bool,
    /// Endpoints must neither keep nor train on data.
    pub deny_data_collection: bool,
    /// Endpoints must promise zero data retention.
    pub zdr: bool,
    /// The model's author must permit training on answers.
    pub distillable_only: bool,
    /// Allowed number formats, and whether an unknown one is allowed; `None` allows all.
    pub quantizations: Option<(Quantizations, bool)>,
    /// What to sort by.
    pub sort: Option<SortBy>,
    /// What is sorted together.
    pub partition: Partition,
    /// Price bounds.
    pub max_price: MaxPrice,
    /// Tokens per second that endpoints should reach, by percentile; 0 asks for nothing.
    pub min_throughput: Percentiles,
    /// Seconds to the first token that endpoints should keep below, by percentile; 0 asks for nothing.
    pub max_latency: Percentiles,
    /// How many members were not known.
    pub unknown: u16,
}

impl Preferences<'_> {
    /// Nothing was said.
    pub const NONE: Self = Self {
        order: Names { list: &[] },
        only: Names { list: &[] },
        ignore: Names { list: &[] },
        allow_fallbacks: true,
        require_parameters: false,
        deny_data_collection: false,
        zdr: false,
        distillable_only: false,
        quantizations: None,
        sort: None,
        partition: Partition::Model,
        max_price: MaxPrice { prompt: None, completion: None, request: None, image: None, audio: None },
        min_throughput: Percentiles { p50: 0.0, p75: 0.0, p90: 0.0, p99: 0.0 },
        max_latency: Percentiles { p50: 0.0, p75: 0.0, p90: 0.0, p99: 0.0 },
        unknown: 0,
    };
}

impl Default for Preferences<'_> {
    fn default() -> Self {
        Self::NONE
    }
}

/// Declares the known members: one bit each, so that one that comes twice is found.
macro_rules! members {
    ($($variant:ident = $name:literal: $allowed:literal,)*) => {
        #[derive(Clone, Copy, PartialEq, Eq)]
        enum Member { $($variant,)* }

        impl Member {
            #[cfg(test)]
            const ALL: &'static [(&'static str, &'static str)] = &[$(($name, $allowed),)*];

            fn named(key: &[u8]) -> Option<Self> {
                $(if key == $name.as_bytes() { return Some(Self::$variant); })*
                None
            }

            const fn bad(self) -> BadPreference {
                match self {
                    $(Self::$variant => {
                        BadPreference { field: concat!("provider.", $name), allowed: $allowed }
                    })*
                }
            }
        }
    };
}

members! {
    Order = "order":
        "a list of at most 32 provider names, each a string of 1 to 64 printable ASCII characters",
    Only = "only":
        "a list of at most 32 provider names, each a string of 1 to 64 printable ASCII characters",
    Ignore = "ignore":
        "a list of at most 32 provider names, each a string of 1 to 64 printable ASCII characters",
    AllowFallbacks = "allow_fallbacks": "true or false",
    RequireParameters = "require_parameters": "true or false",
    DataCollection = "data_collection": "\"allow\" or \"deny\"",
    Zdr = "zdr": "true or false",
    Distillable = "enforce_distillable_text": "true or false",
    Quantizations = "quantizations":
        "a list of int4, int8, fp4, mxfp4, nvfp4, fp6, fp8, mxfp8, fp16, bf16, fp32 and unknown",
    Sort = "sort":
        "\"price\", \"throughput\" or \"latency\", or an object with one of them as by and \"model\" or \
         \"none\" as partition; this router has no quality figures for \"exacto\"",
    MaxPrice = "max_price":
        "an object of decimal prices: prompt and completion in USD per million tokens, request, image \
         and audio in USD per request, image and token of sound",
    MinThroughput = "preferred_min_throughput":
        "a number of tokens per second, or an object of such numbers under p50, p75, p90 and p99",
    MaxLatency = "preferred_max_latency":
        "a number of seconds, or an object of such numbers under p50, p75, p90 and p99",
}

const NOT_AN_OBJECT: BadPreference =
    BadPreference { field: "provider", allowed: "an object that is valid JSON" };
const NOT_PLAIN: BadPreference =
    BadPreference { field: "provider", allowed: "an object whose keys differ and have no escapes" };

/// Reads the text of the `provider` member.
///
/// # Errors
/// [`BadPreference`] names the first member that is malformed, or `provider` itself.
pub fn preferences(text: &[u8]) -> Result<Preferences<'_>, BadPreference> {
    let mut preferences = Preferences::default();
    let mut fields = Fields::open(text, 0, 1).map_err(|_| NOT_AN_OBJECT)?;
    let mut seen = 0_u32;
    while let Some(field) = fields.next_field().map_err(|_| NOT_AN_OBJECT)? {
        if field.key_escaped {
            return Err(NOT_PLAIN);
        }
        let Some(member) = Member::named(field.key.of(text)) else {
            preferences.unknown = preferences.unknown.saturating_add(1);
            continue;
        };
        if seen & 1 << member as u32 != 0 {
            return Err(NOT_PLAIN);
        }
        seen |= 1 << member as u32;
        let value = field.value.of(text);
        if value != b"null" {
            take(&mut preferences, member, value).ok_or(member.bad())?;
        }
    }
    Ok(preferences)
}

/// Takes the value of one member; `None` when it is malformed.
fn take<'b>(preferences: &mut Preferences<'b>, member: Member, text: &'b [u8]) -> Option<()> {
    match member {
        Member::Order => preferences.order = names(text)?,
        Member::Only => preferences.only = names(text)?,
        Member::Ignore => preferences.ignore = names(text)?,
        Member::AllowFallbacks => preferences.allow_fallbacks = value::boolean(text)?,
        Member::RequireParameters => preferences.require_parameters = value::boolean(text)?,
        Member::DataCollection => {
            preferences.deny_data_collection = match text {
                b"\"allow\"" => false,
                b"\"deny\"" => true,
                _ => return None,
            }
        }
        Member::Zdr => preferences.zdr = value::boolean(text)?,
        Member::Distillable => preferences.distillable_only = value::boolean(text)?,
        Member::Quantizations => preferences.quantizations = quantizations(text)?,
        Member::Sort => (preferences.sort, preferences.partition) = sort(text)?,
        Member::MaxPrice => preferences.max_price = max_price(text)?,
        Member::MinThroughput => preferences.min_throughput = cutoffs(text)?,
        Member::MaxLatency => preferences.max_latency = cutoffs(text)?,
    }
    Some(())
}

fn names(list: &[u8]) -> Option<Names<'_>> {
    let mut items = Items::open(list, 0, 2).ok()?;
    let mut count = 0;
    while let Some(item) = items.next_item().ok()? {
        let name = value::plain_string(item.of(list))?;
        count += 1;
        if count > PROVIDERS_PER_LIST || !(1..=PROVIDER_NAME_BYTES).contains(&name.len()) {
            return None;
        }
    }
    // Forms send lists that nobody has filled in: an empty one says nothing.
    Some(if count == 0 { Names::default() } else { Names { list } })
}

/// `fp4` also stands for its block formats, and so does `fp8` (OpenRouter's table of levels).
fn quantizations(list: &[u8]) -> Option<Option<(Quantizations, bool)>> {
    let (mut set, mut unknown) = (Quantizations::NONE, false);
    let mut items = Items::open(list, 0, 2).ok()?;
    while let Some(item) = items.next_item().ok()? {
        let name = core::str::from_utf8(value::plain_string(item.of(list))?).ok()?;
        if name == "unknown" {
            unknown = true;
            continue;
        }
        let one = Quantization::named(name)?;
        set = set.with(one).union(match one {
            Quantization::Fp4 => Quantizations::of(&[Quantization::Mxfp4, Quantization::Nvfp4]),
            Quantization::Fp8 => Quantizations::of(&[Quantization::Mxfp8]),
            Quantization::Int4
            | Quantization::Int8
            | Quantization::Mxfp4
            | Quantization::Nvfp4
            | Quantization::Fp6
            | Quantization::Mxfp8
            | Quantization::Fp16
            | Quantization::Bf16
            | Quantization::Fp32 => Quantizations::NONE,
        });
    }
    Some((set != Quantizations::NONE || unknown).then_some((set, unknown)))
}

fn sort_by(text: &[u8]) -> Option<SortBy> {
    match value::plain_string(text)? {
        b"price" => Some(SortBy::Price),
        b"throughput" => Some(SortBy::Throughput),
        b"latency" => Some(SortBy::Latency),
        _ => None,
    }
}

fn sort(text: &[u8]) -> Option<(Option<SortBy>, Partition)> {
    if text.first() != Some(&b'{') {
        return Some((Some(sort_by(text)?), Partition::Model));
    }
    let (mut by, mut partition) = (None, Partition::Model);
    value::each_member(text, |key, value| {
        match key {
            b"by" => by = Some(sort_by(value)?),
            b"partition" => {
                partition = match value {
                    b"\"model\"" => Partition::Model,
                    b"\"none\"" => Partition::None,
                    _ => return None,
                }
            }
            _ => return None,
        }
        Some(())
    })?;
    Some((by, partition))
}

fn max_price(text: &[u8]) -> Option<MaxPrice> {
    /// A dollar per million tokens is 10⁶ pico-dollars per token; a dollar is 10¹² of them.
    const PER_MILLION: i32 = 6;
    const EACH: i32 = 12;
    let mut price = MaxPrice::default();
    value::each_member(text, |key, value| {
        match key {
            b"prompt" => price.prompt = Some(value::decimal(value, PER_MILLION)?),
            b"completion" => price.completion = Some(value::decimal(value, PER_MILLION)?),
            b"request" => price.request = Some(value::decimal(value, EACH)?),
            b"image" => price.image = Some(value::decimal(value, EACH)?),
            b"audio" => price.audio = Some(value::decimal(value, EACH)?),
            _ => return None,
        }
        Some(())
    })?;
    Some(price)
}

/// A bare number is about the median.
fn cutoffs(text: &[u8]) -> Option<Percentiles> {
    let mut cutoffs = Percentiles::default();
    if text.first() != Some(&b'{') {
        cutoffs.p50 = value::positive(text)?;
        return Some(cutoffs);
    }
    value::each_member(text, |key, value| {
        let place = match key {
            b"p50" => &mut cutoffs.p50,
            b"p75" => &mut cutoffs.p75,
            b"p90" => &mut cutoffs.p90,
            b"p99" => &mut cutoffs.p99,
            _ => return None,
        };
        *place = value::positive(value)?;
        Some(())
    })?;
    Some(cutoffs)
}
