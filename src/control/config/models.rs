//! The tables of models: `[[model]]`, its endpoints and their prices, and `[[alias]]`. The shipped catalogue
//! (`catalog/models.toml`) is written in the same tables as an operator's configuration, and read here too.
//!
//! Deliberately absent: whether a provider is active (`resolve`), and how the two are laid over each other
//! (`control::catalog`).

use super::names::{Minute, Named, NamedList, Texts, Usd};
use super::problem::{Problem, Problems};
use super::reader::{Optional, Places, Reader, Required, section, table, tables};
use super::rules::{Count, Flag, LABEL, MODEL_NAME, PROVIDER_ID, Price, WhenRule};
use super::{AliasEntry, EndpointEntry, ModelEntry};
use crate::base::money::PicoDollars;
use crate::base::time::UnixSeconds;
use crate::policy::catalog::{
    DataPolicy, EndpointFacts, Modalities, Modality, ModelFacts, Parameter, Parameters, PriceRule,
    PriceRules, Prices, Quantization, ServiceTier, Tokenizer, Window,
};
use crate::policy::hedge::When;
use crate::policy::strategy::StrategyName;

/// Most `[[model]]` tables.
pub(super) const MODELS_MAX: usize = 10_000;
/// Most `[[alias]]` tables.
pub(super) const ALIASES_MAX: usize = 10_000;
/// Most endpoints of one model.
const ENDPOINTS_MAX: usize = 64;
/// Most rules of one price.
const RULES_MAX: usize = 16;
/// Any number of tokens.
const TOKENS: Count = Count(1, u32::MAX as usize);
/// Any second until the year 9999.
const SECONDS: Count = Count(0, 253_402_300_799);
const MODALITIES: NamedList<Modality> = NamedList(Named(Modality::ALL, Modality::name));
const PARAMETERS: NamedList<Parameter> = NamedList(Named(Parameter::ALL, Parameter::name));

section! {
    /// A shipped catalogue of models.
    pub(super) struct CatalogueFile {
        /// Its models.
        model: Vec<ModelTable> = Vec::new(), tables(MODELS_MAX);
        /// Further names.
        alias: Vec<AliasTable> = Vec::new(), tables(ALIASES_MAX);
    }
}

section! {
    /// A model clients can ask for. One that the shipped catalogue has too takes from there what is not
    /// written here.
    pub(super) struct ModelTable {
        /// Name clients use, by custom `<author>/<model>`.
        id: Box<str> = "".into(), Required(MODEL_NAME);
        /// Name for people.
        name: Option<Box<str>> = None, Optional(LABEL);
        /// Further names clients may use.
        aliases: Vec<Box<str>> = Vec::new(), Texts(&MODEL_NAME, 32);
        /// Tokens of prompt and answer together.
        context_tokens: Option<usize> = None, Optional(TOKENS);
        /// Tokens of an answer.
        output_tokens: Option<usize> = None, Optional(TOKENS);
        /// What it reads.
        input: Option<Vec<Modality>> = None, Optional(MODALITIES);
        /// What it writes.
        output: Option<Vec<Modality>> = None, Optional(MODALITIES);
        /// Request parameters it takes, at endpoints that do not say otherwise. Absent is unknown: nothing is
        /// taken away from a request.
        parameters: Option<Vec<Parameter>> = None, Optional(PARAMETERS);
        /// How its tokens are counted.
        tokenizer: Option<Tokenizer> = None, Optional(Named(Tokenizer::ALL, Tokenizer::name));
        /// When it was published, in seconds since 1970.
        created: Option<usize> = None, Optional(SECONDS);
        /// Whether its answers may train other models.
        distillable: Option<bool> = None, Optional(Flag);
        /// How one of its endpoints is chosen, unless a request says. Absent is `"default"`.
        strategy: Option<StrategyName> = None, Optional(Named(StrategyName::ALL, StrategyName::name));
        /// When a second candidate is begun for a request that waits; as `hedge.after`, which holds when this
        /// is absent.
        hedge: Option<When> = None, Optional(WhenRule);
        /// Where it runs, tried in this order. At least one, unless the shipped catalogue has the model; if
        /// there are any, they are all it has.
        endpoint: Vec<EndpointTable> = Vec::new(), tables(ENDPOINTS_MAX);
    }
}

section! {
    /// A model at a provider. One that the shipped catalogue has too (same provider, name, variant, region
    /// and tier) takes from there what is not written here.
    pub(super) struct EndpointTable {
        /// Id of the provider.
        provider: Box<str> = "".into(), Required(PROVIDER_ID);
        /// The provider's own name of the model.
        name: Box<str> = "".into(), Required(MODEL_NAME);
        /// What it costs. Absent is unknown, never free.
        price: Option<PriceTable> = None, Optional(table());
        /// Number format it computes in.
        quantization: Option<Quantization> = None, Optional(Named(Quantization::ALL, Quantization::name));
        /// Where it computes, such as `"eu"`.
        region: Option<Box<str>> = None, Optional(PROVIDER_ID);
        /// A second offer of the same model at the same provider, such as `"turbo"`.
        variant: Option<Box<str>> = None, Optional(PROVIDER_ID);
        /// Tier; absent is `"default"`.
        service_tier: Option<ServiceTier> = None, Optional(Named(ServiceTier::ALL, ServiceTier::name));
        /// Tokens of prompt and answer together. Absent: as the model says.
        context_tokens: Option<usize> = None, Optional(TOKENS);
        /// Tokens of a prompt.
        prompt_tokens: Option<usize> = None, Optional(TOKENS);
        /// Tokens of an answer. Absent: as the model says.
        output_tokens: Option<usize> = None, Optional(TOKENS);
        /// Request parameters it takes. Absent: as the model says.
        parameters: Option<Vec<Parameter>> = None, Optional(PARAMETERS);
        /// Whether the provider keeps prompts and answers. Absent is unknown, and counts as yes.
        retains: Option<bool> = None, Optional(Flag);
        /// Whether the provider may train on them. Absent is unknown, and counts as yes.
        trains: Option<bool> = None, Optional(Flag);
        /// Whether the provider promises zero data retention. Absent counts as no.
        zdr: Option<bool> = None, Optional(Flag);
        /// Its share where the strategy goes by weight. Absent is 1; 0 stands by.
        weight: Option<usize> = None, Optional(Count(0, 1_000_000));
        /// Names of the only keys that may use it and see it. Absent: everybody.
        private_to: Option<Vec<Box<str>>> = None, Optional(Texts(&LABEL, 1_000));
    }
}

section! {
    /// Price of one endpoint.
    pub(super) struct PriceTable {
        /// Per million prompt tokens.
        prompt: PicoDollars = PicoDollars(0), Required(Price);
        /// Per million completion tokens.
        completion: PicoDollars = PicoDollars(0), Required(Price);
        /// Per million prompt tokens read from a cache. Absent: as `prompt`.
        cache_read: Option<PicoDollars> = None, Optional(Price);
        /// Per million prompt tokens written to a cache. Absent: as `prompt`.
        cache_write: Option<PicoDollars> = None, Optional(Price);
        /// Per million prompt tokens written to a cache for an hour or longer. Absent: as `cache_write`.
        cache_write_1h: Option<PicoDollars> = None, Optional(Price);
        /// Per million reasoning tokens. Absent: as `completion`.
        reasoning: Option<PicoDollars> = None, Optional(Price);
        /// Per request, beside its tokens.
        request: Option<PicoDollars> = None, Optional(Usd);
        /// Per image of the prompt. Absent: images count as prompt tokens.
        image: Option<PicoDollars> = None, Optional(Usd);
        /// Per million tokens of sound in the prompt. Absent: sound counts as prompt tokens.
        audio: Option<PicoDollars> = None, Optional(Price);
        /// Other prices for long prompts or at hours of the day; of two that apply the later one wins.
        rule: Vec<RuleTable> = Vec::new(), tables(RULES_MAX);
    }
}

section! {
    /// Prices that replace others when every condition holds.
    pub(super) struct RuleTable {
        /// Prompts of more tokens than this.
        above_prompt_tokens: Option<usize> = None, Optional(TOKENS);
        /// From this minute of each day (UTC), together with `utc_to`.
        utc_from: Option<u16> = None, Optional(Minute);
        /// Up to, not including, this minute. The hours may pass midnight.
        utc_to: Option<u16> = None, Optional(Minute);
        /// Per million prompt tokens.
        prompt: Option<PicoDollars> = None, Optional(Price);
        /// Per million completion tokens.
        completion: Option<PicoDollars> = None, Optional(Price);
        /// Per million prompt tokens read from a cache.
        cache_read: Option<PicoDollars> = None, Optional(Price);
        /// Per million prompt tokens written to a cache.
        cache_write: Option<PicoDollars> = None, Optional(Price);
        /// Per million prompt tokens written to a cache for an hour or longer.
        cache_write_1h: Option<PicoDollars> = None, Optional(Price);
        /// Per million reasoning tokens.
        reasoning: Option<PicoDollars> = None, Optional(Price);
        /// Per request.
        request: Option<PicoDollars> = None, Optional(Usd);
        /// Per image of the prompt.
        image: Option<PicoDollars> = None, Optional(Usd);
        /// Per million tokens of sound in the prompt.
        audio: Option<PicoDollars> = None, Optional(Price);
    }
}

section! {
    /// A further name of a model, or of another alias.
    pub(super) struct AliasTable {
        /// Name clients use.
        name: Box<str> = "".into(), Required(MODEL_NAME);
        /// What it stands for.
        model: Box<str> = "".into(), Required(MODEL_NAME);
    }
}

fn tokens(count: Option<usize>) -> Option<u32> {
    count.and_then(|count| u32::try_from(count).ok())
}

impl From<RuleTable> for PriceRule {
    fn from(rule: RuleTable) -> Self {
        let window = rule.utc_from.zip(rule.utc_to).map(|(start, end)| Window { start, end });
        let RuleTable { prompt, completion, cache_read, cache_write, cache_write_1h, .. } = rule;
        let RuleTable { reasoning, request, image, audio, .. } = rule;
        let prices = Prices {
            prompt,
            completion,
            cache_read,
            cache_write,
            cache_write_1h,
            reasoning,
            request,
            image,
            audio,
        };
        Self { above_prompt_tokens: tokens(rule.above_prompt_tokens), window, prices }
    }
}

impl From<PriceTable> for PriceRules {
    fn from(price: PriceTable) -> Self {
        let (prompt, completion) = (Some(price.prompt), Some(price.completion));
        let PriceTable { cache_read, cache_write, cache_write_1h, .. } = price;
        let PriceTable { reasoning, request, image, audio, .. } = price;
        let base = Prices {
            prompt,
            completion,
            cache_read,
            cache_write,
            cache_write_1h,
            reasoning,
            request,
            image,
            audio,
        };
        Self { base, rules: price.rule.into_iter().map(Into::into).collect() }
    }
}

impl From<EndpointTable> for EndpointEntry {
    fn from(table: EndpointTable) -> Self {
        Self {
            provider: table.provider,
            name: table.name,
            facts: EndpointFacts {
                prices: table.price.map(Into::into),
                quantization: table.quantization,
                region: table.region,
                variant: table.variant,
                service_tier: table.service_tier,
                context_tokens: tokens(table.context_tokens),
                prompt_tokens: tokens(table.prompt_tokens),
                output_tokens: tokens(table.output_tokens),
                parameters: table.parameters.map(|list| Parameters::of(&list)),
                data: DataPolicy { retains: table.retains, trains: table.trains, zdr: table.zdr },
                weight: tokens(table.weight),
            },
            private_to: table.private_to,
        }
    }
}

impl ModelTable {
    /// The model without its endpoints.
    pub(super) fn facts(&self) -> ModelFacts {
        ModelFacts {
            name: self.name.clone(),
            aliases: self.aliases.clone(),
            context_tokens: tokens(self.context_tokens),
            output_tokens: tokens(self.output_tokens),
            input: self.input.as_deref().map(Modalities::of),
            output: self.output.as_deref().map(Modalities::of),
            parameters: self.parameters.as_deref().map(Parameters::of),
            tokenizer: self.tokenizer,
            created: self.created.map(|seconds| UnixSeconds(seconds as u64)),
            distillable: self.distillable,
            strategy: self.strategy,
            hedge: self.hedge,
        }
    }
}

impl From<ModelTable> for ModelEntry {
    fn from(table: ModelTable) -> Self {
        let facts = table.facts();
        Self { id: table.id, facts, endpoints: table.endpoint.into_iter().map(Into::into).collect() }
    }
}

impl From<AliasTable> for AliasEntry {
    fn from(table: AliasTable) -> Self {
        Self { name: table.name, model: table.model }
    }
}

/// A problem of prices that needs two keys: the key, relative to the price, and the message.
pub(super) fn price_problems(price: &PriceTable) -> Vec<(String, &'static str)> {
    let mut problems = Vec::new();
    for (turn, rule) in price.rule.iter().enumerate() {
        let key = format!("rule[{turn}]");
        if rule.utc_from.is_some() != rule.utc_to.is_some() {
            problems.push((key, "utc_from and utc_to belong together"));
        } else if rule.utc_from.is_some() && rule.utc_from == rule.utc_to {
            problems.push((key, "utc_from and utc_to are the same minute: the rule would never apply"));
        } else if rule.utc_from.is_none() && rule.above_prompt_tokens.is_none() {
            problems.push((key, "no condition: write above_prompt_tokens, or utc_from and utc_to"));
        }
    }
    problems
}

/// Models and aliases of a catalogue file, and how to say where something is wrong with them.
#[derive(Clone, Debug)]
pub struct CatalogueText {
    /// The models, in the order of the file.
    pub models: Vec<ModelEntry>,
    /// The aliases, in the order of the file.
    pub aliases: Vec<AliasEntry>,
    places: Places,
}

impl CatalogueText {
    /// A problem at `key`, such as `model[3].endpoint[0].price`.
    #[must_use]
    pub fn problem(&self, key: &str, value: Option<&str>, message: String) -> Problem {
        self.places.problem(key, value, message)
    }
}

/// Reads the text of a catalogue file.
///
/// # Errors
/// Everything that is wrong with single values or with a price. Names are not looked at.
pub fn read_catalogue(file: &str, text: &str) -> Result<CatalogueText, Problems> {
    let (read, reader) = Reader::parse::<CatalogueFile>(file, text);
    let (mut problems, places, _) = reader.finish();
    for (model, table) in read.model.iter().enumerate() {
        for (endpoint, table) in table.endpoint.iter().enumerate() {
            for (key, message) in table.price.iter().flat_map(price_problems) {
                let key = format!("model[{model}].endpoint[{endpoint}].price.{key}");
                problems.push(places.problem(&key, None, message));
            }
        }
    }
    if let Some(problems) = Problems::new(problems) {
        return Err(problems);
    }
    let models = read.model.into_iter().map(Into::into).collect();
    Ok(CatalogueText { models, aliases: read.alias.into_iter().map(Into::into).collect(), places })
}
