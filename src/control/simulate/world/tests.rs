//! World files, and what becomes of attempts in their worlds.
//!
//! Deliberately absent: the router's side (`simulate::tests`).

use super::*;
use crate::control::simulate::tests::{WORLD, setup, three};
use crate::policy::auth::Tenant;
use crate::policy::route::{Ask, Scene, considered};

#[track_caller]
fn refuses(text: &str, says: &str) {
    let error = World::parse(text).expect_err(text);
    assert!(error.contains(says), "{text}\n{error}");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let event = |rest: &str| format!("[[event]]\nat = \"1m\"\n{rest}\n");
    refuses("[[endpoint]]\nttft = 5\n", "unknown field `ttft`");
    refuses("[[endpoint]]\nttft = 5\n", "line 2");
    refuses("[[endpoint]]\nttft_ms = { median = 5, p95 = 4 }\n", "endpoint[0].ttft_ms: expected a median");
    refuses("[[endpoint]]\nttft_ms = { median = nan, p95 = 4 }\n", "endpoint[0].ttft_ms");
    refuses(
        "[[endpoint]]\n[[endpoint]]\nfailure_rate = 1.5\n",
        "endpoint[1].failure_rate: expected a number from 0",
    );
    refuses("[[endpoint]]\ntokens_per_second = 0\n", "endpoint[0].tokens_per_second");
    refuses("[[endpoint]]\ncapacity = -1\n", "line 2");
    refuses("[[endpoint]]\nretry_after = \"5\"\n", "endpoint[0].retry_after: expected a time such as");
    refuses("[[event]]\nwhat = \"outage\"\n", "missing field `at`");
    refuses(&event("what = \"fire\""), "event[0].what: expected \"outage\", \"brown-out\"");
    refuses(&event("what = \"outage\"\nfault = 404"), "event[0].fault: expected \"refused\"");
    refuses(&event("what = \"outage\"\nslower = 2"), "event[0].slower: belongs to what = \"brown-out\"");
    refuses(&event("what = \"storm\"\nshare = -0.1"), "event[0].share: expected a number from 0 to 1");
    refuses(&event("what = \"price\""), "event[0].times: missing; or prompt and completion");
    refuses(&event("what = \"price\"\ntimes = 2\nprompt = \"1\""), "event[0].times: excludes prompt");
    refuses(&event("what = \"price\"\nprompt = \"cheap\""), "event[0].prompt: expected USD per million");
    refuses("[[event]]\nat = \"noon\"\nwhat = \"outage\"\n", "event[0].at: expected a time such as");
}

#[test]
fn names_that_no_policy_has_are_found() {
    let setup = setup(&three("price"));
    for (target, want) in [
        ("provider = \"alpha\"", None),
        ("model = \"team/m\"", None),
        ("provider = \"delta\"", Some("provider \"delta\": no policy has it")),
        (
            "provider = \"alpha\"\nmodel = \"x/y\"",
            Some("provider \"alpha\", model \"x/y\": no policy has it"),
        ),
    ] {
        let text = format!("[[event]]\nat = \"0s\"\nwhat = \"outage\"\n{target}\n");
        let world = World::parse(&text).unwrap();
        assert_eq!(world.unknown_target(&[&setup]).as_deref(), want, "{target}");
    }
}

fn asked(at_s: u64, deadlines: &Deadlines) -> Asked<'_> {
    Asked { at: at_s * 1_000_000_000, under_way: 1, completion_tokens: 301, stream: true, deadlines }
}

/// The fate of a request at `alpha` in a world with these events.
fn fate(events: &str, change: impl Fn(&mut Asked<'_>)) -> Fate {
    let snapshot = setup(&three("price")).snapshot;
    let world = World::parse(&format!("{WORLD}{events}")).unwrap();
    let deadlines = Deadlines::default();
    let mut asked = asked(30, &deadlines);
    change(&mut asked);
    world.manners(&snapshot)[0].fate(&asked, [1, 2])
}

#[test]
fn fates_follow_the_events_of_their_time() {
    let event =
        |what: &str| format!("[[event]]\nprovider = \"alpha\"\nat = \"20s\"\nlasts = \"20s\"\n{what}\n");
    let Fate::Served { first, whole } = fate("", |_| {}) else { panic!("it is well") };
    assert!((50..600).contains(&first.as_millis()) && (500..2_000).contains(&(whole - first).as_millis()));
    let fails = |text: &str| match fate(&event(text), |_| {}) {
        Fate::Fails { fault, wait, .. } => (fault, wait.map_or(0, |wait| wait.as_secs())),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(fails("what = \"outage\""), (Fault::ConnectRefused, 0));
    assert_eq!(fails("what = \"outage\"\nfault = \"silent\""), (Fault::Deadline(DeadlineKind::Connect), 0));
    assert_eq!(fails("what = \"outage\"\nfault = 502"), (Fault::Status(502), 0));
    assert_eq!(fails("what = \"storm\"\nretry_after = \"7s\""), (Fault::Status(429), 7));
    // The same luck, eight times as long.
    let Fate::Served { first: slow, whole: end } = fate(&event("what = \"brown-out\"\nslower = 8"), |_| {})
    else {
        panic!("slow, not down")
    };
    assert!((slow.as_secs_f64() / first.as_secs_f64() - 8.0).abs() < 1e-6);
    assert!((end.as_secs_f64() / whole.as_secs_f64() - 8.0).abs() < 1e-6);
    // Before and after, and elsewhere, nothing of it.
    for at in [19, 40] {
        let there = fate(&event("what = \"outage\""), |asked| asked.at = at * 1_000_000_000);
        assert_eq!(there, Fate::Served { first, whole }, "{at} s");
    }
    assert_eq!(
        fate(&event("what = \"outage\"").replace("alpha", "beta"), |_| {}),
        Fate::Served { first, whole }
    );
}

#[test]
fn deadlines_capacity_and_cuts_end_an_answer() {
    let quick = Deadlines {
        first_event: Duration::from_millis(10),
        answer: Duration::from_millis(50),
        ..Deadlines::default()
    };
    let snapshot = setup(&three("price")).snapshot;
    let manners = World::parse(WORLD).unwrap().manners(&snapshot);
    for (stream, at_ms, kind) in
        [(true, 10, DeadlineKind::FirstEvent), (false, 50, DeadlineKind::ResponseHead)]
    {
        let fate = manners[0].fate(&Asked { stream, ..asked(1, &quick) }, [1, 2]);
        let want = Fate::Fails { at: Duration::from_millis(at_ms), fault: Fault::Deadline(kind), wait: None };
        assert_eq!(fate, want);
    }
    let full = "[[endpoint]]\ncapacity = 5\nretry_after = \"2s\"\n";
    assert!(matches!(fate(full, |asked| asked.under_way = 5), Fate::Served { .. }));
    assert!(matches!(
        fate(full, |asked| asked.under_way = 6),
        Fate::Fails { fault: Fault::Status(429), wait: Some(Duration { .. }), .. }
    ));
    let Fate::Served { first, whole } = fate("", |_| {}) else { panic!("it is well") };
    let cut = |millis: u128| {
        format!(
            "[[event]]\nat = \"{}ms\"\nwhat = \"outage\"\nfault = \"reset\"\ncuts = true\n",
            30_000 + millis
        )
    };
    let early = fate(&cut(first.as_millis() / 2), |_| {});
    assert!(
        matches!(early, Fate::Fails { fault: Fault::ResetBeforeAnswer { reused: false }, .. }),
        "{early:?}"
    );
    let Fate::Dies { at, part, .. } = fate(&cut((first + (whole - first) / 2).as_millis()), |_| {}) else {
        panic!("it is cut")
    };
    assert!((0.45..0.55).contains(&part) && at < whole, "{part}");
    assert!(matches!(fate(&cut(whole.as_millis() + 1), |_| {}), Fate::Served { .. }));
    // What is no stream was held back: the same death is a failure that another endpoint can mend.
    let dies = "[[endpoint]]\ndeath_rate = 1\n";
    assert!(matches!(fate(dies, |_| {}), Fate::Dies { .. }));
    assert!(matches!(fate(dies, |asked| asked.stream = false), Fate::Fails { fault: Fault::Truncated, .. }));
}

/// What a request costs at each endpoint, as routing sees it, in order.
fn costs(snapshot: &Snapshot) -> Vec<f32> {
    let (list, _) =
        considered(&Scene::plain(snapshot), Tenant { key: None }, &Ask::ANYTHING, ["team/m"].iter());
    let mut costs: Vec<f32> = list.iter().filter_map(|one| one.scored).map(|scored| scored.cost).collect();
    costs.sort_by(f32::total_cmp);
    costs
}

#[test]
fn prices_change_and_change_back() {
    let setup = setup(&three("price"));
    let text = "
[[event]]
provider = \"alpha\"
what = \"price\"
at = \"10s\"
lasts = \"10s\"
times = 2.5
[[event]]
model = \"team/m\"
what = \"price\"
at = \"30s\"
completion = \"7\"
";
    let world = World::parse(text).unwrap();
    assert_eq!(world.price_changes(), [10_000_000_000, 20_000_000_000, 30_000_000_000]);
    for (at_s, alpha, beta) in [
        (0, (1_000_000, 2_000_000), (1_200_000, 2_400_000)),
        (10, (2_500_000, 5_000_000), (1_200_000, 2_400_000)),
        (20, (1_000_000, 2_000_000), (1_200_000, 2_400_000)),
        (99, (1_000_000, 7_000_000), (1_200_000, 7_000_000)),
    ] {
        let snapshot = world.priced(&setup.snapshot, at_s * 1_000_000_000);
        let prices = |row: usize| {
            let prices = snapshot.endpoints[row].facts.prices.as_ref().unwrap().base;
            (prices.prompt.unwrap().0, prices.completion.unwrap().0)
        };
        assert_eq!((prices(0), prices(1)), (alpha, beta), "{at_s} s");
        // A clone's tables are made anew, of the prices that it has.
        assert_eq!(costs(&snapshot), costs(&snapshot.clone()), "{at_s} s");
        assert_eq!(costs(&snapshot) == costs(&setup.snapshot), [0, 20].contains(&at_s), "{at_s} s");
    }
}

#[test]
fn guesses_are_within_reason() {
    let setup = setup("");
    let (mut speeds, mut waits) = (Vec::new(), Vec::new());
    for manner in World::default().manners(&setup.snapshot) {
        speeds.push(manner.tokens_per_second);
        let mut random = Random::new(1);
        waits.push((0..20).map(|_| manner.ttft_ms.draw(&mut random)).sum::<f64>() / 20.0);
    }
    assert!(speeds.len() > 800, "{}", speeds.len());
    assert!(speeds.iter().all(|speed| (5.0..6_000.0).contains(speed)), "tokens per second");
    assert!(waits.iter().all(|ms| (50.0..30_000.0).contains(ms)), "milliseconds");
}

#[test]
fn the_worlds_of_the_manual_can_be_read() {
    let manual = include_str!("../../../../docs/simulate.md");
    let blocks: Vec<&str> =
        manual.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let worlds: Vec<&&str> = blocks.iter().filter(|block| block.contains("[[event]]")).collect();
    assert!(!worlds.is_empty());
    for text in worlds {
        let world = World::parse(text).unwrap_or_else(|why| panic!("{text}\n{why}"));
        let setup = setup("");
        assert_eq!(world.unknown_target(&[&setup]), None);
    }
}
