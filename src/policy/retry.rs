//! What a failed attempt means: the one function that decides whether the next candidate is tried.
//!
//! Deliberately absent: anything about an answer that has begun. That state has no plan left to pass here.

use crate::base::fault::{DeadlineKind, Fault};
use crate::base::record::Billed;

/// What the rest of the request still allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Attempts left after this one.
    pub attempts_left: usize,
    /// Another candidate exists.
    pub candidate_left: bool,
    /// An ambiguous failover is still allowed (at most one, and only if the operator wants it).
    pub ambiguous_left: bool,
}

/// What to do about a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The pooled connection was stale: the same candidate again, on a fresh connection.
    SameFresh,
    /// The next candidate. `ambiguous`: the failed attempt may be billed.
    Next {
        /// Uses up the one ambiguous failover.
        ambiguous: bool,
    },
    /// Tell the client.
    Report,
}

/// What a fault says about work done at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// None: nothing was sent, or it was refused. Another candidate costs nothing.
    None,
    /// Nobody can know: another candidate may be billed on top.
    Perhaps,
    /// The request itself is at fault; another provider would say the same.
    Useless,
}

/// Classifies a fault. `failures.md` §4 and `tokens-dialects.md` §4.3 are where the rows come from; in short:
/// connect failures, 401, 402, 403, 404, 408, 424, 429, 498, 503 and 529 start no billable work; other 5xx,
/// resets, broken answers and deadlines after the request was sent are ambiguous; other 4xx are the request's
/// own fault.
#[must_use]
pub const fn work(fault: Fault) -> Work {
    match fault {
        Fault::ConnectRefused | Fault::NameUnresolved | Fault::TlsHandshake => Work::None,
        Fault::Deadline(DeadlineKind::Connect) => Work::None,
        Fault::ResetBeforeAnswer { .. }
        | Fault::BadHead
        | Fault::BadFraming
        | Fault::Truncated
        | Fault::BadContent
        | Fault::Deadline(DeadlineKind::ResponseHead | DeadlineKind::FirstEvent | DeadlineKind::Idle) => {
            Work::Perhaps
        }
        Fault::Status(401 | 402 | 403 | 404 | 408 | 424 | 429 | 498 | 503 | 529) => Work::None,
        Fault::Status(status) => {
            if status >= 500 {
                Work::Perhaps
            } else {
                Work::Useless
            }
        }
        Fault::ClientGone
        | Fault::Draining
        | Fault::Outrun
        | Fault::Deadline(
            DeadlineKind::ClientIdle
            | DeadlineKind::ClientHead
            | DeadlineKind::ClientBody
            | DeadlineKind::ClientSend
            | DeadlineKind::Total,
        ) => Work::Useless,
    }
}

/// May the provider charge for an attempt that failed this way?
#[must_use]
pub const fn billed(fault: Fault) -> Billed {
    match work(fault) {
        Work::None => Billed::No,
        Work::Perhaps => Billed::Maybe,
        Work::Useless => match fault {
            Fault::Status(_) => Billed::No,
            _ => Billed::Maybe,
        },
    }
}

/// Decides. A death of a reused connection before any response byte is repeated once on a fresh connection to
/// the same candidate (RFC 9112 §9.3.1 leaves this to the sender's knowledge; every pool has this race).
#[must_use]
pub const fn verdict(fault: Fault, allowance: Allowance) -> Verdict {
    if matches!(fault, Fault::ResetBeforeAnswer { reused: true }) {
        return Verdict::SameFresh;
    }
    if !allowance.candidate_left || allowance.attempts_left == 0 {
        return Verdict::Report;
    }
    match work(fault) {
        Work::None => Verdict::Next { ambiguous: false },
        Work::Perhaps if allowance.ambiguous_left => Verdict::Next { ambiguous: true },
        Work::Perhaps | Work::Useless => Verdict::Report,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Allowance = Allowance { attempts_left: 3, candidate_left: true, ambiguous_left: true };

    #[test]
    fn refusals_move_on_for_free() {
        for fault in [Fault::ConnectRefused, Fault::Status(429), Fault::Status(529), Fault::TlsHandshake] {
            assert_eq!(verdict(fault, FULL), Verdict::Next { ambiguous: false }, "{fault:?}");
            let last = Allowance { candidate_left: false, ..FULL };
            assert_eq!(verdict(fault, last), Verdict::Report, "{fault:?}");
        }
    }

    #[test]
    fn ambiguous_failures_move_on_once() {
        for fault in [Fault::Status(500), Fault::Truncated, Fault::ResetBeforeAnswer { reused: false }] {
            assert_eq!(verdict(fault, FULL), Verdict::Next { ambiguous: true }, "{fault:?}");
            let spent = Allowance { ambiguous_left: false, ..FULL };
            assert_eq!(verdict(fault, spent), Verdict::Report, "{fault:?}");
            assert_eq!(billed(fault), Billed::Maybe);
        }
    }

    #[test]
    fn the_requests_own_fault_is_reported() {
        for status in [400, 405, 413, 422] {
            assert_eq!(verdict(Fault::Status(status), FULL), Verdict::Report);
            assert_eq!(billed(Fault::Status(status)), Billed::No);
        }
    }

    #[test]
    fn a_stale_connection_is_replaced() {
        assert_eq!(verdict(Fault::ResetBeforeAnswer { reused: true }, FULL), Verdict::SameFresh);
    }
}
