//! Price rules: a base price per unit, and rules that replace parts of it for long prompts or at hours of
//! the day (OpenRouter's `pricing` and its `overrides`).
//!
//! Deliberately absent: the count of units, discounts, and the clock.

use crate::base::money::PicoDollars;

/// Prices per unit. `None` means what the field says, never free by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Per prompt token. `None`: unknown.
    pub prompt: Option<PicoDollars>,
    /// Per completion token. `None`: unknown.
    pub completion: Option<PicoDollars>,
    /// Per prompt token read from a cache. `None`: as `prompt`.
    pub cache_read: Option<PicoDollars>,
    /// Per prompt token written to a cache. `None`: as `prompt`.
    pub cache_write: Option<PicoDollars>,
    /// Per prompt token written to a cache for an hour or longer. `None`: as `cache_write`.
    pub cache_write_1h: Option<PicoDollars>,
    /// Per reasoning token. `None`: as `completion`.
    pub reasoning: Option<PicoDollars>,
    /// Per request, beside its tokens. `None`: nothing.
    pub request: Option<PicoDollars>,
    /// Per image in the prompt. `None`: images are counted as prompt tokens.
    pub image: Option<PicoDollars>,
    /// Per token of sound in the prompt. `None`: sound is counted as prompt tokens.
    pub audio: Option<PicoDollars>,
}

impl Prices {
    /// What a token costs at least: both token prices are known.
    #[must_use]
    pub const fn known(&self) -> bool {
        self.prompt.is_some() && self.completion.is_some()
    }

    /// These prices, with those of `other` in place of the ones it has.
    #[must_use]
    pub fn replaced_by(&self, other: &Self) -> Self {
        Self {
            prompt: other.prompt.or(self.prompt),
            completion: other.completion.or(self.completion),
            cache_read: other.cache_read.or(self.cache_read),
            cache_write: other.cache_write.or(self.cache_write),
            cache_write_1h: other.cache_write_1h.or(self.cache_write_1h),
            reasoning: other.reasoning.or(self.reasoning),
            request: other.request.or(self.request),
            image: other.image.or(self.image),
            audio: other.audio.or(self.audio),
        }
    }
}

/// Hours of every day in UTC, in minutes since midnight: from `start` up to, not including, `end`. It may
/// pass midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First minute, 0 to 1439.
    pub start: u16,
    /// First minute after it, 0 to 1439.
    pub end: u16,
}

impl Window {
    /// Is this minute of the day inside?
    #[must_use]
    pub const fn holds(self, minute: u16) -> bool {
        if self.start <= self.end {
            self.start <= minute && minute < self.end
        } else {
            minute >= self.start || minute < self.end
        }
    }
}

/// Prices that replace the base's when every condition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriceRule {
    /// Prompts of more tokens than this.
    pub above_prompt_tokens: Option<u32>,
    /// Requests at these hours.
    pub window: Option<Window>,
    /// What it replaces.
    pub prices: Prices,
}

/// All prices of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceRules {
    /// When no rule applies.
    pub base: Prices,
    /// Rules; of two that apply the later one wins, price by price.
    pub rules: Box<[PriceRule]>,
}

impl PriceRules {
    /// The prices of a prompt of so many tokens at this minute of the day (UTC). Allocates nothing.
    #[must_use]
    pub fn at(&self, prompt_tokens: u32, minute: u16) -> Prices {
        self.rules.iter().fold(self.base, |prices, rule| {
            let long = rule.above_prompt_tokens.is_none_or(|most| prompt_tokens > most);
            let now = rule.window.is_none_or(|window| window.holds(minute));
            if long && now { prices.replaced_by(&rule.prices) } else { prices }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_half_open_and_may_pass_midnight() {
        let window = |start, end| Window { start, end };
        for (window, minute, want) in [
            (window(60, 120), 59, false),
            (window(60, 120), 60, true),
            (window(60, 120), 120, false),
            (window(1000, 30), 1439, true),
            (window(1000, 30), 0, true),
            (window(1000, 30), 30, false),
            (window(1000, 30), 999, false),
            (window(5, 5), 5, false),
        ] {
            assert_eq!(window.holds(minute), want, "{window:?} {minute}");
        }
    }

    #[test]
    fn the_later_rule_wins_price_by_price() {
        let pico = |amount| Some(PicoDollars(amount));
        let rule = |above, window, prompt, completion| PriceRule {
            above_prompt_tokens: above,
            window,
            prices: Prices { prompt, completion, ..Prices::default() },
        };
        let night = Some(Window { start: 60, end: 120 });
        let rules = PriceRules {
            base: Prices { prompt: pico(10), completion: pico(20), ..Prices::default() },
            rules: Box::new([
                rule(Some(200), None, pico(30), pico(40)),
                rule(None, night, pico(5), None),
                rule(Some(300), night, pico(7), None),
            ]),
        };
        for (tokens, minute, want) in [
            (0, 0, (10, 20)),
            (200, 0, (10, 20)),
            (201, 0, (30, 40)),
            (201, 60, (5, 40)),
            (301, 60, (7, 40)),
            (1, 60, (5, 20)),
        ] {
            let prices = rules.at(tokens, minute);
            assert_eq!((prices.prompt, prices.completion), (pico(want.0), pico(want.1)), "{tokens} {minute}");
        }
    }
}
