//! The providers of a case on real sockets: each connection, and each further request on it, performs the
//! next section.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use millrace::exchange::sim::case::{Case, OriginStep};
use millrace::exchange::sim::http::{Kind, Message, Reader};
use millrace::exchange::sim::report::AttemptReport;
use socket2::SockRef;

use super::FACTOR;
use crate::harness::{Blackhole, PATIENCE, Refusing, until};

/// What all providers of a case share.
#[derive(Default)]
pub(super) struct Shared {
    attempts: Mutex<Vec<AttemptReport>>,
    unscripted: AtomicUsize,
    /// Connections that are being served.
    open: AtomicUsize,
    /// The case is over: nothing waits any longer.
    over: AtomicBool,
}

impl Shared {
    /// Ends what still waits, and lets every connection note what it has read.
    pub(super) fn finish(&self) {
        self.over.store(true, Ordering::Release);
        until("the origins of a case end", || self.open.load(Ordering::Acquire) == 0);
    }

    pub(super) fn report(&self) -> (Vec<AttemptReport>, usize) {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (attempts, self.unscripted.load(Ordering::Acquire))
    }

    fn note(&self, provider: usize, reused: bool, request: Option<&Message>) {
        let request = request.cloned();
        let attempt = AttemptReport { client: 0, record: 0, provider, reused, request, answer: None };
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
    }
}

type Sections = Mutex<VecDeque<Vec<OriginStep>>>;

/// Where a provider is.
enum Place {
    Refusing(Refusing),
    Blackhole(Blackhole),
    Unresolved,
    Listening { address: SocketAddr, tls: bool, shared: Arc<Shared> },
}

/// A provider of a case.
pub(super) struct Provider(Place);

impl Provider {
    pub(super) fn start(case: &Case, index: usize, shared: &Arc<Shared>) -> Self {
        let ours = case.origins.iter().filter(|origin| origin.provider == index);
        let sections: VecDeque<Vec<OriginStep>> = ours.map(|origin| origin.steps.clone()).collect();
        let first = sections.front().and_then(|steps| steps.first());
        Self(match first {
            Some(OriginStep::Refuse) => Place::Refusing(Refusing::new()),
            Some(OriginStep::Blackhole) => Place::Blackhole(Blackhole::new()),
            Some(OriginStep::Unresolved) => Place::Unresolved,
            other => {
                let tls = other == Some(&OriginStep::TlsFailure);
                Place::Listening {
                    address: listen(index, sections, tls, shared),
                    tls,
                    shared: Arc::clone(shared),
                }
            }
        })
    }

    pub(super) fn base_url(&self) -> String {
        match &self.0 {
            Place::Refusing(port) => format!("http://{}/v1", port.address),
            Place::Blackhole(port) => format!("http://{}/v1", port.address),
            Place::Unresolved => "http://nowhere.invalid/v1".to_owned(),
            Place::Listening { address, tls: false, .. } => format!("http://{address}/v1"),
            Place::Listening { address, tls: true, .. } => format!("https://{address}/v1"),
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Place::Listening { address, shared, .. } = &self.0 {
            shared.over.store(true, Ordering::Release);
            // Wakes the accepting thread, so that it sees the flag.
            let _ = TcpStream::connect_timeout(address, PATIENCE);
        }
    }
}

fn listen(
    provider: usize,
    sections: VecDeque<Vec<OriginStep>>,
    tls: bool,
    shared: &Arc<Shared>,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let address = listener.local_addr().expect("it is bound");
    let (shared, sections) = (Arc::clone(shared), Arc::new(Sections::new(sections)));
    thread::spawn(move || {
        for tcp in listener.incoming() {
            if shared.over.load(Ordering::Acquire) {
                return;
            }
            let (Ok(tcp), false) = (tcp, tls) else { continue };
            shared.open.fetch_add(1, Ordering::AcqRel);
            let (shared, sections) = (Arc::clone(&shared), Arc::clone(&sections));
            thread::spawn(move || {
                let open = Open(Arc::clone(&shared));
                let requests = Reader::new(Kind::Request);
                Connection { tcp, provider, requests, served: 0, shared }.serve(&sections);
                drop(open);
            });
        }
    });
    address
}

/// Counts a connection, also when its thread panics.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Connection {
    tcp: TcpStream,
    provider: usize,
    requests: Reader,
    /// Requests whose section was performed or has begun.
    served: usize,
    shared: Arc<Shared>,
}

/// How a section ended.
#[derive(PartialEq, Eq)]
enum Ended {
    /// Its steps are over.
    Done,
    /// The router has left, or the case is over.
    Gone,
    /// The origin has reset the connection.
    Reset,
}

impl Connection {
    fn serve(mut self, sections: &Sections) {
        let _ = self.tcp.set_nodelay(true);
        let mut next = Self::take(sections);
        loop {
            let Some(steps) = next else {
                self.shared.unscripted.fetch_add(1, Ordering::AcqRel);
                return self.reset();
            };
            let before = self.served;
            let ended = self.perform(&steps);
            if ended != Ended::Reset {
                // What was not awaited may still come: the request is read before it is judged.
                while ended == Ended::Done && self.requests.complete() <= before && self.read() {}
            }
            self.shared.note(self.provider, before > 0, self.requests.messages.get(before));
            match ended {
                Ended::Done => {}
                Ended::Gone => return,
                Ended::Reset => return self.reset(),
            }
            self.served = self.requests.messages.len();
            while self.requests.messages.len() == self.served && self.requests.at_boundary() {
                if !self.read() {
                    return;
                }
            }
            next = Self::take(sections);
        }
    }

    fn take(sections: &Sections) -> Option<Vec<OriginStep>> {
        sections.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn perform(&mut self, steps: &[OriginStep]) -> Ended {
        for step in steps {
            match step {
                OriginStep::Await => {
                    while self.requests.complete() <= self.served {
                        if !self.read() {
                            return Ended::Gone;
                        }
                    }
                    self.served += 1;
                }
                OriginStep::AwaitHead => {
                    while self.requests.messages.len() <= self.served {
                        if !self.read_most(1) {
                            return Ended::Gone;
                        }
                    }
                }
                OriginStep::Send(bytes) => {
                    if self.tcp.write_all(bytes).is_err() {
                        return Ended::Gone;
                    }
                }
                OriginStep::Wait(time) => {
                    if !self.wait(*time * FACTOR) {
                        return Ended::Gone;
                    }
                }
                OriginStep::Fin => {
                    let _ = self.tcp.shutdown(Shutdown::Write);
                }
                OriginStep::Reset
                | OriginStep::Refuse
                | OriginStep::Blackhole
                | OriginStep::Unresolved
                | OriginStep::TlsFailure => return Ended::Reset,
            }
        }
        Ended::Done
    }

    /// Waits; false when the router leaves meanwhile.
    fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let _ = self.tcp.set_read_timeout(Some(Duration::from_millis(1)));
        while Instant::now() < end {
            if self.shared.over.load(Ordering::Acquire) {
                return false;
            }
            match self.tcp.peek(&mut [0]) {
                Ok(0) => return false,
                // paced: bytes that the script does not read yet would make this a busy loop.
                Ok(_) => thread::sleep(Duration::from_millis(1)),
                Err(error) if is_pause(&error) => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn read(&mut self) -> bool {
        self.read_most(64 * 1024)
    }

    /// Reads some bytes; false at the end of the connection or of the case.
    fn read_most(&mut self, most: usize) -> bool {
        let mut bytes = vec![0; most];
        let _ = self.tcp.set_read_timeout(Some(Duration::from_millis(20)));
        loop {
            match self.tcp.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => {
                    self.requests.push(&bytes[..count]);
                    return true;
                }
                Err(error) if is_pause(&error) && !self.shared.over.load(Ordering::Acquire) => {}
                Err(_) => return false,
            }
        }
    }

    fn reset(self) {
        let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
