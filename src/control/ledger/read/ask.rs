//! A question as `POST /analytics/query` takes it, checked: every error names the member that is wrong.
//!
//! Deliberately absent: the answer (`analytics`).

use serde_json::{Map, Value};

use super::analytics::{DIMENSIONS, Dimension, GRANULARITIES, Granularity, METRICS, Metric, OPERATORS};
use crate::control::calendar::{DAY, read_moment};

/// Most metrics of one question.
const METRICS_MAX: usize = 32;
/// Most dimensions.
const DIMENSIONS_MAX: usize = 2;
/// Most filters.
const FILTERS_MAX: usize = 20;
/// Most values of one filter.
const VALUES_MAX: usize = 1_000;
/// Most rows of an answer, and how many there are when nothing is said.
pub const ROWS_MAX: u64 = 100_000;
const ROWS: u64 = 1_000;
/// Most time buckets.
const BUCKETS_MAX: u64 = 50_000;
/// How far back a question goes when it does not say.
const RANGE: u64 = 30 * DAY;

/// A value of a filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// Text.
    Text(String),
    /// A number; what it is compared with need not be exact.
    Number(f64),
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug)]
pub enum Field {
    /// A dimension: which rows are summed up.
    Dimension(&'static Dimension),
    /// A metric: which sums are shown.
    Metric(&'static Metric),
}

/// One filter.
#[derive(Clone, Debug)]
pub struct Filter {
    /// What it looks at.
    pub field: Field,
    /// Its SQL operator.
    pub operator: &'static str,
    /// One value, or for `in` and `not_in` any number.
    pub values: Vec<Operand>,
}

/// What rows are ordered by.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// The begin of the bucket.
    Date,
    /// A dimension that is asked for.
    Dimension(usize),
    /// Any metric.
    Metric(&'static Metric),
}

/// A question.
#[derive(Clone, Debug)]
pub struct Query {
    /// At least one.
    pub metrics: Vec<&'static Metric>,
    /// At most two.
    pub dimensions: Vec<&'static Dimension>,
    /// All of them must hold.
    pub filters: Vec<Filter>,
    /// Length of a bucket; `None` is one bucket of the whole time.
    pub granularity: Option<Granularity>,
    /// The wall clock, in seconds since 1970.
    pub now: u64,
    /// Seconds since 1970, the begin included.
    pub start: u64,
    /// Likewise, the end not included.
    pub end: u64,
    /// What comes first, and whether the most does.
    pub order: Option<(Order, bool)>,
    /// Most rows.
    pub limit: u64,
    /// Most rows of each combination of dimensions.
    pub group_limit: Option<u64>,
}

/// What is wrong with a question: the member, and what it should be.
pub type Wrong = String;

impl Query {
    /// Reads a question from JSON.
    ///
    /// # Errors
    /// Which member is wrong, and what is expected there.
    pub fn read(body: &Value, now: u64) -> Result<Self, Wrong> {
        let object = body.as_object().ok_or("the body: expected a JSON object")?;
        for name in object.keys() {
            if !KNOWN.contains(&name.as_str()) {
                return Err(format!("{name}: not known here; there are {}", KNOWN.join(", ")));
            }
        }
        for name in ["classifier_dimensions", "classifier_filters"] {
            if object.get(name).is_some_and(|value| !is_nothing(value)) {
                return Err(format!("{name}: there are no classifiers here"));
            }
        }
        let metrics = metrics(object)?;
        let dimensions = dimensions(object)?;
        let granularity = match object.get("granularity") {
            None | Some(Value::Null) => None,
            Some(value) => Some(granularity(value)?),
        };
        let (start, end) = time_range(object.get("time_range"), granularity, now)?;
        let order = match object.get("order_by") {
            None | Some(Value::Null) => None,
            Some(value) => Some(order(value, &dimensions, granularity)?),
        };
        Ok(Self {
            filters: filters(object)?,
            limit: whole(object, "limit", ROWS_MAX)?.unwrap_or(ROWS),
            group_limit: whole(object, "group_limit", ROWS_MAX)?,
            metrics,
            dimensions,
            granularity,
            now,
            start,
            end,
            order,
        })
    }
}

const KNOWN: [&str; 10] = [
    "metrics",
    "dimensions",
    "filters",
    "granularity",
    "time_range",
    "order_by",
    "limit",
    "group_limit",
    "classifier_dimensions",
    "classifier_filters",
];

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn names_of<T>(table: &[T], name: impl Fn(&T) -> &'static str) -> String {
    table.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn metric(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

fn dimension(name: &str) -> Option<&'static Dimension> {
    DIMENSIONS.iter().find(|dimension| dimension.name == name)
}

/// The texts of a list of at most `most`.
fn texts<'v>(object: &'v Map<String, Value>, name: &str, most: usize) -> Result<Vec<&'v str>, Wrong> {
    let expected = || format!("{name}: expected a list of at most {most} names");
    let list = match object.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value.as_array().filter(|list| list.len() <= most).ok_or_else(expected)?,
    };
    list.iter().map(|value| value.as_str().ok_or_else(expected)).collect()
}

fn metrics(object: &Map<String, Value>) -> Result<Vec<&'static Metric>, Wrong> {
    let mut found: Vec<&'static Metric> = Vec::new();
    for (turn, name) in texts(object, "metrics", METRICS_MAX)?.into_iter().enumerate() {
        let metric = metric(name).ok_or_else(|| {
            let known = names_of(METRICS, |metric| metric.name);
            format!("metrics[{turn}]: {name} is not known; there are {known}")
        })?;
        if !found.iter().any(|other| other.name == name) {
            found.push(metric);
        }
    }
    if found.is_empty() {
        return Err("metrics: expected at least one name".to_owned());
    }
    Ok(found)
}

fn dimensions(object: &Map<String, Value>) -> Result<Vec<&'static Dimension>, Wrong> {
    let mut found: Vec<&'static Dimension> = Vec::new();
    for (turn, name) in texts(object, "dimensions", DIMENSIONS_MAX)?.into_iter().enumerate() {
        let dimension = dimension(name).ok_or_else(|| {
            let known = names_of(DIMENSIONS, |dimension| dimension.name);
            format!("dimensions[{turn}]: {name} is not known; there are {known}")
        })?;
        if found.iter().any(|other| other.name == name) {
            return Err(format!("dimensions[{turn}]: {name} is there already"));
        }
        found.push(dimension);
    }
    Ok(found)
}

fn granularity(value: &Value) -> Result<Granularity, Wrong> {
    let named = value.as_str().and_then(|name| GRANULARITIES.iter().find(|(known, _)| *known == name));
    named
        .map(|(_, granularity)| *granularity)
        .ok_or_else(|| format!("granularity: expected one of {}", names_of(&GRANULARITIES, |(name, _)| name)))
}

fn time_range(
    value: Option<&Value>,
    granularity: Option<Granularity>,
    now: u64,
) -> Result<(u64, u64), Wrong> {
    let (start, end) = match value {
        None | Some(Value::Null) => (now.saturating_sub(RANGE) / 3_600 * 3_600, now + 1),
        Some(value) => {
            let moment = |name: &str| {
                let text = value.get(name).and_then(Value::as_str);
                text.and_then(read_moment).map(|moment| moment.0).ok_or_else(|| {
                    format!("time_range.{name}: expected a moment such as 2026-11-01T00:00:00Z")
                })
            };
            (moment("start")?, moment("end")?)
        }
    };
    if start >= end {
        return Err("time_range: start must be before end".to_owned());
    }
    let buckets = granularity.map_or(1, |granularity| (end - start) / granularity.seconds());
    if buckets > BUCKETS_MAX {
        return Err(format!("time_range: {buckets} buckets are more than {BUCKETS_MAX}; take longer ones"));
    }
    Ok((start, end))
}

fn order(
    value: &Value,
    dimensions: &[&'static Dimension],
    granularity: Option<Granularity>,
) -> Result<(Order, bool), Wrong> {
    let field = value.get("field").and_then(Value::as_str).unwrap_or_default();
    let found = match (field, dimensions.iter().position(|dimension| dimension.name == field)) {
        ("date", _) if granularity.is_some() => Some(Order::Date),
        (_, Some(place)) => Some(Order::Dimension(place)),
        _ => metric(field).map(Order::Metric),
    };
    let Some(found) = found else {
        return Err(
            "order_by.field: expected a metric, a dimension asked for, or date (with granularity)".into()
        );
    };
    match value.get("direction").map(Value::as_str) {
        None | Some(Some("desc")) => Ok((found, true)),
        Some(Some("asc")) => Ok((found, false)),
        Some(_) => Err("order_by.direction: expected asc or desc".to_owned()),
    }
}

fn filters(object: &Map<String, Value>) -> Result<Vec<Filter>, Wrong> {
    let list = match object.get("filters") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value
            .as_array()
            .filter(|list| list.len() <= FILTERS_MAX)
            .ok_or_else(|| format!("filters: expected a list of at most {FILTERS_MAX}"))?,
    };
    list.iter().enumerate().map(|(turn, value)| filter(turn, value)).collect()
}

fn filter(turn: usize, value: &Value) -> Result<Filter, Wrong> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let name = text("field");
    let field = match (dimension(name), metric(name)) {
        (Some(dimension), _) => Field::Dimension(dimension),
        (None, Some(metric)) => Field::Metric(metric),
        (None, None) => {
            return Err(format!(
                "filters[{turn}].field: expected a dimension ({}) or a metric",
                names_of(DIMENSIONS, |dimension| dimension.name)
            ));
        }
    };
    let known = OPERATORS.iter().find(|(name, _)| *name == text("operator"));
    let Some((name, operator)) = known else {
        return Err(format!(
            "filters[{turn}].operator: expected one of {}",
            names_of(&OPERATORS, |(name, _)| name)
        ));
    };
    let is_list = matches!(*name, "in" | "not_in");
    let given = value.get("value").unwrap_or(&Value::Null);
    let given: &[Value] = match given {
        Value::Array(list) if is_list && !list.is_empty() && list.len() <= VALUES_MAX => list,
        Value::String(_) | Value::Number(_) if !is_list => core::slice::from_ref(given),
        _ if is_list => {
            return Err(format!("filters[{turn}].value: expected a list of 1 to {VALUES_MAX} values"));
        }
        _ => return Err(format!("filters[{turn}].value: expected a text or a number")),
    };
    let values: Option<Vec<Operand>> = given
        .iter()
        .map(|value| match (&field, value) {
            (Field::Dimension(_), Value::String(text)) => Some(Operand::Text(text.clone())),
            (Field::Metric(_), Value::Number(number)) => number.as_f64().map(Operand::Number),
            _ => None,
        })
        .collect();
    let expected = match &field {
        Field::Dimension(_) => "texts",
        Field::Metric(_) => "numbers",
    };
    let values =
        values.ok_or_else(|| format!("filters[{turn}].value: {name} of this field compares {expected}"))?;
    Ok(Filter { field, operator, values })
}

fn whole(object: &Map<String, Value>, name: &str, most: u64) -> Result<Option<u64>, Wrong> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .filter(|number| (1..=most).contains(number))
            .map(Some)
            .ok_or_else(|| format!("{name}: expected a whole number from 1 to {most}")),
    }
}
