//! A safe face over one io_uring: multishot accept and receive with provided buffers, and sends that own
//! their bytes until the kernel is done with them.
//!
//! ```text
//!  kernel ──picks a free buffer──► Received ──► send from the same memory ──► Sent ──► recycle ──┐
//!     ▲                                                                                          │
//!     └──────────────────────────────── buffer ring ◄────────────────────────────────────────────┘
//! ```
//! Deliberately absent: sockets (the caller owns them and keeps them open until their last event), parsing,
//! and kernels before 6.1; this is a yardstick for current ones, not a portable runtime.
#![allow(unsafe_code, reason = "io_uring hands memory to the kernel; only this file does so")]

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};
use core::time::Duration;
use std::alloc;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use io_uring::types::{BufRingEntry, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

/// Entries of the submission queue; a full one is flushed.
const SUBMISSIONS: u32 = 1024;
/// Entries of the completion queue.
const COMPLETIONS: u32 = 8 * 1024;
/// The one group of provided buffers.
const GROUP: u16 = 0;
/// Alignment of the buffer ring (`io_uring_register_buf_ring(3)`).
const PAGE_BYTES: usize = 4096;

/// The flags of `send(2)`: a short send is continued by the kernel, a closed peer is an error and no signal.
const SEND_FLAGS: i32 = MSG_WAITALL | MSG_NOSIGNAL;
/// From `linux/socket.h`.
const MSG_WAITALL: i32 = 0x100;
/// From `linux/socket.h`.
const MSG_NOSIGNAL: i32 = 0x4000;

/// Bytes that the kernel put into a provided buffer. Whoever holds it owns that buffer; it goes back with
/// [`Ring::recycle`]. One that is dropped is lost to the ring, never freed twice.
#[derive(Debug)]
#[must_use = "a buffer that is not recycled is lost to the ring"]
pub(crate) struct Received {
    buffer: u16,
    length: u32,
}

/// What is sent.
#[derive(Debug)]
pub(crate) enum Payload {
    /// A received buffer, sent from where it is.
    Received(Received),
    /// Bytes of our own.
    Owned(Vec<u8>),
}

/// Something the kernel finished.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection on the listener with this token.
    Accepted { token: u32, socket: OwnedFd },
    /// The multishot accept of this token is over; arm it again.
    AcceptEnded { token: u32 },
    /// Bytes from a socket; `Ok(None)` is the end of the stream.
    Received { token: u32, outcome: io::Result<Option<Received>>, armed: bool },
    /// A send is done; the payload is the caller's again.
    Sent { token: u32, payload: Payload, outcome: io::Result<()> },
}

/// What a completion belongs to; the top byte of its user data.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Kind {
    Accept = 1,
    Receive = 2,
    Send = 3,
    Cancel = 4,
}

/// Kind, slot of a send (24 bits) and the caller's token in one word.
const fn user_data(kind: Kind, slot: u32, token: u32) -> u64 {
    ((kind as u64) << 56) | ((slot as u64) << 32) | token as u64
}

/// One ring with its buffers. It belongs to the thread that made it.
pub(crate) struct Ring {
    ring: IoUring,
    buffers: Buffers,
    /// Payloads the kernel reads from, by slot.
    sends: Vec<Option<Payload>>,
    free_sends: Vec<u32>,
    /// Multishot receives that can still write into buffers.
    receives: usize,
    /// Buffers that came back since the last look.
    recycled: bool,
}

impl Ring {
    /// A ring with `count` (a power of two, at most 32,768) receive buffers of `bytes` each.
    ///
    /// # Errors
    /// The kernel's: no io_uring, too old (before 6.1), or too little memory allowed.
    pub(crate) fn new(count: u16, bytes: u32) -> io::Result<Self> {
        assert!(count.is_power_of_two() && count <= 1 << 15, "the kernel wants a power of two");
        let mut builder = IoUring::builder();
        builder
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_clamp()
            .setup_cqsize(COMPLETIONS);
        let ring: IoUring = builder.build(SUBMISSIONS)?;
        let buffers = Buffers::new(count, bytes);
        // SAFETY: the address is page-aligned memory for `count` entries that lives as long as the ring or,
        // if operations are then still in flight, for ever (see `Drop`).
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.entries.as_ptr() as u64,
                count,
                GROUP,
                0,
            )?;
        }
        let (sends, free_sends) = (Vec::new(), Vec::new());
        Ok(Self { ring, buffers, sends, free_sends, receives: 0, recycled: false })
    }

    /// Accepts connections on `listener` until [`Event::AcceptEnded`].
    ///
    /// # Errors
    /// The submission queue could not be flushed.
    pub(crate) fn accept(&mut self, listener: &impl AsFd, token: u32) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(fd(listener)).build();
        self.push(&entry.user_data(user_data(Kind::Accept, 0, token)))
    }

    /// Receives from `socket` until an event that is not armed any more. The socket stays open until then.
    ///
    /// # Errors
    /// The submission queue could not be flushed.
    pub(crate) fn receive(&mut self, socket: &impl AsFd, token: u32) -> io::Result<()> {
        let entry = opcode::RecvMulti::new(fd(socket), GROUP).build();
        self.push(&entry.user_data(user_data(Kind::Receive, 0, token)))?;
        self.receives += 1;
        Ok(())
    }

    /// Ends the multishot receive of `token`; its last event is an error with `ECANCELED`, or what came
    /// first.
    ///
    /// # Errors
    /// The submission queue could not be flushed.
    pub(crate) fn stop_receiving(&mut self, token: u32) -> io::Result<()> {
        let entry = opcode::AsyncCancel::new(user_data(Kind::Receive, 0, token)).build();
        self.push(&entry.user_data(user_data(Kind::Cancel, 0, token)))
    }

    /// Sends the whole payload. The socket stays open until [`Event::Sent`]; at most one send per socket is
    /// in flight, which is the caller's to hold.
    ///
    /// # Errors
    /// The submission queue could not be flushed.
    pub(crate) fn send(&mut self, socket: &impl AsFd, token: u32, payload: Payload) -> io::Result<()> {
        let slot = self.free_sends.pop().unwrap_or_else(|| {
            self.sends.push(None);
            u32::try_from(self.sends.len() - 1).expect("fewer sends than sockets, fewer sockets than 2^24")
        });
        let bytes = self.payload_bytes(&payload);
        let (start, length) = (bytes.as_ptr(), u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let entry = opcode::Send::new(fd(socket), start, length).flags(SEND_FLAGS).build();
        // The bytes do not move with the payload: a vector's are on the heap, a buffer's in the ring's
        // memory.
        self.sends[slot as usize] = Some(payload);
        self.push(&entry.user_data(user_data(Kind::Send, slot, token)))
    }

    /// The bytes of a received buffer.
    pub(crate) fn bytes(&self, received: &Received) -> &[u8] {
        self.buffers.bytes(received)
    }

    fn payload_bytes<'a>(&'a self, payload: &'a Payload) -> &'a [u8] {
        match payload {
            Payload::Received(received) => self.buffers.bytes(received),
            Payload::Owned(bytes) => bytes,
        }
    }

    /// Gives a buffer back to the kernel.
    pub(crate) fn recycle(&mut self, received: Received) {
        self.buffers.provide(received.buffer);
        self.recycled = true;
    }

    /// True if buffers came back since the last call: receives that ran out of them may be armed again.
    pub(crate) fn take_recycled(&mut self) -> bool {
        core::mem::take(&mut self.recycled)
    }

    /// Submits what is queued, waits for at least one completion or until `patience` is over, and appends
    /// everything that is done to `events`. A patience of zero only looks: the kernel's flag says whether
    /// there is anything, so that a caller who looks all the time makes no system call for nothing.
    ///
    /// # Errors
    /// The kernel's; being interrupted or timing out is none.
    pub(crate) fn wait(&mut self, patience: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        let outcome = match patience {
            None => self.ring.submit_and_wait(1),
            Some(Duration::ZERO) => self.look(),
            Some(patience) => {
                let until = Timespec::from(patience);
                self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&until))
            }
        };
        match outcome {
            Err(error) if !matches!(error.raw_os_error(), Some(ETIME | EINTR | EBUSY)) => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let Self { ring, sends, free_sends, receives, .. } = self;
        for done in ring.completion() {
            finish(&done, sends, free_sends, receives, events);
        }
        Ok(())
    }

    fn look(&mut self) -> io::Result<usize> {
        let queue = self.ring.submission();
        if queue.is_empty() && !queue.taskrun() && !queue.cq_overflow() {
            return Ok(0);
        }
        drop(queue);
        self.ring.submit()
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: what the entry points at is a payload kept in `sends` until its completion, or nothing;
        // receives write into the registered buffers alone.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit()?;
        }
        Ok(())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel ends operations some time after the ring is closed. What it may still touch is leaked:
        // rings live as long as their process, so this is a bounded loss in tests.
        if self.receives > 0 {
            self.buffers.leak = true;
        }
        for payload in self.sends.drain(..).flatten() {
            self.buffers.leak = true;
            core::mem::forget(payload);
        }
    }
}

/// Linux error numbers, the same on every architecture we build for.
const EINTR: i32 = 4;
/// See [`EINTR`].
const EBUSY: i32 = 16;
/// See [`EINTR`].
const ETIME: i32 = 62;
/// No provided buffer was free.
pub(crate) const ENOBUFS: i32 = 105;
/// The operation was cancelled.
pub(crate) const ECANCELED: i32 = 125;

fn fd(socket: &impl AsFd) -> Fd {
    Fd(socket.as_fd().as_raw_fd())
}

/// Appends what a completion means; nothing for a cancellation's own.
fn finish(
    done: &cqueue::Entry,
    sends: &mut [Option<Payload>],
    free_sends: &mut Vec<u32>,
    receives: &mut usize,
    events: &mut Vec<Event>,
) {
    let (data, result) = (done.user_data(), done.result());
    let token = (data & 0xffff_ffff) as u32;
    let more = cqueue::more(done.flags());
    let error = || io::Error::from_raw_os_error(-result);
    if data >> 56 == Kind::Accept as u64 {
        if result >= 0 {
            // SAFETY: the kernel just made this descriptor for us and nobody else has it.
            let socket = unsafe { OwnedFd::from_raw_fd(result) };
            events.push(Event::Accepted { token, socket });
        }
        if !more {
            events.push(Event::AcceptEnded { token });
        }
    } else if data >> 56 == Kind::Receive as u64 {
        *receives -= usize::from(!more);
        let received = cqueue::buffer_select(done.flags())
            .map(|buffer| Received { buffer, length: u32::try_from(result).unwrap_or(0) });
        let outcome = if result < 0 { Err(error()) } else { Ok(received) };
        events.push(Event::Received { token, outcome, armed: more });
    } else if data >> 56 == Kind::Send as u64 {
        let slot = (data >> 32 & 0xff_ffff) as u32;
        let Some(payload) = sends.get_mut(slot as usize).and_then(Option::take) else { return };
        free_sends.push(slot);
        let outcome = if result < 0 { Err(error()) } else { Ok(()) };
        events.push(Event::Sent { token, payload, outcome });
    }
}

/// The provided buffers and the ring that offers them to the kernel.
struct Buffers {
    entries: NonNull<BufRingEntry>,
    storage: NonNull<u8>,
    count: u16,
    bytes: u32,
    tail: u16,
    /// Set when the kernel may still write here after the ring is gone.
    leak: bool,
}

impl Buffers {
    fn new(count: u16, bytes: u32) -> Self {
        let (ring, storage) = Self::layouts(count, bytes);
        let mut buffers = Self {
            entries: allocate(ring).cast(),
            storage: allocate(storage),
            count,
            bytes,
            tail: 0,
            leak: false,
        };
        (0..count).for_each(|buffer| buffers.provide(buffer));
        buffers
    }

    fn layouts(count: u16, bytes: u32) -> (Layout, Layout) {
        let layout = |size| Layout::from_size_align(size, PAGE_BYTES).expect("some MiB, page-aligned");
        let count = usize::from(count);
        (layout(count * size_of::<BufRingEntry>()), layout(count * bytes as usize))
    }

    fn start(&self, buffer: u16) -> *mut u8 {
        assert!(buffer < self.count, "the kernel returns the buffers it was given");
        // SAFETY: the buffer is one of `count`, so its start is inside the storage.
        unsafe { self.storage.as_ptr().add(usize::from(buffer) * self.bytes as usize) }
    }

    /// Offers a buffer to the kernel, which reads entries up to the published tail.
    fn provide(&mut self, buffer: u16) {
        let start = self.start(buffer) as u64;
        // SAFETY: the index is below `count`. The kernel does not read the entry: it is behind the tail,
        // because at most `count` buffers exist and this one was not in the ring.
        let entry = unsafe { self.entries.add(usize::from(self.tail & (self.count - 1))).as_mut() };
        entry.set_addr(start);
        entry.set_len(self.bytes);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the address is the ring's first entry, live and initialised; the tail is a u16 inside it
        // that both sides access atomically.
        let tail = unsafe { &*BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    fn bytes(&self, received: &Received) -> &[u8] {
        let length = received.length.min(self.bytes) as usize;
        // SAFETY: the kernel wrote `length` bytes here (and the storage began zeroed), and does not write
        // again before the buffer is provided, for which `received` is consumed.
        unsafe { core::slice::from_raw_parts(self.start(received.buffer), length) }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if self.leak {
            return;
        }
        let (ring, storage) = Self::layouts(self.count, self.bytes);
        // SAFETY: both were allocated with these layouts, and no operation of the kernel is left.
        unsafe {
            alloc::dealloc(self.entries.as_ptr().cast(), ring);
            alloc::dealloc(self.storage.as_ptr(), storage);
        }
    }
}

/// Zeroed memory.
fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: the layouts of `Buffers::layouts` are not empty, as there is at least one buffer of one byte.
    let start = unsafe { alloc::alloc_zeroed(layout) };
    NonNull::new(start).unwrap_or_else(|| alloc::handle_alloc_error(layout))
}
