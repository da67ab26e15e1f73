//! What the end of an attempt says about the endpoint: nothing, that it is well, or which kind of trouble.
//!
//! Deliberately absent: what is done about it (`breaker`, `backoff`, `cap`), and whether the next candidate
//! is tried (`policy::retry`).

use crate::base::fault::{Blame, DeadlineKind, Fault};

/// A kind of end that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The answer was served whole.
    Served,
    /// No connection: refused, no address, TLS, or the connect deadline.
    Connect,
    /// A 5xx, 408, 424 or 498, a connection that ended without an answer, or a deadline before the answer.
    Failed,
    /// What came is no HTTP, no event stream, or no answer.
    Malformed,
    /// An error inside a 200.
    InBand,
    /// The answer ended after it had begun.
    Death,
    /// A 429: refused for the rate, not for ill health.
    Limited,
}

/// How many kinds there are.
pub const KINDS: usize = 7;

impl Kind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; KINDS] = [
        Self::Served,
        Self::Connect,
        Self::Failed,
        Self::Malformed,
        Self::InBand,
        Self::Death,
        Self::Limited,
    ];

    /// The word for it in `/metrics`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Connect => "connect",
            Self::Failed => "failed",
            Self::Malformed => "malformed",
            Self::InBand => "in_band",
            Self::Death => "death",
            Self::Limited => "limited",
        }
    }

    /// True for what counts against the endpoint's reliability. A 429 does not: its remedy is a pause.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Served | Self::Limited)
    }
}

/// What an attempt's end means for the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing: the caller's own fault, the caller left, or the router is shutting down.
    Nothing,
    /// It is counted. `overloaded` also lowers the learned concurrency.
    Counted {
        /// As what.
        kind: Kind,
        /// A 429, 503 or 529: there was too much at once.
        overloaded: bool,
    },
    /// Our credential is refused or out of money (401, 402): every endpoint behind it is concerned.
    Account,
}

/// How far the attempt was when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before a response head with a good status.
    Asked,
    /// Behind a 200, before the commit.
    Answering,
    /// After the commit.
    Relaying,
}

/// Classifies the end of an attempt by `fault`.
///
/// Of the 4xx, only 401, 402, 408, 424, 429 and 498 say something about the endpoint; all others are the
/// caller's own fault. A total deadline says nothing either: it belongs to the request, whoever served it.
#[must_use]
pub const fn meaning(fault: Fault, phase: Phase) -> Meaning {
    match fault {
        Fault::ConnectRefused
        | Fault::NameUnresolved
        | Fault::TlsHandshake
        | Fault::Deadline(DeadlineKind::Connect) => {
            Meaning::Counted { kind: Kind::Connect, overloaded: false }
        }
        // A pooled connection that was closed meanwhile: every pool has this race.
        Fault::ResetBeforeAnswer { reused: true } | Fault::Deadline(DeadlineKind::Total) => Meaning::Nothing,
        Fault::Status(status) => of_status(status, phase),
        Fault::ClientGone | Fault::Draining | Fault::Outrun => Meaning::Nothing,
        Fault::BadHead | Fault::BadContent => Meaning::Counted { kind: Kind::Malformed, overloaded: false },
        Fault::BadFraming if !matches!(phase, Phase::Relaying) => {
            Meaning::Counted { kind: Kind::Malformed, overloaded: false }
        }
        Fault::ResetBeforeAnswer { reused: false }
        | Fault::BadFraming
        | Fault::Truncated
        | Fault::Deadline(_) => match (fault.blame(), phase) {
            (Blame::Client | Blame::Router, _) => Meaning::Nothing,
            (Blame::Origin, Phase::Relaying) => Meaning::Counted { kind: Kind::Death, overloaded: false },
            (Blame::Origin, Phase::Asked | Phase::Answering) => {
                Meaning::Counted { kind: Kind::Failed, overloaded: false }
            }
        },
    }
}

const fn of_status(status: u16, phase: Phase) -> Meaning {
    let overloaded = matches!(status, 429 | 503 | 529);
    let kind = match (status, phase) {
        (401 | 402, _) => return Meaning::Account,
        (429, _) => Kind::Limited,
        (400..=499, _) if !matches!(status, 408 | 424 | 498) => return Meaning::Nothing,
        (_, Phase::Asked) => Kind::Failed,
        (_, Phase::Answering) => Kind::InBand,
        (_, Phase::Relaying) => Kind::Death,
    };
    Meaning::Counted { kind, overloaded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fault: Fault, phase: Phase, want: Option<(Kind, bool)>) {
        let want = want.map_or(Meaning::Nothing, |(kind, overloaded)| Meaning::Counted { kind, overloaded });
        assert_eq!(meaning(fault, phase), want, "{fault:?} {phase:?}");
    }

    #[test]
    fn the_callers_own_faults_say_nothing() {
        for phase in [Phase::Asked, Phase::Answering, Phase::Relaying] {
            for status in [400, 403, 404, 405, 409, 413, 415, 422, 451, 499] {
                check(Fault::Status(status), phase, None);
            }
            for kind in [DeadlineKind::ClientSend, DeadlineKind::ClientBody, DeadlineKind::Total] {
                check(Fault::Deadline(kind), phase, None);
            }
            for fault in [Fault::ClientGone, Fault::Draining, Fault::Outrun] {
                check(fault, phase, None);
            }
            check(Fault::ResetBeforeAnswer { reused: true }, phase, None);
            assert_eq!(meaning(Fault::Status(401), phase), Meaning::Account);
            assert_eq!(meaning(Fault::Status(402), phase), Meaning::Account);
        }
    }

    #[test]
    fn every_other_end_has_its_kind() {
        use Phase::{Answering, Asked, Relaying};
        check(Fault::ConnectRefused, Asked, Some((Kind::Connect, false)));
        check(Fault::Deadline(DeadlineKind::Connect), Asked, Some((Kind::Connect, false)));
        check(Fault::Deadline(DeadlineKind::FirstEvent), Answering, Some((Kind::Failed, false)));
        check(Fault::Deadline(DeadlineKind::Idle), Relaying, Some((Kind::Death, false)));
        check(Fault::ResetBeforeAnswer { reused: false }, Asked, Some((Kind::Failed, false)));
        check(Fault::Truncated, Answering, Some((Kind::Failed, false)));
        check(Fault::Truncated, Relaying, Some((Kind::Death, false)));
        check(Fault::BadFraming, Answering, Some((Kind::Malformed, false)));
        check(Fault::BadFraming, Relaying, Some((Kind::Death, false)));
        check(Fault::BadContent, Asked, Some((Kind::Malformed, false)));
        check(Fault::Status(500), Asked, Some((Kind::Failed, false)));
        check(Fault::Status(408), Asked, Some((Kind::Failed, false)));
        check(Fault::Status(503), Asked, Some((Kind::Failed, true)));
        check(Fault::Status(529), Answering, Some((Kind::InBand, true)));
        check(Fault::Status(500), Relaying, Some((Kind::Death, false)));
        for phase in [Asked, Answering, Relaying] {
            check(Fault::Status(429), phase, Some((Kind::Limited, true)));
        }
    }

    #[test]
    fn kinds_are_in_order_and_their_words_differ() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
            assert_eq!(Kind::ALL.iter().filter(|other| other.word() == kind.word()).count(), 1);
        }
    }
}
