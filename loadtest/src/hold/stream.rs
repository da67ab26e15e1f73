//! One paced stream, from its intended start to its terminal chunk.
//!
//! Deliberately absent: what an answer must look like (`answer`).

use std::rc::Rc;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::Plan;
use super::progress::{State, micros};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::http::{Connection, StreamStep};

const PATH: &str = "/v1/chat/completions";
/// Room for the events of one read.
const PAYLOAD_BYTES: usize = 2 * 1024;

/// Runs a stream that is due to start at `due`, and counts how it went.
pub(super) async fn run(plan: Rc<Plan>, state: Rc<State>, due: Instant) {
    sleep_until(due).await;
    let end = due + plan.stream_time() + plan.patience;
    let outcome = timeout_at(end, relay(&plan, &state, due)).await;
    state.streams_ended.set(state.streams_ended.get() + 1);
    if let Err(failure) = outcome.unwrap_or(Err(Failure::Slow("the whole stream"))) {
        state.tally.borrow_mut().add("stream", &failure, 1);
    }
}

async fn relay(plan: &Plan, state: &State, due: Instant) -> Result<(), Failure> {
    let mut connection = Connection::open(plan.target).await?;
    connection.post_for_events(PATH, &plan.body).await?;
    let mut answer = Answer::new(plan.words);
    let mut payload = Vec::with_capacity(PAYLOAD_BYTES);
    let mut begun = false;
    let mut last_word: Option<Instant> = None;
    loop {
        payload.clear();
        let step = connection.next_events(&mut payload).await?;
        let now = Instant::now();
        let progress = answer.feed(&payload).map_err(Failure::Answer)?;
        state.events.set(state.events.get() + progress.events);
        if !begun && progress.events > 0 {
            begun = true;
            state.streams_begun.set(state.streams_begun.get() + 1);
            // From the intended start: a start that this thread delayed counts too.
            state.first_event.borrow_mut().saturating_record(micros(now.duration_since(due)));
        }
        if progress.words > 0 {
            let mut gaps = state.gaps.borrow_mut();
            if let Some(last) = last_word {
                gaps.saturating_record(micros(now.duration_since(last)));
            }
            // Words that came in one read came at the same time.
            gaps.saturating_record_n(0, progress.words - 1);
            last_word = Some(now);
        }
        if step == StreamStep::End {
            return answer.finish().map_err(Failure::Answer);
        }
    }
}
