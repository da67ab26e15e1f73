//! Reading recorded traffic: one JSON object to a line.
//!
//! A line is read into a typed shape first, which is quick; only when that fails is it read once more as a
//! document, field by field, to name the one that is wrong. Members that are not known are left alone: a
//! ledger's export has many more.
//! Deliberately absent: compressed files, and CSV.

use core::borrow::Borrow;
use core::fmt;
use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde_json::Value;

use super::{REQUESTS_MAX, Request, TEXTS_MAX, TOKENS_MAX, Texts, Traffic};
use crate::base::limits::{MODEL_NAME_BYTES, MODELS_PER_REQUEST};
use crate::control::simulate::clock::unix_nanos;
use crate::policy::catalog::{Parameter, Parameters};
use crate::policy::filter::TierAsk;
use crate::policy::prefs::preferences;

/// Longest line in bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// The last second that a record may name: the year 2500.
const SECONDS_MOST: f64 = 16_725_225_600.0;

/// Why traffic could not be read.
#[derive(Debug)]
pub enum BadTraffic {
    /// The file could not be read.
    Io(io::Error),
    /// A line is wrong.
    Line {
        /// Which one, from 1.
        line: usize,
        /// The member at fault; empty for the line as a whole.
        field: &'static str,
        /// What is wrong, or what would be right.
        why: String,
    },
    /// There is no request at all.
    Empty,
}

impl fmt::Display for BadTraffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::Line { line, field: "", why } => write!(f, "line {line}: {why}"),
            Self::Line { line, field, why } => write!(f, "line {line}: {field}: {why}"),
            Self::Empty => f.write_str("no request in it"),
        }
    }
}

/// A member and what is wrong with it.
type Wrong = (&'static str, String);

/// Reads traffic and puts it in order of time.
///
/// # Errors
/// [`BadTraffic`] names the first line that is wrong and its member.
pub fn read(mut from: impl BufRead) -> Result<Traffic, BadTraffic> {
    let mut reader = Reader::default();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let most = LINE_BYTES_MAX as u64 + 1;
        if from.by_ref().take(most).read_until(b'\n', &mut line).map_err(BadTraffic::Io)? == 0 {
            break;
        }
        let wrong = |(field, why)| BadTraffic::Line { line: number, field, why };
        let text = line.trim_ascii();
        if line.len() > LINE_BYTES_MAX {
            return Err(wrong(("", format!("longer than {LINE_BYTES_MAX} bytes"))));
        }
        if !text.is_empty() {
            reader.take(text).map_err(wrong)?;
        }
    }
    reader.finish()
}

/// A line as it should be.
#[derive(Deserialize)]
struct Line<'l> {
    time: Time,
    #[serde(borrow)]
    model: Cow<'l, str>,
    #[serde(borrow, default)]
    models: Option<Vec<Cow<'l, str>>>,
    prompt_tokens: u32,
    completion_tokens: u32,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(borrow, default)]
    key: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    session: Option<Cow<'l, str>>,
    #[serde(default)]
    provider: Option<Value>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(borrow, default)]
    parameters: Option<Vec<Cow<'l, str>>>,
    #[serde(borrow, default)]
    service_tier: Option<Cow<'l, str>>,
}

/// Nanoseconds since 1970, from seconds or RFC 3339.
struct Time(u64);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl Visitor<'_> for Look {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(TIME_EXPECTED)
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Time, E> {
                self.visit_f64(seconds as f64)
            }

            fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Time, E> {
                if !(0.0..=SECONDS_MOST).contains(&seconds) {
                    return Err(E::custom(TIME_EXPECTED));
                }
                // Whole seconds and microseconds apart: a float has no more digits than that.
                let (whole, micros) = (seconds.trunc() as u64, (seconds.fract() * 1e6).round() as u64);
                Ok(Time(whole * 1_000_000_000 + micros * 1_000))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                unix_nanos(text).map(Time).ok_or_else(|| E::custom(TIME_EXPECTED))
            }
        }
        deserializer.deserialize_any(Look)
    }
}

const TIME_EXPECTED: &str = "expected seconds since 1970, or a UTC time such as \"2026-11-20T14:45:00Z\"";
const TEXT_EXPECTED: &str = "expected a string";

struct Reader {
    requests: Vec<Request>,
    choices: Texts<Vec<Box<str>>>,
    preferences: Texts<Box<str>>,
    keys: Texts<Box<str>>,
}

impl Default for Reader {
    fn default() -> Self {
        let (choices, preferences, keys) = (Texts::new(), Texts::new(), Texts::new());
        Self { requests: Vec::new(), choices, preferences, keys }
    }
}

impl Reader {
    fn take(&mut self, text: &[u8]) -> Result<(), Wrong> {
        if self.requests.len() == REQUESTS_MAX {
            return Err(("", format!("more than {REQUESTS_MAX} requests")));
        }
        let line: Line<'_> = serde_json::from_slice(text).map_err(|error| diagnose(text, &error))?;
        for (field, tokens) in [
            ("prompt_tokens", Some(line.prompt_tokens)),
            ("completion_tokens", Some(line.completion_tokens)),
            ("max_tokens", line.max_tokens),
        ] {
            if tokens.is_some_and(|tokens| tokens > TOKENS_MAX) {
                return Err((field, tokens_expected()));
            }
        }
        let request = Request {
            at: line.time.0,
            choice: self.choice(&line)?,
            preferences: self.preferences(line.provider.as_ref())?,
            key: line.key.map(|key| numbered(&mut self.keys, "key", key.borrow())).transpose()?,
            session: line.session.map_or(0, |session| hash(session.as_bytes())),
            prompt_tokens: line.prompt_tokens,
            completion_tokens: line.completion_tokens,
            max_tokens: line.max_tokens,
            parameters: parameters(line.parameters.as_deref().unwrap_or_default())?,
            tier: tier(line.service_tier.as_deref()),
            stream: line.stream.unwrap_or(false),
        };
        self.requests.push(request);
        Ok(())
    }

    /// The number of what a line names: `model`, then `models` without a repetition of it.
    fn choice(&mut self, line: &Line<'_>) -> Result<u32, Wrong> {
        let models = line.models.as_deref().unwrap_or_default();
        if models.len() > MODELS_PER_REQUEST {
            return Err(("models", format!("expected at most {MODELS_PER_REQUEST} names")));
        }
        let more = models.iter().filter(|name| **name != line.model);
        let names: Vec<Box<str>> =
            core::iter::once(&line.model).chain(more).map(|name| (&**name).into()).collect();
        if names.iter().any(|name| !(1..=MODEL_NAME_BYTES).contains(&name.len())) {
            return Err(("model", format!("expected a name of 1 to {MODEL_NAME_BYTES} bytes")));
        }
        numbered(&mut self.choices, "model", names.as_slice())
    }

    /// A string is who served the request, as exports say it: that is no wish.
    fn preferences(&mut self, provider: Option<&Value>) -> Result<Option<u32>, Wrong> {
        let Some(value @ Value::Object(members)) = provider else {
            return match provider {
                None | Some(Value::Null | Value::String(_)) => Ok(None),
                Some(_) => Err(("provider", "expected an object as in a request, or a string".to_owned())),
            };
        };
        if members.is_empty() {
            return Ok(None);
        }
        let text = value.to_string();
        if let Err(bad) = preferences(text.as_bytes()) {
            return Err((bad.field, format!("must be {}", bad.allowed)));
        }
        numbered(&mut self.preferences, "provider", text.as_str()).map(Some)
    }

    fn finish(self) -> Result<Traffic, BadTraffic> {
        let mut requests = self.requests;
        // Of requests at the same moment, the earlier line goes first.
        requests.sort_by_key(|request| request.at);
        let start = requests.first().ok_or(BadTraffic::Empty)?.at;
        requests.iter_mut().for_each(|request| request.at -= start);
        Ok(Traffic {
            requests,
            choices: self.choices.list,
            preferences: self.preferences.list,
            keys: self.keys.list,
            start,
        })
    }
}

fn numbered<T, Q>(texts: &mut Texts<T>, field: &'static str, text: &Q) -> Result<u32, Wrong>
where
    T: Clone + Eq + core::hash::Hash + Borrow<Q> + for<'q> From<&'q Q>,
    Q: Eq + core::hash::Hash + ToOwned + ?Sized,
{
    texts.id(text).ok_or_else(|| (field, format!("more than {TEXTS_MAX} different ones")))
}

/// Parameters that have no name here exclude nothing.
fn parameters(names: &[Cow<'_, str>]) -> Result<Parameters, Wrong> {
    let known = names.iter().filter_map(|name| Parameter::named(name));
    Ok(known.fold(Parameters::NONE, Parameters::with))
}

fn tier(name: Option<&str>) -> TierAsk {
    match name {
        Some("default") => TierAsk::Default,
        Some("flex") => TierAsk::Flex,
        Some("priority" | "fast") => TierAsk::Priority,
        Some(_) | None => TierAsk::Unsaid,
    }
}

/// FNV-1a; 0 is "no session".
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step) | 1
}

fn tokens_expected() -> String {
    format!("expected a whole number from 0 to {TOKENS_MAX}")
}

/// Which member made a line unreadable.
fn diagnose(text: &[u8], error: &serde_json::Error) -> Wrong {
    let Ok(document) = serde_json::from_slice::<Value>(text) else {
        return ("", format!("not valid JSON at column {}", error.column()));
    };
    let Value::Object(members) = document else { return ("", "expected a JSON object".to_owned()) };
    for (field, required, rule) in FIELDS {
        let wrong = match members.get(*field) {
            None if *required => Some("missing"),
            None | Some(Value::Null) if !*required => None,
            Some(value) if rule.fits(value) => None,
            None | Some(_) => Some(""),
        };
        match wrong {
            Some("") => return (field, rule.expected()),
            Some(word) => return (field, word.to_owned()),
            None => {}
        }
    }
    // Every member by itself is right: one of them is there twice.
    ("", error.to_string())
}

/// What a member must be.
#[derive(Clone, Copy)]
enum Kind {
    Time,
    Text,
    Texts,
    Tokens,
    Flag,
}

const FIELDS: &[(&str, bool, Kind)] = &[
    ("time", true, Kind::Time),
    ("model", true, Kind::Text),
    ("models", false, Kind::Texts),
    ("prompt_tokens", true, Kind::Tokens),
    ("completion_tokens", true, Kind::Tokens),
    ("stream", false, Kind::Flag),
    ("key", false, Kind::Text),
    ("session", false, Kind::Text),
    ("max_tokens", false, Kind::Tokens),
    ("parameters", false, Kind::Texts),
    ("service_tier", false, Kind::Text),
];

impl Kind {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Time => Time::deserialize(value).is_ok(),
            Self::Text => value.is_string(),
            Self::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            Self::Tokens => value.as_u64().is_some_and(|tokens| tokens <= u64::from(TOKENS_MAX)),
            Self::Flag => value.is_boolean(),
        }
    }

    fn expected(self) -> String {
        match self {
            Self::Time => TIME_EXPECTED.to_owned(),
            Self::Text => TEXT_EXPECTED.to_owned(),
            Self::Texts => "expected a list of strings".to_owned(),
            Self::Tokens => tokens_expected(),
            Self::Flag => "expected true or false".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
