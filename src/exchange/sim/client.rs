//! Virtual clients: they send what their script says, read as fast as it says, and leave when it says so.
//!
//! Deliberately absent: judging what was received.

use core::time::Duration;

use crate::base::time::Moment;
use crate::exchange::sim::case::ClientStep;
use crate::exchange::sim::http::{Kind, Reader};
use crate::exchange::sim::report::End;
use crate::exchange::sim::world::{Arrival, Event, Side, World};

/// A client's state.
pub(super) struct Client {
    at: usize,
    /// What it has received, read.
    pub(super) reader: Reader,
    /// The same, raw; only the last bytes matter.
    recent: Vec<u8>,
    pace: Option<(usize, Duration)>,
    stopped: bool,
    hold: bool,
    answers: usize,
    requests: usize,
    sleeps_until: Moment,
    /// How the router ended the connection, as seen here.
    pub(super) end: Option<End>,
    ended: bool,
    /// A read is on its way.
    pub(super) reads_due: bool,
    /// Nothing is left to do.
    pub(super) done: bool,
    left: bool,
}

/// How much of what was received is kept for `until`.
const RECENT_BYTES: usize = 64 * 1024;

impl Client {
    pub(super) fn new() -> Self {
        Self {
            at: 0,
            reader: Reader::new(Kind::Response),
            recent: Vec::new(),
            pace: None,
            stopped: false,
            hold: false,
            answers: 0,
            requests: 0,
            sleeps_until: Moment::default(),
            end: None,
            ended: false,
            reads_due: false,
            done: false,
            left: false,
        }
    }

    /// The next step waits for an answer.
    pub(super) fn awaits_answer(&self, steps: &[ClientStep]) -> bool {
        !self.done && steps.get(self.at) == Some(&ClientStep::Answer)
    }

    /// It left, or stopped reading.
    pub(super) const fn left(&self) -> bool {
        self.left || self.stopped
    }
}

impl World<'_> {
    /// Goes on with a client's script as far as it can.
    pub(super) fn run_client(&mut self, session: usize) {
        while let Some(step) = self.next_client_step(session) {
            let client = &mut self.sessions[session].client;
            client.at += 1;
            self.note(|| format!("client {} {}", session + 1, describe(&step)));
            let client = &mut self.sessions[session].client;
            match step {
                ClientStep::Send(bytes) => {
                    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
                    client.requests += usize::from(line.windows(8).any(|part| part == b" HTTP/1."));
                    self.deliver(Side::Client(session), &bytes);
                }
                ClientStep::Bodyless => client.reader.bodyless.push(client.requests),
                ClientStep::Answer => client.answers += 1,
                ClientStep::Until(_) => {}
                ClientStep::Wait(time) | ClientStep::Rest(time) => {
                    client.sleeps_until = self.now + time;
                    self.schedule(time, Event::Client(session));
                }
                ClientStep::Pace(count, every) => client.pace = Some((count, every)),
                ClientStep::StopReading => client.stopped = true,
                ClientStep::Hold => client.hold = true,
                ClientStep::Fin => {
                    client.ended = true;
                    self.deliver_end(Side::Client(session), Arrival::Fin);
                }
                ClientStep::Leave | ClientStep::Reset => {
                    (client.ended, client.done, client.left) = (true, true, true);
                    let leaves = step == ClientStep::Leave;
                    let what = if leaves { Arrival::Fin } else { Arrival::Reset };
                    let socket = &mut self.sessions[session].socket;
                    socket.peer_gone = true;
                    let unread = !core::mem::take(&mut socket.outlet).is_empty();
                    self.deliver_end(Side::Client(session), what);
                    if unread && leaves {
                        // A close that leaves received bytes unread is a reset.
                        self.deliver_end(Side::Client(session), Arrival::Reset);
                    }
                    self.push_to_client(session);
                }
            }
        }
    }

    /// The next step, if it can be taken now.
    fn next_client_step(&mut self, session: usize) -> Option<ClientStep> {
        let client = &mut self.sessions[session].client;
        if client.done {
            return None;
        }
        let Some(step) = self.case.clients[session].get(client.at) else {
            client.done = true;
            return None;
        };
        let ready = match step {
            _ if self.now < client.sleeps_until => false,
            ClientStep::Answer => client.reader.complete() > client.answers,
            ClientStep::Until(text) => contains(&client.recent, text),
            _ => true,
        };
        ready.then(|| step.clone())
    }

    /// Sees to it that the client reads what there is.
    pub(super) fn wake_client(&mut self, session: usize) {
        let seat = &mut self.sessions[session];
        let something = !seat.socket.outlet.is_empty() || seat.socket.ended && seat.client.end.is_none();
        if something && !seat.client.reads_due && !seat.client.stopped && !seat.socket.peer_gone {
            seat.client.reads_due = true;
            let wait = seat.client.pace.map_or(Duration::ZERO, |(_, every)| every);
            let wait = wait + self.latency();
            self.schedule(wait, Event::ClientReads(session));
        }
    }

    /// The client reads.
    pub(super) fn client_reads(&mut self, session: usize) {
        let seat = &mut self.sessions[session];
        seat.client.reads_due = false;
        if seat.socket.peer_gone || seat.client.stopped {
            return;
        }
        let most = seat.client.pace.map_or(usize::MAX, |(count, _)| count);
        let count = seat.socket.outlet.len().min(most);
        let bytes: Vec<u8> = seat.socket.outlet.drain(..count).collect();
        let client = &mut seat.client;
        client.reader.push(&bytes);
        client.recent.extend_from_slice(&bytes);
        if client.recent.len() > 2 * RECENT_BYTES {
            client.recent.drain(..RECENT_BYTES);
        }
        if seat.socket.outlet.is_empty() && seat.socket.ended && seat.client.end.is_none() {
            self.client_sees_end(session);
        }
        self.push_to_client(session);
        self.run_client(session);
        self.wake_client(session);
    }

    fn client_sees_end(&mut self, session: usize) {
        let seat = &mut self.sessions[session];
        let end = if seat.resets { End::Reset } else { End::Closed };
        seat.client.end = Some(end);
        seat.client.reader.end(end == End::Closed);
        let client = &mut seat.client;
        client.done = true;
        if !client.hold && !client.ended {
            client.ended = true;
            self.deliver_end(Side::Client(session), Arrival::Fin);
        }
    }
}

fn describe(step: &ClientStep) -> String {
    match step {
        ClientStep::Send(bytes) => format!("sends {}", crate::exchange::sim::world::shown(bytes)),
        other => format!("{other:?}"),
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(bytes, text).is_some()
}
