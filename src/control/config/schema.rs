//! Every key of the configuration file: one documented, defaulted field each, with the rule that reads it.
//!
//! A new key is one field here; the reference in `docs/configuration.md` follows (a test holds it).
//! Deliberately absent: checks that need two keys, the environment or a file (`resolve`), and the tables of
//! models (`models`) and the shipped providers (`shipped`).

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::path::PathBuf;

use super::auto::AutoTable;
use super::models::{ALIASES_MAX, AliasTable, MODELS_MAX, ModelTable};
use super::names::{SomeTexts, Texts};
use super::probe::UrlPath;
use super::reader::{Optional, Required, Section, section, table, tables};
pub use super::rules::Cores;
use super::rules::{
    Addresses, Bytes, COMMENT, Choice, CoresRule, Count, DAY_MS, Digest, FilePath, Flag, LABEL, Mode,
    PROVIDER_ID, Time, TimeOrOff, WhenRule,
};
use super::secret::{AuthRule, AuthStyle, SecretRule, SecretSource};
use super::url::{BaseUrl, Url};
use crate::base::address::Address;
use crate::base::limits::{BODY_BYTES_CEILING, CANDIDATES, Deadlines, Limits, STICKY_ENTRIES, STICKY_TTL};
use crate::control::journal::{Durability, OnDiskError};
use crate::dialect::{DialectName, StreamUsage};
use crate::policy::catalog::{LedgerTerms, OnClientGone, UnknownPrice};
use crate::policy::hedge::{Terms, When};

/// Most `[[provider]]` tables.
const PROVIDERS_MAX: usize = 1_000;
/// Most `[[key]]` tables.
const KEYS_MAX: usize = 100_000;
/// Any deadline: zero would fail every request, a day is longer than any answer.
const DEADLINE: Time = Time(1, DAY_MS);

/// A day: no prompt cache lives longer.
pub(super) const STICKY: Time = Time(100, DAY_MS);

/// Which kernel interface carries the data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// io_uring where the kernel allows it, else epoll.
    Auto,
    /// Our own ring on io_uring, or refuse to start.
    Uring,
    /// monoio's ring on io_uring, or refuse to start.
    Monoio,
    /// epoll.
    Epoll,
}

/// The drivers by name.
pub(crate) const DRIVERS: [(&str, Driver); 4] =
    [("auto", Driver::Auto), ("uring", Driver::Uring), ("monoio", Driver::Monoio), ("epoll", Driver::Epoll)];

/// What `server.auth` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerAuth {
    /// Written out: nobody needs a key.
    None,
}

const DIALECTS: Choice<DialectName> = Choice(&[("openai", DialectName::OpenAi)]);
pub(super) const STREAM_USAGE: Choice<StreamUsage> =
    Choice(&[("ask", StreamUsage::OnRequest), ("always", StreamUsage::Always)]);

pub(super) const ON_CLIENT_GONE: Choice<OnClientGone> =
    Choice(&[("cut", OnClientGone::Cut), ("drain", OnClientGone::Drain)]);
const DURABILITY: Choice<Durability> = Choice(&[("fast", Durability::Fast), ("strict", Durability::Strict)]);
const ON_DISK_ERROR: Choice<OnDiskError> =
    Choice(&[("refuse", OnDiskError::Refuse), ("continue", OnDiskError::Continue)]);
const UNKNOWN_PRICE: Choice<UnknownPrice> =
    Choice(&[("allow", UnknownPrice::Allow), ("deny", UnknownPrice::Deny)]);

section! {
    /// All keys of a configuration file.
    pub(super) struct File {
        /// The listener and the process.
        server: Server = Server::default(), table();
        /// TLS for clients.
        tls: Tls = Tls::default(), table();
        /// Bounds.
        limits: Limits = Limits::default(), table();
        /// Deadlines.
        deadlines: Deadlines = Deadlines::default(), table();
        /// Comments on streams that wait.
        waiting: Waiting = Waiting::default(), table();
        /// Conversations that come back to the same endpoint.
        sticky: Sticky = Sticky::default(), table();
        /// Failover.
        retry: Retry = Retry::default(), table();
        /// Second candidates for requests that wait.
        hedge: Hedge = Hedge::default(), table();
        /// What is written down of every request, and what of money follows from it.
        ledger: Ledger = Ledger::default(), table();
        /// Providers.
        provider: Vec<ProviderTable> = Vec::new(), tables(PROVIDERS_MAX);
        /// Models.
        model: Vec<ModelTable> = Vec::new(), tables(MODELS_MAX);
        /// Further names of models.
        alias: Vec<AliasTable> = Vec::new(), tables(ALIASES_MAX);
        /// Client keys.
        key: Vec<KeyTable> = Vec::new(), tables(KEYS_MAX);
        /// The choice of a model.
        auto: AutoTable = AutoTable::default(), table();
    }
}

section! {
    /// The listener and the process.
    pub struct Server {
        /// Where clients connect; several at once in a list. An address that is neither loopback nor a unix
        /// socket needs client keys, or `auth = "none"`.
        listen: Vec<Address> = vec![Address::Inet(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))], Addresses;
        /// Who may connect to the unix sockets in `listen`, as permissions of their files. Absent: `"0660"`.
        listen_mode: Option<u32> = None, Optional(Mode);
        /// Worker threads, one per core.
        cores: Cores = Cores::All, CoresRule;
        /// Kernel interface of the data plane. `auto`: the first of the others that works.
        driver: Driver = Driver::Auto, Choice(&DRIVERS);
        /// After the first SIGTERM, how long answers that have begun may still take.
        drain_timeout: Duration = Duration::from_secs(600), Time(0, DAY_MS);
        /// Write `"none"` to let everybody who reaches the address use it. Without it, a configuration
        /// without client keys serves this machine only. Excludes `[[key]]`.
        auth: Option<ServerAuth> = None, Optional(Choice(&[("none", ServerAuth::None)]));
        /// Take models that are not configured, named `<provider>/<name>`, and pass the name on. A provider's
        /// own `passthrough` goes first.
        passthrough: bool = true, Flag;
    }
}

section! {
    /// TLS for clients. Both keys or neither; without them clients speak plain HTTP.
    pub(super) struct Tls {
        /// PEM file with the certificate and its chain, leaf first.
        cert: Option<PathBuf> = None, Optional(FilePath);
        /// PEM file with the private key.
        key: Option<PathBuf> = None, Optional(FilePath);
    }
}

section! {
    /// Bounds. What is beyond one is refused at once, never queued without end.
    for Limits {
        /// Largest request body; a larger one is a 413.
        body_bytes: Bytes(1 << 10, BODY_BYTES_CEILING);
        /// All request bodies held by one core at once; beyond it new ones are a 503. At least `body_bytes`.
        bodies_bytes_per_core: Bytes(1 << 10, 1 << 40);
        /// Client connections of one core; beyond it the listener stops accepting.
        connections_per_core: Count(1, 1_000_000);
        /// Idle connections kept to one upstream, per core.
        idle_per_upstream: Count(0, 65_536);
    }
}

section! {
    /// Deadlines. A provider may have its own (`provider.deadlines`).
    for Deadlines {
        /// TCP and TLS to an upstream.
        connect: DEADLINE;
        /// From a streamed request sent to the upstream's response head.
        response_head: DEADLINE;
        /// From a streamed request sent to the first event: the time to first token.
        first_event: DEADLINE;
        /// From a request sent to the whole of an answer that is no stream (or its first 64 KiB).
        answer: DEADLINE;
        /// Between two reads from an upstream once the answer has begun.
        idle: DEADLINE;
        /// The whole request, all attempts and the answer together.
        total: DEADLINE;
        /// A client's request head, from its first byte to its last.
        client_head: DEADLINE;
        /// A client's request body, from the head to its last byte.
        client_body: DEADLINE;
        /// A client that does not take what we send.
        client_send: DEADLINE;
        /// A client connection between two requests.
        client_idle: DEADLINE;
        /// An upstream connection between two requests.
        upstream_idle: DEADLINE;
    }
}

section! {
    /// Comment lines sent to a streaming client while nothing comes from upstream, so that proxies and
    /// clients do not give up on a silent connection.
    pub struct Waiting {
        /// Text of the comment.
        comment: Box<str> = "MILLRACE PROCESSING".into(), COMMENT;
        /// Silence after which one is sent.
        delay: Option<Duration> = Some(Duration::from_secs(10)), TimeOrOff(Time(100, DAY_MS));
    }
}

section! {
    /// Conversations that come back to the endpoint that served them last, where that one reads prompts from
    /// its cache at a lower price.
    pub struct Sticky {
        /// Conversations remembered by the process, 16 bytes each, rounded up to a power of two; the oldest
        /// make room for new ones. 0 switches it off. Read at the start.
        entries: usize = STICKY_ENTRIES, Count(0, 1 << 24);
        /// How long after its last success a conversation is remembered. A provider may have its own
        /// (`provider.sticky_ttl`).
        ttl: Duration = STICKY_TTL, STICKY;
    }
}

section! {
    /// Failover to the next endpoint, before the client has seen a byte.
    pub struct Retry {
        /// Fail over once after a failure that leaves open whether the provider did the work (and bills it):
        /// a 500, a reset after the request was sent, a deadline. Refusals such as 429 always fail over.
        ambiguous_failover: bool = true, Flag;
        /// Upstream attempts of one request, the first included.
        attempts: usize = Limits::default().attempts, Count(1, CANDIDATES);
    }
}

section! {
    /// Hedging: a streaming request that waits long for its first event is given to a second endpoint of the
    /// same model too; the first answer wins and the other attempt is shut down. The provider may bill both.
    pub struct Hedge {
        /// When the second one is begun: `"p95"`, when 95 of 100 first events of the endpoint came sooner, or
        /// a fixed time. A model may say something else (`model.hedge`).
        after: When = When::Off, WhenRule;
        /// The shortest time that `"p95"` may come to.
        least: Duration = Terms::default().least, Time(1, DAY_MS);
        /// The time in place of `"p95"` while fewer than 20 first events were seen in five minutes. `"off"`:
        /// no hedge then.
        unmeasured: Option<Duration> = None, TimeOrOff(Time(1, DAY_MS));
        /// Hedges in percent of the requests that may be hedged, and ten besides, per core.
        requests_percent: usize = Terms::default().requests_percent as usize, Count(0, 100);
        /// What hedges cost, estimated, in percent of what these requests cost, and ten besides, per core.
        cost_percent: usize = Terms::default().cost_percent as usize, Count(0, 100);
        /// Let a request say `X-Millrace-Hedge: on`, `off`, or a number of milliseconds.
        per_request: bool = false, Flag;
    }
}

section! {
    /// The ledger: what is written down of every request, and what of money follows from it.
    pub struct Ledger {
        /// Write down every request. `false`: nothing is recorded, and nothing is written to disk.
        enabled: bool = true, Flag;
        /// Where: a directory of this process alone. `--data-dir` goes before it, and `MILLRACE_DATA_DIR`.
        /// Absent: `$STATE_DIRECTORY` (systemd), `$XDG_STATE_HOME/millrace` or `~/.local/state/millrace`.
        data_dir: Option<PathBuf> = None, Optional(FilePath);
        /// `"fast"`: a killed process loses no record, a loss of power those of the last `sync_every`.
        /// `"strict"`: neither loses any; a request is sent when its admission is on disk, and the end of an
        /// answer when its settlement is.
        durability: Durability = Durability::Fast, DURABILITY;
        /// How often what was written is put on disk.
        sync_every: Duration = Duration::from_millis(50), Time(1, 10_000);
        /// While the disk does not take it: `"refuse"` new requests with a 503, or `"continue"` to serve.
        on_disk_error: OnDiskError = OnDiskError::Refuse, ON_DISK_ERROR;
        /// Bytes of one journal file. Its space is taken at the start.
        segment_bytes: usize = 16 << 20, Bytes(1 << 20, 1 << 30);
        /// Journal files per core, written in turn. While the ledger is behind by all of them, new requests
        /// are refused.
        segments: usize = 4, Count(2, 64);
        /// Days that every single request is kept in the ledger; 0 keeps them for ever.
        retention_days: usize = 90, Count(0, 36_500);
        /// Days that sums by hour are kept; 0 for ever.
        hours_retention_days: usize = 400, Count(0, 36_500);
        /// Days that sums by day are kept; 0 for ever.
        days_retention_days: usize = 0, Count(0, 36_500);
        /// What an endpoint without a known price is. `"allow"`: used; what it serves is counted, marked as
        /// without a price and part of no sum. `"deny"`: excluded, as by a filter of the request.
        unknown_price: UnknownPrice = UnknownPrice::Allow, UNKNOWN_PRICE;
        /// Tokens of an answer that are reserved at most for a request that does not bound it with
        /// `max_tokens`. Fewer where the endpoint's longest answer is shorter.
        reserve_completion_tokens: usize = LedgerTerms::default().reserve_completion_tokens as usize,
            Count(1, 1 << 24);
        /// Where `provider.on_client_gone` is `"drain"`: how long an answer is read without its client.
        drain_timeout: Duration = LedgerTerms::default().drain_timeout, Time(1, DAY_MS);
        /// Likewise, how much of it, in bytes as they come.
        drain_bytes: usize = LedgerTerms::default().drain_bytes as usize, Bytes(1 << 10, 1 << 30);
        /// Likewise, how many answers at a time, per core; what is beyond it is cut and estimated.
        drains_per_core: usize = LedgerTerms::default().drains_per_core, Count(0, 1_000_000);
    }
}

section! {
    /// An upstream account. A shipped provider (see below) needs only its `id` and what differs; any other
    /// needs `base_url` too.
    pub(super) struct ProviderTable {
        /// Name in `model.endpoint.provider`, in `<provider>/<name>` and in records.
        id: Box<str> = "".into(), Required(PROVIDER_ID);
        /// API it speaks.
        dialect: DialectName = DialectName::OpenAi, DIALECTS;
        /// URL before the API's own path. Required unless the provider is shipped.
        base_url: Option<BaseUrl> = None, Optional(Url);
        /// Its key: `env:NAME` reads the environment, `file:PATH` a file (without surrounding white space).
        /// A shipped provider's is read from its own variable when this is absent.
        api_key: Option<SecretSource> = None, Optional(SecretRule);
        /// How the key is sent; `"none"` when it needs none. Absent: as shipped, else `"bearer"`.
        auth: Option<AuthStyle> = None, Optional(AuthRule);
        /// PEM file with the certificates that may sign this provider's, instead of the system's. Only for
        /// https.
        ca_file: Option<PathBuf> = None, Optional(FilePath);
        /// Whether usage on streams comes when asked for, or always (and asking might be refused). Absent: as
        /// shipped, else `"ask"`.
        stream_usage: Option<StreamUsage> = None, Optional(STREAM_USAGE);
        /// How long after a success a conversation comes back to it: as long as its prompt cache lives.
        /// Absent: as shipped, else `sticky.ttl`.
        sticky_ttl: Option<Duration> = None, Optional(STICKY);
        /// What becomes of its answer when the client has left. `"cut"`: the connection is shut down at once.
        /// `"drain"`: the answer is read to its end, within `ledger.drain_timeout` and its neighbours, since
        /// the provider bills all of it anyway. Absent: as shipped, else `"cut"`.
        on_client_gone: Option<OnClientGone> = None, Optional(ON_CLIENT_GONE);
        /// Take `<provider>/<name>` as is. Absent: as `server.passthrough`.
        passthrough: Option<bool> = None, Optional(Flag);
        /// `false` switches it off; endpoints at it are left out.
        enabled: bool = true, Flag;
        /// Its own deadlines.
        deadlines: DeadlineTable = DeadlineTable::default(), table();
        /// Active probes of its server.
        probe: ProbeTable = ProbeTable::default(), table();
    }
}

section! {
    /// A provider's server is asked now and then whether it still answers: while nothing else goes there, and
    /// while it is in trouble.
    pub(super) struct ProbeTable {
        /// Whether it is. Absent: only a server without a key, which is a private one.
        enabled: Option<bool> = None, Optional(Flag);
        /// What is asked for with GET, from the server's root. Absent: the path of `base_url` and `/models`.
        /// Over https a connection is made and nothing asked.
        path: Option<Box<str>> = None, Optional(UrlPath);
        /// Time between two probes.
        every: Duration = Duration::from_secs(10), Time(100, DAY_MS);
        /// A probe that takes longer has failed.
        timeout: Duration = Duration::from_secs(2), Time(10, 60_000);
    }
}

section! {
    /// Deadlines of one provider. Absent ones are as in `[deadlines]`; those of the client side and of the
    /// whole request are only there.
    pub(super) struct DeadlineTable {
        /// TCP and TLS.
        connect: Option<Duration> = None, Optional(DEADLINE);
        /// From a streamed request sent to the response head.
        response_head: Option<Duration> = None, Optional(DEADLINE);
        /// From a streamed request sent to the first event.
        first_event: Option<Duration> = None, Optional(DEADLINE);
        /// From a request sent to the whole of an answer that is no stream.
        answer: Option<Duration> = None, Optional(DEADLINE);
        /// Between two reads once the answer has begun.
        idle: Option<Duration> = None, Optional(DEADLINE);
        /// A connection between two requests.
        upstream_idle: Option<Duration> = None, Optional(DEADLINE);
    }
}

section! {
    /// A client's key. As soon as there is one, every request needs one.
    pub struct KeyTable {
        /// Name for records; not secret.
        name: Box<str> = "".into(), Required(LABEL);
        /// SHA-256 of the key, in hexadecimal. The key itself is nowhere in the configuration.
        sha256: [u8; 32] = [0; 32], Required(Digest);
        /// May ask with `X-Millrace-Debug: route` how a request was routed: every candidate, with the filter
        /// or the score that placed it.
        debug: bool = false, Flag;
        /// A management key: reads what everybody has used (`/activity`, `/credits`, `/analytics`), and is
        /// refused for inference.
        management: bool = false, Flag;
        /// The only regions where its requests may be computed, such as `["eu"]`; `eu` is also every region
        /// whose name begins with `eu-`. Endpoints of unknown region are outside. Absent: everywhere.
        regions: Option<Vec<Box<str>>> = None, Optional(SomeTexts(Texts(&LABEL, 32)));
    }
}

/// The full path of a key called `name` in one of the top-level tables, for the hint at a key in the wrong
/// place.
pub(super) fn key_elsewhere(name: &str) -> Option<String> {
    let (_, sections) = File::describe();
    sections.iter().find_map(|section| {
        let rows = &section.nested.as_ref()?.rows;
        rows.iter().find(|row| row.name == name).map(|row| format!("{}.{}", section.name, row.name))
    })
}
