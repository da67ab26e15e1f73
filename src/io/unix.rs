//! Unix sockets: the kernel's form of an address, listening sockets with their files, and whether one was
//! shut.
//!
//! There is no `SO_REUSEPORT` for them: all cores accept from one socket, each through a descriptor of its
//! own, and whoever comes first gets the connection.
//!
//! Deliberately absent: accepting (`listen`), connecting (`connect`), and who may read the file's folder.
#![allow(unsafe_code, reason = "poll(2) that does not wait has no safe face in the crates used here")]

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::base::address::{Address, Peer, UnixName};

/// How long a socket in use is asked again before it is believed. The kernel takes a ring apart after its
/// process has ended, and until then the sockets that the ring waited on live on: without this, a restart
/// after a crash would find its own predecessor.
const RELEASE: Duration = Duration::from_millis(500);
/// Pause between two such tries.
const RELEASE_PAUSE: Duration = Duration::from_millis(10);

/// The kernel's form of an address.
///
/// # Errors
/// None in practice: [`UnixName`] admits only what fits.
pub(super) fn sockaddr(address: &Address) -> io::Result<SockAddr> {
    match address {
        Address::Inet(address) => Ok((*address).into()),
        Address::Unix(name) => unix_sockaddr(name),
    }
}

fn unix_sockaddr(name: &UnixName) -> io::Result<SockAddr> {
    match (name.path(), name.abstract_name()) {
        (Some(path), _) => SockAddr::unix(path),
        (None, name) => {
            // A zero instead of a path's first byte makes the name an abstract one.
            let bytes = [&[0], name.unwrap_or_default().as_bytes()].concat();
            SockAddr::unix(PathBuf::from(OsString::from_vec(bytes)))
        }
    }
}

/// Who an address of the kernel is; `None` when it is neither IP nor unix.
pub(super) fn peer(address: &SockAddr) -> Option<Peer> {
    if address.is_unix() { Some(Peer::Unix) } else { address.as_socket().map(Peer::Inet) }
}

/// Opens a listening unix socket. A path's file gets the permissions `mode` before anybody can connect, and
/// is removed when the returned [`SocketFile`] is dropped. `backlog` is capped by the kernel at
/// `net.core.somaxconn`.
///
/// A file that an earlier process left behind, where nobody listens any more, is replaced; anything else is
/// left alone. Two processes that start at once at the same path may still take it from each other: the
/// kernel has no operation that would replace a socket's file only if nobody listens there.
///
/// # Errors
/// `AddrInUse` when somebody listens there, `AlreadyExists` when something is there that is no socket, else
/// what the kernel says. Blocks on the file system, and up to half a second on a socket in use.
pub fn bind(name: &UnixName, mode: u32, backlog: u32) -> io::Result<(OwnedFd, Option<SocketFile>)> {
    let address = unix_sockaddr(name)?;
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    let give_up = Instant::now() + RELEASE;
    loop {
        match try_bind(name, &address, mode, backlog) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < give_up => {
                sleep(RELEASE_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

fn try_bind(
    name: &UnixName,
    address: &SockAddr,
    mode: u32,
    backlog: i32,
) -> io::Result<(OwnedFd, Option<SocketFile>)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let in_use = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    let Some(path) = name.path() else {
        socket.bind(address).map_err(|error| if in_use(&error) { served() } else { error })?;
        socket.listen(backlog)?;
        return Ok((socket.into(), None));
    };
    match socket.bind(address) {
        Err(error) if in_use(&error) => {
            make_room(path, address)?;
            socket.bind(address)?;
        }
        outcome => outcome?,
    }
    // From here on an error takes the file with it.
    let file = SocketFile::new(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(backlog)?;
    Ok((socket.into(), Some(file)))
}

fn served() -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")
}

/// Removes the socket file at `path` if nobody listens there.
fn make_room(path: &Path, address: &SockAddr) -> io::Result<()> {
    let Some(found) = look(path)? else { return Ok(()) };
    if !found.file_type().is_socket() {
        let message = "something is there that is not a socket; it is not touched";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    let Err(error) = probe.connect(address) else { return Err(served()) };
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => {}
        Some(libc::ENOENT) => return Ok(()),
        // Its queue is full, or it is a socket of another kind: both are in use.
        Some(libc::EAGAIN | libc::EPROTOTYPE) => return Err(served()),
        _ => {
            let message = format!("a socket is there, and it cannot be told whether it is in use: {error}");
            return Err(io::Error::new(error.kind(), message));
        }
    }
    // Replaced since it was looked at? Then the next try judges the new one.
    if look(path)?.is_some_and(|now| is_same(&now, &found)) { fs::remove_file(path) } else { Ok(()) }
}

/// What is at `path`, links not followed; `None` when nothing is.
fn look(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The file of a listening socket. Dropping it removes the file, if that is still this one: a process that
/// was started meanwhile may have put its own there.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Holds the inode, so that its number is not given to another file while it is compared.
    mark: File,
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let mark = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        Ok(Self { path: path.to_owned(), mark })
    }

    fn is_ours(&self) -> bool {
        let now = fs::symlink_metadata(&self.path);
        matches!((now, self.mark.metadata()), (Ok(now), Ok(mark)) if is_same(&now, &mark))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_ours() {
            // A file that stays is replaced by the next process that listens there.
            let _stays = fs::remove_file(&self.path);
        }
    }
}

/// Was this listening unix socket shut? A TCP listener then answers accept(2) with an error; a unix socket
/// that must not wait says `EAGAIN` for ever, and only poll(2) tells.
pub(super) fn is_shut(listener: BorrowedFd<'_>) -> bool {
    let mut polled = libc::pollfd { fd: listener.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: the pointer is to one live pollfd, and the descriptor is open while it is borrowed. A timeout
    // of 0 never waits.
    let count = unsafe { libc::poll(&raw mut polled, 1, 0) };
    count == 1 && polled.revents & libc::POLLHUP != 0
}
