//! Comments for a streaming client that waits: they say that its request lives, and commit to nothing.
//!
//! Deliberately absent: when the next one is due (the attempt knows), and the comments of a provider (the
//! pump leaves them out before the first event).

use crate::base::metrics::Counter;
use crate::base::time::Moment;
use crate::exchange::answer::Stage;
use crate::exchange::attempt::Then;
use crate::exchange::emit::{BodyOut, Emit};
use crate::exchange::{Cx, Exchange, State, answer_head};

impl Exchange {
    /// Tells a waiting streaming client that its request lives. Failing over stays possible: a comment is no
    /// answer.
    pub(super) fn send_comment(&mut self, cx: &mut Cx<'_>) {
        let State::Attempt(attempt) = &mut self.state else { return };
        let delay = attempt.snapshot().waiting.delay;
        attempt.comment_due = delay.map_or(Moment::NEVER, |delay| cx.now + delay);
        let other = self.other.as_ref().filter(|other| other.races());
        let stages = [Some(&attempt.run.stage), other.map(|other| &other.run.stage)];
        // An answer that is no stream is on its way: a comment would promise one.
        let forbids = |stage: &&Stage| matches!(stage, Stage::Whole { .. } | Stage::Parting(Then::Report(_)));
        if self.client.sending || stages.iter().flatten().any(forbids) {
            return;
        }
        let emit = Emit::new(BodyOut::Chunked);
        if !attempt.greeted {
            attempt.greeted = true;
            let close = !attempt.request.terms.keep_alive || self.client.draining;
            let kind = b"text/event-stream; charset=utf-8";
            let own = &mut self.to_client.own;
            answer_head::write_events_head(own, attempt, None, kind, BodyOut::Chunked, close);
            self.to_client.push_own(0);
        }
        let comment = format!(": {}\n\n", attempt.snapshot().waiting.text);
        emit.own(comment.as_bytes(), &mut self.to_client);
        cx.count(Counter::WaitingComments);
        self.send_to_client(cx);
    }

    /// A waiting comment is out; what waited for it goes on. Of two candidates that both have their first
    /// event, the one in hand wins.
    pub(super) fn after_comment(&mut self, cx: &mut Cx<'_>) {
        self.go_on_after_comment(cx);
        if self.races() {
            self.turn();
            self.go_on_after_comment(cx);
        }
    }

    fn go_on_after_comment(&mut self, cx: &mut Cx<'_>) {
        let State::Attempt(attempt) = &self.state else { return };
        match attempt.run.stage {
            Stage::Parting(Then::Report(fault)) if self.origin.quiet() => self.report(cx, fault),
            Stage::Parting(_) | Stage::Dialing | Stage::Head { .. } | Stage::Whole { .. } => {}
            Stage::Events => self.look_for_first_event(cx),
        }
    }
}
