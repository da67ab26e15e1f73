//! Filters: which endpoints may not serve a request at all, and why.
//!
//! Hard ones: what the sender demands (`provider{}`), and what the request needs (room for prompt and
//! answer, kinds of content). Every endpoint is asked the same short list of questions; the first that it
//! fails is the one it is excluded by. Unknown sizes and capabilities exclude nothing; unknown prices and
//! data policies do as soon as somebody asks about them.
//!
//! The questions are there twice. [`Gate::admits`] asks all endpoints of a model at once and says only which
//! pass: that is for every request. `Gate::excludes` asks one endpoint and says what it fails, for whoever
//! wants to be told. A test holds that they agree.
//! Deliberately absent: soft preferences and the order of what is left (`route`, `strategy`).

use crate::base::ids::{EndpointId, KeyId, ProviderId};
use crate::policy::catalog::{Endpoint, Modalities, Modality, Parameter, Parameters, Snapshot, UnknownPrice};
use crate::policy::prefs::{MaxPrice, Names, PROVIDERS_PER_LIST, Preferences};
use crate::policy::rows::{self, Bounds, Lanes, QUANTIZATION_UNKNOWN, Row, RowPrices};
use crate::wire::json::content::{Parts, parts};

macro_rules! filters {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal, $text:literal;)*) => {
        /// A reason to exclude an endpoint, in the order in which they are asked about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Filter { $($(#[doc = $doc])* $name,)* }

        impl Filter {
            /// All of them, in that order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its word in `availability.excluded_by`.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it asks, to follow the words "excluded by".
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

filters! {
    /// Only other keys may use it; its existence is not told.
    Private = "private", "the key";
    /// Computes outside of the regions that the key may use, or nobody knows where.
    Region = "data_region", "the regions of the key";
    /// Not in `provider.only`.
    Only = "allowed_providers", "provider.only";
    /// In `provider.ignore`.
    Ignore = "ignored_providers", "provider.ignore";
    /// Not in `provider.order`, and nothing else is allowed.
    Fallbacks = "allow_fallbacks", "provider.allow_fallbacks";
    /// Of a service tier that was not asked for.
    Tier = "service_tier", "the service tier";
    /// Keeps data or trains on it.
    DataCollection = "data_policy:training", "provider.data_collection";
    /// Promises no zero data retention.
    Zdr = "data_policy:zdr", "provider.zdr";
    /// Answers may not train other models.
    Distillable = "distillable_text", "provider.enforce_distillable_text";
    /// Another number format.
    Quantization = "quantization", "provider.quantizations";
    /// Costs more, or nobody knows.
    MaxPrice = "max_price", "provider.max_price";
    /// Nobody knows what it costs, and the operator does not allow that.
    Unpriced = "unknown_price", "the rule that a price must be known";
    /// The prompt does not fit.
    Context = "context_length", "the length of the prompt";
    /// The answer does not fit.
    OutputTokens = "max_tokens", "max_tokens";
    /// Does not read what the prompt contains.
    Modality = "modality", "the kind of content";
    /// Does not know a parameter.
    Parameters = "require_parameters", "provider.require_parameters";
}

/// Which tiers a request may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TierAsk {
    /// Nothing was said.
    #[default]
    Unsaid,
    /// `default`: no other, whatever the model's suffix says.
    Default,
    /// `flex`: flex endpoints only, where there are any.
    Flex,
    /// `priority` or `fast`: priority endpoints first.
    Priority,
}

/// What a request needs, whatever its sender prefers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Needs<'b> {
    /// Parameters it uses.
    pub parameters: Parameters,
    /// The longest answer it asks for, in tokens.
    pub output_tokens: Option<u32>,
    /// The tier it asks for.
    pub tier: TierAsk,
    /// The prompt, as JSON text.
    pub prompt: &'b [u8],
}

/// Bytes of JSON text per token that hardly any prompt exceeds: so many bytes are at least so many tokens.
const BYTES_PER_TOKEN_MOST: u32 = 6;
/// Bytes of JSON text per token of an ordinary prompt.
const BYTES_PER_TOKEN_USUAL: u32 = 4;
/// Tokens that a prompt with images or files is taken for at most: their bytes are no text.
const TOKENS_OF_CONTENT: u32 = 4_000;
/// Tokens that an answer is expected to have when the request does not bound it lower.
pub const ANSWER_TOKENS_USUAL: u32 = 512;

/// Parameters whose support is preferred: endpoints without it are used only where none has it.
pub const PREFERRED_PARAMETERS: Parameters = Parameters::of(&[
    Parameter::Tools,
    Parameter::ResponseFormat,
    Parameter::StructuredOutputs,
    Parameter::Verbosity,
]);

impl Needs<'_> {
    /// A request about which nothing is known.
    pub const NONE: Self =
        Self { parameters: Parameters::NONE, output_tokens: None, tier: TierAsk::Unsaid, prompt: &[] };

    /// Kinds of content in the prompt beside text.
    #[must_use]
    pub fn content(&self) -> Modalities {
        let Parts { image, audio, file, video } = parts(self.prompt);
        let kinds = [
            (image, Modality::Image),
            (audio, Modality::Audio),
            (file, Modality::File),
            (video, Modality::Video),
        ];
        let found = kinds.into_iter().filter(|(found, _)| *found);
        found.fold(Modalities::NONE, |kinds, (_, kind)| kinds.with(kind))
    }

    /// About how many tokens the prompt has, given what it contains beside text.
    #[must_use]
    pub fn prompt_tokens(&self, content: Modalities) -> u32 {
        let tokens = self.prompt.len() as u32 / BYTES_PER_TOKEN_USUAL;
        if content == Modalities::NONE { tokens } else { tokens.min(TOKENS_OF_CONTENT) }
    }

    /// So many tokens the prompt has at least, if it is text and nothing else.
    #[must_use]
    pub const fn prompt_tokens_least(&self) -> u32 {
        self.prompt.len() as u32 / BYTES_PER_TOKEN_MOST
    }

    /// About how many tokens the answer will have.
    #[must_use]
    pub fn answer_tokens(&self) -> u32 {
        self.output_tokens.map_or(ANSWER_TOKENS_USUAL, |most| most.min(ANSWER_TOKENS_USUAL))
    }
}

/// A list of provider names, looked up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slugs<'b> {
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
    /// `None` when no list was given.
    #[inline]
    pub(super) fn of(snapshot: &Snapshot, names: Names<'b>) -> Option<Self> {
        names.given().then(|| Self::looked_up(snapshot, names))
    }

    fn looked_up(snapshot: &Snapshot, names: Names<'b>) -> Self {
        let mut slugs = Self { list: [Slug { provider: u32::MAX, rest: "" }; PROVIDERS_PER_LIST], count: 0 };
        for (slot, name) in slugs.list.iter_mut().zip(names.iter()) {
            let (base, rest) = name.split_once('/').unwrap_or((name, ""));
            let mut lower = [0; super::prefs::PROVIDER_NAME_BYTES];
            let lower = lower.get_mut(..base.len()).unwrap_or_default();
            lower.copy_from_slice(&base.as_bytes()[..lower.len()]);
            lower.make_ascii_lowercase();
            let known = core::str::from_utf8(lower).ok().and_then(|base| snapshot.provider_ids.get(base));
            *slot = Slug { provider: known.map_or(u32::MAX, |id| id.0), rest };
            slugs.count += 1;
        }
        slugs
    }

    /// The place of the first entry that means this endpoint.
    pub(super) fn place(&self, subject: Subject<'_>) -> Option<usize> {
        self.list[..self.count]
            .iter()
            .position(|slug| slug.provider == subject.provider.0 && slug.means(subject))
    }
}

/// Whom an entry of a list may mean.
#[derive(Clone, Copy)]
pub(super) struct Subject<'s> {
    pub(super) provider: ProviderId,
    pub(super) flags: u16,
    /// `None`: a name that is passed through.
    pub(super) endpoint: Option<EndpointId>,
    pub(super) snapshot: &'s Snapshot,
}

impl<'s> Subject<'s> {
    /// An endpoint of a model.
    pub(super) fn at(snapshot: &'s Snapshot, lanes: Lanes<'_>, place: usize) -> Self {
        let endpoint = Some(lanes.id(place));
        Self { provider: lanes.provider(place), flags: lanes.flags(place), endpoint, snapshot }
    }

    fn endpoint(self) -> Option<&'s Endpoint> {
        self.snapshot.endpoints.get(self.endpoint?.index())
    }

    fn is_visible_to(self, key: Option<KeyId>) -> bool {
        self.endpoint().is_some_and(|one| one.visible_to(key))
    }
}

impl Slug<'_> {
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

/// Flags of tiers that take part only when they are asked for.
pub(super) const TIERS: u16 = rows::FLEX | rows::PRIORITY;

/// The lists of a request, looked up. Hundreds of bytes when they are given, so they stay where they are.
#[derive(Debug)]
pub(super) struct Lists<'b> {
    /// The only regions the key may use; empty is everywhere.
    regions: &'b [Box<str>],
    only: Option<Slugs<'b>>,
    ignore: Option<Slugs<'b>>,
    /// Only endpoints whose price is known.
    priced_only: bool,
    pub(super) order: Option<Slugs<'b>>,
}

impl<'b> Lists<'b> {
    pub(super) fn of(snapshot: &'b Snapshot, key: Option<KeyId>, preferences: &Preferences<'b>) -> Self {
        Self {
            regions: key.and_then(|key| snapshot.keys.get(key.index())).map_or(&[], |key| &key.regions),
            only: Slugs::of(snapshot, preferences.only),
            ignore: Slugs::of(snapshot, preferences.ignore),
            priced_only: snapshot.ledger.unknown_price == UnknownPrice::Deny,
            order: Slugs::of(snapshot, preferences.order),
        }
    }
}

/// The questions of one request, ready to be asked about many endpoints.
#[derive(Debug)]
pub(super) struct Gate<'a, 'b> {
    key: Option<KeyId>,
    pub(super) lists: &'a Lists<'b>,
    allow_fallbacks: bool,
    /// Without tiers, which depend on the model's suffix.
    bounds: Bounds,
    max_price: MaxPrice,
}

/// When prices are asked for: the size of the prompt and the minute of the day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Priced {
    pub(super) prompt_tokens: u32,
    pub(super) minute: u16,
}

impl<'a, 'b> Gate<'a, 'b> {
    pub(super) fn new(
        lists: &'a Lists<'b>,
        key: Option<KeyId>,
        preferences: &Preferences<'b>,
        needs: &Needs<'_>,
    ) -> Self {
        let flag = |bit: u16, set: bool| if set { bit } else { 0 };
        let forbidden = rows::PRIVATE
            | flag(rows::COLLECTS, preferences.deny_data_collection)
            | flag(rows::RETAINS, preferences.zdr)
            | flag(rows::CLOSED, preferences.distillable_only);
        let quantizations = preferences
            .quantizations
            .map_or(u16::MAX, |(set, unknown)| set.0 | if unknown { QUANTIZATION_UNKNOWN } else { 0 });
        Self {
            key,
            lists,
            allow_fallbacks: preferences.allow_fallbacks,
            bounds: Bounds {
                forbidden,
                quantizations,
                input: 0,
                parameters: if preferences.require_parameters { needs.parameters } else { Parameters::NONE },
                prompt_tokens: 0,
                output_tokens: needs.output_tokens.unwrap_or(0),
            },
            max_price: preferences.max_price,
        }
    }

    /// Takes note of what the prompt contains. Bytes of images and files are no measure of tokens.
    pub(super) fn measure(&mut self, content: Modalities, needs: &Needs<'_>) {
        self.bounds.input = content.0;
        let text_only = content == Modalities::NONE;
        self.bounds.prompt_tokens = if text_only { needs.prompt_tokens_least() } else { 0 };
    }

    /// A bit for each endpoint of a model that is not excluded. `tiers` are the flags of tiers that may take
    /// part.
    #[inline]
    pub(super) fn admits(&self, snapshot: &Snapshot, lanes: Lanes<'_>, tiers: u16, priced: Priced) -> u64 {
        let tier_flags = TIERS & !tiers;
        let bounds = Bounds { forbidden: self.bounds.forbidden | tier_flags, ..self.bounds };
        let Lists { only, ignore, order, regions, priced_only } = self.lists;
        let listed = only.is_some() || ignore.is_some() || order.is_some() || !regions.is_empty();
        let listed = listed || *priced_only;
        if lanes.any_flags() & rows::PRIVATE == 0 && !listed && !self.max_price.given() {
            return lanes.keeping(&bounds);
        }
        // Whether a private endpoint or a tier is meant is asked one by one.
        let lenient = bounds.forbidden & !(rows::PRIVATE | if listed { TIERS } else { 0 });
        let mut keeping = lanes.keeping(&Bounds { forbidden: lenient, ..bounds });
        let mut rest = keeping;
        while rest != 0 {
            let place = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let subject = Subject::at(snapshot, lanes, place);
            let excluded = (subject.flags & rows::PRIVATE != 0 && !subject.is_visible_to(self.key))
                || (listed && self.is_listed_out(subject, tier_flags))
                || (*priced_only && !is_priced(subject.endpoint(), priced))
                || (self.max_price.given() && self.too_dear(subject, lanes, place, priced));
            keeping &= !(u64::from(excluded) << place);
        }
        keeping
    }

    /// Do the lists exclude it?
    fn is_listed_out(&self, subject: Subject<'_>, tier_flags: u16) -> bool {
        let Lists { only, ignore, order, regions, .. } = self.lists;
        let place = |slugs: &Option<Slugs<'_>>| slugs.as_ref().map(|slugs| slugs.place(subject).is_some());
        let (only, order) = (place(only), place(order));
        only == Some(false)
            || place(ignore) == Some(true)
            || !in_regions(subject.endpoint(), regions)
            || (!self.allow_fallbacks && order == Some(false))
            || (subject.flags & tier_flags != 0 && only != Some(true) && order != Some(true))
    }

    /// Costs it more than may be? The lanes tell, but where they are too close to the bound for their
    /// precision.
    fn too_dear(&self, subject: Subject<'_>, lanes: Lanes<'_>, place: usize, priced: Priced) -> bool {
        let MaxPrice { prompt, completion, request, image, audio } = self.max_price;
        let prices = lanes.prices(place, priced.prompt_tokens, priced.minute);
        let RowPrices { prompt: prompt_price, completion: completion_price, request: fee } = prices;
        let pairs = [(prompt, prompt_price), (completion, completion_price), (request, fee)];
        // Without any price it is too dear whatever is bounded.
        let mut clear = image.is_none() && audio.is_none() && !prompt_price.is_nan();
        for (most, price) in pairs {
            let Some(most) = most else { continue };
            let most = most as f32;
            if price.is_nan() || price > most + most.abs() * PRECISION {
                return true;
            }
            clear &= price < most - most.abs() * PRECISION;
        }
        !clear && self.too_dear_exactly(subject.endpoint(), priced)
    }

    /// The first filter that excludes what this row tells of. `tiers` are the flags of tiers that may take
    /// part.
    pub(super) fn excludes(
        &self,
        row: &Row,
        subject: Subject<'_>,
        tiers: u16,
        priced: Priced,
    ) -> Option<Filter> {
        let (Lists { only, ignore, order, .. }, Bounds { forbidden, .. }) = (self.lists, self.bounds);
        let endpoint = subject.endpoint();
        let listed = |slugs: &Option<Slugs<'_>>| slugs.as_ref().map(|one| one.place(subject).is_some());
        let tier_named = listed(only) == Some(true) || listed(order) == Some(true);
        let flagged = |bit: u16| row.flags & forbidden & bit != 0;
        let Bounds { prompt_tokens, output_tokens, quantizations, input, parameters, .. } = self.bounds;
        let room = prompt_tokens.saturating_add(output_tokens);
        let tests: [(Filter, bool); Filter::ALL.len()] = [
            (Filter::Private, flagged(rows::PRIVATE) && !subject.is_visible_to(self.key)),
            (Filter::Region, !in_regions(endpoint, self.lists.regions)),
            (Filter::Only, listed(only) == Some(false)),
            (Filter::Ignore, listed(ignore) == Some(true)),
            (Filter::Fallbacks, !self.allow_fallbacks && listed(order) == Some(false)),
            (Filter::Tier, row.flags & TIERS & !tiers != 0 && !tier_named),
            (Filter::DataCollection, flagged(rows::COLLECTS)),
            (Filter::Zdr, flagged(rows::RETAINS)),
            (Filter::Distillable, flagged(rows::CLOSED)),
            (Filter::Quantization, row.quantization & quantizations == 0),
            (Filter::MaxPrice, self.max_price.given() && self.too_dear_exactly(endpoint, priced)),
            (Filter::Unpriced, self.lists.priced_only && !is_priced(endpoint, priced)),
            (Filter::Context, room > row.context_tokens || prompt_tokens > row.prompt_tokens),
            (Filter::OutputTokens, output_tokens > row.output_tokens),
            (Filter::Modality, input & !row.input != 0),
            (Filter::Parameters, !row.parameters.has_all(parameters)),
        ];
        tests.into_iter().find(|(_, excluded)| *excluded).map(|(filter, _)| filter)
    }

    /// Compared as whole pico-dollars. What is not known costs too much.
    fn too_dear_exactly(&self, endpoint: Option<&Endpoint>, priced: Priced) -> bool {
        let Some(rules) = endpoint.and_then(|one| one.facts.prices.as_ref()) else { return true };
        let prices = rules.at(priced.prompt_tokens, priced.minute);
        let most = &self.max_price;
        let above = |most: Option<i128>, price: Option<i128>| {
            most.is_some_and(|most| price.is_none_or(|price| price > most))
        };
        above(most.prompt, prices.prompt.map(|price| price.0))
            || above(most.completion, prices.completion.map(|price| price.0))
            // No fee is a fee of nothing, and images without a price are counted as tokens.
            || above(most.request, Some(prices.request.map_or(0, |price| price.0)))
            || above(most.image, Some(prices.image.map_or(0, |price| price.0)))
            || above(most.audio, Some(prices.audio.map_or(0, |price| price.0)))
    }
}

/// Is it known what a token of such a prompt, and one of its answer, costs there?
fn is_priced(endpoint: Option<&Endpoint>, priced: Priced) -> bool {
    let rules = endpoint.and_then(|one| one.facts.prices.as_ref());
    rules.is_some_and(|rules| rules.at(priced.prompt_tokens, priced.minute).known())
}

/// Within this part of each other, the lanes' prices are taken for equal: four times what a float rounds off.
const PRECISION: f32 = 4.0 / (1 << 24) as f32;
/// Does it compute in one of these regions? `eu` is `eu` and every region whose name begins with `eu-`. What
/// is not known to be inside is outside.
fn in_regions(endpoint: Option<&Endpoint>, regions: &[Box<str>]) -> bool {
    if regions.is_empty() {
        return true;
    }
    let Some(own) = endpoint.and_then(|one| one.facts.region.as_deref()) else { return false };
    regions.iter().any(|region| {
        let (inside, behind) = own.as_bytes().split_at_checked(region.len()).unwrap_or_default();
        inside.eq_ignore_ascii_case(region.as_bytes()) && matches!(behind.first(), None | Some(b'-'))
    })
}

/// The row of a name that is passed through: nothing is known about it.
pub(super) fn passed_through(provider: ProviderId) -> Row {
    Row {
        provider,
        flags: rows::COLLECTS | rows::RETAINS | rows::CLOSED,
        quantization: QUANTIZATION_UNKNOWN,
        input: u8::MAX,
        parameters: Parameters(u32::MAX),
        context_tokens: u32::MAX,
        prompt_tokens: u32::MAX,
        output_tokens: u32::MAX,
        weight: 1.0,
        identity: 0,
        prices: RowPrices { prompt: f32::NAN, completion: f32::NAN, request: 0.0 },
    }
}
