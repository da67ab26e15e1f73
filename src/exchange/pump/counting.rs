//! The count of an answer's tokens, while its events pass and when it is over.
//!
//! Deliberately absent: the counting itself (`policy/count`).

use super::Pump;
use crate::base::record::{Outcome, Usage};
use crate::policy::count::{Counted, Fits, Terms};

impl Pump {
    /// The texts of the answer that begins are counted like this.
    pub(in crate::exchange) fn count_by(&mut self, terms: Terms) {
        self.meter.restart(terms);
    }

    /// What was counted of the answer's text so far. Of an answer that is no stream, nothing is.
    #[must_use]
    pub(in crate::exchange) fn counted(&self) -> Counted {
        self.meter.counted()
    }

    /// The completion tokens of an answer that ended like this, as reported, else as counted; `None` where
    /// neither is known. A report is also compared with the count, for the rate of the next ones.
    pub(in crate::exchange) fn completion_tokens(
        &self,
        reported: Option<Usage>,
        outcome: Outcome,
        fits: &mut Fits,
    ) -> Option<u64> {
        let Some(reported) = reported else {
            let counted = self.counted();
            return counted.exact.then_some(counted.tokens.into());
        };
        if outcome == Outcome::Complete {
            self.meter.compare(reported, fits);
        }
        Some(reported.completion_tokens)
    }
}
