//! A core in miniature: a ring, its spares and a few links, turned by hand until something has happened.
//!
//! Deliberately absent: tests, and peers (`tls_peers`, std sockets in threads).

use super::*;
use crate::base::time::Moment;
use crate::wire::spares::Spares;

/// One turn waits no longer than this for something to happen.
const TURN: Duration = Duration::from_millis(2);

/// What the receives of one link have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Filled buffers.
    pub(super) buffers: usize,
    /// Ends for want of a buffer.
    pub(super) dry: usize,
    /// Ends because the receive was stopped.
    pub(super) stopped: usize,
}

/// A ring and the links on it, by token.
pub(super) struct Turns {
    pub(super) ring: Ring,
    pub(super) spares: Spares,
    links: Vec<Option<(Link, Tally)>>,
    sent: Vec<(u32, Parcel, bool)>,
    polled: Vec<u32>,
    /// Sends that were over without a word of the kernel.
    pub(super) silent: usize,
}

impl Turns {
    /// `None` where the kernel has no such ring.
    pub(super) fn new() -> Option<Self> {
        if let Err(reason) = probe(DriverChoice::Uring) {
            let _unprinted = writeln!(std::io::stderr(), "our own ring is not tested: {reason}");
            return None;
        }
        let (ring, spares) = (Ring::new().unwrap(), Spares::default());
        Some(Self { ring, spares, links: Vec::new(), sent: Vec::new(), polled: Vec::new(), silent: 0 })
    }

    /// A link over an accepted connection.
    pub(super) fn open(&mut self, fd: AcceptedFd, tls: Option<Arc<ServerConfig>>) -> u32 {
        let mut link = Link::accepted(fd.into(), tls).unwrap();
        let token = u32::try_from(self.links.len()).unwrap();
        link.arm(&mut self.ring, token);
        self.links.push(Some((link, Tally::default())));
        token
    }

    /// A link in the clear and the other end of its connection.
    pub(super) fn pair(&mut self) -> (u32, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (self.open(near.into(), None), bounded(listener.accept().unwrap().0))
    }

    /// A link that is being connected; it may have been refused at once.
    pub(super) fn start(&mut self, target: &Target) -> Result<u32, ConnectFault> {
        let token = u32::try_from(self.links.len()).unwrap();
        let link =
            Link::dial(&mut self.ring, token, target)?.expect("no queue of a unix socket is full here");
        self.links.push(Some((link, Tally::default())));
        Ok(token)
    }

    /// Connects and performs the TLS handshake, as a worker does.
    pub(super) fn dial(&mut self, target: &Target) -> Result<u32, ConnectFault> {
        let token = self.start(target)?;
        self.until("connect(2) ends", |turns| turns.is_polled(token));
        self.with(token, |link, ring, _| link.connected(ring, token))?;
        let mut stands = Handshake::Running;
        self.until("the handshake ends", |turns| {
            stands = turns.with(token, |link, ring, spares| link.handshake(ring, token, spares));
            stands != Handshake::Running
        });
        if stands == Handshake::Done { Ok(token) } else { Err(ConnectFault::Tls) }
    }

    /// `connect(2)` has ended.
    pub(super) fn is_polled(&self, token: u32) -> bool {
        self.polled.contains(&token)
    }

    pub(super) fn link(&mut self, token: u32) -> &mut Link {
        &mut self.links[token as usize].as_mut().unwrap().0
    }

    pub(super) fn tally(&self, token: u32) -> Tally {
        self.links[token as usize].as_ref().unwrap().1
    }

    /// Lets a link work with the ring and the spares.
    pub(super) fn with<T>(
        &mut self,
        token: u32,
        work: impl FnOnce(&mut Link, &mut Ring, &mut Spares) -> T,
    ) -> T {
        let (link, _) = self.links[token as usize].as_mut().unwrap();
        work(link, &mut self.ring, &mut self.spares)
    }

    /// Waits once, not for long, and takes in what is done.
    pub(super) fn turn(&mut self) {
        self.ring.wake_by(clock::now() + TURN);
        self.ring.wait().unwrap();
        while let Some(done) = self.ring.next(&mut self.spares) {
            match done {
                Done::Received { token, got, armed } => {
                    let (link, tally) = self.links[token as usize].as_mut().unwrap();
                    match &got {
                        Arrival::Bytes(_) => tally.buffers += 1,
                        Arrival::Failed(libc::ENOBUFS) => tally.dry += 1,
                        Arrival::Failed(libc::ECANCELED) => tally.stopped += 1,
                        Arrival::End | Arrival::Failed(_) => {}
                    }
                    link.received(&mut self.ring, token, got, armed);
                }
                Done::Sent { token, slot, ok, silent } => {
                    self.silent += usize::from(silent);
                    let told = self.with(token, |link, ring, _| {
                        let ok = link.sent(ring, token, slot, ok)?;
                        Some((token, link.take_sent(ring), ok))
                    });
                    self.sent.extend(told);
                }
                Done::Ready { token } => {
                    self.link(token).polled();
                    self.polled.push(token);
                }
                Done::Filled { token, lent, got } => self.link(token).filled(lent, got),
                Done::Nothing => {}
            }
        }
    }

    /// Receives into `lent` as a worker does for a client: what waits first, then straight into it where it
    /// has much room. Also tells whether it came straight.
    #[track_caller]
    pub(super) fn recv_long(&mut self, token: u32, lent: Lent) -> (std::io::Result<usize>, Lent, bool) {
        let (mut lent, mut came) = (Some(lent), None);
        self.until("something is received", |turns| {
            turns.with(token, |link, ring, spares| {
                if let Some((lent, got)) = link.take_filled() {
                    came = Some((got, lent, true));
                } else if let Some(mut asked) = lent.take() {
                    match link.take(ring, token, &mut asked, spares) {
                        Some(got) => came = Some((got, asked, false)),
                        None => lent = link.receive_into(ring, token, asked),
                    }
                }
            });
            came.is_some()
        });
        came.unwrap()
    }

    /// Turns until the condition holds.
    #[track_caller]
    pub(super) fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let started = Instant::now();
        while !condition(self) {
            assert!(started.elapsed() < PATIENCE, "never: {what}");
            self.turn();
        }
    }

    /// Receives into `lent`, once something is there.
    #[track_caller]
    pub(super) fn recv(&mut self, token: u32, mut lent: Lent) -> (std::io::Result<usize>, Lent) {
        let mut taken = None;
        self.until("something is received", |turns| {
            taken = turns.with(token, |link, ring, spares| link.take(ring, token, &mut lent, spares));
            taken.is_some()
        });
        (taken.unwrap(), lent)
    }

    #[track_caller]
    pub(super) fn recv_exact(&mut self, token: u32, length: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < length {
            let (result, lent) = self.recv(token, room(length - all.len()));
            let count = result.unwrap();
            assert!(count > 0, "ended after {} of {length}", all.len());
            all.extend_from_slice(&lent.storage[..count]);
        }
        assert_eq!(all.len(), length);
        all
    }

    /// Receives until the proper end, `step` bytes of room at a time.
    #[track_caller]
    pub(super) fn recv_all(&mut self, token: u32, step: usize) -> std::io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let (result, lent) = self.recv(token, room(step));
            match result? {
                0 => return Ok(all),
                count => all.extend_from_slice(&lent.storage[..count]),
            }
        }
    }

    /// Starts a send.
    pub(super) fn send(&mut self, token: u32, parcel: Parcel) {
        self.with(token, |link, ring, _| link.send(ring, token, parcel, false));
    }

    /// Starts a send whose end nobody waits for.
    pub(super) fn send_silently(&mut self, token: u32, parcel: Parcel) {
        self.with(token, |link, ring, _| link.send(ring, token, parcel, true));
    }

    /// The parcel of a send that is over, and whether all of it went out.
    pub(super) fn take_sent(&mut self, token: u32) -> Option<(Parcel, bool)> {
        let at = self.sent.iter().position(|sent| sent.0 == token)?;
        let (_, parcel, ok) = self.sent.remove(at);
        Some((parcel, ok))
    }

    /// Turns until a send is over.
    #[track_caller]
    pub(super) fn sent(&mut self, token: u32) -> (Parcel, bool) {
        let mut back = None;
        self.until("a send is over", |turns| {
            back = turns.take_sent(token);
            back.is_some()
        });
        back.unwrap()
    }

    /// The idle check of a worker.
    pub(super) fn is_clean(&mut self, token: u32) -> bool {
        self.with(token, |link, ring, spares| link.is_clean(ring, token, spares))
    }

    /// Turns until the kernel holds nothing of a link, and closes it.
    #[track_caller]
    pub(super) fn close(&mut self, token: u32) {
        self.link(token).shutdown();
        self.until("the kernel lets go", |turns| turns.link(token).is_quiet());
        self.links[token as usize] = None;
    }

    /// Waits for alarms alone, and counts them.
    pub(super) fn wait_for_nothing(&mut self, by: Moment) -> usize {
        let mut count = 0;
        while clock::now() < by {
            self.ring.wake_by(by);
            self.ring.wait().unwrap();
            while let Some(done) = self.ring.next(&mut self.spares) {
                assert!(matches!(done, Done::Nothing), "{done:?}");
                count += 1;
            }
        }
        count
    }
}
