//! Decisions on the path of every request: whose key it is, and which endpoints are tried. And what is done
//! off that path: the catalogue read, and the snapshot of all of it built.

#[path = "support/cpu_time.rs"]
mod cpu_time;
#[path = "support/world.rs"]
mod world;

use std::hint::black_box;
use std::time::Duration;

use cpu_time::CpuTime;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace::base::ids::KeyId;
use millrace::control::catalog::Catalogue;
use millrace::control::config::{self, Overrides, Sources};
use millrace::control::snapshot::{self, Extras, Interner};
use millrace::policy::auth::{self, Denied, Tenant};
use millrace::policy::catalog::Snapshot;
use millrace::policy::route;
use world::{Size, key_text, model_name, snapshot};

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

fn planned(snapshot: &Snapshot, names: &[&str]) -> usize {
    let plan = route::plan(snapshot, Tenant { key: None }, black_box(names).iter().copied());
    black_box(plan).map_or(0, |plan| {
        // What nearly every request needs of it.
        black_box(plan.get(snapshot, 0));
        plan.count()
    })
}

fn plans(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("policy/plan");
    group.throughput(Throughput::Elements(1));
    let names: Vec<String> = (0..MODELS).map(model_name).collect();
    for endpoints in [1, 4, 16] {
        let snapshot = snapshot(Size { models: MODELS, endpoints_per_model: endpoints, keys: 1 });
        group.bench_function(BenchmarkId::new("endpoints", endpoints), |bencher| {
            let mut turn = 0;
            bencher.iter(|| {
                let name = &names[scattered(&mut turn, MODELS) as usize];
                assert_eq!(planned(&snapshot, &[name]), endpoints as usize);
            });
        });
    }
    let snapshot = snapshot(Size { models: MODELS, endpoints_per_model: 4, keys: 1 });
    group.bench_function("8 models of 4 endpoints", |bencher| {
        let mut turn = 0;
        bencher.iter(|| {
            let wanted: [&str; 8] = std::array::from_fn(|_| &*names[scattered(&mut turn, MODELS) as usize]);
            assert_eq!(planned(&snapshot, &wanted), 16);
        });
    });
    group.bench_function("an unknown model", |bencher| {
        bencher.iter(|| assert_eq!(planned(&snapshot, &["nobody/nothing"]), 0));
    });
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

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = keys, plans, catalogue
}
criterion_main!(benches);
