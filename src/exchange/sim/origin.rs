//! Virtual origins: each connection performs the sections of its provider, one per dial and one per further
//! request.
//!
//! Deliberately absent: any understanding of what is asked; the script decides.

use crate::base::fault::Fault;
use crate::base::time::Moment;
use crate::exchange::Lane;
use crate::exchange::sim::case::OriginStep;
use crate::exchange::sim::http::{Kind, Reader};
use crate::exchange::sim::socket::Socket;
use crate::exchange::sim::world::{Arrival, Event, Side, World, shown};

/// How much an origin reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Whatever comes.
    All,
    /// Up to the end of the request's head.
    Head,
    /// Nothing.
    Nothing,
}

/// A connection to an origin.
pub(super) struct Connection {
    pub(super) provider: usize,
    pub(super) socket: Socket,
    /// The exchange it belongs to, or belonged to last.
    pub(super) session: usize,
    /// The lane on which it is, or was.
    pub(super) lane: Lane,
    /// The section in hand, and the step in it.
    script: Option<(usize, usize)>,
    reading: Reading,
    /// What the origin has read.
    pub(super) requests: Reader,
    /// What the router has handed to the kernel.
    pub(super) sent: Reader,
    /// What the router has received.
    pub(super) delivered: Reader,
    sleeps_until: Moment,
    /// Requests whose `await` was passed.
    served: usize,
    pub(super) reads_due: bool,
}

/// How a dial begins.
pub(super) enum Dialled {
    /// With this connection.
    Connection(usize),
    /// It fails.
    Fault(Fault),
    /// It never ends.
    Never,
}

impl World<'_> {
    /// A new connection to a provider, as its next section says.
    pub(super) fn open(&mut self, session: usize, lane: Lane, provider: usize) -> Dialled {
        let Some(section) = self.next_section(provider) else {
            return Dialled::Fault(Fault::ConnectRefused);
        };
        match self.case.origins[section].steps.first() {
            Some(OriginStep::Refuse) => return Dialled::Fault(Fault::ConnectRefused),
            Some(OriginStep::Unresolved) => return Dialled::Fault(Fault::NameUnresolved),
            Some(OriginStep::TlsFailure) => return Dialled::Fault(Fault::TlsHandshake),
            Some(OriginStep::Blackhole) => return Dialled::Never,
            _ => {}
        }
        self.connections.push(Connection {
            provider,
            socket: Socket::default(),
            session,
            lane,
            script: Some((section, 0)),
            reading: Reading::All,
            requests: Reader::new(Kind::Request),
            sent: Reader::new(Kind::Request),
            delivered: Reader::new(Kind::Response),
            sleeps_until: Moment::default(),
            served: 0,
            reads_due: false,
        });
        Dialled::Connection(self.connections.len() - 1)
    }

    fn next_section(&mut self, provider: usize) -> Option<usize> {
        let section = self.sections[provider].pop_front();
        if section.is_none() {
            self.unscripted += 1;
        }
        section
    }

    /// Goes on with an origin's script as far as it can.
    pub(super) fn run_origin(&mut self, id: usize) {
        while let Some(step) = self.next_origin_step(id) {
            let name = self.case.config.providers[self.connections[id].provider].name.clone();
            self.note(|| format!("origin {name} #{id} {}", describe(&step)));
            let connection = &mut self.connections[id];
            match step {
                OriginStep::Await => {
                    connection.served += 1;
                    connection.reading = Reading::All;
                }
                OriginStep::AwaitHead => connection.reading = Reading::Nothing,
                OriginStep::Send(bytes) => self.deliver(Side::Origin(id), &bytes),
                OriginStep::Wait(time) => {
                    connection.sleeps_until = self.now + time;
                    self.schedule(time, Event::Origin(id));
                }
                OriginStep::Fin => self.deliver_end(Side::Origin(id), Arrival::Fin),
                // On a connection that exists, what can only happen to a dial is its end.
                OriginStep::Reset
                | OriginStep::Refuse
                | OriginStep::Blackhole
                | OriginStep::Unresolved
                | OriginStep::TlsFailure => {
                    connection.socket.peer_gone = true;
                    connection.socket.outlet.clear();
                    self.deliver_end(Side::Origin(id), Arrival::Reset);
                    self.push_to_origin(id);
                }
            }
        }
    }

    /// The next step, if it can be taken now.
    fn next_origin_step(&mut self, id: usize) -> Option<OriginStep> {
        let now = self.now;
        let connection = &mut self.connections[id];
        let (section, at) = connection.script?;
        if now < connection.sleeps_until || connection.socket.shut {
            return None;
        }
        let Some(step) = self.case.origins[section].steps.get(at) else {
            connection.script = None;
            connection.reading = Reading::All;
            connection.served = connection.requests.messages.len();
            self.wake_origin(id);
            return None;
        };
        let ready = match step {
            OriginStep::Await => {
                connection.reading = Reading::All;
                connection.requests.complete() > connection.served
            }
            OriginStep::AwaitHead => {
                connection.reading = Reading::Head;
                connection.requests.messages.len() > connection.served
            }
            _ => true,
        };
        if !ready {
            self.wake_origin(id);
            return None;
        }
        self.connections[id].script = Some((section, at + 1));
        Some(step.clone())
    }

    /// Sees to it that the origin reads what there is.
    pub(super) fn wake_origin(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        let reads = connection.reading != Reading::Nothing && !connection.socket.peer_gone;
        if reads && !connection.socket.outlet.is_empty() && !connection.reads_due {
            connection.reads_due = true;
            let wait = self.latency();
            self.schedule(wait, Event::OriginReads(id));
        }
    }

    /// The origin reads.
    pub(super) fn origin_reads(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        connection.reads_due = false;
        if connection.script.is_none() && !connection.socket.outlet.is_empty() {
            let (provider, shut) = (connection.provider, connection.socket.shut);
            let section = if shut { None } else { self.next_section(provider) };
            let connection = &mut self.connections[id];
            connection.script = section.map(|section| (section, 0));
            if section.is_none() {
                connection.socket.peer_gone = true;
                connection.socket.outlet.clear();
                return self.deliver_end(Side::Origin(id), Arrival::Reset);
            }
        }
        let connection = &mut self.connections[id];
        if connection.reading == Reading::All {
            let bytes = core::mem::take(&mut connection.socket.outlet);
            connection.requests.push(&bytes);
        }
        while connection.reading == Reading::Head && !connection.socket.outlet.is_empty() {
            let byte = connection.socket.outlet.remove(0);
            connection.requests.push(&[byte]);
            if connection.requests.messages.len() > connection.served {
                connection.reading = Reading::Nothing;
            }
        }
        self.push_to_origin(id);
        self.run_origin(id);
        self.wake_origin(id);
    }
}

fn describe(step: &OriginStep) -> String {
    match step {
        OriginStep::Send(bytes) => format!("sends {}", shown(bytes)),
        other => format!("{other:?}"),
    }
}
