//! Lanes: an exchange has one origin, and for as long as two candidates race, two. The fields of the exchange
//! and of its attempt are those of the lane in hand; what belongs to the other one lies here, boxed, so that
//! a request without a hedge pays for a pointer that is empty.
//!
//! ```text
//!  one origin ──► two that race ──► one in hand, one gone ──► one origin
//!           begun            first answer, or       its operations have
//!                            one has failed         all come home
//! ```
//!
//! An input of the other lane takes that lane in hand first, so everything that is written for one origin
//! holds for each of two. A lane that is gone is not taken in hand any more: its completions only bring
//! buffers home.
//! Deliberately absent: when a race begins, and who wins it (`hedge`).

use crate::base::metrics::Counter;
use crate::base::time::Moment;
use crate::exchange::run::Run;
use crate::exchange::{Action, Cx, Exchange, Input, OriginSide, Phase, State};
use crate::wire::buf::Buf;
use crate::wire::parcel::Parcel;

/// Which of the two origin connections that an exchange may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The one that every exchange begins with.
    First,
    /// In use once a second candidate was begun; it may serve the requests that follow, too.
    Second,
}

impl Lane {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::First, Self::Second];

    /// Its place in a table of two.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// The lane that is not in hand.
#[derive(Debug)]
pub(super) struct Other {
    origin: OriginSide,
    window: Buf,
    to_origin: Parcel,
    phase: Phase,
    pub(super) run: Run,
    /// Out of the race: only completions are still to come.
    gone: bool,
}

impl Other {
    /// It may still bring the answer.
    pub(super) const fn races(&self) -> bool {
        !self.gone
    }
}

impl Exchange {
    /// Another candidate is under way beside the one in hand.
    #[inline]
    pub(super) fn races(&self) -> bool {
        self.other.as_ref().is_some_and(|other| other.races())
    }

    /// When the phase of the other candidate has its deadline.
    #[inline]
    pub(super) fn other_due(&self) -> Moment {
        self.other.as_ref().filter(|other| other.races()).map_or(Moment::NEVER, |other| other.phase.due)
    }

    /// Sets the lane in hand aside, to race a candidate that begins on the one that is free.
    pub(super) fn set_aside(&mut self, next: Run) {
        let State::Attempt(attempt) = &mut self.state else { return };
        debug_assert!(self.other.is_none(), "there are two lanes");
        self.other = Some(Box::new(Other {
            origin: core::mem::take(&mut self.origin),
            window: core::mem::take(&mut self.window),
            to_origin: core::mem::take(&mut self.to_origin),
            phase: self.phase,
            run: core::mem::replace(&mut attempt.run, next),
            gone: false,
        }));
        self.lane = self.lane.opposite();
    }

    /// Takes the other lane in hand and lays this one aside.
    pub(super) fn turn(&mut self) {
        let (State::Attempt(attempt), Some(other)) = (&mut self.state, &mut self.other) else { return };
        core::mem::swap(&mut self.origin, &mut other.origin);
        core::mem::swap(&mut self.window, &mut other.window);
        core::mem::swap(&mut self.to_origin, &mut other.to_origin);
        core::mem::swap(&mut self.phase, &mut other.phase);
        core::mem::swap(&mut attempt.run, &mut other.run);
        self.lane = self.lane.opposite();
    }

    /// Sees to it that the lane something came for is in hand. False when it is gone.
    #[inline]
    pub(super) fn take_in_hand(&mut self, lane: Lane) -> bool {
        lane == self.lane || self.take_other_in_hand()
    }

    #[cold]
    fn take_other_in_hand(&mut self) -> bool {
        let races = self.races();
        if races {
            self.turn();
        }
        races
    }

    /// Parts from the other origin, which is out of the race. Its operations in flight still complete.
    pub(super) fn part_other(&mut self, cx: &mut Cx<'_>) {
        let lane = self.lane.opposite();
        let Some(other) = self.other.as_mut().filter(|other| !other.gone) else { return };
        other.gone = true;
        if !other.origin.released {
            if other.origin.dialing {
                cx.act(Action::AbortDial { lane });
            } else if other.origin.connected {
                cx.act(Action::Release { lane, reusable: false });
            }
        }
        if !other.origin.sending {
            // Written for a connection that never came, it would hold the request's bytes.
            other.to_origin.clear();
        }
        self.dismiss_other(cx);
    }

    /// Something of a lane that is gone has completed.
    pub(super) fn on_homecoming(&mut self, cx: &mut Cx<'_>, home: Input) {
        let lane = self.lane.opposite();
        let Some(other) = &mut self.other else { return };
        match home {
            Input::Dialed { reused, .. } => {
                other.origin.dialing = false;
                cx.count(if reused { Counter::UpstreamReuses } else { Counter::UpstreamConnects });
                // Nobody wants it any more, but nothing was sent on it: the next request may have it.
                cx.act(Action::Release { lane, reusable: true });
            }
            Input::DialFailed { .. } => other.origin.dialing = false,
            Input::OriginSent { .. } => other.origin.sending = false,
            Input::OriginRecv { lent, .. } => {
                other.origin.receiving = false;
                other.window.restore(lent, 0);
            }
            Input::ClientRecv { .. }
            | Input::ClientSent { .. }
            | Input::Deadline
            | Input::Drain
            | Input::Stop => {}
        }
        self.dismiss_other(cx);
    }

    /// Forgets the lane that is gone once nothing of it is in flight.
    fn dismiss_other(&mut self, cx: &mut Cx<'_>) {
        if let Some(other) = self.other.take_if(|other| other.gone && other.origin.quiet()) {
            cx.core.spares.recycle(other.window.into_storage());
        }
    }

    /// The window of a lane.
    #[inline]
    pub(super) fn window_of(&mut self, lane: Lane) -> &mut Buf {
        match &mut self.other {
            Some(other) if lane != self.lane => &mut other.window,
            Some(_) | None => &mut self.window,
        }
    }

    /// What goes to the origin of a lane.
    #[inline]
    pub(super) fn outgoing_of(&mut self, lane: Lane) -> &mut Parcel {
        match &mut self.other {
            Some(other) if lane != self.lane => &mut other.to_origin,
            Some(_) | None => &mut self.to_origin,
        }
    }
}
