//! What can go wrong with a request: who is to blame, and what happened. Closed, so that the retry verdict
//! (`policy/retry`) and the status map (`exchange/reply`) each are one exhaustive match.
//!
//! Deliberately absent: text for people (it is chosen where it is sent) and the decision what to do.

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The client: its bytes, its silence, its leaving.
    Client,
    /// The upstream endpoint.
    Origin,
    /// Millrace itself: no capacity, shutting down.
    Router,
}

/// Which deadline passed; see `limits::Deadlines` for what each covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadlineKind {
    /// Between two requests of a client connection.
    ClientIdle,
    /// The request head.
    ClientHead,
    /// The request body.
    ClientBody,
    /// The client does not read.
    ClientSend,
    /// TCP and TLS to the upstream.
    Connect,
    /// The upstream's response head.
    ResponseHead,
    /// The first event.
    FirstEvent,
    /// Between two reads of a running answer.
    Idle,
    /// The whole request.
    Total,
}

/// What happened. Everything from `ConnectRefused` on is the origin's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The client closed or reset its connection.
    ClientGone,
    /// A deadline passed.
    Deadline(DeadlineKind),
    /// Millrace is shutting down and the drain time is over.
    Draining,
    /// Another attempt of the same request brought its answer first: this one was given up, through no fault
    /// of its own.
    Outrun,
    /// TCP connect was refused or the network is unreachable: nothing was sent.
    ConnectRefused,
    /// The host name has no address.
    NameUnresolved,
    /// TLS failed before a request byte was sent.
    TlsHandshake,
    /// The connection was reset or closed before any response byte; `reused` when it came from the pool.
    ResetBeforeAnswer {
        /// The connection had served a request before.
        reused: bool,
    },
    /// The response head is not acceptable HTTP.
    BadHead,
    /// The response body's framing is broken.
    BadFraming,
    /// The answer ended before it was complete, or was reset.
    Truncated,
    /// The answer is empty or not the kind of content asked for.
    BadContent,
    /// A status that says no: 4xx, 5xx. Also an error inside a 200, under the status it names.
    Status(u16),
}

impl Fault {
    /// One word for it, in records, headers and cases; of a status it is `status`, the number says more.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ClientGone => "client-gone",
            Self::Draining => "draining",
            Self::Outrun => "outrun",
            Self::ConnectRefused => "refused",
            Self::NameUnresolved => "unresolved",
            Self::TlsHandshake => "tls",
            Self::ResetBeforeAnswer { reused: false } => "no-answer",
            Self::ResetBeforeAnswer { reused: true } => "stale",
            Self::BadHead => "bad-head",
            Self::BadFraming => "bad-framing",
            Self::Truncated => "truncated",
            Self::BadContent => "bad-content",
            Self::Status(_) => "status",
            Self::Deadline(kind) => match kind {
                DeadlineKind::ClientIdle => "deadline-client-idle",
                DeadlineKind::ClientHead => "deadline-client-head",
                DeadlineKind::ClientBody => "deadline-client-body",
                DeadlineKind::ClientSend => "deadline-client-send",
                DeadlineKind::Connect => "deadline-connect",
                DeadlineKind::ResponseHead => "deadline-response-head",
                DeadlineKind::FirstEvent => "deadline-first-event",
                DeadlineKind::Idle => "deadline-idle",
                DeadlineKind::Total => "deadline-total",
            },
        }
    }

    /// Who is to blame.
    #[must_use]
    pub const fn blame(self) -> Blame {
        match self {
            Self::ClientGone => Blame::Client,
            Self::Draining | Self::Outrun => Blame::Router,
            Self::Deadline(kind) => match kind {
                DeadlineKind::ClientIdle
                | DeadlineKind::ClientHead
                | DeadlineKind::ClientBody
                | DeadlineKind::ClientSend => Blame::Client,
                DeadlineKind::Connect
                | DeadlineKind::ResponseHead
                | DeadlineKind::FirstEvent
                | DeadlineKind::Idle
                | DeadlineKind::Total => Blame::Origin,
            },
            Self::ConnectRefused
            | Self::NameUnresolved
            | Self::TlsHandshake
            | Self::ResetBeforeAnswer { .. }
            | Self::BadHead
            | Self::BadFraming
            | Self::Truncated
            | Self::BadContent
            | Self::Status(_) => Blame::Origin,
        }
    }
}
