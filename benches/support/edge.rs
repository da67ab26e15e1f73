//! The smallest edge there can be: performs an exchange's actions against memory, in one thread, at one
//! moment.
//!
//! What a worker does with sockets is done here with slices: a receive waits until the bench has bytes for
//! it, a send is complete as soon as it is asked for, a dial finds a pooled connection. The price of a copy
//! into the receive buffer stands in for the kernel's.
//! Deliberately absent: time that passes, failures, everything the simulator's cases are about.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use millrace::base::metrics::Counters;
use millrace::base::record::Usage;
use millrace::base::time::{Moment, UnixSeconds};
use millrace::control::vocabularies;
use millrace::exchange::{Action, CoreState, Cx, Exchange, Got, Input, Lane};
use millrace::policy::catalog::Snapshot;
use millrace::policy::count::{Vocabularies, VocabularyName};
use millrace::wire::buf::Lent;
use millrace::wire::journal::{Admit, Ending, Full, Journal, Sequence, Settle};
use millrace::wire::parcel::Parcel;

/// What tokens are counted with: loaded, as it is a moment after the first request.
static VOCABULARIES: LazyLock<Arc<Vocabularies>> = LazyLock::new(|| {
    let vocabularies = Vocabularies::default();
    vocabularies.put(vocabularies::read(VocabularyName::O200k).expect("it ships"));
    Arc::new(vocabularies)
});

/// One client connection and what its exchange has asked for.
pub(crate) struct Edge {
    snapshot: Arc<Snapshot>,
    core: CoreState,
    exchange: Exchange,
    actions: Vec<Action>,
    client_recv: Option<Lent>,
    origin_recv: Option<Lent>,
    client_send: Option<Parcel>,
    origin_send: Option<Parcel>,
    dialing: bool,
    /// Sent to the client, in bytes.
    pub(crate) client_bytes: usize,
    /// Sent to the origin, in bytes.
    pub(crate) origin_bytes: usize,
    /// What the client got, when it is kept.
    pub(crate) kept_answer: Option<Vec<u8>>,
    /// What the origin got, when it is kept.
    pub(crate) kept_request: Option<Vec<u8>>,
    /// How the last request ended.
    ended: Rc<Cell<Option<Ended>>>,
    /// Connections given back for reuse.
    pub(crate) reusable: u64,
}

impl Edge {
    /// A fresh connection that waits for its first bytes.
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        let mut core = CoreState::new(Arc::new(Counters::default()), [1, 2, 3]);
        let ended = Rc::default();
        core.journal = Some(Box::new(Desk { written: 0, ended: Rc::clone(&ended) }));
        core.vocabularies = Arc::clone(&VOCABULARIES);
        let mut edge = Self {
            exchange: Exchange::new(&snapshot, Moment::from_nanos(1)),
            snapshot,
            core,
            actions: Vec::with_capacity(8),
            client_recv: None,
            origin_recv: None,
            client_send: None,
            origin_send: None,
            dialing: false,
            client_bytes: 0,
            origin_bytes: 0,
            kept_answer: None,
            kept_request: None,
            ended,
            reusable: 0,
        };
        edge.step(None);
        edge
    }

    /// The client comes again on a new connection: one connection takes a bounded number of requests.
    pub(crate) fn reconnect(&mut self) {
        self.exchange = Exchange::new(&self.snapshot, Moment::from_nanos(1));
        self.step(None);
    }

    /// The client sends `bytes`.
    pub(crate) fn client_sends(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut lent = self.client_recv.take().expect("the exchange receives from its client");
            let count = fill(&mut lent, bytes);
            bytes = &bytes[count..];
            self.step(Some(Input::ClientRecv { lent, got: Got::Bytes(count) }));
        }
    }

    /// The origin sends `bytes`.
    pub(crate) fn origin_sends(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut lent = self.origin_recv.take().expect("the exchange receives from its origin");
            let count = fill(&mut lent, bytes);
            bytes = &bytes[count..];
            self.step(Some(Input::OriginRecv { lane: Lane::First, lent, got: Got::Bytes(count) }));
        }
    }

    /// The origin ends its side.
    pub(crate) fn origin_ends(&mut self) {
        let lent = self.origin_recv.take().expect("the exchange receives from its origin");
        self.step(Some(Input::OriginRecv { lane: Lane::First, lent, got: Got::End }));
    }

    /// How the last request ended, as it was written down; `None` while none has since this was asked.
    pub(crate) fn take_ended(&self) -> Option<Ended> {
        self.ended.take()
    }

    /// Tells the exchange one thing, and then whatever completes at once because of it.
    fn step(&mut self, input: Option<Input>) {
        self.one_step(input);
        while let Some(input) = self.completion() {
            self.one_step(Some(input));
        }
    }

    fn completion(&mut self) -> Option<Input> {
        if let Some(parcel) = self.origin_send.take() {
            return Some(Input::OriginSent { lane: Lane::First, parcel, ok: true });
        }
        if let Some(parcel) = self.client_send.take() {
            return Some(Input::ClientSent { parcel, ok: true });
        }
        core::mem::take(&mut self.dialing).then_some(Input::Dialed { lane: Lane::First, reused: true })
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::ClientRecv => self.client_recv = Some(self.exchange.lend_inbox()),
            Action::OriginRecv { lane } => self.origin_recv = Some(self.exchange.lend_window(lane)),
            Action::ClientSend => {
                let parcel = self.exchange.take_client_parcel();
                self.client_bytes += parcel.total();
                keep(&mut self.kept_answer, &parcel);
                self.client_send = Some(parcel);
            }
            Action::OriginSend { lane } => {
                let parcel = self.exchange.take_origin_parcel(lane);
                self.origin_bytes += parcel.total();
                keep(&mut self.kept_request, &parcel);
                self.origin_send = Some(parcel);
            }
            Action::Dial { .. } => self.dialing = true,
            Action::Release { reusable, .. } => self.reusable += u64::from(reusable),
            Action::Record(_)
            | Action::ClientEnd
            | Action::AbortDial { .. }
            | Action::ClientHalfClose
            | Action::Close { .. } => {
                panic!("{action:?}: nothing fails here")
            }
        }
    }

    fn one_step(&mut self, input: Option<Input>) {
        let mut cx = Cx {
            now: Moment::from_nanos(1),
            unix: UnixSeconds(1_763_625_600),
            snapshot: &self.snapshot,
            core: &mut self.core,
            actions: &mut self.actions,
        };
        match input {
            Some(input) => self.exchange.step(&mut cx, input),
            None => self.exchange.start(&mut cx),
        }
        let mut actions = core::mem::take(&mut self.actions);
        actions.drain(..).for_each(|action| self.perform(action));
        self.actions = actions;
    }
}

/// What the last settlement said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) ending: Ending,
    pub(crate) usage: Usage,
    pub(crate) answer_bytes: u64,
}

/// A journal that keeps the last settlement only.
#[derive(Debug)]
struct Desk {
    written: u64,
    ended: Rc<Cell<Option<Ended>>>,
}

impl Journal for Desk {
    fn admit(&mut self, admit: &Admit<'_>) -> Result<Sequence, Full> {
        core::hint::black_box(admit);
        self.written += 1;
        Ok(Sequence(self.written))
    }

    fn settle(&mut self, settle: &Settle<'_>) -> Sequence {
        let Settle { ending, usage, answer_bytes, .. } = *core::hint::black_box(settle);
        self.ended.set(Some(Ended { ending, usage, answer_bytes }));
        self.written += 1;
        Sequence(self.written)
    }
}

/// Appends what a parcel says.
fn keep(kept: &mut Option<Vec<u8>>, parcel: &Parcel) {
    if let Some(kept) = kept {
        parcel.pieces.iter().for_each(|piece| kept.extend_from_slice(parcel.bytes(*piece)));
    }
}

/// Copies as much of `bytes` as there is room for.
fn fill(lent: &mut Lent, bytes: &[u8]) -> usize {
    let room = &mut lent.storage[lent.filled..];
    let count = room.len().min(bytes.len());
    room[..count].copy_from_slice(&bytes[..count]);
    count
}
