//! One segment file, mapped into memory, and how its space is made sure of.
//!
//! Deliberately absent: what is written where (`writer`).
#![allow(unsafe_code, reason = "memory maps, fallocate and statvfs have no face in std")]

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::wire::journal::page::{PAGE_BYTES, PUBLISHED_AT, Page, SEALED_AT};

/// Makes a file of this length whose space on disk is taken; only its owner reads it. What was in it stays,
/// and the rest is zeros.
///
/// # Errors
/// No such folder, no space, or a file system that cannot.
pub fn preallocate(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    let length = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is open during the call, which touches no memory of ours. std has no call that
    // takes space: `set_len` makes a hole, and a store into one may fail by a signal when the disk is full.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) } {
        0 => file.set_len(bytes),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Bytes that an unprivileged process may still take on the file system of this path.
///
/// # Errors
/// What `statvfs(3)` says.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a statvfs is integers only, for which all zeroes is a value.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends with a zero byte and `stat` is writable; both live through the call.
    match unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) } {
        0 => Ok(stat.f_bavail.saturating_mul(stat.f_frsize)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A mapped segment file. Written by its owner alone; other readers go through the file.
#[derive(Debug)]
pub struct Segment {
    map: NonNull<u8>,
    length: usize,
}

// SAFETY: the map is memory that belongs to this value alone, like a `Box<[u8]>`; `munmap(2)` may be called
// on any thread.
unsafe impl Send for Segment {}

impl Segment {
    /// Maps a file that [`preallocate`] has made.
    ///
    /// # Errors
    /// It cannot be opened for writing, is shorter than a page, or what `mmap(2)` says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Self::map(&file)
    }

    fn map(file: &File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if length <= PAGE_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "shorter than the first page of a segment",
            ));
        }
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a fresh map at an address of the kernel's choice overlaps nothing. The data directory is
        // locked for this process, which never cuts a segment that is mapped.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, file.as_raw_fd(), 0) };
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let map = NonNull::new(map.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { map, length })
    }

    /// Bytes of the file.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// The whole file.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the map is `length` bytes long, lives as long as `self`, and nothing else in this process
        // has a reference into it. The kernel may copy from it at any time, which is what it is for: readers
        // look only at what was published, and that is not written again before they are done with it.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_ptr(), self.length) }
    }

    /// A number of the page that readers look at while it changes.
    fn number(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at.is_multiple_of(8) && at + 8 <= PAGE_BYTES);
        // SAFETY: the place lies in the first page, which every map has, and is a multiple of 8 like the map
        // itself; an AtomicU64 has the layout of a u64. It is only ever written through this method, or as
        // part of a page by `begin`, which has `self` to itself.
        unsafe { AtomicU64::from_ptr(self.map.as_ptr().add(at).cast()) }
    }

    /// Lets readers see everything before `end`. The bytes come first, for any reader and for the kernel.
    #[inline]
    pub(super) fn publish(&self, end: usize) {
        self.number(PUBLISHED_AT).store((end as u64).to_le(), Ordering::Release);
    }

    /// Says that the next record is in the next segment.
    pub(super) fn seal(&self) {
        self.number(SEALED_AT).store(1_u64.to_le(), Ordering::Release);
    }

    /// Writes a fresh page. A process that is killed meanwhile leaves an unreadable page before records of an
    /// earlier use, which were folded before; so first of all nothing is readable.
    pub(super) fn begin(&mut self, page: &Page) {
        self.number(PUBLISHED_AT).store((PAGE_BYTES as u64).to_le(), Ordering::Release);
        self.number(SEALED_AT).store(0, Ordering::Release);
        let page = page.encode();
        self.bytes_mut()[..page.len()].copy_from_slice(&page);
        self.publish(PAGE_BYTES);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: the map was made by `map` with this length and is not used after this.
        unsafe { libc::munmap(self.map.as_ptr().cast(), self.length) };
    }
}
