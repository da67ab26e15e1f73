//! The edge gives its connections up at some moment: a task that panics, a process whose time is over.
//! Whatever was under way is settled once, and the core is owed nothing.
//!
//! Deliberately absent: what a run comes to that is left alone (`check`).

use crate::exchange::sim::World;
use crate::exchange::sim::ledger::{Admitted, Settled};
use crate::exchange::sim::world::WALL;

impl World<'_> {
    /// Lets so many things happen, then gives every connection up. What was admitted and settled.
    ///
    /// # Panics
    /// When the core is still owed something.
    #[must_use]
    pub fn abandoned_after(mut self, turns: usize) -> (Vec<Admitted>, Vec<Settled>) {
        self.begin();
        for _ in 0..turns {
            if !self.turn() {
                break;
            }
        }
        for seat in self.sessions.iter_mut().filter(|seat| !seat.over) {
            seat.exchange.abandon(&mut self.core, self.now, WALL);
            // Another time is none: there is nothing left.
            seat.exchange.abandon(&mut self.core, self.now, WALL);
        }
        assert_eq!(self.core.bodies_bytes, 0, "bytes of requests are still charged");
        assert_eq!(self.core.health.under_way(), 0, "an attempt counts as under way");
        assert_eq!(self.core.drains, 0, "an answer counts as read on");
        let book = self.book.borrow();
        (book.admits.clone(), book.settles.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::sim::{Case, Cut, Random, Tuning, generate};
    use crate::wire::journal::Ending;

    #[test]
    fn whenever_the_edge_gives_up_every_request_is_settled_once() {
        let (mut abandoned, mut cut, mut tried) = (0, 0, 0);
        for seed in 0..1_000 {
            let text = generate::case(seed);
            let case = Case::parse(&text).expect("a case");
            let turns = Random::new(!seed).below(120);
            let tuning = Tuning { seed, cut: Cut::Random, log: None };
            let (admits, settles) = World::new(&case, tuning).abandoned_after(turns);
            assert_eq!(admits.len(), settles.len(), "{text}");
            for admit in &admits {
                assert!(settles.iter().any(|one| one.id == admit.id), "{admit:?} in {text}");
            }
            for settle in settles.iter().filter(|one| one.fault == "abandoned") {
                abandoned += 1;
                cut += usize::from(settle.ending == Ending::Cut);
                tried += settle.attempts.len();
                assert!(matches!(settle.ending, Ending::Cut | Ending::Failed), "{settle:?} in {text}");
            }
        }
        println!("{abandoned} abandoned, {cut} of them in an answer, {tried} attempts");
        assert!(abandoned > 100 && cut > 20 && tried > 50, "{abandoned} {cut} {tried}");
    }
}
