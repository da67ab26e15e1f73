//! Every bound in one place, with how they relate checked at compile time.
//!
//! Configurable ones are fields of [`Limits`] and [`Deadlines`] with their defaults here; fixed ones are
//! constants.
//! Deliberately absent: limits of the control plane's own stores.

use core::time::Duration;

/// Longest request line in bytes; RFC 9112 §3 asks for at least 8000.
pub const REQUEST_LINE_BYTES: usize = 8 * 1024;
/// Longest head (request or response, start line included) in bytes.
pub const HEAD_BYTES: usize = 32 * 1024;
/// Most fields in a head.
pub const HEAD_FIELDS: usize = 100;
/// Most empty lines skipped before a request line; RFC 9112 §2.2 asks for at least one.
pub const LEADING_EMPTY_LINES: usize = 2;
/// Longest extension of one chunk, in bytes.
pub const CHUNK_EXTENSION_BYTES: usize = 256;
/// All chunk extensions of one message together, in bytes.
pub const CHUNK_EXTENSIONS_BYTES: usize = 16 * 1024;
/// Longest trailer section in bytes.
pub const TRAILER_BYTES: usize = 4 * 1024;
/// Deepest JSON nesting in a request body.
pub const JSON_DEPTH: usize = 128;
/// Most top-level members of a request body.
pub const JSON_MEMBERS: usize = 256;
/// Longest model name in bytes.
pub const MODEL_NAME_BYTES: usize = 256;
/// Longest `session_id` in characters.
pub const SESSION_ID_CHARS: usize = 256;
/// Conversations that are remembered unless the configuration says otherwise.
pub const STICKY_ENTRIES: usize = 65_536;
/// How long a conversation is remembered unless the configuration says otherwise.
pub const STICKY_TTL: Duration = Duration::from_secs(600);
/// Most entries of `models`.
pub const MODELS_PER_REQUEST: usize = 8;
/// Most interim (1xx) responses before a final one.
pub const INTERIM_RESPONSES: usize = 8;
/// Hard ceiling of the configurable body limit, so that every position fits in a `u32`.
pub const BODY_BYTES_CEILING: usize = 1 << 30;
/// A waiting client connection holds this much read buffer.
pub const INBOX_IDLE_BYTES: usize = 2 * 1024;
/// First size of an upstream read buffer.
pub const WINDOW_FIRST_BYTES: usize = 8 * 1024;
/// A request body of an announced length up to this gets its storage at once; longer ones by doubling.
pub const BODY_AT_ONCE_BYTES: usize = 1024 * 1024;
/// Storage for request bodies that a core keeps for reuse, in bytes altogether.
pub const SPARE_BODIES_BYTES: usize = 4 * 1024 * 1024;
/// With this much room left in a request's storage, the kernel receives straight into it.
pub const STRAIGHT_BYTES: usize = 32 * 1024;
/// Client read buffers of the idle size that a core keeps for reuse.
pub const SPARE_INBOXES: usize = 1024;
/// Upstream read buffers of the first size that a core keeps for reuse.
pub const SPARE_WINDOWS: usize = 1024;
/// Largest size of an upstream read buffer: the relay never holds more than this per stream.
pub const WINDOW_BYTES: usize = 128 * 1024;
/// An answer that is not a stream is held back until complete or this long, so that it can still fail over.
pub const HOLD_BYTES: usize = 64 * 1024;
/// An incomplete event is held back up to this length; a longer one is passed through as it comes.
pub const EVENT_HOLD_BYTES: usize = 16 * 1024;
/// Up to this many bytes, the pieces of a send are copied together instead of gathered.
pub const COALESCE_BYTES: usize = 16 * 1024;
/// Requests answered on one client connection before it is closed.
pub const REQUESTS_PER_CONNECTION: u32 = 100_000;
/// Most candidates of a plan.
pub const CANDIDATES: usize = 16;

const _: () = assert!(REQUEST_LINE_BYTES < HEAD_BYTES);
const _: () = assert!(INBOX_IDLE_BYTES <= HEAD_BYTES);
const _: () = assert!(HOLD_BYTES + EVENT_HOLD_BYTES <= WINDOW_BYTES);
const _: () = assert!(HEAD_BYTES + EVENT_HOLD_BYTES <= WINDOW_BYTES);
const _: () = assert!(WINDOW_FIRST_BYTES <= WINDOW_BYTES);
const _: () = assert!(BODY_BYTES_CEILING + HEAD_BYTES <= u32::MAX as usize);

/// Configurable bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body in bytes; a larger one is a 413 before it is buffered.
    pub body_bytes: usize,
    /// All request bodies held by one core at once, in bytes; beyond it new ones are a 503.
    pub bodies_bytes_per_core: usize,
    /// Client connections of one core; beyond it the listener stops accepting.
    pub connections_per_core: usize,
    /// Idle connections kept to one upstream, per core.
    pub idle_per_upstream: usize,
    /// Upstream attempts of one request, first one included.
    pub attempts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            bodies_bytes_per_core: 1 << 30,
            connections_per_core: 100_000,
            idle_per_upstream: 256,
            attempts: 8,
        }
    }
}

/// Configurable deadlines; each has its own verdict and counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// TCP and TLS to an upstream.
    pub connect: Duration,
    /// From a streamed request sent to the upstream's response head.
    pub response_head: Duration,
    /// From a streamed request sent to the first event (time to first token).
    pub first_event: Duration,
    /// From a request sent to the whole of an answer that is no stream (or as much of it as is held back).
    /// Long: a model may think for minutes before the head of such an answer comes.
    pub answer: Duration,
    /// Between two reads from an upstream once the answer has begun.
    pub idle: Duration,
    /// The whole request, all attempts and the relay together.
    pub total: Duration,
    /// A client's request head, from its first byte to its last.
    pub client_head: Duration,
    /// A client's request body, from the head to its last byte.
    pub client_body: Duration,
    /// A client that does not take what we send.
    pub client_send: Duration,
    /// A client connection between two requests.
    pub client_idle: Duration,
    /// An upstream connection between two requests.
    pub upstream_idle: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            response_head: Duration::from_secs(120),
            first_event: Duration::from_secs(120),
            answer: Duration::from_secs(600),
            idle: Duration::from_secs(120),
            total: Duration::from_secs(3600),
            client_head: Duration::from_secs(10),
            client_body: Duration::from_secs(60),
            client_send: Duration::from_secs(60),
            client_idle: Duration::from_secs(75),
            upstream_idle: Duration::from_secs(30),
        }
    }
}
