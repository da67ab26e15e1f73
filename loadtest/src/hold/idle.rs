//! The idle connections: opened with one request each, left alone, then used once more.
//!
//! Deliberately absent: what they cost the router (`mod`).

use core::future::Future;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, timeout_at};

use super::Plan;
use super::progress::State;
use crate::failure::Failure;
use crate::http::Connection;

/// Connections opened or used at a time.
const AT_A_TIME: usize = 64;
/// How long a whole round may take on top of one connection's patience.
const ROUND_MAX: Duration = Duration::from_secs(60);
/// The request that makes a connection a used one.
const PATH: &str = "/healthz";

/// Opens the idle connections. What fails is counted, the others are returned.
pub(super) async fn open(plan: &Rc<Plan>, state: &Rc<State>) -> Vec<Connection> {
    let opened = Rc::new(RefCell::new(Vec::with_capacity(plan.idle as usize)));
    let target = plan.target;
    let keep = Rc::clone(&opened);
    let counted = Rc::clone(state);
    let open_one = move || {
        let (keep, counted) = (Rc::clone(&keep), Rc::clone(&counted));
        async move {
            let mut connection = Connection::open(target).await?;
            connection.get(PATH).await?;
            keep.borrow_mut().push(connection);
            counted.idle_open.set(counted.idle_open.get() + 1);
            Ok(())
        }
    };
    round("idle, first request", plan, state, plan.idle, open_one).await;
    core::mem::take(&mut *opened.borrow_mut())
}

/// Uses each connection again, then closes it.
pub(super) async fn use_again(plan: &Rc<Plan>, state: &Rc<State>, connections: Vec<Connection>) {
    let count = u32::try_from(connections.len()).unwrap_or(u32::MAX);
    let waiting = Rc::new(RefCell::new(connections));
    let counted = Rc::clone(state);
    let use_one = move || {
        let connection = waiting.borrow_mut().pop();
        let counted = Rc::clone(&counted);
        async move {
            let Some(mut connection) = connection else { return Ok(()) };
            counted.idle_open.set(counted.idle_open.get() - 1);
            connection.check_silent()?;
            connection.get(PATH).await
        }
    };
    round("idle, second request", plan, state, count, use_one).await;
}

/// Does `one` `count` times, a bounded number at a time and within a bounded time.
async fn round<F, O>(phase: &'static str, plan: &Plan, state: &Rc<State>, count: u32, one: O)
where
    F: Future<Output = Result<(), Failure>> + 'static,
    O: Fn() -> F + 'static,
{
    let (left, one) = (Rc::new(Cell::new(count)), Rc::new(one));
    let (patience, round_end) = (plan.patience, Instant::now() + ROUND_MAX);
    let mut takers = JoinSet::new();
    for _ in 0..AT_A_TIME.min(count as usize) {
        let (left, one, state) = (Rc::clone(&left), Rc::clone(&one), Rc::clone(state));
        takers.spawn_local(async move {
            while left.get() > 0 && Instant::now() < round_end {
                left.set(left.get() - 1);
                let outcome = timeout_at(Instant::now() + patience, one()).await;
                if let Err(failure) = outcome.unwrap_or(Err(Failure::Slow("one request"))) {
                    state.tally.borrow_mut().add(phase, &failure, 1);
                }
            }
        });
    }
    takers.join_all().await;
    let missed = u64::from(left.get());
    state.tally.borrow_mut().add(phase, &Failure::Slow("the whole round; never begun"), missed);
}
