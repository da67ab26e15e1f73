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
    /// A number that stands for exactly these rules, here and after any restart: FNV-1a (64 bit) over every
    /// price, bound and window in the order in which they are declared, each number in little-endian bytes
    /// behind a 1, or a single 0 where it is not there. Never 0.
    #[must_use]
    pub fn version(&self) -> u64 {
        let mut hash = Hash(0xcbf2_9ce4_8422_2325);
        hash.prices(&self.base);
        for PriceRule { above_prompt_tokens, window, prices } in &self.rules {
            hash.number(above_prompt_tokens.map(i128::from));
            hash.number(window.map(|window| i128::from(window.start) << 16 | i128::from(window.end)));
            hash.prices(prices);
        }
        hash.0.max(1)
    }

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

/// FNV-1a under way.
struct Hash(u64);

impl Hash {
    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }

    fn number(&mut self, number: Option<i128>) {
        self.byte(u8::from(number.is_some()));
        number.iter().flat_map(|number| number.to_le_bytes()).for_each(|byte| self.byte(byte));
    }

    fn prices(&mut self, prices: &Prices) {
        let Prices { prompt, completion, cache_read, cache_write, cache_write_1h, .. } = prices;
        let Prices { reasoning, request, image, audio, .. } = prices;
        let all =
            [prompt, completion, cache_read, cache_write, cache_write_1h, reasoning, request, image, audio];
        all.into_iter().for_each(|price| self.number(price.map(|price| price.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_rules_makes_another_version() {
        let pico = |amount| Some(PicoDollars(amount));
        let rule = PriceRule {
            above_prompt_tokens: Some(200),
            window: Some(Window { start: 1, end: 2 }),
            prices: Prices { prompt: pico(3), ..Prices::default() },
        };
        let base = Prices { prompt: pico(3), completion: pico(4), ..Prices::default() };
        let all = [
            (Prices::default(), vec![]),
            (base, vec![]),
            (Prices { prompt: pico(4), completion: pico(3), ..base }, vec![]),
            (Prices { cache_read: pico(0), ..base }, vec![]),
            (base, vec![rule]),
            (base, vec![rule, rule]),
            (base, vec![PriceRule { above_prompt_tokens: None, ..rule }]),
            (base, vec![PriceRule { window: None, ..rule }]),
            (base, vec![PriceRule { prices: base, ..rule }]),
        ];
        let of = |(base, rules): &(Prices, Vec<PriceRule>)| {
            PriceRules { base: *base, rules: rules.clone().into() }.version()
        };
        let mut versions: Vec<u64> = all.iter().map(of).collect();
        assert_eq!(versions, all.iter().map(of).collect::<Vec<_>>());
        versions.sort_unstable();
        versions.dedup();
        assert_eq!(versions.len(), all.len());
        // It is written down for years: another number would be another version.
        assert_eq!(of(&all[0]), 0xe604_823a_2490_29bf);
    }

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
