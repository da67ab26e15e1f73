//! What can go wrong with one connection or one stream, and how often it did.
//!
//! The texts have few variants on purpose: a tally groups by text, so no counter, address or byte of a peer
//! is in one. Deliberately absent: deciding what counts as wrong.

use core::fmt;
use std::collections::BTreeMap;
use std::io;

/// Why a connection or a stream failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A system call failed.
    Io {
        /// What we were doing.
        doing: &'static str,
        /// The kernel's answer.
        kind: io::ErrorKind,
    },
    /// The peer closed the connection where more was due.
    Closed(&'static str),
    /// It took too long.
    Slow(&'static str),
    /// Not HTTP as RFC 9112 has it, or not what was asked for.
    Http(&'static str),
    /// An answer of another status than 200.
    Status(u16),
    /// The stream's content is not what the model was asked to say.
    Answer(&'static str),
}

impl Failure {
    /// A failed system call.
    pub(crate) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io { doing, kind: error.kind() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, kind } => write!(f, "{doing}: {kind}"),
            Self::Closed(during) => write!(f, "closed by the peer: {during}"),
            Self::Slow(doing) => write!(f, "took too long: {doing}"),
            Self::Http(what) => write!(f, "HTTP: {what}"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Answer(what) => write!(f, "answer: {what}"),
        }
    }
}

/// Failures by phase and text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    counts: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts `count` failures of one phase.
    pub(crate) fn add(&mut self, phase: &str, failure: &Failure, count: u64) {
        if count > 0 {
            *self.counts.entry(format!("{phase}: {failure}")).or_default() += count;
        }
    }

    /// All failures.
    pub(crate) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Text and number, ordered by text.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(text, count)| (text.as_str(), *count))
    }
}
