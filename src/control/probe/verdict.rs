//! When a provider is due to be probed, and what the answers of its server mean.
//!
//! A probe speaks for what it can see: whether a server takes connections and answers. One failure is
//! made sure of at once; after the second the provider is unwell for as long as probes fail. When one
//! succeeds again, cores may try it at once (their breakers are half-open then, and close by real
//! answers). Trouble that came from answers, not from connections, is none of a probe's business, and
//! real answers always outweigh it.
//! Deliberately absent: clocks, sockets, and which endpoints a provider has.

use core::time::Duration;

use crate::base::time::Moment;
use crate::policy::health::breaker::Position;

/// Failures in a row that make a provider unwell.
const SURE: u32 = 2;
/// How soon a first failure is made sure of.
const AGAIN: Duration = Duration::from_secs(1);
/// A word lasts so much longer than the next probe takes, for the exchange among cores.
const MARGIN: Duration = Duration::from_secs(1);
/// For how long cores are told that a provider is back.
const NEWS: Duration = Duration::from_secs(60);

/// What all cores have seen of a provider since they began, and now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Attempts that were answered: served, or refused for the rate.
    pub(super) answered: u64,
    /// Attempts without a connection.
    pub(super) unreached: u64,
    /// Attempts that failed in another way.
    pub(super) failed: u64,
    /// Attempts under way.
    pub(super) under_way: u64,
    /// A core's breaker is open or half-open.
    pub(super) tripped: bool,
}

/// What a probe has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// The provider is unwell from now on.
    Down,
    /// It is not any more.
    Up,
}

/// What is known of one provider.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The first look has been taken.
    begun: bool,
    seen: Seen,
    /// Something has gone there since the last probe was due.
    used: bool,
    /// Its trouble is of a kind that probes cannot see.
    blind: bool,
    due: Moment,
    /// Failed probes in a row.
    failures: u32,
    /// What cores are told, and until when; `None` is nothing.
    word: Option<(Position, Moment)>,
}

impl Verdict {
    /// Takes in what cores have seen; true when a probe is due.
    pub(super) fn look(&mut self, now: Moment, seen: Seen, every: Duration) -> bool {
        let before = core::mem::replace(&mut self.seen, seen);
        // Counters may begin anew when rows made room for others.
        let answered = seen.answered > before.answered;
        let failed = seen.failed > before.failed;
        if !core::mem::replace(&mut self.begun, true) {
            self.due = now;
        } else if answered {
            (self.blind, self.failures) = (false, 0);
            self.word = self.word.filter(|(position, _)| !position.tripped);
        }
        self.blind |= failed;
        self.used |= answered || failed || seen.unreached > before.unreached || seen.under_way > 0;
        if now < self.due {
            return false;
        }
        if self.used && !seen.tripped && self.failures == 0 {
            (self.used, self.due) = (false, now + every);
            return false;
        }
        true
    }

    /// A probe begins.
    pub(super) fn begin(&mut self, now: Moment, every: Duration) {
        (self.used, self.due) = (false, now + every);
    }

    /// A probe that began at `begun` ended.
    pub(super) fn probed(
        &mut self,
        begun: Moment,
        now: Moment,
        answered: bool,
        every: Duration,
        timeout: Duration,
    ) -> Change {
        let was_down = self.word.is_some_and(|(position, _)| position.tripped);
        if answered {
            self.failures = 0;
            if was_down || (self.seen.tripped && !self.blind) {
                let position = Position { tripped: false, changed_at: begun, until: now, trips: 0 };
                self.word = Some((position, now + NEWS));
            }
            return if was_down { Change::Up } else { Change::None };
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < SURE {
            self.due = now + every.min(AGAIN);
            return Change::None;
        }
        let until = now + every + timeout + MARGIN;
        self.word = Some((Position { tripped: true, changed_at: now, until, trips: 1 }, until));
        if was_down { Change::None } else { Change::Down }
    }

    /// What cores are told at this moment.
    pub(super) fn word(&self, now: Moment) -> Option<Position> {
        self.word.filter(|(_, end)| now < *end).map(|(position, _)| position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);
    const TIMEOUT: Duration = Duration::from_secs(2);

    /// What happens, a letter a second, and what is done: `.` nothing goes there, `s` an attempt is answered,
    /// `c` one finds no connection, `f` one fails in another way; in capitals a breaker is open besides. The
    /// server is dead where `dead` has an `x`. The result: `-` nothing, `p` a probe that is answered, `P` one
    /// that fails; then what cores are told: `-` nothing, `D` down, `U` back.
    #[track_caller]
    fn check(events: &str, dead: &str, probes: &str, told: &str) {
        let (mut verdict, mut seen) = (Verdict::default(), Seen::default());
        let (mut got_probes, mut got_told) = (String::new(), String::new());
        for (second, (event, dead)) in (1_000..).zip(events.chars().zip(dead.chars())) {
            let now = Moment::from_nanos(second * 1_000_000_000);
            seen.tripped = event.is_ascii_uppercase() || event == ':';
            match event.to_ascii_lowercase() {
                's' => seen.answered += 1,
                'c' => seen.unreached += 1,
                'f' => seen.failed += 1,
                _ => {}
            }
            if verdict.look(now, seen, EVERY) {
                verdict.begin(now, EVERY);
                verdict.probed(now, now, dead != 'x', EVERY, TIMEOUT);
                got_probes.push(if dead == 'x' { 'P' } else { 'p' });
            } else {
                got_probes.push('-');
            }
            got_told.push(match verdict.word(now) {
                None => '-',
                Some(position) if position.tripped => 'D',
                Some(_) => 'U',
            });
        }
        assert_eq!((&*got_probes, &*got_told), (probes, told), "{events}");
    }

    #[test]
    fn idle_providers_are_asked_and_busy_ones_are_not() {
        check("............", "            ", "p---------p-", "------------");
        // What is used in each period is never asked; what is not, once a whole period has gone by.
        let (quiet, used) = (" ".repeat(32), format!("s{0}s{0}s{0}..", ".".repeat(9)));
        check(&used[..30], &quiet, &"-".repeat(30), &"-".repeat(30));
        check(&used, &quiet, &format!("{}p-", "-".repeat(30)), &"-".repeat(32));
    }

    #[test]
    fn a_dead_server_is_down_after_two_probes_until_one_is_answered() {
        check("..............", "xxxxxxxxxxxx  ", "PP---------P--", "-DDDDDDDDDDDDD");
        check("................", "xx              ", "PP---------p----", "-DDDDDDDDDDUUUUU");
        check("............", "x           ", "Pp---------p", "------------");
    }

    #[test]
    fn real_answers_outweigh_probes() {
        check("...s.........", "xxxxxxxxxxxxx", "PP-----------", "-DD----------");
    }

    #[test]
    fn a_breaker_that_is_open_for_want_of_connections_hears_of_the_first_good_probe() {
        check("scccC:::::::::", "              ", "----------p---", "----------UUUU");
        check("sfffF:::::::::", "              ", "----------p---", "--------------");
    }
}
