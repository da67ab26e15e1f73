//! One law to a test, over strategies, seeds and numbers of cores.
//!
//! Deliberately absent: several troubles at once (`day`).

use super::{Day, conserves, setup, three, traffic, world};
use crate::control::simulate::report::{Run, json, page, table};
use crate::control::simulate::{Options, Tally, simulate};
use crate::policy::strategy::StrategyName;

const OUTAGE: &str = "
[[event]]
provider = \"alpha\"
what = \"outage\"
at = \"60s\"
lasts = \"120s\"
fault = FAULT
";

fn outage(fault: &str) -> String {
    OUTAGE.replace("FAULT", fault)
}

#[test]
fn an_outage_drains_within_seconds_and_the_share_returns() {
    let troubles = [("\"refused\"", 3), ("503", 2), ("\"silent\"", 1)];
    for (turn, strategy) in StrategyName::ALL.iter().map(|one| one.name()).enumerate() {
        let ((fault, cores), seed) = (troubles[turn % troubles.len()], turn as u64);
        let events = outage(fault);
        let seen = Day { strategy, events: &events, seconds: 330, rate: 12, cores, seed }.run();
        let what = format!("{strategy}, {fault}");
        assert_eq!(seen.0.visible(), 0, "{what}");
        // From the fifth second on only probes come: one request per core and pause, which is 2 to 30 s.
        let probes = seen.attempts("alpha", 65..180);
        assert!(probes <= 12 * cores as u32, "{what}: {probes} attempts at what is down");
        let (before, after) = (seen.share("alpha", 10..60), seen.share("alpha", 240..320));
        assert!(before >= 20, "{what}: {before} %");
        assert!(after * 10 >= before * 8, "{what}: {before} % before, {after} % after");
    }
}

#[test]
fn neither_survivors_nor_what_comes_back_are_stormed() {
    for (strategy, seed) in [("price", 1), ("default", 2), ("order", 3)] {
        let (cores, rate) = (4, 40);
        let events = outage("\"refused\"");
        let seen = Day { strategy, events: &events, seconds: 280, rate, cores, seed }.run();
        assert_eq!(seen.0.visible(), 0, "{strategy}");
        // No second has many more attempts than requests: nobody asks again and again.
        for second in 0..270 {
            let all: u32 =
                ["alpha", "beta", "gamma"].map(|one| seen.attempts(one, second..second + 1)).iter().sum();
            assert!(all <= 2 * rate as u32 + 20, "{strategy}: {all} attempts in second {second}");
        }
        let first = (180..270).find(|second| seen.attempts("alpha", *second..second + 1) > 0);
        let first = first.expect("it is asked again");
        assert!(first < 220, "{strategy}: asked again in second {first}");
        // Each core lets one through, and each answer one more.
        let (usual, early) = (seen.most("alpha", 10..60), seen.most("alpha", first..first + 1));
        assert!(
            early <= 4 * cores as u32,
            "{strategy}: {early} at once in its first second, {usual} usually"
        );
        assert!(seen.most("alpha", first..first + 60) * 2 >= usual, "{strategy}: it takes its share again");
    }
}

/// What the same answers cost at the cheapest endpoint.
fn cheapest(tally: &Tally) -> f64 {
    (tally.prompt_tokens * 1_000_000 + tally.completion_tokens * 2_000_000) as f64
}

#[test]
fn cheap_stays_cheap() {
    let rates = |failures: &str| format!("[[endpoint]]\nfailure_rate = {failures}\ndeath_rate = 0.001\n");
    let ratio = |strategy: &str, failures: &str, seed| {
        let events = rates(failures);
        let tally = Day { strategy, events: &events, seconds: 300, rate: 20, cores: 2, seed }.run().0;
        tally.cost.0 as f64 / cheapest(&tally)
    };
    for (strategy, most) in [("price", 1.02), ("default", 1.3)] {
        for seed in 1..3 {
            let ratio = ratio(strategy, "0.001", seed);
            assert!((1.0..most).contains(&ratio), "{strategy}, seed {seed}: {ratio} times the cheapest");
        }
    }
    // Each 503 is taken for a sign of too much load, so even one in a hundred moves a part of the traffic.
    let often = ratio("price", "0.01", 1);
    assert!((1.0..1.5).contains(&often), "{often}");
    // Drawn by weight, without a look at the price, the same day costs far more.
    let blind = ratio("weighted", "0.001", 1);
    assert!(blind > 1.6, "{blind}");
}

#[test]
fn a_brown_out_moves_the_traffic_and_it_comes_back() {
    let events = "
[[event]]
provider = \"alpha\"
what = \"brown-out\"
at = \"100s\"
lasts = \"120s\"
slower = 30
";
    for (strategy, seed) in [("default", 1), ("weighted", 2), ("least-busy", 3)] {
        let seen = Day { strategy, events, seconds: 700, rate: 12, cores: 2, seed }.run();
        assert_eq!(seen.0.visible(), 0, "{strategy}");
        let (before, during) = (seen.share("alpha", 30..100), seen.share("alpha", 125..220));
        assert!(before >= 20, "{strategy}: {before} %");
        assert!(during * 4 <= before, "{strategy}: {before} % before, {during} % during");
        let after = seen.share("alpha", 560..690);
        assert!(after * 10 >= before * 7, "{strategy}: {before} % before, {after} % after");
    }
}

#[test]
fn a_storm_of_429s_is_respected() {
    let events = "
[[event]]
provider = \"alpha\"
what = \"storm\"
at = \"60s\"
lasts = \"120s\"
retry_after = \"20s\"
";
    for (strategy, cores, seed) in [("price", 1, 1), ("price", 4, 2), ("default", 4, 3)] {
        let seen = Day { strategy, events, seconds: 300, rate: 24, cores, seed }.run();
        assert_eq!(seen.0.visible(), 0, "{strategy}");
        // A wait is 20 to 22 s: at most seven times do they ask, each core for itself until it has heard.
        let asked: Vec<u32> = (60..180).map(|second| seen.attempts("alpha", second..second + 1)).collect();
        let busy = asked.iter().filter(|count| **count > 0).count();
        assert!((6..=14).contains(&busy), "{strategy}: asked in {busy} seconds: {asked:?}");
        assert!(asked.iter().sum::<u32>() <= 7 * 8, "{strategy}: {asked:?}");
        // And not before the wait is over.
        let gaps = asked.split(|count| *count > 0).filter(|gap| gap.len() > 1).map(<[u32]>::len);
        assert!(gaps.clone().take(5).all(|gap| gap >= 18), "{strategy}: {asked:?}");
        assert!(u64::from(asked.iter().sum::<u32>()) >= seen.0.limited, "{strategy}");
        // What was learnt of its limits in the storm is unlearnt slowly: one more at once with each answer.
        let (before, after) = (seen.share("alpha", 10..60), seen.share("alpha", 210..290));
        assert!(after * 10 >= before * 7, "{strategy}: {before} % before, {after} % after");
    }
}

#[test]
fn a_price_moves_the_share_and_the_bill() {
    let events = "
[[event]]
provider = \"alpha\"
what = \"price\"
at = \"100s\"
lasts = \"100s\"
times = 10
";
    let by_price = Day { strategy: "price", events, seconds: 300, rate: 20, cores: 2, seed: 1 }.run();
    let share = |seconds| by_price.share("alpha", seconds);
    assert_eq!([share(0..99), share(101..199), share(201..290)], [100, 0, 100]);
    // A third of the time at 1.2 times the price.
    let ratio = by_price.0.cost.0 as f64 / cheapest(&by_price.0);
    assert!((1.05..1.09).contains(&ratio), "{ratio}");
    let drawn = Day { strategy: "default", events, seconds: 300, rate: 20, cores: 2, seed: 1 }.run();
    let share = |seconds| drawn.share("alpha", seconds);
    let (before, during, after) = (share(10..99), share(101..199), share(201..290));
    assert!(before >= 40 && during <= 8 && after >= before - 15, "{before} % {during} % {after} %");
}

#[test]
fn what_takes_so_many_at_once_is_used_within_that() {
    let events = "[[endpoint]]\nprovider = \"alpha\"\ncapacity = 30\n";
    for seed in 1..3 {
        let seen = Day { strategy: "price", events, seconds: 150, rate: 60, cores: 2, seed }.run();
        assert_eq!(seen.0.visible(), 0);
        let attempts = seen.attempts("alpha", 0..150);
        assert!(seen.0.limited * 20 <= u64::from(attempts), "{} of {attempts} refused", seen.0.limited);
        assert!(seen.most("alpha", 30..150) <= 40, "{} at once", seen.most("alpha", 30..150));
        assert!(attempts >= 1_000, "{attempts}");
    }
}

#[test]
fn answers_under_way_are_cut_by_an_outage_that_cuts() {
    for (cuts, seen_by_clients) in [("true", true), ("false", false)] {
        let events = outage(&format!("503\ncuts = {cuts}"));
        let seen =
            Day { strategy: "price", events: &events, seconds: 120, rate: 20, cores: 1, seed: 1 }.run();
        assert_eq!(seen.0.cut > 0, seen_by_clients);
        assert_eq!((seen.0.failed, seen.0.visible()), (0, seen.0.cut));
        // What was under way is all that is cut.
        assert!(seen.0.cut <= u64::from(seen.most("alpha", 0..61)), "{} cut", seen.0.cut);
    }
}

#[test]
fn two_runs_are_equal_to_the_byte() {
    let events = format!("{}[[endpoint]]\nfailure_rate = 0.02\ndeath_rate = 0.01\n", outage("503"));
    let texts = |seed, cores| {
        let setups = ["default", "price"].map(|strategy| setup(&three(strategy)));
        let traffic = traffic(&setups[0], 150, 12, seed);
        let options = Options { seed, cores, slot: None };
        let tallies = setups.iter().map(|one| simulate(&traffic, one, &world(&events), options, &mut |_| {}));
        let tallies: Vec<Tally> = tallies.collect();
        tallies.iter().for_each(conserves);
        let (start, length) = (traffic.start, traffic.length());
        let run = Run { traffic: "t".into(), start, length, seed, cores, tallies };
        [json(&run).to_string(), page(&run), table(&run)]
    };
    for cores in [1, 3] {
        let first = texts(5, cores);
        assert_eq!(first, texts(5, cores));
        let other = texts(6, cores);
        assert!(first.iter().zip(&other).all(|(one, two)| one != two));
    }
}

#[test]
fn the_same_policy_twice_is_the_same_day() {
    let one = setup(&three("price"));
    let two = setup(&format!("{}# under another name\n", three("price")));
    let traffic = traffic(&one, 100, 20, 9);
    let events = world("[[endpoint]]\nfailure_rate = 0.05\n");
    let mut tallies =
        [one, two].map(|one| simulate(&traffic, &one, &events, Options::default(), &mut |_| {}));
    tallies[1].name = tallies[0].name.clone();
    assert_eq!(tallies[0], tallies[1]);
    assert!(tallies[0].failovers > 20 && tallies[0].visible() < tallies[0].failovers / 10);
}

#[test]
fn progress_is_told_and_ends_with_all() {
    let setup = setup(&three("price"));
    let traffic = traffic(&setup, 100, 200, 1);
    let mut told = Vec::new();
    let _ = simulate(&traffic, &setup, &world(""), Options::default(), &mut |done| told.push(done));
    assert!(told.len() > 2 && told.is_sorted() && told.last() == Some(&20_000), "{told:?}");
}
