//! One descriptor on this core's driver: starting ring operations on it, waiting for readiness, and the few
//! direct system calls that must not wait.
//!
//! Deliberately absent: what the bytes mean, and the rule of one receive and one send at a time (`socket`
//! holds it).
#![allow(unsafe_code, reason = "monoio wants &mut for operations that the kernel runs side by side")]

use std::cell::UnsafeCell;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use monoio::BufResult;
use monoio::buf::{IoBuf, IoBufMut, IoVecBuf};
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use monoio::net::TcpStream;
use socket2::SockRef;

/// A socket of any kind, registered with the driver of the core it was opened on. monoio's stream type serves
/// as the handle: it issues plain RECV, SEND, WRITEV and POLL operations and never looks at the address
/// family.
pub(super) struct Descriptor {
    stream: UnsafeCell<TcpStream>,
}

impl Descriptor {
    /// For receiving and sending. A ring operation on a non-blocking socket answers `EAGAIN` instead of
    /// waiting, and an epoll driver must not block, so the mode follows the driver.
    pub(super) fn for_transfer(fd: OwnedFd) -> io::Result<Self> {
        Self::open(fd, monoio::utils::is_legacy())
    }

    /// For waiting until something can be taken with a direct call, which must never block.
    pub(super) fn for_readiness(fd: OwnedFd) -> io::Result<Self> {
        Self::open(fd, true)
    }

    fn open(fd: OwnedFd, nonblocking: bool) -> io::Result<Self> {
        let stream = std::net::TcpStream::from(fd);
        stream.set_nonblocking(nonblocking)?;
        Ok(Self { stream: UnsafeCell::new(TcpStream::from_std(stream)?) })
    }

    /// Receives into `buffer`.
    pub(super) fn read<T: IoBufMut>(
        &self,
        buffer: T,
    ) -> impl Future<Output = BufResult<usize, T>> + use<'_, T> {
        // SAFETY: the exclusive reference lives only during this call: monoio submits the operation at once
        // with a counted handle of the descriptor, and the future it returns holds that operation and no
        // reference to the stream. Nothing else touches the stream meanwhile, because the type is not Sync
        // and the call does not re-enter. A RefCell would have to stay borrowed across the wait and would
        // forbid a send beside a receive.
        unsafe { &mut *self.stream.get() }.read(buffer)
    }

    /// Sends from `buffer` with `MSG_NOSIGNAL`; may send less than all of it.
    pub(super) fn write<T: IoBuf>(
        &self,
        buffer: T,
    ) -> impl Future<Output = BufResult<usize, T>> + use<'_, T> {
        // SAFETY: as in `read`: the reference ends when the operation has been submitted, before the future
        // is returned.
        unsafe { &mut *self.stream.get() }.write(buffer)
    }

    /// Sends from several places with one operation; may send less than all of it. `SIGPIPE` is ignored by
    /// every Rust program before `main`, so a closed peer is the error `EPIPE` here too.
    pub(super) fn writev<T: IoVecBuf>(
        &self,
        buffers: T,
    ) -> impl Future<Output = BufResult<usize, T>> + use<'_, T> {
        // SAFETY: as in `read`: the reference ends when the operation has been submitted, before the future
        // is returned.
        unsafe { &mut *self.stream.get() }.writev(buffers)
    }

    /// Completes when a receive or accept would not wait (data, end or error). May be dropped at any time.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.shared().readable(false).await
    }

    /// Completes when a send would not wait, or when a connection attempt has ended. May be dropped at any
    /// time.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.shared().writable(false).await
    }

    /// Ends the connection with a reset: `connect(2)` to `AF_UNSPEC` drops it in the kernel, unsent bytes
    /// included, and completes whatever is in flight. A shutdown would send a FIN, which can look like a
    /// proper end.
    pub(super) fn disconnect(&self) {
        disconnect(self);
    }

    /// The descriptor, for direct calls.
    pub(super) fn borrow(&self) -> BorrowedFd<'_> {
        let fd = self.shared().as_raw_fd();
        // SAFETY: the stream owns the descriptor and closes it when dropped, which cannot happen while `self`
        // is borrowed for the lifetime of the result. monoio implements only AsRawFd, so there is no safe
        // way.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }

    /// `recv(2)` that never waits: what is there now, `WouldBlock` when nothing is, 0 at the end.
    pub(super) fn recv_now(&self, into: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
        recv_now(self, into, flags)
    }

    /// `send(2)` that never waits and never raises a signal.
    pub(super) fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        send_now(self, bytes)
    }

    fn shared(&self) -> &TcpStream {
        // SAFETY: exclusive references exist only inside `read`, `write` and `writev`, none of which calls
        // back into this type, and the type is not Sync; so no exclusive reference is alive while this shared
        // one is used.
        unsafe { &*self.stream.get() }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.borrow()
    }
}

/// See [`Descriptor::disconnect`].
pub(super) fn disconnect(socket: &impl AsFd) {
    let nowhere = libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    let length = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as it is borrowed, and the address is a live sockaddr of the
    // given length. No safe interface takes an unspecified address. A failure leaves the socket for the close
    // to end.
    unsafe { libc::connect(socket.as_fd().as_raw_fd(), &raw const nowhere, length) };
}

/// See [`Descriptor::send_now`].
pub(super) fn send_now(socket: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    SockRef::from(socket).send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
}

/// See [`Descriptor::recv_now`].
pub(super) fn recv_now(socket: &impl AsFd, into: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    let fd = socket.as_fd().as_raw_fd();
    let flags = flags | libc::MSG_DONTWAIT;
    // SAFETY: the pointer and the length are those of one live, exclusively borrowed slice, and the
    // descriptor is open while it is borrowed. The safe wrappers only take uninitialised memory, which would
    // move the unsafety, not end it.
    let count = unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}
