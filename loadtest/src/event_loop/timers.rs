//! When something is due: a heap of times. A time is never taken back; whoever it was for compares its
//! generation and ignores what is stale.
//!
//! Deliberately absent: the clock, which is an argument.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

/// Times with what they are for.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: BinaryHeap<Reverse<(u64, T)>>,
}

impl<T: Ord> Default for Timers<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new() }
    }
}

impl<T: Ord> Timers<T> {
    /// `what` is due at `due_ns`.
    pub(crate) fn add(&mut self, due_ns: u64, what: T) {
        self.heap.push(Reverse((due_ns, what)));
    }

    /// The earliest time.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((due_ns, _))| *due_ns)
    }

    /// Takes the earliest thing that is due at `now_ns`.
    pub(crate) fn pop_due(&mut self, now_ns: u64) -> Option<T> {
        if self.next_ns()? > now_ns {
            return None;
        }
        self.heap.pop().map(|Reverse((_, what))| what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order() {
        let mut timers = Timers::default();
        for (due, what) in [(30, 'c'), (10, 'a'), (20, 'b')] {
            timers.add(due, what);
        }
        assert_eq!((timers.next_ns(), timers.pop_due(9)), (Some(10), None));
        assert_eq!(
            (timers.pop_due(25), timers.pop_due(25), timers.pop_due(25)),
            (Some('a'), Some('b'), None)
        );
        assert_eq!((timers.pop_due(30), timers.next_ns()), (Some('c'), None));
    }
}
