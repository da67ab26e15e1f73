//! Filters: which endpoints may not serve a request at all, and why.
//!
//! Hard ones: what the sender demands (`provider{}`), and what the request needs (room for prompt and answer,
//! kinds of content). Every endpoint is asked the same short list of questions about its row; the first that
//! it fails is the one it is excluded by. Unknown sizes and capabilities exclude nothing; unknown prices and
//! data policies do as soon as somebody asks about them.
//! Deliberately absent: soft preferences and the order of what is left (`route`, `strategy`).

use crate::base::ids::{KeyId, ProviderId};
use crate::policy::catalog::{Endpoint, Modalities, Modality, Parameter, Parameters, Snapshot};
use crate::policy::prefs::{MaxPrice, Names, PROVIDERS_PER_LIST, Preferences};
use crate::policy::rows::{self, QUANTIZATION_UNKNOWN, Row};
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
    pub(super) fn of(snapshot: &Snapshot, names: Names<'b>) -> Option<Self> {
        if !names.given() {
            return None;
        }
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
        Some(slugs)
    }

    /// The place of the first entry that means this endpoint.
    pub(super) fn place(&self, row: &Row, endpoint: Option<&Endpoint>) -> Option<usize> {
        self.list[..self.count]
            .iter()
            .position(|slug| slug.provider == row.provider.0 && slug.means(row, endpoint))
    }

    /// Does an entry name this endpoint's tier?
    fn names_tier(&self, row: &Row, endpoint: Option<&Endpoint>) -> bool {
        self.place(row, endpoint).is_some()
    }
}

impl Slug<'_> {
    /// A provider's bare name means all of its endpoints but those of a service tier (they cost another price
    /// and must be named).
    fn means(&self, row: &Row, endpoint: Option<&Endpoint>) -> bool {
        let tiered = row.flags & (rows::FLEX | rows::PRIORITY) != 0;
        if self.rest.is_empty() {
            return !tiered;
        }
        let Some(Endpoint { facts, tag, .. }) = endpoint else { return false };
        let same = |text: &str| text.eq_ignore_ascii_case(self.rest);
        let tag = tag.split_once('/').is_some_and(|(_, rest)| same(rest));
        let part = facts.variant.as_deref().is_some_and(same) || facts.region.as_deref().is_some_and(same);
        let format = facts.quantization.is_some_and(|one| same(one.name()));
        tag || (tiered && same(facts.tier().name())) || (!tiered && (part || format))
    }
}

/// The questions of one request, ready to be asked about many rows.
#[derive(Debug)]
pub(super) struct Gate<'b> {
    key: Option<KeyId>,
    only: Option<Slugs<'b>>,
    ignore: Option<Slugs<'b>>,
    pub(super) order: Option<Slugs<'b>>,
    allow_fallbacks: bool,
    /// Flags that exclude, without those of tiers.
    forbidden: u16,
    quantizations: u16,
    max_price: MaxPrice,
    required: Parameters,
    prompt_tokens_least: u32,
    output_tokens: u32,
    /// Kinds of content, once looked for.
    content: Modalities,
}

impl<'b> Gate<'b> {
    pub(super) fn new(
        snapshot: &Snapshot,
        key: Option<KeyId>,
        preferences: &Preferences<'b>,
        needs: &Needs<'_>,
    ) -> Self {
        let flag = |bit: u16, set: bool| if set { bit } else { 0 };
        Self {
            key,
            only: Slugs::of(snapshot, preferences.only),
            ignore: Slugs::of(snapshot, preferences.ignore),
            order: Slugs::of(snapshot, preferences.order),
            allow_fallbacks: preferences.allow_fallbacks,
            forbidden: rows::PRIVATE
                | flag(rows::COLLECTS, preferences.deny_data_collection)
                | flag(rows::RETAINS, preferences.zdr)
                | flag(rows::CLOSED, preferences.distillable_only),
            quantizations: preferences
                .quantizations
                .map_or(u16::MAX, |(set, unknown)| set.0 | if unknown { QUANTIZATION_UNKNOWN } else { 0 }),
            max_price: preferences.max_price,
            required: if preferences.require_parameters { needs.parameters } else { Parameters::NONE },
            prompt_tokens_least: 0,
            output_tokens: needs.output_tokens.unwrap_or(0),
            content: Modalities::NONE,
        }
    }

    /// Takes note of what the prompt contains. Bytes of images and files are no measure of tokens.
    pub(super) fn measure(&mut self, content: Modalities, needs: &Needs<'_>) {
        self.content = content;
        let text_only = content == Modalities::NONE;
        self.prompt_tokens_least =
            if text_only { needs.prompt.len() as u32 / BYTES_PER_TOKEN_MOST } else { 0 };
    }

    /// The first filter that excludes this endpoint. `tiers` are the flags of tiers that may take part;
    /// `prompt_tokens` and `minute` choose the price rules.
    #[inline]
    pub(super) fn excludes<'s>(
        &self,
        row: &Row,
        endpoint: impl Fn() -> Option<&'s Endpoint>,
        tiers: u16,
        prompt_tokens: u32,
        minute: u16,
    ) -> Option<Filter> {
        let tier_flags = (rows::FLEX | rows::PRIORITY) & !tiers;
        let fits = row.flags & (self.forbidden | tier_flags) == 0
            && row.quantization & self.quantizations != 0
            && row.parameters.has_all(self.required)
            && u64::from(self.prompt_tokens_least) + u64::from(self.output_tokens)
                <= u64::from(row.context_tokens)
            && self.prompt_tokens_least <= row.prompt_tokens
            && self.output_tokens <= row.output_tokens
            && self.content.0 & !row.input == 0;
        let simple = self.only.is_none() && self.ignore.is_none() && !self.max_price.given();
        if fits && simple && (self.order.is_none() || self.allow_fallbacks) {
            return None;
        }
        self.first(row, endpoint(), tier_flags, prompt_tokens, minute)
    }

    /// The same questions one by one.
    fn first(
        &self,
        row: &Row,
        endpoint: Option<&Endpoint>,
        tier_flags: u16,
        prompt_tokens: u32,
        minute: u16,
    ) -> Option<Filter> {
        let Self { only, ignore, order, .. } = self;
        let listed = |slugs: &Option<Slugs<'_>>| slugs.as_ref().map(|one| one.place(row, endpoint).is_some());
        let tier_named = [only, order].into_iter().flatten().any(|slugs| slugs.names_tier(row, endpoint));
        let flagged = |bit: u16| row.flags & self.forbidden & bit != 0;
        let room = u64::from(self.prompt_tokens_least) + u64::from(self.output_tokens);
        let tests: [(Filter, bool); Filter::ALL.len()] = [
            (
                Filter::Private,
                flagged(rows::PRIVATE) && !endpoint.is_some_and(|one| one.visible_to(self.key)),
            ),
            (Filter::Only, listed(only) == Some(false)),
            (Filter::Ignore, listed(ignore) == Some(true)),
            (Filter::Fallbacks, !self.allow_fallbacks && listed(order) == Some(false)),
            (Filter::Tier, row.flags & tier_flags != 0 && !tier_named),
            (Filter::DataCollection, flagged(rows::COLLECTS)),
            (Filter::Zdr, flagged(rows::RETAINS)),
            (Filter::Distillable, flagged(rows::CLOSED)),
            (Filter::Quantization, row.quantization & self.quantizations == 0),
            (Filter::MaxPrice, self.max_price.given() && self.too_dear(endpoint, prompt_tokens, minute)),
            (
                Filter::Context,
                room > u64::from(row.context_tokens) || self.prompt_tokens_least > row.prompt_tokens,
            ),
            (Filter::OutputTokens, self.output_tokens > row.output_tokens),
            (Filter::Modality, self.content.0 & !row.input != 0),
            (Filter::Parameters, !row.parameters.has_all(self.required)),
        ];
        tests.into_iter().find(|(_, excluded)| *excluded).map(|(filter, _)| filter)
    }

    /// Compared as whole pico-dollars. What is not known costs too much.
    fn too_dear(&self, endpoint: Option<&Endpoint>, prompt_tokens: u32, minute: u16) -> bool {
        let Some(rules) = endpoint.and_then(|one| one.facts.prices.as_ref()) else { return true };
        let prices = rules.at(prompt_tokens, minute);
        let most = &self.max_price;
        let above = |most: Option<i128>, price: Option<i128>| {
            most.is_some_and(|most| price.is_none_or(|price| price > most))
        };
        above(most.prompt, prices.prompt.map(|price| price.0))
            || above(most.completion, prices.completion.map(|price| price.0))
            // No fee is a fee of nothing, and images without a price are counted as tokens.
            || above(most.request, Some(prices.request.map_or(0, |price| price.0)))
            || above(most.image, Some(prices.image.map_or(0, |price| price.0)))
    }
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
        prices: rows::RowPrices { prompt: f32::NAN, completion: f32::NAN, request: 0.0 },
    }
}
