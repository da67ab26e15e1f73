//! What came out of a run.
//!
//! Deliberately absent: judging it (`check`, `expect`).

use crate::base::record::Record;
use crate::exchange::sim::http::Message;
use crate::exchange::sim::ledger::{Admitted, Settled};
use crate::exchange::sim::world::{Session, Tried, World};

/// How a client connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It did not: the router waits for the next request.
    Kept,
    /// In order.
    Closed,
    /// With a reset.
    Reset,
}

/// What a client got.
#[derive(Clone, Debug)]
pub struct ClientReport {
    /// Answers in order; the last one may be incomplete.
    pub answers: Vec<Message>,
    /// What is wrong with their bytes.
    pub flaw: Option<String>,
    /// How its connection ended.
    pub end: End,
    /// One per request, in order.
    pub records: Vec<Record>,
    /// The script was done, or the router ended the connection.
    pub done: bool,
    /// The script waits for an answer.
    pub awaits_answer: bool,
    /// It left, stopped reading, or was given up as too slow: it need not have got everything.
    pub left: bool,
}

/// What happened in one attempt.
#[derive(Clone, Debug)]
pub struct AttemptReport {
    /// Whose request.
    pub client: usize,
    /// Which of its records it belongs to.
    pub record: usize,
    /// Index of the provider.
    pub provider: usize,
    /// The connection came from the pool.
    pub reused: bool,
    /// The request as far as the router has sent it.
    pub request: Option<Message>,
    /// The answer as far as the router has received it.
    pub answer: Option<Message>,
}

/// What came out of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Per client.
    pub clients: Vec<ClientReport>,
    /// Every dial, in order.
    pub attempts: Vec<AttemptReport>,
    /// What was admitted, in order.
    pub admits: Vec<Admitted>,
    /// What was settled, in order.
    pub settles: Vec<Settled>,
    /// Request bytes still charged to the core.
    pub bodies_bytes: usize,
    /// Dials and requests for which no section was left.
    pub unscripted: usize,
}

impl World<'_> {
    /// What came out, now that nothing happens any more.
    pub(super) fn report(self) -> Report {
        let client = |(index, seat): (usize, &Session)| ClientReport {
            answers: seat.client.reader.messages.clone(),
            flaw: seat.client.reader.flaw.clone(),
            end: match (seat.over, seat.resets) {
                (false, _) => End::Kept,
                (true, false) => End::Closed,
                (true, true) => End::Reset,
            },
            records: seat.records.clone(),
            done: seat.client.done,
            awaits_answer: seat.client.awaits_answer(&self.case.clients[index]),
            left: seat.client.left() || seat.untaken,
        };
        let attempt = |tried: &Tried| {
            let connection = tried.connection.map(|id| &self.connections[id]);
            AttemptReport {
                client: tried.session,
                record: tried.record,
                provider: tried.provider,
                reused: tried.reused,
                request: connection.and_then(|one| one.sent.messages.get(tried.turn).cloned()),
                answer: connection.and_then(|one| one.delivered.messages.get(tried.turn).cloned()),
            }
        };
        Report {
            clients: self.sessions.iter().enumerate().map(client).collect(),
            attempts: self.tried.iter().map(attempt).collect(),
            admits: self.book.borrow().admits.clone(),
            settles: self.book.borrow().settles.clone(),
            bodies_bytes: self.core.bodies_bytes,
            unscripted: self.unscripted,
        }
    }
}
