//! The end of a request without an answer, in the books: what the ledger and the simulator hear of it.
//!
//! Deliberately absent: when it is over (`attempt`), and answers (`relay/books`).

use super::Attempt;
use crate::base::record::{Outcome, Record};
use crate::exchange::Cx;
use crate::exchange::ledger::{Account, Settlement};

impl Attempt {
    /// The request is over: tells the ledger, and whoever wants to hear of it.
    pub(in crate::exchange) fn conclude(&mut self, cx: &mut Cx<'_>, account: &mut Account, outcome: Outcome) {
        let now = (cx.now, cx.unix);
        account.settle(cx.core, now, &self.settlement(outcome));
        let total_nanos = cx.now.since(self.request.began).as_nanos() as u64;
        cx.tell(|| Record {
            key: self.request.tenant.key,
            outcome,
            attempts: self.attempts.clone(),
            total_nanos,
            ..Record::empty(self.request.id)
        });
        self.attempts.clear();
    }

    /// What it came to, ending like this.
    pub(in crate::exchange) fn settlement(&self, outcome: Outcome) -> Settlement<'_> {
        let blank = Settlement::unanswered(outcome, &self.attempts);
        // Who was sent waiting comments has had the head of a stream.
        Settlement { status: if self.greeted { 200 } else { blank.status }, ..blank }
    }
}
