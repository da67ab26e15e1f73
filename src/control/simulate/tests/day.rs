//! A scripted day: outage, brown-out, storm of 429s, price change and recovery, one after the other and on
//! top of each other. As long as one candidate is well, no client sees a failure.
//!
//! Deliberately absent: single laws (`laws`). The same day stands in `tests/cases/d*.case`, where it runs
//! through real exchanges and on real sockets.

use super::{Day, Seen};

/// An hour that stands for a day; `beta` is always well.
const DAY: &str = "
[[event]]
provider = \"alpha\"
what = \"outage\"
at = \"5m\"
lasts = \"5m\"
[[event]]
provider = \"alpha\"
what = \"brown-out\"
at = \"15m\"
lasts = \"3m\"
slower = 30
[[event]]
provider = \"alpha\"
what = \"storm\"
at = \"28m\"
lasts = \"4m\"
retry_after = \"30s\"
[[event]]
provider = \"alpha\"
what = \"price\"
at = \"38m\"
lasts = \"6m\"
times = 8
[[event]]
provider = \"gamma\"
what = \"outage\"
at = \"7m\"
lasts = \"20m\"
fault = \"silent\"
[[event]]
provider = \"gamma\"
what = \"storm\"
at = \"30m\"
lasts = \"5m\"
share = 0.5
";

fn day(strategy: &str, cores: usize, seed: u64) -> Seen {
    Day { strategy, events: DAY, seconds: 3_600, rate: 4, cores, seed }.run()
}

#[test]
fn no_client_sees_a_failure_and_traffic_returns() {
    for (strategy, cores, seed) in [("default", 2, 1), ("price", 1, 2), ("weighted", 2, 3)] {
        let seen = day(strategy, cores, seed);
        assert_eq!(seen.0.visible(), 0, "{strategy}: {:?}", seen.0.faults);
        assert_eq!((seen.0.served, seen.0.refused), (14_400, 0), "{strategy}");
        assert!(seen.0.attempts_failed > 10, "{strategy}: there was trouble");
        let share = |from: usize, to: usize| seen.share("alpha", from * 60..to * 60);
        let usual = share(1, 5);
        assert!(usual >= 25, "{strategy}: {usual} %");
        assert!(share(5, 10) * 5 <= usual, "{strategy}: {} % in the outage", share(5, 10));
        assert!(share(28, 32) * 5 <= usual, "{strategy}: {} % in the storm", share(28, 32));
        if strategy != "weighted" {
            assert!(share(39, 44) * 4 <= usual, "{strategy}: {} % when it is dear", share(39, 44));
        }
        for (from, to) in [(12, 15), (34, 38), (50, 59)] {
            let now = share(from, to);
            assert!(now * 10 >= usual * 7, "{strategy}: {now} % of {usual} % in minutes {from} to {to}");
        }
    }
}

#[test]
fn troubles_of_all_kinds_overlap_and_nobody_sees_them() {
    for seed in 1..5 {
        let mut events = String::new();
        let mut random = crate::control::simulate::random::Random::new(seed);
        for turn in 0..30 {
            let provider = ["alpha", "gamma"][random.below(2)];
            let what = match (random.below(4), provider) {
                // What may be billed moves on only once: one provider has it.
                (0, "gamma") => "what = \"outage\"\nfault = 500\n",
                (0, _) => "what = \"outage\"\nfault = \"refused\"\n",
                (1, _) => "what = \"outage\"\nfault = \"silent\"\n",
                (2, _) => "what = \"storm\"\nshare = 0.7\nretry_after = \"3s\"\n",
                _ => "what = \"brown-out\"\nslower = 12\n",
            };
            let lasts = 2 + random.below(40);
            events.push_str(&format!("[[event]]\nprovider = \"{provider}\"\nat = \"{}s\"\n", turn * 10));
            events.push_str(&format!("lasts = \"{lasts}s\"\n{what}"));
        }
        let (strategy, cores) = ([("default", 2), ("price", 1), ("least-busy", 3)])[seed as usize % 3];
        let seen = Day { strategy, events: &events, seconds: 330, rate: 12, cores, seed }.run();
        assert_eq!(seen.0.visible(), 0, "{strategy}, seed {seed}: {:?}", seen.0.faults);
        assert!(seen.0.attempts_failed > 20, "{strategy}, seed {seed}: {}", seen.0.attempts_failed);
    }
}
