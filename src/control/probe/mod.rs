//! Active probes: private servers are asked now and then whether they still answer, so that a dead one is
//! known before a client finds it, and one that is back is used again at once.
//!
//! ```text
//!  board ──► verdict: used? in trouble? due? ──► ask ──► verdict ──► board, a row of the control plane's own
//! ```
//!
//! Traffic speaks for itself: a provider is asked only when nothing has gone there for a while, or when it is
//! in trouble. What a probe finds is written to the board like a core's word and merged in the same way.
//! Deliberately absent: what is asked (`ask`), what the answers mean (`verdict`), and TLS: over https a probe
//! only makes a connection.

mod ask;
#[cfg(test)]
mod tests;
mod verdict;

use core::time::Duration;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::base::ids::ProviderId;
use crate::base::time::Moment;
use crate::policy::catalog::Snapshot;
use crate::policy::health::board::{Board, Cell, ROWS};
use crate::policy::health::layout::{endpoint_tag, passthrough_tag};
use crate::policy::health::outcome::Kind;
use crate::policy::health::summary::{Summary, summaries};
use verdict::{Change, Seen, Verdict};

/// Probes that run at once, at most; further ones wait for their turn.
const AT_ONCE: usize = 64;
/// Time between two looks at the board, at most.
const LOOK_MOST: Duration = Duration::from_millis(500);
/// Time between two looks, at least.
const LOOK_LEAST: Duration = Duration::from_millis(50);
/// Time between two looks while no provider is probed.
const LOOK_IDLE: Duration = Duration::from_secs(5);

/// A provider that is probed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its id.
    pub provider: Box<str>,
    /// What is asked for with GET, from the server's root.
    pub path: Box<str>,
    /// Time between two probes.
    pub every: Duration,
    /// A probe that takes longer has failed.
    pub timeout: Duration,
}

/// Probes the providers of whatever list and snapshot are current.
pub struct Prober {
    /// Whom to probe; replaced whole when the configuration changes.
    pub targets: Arc<ArcSwap<Vec<Target>>>,
    /// Where they are.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Where cores say what they know, and the prober what it finds.
    pub board: Arc<Board>,
    /// The clock that cores use.
    pub now: fn() -> Moment,
}

/// A provider under watch.
#[derive(Debug, Default)]
struct Watched {
    verdict: Verdict,
    /// A probe is under way.
    running: bool,
    /// Probes so far, to go round its addresses.
    turn: usize,
}

/// How a probe ended.
struct Outcome {
    provider: Box<str>,
    begun: Moment,
    answer: Result<(), String>,
}

impl Prober {
    /// Probes for ever; drop it to stop.
    pub async fn run(self) {
        let mut watched: HashMap<Box<str>, Watched> = HashMap::new();
        let mut running: JoinSet<Outcome> = JoinSet::new();
        loop {
            let targets = self.targets.load_full();
            let shortest = targets.iter().map(|target| target.every / 2).min();
            let pause = shortest.map_or(LOOK_IDLE, |half| half.clamp(LOOK_LEAST, LOOK_MOST));
            tokio::select! {
                Some(Ok(outcome)) = running.join_next() => self.hear(&targets, &mut watched, outcome),
                () = tokio::time::sleep(pause) => self.look(&targets, &mut watched, &mut running),
            }
            self.say(&watched);
        }
    }

    /// Looks at the board, and begins the probes that are due.
    fn look(
        &self,
        targets: &[Target],
        watched: &mut HashMap<Box<str>, Watched>,
        running: &mut JoinSet<Outcome>,
    ) {
        watched.retain(|id, _| targets.iter().any(|target| target.provider == *id));
        if targets.is_empty() {
            return;
        }
        let (snapshot, now) = (self.snapshot.load_full(), (self.now)());
        let summaries = summaries(&self.board);
        for target in targets {
            let Some(provider) = snapshot.provider_ids.get(&target.provider) else { continue };
            let one = watched.entry(target.provider.clone()).or_default();
            let seen = seen(&snapshot, *provider, &summaries);
            let is_due = one.verdict.look(now, seen, target.every);
            if !is_due || one.running || running.len() >= AT_ONCE {
                continue;
            }
            let row = &snapshot.providers[provider.index()];
            // Until DNS has answered there is nobody to ask, and every request fails over by itself.
            let Some(address) = row.address(&snapshot, one.turn) else { continue };
            (one.running, one.turn) = (true, one.turn.wrapping_add(1));
            one.verdict.begin(now, target.every);
            let question = (!row.tls).then(|| ask::question(row, &target.path));
            let (provider, timeout) = (target.provider.clone(), target.timeout);
            running.spawn(async move {
                let answer = ask::ask(&address, question.as_deref(), timeout).await;
                Outcome { provider, begun: now, answer }
            });
        }
    }

    /// Takes note of a probe that ended.
    fn hear(&self, targets: &[Target], watched: &mut HashMap<Box<str>, Watched>, outcome: Outcome) {
        let Outcome { provider, begun, answer } = outcome;
        let (target, one) =
            (targets.iter().find(|target| target.provider == provider), watched.get_mut(&provider));
        let (Some(target), Some(one)) = (target, one) else { return };
        one.running = false;
        let now = (self.now)();
        let reason = answer.as_ref().err().cloned().unwrap_or_default();
        match one.verdict.probed(begun, now, answer.is_ok(), target.every, target.timeout) {
            Change::None => {}
            Change::Down => warn!(provider = &*provider, reason, "does not answer probes"),
            Change::Up => info!(provider = &*provider, "answers probes"),
        }
    }

    /// Writes what is known to the board.
    fn say(&self, watched: &HashMap<Box<str>, Watched>) {
        let (snapshot, now) = (self.snapshot.load(), (self.now)());
        let side = self.board.prober();
        let mut slot = 0;
        for (id, one) in watched {
            let (Some(position), Some(provider)) = (one.verdict.word(now), snapshot.provider_ids.get(id))
            else {
                continue;
            };
            for tag in tags(&snapshot, *provider).into_iter().take(ROWS - slot) {
                self.board.write(side, slot, &Cell { tag, position, cap: u32::MAX, ..Cell::default() });
                slot += 1;
            }
        }
        self.board.set_count(side, slot);
    }
}

/// The tags of everything at a provider, each once.
fn tags(snapshot: &Snapshot, provider: ProviderId) -> BTreeSet<u64> {
    let id = &*snapshot.providers[provider.index()].id;
    let own = snapshot.endpoints.iter().filter(|endpoint| endpoint.provider == provider);
    own.map(|endpoint| endpoint_tag(id, &endpoint.name)).chain([passthrough_tag(id)]).collect()
}

/// What all cores together have seen of a provider.
fn seen(snapshot: &Snapshot, provider: ProviderId, summaries: &HashMap<u64, Summary>) -> Seen {
    let mut seen = Seen::default();
    for summary in tags(snapshot, provider).iter().filter_map(|tag| summaries.get(tag)) {
        seen.under_way += summary.under_way;
        seen.tripped |= summary.tripped > 0;
        for (kind, count) in Kind::ALL.into_iter().zip(summary.totals) {
            match kind {
                Kind::Served | Kind::Limited => seen.answered += count,
                Kind::Connect => seen.unreached += count,
                Kind::Failed | Kind::Malformed | Kind::InBand | Kind::Death => seen.failed += count,
            }
        }
    }
    seen
}
