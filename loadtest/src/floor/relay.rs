//! The raw relay: what comes from one socket of a pair is sent to the other one, from the same memory.
//!
//! Deliberately absent: everything else. No parsing, no pooling of connections, no timer, no retry: this is
//! what the kernel's work alone costs, and so the yardstick for a proxy.

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::ring::{ECANCELED, ENOBUFS, Event, Payload, Received, Ring};

/// Receive buffers, and the bytes of each.
const BUFFERS: (u16, u32) = (512, 16 * 1024);
/// Buffers that may wait for one slow receiver; above it, its sender is not read.
const WAITING_MAX: usize = 16;
/// How long a connect to the target may take. It stalls the relay, and it is never on the measured path.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// One socket of a pair.
struct Side {
    socket: TcpStream,
    /// Received by the other side and to be sent here.
    waiting: VecDeque<Received>,
    /// A send is in flight.
    sending: bool,
    /// A receive is in flight.
    armed: bool,
    /// The receive is being ended because the other side is slow.
    stopping: bool,
    /// The peer has sent its last byte.
    ended: bool,
    /// Our sending half is shut down.
    shut: bool,
}

impl Side {
    fn new(socket: TcpStream) -> Self {
        let waiting = VecDeque::new();
        Self { socket, waiting, sending: false, armed: false, stopping: false, ended: false, shut: false }
    }

    fn is_quiet(&self) -> bool {
        !self.sending && !self.armed
    }
}

/// A client's connection and its own connection to the target.
struct Pair {
    sides: [Side; 2],
    /// Something failed: nothing more is sent, both sockets are shut down.
    failed: bool,
}

/// Which pair and side a token stands for: the pair's index times two, plus the side.
fn place(token: u32) -> (usize, usize) {
    ((token / 2) as usize, (token % 2) as usize)
}

fn token(pair: usize, side: usize) -> u32 {
    u32::try_from(pair * 2 + side).expect("fewer pairs than descriptors, fewer descriptors than 2^31")
}

/// The relay.
pub(super) struct Relay {
    ring: Ring,
    listener: TcpListener,
    target: SocketAddr,
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    /// Receives that found no buffer.
    starved: Vec<u32>,
}

impl Relay {
    /// A relay from `listener` to `target`.
    ///
    /// # Errors
    /// There is no io_uring, or it is too old.
    pub(super) fn new(listener: TcpListener, target: SocketAddr) -> io::Result<Self> {
        let ring = Ring::new(BUFFERS.0, BUFFERS.1)?;
        Ok(Self { ring, listener, target, pairs: Vec::new(), free: Vec::new(), starved: Vec::new() })
    }

    /// Relays until `stop` says so, which is asked after each batch and at least every `look`.
    ///
    /// # Errors
    /// The ring failed. A failure of one pair ends that pair.
    pub(super) fn run(&mut self, look: Option<Duration>, stop: impl Fn() -> bool) -> io::Result<()> {
        let mut events = Vec::new();
        self.ring.accept(&self.listener, 0)?;
        while !stop() {
            self.ring.wait(look, &mut events)?;
            for event in events.drain(..) {
                self.handle(event)?;
            }
            if !self.starved.is_empty() && self.ring.take_recycled() {
                for token in std::mem::take(&mut self.starved) {
                    self.arm(token)?;
                }
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Accepted { socket, .. } => self.open(TcpStream::from(socket)),
            Event::AcceptEnded { .. } => self.ring.accept(&self.listener, 0),
            Event::Received { token, outcome, armed } => self.received(token, outcome, armed),
            Event::Sent { token, payload, outcome } => {
                if let Payload::Received(received) = payload {
                    self.ring.recycle(received);
                }
                self.sent(token, outcome.is_ok())
            }
        }
    }

    /// Connects a new client to the target. A target that refuses closes the client, and nothing else.
    fn open(&mut self, client: TcpStream) -> io::Result<()> {
        let Ok(origin) = TcpStream::connect_timeout(&self.target, CONNECT_PATIENCE) else { return Ok(()) };
        // Only latency depends on it, so a refusal is not worth the connection.
        let _ = client.set_nodelay(true).and_then(|()| origin.set_nodelay(true));
        let pair = Pair { sides: [Side::new(client), Side::new(origin)], failed: false };
        let index = self.free.pop().unwrap_or_else(|| {
            self.pairs.push(None);
            self.pairs.len() - 1
        });
        self.pairs[index] = Some(pair);
        self.arm(token(index, 0))?;
        self.arm(token(index, 1))
    }

    fn arm(&mut self, at: u32) -> io::Result<()> {
        let (index, side) = place(at);
        let Some(pair) = self.pairs[index].as_mut() else { return Ok(()) };
        let from = &mut pair.sides[side];
        if from.armed || from.ended || pair.failed {
            return Ok(());
        }
        from.armed = true;
        self.ring.receive(&from.socket, at)
    }

    fn received(&mut self, at: u32, outcome: io::Result<Option<Received>>, armed: bool) -> io::Result<()> {
        let (index, side) = place(at);
        let pair = self.pairs[index].as_mut().expect("a pair stays until its last event");
        let from = &mut pair.sides[side];
        from.armed = armed;
        from.stopping &= armed;
        match outcome {
            Ok(Some(received)) if self.ring.bytes(&received).is_empty() => {
                self.ring.recycle(received);
                from.ended = true;
            }
            Ok(Some(received)) if pair.failed => self.ring.recycle(received),
            Ok(Some(received)) => {
                let to = &mut pair.sides[1 - side];
                to.waiting.push_back(received);
                let full = to.waiting.len() >= WAITING_MAX;
                let from = &mut pair.sides[side];
                if full && from.armed && !from.stopping {
                    from.stopping = true;
                    self.ring.stop_receiving(at)?;
                } else if !full && !armed {
                    from.armed = true;
                    self.ring.receive(&from.socket, at)?;
                }
            }
            Ok(None) => from.ended = true,
            Err(error) if error.raw_os_error() == Some(ENOBUFS) => self.starved.push(at),
            Err(error) if error.raw_os_error() == Some(ECANCELED) => {
                // Otherwise armed again by the send that catches up.
                if pair.sides[1 - side].waiting.len() < WAITING_MAX / 2 {
                    self.arm(at)?;
                }
            }
            Err(_) => self.fail(index),
        }
        self.push_on(index, 1 - side)
    }

    fn sent(&mut self, at: u32, whole: bool) -> io::Result<()> {
        let (index, side) = place(at);
        let pair = self.pairs[index].as_mut().expect("a pair stays until its last event");
        pair.sides[side].sending = false;
        if !whole {
            self.fail(index);
        }
        self.push_on(index, side)?;
        let caught_up = |pair: &Pair| pair.sides[side].waiting.len() < WAITING_MAX / 2;
        if self.pairs[index].as_ref().is_some_and(caught_up) {
            // Nothing happens where the receive is armed or waits for a buffer anyway.
            self.arm(token(index, 1 - side))?;
        }
        Ok(())
    }

    /// Sends what waits for one side, passes on the end of the stream behind it, and removes a pair that is
    /// over once the kernel holds nothing of it.
    fn push_on(&mut self, index: usize, side: usize) -> io::Result<()> {
        let Some(pair) = self.pairs[index].as_mut() else { return Ok(()) };
        let ended = pair.sides[1 - side].ended;
        let to = &mut pair.sides[side];
        if pair.failed {
            to.waiting.drain(..).for_each(|received| self.ring.recycle(received));
        } else if !to.sending {
            if let Some(received) = to.waiting.pop_front() {
                to.sending = true;
                let payload = Payload::Received(received);
                self.ring.send(&to.socket, token(index, side), payload)?;
            } else if ended && !to.shut {
                to.shut = true;
                // A peer that is gone already is told nothing.
                let _ = to.socket.shutdown(Shutdown::Write);
            }
        }
        let over = pair.failed || pair.sides.iter().all(|side| side.ended && side.shut);
        if over && pair.sides.iter().all(Side::is_quiet) {
            let waiting = pair.sides.iter_mut().flat_map(|side| side.waiting.drain(..));
            waiting.for_each(|received| self.ring.recycle(received));
            self.starved.retain(|token| place(*token).0 != index);
            self.pairs[index] = None;
            self.free.push(index);
        }
        Ok(())
    }

    /// Shuts both sockets of a pair down; their operations then complete by themselves.
    fn fail(&mut self, index: usize) {
        let Some(pair) = self.pairs[index].as_mut() else { return };
        pair.failed = true;
        for side in &mut pair.sides {
            let _ = side.socket.shutdown(Shutdown::Both);
        }
    }
}
