//! Names to addresses: looked up here, so that no core ever waits for DNS, and published as new snapshots.
//!
//! Each name has its own clock. An answer is used for its TTL; a failure keeps the addresses that are known
//! (stale addresses mostly still work, none never do) and is tried again after a growing pause.
//! Deliberately absent: choosing among the addresses of a name (the data plane rotates), how a look-up is
//! made (`system`), names that are addresses already, and unix sockets.

mod system;
#[cfg(test)]
mod tests;

use core::net::IpAddr;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::policy::catalog::{Host, Snapshot};

pub use system::SystemLookup;

/// Shortest time an answer is used, whatever its TTL says.
const TTL_MIN: Duration = Duration::from_secs(5);
/// Longest time an answer is used, whatever its TTL says.
const TTL_MAX: Duration = Duration::from_secs(300);
/// Pause after a first failure; doubled after each further one.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause between two tries of a name that has no address: its clients are failing now.
const RETRY_MAX_NEGATIVE: Duration = Duration::from_secs(5);
/// Longest pause between two tries of a name whose old addresses are still served.
const RETRY_MAX_STALE: Duration = Duration::from_secs(60);
/// A look-up that takes longer has failed.
const LOOKUP_MAX: Duration = Duration::from_secs(10);
/// How soon the names of a replaced snapshot are noticed.
const NOTICE: Duration = Duration::from_secs(1);
/// Most addresses kept of one name.
const ADDRESSES_MAX: usize = 32;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The addresses, in any order.
    pub addresses: Vec<IpAddr>,
    /// How long they may be used.
    pub ttl: Duration,
}

/// A way to look names up. Tests inject their own.
pub trait Lookup: Send + Sync + 'static {
    /// Looks one name up.
    ///
    /// # Errors
    /// A text for the log when there is no answer, or no address in it.
    fn lookup(&self, name: &str) -> impl Future<Output = Result<Found, String>> + Send;
}

/// Replaces the snapshot by what `change` makes of the current one; `None` leaves it. Returns whether it was
/// replaced.
///
/// Every publisher must come through here: `change` runs again on the newer snapshot when another publisher
/// was faster, so no change is lost. It may run several times and must have no effect of its own.
pub fn publish(current: &ArcSwap<Snapshot>, change: impl Fn(&Snapshot) -> Option<Snapshot>) -> bool {
    let mut replaced = false;
    current.rcu(|snapshot| match change(snapshot) {
        Some(changed) => {
            replaced = true;
            Arc::new(changed)
        }
        None => {
            replaced = false;
            Arc::clone(snapshot)
        }
    });
    replaced
}

/// Publishes a rebuilt snapshot (a reloaded configuration) with the addresses that are already known under
/// the same names, so that a reload never makes a working provider unreachable.
pub fn publish_rebuilt(current: &ArcSwap<Snapshot>, rebuilt: &Snapshot) {
    publish(current, |old| {
        let mut hosts = rebuilt.hosts.clone();
        for host in hosts.iter_mut().filter(|host| host.addresses.is_empty()) {
            if let Some(known) = old.hosts.iter().find(|known| known.name == host.name) {
                host.addresses = Arc::clone(&known.addresses);
            }
        }
        Some(rebuilt.with_hosts(hosts))
    });
}

/// Keeps the addresses of a snapshot's names fresh.
#[derive(Debug)]
pub struct Names<L> {
    snapshot: Arc<ArcSwap<Snapshot>>,
    lookup: Arc<L>,
    names: HashMap<Box<str>, Entry>,
    running: JoinSet<(Box<str>, Result<Found, String>)>,
    /// The snapshot whose names `names` holds.
    seen: Option<Arc<Snapshot>>,
}

/// What is known about one name.
#[derive(Debug)]
struct Entry {
    state: State,
    /// Failures since the last answer.
    failures: u32,
    /// Had any outcome at all.
    tried: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be looked up at this time.
    Due(Instant),
    /// Being looked up.
    Running,
}

impl<L: Lookup> Names<L> {
    /// For the names of whatever snapshot is current. Nothing is looked up yet.
    #[must_use]
    pub fn new(snapshot: Arc<ArcSwap<Snapshot>>, lookup: L) -> Self {
        Self {
            snapshot,
            lookup: Arc::new(lookup),
            names: HashMap::new(),
            running: JoinSet::new(),
            seen: None,
        }
    }

    /// Looks up every name once, for the start. Returns the names that have no address after `patience`, or
    /// earlier once every name had its answer; look-ups still running go on in [`Names::run`].
    pub async fn resolve_now(&mut self, patience: Duration) -> Vec<Box<str>> {
        self.adopt();
        self.start_due();
        let all = async {
            while !self.running.is_empty() && self.names.values().any(|entry| !entry.tried) {
                self.settle_next().await;
            }
        };
        // Running out of patience is an ordinary outcome; what is missing is returned below.
        let _ = timeout(patience, all).await;
        let snapshot = self.snapshot.load();
        let missing = |name: &str| addresses_of(&snapshot, name).is_none_or(<[IpAddr]>::is_empty);
        let mut missing: Vec<Box<str>> = self.names.keys().filter(|name| missing(name)).cloned().collect();
        missing.sort();
        missing
    }

    /// Keeps every name fresh, those of later snapshots too. Never returns; drop it to stop.
    pub async fn run(mut self) {
        loop {
            self.adopt();
            self.start_due();
            let due = self.names.values().filter_map(Entry::due).min();
            let notice = Instant::now() + NOTICE;
            let wake = due.map_or(notice, |due| due.min(notice));
            if self.running.is_empty() {
                sleep_until(wake).await;
            } else {
                tokio::select! {
                    () = self.settle_next() => {}
                    () = sleep_until(wake) => {}
                }
            }
        }
    }

    /// Takes over the names of a new snapshot: new ones are due at once, gone ones are forgotten.
    fn adopt(&mut self) {
        let snapshot = self.snapshot.load_full();
        if self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &snapshot)) {
            return;
        }
        let now = Instant::now();
        let mut names = HashMap::with_capacity(self.names.len());
        let is_name = |host: &&Host| host.unix.is_none() && host.name.parse::<IpAddr>().is_err();
        for host in snapshot.hosts.iter().filter(is_name) {
            let known = self.names.remove(&host.name);
            // A publisher that knew no address has dropped ours: an answered name without one is asked for
            // again.
            let lost = |entry: &Entry| {
                host.addresses.is_empty() && entry.failures == 0 && entry.state != State::Running
            };
            let entry = match known {
                Some(entry) if !lost(&entry) => entry,
                _ => Entry { state: State::Due(now), failures: 0, tried: false },
            };
            names.insert(host.name.clone(), entry);
        }
        self.names = names;
        self.seen = Some(snapshot);
    }

    /// Starts the look-ups that are due.
    fn start_due(&mut self) {
        let now = Instant::now();
        for (name, entry) in &mut self.names {
            if entry.due().is_some_and(|due| due <= now) {
                entry.state = State::Running;
                let (name, lookup) = (name.clone(), Arc::clone(&self.lookup));
                self.running.spawn(async move {
                    let found = match timeout(LOOKUP_MAX, lookup.lookup(&name)).await {
                        Ok(found) => found,
                        Err(_) => Err(format!("no answer within {} s", LOOKUP_MAX.as_secs())),
                    };
                    (name, found)
                });
            }
        }
    }

    /// Waits for one look-up and takes its outcome in. Dropping this future between two look-ups loses
    /// nothing.
    async fn settle_next(&mut self) {
        match self.running.join_next().await {
            Some(Ok((name, found))) => self.settle(&name, found),
            Some(Err(error)) => {
                // A look-up that panicked has no name to tell; all running ones are tried again.
                tracing::error!(%error, "a DNS look-up failed unexpectedly");
                for entry in self.names.values_mut().filter(|entry| entry.state == State::Running) {
                    entry.fail(RETRY_MAX_NEGATIVE);
                }
            }
            None => {}
        }
    }

    fn settle(&mut self, name: &str, found: Result<Found, String>) {
        // A name that left the configuration meanwhile needs no answer.
        let Some(entry) = self.names.get_mut(name) else { return };
        let found = found.and_then(|found| {
            let addresses = ordered(found.addresses);
            if addresses.is_empty() {
                Err("the answer holds no address".to_owned())
            } else {
                Ok((addresses, found.ttl))
            }
        });
        match found {
            Ok((addresses, ttl)) => {
                if entry.failures > 0 {
                    tracing::info!(name, failures = entry.failures, "a name is resolved again");
                }
                entry.state = State::Due(Instant::now() + ttl.clamp(TTL_MIN, TTL_MAX));
                (entry.failures, entry.tried) = (0, true);
                if publish(&self.snapshot, |snapshot| with_addresses(snapshot, name, &addresses)) {
                    tracing::debug!(name, ?addresses, "addresses changed");
                }
            }
            Err(reason) => {
                let snapshot = self.snapshot.load();
                let stale = addresses_of(&snapshot, name).is_some_and(|known| !known.is_empty());
                if entry.failures == 0 {
                    // Only the first of a row: a machine without a network would fill its log with the
                    // others.
                    tracing::warn!(name, reason, stale, "a name cannot be resolved");
                }
                entry.fail(if stale { RETRY_MAX_STALE } else { RETRY_MAX_NEGATIVE });
            }
        }
    }
}

impl Entry {
    const fn due(&self) -> Option<Instant> {
        match self.state {
            State::Due(at) => Some(at),
            State::Running => None,
        }
    }

    /// Counts a failure and backs off: 1, 2, 4 … seconds up to `longest`.
    fn fail(&mut self, longest: Duration) {
        let pause = RETRY_FIRST.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.tried = true;
        self.state = State::Due(Instant::now() + pause);
    }
}

/// The snapshot with other addresses for a name; `None` when they are the same or the name is gone.
fn with_addresses(snapshot: &Snapshot, name: &str, addresses: &[IpAddr]) -> Option<Snapshot> {
    let row = snapshot.hosts.iter().position(|host| &*host.name == name)?;
    if *snapshot.hosts[row].addresses == *addresses {
        return None;
    }
    let mut hosts = snapshot.hosts.clone();
    hosts[row].addresses = addresses.into();
    Some(snapshot.with_hosts(hosts))
}

fn addresses_of<'s>(snapshot: &'s Snapshot, name: &str) -> Option<&'s [IpAddr]> {
    snapshot.hosts.iter().find(|host| &*host.name == name).map(|host| &*host.addresses)
}

/// Each address once, in an order that does not change when a name server rotates its answer.
fn ordered(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    addresses
}
