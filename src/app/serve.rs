//! `millrace serve`: starts the control plane, then the workers, tells where it listens, and stops in order.
//!
//! ```text
//!  config ─► limits ─► driver ─► simulator, control API, DNS ─► listeners ─► workers ─► "listening on …"
//!  SIGTERM/SIGINT ─► drain (answers in progress end, up to drain_timeout) ─► stop; a second signal stops at
//! once ```
//! Deliberately absent: what a worker does.

use core::net::SocketAddr;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::cli::{EXIT_CONFIG, EXIT_IO, ServeOptions};
use super::journal::{self, Journals, Syncing};
use super::ledger;
use super::listen::{self, Listeners};
use super::upstream_tls;
use crate::base::address::Address;
use crate::base::metrics::Counters;
use crate::control::catalog;
use crate::control::config::{Config, Cores, Driver as WantedDriver, Exposure, ModelEntry, TlsFiles};
use crate::control::dns::{self, Names};
use crate::control::ledger::Ledger;
use crate::control::probe::Prober;
use crate::control::sim::{self, Simulator};
use crate::control::snapshot::{Extras, Internal, Interner, build};
use crate::control::{api, vocabularies, watch};
use crate::io::tls::ServerTls;
use crate::io::{
    Driver, DriverChoice, MailboxHalf, Message, Post, SocketFile, clock, mailbox, probe, process,
};
use crate::policy::catalog::{Credential, Snapshot};
use crate::policy::count::Vocabularies;
use crate::policy::health::board::Board;
use crate::policy::sticky::Memory;
use crate::wire::journal::marks::Marks;
use crate::worker::{self, Shared};

/// How long the start waits for names to be resolved.
const DNS_PATIENCE: Duration = Duration::from_secs(2);
/// After a stop, how long workers may take to end.
const STOP_PATIENCE: Duration = Duration::from_secs(4);

/// Serves until told to stop.
pub(super) fn serve(options: &ServeOptions) -> ExitCode {
    let ansi = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(ansi).with_target(false).init();
    let (config, exposure) = match options.load() {
        Ok(loaded) => loaded,
        Err(problems) => {
            let _ = writeln!(io::stderr().lock(), "{problems}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match run(&config, exposure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "millrace: {error}");
            ExitCode::from(EXIT_IO)
        }
    }
}

fn run(config: &Config, exposure: Exposure) -> Result<(), String> {
    match process::raise_descriptor_limit() {
        Ok(limit) if limit < 65_536 => {
            warn!("only {limit} file descriptors allowed; raise the limit (ulimit -Hn)")
        }
        Ok(_) => {}
        Err(error) => warn!("the limit of file descriptors could not be raised: {error}"),
    }
    if let Err(error) = process::forbid_dumps() {
        warn!("core dumps could not be switched off: {error}");
    }
    if let Err(error) = process::use_small_pages() {
        warn!("huge pages could not be switched off: {error}");
    }
    let driver = choose_driver(config.server.driver)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| format!("the control plane's runtime could not be started: {error}"))?;
    let cores = match config.server.cores {
        Cores::All => process::cores_allowed(),
        Cores::Count(number) => number,
    };
    let folded = ledger::folded(config);
    let journals = journal::open(config, cores, |core| folded.get(&core).copied().unwrap_or_default())?;
    let kept = journals.as_ref().map(|journals| ledger::start(config, journals)).transpose()?;
    let (keeper, ledger) = kept.unzip();
    let marks = journals.as_ref().map(|journals| journals.marks.clone()).unwrap_or_default();
    let control = runtime.block_on(start_control(config, exposure, cores, (ledger, marks)))?;
    let client_tls = config.tls.as_ref().map(|files| load_client_tls(files, &runtime)).transpose()?;
    let listeners = listen::open(&config.server.listen, config.server.listen_mode, cores)?;
    let (workers, syncing) = start_workers(listeners, driver, &control, client_tls, (journals, config))?;
    // Before anybody is told that it serves: who waits for that may send a signal at once.
    let signals = runtime.block_on(async { signals() })?;
    announce(config, exposure, driver, &workers)?;
    let ended = runtime.block_on(until_stopped(config.server.drain_timeout, workers, signals));
    // The last records go into the ledger while the directory is still ours.
    drop(keeper);
    if let Some(syncing) = syncing {
        syncing.end();
    }
    ended
}

fn choose_driver(wanted: WantedDriver) -> Result<Driver, String> {
    let choice = match wanted {
        WantedDriver::Auto => DriverChoice::Auto,
        WantedDriver::Uring => DriverChoice::Uring,
        WantedDriver::Monoio => DriverChoice::Monoio,
        WantedDriver::Epoll => DriverChoice::Epoll,
    };
    let driver = probe(choice)?;
    if choice == DriverChoice::Auto && driver == Driver::Epoll {
        warn!("io_uring is not available here (containers often forbid it): using epoll");
    }
    Ok(driver)
}

/// What the control plane shares with the workers, and what must stay alive while they run.
struct Control {
    snapshot: Arc<ArcSwap<Snapshot>>,
    upstream_tls: Arc<ArcSwap<worker::UpstreamTls>>,
    counters: Vec<Arc<Counters>>,
    health: Arc<Board>,
    sticky: Option<Arc<Memory>>,
    vocabularies: Arc<Vocabularies>,
    _simulator: Simulator,
    _api: api::Api,
}

async fn start_control(
    config: &Config,
    exposure: Exposure,
    cores: usize,
    (ledger, journals): (Option<Ledger>, Vec<Arc<Marks>>),
) -> Result<Control, String> {
    let failed = |what: &'static str| move |error: io::Error| format!("{what} could not be started: {error}");
    let simulator = Simulator::start().await.map_err(failed("the simulator"))?;
    let addresses = simulator.addresses();
    let internals = simulator_providers(|listener| addresses.of(listener), config);
    let models = simulator_models();
    let mut interner = Interner::default();
    let catalogue = catalog::shipped().map_err(|problems| problems.to_string())?;
    let extras =
        Extras { internals: &internals, models: &models, catalogue: Some(catalogue), ..Extras::default() };
    let counters: Vec<Arc<Counters>> = (0..cores).map(|_| Arc::default()).collect();
    let health = Arc::new(Board::new(cores));
    let built = build(config, exposure, extras, &mut interner);
    let snapshot = Arc::new(ArcSwap::from_pointee(built.snapshot));
    let complete = build(config, exposure, Extras { unreachable: true, ..extras }, &mut Interner::default());
    let state = api::ApiState {
        snapshot: Arc::clone(&snapshot),
        complete: Arc::new(complete.snapshot),
        counters: counters.clone(),
        health: Arc::clone(&health),
        sim: Some(Arc::clone(&simulator.seen)),
        started: clock::unix_seconds(),
        ledger,
        journals,
        now: clock::unix_seconds,
    };
    let api = api::start(state).await.map_err(failed("the control API"))?;
    let control = control_provider(&api, config);
    let built = build(config, exposure, Extras { control: Some(&control), ..extras }, &mut interner);
    let (targets, problems) = upstream_tls::build(&built.snapshot, &built.trust);
    for problem in problems {
        warn!("{problem}");
    }
    snapshot.store(Arc::new(built.snapshot));
    let mut names = Names::new(Arc::clone(&snapshot), dns::SystemLookup::default());
    for name in names.resolve_now(DNS_PATIENCE).await {
        warn!("{name} has no address yet; requests to it fail over until it has");
    }
    tokio::spawn(names.run());
    let prober = Prober {
        targets: Arc::new(ArcSwap::from_pointee(built.probes)),
        snapshot: Arc::clone(&snapshot),
        board: Arc::clone(&health),
        now: clock::now,
    };
    tokio::spawn(prober.run());
    let upstream_tls = Arc::new(ArcSwap::from_pointee(targets));
    let sticky = memory_of_conversations(config.sticky.entries)?;
    let vocabularies: Arc<Vocabularies> = Arc::default();
    tokio::spawn(vocabularies::load_wanted(Arc::clone(&vocabularies)));
    Ok(Control {
        snapshot,
        upstream_tls,
        counters,
        health,
        sticky,
        vocabularies,
        _simulator: simulator,
        _api: api,
    })
}

/// The control API as a provider: paths that are no inference go there.
fn control_provider(api: &api::Api, config: &Config) -> Internal {
    Internal {
        id: "control".into(),
        address: api.address,
        base_path: "".into(),
        credential: Credential::Header { name: api::TOKEN_FIELD.into(), value: api.token.clone() },
        passthrough: false,
        deadlines: config.deadlines.clone(),
    }
}

/// Where conversations were answered last, under a key that only this process knows.
fn memory_of_conversations(entries: usize) -> Result<Option<Arc<Memory>>, String> {
    let mut seed = [[0; 8]; 2];
    getrandom::fill(seed.as_flattened_mut())
        .map_err(|error| format!("no random bytes from the kernel: {error}"))?;
    Ok((entries > 0).then(|| Arc::new(Memory::new(entries, seed.map(u64::from_ne_bytes)))))
}

/// The simulator's listeners as providers.
pub(super) fn simulator_providers(
    address: impl Fn(sim::Listener) -> SocketAddr,
    config: &Config,
) -> Vec<Internal> {
    sim::Listener::ALL
        .into_iter()
        .map(|listener| Internal {
            id: listener.provider_id().into(),
            address: address(listener),
            base_path: sim::BASE_PATH.into(),
            credential: Credential::None,
            passthrough: false,
            deadlines: listener.deadlines(&config.deadlines),
        })
        .collect()
}

/// The simulator's models.
pub(super) fn simulator_models() -> Vec<ModelEntry> {
    sim::models()
        .iter()
        .map(sim::SimulatedModel::entry)
        .chain([sim::routed::model(), sim::routed::cached()])
        .collect()
}

/// Reads the certificate for clients and keeps it fresh.
fn load_client_tls(files: &TlsFiles, runtime: &Runtime) -> Result<Arc<ServerTls>, String> {
    let read = |files: &TlsFiles| -> Result<(Vec<u8>, Vec<u8>), String> {
        let file = |path: &std::path::Path| {
            std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
        };
        Ok((file(&files.cert)?, file(&files.key)?))
    };
    let paths = vec![files.cert.clone(), files.key.clone()];
    let known = watch::stamps(&paths);
    let (cert, key) = read(files)?;
    let tls = Arc::new(ServerTls::new(&cert, &key)?);
    let (files, fresh) = (files.clone(), Arc::clone(&tls));
    runtime.spawn(watch::watch(paths, known, move || {
        match read(&files).and_then(|(cert, key)| fresh.replace(&cert, &key)) {
            Ok(()) => info!("the certificate for clients was replaced"),
            Err(error) => warn!("the certificate for clients was not replaced: {error}"),
        }
    }));
    Ok(tls)
}

/// The running workers.
struct Workers {
    addresses: Vec<Address>,
    /// Files of unix sockets.
    files: Vec<SocketFile>,
    tls: bool,
    posts: Vec<Post>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

fn start_workers(
    listeners: Listeners,
    driver: Driver,
    control: &Control,
    client_tls: Option<Arc<ServerTls>>,
    (journals, config): (Option<Journals>, &Config),
) -> Result<(Workers, Option<Syncing>), String> {
    let Listeners { addresses, per_core, files } = listeners;
    let boxes: io::Result<Vec<(Post, MailboxHalf)>> = per_core.iter().map(|_| mailbox()).collect();
    let (posts, halves): (Vec<Post>, Vec<MailboxHalf>) =
        boxes.map_err(|error| format!("no mailboxes for the workers: {error}"))?.into_iter().unzip();
    let tls = client_tls.is_some();
    let shared = Arc::new(Shared {
        snapshot: Arc::clone(&control.snapshot),
        upstream_tls: Arc::clone(&control.upstream_tls),
        client_tls,
        counters: control.counters.clone(),
        health: Arc::clone(&control.health),
        sticky: control.sticky.clone(),
        vocabularies: Arc::clone(&control.vocabularies),
        posts: posts.clone(),
    });
    let journals = journals.map(|journals| journals.run(&config.ledger, &posts)).transpose()?;
    let (syncing, mut journals) =
        journals.map_or((None, Vec::new()), |(syncing, each)| (Some(syncing), each));
    journals.reverse();
    let mut threads = Vec::with_capacity(per_core.len());
    for (index, (listeners, mailbox)) in per_core.into_iter().zip(halves).enumerate() {
        let mut seed = [[0; 8]; 3];
        getrandom::fill(seed.as_flattened_mut())
            .map_err(|error| format!("no random bytes from the kernel: {error}"))?;
        let shared = Arc::clone(&shared);
        let options = worker::Options {
            index,
            cpu: index,
            driver,
            listeners,
            mailbox,
            seed: seed.map(u64::from_ne_bytes),
            journal: journals.pop(),
            shared,
        };
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || worker::run(options))
            .map_err(|error| format!("worker {index} could not be started: {error}"))?;
        threads.push(thread);
    }
    Ok((Workers { addresses, files, tls, posts, threads }, syncing))
}

/// Tells the operator, on standard output, where clients connect.
fn announce(config: &Config, exposure: Exposure, driver: Driver, workers: &Workers) -> Result<(), String> {
    let scheme = if workers.tls { "https://" } else { "http://" };
    let driver = match driver {
        Driver::Uring => "io_uring",
        Driver::Monoio => "io_uring through monoio",
        Driver::Epoll => "epoll",
    };
    let cores = workers.threads.len();
    let plural = if cores == 1 { "core" } else { "cores" };
    let mut out = io::stdout().lock();
    let mut say = || -> io::Result<()> {
        if let Some(notice) = exposure.notice() {
            writeln!(out, "{notice}")?;
        }
        let names: Vec<&str> = config.upstreams.iter().map(|upstream| &*upstream.id).collect();
        let names = if names.is_empty() {
            "sim only; set OPENAI_API_KEY or another key".to_owned()
        } else {
            names.join(", ")
        };
        writeln!(out, "providers: {names}")?;
        for address in &workers.addresses {
            // A unix socket is always plain, and its text names its kind already.
            let scheme = if address.inet().is_some() { scheme } else { "" };
            writeln!(out, "listening on {scheme}{address} (driver {driver}, {cores} {plural})")?;
        }
        out.flush()
    };
    say().map_err(|error| format!("cannot write to standard output: {error}"))
}

/// Waits for a signal (or for the workers to fail), then drains and stops.
/// Those that end it: SIGTERM and SIGINT.
fn signals() -> Result<(Signal, Signal), String> {
    let handler = |kind| signal(kind).map_err(|error| format!("no signal handler: {error}"));
    Ok((handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?))
}

async fn until_stopped(
    drain_timeout: Duration,
    workers: Workers,
    (mut terminate, mut interrupt): (Signal, Signal),
) -> Result<(), String> {
    let posts = workers.posts;
    let mut ended = tokio::task::spawn_blocking(|| join(workers.threads));
    tokio::select! {
        outcome = &mut ended => return flatten(outcome),
        () = next(&mut terminate, &mut interrupt) => {}
    }
    // While the sockets are still open, so that nobody finds a file that leads nowhere.
    drop(workers.files);
    info!("draining: answers in progress may take up to {drain_timeout:?}; a second signal ends them");
    tell(&posts, || Message::Drain);
    tokio::select! {
        outcome = &mut ended => return flatten(outcome),
        () = next(&mut terminate, &mut interrupt) => warn!("second signal: stopping now"),
        () = tokio::time::sleep(drain_timeout) => warn!("drain time is over: stopping now"),
    }
    tell(&posts, || Message::Stop);
    match tokio::time::timeout(STOP_PATIENCE, ended).await {
        Ok(outcome) => flatten(outcome),
        Err(_) => Err("a worker did not stop".to_owned()),
    }
}

fn tell(posts: &[Post], message: impl Fn() -> Message) {
    for (index, post) in posts.iter().enumerate() {
        if post.post(message()).is_err() {
            warn!("worker {index} did not take the message");
        }
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn join(threads: Vec<JoinHandle<io::Result<()>>>) -> Result<(), String> {
    for (index, thread) in threads.into_iter().enumerate() {
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("worker {index} ended: {error}")),
            Err(_) => return Err(format!("worker {index} panicked; this is a bug")),
        }
    }
    Ok(())
}

fn flatten(outcome: Result<Result<(), String>, tokio::task::JoinError>) -> Result<(), String> {
    outcome.unwrap_or_else(|error| Err(error.to_string()))
}
