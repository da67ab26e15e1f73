//! The query of a list of models: filters, order and page.
//!
//! Deliberately absent: filters about figures that are not measured here (throughput, indices); they are
//! ignored, as unknown members are.

use core::fmt::Write as _;
use core::ops::Range;

use super::{View, name_of};
use crate::base::money::PicoDollars;
use crate::policy::catalog::{Endpoint, Modalities, Modality, Model, Parameter, Parameters};

/// Most models of a page.
const PAGE_MAX: usize = 1_000;
/// Models of a page, when only its offset is given.
const PAGE: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Newest,
    CheapFirst,
    DearFirst,
    LongFirst,
}

/// A query, understood.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Query {
    /// With models at providers that are not configured.
    pub(in super::super) all: bool,
    /// In Anthropic's shape.
    pub(in super::super) anthropic: bool,
    parameters: Parameters,
    input: Modalities,
    output: Modalities,
    text: Option<String>,
    authors: Vec<String>,
    providers: Vec<String>,
    context: Option<u32>,
    least_price: Option<PicoDollars>,
    most_price: Option<PicoDollars>,
    zdr: bool,
    distillable: Option<bool>,
    region: Option<String>,
    order: Option<Order>,
    offset: Option<usize>,
    limit: Option<usize>,
    after: Option<String>,
    before: Option<String>,
    /// What of the query belongs into the link to the next page.
    rest: String,
}

impl Query {
    /// Reads the part of a target behind `?`.
    ///
    /// # Errors
    /// What is wrong with the first member whose value means nothing.
    pub(in super::super) fn read(text: &str) -> Result<Self, String> {
        let mut query = Self::default();
        for member in text.split('&').filter(|member| !member.is_empty()) {
            let (key, value) = member.split_once('=').unwrap_or((member, ""));
            let (key, value) = (decoded(key), decoded(value));
            query.set(&key, &value).map_err(|expected| format!("{key}: expected {expected}"))?;
            if !matches!(&*key, "offset" | "limit") {
                // Writing to a String cannot fail.
                let _ = write!(query.rest, "&{member}");
            }
        }
        Ok(query)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        let list =
            || value.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect();
        match key {
            "all" => self.all = flag(value)?,
            "format" => self.anthropic = value == "anthropic",
            "supported_parameters" => self.parameters = parameters(value)?,
            "input_modalities" => self.input = modalities(value)?,
            "output_modalities" => self.output = modalities(value)?,
            "q" => self.text = Some(value.to_lowercase()),
            "model_authors" => self.authors = list(),
            "providers" => self.providers = list(),
            "context" => self.context = Some(value.parse().map_err(|_| "a number of tokens")?),
            "min_price" => self.least_price = Some(price(value)?),
            "max_price" => self.most_price = Some(price(value)?),
            "zdr" => self.zdr = flag(value)?,
            "distillable" => self.distillable = Some(flag(value)?),
            "region" => self.region = Some(value.to_owned()),
            "sort" => self.order = order(value),
            "offset" => self.offset = Some(value.parse().map_err(|_| "a number from 0")?),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                self.limit = Some(limit.ok_or("a number from 1 to 1000")?);
            }
            "after_id" => self.after = Some(value.to_owned()),
            "before_id" => self.before = Some(value.to_owned()),
            _ => {}
        }
        Ok(())
    }

    /// Is this model asked for, and has it an endpoint for the caller that is?
    pub(super) fn takes(&self, view: &View<'_>, model: &Model) -> bool {
        let facts = &model.facts;
        let text = Modalities::of(&[Modality::Text]);
        let author = model.id.split_once('/').map_or("", |(author, _)| author);
        facts.input.unwrap_or(text).has_all(self.input)
            && facts.output.unwrap_or(text).has_all(self.output)
            && (self.authors.is_empty() || self.authors.iter().any(|one| one == author))
            && self.distillable.is_none_or(|wanted| facts.distillable == Some(wanted))
            && self.text.as_ref().is_none_or(|text| {
                model.id.to_lowercase().contains(text) || name_of(model).to_lowercase().contains(text)
            })
            && model
                .endpoints
                .iter()
                .filter_map(|id| view.snapshot.endpoints.get(id.index()))
                .any(|endpoint| endpoint.visible_to(view.key) && self.takes_endpoint(view, endpoint))
    }

    fn takes_endpoint(&self, view: &View<'_>, endpoint: &Endpoint) -> bool {
        let facts = &endpoint.facts;
        let prompt = facts.prices.as_ref().and_then(|prices| prices.base.prompt);
        facts.parameters.unwrap_or_default().has_all(self.parameters)
            && self.context.is_none_or(|least| facts.context_tokens.is_some_and(|has| has >= least))
            && self.least_price.is_none_or(|least| prompt.is_some_and(|price| price >= least))
            && self.most_price.is_none_or(|most| prompt.is_some_and(|price| price <= most))
            && (!self.zdr || facts.data.zdr())
            && self.region.as_ref().is_none_or(|region| facts.region.as_deref() == Some(&**region))
            && (self.providers.is_empty() || self.providers.iter().any(|one| one == view.provider(endpoint)))
    }

    /// Puts models in the order that is asked for.
    pub(super) fn sort(&self, view: &View<'_>, models: &mut [&Model]) {
        let price = |model: &Model| {
            let of = |endpoint: &Endpoint| endpoint.facts.prices.as_ref()?.base.prompt;
            model.endpoints.iter().filter_map(|id| of(view.snapshot.endpoints.get(id.index())?)).min()
        };
        match self.order {
            None => {}
            Some(Order::Newest) => models.sort_by_key(|model| core::cmp::Reverse(model.facts.created)),
            Some(Order::LongFirst) => {
                models.sort_by_key(|model| core::cmp::Reverse(model.facts.context_tokens));
            }
            // Unknown prices come last either way.
            Some(Order::CheapFirst) => models.sort_by_key(|model| (price(model).is_none(), price(model))),
            Some(Order::DearFirst) => models.sort_by_key(|model| core::cmp::Reverse(price(model))),
        }
    }

    /// The rows of the page; all of them when none is asked for.
    pub(super) fn page(&self, count: usize) -> Range<usize> {
        if self.offset.is_none() && self.limit.is_none() {
            return 0..count;
        }
        let start = self.offset.unwrap_or(0).min(count);
        start..count.min(start.saturating_add(self.limit.unwrap_or(PAGE)))
    }

    /// Members for the link to the next page, each with `&` before it.
    pub(super) fn rest(&self) -> &str {
        &self.rest
    }

    /// Anthropic's page: behind an id or before one. Are there more in that direction?
    pub(super) fn cursor<'m>(&self, models: &'m [&'m Model]) -> (&'m [&'m Model], bool) {
        let place = |id: &Option<String>| {
            let id = id.as_deref()?;
            models.iter().position(|model| &*model.id == id)
        };
        let limit = self.limit.unwrap_or(20);
        if let Some(end) = place(&self.before) {
            let start = end.saturating_sub(limit);
            return (&models[start..end], start > 0);
        }
        let start = place(&self.after).map_or(0, |at| at + 1);
        let end = models.len().min(start + limit);
        (&models[start..end], end < models.len())
    }
}

fn flag(value: &str) -> Result<bool, &'static str> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("true or false"),
    }
}

fn parameters(value: &str) -> Result<Parameters, &'static str> {
    let names = value.split(',').map(str::trim).filter(|one| !one.is_empty());
    let mut all = Parameters::NONE;
    for name in names {
        all = all.with(Parameter::named(name).ok_or("names of parameters such as tools,seed")?);
    }
    Ok(all)
}

fn modalities(value: &str) -> Result<Modalities, &'static str> {
    let names = value.split(',').map(str::trim).filter(|one| !one.is_empty() && *one != "all");
    let mut all = Modalities::NONE;
    for name in names {
        all = all.with(Modality::named(name).ok_or("text, image, file, audio, video, embeddings or all")?);
    }
    Ok(all)
}

/// USD per million prompt tokens.
fn price(value: &str) -> Result<PicoDollars, &'static str> {
    PicoDollars::per_token_from_usd_per_million(value).map_err(|_| "USD per million tokens such as 2.5")
}

/// Orders by figures that are not measured here are the catalogue's.
fn order(value: &str) -> Option<Order> {
    match value {
        "newest" => Some(Order::Newest),
        "pricing-low-to-high" => Some(Order::CheapFirst),
        "pricing-high-to-low" => Some(Order::DearFirst),
        "context-high-to-low" => Some(Order::LongFirst),
        _ => None,
    }
}

/// Undoes percent encoding (RFC 3986 §2.1) and `+`; what is no encoding stays.
pub(in super::super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            (byte, ..) => {
                bytes.push(if *byte == b'+' { b' ' } else { *byte });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone() {
        for (text, want) in [
            ("a%2Fb", "a/b"),
            ("a+b", "a b"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz1", "%zz1"),
            ("%C3%A9", "é"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(decoded(text), want);
        }
    }

    #[test]
    fn what_means_nothing_is_named() {
        for (text, want) in [
            ("limit=0", "limit: expected a number from 1 to 1000"),
            ("limit=1001", "limit: expected a number from 1 to 1000"),
            ("q=x&offset=-1", "offset: expected a number from 0"),
            ("zdr=maybe", "zdr: expected true or false"),
            ("max_price=cheap", "max_price: expected USD per million tokens such as 2.5"),
            (
                "supported_parameters=toools",
                "supported_parameters: expected names of parameters such as tools,seed",
            ),
        ] {
            assert_eq!(Query::read(text).map(|_| ()), Err(want.to_owned()));
        }
        assert!(Query::read("&&use_rss=true&unknown=1&limit=10&all").is_ok_and(|query| query.all));
    }

    #[test]
    fn pages_stay_inside() {
        for (text, count, want) in [
            ("", 7, 0..7),
            ("offset=0", 700, 0..500),
            ("limit=3", 7, 0..3),
            ("offset=5&limit=3", 7, 5..7),
            ("offset=9&limit=3", 7, 7..7),
        ] {
            assert_eq!(Query::read(text).unwrap().page(count), want, "{text}");
        }
    }
}
