//! Bills over small snapshots: which prices hold, who is not charged, and where figures come from.
//!
//! Deliberately absent: the formula of the price (`policy/price`).

use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::base::ids::{ModelId, ProviderId};
use crate::base::money::PicoDollars;
use crate::policy::catalog::{Model, PriceRule, Prices, Window};

fn prices(prompt: i128, completion: i128) -> PriceRules {
    let base = Prices {
        prompt: Some(PicoDollars(prompt)),
        completion: Some(PicoDollars(completion)),
        ..Prices::default()
    };
    PriceRules { base, rules: Box::default() }
}

/// One model at one provider: an endpoint of each tier with these prices, the default one first.
fn bill(tiers: &[(ServiceTier, Option<PriceRules>)]) -> Bill {
    let endpoints = tiers.iter().map(|(tier, prices)| {
        let mut endpoint = Endpoint::plain(ProviderId(0), ModelId(0), "m");
        (endpoint.facts.service_tier, endpoint.facts.prices) = (Some(*tier), prices.clone());
        endpoint
    });
    let ids = (0..tiers.len() as u32).map(EndpointId).collect();
    let snapshot =
        Snapshot { endpoints: endpoints.collect(), models: vec![Model::plain("m", ids)], ..Snapshot::bare() };
    Bill {
        held: Rc::new(Arc::new(snapshot)),
        endpoint: Some(EndpointId(0)),
        minute: 90,
        byok: false,
        completes: true,
        id: GenerationId::new(UnixSeconds(0), [0, 0]),
        api: Api::ChatCompletions,
        openrouter: false,
        wants_usage: false,
        prompt_estimate: 7,
    }
}

/// A bill of embeddings at ten pico-dollars per token of the prompt, or without a price.
pub(in crate::exchange) fn bill_of(priced: bool) -> Bill {
    let bill = bill(&[(ServiceTier::Default, priced.then(|| prices(10, 100)))]);
    Bill { completes: false, api: Api::Embeddings, ..bill }
}

const USAGE: Usage = Usage {
    prompt_tokens: 10,
    completion_tokens: 2,
    cached_tokens: 0,
    cache_write_tokens: 0,
    cache_write_1h_tokens: 0,
    reasoning_tokens: 0,
    audio_tokens: 0,
    images: 0,
};
const STOP: Told<'static> = Told { upstream_id: "", finish_reason: "stop", service_tier: "" };

#[track_caller]
fn check(bill: &Bill, usage: Usage, told: Told<'_>, want: Option<(i64, i64, Flags)>) {
    let got = bill.cost(&usage, told, Ending::Complete);
    assert_eq!(got.map(|(cost, flags)| (cost.total, cost.upstream, flags)), want, "{told:?}");
}

#[test]
fn the_tier_that_was_served_is_the_one_that_is_charged() {
    let none = Flags::default();
    let both = bill(&[
        (ServiceTier::Default, Some(prices(10, 100))),
        (ServiceTier::Priority, Some(prices(20, 200))),
        (ServiceTier::Flex, None),
    ]);
    for (tier, want) in
        [("", 300), ("default", 300), ("standard", 300), ("flex", 300), ("priority", 600), ("PRIORITY", 300)]
    {
        let told = Told { service_tier: tier, ..STOP };
        check(&both, USAGE, told, Some((want, want, none)));
    }
}

#[test]
fn rules_follow_the_size_of_the_prompt_and_the_minute_of_the_request() {
    let long = PriceRule {
        above_prompt_tokens: Some(9),
        prices: Prices { prompt: Some(PicoDollars(30)), ..Prices::default() },
        ..PriceRule::default()
    };
    let night = |start, end| PriceRule {
        window: Some(Window { start, end }),
        prices: Prices { completion: Some(PicoDollars(1)), ..Prices::default() },
        ..PriceRule::default()
    };
    for (rule, want) in [(long, 500), (night(90, 91), 102), (night(91, 90), 300)] {
        let rules = PriceRules { rules: Box::new([rule]), ..prices(10, 100) };
        check(
            &bill(&[(ServiceTier::Default, Some(rules))]),
            USAGE,
            STOP,
            Some((want, want, Flags::default())),
        );
    }
}

#[test]
fn an_answer_of_nothing_is_not_charged_unless_its_client_left() {
    let bill = bill(&[(ServiceTier::Default, Some(prices(10, 100)))]);
    let nothing = Usage { completion_tokens: 0, ..USAGE };
    for (reason, usage, want) in [
        ("", nothing, (0, 100, Flags::INSURED)),
        ("error", nothing, (0, 100, Flags::INSURED)),
        ("length", nothing, (100, 100, Flags::default())),
        ("", USAGE, (300, 300, Flags::default())),
        ("error", USAGE, (300, 300, Flags::default())),
    ] {
        check(&bill, usage, Told { finish_reason: reason, ..STOP }, Some(want));
    }
    let gone = bill.cost(&nothing, Told::default(), Ending::ClientGone);
    assert_eq!(gone.map(|(cost, flags)| (cost.total, flags)), Some((100, Flags::default())));
    // Embeddings have no completion.
    let embeddings = Bill { completes: false, ..bill };
    check(&embeddings, nothing, Told::default(), Some((100, 100, Flags::default())));
}

#[test]
fn an_unknown_price_is_no_price_and_a_credential_of_the_callers_own_is_not_charged() {
    check(&bill(&[(ServiceTier::Default, None)]), USAGE, STOP, None);
    let half = PriceRules { base: Prices { completion: None, ..prices(10, 100).base }, ..prices(0, 0) };
    check(&bill(&[(ServiceTier::Default, Some(half))]), USAGE, STOP, None);
    let known = bill(&[(ServiceTier::Default, Some(prices(10, 100)))]);
    check(&Bill { endpoint: None, ..known.clone() }, USAGE, STOP, None);
    check(&Bill { byok: true, ..known }, USAGE, STOP, Some((0, 300, Flags::BYOK)));
}

#[test]
fn the_minute_is_that_of_the_requests_id() {
    let at = UnixSeconds(1_700_000_000 + 3_600);
    let id = GenerationId::new(at, [1, 2]);
    assert_eq!(UnixSeconds(created(id.as_str())), at);
}

#[test]
fn figures_say_where_they_come_from() {
    let usage = |prompt_tokens, completion_tokens| Usage {
        prompt_tokens,
        completion_tokens,
        cached_tokens: 1,
        ..Usage::default()
    };
    let plain = |prompt_tokens, completion_tokens| Usage {
        cached_tokens: 0,
        ..usage(prompt_tokens, completion_tokens)
    };
    let counted = |tokens, exact| Counted { tokens, text_bytes: 9, exact, ..Counted::default() };
    for (reported, is_final, counted, want) in [
        (Some(usage(5, 3)), true, counted(9, true), (usage(5, 3), Source::Reported)),
        (Some(usage(5, 3)), false, counted(3, true), (usage(5, 3), Source::Reported)),
        (Some(usage(5, 3)), false, counted(9, true), (usage(5, 9), Source::Mixed)),
        (Some(usage(0, 3)), false, counted(9, true), (usage(7, 9), Source::Mixed)),
        (Some(plain(0, 0)), true, counted(9, false), (plain(7, 9), Source::Bytes)),
        (Some(plain(0, 0)), true, counted(0, false), (plain(0, 0), Source::Reported)),
        (None, false, counted(9, true), (plain(7, 9), Source::Counted)),
        (None, true, counted(9, false), (plain(7, 9), Source::Bytes)),
        (None, true, counted(0, true), (plain(7, 0), Source::Counted)),
    ] {
        let got = figures(reported, is_final, counted, 7);
        assert_eq!(got, want, "{reported:?} {is_final} {counted:?}");
    }
}
