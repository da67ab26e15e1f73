//! Rates that correct themselves: of every answer whose usage was reported, both numbers are known, what was
//! counted and what was billed; so each endpoint's `k` follows them.
//!
//! Whole numbers only: the same reports in the same order give the same rate. A report that is far off says
//! something else (hidden reasoning, tools of the provider, another model behind the name) and is not
//! believed.
//! Deliberately absent: the rates that everybody begins with (`family`).

use super::family::{Family, Rate};
use crate::base::record::Usage;

/// Endpoints whose rate a core remembers. Two that meet at one place take turns.
const ENDPOINTS: usize = 512;
/// An answer must have so many tokens to say anything about a rate.
const TOKENS: u64 = 50;
/// What a report weighs among those before it, once there are so many.
const REPORTS: u32 = 16;

/// One endpoint's.
#[derive(Clone, Copy, Debug, Default)]
struct Fit {
    tag: u64,
    k: u32,
    reports: u32,
}

/// The rates of a core's endpoints.
#[derive(Debug, Default)]
pub struct Fits {
    /// Empty until the first report.
    fits: Vec<Fit>,
}

/// What was counted of an answer, before the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Raw {
    /// Of all its text.
    pub(super) tokens: u64,
    /// Of the reasoning in it.
    pub(super) reasoning_tokens: u64,
}

impl Fits {
    /// The rate of a family at the endpoint of this tag.
    #[must_use]
    pub(super) fn rate(&self, tag: u64, family: Family) -> Rate {
        let rate = family.rate();
        match self.fits.get(tag as usize % ENDPOINTS) {
            Some(fit) if fit.tag == tag && fit.reports > 0 => Rate { k: fit.k, ..rate },
            Some(_) | None => rate,
        }
    }

    /// Takes a report of what was counted exactly. False when it says nothing about the rate.
    pub(super) fn note(&mut self, tag: u64, family: Family, raw: Raw, reported: Usage) -> bool {
        let base = family.rate();
        // Reasoning may have been shown, shortened or hidden. What was reported apart is left out.
        let apart = reported.reasoning_tokens > 0;
        let counted = raw.tokens - if apart { raw.reasoning_tokens.min(raw.tokens) } else { 0 };
        let shown = raw.reasoning_tokens > 0;
        let fixed = u64::from(base.fixed) + if shown { u64::from(base.fixed_reasoning) } else { 0 };
        let billed =
            reported.completion_tokens.saturating_sub(reported.reasoning_tokens).saturating_sub(fixed);
        if counted < TOKENS || billed > u64::from(u32::MAX) {
            return false;
        }
        let ratio = billed * u64::from(Rate::ONE) / counted;
        let (least, most) = (u64::from(base.k) / 2, u64::from(base.k) * 2);
        if !(least..=most).contains(&ratio) {
            return false;
        }
        if self.fits.is_empty() {
            self.fits.resize(ENDPOINTS, Fit::default());
        }
        let fit = &mut self.fits[tag as usize % ENDPOINTS];
        if fit.tag != tag || fit.reports == 0 {
            *fit = Fit { tag, k: base.k, reports: 0 };
        }
        // The family's own rate counts as one report.
        fit.reports = (fit.reports + 1).min(REPORTS);
        let step = (ratio as i64 - i64::from(fit.k)) / i64::from(fit.reports + 1);
        fit.k = (i64::from(fit.k) + step).clamp(least as i64, most as i64) as u32;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(completion_tokens: u64, reasoning_tokens: u64) -> Usage {
        Usage { completion_tokens, reasoning_tokens, ..Usage::default() }
    }

    fn raw(tokens: u64) -> Raw {
        Raw { tokens, reasoning_tokens: 0 }
    }

    #[test]
    fn rates_follow_reports() {
        let mut fits = Fits::default();
        let family = Family::Claude;
        for _ in 0..60 {
            assert!(fits.note(7, family, raw(1000), usage(1600, 0)));
        }
        let near = |tokens: u32| (1590..=1600).contains(&tokens);
        assert!(near(fits.rate(7, family).billed(1000, false)), "{:?}", fits.rate(7, family));
        assert_eq!(fits.rate(8, family), family.rate(), "another endpoint");
        let other = 7 + ENDPOINTS as u64;
        assert_eq!(fits.rate(other, family), family.rate(), "another at the same place");
        assert!(fits.note(other, family, raw(1000), usage(1447, 0)));
        assert_eq!(fits.rate(7, family), family.rate(), "it made room");
    }

    #[test]
    fn what_says_nothing_is_not_believed() {
        let mut fits = Fits::default();
        for (counted, reported) in [
            (raw(10), usage(12, 0)),
            (raw(1000), usage(5000, 0)),
            (raw(1000), usage(100, 0)),
            (raw(0), usage(0, 0)),
            (raw(1000), usage(u64::MAX, 0)),
            (raw(1000), usage(1000, u64::MAX)),
            (Raw { tokens: 60, reasoning_tokens: 60 }, usage(60, 60)),
        ] {
            assert!(!fits.note(1, Family::Gpt, counted, reported), "{counted:?} {reported:?}");
        }
        assert_eq!(fits.rate(1, Family::Gpt), Family::Gpt.rate());
    }

    #[test]
    fn reasoning_that_is_reported_apart_is_left_out() {
        let mut fits = Fits::default();
        // Hidden, then shortened: the visible text counts in both.
        assert!(fits.note(1, Family::Gpt, raw(1000), usage(4001, 3000)));
        let shortened = Raw { tokens: 1200, reasoning_tokens: 200 };
        assert!(fits.note(1, Family::Gpt, shortened, usage(4001, 3000)));
        assert_eq!(fits.rate(1, Family::Gpt), Family::Gpt.rate());
        // Shown, and not reported apart.
        let shown = Raw { tokens: 1000, reasoning_tokens: 600 };
        assert!(fits.note(2, Family::Qwen, shown, usage(1005, 0)));
        assert_eq!(fits.rate(2, Family::Qwen), Family::Qwen.rate());
    }
}
