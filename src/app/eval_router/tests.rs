//! The whole command on a small file: the page, and that the same seed prints the same page.
//!
//! Deliberately absent: whether the shipped policy is any good (the smoke file cannot tell).

use super::*;

/// Runs the command; the page, or what went wrong.
fn page(policy: &str, data: &str, more: &[&str]) -> Result<String, String> {
    let folder =
        std::env::temp_dir().join(format!("millrace-eval-{}-{:p}", std::process::id(), &raw const policy));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (config, file) = (folder.join("mr.toml"), folder.join("data.jsonl"));
    std::fs::write(&config, policy).expect("written");
    std::fs::write(&file, data).expect("written");
    let held_out = more.iter().find_map(|one| one.strip_prefix("held-out ")).map(str::to_owned);
    let seed =
        more.iter().find_map(|one| one.strip_prefix("seed ")).map_or(1, |seed| seed.parse().expect("a seed"));
    let options = EvalOptions {
        policy: Some(config),
        data: file,
        held_out,
        seed,
        no_latency: !more.contains(&"latency"),
    };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = eval_router(&options, &mut out, &mut errors);
    std::fs::remove_dir_all(&folder).expect("our folder");
    let text =
        |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").replace(&folder.display().to_string(), "");
    if code == ExitCode::SUCCESS { Ok(text(out)) } else { Err(text(errors)) }
}

/// Two tiers at 1 and 5 dollars a million, by tools alone.
const POLICY: &str = r#"
[[provider]]
id = "gpu"
base_url = "http://127.0.0.1:9000/v1"
auth = "none"
[[model]]
id = "own/s"
endpoint = [{ provider = "gpu", name = "s", price = { prompt = "1", completion = "1" } }]
[[model]]
id = "own/l"
endpoint = [{ provider = "gpu", name = "l", price = { prompt = "5", completion = "5" } }]
[auto]
default_tier = "small"
[[auto.tier]]
name = "small"
models = ["own/s"]
[[auto.tier]]
name = "large"
from_score = 20
models = ["own/l"]
"#;

/// Four requests whose models are known: tools tell exactly which are hard.
fn known() -> String {
    let line = |domain: &str, tools: &str, small: bool| {
        format!(
            "{{\"domain\":\"{domain}\",\"prompt\":\"go\"{tools},\
             \"models\":{{\"own/s\":{{\"correct\":{small},\"cost\":1}},\
             \"own/l\":{{\"correct\":true,\"cost\":5}}}}}}\n"
        )
    };
    let tools = ",\"tools\":[{}]";
    [line("a", "", true), line("a", tools, false), line("b", "", true), line("b", tools, false)].concat()
}

#[test]
fn a_perfect_policy_is_shown_as_one() {
    let page = page(POLICY, &known(), &[]).expect("it runs");
    for line in [
        "labels: the file does not say how its labels came about: take them for opinions",
        "  the weakest tier fails       score        AUC 1.000  (1.000 to 1.000)",
        "  policy                   quality 1.000  cost    12.000000  budget 0.500",
        "  always small             quality 0.500  cost     4.000000  budget 0.000",
        "  always large             quality 1.000  cost    20.000000  budget 1.000",
        "  a coin at the same cost  quality 0.750  cost    12.000000  budget 0.500",
        "  oracle                   quality 1.000  cost    12.000000  budget 0.500",
        "  requests by tier: small 50 %, large 50 %",
        "  a                         2  1.000         20   0.500    1.000   0.750  1.000",
        "     0.5   1.000",
        "  typos                    0.0 % of 4, 0.0 % to a weaker tier",
    ] {
        assert!(page.contains(line), "{line:?} is missing in\n{page}");
    }
}

#[test]
fn the_same_seed_prints_the_same_page() {
    let smoke = include_str!("../../../tests/data/auto-smoke.jsonl");
    let one = page("", smoke, &["seed 7"]).expect("it runs");
    assert_eq!(one, page("", smoke, &["seed 7"]).expect("it runs"));
    assert_ne!(one, page("", smoke, &["seed 8"]).expect("it runs"));
    assert!(!one.contains("not used:"), "every line of the smoke file can be used:\n{one}");
    assert!(one.contains("labels: written and labelled by hand"), "{one}");
    assert!(one.lines().filter(|line| line.starts_with("  math")).count() == 1, "{one}");
}

#[test]
fn one_domain_may_be_looked_at_alone() {
    let only = page(POLICY, &known(), &["held-out b"]).expect("it runs");
    assert!(only.contains("\n  b  ") && !only.contains("\n  a  "), "{only}");
    let wrong = page(POLICY, &known(), &["held-out c"]).expect_err("no such domain");
    assert!(wrong.contains("no domain is called \"c\"; there are a, b"), "{wrong}");
}

#[test]
fn what_cannot_be_used_is_said() {
    let bad = |data: &str| page(POLICY, data, &[]).expect_err(data);
    assert!(bad("nonsense").contains("line 1: not a JSON object"));
    assert!(
        bad("{\"domain\":\"d\",\"prompt\":\"p\",\"label\":\"huge\"}").contains("no tier is called \"huge\"")
    );
    let one = "{\"domain\":\"d\",\"prompt\":\"p\",\"models\":{\"own/s\":{\"correct\":true,\"cost\":1}}}";
    assert!(bad(one).contains("fewer than two tiers"));
    let some = page(POLICY, &format!("{}{one}\n", known()), &[]).expect("the others are of use");
    assert!(some.contains("not used: 1 lines, the first because its models belong to fewer than two tiers"));
    assert!(page("nonsense", &known(), &[]).is_err());
    assert!(
        page("auto.enabled = false", &known(), &[])
            .expect_err("off")
            .contains("no tier of [auto] has a model")
    );
}

#[test]
fn decisions_are_timed() {
    let page = page(POLICY, &known(), &["latency"]).expect("it runs");
    for bytes in ["    100 B", "   2000 B", " 100000 B"] {
        let line =
            page.lines().find(|line| line.contains(bytes)).unwrap_or_else(|| panic!("{bytes}:\n{page}"));
        assert!(line.contains("p50") && !line.contains("NaN"), "{line}");
    }
}
