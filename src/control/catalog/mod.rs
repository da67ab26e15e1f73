//! The catalogue: the models that ship with Millrace (`catalog/models.toml`, compiled in), checked as a
//! whole, and the rule by which an operator's own tables are laid over it.
//!
//! | room | what it does |
//! |---|---|
//! | `text` | a catalogue as the text of its file |
//! | [`merge`] | new facts into a catalogue, and what that changes |
//! | [`import`] | new facts from the files of others |
//!
//! Deliberately absent: which providers are configured (the snapshot knows), and live figures.

pub mod import;
mod latest;
pub mod merge;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::config::{
    self, AliasEntry, CatalogueText, EndpointEntry, ModelEntry, Problem, Problems, read_catalogue,
};
use crate::policy::catalog::{DataPolicy, EndpointFacts, ModelFacts};

pub use latest::latest;
pub use text::render;

/// Name of the shipped file, in messages.
const SHIPPED_FILE: &str = "catalog/models.toml";
const SHIPPED_TEXT: &str = include_str!("../../../catalog/models.toml");

/// Models and further names, checked: every id is there once, every endpoint has a price and a known
/// provider, every alias leads to a model.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    models: Vec<ModelEntry>,
    aliases: Vec<AliasEntry>,
    rows: HashMap<Box<str>, usize>,
}

/// The catalogue that is compiled in, read when it is first asked for.
///
/// # Errors
/// Everything that is wrong with it. A test holds that nothing is.
pub fn shipped() -> Result<&'static Catalogue, &'static Problems> {
    static SHIPPED: LazyLock<Result<Catalogue, Problems>> =
        LazyLock::new(|| Catalogue::read(SHIPPED_FILE, SHIPPED_TEXT));
    SHIPPED.as_ref()
}

impl Catalogue {
    /// Reads the text of a catalogue file, whose endpoints are at providers that ship with Millrace.
    ///
    /// # Errors
    /// Everything that is wrong: single values, ids and names that are there twice, missing prices, unknown
    /// providers, aliases that lead nowhere or back to themselves.
    pub fn read(file: &str, text: &str) -> Result<Self, Problems> {
        if let Some(catalogue) = Self::read_in_pieces(file, text) {
            return Ok(catalogue);
        }
        let read = read_catalogue(file, text)?;
        let problems = problems(&read);
        if let Some(problems) = Problems::new(problems) {
            return Err(problems);
        }
        Ok(Self::unchecked(read.models, read.aliases))
    }

    /// Reads some models at a time: the tree of all of them together takes twenty times the memory of the
    /// text, and an allocator keeps what it once had. `None` when anything is wrong; read as a whole, the
    /// text tells what and where.
    fn read_in_pieces(file: &str, text: &str) -> Option<Self> {
        let mut all: Option<CatalogueText> = None;
        for piece in pieces(text) {
            let read = read_catalogue(file, piece).ok()?;
            match &mut all {
                Some(all) => {
                    all.models.extend(read.models);
                    all.aliases.extend(read.aliases);
                }
                None => all = Some(read),
            }
        }
        let mut all = all.filter(|all| problems(all).is_empty())?;
        all.models.shrink_to_fit();
        Some(Self::unchecked(all.models, all.aliases))
    }

    fn unchecked(models: Vec<ModelEntry>, aliases: Vec<AliasEntry>) -> Self {
        let rows = models.iter().enumerate().map(|(row, model)| (model.id.clone(), row)).collect();
        Self { models, aliases, rows }
    }

    /// Its models, in the order of the file.
    #[must_use]
    pub fn models(&self) -> &[ModelEntry] {
        &self.models
    }

    /// Its aliases, in the order of the file.
    #[must_use]
    pub fn aliases(&self) -> &[AliasEntry] {
        &self.aliases
    }

    /// The model of this id.
    #[must_use]
    pub fn model(&self, id: &str) -> Option<&ModelEntry> {
        self.rows.get(id).map(|row| &self.models[*row])
    }

    /// Is there a model of this id?
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.rows.contains_key(id)
    }

    /// Does this id, or alias, lead to a model?
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        let of_model = |model: &ModelEntry| model.facts.aliases.iter().any(|alias| &**alias == name);
        self.has(name)
            || self.aliases.iter().any(|alias| &*alias.name == name)
            || self.models.iter().any(of_model)
    }
}

/// Bytes of text, about, that are read at a time.
const PIECE_BYTES: usize = 16 << 10;

/// Cuts a catalogue file in front of some of its models. A text in which such a line is no header does not
/// survive it, and is read as a whole.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    core::iter::from_fn(move || {
        const HEADER: &[u8] = b"\n[[model]]\n";
        let whole = rest;
        let from = whole.len().min(PIECE_BYTES);
        let cut = whole.as_bytes()[from..].windows(HEADER.len()).position(|line| line == HEADER);
        // Behind the line feed, which is a character of its own.
        let (piece, other) = whole.split_at(cut.map_or(whole.len(), |at| from + at + 1));
        rest = other;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Everything that is wrong with a catalogue whose single values are right.
fn problems(read: &CatalogueText) -> Vec<Problem> {
    let mut problems = Vec::new();
    let providers: HashSet<&str> = config::shipped_provider_ids().collect();
    let mut ids = HashSet::new();
    for (turn, model) in read.models.iter().enumerate() {
        let path = format!("model[{turn}]");
        let mut report = |key: &str, value: Option<&str>, message: &str| {
            problems.push(read.problem(&format!("{path}{key}"), value, message.to_owned()));
        };
        if !ids.insert(&*model.id) {
            report(".id", Some(&model.id), "another model has this id");
        }
        if model.endpoints.is_empty() {
            report(".endpoint", None, "missing: at least one endpoint");
        }
        for (turn, endpoint) in model.endpoints.iter().enumerate() {
            let path = format!(".endpoint[{turn}]");
            if !providers.contains(&*endpoint.provider) {
                report(&format!("{path}.provider"), Some(&endpoint.provider), "no provider has this id");
            }
            if endpoint.facts.prices.is_none() {
                report(&format!("{path}.price"), None, "missing: a price; unknown is never free");
            }
            if model.endpoints[..turn].iter().any(|other| other.same_offer(endpoint)) {
                report(&path, Some(&endpoint.name), "another endpoint is the same offer");
            }
        }
    }
    for (key, value, message) in alias_problems(&read.models, &read.aliases, |name| ids.contains(name)) {
        problems.push(read.problem(&key, Some(&value), message));
    }
    problems
}

/// What is wrong with further names: key, value and message. `known` says whether an id is a model's.
pub fn alias_problems(
    models: &[ModelEntry],
    aliases: &[AliasEntry],
    known: impl Fn(&str) -> bool,
) -> Vec<(String, String, String)> {
    let ids: HashSet<&str> = models.iter().map(|model| &*model.id).collect();
    let mut names = HashSet::new();
    let mut problems = Vec::new();
    let mut claim = |key: String, name: &'_ str| {
        if ids.contains(name) {
            problems.push((key, name.to_owned(), "a model has this id".to_owned()));
        } else if !names.insert(name.to_owned()) {
            problems.push((key, name.to_owned(), "this name is there twice".to_owned()));
        }
    };
    for (turn, model) in models.iter().enumerate() {
        for name in &model.facts.aliases {
            claim(format!("model[{turn}].aliases"), name);
        }
    }
    for (turn, alias) in aliases.iter().enumerate() {
        claim(format!("alias[{turn}].name"), &alias.name);
    }
    let targets = targets(models, aliases);
    for (turn, alias) in aliases.iter().enumerate() {
        let message = match follow(&targets, &alias.name) {
            None => "a cycle: this name leads back to itself".to_owned(),
            Some(end) if ids.contains(end) || known(end) => continue,
            Some(end) => format!("leads to {end:?}, which is no model"),
        };
        problems.push((format!("alias[{turn}].model"), alias.model.to_string(), message));
    }
    problems
}

/// What each further name stands for.
#[must_use]
pub fn targets<'a>(models: &'a [ModelEntry], aliases: &'a [AliasEntry]) -> HashMap<&'a str, &'a str> {
    let of_model = |model: &'a ModelEntry| model.facts.aliases.iter().map(|name| (&**name, &*model.id));
    models.iter().flat_map(of_model).chain(aliases.iter().map(|one| (&*one.name, &*one.model))).collect()
}

/// Where a name leads in the end; `None` when it leads back to itself.
#[must_use]
pub fn follow<'a>(targets: &HashMap<&str, &'a str>, name: &'a str) -> Option<&'a str> {
    let mut end = name;
    // A way without a cycle has at most as many steps as there are names.
    for _ in 0..=targets.len() {
        match targets.get(end) {
            Some(next) => end = next,
            None => return Some(end),
        }
    }
    None
}

impl EndpointEntry {
    /// Is `other` the same offer of the same provider, whatever else is known about the two?
    #[must_use]
    pub fn same_offer(&self, other: &Self) -> bool {
        let offer = |one: &Self| (one.facts.variant.clone(), one.facts.region.clone(), one.facts.tier());
        self.provider == other.provider && self.name == other.name && offer(self) == offer(other)
    }

    /// This endpoint, with what it does not say from `below`.
    #[must_use]
    pub fn laid_over(self, below: &Self) -> Self {
        let (facts, other) = (self.facts, below.facts.clone());
        let data = DataPolicy {
            retains: facts.data.retains.or(other.data.retains),
            trains: facts.data.trains.or(other.data.trains),
            zdr: facts.data.zdr.or(other.data.zdr),
        };
        let facts = EndpointFacts {
            prices: facts.prices.or(other.prices),
            quantization: facts.quantization.or(other.quantization),
            region: facts.region.or(other.region),
            variant: facts.variant.or(other.variant),
            service_tier: facts.service_tier.or(other.service_tier),
            context_tokens: facts.context_tokens.or(other.context_tokens),
            prompt_tokens: facts.prompt_tokens.or(other.prompt_tokens),
            output_tokens: facts.output_tokens.or(other.output_tokens),
            parameters: facts.parameters.or(other.parameters),
            data,
            weight: facts.weight.or(other.weight),
        };
        Self { facts, private_to: self.private_to.or_else(|| below.private_to.clone()), ..self }
    }
}

/// The names of two lists, each once.
fn all_names(mut one: Vec<Box<str>>, two: Vec<Box<str>>) -> Vec<Box<str>> {
    for name in two {
        if !one.contains(&name) {
            one.push(name);
        }
    }
    one
}

/// These facts about a model, with what they do not say from `below`.
#[must_use]
pub fn facts_over(facts: ModelFacts, below: &ModelFacts) -> ModelFacts {
    let below = below.clone();
    ModelFacts {
        name: facts.name.or(below.name),
        aliases: all_names(facts.aliases, below.aliases),
        context_tokens: facts.context_tokens.or(below.context_tokens),
        output_tokens: facts.output_tokens.or(below.output_tokens),
        input: facts.input.or(below.input),
        output: facts.output.or(below.output),
        parameters: facts.parameters.or(below.parameters),
        tokenizer: facts.tokenizer.or(below.tokenizer),
        created: facts.created.or(below.created),
        distillable: facts.distillable.or(below.distillable),
        strategy: facts.strategy.or(below.strategy),
        hedge: facts.hedge.or(below.hedge),
    }
}

impl ModelEntry {
    /// An operator's model over the shipped one: what it does not say is as shipped, and without endpoints of
    /// its own it has the shipped ones.
    #[must_use]
    pub fn laid_over(self, below: &Self) -> Self {
        let over =
            |endpoint: EndpointEntry| match below.endpoints.iter().find(|one| one.same_offer(&endpoint)) {
                Some(known) => endpoint.laid_over(known),
                None => endpoint,
            };
        let endpoints = if self.endpoints.is_empty() {
            below.endpoints.clone()
        } else {
            self.endpoints.into_iter().map(over).collect()
        };
        Self { id: self.id, facts: facts_over(self.facts, &below.facts), endpoints }
    }
}
