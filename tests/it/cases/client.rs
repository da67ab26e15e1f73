//! The clients of a case on real sockets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use millrace::exchange::sim::case::{Case, ClientStep};
use millrace::exchange::sim::http::{Kind, Reader};
use millrace::exchange::sim::report::{ClientReport, End};
use socket2::SockRef;

use super::pause;
use crate::harness::PATIENCE;

/// A connection that is expected to be kept is given this long to end nevertheless.
const KEPT: Duration = Duration::from_millis(40);

struct Performer {
    tcp: TcpStream,
    reader: Reader,
    received: Vec<u8>,
    pace: Option<(usize, Duration)>,
    end: Option<End>,
    hold: bool,
    /// Our own side is ended.
    ended: bool,
}

/// Performs the script of one client to its end.
pub(super) fn perform(case: &Case, index: usize, address: SocketAddr) -> ClientReport {
    let tcp = TcpStream::connect_timeout(&address, PATIENCE).expect("the proxy accepts");
    tcp.set_nodelay(true).expect("the socket is open");
    let reader = Reader::new(Kind::Response);
    let mut client =
        Performer { tcp, reader, received: Vec::new(), pace: None, end: None, hold: false, ended: false };
    let (mut answers, mut requests) = (0, 0);
    for step in &case.clients[index] {
        // What the router has ended goes on only where the case says so.
        if client.end.is_some() && !client.hold {
            break;
        }
        match step {
            ClientStep::Send(bytes) => {
                let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
                requests += usize::from(memchr::memmem::find(line, b" HTTP/1.").is_some());
                let _ = client.tcp.write_all(bytes);
            }
            ClientStep::Bodyless => client.reader.bodyless.push(requests),
            ClientStep::Answer => {
                client.read_until(PATIENCE, |client| client.reader.complete() > answers);
                answers += 1;
            }
            ClientStep::Until(text) => {
                client.read_until(PATIENCE, |client| memchr::memmem::find(&client.received, text).is_some());
            }
            ClientStep::Wait(time) => pause(*time),
            // paced: the router's own pauses are not a case's times, and not multiplied with them.
            ClientStep::Rest(time) => thread::sleep(*time),
            ClientStep::Pace(count, every) => client.pace = Some((*count, *every)),
            ClientStep::Hold => client.hold = true,
            ClientStep::Fin => {
                client.ended = true;
                let _ = client.tcp.shutdown(Shutdown::Write);
            }
            ClientStep::Leave => return client.left(),
            ClientStep::Reset => {
                let _ = SockRef::from(&client.tcp).set_linger(Some(Duration::ZERO));
                return client.left();
            }
            // Such cases are for the simulator.
            ClientStep::StopReading => {}
        }
    }
    let kept = case
        .expect
        .iter()
        .any(|expect| expect.client == index && expect.word == "connection" && expect.text == b"kept");
    client.read_until(if kept { KEPT } else { PATIENCE }, |_| false);
    client.report()
}

impl Performer {
    /// Reads until something is so, the connection ends, or the time is over.
    fn read_until(&mut self, limit: Duration, mut so: impl FnMut(&Self) -> bool) {
        let give_up = Instant::now() + limit;
        while self.end.is_none() && !so(self) {
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.read(left);
        }
    }

    fn read(&mut self, limit: Duration) {
        let (most, every) = self.pace.unwrap_or((64 * 1024, Duration::ZERO));
        if !every.is_zero() {
            // paced: the case says how often this client reads.
            thread::sleep(every);
        }
        let mut bytes = vec![0; most];
        self.tcp.set_read_timeout(Some(limit.max(Duration::from_millis(1)))).expect("it is not zero");
        match self.tcp.read(&mut bytes) {
            Ok(0) => self.ends(End::Closed),
            Ok(count) => {
                self.reader.push(&bytes[..count]);
                self.received.extend_from_slice(&bytes[..count]);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {}
                _ => self.ends(End::Reset),
            },
        }
    }

    fn ends(&mut self, end: End) {
        self.end = Some(end);
        self.reader.end(end == End::Closed);
        if !self.hold && !self.ended {
            self.ended = true;
            let _ = self.tcp.shutdown(Shutdown::Write);
        }
    }

    /// It leaves and sees nothing of what comes later; that the router closes too is seen in its counters.
    fn left(mut self) -> ClientReport {
        self.read_until(Duration::from_millis(1), |_| false);
        ClientReport { left: true, end: End::Closed, ..self.report() }
    }

    fn report(self) -> ClientReport {
        ClientReport {
            answers: self.reader.messages,
            flaw: self.reader.flaw,
            end: self.end.unwrap_or(End::Kept),
            records: Vec::new(),
            done: true,
            awaits_answer: false,
            left: false,
        }
    }
}
