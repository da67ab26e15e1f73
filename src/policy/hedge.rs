//! Hedging: when a request that waits for its first event is given to a second candidate too, and how many
//! requests may be.
//!
//! ```text
//!  begun ─────────────────► delay over, nothing came ─────► second candidate begun ───► first answer wins
//!         95 of 100 first events of this endpoint                within the shares of
//!         came sooner, or a time that somebody has set           requests and of cost
//! ```
//!
//! Two candidates that answer one request are both paid for, so everything here is bounded twice: by a share
//! of the requests that may be hedged, and by a share of what these cost. Each share has [`BURST`] hedges
//! besides, so that a quiet router may hedge at all.
//! Deliberately absent: the race itself (`exchange`), and where the percentile comes from (`health`).

use core::time::Duration;

use crate::policy::catalog::EndpointFacts;
use crate::policy::filter::ANSWER_TOKENS_USUAL;
use crate::policy::prefs::BadPreference;

/// Hedges beyond the shares, counted from the start of the core.
pub const BURST: u32 = 10;
/// The longest delay that a request may name.
const DELAY_MS_MOST: u64 = 3_600_000;
/// What one hedge takes from its bucket, which each request fills by the share in percent.
const HEDGE: u32 = 100;

/// When a second candidate is begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// Never.
    #[default]
    Off,
    /// When 95 of 100 first events of the endpoint came sooner.
    P95,
    /// After this time.
    After(Duration),
}

/// What a request says in `X-Millrace-Hedge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// `on`: as is configured, and by the percentile where that is "off".
    On,
    /// `off`
    Off,
    /// A number of milliseconds. It counts for an answer that is no stream, too.
    After(Duration),
}

/// The refusal of a value that is no wish.
pub const BAD_WISH: BadPreference =
    BadPreference { field: "x-millrace-hedge", allowed: "`on`, `off`, or milliseconds from 1 to 3600000" };

impl Wish {
    /// Reads the value of the field, whatever its case.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        match value {
            _ if value.eq_ignore_ascii_case(b"on") => return Some(Self::On),
            _ if value.eq_ignore_ascii_case(b"off") => return Some(Self::Off),
            // The standard parser would take a sign.
            [b'0'..=b'9', ..] => {}
            _ => return None,
        }
        let ms = core::str::from_utf8(value).ok()?.parse().ok()?;
        (1..=DELAY_MS_MOST).contains(&ms).then(|| Self::After(Duration::from_millis(ms)))
    }
}

/// What the operator allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Some request may be hedged. While this is false, nothing else here is looked at.
    pub in_use: bool,
    /// For models that say nothing else.
    pub when: When,
    /// The shortest delay that the percentile may lead to.
    pub least: Duration,
    /// The delay while too few first events were seen to tell the percentile; `None` is no hedge.
    pub unmeasured: Option<Duration>,
    /// Hedges, in percent of the requests that may be hedged, 0 to 100.
    pub requests_percent: u32,
    /// Estimated cost of the hedges, in percent of what these requests are estimated to cost, 0 to 100.
    pub cost_percent: u32,
    /// Requests may say themselves whether and when they are hedged.
    pub per_request: bool,
}

impl Default for Terms {
    /// Off.
    fn default() -> Self {
        Self {
            in_use: false,
            when: When::Off,
            least: Duration::from_millis(100),
            unmeasured: None,
            requests_percent: 5,
            cost_percent: 5,
            per_request: false,
        }
    }
}

impl Terms {
    /// What holds for one request: its own wish where that is allowed, else its model's rule, else the rule
    /// of all. Only streams tell by their first event how they are doing; an answer that is no stream is
    /// hedged only by a wish that names the time.
    #[must_use]
    pub fn when(&self, model: Option<When>, wish: Option<Wish>, streams: bool) -> When {
        let usual = model.unwrap_or(self.when);
        let when = match wish.filter(|_| self.per_request) {
            Some(Wish::After(delay)) => return When::After(delay),
            Some(Wish::Off) => When::Off,
            Some(Wish::On) if usual == When::Off => When::P95,
            Some(Wish::On) | None => usual,
        };
        if streams { when } else { When::Off }
    }

    /// How long the endpoint may take before a second candidate is begun, given its 95th percentile in
    /// milliseconds (0 is unknown).
    #[must_use]
    pub fn delay(&self, when: When, p95_ms: f32) -> Option<Duration> {
        match when {
            When::Off => None,
            When::P95 if p95_ms > 0.0 => {
                Some(Duration::try_from_secs_f64(f64::from(p95_ms) / 1000.0).ok()?.max(self.least))
            }
            When::P95 => self.unmeasured,
            When::After(delay) => Some(delay),
        }
    }
}

/// What a request of about so many prompt tokens costs at an endpoint at this minute of the day (UTC), in
/// pico-dollars: an estimate, with an answer of the usual length. `None` when a price is unknown.
#[must_use]
pub fn estimated_cost(facts: &EndpointFacts, prompt_tokens: u32, minute: u16) -> Option<i64> {
    let prices = facts.prices.as_ref()?.at(prompt_tokens, minute);
    let (prompt, completion) = (prices.prompt?.0, prices.completion?.0);
    let tokens = prompt
        .saturating_mul(i128::from(prompt_tokens))
        .saturating_add(completion.saturating_mul(i128::from(ANSWER_TOKENS_USUAL)));
    let all = tokens.saturating_add(prices.request.map_or(0, |fee| fee.0));
    Some(i64::try_from(all.max(0)).unwrap_or(i64::MAX))
}

/// What is left of the two shares, on one core.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// In hundredths of a hedge; never more than [`BURST`] hedges.
    requests: u32,
    /// In pico-dollars; below zero by [`BURST`] hedges at most.
    cost: i64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { requests: BURST * HEDGE, cost: 0 }
    }
}

impl Budget {
    /// A request begins that may be hedged, and is estimated to cost so much.
    pub fn request(&mut self, terms: &Terms, cost: i64) {
        self.requests = (self.requests + terms.requests_percent).min(BURST * HEDGE);
        let share = i128::from(cost) * i128::from(terms.cost_percent) / 100;
        self.cost = self.cost.saturating_add(i64::try_from(share).unwrap_or(i64::MAX));
    }

    /// May a hedge of this estimated cost begin? Granting uses the shares up.
    pub fn grant(&mut self, terms: &Terms, cost: i64) -> bool {
        let left = self.cost.saturating_sub(cost);
        let overdrawn = cost.saturating_mul(i64::from(BURST)).saturating_neg();
        let is_paid = cost == 0 || (terms.cost_percent > 0 && left >= overdrawn);
        if terms.requests_percent == 0 || self.requests < HEDGE || !is_paid {
            return false;
        }
        self.requests -= HEDGE;
        self.cost = left;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::money::PicoDollars;
    use crate::policy::catalog::{PriceRules, Prices};

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_wish_is_a_word_or_a_time() {
        for (value, want) in [
            (&b"on"[..], Some(Wish::On)),
            (b"ON", Some(Wish::On)),
            (b"off", Some(Wish::Off)),
            (b"1", Some(Wish::After(ms(1)))),
            (b"0250", Some(Wish::After(ms(250)))),
            (b"3600000", Some(Wish::After(ms(3_600_000)))),
            (b"3600001", None),
            (b"0", None),
            (b"", None),
            (b"+5", None),
            (b"-5", None),
            (b"5ms", None),
            (b"1.5", None),
            (b"99999999999999999999999", None),
            (b"o\xff", None),
        ] {
            assert_eq!(Wish::read(value), want, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn wish_then_model_then_all() {
        let (after, other) = (When::After(ms(7)), When::After(ms(9)));
        let closed = Terms { when: after, ..Terms::default() };
        let open = Terms { per_request: true, ..closed };
        let off = Terms { when: When::Off, ..open };
        for (terms, model, wish, streams, want) in [
            (&closed, None, None, true, after),
            (&closed, None, None, false, When::Off),
            (&closed, Some(When::Off), None, true, When::Off),
            (&closed, Some(other), Some(Wish::Off), true, other),
            (&open, Some(other), Some(Wish::Off), true, When::Off),
            (&open, Some(other), Some(Wish::On), true, other),
            (&open, None, Some(Wish::After(ms(1))), false, When::After(ms(1))),
            (&off, None, Some(Wish::On), true, When::P95),
            (&off, None, Some(Wish::On), false, When::Off),
            (&off, None, None, true, When::Off),
        ] {
            assert_eq!(terms.when(model, wish, streams), want, "{model:?} {wish:?} {streams}");
        }
    }

    #[test]
    fn without_a_measurement_only_a_set_time_counts() {
        let terms = Terms::default();
        let set = Terms { unmeasured: Some(ms(700)), ..Terms::default() };
        for (terms, when, p95, want) in [
            (&terms, When::Off, 900.0, None),
            (&terms, When::P95, 0.0, None),
            (&set, When::P95, 0.0, Some(700)),
            (&set, When::P95, 900.0, Some(900)),
            (&terms, When::P95, 3.0, Some(100)),
            (&terms, When::P95, f32::NAN, None),
            (&terms, When::P95, f32::INFINITY, None),
            (&terms, When::After(ms(3)), 900.0, Some(3)),
        ] {
            assert_eq!(terms.delay(when, p95), want.map(ms), "{when:?} {p95}");
        }
    }

    /// So many requests and then as many hedges as are granted: how many are.
    #[track_caller]
    fn check(terms: &Terms, requests: u32, costs: [i64; 2], want: usize) {
        let mut budget = Budget::default();
        let mut granted = 0;
        for _ in 0..requests {
            budget.request(terms, costs[0]);
            granted += usize::from(budget.grant(terms, costs[1]));
        }
        assert_eq!(granted, want, "{requests} {costs:?}");
    }

    #[test]
    fn both_shares_bound_the_hedges() {
        let five = Terms::default();
        check(&five, 10, [0, 0], 10);
        // The full bucket takes nothing from the first request.
        check(&five, 1_000, [0, 0], 59);
        // A hedge at the price of its request takes as much of its share as of the other.
        check(&five, 1_000, [100, 100], 59);
        // A hedge that costs ten times as much is granted a tenth as often.
        check(&five, 1_000, [100, 1_000], 15);
        check(&Terms { requests_percent: 0, ..five }, 1_000, [0, 0], 0);
        check(&Terms { cost_percent: 0, ..five }, 1_000, [100, 100], 0);
        check(&Terms { cost_percent: 0, ..five }, 1_000, [100, 0], 59);
        check(&Terms { requests_percent: 100, cost_percent: 100, ..five }, 1_000, [100, 100], 1_000);
        // No amount overflows: one of this size is granted, and then one is overdrawn for good.
        check(&Terms::default(), 100, [0, i64::MAX], 1);
    }

    #[test]
    fn the_bucket_holds_a_burst_and_no_more() {
        let (terms, mut budget) = (Terms::default(), Budget::default());
        (0..100_000).for_each(|_| budget.request(&terms, 0));
        assert_eq!((0..1_000).filter(|_| budget.grant(&terms, 0)).count(), BURST as usize);
    }

    #[test]
    fn an_unknown_price_is_no_estimate() {
        let prices = |prompt, completion, request| {
            let amount = |amount: Option<i128>| amount.map(PicoDollars);
            let base = Prices {
                prompt: amount(prompt),
                completion: amount(completion),
                request: amount(request),
                ..Prices::default()
            };
            EndpointFacts {
                prices: Some(PriceRules { base, rules: Box::default() }),
                ..EndpointFacts::default()
            }
        };
        let answer = i64::from(ANSWER_TOKENS_USUAL);
        for (facts, want) in [
            (EndpointFacts::default(), None),
            (prices(Some(2), None, None), None),
            (prices(Some(2), Some(3), None), Some(200 + 3 * answer)),
            (prices(Some(2), Some(3), Some(7)), Some(207 + 3 * answer)),
            (prices(Some(0), Some(0), None), Some(0)),
            (prices(Some(i128::MAX), Some(1), None), Some(i64::MAX)),
        ] {
            assert_eq!(estimated_cost(&facts, 100, 0), want);
        }
    }
}
