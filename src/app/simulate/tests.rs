//! The command as its user sees it: what it prints, what it writes, and what it refuses.
//!
//! Deliberately absent: whether the figures are right (`control::simulate`).

use super::*;

/// A folder of its own for each test; it goes with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("millrace-simulate-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file of the test");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const POLICY: &str = "
[[provider]]
id = \"near\"
base_url = \"http://near.test/v1\"
auth = \"none\"
[[provider]]
id = \"far\"
base_url = \"http://far.test/v1\"
auth = \"none\"
[[model]]
id = \"team/m\"
strategy = \"STRATEGY\"
endpoint = [
    { provider = \"near\", name = \"m\", price = { prompt = \"4\", completion = \"8\" } },
    { provider = \"far\", name = \"m\", price = { prompt = \"1\", completion = \"2\" } },
]
";

const TRAFFIC: &str = r#"
{"time":10,"model":"team/m","prompt_tokens":1000000,"completion_tokens":0,"stream":true}
{"time":20,"model":"team/m","prompt_tokens":0,"completion_tokens":500000,"stream":false}
"#;

fn options(folder: &Folder, traffic: &str) -> SimulateOptions {
    SimulateOptions {
        traffic: traffic.to_owned(),
        policy: folder.file("order.toml", &POLICY.replace("STRATEGY", "order")),
        against: None,
        endpoints: Some(
            folder.file(
                "world.toml",
                "[[endpoint]]\ntokens_per_second = 1e5\nfailure_rate = 0\ndeath_rate = 0\n",
            ),
        ),
        seed: 1,
        cores: 1,
        json: None,
        html: None,
    }
}

fn ran(options: &SimulateOptions, terminal: bool) -> (bool, String, String) {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = run(options, &mut out, &mut errors, terminal);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (code == ExitCode::SUCCESS, text(out), text(errors))
}

#[test]
fn two_policies_are_compared_and_written() {
    let folder = Folder::new("compare");
    let traffic = folder.file("traffic.jsonl", TRAFFIC).display().to_string();
    let mut options = options(&folder, &traffic);
    options.against = Some(folder.file("price.toml", &POLICY.replace("STRATEGY", "price")));
    (options.json, options.html) = (Some(folder.0.join("r.json")), Some(folder.0.join("r.html")));
    let (ok, out, errors) = ran(&options, false);
    assert!(ok && errors.is_empty(), "{errors}");
    // A million prompt tokens at 4 and half a million answer tokens at 8; the other one is a quarter of it.
    let cost: Vec<&str> =
        out.lines().find(|line| line.starts_with("cost ")).expect("a line").split_whitespace().collect();
    assert_eq!(cost, ["cost", "$8.00", "$2.00", "-75.0", "%"]);
    let document = std::fs::read_to_string(folder.0.join("r.json")).expect("it was written");
    assert!(
        document.contains("\"cost_usd\": \"8\"") && document.contains("\"cost_usd\": \"2\""),
        "{document}"
    );
    let page = std::fs::read_to_string(folder.0.join("r.html")).expect("it was written");
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
}

#[test]
fn progress_is_for_terminals() {
    let folder = Folder::new("progress");
    let options = options(&folder, "synthetic:requests=40000,models=team/m,rate=100");
    let (ok, out, errors) = ran(&options, true);
    assert!(ok && out.starts_with("40,000 requests"), "{out}");
    assert!(errors.contains("simulating: 100 %") && errors.ends_with('\r'), "{errors:?}");
    assert_eq!(ran(&options, false), (true, out, String::new()));
}

#[test]
fn what_cannot_be_simulated_is_refused_by_name() {
    let folder = Folder::new("refuse");
    let good = folder.file("good.jsonl", TRAFFIC).display().to_string();
    let bad = folder.file("bad.jsonl", "{\"time\":1}\n").display().to_string();
    let check = |change: &dyn Fn(&mut SimulateOptions), says: &str| {
        let mut options = options(&folder, &good);
        change(&mut options);
        let (ok, out, errors) = ran(&options, false);
        assert!(!ok && out.is_empty() && errors.contains(says), "{says}: {errors}");
    };
    check(&|options| options.traffic = bad.clone(), "bad.jsonl: line 1: model: missing");
    check(
        &|options| options.traffic = "synthetic:rate=x".into(),
        "--traffic synthetic:rate=x: rate: expected",
    );
    check(&|options| options.traffic = "nowhere.jsonl".into(), "nowhere.jsonl: No such file");
    check(&|options| options.policy = folder.0.join("none.toml"), "none.toml: No such file");
    check(
        &|options| options.policy = folder.file("p.toml", "[retry]\nattempt = 1\n"),
        "p.toml:2:1: retry.attempt",
    );
    check(
        &|options| options.endpoints = Some(folder.file("w.toml", "[[endpoint]]\nx = 1\n")),
        "unknown field `x`",
    );
    let unknown = "[[endpoint]]\nprovider = \"nobody\"\n";
    check(
        &|options| options.endpoints = Some(folder.file("w.toml", unknown)),
        "w.toml: provider \"nobody\": no",
    );
    check(&|options| options.json = Some(folder.0.join("no/such.json")), "no/such.json");
}

#[test]
fn the_command_line_is_read() {
    use crate::app::cli::{Cli, Command};
    use clap::Parser;
    let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(Cli::into_command);
    let line = "millrace simulate --traffic synthetic --policy a.toml --against b.toml --cores 4 --seed 9";
    let Ok(Command::Simulate(options)) = parse(line) else { panic!("{line}") };
    assert_eq!((options.cores, options.seed, options.traffic.as_str()), (4, 9, "synthetic"));
    assert_eq!(options.against.as_deref(), Some(Path::new("b.toml")));
    for (line, says) in [
        ("millrace simulate --policy a.toml", "--traffic"),
        ("millrace simulate --traffic t.jsonl", "--policy"),
        ("millrace simulate --traffic t --policy p --cores 0", "expected a whole number from 1 to 64"),
        ("millrace simulate --traffic t --policy p --cores 65", "expected a whole number from 1 to 64"),
    ] {
        let error = parse(line).map(|_| ()).expect_err(line).to_string();
        assert!(error.contains(says), "{line}: {error}");
    }
}
