//! What came out: as a table for terminals, as JSON, and as a page with plots. One policy, or two side by
//! side.
//!
//! Deliberately absent: files and terminals (`app` writes), and what the counts mean (`tally`).

mod json;
mod page;
mod plot;
mod rows;
mod table;
#[cfg(test)]
mod tests;

use core::time::Duration;

pub use json::json;
pub use page::page;
pub use table::table;

use super::Tally;
use crate::base::money::PicoDollars;

/// A run: what was simulated, and one tally to a policy, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where the traffic came from.
    pub traffic: String,
    /// Nanoseconds since 1970 of the first request.
    pub start: u64,
    /// From the first request to the last.
    pub length: Duration,
    /// The seed.
    pub seed: u64,
    /// Simulated cores.
    pub cores: usize,
    /// What happened under each policy.
    pub tallies: Vec<Tally>,
}

/// An amount in USD, rounded to cents from a dollar on, and to four digits below.
fn usd(amount: PicoDollars) -> String {
    let dollars = amount.0 as f64 / 1e12;
    match dollars {
        0.0 => "$0".to_owned(),
        d if d >= 1.0 => format!("${}", grouped(&format!("{d:.2}"))),
        d => format!("${d:.6}"),
    }
}

/// A number with a comma before each group of three digits.
fn grouped(number: &str) -> String {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut text = String::new();
    for (turn, digit) in whole.chars().enumerate() {
        if turn > 0 && (whole.len() - turn).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

/// Microseconds for people.
fn time(micros: f64) -> String {
    match micros {
        0.0 => "0".to_owned(),
        us if us < 1_000.0 => format!("{us:.0} µs"),
        us if us < 10_000_000.0 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.1} s", us / 1e6),
    }
}

/// A part of a whole; 0 of nothing.
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
