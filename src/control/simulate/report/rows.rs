//! The figures that all reports have in common: name, and one value to a policy.
//!
//! Deliberately absent: layout.

use super::{Run, share, time, usd};
use crate::base::money::PicoDollars;
use crate::control::simulate::Tally;
use crate::control::simulate::histogram::Histogram;
use crate::control::simulate::tally::Part;

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Count(u64),
    Money(PicoDollars),
    /// Microseconds; `None` when there was nothing to measure.
    Time(Option<f64>),
    /// Tokens per second.
    Speed(Option<f64>),
}

impl Value {
    pub(super) fn text(self) -> String {
        match self {
            Self::Count(count) => super::grouped(&count.to_string()),
            Self::Money(amount) => usd(amount),
            Self::Time(micros) => micros.map_or_else(|| "-".to_owned(), time),
            Self::Speed(speed) => speed.map_or_else(|| "-".to_owned(), |speed| format!("{speed:.1}")),
        }
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Count(count) => Some(count as f64),
            Self::Money(amount) => Some(amount.0 as f64),
            Self::Time(value) | Self::Speed(value) => value,
        }
    }

    /// How far `other` is from this one; empty when that cannot be said.
    pub(super) fn difference(self, other: Self) -> String {
        match (self.number(), other.number()) {
            (Some(one), Some(two)) if one == two => "=".to_owned(),
            (Some(one), Some(two)) if one > 0.0 => {
                let percent = (two / one - 1.0) * 100.0;
                if percent.abs() >= 1_000.0 {
                    format!("× {:.0}", two / one)
                } else {
                    format!("{percent:+.1} %")
                }
            }
            _ => String::new(),
        }
    }
}

/// A figure.
pub(super) type Figure = (&'static str, fn(&Tally) -> Value);

fn speed(histogram: &Histogram, at: f64) -> Value {
    Value::Speed(histogram.quantile(at).map(|thousandths| thousandths / 1_000.0))
}

/// The figures of a whole run, in the order of importance.
pub(super) const FIGURES: &[Figure] = &[
    ("requests", |tally| Value::Count(tally.requests)),
    ("cost", |tally| Value::Money(tally.cost)),
    ("failures that clients saw", |tally| Value::Count(tally.visible())),
    ("of these mid-stream", |tally| Value::Count(tally.cut)),
    ("without a candidate", |tally| Value::Count(tally.refused)),
    ("first token p50", |tally| Value::Time(tally.ttft_us.quantile(0.5))),
    ("first token p95", |tally| Value::Time(tally.ttft_us.quantile(0.95))),
    ("first token p99", |tally| Value::Time(tally.ttft_us.quantile(0.99))),
    ("whole answer p50", |tally| Value::Time(tally.answer_us.quantile(0.5))),
    ("whole answer p95", |tally| Value::Time(tally.answer_us.quantile(0.95))),
    ("tokens per second p50", |tally| speed(&tally.speed, 0.5)),
    ("tokens per second p5", |tally| speed(&tally.speed, 0.05)),
    ("attempts", |tally| Value::Count(tally.attempts)),
    ("failed attempts", |tally| Value::Count(tally.attempts_failed)),
    ("429s from providers", |tally| Value::Count(tally.limited)),
    ("failovers", |tally| Value::Count(tally.failovers)),
    ("of these perhaps billed", |tally| Value::Count(tally.failovers_ambiguous)),
    ("failovers denied", |tally| Value::Count(tally.retries_denied)),
    ("answers of unknown price", |tally| Value::Count(tally.unpriced)),
];

/// One provider or model under each policy, by name; `None` where a policy does not have it.
pub(super) struct Line<'r> {
    pub(super) name: &'r str,
    pub(super) parts: Vec<Option<&'r Part>>,
}

impl Line<'_> {
    fn weight(&self) -> u64 {
        self.parts.iter().flatten().map(|part| part.attempts).sum()
    }
}

/// The providers (or models) that were asked, those with the most attempts first; of equals, by name.
pub(super) fn lines<'r>(run: &'r Run, of: fn(&Tally) -> &[Part]) -> Vec<Line<'r>> {
    let mut lines: Vec<Line<'r>> = Vec::new();
    for part in run.tallies.iter().flat_map(of) {
        if part.attempts > 0 && !lines.iter().any(|line| line.name == part.name) {
            let same = |tally: &'r Tally| of(tally).iter().find(|one| one.name == part.name);
            lines.push(Line { name: &part.name, parts: run.tallies.iter().map(same).collect() });
        }
    }
    lines.sort_by(|one, two| two.weight().cmp(&one.weight()).then(one.name.cmp(two.name)));
    lines
}

/// Which share of a policy's served requests a part served.
pub(super) fn share_of(part: Option<&Part>, tally: &Tally) -> f64 {
    part.map_or(0.0, |part| share(part.served, tally.served))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_differences_are_for_people() {
        let money = |dollars: f64| Value::Money(PicoDollars((dollars * 1e12) as i128));
        for (one, two, texts, difference) in [
            (Value::Count(1_234_567), Value::Count(0), ["1,234,567", "0"], "-100.0 %"),
            (Value::Count(0), Value::Count(5), ["0", "5"], ""),
            (Value::Count(7), Value::Count(7), ["7", "7"], "="),
            (money(1_234.5), money(987.6), ["$1,234.50", "$987.60"], "-20.0 %"),
            (money(0.25), money(25_000.0), ["$0.250000", "$25,000.00"], "× 100000"),
            (Value::Time(Some(250.0)), Value::Time(Some(1_500.0)), ["250 µs", "2 ms"], "+500.0 %"),
            (Value::Time(Some(12e6)), Value::Time(None), ["12.0 s", "-"], ""),
            (Value::Speed(Some(50.0)), Value::Speed(Some(55.0)), ["50.0", "55.0"], "+10.0 %"),
        ] {
            assert_eq!([one.text(), two.text()], texts);
            assert_eq!(one.difference(two), difference, "{one:?} {two:?}");
        }
    }
}
