//! What `millrace explain` prints, for bodies and a configuration.
//!
//! Deliberately absent: the decisions themselves (`policy::route`).

use super::*;
use crate::control::config::{self, Overrides, Sources};

const CONFIG: &str = r#"
[[provider]]
id = "fleet"
base_url = "http://10.0.0.9:8000/v1"
auth = "none"
passthrough = false
[[provider]]
id = "far"
base_url = "http://10.0.0.10:8000/v1"
auth = "none"
[[model]]
id = "acme/open-2"
parameters = ["tools"]
[[model.endpoint]]
provider = "fleet"
name = "open"
region = "eu-west-1"
price = { prompt = "1", completion = "2" }
[[model.endpoint]]
provider = "far"
name = "open"
region = "us"
price = { prompt = "3", completion = "4" }
[[model.endpoint]]
provider = "far"
name = "tuned"
private_to = ["ann"]
[[key]]
name = "bob"
sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
regions = ["eu"]
[[key]]
name = "ann"
sha256 = "3cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
debug = true
"#;

/// Exit code and what was printed, or the failure's text.
fn run(body: &str, key: Option<&str>, json: bool) -> (u8, String) {
    let sources = Sources { environment: &|_| None, read_file: &|_| Err(io::ErrorKind::NotFound.into()) };
    let config = config::load(Some((Path::new("c.toml"), CONFIG.as_bytes())), Overrides::default(), sources);
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    let exposure = config::check_exposure(&config).unwrap();
    let key = key.map(str::to_owned);
    let options = ExplainOptions { file: "body.json".into(), config: None, key, json, seed: 1 };
    match told(&options, &config, exposure, body.as_bytes(), 0) {
        Ok(told) => told,
        Err(Failure(code, text)) => (code, text),
    }
}

#[track_caller]
fn check(body: &str, key: Option<&str>, code: u8, lines: &[&str]) {
    let (got, text) = run(body, key, false);
    assert_eq!(got, code, "{text}");
    for line in lines {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn every_endpoint_has_a_line() {
    let body = r#"{"model":"acme/open-2:floor","seed":1,"max_tokens":1000}"#;
    check(
        body,
        None,
        0,
        &[
            "asked for: acme/open-2:floor",
            "1      fleet/eu-west-1  acme/open-2  price     1024000000.0000  0.001024",
            "not sent: seed",
            "2      far/us",
            "it is the cheapest for this request, in pico-dollars: 1024000000 against 2048000000",
            "No key is named",
            "Live figures are absent",
        ],
    );
    assert!(!run(body, None, false).1.contains("tuned"), "what is private to others is not told");
    check(
        body,
        Some("bob"),
        0,
        &["- ", "excluded by the regions of the key: it computes in us; the key may use eu"],
    );
    assert_eq!(run(body, Some("ann"), false).1.matches("acme/open-2  ").count(), 3);
}

#[test]
fn what_cannot_be_explained_says_why() {
    check(
        r#"{"model":"acme/open-2","provider":{"only":["fleet"],"zdr":true}}"#,
        None,
        1,
        &["No endpoint is left.", "provider.zdr"],
    );
    check(r#"{"model":"nobody/knows"}"#, None, 1, &["nobody/knows is not a model of this configuration"]);
    check(r#"{"model":"acme/open-2:online"}"#, None, 1, &[":online is not served"]);
    check(
        r#"{"model":"acme/open-2","provider":{"zdr":7}}"#,
        None,
        EXIT_DATA,
        &["provider.zdr must be true or false"],
    );
    check(r#"{"messages":[]}"#, None, EXIT_DATA, &["names no model"]);
    check("{", None, EXIT_DATA, &["body.json: "]);
    check(r#"{"model":"acme/open-2"}"#, Some("eve"), EXIT_CONFIG, &["no key is called eve"]);
}

#[test]
fn as_json_it_is_the_receipt_of_a_running_process() {
    let (code, text) = run(r#"{"models":["~acme/open-latest","sim/fast"]}"#, Some("bob"), true);
    let json: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
    assert_eq!((code, &json["winner"], &json["considered"]), (0, &"fleet/eu-west-1".into(), &3.into()));
    let candidates = json["candidates"].as_array().expect("a list");
    assert_eq!((&candidates[0]["model"], &candidates[0]["place"]), (&"acme/open-2".into(), &1.into()));
    assert_eq!(candidates[1]["excluded_by"], "data_region");
}
