//! A counting allocator around the product's own, so that a bench can demand "no allocation here".
//!
//! Deliberately absent: bytes. One allocation too many per event is the bug, whatever its size.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use mimalloc::MiMalloc;

/// Counts every `alloc`, `alloc_zeroed` and `realloc` of the thread that asks for it.
pub(crate) struct Counting;

thread_local! {
    /// Without a destructor and without lazy state, so that using it allocates nothing itself.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Allocations of this thread so far.
pub(crate) fn count() -> u64 {
    COUNT.get()
}

fn counted() {
    COUNT.set(COUNT.get().wrapping_add(1));
}

#[expect(unsafe_code, reason = "the trait is unsafe to implement, and counting allocations has no safe face")]
// SAFETY: every call goes to `MiMalloc` with the arguments it came with, and counting touches no memory of
// the heap.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        counted();
        // SAFETY: the caller's obligations are the same ones.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        counted();
        // SAFETY: the caller's obligations are the same ones.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        counted();
        // SAFETY: the caller's obligations are the same ones.
        unsafe { MiMalloc.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are the same ones.
        unsafe { MiMalloc.dealloc(block, layout) }
    }
}
