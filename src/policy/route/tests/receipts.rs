//! Receipts as tables: what is told of each endpoint, and why the first is the first.
//!
//! Deliberately absent: plans themselves (`tests`).

use super::*;

/// For each endpoint its place, or why it has none; and why the first is the first.
#[track_caller]
fn told(world_text: &str, body: &str, want: &[&str], winner: Option<&str>) {
    let mut world = world(world_text);
    let key = |regions: &[&str]| Key {
        name: "k".into(),
        sha256: [0; 32],
        debug: true,
        regions: regions.iter().map(|one| Box::from(*one)).collect(),
        management: false,
    };
    world.0.keys = vec![key(&[]), key(&["eu"])];
    let peek = peek(body.as_bytes()).expect("a body");
    let ask = Ask::read(&peek, body.as_bytes()).expect("well formed");
    let scene = Scene { live: Live::new(&world.1), random: 5, ..Scene::plain(&world.0) };
    let key = u32::from(body.contains("\"user\":\"eu\""));
    let names = peek.model_name(body.as_bytes()).into_iter().map(std::borrow::Cow::into_owned).collect();
    let (receipt, _) = Receipt::new(&scene, Tenant { key: Some(KeyId(key)) }, &ask, names);
    let told = receipt.rows().iter().map(|row| match row.place {
        Some(place) => format!("{} {}", place + 1, receipt.tag(row)),
        None => format!("{} {}", receipt.tag(row), receipt.because(row)),
    });
    assert_eq!(told.collect::<Vec<String>>(), want, "{body}");
    assert_eq!(receipt.winner().as_deref(), winner, "{body}");
    let json: serde_json::Value = serde_json::from_str(&receipt.json()).expect("valid JSON");
    assert_eq!(json["candidates"].as_array().map(Vec::len), Some(want.len()), "{json}");
    assert_eq!(json["because"].as_str(), winner, "{json}");
    for (row, one) in receipt.rows().iter().zip(json["candidates"].as_array().expect("a list")) {
        assert_eq!(one["place"].as_u64(), row.place.map(|place| place as u64 + 1), "{json}");
        assert_eq!(one["excluded_by"].as_str(), row.excluded.map(Filter::word), "{json}");
        assert_eq!(one["cost_usd"].is_number(), row.scored.is_some_and(|one| one.cost > 0.0), "{json}");
    }
}

#[test]
fn a_receipt_says_with_numbers_why_an_endpoint_is_out() {
    let say = |body: &str, endpoint: &str, because: &str| {
        let world = format!("m: {endpoint} usd=3, b usd=1 zdr region=eu-west-1 context=9000 output=9000");
        let body = format!("{{\"model\":\"m\",{body}}}");
        let name = endpoint.split(' ').next().expect("a tag");
        let why = format!("{name} excluded by {because}");
        told(&world, &body, &["1 b", &why], Some("it is the only one left"));
    };
    say(r#""provider":{"only":["b"]}"#, "a", "provider.only: it is not named there");
    say(r#""provider":{"ignore":["a"]}"#, "a", "provider.ignore: it is named there");
    say(r#""provider":{"zdr":true}"#, "a", "provider.zdr: it promises no zero data retention");
    let price = "provider.max_price: 0.000003 USD per prompt token is above 0.000002";
    say(r#""provider":{"max_price":{"prompt":2}}"#, "a", price);
    let room = "the length of the prompt: the prompt has at least 0 tokens, the answer up to 600; \
                there is room for 500 in all, without bound of a prompt";
    say(r#""max_tokens":600"#, "a context=500", room);
    let long = "max_tokens: 600 tokens are asked for; its answers have at most 500";
    say(r#""max_tokens":600"#, "a output=500", long);
    let takes = "provider.require_parameters: it does not take seed";
    say(r#""seed":1,"provider":{"require_parameters":true}"#, "a takes=tools", takes);
    say(r#""x":1"#, "a/flex tier=flex", "the service tier: it is of the tier flex");
    say(r#""user":"eu""#, "a region=us", "the regions of the key: it computes in us; the key may use eu");
    say(
        r#""user":"eu""#,
        "a region=europe",
        "the regions of the key: it computes in europe; the key may use eu",
    );
    let unknown = "the regions of the key: it computes in an unknown region; the key may use eu";
    say(r#""user":"eu""#, "a", unknown);
}

#[test]
fn a_receipt_says_why_the_winner_won() {
    let order = r#"{"model":"m","provider":{"order":["b"]}}"#;
    told("m: a, b", order, &["1 b", "2 a"], Some("provider.order names it before the next one"));
    let cheap = "it is the cheapest for this request, in pico-dollars: 512000000 against 1536000000 \
                 (lower goes first)";
    told("m: a usd=3, b usd=1", r#"{"model":"m:floor"}"#, &["1 b", "2 a"], Some(cheap));
    told("m: a sick, b", r#"{"model":"m"}"#, &["1 b", "2 a"], Some("it is well, the next one is not"));
    told("m: a", r#"{"model":"m"}"#, &["1 a"], Some("it is the only one left"));
    told(
        "m: a",
        r#"{"model":"m","provider":{"zdr":true}}"#,
        &["a excluded by provider.zdr: it promises no zero data retention"],
        None,
    );
    let regional = r#"{"model":"m","provider":{"only":["a/US-east5"]}}"#;
    let named = ["1 a/us-east5", "a/eu excluded by provider.only: it is not named there"];
    told("m: a/us-east5 region=us-east5, a/eu region=eu", regional, &named, Some("it is the only one left"));
}
