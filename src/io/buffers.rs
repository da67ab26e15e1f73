//! The buffers a ring offers the kernel for receiving (`io_uring_register_buf_ring(3)`): storage of the usual
//! window size, so that a filled one becomes an exchange's window without a copy.
//!
//! Deliberately absent: the ring that uses them (`ring`), and where storage comes from (`wire/spares`).
#![allow(unsafe_code, reason = "the kernel takes buffers from memory it shares with us")]

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};
use std::alloc;

use io_uring::types::BufRingEntry;

use crate::base::limits::WINDOW_FIRST_BYTES;

/// Alignment of the buffer ring.
const PAGE_BYTES: usize = 4096;

/// The offered buffers, by number, and the ring that names them.
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    storage: Vec<Vec<u8>>,
    tail: u16,
    /// Set when the kernel may still write here after the ring is gone.
    leaked: bool,
}

impl Buffers {
    /// Buffers offered: a power of two. As many arrivals as one turn takes in without running dry; running
    /// dry ends the receives, which are then armed again.
    pub(super) const COUNT: u16 = 256;
    /// The number of the one group.
    pub(super) const GROUP: u16 = 0;

    pub(super) fn new() -> Self {
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc::alloc_zeroed(Self::layout()) };
        let Some(start) = NonNull::new(start) else { alloc::handle_alloc_error(Self::layout()) };
        let mut buffers = Self { entries: start.cast(), storage: Vec::new(), tail: 0, leaked: false };
        for number in 0..Self::COUNT {
            buffers.storage.push(vec![0; WINDOW_FIRST_BYTES]);
            buffers.offer(number);
        }
        buffers
    }

    /// Where the ring lies, for the kernel.
    pub(super) fn address(&self) -> u64 {
        self.entries.as_ptr() as u64
    }

    /// Takes a buffer the kernel has filled, and offers `fresh` under its number.
    pub(super) fn replace(&mut self, number: u16, fresh: Vec<u8>) -> Vec<u8> {
        debug_assert_eq!(fresh.len(), WINDOW_FIRST_BYTES);
        let taken = core::mem::replace(&mut self.storage[usize::from(number)], fresh);
        self.offer(number);
        taken
    }

    /// The kernel may write after the ring is gone: nothing is freed.
    pub(super) const fn leak(&mut self) {
        self.leaked = true;
    }

    fn layout() -> Layout {
        let bytes = usize::from(Self::COUNT) * size_of::<BufRingEntry>();
        Layout::from_size_align(bytes, PAGE_BYTES).expect("one page, page-aligned")
    }

    /// Offers a buffer to the kernel, which reads entries up to the published tail.
    fn offer(&mut self, number: u16) {
        let storage = &mut self.storage[usize::from(number)];
        let (start, length) = (storage.as_mut_ptr() as u64, storage.len() as u32);
        // SAFETY: the index is below `COUNT`. The kernel does not read the entry: it is behind the tail,
        // because `COUNT` buffers exist and this one was not in the ring.
        let entry = unsafe { self.entries.add(usize::from(self.tail & (Self::COUNT - 1))).as_mut() };
        entry.set_addr(start);
        entry.set_len(length);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the address is the ring's first entry, live and initialised; the tail is a u16 inside it
        // that both sides access atomically. The buffer's heap block stays where it is while it is offered:
        // the `Vec` is neither resized nor freed before `replace` takes it.
        let tail = unsafe { &*BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if self.leaked {
            core::mem::forget(core::mem::take(&mut self.storage));
            return;
        }
        // SAFETY: allocated with this layout in `new`, and no operation of the kernel is left.
        unsafe { alloc::dealloc(self.entries.as_ptr().cast(), Self::layout()) };
    }
}
