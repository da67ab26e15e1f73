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

mod lists;

use crate::base::ids::{KeyId, ProviderId};
use crate::policy::catalog::{Endpoint, Modalities, Modality, Parameter, Parameters, Snapshot};
use crate::policy::prefs::{MaxPrice, Preferences};
use crate::policy::rows::{self, Bounds, Lanes, Price, QUANTIZATION_UNKNOWN, Row, RowPrices};
use crate::wire::json::content::{Parts, parts};

use lists::in_regions;
use lists::without;
pub(super) use lists::{Lists, Slugs, Subject, places};

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

/// Flags of tiers that take part only when they are asked for.
pub(super) const TIERS: u16 = rows::FLEX | rows::PRIORITY;

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
        let asks_price = self.max_price.given() || *priced_only;
        if lanes.any_flags() & rows::PRIVATE == 0 && !listed && !asks_price {
            return lanes.keeping(&bounds);
        }
        // Whether a private endpoint or a tier is meant is asked one by one.
        let lenient = bounds.forbidden & !(rows::PRIVATE | if listed { TIERS } else { 0 });
        let mut keeping = lanes.keeping(&Bounds { forbidden: lenient, ..bounds });
        let hidden = |place: &usize| !Subject::at(snapshot, lanes, *place).is_visible_to(self.key);
        keeping = places(keeping & !lanes.without(rows::PRIVATE)).filter(hidden).fold(keeping, without);
        if listed {
            keeping &= self.lists.admit(snapshot, lanes, tier_flags, self.allow_fallbacks);
        }
        if self.max_price.given() {
            keeping &= self.affordable(snapshot, lanes, keeping, priced);
        }
        if *priced_only {
            let unpriced =
                |place: &usize| !is_priced(Subject::at(snapshot, lanes, *place).endpoint(), priced);
            keeping = places(keeping).filter(unpriced).fold(keeping, without);
        }
        keeping
    }

    /// Those of `asked` that cost no more than they may. The lanes tell, but where they are too close to a
    /// bound for their precision, or do not hold what is bounded.
    fn affordable(&self, snapshot: &Snapshot, lanes: Lanes<'_>, asked: u64, priced: Priced) -> u64 {
        let MaxPrice { prompt, completion, request, image, audio } = self.max_price;
        let near = |most: i128| (most as f32 * (1.0 + PRECISION), most as f32 * (1.0 - PRECISION));
        let bounds = [(Price::Prompt, prompt), (Price::Completion, completion), (Price::Request, request)]
            .map(|(price, most)| Some((price, most.map(near)?)));
        let ruled = asked & !lanes.without(rows::PRICE_RULES);
        let (mut possible, mut clear) = (asked & !ruled, asked);
        for (price, (most, below)) in bounds.into_iter().flatten() {
            let [at_most, is_below] = lanes.priced(price, most, below);
            (possible, clear) = (possible & at_most, clear & is_below);
        }
        // Without any price it is too dear, whatever is bounded.
        let [known, _] = lanes.priced(Price::Prompt, f32::INFINITY, 0.0);
        clear &= known;
        for place in places(ruled) {
            let prices = lanes.prices(place, priced.prompt_tokens, priced.minute);
            let (mut fits, mut is_clear) = (true, !prices.prompt.is_nan());
            for (price, (most, below)) in bounds.into_iter().flatten() {
                let own = prices.of_unit(price);
                (fits, is_clear) = (fits & (own <= most), is_clear & (own < below));
            }
            possible |= u64::from(fits) << place;
            clear = without(clear, place) | u64::from(is_clear) << place;
        }
        if image.is_some() || audio.is_some() {
            clear = 0;
        }
        let is_dear =
            |place: &usize| self.too_dear_exactly(Subject::at(snapshot, lanes, *place).endpoint(), priced);
        places(possible & !clear).filter(is_dear).fold(possible, without)
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
