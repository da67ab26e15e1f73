//! Decisions on the path of every request: whose key it is, and which endpoints are tried. And what is done
//! off that path: the catalogue read, and the snapshot of all of it built.

#[path = "support/auto.rs"]
mod auto;
#[path = "support/bytes.rs"]
mod bytes;
#[path = "support/contracts.rs"]
mod contracts;
#[path = "support/cpu_time.rs"]
mod cpu_time;
#[path = "support/health.rs"]
mod health;
#[path = "support/world.rs"]
mod world;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use contracts::{CONTRACTS, Contract, World};
use cpu_time::CpuTime;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace::base::ids::KeyId;
use millrace::control::catalog::Catalogue;
use millrace::control::config::{self, Overrides, Sources};
use millrace::control::snapshot::{self, Extras, Interner};
use millrace::policy::auth::{self, Denied, Tenant};
use millrace::policy::route::{self, Ask, Scene};
use millrace::wire::json::peek::peek;
use world::{Size, key_text, model_name, snapshot};

#[global_allocator]
static ALLOCATOR: bytes::Counting = bytes::Counting;

const MODELS: u32 = 1000;

/// Walks through a table in steps that no prefetcher guesses; every row comes once before any comes twice.
fn scattered(turn: &mut u32, rows: u32) -> u32 {
    *turn = (*turn + 617) % rows;
    *turn
}

fn keys(criterion: &mut Criterion<CpuTime>) {
    const KEYS: u32 = 10_000;
    let snapshot = snapshot(Size { models: 1, endpoints_per_model: 1, keys: KEYS });
    let texts: Vec<String> = (0..KEYS).map(key_text).collect();
    let mut group = criterion.benchmark_group("policy/auth");
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::new("known key of", KEYS), |bencher| {
        let mut turn = 0;
        bencher.iter(|| {
            let row = scattered(&mut turn, KEYS);
            let found = auth::tenant(&snapshot, Some(black_box(texts[row as usize].as_bytes())));
            assert_eq!(found, Ok(Tenant { key: Some(KeyId(row)) }));
        });
    });
    group.bench_function(BenchmarkId::new("unknown key beside", KEYS), |bencher| {
        bencher.iter(|| {
            let found = auth::tenant(&snapshot, Some(black_box(b"sk-mr-not-one-of-ours")));
            assert_eq!(found, Err(Denied::Unknown));
        });
    });
    group.finish();
}

fn planned(scene: &Scene<'_>, ask: &Ask<'_>, names: &[&str]) -> usize {
    let plan = route::plan(scene, Tenant { key: None }, black_box(ask), black_box(names).iter().copied());
    black_box(plan).map_or(0, |plan| {
        // What nearly every request needs of it.
        black_box(plan.get(scene.snapshot, 0));
        plan.count()
    })
}

/// Whole bodies, from their text to the plan's first candidate.
fn contracts(criterion: &mut Criterion<CpuTime>) {
    let world = World::new(MODELS);
    let mut group = criterion.benchmark_group("policy/contract, 50 endpoints");
    group.throughput(Throughput::Elements(1));
    // Of one model everything stays in the caches.
    let warm = Contract { name: "nothing asked, one warm model", ..CONTRACTS[0] };
    for (models, contract) in [(1, warm)].into_iter().chain(CONTRACTS.map(|contract| (MODELS, contract))) {
        let asking = world.asking(contract);
        group.bench_function(contract.name, |bencher| {
            let mut turn = 0;
            let mut random = 1_u64;
            bencher.iter(|| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                assert!(asking.decide(scattered(&mut turn, models) as usize, random) > 0);
            });
        });
    }
    group.finish();
}

fn plans(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("policy/plan");
    group.throughput(Throughput::Elements(1));
    let names: Vec<String> = (0..MODELS).map(model_name).collect();
    for endpoints in [1, 4, 16, 50] {
        let snapshot = snapshot(Size { models: MODELS, endpoints_per_model: endpoints, keys: 1 });
        group.bench_function(BenchmarkId::new("endpoints", endpoints), |bencher| {
            let mut turn = 0;
            bencher.iter(|| {
                let name = &names[scattered(&mut turn, MODELS) as usize];
                assert_eq!(
                    planned(&Scene::plain(&snapshot), &Ask::ANYTHING, &[name]),
                    endpoints.min(16) as usize
                );
            });
        });
    }
    let snapshot = snapshot(Size { models: MODELS, endpoints_per_model: 4, keys: 1 });
    group.bench_function("8 models of 4 endpoints", |bencher| {
        let mut turn = 0;
        bencher.iter(|| {
            let wanted: [&str; 8] = std::array::from_fn(|_| &*names[scattered(&mut turn, MODELS) as usize]);
            assert_eq!(planned(&Scene::plain(&snapshot), &Ask::ANYTHING, &wanted), 16);
        });
    });
    group.bench_function("an unknown model", |bencher| {
        bencher
            .iter(|| assert_eq!(planned(&Scene::plain(&snapshot), &Ask::ANYTHING, &["nobody/nothing"]), 0));
    });
    group.finish();
}

/// `millrace/auto`, from a body whose members are known to the models that are planned for.
fn automatic(criterion: &mut Criterion<CpuTime>) {
    let snapshot = auto::with_tiers(snapshot(Size { models: MODELS, endpoints_per_model: 8, keys: 1 }));
    let mut group = criterion.benchmark_group("policy/auto, 30 models of 8 endpoints");
    group.throughput(Throughput::Elements(1));
    // A prompt of 100 KB is a task for the strongest tier, which has nothing to fall back to.
    let models = |bytes: usize| if bytes < 10_000 { 6 } else { 4 };
    let bodies = auto::SIZES.map(|bytes| (format!("{bytes} B"), auto::body(bytes), models(bytes)));
    let agent = ("100000 B of an agent".to_owned(), auto::agent_body(100_000), 4);
    for (name, body, models) in bodies.into_iter().chain([agent]) {
        let peek = peek(body.as_bytes()).expect("a body");
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(auto::decide(&snapshot, &peek, body.as_bytes()), models));
        });
    }
    group.finish();
}

fn catalogue(criterion: &mut Criterion<CpuTime>) {
    const TEXT: &str = include_str!("../catalog/models.toml");
    let sources = Sources { environment: &|_| None, read_file: &|_| Ok(String::new()) };
    let config = config::load(None, Overrides::default(), sources).expect("the defaults are right");
    let exposure = config::check_exposure(&config).expect("the default is local");
    let read = || Catalogue::read("models.toml", black_box(TEXT)).expect("it is sound");
    let shipped = read();
    let extras = Extras { catalogue: Some(&shipped), unreachable: true, ..Extras::default() };
    let built = || snapshot::build(&config, exposure, black_box(extras), &mut Interner::default()).snapshot;
    assert_eq!(built().models.len(), shipped.models().len());
    let mut group = criterion.benchmark_group("control/catalogue");
    group.bench_function("read", |bencher| bencher.iter(read));
    group.bench_function("snapshot of all", |bencher| bencher.iter(built));
    group.finish();
}

fn health_tables(criterion: &mut Criterion<CpuTime>) {
    let world = Arc::new(snapshot(Size { models: 100, endpoints_per_model: 16, keys: 1 }));
    let mut core = health::Core::new(&world);
    let mut group = criterion.benchmark_group("policy/health");
    group.bench_function("record", |bencher| bencher.iter(|| assert_eq!(core.record(), 1)));
    group.bench_function("view", |bencher| bencher.iter(|| black_box(core.view())));
    group
        .bench_function("merge, 4 cores of 64 endpoints", |bencher| bencher.iter(|| black_box(core.merge())));
    let (_, _, most) = bytes::measured(|| (0..10_000).for_each(|_| assert_eq!(core.record(), 1)));
    assert_eq!(most, 0, "recording allocates nothing");
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = keys, plans, contracts, health_tables, automatic, catalogue
}
criterion_main!(benches);
