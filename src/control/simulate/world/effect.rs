//! What happens to endpoints: outages, brown-outs, storms of 429s, prices that change.
//!
//! Deliberately absent: when health notices.

use core::time::Duration;

use super::{Fate, REFUSED_AFTER, Target, rejected};
use crate::base::fault::{DeadlineKind, Fault};
use crate::base::limits::Deadlines;
use crate::base::money::PicoDollars;

/// Something that happens to some endpoints for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// Which endpoints.
    pub target: Target,
    /// Its beginning, in nanoseconds since the first request.
    pub from: u64,
    /// Its end; `u64::MAX` when it has none.
    pub until: u64,
    /// What.
    pub what: What,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// Nothing is answered.
    Outage(Outage),
    /// So many times slower, to the first token and behind it.
    BrownOut(f64),
    /// 429s.
    Storm {
        /// Which share of the requests, 0 to 1.
        share: f64,
        /// What they ask to wait.
        wait: Option<Duration>,
    },
    /// Another price, which the router knows at once.
    Price(Price),
}

/// How an outage shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// In new requests.
    pub fault: Fault,
    /// Answers under way break off when it begins.
    pub cuts: bool,
}

/// A change of price.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Price {
    /// All prices, so many times what they were.
    Times(f64),
    /// These, in place of those that were; `None` stays as it was.
    Is {
        /// Per prompt token.
        prompt: Option<PicoDollars>,
        /// Per completion token.
        completion: Option<PicoDollars>,
    },
}

impl Effect {
    pub(super) const fn is_price(&self) -> bool {
        matches!(self.what, What::Price(_))
    }

    pub(super) const fn window(&self) -> (u64, u64, What) {
        (self.from, self.until, self.what)
    }
}

impl Outage {
    /// What becomes of a request during it.
    pub(super) const fn fate(self, deadlines: &Deadlines) -> Fate {
        let at = match self.fault {
            Fault::Deadline(DeadlineKind::Connect) => deadlines.connect,
            Fault::Status(status) => return rejected(status, None),
            _ => REFUSED_AFTER,
        };
        Fate::Fails { at, fault: self.fault, wait: None }
    }
}
