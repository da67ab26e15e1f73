//! The properties a fuzzer checks: any body is survived, what a signal is found by can only be added to, and
//! restrictions are read or refused, never guessed.
//!
//! Deliberately absent: the fuzz target itself and its corpus; speed.

use super::{Signal, Signals, Weights, Wishes, signals};
use crate::policy::catalog::{Modalities, Modality};
use crate::wire::json::peek::peek;

/// Fuzz body: any bytes. Panics when a property does not hold.
pub fn exercise(body: &[u8]) {
    let Ok(peek) = peek(body) else { return };
    let seen = signals(&peek, body, Modalities::NONE);
    assert_eq!(seen, signals(&peek, body, Modalities::NONE), "the same bytes say the same");
    let pictured = signals(&peek, body, Modalities::of(&[Modality::Image]));
    assert_eq!(pictured, seen.with(Signal::Content), "an image is one more signal");
    let weights = Weights::default();
    assert!(seen.score(&weights) <= pictured.score(&weights));
    // With tools in front, everything else stays as it was.
    if peek.tools.is_none()
        && peek.member_count > 0
        && !peek.members().iter().any(|one| one.key.text() == "tools")
    {
        let start = peek.object.start as usize + 1;
        let more = [&body[..start], b"\"tools\":[{}],", &body[start..]].concat();
        if let Ok(peek) = crate::wire::json::peek::peek(&more) {
            assert_eq!(signals(&peek, &more, Modalities::NONE), seen.with(Signal::Tools));
        }
    }
    if let Ok(wishes) = Wishes::read(&peek, body) {
        let names = ["a/b", "a/c", "d/e"];
        let allowed = wishes.allowed(names.iter().copied());
        assert_eq!(allowed, wishes.allowed(names.iter().copied()));
    }
    assert_eq!(Signals::NONE.score(&weights), 0);
}
