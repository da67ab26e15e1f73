//! The house rules as tables: floors, banned paths, banned calls, and where each crate may be named.

/// A floor, and the floors it may import from.
pub(crate) struct Floor {
    pub(crate) name: &'static str,
    pub(crate) below: &'static [&'static str],
    /// No socket, file, clock, thread, environment, log, lock or async.
    pub(crate) pure: bool,
}

const fn floor(name: &'static str, below: &'static [&'static str], pure: bool) -> Floor {
    Floor { name, below, pure }
}

/// Lowest first. `lib.rs` and `main.rs` stand outside the house and may name everything.
pub(crate) const FLOORS: &[Floor] = &[
    floor("base", &[], true),
    floor("wire", &["base"], true),
    floor("io", &["base", "wire"], false),
    floor("dialect", &["base", "wire"], true),
    floor("policy", &["base", "wire", "dialect"], true),
    floor("exchange", &["base", "wire", "dialect", "policy"], true),
    floor("worker", &["base", "wire", "io", "dialect", "policy", "exchange"], false),
    floor("control", &["base", "wire", "dialect", "policy"], false),
    floor("app", &["base", "wire", "io", "dialect", "policy", "exchange", "worker", "control"], false),
    floor(
        "fuzzing",
        &["base", "wire", "io", "dialect", "policy", "exchange", "worker", "control", "app"],
        false,
    ),
];

/// A path that a set of floors must not name, and what to do instead.
pub(crate) struct BannedPath {
    pub(crate) path: &'static [&'static str],
    pub(crate) remedy: &'static str,
}

const fn banned(path: &'static [&'static str], remedy: &'static str) -> BannedPath {
    BannedPath { path, remedy }
}

/// Not on a pure floor.
pub(crate) const IMPURE: &[BannedPath] = &[
    banned(&["std", "net"], "addresses are in core::net; sockets belong to io/ and worker/"),
    banned(&["std", "fs"], "the caller on a higher floor reads the file and passes its bytes"),
    banned(&["std", "os"], "descriptors belong to io/"),
    banned(&["std", "time", "Instant"], "take the time as an argument (base::time)"),
    banned(&["std", "time", "SystemTime"], "take the time as an argument (base::time)"),
    banned(&["std", "thread"], "threads are started by app/"),
    banned(&["std", "env"], "configuration arrives as an argument"),
    banned(&["std", "process"], "only app/ knows the process"),
    banned(&["std", "io", "stdin"], "only app/ reads the terminal"),
    banned(&["std", "io", "stdout"], "return the text; app/ prints it"),
    banned(&["std", "io", "stderr"], "return the text; app/ prints it"),
    banned(&["tokio"], "move the work to control/, or pass its result down"),
    banned(&["monoio"], "move the work to io/ or worker/, or pass its result down"),
    banned(&["tracing"], "bump a counter of base/metrics.rs; the data path does not log"),
    banned(&["log"], "bump a counter of base/metrics.rs; the data path does not log"),
    banned(&["rand"], "take the random number as an argument"),
    banned(&["getrandom"], "take the random number as an argument"),
];

/// Not below `control/`: a core never waits for another one.
pub(crate) const LOCKS: &[BannedPath] = &[
    banned(&["std", "sync", "Mutex"], "own the state in one core, or publish a snapshot"),
    banned(&["std", "sync", "RwLock"], "own the state in one core, or publish a snapshot"),
    banned(&["std", "sync", "Condvar"], "send a message to the core instead of waking a waiter"),
];

/// Not on the data plane: these drop an operation in flight, and with it bytes or an accepted socket.
pub(crate) const CANCELLING: &[BannedPath] = &[
    banned(
        &["monoio", "time", "timeout"],
        "queue a deadline of the core and shut the socket down when it is due",
    ),
    banned(
        &["monoio", "time", "timeout_at"],
        "queue a deadline of the core and shut the socket down when it is due",
    ),
    banned(&["monoio", "select"], "poll the pinned operations side by side; none of them is recreated"),
];

/// Words (keywords and macro names followed by `!`) that a pure floor must not use.
pub(crate) const IMPURE_WORDS: &[(&str, &str)] = &[
    ("async", "make it a plain function; waiting is done by worker/ and control/"),
    ("await", "make it a plain function; waiting is done by worker/ and control/"),
    ("thread_local", "state lives in the exchange or in the core and is passed as an argument"),
];

/// Where a banned call is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everywhere.
    All,
    /// Code that ships: `src/` and `loadtest/`, outside their tests.
    Product,
    /// As `Product`, but `src/app`, `src/main.rs` and `loadtest/` may.
    BelowApp,
    /// The integration tests.
    Integration,
}

/// A sequence of tokens that is not allowed, and its replacement.
pub(crate) struct BannedCall {
    pub(crate) tokens: &'static [&'static str],
    pub(crate) scope: Scope,
    pub(crate) remedy: &'static str,
}

const fn call(tokens: &'static [&'static str], scope: Scope, remedy: &'static str) -> BannedCall {
    BannedCall { tokens, scope, remedy }
}

/// Banned calls. An integration test may wait for a stated reason: see [`PACED`].
pub(crate) const CALLS: &[BannedCall] = &[
    call(
        &[".", "unwrap", "(", ")"],
        Scope::Product,
        "handle the case, or expect(\"the invariant in words\") where it cannot fail",
    ),
    call(&["dbg", "!"], Scope::All, "remove it; count what must be seen in base/metrics.rs"),
    call(&["todo", "!"], Scope::All, "write the code or return a fault"),
    call(&["unimplemented", "!"], Scope::All, "write the code or return a fault"),
    call(&["println", "!"], Scope::BelowApp, "return the text and let app/ print it"),
    call(&["print", "!"], Scope::BelowApp, "return the text and let app/ print it"),
    call(&["eprintln", "!"], Scope::BelowApp, "return the text and let app/ print it"),
    call(&["eprint", "!"], Scope::BelowApp, "return the text and let app/ print it"),
    call(&["process", "::", "exit"], Scope::BelowApp, "return an ExitCode up to app/"),
    call(&["#", "[", "ignore"], Scope::All, "assert what the code does today and say why it is wrong"),
    call(&["sleep", "("], Scope::Integration, "wait for the event, or say `// paced: why` on the line above"),
    call(&["sleep_until", "("], Scope::Integration, "wait for the event, or say `// paced: why` above"),
];

/// A comment that starts with this, on the line of a sleep or above it, is the stated reason.
pub(crate) const PACED: &str = "// paced: ";

/// Words that mark unfinished work. Split here so that this table does not trip over itself.
pub(crate) const LEFTOVERS: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X")];

/// Paths of somebody's machine, likewise split.
pub(crate) const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/tm", "p/h"), concat!("../sh", "ared")];

/// Where the code of `src/` may name an external crate. Tests, benches and the load generator are free.
pub(crate) struct CrateRow {
    pub(crate) name: &'static str,
    /// Files or folders.
    pub(crate) homes: &'static [&'static str],
    /// Only one file of `homes` may name it.
    pub(crate) single: bool,
}

const fn home(name: &'static str, homes: &'static [&'static str]) -> CrateRow {
    CrateRow { name, homes, single: false }
}

const EDGE: &[&str] = &["src/control/", "src/app/"];

/// One row per dependency of the manifest; a dependency without a row is a violation.
pub(crate) const CRATES: &[CrateRow] = &[
    CrateRow { name: "wide", homes: &["src/wire/"], single: true },
    home("arc_swap", &["src/io/tls.rs", "src/worker/", "src/control/", "src/app/"]),
    home("axum", EDGE),
    home("bytes", EDGE),
    home("clap", &["src/app/"]),
    CrateRow { name: "crc32c", homes: &["src/wire/journal/"], single: true },
    home("criterion", &[]),
    home("expect_test", &[]),
    home("getrandom", EDGE),
    home("hickory_resolver", &["src/control/"]),
    home("http_body_util", EDGE),
    home("httparse", &["src/wire/http1/oracle.rs"]),
    home("hyper", EDGE),
    home("hyper_util", EDGE),
    home("io_uring", &["src/io/"]),
    home("libc", &["src/io/"]),
    home("memchr", &["src/wire/", "src/dialect/", "src/exchange/"]),
    home("mimalloc", &["src/main.rs"]),
    home("monoio", &["src/io/", "src/worker/", "src/app/"]),
    home("rcgen", &[]),
    home("rusqlite", &["src/control/ledger/"]),
    home("rustls", &["src/io/", "src/control/"]),
    home("rustls_native_certs", &["src/io/tls.rs"]),
    home("serde", EDGE),
    home("serde_json", EDGE),
    home("sha2", &["src/policy/auth.rs", "src/control/", "src/app/"]),
    home("simd_json", &["src/dialect/"]),
    home("socket2", &["src/io/", "src/control/"]),
    home("tokio", EDGE),
    home("toml", EDGE),
    home("tracing", EDGE),
    home("tracing_subscriber", EDGE),
];

/// Ends of the paths of fuzz bodies. They compare our code with an independent crate, so they may name any.
pub(crate) const ORACLES: &[&str] = &["/exercise.rs", "src/fuzzing.rs"];

pub(crate) const FILE_LINES_MAX: usize = 500;
pub(crate) const FUNCTION_LINES_MAX: usize = 70;
pub(crate) const LINE_COLUMNS_MAX: usize = 110;
