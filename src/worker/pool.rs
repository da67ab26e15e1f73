//! Idle connections to upstreams, per core and per pool. Last in, first out: hot connections stay hot, old
//! ones age out at the bottom.
//!
//! Deliberately absent: sharing between cores, and deciding whether a connection is clean (`exchange` does
//! after an answer, the driver while it idles).

use std::collections::VecDeque;

use crate::base::ids::PoolId;
use crate::base::time::Moment;

struct Idle<C> {
    connection: C,
    until: Moment,
}

/// The idle connections of one core. Those that have to go are handed to `discard`.
pub(super) struct Pool<C> {
    rows: Vec<VecDeque<Idle<C>>>,
}

impl<C> Default for Pool<C> {
    fn default() -> Self {
        Self { rows: Vec::new() }
    }
}

impl<C> Pool<C> {
    /// The connection that was put there last, unless it has idled for too long.
    pub(super) fn take(&mut self, pool: PoolId, now: Moment, mut discard: impl FnMut(C)) -> Option<C> {
        let row = self.rows.get_mut(pool.index())?;
        while let Some(idle) = row.pop_back() {
            if idle.until > now {
                return Some(idle.connection);
            }
            discard(idle.connection);
        }
        None
    }

    /// Keeps a clean connection until `until`; beyond `most` per pool the oldest goes.
    pub(super) fn put(
        &mut self,
        pool: PoolId,
        connection: C,
        until: Moment,
        most: usize,
        mut discard: impl FnMut(C),
    ) {
        if self.rows.len() <= pool.index() {
            self.rows.resize_with(pool.index() + 1, VecDeque::new);
        }
        let row = &mut self.rows[pool.index()];
        row.push_back(Idle { connection, until });
        if row.len() > most
            && let Some(oldest) = row.pop_front()
        {
            discard(oldest.connection);
        }
    }

    /// Forgets a connection that ended while it was idle.
    pub(super) fn remove(&mut self, pool: PoolId, mut is_it: impl FnMut(&C) -> bool) -> Option<C> {
        let row = self.rows.get_mut(pool.index())?;
        let at = row.iter().position(|idle| is_it(&idle.connection))?;
        row.remove(at).map(|idle| idle.connection)
    }

    /// Lets go of what has been idle for too long.
    pub(super) fn sweep(&mut self, now: Moment, mut discard: impl FnMut(C)) {
        for row in &mut self.rows {
            while row.front().is_some_and(|idle| idle.until <= now) {
                row.pop_front().into_iter().for_each(|idle| discard(idle.connection));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_first_and_the_oldest_goes() {
        let (mut pool, mut gone) = (Pool::default(), Vec::new());
        let (row, at) = (PoolId(2), Moment::from_nanos);
        for (name, until) in [('a', 10), ('b', 20), ('c', 30), ('d', 15)] {
            pool.put(row, name, at(until), 3, |old| gone.push(old));
        }
        assert_eq!(gone, ['a']);
        assert_eq!(pool.take(row, at(15), |old| gone.push(old)), Some('c'));
        assert_eq!(gone, ['a', 'd'], "idle for too long");
        assert_eq!(pool.remove(row, |name| *name == 'x'), None);
        pool.sweep(at(20), |old| gone.push(old));
        assert_eq!(gone, ['a', 'd', 'b']);
        assert_eq!(pool.take(PoolId(9), at(0), |_| ()), None);
    }
}
