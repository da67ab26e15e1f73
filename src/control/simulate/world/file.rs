//! The world as a TOML file: `[[endpoint]]` and `[[event]]` tables.
//!
//! Deliberately absent: reading the file (its text is passed in), and whether the names in it exist
//! (`World::unknown_target` asks the policies).

use core::time::Duration;

use serde::Deserialize;

use super::{Effect, Outage, Price, Rule, Target, What, World};
use crate::base::fault::{DeadlineKind, Fault};
use crate::base::money::PicoDollars;
use crate::control::simulate::clock::span;

/// Largest file in bytes.
pub const WORLD_BYTES_MAX: u64 = 1 << 20;
/// Most tables of each kind.
const TABLES_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    endpoint: Vec<EndpointTable>,
    #[serde(default)]
    event: Vec<EventTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointTable {
    provider: Option<Box<str>>,
    model: Option<Box<str>>,
    ttft_ms: Option<Spread>,
    tokens_per_second: Option<f64>,
    failure_rate: Option<f64>,
    death_rate: Option<f64>,
    capacity: Option<u32>,
    retry_after: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spread {
    median: f64,
    p95: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventTable {
    provider: Option<Box<str>>,
    model: Option<Box<str>>,
    what: String,
    at: String,
    lasts: Option<String>,
    fault: Option<FaultName>,
    cuts: Option<bool>,
    slower: Option<f64>,
    share: Option<f64>,
    retry_after: Option<String>,
    times: Option<f64>,
    prompt: Option<String>,
    completion: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FaultName {
    Status(i64),
    Name(String),
}

impl World {
    /// Reads the text of a world file.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place in the file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        if file.endpoint.len() > TABLES_MAX || file.event.len() > TABLES_MAX {
            return Err(format!("more than {TABLES_MAX} tables of one kind"));
        }
        let endpoints = file.endpoint.into_iter().enumerate();
        let rules =
            endpoints.map(|(turn, table)| rule(table).map_err(|why| format!("endpoint[{turn}].{why}")));
        let events = file.event.into_iter().enumerate();
        let effects = events.map(|(turn, table)| effect(table).map_err(|why| format!("event[{turn}].{why}")));
        Ok(Self { rules: rules.collect::<Result<_, _>>()?, effects: effects.collect::<Result<_, _>>()? })
    }
}

fn rule(table: EndpointTable) -> Result<Rule, String> {
    let ttft_ms = table.ttft_ms.map(|Spread { median, p95 }| (median, p95));
    if ttft_ms.is_some_and(|(median, p95)| !(median > 0.0 && p95 >= median && p95 <= 3_600_000.0)) {
        return Err("ttft_ms: expected a median above 0 and a p95 that is not below it, up to an hour".into());
    }
    Ok(Rule {
        target: Target { provider: table.provider, model: table.model },
        ttft_ms,
        tokens_per_second: within("tokens_per_second", table.tokens_per_second, 0.001, 1e6)?,
        failure_rate: within("failure_rate", table.failure_rate, 0.0, 1.0)?,
        death_rate: within("death_rate", table.death_rate, 0.0, 1.0)?,
        capacity: table.capacity,
        retry_after: spanned("retry_after", table.retry_after.as_deref())?,
    })
}

fn within(name: &str, value: Option<f64>, least: f64, most: f64) -> Result<Option<f64>, String> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(format!("{name}: expected a number from {least} to {most}, not {value}"))
        }
        other => Ok(other),
    }
}

fn spanned(name: &str, text: Option<&str>) -> Result<Option<Duration>, String> {
    let read = |text: &str| {
        span(text)
            .ok_or_else(|| format!("{name}: expected a time such as \"90s\" or \"1h30m\", not {text:?}"))
    };
    text.map(read).transpose()
}

fn effect(table: EventTable) -> Result<Effect, String> {
    let at = spanned("at", Some(&table.at))?.unwrap_or_default();
    let from = at.as_nanos() as u64;
    let until = match spanned("lasts", table.lasts.as_deref())? {
        Some(time) => (at + time).as_nanos() as u64,
        None => u64::MAX,
    };
    // Each member belongs to one kind of event: elsewhere it would be without effect, and that is a mistake.
    let members: [(&str, bool, &str); 8] = [
        ("fault", table.fault.is_some(), "outage"),
        ("cuts", table.cuts.is_some(), "outage"),
        ("slower", table.slower.is_some(), "brown-out"),
        ("share", table.share.is_some(), "storm"),
        ("retry_after", table.retry_after.is_some(), "storm"),
        ("times", table.times.is_some(), "price"),
        ("prompt", table.prompt.is_some(), "price"),
        ("completion", table.completion.is_some(), "price"),
    ];
    if let Some((name, _, kind)) = members.iter().find(|(_, given, kind)| *given && *kind != table.what) {
        return Err(format!("{name}: belongs to what = {kind:?}"));
    }
    let what = match &*table.what {
        "outage" => What::Outage(Outage { fault: fault(table.fault)?, cuts: table.cuts.unwrap_or(false) }),
        "brown-out" => What::BrownOut(within("slower", table.slower, 1.0, 10_000.0)?.unwrap_or(8.0)),
        "storm" => What::Storm {
            share: within("share", table.share, 0.0, 1.0)?.unwrap_or(1.0),
            wait: spanned("retry_after", table.retry_after.as_deref())?,
        },
        "price" => What::Price(price(&table)?),
        other => {
            return Err(format!(
                "what: expected \"outage\", \"brown-out\", \"storm\" or \"price\", not {other:?}"
            ));
        }
    };
    Ok(Effect { target: Target { provider: table.provider, model: table.model }, from, until, what })
}

fn fault(name: Option<FaultName>) -> Result<Fault, String> {
    Ok(match name {
        None => Fault::ConnectRefused,
        Some(FaultName::Status(status @ 500..=599)) => Fault::Status(status as u16),
        Some(FaultName::Name(name)) if name == "refused" => Fault::ConnectRefused,
        Some(FaultName::Name(name)) if name == "silent" => Fault::Deadline(DeadlineKind::Connect),
        Some(FaultName::Name(name)) if name == "reset" => Fault::ResetBeforeAnswer { reused: false },
        Some(FaultName::Status(_) | FaultName::Name(_)) => {
            return Err(
                "fault: expected \"refused\", \"silent\", \"reset\" or a status from 500 to 599".into()
            );
        }
    })
}

fn price(table: &EventTable) -> Result<Price, String> {
    let read = |name: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => PicoDollars::per_token_from_usd_per_million(text)
            .map(Some)
            .map_err(|_| format!("{name}: expected USD per million tokens such as \"0.25\", not {text:?}")),
    };
    let (prompt, completion) = (read("prompt", &table.prompt)?, read("completion", &table.completion)?);
    let written = prompt.is_some() || completion.is_some();
    match (within("times", table.times, 0.0, 1_000_000.0)?, written) {
        (Some(factor), false) => Ok(Price::Times(factor)),
        (None, true) => Ok(Price::Is { prompt, completion }),
        (Some(_), true) => Err("times: excludes prompt and completion".to_owned()),
        (None, false) => Err("times: missing; or prompt and completion".to_owned()),
    }
}
