//! A decision told: for every endpoint its place, or the filter that excluded it with the numbers, and why
//! the winner won.
//!
//! Who asks for a receipt pays for it: this allocates. It tells what [`considered`] saw, in the order of the
//! plan, then what found no place in it, then what was excluded.
//! Deliberately absent: the decision itself, tables for people (`app/explain`), and what happened after it
//! (`exchange/receipt` tells the attempts).

use core::fmt::Write as _;

use super::explain::{Considered, considered};
use super::{Ask, NoPlan, Plan, Scene, kept_parameters};
use crate::base::ids::KeyId;
use crate::base::money::PicoDollars;
use crate::policy::auth::Tenant;
use crate::policy::catalog::{Endpoint, Modalities, Parameters, Prices};
use crate::policy::filter::Filter;
use crate::policy::strategy::StrategyName;
use crate::wire::json::Quoted;

/// Endpoints that a receipt lists; of further ones only the number is told.
const ROWS_MOST: usize = 128;

/// One decision and everything it was made from.
#[derive(Debug)]
pub struct Receipt<'a> {
    scene: &'a Scene<'a>,
    ask: &'a Ask<'a>,
    key: Option<KeyId>,
    /// The requested names, first choice first.
    names: Vec<String>,
    /// Kinds of content in the prompt beside text.
    content: Modalities,
    rows: Vec<Considered>,
}

impl<'a> Receipt<'a> {
    /// Plans as [`super::plan`] does, and keeps what happened on the way. Endpoints that other keys alone may
    /// use are not mentioned.
    ///
    /// # Errors
    /// As [`super::plan`], beside the receipt.
    pub fn new(
        scene: &'a Scene<'a>,
        tenant: Tenant,
        ask: &'a Ask<'a>,
        names: Vec<String>,
    ) -> (Self, Result<Plan, NoPlan>) {
        let (mut rows, plan) = considered(scene, tenant, ask, names.iter());
        // A stable sort: endpoints of the same kind keep the order of the configuration.
        rows.sort_by_key(|row| (row.place.unwrap_or(usize::MAX), row.excluded.is_some()));
        let content = ask.needs.content();
        (Self { scene, ask, key: tenant.key, names, content, rows }, plan)
    }

    /// Every endpoint, in the order in which it is told.
    #[must_use]
    pub fn rows(&self) -> &[Considered] {
        &self.rows
    }

    /// The requested names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    fn endpoint(&self, row: &Considered) -> Option<&'a Endpoint> {
        row.endpoint.and_then(|id| self.scene.snapshot.endpoints.get(id.index()))
    }

    /// Id of the model that would be served; of a name that is passed through the name itself.
    #[must_use]
    pub fn model(&self, row: &Considered) -> &str {
        let model = self.endpoint(row).and_then(|one| self.scene.snapshot.models.get(one.model.index()));
        match model {
            Some(model) => &model.id,
            None => self.names.get(usize::from(row.model)).map_or("", |name| name),
        }
    }

    /// Id of its provider.
    #[must_use]
    pub fn provider(&self, row: &Considered) -> &'a str {
        &self.scene.snapshot.providers[row.provider.index()].id
    }

    /// The endpoint as a request can name it: the provider, and behind a `/` its variant, region or tier.
    #[must_use]
    pub fn tag(&self, row: &Considered) -> &'a str {
        let tag = self.endpoint(row).map_or("", |one| &*one.tag);
        if tag.is_empty() { self.provider(row) } else { tag }
    }

    /// The parameters of the request that this endpoint does not take, and so never sees.
    #[must_use]
    pub fn stripped(&self, row: &Considered) -> Parameters {
        let used = self.ask.needs.parameters;
        self.endpoint(row).map_or(Parameters::NONE, |one| used.without(kept_parameters(&one.facts)))
    }

    /// What excluded it, with the numbers; empty when nothing did.
    #[must_use]
    pub fn because(&self, row: &Considered) -> String {
        let Some(filter) = row.excluded else { return String::new() };
        let Some(one) = self.endpoint(row) else {
            return format!(
                "excluded by {}: nothing is known about a name that is passed through",
                filter.text()
            );
        };
        let (facts, needs) = (&one.facts, &self.ask.needs);
        let known = |number: Option<u32>| number.map_or("without bound".to_owned(), |one| one.to_string());
        let data = facts.data;
        let told = match filter {
            Filter::Private => "it is another key's".to_owned(),
            Filter::Region => self.regions(facts.region.as_deref()),
            Filter::Only | Filter::Fallbacks => "it is not named there".to_owned(),
            Filter::Ignore => "it is named there".to_owned(),
            Filter::Tier => format!("it is of the tier {}", facts.tier().name()),
            Filter::DataCollection if data.retains() => "it keeps data, or nobody knows".to_owned(),
            Filter::DataCollection => "it may train on data, or nobody knows".to_owned(),
            Filter::Zdr => "it promises no zero data retention".to_owned(),
            Filter::Distillable => "the model's author does not permit it, or nobody knows".to_owned(),
            Filter::Quantization => {
                format!("it computes in {}", facts.quantization.map_or("an unknown format", |one| one.name()))
            }
            Filter::MaxPrice => self.too_dear(one),
            Filter::Unpriced => "nobody knows what it costs".to_owned(),
            Filter::Context => format!(
                "the prompt has at least {} tokens, the answer up to {}; there is room for {} in all, \
                 {} of a prompt",
                needs.prompt_tokens_least(),
                needs.output_tokens.unwrap_or(0),
                known(facts.context_tokens),
                known(facts.prompt_tokens)
            ),
            Filter::OutputTokens => format!(
                "{} tokens are asked for; its answers have at most {}",
                needs.output_tokens.unwrap_or(0),
                known(facts.output_tokens)
            ),
            Filter::Modality => {
                let model = self.scene.snapshot.models.get(one.model.index());
                let input = model.and_then(|model| model.facts.input).unwrap_or_default();
                let lacking = self.content.without(input);
                format!("it does not read {}", joined(lacking.iter().map(|kind| kind.name())))
            }
            Filter::Parameters => {
                let taken = facts.parameters.unwrap_or(Parameters::ALL);
                let lacking = needs.parameters.without(taken);
                format!("it does not take {}", joined(lacking.iter().map(|one| one.name())))
            }
        };
        format!("excluded by {}: {told}", filter.text())
    }

    fn regions(&self, own: Option<&str>) -> String {
        let key = self.key.and_then(|key| self.scene.snapshot.keys.get(key.index()));
        let allowed = joined(key.into_iter().flat_map(|key| key.regions.iter()).map(|one| &**one));
        format!("it computes in {}; the key may use {allowed}", own.unwrap_or("an unknown region"))
    }

    /// Each price that is above its bound.
    fn too_dear(&self, one: &Endpoint) -> String {
        let Some(rules) = &one.facts.prices else { return "its price is unknown".to_owned() };
        let tokens = self.ask.needs.prompt_tokens(self.content);
        let Prices { prompt, completion, request, image, audio, .. } = rules.at(tokens, self.scene.minute);
        let most = &self.ask.preferences.max_price;
        let none = Some(PicoDollars(0));
        let each = [
            ("prompt token", most.prompt, prompt),
            ("completion token", most.completion, completion),
            ("request", most.request, request.or(none)),
            ("image", most.image, image.or(none)),
            ("token of sound", most.audio, audio.or(none)),
        ];
        let above = each.into_iter().filter_map(|(unit, most, price)| {
            let most = most?;
            let price = match price {
                Some(price) if price.0 <= most => return None,
                Some(price) => price.as_usd(),
                None => "unknown".to_owned(),
            };
            Some(format!("{price} USD per {unit} is above {}", PicoDollars(most).as_usd()))
        });
        joined(above)
    }

    /// Why the first of the plan is the first; `None` without a plan.
    #[must_use]
    pub fn winner(&self) -> Option<String> {
        let mut placed = self.rows.iter().filter(|row| row.place.is_some());
        let first = placed.next()?;
        let Some(next) = placed.next() else {
            return Some("it is the only one left".to_owned());
        };
        let (Some(one), Some(other)) = (&first.scored, &next.scored) else {
            return Some("names that are passed through go in the order of the request".to_owned());
        };
        let differ = |bits: u32| (one.standing ^ other.standing) & bits != 0;
        let by = if differ(1 << 13) {
            "it keeps the preferred throughput and latency, the next one does not"
        } else if differ(0xf << 9) {
            "its model is asked for before the next one's"
        } else if differ(0x3f << 3) {
            "provider.order names it before the next one"
        } else if differ(1 << 2) {
            "it is well, the next one is not"
        } else if differ(1 << 1) {
            "it is of the tier asked for, the next one is not"
        } else if differ(1) {
            "it answered the conversation last, so its prompt cache is warm"
        } else if one.tier == other.tier && one.score == other.score {
            "the configuration names it before the next one, and nothing else tells them apart"
        } else {
            let how = by_strategy(one.strategy);
            return Some(format!("{how}: {} against {} (lower goes first)", one.score, other.score));
        };
        Some(by.to_owned())
    }

    /// All of it as one JSON object, at most about 40 KiB.
    #[must_use]
    pub fn json(&self) -> String {
        let needs = &self.ask.needs;
        let mut text = format!(
            "{{\"prompt_tokens\":{},\"answer_tokens\":{},\"considered\":{},\"candidates\":[",
            needs.prompt_tokens(self.content),
            needs.answer_tokens(),
            self.rows.len()
        );
        for (turn, row) in self.rows.iter().take(ROWS_MOST).enumerate() {
            text.push_str(if turn == 0 { "" } else { "," });
            self.write_row(row, &mut text);
        }
        let winner = self.rows.first().filter(|row| row.place.is_some()).map(|row| self.tag(row));
        let _ = write!(
            text,
            "],\"winner\":{},\"because\":{}}}",
            quoted_or_null(winner),
            quoted_or_null(self.winner().as_deref())
        );
        text
    }

    fn write_row(&self, row: &Considered, text: &mut String) {
        let _ = write!(
            text,
            "{{\"model\":{},\"provider\":{},\"tag\":{},\"place\":",
            Quoted(self.model(row)),
            Quoted(self.provider(row)),
            Quoted(self.tag(row)),
        );
        match row.place {
            Some(place) => drop(write!(text, "{}", place + 1)),
            None => text.push_str("null"),
        }
        if let Some(filter) = row.excluded {
            let because = self.because(row);
            let (by, because) = (Quoted(filter.word()), Quoted(&because));
            let _ = write!(text, ",\"excluded_by\":{by},\"because\":{because}");
        }
        if let Some(scored) = &row.scored {
            let _ = write!(
                text,
                ",\"strategy\":\"{}\",\"tier\":{},\"score\":{},\"cost_usd\":{},\"healthy\":{}",
                scored.strategy.name(),
                scored.tier,
                scored.score,
                usd(scored.cost).unwrap_or_else(|| "null".to_owned()),
                scored.healthy
            );
        }
        if let Some(id) = row.endpoint {
            let live = self.scene.live.of(id);
            let _ = write!(
                text,
                ",\"live\":{{\"ttft_ms\":{},\"tokens_per_second\":{},\"error_share\":{},\
                 \"limited_share\":{}}}",
                measured(live.ttft_ms),
                measured(live.tokens_per_second),
                live.error_share,
                live.limited_share
            );
        }
        let stripped = self.stripped(row);
        if row.excluded.is_none() && stripped != Parameters::NONE {
            let names: Vec<String> = stripped.iter().map(|one| format!("\"{}\"", one.name())).collect();
            let _ = write!(text, ",\"stripped\":[{}]", names.join(","));
        }
        text.push('}');
    }
}

/// An estimate in dollars, to the nano-dollar; `None` when it is unknown.
#[must_use]
pub fn usd(pico_dollars: f32) -> Option<String> {
    if !pico_dollars.is_finite() {
        return None;
    }
    let text = format!("{:.9}", f64::from(pico_dollars) / 1e12);
    Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

fn measured(figure: f32) -> String {
    if figure > 0.0 { figure.to_string() } else { "null".to_owned() }
}

fn quoted_or_null(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), |text| Quoted(text).to_string())
}

fn joined<T: Into<String>>(words: impl Iterator<Item = T>) -> String {
    words.map(Into::into).collect::<Vec<String>>().join(", ")
}

/// How a strategy's score came about.
const fn by_strategy(strategy: StrategyName) -> &'static str {
    match strategy {
        StrategyName::Default => "it won the draw, weighted by price, speed and reliability",
        StrategyName::Price => "it is the cheapest for this request, in pico-dollars",
        StrategyName::Throughput => "it is the fastest",
        StrategyName::Latency => "it has the shortest time to the first token, in milliseconds",
        StrategyName::LeastBusy => "it has the fewest tokens in flight",
        StrategyName::PrefixAffinity => "prompts that begin like this one go there",
        StrategyName::Weighted => "it won the draw by the configured weights",
        StrategyName::Order => "the configuration names it first",
    }
}
