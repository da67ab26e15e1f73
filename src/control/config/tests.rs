//! The configuration as operators meet it: what a file means, and exactly what is said about a wrong one.
//!
//! Deliberately absent: single rules whose own file tests them (URLs, positions).

use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::*;
use crate::base::limits::{Deadlines, Limits};
use crate::base::money::PicoDollars;
use crate::dialect::StreamUsage;
use crate::policy::catalog::{AuthMode, Credential, OnClientGone, UnknownPrice};

/// The configuration from the design, with a digest that is one.
const EXAMPLE: &str = r#"
[server]
listen = "127.0.0.1:8080"
cores = 2
[[provider]]
id = "openai"
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "env:OPENAI_API_KEY"      # env:NAME, file:PATH or the value
[[model]]
id = "openai/gpt-5.5"
[[model.endpoint]]                   # tried in this order
provider = "openai"
name = "gpt-5.5"
price = { prompt = "5.00", completion = "30.00" }   # USD per million tokens
[[key]]
name = "laptop"
sha256 = "2CF24DBA5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
"#;

const ENVIRONMENT: &[(&str, &str)] = &[("OPENAI_API_KEY", "sk-openai")];

#[test]
fn conversations_stick_as_long_as_the_nearest_word_says() {
    let config = read("", &[("OPENAI_API_KEY", "k"), ("GROQ_API_KEY", "k")]).expect("fine");
    let ttl = |config: &Config, id: &str| {
        let found = config.upstreams.iter().find(|one| &*one.id == id);
        found.map(|one| one.sticky_ttl.as_secs())
    };
    assert_eq!((config.sticky.entries, config.sticky.ttl.as_secs()), (65_536, 600));
    assert_eq!((ttl(&config, "openai"), ttl(&config, "groq")), (Some(3600), Some(600)));
    let text = "[sticky]\nentries = 0\nttl = \"5m\"\n[[provider]]\nid = \"openai\"\nsticky_ttl = \"30s\"\n\
                [[provider]]\nid = \"own\"\nbase_url = \"http://h/v1\"\nauth = \"none\"\n";
    let config = read(text, &[("OPENAI_API_KEY", "k"), ("GROQ_API_KEY", "k")]).expect("fine");
    assert_eq!(config.sticky.entries, 0);
    assert_eq!(["openai", "own", "groq"].map(|id| ttl(&config, id)), [Some(30), Some(300), Some(300)]);
}

#[test]
fn an_answer_without_its_client_is_read_on_where_that_is_said_or_shipped() {
    let keys = &[("OPENAI_API_KEY", "k"), ("GROQ_API_KEY", "k"), ("MISTRAL_API_KEY", "k")];
    let text = "[ledger]\nunknown_price = \"deny\"\ndrain_timeout = \"5s\"\ndrain_bytes = \"1MiB\"\n\
                [[provider]]\nid = \"openai\"\non_client_gone = \"drain\"\n\
                [[provider]]\nid = \"mistral\"\non_client_gone = \"cut\"\n\
                [[provider]]\nid = \"own\"\nbase_url = \"http://h/v1\"\nauth = \"none\"\n";
    let config = read(text, keys).expect("fine");
    let drains = |id: &str| {
        let found = config.upstreams.iter().find(|one| &*one.id == id).expect("it is active");
        found.on_client_gone == OnClientGone::Drain
    };
    assert_eq!(["openai", "mistral", "groq", "own"].map(drains), [true, false, true, false]);
    let ledger = &config.ledger;
    assert_eq!((ledger.unknown_price, ledger.drain_bytes), (UnknownPrice::Deny, 1 << 20));
    assert_eq!((ledger.drain_timeout.as_secs(), ledger.drains_per_core), (5, 256));
}

fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, Problems> {
    read_with(text, environment, Overrides::default())
}

fn read_with(text: &str, environment: &[(&str, &str)], overrides: Overrides) -> Result<Config, Problems> {
    let variables: HashMap<&str, &str> = environment.iter().copied().collect();
    let environment = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let sources = Sources { environment: &environment, read_file: &files };
    load(Some((Path::new("etc/mr.toml"), text.as_bytes())), overrides, sources)
}

/// The files of the tests; paths show where relative ones start.
fn files(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("etc/key.txt" | "etc/azure.key") => Ok("  sk-from-file\n".to_owned()),
        Some("etc/empty.txt") => Ok("\n".to_owned()),
        Some("etc/odd.txt") => Ok("two lines\nof secret".to_owned()),
        Some("etc/ca.pem") => Ok("-----BEGIN CERTIFICATE-----\n".to_owned()),
        Some("etc/tls.key") => Ok("-----BEGIN PRIVATE KEY-----\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    }
}

fn good(text: &str) -> Config {
    read(text, ENVIRONMENT).unwrap_or_else(|problems| panic!("{problems}"))
}

fn bearer(config: &Config, id: &str) -> String {
    let upstream = config.upstreams.iter().find(|upstream| &*upstream.id == id).expect(id);
    match &upstream.credential {
        Credential::Bearer(secret) => secret.expose().to_owned(),
        other => panic!("{id}: {other:?}"),
    }
}

#[test]
fn the_example_means_what_it_says() {
    let config = good(EXAMPLE);
    assert_eq!(config.server.listen, ["127.0.0.1:8080".parse().expect("an address")]);
    assert_eq!(config.server.cores, Cores::Count(2));
    assert_eq!((config.upstreams.len(), config.models.len(), config.keys.len()), (1, 1, 1));
    let upstream = &config.upstreams[0];
    assert_eq!((upstream.url.tls, &*upstream.url.host, &*upstream.url.path), (true, "api.openai.com", "/v1"));
    assert_eq!(bearer(&config, "openai"), "sk-openai");
    assert!(upstream.passthrough);
    assert_eq!(upstream.deadlines, Deadlines::default());
    let endpoint = &config.models[0].endpoints[0];
    assert_eq!((&*endpoint.provider, &*endpoint.name), ("openai", "gpt-5.5"));
    let price = endpoint.facts.prices.as_ref().expect("a price is given").base;
    let pico = |amount| Some(PicoDollars(amount));
    assert_eq!((price.prompt, price.completion), (pico(5_000_000), pico(30_000_000)));
    assert_eq!(config.keys[0].sha256[..3], [0x2c, 0xf2, 0x4d]);
    assert!(!format!("{config:?}").contains("sk-openai"));
}

/// Every key with a value that is not its default.
const EVERYTHING: &str = r#"
[server]
listen = "[::1]:9000"
cores = "all"
driver = "epoll"
drain_timeout = "0s"
passthrough = false
[tls]
cert = "ca.pem"
key = "tls.key"
[limits]
body_bytes = "2MiB"
bodies_bytes_per_core = 1_073_741_824
connections_per_core = 10
idle_per_upstream = 0
[deadlines]
connect = "500ms"
total = "2h"
first_event = "3m"
[waiting]
comment = "PLEASE WAIT"
delay = "off"
[retry]
ambiguous_failover = false
attempts = 3
[[provider]]
id = "azure-eu"
base_url = "https://me.openai.azure.com/openai/v1/"
api_key = "file:key.txt"
auth = { header = "API-Key" }
ca_file = "ca.pem"
stream_usage = "always"
passthrough = true
deadlines = { connect = "1s", idle = "5s" }
[[provider]]
id = "gpu"
base_url = "http://10.0.0.7:8000/v1"
auth = "none"
[[provider]]
id = "groq"
enabled = false
[[model]]
id = "a/b"
endpoint = [{ provider = "groq", name = "x" }, { provider = "gpu", name = "y" }]
[[model]]
id = "only/groq"
endpoint = [{ provider = "groq", name = "x" }]
"#;

#[test]
fn every_key_can_be_written() {
    let config = good(EVERYTHING);
    assert_eq!((config.server.cores, config.server.driver), (Cores::All, Driver::Epoll));
    assert_eq!(config.server.drain_timeout, Duration::ZERO);
    let tls = config.tls.expect("both files are given");
    assert_eq!((tls.cert.as_path(), tls.key.as_path()), (Path::new("etc/ca.pem"), Path::new("etc/tls.key")));
    assert_eq!(
        config.limits,
        Limits {
            body_bytes: 2 << 20,
            bodies_bytes_per_core: 1 << 30,
            connections_per_core: 10,
            idle_per_upstream: 0,
            attempts: 3,
        }
    );
    assert_eq!((&*config.waiting.comment, config.waiting.delay), ("PLEASE WAIT", None));
    assert!(!config.retry.ambiguous_failover);
    let general = Deadlines {
        connect: Duration::from_millis(500),
        total: Duration::from_secs(7200),
        first_event: Duration::from_secs(180),
        ..Deadlines::default()
    };
    assert_eq!(config.deadlines, general);
}

#[test]
fn every_key_of_a_provider_can_be_written() {
    let config = good(EVERYTHING);
    let [azure, gpu, openai] = &config.upstreams[..] else { panic!("{:?}", config.upstreams) };
    let Credential::Header { name, value } = &azure.credential else { panic!("{azure:?}") };
    assert_eq!((&**name, value.expose()), ("api-key", "sk-from-file"));
    assert_eq!(azure.ca_file.as_deref(), Some(Path::new("etc/ca.pem")));
    assert_eq!((azure.stream_usage, azure.passthrough), (StreamUsage::Always, true));
    let own = Deadlines {
        connect: Duration::from_secs(1),
        idle: Duration::from_secs(5),
        ..config.deadlines.clone()
    };
    assert_eq!((&azure.deadlines, &gpu.deadlines), (&own, &config.deadlines));
    assert!(matches!(gpu.credential, Credential::None) && !gpu.passthrough);
    assert_eq!((&*openai.id, openai.passthrough), ("openai", false));
    // The endpoint at the provider that is switched off is left out, and the model that has no other too.
    let [model] = &config.models[..] else { panic!("{:?}", config.models) };
    assert_eq!((&*model.id, model.endpoints.len(), &*model.endpoints[0].provider), ("a/b", 1, "gpu"));
}

#[test]
fn the_environment_activates_shipped_providers() {
    let active = |text: &str, environment: &[(&str, &str)]| -> Vec<String> {
        let config = read(text, environment).unwrap_or_else(|problems| panic!("{problems}"));
        config.upstreams.iter().map(|upstream| format!("{} {}", upstream.id, upstream.url.host)).collect()
    };
    assert!(active("", &[]).is_empty());
    assert!(active("", &[("OPENAI_API_KEY", ""), ("GROQ_API_KEY", " \n")]).is_empty());
    assert_eq!(
        active("", &[("GROQ_API_KEY", "a"), ("OPENAI_API_KEY", "b"), ("VLLM_BASE_URL", "http://gpu:1/v1")]),
        ["openai api.openai.com", "groq api.groq.com", "vllm gpu"]
    );
    let both = [("GROQ_API_KEY", "a"), ("OPENAI_API_KEY", "b")];
    assert_eq!(active("[[provider]]\nid = \"groq\"\nenabled = false\n", &both), ["openai api.openai.com"]);
    let local = "[[provider]]\nid = \"ollama\"\n";
    assert_eq!(active(local, &[]), ["ollama 127.0.0.1"]);
    assert_eq!(active(local, &[("OLLAMA_BASE_URL", "http://box:11434/v1")]), ["ollama box"]);
    let mistral = read("", &[("MISTRAL_API_KEY", " k\n")]).expect("a key is enough");
    assert_eq!(mistral.upstreams[0].stream_usage, StreamUsage::Always);
    assert_eq!(bearer(&mistral, "mistral"), "k");
    let local = read("[[provider]]\nid = \"vllm\"\napi_key = \"token\"\n", &[]).expect("a key may be given");
    assert_eq!(bearer(&local, "vllm"), "token");
}

#[test]
fn a_bad_environment_is_named_without_its_value() {
    let shown =
        |environment: &[(&str, &str)]| read("", environment).map(|_| ()).expect_err("bad").to_string();
    let message = shown(&[("OPENAI_API_KEY", "sk two")]);
    assert!(message.starts_with("environment: OPENAI_API_KEY: ") && !message.contains("two"), "{message}");
    let message = shown(&[("OLLAMA_BASE_URL", "localhost:11434")]);
    assert_eq!(
        message,
        "environment: OLLAMA_BASE_URL: neither http:// nor https:// nor unix:; \
         expected an http:// or https:// URL such as \"https://api.openai.com/v1\", \
         or a unix socket such as \"unix:/run/vllm.sock:/v1\""
    );
}

/// The example of the reference is one, and the tables of the lower floors are described whole.
#[test]
fn the_reference_tells_the_truth() {
    let page = reference();
    let example = page.split("```").nth(1).and_then(|block| block.strip_prefix("toml")).expect("an example");
    let config = good(example);
    assert_eq!((config.upstreams.len(), config.models.len(), config.keys.len()), (2, 1, 1));
    let keys = |debug: String| -> Vec<String> {
        let fields = debug.split(": ").filter_map(|part| part.rsplit([' ', '{']).next().map(str::to_owned));
        fields
            .filter(|field| !field.is_empty() && field.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
            .collect()
    };
    let all =
        [keys(format!("{:?}", Limits::default())), keys(format!("{:?}", Deadlines::default()))].concat();
    assert_eq!(all.len(), 16, "{all:?}");
    for key in all {
        assert!(page.contains(&format!("\n| `{key}` | ")), "{key} cannot be configured");
    }
}

#[test]
fn without_a_file_defaults_apply() {
    let sources = Sources { environment: &|_| None, read_file: &files };
    let config = load(None, Overrides::default(), sources).expect("defaults are right");
    assert_eq!(config.server.listen, ["127.0.0.1:8080".parse().expect("an address")]);
    assert_eq!((config.limits, config.deadlines), (Limits::default(), Deadlines::default()));
    assert_eq!(config.waiting.delay, Some(Duration::from_secs(10)));
    assert_eq!(&*config.waiting.comment, "MILLRACE PROCESSING");
}

#[test]
fn exposure_is_decided_by_address_and_keys() {
    let exposure = |server: &str, keys: bool, overrides: Overrides| {
        let key = "[[key]]\nname = \"a\"\nsha256 = \
                   \"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\"\n";
        let text = format!("[server]\n{server}\n{}", if keys { key } else { "" });
        let config = read_with(&text, ENVIRONMENT, overrides);
        check_exposure(&config.unwrap_or_else(|problems| panic!("{problems}")))
    };
    let none = Overrides::default;
    let loopback = ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "[::ffff:127.0.0.1]:80"];
    let public = ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "[::ffff:10.0.0.1]:80"];
    for address in loopback {
        let listen = format!("listen = \"{address}\"");
        assert_eq!(exposure(&listen, false, none()), Ok(Exposure::Local), "{address}");
        assert_eq!(exposure(&listen, true, none()), Ok(Exposure::Keys), "{address}");
    }
    for listen in [
        "listen = \"unix:/run/m.sock\"",
        "listen = \"unix:@m\"\nauth = \"none\"",
        "listen = [\"[::1]:80\", \"unix:@m\"]",
    ] {
        assert_eq!(exposure(listen, false, none()), Ok(Exposure::Local), "{listen}");
        assert_eq!(exposure(&listen.replace("\nauth = \"none\"", ""), true, none()), Ok(Exposure::Keys));
    }
    let listen = "listen = [\"unix:@m\", \"10.0.0.1:80\"]";
    let problem = exposure(listen, false, none()).expect_err(listen).to_string();
    assert!(problem.contains("server.listen = \"10.0.0.1:80\": not loopback"), "{problem}");
    for address in public {
        let listen = format!("listen = \"{address}\"");
        let problem = exposure(&listen, false, none()).expect_err(address);
        assert_eq!(problem.position, Some(Position { line: 2, column: 10 }));
        assert_eq!(exposure(&listen, true, none()), Ok(Exposure::Keys), "{address}");
        let open = exposure(&format!("{listen}\nauth = \"none\""), false, none());
        assert_eq!(open, Ok(Exposure::Open(address.parse().expect(address))));
    }
    let listen = vec!["0.0.0.0:80".parse().expect("an address")];
    let problem = exposure("", false, Overrides { listen, ..none() }).expect_err("public");
    assert!(
        problem.to_string().starts_with("command line: server.listen = \"0.0.0.0:80\": not loopback"),
        "{problem}"
    );
    assert_eq!(Exposure::Local.notice().as_deref(), Some("no keys configured: serving this machine only"));
    assert_eq!(Exposure::Keys.notice(), None);
    assert_eq!((Exposure::Keys.auth_mode(), Exposure::Local.auth_mode()), (AuthMode::Keys, AuthMode::Open));
}

/// Both directions over unix sockets, and an address of the command line that the file's other keys do not
/// fit.
#[test]
fn unix_sockets_can_be_configured() {
    let text = r#"
[server]
listen = ["unix:/run/m.sock", "unix:@m", "[::1]:80"]
listen_mode = "600"
[[provider]]
id = "vllm"
base_url = "unix:/run/vllm.sock:/v1"
[[provider]]
id = "mine"
base_url = "unix:@mine"
auth = "none"
"#;
    let config = good(text);
    let listen: Vec<String> = config.server.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["unix:/run/m.sock", "unix:@m", "[::1]:80"]);
    assert_eq!(config.server.listen_mode, Some(0o600));
    let shown = |upstream: &Upstream| {
        let unix = upstream.url.unix.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{} {unix} {} {}", upstream.id, upstream.url.path, upstream.url.authority())
    };
    let shown: Vec<String> = config.upstreams.iter().take(2).map(shown).collect();
    assert_eq!(shown, ["vllm unix:/run/vllm.sock /v1 localhost", "mine unix:@mine  localhost"]);
    let only_a_file = text.replace(", \"unix:@m\", \"[::1]:80\"]", "]");
    let listen = vec!["127.0.0.1:1".parse().expect("an address")];
    let overrides = Overrides { listen: listen.clone(), ..Overrides::default() };
    let config = read_with(&only_a_file, &[], overrides).expect("the mode of the file is no mistake");
    assert_eq!(config.server.listen, listen);
    // The environment may name one too.
    let local = read("", &[("VLLM_BASE_URL", "unix:@vllm:/v1")]).expect("a socket is a URL here");
    assert_eq!(&*local.upstreams[0].url.host, "unix:@vllm");
}

mod problems;
