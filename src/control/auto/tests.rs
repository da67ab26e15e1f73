//! Which models the tiers have: on a fresh start, with a provider's key, with models of one's own.
//!
//! Deliberately absent: what is chosen among them (`policy::auto`).

use std::path::Path;

use super::*;
use crate::control::catalog::shipped;
use crate::control::config::{EndpointEntry, ModelEntry, Overrides, Sources, check_exposure, load};
use crate::control::sim;
use crate::control::snapshot::{Extras, Internal, Interner, build};
use crate::policy::auth::Tenant;
use crate::policy::auto::{Signals, Wishes, choose};
use crate::policy::catalog::{Credential, Modalities};
use crate::policy::route::{Ask, Scene};

/// A snapshot as `serve` builds it: the simulator, the shipped catalogue, the keys of the environment.
fn snapshot(text: &str, keys: &[&str]) -> Snapshot {
    let environment = |name: &str| keys.contains(&name).then(|| "sk-1".to_owned());
    let sources = Sources { environment: &environment, read_file: &|_| Ok(String::new()) };
    let config = load(Some((Path::new("mr.toml"), text.as_bytes())), Overrides::default(), sources)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let exposure = check_exposure(&config).expect("local");
    let internals = [Internal {
        id: "sim".into(),
        address: ([127, 0, 0, 1], 1).into(),
        base_path: "".into(),
        credential: Credential::None,
        passthrough: false,
        deadlines: config.deadlines.clone(),
    }];
    let entry = |id: &str| ModelEntry {
        id: id.into(),
        endpoints: vec![EndpointEntry {
            provider: "sim".into(),
            name: "x".into(),
            ..EndpointEntry::default()
        }],
        ..ModelEntry::default()
    };
    let simulated = sim::models().iter().map(|model| entry(model.id)).chain([sim::routed::model()]);
    let models: Vec<ModelEntry> = simulated.collect();
    let catalogue = Some(shipped().unwrap_or_else(|problems| panic!("{problems}")));
    let extras = Extras { internals: &internals, models: &models, catalogue, ..Extras::default() };
    build(&config, exposure, extras, &mut Interner::default()).snapshot
}

/// `tier: model model; tier: model`
fn shown(snapshot: &Snapshot) -> String {
    let auto = &snapshot.auto;
    let tiers = auto.tiers.iter().enumerate().map(|(place, tier)| {
        let own = auto.models.iter().filter(|one| usize::from(one.tier) == place);
        let ids: Vec<&str> = own.map(|one| &*snapshot.models[one.model.index()].id).collect();
        format!("{}: {}", tier.name, ids.join(" "))
    });
    tiers.collect::<Vec<_>>().join("; ")
}

/// What a request without signals gets.
fn default_choice(snapshot: &Snapshot) -> Option<&str> {
    let (ask, nobody) = (Ask::ANYTHING, Tenant { key: None });
    let seen = (Signals::NONE, Modalities::NONE);
    let choice = choose(&Scene::plain(snapshot), nobody, &ask, &Wishes::default(), seen, 3, None)?;
    Some(&snapshot.models[choice.models()[0].index()].id)
}

#[test]
fn a_fresh_start_has_the_simulator() {
    let fresh = snapshot("", &[]);
    assert_eq!(shown(&fresh), "light: sim/fast; standard: sim/routed; strong: sim/tools");
    assert_eq!(default_choice(&fresh), Some("sim/routed"));
}

#[test]
fn providers_bring_models_into_every_tier_and_the_simulator_goes() {
    for key in
        ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "DASHSCOPE_API_KEY", "DEEPINFRA_API_KEY"]
    {
        let auto = snapshot("", &[key]);
        let tiers = shown(&auto);
        assert!(!tiers.contains("sim/"), "{key}: {tiers}");
        assert!(!auto.auto.models.is_empty(), "{key}: no model in any tier");
        let default = default_choice(&auto).unwrap_or_else(|| panic!("{key}: nothing chosen"));
        assert!(auto.model_ids.contains_key(default));
        assert!(auto.auto.models.iter().all(|one| writes(&auto.models[one.model.index()])));
    }
    let openai = snapshot("", &["OPENAI_API_KEY"]);
    assert!(openai.auto.tiers.len() == 3 && !shown(&openai).contains(": ;"), "{}", shown(&openai));
}

/// No pattern of the shipped tiers is without a model in the catalogue: a renamed model is noticed here.
#[test]
fn every_shipped_pattern_matches() {
    let catalogue = shipped().unwrap_or_else(|problems| panic!("{problems}"));
    let table = AutoTable::default();
    for tier in &table.tier {
        for pattern in &tier.models {
            let any = catalogue.models().iter().any(|one| matches(pattern.as_bytes(), one.id.as_bytes()));
            assert!(any, "{}: {pattern}", tier.name);
        }
    }
}

const OWN: &str = r#"
[[provider]]
id = "gpu"
base_url = "http://127.0.0.1:9000/v1"
auth = "none"
[[model]]
id = "own/large"
endpoint = [{ provider = "gpu", name = "l", price = { prompt = "2", completion = "4" } }]
[[model]]
id = "own/small-1"
endpoint = [{ provider = "gpu", name = "s", price = { prompt = "1", completion = "1" } }]
[[model]]
id = "own/small-2"
endpoint = [{ provider = "gpu", name = "t" }]
"#;

#[test]
fn models_of_ones_own_serve_without_any_pattern() {
    let own = snapshot(OWN, &[]);
    assert_eq!(shown(&own), "light: ; standard: own/large own/small-1 own/small-2; strong: ");
    assert_eq!(default_choice(&own), Some("own/small-1"));
    assert_eq!(own.auto.models.iter().map(|one| one.percentile).collect::<Vec<_>>(), [50, 0, 100]);
}

#[test]
fn tiers_are_the_operators() {
    let with = |auto: &str| shown(&snapshot(&format!("{OWN}\n{auto}"), &[]));
    let tiers = "[[auto.tier]]\nname = \"small\"\nmodels = [\"own/small-*\"]\n\
                 [[auto.tier]]\nname = \"large\"\n\
                 from_score = 20\nmodels = [\"own/large\", \"own/*\"]\n";
    let small = "[auto]\ndefault_tier = \"small\"\n";
    // Of one pattern's models the last by name goes first; none comes twice.
    let both = "small: own/small-2 own/small-1; large: own/large own/small-2 own/small-1";
    assert_eq!(with(&format!("{small}{tiers}")), both);
    assert_eq!(
        with(&format!("{small}excluded_models = [\"*-2\"]\n{tiers}")),
        "small: own/small-1; large: own/large own/small-1"
    );
    assert_eq!(
        with(&format!("{small}allowed_models = [\"*-1\"]\n{tiers}")),
        "small: own/small-1; large: own/small-1"
    );
    let bounded = tiers.replace("from_score", "max_prompt_price = \"1.5\"\nfrom_score");
    assert_eq!(
        with(&format!("{small}{bounded}")),
        "small: own/small-2 own/small-1; large: own/small-1",
        "what costs more goes, and what nobody knows"
    );
    assert_eq!(with("[auto]\nenabled = false\n"), "");
}
