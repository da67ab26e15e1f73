//! Reports of small runs, as people and programs read them.
//!
//! Deliberately absent: whether the figures are right (`simulate::tests`).

use super::*;
use crate::control::simulate::tests::{setup, three, traffic, world};
use crate::control::simulate::{Options, simulate};

fn run(policies: &[&str]) -> Run {
    let setups: Vec<_> = policies
        .iter()
        .map(|strategy| {
            let mut setup = setup(&three(strategy));
            setup.name = format!("<{strategy}>.toml");
            setup
        })
        .collect();
    let traffic = traffic(&setups[0], 60, 20, 1);
    let events = world("[[event]]\nprovider = \"alpha\"\nwhat = \"outage\"\nat = \"20s\"\nlasts = \"10s\"\n");
    let options = Options::default();
    let tallies = setups.iter().map(|setup| simulate(&traffic, setup, &events, options, &mut |_| {}));
    let tallies = tallies.collect();
    let (start, length) = (traffic.start, traffic.length());
    Run { traffic: "a&b.jsonl".to_owned(), start, length, seed: 1, cores: 1, tallies }
}

#[test]
fn a_table_has_a_column_to_a_policy_and_the_difference() {
    let one = table(&run(&["price"]));
    let line = |text: &str, name: &str| -> Vec<String> {
        let line =
            text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}\n{text}"));
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(line(&one, "requests"), ["requests", "1,200"]);
    assert!(!one.contains("difference"), "{one}");
    let two = table(&run(&["price", "weighted"]));
    assert_eq!(line(&two, "requests"), ["requests", "1,200", "1,200", "="]);
    let cost = line(&two, "cost");
    assert!(cost.len() == 4 && cost[1].starts_with('$') && cost[3].starts_with('+'), "{cost:?}");
    assert_eq!(line(&two, "alpha").len(), 11, "{two}");
    assert!(two.lines().all(|line| line.chars().count() < 160 && line == line.trim_end()), "{two}");
}

#[test]
fn the_document_has_every_count() {
    let run = run(&["price", "default"]);
    let document = json(&run);
    let policy = &document["policies"][0];
    assert_eq!((policy["requests"].as_u64(), policy["visible_failures"].as_u64()), (Some(1_200), Some(0)));
    assert_eq!(policy["cost_usd"], run.tallies[0].cost.as_usd());
    let providers = policy["providers"].as_array().unwrap();
    let shares: f64 = providers.iter().filter_map(|one| one["share"].as_f64()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    let slots = policy["timeline"]["slots"].as_array().unwrap();
    let attempts = slots.iter().flat_map(|slot| slot["providers"].as_object().unwrap().values());
    let attempts: u64 = attempts.filter_map(|cell| cell["attempts"].as_u64()).sum();
    assert_eq!(attempts, run.tallies[0].attempts);
    assert!(policy["ttft_ms"]["p95"].as_f64() > policy["ttft_ms"]["p50"].as_f64());
    let speeds = &policy["tokens_per_second"];
    assert!(speeds["p95"].as_f64() < speeds["p50"].as_f64(), "higher percentiles are lower speeds");
}

#[test]
fn the_page_needs_nothing_else() {
    for policies in [&["price"][..], &["price", "default"]] {
        let page = page(&run(policies));
        assert!(page.contains("&lt;price&gt;.toml") && page.contains("a&amp;b.jsonl"));
        for foreign in ["<script", "http://", "https://", "src=", "NaN", "<price>"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert_eq!(page.matches("<svg").count(), 3 + policies.len());
        for name in ["svg", "table", "tr", "td", "th", "h2", "p", "div", "text"] {
            let open =
                page.matches(&format!("<{name}>")).count() + page.matches(&format!("<{name} ")).count();
            assert_eq!(open, page.matches(&format!("</{name}>")).count(), "{name}");
        }
    }
}

#[test]
fn numbers_are_for_people() {
    for (number, want) in [("0", "0"), ("999", "999"), ("1000", "1,000"), ("1234567.25", "1,234,567.25")] {
        assert_eq!(grouped(number), want);
    }
    for (pico, want) in [(0, "$0"), (1_500_000_000, "$0.001500"), (12_345_678_000_000_000, "$12,345.68")] {
        assert_eq!(usd(PicoDollars(pico)), want);
    }
}
