//! Bodies and what is noticed about them; worlds and which models are chosen there; the laws of both.
//!
//! Deliberately absent: the text of a turn (`text`), the plugin's own checks (`plugin`).

use super::*;
use crate::policy::auth::Tenant;
use crate::policy::catalog::{Modalities, Snapshot};
use crate::policy::live::{Figures, Live};
use crate::policy::route::tests::world;
use crate::policy::route::{Ask, CHOICES, Scene};
use crate::wire::json::peek::{Peek, peek};

const NOBODY: Tenant = Tenant { key: None };

fn read(body: &str) -> Peek {
    peek(body.as_bytes()).unwrap_or_else(|flaw| panic!("{body}: {flaw:?}"))
}

fn seen(body: &str) -> Signals {
    signals(&read(body), body.as_bytes(), Modalities::NONE)
}

/// A body of one user turn.
fn turn(text: &str, members: &str) -> String {
    format!(r#"{{"model":"millrace/auto","messages":[{{"role":"user","content":"{text}"}}]{members}}}"#)
}

#[track_caller]
fn check_signals(body: &str, want: &[&str]) {
    let names: Vec<&str> = seen(body).iter().map(Signal::name).collect();
    assert_eq!(names, want, "{body:.200}");
}

#[test]
fn members_are_noticed() {
    let tools = |count: usize| vec!["{}"; count].join(",");
    for (members, want) in [
        (String::new(), &[][..]),
        (r#","tools":[]"#.to_owned(), &[]),
        (r#","tools":null"#.to_owned(), &[]),
        (r#","tools":"x""#.to_owned(), &[]),
        (format!(r#","tools":[{}]"#, tools(9)), &["tools"]),
        (format!(r#","tools":[{}]"#, tools(10)), &["tools", "many_tools"]),
        (format!(r#","tools":[{{"description":"{}"}}]"#, "x".repeat(8192)), &["tools", "many_tools"]),
        (r#","response_format":{"type":"json_schema","json_schema":{}}"#.to_owned(), &["schema"]),
        (r#","response_format":{"type":"json_object"}"#.to_owned(), &[]),
        (r#","response_format":7"#.to_owned(), &[]),
        (r#","max_tokens":64"#.to_owned(), &["short_answer"]),
        (r#","max_tokens":65"#.to_owned(), &[]),
        (r#","max_tokens":10,"max_completion_tokens":9000"#.to_owned(), &["long_answer"]),
        (r#","reasoning_effort":"minimal""#.to_owned(), &["low_effort"]),
        (r#","reasoning_effort":"medium""#.to_owned(), &["reasoning"]),
        (r#","reasoning_effort":"high""#.to_owned(), &["reasoning", "high_effort"]),
        (r#","reasoning_effort":7"#.to_owned(), &[]),
        (r#","reasoning":{"effort":"xhigh"}"#.to_owned(), &["reasoning", "high_effort"]),
        (r#","reasoning":{"max_tokens":2000}"#.to_owned(), &["reasoning"]),
        (r#","reasoning":{"max_tokens":20000}"#.to_owned(), &["reasoning", "high_effort"]),
        (r#","reasoning":{"enabled":true}"#.to_owned(), &["reasoning"]),
        (r#","reasoning":{"enabled":false}"#.to_owned(), &[]),
        (r#","reasoning":[]"#.to_owned(), &[]),
    ] {
        check_signals(&turn("What is the capital of France?", &members), want);
    }
}

#[test]
fn turns_are_noticed() {
    let body = |messages: &str| format!(r#"{{"messages":[{messages}]}}"#);
    let user = |text: &str| format!(r#"{{"role":"user","content":"{text}"}}"#);
    let said = |role: &str, text: &str| format!(r#"{{"role":"{role}","content":"{text}"}}"#);
    let long = "word ".repeat(900);
    for (messages, want) in [
        (String::new(), &[][..]),
        ("3,null,[],{}".to_owned(), &[]),
        (said("assistant", "prove it"), &[]),
        (said("system", &long), &["instructions"]),
        // The last turn of the user counts, wherever it stands, and the order of members does not matter.
        (format!("{},{}", user("prove it"), said("assistant", "done")), &["hard_words"]),
        (format!("{},{}", user("prove it"), user("thanks")), &["plain"]),
        (r#"{"content":"prove it","role" : "user"}"#.to_owned(), &["hard_words"]),
        (r#"{ "role": "user", "content": "prove it"}"#.to_owned(), &["hard_words"]),
        (
            r#"{"role":"user","content":[{"type":"text","text":"prove"},{"type":"text","text":"it"}]}"#
                .to_owned(),
            &["hard_words"],
        ),
        (r#"{"role":"user","content":[3,{"text":4}]}"#.to_owned(), &[]),
        (r#"{"role":"user","content":null}"#.to_owned(), &[]),
        (vec![user("go on"); 6].join(","), &["many_turns"]),
        (
            format!("{},{}", user("weather?"), said("tool", "rain in the morning, sun later on")),
            &["tool_results"],
        ),
        (format!("{},{}", user(&"weather, ".repeat(90)), said("tool", "rain")), &[]),
        (
            format!("{},{}", user(&"weather, ".repeat(20)), vec![said("tool", "rain"); 3].join(",")),
            &["tool_results"],
        ),
    ] {
        check_signals(&body(&messages), want);
    }
    check_signals(&body(&user(&long)), &["long_turn"]);
    check_signals(&body(&user(&long.repeat(2))), &["long_turn", "long_prompt"]);
    check_signals(&body(&user(&long.repeat(15))), &["long_turn", "long_prompt", "huge_prompt"]);
}

/// Beyond the messages that are walked one by one, by whatever way they are written.
#[test]
fn later_turns_are_noticed() {
    let said = |role: &str, text: &str| format!(r#"{{"role":"{role}","content":"{text}"}}"#);
    let turned = |role: &str, text: &str| format!(r#"{{ "content" : "{text}" , "role" : "{role}" }}"#);
    let spaced = |role: &str, text: &str| format!(r#"{{ "role" : "{role}" , "content" : "{text}" }}"#);
    for before in [31, 32, 33, 70] {
        let filler = vec![said("assistant", r#"say \"role"#); before].join(",");
        let check = |messages: &[String], want: &[&str]| {
            check_signals(&format!(r#"{{"messages":[{filler},{}]}}"#, messages.join(",")), want);
        };
        for message in [&said as &dyn Fn(&str, &str) -> String, &turned, &spaced] {
            check(&[message("user", "prove it")], &["hard_words"]);
            check(&[message("user", "prove it"), message("user", "thanks")], &["plain"]);
            check(&vec![message("user", "go on"); 6], &["many_turns"]);
            check(&vec![message("tool", "rain"); 3], &["tool_results"]);
            check(&[message("tool", &"rain ".repeat(800))], &["tool_results"]);
            check(&[message("user", "go on"), message("tool", "rain")], &[]);
            check(&[message("system", &"word ".repeat(850))], &["instructions"]);
            let mixed = [said("user", "prove it"), message("assistant", "done"), said("tool", "x")];
            check(&mixed, &["hard_words"]);
        }
    }
    // The middle of a long body is passed over, its end is not.
    let step = said("assistant", &"word ".repeat(20));
    let steps = vec![step; 400].join(",");
    let body = |first: &str, middle: &str, last: &str| {
        let turns = [first, middle, last].map(|text| said("user", text));
        let [first, middle, last] = turns;
        format!(r#"{{"messages":[{first},{steps},{middle},{steps},{last}]}}"#)
    };
    check_signals(&body("x", "x", "prove it"), &["hard_words", "long_prompt", "huge_prompt"]);
    check_signals(&body("x", "prove it", "thanks"), &["plain", "long_prompt", "huge_prompt"]);
}

#[test]
fn a_long_turn_is_read_at_both_ends() {
    let filler = "word ".repeat(2000);
    let at = |before: &str, after: &str| {
        seen(&turn(&format!("{before}{filler}{after}"), "")).has(Signal::HardWords)
    };
    assert!(at("prove it ", "") && at("", " prove it"));
    assert!(!seen(&turn(&format!("{filler} prove it {filler}"), "")).has(Signal::HardWords));
}

/// Every cut of a body, repaired or not, is survived, and the fuzzer's laws hold on all of them.
#[test]
fn cut_and_spoilt_bodies_are_survived() {
    let body = concat!(
        r#"{"model":"millrace/auto","messages":[{"role":"system","content":"x"},"#,
        r#"{"role":"user","content":[{"type":"text","text":"prove \u00e9 \\frac\n"}]}"#,
        r#",{"role":"tool","content":"y"}]"#,
        r#","tools":[{"a":1}],"reasoning":{"effort":"high"}"#,
        r#","response_format":{"type":"json_schema"}"#,
        r#","plugins":[{"id":"auto-router","allowed_models":["a/*"],"cost_tier":"low"}],"max_tokens":5}"#,
    );
    for end in 0..=body.len() {
        exercise::exercise(&body.as_bytes()[..end]);
        exercise::exercise(format!("{{\"messages\":[{}]}}", &body[..end]).as_bytes());
        exercise::exercise(format!("{{\"plugins\":[{}]}}", &body[end..]).as_bytes());
    }
    for at in 0..body.len() {
        for with in [b'"', b'[', b'}', b'\\', 0, 0xff] {
            let mut spoilt = body.as_bytes().to_vec();
            spoilt[at] = with;
            exercise::exercise(&spoilt);
        }
    }
}

/// Three tiers over a world; a model's tier is the first letter of its id.
fn tiers(mut snapshot: Snapshot) -> Snapshot {
    let tier = |name: &str, from_score| Tier { name: name.into(), from_score };
    let of = |letter: u8| ["l", "s", "t"].iter().position(|one| one.as_bytes()[0] == letter);
    let models = (0..).map(ModelId).zip(&snapshot.models);
    let models = models.filter_map(|(model, row)| {
        let tier = of(row.id.as_bytes()[0])? as u8;
        Some(AutoModel { model, tier, percentile: model.0 as u8 * 20 })
    });
    snapshot.auto = Auto {
        models: models.collect(),
        tiers: [tier("light", 0), tier("standard", 15), tier("strong", 45)].into(),
        default_tier: 1,
        ..Auto::default()
    };
    snapshot
}

fn chosen(snapshot: &Snapshot, figures: &[Figures], body: &str, remembered: Option<ModelId>) -> String {
    let scene = Scene { live: Live::new(figures), ..Scene::plain(snapshot) };
    let peek = read(body);
    let ask = Ask::read(&peek, body.as_bytes()).expect("well formed");
    let wishes = Wishes::read(&peek, body.as_bytes()).expect("well formed");
    let content = ask.needs.content();
    let seen = (signals(&peek, body.as_bytes(), content), content);
    let Some(choice) = choose(&scene, NOBODY, &ask, &wishes, seen, CHOICES, remembered) else {
        return "nothing".to_owned();
    };
    let ids: Vec<&str> = choice.models().iter().map(|id| &*snapshot.models[id.index()].id).collect();
    let receipt = choice.decision.receipt(&snapshot.auto);
    format!("{} | {}", ids.join(" "), core::str::from_utf8(receipt.as_bytes()).expect("text"))
}

#[track_caller]
fn check(text: &str, body: &str, want: &str) {
    let (snapshot, figures) = world(text);
    assert_eq!(chosen(&tiers(snapshot), &figures, body, None), want, "{text}\n{body:.300}");
}

#[test]
fn the_cheapest_fit_model_of_the_tier_goes_first() {
    let all = "l1: a usd=1; s1: a usd=5; s2: a usd=3, b usd=2; t1: a usd=9";
    let hi = turn("Hello", "");
    let none = turn("What is the capital of France?", "");
    check(all, &none, "s2 s1 t1 | tier=standard; reason=no_signal; score=0");
    check(all, &hi, "l1 s2 s1 t1 | tier=light; reason=plain; score=0");
    let tools = r#","tools":[{}]"#;
    check(all, &turn("Hello", tools), "s2 s1 t1 | tier=standard; reason=tools+plain; score=20");
    let hard = turn("Prove in Rust that this Python function is right", tools);
    check(all, &hard, "t1 | tier=strong; reason=tools+code+hard_words; score=60");
    // Unknown prices go last, unwell ones behind all well ones.
    check("s1: a; s2: a usd=9", &none, "s2 s1 | tier=standard; reason=no_signal; score=0");
    check("s1: a usd=1 sick; s2: a usd=9", &none, "s2 s1 | tier=standard; reason=no_signal; score=0");
    check(
        "s1: a usd=1 sick, b usd=99; s2: a usd=9",
        &none,
        "s2 s1 | tier=standard; reason=no_signal; score=0",
    );
    check("s1: a; s2: a", &none, "s1 s2 | tier=standard; reason=no_signal; score=0");
}

#[test]
fn models_that_are_not_fit_are_left_out() {
    let none = |members: &str| turn("What is the capital of France?", members);
    let cheap = "s1: a usd=1 context=10 takes=temperature; s2: a usd=2 takes=tools+reasoning; t1: a usd=9";
    let answer = |models: &str, reason: &str| format!("{models} | tier=standard; reason={reason}");
    check(cheap, &none(r#","max_tokens":100"#), &answer("s2 t1", "no_signal; score=0"));
    check(
        "s1: a usd=1 takes=temperature; s2: a usd=2 takes=tools",
        &none(r#","tools":[{}]"#),
        &answer("s2", "tools; score=20"),
    );
    check(
        "s1: a usd=1 takes=temperature; s2: a usd=2 takes=reasoning",
        &none(r#","reasoning":{"effort":"medium"}"#),
        &answer("s2", "reasoning; score=15"),
    );
    // Rather one that ignores tools than none.
    check("s1: a usd=1 takes=temperature", &none(r#","tools":[{}]"#), &answer("s1", "tools; score=20"));
    check(
        "s1: a usd=1; s2: b usd=2 zdr",
        &none(r#","provider":{"zdr":true}"#),
        &answer("s2", "no_signal; score=0"),
    );
    check("s1: a usd=1 key=3; s2: b usd=2", &none(""), &answer("s2", "no_signal; score=0"));
    // A long prompt at another price than a short one.
    check("s1: a usd=1 long=50; s2: b usd=2", &none(""), &answer("s1 s2", "no_signal; score=0"));
    check(
        "s1: a usd=1 long=50; s2: b usd=2",
        &turn(&"capital ".repeat(40), ""),
        &answer("s2 s1", "no_signal; score=0"),
    );
    // Nothing is fit: the planner is to say why.
    check(
        "s1: a usd=1; s2: b usd=2",
        &none(r#","provider":{"zdr":true}"#),
        &answer("s1 s2", "no_signal; score=0"),
    );
    let picture =
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}]}"#;
    check("s1: a usd=1 text; s2: b usd=2", picture, &answer("s2", "content; score=10"));
}

#[test]
fn requests_restrict_the_choice() {
    let all = "l1: a usd=1; s1: a usd=2; s2: a usd=3; t1: a usd=9";
    let auto =
        |members: &str| turn("What is it?", &format!(r#","plugins":[{{"id":"auto-router",{members}}}]"#));
    check(all, &auto(r#""allowed_models":["s2","t*"]"#), "s2 t1 | tier=standard; reason=no_signal; score=0");
    check(all, &auto(r#""excluded_models":["s*"]"#), "t1 | tier=strong; reason=no_signal; score=0");
    check(all, &auto(r#""allowed_models":["l*"]"#), "l1 | tier=light; reason=no_signal; score=0");
    check(all, &auto(r#""allowed_models":["x"]"#), "nothing");
    check(all, &auto(r#""cost_tier":"low""#), "l1 | tier=light; reason=no_signal; score=0");
    check(all, &auto(r#""cost_tier":"medium""#), "s1 | tier=standard; reason=no_signal; score=0");
}

#[test]
fn a_conversation_keeps_its_model_while_that_is_right() {
    let kept = |text: &str, body: &str, place: u32| {
        let (snapshot, figures) = world(text);
        chosen(&tiers(snapshot), &figures, body, Some(ModelId(place)))
    };
    let body = turn("What is it?", "");
    let all = "l1: a usd=1; s1: a usd=2; s2: a usd=3; x1: a usd=9";
    assert_eq!(kept(all, &body, 2), "s2 s1 | tier=standard; reason=session; score=0");
    assert_eq!(kept(all, &body, 0), "l1 s1 s2 | tier=light; reason=session; score=0");
    // Not of the tiers, not well, not fit, not allowed: chosen anew.
    let anew = "s1 s2 | tier=standard; reason=no_signal; score=0";
    assert_eq!(kept(all, &body, 3), anew);
    assert_eq!(
        kept("s1: a usd=2; s2: a usd=3; s3: a usd=1 sick", &body, 2),
        "s1 s2 s3 | tier=standard; reason=no_signal; score=0"
    );
    let bounded = turn("What is it?", r#","max_tokens":100"#);
    assert_eq!(kept("s1: a usd=2; s2: a usd=3; s3: a usd=1 output=9", &bounded, 2), anew);
    let without = turn("What is it?", r#","plugins":[{"id":"auto-router","excluded_models":["l*"]}]"#);
    assert_eq!(kept(all, &without, 0), anew);
}

/// Whatever adds a signal keeps the tier or raises it, for all sets of signals that differ in one.
#[test]
fn more_signals_never_lead_to_a_weaker_tier() {
    let auto = tiers(world("s1: a").0).auto;
    let mut random = 1_u64;
    for _ in 0..20_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let set = Signals((random >> 33) as u32 & ((1 << Signal::ALL.len()) - 1) & (random >> 7) as u32);
        for signal in Signal::ALL.iter().filter(|one| !Signal::LIGHT.contains(one)) {
            let more = set.with(*signal);
            assert!(auto.tier(more) >= auto.tier(set), "{set:?} {signal:?}");
            assert!(more.score(&auto.weights) >= set.score(&auto.weights));
        }
    }
    assert_eq!(auto.tier(Signals::NONE), auto.default_tier);
    assert_eq!(auto.tier(Signals::NONE.with(Signal::Json)), auto.default_tier, "too little to go below");
}

#[test]
fn the_tables_of_signals_agree() {
    let weights = Weights::default();
    for (turn, signal) in Signal::ALL.iter().enumerate() {
        assert_eq!(*signal as usize, turn);
        assert_eq!(weights.of(*signal) == 0, Signal::LIGHT.contains(signal), "{}", signal.name());
        assert!(signal.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    }
    let all = Signals((1 << Signal::ALL.len()) - 1);
    assert_eq!(all.score(&weights), SCORE_MAX);
    assert_eq!(all.iter().count(), Signal::ALL.len());
}

#[test]
fn both_names_are_known_with_their_suffixes() {
    for (name, want) in [
        ("millrace/auto", Some("")),
        ("openrouter/auto", Some("")),
        ("millrace/auto:floor", Some(":floor")),
        ("millrace/automatic", None),
        ("auto", None),
        ("other/auto", None),
        ("", None),
    ] {
        assert_eq!(suffix(name), want, "{name}");
    }
}

#[test]
fn the_longest_receipt_fits() {
    let tier = Tier { name: "x".repeat(64).into(), from_score: 0 };
    let auto = Auto { tiers: [tier].into(), ..Auto::default() };
    let signals = Signals((1 << Signal::ALL.len()) - 1);
    let decision = Decision { signals, score: SCORE_MAX, tier: 0, kept: true };
    let receipt = decision.receipt(&auto);
    let text = core::str::from_utf8(receipt.as_bytes()).expect("ASCII");
    assert!(text.ends_with("; score=100") || text.len() == 160, "{text}");
    let nowhere = Decision { tier: 9, kept: false, signals: Signals::NONE, score: 0 }.receipt(&auto);
    assert_eq!(nowhere.as_bytes(), b"tier=; reason=no_signal; score=0");
}
