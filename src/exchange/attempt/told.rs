//! What an attempt tells its client of the way of the request.
//!
//! Deliberately absent: the words (`receipt`), and where in an answer they go (`receipt/place`).

use super::Attempt;
use crate::base::record::AttemptRecord;
use crate::exchange::receipt::{self, Closing, Told};
use crate::exchange::request::Subject;

impl Attempt {
    /// What the head of the answer in hand tells.
    pub(in crate::exchange) fn told<'a>(&'a self, attempts: &'a [AttemptRecord]) -> Told<'a> {
        let (status, wishes) = (self.run.kept.status, self.request.wishes);
        Told { snapshot: self.snapshot(), attempts, status, wishes }
    }

    /// The attempts in one line; empty for what is no inference.
    pub(super) fn attempts_text(&self, status: u16) -> String {
        match self.request.subject {
            Subject::Inference { .. } => receipt::attempts_text(self.snapshot(), &self.attempts, status),
            Subject::Control => String::new(),
        }
    }

    /// The object that tells the client how its request went, if it wants to know.
    fn metadata(&self, attempts: &[AttemptRecord], served: bool) -> Option<String> {
        let receipt = self.receipt.as_ref()?;
        let tried = self.plan.candidates(self.snapshot()).take(self.turn + 1);
        Some(receipt.json(attempts, tried, served.then_some(self.run.candidate)))
    }

    /// The same, ready for an answer. Never with a 500, which may be about ourselves.
    pub(in crate::exchange) fn closing(
        &self,
        attempts: &[AttemptRecord],
        status: u16,
    ) -> Option<Box<Closing>> {
        let Subject::Inference { .. } = self.request.subject else { return None };
        let object = self.metadata(attempts, status < 400).filter(|_| status != 500)?;
        Some(Box::new(Closing::new(&object)))
    }

    /// The same for a document. What is compressed is not looked into.
    pub(in crate::exchange) fn document_closing(&self, attempts: &[AttemptRecord]) -> Option<Box<Closing>> {
        if self.receipt.is_none() || !self.run.kept.content_encoding.is_empty() {
            return None;
        }
        self.closing(attempts, self.run.kept.status)
    }
}
