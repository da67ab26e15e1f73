//! Health: what a core knows of every endpoint it uses, and what the others have told it.
//!
//! ```text
//!  attempt ──► begin, connected, first_event, ended ──► rows ──► figures ──► routing
//!                                                       │  ▲
//!                                    every 100 ms       ▼  │ hear
//!                                                      board  ◄──► the other cores
//! ```
//!
//! A row is written by its core alone. Ten times a second the core writes its rows to the board and reads
//! those of the others; in between, routing reads plain figures. An endpoint in trouble goes behind the
//! others and is never dropped: the last candidate of a request is always tried.
//!
//! | file | holds |
//! |---|---|
//! | `outcome` | what the end of an attempt means |
//! | `window`, `histogram` | counts and percentiles over time |
//! | `breaker`, `backoff`, `cap`, `budget` | the four decisions |
//! | `grant` | what a provider says is left |
//! | `row` | all of that for one endpoint |
//! | `layout` | which row is whose, across snapshots |
//! | `board`, `summary` | the memory that cores share, and all of it as one |
//! | `outlier` | endpoints compared with those that serve the same model |
//!
//! Deliberately absent: the clock and randomness (arguments), the order of candidates (`policy::route`), and
//! active probes: the control plane makes them, and its word comes over the board like that of a core.

pub mod backoff;
pub mod board;
pub mod breaker;
pub mod budget;
pub mod cap;
pub mod grant;
pub mod histogram;
pub mod layout;
pub mod outcome;
mod outlier;
pub mod row;
#[cfg(test)]
mod simulated;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod window;

use core::time::Duration;
use std::sync::Arc;

use crate::base::fault::Fault;
use crate::base::ids::EndpointId;
use crate::base::time::Moment;
use crate::policy::catalog::Snapshot;
use crate::policy::live::{Figures, Live, LiveTable};
use crate::policy::route::Candidate;
use board::{Board, ROWS};
use budget::Budget;
use layout::{Layout, NONE, RowKey};
use outcome::{Kind, Meaning, Phase};
use row::{Row, Speed};

/// How often a core writes to the board and reads it.
pub const EXCHANGE_EVERY: Duration = Duration::from_millis(100);
/// How often endpoints are compared with their peers.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// A row unused for this long may make room for another one.
const IDLE: Duration = Duration::from_secs(60);

/// An attempt that is under way. Whoever holds one hands it to [`Health::ended`], once.
#[derive(Debug)]
pub struct Ticket {
    row: RowKey,
    account: RowKey,
    begun: Moment,
    tokens: u32,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// `None` when the answer was served whole.
    pub fault: Option<Fault>,
    /// How far it was.
    pub phase: Phase,
    /// The wait that the provider asks for.
    pub wait: Option<Duration>,
    /// Tokens of the answer, as the provider counted them.
    pub completion_tokens: Option<u64>,
    /// Bytes of the answer.
    pub answer_bytes: u64,
    /// When its end was here; for an answer that was served.
    pub answered_at: Moment,
}

impl End {
    /// It failed before anything was sent to the client.
    #[must_use]
    pub const fn failed(fault: Fault, phase: Phase, wait: Option<Duration>) -> Self {
        let (completion_tokens, answer_bytes, answered_at) = (None, 0, Moment::NEVER);
        Self { fault: Some(fault), phase, wait, completion_tokens, answer_bytes, answered_at }
    }
}

/// The health of all endpoints as one core knows it.
#[derive(Debug, Default)]
pub struct Health {
    /// The newest snapshot, and its layout.
    snapshot: Option<Arc<Snapshot>>,
    layout: Option<Arc<Layout>>,
    /// The rows in use, at most [`ROWS`].
    rows: Vec<Row>,
    /// By row of the layout: place in `rows`, or [`NONE`].
    places: Vec<u32>,
    /// By row of the layout.
    figures: LiveTable,
    budget: Budget,
    board: Option<(Arc<Board>, usize)>,
    exchange_due: Moment,
    compare_due: Moment,
    refreshed_at: Moment,
    /// The next moment at which a pause ends.
    next_change: Option<Moment>,
}

impl Health {
    /// From now on this core, number `core`, takes part in the board.
    pub fn join(&mut self, board: Arc<Board>, core: usize) {
        self.board = Some((board, core));
    }

    /// A snapshot takes the place of the one before. What is known of endpoints that stay is kept.
    pub fn follow(&mut self, snapshot: &Arc<Snapshot>, now: Moment) {
        if self.snapshot.as_ref().is_some_and(|known| Arc::ptr_eq(known, snapshot)) {
            return;
        }
        self.snapshot = Some(Arc::clone(snapshot));
        let layout = Arc::clone(snapshot.layout());
        if self.layout.as_ref().is_some_and(|known| Arc::ptr_eq(known, &layout)) {
            // Other addresses, the same endpoints.
            return;
        }
        self.places = vec![NONE; layout.count()];
        self.figures = LiveTable::new(layout.count());
        self.rows.retain_mut(|row| {
            let found = layout.find(row.tag);
            row.row = found.unwrap_or(NONE);
            found.is_some()
        });
        for (place, row) in (0_u32..).zip(&self.rows) {
            self.places[row.row as usize] = place;
        }
        self.layout = Some(layout);
        self.refreshed_at = Moment::default();
        self.refresh_all(now);
    }

    /// The figures by `EndpointId` of the newest snapshot.
    #[must_use]
    pub fn live(&self) -> Live<'_> {
        self.figures.live()
    }

    /// A request begins: pauses that are over end, and the retry budget grows.
    pub fn request(&mut self, now: Moment) {
        self.budget.request(now);
        self.settle(now);
    }

    /// Ends the pauses that are over.
    pub fn settle(&mut self, now: Moment) {
        if self.next_change.is_some_and(|next| now >= next) {
            self.refresh_all(now);
        }
    }

    /// May this candidate stand among the first? `snapshot` is the one its plan was made from.
    #[must_use]
    pub fn is_well(&self, snapshot: &Arc<Snapshot>, candidate: Candidate) -> bool {
        let [key, _] = snapshot.layout().keys(candidate);
        self.resolve(key).is_none_or(|row| self.figures.is_well(row))
    }

    /// The figures of a candidate. `snapshot` is the one its plan was made from.
    #[must_use]
    pub fn figures(&self, snapshot: &Arc<Snapshot>, candidate: Candidate) -> Figures {
        let [key, _] = snapshot.layout().keys(candidate);
        self.resolve(key).and_then(|row| self.figures.row(row)).copied().unwrap_or_default()
    }

    /// May a request that has failed already go on to this candidate? To a well one always.
    pub fn may_retry(&mut self, snapshot: &Arc<Snapshot>, candidate: Candidate, now: Moment) -> bool {
        self.settle(now);
        self.is_well(snapshot, candidate) || self.budget.grant(now)
    }

    /// An attempt begins, with a prompt of about so many tokens. `None`: it is not followed, because the
    /// candidate is the control plane or the table is full.
    pub fn begin(
        &mut self,
        snapshot: &Arc<Snapshot>,
        candidate: Candidate,
        tokens: u32,
        now: Moment,
    ) -> Option<Ticket> {
        if snapshot.control == Some(candidate.provider) {
            return None;
        }
        let [key, account] = snapshot.layout().keys(candidate);
        let row = self.resolve(key)?;
        let place = self.activate(row, now)?;
        self.rows[place].begin(now, tokens);
        self.show_load(row, now);
        Some(Ticket { row: key, account, begun: now, tokens })
    }

    /// The row of a key in the newest layout.
    fn resolve(&self, key: RowKey) -> Option<u32> {
        self.layout.as_ref()?.resolve(key)
    }

    /// A fresh connection was made for it.
    pub fn connected(&mut self, ticket: &Ticket, now: Moment) {
        if let Some(row) = self.row_of(ticket.row) {
            row.connected(now.since(ticket.begun));
        }
    }

    /// The first event of its stream is here.
    pub fn first_event(&mut self, ticket: &Ticket, now: Moment) {
        if let Some(row) = self.row_of(ticket.row) {
            row.first_event(ticket.begun, now);
        }
    }

    /// It is given up, because another attempt of its request was faster. [`Health::ended`] is still to come.
    pub fn outrun(&mut self, ticket: &Ticket, now: Moment) {
        if let Some(row) = self.row_of(ticket.row) {
            row.outrun(ticket.begun, now);
        }
    }

    /// It is over. `random` is a random word.
    pub fn ended(&mut self, ticket: &Ticket, end: End, now: Moment, random: u64) {
        let meaning = match end.fault {
            None => Meaning::Counted { kind: Kind::Served, overloaded: false },
            Some(fault) => outcome::meaning(fault, end.phase),
        };
        let begun = ticket.begun;
        let Some(row) = self.row_of(ticket.row) else { return };
        let (under_way, pause_end) = (row.under_way, row.pause_end());
        row.leave(ticket.tokens);
        match meaning {
            Meaning::Nothing | Meaning::Account => {}
            Meaning::Counted { kind: Kind::Served, .. } => {
                row.served(begun, now, under_way, Speed::of(&end, end.answered_at.since(begun)));
            }
            Meaning::Counted { kind: Kind::Limited, .. } => {
                row.count(now, Kind::Limited);
                row.overloaded(begun, now, under_way);
                row.backoff.refused(begun, now, end.wait, random);
            }
            Meaning::Counted { kind, overloaded } => {
                row.failed(kind, begun, now, under_way, random);
                if overloaded {
                    row.overloaded(begun, now, under_way);
                    // A 503 pauses only for as long as it says.
                    if let Some(wait) = end.wait.filter(|wait| !wait.is_zero()) {
                        row.backoff.refused(begun, now, Some(wait), random);
                    }
                }
            }
        }
        // One more answer moves the figures by little: that shows at the next tick.
        let is_usual = end.fault.is_none() && row.pause_end() == pause_end;
        let row = row.row;
        self.ended_for_account(ticket, meaning, end.wait, now, random);
        if is_usual { self.show_load(row, now) } else { self.show(row, now) }
    }

    /// The provider says that the requests or tokens it grants are used up for so long.
    pub fn used_up(&mut self, ticket: &Ticket, wait: Duration, now: Moment) {
        if let Some(row) = self.row_of(ticket.row) {
            row.backoff.used_up(now + wait, now);
            let row = row.row;
            self.show(row, now);
        }
    }

    /// What the end means for the credential: it is refused, or two of its models are limited at once.
    fn ended_for_account(
        &mut self,
        ticket: &Ticket,
        meaning: Meaning,
        wait: Option<Duration>,
        now: Moment,
        random: u64,
    ) {
        let Some(account) = self.layout.as_ref().and_then(|layout| layout.resolve(ticket.account)) else {
            return;
        };
        let is_refused = match meaning {
            Meaning::Account => true,
            Meaning::Counted { kind: Kind::Limited, .. } => self.is_limited_elsewhere(ticket, now),
            Meaning::Counted { kind: Kind::Served, .. } => {
                if let Some(row) = self.row_of(ticket.account) {
                    row.backoff.served(ticket.begun);
                }
                return;
            }
            Meaning::Counted { .. } | Meaning::Nothing => return,
        };
        if is_refused && let Some(place) = self.activate(account, now) {
            let row = &mut self.rows[place];
            row.used_at = Some(now);
            row.backoff.refused(ticket.begun, now, wait, random);
            self.show_account(account, now);
        }
    }

    /// Is another endpoint of the same account pausing for a 429 of its own?
    fn is_limited_elsewhere(&self, ticket: &Ticket, now: Moment) -> bool {
        let Some(layout) = &self.layout else { return false };
        let Some(account) = layout.resolve(ticket.account) else { return false };
        self.rows.iter().any(|row| {
            row.tag != ticket.row.tag
                && row.backoff.until() > now
                && layout.account_of(row.row).is_none()
                && layout.provider_of(row.row).1 == account
        })
    }

    fn row_of(&mut self, key: RowKey) -> Option<&mut Row> {
        let row = self.layout.as_ref()?.resolve(key)?;
        let place = self.places[row as usize];
        self.rows.get_mut(place as usize)
    }

    /// The place of a row that is in use from now on; `None` when the table is full of busy ones.
    fn activate(&mut self, row: u32, now: Moment) -> Option<usize> {
        let place = *self.places.get(row as usize)?;
        if place != NONE {
            return Some(place as usize);
        }
        let fresh = Row::new(self.layout.as_ref()?.tag(row), row);
        let place = if self.rows.len() < ROWS {
            self.rows.push(fresh);
            self.rows.len() - 1
        } else {
            let idle = |row: &Row| row.under_way == 0 && row.used_at.is_none_or(|at| now.since(at) > IDLE);
            let places = self.rows.iter().enumerate().filter(|(_, row)| idle(row));
            let (place, _) = places.min_by_key(|(_, row)| row.used_at)?;
            self.places[self.rows[place].row as usize] = NONE;
            self.rows[place] = fresh;
            place
        };
        self.places[row as usize] = place as u32;
        Some(place)
    }

    /// Is the account of this row pausing?
    fn account_until(&self, row: u32) -> Moment {
        let Some(layout) = &self.layout else { return Moment::default() };
        let account = layout.provider_of(row).1;
        match self.rows.get(self.places[account as usize] as usize) {
            Some(account) => account.backoff.until(),
            None => Moment::default(),
        }
    }

    /// Brings the figures of a row in use up to date, and notes when they change by themselves.
    fn show(&mut self, row: u32, now: Moment) {
        let account_until = self.account_until(row);
        let Some(known) = self.rows.get_mut(self.places[row as usize] as usize) else { return };
        let mut figures = known.figures(now);
        figures.healthy &= account_until <= now;
        let changes = [known.pause_end(), account_until].into_iter().filter(|end| *end > now);
        self.next_change = changes.chain(self.next_change).min();
        self.figures.set(row, figures);
        if let Some(layout) = &self.layout {
            layout.twins_of(row).for_each(|twin| self.figures.set(twin, figures));
        }
    }

    /// The same when only what is under way has changed.
    fn show_load(&mut self, row: u32, now: Moment) {
        let account_until = self.account_until(row);
        let Some(known) = self.rows.get(self.places[row as usize] as usize) else { return };
        let (tokens, healthy) = (known.tokens_in_flight(), known.is_well(now) && account_until <= now);
        self.figures.set_load(row, tokens, healthy);
        if let Some(layout) = &self.layout {
            layout.twins_of(row).for_each(|twin| self.figures.set_load(twin, tokens, healthy));
        }
    }

    /// An account pauses, or does so no longer: that shows in all endpoints behind it.
    fn show_account(&mut self, account: u32, now: Moment) {
        self.show(account, now);
        let Some(layout) = self.layout.clone() else { return };
        let Some(provider) = layout.account_of(account) else { return };
        let own = layout.endpoints() + provider.0;
        for row in layout.endpoints_of(provider).chain([own]) {
            if self.places[row as usize] == NONE {
                let tokens = self.figures.row(row).map_or(0, |figures| figures.tokens_in_flight);
                self.figures.set_load(row, tokens, self.account_until(row) <= now);
            } else {
                self.show(row, now);
            }
        }
    }

    fn refresh_all(&mut self, now: Moment) {
        self.next_change = None;
        for place in 0..self.rows.len() {
            let Row { row, backoff, .. } = &self.rows[place];
            let (row, until) = (*row, backoff.until());
            match self.layout.as_ref().and_then(|layout| layout.account_of(row)) {
                Some(_) if until > self.refreshed_at => self.show_account(row, now),
                // An account that has not paused since shows in nothing.
                Some(_) => {}
                None => self.show(row, now),
            }
        }
        self.refreshed_at = now;
    }

    /// Is it time to [`tick`](Self::tick)? The worker's loop asks on every turn.
    #[must_use]
    pub fn is_due(&self, now: Moment) -> bool {
        now >= self.exchange_due
    }

    /// Reads the board and writes to it. `random` is a random word.
    pub fn tick(&mut self, snapshot: &Arc<Snapshot>, now: Moment, random: u64) {
        self.exchange_due = now + EXCHANGE_EVERY;
        self.follow(snapshot, now);
        self.hear(now);
        for row in &mut self.rows {
            row.age(now);
            row.judge(now, random.wrapping_mul(row.tag | 1));
        }
        if now >= self.compare_due {
            self.compare_due = now + COMPARE_EVERY;
            self.compare(now, random);
        }
        self.refresh_all(now);
        self.say(now);
    }

    /// Reads what the other cores and the prober say.
    fn hear(&mut self, now: Moment) {
        self.rows.iter_mut().for_each(Row::forget_peers);
        let Some((board, own)) = self.board.clone() else { return };
        for core in (0..=board.prober()).filter(|core| *core != own) {
            for cell in board.cells(core) {
                // A core may hold another snapshot for a moment, with endpoints that are not in this one.
                let Some(row) = self.layout.as_ref().and_then(|layout| layout.find(cell.tag)) else {
                    continue;
                };
                if let Some(place) = self.activate(row, now) {
                    self.rows[place].hear(now, &cell);
                }
            }
        }
    }

    /// Writes what this core knows.
    fn say(&mut self, now: Moment) {
        let Some((board, core)) = &self.board else { return };
        for (slot, row) in self.rows.iter_mut().enumerate() {
            board.write(*core, slot, &row.cell(now));
        }
        board.set_count(*core, self.rows.len());
    }

    /// Attempts under way on this core.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        self.rows.iter().map(|row| row.under_way).sum()
    }

    /// Endpoints and accounts of which something is known.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Where the breaker of an endpoint stands.
    #[must_use]
    pub fn state(&self, endpoint: EndpointId, now: Moment) -> breaker::State {
        let place = self.places.get(endpoint.index()).map_or(NONE, |place| *place);
        self.rows.get(place as usize).map_or(breaker::State::Closed, |row| row.state(now))
    }
}
