//! Every `.case` file on real sockets: the scenarios that prove the state machine in the simulator,
//! performed by real clients and origins around the real binary. Expectations are judged by the same code,
//! apart from `record`, `settle` and `admit` lines: what is written down is not seen on a wire.
//!
//! Each case has a process of its own, because deadlines, limits and drains are a process' own; several run
//! at once. Times of a case are multiplied by [`FACTOR`].

mod client;
mod origin;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use millrace::base::limits::{Deadlines, Limits};
use millrace::exchange::sim::case::{self, Case, ClientStep, Config, OriginStep, ProcessStep};
use millrace::exchange::sim::report::ClientReport;
use millrace::exchange::sim::{CLIENT_KEY, Report, verify};
use millrace::policy::catalog::LedgerTerms;
use millrace::policy::hedge::{Terms, When};

use crate::harness::{Proxy, digest, each_driver, until};
use origin::{Provider, Shared};

/// How much slower than in its file a case runs: the least that makes its waiting comments possible, and
/// enough for a busy machine.
pub(super) const FACTOR: u32 = 5;
/// Processes at once.
const AT_ONCE: usize = 4;
/// The smallest body limit a configuration may set, in bytes.
const BODY_LEAST: usize = 1024;

#[test]
fn every_case_comes_out_the_same_on_real_sockets() {
    let files = case_files();
    assert!(!files.is_empty(), "no cases");
    each_driver(|driver| {
        let (next, wrong, skipped) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                        let text = std::fs::read_to_string(path).expect("a case can be read");
                        let case = Case::parse(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
                        if let Some(why) = out_of_reach(&case) {
                            skipped.fetch_add(1, Ordering::Relaxed);
                            println!("{driver}: {name} is for the simulator only: {why}");
                        } else if let Err(why) = run(driver, case) {
                            wrong.lock().expect("nobody panics with it").push(format!("--- {name}: {why}"));
                        }
                    }
                });
            }
        });
        let wrong = wrong.into_inner().expect("nobody panics with it");
        let skipped = skipped.into_inner();
        println!("{driver}: {} cases ran, {skipped} were skipped", files.len() - skipped);
        assert!(skipped * 5 < files.len().max(5), "most cases must run: {skipped} skipped");
        assert!(
            wrong.is_empty(),
            "{driver}: {} cases come out differently\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    });
}

/// All cases, or those whose name contains `MILLRACE_CASE`.
fn case_files() -> Vec<PathBuf> {
    let wanted = std::env::var("MILLRACE_CASE").unwrap_or_default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = std::fs::read_dir(folder).expect("the folder of cases").filter_map(Result::ok);
    let is_case = |path: &PathBuf| {
        path.extension().is_some_and(|end| end == "case") && path.to_string_lossy().contains(&wanted)
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_case).collect();
    files.sort();
    files
}

/// Why a case cannot be performed outside the simulator.
fn out_of_reach(case: &Case) -> Option<&'static str> {
    let config = &case.config;
    if config.control.is_some() {
        return Some("the control plane of a process is its own");
    }
    if config.limits.body_bytes < BODY_LEAST || config.limits.bodies_bytes_per_core < BODY_LEAST {
        return Some("a limit below what a configuration may set");
    }
    let has_ledger = |one: &case::Provider| one.drains || one.price.is_some();
    if config.ledger != LedgerTerms::default()
        || config.journal_room.is_some()
        || config.providers.iter().any(has_ledger)
    {
        return Some("what is written down is not seen on a wire");
    }
    let deaf_client = case.clients.iter().flatten().any(|step| *step == ClientStep::StopReading);
    let deaf_origin =
        case.origins.iter().flat_map(|origin| &origin.steps).any(|step| *step == OriginStep::AwaitHead);
    if deaf_client || deaf_origin {
        return Some("how much the kernel takes for somebody who does not read is not the router's choice");
    }
    let mixed = (0..config.providers.len()).any(|provider| {
        let sections = case.origins.iter().filter(|origin| origin.provider == provider);
        let dials: Vec<bool> = sections.map(|origin| is_dial(&origin.steps)).collect();
        dials.contains(&true) && dials.contains(&false)
    });
    mixed.then_some("a provider that refuses some connections and takes others")
}

/// The section says how a dial ends.
fn is_dial(steps: &[OriginStep]) -> bool {
    matches!(
        steps.first(),
        Some(OriginStep::Refuse | OriginStep::Blackhole | OriginStep::Unresolved | OriginStep::TlsFailure)
    )
}

/// Performs a case and compares.
fn run(driver: &str, mut case: Case) -> Result<(), String> {
    case.expect.retain(|expect| !["record", "settle", "admit"].contains(&&*expect.word));
    let shared = Arc::new(Shared::default());
    let providers: Vec<Provider> =
        (0..case.config.providers.len()).map(|index| Provider::start(&case, index, &shared)).collect();
    let proxy = Proxy::start(driver, &configuration(&case.config, &providers));
    let clients: Vec<ClientReport> = thread::scope(|scope| {
        let performing: Vec<_> = (0..case.clients.len())
            .map(|index| {
                let (case, address) = (&case, proxy.address);
                scope.spawn(move || client::perform(case, index, address))
            })
            .collect();
        for step in &case.process {
            disturb(&proxy, step);
        }
        performing.into_iter().map(|client| client.join().expect("a client's script ends")).collect()
    });
    let ended = case.process.contains(&ProcessStep::Drain) || case.process.contains(&ProcessStep::Stop);
    if !ended {
        assert_eq!(proxy.metric_with("millrace_panics_total", case.config.keys.then_some(CLIENT_KEY)), 0);
    }
    // Origins see their connections end, and what they have read is complete.
    drop(proxy);
    shared.finish();
    let (attempts, unscripted) = shared.report();
    verify(
        &case,
        &Report { clients, attempts, bodies_bytes: 0, unscripted, admits: Vec::new(), settles: Vec::new() },
    )
}

/// Does to the process what a case says.
fn disturb(proxy: &Proxy, step: &ProcessStep) {
    let is_draining = || proxy.printed().contains("draining");
    match step {
        ProcessStep::Wait(time) => pause(*time),
        ProcessStep::Drain => proxy.signal("TERM"),
        ProcessStep::Stop => {
            if !is_draining() {
                proxy.signal("TERM");
            }
            until("the first signal is taken", is_draining);
            proxy.signal("TERM");
        }
    }
}

/// Waits as long as a case says.
pub(super) fn pause(time: Duration) {
    // paced: the case says so.
    thread::sleep(time * FACTOR);
}

/// The rules for second candidates.
fn hedging(terms: &Terms, text: &mut String) {
    if let When::After(delay) = terms.when {
        text.push_str(&format!("[hedge]\nafter = \"{}ms\"\n", (delay * FACTOR).as_millis()));
    } else if terms.in_use {
        text.push_str("[hedge]\n");
    }
    if terms.in_use {
        let Terms { requests_percent, cost_percent, per_request, .. } = terms;
        text.push_str(&format!("requests_percent = {requests_percent}\ncost_percent = {cost_percent}\n"));
        text.push_str(&format!("per_request = {per_request}\n"));
    }
}

/// A case's configuration as a file.
fn configuration(config: &Config, providers: &[Provider]) -> String {
    let mut text = String::from("[server]\npassthrough = false\n[deadlines]\n");
    let (set, usual) = (&config.deadlines, Deadlines::default());
    for (name, value, usual) in [
        ("connect", set.connect, usual.connect),
        ("response_head", set.response_head, usual.response_head),
        ("first_event", set.first_event, usual.first_event),
        ("answer", set.answer, usual.answer),
        ("idle", set.idle, usual.idle),
        ("total", set.total, usual.total),
        ("client_head", set.client_head, usual.client_head),
        ("client_body", set.client_body, usual.client_body),
        ("client_send", set.client_send, usual.client_send),
        ("client_idle", set.client_idle, usual.client_idle),
    ] {
        if value != usual {
            text.push_str(&format!("{name} = \"{}ms\"\n", (value * FACTOR).as_millis()));
        }
    }
    let (set, usual) = (&config.limits, Limits::default());
    if set.body_bytes != usual.body_bytes {
        text.push_str(&format!("[limits]\nbody_bytes = {}\n", set.body_bytes));
    }
    let delay =
        config.waiting.map_or("off".to_owned(), |delay| format!("{}ms", (delay * FACTOR).as_millis()));
    text.push_str(&format!("[waiting]\ncomment = \"waiting\"\ndelay = \"{delay}\"\n"));
    let (ambiguous, attempts) = (config.ambiguous, set.attempts);
    text.push_str(&format!("[retry]\nambiguous_failover = {ambiguous}\nattempts = {attempts}\n"));
    hedging(&config.hedging, &mut text);
    if config.keys {
        let (digest, debug) = (digest(CLIENT_KEY), config.debug);
        text.push_str(&format!("[[key]]\nname = \"client\"\nsha256 = \"{digest}\"\ndebug = {debug}\n"));
    }
    let sticky_ttl = (config.sticky_ttl * FACTOR).as_millis();
    for (provider, started) in config.providers.iter().zip(providers) {
        let (name, url) = (&provider.name, started.base_url());
        let usage = if provider.usage_always { "always" } else { "ask" };
        text.push_str(&format!(
            "[[provider]]\nid = \"{name}\"\nbase_url = \"{url}\"\napi_key = \"sk-origin-{name}\"\n\
             stream_usage = \"{usage}\"\npassthrough = {}\nsticky_ttl = \"{sticky_ttl}ms\"\n",
            provider.passthrough
        ));
    }
    for (model, endpoints) in &config.models {
        text.push_str(&format!("[[model]]\nid = \"{model}\"\n"));
        if endpoints.iter().any(|(provider, _)| config.providers[*provider].cached) {
            text.push_str("strategy = \"order\"\n");
        }
        for (provider, name) in endpoints {
            let one = &config.providers[*provider];
            let provider = &one.name;
            text.push_str(&format!("[[model.endpoint]]\nprovider = \"{provider}\"\nname = \"{name}\"\n"));
            if one.cached {
                text.push_str("price = { prompt = \"1\", completion = \"5\", cache_read = \"0.1\" }\n");
            }
        }
    }
    if let Some((default, ..)) = config.auto.get(1).or(config.auto.first()) {
        text.push_str(&format!("[auto]\ndefault_tier = \"{default}\"\n"));
    }
    for (name, least, models) in &config.auto {
        text.push_str(&format!(
            "[[auto.tier]]\nname = \"{name}\"\nfrom_score = {least}\nmodels = {models:?}\n"
        ));
    }
    text
}
