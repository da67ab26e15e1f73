//! What the workers get to see of a configuration, and that pools keep their ids.
//!
//! Deliberately absent: how a configuration is read.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use std::collections::HashMap;

use super::*;
use crate::base::money::PicoDollars;
use crate::base::secret::Secret;
use crate::control::config::{EndpointEntry, Overrides, Sources, check_exposure, load};
use crate::policy::catalog::AuthMode;
use crate::policy::route::{Ask, Scene};
use crate::policy::{auth, route};

const CONFIG: &str = r#"
[[provider]]
id = "one"
base_url = "https://gpu.example/v1"
api_key = "k1"
[[provider]]
id = "two"
base_url = "https://gpu.example/v1"
api_key = "k2"
ca_file = "ca.pem"
passthrough = false
[[provider]]
id = "v6"
base_url = "http://[::1]:8000"
auth = "none"
[[model]]
id = "author/model"
endpoint = [
    { provider = "two", name = "m2", price = { prompt = "1", completion = "2" } },
    { provider = "one", name = "m1" },
]
[[key]]
name = "laptop"
sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
"#;

fn config(text: &str) -> Config {
    let sources =
        Sources { environment: &|_| None, read_file: &|_| Ok("-----BEGIN CERTIFICATE-----".to_owned()) };
    load(Some((Path::new("mr.toml"), text.as_bytes())), Overrides::default(), sources)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn built(text: &str, extras: Extras<'_>, interner: &mut Interner) -> Built {
    let config = config(text);
    let exposure = check_exposure(&config).expect("loopback or keys");
    build(&config, exposure, extras, interner)
}

fn pools(built: &Built) -> HashMap<String, PoolId> {
    let providers = &built.snapshot.providers;
    providers.iter().map(|provider| (provider.id.to_string(), provider.pool)).collect()
}

fn internal(id: &str, port: u16) -> Internal {
    Internal {
        id: id.into(),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        base_path: "/v1".into(),
        credential: Credential::Header { name: "x-token".into(), value: Secret::new(format!("t-{id}")) },
        passthrough: true,
        deadlines: Deadlines::default(),
    }
}

#[test]
fn rows_point_at_each_other() {
    let Built { snapshot, trust, .. } = built(CONFIG, Extras::default(), &mut Interner::default());
    let names: Vec<&str> = snapshot.hosts.iter().map(|host| &*host.name).collect();
    assert_eq!(names, ["gpu.example", "::1"]);
    assert!(snapshot.hosts[0].addresses.is_empty(), "a name waits for DNS");
    assert_eq!(*snapshot.hosts[1].addresses, [IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    let [one, two, v6] = &snapshot.providers[..] else { panic!("{:?}", snapshot.providers) };
    assert_eq!((one.host, two.host, v6.host), (HostId(0), HostId(0), HostId(1)));
    assert_eq!((one.tls, one.port, &*one.authority, &*one.base_path), (true, 443, "gpu.example", "/v1"));
    assert_eq!((v6.tls, v6.port, &*v6.authority, &*v6.base_path), (false, 8000, "[::1]:8000", ""));
    assert_eq!(v6.address(&snapshot, 7), Some("[::1]:8000".parse().expect("an address")));
    assert_eq!((trust.ca_file(one.pool), trust.ca_file(two.pool)), (None, Some(Path::new("ca.pem"))));
    assert_eq!(trust.iter().count(), 1);
    let endpoints = &snapshot.models[snapshot.model_ids["author/model"].index()].endpoints;
    let first = &snapshot.endpoints[endpoints[0].index()];
    assert_eq!((&*snapshot.providers[first.provider.index()].id, &*first.name), ("two", "m2"));
    let price = first.facts.prices.as_ref().map(|prices| (prices.base.prompt, prices.base.completion));
    assert_eq!(price, Some((Some(PicoDollars(1_000_000)), Some(PicoDollars(2_000_000)))));
    assert_eq!(snapshot.endpoints[endpoints[1].index()].facts.prices, None);
    assert_eq!((snapshot.auth, snapshot.control), (AuthMode::Keys, None));
}

/// The policy floor finds what this floor built.
#[test]
fn policy_reads_it() {
    let Built { snapshot, .. } = built(CONFIG, Extras::default(), &mut Interner::default());
    // The digest in the configuration is that of `hello`.
    let tenant = auth::tenant(&snapshot, Some(b"hello")).expect("the key is known");
    assert_eq!(tenant.key, Some(KeyId(0)));
    assert!(auth::tenant(&snapshot, Some(b"hello ")).is_err());
    let plan = |model: &str| {
        let plan = route::plan(&Scene::plain(&snapshot), tenant, &Ask::ANYTHING, [model].into_iter()).ok()?;
        let tried = plan.candidates(&snapshot);
        Some(tried.map(|tried| snapshot.providers[tried.provider.index()].id.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(plan("author/model"), Some(vec!["two".to_owned(), "one".to_owned()]));
    assert_eq!(plan("one/any/thing"), Some(vec!["one".to_owned()]));
    assert_eq!((plan("two/anything"), plan("three/x"), plan("one/")), (None, None, None));
}

#[test]
fn pools_keep_their_ids_until_something_changes() {
    let mut interner = Interner::default();
    let first = pools(&built(CONFIG, Extras::default(), &mut interner));
    assert_eq!(first.values().collect::<std::collections::HashSet<_>>().len(), 3, "{first:?}");
    // Order, models and deadlines do not matter.
    let other =
        CONFIG.replace("[[key]]", "[deadlines]\nconnect = \"1s\"\n[[key]]").replace("\"m1\"", "\"m9\"");
    let front = "[[provider]]\nid = \"new\"\nbase_url = \"http://new\"\nauth = \"none\"\n";
    let second = pools(&built(&format!("{front}{other}"), Extras::default(), &mut interner));
    for id in ["one", "two", "v6"] {
        assert_eq!(first[id], second[id], "{id}");
    }
    assert!(!first.values().any(|pool| *pool == second["new"]));
    // Credential, trust, scheme, host and port do.
    for (from, to) in [
        ("\"k1\"", "\"k3\""),
        ("api_key = \"k1\"", "api_key = \"k1\"\nauth = { header = \"api-key\" }"),
        ("api_key = \"k1\"", "api_key = \"k1\"\nca_file = \"ca.pem\""),
        ("https://gpu.example/v1\"\napi_key = \"k1\"", "http://gpu.example:443/v1\"\napi_key = \"k1\""),
        ("https://gpu.example/v1\"\napi_key = \"k1\"", "https://gpu.example:444/v1\"\napi_key = \"k1\""),
        ("https://gpu.example/v1\"\napi_key = \"k1\"", "https://gpu2.example/v1\"\napi_key = \"k1\""),
    ] {
        let changed = CONFIG.replacen(from, to, 1);
        assert_ne!(changed, CONFIG, "{from}");
        let mut interner = Interner::default();
        let before = pools(&built(CONFIG, Extras::default(), &mut interner));
        let after = pools(&built(&changed, Extras::default(), &mut interner));
        assert!(!before.values().any(|pool| *pool == after["one"]), "{to}");
        assert_eq!((before["two"], before["v6"]), (after["two"], after["v6"]), "{to}");
        // An old pool that comes back is a new one: its id may never mean something else in between.
        let again = pools(&built(CONFIG, Extras::default(), &mut interner));
        assert!(!before.values().chain(after.values()).any(|pool| *pool == again["one"]), "{to}");
        assert_eq!(interner.pools.len(), 3);
    }
}

/// A unix socket is known without DNS, however often it is asked for; each socket has a pool of its own.
#[test]
fn unix_sockets_are_hosts_that_need_no_name() {
    let text = CONFIG
        .replace("http://[::1]:8000", "unix:/run/v6.sock:/v1")
        .replacen("https://gpu.example/v1", "unix:@one", 1)
        .replace("api_key = \"k1\"", "auth = \"none\"");
    let mut interner = Interner::default();
    let first = built(&text, Extras::default(), &mut interner);
    let snapshot = &first.snapshot;
    for (id, name, base_path) in [("v6", "unix:/run/v6.sock", "/v1"), ("one", "unix:@one", "")] {
        let provider = &snapshot.providers[snapshot.provider_ids[id].index()];
        let host = &snapshot.hosts[provider.host.index()];
        assert_eq!((&*host.name, host.known(), host.addresses.len()), (name, 1, 0));
        for turn in [0, 1, usize::MAX] {
            assert_eq!(provider.address(snapshot, turn), name.parse().ok(), "{name}");
        }
        let said = (provider.tls, &*provider.authority, &*provider.base_path);
        assert_eq!(said, (false, "localhost", base_path));
    }
    let moved = text.replace("/run/v6.sock", "/run/v7.sock");
    let (first, second) = (pools(&first), pools(&built(&moved, Extras::default(), &mut interner)));
    assert_eq!(first["one"], second["one"]);
    assert!(!first.values().any(|pool| *pool == second["v6"]));
}

#[test]
fn hedging_is_in_use_as_soon_as_anything_may_be_hedged() {
    let terms = |hedge: &str, of_model: &str| {
        let model = format!("id = \"author/model\"\n{of_model}");
        let text = format!("{hedge}\n{}", CONFIG.replace("id = \"author/model\"", &model));
        let Built { snapshot, .. } = built(&text, Extras::default(), &mut Interner::default());
        (snapshot.hedging, snapshot.models[snapshot.model_ids["author/model"].index()].facts.hedge)
    };
    let (usual, ms) = (Terms::default(), Duration::from_millis);
    for (hedge, of_model, want, model) in [
        ("", "", usual, None),
        ("[hedge]\nleast = \"1s\"", "hedge = \"off\"", Terms { least: ms(1000), ..usual }, Some(When::Off)),
        ("", "hedge = \"p95\"", Terms { in_use: true, ..usual }, Some(When::P95)),
        ("[hedge]\nper_request = true", "", Terms { in_use: true, per_request: true, ..usual }, None),
        (
            "[hedge]\nafter = \"800ms\"\nunmeasured = \"2s\"\nrequests_percent = 7\ncost_percent = 0",
            "hedge = \"3s\"",
            Terms {
                in_use: true,
                when: When::After(ms(800)),
                unmeasured: Some(ms(2000)),
                requests_percent: 7,
                cost_percent: 0,
                ..usual
            },
            Some(When::After(ms(3000))),
        ),
    ] {
        assert_eq!(terms(hedge, of_model), (want, model), "{hedge}");
    }
}

#[test]
fn equal_accounts_share_a_pool() {
    let same = CONFIG.replace("\"k2\"", "\"k1\"").replace("ca_file = \"ca.pem\"\n", "");
    let pools = pools(&built(&same, Extras::default(), &mut Interner::default()));
    assert_eq!(pools["one"], pools["two"]);
}

#[test]
fn internal_servers_and_extra_models_join() {
    let endpoint = |provider: &str| EndpointEntry {
        provider: provider.into(),
        name: "x".into(),
        ..EndpointEntry::default()
    };
    let model = |id: &str, endpoints| ModelEntry { id: id.into(), endpoints, ..ModelEntry::default() };
    let models = [
        model("sim/default", vec![endpoint("sim"), endpoint("nowhere")]),
        model("author/model", vec![endpoint("sim")]),
        model("lost", vec![endpoint("nowhere")]),
        model("secret/way", vec![endpoint("control")]),
    ];
    let (control, internals) = (internal("control", 9001), [internal("sim", 9000), internal("one", 9002)]);
    let resolved = HashMap::from([("gpu.example".into(), Arc::from([IpAddr::V4(Ipv4Addr::BROADCAST)]))]);
    let extras = Extras {
        control: Some(&control),
        internals: &internals,
        models: &models,
        resolved: Some(&resolved),
        ..Extras::default()
    };
    let Built { snapshot, .. } = built(CONFIG, extras, &mut Interner::default());
    assert_eq!(*snapshot.hosts[0].addresses, [IpAddr::V4(Ipv4Addr::BROADCAST)]);
    let control = &snapshot.providers[snapshot.control.expect("given").index()];
    assert_eq!((&*control.id, &*control.authority, control.tls), ("control", "127.0.0.1:9001", false));
    assert!(!snapshot.provider_ids.contains_key("control"), "clients cannot name it");
    let sim = &snapshot.providers[snapshot.provider_ids["sim"].index()];
    assert_eq!(sim.address(&snapshot, 0), Some(internals[0].address.into()));
    assert_eq!(&*snapshot.providers[snapshot.provider_ids["one"].index()].authority, "gpu.example");
    assert_eq!(snapshot.models[snapshot.model_ids["sim/default"].index()].endpoints.len(), 1);
    assert_eq!(snapshot.models[snapshot.model_ids["author/model"].index()].endpoints.len(), 2);
    assert!(!snapshot.model_ids.contains_key("lost") && !snapshot.model_ids.contains_key("secret/way"));
    assert!(!format!("{snapshot:?}").contains("t-sim"));
}
