//! The ring of one core: receives that stay armed and take their buffers from the core's spares, sends that
//! own their bytes, readiness, and one alarm. Nothing here waits but [`Ring::wait`].
//!
//! ```text
//!  spares ──► buffer ring ──kernel picks one──► Lent ──► exchange's window ──► client ──► spares
//! ```
//!
//! A receive is armed once per connection and completes for every arrival (Linux 6.0): no submission and no
//! poll per read. Only a long request body is received straight into its own storage. Whoever takes a filled
//! buffer owns it; the ring offers the kernel another one at once, so a slow reader cannot starve the others.
//!
//! Deliberately absent: what a connection is (`link`), and kernels before 6.1 (`runtime` falls back).
#![allow(unsafe_code, reason = "io_uring reads and writes memory behind the compiler's back")]

use core::ptr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use io_uring::types::{Fd, TimeoutFlags, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffers::Buffers;
use super::flight::{Cargo, Filling, Flight};
use crate::base::limits::WINDOW_FIRST_BYTES;
use crate::base::time::Moment;
use crate::wire::buf::Lent;
use crate::wire::parcel::Parcel;
use crate::wire::spares::Spares;

/// Entries of the submission queue; a full one is flushed.
const SUBMISSIONS: u32 = 1024;
/// Entries of the completion queue: an overflow is kept by the kernel, but costs.
const COMPLETIONS: u32 = 16 * 1024;

/// What the kernel finished. `token` is what the operation was started with.
#[derive(Debug)]
pub enum Done {
    /// The descriptor is ready for what was asked, or has failed.
    Ready {
        /// Of the poll.
        token: u32,
    },
    /// Something came in.
    Received {
        /// Of the receive.
        token: u32,
        /// What it was.
        got: Arrival,
        /// More will come without asking.
        armed: bool,
    },
    /// A receive into a buffer of the caller's is over.
    Filled {
        /// Of the receive.
        token: u32,
        /// The buffer, with its cursors as they were.
        lent: Lent,
        /// Bytes behind `filled`; 0 is the end.
        got: io::Result<usize>,
    },
    /// A send is over. Its cargo stays where it is until [`Ring::unload`].
    Sent {
        /// Of the send.
        token: u32,
        /// Where its cargo lies.
        slot: u32,
        /// All of it was taken by the kernel.
        ok: bool,
        /// It was over when the wait began, and the kernel said nothing of it.
        silent: bool,
    },
    /// The alarm, or the end of a cancellation.
    Nothing,
}

/// What a receive has brought.
#[derive(Debug)]
pub enum Arrival {
    /// A filled buffer.
    Bytes(Lent),
    /// The end.
    End,
    /// An `errno`, which ends the receive; `ENOBUFS` and `ECANCELED` are not the connection's fault.
    Failed(i32),
}

/// What a completion belongs to; the top byte of its user data.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Kind {
    Receive = 1,
    Send = 2,
    Poll = 3,
    Alarm = 4,
    Cancel = 5,
    Fill = 6,
}

/// Kind, slot of a send (24 bits) and the caller's token in one word.
const fn user_data(kind: Kind, slot: u32, token: u32) -> u64 {
    ((kind as u64) << 56) | ((slot as u64) << 32) | token as u64
}

/// One ring with its buffers. It belongs to the thread that made it.
pub struct Ring {
    ring: IoUring,
    buffers: Buffers,
    /// Sends in flight, by slot.
    flights: Vec<Flight>,
    free: Vec<u32>,
    /// Slots of the sends that are silent, and of some that were.
    silent: Vec<u32>,
    /// All of them were begun, and so ended, before the last wait.
    silent_over: bool,
    /// Receives that can still write into buffers.
    receives: usize,
    /// When the running alarm goes off.
    alarm: Moment,
    /// Its number: those it has overtaken still go off, and say nothing about this one.
    alarms: u32,
    alarm_at: Box<Timespec>,
}

impl Ring {
    /// A ring on the calling thread, which alone may use it.
    ///
    /// `DEFER_TASKRUN` (6.1) runs the kernel's share of a completion when we ask for completions, never in
    /// between; `SINGLE_ISSUER` (6.0) drops locking.
    ///
    /// # Errors
    /// The kernel's: no io_uring, too old, or too little memory allowed.
    pub fn new() -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_clamp().setup_cqsize(COMPLETIONS);
        let ring: IoUring = builder.build(SUBMISSIONS)?;
        let buffers = Buffers::new();
        // SAFETY: the address is page-aligned memory of `Buffers::COUNT` entries that lives as long as the
        // ring or, where operations may outlive it, for ever (see `Drop`).
        unsafe { ring.submitter().register_buf_ring(buffers.address(), Buffers::COUNT, Buffers::GROUP)? };
        Ok(Self {
            ring,
            buffers,
            flights: Vec::new(),
            free: Vec::new(),
            silent: Vec::new(),
            silent_over: false,
            receives: 0,
            alarm: Moment::NEVER,
            alarms: 0,
            alarm_at: Box::new(Timespec::new()),
        })
    }

    /// Receives until a [`Done::Received`] that is not armed any more. The socket stays open until then, and
    /// blocking: on others the kernel would answer "try again".
    pub fn receive(&mut self, socket: &impl AsFd, token: u32) {
        let entry = opcode::RecvMulti::new(fd(socket), Buffers::GROUP).build();
        self.push(&entry.user_data(user_data(Kind::Receive, 0, token)));
        self.receives += 1;
    }

    /// Receives one buffer. It brings no more than one however much the peer has sent, where an armed receive
    /// takes in all that is there before anyone could stop it.
    pub fn receive_once(&mut self, socket: &impl AsFd, token: u32) {
        let length = WINDOW_FIRST_BYTES as u32;
        let entry = opcode::Recv::new(fd(socket), ptr::null_mut(), length).buf_group(Buffers::GROUP).build();
        let entry = entry.flags(squeue::Flags::BUFFER_SELECT);
        self.push(&entry.user_data(user_data(Kind::Receive, 0, token)));
        self.receives += 1;
    }

    /// Receives once into the room of `lent`, which must not be empty.
    pub fn receive_into(&mut self, socket: &impl AsFd, token: u32, lent: Lent) {
        debug_assert!(lent.filled < lent.storage.len(), "a receive needs room");
        self.take_off(Kind::Fill, socket, token, Cargo::Room(Filling(lent)));
    }

    /// Ends the receive of `token`; its last completion is `ECANCELED`, or what came first.
    pub fn stop_receiving(&mut self, token: u32) {
        let entry = opcode::AsyncCancel::new(user_data(Kind::Receive, 0, token)).build();
        self.push(&entry.user_data(user_data(Kind::Cancel, 0, 0)));
    }

    /// Completes once when `events` (of `poll(2)`) are there.
    pub fn poll(&mut self, socket: &impl AsFd, events: i16, token: u32) {
        let entry = opcode::PollAdd::new(fd(socket), events as u32).build();
        self.push(&entry.user_data(user_data(Kind::Poll, 0, token)));
    }

    /// Sends all of `bytes`. The socket stays open until [`Done::Sent`]; one send per socket at a time.
    pub(super) fn send(&mut self, socket: &impl AsFd, token: u32, bytes: Vec<u8>) {
        self.take_off(Kind::Send, socket, token, Cargo::Bytes(bytes, 0));
    }

    /// Sends a parcel. A `silent` send does not end the wait when the kernel takes all of it at once, as it
    /// does with nearly every short one: [`Done::Sent`] then comes with the next thing that happens.
    #[inline]
    pub(super) fn send_parcel(&mut self, socket: &impl AsFd, token: u32, parcel: Parcel, silent: bool) {
        let slot = self.slot();
        let flight = &mut self.flights[slot as usize];
        flight.board(parcel, silent);
        (flight.fd, flight.token) = (fd(socket).0, token);
        if flight.silent {
            self.silent.push(slot);
        }
        let entry = flight.entry().user_data(user_data(Kind::Send, slot, token));
        self.push(&entry);
    }

    fn take_off(&mut self, kind: Kind, socket: &impl AsFd, token: u32, cargo: Cargo) {
        let slot = self.slot();
        let flight = &mut self.flights[slot as usize];
        flight.cargo = cargo;
        (flight.fd, flight.token, flight.silent) = (fd(socket).0, token, false);
        self.launch(kind, slot, token);
    }

    /// A free place.
    #[inline]
    fn slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.flights.push(Flight::vacant());
            u32::try_from(self.flights.len() - 1).expect("fewer sends than descriptors")
        })
    }

    /// Begins what is left of a flight.
    #[cold]
    fn launch(&mut self, kind: Kind, slot: u32, token: u32) {
        let entry = self.flights[slot as usize].entry().user_data(user_data(kind, slot, token));
        self.push(&entry);
    }

    /// Takes the parcel of a send that is over.
    #[inline]
    pub(super) fn unload_parcel(&mut self, slot: u32) -> Parcel {
        self.free.push(slot);
        self.flights[slot as usize].take_parcel()
    }

    /// Takes the bytes of a send that is over; `None` if it was something else.
    pub(super) fn unload_bytes(&mut self, slot: u32) -> Option<Vec<u8>> {
        match self.unload(slot) {
            Cargo::Bytes(bytes, _) => Some(bytes),
            _ => None,
        }
    }

    fn unload(&mut self, slot: u32) -> Cargo {
        self.free.push(slot);
        core::mem::replace(&mut self.flights[slot as usize].cargo, Cargo::Nothing)
    }

    /// Makes [`Ring::wait`] return at `moment` at the latest. Moving it later costs nothing: the wait then
    /// returns early once.
    pub fn wake_by(&mut self, moment: Moment) {
        if moment >= self.alarm {
            return;
        }
        self.alarm = moment;
        self.alarms = self.alarms.wrapping_add(1);
        let nanos = moment.nanos();
        *self.alarm_at = Timespec::new().sec(nanos / 1_000_000_000).nsec((nanos % 1_000_000_000) as u32);
        let entry = opcode::Timeout::new(&raw const *self.alarm_at).flags(TimeoutFlags::ABS).build();
        self.push(&entry.user_data(user_data(Kind::Alarm, 0, self.alarms)));
    }

    /// Submits what was started and waits for at least one completion.
    ///
    /// # Errors
    /// The kernel's. Being interrupted is none, nor is a lack of memory for requests (`EAGAIN`): what was not
    /// submitted stays in the queue for the next wait.
    pub fn wait(&mut self) -> io::Result<()> {
        const PASSING: [i32; 3] = [libc::EINTR, libc::EBUSY, libc::EAGAIN];
        let waited = self.ring.submit_and_wait(1);
        if !self.silent.is_empty() {
            // What the kernel has begun of them has also ended, and what did not end well is among the
            // completions, unless those overflowed.
            let begun = self.ring.submission();
            self.silent_over = begun.is_empty() && !begun.cq_overflow();
        }
        match waited {
            Err(error) if !error.raw_os_error().is_some_and(|code| PASSING.contains(&code)) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The next thing that is done, without waiting. A received buffer is replaced from `spares`.
    #[inline(always)]
    pub fn next(&mut self, spares: &mut Spares) -> Option<Done> {
        let Some(done) = self.ring.completion().next() else { return self.next_silent() };
        let (data, result) = (done.user_data(), done.result());
        let token = (data & 0xffff_ffff) as u32;
        let slot = (data >> 32 & 0xff_ffff) as u32;
        Some(match (data >> 56) as u8 {
            kind if kind == Kind::Receive as u8 => self.received(token, result, done.flags(), spares),
            kind if kind == Kind::Send as u8 => self.sent(slot, token, result),
            kind if kind == Kind::Fill as u8 => self.filled(slot, token, result),
            kind if kind == Kind::Poll as u8 => Done::Ready { token },
            kind if kind == Kind::Alarm as u8 && token == self.alarms => {
                self.alarm = Moment::NEVER;
                Done::Nothing
            }
            _ => Done::Nothing,
        })
    }

    /// The next silent send that is over. It comes after all completions: one that failed, or was taken in
    /// part, has spoken up there.
    fn next_silent(&mut self) -> Option<Done> {
        while self.silent_over {
            let Some(slot) = self.silent.pop() else {
                self.silent_over = false;
                break;
            };
            let flight = &mut self.flights[slot as usize];
            if core::mem::take(&mut flight.silent) {
                return Some(Done::Sent { token: flight.token, slot, ok: true, silent: true });
            }
        }
        None
    }

    #[inline(always)]
    fn received(&mut self, token: u32, result: i32, flags: u32, spares: &mut Spares) -> Done {
        let armed = cqueue::more(flags);
        self.receives -= usize::from(!armed);
        let buffer = cqueue::buffer_select(flags).map(|buffer| self.buffers.replace(buffer, spares.window()));
        let got = match (usize::try_from(result), buffer) {
            (Ok(0), unused) => {
                unused.into_iter().for_each(|storage| spares.recycle(storage));
                Arrival::End
            }
            (Ok(filled), Some(storage)) => {
                debug_assert!(filled <= storage.len());
                Arrival::Bytes(Lent { filled: filled.min(storage.len()), storage, taken: 0 })
            }
            (Ok(_), None) => Arrival::Failed(libc::EIO),
            (Err(_), unused) => {
                unused.into_iter().for_each(|storage| spares.recycle(storage));
                Arrival::Failed(-result)
            }
        };
        Done::Received { token, got, armed }
    }

    #[cold]
    fn filled(&mut self, slot: u32, token: u32, result: i32) -> Done {
        if result == -libc::EINTR {
            self.launch(Kind::Fill, slot, token);
            return Done::Nothing;
        }
        let Cargo::Room(Filling(lent)) = self.unload(slot) else { return Done::Nothing };
        let got = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
        Done::Filled { token, lent, got }
    }

    #[inline(always)]
    fn sent(&mut self, slot: u32, token: u32, result: i32) -> Done {
        let flight = &mut self.flights[slot as usize];
        // Whatever the kernel says of a silent send: from now on it is one like the others.
        let silent = core::mem::take(&mut flight.silent);
        let ok = match usize::try_from(result) {
            Ok(count) => {
                flight.advance(count);
                let rest = !flight.is_done();
                if rest && count > 0 {
                    self.launch(Kind::Send, slot, token);
                    return Done::Nothing;
                }
                !rest
            }
            Err(_) if result == -libc::EINTR || silent && result == -libc::EAGAIN => {
                self.launch(Kind::Send, slot, token);
                return Done::Nothing;
            }
            Err(_) => false,
        };
        Done::Sent { token, slot, ok, silent: false }
    }

    #[inline]
    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: what an entry points at is a flight kept in `flights` until its completion, the alarm's
        // time, which is read when the entry is submitted and lies in a box of its own, or nothing; receives
        // write into the registered buffers alone.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            // The queue is full. Submitting cannot fail for good: at worst the completion queue must be read
            // first, and the kernel keeps what does not fit.
            let _again = self.ring.submit();
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel ends operations some time after the ring is closed. What it may still touch is leaked:
        // rings live as long as their process, so this is a bounded loss in tests.
        if self.receives > 0 {
            self.buffers.leak();
        }
        self.flights.drain(..).for_each(core::mem::forget);
    }
}

fn fd(socket: &impl AsFd) -> Fd {
    let raw: RawFd = socket.as_fd().as_raw_fd();
    Fd(raw)
}
