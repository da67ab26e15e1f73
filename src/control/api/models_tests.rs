//! What callers see of a catalogue: private endpoints, aliases, filters, the shapes of the lists.
//!
//! Deliberately absent: HTTP and the token (`tests`).

use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::live::Live;
use super::models::{Query, View};
use crate::base::ids::KeyId;
use crate::base::time::UnixSeconds;
use crate::control::config::{Overrides, Sources, check_exposure, load};
use crate::control::snapshot::{Extras, Interner, build};
use crate::policy::catalog::Snapshot;

const CONFIG: &str = r#"
[[provider]]
id = "fleet"
base_url = "http://10.0.0.9:8000/v1"
auth = "none"
[[model]]
id = "acme/open"
aliases = ["open"]
created = 1700000000
context_tokens = 32768
input = ["text", "image"]
parameters = ["tools", "seed"]
[[model.endpoint]]
provider = "fleet"
name = "open"
quantization = "fp8"
region = "eu"
zdr = true
price = { prompt = "1.5", completion = "2", rule = [
    { above_prompt_tokens = 1000, prompt = "3" },
    { utc_from = "22:00", utc_to = "06:30", completion = "1" },
] }
[[model.endpoint]]
provider = "fleet"
name = "secret-copy"
service_tier = "priority"
private_to = ["ann"]
[[model]]
id = "acme/tuned"
[[model.endpoint]]
provider = "fleet"
name = "tuned"
private_to = ["ann"]
[[alias]]
name = "~acme/latest"
model = "open"
[[key]]
name = "bob"
sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
[[key]]
name = "ann"
sha256 = "3cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
"#;

fn view(key: Option<u32>) -> View<'static> {
    static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
        let sources = Sources { environment: &|_| None, read_file: &|_| Ok(String::new()) };
        let config = load(Some((Path::new("mr.toml"), CONFIG.as_bytes())), Overrides::default(), sources)
            .unwrap_or_else(|problems| panic!("{problems}"));
        let exposure = check_exposure(&config).expect("keys");
        build(&config, exposure, Extras::default(), &mut Interner::default()).snapshot
    });
    View { snapshot: &SNAPSHOT, key: key.map(KeyId), started: UnixSeconds(1_790_000_000) }
}

fn ids(key: Option<u32>, query: &str) -> Vec<String> {
    let list = view(key).list(&Query::read(query).unwrap());
    let all = list["data"].as_array().unwrap();
    all.iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_private_exists_for_its_keys_only() {
    let (bob, ann) = (Some(0), Some(1));
    for (key, models, endpoints) in [(None, 1, 1), (bob, 1, 1), (ann, 2, 2), (Some(7), 1, 1)] {
        assert_eq!(ids(key, "").len(), models, "{key:?}");
        let of = view(key).endpoints_of("acme/open", &Live::default()).unwrap();
        assert_eq!(of["data"]["endpoints"].as_array().unwrap().len(), endpoints, "{key:?}");
        assert_eq!(view(key).one("acme/tuned").is_some(), key == ann, "{key:?}");
        assert_eq!(view(key).endpoints_of("acme/tuned", &Live::default()).is_some(), key == ann, "{key:?}");
    }
}

#[test]
fn aliases_lead_to_the_model() {
    for name in ["acme/open", "open", "~acme/latest", "acme/open:floor", "open:nitro"] {
        let model = view(None).one(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(model["id"], "acme/open", "{name}");
    }
    assert_eq!(view(None).one("acme/latest"), None);
}

#[test]
fn filters_choose() {
    let ann = Some(1);
    for (query, want) in [
        ("q=TUN", &["acme/tuned"][..]),
        ("supported_parameters=tools,seed", &["acme/open"]),
        ("supported_parameters=tools,top_k", &[]),
        ("input_modalities=image", &["acme/open"]),
        ("output_modalities=all", &["acme/open", "acme/tuned"]),
        ("context=32768", &["acme/open"]),
        ("context=32769", &[]),
        ("max_price=1.5", &["acme/open"]),
        ("max_price=1.4", &[]),
        ("min_price=1.6", &[]),
        ("zdr=true", &["acme/open"]),
        ("region=us", &[]),
        ("providers=fleet,other", &["acme/open", "acme/tuned"]),
        ("providers=other", &[]),
        ("model_authors=acme", &["acme/open", "acme/tuned"]),
        ("sort=pricing-high-to-low&offset=1", &["acme/tuned"]),
        ("sort=newest&limit=1", &["acme/open"]),
    ] {
        assert_eq!(ids(ann, query), want, "{query}");
    }
}

#[test]
fn an_endpoint_has_openrouters_members() {
    let answer = view(None).endpoints_of("open", &Live::default()).unwrap();
    let want = json!({
        "name": "fleet | acme/open", "model_id": "acme/open", "model_name": "acme/open",
        "provider_name": "fleet", "tag": "fleet/eu", "quantization": "fp8", "context_length": 32768,
        "max_prompt_tokens": null, "max_completion_tokens": null,
        "pricing": {
            "prompt": "0.0000015", "completion": "0.000002",
            "overrides": [
                {"prompt": "0.000003", "conditions": {"min_prompt_tokens": 1000}},
                {"completion": "0.000001", "conditions": {"utc_start": "2200", "utc_end": "0630"}},
            ],
        },
        "supported_parameters": ["seed", "tools"], "supports_implicit_caching": false,
        "supports_tool_choice": {"auto": false, "function": false, "none": false, "required": false},
        "data_policy": {"retains": false, "trains": false, "zdr": true},
        "status": 0, "uptime_last_5m": null, "uptime_last_30m": null, "uptime_last_1d": null,
        "latency_last_30m": null, "throughput_last_30m": null,
    });
    assert_eq!(answer["data"]["endpoints"], json!([want]));
    assert_eq!(view(None).zdr(&Live::default())["data"], json!([want]));
    assert_eq!(
        view(None).endpoints_of("acme/open:free", &Live::default()).unwrap()["data"]["endpoints"],
        json!([])
    );
    assert_eq!(view(None).providers()["data"][0]["slug"], "fleet");
}

#[test]
fn anthropics_clients_get_their_list() {
    let list = |query: &str| view(Some(1)).anthropic_list(&Query::read(query).unwrap());
    let first = list("limit=1");
    let want = json!({
        "data": [{
            "type": "model", "id": "acme/open", "display_name": "acme/open",
            "created_at": "2023-11-14T22:13:20Z",
        }],
        "has_more": true, "first_id": "acme/open", "last_id": "acme/open",
    });
    assert_eq!(first, want);
    let second = list("limit=1&after_id=acme/open");
    assert_eq!((&second["first_id"], &second["has_more"]), (&json!("acme/tuned"), &json!(false)));
    assert_eq!(list("before_id=acme%2Ftuned")["last_id"], "acme/open");
    let none = list("q=nothing");
    assert_eq!((&none["data"], &none["first_id"]), (&json!([]), &Value::Null));
}
