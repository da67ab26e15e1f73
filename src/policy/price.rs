//! What a request costs, by the prices that hold for it and the tokens it took. Integers from end to end: the
//! same figure in an answer, in the journal and in every report.
//!
//! Deliberately absent: which prices hold (`catalog::PriceRules::at`), and who pays.

use crate::base::money::PicoDollars;
use crate::base::record::Usage;
use crate::policy::catalog::{PriceRules, Prices};
use crate::wire::journal::Cost;

/// What these tokens cost, all of it charged. `None` when a price that they need is unknown: that is never
/// free. Amounts stop at the ends of what an `i64` holds (9.2 million USD).
///
/// The formula is OpenRouter's (usage accounting): prompt tokens that were neither read from a cache nor
/// written to one at the prompt's price, the others at their own; completion tokens at theirs, reasoning
/// apart where it has a price of its own; sound and images likewise; and the fee per request.
#[must_use]
pub fn cost(prices: &Prices, usage: &Usage) -> Option<Cost> {
    let (prompt, completion) = (prices.prompt?, prices.completion?);
    let times = |count: u64, price: PicoDollars| i128::from(count).saturating_mul(price.0);
    let read = usage.cached_tokens.min(usage.prompt_tokens);
    let written = usage.cache_write_tokens.min(usage.prompt_tokens - read);
    let long = usage.cache_write_1h_tokens.min(written);
    let audio = match prices.audio {
        Some(_) => usage.audio_tokens.min(usage.prompt_tokens - read - written),
        None => 0,
    };
    let plain = usage.prompt_tokens - read - written - audio;
    let write_price = prices.cache_write.unwrap_or(prompt);
    let cached = times(read, prices.cache_read.unwrap_or(prompt))
        + times(written - long, write_price)
        + times(long, prices.cache_write_1h.unwrap_or(write_price));
    let prompt_cost = times(plain, prompt)
        + cached
        + times(audio, prices.audio.unwrap_or(prompt))
        + times(usage.images, prices.image.unwrap_or_default())
        + prices.request.map_or(0, |fee| fee.0);
    let reasoning = usage.reasoning_tokens.min(usage.completion_tokens);
    let completion_cost = times(usage.completion_tokens - reasoning, completion)
        + times(reasoning, prices.reasoning.unwrap_or(completion));
    let total = amount(prompt_cost + completion_cost);
    Some(Cost {
        total,
        upstream: total,
        prompt: amount(prompt_cost),
        completion: amount(completion_cost),
        cache_discount: amount(times(read + written, prompt) - cached),
    })
}

/// What a request of so many tokens costs at most, whatever of them is cached, written to a cache or
/// reasoning: what is put aside for it. `None` when a token's price is unknown. Images and sound cost what
/// they cost: nobody knows how many there are.
#[must_use]
pub fn most_cost(rules: &PriceRules, prompt_tokens: u32, completion_tokens: u32, minute: u16) -> Option<i64> {
    let changing;
    let prices = if rules.rules.is_empty() {
        &rules.base
    } else {
        changing = rules.at(prompt_tokens, minute);
        &changing
    };
    let dearest = |price: PicoDollars, others: [Option<PicoDollars>; 2]| {
        i128::from(amount(others.into_iter().flatten().fold(price, PicoDollars::max).0))
    };
    let prompt = dearest(prices.prompt?, [prices.cache_write, prices.cache_write_1h]);
    let completion = dearest(prices.completion?, [prices.reasoning, None]);
    let tokens = prompt * i128::from(prompt_tokens) + completion * i128::from(completion_tokens);
    Some(amount(tokens.saturating_add(prices.request.map_or(0, |fee| fee.0)).max(0)))
}

fn amount(pico: i128) -> i64 {
    i64::try_from(pico).unwrap_or(if pico < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICES: Prices = Prices {
        prompt: Some(PicoDollars(100)),
        completion: Some(PicoDollars(1_000)),
        cache_read: Some(PicoDollars(10)),
        cache_write: Some(PicoDollars(125)),
        cache_write_1h: Some(PicoDollars(200)),
        reasoning: Some(PicoDollars(500)),
        request: Some(PicoDollars(7)),
        image: Some(PicoDollars(3_000)),
        audio: Some(PicoDollars(300)),
    };

    #[test]
    fn every_kind_of_token_has_its_price() {
        let none = Usage::default();
        let asked = Usage { prompt_tokens: 10, completion_tokens: 4, ..none };
        let check = |usage: Usage, prompt: i64, completion: i64, discount: i64| {
            let cost = cost(&PRICES, &usage).expect("prices are known");
            let got = (cost.total, cost.upstream, cost.prompt, cost.completion, cost.cache_discount);
            let total = prompt + completion;
            assert_eq!(got, (total, total, prompt, completion, discount), "{usage:?}");
        };
        check(none, 7, 0, 0);
        check(asked, 1_007, 4_000, 0);
        check(Usage { cached_tokens: 4, ..asked }, 647, 4_000, 360);
        check(Usage { cached_tokens: 4, cache_write_tokens: 2, ..asked }, 697, 4_000, 310);
        check(Usage { cache_write_tokens: 2, cache_write_1h_tokens: 1, ..asked }, 1_132, 4_000, -125);
        check(Usage { reasoning_tokens: 3, ..asked }, 1_007, 2_500, 0);
        check(Usage { audio_tokens: 5, images: 2, ..asked }, 8_007, 4_000, 0);
        // Parts that are more than the whole are no more than the whole.
        check(Usage { cached_tokens: 99, reasoning_tokens: 99, ..asked }, 107, 2_000, 900);
    }

    #[test]
    fn what_has_no_price_of_its_own_costs_as_the_rest() {
        let plain = Prices { prompt: PRICES.prompt, completion: PRICES.completion, ..Prices::default() };
        let usage = Usage {
            prompt_tokens: 10,
            completion_tokens: 4,
            cached_tokens: 3,
            cache_write_tokens: 3,
            cache_write_1h_tokens: 1,
            reasoning_tokens: 2,
            audio_tokens: 2,
            images: 1,
        };
        assert_eq!(cost(&plain, &usage).map(|cost| (cost.prompt, cost.completion)), Some((1_000, 4_000)));
    }

    #[test]
    fn no_usage_costs_more_than_was_put_aside() {
        let rules = |base: Prices| PriceRules { base, rules: Box::default() };
        for base in [PRICES, Prices { cache_write_1h: None, ..PRICES }, Prices { reasoning: None, ..PRICES }]
        {
            let most = most_cost(&rules(base), 10, 4, 0).expect("prices are known");
            for (written, long, reasoning) in [(0, 0, 0), (10, 0, 0), (10, 10, 4), (5, 5, 2)] {
                let usage = Usage {
                    prompt_tokens: 10,
                    completion_tokens: 4,
                    cache_write_tokens: written,
                    cache_write_1h_tokens: long,
                    reasoning_tokens: reasoning,
                    ..Usage::default()
                };
                let cost = cost(&base, &usage).expect("prices are known").total;
                assert!(cost <= most, "{usage:?} costs {cost}, {most} were put aside");
            }
        }
        let all = Prices { cache_write_1h: None, cache_write: None, ..PRICES };
        assert_eq!(most_cost(&rules(all), 10, 4, 0), Some(10 * 100 + 4 * 1_000 + 7));
        assert_eq!(most_cost(&rules(Prices { prompt: None, ..PRICES }), 1, 1, 0), None);
        let dear = Prices { prompt: Some(PicoDollars(i128::MAX)), ..PRICES };
        assert_eq!(most_cost(&rules(dear), u32::MAX, u32::MAX, 0), Some(i64::MAX));
        let night = crate::policy::catalog::PriceRule {
            prices: Prices { completion: Some(PicoDollars(2_000)), ..Prices::default() },
            ..Default::default()
        };
        let ruled = PriceRules { base: all, rules: Box::new([night]) };
        assert_eq!(most_cost(&ruled, 10, 4, 0), Some(10 * 100 + 4 * 2_000 + 7));
    }

    #[test]
    fn an_unknown_price_is_not_free_and_no_amount_overflows() {
        for unknown in [Prices { prompt: None, ..PRICES }, Prices { completion: None, ..PRICES }] {
            assert_eq!(cost(&unknown, &Usage::default()), None);
        }
        let most = Usage { prompt_tokens: u64::MAX, completion_tokens: u64::MAX, ..Usage::default() };
        assert_eq!(cost(&PRICES, &most).map(|cost| cost.total), Some(i64::MAX));
    }
}
