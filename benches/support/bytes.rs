//! A counting allocator around the product's own, so that a table's memory can be told in bytes.
//!
//! Deliberately absent: what the allocator itself needs beside what it was asked for.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering};

use mimalloc::MiMalloc;

/// Counts bytes asked for and not given back, by all threads.
pub(crate) struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// What `run` makes, the bytes it holds, and the most that was held on the way to it.
pub(crate) fn measured<T>(run: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let made = run();
    let (held, peak) = (HELD.load(Ordering::Relaxed), PEAK.load(Ordering::Relaxed));
    (made, held.saturating_sub(before), peak.saturating_sub(before))
}

fn taken(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

fn given_back(bytes: usize) {
    HELD.fetch_sub(bytes, Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "the trait is unsafe to implement, and counting bytes has no safe face")]
// SAFETY: every call goes to `MiMalloc` with the arguments it came with, and counting touches no memory of
// the heap.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller's obligations are the same ones.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While it moves, both are there.
        taken(size);
        given_back(layout.size());
        // SAFETY: the caller's obligations are the same ones.
        unsafe { MiMalloc.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        given_back(layout.size());
        // SAFETY: the caller's obligations are the same ones.
        unsafe { MiMalloc.dealloc(block, layout) }
    }
}
