//! The lanes: one word per endpoint and property, the endpoints of a model side by side.
//!
//! ```text
//!  Block of model 7 ─► words: prompt price × n │ completion price × n │ fee × n │ id × n │ traits × n │ …
//! ```
//!
//! Deliberately absent: endpoints beyond those that a request looks at, and any decision.

use crate::base::ids::{EndpointId, ModelId, ProviderId};
use crate::base::money::PicoDollars;
use crate::policy::catalog::{Parameters, PriceRule, Snapshot, Window};
use crate::policy::route::ENDPOINTS_PER_MODEL;
use crate::policy::rows::ask::{BasePrices, Bounds, Price};
use crate::policy::rows::{PRICE_RULES, Row, RowPrices, row};
use crate::wire::block::{WORDS, Words};

/// A property of endpoints; in this order they lie in a model's words, the most asked for first.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
enum Lane {
    PromptPrice,
    CompletionPrice,
    Fee,
    Id,
    /// Flags, kinds of content, number format: see [`traits`].
    Traits,
    Parameters,
    ContextTokens,
    PromptTokens,
    OutputTokens,
    Provider,
    Weight,
    IdentityLow,
    IdentityHigh,
    /// Its price rules: the first one, and above [`RULES_SHIFT`] how many.
    Rules,
}

const LANES: usize = Lane::Rules as usize + 1;
const RULES_SHIFT: u32 = 24;
const INPUT_SHIFT: u32 = 8;
const QUANTIZATION_SHIFT: u32 = 16;

/// Flags, kinds of content and number format in one word, so that one load answers most questions.
const fn traits(row: &Row) -> u32 {
    debug_assert!(row.flags <= u8::MAX as u16);
    row.flags as u32 | (row.input as u32) << INPUT_SHIFT | (row.quantization as u32) << QUANTIZATION_SHIFT
}

/// What holds for all endpoints of a model: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Block {
    /// Its first word.
    words: u32,
    /// Its endpoints, at most [`ENDPOINTS_PER_MODEL`].
    count: u32,
    /// The `EndpointId` of the first one, if the others follow it one by one, else [`SCATTERED`]: mostly
    /// nobody needs to look at the lane of ids.
    first: u32,
    /// Flags that any endpoint has.
    any_flags: u16,
    /// Flags that all endpoints have.
    all_flags: u16,
    /// Number formats that any endpoint has.
    any_quantization: u16,
    /// Kinds of content that all read.
    all_input: u8,
    /// Some endpoint says what it reads, or how much.
    restricted: bool,
    /// Some endpoint has a fee per request.
    has_fees: bool,
    /// Parameters that all take.
    all_parameters: Parameters,
    /// The least that any has room for.
    context_tokens: u32,
    prompt_tokens: u32,
    output_tokens: u32,
}

const _: () = assert!(size_of::<Block>() == 64);

/// No endpoint's id.
const SCATTERED: u32 = u32::MAX;

/// A rule that replaces prices. NaN is a price that it does not replace.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// Fewest tokens of the prompt.
    prompt_tokens_least: u64,
    /// Hours of the day; `None` is all of them.
    window: Option<Window>,
    prices: [f32; 3],
}

impl Rule {
    fn of(rule: &PriceRule) -> Self {
        let amount = |price: Option<PicoDollars>| price.map_or(f32::NAN, |price| price.0 as f32);
        let prices = &rule.prices;
        Self {
            prompt_tokens_least: rule.above_prompt_tokens.map_or(0, |most| u64::from(most) + 1),
            window: rule.window,
            prices: [prices.prompt, prices.completion, prices.request].map(amount),
        }
    }
}

/// What routing looks at, for all models of a snapshot.
#[derive(Debug)]
pub struct Tables {
    blocks: Box<[Block]>,
    words: Box<[u32]>,
    rules: Box<[Rule]>,
}

impl Tables {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let counts = snapshot.models.iter().map(|model| model.endpoints.len().min(ENDPOINTS_PER_MODEL));
        let mut words = Vec::with_capacity(counts.sum::<usize>() * LANES + WORDS - 1);
        let mut blocks = Vec::with_capacity(snapshot.models.len());
        let mut rules = Vec::new();
        for model in &snapshot.models {
            let ids = &model.endpoints[..model.endpoints.len().min(ENDPOINTS_PER_MODEL)];
            // An endpoint that is not in the table cannot be tried.
            let known: Vec<(EndpointId, Row, u32)> = ids
                .iter()
                .filter_map(|id| {
                    let endpoint = snapshot.endpoints.get(id.index())?;
                    let own = endpoint.facts.prices.as_ref().map_or(&[][..], |prices| &prices.rules);
                    let first = rules.len() as u32;
                    let count = own.len().min((u32::MAX >> RULES_SHIFT) as usize);
                    rules.extend(own[..count].iter().map(Rule::of));
                    Some((*id, row(snapshot, endpoint), first | (count as u32) << RULES_SHIFT))
                })
                .collect();
            blocks.push(Block::of(words.len() as u32, &known));
            for lane in 0..LANES {
                words.extend(known.iter().map(|(id, row, rules)| word(*id, row, *rules)[lane]));
            }
        }
        // Whoever looks at four words at a time looks beyond the end of the last lane.
        words.extend([0; WORDS - 1]);
        debug_assert!(rules.len() < 1 << RULES_SHIFT && words.len() < u32::MAX as usize);
        Self { blocks: blocks.into(), words: words.into(), rules: rules.into() }
    }

    /// The endpoints of a model.
    pub(in crate::policy) fn model(&self, model: ModelId) -> Lanes<'_> {
        let block = &self.blocks[model.index()];
        let first = block.words as usize;
        let words = &self.words[first..][..block.count as usize * LANES + WORDS - 1];
        Lanes { block, words, rules: &self.rules }
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.blocks) + size_of_val(&*self.words) + size_of_val(&*self.rules)
    }
}

/// The words of an endpoint, in the order of [`Lane`].
fn word(id: EndpointId, row: &Row, rules: u32) -> [u32; LANES] {
    let mut words = [0; LANES];
    let mut set = |lane: Lane, word: u32| words[lane as usize] = word;
    set(Lane::PromptPrice, row.prices.prompt.to_bits());
    set(Lane::CompletionPrice, row.prices.completion.to_bits());
    set(Lane::Fee, row.prices.request.to_bits());
    set(Lane::Id, id.0);
    set(Lane::Traits, traits(row));
    set(Lane::Parameters, row.parameters.0);
    set(Lane::ContextTokens, row.context_tokens);
    set(Lane::PromptTokens, row.prompt_tokens);
    set(Lane::OutputTokens, row.output_tokens);
    set(Lane::Provider, row.provider.0);
    set(Lane::Weight, row.weight.to_bits());
    set(Lane::IdentityLow, row.identity as u32);
    set(Lane::IdentityHigh, (row.identity >> 32) as u32);
    set(Lane::Rules, rules);
    words
}

impl Block {
    fn of(words: u32, known: &[(EndpointId, Row, u32)]) -> Self {
        let first = known.first().map_or(SCATTERED, |(id, ..)| id.0);
        let is_run = (0_u32..).zip(known).all(|(place, (id, ..))| id.0.checked_sub(place) == Some(first));
        let mut block = Self {
            words,
            count: known.len() as u32,
            first: if is_run { first } else { SCATTERED },
            any_flags: 0,
            all_flags: u16::MAX,
            has_fees: false,
            any_quantization: 0,
            all_input: u8::MAX,
            restricted: false,
            all_parameters: Parameters(u32::MAX),
            context_tokens: u32::MAX,
            prompt_tokens: u32::MAX,
            output_tokens: u32::MAX,
        };
        for (_, row, _) in known {
            block.any_flags |= row.flags;
            block.all_flags &= row.flags;
            block.has_fees |= row.prices.request != 0.0;
            block.any_quantization |= row.quantization;
            block.all_input &= row.input;
            block.restricted |= row.input != u8::MAX || row.context_tokens != u32::MAX;
            block.all_parameters.0 &= row.parameters.0;
            block.context_tokens = block.context_tokens.min(row.context_tokens);
            block.prompt_tokens = block.prompt_tokens.min(row.prompt_tokens);
            block.output_tokens = block.output_tokens.min(row.output_tokens);
        }
        block
    }
}

/// The endpoints of one model, by their place in it.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Lanes<'a> {
    block: &'a Block,
    /// All lanes, and as many words more as it takes to look at the last ones four at a time.
    words: &'a [u32],
    rules: &'a [Rule],
}

impl<'a> Lanes<'a> {
    /// How many endpoints there are.
    pub(in crate::policy) const fn count(&self) -> usize {
        self.block.count as usize
    }

    fn lane(&self, lane: Lane) -> &'a [u32] {
        let count = self.count();
        &self.words[lane as usize * count..][..count]
    }

    /// What a request of so many tokens costs at each endpoint, by its base prices; NaN where one is unknown.
    pub(in crate::policy) fn base_costs(&self, prompt_tokens: f32, output_tokens: f32, costs: &mut [f32]) {
        let BasePrices { prompt, completion, fee } = self.base();
        let tokens = |(prompt, completion): (&u32, &u32)| {
            f32::from_bits(*prompt) * prompt_tokens + f32::from_bits(*completion) * output_tokens
        };
        let costs = costs.iter_mut().zip(prompt.iter().zip(completion));
        match fee {
            None => costs.for_each(|(cost, prices)| *cost = tokens(prices)),
            Some(fee) => {
                costs.zip(fee).for_each(|((cost, prices), fee)| *cost = tokens(prices) + f32::from_bits(*fee))
            }
        }
    }

    /// The base prices, to look some of them up.
    pub(in crate::policy) fn base(&self) -> BasePrices<'a> {
        let [prompt, completion] = [Lane::PromptPrice, Lane::CompletionPrice].map(|lane| self.lane(lane));
        BasePrices { prompt, completion, fee: self.block.has_fees.then(|| self.lane(Lane::Fee)) }
    }

    /// The `EndpointId` of the first one, if those of the others follow one by one.
    #[inline]
    pub(in crate::policy) const fn first(&self) -> Option<u32> {
        if self.block.first == SCATTERED { None } else { Some(self.block.first) }
    }

    /// `EndpointId`s, in their order.
    pub(in crate::policy) fn ids(&self) -> &'a [u32] {
        self.lane(Lane::Id)
    }

    /// The place of this endpoint.
    pub(in crate::policy) fn place(&self, id: EndpointId) -> Option<usize> {
        match self.first() {
            Some(first) => {
                id.0.checked_sub(first).map(|place| place as usize).filter(|place| *place < self.count())
            }
            None => self.ids().iter().position(|own| *own == id.0),
        }
    }

    /// Which endpoint this is.
    #[inline]
    pub(in crate::policy) fn id(&self, place: usize) -> EndpointId {
        debug_assert!(place < self.count());
        EndpointId(match self.first() {
            Some(first) => first + place as u32,
            None => self.lane(Lane::Id)[place],
        })
    }

    /// Its provider.
    pub(in crate::policy) fn provider(&self, place: usize) -> ProviderId {
        ProviderId(self.lane(Lane::Provider)[place])
    }

    /// Its flags.
    pub(in crate::policy) fn flags(&self, place: usize) -> u16 {
        self.lane(Lane::Traits)[place] as u16 & u16::from(u8::MAX)
    }

    /// Its share where endpoints are chosen by weight.
    pub(in crate::policy) fn weight(&self, place: usize) -> f32 {
        f32::from_bits(self.lane(Lane::Weight)[place])
    }

    /// What stays the same when other endpoints come and go.
    pub(in crate::policy) fn identity(&self, place: usize) -> u64 {
        u64::from(self.lane(Lane::IdentityHigh)[place]) << 32 | u64::from(self.lane(Lane::IdentityLow)[place])
    }

    /// Flags that any endpoint has.
    pub(in crate::policy) const fn any_flags(&self) -> u16 {
        self.block.any_flags
    }

    /// Some endpoint says what it reads, or how much.
    pub(in crate::policy) const fn restricted(&self) -> bool {
        self.block.restricted
    }

    /// A bit for each endpoint.
    pub(in crate::policy) const fn all(&self) -> u64 {
        if self.count() == 0 { 0 } else { u64::MAX >> (u64::BITS - self.block.count) }
    }

    /// A bit for each endpoint that keeps the bounds. Mostly all do, and the model's own line says so.
    #[inline]
    pub(in crate::policy) fn keeping(&self, bounds: &Bounds) -> u64 {
        let Block { any_flags, any_quantization, all_input, all_parameters, .. } = self.block;
        let block = self.block;
        let traits = any_flags & bounds.forbidden == 0
            && any_quantization & !bounds.quantizations == 0
            && bounds.input & !all_input == 0;
        let sizes = all_parameters.has_all(bounds.parameters)
            && bounds.room() <= block.context_tokens
            && bounds.prompt_tokens <= block.prompt_tokens
            && bounds.output_tokens <= block.output_tokens;
        match (traits, sizes) {
            (true, true) => self.all(),
            (false, true) => self.all() & self.of_traits(bounds),
            (true, false) => self.all() & self.of_sizes(bounds),
            (false, false) => self.all() & self.of_traits(bounds) & self.of_sizes(bounds),
        }
    }

    /// A bit for each endpoint, and others, with allowed flags and format, and that reads what it must.
    fn of_traits(&self, bounds: &Bounds) -> u64 {
        let (forbidden, input) = (u32::from(bounds.forbidden), u32::from(bounds.input) << INPUT_SHIFT);
        let quantizations = u32::from(bounds.quantizations) << QUANTIZATION_SHIFT;
        // Each has one format: without those that are not taken is with one that is.
        let others = !quantizations & u32::MAX << QUANTIZATION_SHIFT;
        self.bits(Lane::Traits, |four| four.without(forbidden | others) & four.with(input))
    }

    /// A bit for each endpoint, and others, that knows the parameters and has the room.
    fn of_sizes(&self, bounds: &Bounds) -> u64 {
        self.bits(Lane::Parameters, |four| four.with(bounds.parameters.0))
            & self.bits(Lane::ContextTokens, |four| four.at_least(bounds.room()))
            & self.bits(Lane::PromptTokens, |four| four.at_least(bounds.prompt_tokens))
            & self.bits(Lane::OutputTokens, |four| four.at_least(bounds.output_tokens))
    }

    /// A bit for each endpoint whose word belongs to a class; the bits above them mean nothing.
    #[inline(always)]
    fn bits(&self, lane: Lane, class: impl Fn(Words) -> u32) -> u64 {
        let count = self.count();
        let (fours, _) = self.words[lane as usize * count..][..count.next_multiple_of(WORDS)].as_chunks();
        Words::each(fours, class)
    }

    /// A bit for each endpoint that does not take all of these.
    pub(in crate::policy) fn lacking(&self, parameters: Parameters) -> u64 {
        if self.block.all_parameters.has_all(parameters) {
            return 0;
        }
        self.all() & !self.bits(Lane::Parameters, |four| four.with(parameters.0))
    }

    /// A bit for each endpoint without any of these flags.
    pub(in crate::policy) fn without(&self, flags: u16) -> u64 {
        if self.block.any_flags & flags == 0 {
            return self.all();
        }
        if self.block.all_flags & flags != 0 {
            return 0;
        }
        self.all() & self.bits(Lane::Traits, |four| four.without(u32::from(flags)))
    }

    /// A bit for each endpoint whose identity has this upper half.
    pub(in crate::policy) fn of_identity(&self, upper: u32) -> u64 {
        self.all() & self.bits(Lane::IdentityHigh, |four| four.equal(upper))
    }

    /// A bit for each endpoint of this provider.
    pub(in crate::policy) fn of_provider(&self, provider: u32) -> u64 {
        self.all() & self.bits(Lane::Provider, |four| four.equal(provider))
    }

    /// A bit for each endpoint whose base price is at most `most`, and a bit for each where it is below
    /// `below`; what is unknown is neither.
    pub(in crate::policy) fn priced(&self, price: Price, most: f32, below: f32) -> [u64; 2] {
        let lane = match price {
            Price::Prompt => Lane::PromptPrice,
            Price::Completion => Lane::CompletionPrice,
            Price::Request => Lane::Fee,
        };
        let most = self.bits(lane, |four| four.floats_at_most(most));
        [most, self.bits(lane, |four| four.floats_below(below))].map(|bits| self.all() & bits)
    }

    /// Prices for a prompt of so many tokens at this minute of the day.
    pub(in crate::policy) fn prices(&self, place: usize, prompt_tokens: u32, minute: u16) -> RowPrices {
        let RowPrices { prompt, completion, request } = self.base().at(place);
        let mut prices = [prompt, completion, request];
        if self.flags(place) & PRICE_RULES != 0 {
            let packed = self.lane(Lane::Rules)[place];
            let (first, count) = (packed & ((1 << RULES_SHIFT) - 1), packed >> RULES_SHIFT);
            for rule in &self.rules[first as usize..][..count as usize] {
                let now = rule.window.is_none_or(|window| window.holds(minute));
                if now && u64::from(prompt_tokens) >= rule.prompt_tokens_least {
                    for (price, other) in prices.iter_mut().zip(rule.prices) {
                        *price = if other.is_nan() { *price } else { other };
                    }
                }
            }
        }
        let [prompt, completion, request] = prices;
        RowPrices { prompt, completion, request }
    }

    /// The endpoint in one piece, with its base prices.
    pub(in crate::policy) fn row(&self, place: usize) -> Row {
        let word = |lane: Lane| self.lane(lane)[place];
        let traits = word(Lane::Traits);
        Row {
            provider: self.provider(place),
            flags: self.flags(place),
            quantization: (traits >> QUANTIZATION_SHIFT) as u16,
            input: (traits >> INPUT_SHIFT) as u8,
            parameters: Parameters(word(Lane::Parameters)),
            context_tokens: word(Lane::ContextTokens),
            prompt_tokens: word(Lane::PromptTokens),
            output_tokens: word(Lane::OutputTokens),
            weight: self.weight(place),
            identity: self.identity(place),
            prices: RowPrices {
                prompt: f32::from_bits(word(Lane::PromptPrice)),
                completion: f32::from_bits(word(Lane::CompletionPrice)),
                request: f32::from_bits(word(Lane::Fee)),
            },
        }
    }
}
