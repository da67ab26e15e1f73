//! The deadlines of a core: one queue per constant, one sleeping task for all of them.
//!
//! Every deadline is "now plus a constant", so entries of one constant come due in the order they were made
//! and a queue per constant is always sorted at the tail. Moving a deadline later costs a store: the entry
//! stays where it is and is queued again when its turn comes. Constants of one magnitude share a queue; an
//! entry that is out of order (a provider with a deadline of its own) finds its place from the back.
//! Deliberately absent: per-operation timers, and what a deadline means.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::Core;
use super::bell::Bell;
use crate::base::time::Moment;
use crate::io::clock;

/// Magnitudes told apart: below 1 ms, 2 ms, 4 ms … 2^23 ms (over two hours).
const QUEUES: usize = 24;
/// The longest sleep; idle pooled connections are swept at least this often.
const SLEEP_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Entry {
    at: Moment,
    bell: Rc<Bell>,
}

/// The queues of one core.
#[derive(Debug)]
pub(super) struct Deadlines {
    queues: RefCell<[VecDeque<Entry>; QUEUES]>,
    /// When the sleeping task will wake.
    wakes: Cell<Moment>,
    sleeper: RefCell<Option<Waker>>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            queues: RefCell::new([const { VecDeque::new() }; QUEUES]),
            wakes: Cell::new(Moment::NEVER),
            sleeper: RefCell::new(None),
        }
    }
}

impl Deadlines {
    /// Moves a bell's deadline.
    pub(super) fn arm(&self, bell: &Rc<Bell>, now: Moment, due: Moment) {
        bell.due.set(due);
        if due >= bell.queued.get() {
            return;
        }
        bell.queued.set(due);
        self.push(now, Entry { at: due, bell: Rc::clone(bell) });
        if due < self.wakes.get() {
            self.wakes.set(due);
            if let Some(waker) = &*self.sleeper.borrow() {
                waker.wake_by_ref();
            }
        }
    }

    fn push(&self, now: Moment, entry: Entry) {
        let wait_ms = entry.at.since(now).as_millis() as u64;
        let magnitude = (u64::BITS - wait_ms.leading_zeros()) as usize;
        let queue = &mut self.queues.borrow_mut()[magnitude.min(QUEUES - 1)];
        let behind = queue.iter().rev().take_while(|other| other.at > entry.at).count();
        queue.insert(queue.len() - behind, entry);
    }

    /// When the core must look again.
    pub(super) fn wakes(&self) -> Moment {
        self.wakes.get()
    }

    /// Rings every bell whose deadline has passed, and notes when the core must look again: at the next
    /// deadline, but at least every second, for the pools.
    pub(super) fn ring_due(&self, now: Moment, mut ring: impl FnMut(&Rc<Bell>)) -> Moment {
        let next = self.ring_queues(now, &mut ring).min(now + SLEEP_MAX);
        self.wakes.set(next);
        next
    }

    fn ring_queues(&self, now: Moment, ring: &mut impl FnMut(&Rc<Bell>)) -> Moment {
        loop {
            let mut later = Vec::new();
            for queue in self.queues.borrow_mut().iter_mut() {
                while queue.front().is_some_and(|entry| entry.at <= now) {
                    let Some(entry) = queue.pop_front() else { break };
                    let (due, queued) = (entry.bell.due.get(), entry.bell.queued.get());
                    if entry.bell.is_retired() || entry.at > queued {
                        continue; // An earlier entry has taken this one's place.
                    }
                    entry.bell.queued.set(Moment::NEVER);
                    if due <= now {
                        ring(&entry.bell);
                    } else if due < Moment::NEVER {
                        later.push(entry.bell);
                    }
                }
            }
            for bell in later {
                bell.queued.set(bell.due.get());
                self.push(now, Entry { at: bell.due.get(), bell });
            }
            let queues = self.queues.borrow();
            let next = queues.iter().filter_map(|queue| queue.front()).map(|entry| entry.at).min();
            let next = next.unwrap_or(Moment::NEVER);
            if next > now {
                return next;
            }
        }
    }
}

/// The sleeping task of a core on monoio.
pub(super) async fn tick(core: Rc<Core>) {
    loop {
        let now = clock::now();
        core.exchange_health(now);
        core.pool.borrow_mut().sweep(now, drop);
        let next = core.deadlines.ring_due(now, |bell| bell.ring());
        let mut sleep = pin!(monoio::time::sleep(next.since(now)));
        poll_fn(|cx| {
            *core.deadlines.sleeper.borrow_mut() = Some(cx.waker().clone());
            if core.deadlines.wakes() < next { Poll::Ready(()) } else { sleep.as_mut().poll(cx) }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn later_is_free_and_earlier_is_seen() {
        let deadlines = Deadlines::default();
        let bell = Rc::new(Bell::default());
        deadlines.arm(&bell, at(0), at(100));
        deadlines.arm(&bell, at(10), at(500));
        assert_eq!(bell.queued.get(), at(100), "moving later queues nothing");
        assert_eq!(
            deadlines.ring_queues(at(100), &mut |bell| bell.ring()),
            at(500),
            "queued again when its turn came"
        );
        deadlines.arm(&bell, at(100), at(150));
        assert_eq!(deadlines.ring_queues(at(149), &mut |bell| bell.ring()), at(150));
        assert_eq!(bell.queued.get(), at(150));
        deadlines.ring_queues(at(150), &mut |bell| bell.ring());
        assert_eq!(bell.queued.get(), Moment::NEVER);
    }

    #[test]
    fn queues_stay_sorted_whatever_the_constants() {
        let deadlines = Deadlines::default();
        let mut bells = Vec::new();
        for (now, wait) in [(0, 300), (1, 310), (2, 270), (3, 299), (4, 5), (5, 5000), (6, 4)] {
            let bell = Rc::new(Bell::default());
            deadlines.arm(&bell, at(now), at(now + wait));
            bells.push(bell);
        }
        for queue in deadlines.queues.borrow().iter() {
            assert!(queue.iter().zip(queue.iter().skip(1)).all(|(a, b)| a.at <= b.at));
        }
        assert_eq!(deadlines.ring_queues(at(9), &mut |bell| bell.ring()), at(10));
    }

    #[test]
    fn retired_bells_are_forgotten() {
        let deadlines = Deadlines::default();
        let bell = Rc::new(Bell::default());
        deadlines.arm(&bell, at(0), at(10));
        bell.retire();
        assert_eq!(deadlines.ring_queues(at(10), &mut |bell| bell.ring()), Moment::NEVER);
    }
}
