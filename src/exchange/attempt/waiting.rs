//! Comments for a streaming client that waits for the first event.
//!
//! Deliberately absent: when they are due (`attempt` keeps the time).

use super::Then;
use crate::base::metrics::Counter;
use crate::base::time::Moment;
use crate::exchange::answer::Stage;
use crate::exchange::answer_head::write_events_head;
use crate::exchange::emit::{BodyOut, Emit};
use crate::exchange::{Cx, Exchange, State};

impl Exchange {
    /// Tells a waiting streaming client that its request lives. Failing over stays possible: a comment is no
    /// answer.
    pub(in crate::exchange) fn send_comment(&mut self, cx: &mut Cx<'_>) {
        let State::Attempt(attempt) = &mut self.state else { return };
        let delay = attempt.snapshot().waiting.delay;
        attempt.comment_due = delay.map_or(Moment::NEVER, |delay| cx.now + delay);
        match attempt.stage {
            // An answer that is no stream is on its way: a comment would promise one.
            Stage::Whole { .. } | Stage::Parting(Then::Report(_)) => return,
            Stage::Dialing | Stage::Head { .. } | Stage::Events | Stage::Parting(Then::Try) => {}
        }
        if self.client.sending {
            return;
        }
        let emit = Emit::new(BodyOut::Chunked);
        if !attempt.greeted {
            attempt.greeted = true;
            let close = !attempt.request.terms.keep_alive || self.client.draining;
            let kind = b"text/event-stream; charset=utf-8";
            write_events_head(&mut self.to_client.own, attempt, None, kind, BodyOut::Chunked, close);
            self.to_client.push_own(0);
        }
        let comment = format!(": {}\n\n", attempt.snapshot().waiting.text);
        emit.own(comment.as_bytes(), &mut self.to_client);
        cx.count(Counter::WaitingComments);
        self.send_to_client(cx);
    }

    /// A waiting comment is out; what waited for it goes on.
    pub(in crate::exchange) fn after_comment(&mut self, cx: &mut Cx<'_>) {
        let State::Attempt(attempt) = &self.state else { return };
        match attempt.stage {
            Stage::Parting(Then::Report(fault)) if self.origin.quiet() => self.report(cx, fault),
            Stage::Parting(_) | Stage::Dialing | Stage::Head { .. } | Stage::Whole { .. } => {}
            Stage::Events => self.look_for_first_event(cx),
        }
    }
}
