//! The two sides of an exchange: what is in flight to and from the client, and to and from an origin.
//!
//! Deliberately absent: what the completions of these operations mean (`mod.rs` and the states).

use crate::base::fault::DeadlineKind;
use crate::base::time::Moment;

/// The client connection, apart from the request in hand.
#[derive(Debug, Default)]
pub(super) struct ClientSide {
    /// True exactly while a receive is in flight.
    pub(super) receiving: bool,
    /// True exactly while a send is in flight.
    pub(super) sending: bool,
    pub(super) requests: u32,
    pub(super) draining: bool,
}

/// The origin connection, if any.
#[derive(Debug, Default)]
pub(super) struct OriginSide {
    /// True exactly while a dial is in flight.
    pub(super) dialing: bool,
    /// A connection is ours.
    pub(super) connected: bool,
    /// True exactly while a receive is in flight.
    pub(super) receiving: bool,
    /// True exactly while a send is in flight.
    pub(super) sending: bool,
    /// We have parted from it; completions only bring buffers back.
    pub(super) released: bool,
}

impl OriginSide {
    pub(super) const fn quiet(&self) -> bool {
        !self.dialing && !self.receiving && !self.sending
    }
}

/// The deadline of the phase in hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    pub(super) due: Moment,
    pub(super) kind: DeadlineKind,
}
