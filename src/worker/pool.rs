//! Idle connections to upstreams, per core and per pool. Last in, first out: hot connections stay hot, old
//! ones age out at the bottom.
//!
//! Deliberately absent: sharing between cores, and deciding whether a connection is clean after an answer
//! (`exchange` does; here only its silence since then is checked).

use std::collections::VecDeque;
use std::rc::Rc;

use crate::base::ids::PoolId;
use crate::base::time::Moment;
use crate::io::Socket;

struct Idle {
    socket: Rc<Socket>,
    until: Moment,
}

/// The idle connections of one core.
#[derive(Default)]
pub(super) struct Pool {
    rows: Vec<VecDeque<Idle>>,
}

impl Pool {
    /// A connection that is still open and silent. Those that are not are closed on the way.
    pub(super) fn take(&mut self, pool: PoolId, now: Moment) -> Option<Rc<Socket>> {
        let row = self.rows.get_mut(pool.index())?;
        while let Some(idle) = row.pop_back() {
            if idle.until > now && idle.socket.is_clean() {
                return Some(idle.socket);
            }
        }
        None
    }

    /// Keeps a clean connection until `until`; beyond `most` per pool the oldest is closed.
    pub(super) fn put(&mut self, pool: PoolId, socket: Rc<Socket>, until: Moment, most: usize) {
        if self.rows.len() <= pool.index() {
            self.rows.resize_with(pool.index() + 1, VecDeque::new);
        }
        let row = &mut self.rows[pool.index()];
        row.push_back(Idle { socket, until });
        if row.len() > most {
            row.pop_front();
        }
    }

    /// Closes what has been idle for too long.
    pub(super) fn sweep(&mut self, now: Moment) {
        for row in &mut self.rows {
            while row.front().is_some_and(|idle| idle.until <= now) {
                row.pop_front();
            }
        }
    }
}
