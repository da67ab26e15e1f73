//! Plans as tables: endpoints in a line of words, a body, and what is tried in which order.
//!
//! Deliberately absent: the laws of strategies (`strategy/tests.rs`) and malformed preferences
//! (`prefs/tests.rs`).

mod receipts;

use super::*;
use crate::base::ids::{HostId, KeyId, PoolId};
use crate::base::limits::{CANDIDATES, Deadlines};
use crate::base::money::PicoDollars;
use crate::dialect::{DialectName, StreamUsage};
use crate::policy::catalog::{
    Credential, Endpoint, Key, Modality, Parameter, PriceRule, PriceRules, Prices, Provider, Quantization,
    ServiceTier, UnknownPrice,
};
use crate::policy::heads::Heads;
use crate::policy::live::{Figures, Percentiles};
use crate::policy::prefs::BadPreference;
use crate::policy::table::ByName;
use crate::wire::json::parameter;
use crate::wire::json::peek::{self, peek};

pub(in crate::policy) fn provider(id: &str) -> Provider {
    Provider {
        id: id.into(),
        dialect: DialectName::OpenAi,
        tls: false,
        host: HostId(0),
        port: 80,
        authority: "h".into(),
        base_path: "".into(),
        credential: Credential::None,
        stream_usage: StreamUsage::OnRequest,
        deadlines: Deadlines::default(),
        pool: PoolId(0),
        sticky_ttl: crate::base::limits::STICKY_TTL,
        on_client_gone: crate::policy::catalog::OnClientGone::Cut,
        passthrough: id == "any",
        heads: Heads::default(),
    }
}

/// Reads `model: tag fact=value …, tag …; model: …`. A tag's part before `/` is the provider's id. `sick`,
/// `ttft=` and `tps=` go to the live figures.
pub(in crate::policy) fn world(text: &str) -> (Snapshot, Vec<Figures>) {
    let mut snapshot = Snapshot { providers: vec![provider("any")], ..Snapshot::bare() };
    let mut figures = Vec::new();
    for (turn, model) in (0..).zip(text.split("; ")) {
        let (id, list) = model.split_once(": ").expect("a model and its endpoints");
        let mut row = Model::plain(id, Vec::new());
        for text in list.split(", ") {
            let mut words = text.split(' ');
            let tag = words.next().expect("a tag");
            let name = tag.split('/').next().expect("a provider");
            let known = snapshot.providers.iter().position(|one| &*one.id == name);
            let at = known.unwrap_or_else(|| {
                snapshot.providers.push(provider(name));
                snapshot.providers.len() - 1
            });
            let mut endpoint = Endpoint::plain(ProviderId(at as u32), ModelId(turn), "x");
            endpoint.tag = tag.into();
            let mut live = Figures::default();
            words.for_each(|word| fact(&mut endpoint, &mut row, &mut live, word));
            row.endpoints.push(EndpointId(snapshot.endpoints.len() as u32));
            snapshot.endpoints.push(endpoint);
            figures.push(live);
        }
        snapshot.model_ids.insert(id.into(), ModelId(turn));
        snapshot.models.push(row);
    }
    let ids = snapshot.providers.iter().map(|one| one.id.clone());
    snapshot.provider_ids = ids.zip((0..).map(ProviderId)).collect::<ByName<_>>();
    (snapshot, figures)
}

fn fact(endpoint: &mut Endpoint, model: &mut Model, live: &mut Figures, word: &str) {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let number = || value.parse::<u32>().expect("a number");
    let facts = &mut endpoint.facts;
    let prices = |prompt: u32, completion: u32| Prices {
        prompt: Some(PicoDollars(i128::from(prompt) * 1_000_000)),
        completion: Some(PicoDollars(i128::from(completion) * 1_000_000)),
        ..Prices::default()
    };
    match name {
        "usd" => {
            let rules = Box::default();
            facts.prices = Some(PriceRules { base: prices(number(), number()), rules });
        }
        // Cached tokens of a prompt cost a tenth of the others, or as much.
        "cached" | "uncached" => {
            let base = &mut facts.prices.as_mut().expect("usd first").base;
            let share = if name == "cached" { 10 } else { 1 };
            base.cache_read = base.prompt.map(|PicoDollars(pico)| PicoDollars(pico / share));
        }
        "as" => model.facts.strategy = StrategyName::named(value),
        // Ten times dearer above so many tokens of prompt.
        "long" => {
            let rule =
                PriceRule { above_prompt_tokens: Some(number()), prices: prices(100, 100), window: None };
            facts.prices.as_mut().expect("usd first").rules = Box::new([rule]);
        }
        "zdr" => facts.data.zdr = Some(true),
        "tier" => facts.service_tier = ServiceTier::named(value),
        "region" => facts.region = Some(value.into()),
        "format" => facts.quantization = Quantization::named(value),
        "context" => facts.context_tokens = Some(number()),
        "output" => facts.output_tokens = Some(number()),
        "takes" => {
            let list = value.split('+').filter_map(Parameter::named);
            facts.parameters = Some(list.fold(Parameters::NONE, Parameters::with));
        }
        "key" => endpoint.private_to = Some(Box::new([KeyId(number())])),
        "text" => model.facts.input = Some(Modalities::of(&[Modality::Text])),
        "open" => model.facts.distillable = Some(true),
        "sick" => live.healthy = false,
        "tps" => {
            let speed = number() as f32;
            live.tokens_per_second = speed;
            live.tokens_per_second_at = Percentiles { p50: speed, p75: speed, p90: speed / 2.0, p99: 1.0 };
        }
        "ttft" => {
            live.ttft_ms = number() as f32;
            live.ttft_ms_at = Percentiles { p50: live.ttft_ms, ..Percentiles::default() };
        }
        _ => panic!("unknown fact {word}"),
    }
}

fn planned(world: &(Snapshot, Vec<Figures>), body: &str, random: u64) -> Result<Vec<String>, NoPlan> {
    let peek = peek(body.as_bytes()).expect("a body");
    let ask = Ask::read(&peek, body.as_bytes()).expect("well formed");
    let scene = Scene { live: Live::new(&world.1), random, ..Scene::plain(&world.0) };
    let first = peek.model_name(body.as_bytes());
    let names = first.into_iter().chain(peek::model_names(body.as_bytes(), &peek));
    let tenant = Tenant { key: Some(KeyId(7)) };
    let names: Vec<_> = names.collect();
    let plan = plan(&scene, tenant, &ask, names.iter());
    let (list, told) = considered(&scene, tenant, &ask, names.iter());
    assert_eq!(plan, told, "what is told is what is done");
    let plan = plan?;
    let tag = |one: Candidate| match one.endpoint {
        Some(id) => world.0.endpoints[id.index()].tag.to_string(),
        None => format!("{}*{}", world.0.providers[one.provider.index()].id, one.model),
    };
    for (place, one) in plan.candidates(&world.0).enumerate() {
        let told = list.iter().find(|told| told.place == Some(place)).expect("every place is told");
        assert_eq!((told.endpoint, told.model, told.excluded), (one.endpoint, one.model, None));
    }
    assert_eq!(plan.get(&world.0, plan.count()), None);
    Ok(plan.candidates(&world.0).map(tag).collect())
}

/// What is tried, in order; `want` is empty when every endpoint is excluded.
#[track_caller]
fn check(endpoints: &str, body: &str, want: &str) {
    let world = world(endpoints);
    for random in [1, 2, 32, u64::MAX] {
        match planned(&world, body, random) {
            Ok(tags) => assert_eq!(tags.join(" "), want, "{body} of {endpoints}"),
            Err(NoPlan::Excluded) => assert_eq!(want, "", "{body} of {endpoints}: all excluded"),
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// The same with `provider` as given.
#[track_caller]
fn check_provider(endpoints: &str, preferences: &str, want: &str) {
    check(&format!("m: {endpoints}"), &format!("{{\"model\":\"m\",\"provider\":{preferences}}}"), want);
}

#[test]
fn without_prices_the_configuration_orders() {
    check("m: a, b, c", "{\"model\":\"m\"}", "a b c");
    check("m: a sick, b, c", "{\"model\":\"m\"}", "b c a");
    check("m: a, b, c usd=1", "{\"model\":\"m\"}", "c a b");
    check("m: a, b; n: c, d", "{\"model\":\"n\",\"models\":[\"m\"]}", "c d a b");
    check("m: a sick; n: b", "{\"models\":[\"m\",\"n\"]}", "a b");
    check("m: a", "{\"model\":\"m\",\"models\":[\"nobody/knows\",\"any/thing:x\",\"m\"]}", "a any*2 a");
}

#[test]
fn names_are_looked_up_with_and_without_suffixes() {
    let dear = "m: a usd=3, b usd=1 tps=9, c usd=2 tps=90; m:free: f; local:8b: l";
    check(dear, "{\"model\":\"m:floor\"}", "b c a");
    check(dear, "{\"model\":\"m:nitro\"}", "c a b");
    check(dear, "{\"model\":\"m:nitro:floor\"}", "b c a");
    check(dear, "{\"model\":\"m:floor\",\"provider\":{\"sort\":\"throughput\"}}", "c a b");
    check(dear, "{\"model\":\"m:floor:free\"}", "f");
    check(dear, "{\"model\":\"local:8b\"}", "l");
    check(dear, "{\"model\":\"any/m:floor\"}", "any*0");
    let world = world(dear);
    for (name, why) in [
        ("m:online", NoPlan::Variant(Unserved::Online)),
        ("m:floor:exacto", NoPlan::Variant(Unserved::Exacto)),
        ("m:thinking", NoPlan::Unknown),
        ("nobody:online", NoPlan::Unknown),
        ("local:8b:floor", NoPlan::Unknown),
        ("a/m", NoPlan::Unknown),
        ("any/", NoPlan::Unknown),
    ] {
        assert_eq!(planned(&world, &format!("{{\"model\":\"{name}\"}}"), 1), Err(why), "{name}");
    }
}

#[test]
fn lists_of_providers_allow_forbid_and_order() {
    check_provider("a, b, c", "{\"only\":[\"c\",\"a\",\"nobody\"]}", "a c");
    check_provider("a, b, c", "{\"only\":[\"nobody\"]}", "");
    check_provider("a, b, c", "{\"ignore\":[\"A\",\"nobody\"]}", "b c");
    check_provider("a, b, c", "{\"only\":[\"a\"],\"ignore\":[\"a\"]}", "");
    check_provider("a usd=3, b usd=1, c usd=2", "{\"order\":[\"c\",\"nobody\",\"a\"]}", "c a b");
    check_provider("a usd=3, b usd=1, c usd=2", "{\"order\":[\"a\"]}", "a b c");
    check_provider("a usd=3 sick, b usd=1", "{\"order\":[\"a\"]}", "a b");
    check_provider("a, b, c", "{\"order\":[\"c\",\"a\"],\"allow_fallbacks\":false}", "c a");
    check_provider("a usd=2, b usd=1", "{\"sort\":\"price\",\"allow_fallbacks\":false}", "b");
    check("m: a; n: b, c", "{\"models\":[\"m\",\"n\"],\"provider\":{\"allow_fallbacks\":false}}", "a b");
    check("m: a", "{\"model\":\"any/x\",\"provider\":{\"only\":[\"a\"]}}", "");
    check("m: a", "{\"model\":\"any/x\",\"provider\":{\"only\":[\"any\"]}}", "any*0");
}

#[test]
fn slugs_name_variants_regions_and_tiers() {
    let list = "g/us region=us, g/eu region=eu, g/flex tier=flex, g/turbo format=fp8";
    check_provider(list, "{\"only\":[\"g/eu\"]}", "g/eu");
    check_provider(list, "{\"only\":[\"g/TURBO\"]}", "g/turbo");
    check_provider(list, "{\"only\":[\"g\"]}", "g/us g/eu g/turbo");
    check_provider(list, "{\"only\":[\"g/flex\"]}", "g/flex");
    check_provider(list, "{\"order\":[\"g/flex\",\"g/eu\"]}", "g/flex g/eu g/us g/turbo");
    check_provider(list, "{\"ignore\":[\"g\"]}", "");
    check_provider(list, "{\"only\":[\"g/fp8\"]}", "g/turbo");
    check_provider(list, "{\"only\":[\"g/nowhere\"]}", "");
}

#[test]
fn tiers_take_part_when_asked_for() {
    let list = "m: o usd=4 tps=50, o/flex usd=2 tier=flex tps=10, o/priority usd=8 tier=priority tps=90";
    check(list, "{\"model\":\"m\"}", "o");
    check(list, "{\"model\":\"m:floor\"}", "o/flex o");
    check(list, "{\"model\":\"m:nitro\"}", "o/priority o");
    check(list, "{\"model\":\"m:nitro\",\"service_tier\":\"default\"}", "o");
    check(list, "{\"model\":\"m:nitro\",\"provider\":{\"order\":[\"o\"]}}", "o");
    check(list, "{\"model\":\"m\",\"service_tier\":\"priority\"}", "o/priority o");
    check(list, "{\"model\":\"m\",\"service_tier\":\"fast\"}", "o/priority o");
    check(list, "{\"model\":\"m\",\"service_tier\":\"flex\"}", "o/flex");
    check(list, "{\"model\":\"m\",\"service_tier\":\"auto\"}", "o");
    check("m: a usd=2, b usd=1", "{\"model\":\"m\",\"service_tier\":\"flex\"}", "b a");
}

#[test]
fn policies_exclude_what_is_unknown() {
    check_provider("a, b zdr", "{\"zdr\":true}", "b");
    check_provider("a, b zdr", "{\"zdr\":false}", "a b");
    check_provider("a, b zdr", "{\"data_collection\":\"deny\"}", "b");
    check_provider("a, b zdr", "{\"data_collection\":\"allow\"}", "a b");
    check_provider("a", "{\"enforce_distillable_text\":true}", "");
    check_provider("a open", "{\"enforce_distillable_text\":true}", "a");
    check_provider("a format=fp8, b format=bf16, c", "{\"quantizations\":[\"bf16\"]}", "b");
    check_provider("a format=mxfp8, b format=bf16, c", "{\"quantizations\":[\"fp8\",\"unknown\"]}", "a c");
    check_provider("a usd=3, b usd=1, c", "{\"max_price\":{\"prompt\":1}}", "b");
    check_provider("a usd=3, b usd=1, c", "{\"max_price\":{\"prompt\":\"0.999999\"}}", "");
    check_provider("a usd=3, b usd=1", "{\"max_price\":{\"request\":0,\"completion\":2}}", "b");
    check("m: a", "{\"model\":\"any/x\",\"provider\":{\"zdr\":true}}", "");
}

#[test]
fn private_endpoints_are_for_their_keys() {
    check("m: a key=7, b key=8, c", "{\"model\":\"m\"}", "a c");
    let world = world("m: b key=8");
    assert_eq!(planned(&world, "{\"model\":\"m\"}", 1), Err(NoPlan::Excluded));
    let ask = Ask::ANYTHING;
    let told = considered(&Scene::plain(&world.0), Tenant { key: None }, &ask, ["m"].into_iter()).0;
    assert_eq!(told, [], "others are not told of it");
}

#[test]
fn what_a_request_needs_is_asked_for() {
    let long = "x".repeat(6_000);
    let prompt = format!("{{\"model\":\"m\",\"messages\":[{{\"content\":\"{long}\"}}]}}");
    check("m: a context=1000, b context=2000, c", &prompt, "b c");
    check("m: a context=1000", &prompt, "");
    check("m: a output=100, b output=200", "{\"model\":\"m\",\"max_tokens\":150}", "b");
    check("m: a context=100, b", "{\"model\":\"m\",\"max_completion_tokens\":101}", "b");
    let image = "[{\"content\":[{\"type\":\"image_url\"}]}]";
    let seen = format!("{{\"model\":\"m\",\"models\":[\"n\"],\"messages\":{image}}}");
    check("m: a text; n: b", &seen, "b");
    check("m: a usd=1 long=900, b usd=2", &prompt.replace("\"m\"", "\"m:floor\""), "b a");
    check("m: a usd=1 long=1600, b usd=2", &prompt.replace("\"m\"", "\"m:floor\""), "a b");
}

#[test]
fn support_is_preferred_or_required() {
    let list = "m: a takes=seed, b takes=tools+tool_choice, c takes=tools";
    check(list, "{\"model\":\"m\"}", "a b c");
    check(list, "{\"model\":\"m\",\"tools\":[],\"seed\":1}", "b c");
    check(list, "{\"model\":\"m\",\"tools\":null,\"seed\":1}", "a b c");
    check("m: a takes=seed", "{\"model\":\"m\",\"tools\":[]}", "a");
    let need =
        |member: &str| format!("{{\"model\":\"m\",{member},\"provider\":{{\"require_parameters\":true}}}}");
    check(list, &need("\"seed\":1"), "a");
    check(list, &need("\"tools\":[],\"tool_choice\":\"auto\""), "b");
    check(list, &need("\"temperature\":1"), "");
    check(list, &need("\"own_thing\":1"), "a b c");
    check("m: a", &need("\"temperature\":1"), "a");
}

#[test]
fn wishes_move_endpoints_to_the_end() {
    let list = "a tps=10, b tps=100, c";
    check_provider(list, "{\"preferred_min_throughput\":50}", "b c a");
    check_provider(list, "{\"preferred_min_throughput\":{\"p90\":60}}", "c a b");
    check_provider("a ttft=3000, b ttft=500", "{\"preferred_max_latency\":1.5}", "b a");
    let two = "m: a tps=10; n: b tps=100";
    let wish = "{\"models\":[\"m\",\"n\"],\"provider\":{\"preferred_min_throughput\":50}}";
    check(two, wish, "b a");
}

#[test]
fn models_are_sorted_apart_or_together() {
    let two = "m: a usd=5, b usd=3; n: c usd=4, d usd=2";
    let ask = |sort: &str| format!("{{\"models\":[\"m\",\"n\"],\"provider\":{{\"sort\":{sort}}}}}");
    check(two, &ask("\"price\""), "b a d c");
    check(two, &ask("{\"by\":\"price\",\"partition\":\"model\"}"), "b a d c");
    check(two, &ask("{\"by\":\"price\",\"partition\":\"none\"}"), "d b c a");
    check("m: a ttft=90, b ttft=20", "{\"model\":\"m\",\"provider\":{\"sort\":\"latency\"}}", "b a");
}

#[test]
fn there_are_never_more_than_the_limit() {
    let list = |count: usize| (0..count).map(|turn| format!("p{turn}")).collect::<Vec<_>>();
    let all = list(CANDIDATES + 9);
    let world = world(&format!("m: {}; n: z", all.join(", ")));
    let got = planned(&world, "{\"models\":[\"m\",\"n\",\"any/x\"]}", 1);
    assert_eq!(got.as_deref(), Ok(&list(CANDIDATES)[..]));
    let none: Vec<&str> = Vec::new();
    let scene = Scene::plain(&world.0);
    assert_eq!(plan(&scene, Tenant { key: None }, &Ask::ANYTHING, none.iter()), Err(NoPlan::Unknown));
}

#[test]
fn the_names_of_parameters_are_the_catalogues() {
    let names: Vec<&str> = Parameter::ALL.iter().map(|one| one.name()).collect();
    assert_eq!(names, parameter::NAMES);
}

#[test]
fn members_beside_provider_are_checked_too() {
    for (body, field) in [
        ("{\"route\":\"fallback\"}", None),
        ("{\"route\":null,\"service_tier\":null}", None),
        ("{\"route\":\"sort\"}", Some("route")),
        ("{\"service_tier\":1}", Some("service_tier")),
        ("{\"provider\":[]}", Some("provider")),
        ("{\"provider\":{\"zdr\":1}}", Some("provider.zdr")),
    ] {
        let peek = peek(body.as_bytes()).expect("a body");
        let found = Ask::read(&peek, body.as_bytes()).err().map(|BadPreference { field, .. }| field);
        assert_eq!(found, field, "{body}");
    }
}

#[test]
fn what_is_not_well_goes_behind_and_nothing_is_dropped() {
    for from in 0..6 {
        for sick in 0..64_u32 {
            let snapshot = Snapshot::bare();
            let mut plan = Plan::EMPTY;
            for (entry, at) in plan.entries.iter_mut().zip(0..6) {
                *entry = Entry::provider(at, 0);
            }
            plan.count = 6;
            plan.put_behind(&snapshot, from, |one| sick >> one.provider.0 & 1 == 1);
            let got: Vec<u32> = plan.candidates(&snapshot).map(|one| one.provider.0).collect();
            let mut want: Vec<u32> = (0..6).collect();
            want[from..].sort_by_key(|id| sick >> id & 1);
            assert_eq!(got, want, "from {from}, sick {sick:b}");
        }
    }
}

#[test]
fn sound_may_have_a_price_of_its_own() {
    let mut world = world("m: a usd=1, b usd=1");
    let rules = world.0.endpoints[0].facts.prices.as_mut().expect("priced");
    rules.base.audio = Some(PicoDollars(40_000_000));
    let bounded =
        |most: &str| format!(r#"{{"model":"m:floor","provider":{{"max_price":{{"audio":{most}}}}}}}"#);
    // A price per token of sound in dollars, as the lists of models tell it.
    for (most, want) in [("0.00004", &["a", "b"][..]), ("0.000039", &["b"]), ("0", &["b"])] {
        assert_eq!(
            planned(&world, &bounded(most), 1).as_deref(),
            Ok(&want.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()[..]),
            "{most}"
        );
    }
}

#[test]
fn what_has_no_price_is_excluded_where_the_operator_says_so() {
    let mut world = world("m: a, b usd=1, c usd=3");
    world.0.endpoints[2].facts.prices.as_mut().expect("priced").base.completion = None;
    let all = |world: &_| planned(world, r#"{"model":"m","models":["any/thing"]}"#, 1);
    assert_eq!(all(&world).map(|list| list.len()), Ok(4));
    world.0.ledger.unknown_price = UnknownPrice::Deny;
    assert_eq!(all(&world), Ok(vec!["b".to_owned()]));
    assert_eq!(planned(&world, r#"{"model":"any/thing"}"#, 1), Err(NoPlan::Excluded));
}

/// `planned` tells what it does, and telling asks every endpoint one by one: they must not differ.
#[test]
fn filters_that_ask_all_at_once_and_one_by_one_agree() {
    let facts = "zdr;format=fp8;format=bf16;context=1000;context=40;output=100;takes=seed;takes=tools;key=7;\
                 key=8;tier=flex;tier=priority;usd=1;usd=3;usd=1 long=90;open;text;sick;tps=20;\
                 ttft=900;region=eu";
    let facts: Vec<&str> = facts.split(';').collect();
    let asks = [
        r#""provider":{"zdr":true}"#,
        r#""provider":{"max_price":{"prompt":1}},"max_tokens":50"#,
        r#""provider":{"max_price":{"completion":"0.999999","request":0}}"#,
        r#""provider":{"only":["p1","p2/flex","p3","p4/eu"],"quantizations":["fp8","unknown"]}"#,
        r#""provider":{"ignore":["p2"],"order":["p3","p1"],"allow_fallbacks":false}"#,
        r#""provider":{"order":["p3/priority","p1"],"require_parameters":true},"tools":[],"seed":1"#,
        r#""provider":{"data_collection":"deny","enforce_distillable_text":true},"max_tokens":150"#,
        r#""provider":{"preferred_max_latency":0.5,"preferred_min_throughput":30},"tools":[]"#,
        r#""service_tier":"flex""#,
        r#""service_tier":"priority","max_tokens":101"#,
    ];
    let messages = format!("[{{\"content\":\"{}\"}}]", "x".repeat(500));
    let mut plans = 0;
    for seed in 0..150_u64 {
        let mut turn = 0;
        let mut next = |most: usize| {
            turn += 1;
            (crate::policy::strategy::spread(seed << 32 | turn) % most as u64) as usize
        };
        let endpoints: Vec<String> = (0..1 + next(20))
            .map(|_| format!("p{} {} {}", next(6), facts[next(facts.len())], facts[next(facts.len())]))
            .collect();
        let mut world = world(&format!("m: {}", endpoints.join(", ")));
        if seed % 4 == 0 {
            world.0.ledger.unknown_price = UnknownPrice::Deny;
        }
        for ask in asks {
            for content in [&*messages, "[{\"content\":[{\"type\":\"image_url\"}]}]"] {
                let body = format!("{{\"model\":\"m\",\"messages\":{content},{ask}}}");
                plans += usize::from(planned(&world, &body, seed).is_ok());
            }
        }
    }
    assert!(plans > 300, "{plans}");
}
